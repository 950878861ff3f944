"""What collectives cost: the selection with every record mandated against the same without; ballots, their recount and pledges by themselves.

Every fifth record's owner is one of `records / 5` people; each gave one mandate to one of a thousand collectives, whose policies permit
the use. So both sides give the same ids, and what is measured is the looking.
"""

import json
import math
import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sayso.recount import recount

from app.agreements import selection, verdicts
from app.collectives.models import Collective, Mandate
from app.consents.policies import PolicyBook
from app.core.ballots import CHOICES, Ballot, Snapshot, decide
from app.core.canonical import b64u
from app.core.electing import parse_rules
from app.core.merkle import leaf_hash, root
from app.core.pledges import greatest_set
from app.crypto.commitment import commit
from app.kit.db import make_engine, read, write
from app.kit.ids import new_id
from app.kit.migrate import upgrade
from benchmarks.bench_select import ALL, FACTS, LAB, NOW, USE, fill
from benchmarks.measure import Outcome, backend, interleaved, paired

_CHUNK = 10_000


def mandate_all(engine: sa.Engine, records: int, collectives: int) -> None:
    """A mandate of everybody to one of the collectives, each with a policy that permits (as `fill` writes them: not every fifth); given for
    another such policy, which is looked at where `outgrown` says so."""
    until = (NOW + timedelta(days=200)).date()
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
            {
                "id": new_id("mandate"), "collective_id": ids[n % collectives], "membership_id": new_id("member"), "contributor_id": f"ctb_{n:026d}",
                "expires_on": until, "given_at": NOW, "policy_id": 2 + (n + 1) % 4,
            }
            for n in people[start : start + _CHUNK]
        ]  # fmt: skip
        with write(engine) as session:
            session.execute(sa.insert(Mandate), rows)
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
        changed = joined._replace(outgrown=True)
        expected = sorted(select(engine, book, without))
        for there in (joined, changed):
            assert sorted(select(engine, book, there)) == expected, "collectives that permit all took something away"

        def timed(there: selection.Present) -> float:
            start = time.perf_counter()
            select(engine, book, there)
            return time.perf_counter() - start

        kinds = {"with": joined, "changed": changed, "without": without}
        found = interleaved({name: lambda _, there=there: timed(there) for name, there in kinds.items()}, rounds)
        engine.dispose()
    said = f"select of {records:,}, all mandated to {collectives:,} collectives, {database}: seconds"
    each = [
        paired(said, found["with"], found["without"], 1.5, f"{len(expected):,} ids"),
        paired(f"the same, every collective with another policy since: {database}", found["changed"], found["without"], 1.5, "two policies each"),
    ]
    for one in each:
        one.at_most = True
    return each


def outcome_of(rng: random.Random, rules: list[dict[str, Any]], ballots: list[Ballot], electors: dict[str, str | None]) -> tuple[Any, Any]:
    """An outcome over these ballots as the service publishes it, and what a recounter is given: the opening of each ballot."""
    listed, openings = [], []
    for ballot in ballots:
        act = json.dumps({"proposal": "x", "tag": ballot.elector, "choice": ballot.choice, "group": electors[ballot.elector]})
        salt = rng.randbytes(32)
        listed.append({"tag": ballot.elector, "at": ballot.at, "commitment": b64u(commit(salt, act.encode()))})
        openings.append({"at": ballot.at, "salt": b64u(salt), "act": act})
    tags = sorted(electors)
    outcome = {
        **decide(rules, Snapshot(electors), ballots).to_json(), "proposal": "x", "rules": [rule.to_json() for rule in parse_rules(rules)],
        "electorate": {"tags": tags, "size": len(tags), "root": root([leaf_hash(bytes.fromhex(tag)) for tag in tags]).hex()},
        "around": {"objections": 0, "rounds": 0, "overruled": False, "appealed": False, "struck": False},
        "ballots": listed, "opened_index": -1, "closed_index": len(ballots),
    }  # fmt: skip
    return {"outcome": json.dumps(outcome)}, {"openings": openings}


def pure(*, rounds: int, size: int = 100_000) -> list[Outcome]:
    """A tally of ballots, the recount of its outcome with every ballot opened, and the greatest set of pledges, each against a tenth of it:
    twenty times is n log n and far from n²."""
    rng, few = random.Random(8), size // 10
    electors: dict[str, str | None] = {rng.randbytes(32).hex(): rng.choice(["a", "b", "c"]) for _ in range(size)}
    ballots = [Ballot(elector, rng.choice(CHOICES), n) for n, elector in enumerate(electors)]
    pledges = {f"p{n}": rng.randrange(size) for n in range(size)}
    rules: list[dict[str, Any]] = [{"rule": "supermajority"}, {"rule": "bridging"}]

    def clocked(act: Callable[[], object]) -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    some, others = dict(list(electors.items())[:few]), {f"p{n}": rng.randrange(few) for n in range(few)}
    file, openings = outcome_of(rng, rules, ballots, electors)
    small, opened = outcome_of(rng, rules, ballots[:few], some)
    cases: dict[str, Callable[[int], float]] = {
        "a tally of ballots": lambda _: clocked(lambda: decide(rules, Snapshot(electors), ballots)),
        "few: a tally of ballots": lambda _: clocked(lambda: decide(rules, Snapshot(some), ballots[:few])),
        "a recount of ballots": lambda _: clocked(lambda: recount(file, None, openings)),
        "few: a recount of ballots": lambda _: clocked(lambda: recount(small, None, opened)),
        "the greatest set of pledges": lambda _: clocked(lambda: greatest_set(pledges)),
        "few: the greatest set of pledges": lambda _: clocked(lambda: greatest_set(others)),
    }  # fmt: skip
    found = interleaved(cases, rounds)
    grows = f"against {few:,}; n log n would be {10 * math.log(size) / math.log(few):.1f} times, n² a hundred"
    outcomes = [
        paired(f"{what}, {size:,}: seconds", found[what], found[f"few: {what}"], 20, grows) for what in cases if not what.startswith("few")
    ]
    for one in outcomes:
        one.at_most = True
    return outcomes
