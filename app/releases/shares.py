"""Which share of all that was released went to whom, by quarter: part of the public ledger, in one snapshot a day.

Counts are rounded down to ten and shares to whole per cent; below ten records nothing is told but that there were some.
"""

from collections import defaultdict
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.kit.db import insert_or_ignore, read, write
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.releases.models import LedgerDay, Release, ReleaseItem

_FEWEST = 10
_AT_ONCE = 500
_I = ReleaseItem.__table__  # type: ignore[attr-defined]


class Share(NamedTuple):
    """What one lab got in a quarter (`2026-Q4`, UTC): `records` different ones, `percent` of what all labs got; None below ten."""

    quarter: str
    lab_id: str
    lab: str
    records: int | None
    percent: int | None


def today(runtime: Runtime) -> tuple[date, list[Share]]:
    """The day, and the shares as of its first look, the newest quarter first."""
    now = runtime.clock.now()
    day = now.date()
    with read(runtime.engine) as session:
        row = session.get(LedgerDay, day)
        body = None if row is None else row.body
        made = _look(session) if body is None else None
    if body is None:
        with write(runtime.engine) as session:
            insert_or_ignore(session, LedgerDay.__table__, {"day": day, "body": made})  # type: ignore[attr-defined]
            session.execute(sa.delete(LedgerDay).where(LedgerDay.day < day))  # type: ignore[arg-type]
            body = session.exec(select(LedgerDay.body).where(LedgerDay.day == day)).one()  # another may have been first
    return day, [Share(*share) for share in body]


def quarter_of(moment: datetime) -> str:
    """`2026-Q4` of a time in UTC."""
    return f"{moment.year}-Q{(moment.month + 2) // 3}"


def _look(session: Session) -> list[list[Any]]:
    cuts = session.execute(
        sa.select(Release.id, Release.cut_at, Lab.id.label("lab"), Lab.legal_name)  # type: ignore[call-overload,attr-defined]
        .join(Agreement, Agreement.id == Release.agreement_id)
        .join(Lab, Lab.id == Agreement.lab_id)
        .where(Release.state.in_(["published", "superseded"]))  # type: ignore[attr-defined]
    ).all()
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for cut in cuts:
        groups[quarter_of(cut.cut_at), cut.lab, cut.legal_name].append(cut.id)
    counts = {key: _different(session, releases) for key, releases in groups.items()}
    totals: dict[str, int] = defaultdict(int)
    for (quarter, _, _), count in counts.items():
        totals[quarter] += count
    told = []
    for (quarter, lab, name), count in counts.items():
        enough = count >= _FEWEST
        told.append([quarter, lab, name, count - count % 10 if enough else None, round(100 * count / totals[quarter]) if enough else None])
    told.sort(key=lambda share: (share[2], share[1]))
    return sorted(told, key=lambda share: share[0], reverse=True)


def _different(session: Session, releases: list[str]) -> int:
    """How many contributions the releases hold, each counted once."""
    held = sa.select(_I.c.contribution_id).where(_I.c.parts > 0).distinct()
    some = [releases[at : at + _AT_ONCE] for at in range(0, len(releases), _AT_ONCE)]
    every = sa.union(*(held.where(_I.c.release_id.in_(ids)) for ids in some)).subquery()
    return int(session.execute(sa.select(sa.func.count()).select_from(every)).scalar_one())
