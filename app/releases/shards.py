"""Writing one shard: rows out of sealed parts, compressed and hashed on another core while the next rows are read.

What a row looks like, and what it is written to, is the form's: `rows.py` (JSON lines) and `parquet.py`. A shard's file follows from
its inputs (`Source`), so that one whose inputs are those of an earlier release need not be written again.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from sqlmodel import Session

from app.consents.service import credit_place
from app.contributions.models import Contribution
from app.contributions.recording import part_place
from app.core.evaluation import Use
from app.core.groups import LEAST
from app.core.vocabulary import JUDGMENT_KINDS, PART_BITS, PARTS
from app.crypto.commitment import record_id as record_id_of
from app.crypto.commitment import rid_seed
from app.crypto.keyring import KeyRing
from app.kit.bulk import Direct
from app.parties.contributors import Person, load
from app.releases.models import JSONL, ReleaseItem
from app.releases.rows import BuiltShard, Form, JsonRows, Terms, stored
from app.releases.together import ATTACHED

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_BLOCK = 500
"""Rows compressed at a time: about a megabyte."""
_AHEAD = 8
"""Blocks that wait to be compressed: as many as are read while a row group of Parquet is written."""
_COLUMNS = (
    "i.record_id, i.parts, i.terms, c.id, c.contributor_id, c.kind, c.language, c.platform_id, c.context_terms, c.parent_id, c.body_mac"
)
_FROM = "FROM release_item i JOIN contribution c ON c.id = i.contribution_id "
_WHERE = "WHERE i.release_id = ? AND i.shard = ? AND i.parts > 0 ORDER BY i.record_id"
_RECORDS = (
    f"SELECT {_COLUMNS}, p.text, p.judgment, p.context, p.profile {_FROM}"
    f"JOIN contribution_payload p ON p.contribution_id = i.contribution_id {_WHERE}"
)
_BARE = f"SELECT {_COLUMNS} {_FROM}{_WHERE}"
_OWN_CREDITS = "SELECT contribution_id, id, credit_sealed FROM consent WHERE state = 'current' AND contribution_id IN (*)"
_STANDING_CREDITS = (
    "SELECT contributor_id, id, credit_sealed FROM consent WHERE state = 'current' AND contribution_id IS NULL AND contributor_id IN (*)"
)
_PARENTS = "SELECT contribution_id, record_id FROM release_item WHERE release_id = ? AND contribution_id IN (*)"
Row = Sequence[Any]
Stone = tuple[bytes, str, bytes | None]
"""A tombstone: record id, kind, and the record id of what it is attached to."""


def blob_name(release: str, digest: str) -> str:
    """Where a shard's bytes lie."""
    return f"releases/{release}/{digest}"


@dataclass
class Source:
    """What the shards of a release are made of, but for the rows. `linking` is the agreement whose rows say which come from one person
    (a pseudonym that is another in every agreement), or None where they must not."""

    keys: KeyRing
    linking: str | None
    release: str
    terms: list[Terms]
    form: Form

    def __post_init__(self) -> None:
        self.credited = [t.attribution in ("named", "pseudonym") for t in self.terms]
        self._head = repr((self.form.name, self.linking)).encode()
        self._terms = [sha256(repr(stored(t)).encode()).digest() for t in self.terms]

    def inputs(self) -> "Inputs":
        return Inputs(self._head, self._terms)


def source_of(keys: KeyRing, agreement: str, use: Use, release: str, format: str, terms: list[Terms]) -> Source:
    """The source of a release of that format."""
    linking = agreement if "linkWithinRelease" in use.actions else None
    if format == JSONL:
        return Source(keys, linking, release, terms, JsonRows(terms))
    from app.releases.parquet import ParquetRows  # its library takes memory that most processes never need

    return Source(keys, linking, release, terms, ParquetRows(terms, tuple(sorted(use.actions))))


class Beside:
    """What rows of a shard are looked up with, a chunk at a time, because it is little beside them: credits of the contributions and of
    the people (id of the consent, sealed name) where the terms want one, and the record ids of parents."""

    def __init__(self, direct: Direct, source: Source, rows: Sequence[Row]) -> None:
        credited = source.credited
        self.own = _credits(direct, _OWN_CREDITS, {r[3] for r in rows if credited[r[2]]})
        self.standing = _credits(direct, _STANDING_CREDITS, {r[4] for r in rows if credited[r[2]]})
        self.parents = _parents(direct, source.release, {r[9] for r in rows if r[9] is not None})
        self._credited = credited

    def credit(self, row: Row) -> tuple[str, bytes] | None:
        """The consent that the row's credit stands in, with the sealed credit."""
        found = self.own.get(row[3])
        return self.standing.get(row[4]) if found is None and self._credited[row[2]] else found


class Inputs:
    """The digest over all that a shard's bytes follow from, in the order of its rows.

    For the parts stand the contribution's id and the MAC of its body: they are written once, and after that only sealed anew or destroyed.
    A consent's credit is not changed either: another name is another consent.
    """

    def __init__(self, head: bytes, terms: list[bytes]) -> None:
        self._digest = sha256(head)
        self._terms = terms

    def add(self, rows: Sequence[Row], beside: Beside) -> None:
        """Records, in their order; of each the columns of `_COLUMNS` and perhaps more."""
        if not rows:
            return
        # By columns, which is several times quicker than by rows: this is done for each record whenever a release is cut.
        ids, parts, terms, *texts, parents, macs = islice(zip(*rows, strict=True), 11)
        update = self._digest.update
        update(b"".join(ids) + bytes(parts) + b"".join([mac or _NOTHING for mac in macs]))
        update(b"".join([self._terms[at] for at in terms]))
        for column in texts:
            update(repr(column).encode())
        if beside.parents:
            update(b"".join([beside.parents.get(parent, _NOTHING) for parent in parents]))
        if beside.own or beside.standing:
            update(repr([(beside.credit(row) or _NONE)[0] for row in rows]).encode())
        update(b"%d %d %d " % (len(rows), len(beside.parents), bool(beside.own or beside.standing)))

    def finish(self, stones: Sequence[Stone]) -> str:
        """After all records the tombstones, in their order; gives the digest (hex)."""
        self._digest.update(repr(stones).encode())
        return self._digest.hexdigest()


_NONE = (None, None)
_NOTHING = bytes(32)


def inputs_of(session: Session, source: Source, shard: int, chunk: int) -> str:
    """What `BuiltShard.inputs` would be, by looking at no part and opening nothing."""
    direct, inputs = Direct.under(session), source.inputs()
    for rows in direct.stream(_BARE, (source.release, shard), chunk):
        inputs.add(rows, Beside(direct, source, rows))
    return inputs.finish(_tombstones(session, source.release, shard))


def build_shard(session: Session, source: Source, shard: int, chunk: int, directory: Path, compressing: Executor) -> BuiltShard:
    """`write_shard`, waited for."""
    return write_shard(session, source, shard, chunk, directory, compressing).result()


def write_shard(
    session: Session, source: Source, shard: int, chunk: int, directory: Path, compressing: Executor
) -> Future[BuiltShard]:  # fmt: skip
    """Write shard number `shard` of a release into `directory`: everything in it by record id, never held whole. Once this returns all is
    read, and the next can be read while this one's file is finished.

    By record id and not in the order of giving, so that neighbours in the file say nothing of who gave them. `compressing` has one
    thread; zstd and SHA-256 leave the interpreter lock, so that it works beside the reading.
    """
    built, form, inputs = BuiltShard(shard), source.form, source.inputs()
    stones = _tombstones(session, source.release, shard)
    built.tombstones = len(stones)
    rows: Iterator[tuple[bytes, Any]] = _records(session, source, chunk, built, inputs)
    if stones:
        rows = heapq.merge(rows, ((record_id, form.tombstone(record_id, kind, place)) for record_id, kind, place in stones))
    packer = form.packer(built, directory)
    waiting: deque[Future[None]] = deque()
    try:
        while block := [row for _, row in islice(rows, _BLOCK)]:
            built.rows += len(block)
            waiting.append(compressing.submit(packer.add, form.block(block)))
            if len(waiting) > _AHEAD:
                waiting.popleft().result()
    except BaseException:
        compressing.submit(packer.close).result()  # after whatever still waits
        raise
    told = inputs.finish(stones) if built.whole else None

    def finish() -> BuiltShard:
        packer.close()
        for block in waiting:
            block.result()  # done: there is one thread. Where one failed it is told here
        built.inputs = told
        return built

    return compressing.submit(finish)


def _records(session: Session, source: Source, chunk: int, built: BuiltShard, inputs: Inputs) -> Iterator[tuple[bytes, Any]]:
    direct = Direct.under(session)
    form, linking = source.form, source.linking
    part_of = form.part
    people: dict[str, Person] = {}
    parts_of = [(name, PART_BITS[name]) for name in PARTS]
    for rows in direct.stream(_RECORDS, (source.release, built.shard), chunk):
        people.update(load(session.connection(), source.keys, {r[4] for r in rows}.difference(people)))
        beside = Beside(direct, source, rows)
        inputs.add(rows, beside)
        own, standing, parents, credited = beside.own, beside.standing, beside.parents, source.credited
        for record_id, parts, at, contribution, contributor, kind, language, platform, context_terms, parent, _, *sealed in rows:
            person = people.get(contributor)
            if person is None:  # erased meanwhile
                built.whole = False
                continue
            opened = person.sealer.open
            texts = [
                part_of(opened(data, part_place(contribution, name)) if data is not None and parts & bit else None)
                for (name, bit), data in zip(parts_of, sealed, strict=True)
            ]  # fmt: skip
            credit = None
            if contribution in own:
                credit = opened(own[contribution][1], credit_place(contribution)).decode()
            elif credited[at] and contributor in standing:
                credit = opened(standing[contributor][1], credit_place(contributor)).decode()
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


def _credits(direct: Direct, sql: str, among: set[str]) -> dict[str, tuple[str, bytes]]:
    return {key: (consent, sealed) for key, consent, sealed in direct.run_among(sql, (), list(among)) if sealed is not None} if among else {}


def _parents(direct: Direct, release: str, among: set[str]) -> dict[str, bytes]:
    return dict(direct.run_among(_PARENTS, (release,), list(among))) if among else {}


def _tombstones(session: Session, release: str, shard: int) -> list[Stone]:
    """In the order of their record ids."""
    query = (
        sa.select(_ITEM.c.record_id, _C.c.kind, _ITEM.c.keep, _C.c.parent_id)
        .join(_C, _C.c.id == _ITEM.c.contribution_id)
        .where(_ITEM.c.release_id == release, _ITEM.c.shard == shard, _ITEM.c.parts == 0)
        .order_by(_ITEM.c.record_id)
    )
    found = session.execute(query).all()
    attached = {row.parent_id for row in found if row.keep & ATTACHED and row.parent_id is not None}
    parents = _parents(Direct.under(session), release, attached)
    return [(bytes(record_id), kind, parents.get(parent) if keep & ATTACHED else None) for record_id, kind, keep, parent in found]
