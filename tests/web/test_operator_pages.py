"""The operator's pages: opened by a link of the command line, telling what waits, and letting labs in in three steps."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sayso.joining import application
from sayso.jws import PrivateKey

from app.kit.db import write
from app.parties import applying
from app.parties.links import OPERATOR
from app.parties.models import Lab
from tests.core.test_deed import grade
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, shell, until
from tests.web.test_reading_ease import sentences

HOSTILE = "<script>alert(1)</script>\u202eLab"


@pytest.fixture
def window(service: Service) -> httpx.Client:
    found = httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base})
    found.get("/operator/open/" + service.runtime.parts["operator_links"].code(OPERATOR, service.clock.now()))
    return found


def waiting(service: Service, name: str = HOSTILE) -> str:
    signed = application(PrivateKey.generate(), service.base, name, "academic", "NL", "a@b.example", "https://register.example")
    with write(service.runtime.engine) as session:
        return applying.apply(session, service.runtime, signed, now=service.clock.now()).id


def test_a_lab_is_let_in_in_three_steps(service: Service, window: httpx.Client) -> None:
    asked = waiting(service)
    where = f"/operator/applications/{asked}"
    home = window.get("/operator")
    assert where in home.text and "<script>" not in home.text and "\u202e" not in home.text
    page = window.get(where)
    assert [f"{n}. " in page.text for n in (1, 2, 3)] == [True] * 3 and "register.example" in page.text
    assert window.post(where, data={"answer": "approve", "evidence": " "}).status_code == 422
    done = window.post(where, data={"answer": "approve", "evidence": "the chamber of commerce"})
    assert done.status_code == 200 and "It is in" in done.text and "lab_" in done.text
    assert where not in window.get("/operator").text
    assert window.post(where, data={"answer": "refuse"}).status_code == 409
    other = waiting(service, "Another")
    refused = window.post(f"/operator/applications/{other}", data={"answer": "refuse", "why": "No such lab."})
    assert "No such lab." in refused.text


def test_reviews_late_recalls_and_lapsing_facts(
    service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.runtime, "settings", service.runtime.settings.model_copy(update={"review_actions": "evaluate"}))
    _, gone = platform.give(2)
    asked = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
    assert asked.state == "in_review" and f"/operator/requests/{asked.id}" in window.get("/operator").text
    page = window.post(f"/operator/requests/{asked.id}", data={"answer": "approve"})
    assert page.status_code == 200 and asked.id not in page.text
    assert lab.sdk.asked(asked.id).state == "offered"
    again = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
    assert window.post(f"/operator/requests/{again.id}", data={"answer": "refuse"}).status_code == 200
    monkeypatch.undo()
    agreement = lab.agree(platform)
    lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.02))
    service.claim(gone).withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0].id
    assert recall not in window.get("/operator").text
    service.clock.offset = timedelta(days=8)
    later = httpx.Client(base_url=service.base, follow_redirects=True)
    later.get("/operator/open/" + service.runtime.parts["operator_links"].code(OPERATOR, service.clock.now()))
    assert recall in later.get("/operator").text
    with write(service.runtime.engine) as session:
        session.get_one(Lab, lab.id).verified_until = service.clock.now() + timedelta(days=30)
    assert lab.name in later.get("/operator").text and f"labs verify {lab.id}" in later.get("/operator").text


def test_nobody_else_gets_in(service: Service, lab: LabParty, window: httpx.Client) -> None:
    asked, stranger = waiting(service), httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base})
    codes = service.runtime.parts
    for cookie in ("", "x", codes["console_sessions"].code(lab.id, service.clock.now()), codes["operator_links"].code(OPERATOR, service.clock.now())):
        stranger.cookies.set("sayso_operator", cookie, path="/operator")
        for path in ("/operator", f"/operator/applications/{asked}"):
            assert stranger.get(path).status_code in (401, 404)
        assert stranger.post(f"/operator/applications/{asked}", data={"answer": "approve", "evidence": "x"}).status_code in (401, 404)
        assert stranger.post("/operator/requests/req_x", data={"answer": "approve"}).status_code in (401, 404)
    service.clock.offset = timedelta(hours=9)
    assert window.get("/operator").status_code == 404
    service.clock.offset = timedelta()
    elsewhere = window.post(f"/operator/applications/{asked}", data={"answer": "refuse"}, headers={"Origin": "https://elsewhere.example"})
    assert elsewhere.status_code == 403
    spent = service.runtime.parts["operator_links"].code(OPERATOR, service.clock.now() - timedelta(minutes=16))
    assert stranger.get(f"/operator/open/{spent}").status_code == 404


def test_the_pages_can_be_read_with_seven_years_of_school(service: Service, window: httpx.Client) -> None:
    on_one_backend(service, "one backend is enough for a page's words")
    asked = waiting(service, "A Lab")
    assert all(grade(sentences(window.get(path).text)) <= 7 for path in ("/operator", f"/operator/applications/{asked}"))


def test_the_command_prints_the_link(tmp_path: Path) -> None:
    printed = shell(tmp_path)(["console"])
    assert printed.stdout.startswith("http://127.0.0.1:8000/operator/open/"), printed.output
