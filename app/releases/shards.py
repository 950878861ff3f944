"""Writing one shard: rows out of sealed parts, compressed and hashed on another core while the next rows are read.

What a row looks like, and what it is written to, is the form's: `rows.py` (JSON lines) and `parquet.py`.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from sqlmodel import Session

from app.consents.service import credit_place
from app.contributions.models import Contribution
from app.contributions.recording import part_place
from app.core.groups import LEAST
from app.core.vocabulary import JUDGMENT_KINDS, PART_BITS, PARTS
from app.crypto.commitment import record_id as record_id_of
from app.crypto.commitment import rid_seed
from app.crypto.keyring import KeyRing
from app.kit.bulk import Direct
from app.parties.contributors import Person, load
from app.releases.models import ReleaseItem
from app.releases.rows import BuiltShard, Form
from app.releases.together import ATTACHED

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_BLOCK = 500
"""Rows compressed at a time: about a megabyte."""
_AHEAD = 2
"""Blocks that wait to be compressed."""
_RECORDS = (
    "SELECT i.record_id, i.parts, i.terms, c.id, c.contributor_id, c.kind, c.language, c.platform_id, c.context_terms, c.parent_id, "
    "p.text, p.judgment, p.context, p.profile FROM release_item i JOIN contribution c ON c.id = i.contribution_id "
    "JOIN contribution_payload p ON p.contribution_id = i.contribution_id "
    "WHERE i.release_id = ? AND i.shard = ? AND i.parts > 0 ORDER BY i.record_id"
)
_OWN_CREDITS = "SELECT contribution_id, credit_sealed FROM consent WHERE state = 'current' AND contribution_id IN (*)"
_STANDING_CREDITS = (
    "SELECT contributor_id, credit_sealed FROM consent WHERE state = 'current' AND contribution_id IS NULL AND contributor_id IN (*)"
)
_PARENTS = "SELECT contribution_id, record_id FROM release_item WHERE release_id = ? AND contribution_id IN (*)"


def build_shard(
    session: Session, keys: KeyRing, linking: str | None, release: str, shard: int, form: Form, credited: list[bool], chunk: int,
    directory: Path, compressing: Executor,
) -> BuiltShard:  # fmt: skip
    """Write shard number `shard` of a release into `directory`: everything in it by record id, never held whole.

    `linking` is the agreement whose rows say which come from one person (a pseudonym that is another in every agreement), or
    None where they must not. By record id and not in the order of giving, so that neighbours in the file say nothing of who gave
    them. `compressing` has one thread; zstd and SHA-256 leave the interpreter lock, so that it works beside the reading.
    """
    built = BuiltShard(shard)
    stones = sorted(_tombstones(session, release, form, built))
    rows: Iterator[tuple[bytes, Any]] = _records(session, keys, linking, release, form, credited, chunk, built)
    if stones:
        rows = heapq.merge(rows, stones)
    packer = form.packer(built, directory)
    waiting: deque[Future[None]] = deque()
    try:
        while block := [row for _, row in islice(rows, _BLOCK)]:
            built.rows += len(block)
            waiting.append(compressing.submit(packer.add, form.block(block)))
            if len(waiting) > _AHEAD:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()
    finally:
        compressing.submit(packer.close).result()  # after whatever still waits, also where reading failed
    return built


def _records(
    session: Session, keys: KeyRing, linking: str | None, release: str, form: Form, credited: list[bool], chunk: int, built: BuiltShard
) -> Iterator[tuple[bytes, Any]]:
    direct = Direct.under(session)
    part_of = form.part
    people: dict[str, Person] = {}
    parts_of = [(name, PART_BITS[name]) for name in PARTS]
    for rows in direct.stream(_RECORDS, (release, built.shard), chunk):
        # People, credits and parents are few beside the records: looked up once a chunk, not joined to each row.
        people.update(load(session.connection(), keys, {r[4] for r in rows}.difference(people)))
        own_credits = _lookup(direct, _OWN_CREDITS, (), {r[3] for r in rows if credited[r[2]]})
        standing_credits = _lookup(direct, _STANDING_CREDITS, (), {r[4] for r in rows if credited[r[2]]})
        parents = _lookup(direct, _PARENTS, (release,), {r[9] for r in rows if r[9] is not None})
        for record_id, parts, at, contribution, contributor, kind, language, platform, context_terms, parent, *sealed in rows:
            person = people.get(contributor)
            if person is None:  # erased meanwhile
                continue
            opened = person.sealer.open
            texts = [
                part_of(opened(data, part_place(contribution, name)) if data is not None and parts & bit else None)
                for (name, bit), data in zip(parts_of, sealed, strict=True)
            ]  # fmt: skip
            credit = None
            if contribution in own_credits:
                credit = opened(own_credits[contribution], credit_place(contribution)).decode()
            elif credited[at] and contributor in standing_credits:
                credit = opened(standing_credits[contributor], credit_place(contributor)).decode()
            link = None if linking is None else record_id_of(linking, rid_seed(person.rid_key, contributor))
            built.counts[kind] += 1
            if kind in JUDGMENT_KINDS:
                built.judged[platform, language, kind] += 1
                found = built.people.setdefault((platform, language, kind), set())
                if len(found) < LEAST:  # two people of one sum count as one: fewer are told apart, never more
                    found.add(crc32(contributor.encode()))
            yield record_id, form.row(
                record_id, (at, kind, language, platform), context_terms if parts & PART_BITS["context"] else None,
                parents.get(parent), texts, credit, link,
            )  # fmt: skip


def _lookup(direct: Direct, sql: str, fixed: tuple[Any, ...], among: set[str]) -> dict[str, bytes]:
    return {key: value for key, value in direct.run_among(sql, fixed, list(among)) if value is not None} if among else {}


def _tombstones(session: Session, release: str, form: Form, built: BuiltShard) -> Iterator[tuple[bytes, Any]]:
    query = (
        sa.select(_ITEM.c.record_id, _C.c.kind, _ITEM.c.keep, _C.c.parent_id)
        .join(_C, _C.c.id == _ITEM.c.contribution_id)
        .where(_ITEM.c.release_id == release, _ITEM.c.shard == built.shard, _ITEM.c.parts == 0)
    )
    found = session.execute(query).all()
    attached = {row.parent_id for row in found if row.keep & ATTACHED and row.parent_id is not None}
    parents = _lookup(Direct.under(session), _PARENTS, (release,), attached)
    for record_id, kind, keep, parent in found:
        built.tombstones += 1
        place = parents.get(parent) if keep & ATTACHED else None
        yield bytes(record_id), form.tombstone(bytes(record_id), kind, None if place is None else bytes(place))
