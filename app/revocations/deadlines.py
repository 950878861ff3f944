"""What is owed by a day: the lab is reminded before, and the public told after.

That a deadline has passed follows from the clock alone, and stops releases whether or not this ran (`releases/queries.py`). Here
it becomes a leaf of the public log, once, and an event for the lab. Jobs are queued for the days when a recall is opened; a
chore looks for what they left.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.kit.clock import rfc3339
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab
from app.releases import keeping
from app.releases.models import Recall, ReleaseDeletion
from app.releases.queries import unreported
from app.revocations import events
from app.revocations.models import Overdue

AHEAD = {"acknowledge": timedelta(days=2), "delete": keeping.AHEAD, "report": timedelta(days=14)}
"""How long before its day a lab is reminded."""


def plan(session: Session, runtime: Runtime, recall: Recall, now: datetime) -> None:
    """Queue a look at the recall for each of its days, in the caller's transaction."""
    for what, due in owed(recall):
        for name, at in (("before", due - AHEAD[what]), ("after", due + timedelta(seconds=1))):
            delay = max(0.0, (at - now).total_seconds())
            runtime.jobs.enqueue(session, "overdue", recall.id, key=f"{what}-{name}", delay=delay)


def owed(recall: Recall) -> list[tuple[str, datetime]]:
    """What is still owed of a recall, with its day."""
    found = []
    if recall.state == "notified" and recall.due is not None:
        found.append(("acknowledge", recall.due))
    if recall.state in ("notified", "acknowledged") and recall.delete_by is not None:
        found.append(("delete", recall.delete_by))
    return found


def look(runtime: Runtime, recall_id: str) -> None:
    """The job: remind the lab of what is due soon, and tell in public what is overdue. Safe to run at any time and again."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        recall = session.exec(for_update(select(Recall).where(Recall.id == recall_id), session)).first()
        if recall is None:
            return
        agreement = session.get_one(Agreement, recall.agreement_id)
        leaves = [leaf for what, due in owed(recall) for leaf in _tell(session, agreement, "recall", recall.id, what, due, AHEAD[what], now)]
        session.flush()
        if leaves:
            log.append(session, leaves, now)


def look_at_deletion(runtime: Runtime, release_id: str) -> None:
    """The same for a release that must be deleted a period after its cut."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        row = session.exec(for_update(select(ReleaseDeletion).where(ReleaseDeletion.release_id == release_id), session)).first()
        if row is None or row.state != "owed":
            return
        agreement = session.get_one(Agreement, row.agreement_id)
        if row.late_from is None:
            # Noted after the delivery, so that its lab may never have heard of it: from now on it has as long as from any reminder.
            row.late_from = max(row.delete_by, now + AHEAD["delete"])
            session.add(row)
        leaves = _tell(session, agreement, "deletion", release_id, "delete", row.late_from, AHEAD["delete"], now, signed=row.delete_by)
        session.flush()
        if leaves:
            log.append(session, leaves, now)


def _tell(
    session: Session, agreement: Agreement, kind: str, subject: str, what: str, due: datetime, ahead: timedelta, now: datetime,
    signed: datetime | None = None,
) -> list[log.Leaf]:  # fmt: skip
    """Remind the lab of what is due soon; tell it of what is overdue, once, and give the leaf that tells the public: `due`, or the day that
    was `signed`, where it was given longer."""
    lab = session.get_one(Lab, agreement.lab_id)
    if now <= due:
        if due - ahead <= now:
            events.tell(session, lab.id, f"{kind}.reminder", subject, what, now)
        return []
    if session.get(Overdue, (subject, what)) is not None:
        return []
    session.add(Overdue(subject=subject, what=what, agreement_id=agreement.id, at=now))
    events.tell(session, lab.id, f"{kind}.overdue", subject, what, now)
    body = {"lab": lab.legal_name, "lab_id": lab.id, "owed": what.partition(" ")[0], "due": rfc3339(signed or due)}
    if subject != agreement.id:
        body["agreement"] = agreement.id
    return [log.institutional(f"{kind}.overdue", subject, body, now)]


def look_at_report(runtime: Runtime, agreement_id: str) -> None:
    """The same for the use report that is due under an agreement."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        agreement = session.exec(for_update(select(Agreement).where(Agreement.id == agreement_id), session)).first()
        if agreement is None or agreement.report_due is None or agreement.state != "in_force":
            return
        due = agreement.report_due
        if now > due and session.execute(sa.select(Agreement.id).where(Agreement.id == agreement_id, unreported(now))).first() is None:  # type: ignore[call-overload]
            return
        leaves = _tell(session, agreement, "report", agreement.id, f"report {due.date().isoformat()}", due, AHEAD["report"], now)
        session.flush()
        if leaves:
            log.append(session, leaves, now)


def look_for_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: look at every recall, deletion and report with a day that has come, should its job have been given up or the clock have
    jumped."""
    r = Recall.__table__.c  # type: ignore[attr-defined]
    told = sa.select(Overdue.subject).where(Overdue.subject == r.id)  # type: ignore[call-overload]
    coming = sa.or_(
        sa.and_(r.state == "notified", r.due < now + AHEAD["acknowledge"], ~sa.exists(told.where(Overdue.what == "acknowledge"))),
        sa.and_(r.state.in_(["notified", "acknowledged"]), r.delete_by < now + AHEAD["delete"], ~sa.exists(told.where(Overdue.what == "delete"))),
    )
    with read(runtime.engine) as session:
        found = list(session.execute(sa.select(r.id).where(coming).order_by(r.id)).scalars())
        d = ReleaseDeletion.__table__.c  # type: ignore[attr-defined]
        kept = sa.select(Overdue.subject).where(Overdue.subject == d.release_id)  # type: ignore[call-overload]
        near = sa.or_(d.late_from == None, d.late_from < now + AHEAD["delete"])
        ending = sa.select(d.release_id).where(d.state == "owed", near, ~sa.exists(kept))
        deletions = list(session.execute(ending.order_by(d.release_id)).scalars())
        due = sa.and_(Agreement.report_due < now + AHEAD["report"], Agreement.state == "in_force")  # type: ignore[arg-type,operator]
        reports = list(session.execute(sa.select(Agreement.id).where(due).order_by(Agreement.id)).scalars())  # type: ignore[call-overload]
    for recall in found:
        look(runtime, recall)
    for release in deletions:
        look_at_deletion(runtime, release)
    for agreement in reports:
        look_at_report(runtime, agreement)
