"""Each write flow with its k-th call failing, for every k until none is left to fail: the caller is not told that it was done, or
it was; nothing is done by half; and the same request again, with nothing failing, does it once.

`make soak` fails every call; `make test` on SQLite every begin, commit, line of the journal and blob call, and a third of the statements
between them, on PostgreSQL every fifth call of all.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from app.kit.db import read
from app.log import guard
from app.revocations import replay
from tests.conftest import new_database, started
from tests.faults.breaking import Breaking, breaking
from tests.faults.narrowing import FLOWS as NARROWING
from tests.faults.releasing import FLOWS as RELEASING
from tests.faults.world import Made, World
from tests.support import LabParty, PlatformParty, Service, quick_directory, serving, test_settings

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
FLOWS = [*RELEASING, *NARROWING]


@pytest.fixture(scope="module")
def service(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service of this file's own: what must hold is looked for in the whole database, where other tests write rows of theirs."""
    url = "" if backend == "sqlite" else new_database(request.getfixturevalue("postgres"))
    with quick_directory() as directory, serving(test_settings(directory, url, publish_interval_ms=300), backend) as own:
        yield own


@pytest.fixture
def broken(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    with breaking(service.runtime, monkeypatch, 1 if SOAK or service.backend != "sqlite" else 3) as it:
        yield it


@pytest.fixture(scope="module")
def running(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service with a small log: all of it is looked at after each of some hundred failures."""
    with started(backend, request) as service:
        yield service


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_kth_call_fails(
    service: Service, platform: PlatformParty, lab: LabParty, broken: Breaking, flow: Callable[[World], Made]
) -> None:
    world = World(service, platform, lab)
    fired: list[str] = []
    # It is the same code, and `make soak` fails them all.
    stride = 1 if service.backend == "sqlite" or SOAK else 5
    k = 1
    while True:
        act, holds = flow(world)
        broken.arm(k)
        try:
            done = act()
        except Exception:
            done = False
        broken.disarm()
        if not broken.fired:
            assert done
            holds()
            break
        fired.append(broken.fired)
        _nothing_by_half(world)
        if done:
            holds()
        assert act(), f"it cannot be done after call {k} ({broken.fired}) failed"
        holds()
        replay.finish(service.runtime)
        with read(service.runtime.engine) as session:
            assert guard.unfinished(session, service.runtime.journal) == []
        holds()
        _nothing_by_half(world)
        k += stride
    assert fired, "nothing was broken"
    assert stride > 1 or any("commit" in what for what in fired), fired
    print(flow.__name__, service.backend, len(fired))


def _nothing_by_half(world: World) -> None:
    with world.state() as state:
        state.check_log()
