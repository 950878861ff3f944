"""What a platform is told of its own contributions: that it changed whether they may be shown, never why, and seldom enough that nobody
stands alone in it.

A withdrawal, other terms, an erasure, a mandate, a decision of a collective, a strike: one event for all. It goes out once a day at
the most, after midnight (UTC) as the guard hears collectives, with everything of the days before: when ten people or more are in it, or
somebody has been waiting for three days. What a platform does itself (its floor) it is not told; days in the terms themselves it can read.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import guard
from app.collectives.binding import CURRENT, reaches
from app.collectives.models import Mandate
from app.consents.models import Narrowing
from app.contributions.models import Contribution
from app.kit.db import for_update, insert_or_ignore, read, write
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Platform
from app.revocations.models import AvailabilityMark, PlatformEvent

CHANGED, DELETE = "contribution.availability_changed", "contribution.deletion_requested"
PEOPLE = 10
"""In a batch, at the least, unless somebody has waited for `LONGEST`."""
LONGEST = timedelta(hours=72)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
AT_ONCE = 1_000
"""Ids in one event, at the most."""
_C = Contribution.__table__  # type: ignore[attr-defined]
_N = Narrowing.__table__  # type: ignore[attr-defined]
_M = Mandate.__table__  # type: ignore[attr-defined]


def tell_all(runtime: Runtime, now: datetime) -> None:
    """The chore: the day's batch of every platform that has not had its look today."""
    looked = sa.exists().where(AvailabilityMark.platform_id == Platform.id, AvailabilityMark.at >= guard.epoch(now))  # type: ignore[arg-type]
    with read(runtime.engine) as session:
        platforms = list(session.exec(select(Platform.id).where(~looked).order_by(Platform.id)))
    for platform in platforms:
        with write(runtime.engine) as session:
            batch(session, platform, now=now)


def batch(session: Session, platform: str, *, now: datetime) -> int:
    """Note the events of what changed since the last batch, if it is time; gives how many contributions they name."""
    never = {"platform_id": platform, "log_index": 0, "at": NEVER}
    insert_or_ignore(session, AvailabilityMark.__table__, never)  # type: ignore[attr-defined]  # two may look for the first time at once
    mark = session.exec(for_update(select(AvailabilityMark).where(AvailabilityMark.platform_id == platform), session)).one()
    if mark.at.date() >= now.date():
        return 0
    # Looked at once a day, whether or not something goes out: the hour of a batch tells nothing of who came last.
    mark.at = now
    session.add(mark)
    session.flush()
    # Under the head lock everything before this index is committed: nothing falls between two batches.
    log.lock_head(session)
    size = log.size(session)
    found = _changed(platform, mark.log_index, size).subquery()
    today = session.execute(sa.select(sa.func.min(found.c.log_index)).where(found.c.at >= guard.epoch(now))).scalar_one()
    if today is not None:
        size = today
        found = _changed(platform, mark.log_index, size).subquery()
    people, since = session.execute(sa.select(sa.func.count(sa.distinct(found.c.contributor_id)), sa.func.min(found.c.at))).one()
    if not people or (people < PEOPLE and since > now - LONGEST):
        return 0
    ids = list(session.execute(sa.select(found.c.id).distinct().order_by(found.c.id)).scalars())
    tell(session, platform, CHANGED, ids, now=now)
    mark.log_index = size
    session.add(mark)
    return len(ids)


def _changed(platform: str, after: int, until: int) -> Any:
    """(id, contributor_id, log_index, at) of the platform's contributions that an act in this part of the log reaches."""
    one = sa.select(_C.c.id, _C.c.contributor_id, _N.c.log_index, _N.c.at)
    one = one.where(_C.c.platform_id == platform, _N.c.log_index >= after, _N.c.log_index < until)
    return sa.union_all(
        one.where(_N.c.contribution_id == _C.c.id),
        one.where(_N.c.contributor_id == _C.c.contributor_id),
        one.where(_M.c.collective_id == _N.c.collective_id, CURRENT, reaches()),
    )


def tell(session: Session, platform: str, kind: str, ids: Sequence[str], *, now: datetime) -> None:
    """Note events of this kind over these contributions, in the caller's transaction."""
    for start in range(0, len(ids), AT_ONCE):
        some = list(ids[start : start + AT_ONCE])
        session.add(PlatformEvent(id=new_id("platform_event"), platform_id=platform, type=kind, contributions=some, at=now))
    session.flush()
