"""Webhooks of Label Studio and Argilla: each tool's own way to prove itself, forgeries, versions, deletions."""

import json
import uuid
from base64 import b64encode
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.contributor import Contributor
from sqlmodel import select

from app.consents.models import Consent
from app.contributions import signatures
from app.contributions.formats import label_studio
from app.contributions.formats.hooked import HOOKED
from app.contributions.import_run import Importer
from app.contributions.importing import Job
from app.contributions.models import Contribution
from app.kit.db import read, write
from app.parties import ingest_keys
from tests.contributions.test_fastchat_hook import NOTICE, contributions, reports
from tests.kit.refusals import refused
from tests.support import LabParty, PlatformParty, Service, shell

KEY = bytes(range(32))
SECRET = "whsec_" + b64encode(KEY).decode()


class Tool:
    """One outside tool pointed at a key of its own."""

    def __init__(self, service: Service, platform: PlatformParty, format_: str, secret: str, consent: Any = None) -> None:
        self.service, self.secret = service, secret
        with write(service.runtime.engine) as session:
            stored = None if consent is None else json.dumps(consent)
            key, path = ingest_keys.add(session, platform.id, format_, stored, now=service.clock.now())
            ingest_keys.set_secret(session, service.runtime.keys, key.id, secret, now=service.clock.now())
        self.key, self.url = key.id, f"{service.base}/v1/ingest/{format_}/{path}"

    def send(self, body: Any, **headers: str) -> httpx.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.service.http.post(self.url, content=data, headers=sent)


class Studio(Tool):
    def __init__(self, service: Service, platform: PlatformParty, consent: Any = None) -> None:
        super().__init__(service, platform, "label-studio", "wsc_test", consent)

    def tell(self, body: Any) -> dict[str, Any]:
        answer = self.send(body, Authorization="Bearer wsc_test")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


class Argilla(Tool):
    """Signs as Argilla's server does: under the event's time, with the time of sending in the header."""

    def __init__(self, service: Service, platform: PlatformParty, consent: Any = None) -> None:
        super().__init__(service, platform, "argilla", SECRET, consent)

    def signed(self, body: bytes, *, sent: datetime, signed: datetime, key: bytes = KEY) -> dict[str, str]:
        own = "msg_" + uuid.uuid4().hex
        mac = b64encode(digest(key, f"{own}.{int(signed.timestamp())}.".encode() + body, sha256)).decode()
        return {"webhook-id": own, "webhook-timestamp": str(int(sent.timestamp())), "webhook-signature": f"v1,{mac}"}

    def tell(self, kind: str, data: dict[str, Any], *, queued: float = 0.0, at: datetime | None = None) -> httpx.Response:
        sent = at or self.service.clock.now()
        event = sent - timedelta(seconds=queued)
        body = json.dumps({"type": kind, "version": 1, "timestamp": event.isoformat().replace("+00:00", "Z"), "data": data}).encode()
        return self.send(body, **self.signed(body, sent=sent, signed=event))


def task(number: int = 1) -> dict[str, Any]:
    return {"id": number, "data": {"text": "Written for tests"}, "meta": {}, "created_at": "2026-01-01T00:00:00Z", "project": 7,
            "is_labeled": True, "updated_by": 3, "comment_authors": []}  # fmt: skip


def annotation(number: int = 11, choice: str = "good", at: str = "2026-01-02T00:00:00Z", of: int = 1) -> dict[str, Any]:
    result = [{"id": "a", "from_name": "s", "to_name": "t", "type": "choices", "value": {"choices": [choice]}}]
    return {"id": number, "completed_by": 3, "result": result, "was_cancelled": False, "created_at": "2026-01-02T00:00:00Z",
            "updated_at": at, "lead_time": 3.5, "unique_id": f"u-{number}", "task": of, "project": 7}  # fmt: skip


def studio_event(action: str = "ANNOTATION_CREATED", **more: Any) -> dict[str, Any]:
    return {"action": action, "project": {"id": 7, "title": "T"}, "task": task(), "annotation": annotation(), **more}


def response(own: str = "r1", quality: int = 4, status: str = "submitted", at: str = "2026-01-02T00:00:00") -> dict[str, Any]:
    record = {"id": "rec1", "fields": {"prompt": "Written for tests"}, "metadata": {}, "external_id": None, "status": "pending",
              "dataset": {"id": "d", "name": "n", "workspace": {"name": "w"}}}  # fmt: skip
    return {"id": own, "values": {"quality": {"value": quality}}, "status": status, "record": record, "inserted_at": "2026-01-02T00:00:00",
            "updated_at": at, "user": {"id": "u1", "first_name": "X", "username": "x", "role": "annotator"}}  # fmt: skip


# -- recording --------------------------------------------------------------------------------------------------------
def test_label_studio_annotations_are_recorded_once(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform)
    for _ in range(2):
        assert studio.tell(studio_event()) == {"recorded": 1, "revoked": 0}
    many = [annotation(21, of=2), annotation(31, of=3)]
    assert studio.tell(studio_event("ANNOTATIONS_CREATED", annotation=many, task=[task(3), task(2)]))["recorded"] == 2
    rows = contributions(service, platform)
    assert [row.kind for row in rows] == ["label"] * 3 and len({row.contributor_id for row in rows}) == 1
    for action in ("PROJECT_UPDATED", "TASKS_CREATED", "LABEL_LINK_CREATED", "SOMETHING_NEW"):
        assert studio.tell({"action": action}) == {"recorded": 0, "revoked": 0}
    assert not reports(service, platform)


def test_an_export_imported_later_finds_what_the_webhook_recorded(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    Studio(service, platform, NOTICE).tell(studio_event())
    file = tmp_path / "export.json"
    file.write_text(json.dumps([{**task(), "annotations": [annotation(), annotation(12)]}]))
    importer = Importer(service.runtime, platform.id)
    report = importer.perform(Job(label_studio.ADAPTER, (file,), None, NOTICE))
    importer.close()
    assert (report.recorded, report.known, report.refusals) == (1, 1, 0)


def test_a_changed_annotation_is_an_act_of_its_own(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform)
    studio.tell(studio_event())
    same = studio_event("ANNOTATION_UPDATED", annotation=annotation(at="2026-01-03T00:00:00Z"))
    changed = studio_event("ANNOTATION_UPDATED", annotation=annotation(choice="bad", at="2026-01-04T00:00:00Z"))
    assert studio.tell(same)["recorded"] == 1
    for _ in range(2):
        assert studio.tell(changed)["recorded"] == 1
    first, second = contributions(service, platform)
    assert second.parent_id == first.id and second.contributor_id == first.contributor_id
    # Without the word that it changed, other bytes under the same name are refused as everywhere.
    refused(studio.send(studio_event(annotation=annotation(choice="ugly")), Authorization="wsc_test"), 409, "external_id_conflict")


def test_argilla_responses_are_recorded_drafts_are_not(service: Service, platform: PlatformParty) -> None:
    argilla = Argilla(service, platform)
    assert argilla.tell("response.created", response(status="draft")).json() == {"recorded": 0, "revoked": 0}
    for _ in range(2):
        assert argilla.tell("response.updated", response()).json() == {"recorded": 1, "revoked": 0}
    assert argilla.tell("response.updated", response(quality=2, at="2026-01-05T00:00:00")).json()["recorded"] == 1
    assert argilla.tell("response.created", {**response("r2", status="discarded"), "values": None}).json()["recorded"] == 1
    for kind in ("dataset.created", "record.updated", "record.completed", "dataset.deleted"):
        assert argilla.tell(kind, {"id": "d"}).json() == {"recorded": 0, "revoked": 0}
    rows = contributions(service, platform)
    assert [row.kind for row in rows] == ["rating", "rating", "refusal"] and rows[1].parent_id == rows[0].id


# -- proofs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("queued", [0, 2, 600])
def test_argilla_is_believed_though_its_event_waited_in_a_queue(service: Service, platform: PlatformParty, queued: float) -> None:
    argilla = Argilla(service, platform)
    assert argilla.tell("response.created", response(), queued=queued).json()["recorded"] == 1


def test_forged_altered_and_old_argilla_events_are_refused(service: Service, platform: PlatformParty) -> None:
    argilla, now = Argilla(service, platform), service.clock.now()
    event = {"type": "response.created", "timestamp": now.isoformat(), "data": response()}
    body = json.dumps(event).encode()
    good = argilla.signed(body, sent=now, signed=now)
    long_ago = now - timedelta(hours=1)
    old = json.dumps({**event, "timestamp": long_ago.isoformat()}).encode()
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, argilla.signed(body, sent=now, signed=now, key=b"x" * 32)),
        (body.replace(b'"value": 4', b'"value": 5'), good),
        (body, {**good, "webhook-id": "msg_other"}),
        (body, {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}),
        (body, {**good, "webhook-signature": good["webhook-signature"][:-4]}),
        (body, {**good, "webhook-signature": ""}),
        (body, {**good, "webhook-timestamp": "now"}),
        (body, {**good, "webhook-timestamp": "9" * 40}),
        (body, {**good, "webhook-timestamp": str(int(long_ago.timestamp()))}),
        (old, argilla.signed(old, sent=now, signed=long_ago)),
        (old, argilla.signed(old, sent=long_ago, signed=long_ago)),
        (b"{", argilla.signed(b"{", sent=now, signed=now)),
        (b"\xff", {**good}),
    ]
    for data, headers in wrong:
        refused(argilla.send(data, **headers), 401, "webhook_unproved")
    assert not contributions(service, platform)
    told = reports(service, platform)
    assert len(told) == len(wrong) and all(row.content is None for row in told), "nothing is kept of what is not proved"
    assert argilla.send(body, **{**good, "webhook-signature": "v1,AAAA " + good["webhook-signature"]}).status_code == 200


def test_label_studio_without_its_header_is_refused(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform)
    for headers in ({}, {"Authorization": "Bearer wsc_tes"}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"X_Auth": "wsc_test"}):
        refused(studio.send(studio_event(), **headers), 401, "webhook_unproved")
        refused(studio.send({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}]}, **headers), 401, "webhook_unproved")
    assert not contributions(service, platform)


def test_a_key_without_a_secret_takes_nothing(service: Service, platform: PlatformParty) -> None:
    with write(service.runtime.engine) as session:
        _, path = ingest_keys.add(session, platform.id, "argilla", None, now=service.clock.now())
    answer = service.http.post(f"{service.base}/v1/ingest/argilla/{path}", content=b"{}", headers={"Authorization": "None"})
    refused(answer, 401, "webhook_unproved")


def test_the_secret_is_sealed_and_can_be_changed(service: Service, platform: PlatformParty) -> None:
    argilla = Argilla(service, platform)
    with read(service.runtime.engine) as session:
        row = next(k for k in ingest_keys.listed(session, platform.id) if k.id == argilla.key)
    assert row.signing is not None and SECRET.encode() not in row.signing
    with write(service.runtime.engine) as session:
        ingest_keys.set_secret(session, service.runtime.keys, argilla.key, "whsec_" + b64encode(b"y" * 32).decode(), now=service.clock.now())
    refused(argilla.tell("response.created", response()), 401, "webhook_unproved")


@pytest.mark.parametrize("secret", ["whsec_" + b64encode(KEY).decode(), b64encode(KEY).decode()])
def test_a_secret_is_read_as_the_standard_says(secret: str) -> None:
    assert signatures.secret_bytes(secret) == KEY
    for wrong in ("", "whsec_", "whsec_AAAA", "whsec_A", "é"):
        with pytest.raises(ValueError):
            signatures.secret_bytes(wrong)


def test_the_command_line_makes_webhook_keys(tmp_path: Path) -> None:
    run = shell(tmp_path)
    added = run(["platforms", "add", "Tools", "--json"])
    assert added.exit_code == 0, (added.output, added.exception)
    platform = json.loads(added.stdout)["client_id"]
    made = json.loads(run(["platforms", "ingest-key", "add", platform, "--format", "label-studio", "--json"]).stdout)
    assert made["header"].startswith("Authorization: Bearer wsc_")
    made = json.loads(run(["platforms", "ingest-key", "add", platform, "--format", "argilla", "--json"]).stdout)
    assert "header" not in made
    assert run(["platforms", "ingest-key", "secret", made["key"]], input=SECRET + "\n").exit_code == 0
    for key, given, code in ((made["key"], "short", "key_invalid"), ("igk_x", SECRET, "ingest_key_unknown")):
        wrong = run(["platforms", "ingest-key", "secret", key], input=given + "\n")
        assert wrong.exit_code == 2 and code in wrong.stderr and given not in wrong.output


# -- what is not of the form ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"{}", b'{"action": 7}', b'{"action": "ANNOTATION_CREATED"}', {"action": "ANNOTATION_CREATED", "annotation": annotation()},
        studio_event(task=7), studio_event(annotation=7), studio_event(annotation={}), studio_event(task={"id": 1}),
        studio_event("ANNOTATIONS_CREATED", annotation=[annotation(of=9)], task=[task(1)]),
        {"action": "ANNOTATIONS_DELETED"}, {"action": "ANNOTATIONS_DELETED", "annotations": [{}]}, studio_event(task={**task(), '"': 1}),
    ],
)  # fmt: skip
def test_label_studio_events_of_another_form(service: Service, platform: PlatformParty, body: Any) -> None:
    refused(Studio(service, platform).send(body, Authorization="Bearer wsc_test"), 422, "format_mismatch")
    assert not contributions(service, platform) and len(reports(service, platform)) == 1


@pytest.mark.parametrize("data", [{}, {**response(), "record": {}}, {**response(), "status": None}, {**response(), "id": {}}])
def test_argilla_events_of_another_form(service: Service, platform: PlatformParty, data: Any) -> None:
    refused(Argilla(service, platform).tell("response.created", data), 422, "format_mismatch")
    assert not contributions(service, platform)


# -- deletions --------------------------------------------------------------------------------------------------------
def states(service: Service, platform: PlatformParty) -> list[tuple[str, list[str]]]:
    with read(service.runtime.engine) as session:
        rows = session.exec(select(Contribution).where(Contribution.platform_id == platform.id).order_by(Contribution.id)).all()
        told = []
        for row in rows:
            query = select(Consent.state).where(Consent.contribution_id == row.id).order_by(Consent.version)  # type: ignore[arg-type]
            told.append((row.state, list(session.exec(query))))
    return told


def test_what_the_tool_deletes_is_revoked_with_its_versions_and_nothing_else(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform, NOTICE)
    studio.tell(studio_event())
    studio.tell(studio_event("ANNOTATION_UPDATED", annotation=annotation(choice="bad", at="2026-01-04T00:00:00Z")))
    studio.tell(studio_event(annotation=annotation(12)))
    studio.tell(studio_event(task=task(2), annotation=annotation(13, of=2)))
    delete = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}, {"id": 99}], "project": {"id": 7}}
    assert studio.tell(delete) == {"recorded": 0, "revoked": 2}
    assert studio.tell(delete) == {"recorded": 0, "revoked": 0}
    assert studio.tell({**delete, "project": {"id": 8}, "annotations": [{"id": 12}]})["revoked"] == 0
    gone, kept = ("withdrawn", ["revoked"]), ("live", ["current"])
    assert states(service, platform) == [gone, gone, kept, kept]
    assert studio.tell({"action": "TASKS_DELETED", "tasks": [{"id": 2}], "project": {"id": 7}})["revoked"] == 1
    assert states(service, platform) == [gone, gone, kept, gone]
    # It does not come back by being sent again.
    studio.tell(studio_event())
    assert states(service, platform)[0] == gone


def test_a_deletion_reaches_what_an_import_brought(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    given = [annotation(), annotation(12), annotation(13)]
    file.write_text(json.dumps([{**task(), "project": 7, "annotations": given}, {**task(2), "project": 7, "annotations": [annotation(14, of=2)]}]))
    importer = Importer(service.runtime, platform.id)
    importer.perform(Job(label_studio.ADAPTER, (file,), None, NOTICE))
    importer.close()
    studio = Studio(service, platform, NOTICE)
    studio.tell(studio_event(annotation=annotation(13)))  # sent again: it was here
    delete = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}, {"id": 13}], "project": {"id": 7}}
    assert studio.tell(delete)["revoked"] == 2
    assert studio.tell({"action": "TASKS_DELETED", "tasks": [{"id": 2}], "project": {"id": 7}})["revoked"] == 1
    gone, kept = ("withdrawn", ["revoked"]), ("live", ["current"])
    assert sorted(states(service, platform)) == sorted([gone, kept, gone, gone])


def test_another_platforms_deletion_reaches_nothing(service: Service, platform: PlatformParty) -> None:
    Studio(service, platform, NOTICE).tell(studio_event())
    other = Studio(service, service.platform())
    assert other.tell({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}], "project": {"id": 7}})["revoked"] == 0
    assert states(service, platform) == [("live", ["current"])]


def test_argilla_deletions_by_response_and_by_record(service: Service, platform: PlatformParty) -> None:
    argilla = Argilla(service, platform, NOTICE)
    for own in ("r1", "r2", "r3"):
        argilla.tell("response.created", response(own))
    assert argilla.tell("response.deleted", {"id": "r2"}).json()["revoked"] == 1
    assert argilla.tell("record.deleted", {"id": "rec1"}).json()["revoked"] == 2
    assert [state for state, _ in states(service, platform)] == ["withdrawn"] * 3


def test_a_release_that_held_it_is_recalled_and_the_log_says_who(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    studio = Studio(service, platform, NOTICE)
    for n in range(3):
        studio.tell(studio_event(annotation=annotation(40 + n)))
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    assert len(lab.fetch(release, tmp_path)) == 3
    assert studio.tell({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 41}], "project": {"id": 7}})["revoked"] == 1
    with read(service.runtime.engine) as session:
        query = sa.text("SELECT count(*) FROM shard WHERE release_id = :r AND state = 'live'")
        assert session.connection().execute(query, {"r": release.id}).scalar_one() == 0
        query = sa.text("SELECT a.type FROM consent_act a JOIN contribution c ON c.contributor_id = a.contributor_id WHERE c.platform_id = :p")
        assert set(session.connection().execute(query, {"p": platform.id}).scalars()) == {"consent.revoked"}
    line = service.runtime.journal.lines()[-1]
    assert (line["kind"], line["by"]) == ("withdraw", "platform")


def test_what_the_person_withdrew_stays_withdrawn(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform, NOTICE)
    studio.tell(studio_event())
    [row] = contributions(service, platform)
    code = service.runtime.parts["claims"].code(row.id)
    Contributor.claim(f"{service.base}/c/{code}").withdraw()
    assert studio.tell({"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}], "project": {"id": 7}})["revoked"] == 0
    assert states(service, platform) == [("withdrawn", ["withdrawn"])]


def test_every_hook_has_a_name_that_an_import_knows() -> None:
    assert all(name == hooked.adapter.name for name, hooked in HOOKED.items())
