"""The public ledger: a view of the institutional leaves alone, whole or chosen by lab, kind of act and quarter."""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.kit.errors import Invalid
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.log.schemas import LedgerItem, LedgerPage

KINDS = {
    "agreements": ("agreement.", "offer."), "releases": ("release.", "label."), "recalls": ("recall.", "deletion."),
    "requests": ("request.", "refusal."), "reports": ("report.", "use.", "compensation."),
    "collectives": (
        "collective.", "outcome.", "ballot.", "campaign.", "strike.", "petition.", "thread.", "alternative.", "appeal.", "openings.",
        "proposal.postponed",
    ),
    "operator": ("admin.", "key."),
    "refusals": (
        "request.refused", "collective.lab-refused", "collective.use-refused", "collective.use-recalled", "collective.outcome-voided", "refusal.",
    ),
}  # fmt: skip
"""What can be chosen, and the acts it stands for by how their types begin."""
_QUARTER = re.compile(r"(\d{4})-Q([1-4])\Z")
_SCANNED = 20_000
"""Acts looked at for one page, or for one file; there may be more behind one that is not full."""
MOST = 10_000
"""Acts in one file."""
_COLUMNS = (
    "index", "at", "type", "id", "lab", "lab_id", "platform", "name", "agreement", "release", "use", "because", "records", "owed", "due", "decision",
    "verdict", "contested", "action", "purpose", "acted", "until", "outcome", "kind", "reason", "label", "dissent",
)  # fmt: skip
_BESIDE = ("reasoning", "reply", "disputes")
Beside = Callable[[Session, Runtime, Sequence[LedgerItem]], dict[int, dict[str, Any]]]
"""What other slices have to say beside acts, by index; it is put into `runtime.parts["beside"]`, since the log knows nothing of them."""


@dataclass(frozen=True)
class Chosen:
    """Which acts: of labs by id or legal name (some leaves have the one, some the other), of a kind, of a quarter (`2026-Q4`, UTC). What is
    not given may be any."""

    labs: tuple[str, ...] = ()
    kind: str = ""
    quarter: str = ""

    def conditions(self) -> list[Any]:
        """Of the query. Raises Invalid (body_invalid) for what cannot be chosen."""
        found: list[Any] = []
        if self.kind:
            if self.kind not in KINDS:
                raise Invalid("body_invalid", f"Choose one of {', '.join(KINDS)}.")
            found.append(sa.or_(*(LogEntry.type.startswith(begin) for begin in KINDS[self.kind])))  # type: ignore[attr-defined]
        if self.quarter:
            read = _QUARTER.match(self.quarter)
            if read is None:
                raise Invalid("body_invalid", "Write a quarter as 2026-Q4.")
            year, month = int(read[1]), 3 * int(read[2]) - 2
            if not 1970 <= year <= 9998:
                raise Invalid("body_invalid", "Write a quarter as 2026-Q4.")
            found.append(LogEntry.at >= datetime(year, month, 1, tzinfo=UTC))
            found.append(LogEntry.at < datetime(year + (month == 10), (month + 2) % 12 + 1, 1, tzinfo=UTC))
        return found

    def fits(self, act: dict[str, Any]) -> bool:
        """Whether an act is of one of the labs."""
        return not self.labs or not {act.get("lab"), act.get("lab_id"), act.get("legal_name"), act.get("id")}.isdisjoint(self.labs)


def page(session: Session, runtime: Runtime, cursor: str | None, chosen: Chosen = Chosen()) -> LedgerPage:
    """A page of organisations' acts in log order. Raises Malformed (cursor_invalid) or Invalid (body_invalid)."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"ledger/{json.dumps(chosen.labs)}/{chosen.kind}/{chosen.quarter}" if chosen != Chosen() else "ledger"
    after = -1 if cursor is None else int(cursors.read(listing, cursor))
    items, last = _some(session, after, chosen, PAGE)
    return LedgerPage(items=_with_beside(session, runtime, items), next=None if last is None else cursors.make(listing, str(last)))


def latest(session: Session, runtime: Runtime, chosen: Chosen, most: int) -> list[LedgerItem]:
    """The newest acts, the newest first, among the last `_SCANNED`."""
    newest = _query(chosen).order_by(None).order_by(sa.desc(LogEntry.log_index)).limit(_SCANNED)  # type: ignore[arg-type]
    found: list[LedgerItem] = []
    for row in session.exec(newest.execution_options(yield_per=PAGE)):
        act = json.loads(row.leaf)
        if chosen.fits(act):
            found.append(LedgerItem(index=row.log_index, act=act))
        if len(found) == most:
            break
    return _with_beside(session, runtime, found)


def _with_beside(session: Session, runtime: Runtime, items: list[LedgerItem]) -> list[LedgerItem]:
    look: Beside | None = runtime.parts.get("beside")
    if look is not None:
        said = look(session, runtime, items)
        for item in items:
            item.beside = said.get(item.index)
    return items


def as_csv(session: Session, runtime: Runtime, chosen: Chosen, after: int) -> tuple[str, int | None]:
    """`MOST` acts behind an index as CSV (RFC 4180), and the index to go on behind, if there may be more. A cell that a spreadsheet
    would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow((*_COLUMNS, *_BESIDE))
    items, last = _some(session, after, chosen, MOST)
    for item in _with_beside(session, runtime, items):
        act: dict[str, Any] = {**item.act, "index": item.index, "lab": item.act.get("lab") or item.act.get("legal_name")}
        said = item.beside or {}
        disputes = json.dumps(said["disputes"]) if said.get("disputes") else None
        texts = (said.get("reasoning"), said.get("reply"), disputes)
        rows.writerow([*(_cell(act.get(name)) for name in _COLUMNS), *map(_cell, texts)])
    return out.getvalue(), last


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _query(chosen: Chosen) -> Any:
    return select(LogEntry).where(LogEntry.sealed == None, *chosen.conditions()).order_by(sa.asc(LogEntry.log_index))  # type: ignore[arg-type]


def _some(session: Session, after: int, chosen: Chosen, most: int) -> tuple[list[LedgerItem], int | None]:
    """The first `most` acts that are chosen behind an index, and the index that was looked at last where there are more to look at.

    No more than `_SCANNED` acts are looked at, however long the runs of people's acts between them are.
    """
    found: list[LedgerItem] = []
    # One more than may be looked at: it tells that there are more.
    rows = session.exec(_query(chosen).where(LogEntry.log_index > after).limit(_SCANNED + 1), execution_options={"yield_per": PAGE})
    for looked, row in enumerate(rows):
        if looked == _SCANNED or len(found) == most:
            return found, after
        act = json.loads(row.leaf)
        if chosen.fits(act):
            found.append(LedgerItem(index=row.log_index, act=act))
        after = row.log_index
    return found, None
