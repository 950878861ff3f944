"""After an erasure: every byte of the database's files, shards, journal and logs is searched for what was erased."""

import json
import shutil
import sqlite3
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from app.core.canonical import b64u, unb64u
from app.crypto.commitment import commit
from app.crypto.keyring import KeyRing
from app.crypto.sealing import CannotOpen, Sealer
from app.kit.db import is_sqlite
from app.log.check import check
from app.main import make_runtime
from app.parties import epochs
from tests.faults.erase_once import CANARY
from tests.support import ROOT, test_settings


@dataclass
class Erased:
    """A directory after the story, and what there was before."""

    directory: Path
    told: dict[str, Any]
    logs: bytes
    backup: Path
    seen: Path
    """The data directory, or a copy of it from the moment at which the erasure was completed, the write-ahead log with it."""
    exports: Path

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def files(self) -> dict[str, bytes]:
        """Every byte that the service keeps (the lab's own copy is not the service's) and exports, shards decompressed too."""
        found = {"logs": self.logs} | {f"exports/{path.name}": path.read_bytes() for path in self.exports.iterdir()}
        for path in self.seen.rglob("*"):
            if path.is_file():
                try:
                    data = found[str(path.relative_to(self.seen))] = path.read_bytes()
                except FileNotFoundError:  # while the service lives: written beside its place, and put there meanwhile
                    continue
                if "releases" in path.parts:
                    found[f"{path.name} decompressed"] = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return found

    def traces(self) -> set[str]:
        """What is still to be found, and where."""
        things = {name: bytes.fromhex(data) for name, data in self.told["found"].items()}
        assert all(len(data) >= 8 for data in things.values()), "too short to mean anything"
        things["anything of theirs in clear"] = CANARY.encode()
        return {f"{thing} in {place}" for place, data in self.files().items() for thing, what in things.items() if what in data}


def play(directory: Path, secure: str, scope: str) -> Erased:
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.erase_once", str(directory), secure, scope], cwd=ROOT, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdin and running.stdout and running.stderr
    lines: list[bytes] = []

    def until(wanted: Callable[[bytes], bool]) -> bytes:
        while line := running.stdout.readline():  # type: ignore[union-attr]
            if wanted(line):
                return line
            lines.append(line)
        raise AssertionError(running.stderr.read().decode()[-3000:])  # type: ignore[union-attr]

    until(lambda line: line == b"told\n")
    told = json.loads((directory / "told.json").read_text())
    backup = directory / "backup.db"
    with sqlite3.connect(directory / "data" / "sayso.db") as live, sqlite3.connect(backup) as copy:
        live.backup(copy)
    for connection in (live, copy):
        connection.close()
    before = Erased(directory, told, b"", backup, directory / "data", directory / "exports" / "before")
    missing = {name for name in told["found"] if not any(t.startswith(name + " in sayso.db") for t in before.traces())}
    assert not missing, f"the search does not find what is there: {missing}"
    assert any("decompressed" in t for t in before.traces()), "nor in a shard"
    assert any("exports/zip" in t for t in before.traces()), "nor in the person's ZIP"
    assert scope != "all" or any("exports/export" in t for t in before.traces()), "nor in an export"
    running.stdin.write(b"\n")
    running.stdin.flush()
    until(lambda line: line == b"completed\n")
    shutil.copytree(directory / "data", directory / "then")  # while the process lives: at its end SQLite deletes the write-ahead log
    assert (directory / "then" / "sayso.db-wal").stat().st_size > 0
    running.stdin.close()
    rest = running.stdout.read()
    assert running.wait(60) == 0
    logs = b"".join(lines) + rest + running.stderr.read()
    return Erased(directory, told, logs, backup, directory / "then", directory / "exports" / "after")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Erased:
    return play(tmp_path_factory.mktemp("all"), "secure", "all")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Erased:
    return play(tmp_path_factory.mktemp("one"), "secure", "contribution")


@pytest.fixture(params=["everything", "one"])
def erased(request: pytest.FixtureRequest) -> Erased:
    found: Erased = request.getfixturevalue(request.param)
    return found


def test_no_byte_of_it_is_left(erased: Erased) -> None:
    assert erased.traces() == set()
    assert Erased(**{**vars(erased), "seen": erased.data}).traces() == set(), "nor when the process has ended"
    assert any(name.startswith("exports/export") for name in erased.files())
    assert erased.logs, "the log was looked at"


def test_without_secure_delete_it_is_found(tmp_path: Path) -> None:
    """That the search above sees what it is for: the same story, with SQLite told not to overwrite what it deletes."""
    careless = play(tmp_path, "insecure", "all")
    left = {trace.split(" in ")[0] for trace in careless.traces()}
    assert {"wrapped key", "sealed text"} & left, left


def test_the_log_stays_valid_and_the_persons_own_proof_too(erased: Erased, tmp_path: Path) -> None:
    runtime = make_runtime(test_settings(erased.data, log_origin="traces.example/log"))
    assert check(runtime) == []
    runtime.engine.dispose()
    receipt = erased.told["receipt"]
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    done = subprocess.run(
        [sys.executable, "-m", "sayso.cli", "verify", "receipt", str(file), "--vkey", receipt["vkey"]], capture_output=True, text=True,
        check=False, cwd=ROOT, env={"PYTHONPATH": str(ROOT / "client" / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nothing_that_is_left_confirms_even_the_right_guess(erased: Erased) -> None:
    """Whoever knows the very payload tries every 32 bytes that the service still has as its salt."""
    receipt = erased.told["receipt"]
    payload = receipt["act"].encode()
    leaf = json.loads(b64decode(receipt["leaf"]))
    wanted = unb64u(leaf["commitment"])
    salt = unb64u(receipt["salt"])

    def confirmed(data: bytes) -> bool:
        return any(commit(data[at : at + 32], payload) == wanted for at in range(len(data) - 31))

    assert confirmed(b"x" * 100 + salt + b"y" * 100), "the search finds a salt that is there"
    files = erased.files()
    assert b64u(commit(salt, payload)) == leaf["commitment"]
    assert any(wanted in data or leaf["commitment"].encode() in data for data in files.values()), "the leaf is there"
    for place, data in files.items():
        if not place.startswith("blobs/log"):
            assert salt not in data, place
    assert not confirmed(files["sayso.db"])
    assert not confirmed(files["journal/narrowing.log"])


def test_nothing_that_is_left_opens_a_copy_of_what_was_erased(erased: Erased) -> None:
    """With the service's keys and every byte of its database, against the sealed text as a backup has it."""
    ring = KeyRing(erased.data / "keys")
    sealed = bytes.fromhex(erased.told["found"]["sealed text"])
    place = f"part\x00{erased.told['contribution']}\x00text".encode()
    contributor = erased.told["contributor"]

    def opens(data: bytes) -> bytes | None:
        for at in range(len(data) - 59):
            try:
                key = ring.unwrap(contributor, 1, data[at : at + 60])
                return Sealer(key).open(sealed, place)
            except CannotOpen:
                continue
        return None

    assert opens(bytes.fromhex(erased.told["found"]["wrapped key"])) == json.dumps(erased.told["words"]).encode()
    assert opens((erased.data / "sayso.db").read_bytes()) is None


def test_a_backup_opens_until_its_epoch_is_destroyed_and_those_who_stay_are_carried_on(everything: Erased, tmp_path: Path) -> None:
    shutil.copytree(everything.data, tmp_path / "data")
    runtime = make_runtime(test_settings(tmp_path / "data", log_origin="traces.example/log"))
    assert is_sqlite(runtime.engine)

    def open_in(database: Path) -> tuple[int, int]:
        """(people whose key opens, people in all)"""
        ring = KeyRing(tmp_path / "data" / "keys")
        with sqlite3.connect(database) as copy:
            rows = copy.execute("SELECT contributor_id, epoch, wrapped FROM data_key").fetchall()
        good = 0
        for contributor, epoch, wrapped in rows:
            try:
                ring.unwrap(contributor, epoch, wrapped)
                good += 1
            except CannotOpen:
                pass
        return good, len(rows)

    now = datetime.now(UTC)
    assert open_in(everything.backup) == (4, 4), "a backup with the keys of its time opens, the erased person's too"
    assert epochs.destroy(runtime, now + timedelta(days=400)) == [], "the current epoch is never destroyed"
    done = epochs.rotate(runtime, now + timedelta(days=30))
    assert (done.epoch, done.keys, done.lost) == (2, 3, 0)
    assert open_in(everything.backup) == (4, 4) and open_in(tmp_path / "data" / "sayso.db") == (3, 3)
    assert epochs.destroy(runtime, now + timedelta(days=59)) == []
    assert epochs.destroy(runtime, now + timedelta(days=60)) == [1]
    assert epochs.destroy(runtime, now + timedelta(days=61)) == []
    assert open_in(everything.backup) == (0, 4) and open_in(tmp_path / "data" / "sayso.db") == (3, 3)
    assert epochs.promise(runtime.settings) == 60
    assert not list((tmp_path / "data" / "keys").glob("kek-0001*"))
    assert check(runtime) == []
    runtime.engine.dispose()
