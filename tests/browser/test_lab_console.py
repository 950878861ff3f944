"""A person of a lab, in a real browser: from the link in a terminal to a signed agreement and what it asks of them."""

from collections.abc import Callable
from datetime import datetime

import pytest
from playwright.sync_api import Page, expect

from app.collectives import queries
from tests.browser.conftest import DESKTOP, PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.collectives.members import mandated, pass_days
from tests.collectives.test_deciding import ADOPT, union_of
from tests.collectives.test_requests_decided import deciding
from tests.faults.cuts import queued
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until

WORDS = "Testing <alone> is too much already."


def against(service: Service, platform: PlatformParty) -> None:
    """A decision that what one of three gave rests on; another voted against it, and says why."""
    mine = union_of(service, platform, 3)
    mandated(service, mine[1])
    asked = mine[0].propose("policy.narrow", "As before, and no more.", **ADOPT)
    opened = pass_days(service, mine[0], asked["id"], 7)
    for one, choice in zip(mine, ("yes", "yes", "no"), strict=True):
        one.vote(opened, choice, ["aim"] if choice == "no" else [])
    pass_days(service, mine[0], asked["id"], 7)
    mine[2].dissent(asked["id"], WORDS)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_read_sign_and_see_what_is_owed(
    service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page], size: dict[str, int]
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    [given] = platform.give(1)
    against(service, platform)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    offer = lab.sdk.offer(str(lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).offer))
    page = opened(size)
    page.goto(lab.sdk.console())
    expect(page.get_by_role("heading", name=lab.name)).to_be_visible()
    no_barriers(page)
    page.get_by_role("link", name="to test").first.click()
    expect(page.get_by_role("heading", name="Read this first")).to_be_visible()
    for line in offer.deed:
        expect(page.locator("main")).to_contain_text(line)
    [digest] = offer.terms["dissent"]
    expect(page.locator(".gave").filter(has_text=WORDS)).to_contain_text(digest)
    no_barriers(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="the offer's bytes").click()
    signature = lab.key.sign("sayso-acceptance+jws", download.value.path().read_bytes())
    page.get_by_label("The signature").fill("not a signature")
    tap(page, "Hand it in")
    expect(page.locator("main")).to_contain_text("signature")
    page.go_back()
    page.get_by_label("The signature").fill(signature)
    tap(page, "Hand it in")
    expect(page.get_by_role("heading", name="What you owe")).to_be_visible()
    lab.sdk.cut(page.url.rsplit("/", 1)[1], poll=0.05)
    page.reload()
    expect(page.locator("main")).to_contain_text("published")
    service.claim(given).withdraw()
    agreement = page.url.rsplit("/", 1)[1]
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    page.reload()
    for region, owed, day in (("Recalls", "notified", recall.delete_by), ("What you owe", "say that you read it", recall.due)):
        row = page.get_by_role("region", name=region).get_by_role("row").filter(has_text=recall.id).filter(has_text=owed)
        expect(row).to_contain_text(f"{datetime.fromisoformat(day):%-d %B %Y}")
    no_barriers(page)
    waiting = queued(service, lab.sdk.agreement(agreement))
    page.reload()
    page.get_by_role("link", name=waiting.release).click()
    expect(page.get_by_role("heading", name="It is being cut")).to_be_visible()
    no_barriers(page)
    tap(page, "Look again")
    tap(page, "Give up this cut")
    expect(page.get_by_role("heading", name="It was given up")).to_be_visible()
    no_barriers(page)
    page.get_by_role("link", name="Back to the agreement").click()
    page.get_by_role("link", name="Back").click()
    expect(page.locator("main")).to_contain_text("No offer waits.")


def test_speak_in_the_thread_of_ones_own_request(
    service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    monkeypatch.setattr(queries, "FEWEST", 3)  # as if three people were ten
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    mine[1].put_up(thread["thread"], "For how long?")
    mine[2].comment(thread["thread"], "And who sees it?", ["privacy"])
    page = opened(PHONE)
    page.goto(lab.sdk.console())
    page.get_by_role("region", name="Requests that groups decide on").get_by_role("link").click()
    no_barriers(page)
    page.get_by_role("article", name="Statement 1").locator("summary").click()
    page.get_by_label("Your answer (at most 2000 letters)").fill("A year.")
    page.get_by_role("article", name="Statement 1").get_by_role("button", name="Send it").click()
    expect(page.get_by_role("article", name="Statement 1")).to_contain_text("A year.")
    page.get_by_label("Your words (at most 2000 letters)").fill("Our own staff.")
    page.get_by_label("our privacy").last.check()
    page.get_by_role("button", name="Send it").last.click()
    expect(page.locator("main")).to_contain_text("Our own staff.")
    no_barriers(page)
