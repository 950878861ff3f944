"""What people and collectives do, at random, and what should come of it, worked out from their acts alone."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.collectives import mandates, proposals, voting
from app.collectives import service as collectives
from app.collectives.models import Proposal
from app.collectives.schemas import BallotIn, CharterIn, FoundIn, JoinIn, MandateIn, ProposeIn, StrikeIn
from app.collectives.service import Acting
from app.consents.policies import StoredPolicy
from app.consents.schemas import PolicyChoice
from app.contributions.models import Contribution
from app.core.ballots import CHOICES, Snapshot
from app.core.electing import REFUSALS, TYPES
from app.kit.db import read, write
from app.kit.errors import Forbidden
from app.parties.models import Lab
from app.releases.models import Recall
from app.revocations import recalls
from app.revocations import service as revoking
from app.revocations.acting import Holder
from tests.collectives.members import change_policy, in_days, readmitted
from tests.collectives.test_strikes import ended, struck
from tests.core.test_ballots import _groups, _oracle
from tests.support import Service, consent

CHARTER = CharterIn(aim="To decide together.", tenure_days=0, asks=50, load=100)
PEOPLE = 6
GIVES = ("preference", "critique")
"""What each gives: one record of either kind."""


@dataclass
class Strike:
    kind: str
    id: str = ""
    at: int = 0
    """When it was called, among joins and calls."""
    until: datetime | None = None
    ended: bool = False

    def runs(self, now: datetime) -> bool:
        return not self.ended and (self.until is None or self.until > now)


@dataclass
class Given:
    """A mandate."""

    id: str
    until: date
    kinds: list[str] | None
    permits: bool
    """Whether the policy does that it was given for."""


@dataclass
class Somebody:
    """What a person chose, as the test knows it."""

    id: str
    given: list[str]
    part: bool
    """Whether the first thing is all that their receipt is for."""
    allows: list[bool] = field(default_factory=lambda: [True] * len(GIVES))
    joined: dict[int, int] = field(default_factory=dict)
    """collective -> when"""
    mandates: dict[int, list[Given]] = field(default_factory=dict)

    @property
    def one(self) -> str | None:
        return self.given[0] if self.part else None

    @property
    def acting(self) -> Acting:
        return Acting(self.id, self.one)

    @property
    def reached(self) -> range:
        """Which of their records their acts are about."""
        return range(1 if self.part else len(GIVES))


@dataclass
class Open:
    """A proposal on its way."""

    id: str
    type: str
    at: datetime
    """When it moves on."""
    strike: Strike | None
    """What is to be called, or ended."""
    text_sha256: str
    state: str = "discussion"
    voted: dict[str, str | None] = field(default_factory=dict)
    """elector -> their last choice"""


class World:
    """Six people, two collectives, one lab; what should be decided and released is worked out here, from the acts alone."""

    def __init__(self, service: Service, rng: random.Random) -> None:
        self.service, self.runtime, self.rng, self.ticks = service, service.runtime, rng, itertools.count()
        platform, self.lab = service.platform(), service.lab()
        given = [
            {"external_id": f"{kind}{n}", "kind": kind, "contributor": f"u{n}", "parts": {"text": f"words {n}"}, "consent": consent()}
            for n in range(PEOPLE) for kind in GIVES
        ]  # fmt: skip
        ids = [str(one.id) for one in platform.sdk.record_many(given)]
        with read(self.runtime.engine) as session:
            by = dict(session.execute(sa.select(Contribution.id, Contribution.contributor_id).where(Contribution.id.in_(ids))).all())  # type: ignore[attr-defined,call-overload]
        theirs = [ids[n : n + len(GIVES)] for n in range(0, len(ids), len(GIVES))]
        self.people = [Somebody(by[mine[0]], mine, n > 0 and rng.random() < 0.3) for n, mine in enumerate(theirs)]
        self.agreement = self.lab.agree(platform)
        evaluation, self.unions = self.policy_of("evaluation-only"), list[str]()
        for n in range(2):
            asked = FoundIn(name=f"Union {n}", listed=True, charter=CHARTER, policy=PolicyChoice(template="evaluation-only"))
            self.unions.append(self.does(collectives.found, self.people[0], asked, evaluation, whose=False))
            self.people[0].joined[n] = next(self.ticks)
        self.permits = [True, True]
        self.refuses = [False, False]
        self.strikes: list[Strike | None] = [None, None]
        self.open: list[Open | None] = [None, None]
        self.seen: Counter[str] = Counter()

    # -- what is to be ------------------------------------------------------------------------------------------------
    def expected(self) -> set[str]:
        return {given for one in self.people for at, given in enumerate(one.given) if self._released(one, at)}

    def _running(self, n: int) -> Strike | None:
        found = self.strikes[n]
        return found if found is not None and found.runs(self.service.clock.now()) else None

    def _bars(self, n: int) -> bool:
        """Whether a collective lets nothing of its members go to the lab. All of it was recorded before a strike."""
        running = self._running(n)
        return self.refuses[n] or (running is not None and running.kind == "pause")

    def _released(self, one: Somebody, at: int) -> bool:
        if at not in one.reached:
            return one.allows[at]
        today = self.service.clock.now().date()
        mandated = [(n, given) for n, mine in one.mandates.items() for given in mine if given.kinds is None or GIVES[at] in given.kinds]
        by_mandate = all(self.permits[n] and given.permits and given.until > today for n, given in mandated)
        return one.allows[at] and by_mandate and not any(self._bars(n) for n in one.joined)

    # -- acts ---------------------------------------------------------------------------------------------------------
    def act(self) -> None:
        """One act, of somebody who can."""
        acts: list[Callable[[Somebody, int], bool]] = [
            *[self.join, self.mandate, self.propose] * 2, *[self.vote] * 12, *[self.move] * 3, self.end, self.leave, self.policy, self.scope,
            self.refuse, self.strike,
        ]  # fmt: skip
        while True:
            act = self.rng.choice(acts)
            if act(self.rng.choice(self.people), self.rng.randrange(2)):
                self.seen[act.__name__] += 1
                return

    def does(self, act: Callable[..., Any], one: Somebody, *given: Any, n: int = 0, whose: bool = True) -> Any:
        """A service's act, committed; of the collective `n`, where it is one's there."""
        of = (self.unions[n],) if whose else ()
        with write(self.runtime.engine) as session:
            return act(session, self.runtime, one.acting, *of, *given, now=self.service.clock.now())

    def policy_of(self, template: str) -> StoredPolicy:
        found: StoredPolicy = self.runtime.parts["policies"].resolve(None, template, {}, self.service.clock.now())
        return found

    def template(self, n: int) -> str:
        return "evaluation-only" if self.permits[n] else "nothing-new"

    def join(self, one: Somebody, n: int) -> bool:
        if n in one.joined:
            return False
        self.does(collectives.join, one, JoinIn(), n=n)
        one.joined[n] = next(self.ticks)
        return True

    def mandate(self, one: Somebody, n: int) -> bool:
        if n not in one.joined:
            return False
        until, kinds = in_days(self.service, self.rng.choice([300, 300, 5])), self.rng.choice([None, None, ["critique"], ["preference"]])
        given = MandateIn(expires_on=until, kinds=kinds, policy=self.policy_of(self.template(n)).digest)  # type: ignore[arg-type]
        made = self.does(mandates.give_mandate, one, given, n=n)
        before = [other for other in one.mandates.get(n, []) if kinds is not None and (other.kinds is None or other.kinds != kinds)]
        one.mandates[n] = [*before, Given(made, date.fromisoformat(until), kinds, self.permits[n])]
        return True

    def end(self, one: Somebody, n: int) -> bool:
        if not one.mandates.get(n):
            return False
        self.does(mandates.end_mandate, one, one.mandates[n].pop().id, n=n)
        return True

    def leave(self, one: Somebody, n: int) -> bool:
        if n not in one.joined:
            return False
        self.does(collectives.leave, one, n=n)
        del one.joined[n]
        one.mandates.pop(n, None)
        return True

    def policy(self, one: Somebody, n: int) -> bool:
        """As a vote brings it about, at once."""
        self.permits[n] = not self.permits[n]
        change_policy(self.service, self.unions[n], self.template(n))
        return True

    def scope(self, one: Somebody, n: int) -> bool:
        at = self.rng.choice(one.reached)
        one.allows[at] = not one.allows[at]
        policy = self.policy_of("evaluation-only" if one.allows[at] else "nothing-new")
        with write(self.runtime.engine) as session:
            revoking.scope(session, self.runtime, Holder(one.id, one.one), one.given[at], policy, "en", None, now=self.service.clock.now())
        return True

    def strike(self, one: Somebody, n: int) -> bool:
        """As a vote calls or ends one, at once."""
        if (running := self._running(n)) is not None:
            ended(self.service, self.unions[n], running.id)
            running.ended = True
            return True
        kind, until = self.rng.choice([("refuse_new", None), ("pause", None), ("pause", self.service.clock.now() + timedelta(days=4))])
        self.strikes[n] = Strike(kind, struck(self.service, self.unions[n], kind, self.lab.id, until), next(self.ticks), until)
        return True

    def refuse(self, one: Somebody, n: int) -> bool:
        self.refuses[n] = not self.refuses[n]
        readmitted(self.service, self.unions[n], self.lab.id, not self.refuses[n])
        return True

    # -- decisions ----------------------------------------------------------------------------------------------------
    def propose(self, one: Somebody, n: int) -> bool:
        if n not in one.joined or self.open[n] is not None:
            return False
        running, lab = self._running(n), self.lab.id
        type_ = self.rng.choice([
            "licence.grant" if self.refuses[n] else "licence.recall", "policy.narrow" if self.permits[n] else "policy.adopt",
            "strike.call" if running is None else "strike.end",
        ])  # fmt: skip
        said: dict[str, Any] = {"type": type_, "text": "It is time."}
        policy, strike = None, running if type_ == "strike.end" else None
        if type_.startswith("policy."):
            template = "nothing-new" if type_ == "policy.narrow" else "evaluation-only"
            said["policy"], policy = PolicyChoice(template=template), self.policy_of(template)
        elif type_ == "strike.call":
            strike = Strike(self.rng.choice(["pause", "refuse_new"]))
            said["strike"] = StrikeIn(kind=strike.kind, lab=lab)  # type: ignore[arg-type]
        else:
            said["subject"] = lab if strike is None else strike.id
        if type_ in proposals.URGENT:
            said["urgent_hours"] = 24
        made = self.does(proposals.propose, one, ProposeIn(**said), policy, n=n)
        row = self._row(made)
        self.open[n] = Open(made, type_, row.freeze_at, strike, row.text_sha256)
        return True

    def vote(self, one: Somebody, n: int) -> bool:
        found = self.open[n]
        if found is None or found.state != "ballot" or n not in one.joined or self.service.clock.now() >= found.at:
            return False
        choice = self.rng.choice([*CHOICES, "yes", "yes"])
        ballot = BallotIn(choice=choice, text_sha256=found.text_sha256, reasons=["aim"])  # type: ignore[arg-type]
        if one.id in found.voted:
            self.does(voting.vote, one, found.id, ballot, n=n)
            found.voted[one.id] = choice
        else:
            with pytest.raises(Forbidden, match="not_elector"):
                self.does(voting.vote, one, found.id, ballot, n=n)
        return True

    def move(self, one: Somebody, n: int) -> bool:
        """Time passes to where this collective's proposal moves on, and the other's with it."""
        if self.open[n] is None:
            return False
        self.service.clock.offset += self.open[n].at - self.service.clock.now() + timedelta(seconds=1)  # type: ignore[union-attr]
        self.answer()
        for m, found in enumerate(self.open):
            if found is not None and found.at <= self.service.clock.now():
                voting.advance(self.runtime, found.id)
                self._moved(m, found)
                assert self._row(found.id).state == found.state, (found, self._row(found.id).state)
        return True

    def answer(self) -> None:
        """The lab deletes what it is told to, in time: else it would get nothing more. It is told of all now: a batch that is under way while
        time jumps would be late at once."""
        recalls.open_batch(self.runtime, self.agreement.id)
        with write(self.runtime.engine) as session:
            lab = session.get_one(Lab, self.lab.id)
            waiting = select(Recall.id).where(Recall.agreement_id == self.agreement.id, Recall.state == "notified")
            for recall in session.exec(waiting).all():
                recalls.answer(session, lab, recall, "attested", now=self.service.clock.now())

    def _row(self, proposal: str) -> Proposal:
        with read(self.runtime.engine) as session:
            return session.get_one(Proposal, proposal)

    def _moved(self, n: int, found: Open) -> None:
        """What a deadline must have done."""
        row = self._row(found.id)
        if found.state == "discussion":
            members = [one for one in self.people if n in one.joined]
            if found.type == "strike.end":
                assert found.strike is not None
                took_part = [one for one in members if one.joined[n] < found.strike.at]
                members = took_part or members
            found.voted, found.state, found.at = dict.fromkeys(one.id for one in members), "ballot", row.close_at
            return
        if found.state == "ballot":
            people = [(None, choice) for choice in found.voted.values()]
            verdict = _oracle(TYPES[found.type], people, _groups(people), Snapshot({}))  # type: ignore[arg-type]
            self.seen[verdict] += 1
            found.state = verdict if verdict != "passed" else "in_force" if found.type in REFUSALS else "appeal"
            found.at = row.appeal_until
        else:
            found.state = "in_force"
        if found.state == "in_force":
            self._comes_into_force(n, found)
        if found.state != "appeal":
            self.open[n] = None

    def _comes_into_force(self, n: int, found: Open) -> None:
        if found.type == "strike.call":
            assert found.strike is not None
            if self._running(n) is None:
                self.strikes[n] = Strike(found.strike.kind, found.id, next(self.ticks))
            else:
                found.state = "moot"
        elif found.type == "strike.end":
            assert found.strike is not None
            found.state = "moot" if found.strike.ended else "in_force"
            found.strike.ended = True
        elif found.type.startswith("licence."):
            refuses = found.type == "licence.recall"
            found.state = "moot" if self.refuses[n] == refuses else "in_force"  # it was done meanwhile, by another
            self.refuses[n] = refuses
        else:
            self.permits[n] = found.type == "policy.adopt"
