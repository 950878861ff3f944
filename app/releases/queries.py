"""Reads used by cutting, delivering and recalling alike."""

from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements.models import Agreement
from app.core.canonical import unb64u
from app.core.strictjson import parse
from app.parties import service as parties
from app.parties.models import Lab
from app.releases.models import Delivery, Recall, Release, ReleaseDeletion

GRACE = timedelta(days=30)
"""How long after its day a use report may be missing before nothing new goes to the lab (it is public from the first day)."""
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


def undeleted(now: datetime) -> sa.ColumnElement[bool]:
    """The condition on a release's deletion that is overdue: nothing was said of it by its day, and the lab had been told of that."""
    d = ReleaseDeletion.__table__.c  # type: ignore[attr-defined]
    return sa.and_(d.state == "owed", d.late_from < now)


def is_undeleted(row: ReleaseDeletion, now: datetime) -> bool:
    """`undeleted` of one duty at hand."""
    return row.state == "owed" and row.late_from is not None and row.late_from < now


def deletion_of(session: Session, release: str) -> ReleaseDeletion | None:
    """The duty to delete a release after its period; None where the terms ask for none, or before it was handed over."""
    return session.get(ReleaseDeletion, release)


def stopped(session: Session, lab: Lab, now: datetime) -> bool:
    """Whether nothing new may go to the lab: blocked, its verification lapsed, a recall or a release's deletion overdue, or a report long
    overdue."""
    overdue = sa.select(Recall.id).join(Agreement, sa.and_(Agreement.id == Recall.agreement_id))  # type: ignore[call-overload,arg-type]
    overdue = overdue.where(Agreement.lab_id == lab.id, late(now))
    silent = sa.select(Agreement.id).where(Agreement.lab_id == lab.id, unreported(now - GRACE))  # type: ignore[call-overload]
    kept = sa.select(ReleaseDeletion.release_id).join(Agreement, sa.and_(Agreement.id == ReleaseDeletion.agreement_id))  # type: ignore[call-overload]
    kept = kept.where(Agreement.lab_id == lab.id, undeleted(now))
    return parties.releases_stopped(lab, now) or any(session.execute(query.limit(1)).first() is not None for query in (overdue, kept, silent))


def unreported(since: datetime) -> sa.ColumnElement[bool]:
    """The condition on an agreement whose use report was due before a time, and under which something was handed over."""
    given = sa.select(Delivery.id).join(Release, sa.and_(Release.id == Delivery.release_id)).where(Release.agreement_id == Agreement.id)  # type: ignore[call-overload]
    return sa.and_(Agreement.report_due < since, Agreement.state == "in_force", sa.exists(given))  # type: ignore[arg-type,operator]


def expired(release: Release, today: date) -> bool:
    """Whether a permission in the release, or its agreement, has ended."""
    return release.open_until is not None and today >= release.open_until
