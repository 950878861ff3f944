"""What collectives cost: the selection with every record mandated against the same without, and ballots and pledges by themselves.

Every fifth record's owner is one of `records / 5` people; each gave one mandate to one of a thousand collectives, whose policies permit
the use. So both sides give the same ids, and what is measured is the looking.
"""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.agreements import selection, verdicts
from app.collectives.models import Collective, Mandate
from app.consents.policies import PolicyBook
from app.core.ballots import CHOICES, Ballot, Snapshot, decide
from app.core.pledges import greatest_set
from app.kit.bulk import Direct
from app.kit.clock import micros
from app.kit.db import make_engine, read, write
from app.kit.ids import new_id
from app.kit.migrate import upgrade
from benchmarks.bench_select import ALL, FACTS, LAB, NOW, USE, fill
from benchmarks.measure import Outcome, backend, interleaved, paired

_MANDATE = ("id", "collective_id", "membership_id", "contributor_id", "expires_on", "given_at")
_CHUNK = 10_000


def mandate_all(engine: sa.Engine, records: int, collectives: int) -> None:
    """A mandate of everybody to one of the collectives, each with a policy that permits (as `fill` writes them: not every fifth)."""
    now, until = micros(NOW), (NOW + timedelta(days=200)).date()
    ids = [new_id("collective") for _ in range(collectives)]
    with write(engine) as session:
        session.add_all(
            [
                Collective(
                    id=one, name="", kind="affinity", listed=False, state="open", charter_n=1, policy_id=2 + n % 4, policy_until=until,
                    policy_outcome=one, created_at=NOW,
                )
                for n, one in enumerate(ids)
            ]
        )  # fmt: skip
    people = range((records + 4) // 5)
    for start in range(0, len(people), _CHUNK):
        rows = [
            (new_id("mandate"), ids[n % collectives], new_id("member"), f"ctb_{n:026d}", until.isoformat(), now)
            for n in people[start : start + _CHUNK]
        ]
        with write(engine) as session:
            Direct.under(session).load(Mandate.__table__, _MANDATE, rows)  # type: ignore[attr-defined]
    with write(engine) as session:
        session.connection().exec_driver_sql("ANALYZE")


def select(engine: sa.Engine, book: PolicyBook, there: selection.Present) -> list[str]:
    """The ids as a cut gets them, with verdicts known."""
    with write(engine) as session:
        use_id = verdicts.use_row(session, USE, FACTS)
        verdicts.keep_all(session, book, use_id, USE, FACTS, selection.governing(ALL, NOW, None), NOW.date())
    with read(engine) as session:
        whole = selection.eligible(use_id, USE, LAB, ALL, NOW, None, None, there)
        found: list[str] = []
        for rows in session.connection().execution_options(yield_per=_CHUNK).execute(sa.select(whole.subquery().c.id)).partitions(_CHUNK):
            found += [row[0] for row in rows]
        return found


def run(database: str, *, rounds: int, records: int, collectives: int = 1_000) -> list[Outcome]:
    """The selection with mandates against the same without them."""
    with backend(database) as (directory, url):
        url = url or f"sqlite:///{directory / 'x.db'}"
        upgrade(url)
        engine = make_engine(url)
        book = PolicyBook(engine)
        fill(engine, records, 50, book.templates)
        mandate_all(engine, records, collectives)
        without = selection.Present(*[False] * len(selection.Present._fields))
        joined = without._replace(mandates=True)
        expected = sorted(select(engine, book, without))
        assert sorted(select(engine, book, joined)) == expected, "collectives that permit all took something away"

        def timed(there: selection.Present) -> float:
            start = time.perf_counter()
            select(engine, book, there)
            return time.perf_counter() - start

        found = interleaved({"with": lambda _: timed(joined), "without": lambda _: timed(without)}, rounds)
        engine.dispose()
    name = f"select of {records:,}, all mandated to {collectives:,} collectives, {database}: seconds"
    once = paired(name, found["with"], found["without"], 1.5, f"{len(expected):,} ids")
    once.at_most = True
    return [once]


def pure(*, rounds: int, size: int = 100_000) -> list[Outcome]:
    """A tally of ballots, and the greatest set of pledges, against a tenth of each: twenty times is n log n and far from n²."""
    rng = random.Random(8)
    electors: dict[str, str | None] = {f"e{n}": rng.choice(["a", "b", "c"]) for n in range(size)}
    ballots = [Ballot(e, rng.choice(CHOICES), n) for n, e in enumerate(electors)]
    pledges = {f"p{n}": rng.randrange(size) for n in range(size)}
    rules: list[dict[str, Any]] = [{"rule": "supermajority"}, {"rule": "bridging"}]

    def clocked(act: Callable[[], object]) -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    few, some = Snapshot(dict(list(electors.items())[: size // 10])), dict(list(pledges.items())[: size // 10])
    cases: dict[str, Callable[[int], float]] = {
        "ballots": lambda _: clocked(lambda: decide(rules, Snapshot(electors), ballots)),
        "few ballots": lambda _: clocked(lambda: decide(rules, few, ballots[: size // 10])),
        "pledges": lambda _: clocked(lambda: greatest_set(pledges)), "few pledges": lambda _: clocked(lambda: greatest_set(some)),
    }  # fmt: skip
    found = interleaved(cases, rounds)
    outcomes = [
        paired(f"{what} of {size:,}: seconds", found[what], found[f"few {what}"], 20, f"against {size // 10:,}")
        for what in ("ballots", "pledges")
    ]
    for one in outcomes:
        one.at_most = True
    return outcomes
