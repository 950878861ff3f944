"""Which of a platform's own contributions it may show itself, for a use it names: the same join as for labs, asked by the platform.

What a person chose and the floor count at once. What collectives say counts as it was at the last midnight (UTC): a platform that
asks every minute must not see by it when a collective decided something, or who is in one. No cause is told, and what is not there
looks like what may not be shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements import selection, verdicts
from app.agreements.models import Verdict
from app.collectives import binding
from app.collectives.models import CollectivePolicy, Mandate
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core import vocabulary as words
from app.core.evaluation import LabFacts, Use
from app.kit.db import read, write
from app.kit.runtime import Runtime

_C = Contribution.__table__  # type: ignore[attr-defined]
_V = Verdict.__table__  # type: ignore[attr-defined]
_M = Mandate.__table__  # type: ignore[attr-defined]
_H = CollectivePolicy.__table__  # type: ignore[attr-defined]
_NOBODY = LabFacts(None, None)
"""Nothing is verified of a platform, so a policy for certain recipients or countries permits it nothing."""
_THERE = selection.Present(mandates=False, limited=False, refusals=False, strikes=False)
_AT_ONCE = 1_000


@dataclass(slots=True)
class Shown:
    """One contribution that may be shown: which parts of it (a mask), and which it has."""

    id: str
    contributor: str
    group: tuple[str, str | None]
    parts: int
    has: int
    least: int
    """The fewest people of its group among all that are shown together."""
    attested_by: str


def epoch(now: datetime) -> datetime:
    """The moment as of which collectives are heard: the last midnight UTC."""
    return datetime.combine(now.date(), time(), UTC)


def may_show(runtime: Runtime, platform: str, use: Use, ids: Sequence[str], *, now: datetime) -> dict[str, Shown]:
    """Those of the ids that are contributions of the platform's and may be shown now, together, under `use`.

    Opens sessions of its own; writes only where a policy was never decided for this use today.
    """
    wanted = list(dict.fromkeys(ids))
    use_id = _decide(runtime, platform, use, wanted, now)
    with read(runtime.engine) as session:
        found = {row.id: row for some in _slices(wanted) for row in _permitted(session, use_id, use, platform, some, now)}
        for some in _slices(wanted):  # whatever was found: how long an answer takes is not to tell who said no
            _hear_collectives(session, use_id, found, some, now)
    _large_enough(found)
    return found


def _decide(runtime: Runtime, platform: str, use: Use, ids: list[str], now: datetime) -> int:
    """See that every policy over these contributions is decided; gives the use's id."""
    today, book = now.date(), _book(runtime)
    with read(runtime.engine) as session:
        policies = {p for some in _slices(ids) for p in _policies(session, platform, some, now)}
        use_id = verdicts.known_use(session, use, _NOBODY)
        if use_id is not None and not verdicts.undecided(session, use_id, policies, today):
            return use_id
    with write(runtime.engine) as session:
        use_id = verdicts.use_row(session, use, _NOBODY)
        verdicts.keep(session, book, use_id, use, _NOBODY, policies, today)
    return use_id


def _policies(session: Session, platform: str, ids: list[str], now: datetime) -> set[int]:
    g = selection.Governed(_THERE)
    query = sa.select(*g.layers()).select_from(g.joined).where(_C.c.platform_id == platform, _C.c.id.in_(ids)).distinct()
    found = {p for row in session.execute(query) for p in row if p is not None}
    return found | {row.policy_id for row in session.execute(_mandated(ids, now)) if row.policy_id is not None}


def _permitted(session: Session, use_id: int, use: Use, platform: str, ids: list[str], now: datetime) -> Iterator[Shown]:
    """What consents and floor permit, now."""
    g = selection.Governed(_THERE)
    layers = g.layers()
    tables = [_V.alias(name) for name in ("vb", "vs", "vf")]
    joined, conditions = g.joined, [_C.c.id.in_(ids), *selection.matching({"platforms": [platform]}, now, None)]
    for policy, v in zip(layers, tables, strict=True):
        joined = joined.outerjoin(v, sa.and_(v.c.policy_id == policy, selection.decided(v, use_id, now, _THERE)))
        conditions.append(v.c.permit if v is tables[0] else sa.or_(policy.is_(None), v.c.permit))
    parts = _C.c.parts
    for v in tables:
        parts = parts.op("&")(sa.func.coalesce(v.c.parts, words.ALL_PARTS))
    person = sa.or_(*(sa.func.coalesce(v.c.person, sa.false()) for v in tables))
    conditions += [
        selection.basis_suffices(g, use), selection.not_taken_back("", use, now), parts.op("&")(words.OWN_PARTS) != 0,
        sa.or_(~person, g.attested_by == "person"),
    ]  # fmt: skip
    least = [sa.func.coalesce(v.c.group_size, 0) for v in tables]
    query = sa.select(_C.c.id, _C.c.contributor_id, _C.c.kind, _C.c.language, parts, _C.c.parts.label("has"), g.attested_by, *least)
    for contribution, contributor, kind, language, open_, has, attested, *sizes in session.execute(query.select_from(joined).where(*conditions)):
        yield Shown(contribution, contributor, (kind, language), open_, has, max(sizes), attested)


def _mandated(ids: list[str], now: datetime) -> Any:
    """A select of (contribution, policy): the policy at the last midnight of each collective mandated then, and the one that the mandate
    was given for; null where mandate or policy was past its day, or there was none."""
    at = epoch(now)
    later = _H.alias("later")
    newest = ~sa.exists().where(later.c.collective_id == _H.c.collective_id, later.c.from_at < at, later.c.id > _H.c.id)
    then = sa.and_(_H.c.collective_id == _M.c.collective_id, _H.c.from_at < at, newest)
    holds = sa.and_(_M.c.expires_on > at.date(), _H.c.until > at.date())
    given = sa.and_(_M.c.given_at < at, sa.or_(_M.c.ended_at.is_(None), _M.c.ended_at >= at))
    mandates = _C.join(_M, sa.and_(binding.reaches(), given))
    in_force = sa.case((holds, _H.c.policy_id), else_=sa.null())
    return sa.union(
        sa.select(_C.c.id.label("contribution"), in_force.label("policy_id")).select_from(mandates.outerjoin(_H, then)).where(_C.c.id.in_(ids)),
        sa.select(_C.c.id, _M.c.policy_id).select_from(mandates).where(_C.c.id.in_(ids), _M.c.policy_id.is_not(None)),
    )


def _hear_collectives(session: Session, use_id: int, found: dict[str, Shown], ids: list[str], now: datetime) -> None:
    """Take out of `found` what a mandated collective does not permit, whole or in parts."""
    mandated = _mandated(ids, now).subquery("mandated")
    v = _V.alias("vk")
    decided = sa.and_(v.c.policy_id == mandated.c.policy_id, selection.decided(v, use_id, now, _THERE))
    joined = sa.join(_C, mandated, mandated.c.contribution == _C.c.id).outerjoin(v, decided)
    query = sa.select(_C.c.id, v.c.permit, v.c.parts, v.c.person, v.c.group_size).select_from(joined)
    for contribution, permit, parts, person, least in session.execute(query):
        row = found.get(contribution)
        if row is None:
            continue
        row.parts &= parts or 0
        row.least = max(row.least, least or 0)
        if not permit or not row.parts & words.OWN_PARTS or (person and row.attested_by != "person"):
            del found[contribution]


def _large_enough(found: dict[str, Shown]) -> None:
    """Take out whose terms ask for more people of their group than are shown together; again, until it stays."""
    while True:
        people: dict[tuple[str, str | None], set[str]] = {}
        for row in found.values():
            people.setdefault(row.group, set()).add(row.contributor)
        few = [row.id for row in found.values() if row.least > len(people[row.group])]
        if not few:
            return
        for contribution in few:
            del found[contribution]


def _slices(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _book(runtime: Runtime) -> PolicyBook:
    book: PolicyBook = runtime.parts["policies"]
    return book
