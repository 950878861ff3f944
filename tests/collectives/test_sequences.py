"""Whatever people and collectives do, in any order: releases between the acts, and beside them, hold exactly what everybody allows.

The acts are the services', as their routes call them: what the front door adds is tested elsewhere, and so thousands of sequences fit into
a night.
"""

import os
import random
from collections import Counter
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from unittest.mock import patch

import pytest

from tests.collectives.acting import World
from tests.conftest import started
from tests.faults.cuts import once, outcome, queued
from tests.support import Service

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
SEQUENCES, STEPS = int(os.environ.get("SAYSO_TEST_SEQUENCES", "5000" if SOAK else "0")), 50
"""Sequences on each database, where somebody says how many; else two hundred together, each part on a service of its own."""
PARTS = {"sqlite": [range(at, at + 45) for at in range(0, 180, 45)], "postgresql": [range(180, 200)]}
"""One on PostgreSQL takes twice the time."""
FIRST = int(os.environ.get("SAYSO_TEST_FIRST", "0"))
"""The seed of the first sequence: a run that was ended goes on from where it was."""
CUTS = 0.25 if SOAK else 0.03
"""How often an act is followed by a release; each sequence ends with one. `make soak` also has the service do its own jobs beside: batches of
recalls, and the releases that follow from them. Else what a job would do is done here, when its time has come."""
A_LIFE = 100
"""Sequences on one database; then another service begins, so that the five thousandth is not looked for among all before."""


def _name(part: range | None) -> str:
    return "all" if part is None else f"from-{part.start}"


@pytest.fixture(params=[None] if SEQUENCES else [part for parts in PARTS.values() for part in parts], ids=_name)
def seeds(request: pytest.FixtureRequest, backend: str) -> range:
    """Of the sequences that one test plays."""
    if request.param is None:
        return range(FIRST, FIRST + SEQUENCES)
    if request.param not in PARTS[backend]:
        pytest.skip("it is played on the other database")
    return request.param


def test_I1_I3_acts_in_any_order_and_releases_between_and_beside_them(backend: str, request: pytest.FixtureRequest, seeds: range) -> None:
    """After some acts a release holds exactly what everybody allows, and every vote ends as its ballots say; acts fall before, between and
    during cuts."""
    seen: Counter[str] = Counter()
    with ExitStack() as lives:
        for done, seed in enumerate(seeds):
            if done % A_LIFE == 0:
                lives.close()
                service = lives.enter_context(started(backend, request))
            service.clock.offset = timedelta()
            with nullcontext() if SOAK else patch.object(service.runtime.jobs, "enqueue"):
                seen += _sequence(service, seed)
            if SOAK and seed % 10 == 9:
                print(f"{service.backend}: {done + 1} sequences held; {dict(seen)}", flush=True)
    assert seen["found"] and seen["beside"] and seen["passed"] and seen["failed"], seen


def _sequence(service: Service, seed: int) -> Counter[str]:
    rng = random.Random(seed)
    world = World(service, rng)
    for step in range(STEPS):
        world.act()
        if rng.random() < CUTS or step == STEPS - 1:
            cut = queued(service, world.agreement)
            before = world.expected()
            if rng.random() < 0.6:
                cut.after_selection.append(once(world.act))
                world.seen["beside"] += 1
            world.answer()
            cut.run()
            there = outcome(service, cut.release)
            found = there.contributions
            assert there.state in ("published", "superseded"), (seed, step, there.state)  # who narrows what is out has its successor cut too
            # What was allowed before and after must be there; what came to be allowed beside the cut may wait for the next.
            assert found <= world.expected() and before & world.expected() <= found, (seed, step)
            world.seen["found"] += bool(found)
            world.seen["cut"] += 1
    return world.seen
