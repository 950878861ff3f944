"""A member of a collective talks and pledges on a phone without scripts: three statements by a tap each, one put up, a comment, a pledge."""

import os
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.collectives.test_pledging import opened as begun
from tests.collectives.test_pledging import pledged
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.talk import talk

SHOTS = os.environ.get("SAYSO_TEST_SHOTS")


def seen(page: Page, address: str, name: str, *, axe: bool = False) -> None:
    """With `axe` without barriers and no wider than the phone: where a page has something on it that `test_no_barriers.py` does not meet. Looked
    at in a window with scripts, in which axe can run. Kept as a picture where somebody wants to look at it."""
    if axe or SHOTS:
        page.goto(address)
    if axe:
        no_barriers(page)
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def test_a_member_talks_and_pledges_on_a_phone_without_scripts(
    service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page]
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    one = talk(service, platform, 3, text="From now on labs may only test models with our work.\nThey may not train on it.")
    author, other, me = one.members
    for text in ("Testing helps us too.", "We should be paid for each test.", "A year is long enough to try it."):
        other.put_up(one.proposal["id"], text)
    campaign = begun(service, author, lab=lab.id)
    page, beside, thread = opened(PHONE, scripts=False), opened(PHONE), service.base + one.base
    for window in (page, beside):
        window.goto(f"{service.base}/r/{me._person.receipt}")
    page.goto(f"{thread}/statements")
    expect(page.locator("main")).to_contain_text("3 statements wait for your word.")
    seen(beside, page.url, "statements")
    for choice, left in (("Agree", "2 statements wait"), ("Disagree", "1 statement waits"), ("Pass", "No statement waits")):
        assert page.get_by_role("button", name=choice, exact=True).bounding_box()["height"] >= 44  # type: ignore[index]
        with page.expect_navigation():
            page.get_by_role("button", name=choice, exact=True).click()
        expect(page.locator("main")).to_contain_text(left)
    seen(beside, page.url, "statements-done", axe=True)
    page.get_by_label("One sentence that others can agree with or not").fill("Ask us again in spring.")
    tap(page, "Put it up")
    expect(page.get_by_role("status")).to_contain_text("Your statement is up.")
    tap(page, "See all 4 statements")
    expect(page.locator("article")).to_have_count(4)
    seen(beside, page.url, "statements-all")
    totals = [(s["totals"]["agree"], s["totals"]["disagree"], s["totals"]["pass"]) for s in other.statements(one.proposal["id"])]
    assert totals == [(2, 0, 0), (1, 1, 0), (1, 0, 1), (1, 0, 0)]

    tap(page, "Comments")
    page.get_by_label("Your words").fill("What does a lab pay today?")
    page.get_by_label("a question").check()
    page.get_by_label("who gains").check()
    tap(page, "Send it")
    expect(page.locator("article")).to_contain_text("What does a lab pay today?")
    tap(page, "Reply")
    seen(beside, page.url, "comments", axe=True)
    for name in ("Other texts", "Closing note"):
        tap(page, name)
        seen(beside, page.url, name.split()[0].lower())

    page.goto(f"{service.base}{one.home}/campaigns")
    seen(beside, page.url, "campaigns")
    tap(page, lab.name)
    expect(page.locator("main")).to_contain_text(f"What you gave is taken back from {lab.name}.")
    page.get_by_label("I act if at least so many others act too").fill("2")
    tap(page, "Pledge this")
    expect(page.get_by_role("status")).to_contain_text("You act if at least 2 others act too.")
    assert len(pledged(service, campaign)) == 1
    seen(beside, page.url, "campaign", axe=True)
    tap(page, "Take my pledge back")
    assert pledged(service, campaign) == []

    statement = author.statements(one.proposal["id"])[1]["id"]
    for where, name in ((f"{one.home}/campaigns/new", "campaign-new"), (f"{one.home}/moderations", "moderations")):
        seen(beside, service.base + where, name)
    for where, name in (("/statements/groups", "groups"), ("/statements/polis", "polis")):
        seen(beside, thread + where, name)
    beside.goto(f"{service.base}/r/{author._person.receipt}")
    seen(beside, f"{thread}/statements?all=1&show=owed", "owed")
    seen(beside, f"{thread}/hide/{statement}", "hide")
    seen(beside, f"{thread}/statements?all=1&lang=ar", "statements-arabic", axe=True)
    expect(beside.locator("html")).to_have_attribute("dir", "rtl")
