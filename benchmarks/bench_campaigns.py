"""What the service does for many people in one transaction: the end of a campaign against as many withdrawals done alone, and the count of a
proposal against opening its ballots bare.

`python -m benchmarks.bench_campaigns --pledgers 500,1000 --ballots 2000,10000`
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.collectives import campaigns, queries, service, voting
from app.collectives import proposals as proposing
from app.collectives.campaign_schemas import CampaignIn, PledgeIn
from app.collectives.electorate import ballot_key
from app.collectives.models import BallotRow, Campaign, Membership, Proposal
from app.collectives.schemas import BallotIn, CharterIn, FoundIn, ProposeIn, StrikeIn
from app.collectives.service import Acting
from app.crypto.sealing import Sealer
from app.kit.clock import ShiftedClock
from app.kit.db import read, write
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.log import service as log
from app.log.models import LogEntry
from app.main import make_runtime
from app.revocations import service as revocations
from app.revocations import striking
from app.revocations.acting import Holder
from app.revocations.schemas import RevocationIn
from benchmarks.bench_http import Load, send
from benchmarks.bench_release import Lab
from benchmarks.measure import Outcome, backend, paired, sayso_server


class _GivenUp(Exception):
    """Takes back what was measured, so that it can be measured again."""


class _Bench:
    """A collective of everybody in a database, in this process."""

    def __init__(self, settings: Settings, lab: str) -> None:
        self.clock, self.lab = ShiftedClock(), lab
        self.runtime: Runtime = make_runtime(settings, self.clock)
        with read(self.runtime.engine) as session:
            self.people = list(session.connection().exec_driver_sql("SELECT DISTINCT contributor_id FROM contribution ORDER BY 1").scalars())
        charter, now = CharterIn(aim="x", tenure_days=0), self.clock.now()
        with write(self.runtime.engine) as session:
            service.found(session, self.runtime, Acting(self.people[0], None), FoundIn(name="Bench", charter=charter), None, now=now)
            self.collective = session.execute(sa.select(Membership.collective_id)).scalar_one()  # type: ignore[call-overload]
        for some in _chunks(self.people[1:], 500):
            with write(self.runtime.engine) as session:
                session.add_all(
                    Membership(
                        id=new_id("member"), collective_id=self.collective, contributor_id=one, joined_at=now, voice_from=now,
                        member=queries.pseudonym(self.runtime, self.collective, one),
                    )
                    for one in some
                )  # fmt: skip

    def for_each(self, people: list[str], act: Callable[[Any, str], object]) -> None:
        for some in _chunks(people, 200):
            with write(self.runtime.engine) as session:
                for one in some:
                    act(session, one)

    # -- campaigns -----------------------------------------------------------------------------------------------------
    def pledged(self, people: list[str]) -> str:
        """A campaign to withdraw for which all of these pledge, and its deadline is over."""
        now = self.clock.now()
        asked = CampaignIn(demand="x", action="withdraw", lab=self.lab, deadline=now + timedelta(days=2))
        with write(self.runtime.engine) as session:
            made = campaigns.open_one(session, self.runtime, Acting(self.people[0], None), self.collective, asked, now=now)
            digest = campaigns.terms_sha256(campaigns.find(session, self.collective, made), None)
        given = PledgeIn(threshold=len(people) - 1, terms_sha256=digest)
        self.for_each(people, lambda s, one: campaigns.pledge(s, self.runtime, Acting(one, None), self.collective, made, given, now=now))
        self.clock.offset += timedelta(days=2, seconds=2)
        return made

    def resolve(self, campaign: str, people: int) -> tuple[float, float]:
        """(seconds, and of them with the head of the log)."""
        held, real = [0.0], campaigns.close

        def close(*given: Any) -> None:  # what comes before the first act
            held[0] = time.perf_counter()
            real(*given)

        campaigns.close = close
        try:
            began = time.perf_counter()
            striking.resolve(self.runtime, campaign)
            end = time.perf_counter()
        finally:
            campaigns.close = real
        with read(self.runtime.engine) as session:
            row = session.get_one(Campaign, campaign)
            if (row.state, row.executed) != ("reached", people):
                raise RuntimeError(f"{people} were to act: {row.state}, {row.executed}")
        return end - began, end - held[0]

    def alone(self, people: list[str]) -> float:
        """Seconds for each of these to withdraw from the lab, one after the other."""
        asked = RevocationIn(scope="lab", lab=self.lab)
        began = time.perf_counter()
        for one in people:
            with write(self.runtime.engine) as session:
                revocations.withdraw(session, self.runtime, Holder(one, None), asked, now=self.clock.now())
        return time.perf_counter() - began

    # -- ballots -------------------------------------------------------------------------------------------------------
    def voted(self, people: list[str]) -> str:
        """A proposal on which all of these voted, and its ballot is over."""
        asked = ProposeIn(type="strike.call", text="x", strike=StrikeIn(kind="refuse_new", lab=self.lab))
        with write(self.runtime.engine) as session:
            act = proposing.propose(session, self.runtime, Acting(people[0], None), self.collective, asked, None, now=self.clock.now())
        self.clock.offset += timedelta(days=7, seconds=2)
        voting.advance(self.runtime, act)
        with read(self.runtime.engine) as session:
            row = session.get_one(Proposal, act)
            if row.state != "ballot":
                raise RuntimeError(f"the ballot did not open: {row.state}")
            text = row.text_sha256
        given = [BallotIn(choice="yes", text_sha256=text), BallotIn(choice="no", text_sha256=text, reasons=["aim"])]
        now, turn = self.clock.now(), iter(range(len(people)))
        self.for_each(people, lambda s, one: voting.vote(s, self.runtime, Acting(one, None), self.collective, act, given[next(turn) % 2], now=now))
        self.clock.offset += timedelta(days=7, seconds=2)
        return act

    def count(self, proposal: str, ballots: int) -> float:
        """Seconds of the service's count, which is then taken back."""
        try:
            with write(self.runtime.engine) as session:
                collective = queries.collective_of(session, self.collective, lock=True)
                row = queries.proposal(session, self.collective, proposal, lock=True)
                began = time.perf_counter()
                voting._count(session, self.runtime, collective, row, self.clock.now())
                seconds = time.perf_counter() - began
                if row.state == "ballot" or ballots != self._cast(session, proposal):
                    raise RuntimeError(f"it was not counted: {row.state}")
                raise _GivenUp
        except _GivenUp:
            return seconds

    def bare(self, proposal: str) -> float:
        """Seconds to read the sealed ballots and open them, and nothing else."""
        with read(self.runtime.engine) as session:
            began = time.perf_counter()
            sealer = Sealer(ballot_key(self.runtime, session.get_one(Proposal, proposal)))
            rows = sa.select(LogEntry.leaf, LogEntry.sealed).join(BallotRow, LogEntry.log_index == BallotRow.log_index)  # type: ignore[call-overload,arg-type]
            for leaf, sealed in session.execute(rows.where(BallotRow.proposal_id == proposal)):
                json.loads(sealer.open(bytes(sealed), log.opening_place(bytes(leaf)))[32:])
            return time.perf_counter() - began

    def _cast(self, session: Any, proposal: str) -> int:
        return int(session.execute(sa.select(sa.func.count()).select_from(BallotRow).where(BallotRow.proposal_id == proposal)).scalar_one())


def _chunks(rows: list[str], n: int) -> Iterable[list[str]]:
    return (rows[start : start + n] for start in range(0, len(rows), n))


def run(database: str, *, rounds: int, pledgers: list[int], ballots: list[int]) -> list[Outcome]:
    """Both, for each of these sizes. Raises RuntimeError where somebody did not act, or was not counted."""
    people = max([2 * rounds * sum(pledgers) + 1, *ballots])
    batches = -(-people * 21 // 20 // 500)  # some give twice
    with backend(database) as (directory, url):
        with sayso_server(directory, url) as sayso:
            send(Load(sayso.port, "/v1/contributions/batch", "c", batches, 4, 500, people=1000 * people, token=sayso.token()), 200)
            lab = Lab(sayso, directory)
            lab.cut(lab.sign("en"))
            environment = sayso.environment
        bench = _Bench(Settings(**{k[6:].lower(): v for k, v in environment.items()}), lab.client_id)
        if len(bench.people) < people:
            raise RuntimeError(f"{people} people were to be there, and {len(bench.people)} are")
        try:
            return [*_counts(bench, database, rounds, ballots), *_campaigns(bench, database, rounds, pledgers)]
        finally:
            bench.runtime.jobs.stop()
            bench.runtime.engine.dispose()


def _counts(bench: _Bench, database: str, rounds: int, ballots: list[int]) -> list[Outcome]:
    found = []
    for n in ballots:
        proposal = bench.voted(bench.people[:n])
        times = [(bench.count(proposal, n), bench.bare(proposal)) for _ in range(rounds + 1)][1:]
        name = f"count of {n:,} ballots, {database}: seconds, against opening them bare"
        found.append(paired(name, [one for one, _ in times], [two for _, two in times], None, "with outcome and leaf, without the commit"))
    return found


def _campaigns(bench: _Bench, database: str, rounds: int, pledgers: list[int]) -> list[Outcome]:
    found, order = [], bench.people[1:]
    for n in pledgers:
        together, alone, held = [], [], []
        for turn in range(rounds):
            ours, theirs = ([order.pop() for _ in range(n)] for _ in range(2))
            campaign = bench.pledged(ours)
            if turn % 2:
                alone.append(bench.alone(theirs))
            seconds, head = bench.resolve(campaign, n)
            together.append(seconds)
            held.append(head)
            if not turn % 2:
                alone.append(bench.alone(theirs))
        name = f"end of a campaign of {n:,} who withdraw, {database}: seconds, against as many withdrawals alone"
        found.append(paired(name, together, alone, None, f"the head of the log is held for {statistics.median(held):.2f} s of it"))
    return found


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--pledgers", default="500,1000")
    parser.add_argument("--ballots", default="2000,10000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sizes = {name: [int(n) for n in getattr(asked, name).split(",") if n] for name in ("pledgers", "ballots")}
    found: list[Outcome] = []
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        some = run(database, rounds=asked.rounds, **sizes)
        print("\n".join(rows(some)), flush=True)
        found += some
    if asked.json:
        asked.json.write_text(json.dumps([one.__dict__ | {"reached": one.reached} for one in found], indent=1))


if __name__ == "__main__":
    main()
