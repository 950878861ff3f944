"""Each write flow with its k-th call failing, for every k until none is left to fail: the caller is not told that it was done, or
it was; nothing is done by half; and the same request again, with nothing failing, does it once. Acts that share a setting are one flow,
and the calls of each fail by themselves.

`make soak` fails every call; `make test` on SQLite the first three, every begin, commit, line of the journal and blob call, and the first
statement between two of them; on PostgreSQL every 33rd call of all.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.kit.db import read
from app.log import guard
from app.main import _routes, make_runtime
from app.revocations import replay
from tests.conftest import new_database
from tests.faults.asking import FLOWS as ASKING
from tests.faults.breaking import Breaking, breaking
from tests.faults.deliberating import FLOWS as DELIBERATING
from tests.faults.narrowing import FLOWS as NARROWING
from tests.faults.owing import FLOWS as OWING
from tests.faults.releasing import FLOWS as RELEASING
from tests.faults.requesting import FLOWS as REQUESTING
from tests.faults.together import FLOWS as TOGETHER
from tests.faults.world import Flow, World, tries
from tests.support import LabParty, PlatformParty, Service, quick_directory, serving, test_settings

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
FLOWS = [*RELEASING, *NARROWING, *TOGETHER, *DELIBERATING, *ASKING, *REQUESTING, *OWING]

_READS = "it writes nothing that anybody relies on"
_ALIKE = "what it does is done by a flow that is covered"
_UNTOLD = "what was made and not told is never used, and runs out"
_SET = "one row that is set, and set again by the same request"
NOT_FAILED = {
    "POST /v1/oauth/token": _UNTOLD,
    "POST /v1/oauth/revoke": _SET,
    "POST /v1/portal-sessions": _UNTOLD,
    "POST /v1/console-links": _UNTOLD,
    "POST /v1/contributions/claim-link": _READS,
    "POST /v1/policies/preview": _READS,
    "POST /v1/platforms/me/guard": _READS,
    "POST /v1/quotes": _READS,
    "POST /v1/agreements/{agreement}/checks": _READS,
    "POST /v1/policies": _SET,
    "POST /v1/wordings": _SET,
    "POST /v1/events/poll": _SET,
    "PUT /v1/events/push": _SET,
    "DELETE /v1/events/push": _SET,
    "PUT /v1/webhook": _SET,
    "DELETE /v1/webhook": _SET,
    "POST /v1/webhook/secret": _UNTOLD,
    "POST /v1/webhook/events/{event}/redelivery": _SET,
    "DELETE /v1/platforms/me/site-keys/{site_key}": _SET,
    "POST /v1/platforms/me/site-keys": _UNTOLD,
    "POST /v1/widget/{site}/intents": _ALIKE + " (POST /v1/consent-intents)",
    "POST /v1/intake/refused/{line}/retry": _ALIKE + " (POST /v1/contributions/batch)",
    **{
        f"POST /v1/ingest/{tool}/{{key}}": _ALIKE + " (POST /v1/contributions/batch)"
        for tool in ("argilla", "bugcrowd", "fastchat", "hackerone", "label-studio", "odin")
    },
    "POST /v1/openings": "one leaf and the row that says so, in one transaction; the same request again gives the same file",
    "DELETE /v1/lab-keys/{key}": _ALIKE + " (python -m app labs revoke-key)",
    "job report": _ALIKE + " (job overdue)", "job deletion": _ALIKE + " (job overdue)",
    "POST /v1/releases/{release}/attestation": _ALIKE + " (POST /v1/recalls/{recall}/attestation)",
}  # fmt: skip
"""The mutating routes and durable jobs that no flow makes to fail, and why. The pages' own routes call the services that these do."""
__doc__ += "\nNot failed:\n" + "\n".join(f"  {what}: {why}" for what, why in sorted(NOT_FAILED.items()))


_MOST = 200
"""Calls that no flow makes."""


@pytest.fixture(scope="module")
def service(backend: str, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service of this file's own: what must hold is looked for in the whole database, where other tests write rows of theirs."""
    url = "" if backend == "sqlite" else new_database(request.getfixturevalue("postgres"))
    with quick_directory() as directory, serving(test_settings(directory, url, publish_interval_ms=300), backend) as own:
        yield own


@pytest.fixture
def broken(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Breaking]:
    with breaking(service.runtime, monkeypatch, 1 if SOAK or service.backend != "sqlite" else 1_000) as it:
        yield it
    service.clock.offset = timedelta()


def test_every_write_is_failed_or_said_not_to_be(tmp_path: Path) -> None:
    runtime = make_runtime(test_settings(tmp_path))
    runtime.engine.dispose()
    reading = {"GET", "HEAD", "OPTIONS"}
    routes = {f"{method} {route.path}" for route in _routes() for method in route.methods - reading}
    writes = {what for what in routes if "/v1/" in what} | {f"job {name}" for name in runtime.jobs._handlers}
    failed = {what for flow in FLOWS for what in flow.covers}  # type: ignore[attr-defined]
    assert failed.isdisjoint(NOT_FAILED)
    assert writes - failed == NOT_FAILED.keys(), "give it a flow, or a reason in NOT_FAILED"
    assert {what for what in failed if what.startswith(("POST /v1", "PUT /v1", "DELETE /v1", "job "))} <= writes


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.__name__)
def test_the_kth_call_fails(
    service: Service, platform: PlatformParty, lab: LabParty, broken: Breaking, flow: Flow
) -> None:
    world = World(service, platform, lab)
    fired: defaultdict[int, list[str]] = defaultdict(list)
    # It is the same code, and `make soak` fails them all.
    stride = 1 if SOAK or service.backend == "sqlite" else 33
    k, tried, found = 1, 0, True
    # What is remembered for a second (who asks, by which key) is not looked up again, so that one round may make fewer calls than the others:
    # it is not the last where an act was not failed at its commit.
    while found or (stride == 1 and k < _MOST and not all(_committing(fired[one]) for one in range(tried))):
        found, tried = False, 0
        for act, holds in tries(flow(world)):
            if met := _failed(world, broken, k, act, holds):
                fired[tried].append(met)
                found = True
            tried += 1
        _nothing_by_half(world)
        k += stride
    for one in range(tried):
        assert fired[one], f"nothing was broken of number {one}"
        assert stride > 1 or _committing(fired[one]), fired[one]
    print(flow.__name__, service.backend, [len(fired[one]) for one in range(tried)])


def _committing(fired: list[str]) -> bool:
    return any("commit" in what for what in fired)


def _failed(world: World, broken: Breaking, k: int, act: Callable[[], Any], holds: Callable[[], None]) -> str:
    """Try once with the k-th call failing, and again; gives what failed, where there were as many calls."""
    journal = world.service.runtime.journal
    noted = journal.end()
    broken.arm(k)
    try:
        done = act()
    except Exception:
        done = False
    broken.disarm()
    if not broken.fired:
        assert done
        holds()
        return ""
    _nothing_by_half(world)
    if done:
        holds()
    assert act(), f"it cannot be done after call {k} ({broken.fired}) failed"
    holds()
    if journal.end() != noted:  # else there is nothing to be done again
        replay.finish(world.service.runtime)
        with read(world.service.runtime.engine) as session:
            assert guard.unfinished(session, journal) == []
        holds()
    return broken.fired


def _nothing_by_half(world: World) -> None:
    with world.state() as state:
        state.check_log()
