"""Closing the log: a database that was set back takes nothing more until `python -m app restore` has run.

Going on would sequence other leaves under indices that were signed before. The mark is a column of the log's head with a
constraint, so that no process and no path can append past it.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlmodel import Session

from app.core.canonical import b64u
from app.core.merkle import leaf_hash
from app.kit.db import read, write
from app.kit.errors import Unavailable
from app.kit.journal import Journal, JournalDamaged, Line
from app.kit.runtime import Runtime
from app.log.models import LOST, LogEntry, LogHead

_HEAD = LogHead.__table__  # type: ignore[attr-defined]
_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_CONSTRAINT = "ck_log_head_frozen"
CLOSED = "the log is closed: run `python -m app restore`"
RESTORED = "restored"
"""The kind of the line that a restore writes: the lines before it tell of a history that ended with it."""


def refusal(error: Exception) -> Unavailable | None:
    """The refusal that a driver's error stands for, where it is the closed log that refused."""
    if _CONSTRAINT not in str(error):
        return None
    return Unavailable("log_read_only", "Nothing is written until the operator has looked.", retry_after=600)


def freeze(runtime: Runtime) -> None:
    """Close the log at its present size."""
    with write(runtime.engine) as session:
        session.execute(sa.update(_HEAD).where(_HEAD.c.frozen_at.is_(None)).values(frozen_at=_HEAD.c.size))


def set_back(runtime: Runtime) -> str | None:
    """A sentence where the database is behind its second place, or that is not this database's; else None.

    A database that has no second place yet adopts an empty one.
    """
    journal = runtime.journal
    try:
        # In this order: a line is written while its index is still to be committed, so it is never beyond the size read after.
        lines = journal.lines()
        kept = journal.kept()
    except JournalDamaged as error:
        return str(error)
    with read(runtime.engine) as session:
        head = session.execute(sa.select(_HEAD)).one()
        late = behind(session, head.size, lines, kept)
    if head.frozen_at is not None:
        return CLOSED
    if late:
        return "the database is behind its narrowing journal: run `python -m app restore`"
    if head.journal is None:
        if kept or lines:
            return "the narrowing journal belongs to a later state of the database: run `python -m app restore`"
        with write(runtime.engine) as session:
            adopt = sa.update(_HEAD).where(_HEAD.c.journal.is_(None)).values(journal=journal.identity)
            session.execute(adopt)
        with read(runtime.engine) as session:
            head = session.execute(sa.select(_HEAD)).one()
    if head.journal != journal.identity:
        return "this is not the narrowing journal of the database: set SAYSO_JOURNAL_DIR to the right one"
    return None


def behind(session: Session, size: int, lines: list[Line], kept: int) -> bool:
    """Whether a database whose log has `size` leaves is at an earlier state than these lines and that many kept leaves.

    A restore goes on from the leaves that were kept, which may be fewer than the lines before it name: those count no more. But the
    last restore must itself be in the database, else this is a state from before it, however many leaves it has.
    """
    last = max((n for n, line in enumerate(lines) if line.get("kind") == RESTORED), default=None)
    if last is not None:
        mark = lines[last]
        if dict(_prints(session, [int(mark["seq"])])) != {mark["seq"]: mark["leaf"]}:
            return True
        lines = lines[last + 1 :]
    return kept > size or any(line.get("seq", 0) > size for line in lines)


def unfinished(session: Session, journal: Journal, start: int = 0) -> list[Line]:
    """Acts that were noted from byte `start` on and never committed, in the order of their noting. Under the head's lock this is final.

    Raises JournalDamaged.
    """
    acts: dict[str, list[Line]] = {}
    for line in journal.lines(start):
        if line["kind"] == RESTORED:
            continue  # nothing to be done again: without its act the database is still set back
        acts.setdefault(str(line["act"]), []).append(line)
    wanted = {int(line["seq"]) for lines in acts.values() for line in lines if "seq" in line}
    found = dict(_prints(session, sorted(wanted)))
    return [
        lines[0]
        for lines in acts.values()
        if not any("seq" not in line or found.get(int(line["seq"])) == line["leaf"] for line in lines)
    ]


def _prints(session: Session, indices: list[int]) -> Iterator[tuple[int, str]]:
    for start in range(0, len(indices), 5000):
        # A leaf that a restore took over is there; what its act did is not.
        some = sa.and_(_ENTRY.c.log_index.in_(indices[start : start + 5000]), _ENTRY.c.type != LOST)
        for index, leaf in session.execute(sa.select(_ENTRY.c.log_index, _ENTRY.c.leaf).where(some)):
            yield index, b64u(leaf_hash(bytes(leaf)))
