"""The public ledger: a view of the institutional leaves alone."""

import json

import sqlalchemy as sa
from sqlmodel import Session, select

from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.log.schemas import LedgerItem, LedgerPage


def page(session: Session, runtime: Runtime, cursor: str | None) -> LedgerPage:
    """A page of organisations' acts in log order. Raises Malformed (cursor_invalid)."""
    cursors: Cursors = runtime.parts["cursors"]
    after = -1 if cursor is None else int(cursors.read("ledger", cursor))
    rows = session.exec(
        select(LogEntry)
        .where(LogEntry.log_index > after, LogEntry.sealed == None)
        .order_by(sa.asc(LogEntry.log_index))
        .limit(PAGE + 1)  # type: ignore[arg-type]
    ).all()
    items = [LedgerItem(index=row.log_index, act=json.loads(row.leaf)) for row in rows[:PAGE]]
    following = cursors.make("ledger", str(rows[PAGE - 1].log_index)) if len(rows) > PAGE else None
    return LedgerPage(items=items, next=following)
