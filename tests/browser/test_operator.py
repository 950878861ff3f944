"""An operator sees what waits and what is late, and lets a lab in, in a real browser, on a small screen."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from sayso.joining import application
from sayso.jws import PrivateKey

from app.kit.db import write
from app.parties import applying
from app.parties.links import OPERATOR
from tests.browser.conftest import PHONE, no_barriers
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until


def test_what_waits_is_seen_and_a_lab_is_let_in(
    service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service, "one backend is enough for what a page looks like")
    [gone, _] = platform.give(2)
    agreement = lab.agree(platform)
    lab.sdk.cut(agreement, poll=0.02)
    service.claim(gone).withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    service.clock.offset = timedelta(days=8)  # a day after it was to be acknowledged
    monkeypatch.setattr(service.runtime, "settings", service.runtime.settings.model_copy(update={"review_actions": "evaluate"}))
    other = service.lab()
    other.sdk._transport.now = lambda: service.clock.now().timestamp()
    assert other.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "in_review"
    now = service.clock.now()
    signed = application(PrivateKey.generate(), service.base, "Lab of the browser", "academic", "NL", "a@b.example", "https://register.example")
    with write(service.runtime.engine) as session:
        applying.apply(session, service.runtime, signed, now=now)
    page = opened(PHONE)
    page.goto(service.base + "/operator/open/" + service.runtime.parts["operator_links"].code(OPERATOR, now))
    no_barriers(page)
    expect(page.get_by_role("region", name="The service")).to_contain_text("All is well.")
    review = page.get_by_role("region", name="Requests to look at").get_by_role("listitem").filter(has_text=other.name)
    expect(review).to_contain_text("asks for this use: to test")
    late = page.get_by_role("region", name="Recalls that are late").get_by_role("listitem").filter(has_text=recall.id)
    expect(late).to_contain_text(f"{lab.name}: {recall.id}")
    expect(late).to_contain_text(f"Not read yet. To be deleted by {datetime.fromisoformat(recall.delete_by):%-d %B %Y}.")
    page.get_by_role("button", name=f"Let the request of {other.name} go on").click()
    expect(page.get_by_role("button", name=other.name)).to_have_count(0)
    page.get_by_role("link", name="Lab of the browser").click()
    no_barriers(page)
    page.get_by_label("How you know that it is true").fill("The register of the chamber.")
    page.get_by_role("button", name="Let it in").click()
    page.get_by_text("It is in.").wait_for()
    no_barriers(page)
