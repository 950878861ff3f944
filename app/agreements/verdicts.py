"""Verdicts: the evaluator's answer for each distinct policy under a use, kept so that millions of records need one join.

A verdict is a function of the policy, the use, the lab's verified facts, the day and the evaluator's version. The first three
are its key (facts are part of the use's row); the day and the version stand in it, and a query takes only what is current.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Use as UseRow
from app.agreements.models import Verdict
from app.consents.models import Policy
from app.consents.policies import PolicyBook
from app.core.canonical import canonical, sha256_hex
from app.core.evaluation import EVALUATOR, Decision, LabFacts, Use, evaluate, verdict
from app.kit.db import for_update, insert_or_ignore, is_sqlite
from app.parties.models import Lab

_V = Verdict.__table__  # type: ignore[attr-defined]
_P = Policy.__table__  # type: ignore[attr-defined]
NO_AGE = 100_000
"""`max_age` of a stretch without an end: more days than any record has."""
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
    missing = undecided(session, use_id, policies, today)
    for start in range(0, len(missing), _AT_ONCE):
        _decide(session, book, use_id, use, facts, missing[start : start + _AT_ONCE], today)
    _count_anew(session, len(missing))


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
    undecided = sa.select(_P.c.id).where(~sa.exists(_known(use_id, today).where(_V.c.policy_id == _P.c.id)))
    found = list(session.execute(undecided.limit(_FEW + 1)).scalars())
    if len(found) > _FEW:
        found = list(session.execute(undecided.where(_P.c.id.in_(needed))).scalars())
    for start in range(0, len(found), _AT_ONCE):
        _decide(session, book, use_id, use, facts, found[start : start + _AT_ONCE], today)
    _count_anew(session, len(found))


def _count_anew(session: Session, new: int) -> None:
    if new >= _MANY and not is_sqlite(session):
        # PostgreSQL would go on believing that there is next to nothing for this use, and look at every record for each verdict.
        session.execute(sa.text("ANALYZE verdict"))


def hold_use(session: Session, use_id: int) -> None:
    """Nobody else decides this use until the transaction ends. Before the log head, as everywhere."""
    session.execute(for_update(sa.select(UseRow.id).where(UseRow.id == use_id), session))  # type: ignore[call-overload]


def _known(use_id: int, today: date) -> Any:
    return sa.select(_V.c.policy_id).where(current(_V, use_id, today))


def _decide(
    session: Session, book: PolicyBook, use_id: int, use: Use, facts: LabFacts, policies: list[int], today: date
) -> None:
    if not policies:
        return
    # Two that decide the same at once: stretches of two days must not stand side by side, so the second waits for the first.
    hold_use(session, use_id)
    session.execute(sa.delete(_V).where(_V.c.use_id == use_id, _V.c.policy_id.in_(policies)))
    rows = []
    for i, stored in book.by_ids(policies).items():
        found = verdict(stored.compiled, use, facts, today)
        rows += [
            {
                "use_id": use_id, "policy_id": i, "min_age": step.from_age, "permit": bool(step.parts), "parts": step.parts,
                "max_age": NO_AGE if step.to_age is None else step.to_age, "person": found.person,
                "group_size": found.group_size, "decided_on": today, "valid_until": found.valid_until, "evaluator": EVALUATOR,
            }
            for step in found.steps
        ]  # fmt: skip
    session.execute(sa.insert(_V), rows)
