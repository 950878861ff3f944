"""Reads used by cutting, delivering and recalling alike."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements.models import Agreement
from app.core.canonical import unb64u
from app.core.strictjson import parse
from app.parties import service as parties
from app.parties.models import Lab
from app.releases.models import Recall, Release

_MAX_MANIFEST = 64 * 2**20


def tree_of(release: Release) -> dict[str, Any]:
    """The tree of a published release's record ids, as its manifest names it: {size, root (hex)}."""
    found: dict[str, Any] = parse(unb64u(str(release.manifest).split(".")[1]), max_bytes=_MAX_MANIFEST)["tree"]
    return found


def late(now: datetime) -> sa.ColumnElement[bool]:
    """The condition on a recall that is overdue: not acknowledged in time, or not settled by the day of deletion."""
    r = Recall.__table__.c  # type: ignore[attr-defined]
    return sa.or_(
        sa.and_(r.state == "notified", r.due < now),
        sa.and_(r.state.in_(["notified", "acknowledged"]), r.delete_by < now),
    )


def is_late(recall: Recall, now: datetime) -> bool:
    """`late` of one recall at hand."""
    unsettled = recall.state in ("notified", "acknowledged")
    return bool(
        (recall.state == "notified" and recall.due is not None and recall.due < now)
        or (unsettled and recall.delete_by is not None and recall.delete_by < now)
    )


def stopped(session: Session, lab: Lab, now: datetime) -> bool:
    """Whether nothing new may go to the lab: blocked, its verification lapsed, or a recall overdue."""
    overdue = sa.select(Recall.id).join(Agreement, sa.and_(Agreement.id == Recall.agreement_id))  # type: ignore[call-overload,arg-type]
    overdue = overdue.where(Agreement.lab_id == lab.id, late(now))
    return parties.releases_stopped(lab, now) or session.execute(overdue.limit(1)).first() is not None


def expired(release: Release, today: date) -> bool:
    """Whether a permission in the release, or its agreement, has ended."""
    return release.open_until is not None and today >= release.open_until
