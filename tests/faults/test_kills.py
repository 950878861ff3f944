"""SIGKILL at random points of the journey: what was acknowledged is there afterwards, in database and log, and nothing by half.

SAYSO_TEST_KILLS sets how many kills (20 on SQLite, 6 on PostgreSQL otherwise), SAYSO_TEST_SEED repeats a run's choices.
"""

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sayso.jws import PrivateKey

from app.kit.settings import Settings
from tests.conftest import new_database
from tests.faults.clients import Clients
from tests.faults.state import State
from tests.support import ServerProcess, until

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
SEED = int(os.environ.get("SAYSO_TEST_SEED", random.randrange(2**32)))
A_LIFE = 50
"""Kills of one installation: all that it holds is looked at after each, so that a longer life would spend its time on that."""
ACTS = ("recorded", "withdrawn", "erased", "agreements", "cuts", "deliveries")
"""What every run must have done, however short."""


def kills(usual: int) -> int:
    return int(os.environ.get("SAYSO_TEST_KILLS", 1000 if SOAK else usual))


class Installation:
    """A service's data, its process, and clients at work on it."""

    def __init__(self, directory: Path, database_url: str) -> None:
        self.data = directory / "data"
        # So that cuts are of several shards and a kill comes between two of them.
        self.server = ServerProcess(self.data, database_url, SAYSO_SHARD_BYTES="2000")
        self.url = Settings(data_dir=self.data, database_url=database_url).database
        if database_url:
            assert self.server.cli("migrate").returncode == 0
        made = json.loads(self._cli("platforms", "add", "Arena", "--json"))
        key = PrivateKey.generate("Ed25519")
        (directory / "lab.jwk").write_text(json.dumps({k: v for k, v in key.private_jwk.items() if k != "d"}))
        lab = json.loads(
            self._cli(
                "labs",
                "add",
                "Lab",
                "--kind",
                "academic",
                "--seat",
                "NL",
                "--jwk",
                str(directory / "lab.jwk"),
                "--json",
            )
        )
        self.clients = Clients(
            self.server.base,
            (made["client_id"], made["client_secret"]),
            (lab["client_id"], key),
            directory / "fetched",
            SEED,
        )

    def _cli(self, *arguments: str) -> bytes:
        done = self.server.cli(*arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def restart(self) -> float:
        """Start the server; gives the seconds until it was ready."""
        began = time.monotonic()
        self.server.start()
        return time.monotonic() - began

    def check(self) -> None:
        """Everything acknowledged until now, against one look at the database."""
        told = self.clients.ledger.copy()
        with State(self.url) as state:
            state.check_log()
            state.check_acknowledged(told)
            state.check_checkpoints(told.checkpoints[-3:])
            state.check_revocation_wins(self.data / "blobs")

    def _failures(self) -> list[str]:
        """What the server wrote of requests that failed for another reason than a database that was away."""
        lines = self.server.log.read_text(errors="replace").splitlines()
        return [line for line in lines if "request.failed" in line and '"OperationalError"' not in line]

    def left(self) -> list[str]:
        """Work that is begun and not done."""
        with State(self.url) as state:
            return [*state.unfinished(), *state.erasing(), *state.open_jobs(), *state.forgotten(self.data / "journal")]

    def wait(self, check: Callable[[], Any], seconds: float) -> None:
        """As `until`; where it does not come about, with what there is to know."""
        try:
            until(check, seconds)
        except AssertionError:
            print(self.clients.errors, self.clients.ledger.figures(), *self._failures(), sep="\n")
            raise AssertionError(f"it does not come about; at work: {self.left()[:20]}") from None

    def finish(self) -> None:
        """Let the clients end, the jobs run out, and check all of it again with the server stopped."""
        self.clients.stop()

        self.wait(lambda: not self.left(), 120)
        self.server.kill(signal.SIGTERM)
        checked = self.server.cli("check-log")
        assert checked.returncode == 0, checked.stderr.decode()
        self.check()
        told = self.clients.ledger
        with State(self.url) as state:
            state.check_checkpoints(told.checkpoints)
            assert state.failed_jobs() == []
            state.check_journal(self.data / "journal")
        if told.wrong:
            print(*self._failures(), sep="\n")
        assert told.wrong == [], told.wrong[:10]
        left = [p.name for p in (self.data / "work").glob("*")] if (self.data / "work").exists() else []
        assert left == [], f"working files of killed cuts were left: {left[:5]}"


@contextmanager
def installed(database_url: str) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory() as directory:
        installation = Installation(Path(directory), database_url)
        try:
            yield installation
        finally:
            installation.clients._stop.set()
            installation.server.kill()


def test_killed_at_any_point_nothing_acknowledged_is_lost(backend: str, request: pytest.FixtureRequest) -> None:
    count = kills(20 if backend == "sqlite" else 6)
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    for life in range(-(-count // A_LIFE)):
        url = "" if backend == "sqlite" else new_database(request.getfixturevalue("postgres"))
        figures = _life(rng, url, min(A_LIFE, count - life * A_LIFE))
        print(json.dumps({"backend": backend, "seed": SEED, **figures}), flush=True)


def _life(rng: random.Random, database_url: str, count: int) -> dict[str, Any]:
    """An installation from its first start to its end, killed so many times and looked at after each."""
    slowest, early = 0.0, 0
    with installed(database_url) as it:
        it.restart()
        it.clients.start()
        for _ in range(count):
            time.sleep(rng.uniform(0.05, 2.5 if SOAK else 1.5))
            it.server.kill()
            if rng.random() < 0.15:
                # Also while it starts, picking up what the last kill left.
                early += 1
                it.server.launch()
                time.sleep(rng.uniform(0.1, 1.5))
                it.server.kill()
            slowest = max(slowest, it.restart())
            it.check()
        # A short run may have killed every delivery: what the clients have not come to yet they do now, unharmed.
        it.wait(lambda: all(it.clients.ledger.figures()[what] for what in ACTS), 120)
        it.finish()
        return {"kills": count + early, "slowest restart": round(slowest, 1), **it.clients.ledger.figures()}


def test_killed_during_its_first_start_it_starts_again() -> None:
    """Keys, schema and job tables are made at the first start; a kill in the middle of it must not be the last of it."""
    rng = random.Random(SEED)
    for _ in range(max(2, kills(10) // 5)):
        with tempfile.TemporaryDirectory() as directory:
            server = ServerProcess(Path(directory) / "data")
            try:
                for _ in range(3):
                    server.launch()
                    time.sleep(rng.uniform(0.02, 1.2))
                    server.kill()
                server.start()
            finally:
                server.kill()
            assert server.cli("check-log").returncode == 0
