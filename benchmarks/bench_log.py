"""The log: leaves sequenced, integrated and published, against hashing the same tree in memory and writing the rows alone.

In this process, without HTTP: the publisher itself, tiles and bundles on the same disk as the database. Leaves are made before
the clock starts, as a personal act makes them (a commitment in the open, the opening sealed). Proofs are read cold: each from
the files, with nothing kept from the one before. `sayso verify log` runs over the published files.

What the disk and the driver take by themselves is measured beside it, each alone and in the same rounds: the rows written and read, as
many files of the same sizes each synced, the leaves in one file. Their times and the hashing's together are what no publisher that does
one after the other can be quicker than.
"""

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import psycopg

from app.core import merkle
from app.crypto.sealing import Sealer, new_key
from app.kit.db import read, write
from app.kit.files import sync_directory
from app.kit.migrate import upgrade
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.log import proofs
from app.log import service as log
from app.log.publisher import Publisher, last_checkpoint, read_tile
from app.main import make_runtime
from benchmarks.bench_http import ROOT
from benchmarks.floors import plain_url
from benchmarks.measure import Outcome, backend, interleaved, paired

HASHING = 0.5
PROOF_MS = 2.0
BATCH = 5_000
EACH = 20_000
"""Leaves between two checkpoints: what a busy service sequences in a quarter of a second, and more."""
FULL = merkle.TILE_WIDTH**2
"""Leaves from which on a smaller tree's second level can be read: its tile is full."""
PARTS = {
    "rows": "the rows written by the driver alone",
    "read": "their leaves read by the driver alone",
    "files": "as many files of those sizes alone, each synced, 8 at a time",
    "kept": "the leaves in one file alone, synced each time",
}


def run(database: str, *, rounds: int, leaves: int) -> list[Outcome]:
    """`leaves` a round are appended, integrated and published on `database`; then proofs, and the whole log is verified."""
    with backend(database) as (directory, url), at_rest(directory, url) as runtime:
        made = make(runtime, leaves)
        publisher = Publisher(runtime)
        publisher.publish()
        bare = Bare(database, url, directory)
        seconds: dict[str, list[float]] = {"append": [], "publish": []}

        def ours(number: int) -> float:
            spent = {"append": 0.0, "publish": 0.0}
            for start in range(0, leaves, EACH):
                at = time.perf_counter()
                for first in range(start, min(start + EACH, leaves), BATCH):
                    with write(runtime.engine) as session:
                        log.append(session, made[first : min(first + BATCH, start + EACH)], runtime.clock.now())
                between = time.perf_counter()
                publisher.publish()
                spent["append"] += between - at
                spent["publish"] += time.perf_counter() - between
            if number >= 0:
                for name, value in spent.items():
                    seconds[name].append(value)
            return leaves / sum(spent.values())

        data = [leaf.data for leaf in made]
        parts: dict[str, Callable[[int], float]] = {
            "rows": lambda number: timed(lambda: bare.write(made, number)),
            "read": lambda _: timed(lambda: bare.read(leaves)),
            "files": bare.files(data),
            "kept": lambda _: timed(lambda: bare.keep(data)),
            "memory": lambda _: timed(lambda: in_memory(data)),
        }
        taken = interleaved({"ours": ours, **parts}, rounds)
        found = {name: [leaves / s for s in taken[name]] for name in parts}
        together = [leaves / sum(taken[name][n] for name in parts) for n in range(rounds)]
        publishing = [leaves / sum(taken[name][n] for name in parts if name != "rows") for n in range(rounds)]
        bare.close()
        ours_rate, published = taken["ours"], [leaves / s for s in seconds["publish"]]
        memory = "against hashing the tree in memory"
        out = [
            paired(f"append, integrate, publish, {database}, {memory}: leaves/s", ours_rate, found["memory"], HASHING),
            paired(f"integrate, publish alone, {database}, against the same: leaves/s", published, found["memory"], HASHING),
            paired(f"append, integrate, publish, {database}, against the rows by the driver alone: leaves/s", ours_rate, found["rows"], None),
            paired(f"append alone, {database}, against the same: leaves/s", [leaves / s for s in seconds["append"]], found["rows"], None),
            *(paired(f"{what}, {database}, {memory}: leaves/s", found[name], found["memory"], None) for name, what in PARTS.items()),
            paired(f"these and the hashing one after the other, {database}, {memory}: leaves/s", together, found["memory"], None),
            paired(f"append, integrate, publish, {database}, against these one after the other: leaves/s", ours_rate, together, None),
            paired(f"integrate, publish alone, {database}, against these but the writing of rows: leaves/s", published, publishing, None),
        ]
        with read(runtime.engine) as session:
            newest = last_checkpoint(session)
        assert newest is not None
        out += [proof_time(runtime, size) for size in (10**3, 10**4, 10**5, 10**6) if size <= newest.size >= FULL]
        return [*out, verified(runtime, directory, newest.size, found["memory"])]


@contextmanager
def at_rest(directory: Path, url: str) -> Iterator[Runtime]:
    """A service that runs nothing by itself."""
    runtime = make_runtime(Settings(data_dir=directory / "data", database_url=url))
    upgrade(runtime.settings.database)
    try:
        yield runtime
    finally:
        runtime.engine.dispose()


def make(runtime: Runtime, count: int) -> list[log.Leaf]:
    """Leaves of recorded contributions, of the size they have."""
    sealer, now = Sealer(new_key()), runtime.clock.now()
    body = {"contribution": "con_" + "0" * 26, "platform": "plt_" + "0" * 26, "kind": "preference", "parts": {"text": "0" * 64}}
    return [log.personal("contribution.recorded", "con_" + "0" * 26, body, sealer, now) for _ in range(count)]


def in_memory(leaves: list[bytes]) -> bytes:
    """Every leaf and every node of the tree, hashed once: what no log over it can do without."""
    row = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(row) > 1:
        above = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        row = above + row[len(above) * 2 :]
    return row[0]


def timed(act: object) -> float:
    start = time.perf_counter()
    act()  # type: ignore[operator]
    return time.perf_counter() - start


class Bare:
    """The rows of the log alone, in batches of the same size and with the same durability: executemany, or binary COPY."""

    def __init__(self, database: str, url: str, directory: Path) -> None:
        self._sqlite = database == "sqlite"
        columns = "log_index bigint PRIMARY KEY, type text, subject text, at bigint, leaf %s, sealed %s"
        kind = "blob" if self._sqlite else "bytea"
        if self._sqlite:
            self._db = sqlite3.connect(directory / "bare.db", isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                self._db.execute(f"PRAGMA {pragma}")
        else:
            self._db = psycopg.connect(plain_url(url), autocommit=True)  # type: ignore[assignment]
        self._db.execute(f"CREATE TABLE bare ({columns % (kind, kind)})")
        self._db.execute("CREATE INDEX bare_subject ON bare (subject)")
        self._next, self._directory = 0, directory

    def write(self, leaves: list[log.Leaf], number: int) -> None:
        for start in range(0, len(leaves), BATCH):
            rows = [(self._next + i, x.type, x.subject, 0, x.data, x.sealed) for i, x in enumerate(leaves[start : start + BATCH])]
            self._next += len(rows)
            if self._sqlite:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT INTO bare VALUES (?,?,?,?,?,?)", rows)
                self._db.execute("COMMIT")
            else:
                with self._db.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:  # type: ignore[attr-defined]
                    copy.set_types(["int8", "text", "text", "int8", "bytea", "bytea"])
                    for row in rows:
                        copy.write_row(row)

    def read(self, count: int) -> None:
        """The leaves of the newest `count` rows, in the stretches that are published at a time."""
        for start in range(self._next - count, self._next, EACH):
            self._db.execute(
                f"SELECT leaf FROM bare WHERE log_index >= {start} AND log_index < {min(start + EACH, self._next)} ORDER BY log_index",
                **({} if self._sqlite else {"binary": True}),
            ).fetchall()

    def files(self, leaves: list[bytes]) -> Callable[[int], float]:
        """Writes the bundles and tiles of `leaves`, ready in memory, in the stretches that are published at a time; gives the seconds."""
        stretches = []
        for start in range(0, len(leaves), EACH):
            some = leaves[start : start + EACH]
            bundles = [merkle.entry_bundle(some[at : at + merkle.TILE_WIDTH]) for at in range(0, len(some), merkle.TILE_WIDTH)]
            stretches.append([*bundles, *merkle.extend(0, merkle.leaf_hashes(some), lambda *_: b"").values()])

        def write(number: int) -> float:
            folder = self._directory / f"bare {number}"
            folder.mkdir()
            start = time.perf_counter()
            with ThreadPoolExecutor(8) as pool:
                for n, files in enumerate(stretches):
                    list(pool.map(lambda named: synced(folder / f"{n} {named[0]}", named[1]), enumerate(files)))
                    sync_directory(folder)
            return time.perf_counter() - start

        return write

    def keep(self, leaves: list[bytes]) -> None:
        """The leaves at the end of one file, synced after each stretch."""
        with (self._directory / "bare.bin").open("ab") as file:
            for start in range(0, len(leaves), EACH):
                file.write(b"".join(leaves[start : start + EACH]))
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        self._db.close()


def synced(path: Path, data: bytes) -> None:
    """One file as a tile must be stored: under another name first, synced, then under its own."""
    scratch = path.with_suffix(".new")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def proof_time(runtime: Runtime, size: int) -> Outcome:
    """Milliseconds for one inclusion proof in a tree of `size`, everything read anew; the limit is the aim."""
    picks, spent = random.Random(size), []
    for _ in range(300):
        index = picks.randrange(size)
        start = time.perf_counter()
        merkle.inclusion(index, size, lambda level, n, width: read_tile(runtime, level, n, width))
        spent.append(1000 * (time.perf_counter() - start))
    median, worst = statistics.median(spent), sorted(spent)[int(0.99 * len(spent))]
    return Outcome(
        f"inclusion proof among {size:,} leaves, cold, against {PROOF_MS:g} ms: ms", median, PROOF_MS, median / PROOF_MS, 1.0,
        f"; p99 {worst:.2f} ms", at_most=True,
    )  # fmt: skip


def verified(runtime: Runtime, directory: Path, size: int, memory: list[float]) -> Outcome:
    """`sayso verify log` over the published files, as a process of its own."""
    command = [sys.executable, "-m", "sayso.cli", "verify", "log", str(directory / "data/blobs/log"), "--vkey", proofs.verifier_key(runtime)]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "client/src")}, capture_output=True, text=True)
    spent = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    rate, floor = size / spent, statistics.median(memory)
    return Outcome(f"`sayso verify log` over {size:,} leaves, against hashing the tree in memory: entries/s", rate, floor, rate / floor, None)
