"""The hook that FastChat's remote logger sends to: its exact requests, once each, nothing echoed, nothing lost."""

import http.client
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.contributions.formats.cutting import Row, load_skeleton, splice
from app.contributions.formats.fastchat import ADAPTER
from app.contributions.formats.hooked import fastchat_line
from app.contributions.hook_models import HookLine, RefusedLine
from app.contributions.hooks import forget_refused, skeleton_place, skeleton_sealer
from app.contributions.import_run import Importer
from app.contributions.importing import Job
from app.contributions.models import Contribution
from app.kit.db import read, write
from app.parties import ingest_keys
from tests.contributions.fastchat_logger import logged, post, sent, vote
from tests.kit.refusals import call, refused
from tests.support import SHOWN, WORDING, PlatformParty, ServerProcess, Service, shell

VOTES = 10_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 2_000
NOTICE = {"template": "evaluation-only", "basis": "notice", "wording": WORDING, "language": "en", "shown_at": SHOWN}


def hook(service: Service, platform: PlatformParty, consent: dict[str, Any] | None = None, format_: str = "fastchat") -> str:
    with write(service.runtime.engine) as session:
        stored = None if consent is None else json.dumps(consent)
        _, secret = ingest_keys.add(session, platform.id, format_, stored, now=service.clock.now())
    return f"{service.base}/v1/ingest/{format_}/{secret}"


def contributions(service: Service, platform: PlatformParty) -> list[Contribution]:
    with read(service.runtime.engine) as session:
        return list(session.exec(select(Contribution).where(Contribution.platform_id == platform.id).order_by(Contribution.id)))


def reports(service: Service, platform: PlatformParty) -> list[RefusedLine]:
    with read(service.runtime.engine) as session:
        return list(session.exec(select(RefusedLine).where(RefusedLine.platform_id == platform.id).order_by(RefusedLine.id)))


# -- the line ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("event", ["leftvote", "tievote", "bothbad_vote", "share"])
def test_what_is_sent_becomes_the_line_of_the_log_file_without_its_address(event: str) -> None:
    line = vote("c1", event)
    assert fastchat_line(sent(line)) + b"\n" == logged({**line, "ip": None})


def test_a_string_that_is_no_json_stays_a_string() -> None:
    line = {"type": "upvote", "tstamp": 1.5, "model": "m", "state": "{not json", "gen_params": "[1"}
    assert fastchat_line(sent(line)) + b"\n" == logged(line)


# -- recording ---------------------------------------------------------------------------------------------------------
def test_a_vote_is_recorded_with_its_parts_apart_and_a_claim_link(service: Service, platform: PlatformParty) -> None:
    url = hook(service, platform)
    status, answer = post(url, sent(vote("c1")))
    assert status == 201 and [w["code"] for w in answer["warnings"]] == ["consent_missing"]
    person = service.http.post(answer["claim_url"], headers={"Accept": "application/json"}).json()
    assert person["contribution"] == answer["id"]
    [row] = contributions(service, platform)
    assert (row.kind, row.context_ref) == ("preference", "c1") and row.created_at is not None
    mine = call(service, "GET", "/v1/contributions/me", person["receipt"]).json()["items"][0]
    assert mine["parts"] == ["text", "judgment", "context"] and mine["basis"] is None


def test_the_same_line_again_is_the_same_contribution(service: Service, platform: PlatformParty) -> None:
    url = hook(service, platform)
    answers = [post(url, sent(vote("c1")))[1] for _ in range(3)]
    assert {a["id"] for a in answers} == {answers[0]["id"]} and len({a["claim_url"] for a in answers}) == 1
    post(url, sent(vote("c1", at=1_700_000_001.5)))
    post(url, sent(vote("c1", "rightvote")))
    assert len(contributions(service, platform)) == 3


def test_a_notice_that_the_platform_registered_is_the_basis(service: Service, platform: PlatformParty) -> None:
    _, answer = post(hook(service, platform, NOTICE), sent(vote("c1")))
    assert [w["code"] for w in answer["warnings"]] == ["consent_notice_only"]
    receipt = service.http.post(answer["claim_url"], headers={"Accept": "application/json"}).json()["receipt"]
    assert call(service, "GET", "/v1/contributions/me", receipt).json()["items"][0]["basis"] == "notice"


def test_the_log_file_imported_later_finds_what_the_hook_recorded(
    service: Service, platform: PlatformParty, tmp_path: Path
) -> None:
    url = hook(service, platform, NOTICE)
    for n in range(3):
        assert post(url, sent(vote(f"c{n}")))[0] == 201
    file = tmp_path / "2026-11-24-conv.json"
    file.write_bytes(b"".join(logged(vote(f"c{n}")) for n in range(5)))
    importer = Importer(service.runtime, platform.id)
    report = importer.perform(Job(ADAPTER, (file,), None, NOTICE))
    importer.close()
    assert (report.recorded, report.known, report.refusals) == (2, 3, 0)


def test_the_line_can_be_written_back(service: Service, platform: PlatformParty) -> None:
    line = vote("c1")
    post(hook(service, platform), sent(line))
    [row] = contributions(service, platform)
    with read(service.runtime.engine) as session:
        kept = session.get(HookLine, row.id)
    assert kept is not None and b"conv_id" not in kept.skeleton
    place = skeleton_place(platform.id, row.external_hash)
    skeleton = load_skeleton(skeleton_sealer(service.runtime, platform.id).open(kept.skeleton, place))
    drafts = ADAPTER.one(_raw(fastchat_line(sent(line))), "", "")
    parts = drafts.drafts[0].parts  # type: ignore[union-attr]
    assert splice(skeleton, [Row(parts)]) == logged({**line, "ip": None})
    assert b"192.0.2" not in splice(skeleton, [None]) and b"Written" not in splice(skeleton, [None])


def _raw(data: bytes) -> Any:
    from app.contributions.formats.reading import Raw

    return Raw("", 1, data, tail=b"\n")


def test_the_claim_link_is_given_later_by_the_systems_own_id(service: Service, platform: PlatformParty) -> None:
    _, answer = post(hook(service, platform), sent(vote("c1")))
    own = "c1/leftvote/1700000000.5"
    assert platform.sdk.claim_link("preference", own) == answer["claim_url"]
    token = service.token(platform)
    for who, kind, name in ((token, "preference", "c2"), (token, "label", own), (service.token(service.platform()), "preference", own)):
        body = {"kind": kind, "external_id": name}
        refused(service.post("/v1/contributions/claim-link", body, who), 404, "not_found")
    refused(service.post("/v1/contributions/claim-link", {"kind": "label"}, token), 422, "body_invalid")


# -- refusals ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "format_mismatch"),
        (b"{", 400, "json_invalid"),
        (b"[]", 422, "format_mismatch"),
        (b'{"type": "leftvote"}', 422, "format_mismatch"),
        (b'{"type": 7, "state": {"conv_id": "UNHEARD"}}', 422, "format_mismatch"),
        (b'{"type": "leftvote", "type": "UNHEARD", "state": {}}', 400, "json_duplicate_key"),
        (b'{"type": "\xff", "state": {}}', 400, "json_not_utf8"),
        (b'{"type": "leftvote", "state": ' + b"[" * 500 + b"]" * 500 + b"}", 400, "json_too_deep"),
    ],
)  # fmt: skip
def test_a_refused_line_leaves_a_report_and_is_not_echoed(
    service: Service, platform: PlatformParty, body: bytes, status: int, code: str
) -> None:
    url = hook(service, platform)
    answer = service.http.post(url, content=body)
    found = refused(answer, status, code)
    assert "UNHEARD" not in answer.text and url.rsplit("/", 1)[1] not in answer.text
    [report] = reports(service, platform)
    assert (report.code, report.detail, report.size) == (found["code"], found["detail"], len(body))
    assert not contributions(service, platform)


def test_what_is_kept_of_a_refused_line_is_sealed_without_address_and_goes(service: Service, platform: PlatformParty) -> None:
    url = hook(service, platform)
    post(url, sent(vote("c1")))
    other = vote("c1")
    other["models"] = ["changed", ""]
    assert post(url, sent(other))[1]["code"] == "external_id_conflict"
    service.http.post(url, content=b"{")
    whole, unread = reports(service, platform)
    assert unread.content is None and unread.wrapped is None
    assert whole.content is not None and b"changed" not in whole.content
    key, kept = service.runtime.parts["hooks"]._kept(platform.id, whole.id)
    assert json.loads(kept.record)["ip"] is None and b"192.0.2" not in kept.record and key.id == whole.key_id
    with write(service.runtime.engine) as session:
        forget_refused(session, whole.received_at.replace(year=whole.received_at.year + 1))
    assert not reports(service, platform)


def test_a_key_opens_its_own_hook_and_nothing_else(service: Service, platform: PlatformParty) -> None:
    url = hook(service, platform)
    secret = url.rsplit("/", 1)[1]
    for address in (url[:-1] + ("0" if url[-1] != "0" else "1"), service.base + "/v1/ingest/fastchat/x", url + "0"):
        refused(service.http.post(address, content=sent(vote("c1"))), 404, "ingest_key_unknown")
    refused(call(service, "GET", "/v1/contributions/me", secret), 401, "token_invalid")
    refused(service.post("/v1/contributions", b"{}", secret), 401, "token_invalid")
    assert not contributions(service, platform) and not reports(service, platform)


def test_a_revoked_key_takes_nothing_more_and_the_log_says_so(service: Service, platform: PlatformParty) -> None:
    first, second = hook(service, platform), hook(service, platform)
    assert post(first, sent(vote("c1")))[0] == 201
    with write(service.runtime.engine) as session:
        key = ingest_keys.listed(session, platform.id)[0]
        ingest_keys.revoke(session, key.id, now=service.clock.now())
        ingest_keys.revoke(session, key.id, now=service.clock.now())
    assert post(first, sent(vote("c2")))[1]["code"] == "ingest_key_unknown"
    assert post(first, b"{")[0] == 400 and not reports(service, platform), "nothing is kept of what it sends"
    assert post(second, sent(vote("c2")))[0] == 201
    with read(service.runtime.engine) as session:
        query = sa.text("SELECT type FROM log_entry WHERE subject = :p ORDER BY log_index")
        types = [t for (t,) in session.connection().execute(query, {"p": platform.id})]
    assert types.count("admin.ingest-key-added") == 2 and types.count("admin.ingest-key-revoked") == 1


def test_only_a_hash_of_the_key_is_kept(service: Service, platform: PlatformParty) -> None:
    secret = hook(service, platform).rsplit("/", 1)[1]
    with read(service.runtime.engine) as session:
        rows = session.connection().execute(sa.text("SELECT * FROM ingest_key")).all()
    assert rows and not any(secret in str(value) for row in rows for value in row)


# -- nothing is lost ---------------------------------------------------------------------------------------------------
def test_every_vote_that_got_a_2xx_is_there_once_though_the_service_was_killed(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    made = json.loads(server.cli("platforms", "add", "Arena", "--json").stdout)
    added = server.cli("platforms", "ingest-key", "add", made["client_id"], "--format", "fastchat", "--json")
    url = json.loads(added.stdout)["url"]
    acknowledged: dict[str, str] = {}
    lock, go_on = threading.Lock(), threading.Event()
    done = threading.Semaphore(0)

    def voter(first: int) -> None:
        for n in range(first, VOTES, 8):
            try:
                status, answer = post(url, sent(vote(f"c{n}")), timeout=20)
            except (OSError, http.client.HTTPException, ValueError):
                # FastChat would lose it here. Wait for the service, then go on with the next, as it does.
                go_on.wait(30)
                continue
            with lock:
                if status == 201:
                    assert acknowledged.setdefault(f"c{n}", answer["id"]) == answer["id"]
                else:
                    assert status == 503, answer
            done.release()

    threads = [threading.Thread(target=voter, args=(i,)) for i in range(8)]
    go_on.set()
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            for _ in range(VOTES // 5):
                assert done.acquire(timeout=60)
            go_on.clear()
            server.kill()
            server.start()
            go_on.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        assert len(acknowledged) > VOTES // 2
        # Again, as a replay of the platform's own log would: what was acknowledged keeps its id, the rest comes in.
        late = [n for n in range(VOTES) if n % 10 == 0 or f"c{n}" not in acknowledged]
        with ThreadPoolExecutor(8) as pool:
            again = dict(pool.map(lambda n: (f"c{n}", post(url, sent(vote(f"c{n}")))[1]["id"]), late))
        assert {c: i for c, i in again.items() if c in acknowledged} == {c: acknowledged[c] for c in again if c in acknowledged}
        assert len({*again.values(), *acknowledged.values()}) == VOTES
        engine = sa.create_engine(f"sqlite:///{tmp_path / 'sayso.db'}")
        with engine.connect() as connection:
            assert set(acknowledged.values()) <= set(connection.execute(sa.text("SELECT id FROM contribution")).scalars())
            assert connection.execute(sa.text("SELECT count(*), count(DISTINCT external_hash) FROM contribution")).one() == (VOTES, VOTES)
        engine.dispose()
        assert server.cli("check-log").returncode == 0
    finally:
        server.stop()


def test_the_command_line_makes_lists_and_revokes_keys(tmp_path: Path) -> None:
    run = shell(tmp_path, SAYSO_PUBLIC_URL="http://arena.example")
    platform = json.loads(run(["platforms", "add", "Arena", "--json"]).stdout)["client_id"]
    wording = tmp_path / "wording.txt"
    wording.write_text("We may publish your votes.")
    told = ["--policy", "evaluation-only", "--wording", str(wording), "--language", "en", "--shown-at", SHOWN]
    made = run(["platforms", "ingest-key", "add", platform, "--format", "fastchat", *told, "--json"])
    key = json.loads(made.stdout)
    assert key["url"].startswith("http://arena.example/v1/ingest/fastchat/ing_")
    assert "basis notice" in run(["platforms", "ingest-key", "list", platform]).stdout
    assert run(["platforms", "ingest-key", "revoke", key["key"]]).exit_code == 0
    listed = run(["platforms", "ingest-key", "list", platform]).stdout
    assert "revoked 20" in listed and key["url"].rsplit("/", 1)[1] not in listed
    for wrong, code in (
        (["ingest-key", "add", "plt_x", "--format", "fastchat"], "not_found"),
        (["ingest-key", "list", "plt_x"], "not_found"),
        (["intake", "plt_x"], "not_found"),
        (["ingest-key", "add", platform, "--format", "nonsense"], "format_unknown"),
        (["ingest-key", "add", platform, "--format", "fastchat", "--policy", "evaluation-only"], "consent_incomplete"),
        (["ingest-key", "add", platform, "--format", "fastchat", "--policy", "nonsense", *told[2:]], "policy_unknown_template"),
        (["ingest-key", "revoke", "igk_x"], "ingest_key_unknown"),
    ):
        refusal = run(["platforms", *wrong])
        assert refusal.exit_code == 2 and code in refusal.stderr, (refusal.output, wrong)
