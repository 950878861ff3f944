"""What a release decides as a set: groups that are too small leave, and what is attached to a record stands with it.

Both look at the release's items alone, after every other condition, and both are run again whenever an item left.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.contributions.models import Contribution
from app.core.groups import stable_group
from app.core.vocabulary import DISSENT_KINDS, JUDGMENT_KINDS
from app.parties.models import Platform
from app.releases.models import ReleaseItem

THREAD, DISSENT = 1, 2
"""Bits of an item's `keep`: its terms ask for the whole thread, or for what speaks against it, to stand beside it."""
ATTACHED = 4
"""The bit of a tombstone that stands because of such terms: its row names what it is attached to."""
_KEEPS = {"keepThread": THREAD, "keepDissent": DISSENT}
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_CELLS = 100


def keep_bits(obligations: Iterable[dict[str, str]]) -> int:
    """What a record's obligations want to be kept beside it."""
    bits = 0
    for duty in obligations:
        bits |= _KEEPS.get(duty["kind"], 0)
    return bits


def drop_small_groups(session: Session, release: str) -> set[int]:
    """Delete the items whose terms want more people of the same platform, language and kind than the release holds, until
    that is stable; gives the numbers of their shards."""
    mine = sa.and_(_ITEM.c.release_id == release, _ITEM.c.parts > 0)
    asking = sa.select(_ITEM.c.release_id).where(mine, _ITEM.c.group_size > 0)
    if session.execute(asking.limit(1)).first() is None:
        return set()
    cell = (_C.c.platform_id, _C.c.language, _C.c.kind)
    joined = _ITEM.join(_C, _C.c.id == _ITEM.c.contribution_id)
    person = (
        sa.select(*cell, sa.func.min(_ITEM.c.group_size).label("least"), sa.func.max(_ITEM.c.group_size).label("most"))
        .select_from(joined)
        .where(mine)
        .group_by(*cell, _C.c.contributor_id)
        .subquery()
    )
    here = (person.c.platform_id, person.c.language, person.c.kind)
    counted = sa.select(*here, person.c.least, sa.func.count(), sa.func.max(person.c.most)).group_by(*here, person.c.least)
    people: dict[Any, dict[int, int]] = {}
    most: dict[Any, int] = {}
    for platform, language, kind, least, count, wanted in session.execute(counted):
        at = (platform, language, kind)
        people.setdefault(at, {})[least] = count
        most[at] = max(most.get(at, 0), wanted)
    remaining = {at: stable_group(found) for at, found in people.items()}
    small = [at for at in people if most[at] > remaining[at]]
    shards: set[int] = set()
    for start in range(0, len(small), _CELLS):
        gone = sa.or_(
            *(
                sa.and_(
                    _C.c.platform_id == platform, _C.c.language.is_not_distinct_from(language), _C.c.kind == kind,
                    _ITEM.c.group_size > remaining[platform, language, kind],
                )
                for platform, language, kind in small[start : start + _CELLS]
            )
        )  # fmt: skip
        found = session.execute(sa.select(_ITEM.c.shard, _ITEM.c.record_id).select_from(joined).where(mine, gone)).all()
        shards |= {row.shard for row in found}
        for at in range(0, len(found), 1000):
            keys = [(row.shard, row.record_id) for row in found[at : at + 1000]]
            session.execute(
                sa.delete(_ITEM).where(
                    _ITEM.c.release_id == release, sa.tuple_(_ITEM.c.shard, _ITEM.c.record_id).in_(keys)
                )
            )
    return shards


def withheld(
    connection: sa.Connection, release: str, until: datetime, keeps: Iterable[int], *, replies: bool
) -> list[tuple[str, str, int]]:  # fmt: skip
    """What is to stand as a tombstone: (contribution, contributor, bits), each contribution once.

    Always the withheld parent of a released reply, so that the reply keeps its place; and always what speaks against a judgment that
    is released, or against the same item, since numbers alone would hide it. Where terms ask for it also everything withheld in
    the record's thread, or all that speaks against it. All but parents as far as it was recorded by `until`.

    `keeps` are the bits that the release's terms ask for, and `replies` says whether anything in it has a parent: what cannot find
    anything is not looked for.
    """
    found: dict[str, tuple[str, str, int]] = {}
    keeps = set(keeps)
    if any(bits & THREAD for bits in keeps):
        for row in connection.execute(_absent(_thread(release), release, until)):
            found[row.id] = (row.id, row.contributor_id, ATTACHED)
    if any(bits & DISSENT for bits in keeps):
        for row in connection.execute(_absent(_dissent(release), release, until)):
            found[row.id] = (row.id, row.contributor_id, ATTACHED)
    if connection.execute(_some_dissent()).first() is not None:
        for row in connection.execute(_absent(_beside_judgments(release), release, until)):
            found[row.id] = (row.id, row.contributor_id, ATTACHED)
    for row in connection.execute(_absent(_parents(release), release, None)) if replies else ():
        found.setdefault(row.id, (row.id, row.contributor_id, 0))
    return list(found.values())


def _released(release: str, bit: int = 0) -> Any:
    condition = sa.and_(_ITEM.c.release_id == release, _ITEM.c.parts > 0)
    return sa.and_(condition, _ITEM.c.keep.op("&")(bit) != 0) if bit else condition


def _parents(release: str) -> Any:
    child = _C.alias("child")
    return (
        sa.select(child.c.parent_id.label("id"))
        .select_from(_ITEM.join(child, child.c.id == _ITEM.c.contribution_id))
        .where(_released(release), child.c.parent_id.is_not(None))
        .distinct()
        .subquery("attached")
    )


def _dissent(release: str) -> Any:
    reply = _C.alias("reply")
    return (
        sa.select(reply.c.id)
        .select_from(_ITEM.join(reply, reply.c.parent_id == _ITEM.c.contribution_id))
        .where(_released(release, DISSENT), reply.c.kind.in_(DISSENT_KINDS))
        .distinct()
        .subquery("attached")
    )


def _some_dissent() -> Any:
    """A select that finds something where anything speaks against another record: by platform and kind, as the index is."""
    mine = (_C.c.platform_id.in_(sa.select(Platform.id)), _C.c.kind.in_(DISSENT_KINDS), _C.c.parent_id.is_not(None))  # type: ignore[call-overload]
    return sa.select(_C.c.id).where(*mine).limit(1)


def _beside_judgments(release: str) -> Any:
    """What speaks against a released judgment, or against what was judged."""
    judged, reply = _C.alias("judged"), _C.alias("reply")

    def against(item: Any) -> Any:
        joined = _ITEM.join(judged, judged.c.id == _ITEM.c.contribution_id).join(reply, reply.c.parent_id == item)
        return sa.select(reply.c.id).select_from(joined).where(
            _released(release), judged.c.kind.in_(JUDGMENT_KINDS), reply.c.kind.in_(DISSENT_KINDS)
        )  # fmt: skip

    return sa.union(against(judged.c.id), against(judged.c.parent_id)).subquery("attached")


def _thread(release: str) -> Any:
    """Every contribution of the threads that the items belong to: up to the first, and from there all replies."""
    above, below, reply = _C.alias("above"), _C.alias("below"), _C.alias("reply")
    up = sa.select(_ITEM.c.contribution_id.label("id")).where(_released(release, THREAD)).cte("up", recursive=True)
    up = up.union(
        sa.select(above.c.parent_id).join_from(up, above, above.c.id == up.c.id).where(above.c.parent_id.is_not(None))
    )
    down = sa.select(below.c.id).join_from(up, below, below.c.id == up.c.id).cte("down", recursive=True)
    return down.union(sa.select(reply.c.id).join_from(down, reply, reply.c.parent_id == down.c.id))


def _absent(attached: Any, release: str, until: datetime | None) -> Any:
    """Those of `attached` (a selectable of ids) that the release does not hold."""
    there = _ITEM.alias("there")
    query = (
        sa.select(_C.c.id, _C.c.contributor_id)
        .select_from(
            attached.join(_C, _C.c.id == attached.c.id).outerjoin(
                there, sa.and_(there.c.release_id == release, there.c.contribution_id == _C.c.id)
            )
        )
        .where(there.c.record_id.is_(None))
    )
    return query if until is None else query.where(_C.c.recorded_at <= until)
