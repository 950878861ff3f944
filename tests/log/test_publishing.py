"""Integrate and publish: killed between any two steps, run by two at once, damaged files, headers, and leaves too long."""

import gzip
import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest
import sqlalchemy as sa
from sayso.logcheck import verify_log

from app.core import merkle
from app.core.merkle import MAX_LEAF_BYTES
from app.core.note import open_checkpoint, parse_checkpoint, parse_note, parse_vkey
from app.crypto.keyring import verify_ed25519
from app.kit import blobs as kit_blobs
from app.kit import journal
from app.kit.db import is_sqlite, read, write
from app.kit.errors import Invalid
from app.kit.migrate import upgrade
from app.kit.runtime import Runtime
from app.log import proofs, publisher
from app.log import service as log
from app.log.check import check
from app.log.models import Checkpoint, LogEntry
from app.log.publisher import LogDamaged, Publisher
from app.log.router import takes_gzip
from app.log.witnesses import Witnesses
from app.main import make_runtime
from tests.kit.refusals import get, refused
from tests.support import LabParty, PlatformParty, Service, rows_of, serving, until
from tests.support import test_settings as settings_of


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    """A service at rest: nothing publishes by itself."""
    found = make_runtime(settings_of(tmp_path, database_url))
    if is_sqlite(found.engine):
        upgrade(found.settings.database)
    yield found
    found.engine.dispose()


def leaves(runtime: Runtime, n: int) -> int:
    """Sequence `n` leaves; gives the log's size."""
    now = runtime.clock.now()
    with write(runtime.engine) as session:
        some = [log.institutional("admin.tested", f"adm_{i}", {"n": i}, now) for i in range(n)]
        return log.append(session, some, now) + n


class Killed(BaseException):
    """What stands for the end of the process: no handler of the code under test may catch it."""


class Steps:
    """Every step of publishing, in its order: each file of tiles, the second place, cosigning, the row, the checkpoint's file. Number
    `at` is where the process ends: before a step, in the middle of writing, or after it."""

    def __init__(self, runtime: Runtime, patch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.met = at, []  # type: ignore[var-annotated]
        self._one = threading.Lock()
        blobs: Any = runtime.blobs
        wrap = self._around
        patch.setattr(blobs, "_write", wrap(blobs._write, lambda target, *_: f"file {target.name.partition('.')[0]}"))
        patch.setattr(journal, "_put", self._torn(journal._put))
        patch.setattr(runtime.journal, "_replace", wrap(runtime.journal._replace, lambda name, _: f"kept {name}"))
        patch.setattr(Witnesses, "cosign", wrap(Witnesses.cosign, lambda *_: "cosigned"))
        patch.setattr(publisher, "write", self._transaction)

    def step(self, what: str) -> None:
        with self._one:  # several files are written at a time
            self.met.append(what)
            mine = len(self.met) == self.at
        if mine:
            raise Killed

    def _around(self, real: Any, name: Any) -> Any:
        def call(*args: Any) -> Any:
            self.step("before " + name(*args))
            done = real(*args)
            self.step("after " + name(*args))
            return done

        return call

    def _torn(self, real: Any) -> Any:
        def call(file: Any, at: int, data: bytes) -> None:
            self.step("before kept leaves")
            real(file, at, data[: len(data) // 2])
            self.step("half of kept leaves")
            real(file, at, data)
            self.step("after kept leaves")

        return call

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[Any]:
        self.step("before row")
        with write(engine) as session:
            yield session
            self.step("before commit")
        self.step("after row")


@pytest.mark.parametrize("before, more, few", [(0, 0, 16), (0, 3, 16), (250, 10, 16), (511, 300, 1)])
def test_a_publisher_killed_between_any_two_steps_is_followed_by_one_that_finishes(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: int, more: int, few: int
) -> None:
    monkeypatch.setattr(kit_blobs, "_FEW", few)  # from so many files on they are written at once: whichever are there when one is not
    if before:
        leaves(runtime, before)
        Publisher(runtime).publish()
    size = leaves(runtime, more) if more else before
    places = {runtime.settings.data_dir / "blobs": tmp_path / "blobs then", runtime.settings.journal: tmp_path / "journal then"}
    for place, then in places.items():
        shutil.copytree(place, then)

    def begun() -> None:
        """What another process knows of the second place: nothing yet."""
        runtime.journal._leaves = (0, 0)

    for k in itertools.count(1):  # one step further each time
        with monkeypatch.context() as patch:
            steps = Steps(runtime, patch, k)
            begun()
            try:
                Publisher(runtime).publish()
                killed = False
            except Killed:
                killed = True
        begun()
        assert Publisher(runtime).publish() == size
        assert check(runtime) == [] and runtime.journal.kept() == size
        file = runtime.blobs.get("log/checkpoint").decode()
        with read(runtime.engine) as session:
            newest = publisher.last_checkpoint(session)
            assert newest is not None and newest.note == file and newest.size == size
            kept = list(session.execute(sa.select(LogEntry.leaf).order_by(LogEntry.log_index)).scalars())  # type: ignore[call-overload]
        assert list(runtime.journal.leaves()) == [bytes(leaf) for leaf in kept]
        assert parse_checkpoint(parse_note(runtime.journal.checkpoint() or "").text) == parse_checkpoint(parse_note(file).text)
        if not killed:
            break
        with write(runtime.engine) as session:  # the same stretch once more, from the same start
            session.execute(sa.delete(Checkpoint).where(Checkpoint.size > before) if before else sa.delete(Checkpoint))  # type: ignore[arg-type]
        for place, then in places.items():
            shutil.rmtree(place)
            shutil.copytree(then, place)
    wanted = {"after cosigned", "after kept checkpoint", "before commit", "after row", "before file checkpoint", "after file checkpoint"}
    wanted |= {"half of kept leaves", "after kept leaves"} if more else set()
    assert wanted <= set(steps.met) and (not more or len([s for s in steps.met if "file" in s]) >= 6), steps.met
    assert k == len(steps.met) + 1


def test_many_leaves_are_read_once_for_their_files_and_for_the_second_place(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, reads, real = Publisher(runtime), [], publisher.rows_of
    mine.publish()
    monkeypatch.setattr(publisher, "_CHUNK", 1500)
    monkeypatch.setattr(publisher, "rows_of", lambda *which: reads.append(which) or real(*which))
    size = leaves(runtime, 4000)
    assert mine.publish() == size == runtime.journal.kept()
    assert len(reads) == 3, "once a stretch"
    with read(runtime.engine) as session:
        stored = [bytes(leaf) for leaf in session.execute(sa.select(LogEntry.leaf).order_by(LogEntry.log_index)).scalars()]  # type: ignore[call-overload]
    assert check(runtime) == [] and list(runtime.journal.leaves()) == stored and len(stored) == size
    assert mine._read == (0, []), "nothing of it is held"


def test_two_publishers_at_once_agree_on_every_checkpoint(runtime: Runtime) -> None:
    stop, failed = threading.Event(), []

    def run() -> None:
        mine, last = Publisher(runtime), 0
        while not stop.is_set():
            try:
                size = mine.publish()
                if size < last:
                    failed.append(f"{size} after {last}")
                last = size
            except Exception as error:
                failed.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = -1
    key = parse_vkey(proofs.verifier_key(runtime))
    for n in (1, 5, 250, 3, 700, 1, 1, 1, 80, 2):
        size = leaves(runtime, n)

        def published() -> bool:
            nonlocal seen
            file = open_checkpoint(runtime.blobs.get("log/checkpoint"), key, verify_ed25519) if seen >= 0 or _there(runtime) else None
            if file is not None:
                assert file.size >= seen, "the file beside the tiles stepped back"
                seen = file.size
            return seen == size

        until(published, 30)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[:3]
    assert check(runtime) == []


def _there(runtime: Runtime) -> bool:
    return "log/checkpoint" in set(runtime.blobs.names("log"))


def test_files_that_were_lost_or_changed_are_found_and_those_at_the_edge_built_again(runtime: Runtime) -> None:
    leaves(runtime, 600)
    Publisher(runtime).publish()
    assert check(runtime) == []
    for name in ("tile/0/001", "tile/entries/001"):
        kept = runtime.blobs.get(f"log/{name}")
        runtime.blobs.put(f"log/{name}", kept[:-1] + bytes([kept[-1] ^ 1]))
        assert [line for line in check(runtime) if name in line]
        runtime.blobs.delete(f"log/{name}")
        assert [line for line in check(runtime) if name in line]
        runtime.blobs.put(f"log/{name}", kept)
    for name in ("tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/002.p/88"):
        runtime.blobs.delete(f"log/{name}")
        assert check(runtime) != []
        Publisher(runtime).publish()
        assert check(runtime) == []


def test_a_checkpoint_that_the_database_does_not_know_stops_all(runtime: Runtime) -> None:
    leaves(runtime, 5)
    Publisher(runtime).publish()
    with write(runtime.engine) as session:
        session.execute(sa.delete(Checkpoint))
    with pytest.raises(LogDamaged):
        Publisher(runtime).publish()


def test_an_act_that_does_not_fit_into_a_leaf_is_refused_and_leaves_none(runtime: Runtime) -> None:
    now = runtime.clock.now()
    fits = MAX_LEAF_BYTES - len(log.institutional("admin.tested", "adm_1", {"x": ""}, now).data)
    assert len(log.institutional("admin.tested", "adm_1", {"x": "y" * fits}, now).data) == 4095
    with pytest.raises(Invalid) as refusal:
        log.institutional("admin.tested", "adm_1", {"x": "y" * (fits + 1)}, now)
    assert refusal.value.code == "leaf_too_long"


def test_names_are_short_enough_for_every_leaf_they_stand_in(service: Service, lab: LabParty) -> None:
    from app.parties import service as parties

    for add in (
        lambda s: parties.add_platform(s, "x" * 201, now=service.clock.now()),
        lambda s: parties.add_lab(s, "é" * 201, "academic", "NL", "test", lab.key.public_jwk, now=service.clock.now()),
    ):
        with pytest.raises(Invalid) as refusal, write(service.runtime.engine) as session:
            add(session)
        assert refusal.value.code == "name_too_long"


def test_bundles_are_compressed_for_whoever_takes_it_and_kept_forever(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1)[0]
    until(lambda: _size(service) > given.log_index)
    width = min(256, _size(service))
    path = "/v1/log/" + merkle.tile_path(merkle.ENTRIES, 0, width)
    plain = service.http.get(service.base + path, headers={"Accept-Encoding": "identity"})
    with service.http.stream("GET", service.base + path, headers={"Accept-Encoding": "br, gzip;q=0.5"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip" and gzip.decompress(packed) == plain.content
    for one in (plain, answer):
        assert one.headers["vary"] == "Accept-Encoding" and one.headers["content-type"] == "application/octet-stream"
        assert one.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "content-encoding" not in plain.headers
    tile = get(service, "/v1/log/" + merkle.tile_path(0, 0, width))
    assert tile.headers["cache-control"] == "public, max-age=31536000, immutable" and "content-encoding" not in tile.headers
    newest = get(service, "/v1/log/checkpoint")
    assert newest.headers["content-type"] == "text/plain; charset=utf-8" and newest.headers["cache-control"] == "max-age=1"
    missing = get(service, "/v1/log/tile/0/999")
    refused(missing, 404, "not_found")
    assert missing.headers["cache-control"] == "no-store"


def test_a_bucket_serves_the_log_as_the_service_does(tmp_path: Path) -> None:
    """From whose files a CDN is fed: with the headers that tlog-tiles asks for; what is not of the log is kept by nobody."""
    with serving(settings_of(tmp_path, blob_url="memory:///"), "sqlite") as service:
        platform, lab = service.platform(), service.lab()
        given = platform.give(300)[0]
        release = lab.sdk.cut(lab.agree(platform), poll=0.05)
        paths = lab.sdk.download(lab.sdk.deliver(release), tmp_path / "lab")
        assert sum(len(rows_of(path)) for path in paths) == 300
        assert json.loads(service.claim(given).receipt_file(given.id))["cose"]
        until(lambda: _size(service) == read_size(service))
        blobs = service.runtime.blobs
        store, names = blobs._store, set(blobs.names("log/"))
        assert {"log/checkpoint", "log/tile/0/000", "log/tile/entries/000"} <= names and check(service.runtime) == []
        for name in names:
            there, here = obstore.get(store, name), get(service, "/v1/" + name)
            assert bytes(there.bytes()) == here.content or name == "log/checkpoint"
            told = {k.lower(): v for k, v in there.attributes.items()}
            wanted = {k: here.headers[k] for k in ("content-type", "cache-control")}
            assert told == wanted, name
            assert wanted["cache-control"] == ("max-age=1" if name == "log/checkpoint" else "public, max-age=31536000, immutable")
        shards = list(blobs.names("releases/"))
        assert shards and all(obstore.get(store, name).attributes["Cache-Control"] == "private, no-store" for name in shards)
        # The files alone are a log.
        for name in names:
            (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / name).write_bytes(blobs.get(name))
        report = verify_log(str(tmp_path / "copy" / "log"), proofs.verifier_key(service.runtime))
        assert report.ok, report.to_json()


def read_size(service: Service) -> int:
    with read(service.runtime.engine) as session:
        return log.size(session)


@pytest.mark.parametrize(
    "accepted, taken",
    [("gzip", True), ("GZIP;q=1", True), ("br,gzip", True), ("gzip;q=0", False), ("gzip;q=0.000", False), ("", False),
     ("*", False), ("identity", False), ("gzipped", False), ("gzip; q = 0.1", True)],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, taken: bool) -> None:
    assert takes_gzip(accepted) is taken


def _size(service: Service) -> int:
    return int(get(service, "/v1/log/checkpoint").text.split("\n")[1])
