"""Everything mixed and everything at once: acts of people and collectives in any order, and ballots beside the count."""

import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sayso.collective import Collective
from sayso.contributor import Contributor
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives import licensing, voting
from app.collectives.models import Collective as Row
from app.kit.db import for_update, read, write
from app.log.models import LogEntry
from tests.collectives.members import founded, mandated, pass_days, people
from tests.collectives.test_deciding import NARROW, union_of
from tests.collectives.test_mandates import change_policy
from tests.collectives.test_strikes import ended, struck
from tests.faults.cuts import once, outcome, queued
from tests.kit.refusals import at_once, call
from tests.support import LabParty, PlatformParty, Service

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
SEQUENCES, STEPS = (5_000, 50) if SOAK else (1, 18)


@dataclass
class Somebody:
    """What a person chose, as the test knows it."""

    person: Contributor
    given: Any
    allows: bool = True
    member_of: set[int] = field(default_factory=set)
    mandates: dict[int, list[str]] = field(default_factory=dict)


class World:
    """Five people, two collectives, one lab; acts go through the front door, and what should be released is worked out here."""

    def __init__(self, service: Service, lab: LabParty, rng: random.Random) -> None:
        self.service, self.rng, self.lab = service, rng, lab
        platform = service.platform()
        (founder, kept), *others = people(service, platform, 6)
        self.kept = kept.id
        self.unions = [founded(founder), founded(founder)]
        self.permits = [True, True]
        self.refuses = [False, False]
        self.strikes: list[tuple[str, str] | None] = [None, None]
        self.people = [Somebody(person, given) for person, given in others]
        self.agreement = lab.agree(platform)

    def expected(self) -> set[str]:
        return {one.given.id for one in self.people if self._released(one)} | ({self.kept} if not any(map(self._bars, (0, 1))) else set())

    def _bars(self, n: int) -> bool:
        """Whether a collective lets nothing of its members go to the lab. All of it was recorded before a strike."""
        running = self.strikes[n]
        return self.refuses[n] or (running is not None and running[0] == "pause")

    def _released(self, one: Somebody) -> bool:
        by_mandate = all(self.permits[n] for n, given in one.mandates.items() if given)
        return one.allows and by_mandate and not any(self._bars(n) for n in one.member_of)

    def act(self) -> None:
        one, n = self.rng.choice(self.people), self.rng.randrange(2)
        mine = Collective(one.person, self.unions[n].id)
        often = [self.join, self.mandate] * 2
        act: Callable[..., None] = self.rng.choice([*often, self.end, self.leave, self.policy, self.scope, self.refuse, self.strike])
        act(one, n, mine)

    def join(self, one: Somebody, n: int, mine: Collective) -> None:
        if n not in one.member_of:
            mine.join()
            one.member_of.add(n)

    def mandate(self, one: Somebody, n: int, mine: Collective) -> None:
        if n in one.member_of:
            one.mandates.setdefault(n, []).append(mandated(self.service, mine))

    def end(self, one: Somebody, n: int, mine: Collective) -> None:
        if one.mandates.get(n):
            mine.end_mandate(one.mandates[n].pop())

    def leave(self, one: Somebody, n: int, mine: Collective) -> None:
        if n in one.member_of:
            mine.leave()
            one.member_of.remove(n)
            one.mandates.pop(n, None)

    def policy(self, one: Somebody, n: int, mine: Collective) -> None:
        self.permits[n] = not self.permits[n]
        change_policy(self.service, self.unions[n].id, "evaluation-only" if self.permits[n] else "nothing-new")

    def scope(self, one: Somebody, n: int, mine: Collective) -> None:
        one.allows = not one.allows
        one.person.scope(one.given.id, template="evaluation-only" if one.allows else "nothing-new")

    def strike(self, one: Somebody, n: int, mine: Collective) -> None:
        running, kind = self.strikes[n], self.rng.choice(["pause", "refuse_new"])
        if running is not None:
            ended(self.service, self.unions[n].id, running[1])
        self.strikes[n] = None if running is not None else (kind, struck(self.service, self.unions[n].id, kind, self.lab.id))

    def refuse(self, one: Somebody, n: int, mine: Collective) -> None:
        self.refuses[n] = not self.refuses[n]
        with write(self.service.runtime.engine) as session:
            row = session.exec(for_update(select(Row).where(Row.id == self.unions[n].id), session)).one()
            licensing.set_refusal(session, row, self.lab.id, self.refuses[n], row.id, now=self.service.clock.now())


def test_I1_I3_acts_in_any_order_and_releases_between_and_beside_them(service: Service, lab: LabParty) -> None:
    """After every few acts a release holds exactly what everybody allows; acts fall before, between and during cuts."""
    for seed in range(SEQUENCES):
        rng = random.Random(seed)
        world = World(service, lab, rng)
        for step in range(STEPS):
            world.act()
            if rng.random() < 0.25 or step == STEPS - 1:
                cut = queued(service, world.agreement)
                before = world.expected()
                if rng.random() < 0.6:
                    cut.after_selection.append(once(world.act))
                cut.run()
                found = outcome(service, cut.release).contributions
                # What was allowed before and after must be there; what came to be allowed beside the cut may wait for the next.
                assert found <= world.expected() and before & world.expected() <= found, (seed, step)


def test_ballots_beside_the_count_are_in_the_outcome_or_were_refused(service: Service, platform: PlatformParty) -> None:
    """Four timers fire at once while five people vote: one outcome, with every ballot that was acknowledged."""
    mine = union_of(service, platform, 5)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    mine[0].vote(opened, "yes")
    service.clock.offset += timedelta(days=7) - timedelta(seconds=0.8)
    cast: list[dict[str, Any]] = []

    def vote(one: Collective) -> None:
        with suppress(SaysoError):
            for _ in range(200):
                cast.append(one.vote(opened, "yes"))

    def count() -> None:
        for _ in range(200):
            voting.advance(service.runtime, proposal["id"])
            if mine[0].proposal(proposal["id"])["verdict"] is not None:
                return

    with ThreadPoolExecutor(9) as pool:
        for done in [*(pool.submit(vote, one) for one in mine), *(pool.submit(count) for _ in range(4))]:
            done.result(timeout=60)
    found = json.loads(mine[0].outcome(proposal["id"])["outcome"])
    assert {(b["tag"], b["at"]) for b in cast} <= {(b["tag"], b["at"]) for b in found["ballots"]}
    with read(service.runtime.engine) as session:
        kinds = session.exec(select(LogEntry.type).where(LogEntry.subject == proposal["id"])).all()
    assert kinds.count("outcome.decided") == 1


def test_joining_and_leaving_at_once_end_in_one_membership_or_none(service: Service, platform: PlatformParty) -> None:
    (founder, _), (person, _) = people(service, platform, 2)
    union = founded(founder)
    token, path = person._auth._secret, f"/v1/collectives/{union.id}/members"
    answers = at_once(6, lambda n: call(service, "POST", path, token, b"{}"))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 5
    answers = at_once(4, lambda n: call(service, "DELETE", path + "/me", token))
    assert sorted(a.status_code for a in answers) == [200] + [404] * 3
