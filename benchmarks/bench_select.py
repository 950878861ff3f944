"""Which of many contributions a lab may have: the service's selection against the bare SQL join that gives the same ids.

The rows are written straight into the tables, with all their indexes: one consent of its own a contribution, spread evenly
over the policies, four in five of which permit the use. Both sides hand every id to Python.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements import selection, verdicts
from app.consents.models import Consent, Policy
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core.evaluation import LabFacts, parse_use
from app.core.policy import parse_policy
from app.core.templates import render_template
from app.core.vocabulary import COUNTRIES
from app.kit.bulk import Direct, rows_of
from app.kit.clock import micros
from app.kit.db import make_engine, read, write
from app.kit.garbage import settle
from app.kit.ids import new_id
from app.kit.migrate import upgrade
from benchmarks.measure import Outcome, backend, interleaved, paired

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LAB = "lab_" + "0" * 26
FACTS = LabFacts("academic", "NL")
USE = parse_use({"actions": ["benchmark"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]})
ALL: dict[str, Any] = {"platforms": None, "kinds": None, "languages": None}
_CHUNK = 10_000
_CONTRIBUTION = (
    "id", "platform_id", "contributor_id", "kind", "external_hash", "language", "recorded_at", "releasable_from", "state", "parts",
)  # fmt: skip
_CONSENT = ("id", "contributor_id", "contribution_id", "version", "policy_id", "basis", "attested_by", "given_at", "state")


def bodies(count: int, templates: dict[str, Any]) -> Iterator[bytes]:
    """Canonical bytes of `count` different policies: evaluation only, each until another day and for another country."""
    pattern = render_template(templates["evaluation-only"], {"end": "2101-01-01", "territory": ["NL"]}).canonical_bytes()
    others = sorted(COUNTRIES - {"NL"})
    for number in range(count):
        day = (date(2030, 1, 1) + timedelta(days=number // 200)).isoformat().encode()
        # Every fifth policy is for another country than the lab's; the others name it beside one more.
        more = others[number % 200]
        places = [more] if number % 5 == 0 else sorted(["NL", more])
        body = pattern.replace(b"2101-01-01", day).replace(b'["NL"]', json.dumps(places, separators=(",", ":")).encode())
        if number < 20:
            assert parse_policy(json.loads(body)).canonical_bytes() == body
        yield body


def fill(engine: sa.Engine, records: int, policies: int, templates: dict[str, Any]) -> None:
    """Write the policies, then contributions with a consent each."""
    now = micros(NOW)
    with write(engine) as session:
        rows = [(n, hashlib.sha256(b).hexdigest(), b, now) for n, b in enumerate(bodies(policies, templates), 1)]
        for start in range(0, policies, _CHUNK):
            Direct.under(session).load(Policy.__table__, ("id", "digest", "body", "created_at"), rows[start : start + _CHUNK])  # type: ignore[attr-defined]
    platforms = [new_id("platform") for _ in range(4)]
    for start in range(0, records, _CHUNK):
        contributions, consents = [], []
        for number in range(start, min(start + _CHUNK, records)):
            identity, person = new_id("contribution"), f"ctb_{number // 5:026d}"
            contributions.append(
                (identity, platforms[number % 4], person, "preference", uuid.uuid4().bytes, "en", now, now, "live", 3)
            )
            consents.append((new_id("consent"), person, identity, 1, number % policies + 1, "explicit", "platform", now, "current"))
        with write(engine) as session:
            Direct.under(session).load(Contribution.__table__, _CONTRIBUTION, contributions)  # type: ignore[attr-defined]
            Direct.under(session).load(Consent.__table__, _CONSENT, consents)  # type: ignore[attr-defined]
    with write(engine) as session:
        connection = session.connection()
        connection.exec_driver_sql("CREATE TABLE bench_allowed (policy_id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO bench_allowed SELECT id FROM policy WHERE (id - 1) - (id - 1) / 5 * 5 <> 0")
        connection.exec_driver_sql("ANALYZE")
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")  # as autovacuum leaves the tables, a minute later


def bare(engine: sa.Engine) -> list[str]:
    """The ids by the least SQL that gives them, through the driver."""
    sql = (
        "SELECT c.id FROM contribution c JOIN consent k ON k.contribution_id = c.id AND k.state = 'current' "
        "JOIN bench_allowed a ON a.policy_id = k.policy_id WHERE c.state = 'live' AND c.releasable_from <= ?"
    )
    with read(engine) as session:
        found: list[str] = []
        for rows in Direct.under(session).stream_alone(sql, (micros(NOW),), _CHUNK):
            found += [row[0] for row in rows]
        return found


def select(engine: sa.Engine, book: PolicyBook) -> list[str]:
    """The ids as a cut gets them: what is not decided yet is decided, then one query."""
    with write(engine) as session:
        use_id = verdicts.use_row(session, USE, FACTS)
        verdicts.keep_all(session, book, use_id, USE, FACTS, selection.governing(ALL, NOW, None), NOW.date())
    with read(engine) as session:
        found: list[str] = []
        whole = selection.eligible(use_id, USE, LAB, ALL, NOW, None, None, selection.present(session, use_id, NOW))
        query = sa.select(whole.subquery().c.id)
        for rows in rows_of(session, query, _CHUNK):
            found += [row[0] for row in rows]
        return found


def forget(session: Session) -> None:
    """As if nothing had been decided before: a million dead rows would have to be passed over by PostgreSQL."""
    session.execute(sa.text("TRUNCATE verdict" if session.get_bind().dialect.name == "postgresql" else "DELETE FROM verdict"))


def run(database: str, *, rounds: int, records: int, distinct: list[int]) -> list[Outcome]:
    """For each number of distinct policies (0: as many as records): with verdicts known, and for the first time."""
    outcomes = []
    settle()  # as the service does: the floor gains by it too
    for policies in dict.fromkeys(number or records for number in distinct if number <= records):
        goal = 2.0 if policies <= 50 else 4.0 if policies <= 5_000 else 10.0
        with backend(database) as (directory, url):
            url = url or f"sqlite:///{directory / 'x.db'}"
            upgrade(url)
            engine = make_engine(url)
            warm = PolicyBook(engine)
            fill(engine, records, policies, warm.templates)
            expected = sorted(bare(engine))

            def timed(act: Callable[[], list[str]], expected: list[str] = expected) -> float:
                start = time.perf_counter()
                found = act()
                seconds = time.perf_counter() - start
                assert sorted(found) == expected, "the selection gives other ids than the bare join"
                return seconds

            def first(engine: sa.Engine = engine, timed: Callable[..., float] = timed) -> float:
                with write(engine) as session:
                    forget(session)
                cold = PolicyBook(engine)
                return timed(partial(select, engine, cold))

            select(engine, warm)
            cases: dict[str, Callable[[int], float]] = {
                "bare": lambda _, timed=timed, engine=engine: timed(partial(bare, engine)),  # type: ignore[misc]
                "known": lambda _, timed=timed, engine=engine, warm=warm: timed(partial(select, engine, warm)),  # type: ignore[misc]
            }
            found = interleaved(cases, rounds)
            # The slowest case by far, and one round of it says enough.
            anew = [first() for _ in range(1 if policies > 5_000 else rounds)]
            engine.dispose()
        name = f"select of {records:,} under {policies:,} policies, {database}: seconds"
        detail = f"{len(expected):,} ids"
        known = paired(f"{name}, verdicts known", found["known"], found["bare"], 1.2, detail)
        known.at_most = True
        once = paired(f"{name}, first time", anew, found["bare"][: len(anew)], goal, detail)
        once.at_most = True
        outcomes += [known, once]
    return outcomes
