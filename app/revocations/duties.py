"""What a lab owes under an agreement, as dated tasks: worked out of the signed obligations, its deliveries and its recalls.

Nothing here is stored: a task is done when what it asks for is in the log.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.core.constraints import period_days
from app.releases.models import Delivery, Recall, Release, ReleaseDeletion
from app.releases.queries import is_undeleted
from app.revocations import compensation
from app.revocations.models import CompensationLine

_STANDING = ("attribute", "inform", "keepDissent", "keepThread", "shareAlike")


class Task(NamedTuple):
    """One thing owed. `of` is the release or recall it is about; `due` is None where it has no day: for as long as data is held."""

    task: str
    of: str | None
    due: datetime | None
    state: str
    obligation: dict[str, str]

    @property
    def public(self) -> bool:
        """Whether all can see that it is late: days for deleting and reporting go into the ledger (deadlines.py). Of a late payment nobody
        is told."""
        return self.task in ("acknowledge", "reportBack", "delete")


def of_agreement(session: Session, agreement: Agreement, *, now: datetime) -> list[Task]:
    """The tasks in the order of their days, those without a day last. States: standing, open, overdue, done."""
    _, terms = agreements.terms_of(session, agreement)
    tasks: list[Task] = []
    for duty in terms["obligations"]:
        if duty["kind"] in _STANDING:
            tasks.append(Task(duty["kind"], None, None, "standing", duty))
        elif duty["kind"] == "compensate":
            tasks += _payments(session, agreement, duty, now) or [Task("compensate", None, None, "standing", duty)]
        elif duty["kind"] == "reportBack":
            tasks.append(_report(session, agreement, duty, now))
    tasks += _deletions(session, agreement, terms["obligations"], now)
    withdrawal = next((d for d in terms["obligations"] if d["kind"] == "delete" and d["event"] == "withdrawal"), {"kind": "delete"})
    for recall in session.exec(_owing(agreement)):
        tasks += _of_recall(recall, withdrawal, now)
    return sorted(tasks, key=lambda t: (t.due is None, t.due.timestamp() if t.due else 0, t.task, t.of or ""))


def _owing(agreement: Agreement) -> Any:
    """Its recalls that asked for anything, in log order."""
    return select(Recall).where(Recall.agreement_id == agreement.id, Recall.answered_by == None).order_by(sa.asc(Recall.log_index))  # type: ignore[arg-type]


def _deletions(session: Session, agreement: Agreement, obligations: list[dict[str, str]], now: datetime) -> list[Task]:
    """Each release that was handed over, by the day on which it must be deleted: under the shortest period of those that were signed."""
    signed = [duty for duty in obligations if duty["kind"] == "delete" and duty["event"] == "release"]
    if not signed:
        return []
    duty = min(signed, key=lambda one: period_days(one["within"]))
    rows = session.exec(select(ReleaseDeletion).where(ReleaseDeletion.agreement_id == agreement.id))
    tasks = []
    for row in rows:
        state = "done" if row.state != "owed" else "overdue" if is_undeleted(row, now) else "open"
        tasks.append(Task("delete", row.release_id, row.late_from or row.delete_by, state, duty))
    return tasks


def _held(session: Session, agreement: Agreement) -> bool:
    """Whether anything was handed over."""
    query = sa.select(Delivery.id).join(Release, Release.id == Delivery.release_id).where(Release.agreement_id == agreement.id)  # type: ignore[call-overload,arg-type]
    return session.execute(query.limit(1)).first() is not None


def _payments(session: Session, agreement: Agreement, duty: dict[str, str], now: datetime) -> list[Task]:
    """One a release and day: open while a line of it is due or disputed. None before anything was handed over."""
    unpaid = sa.func.sum(sa.case((CompensationLine.state == "paid", 0), else_=1))
    query = (
        sa.select(CompensationLine.release_id, CompensationLine.due, unpaid)  # type: ignore[call-overload]
        .where(CompensationLine.agreement_id == agreement.id, CompensationLine.duty == compensation.named(duty))
        .group_by(CompensationLine.release_id, CompensationLine.due)
    )
    return [
        _dated("compensate", release, due, now, duty) if left else Task("compensate", release, due, "done", duty)
        for release, due, left in session.execute(query)
    ]


def _report(session: Session, agreement: Agreement, duty: dict[str, str], now: datetime) -> Task:
    """The next use report: late only where something was handed over to report of."""
    days = period_days(duty["every"])
    due = agreement.report_due or _next(agreement.signed_at, days, now)
    if due < now and not _held(session, agreement):
        due = _next(agreement.signed_at, days, now)
    return _dated("reportBack", None, due, now, duty)


def _next(start: datetime, days: int, now: datetime) -> datetime:
    """The next day of a rhythm that begins at `start`."""
    passed = max(0, (now - start) // timedelta(days=days))
    return start + timedelta(days=days) * (passed + 1)


def _dated(task: str, of: str | None, due: datetime, now: datetime, duty: dict[str, str]) -> Task:
    return Task(task, of, due, "overdue" if due < now else "open", duty)


def _of_recall(recall: Recall, duty: dict[str, str], now: datetime) -> list[Task]:
    """To acknowledge it, and to delete what it names or say that this cannot be done."""
    noted = "done" if recall.state != "notified" else "overdue" if recall.due and recall.due < now else "open"
    closed = "done" if recall.state in ("attested", "cannot_remove") else "overdue" if recall.delete_by and recall.delete_by < now else "open"
    return [Task("acknowledge", recall.id, recall.due, noted, duty), Task("delete", recall.id, recall.delete_by, closed, duty)]
