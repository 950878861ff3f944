"""Whether a noted act that was never committed has been overtaken: to do it now would undo what its person, or platform, did since.

An act whose commit failed was answered with 503. Who then chose anew, or sent it again, has the answer that counts. Only acts on
the same subject that came after the line overtake it: those that are themselves done again, in the order of the journal, do not.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.collectives.mandates import kinds_within
from app.collectives.models import CollectiveAct, Mandate
from app.consents.models import Consent, Exclusion
from app.core.canonical import b64u
from app.core.merkle import leaf_hash
from app.kit.journal import Journal, Line
from app.log.guard import RESTORED
from app.log.models import LogEntry
from app.revocations.models import ConsentAct

_ACT = ConsentAct.__table__  # type: ignore[attr-defined]
_MINE = CollectiveAct.__table__  # type: ignore[attr-defined]
_MANDATE = Mandate.__table__  # type: ignore[attr-defined]
_CONSENT = Consent.__table__  # type: ignore[attr-defined]
_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_X = Exclusion.__table__  # type: ignore[attr-defined]


def overtaken(session: Session, journal: Journal, line: Line) -> bool:
    """Whether `line` is to be settled instead of done. The caller holds the person's key row, or the platform's row."""
    kind, lines = line["kind"], journal.lines()
    line = _placed(lines, line)
    if kind == "scope":
        one = line["contributions"][0][0] if line["contributions"] else None
        return _after(lines, line, {*_chosen(session, line, one), *_taken_back(session, line, one)})
    if kind == "withdraw" and line["scope"] in ("lab", "purpose"):
        return _excluded(session, line)
    if kind == "withdraw" and line["scope"] == "standing":
        return _after(lines, line, _chosen(session, line, None))
    if kind == "mandate":
        return _mandated(session, line) or _after(lines, line, {*_ended(session, line), *_renewed(session, lines, line)})
    if kind == "collective-policy":
        return _after(lines, line, _set(session, lines, line, line["collective"], "collective.policy-set"))
    if kind == "lab-refusal":
        kinds = ("collective.lab-refused", "collective.lab-readmitted")
        return _after(lines, line, {act for one in kinds for act in _set(session, lines, line, line["collective"], one)})
    if kind == "lab-block":
        return _after(lines, line, _set(session, lines, line, line["lab"], "admin.lab-unblocked"))
    if kind == "floor":
        return _after(lines, line, _set(session, lines, line, line["platform"], "admin.floor-set"))
    return False


def standing_since(session: Session, journal: Journal, line: Line) -> bool:
    """Whether the person gave a standing consent after the line."""
    lines = journal.lines()
    line = _placed(lines, line)
    return _after(lines, line, _chosen(session, line, None))


def _placed(lines: list[Line], line: Line) -> Line:
    """The line with the first index that an act after it can have: a restore since may have gone on from fewer leaves than it names."""
    mine = next((at for at, noted in enumerate(lines) if noted["act"] == line["act"]), len(lines))
    return {**line, "seq": min([line["seq"], *(noted["seq"] for noted in lines[mine:] if noted["kind"] == RESTORED)])}


def _after(lines: list[Line], line: Line, acts: Iterable[str | None]) -> bool:
    """Whether one of these committed acts came after the line. None is an act that is in no line."""
    found = set(acts)
    if not found:
        return False
    first: dict[str, int] = {}
    for at, noted in enumerate(lines):
        first.setdefault(noted["act"], at)
    mine = first.get(line["act"], -1)
    return any(act is None or first.get(act, mine + 1) > mine for act in found)


def _chosen(session: Session, line: Line, contribution: str | None) -> Iterable[str]:
    """Choices of terms for the same contribution, or (None) standing ones."""
    query = (
        sa.select(_ACT.c.id)
        .join(_CONSENT, _CONSENT.c.id == _ACT.c.id)
        .where(
            _ACT.c.contributor_id == line["contributor"], _ACT.c.log_index >= line["seq"],
            _CONSENT.c.contribution_id.is_not_distinct_from(contribution),
        )
    )  # fmt: skip
    return session.execute(query).scalars()


def _taken_back(session: Session, line: Line, contribution: str | None) -> Iterable[str]:
    """Withdrawals of the standing consent. One of a contribution needs no look: it takes no terms any more."""
    if contribution is not None:
        return ()
    query = sa.select(_ACT.c.id).where(
        _ACT.c.contributor_id == line["contributor"], _ACT.c.log_index >= line["seq"], _ACT.c.type == "consent.withdrawn",
        _ACT.c.scope.in_(("standing", "all")),
    )  # fmt: skip
    return session.execute(query).scalars()


def _excluded(session: Session, line: Line) -> bool:
    """Whether the lab, or the purpose, is excluded already where the line says so: sent again, it was done then."""
    mine = sa.select(_X.c.contribution_id).where(
        _X.c.contributor_id == line["contributor"], _X.c.lab_id.is_not_distinct_from(line["lab"]),
        _X.c.purpose.is_not_distinct_from(line["purpose"]), _X.c.since.is_(None), _X.c.until.is_(None), _X.c.consent_id.is_(None),
    )  # fmt: skip
    there: set[Any] = set(session.execute(mine).scalars())
    wanted = {None} if line["whole"] else {one[0] for one in line["contributions"]}
    return bool(wanted) and wanted <= there


def _mandated(session: Session, line: Line) -> bool:
    """Whether the same mandate stands already: sent again, it was given then."""
    kinds = None if line["kinds"] is None else f",{','.join(line['kinds'])},"
    query = sa.select(_MANDATE.c.id).where(
        _MANDATE.c.contributor_id == line["contributor"], _MANDATE.c.collective_id == line["collective"], _MANDATE.c.ended_at.is_(None),
        _MANDATE.c.contribution_id.is_not_distinct_from(line["one"]), _MANDATE.c.kinds.is_not_distinct_from(kinds),
        _MANDATE.c.expires_on == date.fromisoformat(line["expires_on"]),
    )  # fmt: skip
    return session.execute(query.limit(1)).first() is not None


def _ended(session: Session, line: Line) -> Iterable[str]:
    """Mandates of the same collective that the person ended, and their leaving it."""
    query = sa.select(_MINE.c.id).where(
        _MINE.c.contributor_id == line["contributor"], _MINE.c.collective_id == line["collective"], _MINE.c.log_index >= line["seq"],
        _MINE.c.type.in_(("mandate.ended", "membership.ended")),
    )  # fmt: skip
    return session.execute(query).scalars()


def _renewed(session: Session, lines: list[Line], line: Line) -> Iterable[str]:
    """Mandates that the person gave of at least the same: each takes the place of those before it."""
    same = ("kind", "contributor", "collective")
    acts = {
        noted["mandate"]: noted["act"] for noted in lines
        if all(noted.get(name) == line[name] for name in same) and noted["act"] != line["act"]
        and noted["one"] in (None, line["one"]) and kinds_within(line["kinds"], noted["kinds"])
    }  # fmt: skip
    given = sa.select(_MANDATE.c.id).where(_MANDATE.c.contributor_id == line["contributor"], _MANDATE.c.collective_id == line["collective"])
    return [acts[one] for one in session.execute(given).scalars() if one in acts]


def _set(session: Session, lines: list[Line], line: Line, subject: str, kind: str) -> set[str | None]:
    """Acts of one kind about the same subject: settings of a platform's floor, policies that a collective brought into force."""
    query = sa.select(_ENTRY.c.log_index, _ENTRY.c.leaf).where(
        _ENTRY.c.subject == subject, _ENTRY.c.type == kind, _ENTRY.c.log_index >= line["seq"]
    )
    found = session.execute(query).all()
    if not found:
        return set()
    acts = {(noted["seq"], noted["leaf"]): noted["act"] for noted in lines if "seq" in noted}
    return {acts.get((row.log_index, b64u(leaf_hash(bytes(row.leaf))))) for row in found}
