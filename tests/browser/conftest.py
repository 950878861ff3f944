"""A real Chromium. A page that breaks its own content security policy, asks anything of another host, or fails with an error in
the console fails the test."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For one module and no longer: while it is there, the main thread is inside an event loop, where other tests could start none."""
    path = next((found for found in map(shutil.which, NAMES) if found), None)
    if path is None:
        if os.environ.get("SAYSO_TEST_NEED_CHROMIUM"):
            pytest.fail("there is no Chromium, and SAYSO_TEST_NEED_CHROMIUM wants one")
        pytest.skip("there is no Chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        # Root has no sandbox; the pages are ours, on loopback.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Open a window of one's own: `opened(size, scripts=False)`; `opened(beside=page)` is a further tab of that window.

    The browser is started by the first window: a test that is looked at on the other database needs none.
    """
    wrong: list[str] = []
    hosts: set[str] = set()

    def watch(page: Page) -> Page:
        page.on("console", lambda m: wrong.append(m.text) if m.type == "error" and "status of 4" not in m.text else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        page.set_default_timeout(15_000)
        return page

    with ExitStack() as windows:

        def make(size: Any = None, *, scripts: bool = True, beside: Page | None = None, **more: Any) -> Page:
            if beside is not None:
                return watch(beside.context.new_page())
            chromium: Browser = request.getfixturevalue("chromium")
            context = chromium.new_context(viewport=size or PHONE, java_script_enabled=scripts, locale="en-GB", **more)
            windows.callback(context.close)
            return watch(context.new_page())

        yield make
    assert not wrong, wrong
    assert hosts <= {"127.0.0.1", "localhost"}, hosts


def no_barriers(page: Page) -> None:
    """No violation of WCAG 2.2 A and AA that axe finds, and nothing that makes the page scroll sideways."""
    # Only of violations are the places wanted: to find words for every place that is as it should be takes longer than the look.
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}).response["violations"]
    assert not found, [(v["id"], [n["html"] for n in v["nodes"]]) for v in found]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"
