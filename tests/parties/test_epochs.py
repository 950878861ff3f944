"""Key epochs: rotating beside everything else, commands, and the protocol that a KMS would answer."""

import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from app.crypto.driver import FileKeys, KeyDriver, KeysMissing
from app.crypto.keyring import KeyRing
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.crypto.signing import ServiceKey
from app.kit.db import read
from app.log.models import LogEntry
from app.parties import epochs
from app.parties.models import DataKey, KeyEpoch
from tests.faults.cuts import receipt_for_all
from tests.support import PlatformParty, ServerProcess, Service


def _epochs_in_use(service: Service) -> set[int]:
    with read(service.runtime.engine) as session:
        return set(session.exec(select(DataKey.epoch).distinct()))


def test_rotating_while_people_record_and_erase(service: Service, platform: PlatformParty) -> None:
    known = platform.give(3, contributor="ann")
    done = threading.Event()
    failed: list[Exception] = []

    def insist(act: Callable[[int], Any]) -> None:
        n = 0
        while not done.is_set():
            try:
                act(n)
            except Exception as error:
                failed.append(error)
                return
            n += 1

    with ThreadPoolExecutor(3) as pool:
        pool.submit(insist, lambda n: platform.give(1))
        pool.submit(insist, lambda n: platform.give(1, contributor="ann"))
        pool.submit(insist, lambda n: (platform.give(1, contributor=f"gone {n}"), receipt_for_all(service, platform, f"gone {n}").erase("all")))
        try:
            before = service.runtime.keys.epoch
            for _ in range(3):
                found = epochs.rotate(service.runtime, service.clock.now())
            assert found.epoch == before + 3
        finally:
            done.set()
    assert failed == []
    epochs.rewrap(service.runtime, found.epoch)
    assert _epochs_in_use(service) == {found.epoch}
    assert receipt_for_all(service, platform, "ann").receipt_file(known[0].id)
    with read(service.runtime.engine) as session:
        assert session.exec(select(LogEntry).where(LogEntry.type == "key.epoch-begun", LogEntry.subject == f"epoch-{found.epoch:04d}")).one()
        rows = {row.epoch: row for row in session.exec(select(KeyEpoch))}
    assert rows[found.epoch].ended_at is None and rows[found.epoch - 1].ended_at is not None


def test_what_is_under_an_old_epoch_is_carried_on_before_its_key_goes(service: Service, platform: PlatformParty) -> None:
    """As a process left it that had not heard of the newer epoch."""
    [given] = platform.give(1, contributor="straggler")
    epochs.rotate(service.runtime, service.clock.now())
    ring = service.runtime.keys
    behind = ring.epoch - 1
    holder = receipt_for_all(service, platform, "straggler")
    from app.contributions.models import Contribution
    from app.kit.db import write

    with write(service.runtime.engine) as session:
        row = session.get_one(DataKey, session.get_one(Contribution, given.id).contributor_id)
        key = ring.unwrap(row.contributor_id, row.epoch, bytes(row.wrapped))
        row.wrapped = ring._driver.wrap(behind, key, b"data-key\x00" + row.contributor_id.encode(), os.urandom)
        row.epoch = behind
        session.add(row)
    assert behind in _epochs_in_use(service)
    service.clock.offset += timedelta(days=31)
    gone = epochs.destroy(service.runtime, service.clock.now())
    service.clock.offset = timedelta()
    assert behind in gone and min(_epochs_in_use(service)) > behind
    assert holder.receipt_file(given.id)


def test_an_old_epoch_is_told_and_on_one_process_kept_up(service: Service) -> None:
    epochs.rotate(service.runtime, service.clock.now())
    first = service.runtime.keys.epoch
    assert epochs.due(service.runtime) is None
    service.clock.offset = timedelta(days=32)
    assert "keys rotate" in str(epochs.due(service.runtime))
    epochs.keep_up(service.runtime, service.clock.now())
    expected = first + 1 if service.backend == "sqlite" else first
    assert service.runtime.keys.epoch == expected


def test_a_rotation_that_died_is_finished_by_the_next(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.give(3)

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(epochs, "rewrap", dies)
    with pytest.raises(KeyboardInterrupt):
        epochs.rotate(service.runtime, service.clock.now())
    monkeypatch.undo()
    assert platform.give(1)
    done = epochs.rotate(service.runtime, service.clock.now())
    assert _epochs_in_use(service) == {done.epoch} and done.lost == 0


def test_the_commands(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    assert b"no journal" not in server.cli("platforms", "add", "Arena").stderr
    told = server.cli("keys", "rotate")
    assert told.returncode == 0 and b"Epoch 2 has begun" in told.stdout and b"after 60 days" in told.stdout, told.stderr
    told = server.cli("keys", "destroy")
    assert told.returncode == 0 and b"No epoch is old enough" in told.stdout
    assert b"epoch 2" in server.cli("keys", "list").stdout
    database = sqlite3.connect(tmp_path / "data" / "sayso.db")
    with database:
        database.execute("UPDATE key_epoch SET ended_at = ended_at - 31 * 86400000000 WHERE epoch = 1")
    database.close()
    told = server.cli("keys", "destroy")
    assert told.returncode == 0 and b"Destroyed: 1." in told.stdout, told.stderr
    assert [p.name for p in (tmp_path / "data" / "keys").glob("kek*")] == ["kek-0002.key"]
    assert server.cli("check-log").returncode == 0
    with sqlite3.connect(tmp_path / "data" / "sayso.db") as database:
        database.execute("UPDATE log_head SET frozen_at = size")
    database.close()
    told = server.cli("keys", "rotate")
    assert told.returncode == 2 and b"log_read_only" in told.stderr


# -- the driver ----------------------------------------------------------------------------------------------------------
class ElsewhereKeys:
    """A driver that keeps nothing in files: what a KMS looks like from here."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._signing = Ed25519PrivateKey.generate()
        self.service = ServiceKey(Ed25519PrivateKey.generate())
        self._keks = {1: Sealer(new_key())}

    @property
    def log_public(self) -> bytes:
        return self._signing.public_key().public_bytes_raw()

    def log_sign(self, message: bytes) -> bytes:
        return self._signing.sign(message)

    def derive(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b"\x00")[:32]

    def epochs(self) -> list[int]:
        return sorted(self._keks)

    def begin_epoch(self) -> int:
        self._keks[max(self._keks) + 1] = Sealer(new_key())
        return max(self._keks)

    def destroy_epoch(self, epoch: int) -> None:
        self._keks.pop(epoch, None)

    def wrap(self, epoch: int, key: bytes, place: bytes, random: Any) -> bytes:
        return self._keks[epoch].seal(key, place, random)

    def unwrap(self, epoch: int, wrapped: bytes, place: bytes) -> bytes:
        if epoch not in self._keks:
            raise CannotOpen
        return self._keks[epoch].open(wrapped, place)


@pytest.fixture(params=["files", "elsewhere"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> KeyDriver:
    return FileKeys(tmp_path, create=True) if request.param == "files" else ElsewhereKeys()


def test_every_driver_keeps_the_protocol(driver: KeyDriver) -> None:
    ring = KeyRing(driver)
    first = ring.wrap("ctb_1", b"k" * 32)
    assert ring.unwrap("ctb_1", *first) == b"k" * 32
    with pytest.raises(CannotOpen):
        ring.unwrap("ctb_2", *first)
    assert ring.begin_epoch() == ring.epoch == 2
    second = ring.wrap("ctb_1", b"k" * 32)
    assert (first[0], second[0]) == (1, 2)
    ring.destroy_epoch(1)
    ring.destroy_epoch(1)
    assert ring.refresh() == [2] and ring.unwrap("ctb_1", *second) == b"k" * 32
    with pytest.raises(CannotOpen):
        ring.unwrap("ctb_1", *first)
    assert ring.derive("a") == ring.derive("a") != ring.derive("b")
    from app.crypto.keyring import verify_ed25519

    assert verify_ed25519(ring.log_public, ring.log_sign(b"x"), b"x")


def test_two_processes_see_each_others_epochs(tmp_path: Path) -> None:
    one, two = KeyRing(tmp_path, create=True), KeyRing(tmp_path, create=True)
    under_one = one.wrap("ctb_1", b"k" * 32)
    one.begin_epoch()
    under_two = one.wrap("ctb_1", b"k" * 32)
    assert two.epoch == 1 and two.unwrap("ctb_1", *under_two) == b"k" * 32, "an epoch begun elsewhere opens before it is known"
    assert two.refresh() == [1, 2] and two.epoch == 2
    one.destroy_epoch(1)
    assert two.unwrap("ctb_1", *under_one), "until it looks"
    two.refresh()
    with pytest.raises(CannotOpen):
        two.unwrap("ctb_1", *under_one)


def test_a_process_that_paused_looks_before_it_wraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.crypto import keyring

    one, two = KeyRing(tmp_path, create=True), KeyRing(tmp_path, create=True)
    one.begin_epoch()
    assert two.wrap("ctb_1", b"k" * 32)[0] == 1
    monkeypatch.setattr(keyring, "LOOK_AGAIN", -1.0)
    assert two.wrap("ctb_1", b"k" * 32)[0] == 2


def test_without_any_epoch_nothing_starts(tmp_path: Path) -> None:
    FileKeys(tmp_path, create=True)
    (tmp_path / "kek-0001.key").unlink()
    with pytest.raises(KeysMissing):
        KeyRing(tmp_path)
