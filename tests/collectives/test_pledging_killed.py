"""Campaigns resolved by several processes at once, of which half are killed: the greatest set acts, each of it once, or nobody does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.collectives import campaigns
from app.collectives.campaign_schemas import CampaignIn, PledgeIn
from app.collectives.models import Membership
from app.collectives.service import Acting
from app.consents.models import Exclusion
from app.core.pledges import FEWEST_TOGETHER, greatest_set
from app.kit.db import read, write
from app.log import guard
from app.revocations import replay, striking
from tests.collectives.test_pledging import row_of, union_of
from tests.support import ROOT, PlatformParty, Service, until

RUNS = int(os.environ.get("SAYSO_TEST_KILLS", "1000" if os.environ.get("SAYSO_TEST_SIZE") == "soak" else "15"))
"""On each backend: thirty in `make test`."""
PEOPLE, AT_ONCE = 5, 2


class Resolvers:
    """The helper process, and what it says of its children."""

    def __init__(self, service: Service) -> None:
        settings = service.runtime.settings
        said = {"public_url": settings.public_url, "data_dir": str(settings.data_dir), "database_url": settings.database_url, "log_level": "error"}
        command = [sys.executable, "-m", "tests.collectives.resolving", json.dumps(said)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def begin(self, campaign: str, offset: timedelta) -> list[int]:
        """Begin resolving in several processes at once; their ids, each ready."""
        assert self.process.stdin is not None
        for _ in range(AT_ONCE):
            self.process.stdin.write(json.dumps({"campaign": campaign, "offset": offset.total_seconds()}) + "\n")
        found: list[int] = []
        while len(found) < AT_ONCE:
            assert self.process.stdout is not None
            word, pid = self.process.stdout.readline().split()
            if word == "ready":
                found.append(int(pid))
        return found

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _begun(service: Service, collective: str, people: list[str], rng: random.Random, until_: datetime) -> tuple[dict[str, Any], frozenset[str]]:
    """A campaign with pledges of some, and who is to act."""
    now = service.clock.now()
    thresholds = {one: rng.randrange(PEOPLE - 1) for one in people if rng.random() < 0.9}
    asked = CampaignIn(
        demand="x", action="pause", purpose="dpv:ScientificResearch", until=until_, deadline=now + timedelta(days=2), mode="at_deadline", lab=None
    )  # fmt: skip
    with write(service.runtime.engine) as session:
        made = campaigns.open_one(session, service.runtime, Acting(people[0], None), collective, asked, now=now)
        digest = campaigns.terms_sha256(campaigns.find(session, collective, made), None)
        for one, threshold in thresholds.items():
            given = PledgeIn(threshold=threshold, terms_sha256=digest)
            campaigns.pledge(session, service.runtime, Acting(one, None), collective, made, given, now=now)
    found = greatest_set(thresholds)
    return {"id": made}, found if len(found) >= FEWEST_TOGETHER else frozenset()


def _acted(service: Service, until_: datetime) -> list[str]:
    with read(service.runtime.engine) as session:
        return list(session.execute(sa.select(Exclusion.contributor_id).where(Exclusion.until == until_)).scalars())  # type: ignore[call-overload]


def test_I12_whoever_is_killed_all_of_the_greatest_set_acts_or_nobody(service: Service, platform: PlatformParty) -> None:
    members, _ = union_of(service, platform, PEOPLE)
    with read(service.runtime.engine) as session:
        people = list(session.execute(sa.select(Membership.contributor_id).where(Membership.collective_id == members[0].id)).scalars())  # type: ignore[call-overload]
    rng, resolvers, seen, longest = random.Random(), Resolvers(service), set(), 0.02
    before, ends = service.clock.offset, service.clock.now() + timedelta(days=400)
    try:
        for run in range(RUNS):
            until_ = (ends + timedelta(seconds=run)).replace(microsecond=0)
            campaign, expected = _begun(service, members[0].id, people, rng, until_)
            service.clock.offset = before + timedelta(days=2, seconds=2)
            begun, pids = time.monotonic(), resolvers.begin(campaign["id"], service.clock.offset)
            # One of the two, and in every fourth run both.
            for pid in pids if run % 4 == 0 else pids[:1]:
                time.sleep(rng.uniform(0, longest / AT_ONCE))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in pids:
                until(lambda pid=pid: _gone(pid))
            longest = max(0.02, 0.8 * longest + 0.2 * (time.monotonic() - begun))
            there = _acted(service, until_)
            seen.add(len(there))
            assert set(there) in (set(), expected) and len(there) == len(set(there)), "never some of them"
            replay.finish(service.runtime)
            striking.resolve(service.runtime, campaign["id"])
            assert sorted(_acted(service, until_)) == sorted(expected), "and each of them once"
            row = row_of(service, campaign)
            assert (row.state, row.executed, row.key) == ("reached" if expected else "not_reached", len(expected), None)
            service.clock.offset = before
        with read(service.runtime.engine) as session:
            assert guard.unfinished(session, service.runtime.journal) == []
    finally:
        resolvers.end()
    assert 0 in seen and len(seen) > 1, "some were killed before they had committed, and some after"
