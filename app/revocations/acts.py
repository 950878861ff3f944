"""What a person did with their consents, act by act, each with a receipt of its own."""

import json
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.contributions import receipts
from app.kit.errors import Gone, NotFound
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.parties.models import Receipt
from app.revocations.models import ConsentAct


def page(session: Session, runtime: Runtime, receipt: Receipt, after: int, limit: int) -> tuple[list[ConsentAct], int | None]:
    """Acts that the receipt covers, by log index above `after`, `limit` looked at; and where to go on."""
    rows = session.exec(
        select(ConsentAct)
        .where(ConsentAct.contributor_id == receipt.contributor_id, ConsentAct.log_index > after)
        .order_by(sa.asc(ConsentAct.log_index))  # type: ignore[arg-type]
        .limit(limit)
    ).all()
    mine = [row for row in rows if shows(session, runtime, receipt, row)]
    return mine, rows[-1].log_index if len(rows) == limit else None


def latest(session: Session, runtime: Runtime, receipt: Receipt, limit: int) -> list[ConsentAct]:
    """The newest acts that the receipt covers, newest first, `limit` looked at."""
    query = select(ConsentAct).where(ConsentAct.contributor_id == receipt.contributor_id)
    rows = session.exec(query.order_by(sa.desc(ConsentAct.log_index)).limit(limit))  # type: ignore[arg-type]
    return [row for row in rows if shows(session, runtime, receipt, row)]


def shows(session: Session, runtime: Runtime, receipt: Receipt, row: ConsentAct) -> bool:
    """Whether the receipt covers the act."""
    if row.contributor_id != receipt.contributor_id:
        return False
    if receipt.contribution_id is None:
        return True
    try:
        return _covers(receipt, _payload(session, runtime, row))
    except Gone:  # an act on something else of the person's, which was erased with it
        return False


def receipt_file(session: Session, runtime: Runtime, receipt: Receipt, act: str) -> dict[str, Any]:
    """The receipt of one act. Raises NotFound (not_found), also for an act that reaches beyond what the receipt covers."""
    row = session.get(ConsentAct, act)
    if row is None or row.contributor_id != receipt.contributor_id:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    file, _ = receipts.act_file(session, runtime, row.contributor_id, session.get_one(LogEntry, row.log_index))
    if not _covers(receipt, json.loads(file["act"])):
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return file


def _payload(session: Session, runtime: Runtime, row: ConsentAct) -> dict[str, Any]:
    _, payload, _ = receipts.opening(session, runtime, row.contributor_id, session.get_one(LogEntry, row.log_index))
    found: dict[str, Any] = json.loads(payload)
    return found


def _covers(receipt: Receipt, act: dict[str, Any]) -> bool:
    """A receipt for one contribution shows acts on that one alone: others would tell what else the person gave."""
    one = receipt.contribution_id
    return one is None or act.get("contribution") == one or act.get("contributions") == [one]
