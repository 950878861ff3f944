"""Verdicts: the evaluator's answer for each distinct policy under a use, kept so that millions of records need one join.

A verdict is a function of the policy, the use, the lab's verified facts, the day and the evaluator's version. The first three
are its key (facts are part of the use's row); the day and the version stand in it, and a query takes only what is current.
"""

from collections.abc import Hashable, Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import NO_AGE, Verdict
from app.agreements.models import Use as UseRow
from app.consents.models import Policy
from app.consents.policies import AT_HAND, PolicyBook
from app.core.alike import only_days, without_days
from app.core.canonical import canonical, sha256_hex
from app.core.evaluation import EVALUATOR, Decision, LabFacts, Use, evaluate, verdict
from app.core.evaluation import Verdict as Answer
from app.kit.bulk import Direct, rows_of
from app.kit.db import for_update, insert_or_ignore
from app.parties.models import Lab

_V = Verdict.__table__  # type: ignore[attr-defined]
_P = Policy.__table__  # type: ignore[attr-defined]
_USE = UseRow.__table__  # type: ignore[attr-defined]
_COLUMNS = (
    "policy_id", "valid_until", "min_age", "max_age", "permit", "parts", "person", "group_size", "decided_on", "use_id", "evaluator",
)  # fmt: skip
_AT_ONCE = 5_000
_MANY = 10
"""From so many new verdicts on, PostgreSQL counts anew before they are joined."""
_FEW = 5_000
"""Up to so many undecided policies are decided whether or not the selection needs them: finding out would cost more."""


def facts_of(lab: Lab) -> LabFacts:
    """The facts that the operator verified; a policy's recipient constraint sees these and never the lab's own word."""
    return LabFacts(kind=lab.kind, seat=lab.seat)


def known_use(session: Session, use: Use, facts: LabFacts) -> int | None:
    """The id of this use by a lab of these facts, if it was ever asked for."""
    return session.exec(select(UseRow.id).where(UseRow.digest == _digest(use, facts)[0])).first()


def _digest(use: Use, facts: LabFacts) -> tuple[str, dict[str, Any]]:
    body = {"use": use.to_json(), "kind": facts.kind, "seat": facts.seat}
    return sha256_hex(canonical(body)), body


def use_row(session: Session, use: Use, facts: LabFacts) -> int:
    """The id of this use by a lab of these facts, made if new."""
    digest, body = _digest(use, facts)
    found = session.exec(select(UseRow.id).where(UseRow.digest == digest)).first()
    if found is None:
        insert_or_ignore(session, UseRow.__table__, {"digest": digest, "body": body})  # type: ignore[attr-defined]
        found = session.exec(select(UseRow.id).where(UseRow.digest == digest)).one()
    return int(found)  # type: ignore[arg-type]


def current(table: Any, use_id: int, today: date) -> Any:
    """The condition on a verdict (or an alias of the table) to be the one of this use and day."""
    return sa.and_(
        table.c.use_id == use_id, table.c.evaluator == EVALUATOR, table.c.decided_on <= today,
        sa.or_(table.c.valid_until.is_(None), table.c.valid_until > today),
    )  # fmt: skip


def decide(
    session: Session, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, policies: Iterable[int], today: date
) -> dict[int, Decision]:
    """Evaluate the policies with their reports and see that their verdicts are kept; gives the full decisions."""
    wanted = set(policies)
    keep(session, book, use_id, use, facts, wanted, today)
    return {i: evaluate(stored.compiled, use, facts, today) for i, stored in book.by_ids(wanted).items()}


def keep(
    session: Session, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, policies: Iterable[int], today: date
) -> None:
    """Decide those of the policies that have no current verdict for this use."""
    _decide(session, book, use_id, use, facts, undecided(session, use_id, policies, today), today)


def undecided(session: Session, use_id: int, policies: Iterable[int], today: date) -> list[int]:
    """Those of the policies that have no current verdict for this use, sorted."""
    wanted = sorted(set(policies))
    known: set[int] = set()
    for start in range(0, len(wanted), _AT_ONCE):
        known |= set(session.execute(_known(use_id, today).where(_V.c.policy_id.in_(wanted[start : start + _AT_ONCE]))).scalars())
    return [i for i in wanted if i not in known]


def keep_all(
    session: Session, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, needed: Any, today: date
) -> None:
    """Decide what a selection may meet. `needed` is a select of the policy ids that govern it, run only where many policies
    are still undecided."""
    if _all_decided(session, use_id, today):
        if not _all_hold(session, use_id, today):
            hold_use(session, use_id)
            _note_when_all_hold(session, use_id)
        return
    # By id, so that neighbours are read and written together: by itself SQLite would take the index of the digests.
    undecided = sa.select(_P.c.id).where(~sa.exists(_known(use_id, today).where(_V.c.policy_id == _P.c.id))).order_by(_P.c.id)
    found = list(session.execute(undecided.limit(_FEW + 1)).scalars())
    if len(found) > _FEW:
        found = [row[0] for rows in rows_of(session, undecided.where(_P.c.id.in_(needed)), _FEW + 1) for row in rows]
    _decide(session, book, use_id, use, facts, found, today)
    if found and not _all_hold(session, use_id, today):
        _note_when_all_hold(session, use_id)


def _all_decided(session: Session, use_id: int, today: date) -> bool:
    """Whether there are as many current verdicts as policies: each has one for records of age 0. Counting costs a tenth of looking each up.
    No number is above the newest policy's, so that where as many are decided none is left and the policies need not be counted."""
    which = _V.c.use_id == use_id if _all_hold(session, use_id, today) else current(_V, use_id, today)
    known = sa.select(sa.func.count().label("n")).select_from(_V).where(which, _V.c.min_age == 0).subquery()
    newest, there = (sa.select(one).select_from(_P).scalar_subquery() for one in (sa.func.coalesce(sa.func.max(_P.c.id), 0), sa.func.count()))
    return bool(session.execute(sa.select(sa.case((known.c.n == newest, sa.true()), else_=known.c.n == there))).scalar_one())


def _all_hold(session: Session, use_id: int, today: date) -> bool:
    """Whether no verdict of this use is over, or by another evaluator: then none needs to be looked at for that, which takes as long again
    as counting them."""
    holds = (_USE.c.evaluator == EVALUATOR, _USE.c.hold_from <= today, sa.or_(_USE.c.hold_until.is_(None), _USE.c.hold_until > today))
    return session.execute(sa.select(_USE.c.id).where(_USE.c.id == use_id, *holds)).first() is not None


def _note_when_all_hold(session: Session, use_id: int) -> None:
    """Look at every verdict of a use, whose row is held, and note when they hold together."""
    start, end, least, most = session.execute(_together().where(_V.c.use_id == use_id)).one()
    by = most if least == most else None
    session.execute(sa.update(_USE).where(_USE.c.id == use_id).values(hold_from=start, hold_until=end, evaluator=by))


def _add_to_note(session: Session, use_id: int, decided: list[int], today: date) -> None:
    """After `decided` were, the use's row held: the note of the others goes on with these. One that says nothing of today cannot know them,
    and goes: another day, or an evaluator of before, would find in it what these are not."""
    if len(decided) > _AT_ONCE or not _all_hold(session, use_id, today):
        session.execute(sa.update(_USE).where(_USE.c.id == use_id, _USE.c.evaluator.is_not(None)).values(evaluator=None))
        return
    before = session.execute(sa.select(_USE.c.hold_from, _USE.c.hold_until).where(_USE.c.id == use_id)).one()
    start, end, _, _ = session.execute(_together().where(_V.c.use_id == use_id, _V.c.policy_id.in_(decided))).one()
    until = min((day for day in (end, before.hold_until) if day is not None), default=None)
    session.execute(sa.update(_USE).where(_USE.c.id == use_id).values(hold_from=max(start, before.hold_from), hold_until=until))


def _together() -> Any:
    v = _V.c
    return sa.select(sa.func.max(v.decided_on), sa.func.min(v.valid_until), sa.func.min(v.evaluator), sa.func.max(v.evaluator))


def hold_use(session: Session, use_id: int) -> None:
    """Nobody else decides this use until the transaction ends. Before the log head, as everywhere."""
    session.execute(for_update(sa.select(UseRow.id).where(UseRow.id == use_id), session))  # type: ignore[call-overload]


def _known(use_id: int, today: date) -> Any:
    return sa.select(_V.c.policy_id).where(current(_V, use_id, today))


class _Answers:
    """Verdicts on one use on one day, decided once for all policies that are alike."""

    def __init__(self, direct: Direct, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, today: date) -> None:
        self._direct, self._book, self._use_id = direct, book, use_id
        self._asked = use, facts, today
        self._today = today.isoformat().encode()
        self._found: dict[Hashable, list[tuple[Any, ...]] | None] = {}

    def rows(self, policies: list[int]) -> list[tuple[Any, ...]]:
        """What is kept of each of these policies, which are sorted, in the order of `_COLUMNS`."""
        if len(self._found) > AT_HAND:
            self._found.clear()
        first, last = policies[0], policies[-1]
        if last - first < len(policies):  # none between them is left out, and a list of thousands costs as much as their bytes
            bodies = self._direct.run("SELECT id, body FROM policy WHERE id BETWEEN ? AND ?", (first, last), binary=True).fetchall()
        else:
            bodies = self._direct.run_among("SELECT id, body FROM policy WHERE id IN (*)", (), policies).fetchall()
        met = [(i, *without_days(body, self._today)) for i, body in bodies]
        unlike = {key: (i, days) for i, key, days in met if key not in self._found}
        stored = self._book.by_ids(i for i, _ in unlike.values())
        for key, (i, days) in unlike.items():
            compiled = stored[i].compiled
            self._found[key] = self._steps(verdict(compiled, *self._asked)) if only_days(compiled, days) else None
        rows: list[tuple[Any, ...]] = []
        alone: list[int] = []
        ends: dict[tuple[bytes, ...], Any] = {}
        for i, key, days in met:
            steps = self._found[key]
            if steps is None:
                alone.append(i)
                continue
            if (named := tuple(days)) not in ends:
                ends[named] = self._first_to_come(days)
            until = ends[named]
            for step in steps:
                rows.append((i, until, *step))
        for i, one in self._book.by_ids(alone).items():
            answer = verdict(one.compiled, *self._asked)
            until = answer.valid_until and self._day(answer.valid_until.isoformat().encode())
            rows += [(i, until, *step) for step in self._steps(answer)]
        return rows

    def _first_to_come(self, days: list[bytes]) -> Any:
        to_come = [day for day in days if day > self._today]
        return self._day(min(to_come)) if to_come else None

    def _steps(self, answer: Answer) -> list[tuple[Any, ...]]:
        said = (answer.person, answer.group_size, self._day(self._today), self._use_id, EVALUATOR)
        ends = [(step.from_age, NO_AGE if step.to_age is None else step.to_age, step.parts) for step in answer.steps]
        return [(start, end, bool(parts), parts, *said) for start, end, parts in ends]

    def _day(self, text: bytes) -> Any:
        return text.decode() if self._direct.sqlite else date.fromisoformat(text.decode())  # as the driver writes a day: SQLite has no type for it


def _decide(session: Session, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, policies: list[int], today: date) -> None:
    if not policies:
        return
    # Two that decide the same at once: stretches of two days must not stand side by side, so the second waits for the first.
    hold_use(session, use_id)
    direct = Direct.under(session)
    answers = _Answers(direct, book, use_id, use, facts, today)
    some_are_there = direct.run("SELECT 1 FROM verdict WHERE use_id = ? LIMIT 1", (use_id,)).fetchone() is not None
    for start in range(0, len(policies), _AT_ONCE):
        some = policies[start : start + _AT_ONCE]
        if some_are_there:
            direct.run_among("DELETE FROM verdict WHERE use_id = ? AND policy_id IN (*)", (use_id,), some)
        direct.load(_V, _COLUMNS, answers.rows(some))
    if len(policies) >= _MANY and not direct.sqlite:
        # PostgreSQL would go on believing that there is next to nothing for this use, and look at every record for each verdict.
        direct.run("ANALYZE verdict")
    _add_to_note(session, use_id, policies, today)
