"""A charter's day of review. Past it a collective decides nothing that allows more, until a `charter.amend` was passed: the same charter again is
enough. What it refuses, recalls and strikes against goes on, as does what each member denies; and nothing is released because of that day.
"""

from datetime import date, datetime, timedelta
from typing import Literal

from sqlmodel import Session

from app.collectives.models import CharterVersion, Collective
from app.core.electing import GRANTS
from app.kit.errors import Conflict

SOON = timedelta(days=30)
"""From so long before, pages say that the day is near."""
WIDENING = tuple(kind for kind in GRANTS if kind != "charter.amend")
"""Types of decisions that wait for the review: what is as hard to decide as a grant, but the review itself."""
Stage = Literal["later", "due", "overdue"]


def day(session: Session, row: Collective) -> date:
    """By the end of which day (UTC) the charter in force is to be reviewed."""
    return session.get_one(CharterVersion, (row.id, row.charter_n)).review_by


def stage(session: Session, row: Collective, today: date) -> Stage:
    """How near that day is."""
    until = day(session, row)
    return "overdue" if today > until else "due" if today >= until - SOON else "later"


def stops(session: Session, row: Collective, kind: str, now: datetime) -> bool:
    """Whether a decision of that type waits for the review."""
    return kind in WIDENING and stage(session, row, now.date()) == "overdue"


def must_be_done(session: Session, row: Collective, kind: str, now: datetime) -> None:
    """Raises Conflict (charter_overdue)."""
    if stops(session, row, kind, now):
        raise Conflict(
            "charter_overdue", "Propose charter.amend first, with other rules or with the same ones again. What allows less needs no review.",
            review_by=day(session, row).isoformat(),
        )  # fmt: skip
