"""An operator lets a lab in, in a real browser, on a small screen."""

from collections.abc import Callable

from playwright.sync_api import Page
from sayso.joining import application
from sayso.jws import PrivateKey

from app.kit.db import write
from app.parties import applying
from app.parties.links import OPERATOR
from tests.browser.conftest import PHONE, no_barriers
from tests.support import Service, on_one_backend


def test_a_lab_is_let_in(service: Service, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "one backend is enough for what a page looks like")
    now = service.clock.now()
    signed = application(PrivateKey.generate(), service.base, "Lab of the browser", "academic", "NL", "a@b.example", "https://register.example")
    with write(service.runtime.engine) as session:
        applying.apply(session, service.runtime, signed, now=now)
    page = opened(PHONE)
    page.goto(service.base + "/operator/open/" + service.runtime.parts["operator_links"].code(OPERATOR, now))
    no_barriers(page)
    page.get_by_role("link", name="Lab of the browser").click()
    no_barriers(page)
    page.get_by_label("How you know that it is true").fill("The register of the chamber.")
    page.get_by_role("button", name="Let it in").click()
    page.get_by_text("It is in.").wait_for()
    no_barriers(page)
