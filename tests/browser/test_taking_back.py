"""The journey that matters most: one vote taken back from one lab. On a phone and a desktop, with and without scripts, by keys
alone, over a slow line, in two tabs, and after going back."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, no_barriers
from tests.kit.refusals import state_of
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_receipt_page import taken

TAPS = 2
"""From the open receipt to the deed done: the lab's button, and the yes. The link's own button comes before, once."""


def named(page: Page, name: str) -> Locator:
    """The link or button of that name in the page's main part."""
    main = page.locator("main")
    return main.get_by_role("link", name=name).or_(main.get_by_role("button", name=name))


def tap(page: Page, name: str) -> None:
    """Press it and wait until the page that it leads to is there."""
    with page.expect_navigation():
        named(page, name).click()


@pytest.fixture
def released(platform: PlatformParty, lab: LabParty) -> Any:
    """A vote that one lab holds."""
    [given] = platform.give(1)
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    return given


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_one_vote_from_one_lab_in_two_taps(
    service: Service, released: Any, lab: LabParty, opened: Callable[..., Page], size: Any, scripts: bool
) -> None:
    if size is DESKTOP or not scripts:
        on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    page = opened(size, scripts=scripts)
    page.goto(released.claim_url)
    tap(page, "Get my receipt")
    expect(page).to_have_url(service.base + "/r?new=1")
    expect(page.get_by_role("heading", name=lab.name)).to_be_visible()
    tap(page, f"Take it back from this lab {lab.name}")
    tap(page, "Yes, take it back from this lab")
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert taken(service, released.id) == 1 and state_of(service, released.id) == "live"
    with page.expect_download() as download:
        named(page, "Save the receipt of this").click()
    assert json.loads(download.value.path().read_text("utf-8"))["type"] == "sayso-receipt"
    tap(page, "Back to my page")
    expect(page.locator("main")).to_contain_text(f"Not by {lab.name}, since")
    assert page.get_by_role("link", name="Take it back from this lab").count() == 0


def test_by_keys_alone(service: Service, released: Any, lab: LabParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    page = opened(PHONE)

    def go_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if name in page.evaluate("document.activeElement.innerText || ''"):
                shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert shown == "solid", "where the keys are is not to be seen"
                return
        raise AssertionError(f"no key leads to {name}")

    page.goto(released.claim_url)
    for name in ("Get my receipt", "Take it back from this lab", "Yes, take it back from this lab"):
        go_to(name)
        with page.expect_navigation():
            page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert taken(service, released.id) == 1


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_going_back_and_pressing_again_does_nothing_twice(
    service: Service, released: Any, lab: LabParty, opened: Callable[..., Page], scripts: bool
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    page = opened(scripts=scripts)
    page.goto(released.claim_url)
    tap(page, "Get my receipt")
    tap(page, "Take it back from this lab")
    tap(page, "Yes, take it back from this lab")
    page.go_back()
    expect(page.locator("main")).to_contain_text("You took it back from this lab before.")
    assert page.get_by_role("button").count() == 0
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("What I gave")
    assert page.get_by_role("link", name="Take it back from this lab").count() == 0
    tap(page, "Take it back from all")
    tap(page, "Yes, take it back")
    page.go_back()
    expect(page.locator("main")).to_contain_text("It is taken back already.")
    assert taken(service, released.id) == 1 and state_of(service, released.id) == "withdrawn"


def test_two_tabs_at_once(service: Service, released: Any, lab: LabParty, opened: Callable[..., Page]) -> None:
    one = opened()
    one.goto(released.claim_url)
    tap(one, "Get my receipt")
    two = opened(beside=one)
    two.goto(service.base + "/r")
    for page in (one, two):
        tap(page, "Take it back from this lab")
    for page in (one, two):  # both pressed before either answer is looked at
        page.get_by_role("button", name="Yes, take it back from this lab").click(no_wait_after=True)
    expect(one.get_by_role("heading", level=1)).to_have_text("Done")
    expect(two.get_by_role("heading", level=1)).to_have_text("It was done before")
    assert taken(service, released.id) == 1
    # One tab erases while the other still shows the page as it was.
    two.goto(service.base + f"/r/of/{released.id}/withdraw")
    one.goto(service.base + f"/r/of/{released.id}/erase")
    tap(one, "Yes, erase it")
    expect(one.get_by_role("heading", level=1)).to_contain_text("erased")
    tap(two, "Yes, take it back")
    expect(two.get_by_role("heading", level=1)).to_have_text("Open your page")


def test_over_a_slow_line(service: Service, released: Any, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    page = opened()
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 20_000}
    line.send("Network.emulateNetworkConditions", slow)
    weight = 0

    def weigh(response: Any) -> None:
        nonlocal weight
        weight += len(response.body()) if response.status == 200 else 0

    page.on("response", weigh)
    page.goto(released.claim_url)
    tap(page, "Get my receipt")
    tap(page, "Take it back from this lab")
    tap(page, "Yes, take it back from this lab")
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert 0 < weight < 60_000, f"the whole journey weighs {weight} bytes"


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_some_of_many(service: Service, platform: PlatformParty, opened: Callable[..., Page], scripts: bool) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    given = platform.give(3, contributor="some")
    page = opened(PHONE, scripts=scripts)
    page.goto(service.post("/v1/portal-sessions", {"contributor": "some"}, service.token(platform)).json()["url"])
    tap(page, "Get my receipt")
    for one in given[:2]:
        page.locator(f"input[name={one.id}]").check()
    tap(page, "See what would be taken back")
    expect(page.get_by_role("heading", level=1)).to_have_text("Take 2 things back?")
    if scripts:
        no_barriers(page)
    tap(page, "Yes, take them back")
    expect(page.get_by_role("heading", level=1)).to_have_text("Done")
    tap(page, "Back to my page")
    page.get_by_label("that is").select_option("withdrawn")
    tap(page, "Show these")
    assert page.locator("li.item").count() == 2
    assert [state_of(service, one.id) for one in given] == ["withdrawn", "withdrawn", "live"]


def test_hostile_words_stay_words(service: Service, platform: PlatformParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    hostile = "<script>document.title='x'</script><img src=x onerror=\"document.title='x'\"><a href='javascript:1'>a</a> \u202egnp.exe"
    [given] = platform.give(1, parts={"text": [hostile, "W" * 200_000], "judgment": {hostile: hostile}})
    page = opened(PHONE)
    page.goto(given.claim_url)
    tap(page, "Get my receipt")
    assert "onerror" not in page.content()
    tap(page, "Show what I gave")
    expect(page.locator(".gave").first).to_contain_text("<script>document.title='x'</script>")
    expect(page.locator(".gave").first).to_contain_text("[U+202E]gnp.exe")
    assert page.title() == "What I gave · Sayso" and page.locator("main script, main img, main a[href^=javascript]").count() == 0
    no_barriers(page)
