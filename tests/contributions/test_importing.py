"""Importing: counted before, recorded once, gone on with after a kill, and never more than was there."""

import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.contributions import import_run
from app.contributions.formats import generic
from app.contributions.formats.cutting import load_skeleton, splice
from app.contributions.formats.registry import ADAPTERS
from app.contributions.import_models import ImportRecord, ImportRun
from app.contributions.import_run import Importer
from app.contributions.importing import Job, Report
from app.contributions.models import KINDS, Contribution
from app.contributions.recording import Draft
from app.crypto.sealing import Sealer
from app.kit.db import read, write
from app.kit.errors import DomainError, NotFound
from app.parties.models import Contributor
from tests.support import ROOT, SHOWN, WORDING, PlatformParty, ServerProcess, Service, consent

SAMPLES = Path(__file__).parent / "samples"


def job(name: str, *files: Path, **more: Any) -> Job:
    return Job(ADAPTERS[name], files, **more)


def perform(service: Service, platform: PlatformParty, what: Job) -> Report:
    importer = Importer(service.runtime, platform.id)
    try:
        return importer.perform(what)
    finally:
        importer.close()


def told(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("".join(report.json()))
    return found


def stored(service: Service, platform: PlatformParty) -> list[Contribution]:
    with read(service.runtime.engine) as session:
        rows = session.scalars(
            sa.select(Contribution).where(Contribution.platform_id == platform.id).order_by(Contribution.id)
        )  # type: ignore[arg-type]
        return list(rows)


def trees(path: Path, n: int, start: int = 0) -> Path:
    """`n` trees of a prompt and a reply, by people who come again."""
    with path.open("w") as file:
        for i in range(start, start + n):
            reply = {"message_id": f"r{i}", "parent_id": f"p{i}", "user_id": f"u{i % 7}", "text": f"reply {i}"}
            prompt = {
                "message_id": f"p{i}",
                "user_id": f"u{i % 5}",
                "text": f"prompt {i}",
                "lang": "en",
                "replies": [reply],
            }
            file.write(json.dumps({"message_tree_id": f"p{i}", "prompt": prompt}) + "\n")
    return path


def test_importing_twice_changes_nothing(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    file = trees(tmp_path / "x.jsonl", 700)
    first = perform(service, platform, job("openassistant", file))
    rows = stored(service, platform)
    assert told(first) == {"read": 700, "contributions": {"message": 1400}, "contributors": 7, "refused": []}
    assert (first.recorded, first.known, len(rows)) == (1400, 0, 1400)
    assert sum(row.parent_id is not None for row in rows) == 700
    again = perform(service, platform, job("openassistant", file))
    assert told(again) == told(first) and (again.recorded, again.known) == (0, 1400)
    # The same content under another name, packed, and more of it.
    packed = tmp_path / "y.jsonl.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert perform(service, platform, job("openassistant", packed)).known == 1400
    more = tmp_path / "z.jsonl"
    more.write_bytes(file.read_bytes() + trees(tmp_path / "w.jsonl", 3, 700).read_bytes())
    grown = perform(service, platform, job("openassistant", more))
    assert (grown.recorded, grown.known) == (6, 1400) and len(stored(service, platform)) == 1406
    with read(service.runtime.engine) as session:
        people = session.scalar(
            sa.select(sa.func.count()).select_from(Contributor).where(Contributor.platform_id == platform.id)
        )  # type: ignore[arg-type]
    assert people == 7


class Cut(Exception):
    pass


def test_an_import_goes_on_where_it_stopped(
    service: Service, platform: PlatformParty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = trees(tmp_path / "x.jsonl", 1000)
    calls: list[int] = []
    real = import_run.record_many

    def failing(direct: Any, keys: Any, drafts: list[Draft], *rest: Any, **more: Any) -> Any:
        calls.append(len(drafts))
        if len(calls) == 3:
            raise Cut
        return real(direct, keys, drafts, *rest, **more)

    monkeypatch.setattr(import_run, "record_many", failing)
    with pytest.raises(Cut):
        perform(service, platform, job("openassistant", file))
    assert len(stored(service, platform)) == sum(calls[:2]) and sum(calls[:2]) < 2000
    calls.extend([0, 0, 0])
    report = perform(service, platform, job("openassistant", file))
    # Nothing of what was done is sent again.
    assert report.recorded == sum(calls[6:]) == 2000 - sum(calls[:2]) and report.known == sum(calls[:2])
    assert told(report) == {"read": 1000, "contributions": {"message": 2000}, "contributors": 7, "refused": []}
    assert len(stored(service, platform)) == 2000


def test_what_the_database_refused_is_told_again_after_going_on(
    service: Service, platform: PlatformParty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.sdk.record(external_id="p0", kind="message", parts={"text": "other bytes"})
    file = trees(tmp_path / "x.jsonl", 600)
    real, calls = import_run.record_many, []

    def failing(*given: Any, **more: Any) -> Any:
        calls.append(1)
        # The first batch is tried twice: a unique row in it knows better.
        if len(calls) == 3:
            raise Cut
        return real(*given, **more)

    monkeypatch.setattr(import_run, "record_many", failing)
    with pytest.raises(Cut):
        perform(service, platform, job("openassistant", file))
    report = perform(service, platform, job("openassistant", file))
    assert [(one["where"], one["code"]) for one in report.refused()] == [("line 1", "external_id_conflict")]
    assert report.kinds == {"message": 1199} and len(stored(service, platform)) == 1200


def test_killed_at_any_time_it_loses_nothing_and_records_nothing_twice(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    added = json.loads(server.cli("platforms", "add", "Killed", "--json").stdout)["client_id"]
    file = trees(tmp_path / "x.jsonl", 6000)
    command = [
        sys.executable,
        "-m",
        "app",
        "import",
        "--format",
        "openassistant",
        "--platform",
        added,
        "--json",
        str(file),
    ]
    kills = 0
    for wait in (0.9, 1.2, 1.5, 1.8):
        process = subprocess.Popen(
            command, cwd=ROOT, env=server.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(wait)
        kills += process.poll() is None
        process.kill()
        process.wait()
    done = subprocess.run(command, cwd=ROOT, env=server.env, capture_output=True, check=True)
    assert json.loads(done.stdout) == {
        "read": 6000, "contributions": {"message": 12000}, "contributors": 7, "refused": [],
    }  # fmt: skip
    assert kills
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'data' / 'sayso.db'}")
    with engine.connect() as connection:
        count = lambda table: connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar()  # noqa: E731
        assert (count("contribution"), count("import_record"), count("contributor")) == (12000, 6000, 7)
        assert count("log_entry WHERE type = 'contribution.recorded'") == 12000
    engine.dispose()
    assert server.cli("check-log").returncode == 0


def test_beside_a_running_service_what_was_imported_is_not_released_until_claimed(
    service: Service, platform: PlatformParty, lab: Any, tmp_path: Path
) -> None:
    perform(service, platform, job("polis", SAMPLES / "polis" / "comments.csv", SAMPLES / "polis" / "votes.csv"))
    perform(service, platform, job("openassistant", trees(tmp_path / "a.jsonl", 12)))
    use = {"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]}
    assert lab.sdk.request(use, selection={"platforms": [platform.id]}).state == "refused"
    given = {
        "template": "evaluation-only",
        "basis": "explicit",
        "wording": WORDING,
        "language": "en",
        "shown_at": SHOWN,
    }
    report = perform(service, platform, job("openassistant", trees(tmp_path / "b.jsonl", 12, 100), consent=given))
    assert report.recorded == 24 and not report.notes["no evidence of consent: basis none, not released until claimed"]
    agreement = lab.agree(platform)
    rows = lab.fetch(lab.sdk.cut(agreement), tmp_path / "out")
    texts = sorted(json.loads(row["text"]) for row in rows if row["text"])
    assert texts == sorted([f"prompt {i}" for i in range(100, 112)] + [f"reply {i}" for i in range(100, 112)])


def test_a_testimony_takes_no_policy_from_an_import(service: Service, platform: PlatformParty) -> None:
    given = {
        "template": "evaluation-only",
        "basis": "explicit",
        "wording": WORDING,
        "language": "en",
        "shown_at": SHOWN,
    }
    report = perform(service, platform, job("testimony", SAMPLES / "testimony.jsonl", consent=given))
    assert report.recorded == 2 and report.notes["the person chooses: the policy of this import is not applied"] == 2
    with read(service.runtime.engine) as session:
        assert (
            session.scalar(
                sa.text(
                    "SELECT count(*) FROM consent c JOIN contribution x ON x.id = c.contribution_id WHERE x.platform_id = :p"
                ).bindparams(p=platform.id)
            )
            == 0
        )


def test_an_embargo_holds_until_its_date_and_without_one_there_is_no_consent(
    service: Service, platform: PlatformParty
) -> None:
    given = {
        "template": "evaluation-only",
        "basis": "explicit",
        "wording": WORDING,
        "language": "en",
        "shown_at": SHOWN,
    }
    perform(service, platform, job("hackerone", SAMPLES / "hackerone.json", consent=given))
    rows = {row.kind + str(row.releasable_from.year): row for row in stored(service, platform)}
    held = rows["vulnerability_report2030"]
    assert held.releasable_from == datetime(2030, 5, 1, tzinfo=UTC) and len(rows) == 3
    free = next(
        row for name, row in rows.items() if row.kind == "vulnerability_report" and name != "vulnerability_report2030"
    )
    with read(service.runtime.engine) as session:
        consents = (
            session.execute(
                sa.text("SELECT contribution_id FROM consent WHERE contribution_id IN (:a, :b)").bindparams(
                    a=held.id, b=free.id
                )
            )
            .scalars()
            .all()
        )
    assert consents == [held.id]


def test_replies_to_what_was_refused_are_refused_with_it(
    service: Service, platform: PlatformParty, tmp_path: Path
) -> None:
    folder = tmp_path / "talk"
    folder.mkdir()
    comments, votes = SAMPLES / "polis" / "comments.csv", SAMPLES / "polis" / "votes.csv"
    perform(service, platform, job("polis", comments, votes, collection="talk"))
    other = folder / "comments.csv"
    other.write_text(comments.read_text().replace("Written for tests", "Another talk"))
    later = folder / "votes.csv"
    later.write_text(votes.read_text().replace("15424061765", "16424061765"))
    report = perform(service, platform, job("polis", other, later))
    codes = Counter((one["where"].split()[0], one["code"]) for one in report.refused())
    assert codes == {("comments.csv", "external_id_conflict"): 1, ("votes.csv", "parent_unknown"): 2}
    assert "refused above" in next(one["detail"] for one in report.refused() if one["code"] == "parent_unknown")
    alone = perform(service, platform, job("polis", votes, collection="never seen"))
    assert [one["code"] for one in alone.refused()] == ["parent_unknown"] * 3


def test_what_was_erased_stays_gone_and_is_said(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    file = trees(tmp_path / "x.jsonl", 2)
    perform(service, platform, job("openassistant", file))
    with write(service.runtime.engine) as session:
        one = next(row for row in stored(service, platform) if row.parent_id is not None)
        session.execute(sa.update(Contribution).where(Contribution.id == one.id).values(state="erased", body_mac=None))  # type: ignore[arg-type]
    report = perform(service, platform, job("openassistant", file))
    assert [one["code"] for one in report.refused()] == ["contribution_gone"] and report.kinds == {"message": 3}


def test_skeletons_are_kept_sealed_and_give_the_file_back(service: Service, platform: PlatformParty) -> None:
    path = SAMPLES / "openassistant.jsonl"
    perform(service, platform, job("openassistant", path))
    sealer = Sealer(service.runtime.keys.derive(f"skeleton/{platform.id}"))
    with read(service.runtime.engine) as session:
        kept = session.scalars(
            sa.select(ImportRecord).where(ImportRecord.platform_id == platform.id).order_by(ImportRecord.at)
        ).all()  # type: ignore[arg-type]
        run = session.scalars(sa.select(ImportRun).where(ImportRun.platform_id == platform.id)).one()  # type: ignore[arg-type]
    assert run.finished_at is not None and run.records == len(kept) == 2
    records = list(ADAPTERS["openassistant"].read(path.open("rb"), path.name))
    out = b""
    for row, record in zip(kept, records, strict=True):
        assert b"message_id" not in row.skeleton
        opened = sealer.open(row.skeleton, f"skeleton\x00{platform.id}\x00{run.run}\x00{row.at}".encode())
        out += splice(load_skeleton(opened), record.rows())  # type: ignore[union-attr]
        assert len(row.contributions.split()) == len(record.drafts) and "-" not in row.contributions.split()  # type: ignore[union-attr]
    assert out.replace(b'"text": null', b'"text": "Taken back."') == path.read_bytes()


def test_generic_records_evidence_of_consent_of_its_own(service: Service, platform: PlatformParty) -> None:
    mapping = json.loads((SAMPLES / "generic.mapping.json").read_text())
    what = Job(generic.adapter(mapping, frozenset(KINDS)), (SAMPLES / "generic.jsonl",))
    report = perform(service, platform, what)
    assert (
        told(report)["contributions"] == {"critique": 1, "rating": 1}
        and report.notes["no evidence of consent: basis none, not released until claimed"] == 1
    )
    with read(service.runtime.engine) as session:
        assert (
            session.scalar(
                sa.text(
                    "SELECT count(*) FROM consent c JOIN contribution x ON x.id = c.contribution_id WHERE x.platform_id = :p AND c.basis = 'explicit'"
                ).bindparams(p=platform.id)
            )
            == 1
        )


def test_an_import_for_nobody_or_under_an_unknown_policy_is_refused(service: Service, platform: PlatformParty) -> None:
    with pytest.raises(NotFound):
        Importer(service.runtime, "plt_nobody")
    with pytest.raises(DomainError, match="policy_unknown"):
        perform(service, platform, job("avid", SAMPLES / "avid.json", consent={"policy": "0" * 64, "basis": "none"}))
    assert consent().template == "evaluation-only" and stored(service, platform) == []


def test_a_file_that_unpacks_badly_is_refused_before_anything_of_it_is_recorded(
    service: Service, platform: PlatformParty, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(gzip.compress(trees(tmp_path / "x.jsonl", 3000).read_bytes())[:-20])
    report = perform(service, platform, job("openassistant", file))
    assert [one["code"] for one in report.refused()] == ["file_damaged"] and stored(service, platform) == []
    os.mkfifo(tmp_path / "pipe")
    piped = perform(service, platform, job("openassistant", tmp_path / "pipe"))
    assert [one["code"] for one in piped.refused()] == ["file_unreadable"]
