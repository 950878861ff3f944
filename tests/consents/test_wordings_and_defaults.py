"""Wordings kept as they are shown, and defaults: what comes without a choice, never against what somebody chose."""

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.consents.models import Consent, PlatformDefault
from app.contributions.importing import BY_DEFAULT, NO_EVIDENCE, Report
from app.kit.clock import rfc3339
from app.kit.db import read, write
from tests.consents.widget import Widget
from tests.contributions.test_fastchat_hook import NOTICE, hook, post, sent, vote
from tests.contributions.test_importing import job, perform
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted, call, get, record, refused
from tests.support import (
    EVALUATION,
    OPEN_TRAINING,
    SHOWN,
    LabParty,
    PlatformParty,
    Service,
    consent,
    on_one_backend,
    until,
)

TEXT = "Labs may test models with what you write here.\n"


def register(service: Service, platform: PlatformParty, body: bytes, media_type: str = "text/plain", language: str | None = "en") -> httpx.Response:
    headers = {"Authorization": f"Bearer {service.token(platform)}", "Content-Type": media_type}
    if language is not None:
        headers["Content-Language"] = language
    return service.http.post(f"{service.base}/v1/wordings", content=body, headers=headers)


def with_default(service: Service, platform: PlatformParty, template: str = "evaluation-only", shown_at: str = SHOWN) -> str:
    wording = platform.sdk.register_wording(TEXT, "en")
    platform.sdk.set_default(template=template, wording=wording, shown_at=shown_at)
    return wording


def bare(platform: PlatformParty, **fields: Any) -> Any:
    [given] = platform.give(1, consent=None, **fields)
    return given


def bases(service: Service, *records: Any) -> list[tuple[str, str] | None]:
    """(basis, wording) of the consent that is in force on each record itself."""
    with read(service.runtime.engine) as session:
        columns = (Consent.contribution_id, Consent.basis, Consent.wording_sha256)
        query = sa.select(*columns).where(Consent.contribution_id.in_([r.id for r in records]), Consent.state == "current")  # type: ignore[call-overload,union-attr]
        found = {row[0]: (row[1], row[2]) for row in session.execute(query)}
    return [found.get(r.id) for r in records]


# -- wordings ----------------------------------------------------------------------------------------------------------
def test_a_wording_is_kept_byte_for_byte_and_the_same_bytes_are_the_same(service: Service, platform: PlatformParty) -> None:
    body = f"<p>Wir prüfen damit Modelle. {platform.id}</p>\r\n".encode()
    first = accepted(register(service, platform, body, "text/html; charset=utf-8", "de"), 201)
    assert first["sha256"] == sha256(body).hexdigest() and first["bytes"] == len(body)
    assert accepted(register(service, service.platform(), body, "text/plain", "en"), 201) == first, "it is there already, and stays"
    answer = service.http.get(first["url"])
    assert answer.content == body and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-language"] == "de" and "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'"), "another's markup runs nothing here"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_no_wording_is_refused(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    refused(register(service, platform, b"\xff\xfe"), 422, "wording_invalid")
    refused(register(service, platform, b" \n"), 422, "wording_invalid")
    refused(register(service, platform, b"x" * 200_001), 413, "wording_too_large")
    refused(register(service, platform, b"x", "application/pdf"), 415, "media_type")
    refused(register(service, platform, b"x", "text/plain; charset=latin-1"), 415, "media_type")
    refused(register(service, platform, b"x", language=None), 422, "parameter_invalid")
    refused(register(service, platform, b"x", language="english please"), 422, "parameter_invalid")
    refused(get(service, "/v1/wordings/" + "0" * 64), 404, "wording_unknown")


def test_the_receipt_and_the_page_lead_to_the_words_that_were_shown(service: Service, platform: PlatformParty) -> None:
    digest = platform.sdk.register_wording(TEXT, "en")
    [mine] = platform.give(1, consent={**consent().to_json(), "wording": digest})
    [other] = platform.give(1)
    address = f"{service.base}/v1/wordings/{digest}"
    browser = httpx.Client(base_url=service.base, follow_redirects=True)
    assert f'href="/v1/wordings/{digest}"' in browser.get(mine.claim_url).text
    assert "/v1/wordings/" not in browser.get(other.claim_url).text, "of an unregistered one there is the digest alone, as ever"
    person = service.claim(mine)
    file = until(lambda: (f := json.loads(person.receipt_file(mine.id)))["tlog_proof"] and f)
    assert file["wording"] == {"sha256": digest, "language": "en", "url": address}
    notice = file["consent_receipt"]["dpv:hasRecordOfActivity"][0]["dpv:hasNotice"]
    assert notice["@id"] == address and notice["sayso:sha256"] == digest
    browser.cookies.set("sayso_receipt", person._auth._secret)
    assert f'href="/v1/wordings/{digest}"' in browser.get("/r").text
    unregistered = json.loads(service.claim(other).receipt_file(other.id))
    assert "url" not in unregistered["wording"]


# -- defaults ----------------------------------------------------------------------------------------------------------
def test_a_default_is_a_notice_over_what_comes_without_a_choice(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    before = bare(platform)
    wording = with_default(service, platform, "open-model-training-with-credit")
    records = [bare(platform), bare(platform, people=False), *platform.give(1, consent={"basis": "none"}), *platform.give(1)]
    assert bases(service, before, *records) == [None, ("notice", wording), ("notice", wording), None, ("explicit", "ab" * 32)]
    training = lab.sdk.request(OPEN_TRAINING, selection={"platforms": [platform.id]})
    assert training.state == "refused", "whatever its terms permit: a notice permits evaluation at most"
    platform.sdk.end_default()
    assert bases(service, bare(platform)) == [None]
    assert bases(service, records[0]) == [("notice", wording)], "what was recorded before does not change"


def test_nobody_is_told_whether_a_default_applied(service: Service, platform: PlatformParty) -> None:
    given = record(consent=...)
    token = service.token(platform)
    without = accepted(service.post("/v1/contributions", record(consent=...), token), 201)
    with_default(service, platform)
    first = accepted(service.post("/v1/contributions", given, token), 201)
    again = accepted(service.post("/v1/contributions", given, token), 201)
    assert first == again and first["warnings"] == without["warnings"] and first["warnings"][0]["code"] == "consent_missing"


@pytest.mark.parametrize("act", ["claims and scopes", "narrows unclaimed", "withdraws", "stands", "excludes a lab", "chose in the widget"])
def test_a_default_is_not_for_people_who_chose(service: Service, platform: PlatformParty, lab: LabParty, act: str) -> None:
    with_default(service, platform)
    fields: dict[str, Any] = {}
    if act == "chose in the widget":
        fields = {"consent": {"intent": Widget(service, platform).choose()["intent"]}}
    elif act == "narrows unclaimed":
        fields = {"consent": consent("leaderboard-and-research")}
    [given] = platform.give(1, contributor="chooser", **fields)
    assert bases(service, bare(platform, contributor="silent"))[0] is not None
    if act == "claims and scopes":
        service.claim(given).scope(given.id, template="nothing-new")
    elif act == "narrows unclaimed":
        assert service.http.post(given.claim_url + "/narrow", data={"stop-0": "yes"}).status_code == 303
    elif act == "withdraws":
        service.claim(given).withdraw(ids=[given.id])
    elif act == "stands":
        receipt_for_all(service, platform, "chooser").scope(None, template="nothing-new")
    elif act == "excludes a lab":
        service.claim(given).withdraw(scope="lab", lab=lab.id)
    assert bases(service, bare(platform, contributor="chooser")) == [None]


def test_a_notice_does_not_reach_back_before_it_was_shown(service: Service, platform: PlatformParty) -> None:
    with_default(service, platform, shown_at="2026-11-24T00:00:00Z")
    early, late = bare(platform, created_at="2026-11-23T23:59:59Z"), bare(platform, created_at="2026-11-24T00:00:00Z")
    assert [found is not None for found in bases(service, early, late)] == [False, True]
    with_default(service, platform, shown_at=rfc3339(service.clock.now() + timedelta(days=1)))
    assert bases(service, bare(platform)) == [None]


def test_only_words_that_anybody_can_read_are_a_notice(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    asked = {"default": {"template": "evaluation-only", "wording": sha256(platform.id.encode()).hexdigest(), "shown_at": SHOWN}}

    def put(body: Any) -> httpx.Response:
        return call(service, "PUT", "/v1/platforms/me/default", token, json.dumps(body).encode())

    refused(put(asked), 404, "wording_unknown")
    refused(put({"default": {**asked["default"], "basis": "explicit"}}), 422, "body_invalid")
    refused(put({"default": {"template": "evaluation-only"}}), 422, "body_invalid")
    wording = platform.sdk.register_wording(TEXT, "en")
    told_ = accepted(put({"default": {**asked["default"], "wording": wording}}))
    assert told_["basis"] == "notice" and told_["wording"] == wording
    refused(put(asked), 404, "wording_unknown")
    with read(service.runtime.engine) as session:
        assert session.get_one(PlatformDefault, platform.id).wording_sha256 == wording, "a refusal leaves what was there"


def test_a_default_and_the_floor_and_the_standing_terms_all_hold(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    with_default(service, platform)
    bare(platform, contributor="one")
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"
    receipt_for_all(service, platform, "one").scope(None, template="nothing-new")
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "refused", "what they chose later holds too"
    bare(platform, contributor="two")
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"
    platform.sdk.set_floor(template="nothing-new")
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "refused"


def decided(report: Report) -> dict[str, int]:
    """What an import decided by default, as it tells people."""
    return {note: n for note, n in report.notes.items() if n}


def test_an_import_reports_the_defaults_it_applied(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    with_default(service, platform, shown_at="2024-01-01T00:00:00Z")
    lines = [
        {"message_id": "m1", "text": "new", "created_date": "2024-06-01T00:00:00Z"},
        {"message_id": "m2", "text": "old", "created_date": "2023-06-01T00:00:00Z"}, {"message_id": "m3", "text": "undated"},
    ]  # fmt: skip
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert decided(perform(service, platform, job("openassistant", file))) == {
        BY_DEFAULT: 1, NO_EVIDENCE: 2, "no author's id: a contributor of its own": 3,
    }  # fmt: skip
    chosen = tmp_path / "t.jsonl"
    chosen.write_text(json.dumps({"id": "t1", "text": "mine", "created_at": "2024-06-01", "pseudonym": "p"}) + "\n")
    assert BY_DEFAULT not in decided(perform(service, platform, job("testimony", chosen))), "there the person chooses"


def test_hooks_tell_how_much_came_under_the_default(service: Service, platform: PlatformParty) -> None:
    url, own, token = hook(service, platform), hook(service, platform, NOTICE), service.token(platform)
    now = service.clock.now().timestamp()
    assert post(url, sent(vote("c0", at=now)))[0] == 201
    wording = with_default(service, platform)
    answer = post(url, sent(vote("c1", at=now)))[1]
    post(own, sent(vote("c2", at=now)))
    first, second = accepted(call(service, "GET", "/v1/intake", token))["hooks"]
    assert (first["basis"], first["defaults_applied"], first["received"]) == ("default", 1, 2)
    assert (second["basis"], second["defaults_applied"]) == ("notice", 0)
    with read(service.runtime.engine) as session:
        row = session.execute(sa.select(Consent.basis, Consent.wording_sha256).where(Consent.contribution_id == answer["id"])).one()  # type: ignore[call-overload]
    assert tuple(row) == ("notice", wording)


def test_registering_and_defaults_are_in_the_open_log(service: Service, platform: PlatformParty) -> None:
    body = f"Told here: {platform.id}"
    digest = platform.sdk.register_wording(body, "en")
    platform.sdk.set_default(template="evaluation-only", wording=digest, shown_at=SHOWN)
    platform.sdk.end_default()
    with write(service.runtime.engine) as session:
        query = sa.text("SELECT leaf FROM log_entry WHERE subject = :p ORDER BY log_index")
        leaves = [json.loads(row[0]) for row in session.execute(query, {"p": platform.id})]
    mine = [(leaf["type"], leaf.get("sha256") or leaf.get("wording")) for leaf in leaves if leaf["type"] != "admin.platform-added"]
    assert mine == [("admin.wording-added", digest), ("admin.default-set", digest), ("admin.default-set", None)]
