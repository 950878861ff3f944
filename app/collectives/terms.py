"""Stewards' terms: at most a year, ended by a timer and not by anybody. A collective without a steward goes on: its members propose, decide and
elect as before, an election among them in a day each for discussion and ballot, if they like."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries
from app.collectives.models import Membership
from app.kit.background import each
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.log import service as log

LONGEST = 365
"""Days in office, where the charter says nothing less."""


def begin(session: Session, runtime: Runtime, charter: dict[str, Any], mine: Membership, now: datetime) -> None:
    """Put a member in office, whose row is held, or leave them in it, until the charter's term is over."""
    mine.steward, mine.steward_until = True, now + timedelta(days=charter.get("steward_days", LONGEST))
    session.add(mine)
    session.flush()
    delay = (mine.steward_until - now).total_seconds() + 1
    runtime.jobs.enqueue(session, "steward", mine.id, key=str(int(mine.steward_until.timestamp())), delay=delay)


def end(session: Session, mine: Membership) -> None:
    """Take a member, whose row is held, out of office."""
    mine.steward, mine.steward_until = False, None
    session.add(mine)
    session.flush()


def in_office(session: Session, collective: str, now: datetime) -> bool:
    """Whether a collective has a steward whose term is not over."""
    query = select(Membership.id).where(Membership.collective_id == collective, queries.stewards(now))
    return session.exec(query.limit(1)).first() is not None


def look(runtime: Runtime, membership: str) -> None:
    """The job: end a term that is over. Doing it twice, or early, changes nothing."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        query = select(Membership).where(Membership.id == membership)
        mine = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
        if mine is None or not mine.steward or mine.left_at is not None or mine.steward_until is None or mine.steward_until > now:
            return
        end(session, mine)
        row = queries.collective_of(session, mine.collective_id)
        # Not who it was: members see that, and nobody else knows their names.
        body = {"name": row.name if row.listed else None, "vacant": not in_office(session, row.id, now)}
        log.append(session, [log.institutional("collective.term-ended", row.id, body, now)], now)


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: end the terms that should have ended."""
    with read(runtime.engine) as session:
        late = select(Membership.id).where(Membership.steward, Membership.left_at == None, Membership.steward_until <= now)  # type: ignore[operator]
        waiting = list(session.exec(late.order_by(sa.asc(Membership.id))))  # type: ignore[arg-type]
    each(waiting, partial(look, runtime))
