"""Receipts in one list that only the browser has: put in, kept, opened, saved, read again; and nothing in it can act."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.support import PlatformParty, Service, on_one_backend

HOSTILE = "<img src=x onerror=\"document.title='x'\">\u202ename"


def test_receipts_are_gathered_in_the_browser_alone(
    service: Service, platform: PlatformParty, opened: Callable[..., Page], tmp_path: Path
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    one, two, three = (service.claim(given).receipt for given in platform.give(3))
    page = opened(PHONE)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method + " " + request.url + (request.post_data or "")))
    page.goto(service.base + "/receipts")
    no_barriers(page)
    page.get_by_label("Receipts or their links").fill(f"{service.base}/r/{one} and {two}, {one} https://other.example/r/{three} rcp_short")
    page.get_by_label("What they are for").fill(HOSTILE)
    page.get_by_role("button", name="Add to my list").click()
    expect(page.locator("#told")).to_have_text("2 receipts are new in your list. One of another service was left out: it opens nothing here.")
    expect(page.locator("#list li")).to_have_count(2)
    expect(page.locator("#list bdi").first).to_have_text(f"{HOSTILE.replace(chr(0x202E), ' ')}, ends in {one[-4:]}")
    assert page.title() == "My receipts in one list · Sayso" and page.locator("main img").count() == 0
    no_barriers(page)
    # A receipt's own file is read too; what is there already is not taken twice.
    kept = httpx.get(f"{service.base}/r/keep", headers={"Authorization": f"Bearer {three}"}).content
    for told in ("One receipt is new in your list.", "They are in your list already."):
        page.set_input_files("#file", {"name": "my-sayso-receipt.txt", "mimeType": "text/plain", "buffer": kept})
        expect(page.locator("#told")).to_have_text(told)
    page.set_input_files("#file", {"name": "x.txt", "mimeType": "text/plain", "buffer": b"nothing"})
    expect(page.locator("#told")).to_have_text("There is no receipt in that.")
    # Saved, it is a file that fills another browser's list; so far nothing of it was sent anywhere.
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the list as a file").click()
    saved = download.value.path().read_bytes()
    assert [item["secret"] for item in json.loads(saved)["receipts"]] == [one, two, three]
    assert not any(secret in line for line in sent for secret in (one, two, three))
    other = opened(PHONE)
    other.goto(service.base + "/receipts")
    other.set_input_files("#file", {"name": "my-sayso-receipts.json", "mimeType": "application/json", "buffer": saved})
    expect(other.locator("#list li")).to_have_count(3)
    # Opened as a form, it stands in no address; the list is still there afterwards.
    tap(other, f"Open: A receipt, ends in {three[-4:]}")
    expect(other).to_have_url(service.base + "/r")
    other.go_back()
    other.get_by_role("button", name=f"Take off the list: A receipt, ends in {three[-4:]}").click()
    expect(other.locator("#list li")).to_have_count(2)
    other.get_by_role("button", name="Empty the list").click()
    expect(other.locator("#none")).to_be_visible()
    without = opened(PHONE, scripts=False)
    without.goto(service.base + "/receipts")
    expect(without.locator("main")).to_contain_text("You can do the same by hand")
    expect(without.locator("#with")).to_be_hidden()
    assert not any(secret in line for line in sent for secret in (one, two, three))
