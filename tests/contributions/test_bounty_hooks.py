"""Webhooks of bug bounties: proved, recorded once, embargoed until disclosed."""

import json
from base64 import b64encode
from hashlib import sha256
from hmac import digest
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from app.consents.models import Consent
from app.contributions import signatures
from app.contributions.formats import hackerone
from app.contributions.formats.draft import Refusal
from app.kit.db import read
from tests.contributions.test_fastchat_hook import NOTICE, contributions, reports
from tests.contributions.test_importing import job, perform
from tests.contributions.test_webhooks import Tool
from tests.kit.refusals import refused
from tests.support import PlatformParty, Service, on_one_backend, shell

SECRET = "wsc_of_sixteen_or_more"
REPORT: dict[str, Any] = json.loads((Path(__file__).parent / "samples" / "hackerone.json").read_text())["data"][0]
DISCLOSURES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "samples" / "odin.json").read_text())
SUBMISSION: dict[str, Any] = json.loads((Path(__file__).parent / "samples" / "bugcrowd.json").read_text())["data"][0]


class HackerOne(Tool):
    def __init__(self, service: Service, platform: PlatformParty, consent: Any = None) -> None:
        super().__init__(service, platform, "hackerone", SECRET, consent)

    def tell(self, activity: dict[str, Any] | None, **report: Any) -> httpx.Response:
        return self.sign({"data": {"activity": activity, "report": {**REPORT, "attributes": {**REPORT["attributes"], **report}}}})

    def sign(self, event: Any) -> httpx.Response:
        body = json.dumps(event).encode()
        return self.send(body, x_h1_signature="sha256=" + digest(SECRET.encode(), body, sha256).hex(), x_h1_event="report_created")


class Bugcrowd(Tool):
    def __init__(self, service: Service, platform: PlatformParty, consent: Any = None) -> None:
        super().__init__(service, platform, "bugcrowd", SECRET, consent)

    def tell(self, body: Any, *, at: float = 0.0, first: bool = True) -> httpx.Response:
        data, time = json.dumps(body).encode(), str(int(self.service.clock.now().timestamp() + at)).encode()
        mac = digest(SECRET.encode(), time + b"." + data if first else data + b"." + time, sha256).hex()
        return self.send(data, x_bugcrowd_digest=f"timestamp={time.decode()};sha256={mac}")


class Odin(Tool):
    def __init__(self, service: Service, platform: PlatformParty, consent: Any = None) -> None:
        self.key_bytes = b"k" * 32
        super().__init__(service, platform, "odin", "whsec_" + b64encode(self.key_bytes).decode(), consent)

    def tell(self, body: Any, *, at: float = 0.0, altered: bytes = b"") -> httpx.Response:
        data, time = json.dumps(body).encode(), str(int(self.service.clock.now().timestamp() + at))
        mac = b64encode(digest(self.key_bytes, f"msg_1.{time}.".encode() + data, sha256)).decode()
        return self.send(data + altered, webhook_id="msg_1", webhook_timestamp=time, webhook_signature=f"v1,{mac}")


def comment(number: str = "7", internal: bool = False, kind: str = "activity-comment") -> dict[str, Any]:
    actor = {"data": {"type": "user", "id": "80", "attributes": {"username": "triage"}}}
    attributes = {"message": "We look into it.", "created_at": "2024-01-02T00:00:00Z", "internal": internal}
    return {"type": kind, "id": number, "attributes": attributes, "relationships": {"actor": actor}}


def bases(service: Service, platform: PlatformParty) -> list[str]:
    with read(service.runtime.engine) as session:
        rows = [session.exec(select(Consent.basis).where(Consent.contribution_id == row.id)).first() for row in contributions(service, platform)]
    return [row or "none" for row in rows]


def test_a_report_is_recorded_once_with_the_comments_that_are_not_internal(service: Service, platform: PlatformParty) -> None:
    hook = HackerOne(service, platform)
    assert hook.tell({"type": "activity-bug-filed", "id": "1"}).json() == {"recorded": 1, "revoked": 0}
    assert hook.tell({"type": "activity-bug-triaged", "id": "2"}, state="triaged").json() == {"recorded": 0, "revoked": 0}, "not the reporter's act"
    assert hook.tell(comment(), state="triaged").json()["recorded"] == 1
    assert hook.tell(comment("8", internal=True)).json()["recorded"] == 1, "the report as it came first, and no internal comment"
    rows = contributions(service, platform)
    assert [row.kind for row in rows] == ["vulnerability_report", "statement"] and rows[1].parent_id == rows[0].id
    assert not reports(service, platform)
    assert hook.sign({"data": {"activity": {"type": "activity-program-hacker-joined"}}}).json()["recorded"] == 0


def test_an_export_of_the_programme_finds_what_the_webhook_recorded(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    HackerOne(service, platform).tell(comment())
    file = tmp_path / "export.json"
    file.write_text(json.dumps({"data": [REPORT]}))
    report = perform(service, platform, job(hackerone.ADAPTER.name, file))
    assert (report.recorded, report.known, report.refusals) == (0, 2, 0)


def test_what_is_under_embargo_takes_no_terms_from_the_key(service: Service, platform: PlatformParty) -> None:
    hook = HackerOne(service, platform, NOTICE)
    hook.tell({"type": "activity-bug-filed"}, disclosed_at="2099-01-01T00:00:00Z")
    assert bases(service, platform) == ["none"], "a day that is to come is no day yet"
    other = service.platform()
    HackerOne(service, other, NOTICE).tell(comment(), disclosed_at="2024-05-01T00:00:00Z")
    assert bases(service, other) == ["notice", "notice"]
    third = service.platform()
    HackerOne(service, third, NOTICE).tell(comment(), disclosed_at=None)
    assert bases(service, third) == ["none", "none"]


@pytest.mark.parametrize("first", [True, False])
def test_a_bugcrowd_submission_in_data_or_among_what_is_included(service: Service, platform: PlatformParty, first: bool) -> None:
    hook = Bugcrowd(service, platform)
    event = {"id": "e", "type": "event", "attributes": {"event_type": "submission.created"}}
    assert hook.tell({"data": event, "included": [{"type": "program", "id": "p"}, SUBMISSION]}, first=first).json()["recorded"] == 1
    assert hook.tell({"data": SUBMISSION}, first=first).json()["recorded"] == 1
    changed = {**SUBMISSION, "attributes": {**SUBMISSION["attributes"], "state": "resolved"}}
    assert hook.tell({"data": changed}, first=first).json() == {"recorded": 0, "revoked": 0}
    assert hook.tell({"data": event}, first=first).json()["recorded"] == 0
    assert [row.kind for row in contributions(service, platform)] == ["vulnerability_report"] and not reports(service, platform)


def test_what_is_forged_altered_or_old_is_refused(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    one, two = HackerOne(service, platform), Bugcrowd(service, platform)
    body = json.dumps({"data": {"report": REPORT}}).encode()
    good = digest(SECRET.encode(), body, sha256).hex()
    for given in ("", "sha256=", good, "sha1=" + good, "sha256=" + good[:-1] + ("0" if good[-1] != "0" else "1"), "sha256=é"):
        refused(one.send(body, **({"x_h1_signature": given} if given.isascii() else {})), 401, "webhook_unproved")
    refused(one.send(body + b" ", x_h1_signature="sha256=" + good), 401, "webhook_unproved")
    refused(two.tell({"data": SUBMISSION}, at=-3600), 401, "webhook_unproved")
    refused(two.tell({"data": SUBMISSION}, at=3600), 401, "webhook_unproved")
    now = service.clock.now()
    at = f"timestamp={int(now.timestamp())}"
    for given in ("", "timestamp=1", at, f"{at};sha256={good}", "timestamp=9e9;sha256=a", good):
        assert not signatures.dated_digest(SECRET, given, body, now)
    assert not contributions(service, platform)


def test_0din_disclosures_one_by_one_or_in_a_list(service: Service, platform: PlatformParty) -> None:
    hook = Odin(service, platform)
    one, two = DISCLOSURES
    assert hook.tell(one).json() == {"recorded": 1, "revoked": 0}
    assert hook.tell({**one, "severity": "low"}).json()["recorded"] == 0, "what changes later is nobody's act"
    assert hook.tell({"disclosures": [one, two]}).json()["recorded"] == 2, "what came first, and the new one"
    assert hook.tell({"data": [two, {**one, "title": "Written anew"}]}).json()["recorded"] == 1
    assert [row.kind for row in contributions(service, platform)] == ["vulnerability_report"] * 2 and not reports(service, platform)
    for answer in (hook.tell(one, at=-3600), hook.tell(one, at=3600), hook.tell(one, altered=b" ")):
        refused(answer, 401, "webhook_unproved")
    for other in ({"title": "x"}, [one]):
        refused(hook.tell(other), 422, "format_mismatch")


def test_the_odin_secret_that_is_printed_is_one_to_sign_with(service: Service, tmp_path: Path) -> None:
    on_one_backend(service)
    run = shell(tmp_path / "data")
    platform = json.loads(run(["platforms", "add", "Bounty", "--json"]).stdout)["client_id"]
    made = json.loads(run(["platforms", "ingest-key", "add", platform, "--format", "odin", "--json"]).stdout)
    assert "/v1/ingest/odin/" in made["url"] and len(signatures.secret_bytes(made["secret"])) == 32


def test_what_is_not_of_the_form(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    hook = Bugcrowd(service, platform)
    refused(hook.tell({"submission": SUBMISSION}), 422, "format_mismatch")
    other = HackerOne(service, platform)
    for data in (None, [], {"report": {"type": "report", "attributes": {}}}, {"report": {**REPORT, '"': 1}}, {"report": 7}):
        refused(other.sign({"data": data}), 422, "format_mismatch")
    alone = {"type": "activity-comment", "id": "7", "attributes": {"message": "Hi."}}
    [wrong] = hackerone.ADAPTER.read(BytesIO(json.dumps(alone).encode()), "x")
    assert isinstance(wrong, Refusal) and wrong.code == "format_mismatch"
    assert not contributions(service, platform)


def test_the_command_line_makes_these_keys(tmp_path: Path) -> None:
    run = shell(tmp_path)
    platform = json.loads(run(["platforms", "add", "Bounties", "--json"]).stdout)["client_id"]

    def add(format_: str, *more: str) -> Any:
        return run(["platforms", "ingest-key", "add", platform, "--format", format_, "--json", *more])

    assert json.loads(add("hackerone").stdout)["secret"].startswith("wsc_")
    key = json.loads(add("bugcrowd").stdout)["key"]
    assert run(["platforms", "ingest-key", "secret", key], input=SECRET + "\n").exit_code == 0
    wrong = run(["platforms", "ingest-key", "secret", key], input="short\n")
    assert wrong.exit_code == 2 and wrong.stderr.startswith("key_invalid: ")
    assert "/t/ing_" in json.loads(add("testimony").stdout)["url"]
    assert add("testimony", "--policy", "evaluation-only").stderr.startswith("consent_incomplete: ")
