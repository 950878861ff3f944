"""Objections as they are kept: reads for the person, and what goes along with a release. The acts are in `revocations/objecting.py`."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.contributions.models import Objection
from app.kit.runtime import Runtime
from app.parties import contributors

MOST_LETTERS = 1_000
"""A statement is short: it is read beside a record."""
_O = Objection.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Said:
    """An objection of a person's, for them: `statement` is None once it was withdrawn."""

    id: str
    contribution: str
    statement: str | None
    language: str
    at: datetime
    withdrawn_at: datetime | None
    log_index: int


def statement_place(objection: str) -> bytes:
    """Where a sealed statement belongs."""
    return b"objection\x00" + objection.encode()


def of_contribution(session: Session, runtime: Runtime, contribution: str, contributor: str) -> list[Said]:
    """All that was said against this contribution's fate by the person who gave it, the newest first."""
    rows = session.exec(select(Objection).where(Objection.contribution_id == contribution).order_by(sa.desc(Objection.log_index))).all()  # type: ignore[arg-type]
    person = contributors.load(session.connection(), runtime.keys, [contributor]).get(contributor) if rows else None
    return [
        Said(
            row.id, row.contribution_id,
            None if row.statement is None or person is None else person.sealer.open(bytes(row.statement), statement_place(row.id)).decode(),
            row.language, row.at, row.withdrawn_at, row.log_index,
        )
        for row in rows
    ]  # fmt: skip


def standing(session: Session, contribution: str, *, lock: bool = False) -> Objection | None:
    """The one that stands on a contribution; with `lock` as it is now, for who holds the contribution's row."""
    query = select(Objection).where(Objection.contribution_id == contribution, Objection.withdrawn_at == None)
    return session.exec(query.execution_options(populate_existing=lock)).first()


def forget(session: Session, contributor: str, contributions: list[str] | None) -> None:
    """Delete them with what they are about, or (None) with all of the contributor's."""
    query = sa.delete(_O).where(_O.c.contributor_id == contributor)
    session.execute(query if contributions is None else query.where(_O.c.contribution_id.in_(contributions)))
