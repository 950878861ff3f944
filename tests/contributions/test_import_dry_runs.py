"""Looking first: a dry run needs nothing, records nothing, and tells everything."""

import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.contributions.formats.registry import ADAPTERS
from app.contributions.importing import Job, dry_run
from tests.processes import app

SAMPLES = Path(__file__).parent / "samples"


def job(name: str, *files: Path, **more: Any) -> Job:
    return Job(ADAPTERS[name], files, **more)


def typed(*arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return app("import", *arguments, env={"PATH": os.environ["PATH"], **env})


@pytest.mark.parametrize(
    "name,path,expected",
    [
        ("openassistant", "oasst/en_100_tree.jsonl", {"message": 1167}),
        ("pandalm", "pandalm/testset-v1.json", {"preference": 2997}),
        ("polis", "polis/15-per-hour-seattle", {"rating": 2995, "statement": 54}),
        ("avid", "avid", {"vulnerability_report": 48}),
    ],
)
def test_a_dry_run_needs_nothing_and_prints_exactly_the_report(
    shared_data: Path, tmp_path: Path, name: str, path: str, expected: Any
) -> None:
    # Settings that no server would start with: they are not read.
    done = typed(
        "--format",
        name,
        str(shared_data / path),
        "--dry-run",
        "--json",
        SAYSO_ENVIRONMENT="nowhere",
        SAYSO_DATA_DIR=str(tmp_path / "x"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["read", "contributions", "contributors", "refused"]
    assert report["contributions"] == expected and report["refused"] == []
    assert report["contributors"] == {"openassistant": 1167, "pandalm": 3, "polis": 339, "avid": 48}[name]
    assert not (tmp_path / "x").exists()


def test_the_report_for_people_names_parts_defaults_and_refusals(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes((SAMPLES / "fastchat.jsonl").read_bytes() + b'{"type": 5}\n')
    done = typed("--format", "fastchat", str(file), "--dry-run")
    said = done.stdout.decode()
    assert (
        done.returncode == 0
        and "dropped: ip" in said
        and "with context" in said
        and "not released until claimed" in said
    )
    assert "line 14: format_mismatch: Neither a log line" in said and "1 refused" in said


def test_packed_files_and_folders_are_read_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("comments.csv", "votes.csv"):
        (tmp_path / "set" / f"{name}.gz").write_bytes(gzip.compress((SAMPLES / "polis" / name).read_bytes()))
    (tmp_path / "set" / "LICENSE").write_text("x")
    done = typed("--format", "polis", str(tmp_path / "set"), "--dry-run")
    assert b"2  statement" in done.stdout and b"3  rating" in done.stdout and b"LICENSE" in done.stdout


@pytest.mark.parametrize(
    "arguments,code",
    [
        (["--format", "nothing"], "format_unknown"), (["--format", "generic"], "mapping_invalid"),
        (["--format", "generic", "--mapping", "README.md"], "mapping_invalid"), (["--format", "avid", "--mapping", "README.md"], "mapping_invalid"),
        (["--format", "avid", "--basis", "explicit"], "consent_incomplete"),
        (["--format", "avid", "--policy", "evaluation-only", "--basis", "x"], "consent_incomplete"),
        (["--format", "avid", "--policy", "evaluation-only", "--basis", "explicit"], "consent_incomplete"),
        (["--format", "avid", "--policy", "no-such-template"], "policy_unknown_template"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(arguments: list[str], code: str) -> None:
    done = typed(*arguments, str(SAMPLES / "avid.json"), "--dry-run")
    assert done.returncode == 2 and done.stderr.decode().startswith(f"{code}: "), done.stderr


def test_files_that_cannot_be_opened_or_unpacked_are_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"message_id":"1","text":"a"}\n' * 9_000)[:-9])
    # After something that is read: of a file that begins with white space alone less is unpacked.
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"message_id":"1","text":"a"}\n' + b" " * (72 << 20)))
    report = dry_run(job("openassistant", tmp_path / "none.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"))
    assert {"file_unreadable", "file_damaged", "file_too_dense"} <= {one["code"] for one in report.refused()}
    done = typed("--format", "openassistant", str(tmp_path / "none.jsonl"), "--dry-run", "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["refused"][0]["code"] == "file_unreadable"
