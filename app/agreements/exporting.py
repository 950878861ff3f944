"""A platform's own contributions, written back in the shape of the system they came from: what may not be shown is a tombstone.

What an import or a hook left (skeletons) and what the guard permits meet here. The newest file of a set is the one that counts: what
stood in an earlier one too is written once. The use is logged before anything is written.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements import guard
from app.consents.models import Consent
from app.contributions.formats.cutting import Piece, Row, load_skeleton
from app.contributions.formats.joining import joined
from app.contributions.formats.plain import Plain, PlainWriter
from app.contributions.formats.registry import ADAPTERS, writers
from app.contributions.formats.writing import Released, Spliced, Telling
from app.contributions.hook_models import HookLine
from app.contributions.hooks import skeleton_place, skeleton_sealer
from app.contributions.import_models import ImportRecord, ImportRun
from app.contributions.models import Contribution, ContributionPayload
from app.contributions.recording import part_place
from app.core.evaluation import Use
from app.core.vocabulary import part_names
from app.crypto.sealing import Sealer
from app.kit.db import read, write
from app.kit.errors import Invalid, NotFound
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.models import IngestKey, Platform

_C = Contribution.__table__  # type: ignore[attr-defined]
_P = ContributionPayload.__table__  # type: ignore[attr-defined]
_G = Consent.__table__  # type: ignore[attr-defined]
_RUN = ImportRun.__table__  # type: ignore[attr-defined]
_RECORD = ImportRecord.__table__  # type: ignore[attr-defined]
_LINE = HookLine.__table__  # type: ignore[attr-defined]
_KEY = IngestKey.__table__  # type: ignore[attr-defined]
_AT_ONCE = 250
_HOOKS, _ALL = "", "all"


@dataclass
class Count:
    """What was written: records of the system, contributions in them that are shown, those that are not, and records left out
    because a newer file has them."""

    records: int = 0
    shown: int = 0
    withheld: int = 0
    repeated: int = 0


@dataclass(frozen=True)
class Part:
    """What comes out of one imported file, or of all hooks together. `lines`: others can follow it in one file."""

    run: str
    lines: bool
    skipped: frozenset[int] = field(default_factory=frozenset)


class Export:
    """One export. `plan` says what there is, `pieces` gives the bytes of each part of it."""

    def __init__(self, runtime: Runtime, platform: str, format_: str, shape: str, use: Use) -> None:
        """Raises Invalid (format_unknown, format_not_written) or NotFound (not_found)."""
        found = writers(format_)
        if found is None:
            raise Invalid("format_unknown", "Use one of: " + ", ".join((*ADAPTERS, "generic")) + ".")
        if shape not in found:
            shapes = ", ".join(name for name in found if name)
            raise Invalid("format_not_written", f"Leave out --shape, or use one of: {shapes}." if found else "This format is only read.")
        self._runtime, self._platform, self._format, self._use = runtime, platform, format_, use
        self._writer: Any = found[shape]
        self._spliced = isinstance(self._writer, Spliced)
        self._sealer = skeleton_sealer(runtime, platform)
        self._seen = sqlite3.connect("")
        self._seen.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-4000; CREATE TABLE seen (id TEXT PRIMARY KEY, run TEXT) WITHOUT ROWID"
        )
        self.count = Count()
        with read(runtime.engine) as session:
            if session.get(Platform, platform) is None:
                raise NotFound("not_found", "Name a platform with --platform plt_…; `python -m app platforms add` makes one.")

    def plan(self) -> list[Part]:
        """The parts in the order they are written, oldest first. Raises NotFound (nothing_to_export)."""
        if isinstance(self._writer, PlainWriter):
            return [Part(_ALL, self._writer.lines)]
        with read(self._runtime.engine) as session:
            query = sa.select(_RUN.c.run).where(_RUN.c.platform_id == self._platform, _RUN.c.format == self._format)
            runs = list(session.execute(query.order_by(_RUN.c.started_at.desc(), _RUN.c.run)).scalars())
            parts = [part for run in runs if (part := self._look(session, run)) is not None]
            mine = sa.select(_LINE.c.contribution_id).where(_LINE.c.key_id.in_(self._keys())).limit(1)
            if session.execute(mine).first() is not None:
                parts.insert(0, Part(_HOOKS, not (self._spliced and ADAPTERS[self._format].joined)))
        if not parts:
            raise NotFound("nothing_to_export", "Nothing of that format was imported or came through a hook of this platform's.")
        return parts[::-1]

    def _look(self, session: Session, run: str) -> Part | None:
        """What is to be written of one file; None where newer ones have all of it."""
        ids = sa.select(_RECORD.c.at, _RECORD.c.contributions).where(_RECORD.c.platform_id == self._platform, _RECORD.c.run == run)
        skipped, fresh, lines = set(), 0, not self._spliced
        first = session.execute(ids.add_columns(_RECORD.c.skeleton).order_by(_RECORD.c.at).limit(1)).first()
        if first is not None and self._spliced and not getattr(ADAPTERS.get(self._format), "whole", False):
            lines = _begins(self._skeleton(run, first.at, first.skeleton)).lstrip().startswith("{")
        for at, contributions in session.execute(ids.order_by(_RECORD.c.at).execution_options(yield_per=2_000)):
            named = [one for one in contributions.split(" ") if one not in ("", "-")]
            new = [one for one in named if not self._elsewhere(one, run)]
            fresh += len(new)
            if named and not new and lines:
                skipped.add(at)
            self._seen.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", [(one, run) for one in new])
        self.count.repeated += len(skipped) if fresh else 0
        return Part(run, lines, frozenset(skipped)) if fresh else None

    def _elsewhere(self, contribution: str, run: str) -> bool:
        """Whether a newer part has it."""
        found = self._seen.execute("SELECT run FROM seen WHERE id = ?", (contribution,)).fetchone()
        return found is not None and found[0] != run

    def begin(self, now: datetime) -> None:
        """Log what is exported and for which use, in a transaction of its own; call it before the first byte is written."""
        with write(self._runtime.engine) as session:
            name = session.get_one(Platform, self._platform).name
            body = {"platform": name, "format": self._format, "use": self._use.to_json()}
            log.append(session, [log.institutional("admin.exported", self._platform, body, now)], now)

    def pieces(self, part: Part) -> Iterator[bytes]:
        """The bytes of one part; each record as it may be shown when its turn comes."""
        if part.run == _ALL:
            return iter(self._writer.write_plain(self._all()))
        if isinstance(self._writer, Telling):
            return self._told(part)
        made = iter(self._writer.write(self._released(part)))
        return made if part.run != _HOOKS or part.lines else joined(made, ADAPTERS[self._format].joined)

    def _all(self) -> Iterator[Plain]:
        """Everything of the platform's, whichever way it came, in the order of its ids."""
        after = ""
        query = sa.select(_C.c.id, _C.c.kind, _C.c.language, _C.c.parent_id, _C.c.recorded_at).where(_C.c.platform_id == self._platform)
        while True:
            with read(self._runtime.engine) as session:
                some = session.execute(query.where(_C.c.id > after).order_by(_C.c.id).limit(_AT_ONCE)).all()
            if not some:
                return
            rows = self._rows([one.id for one in some])
            self.count.records += len(some)
            self.count.shown += len(rows)
            self.count.withheld += len(some) - len(rows)
            for one in some:
                row = rows.get(one.id)
                parts = None if row is None else row.parts
                yield Plain(one.id, one.kind, one.language, one.parent_id, one.recorded_at.date().isoformat(), parts)
            after = some[-1].id

    def _told(self, part: Part) -> Iterator[bytes]:
        """What is gone of one part, by a writer that tells only that. What a newer part has is told there."""
        records, now = self._records(part), self._runtime.clock.now()
        while some := list(islice(records, _AT_ONCE)):
            ids = [one for _, named in some for one in named if one != "-" and not self._elsewhere(one, part.run)]
            shown = guard.may_show(self._runtime, self._platform, self._use, ids, now=now)
            gone = self._gone([one for one in ids if one not in shown], now)
            self.count.records += len(some)
            self.count.shown += len(shown)
            self.count.withheld += len(ids) - len(shown)
            for skeleton, named in some:
                yield from self._writer.tell(skeleton, [one in gone for one in named], now)

    def _gone(self, ids: Sequence[str], now: datetime) -> set[str]:
        """Those of some withheld contributions that the platform recorded with consent, or that were erased: not those that wait
        for their day, or for their author to choose any terms, which is for nobody to see."""
        found: set[str] = set()
        given = sa.exists().where(_G.c.contribution_id == _C.c.id, _G.c.attested_by == "platform")
        with read(self._runtime.engine) as session:
            for start in range(0, len(ids), 1_000):
                query = sa.select(_C.c.id).where(_C.c.id.in_(ids[start : start + 1_000]), _C.c.releasable_from <= now)
                found |= set(session.execute(query.where(sa.or_(_C.c.state == "erased", given))).scalars())
        return found

    def _released(self, part: Part) -> Iterator[Released]:
        records = self._hook_lines() if part.run == _HOOKS else self._records(part)
        while some := list(islice(records, _AT_ONCE)):
            ids = [one for _, named in some for one in named if one != "-"]
            rows = self._rows(ids) if ids else {}
            for skeleton, named in some:
                # A writer that makes lines of its own takes each contribution once, from the newest file.
                mine = [None if not self._spliced and self._elsewhere(one, part.run) else rows.get(one) for one in named]
                self.count.records += 1
                self.count.shown += sum(row is not None for row in mine)
                self.count.withheld += sum(row is None for row in mine)
                yield skeleton, mine

    def _records(self, part: Part) -> Iterator[tuple[tuple[Piece, ...], list[str]]]:
        after = -1
        mine = (_RECORD.c.platform_id == self._platform, _RECORD.c.run == part.run)
        while True:
            query = sa.select(_RECORD.c.at, _RECORD.c.contributions, _RECORD.c.skeleton).where(*mine, _RECORD.c.at > after)
            with read(self._runtime.engine) as session:
                rows = session.execute(query.order_by(_RECORD.c.at).limit(_AT_ONCE)).all()
            if not rows:
                return
            for at, contributions, sealed in rows:
                if at not in part.skipped:
                    yield self._skeleton(part.run, at, sealed), contributions.split(" ") if contributions else []
            after = rows[-1].at

    def _hook_lines(self) -> Iterator[tuple[tuple[Piece, ...], list[str]]]:
        after = ""
        while True:
            query = (
                sa.select(_LINE.c.contribution_id, _LINE.c.skeleton, _C.c.external_hash)
                .select_from(_LINE.join(_C, _C.c.id == _LINE.c.contribution_id))
                .where(_LINE.c.key_id.in_(self._keys()), _LINE.c.contribution_id > after)
            )
            with read(self._runtime.engine) as session:
                rows = session.execute(query.order_by(_LINE.c.contribution_id).limit(_AT_ONCE)).all()
            if not rows:
                return
            for contribution, sealed, external in rows:
                if self._elsewhere(contribution, _HOOKS):
                    self.count.repeated += 1
                    continue
                place = skeleton_place(self._platform, bytes(external))
                yield load_skeleton(self._sealer.open(bytes(sealed), place)), [contribution]
            after = rows[-1].contribution_id

    def _keys(self) -> Any:
        return sa.select(_KEY.c.id).where(_KEY.c.platform_id == self._platform, _KEY.c.format == self._format)

    def _skeleton(self, run: str, at: int, sealed: bytes) -> tuple[Piece, ...]:
        place = f"skeleton\x00{self._platform}\x00{run}\x00{at}".encode()
        return load_skeleton(self._sealer.open(bytes(sealed), place))

    def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """What may be shown of these contributions, now. Whose they are was never kept in the system's own words, and is left out."""
        found = guard.may_show(self._runtime, self._platform, self._use, ids, now=self._runtime.clock.now())
        shown, rows = list(found.values()), {}
        with read(self._runtime.engine) as session:
            for start in range(0, len(shown), 1_000):
                some = {row.id: row for row in shown[start : start + 1_000]}
                people = contributors.load(session.connection(), self._runtime.keys, {row.contributor for row in some.values()})
                query = sa.select(_P, _C.c.kind).select_from(_P.join(_C, _C.c.id == _P.c.contribution_id)).where(_P.c.contribution_id.in_(some))
                for sealed in session.execute(query).mappings():
                    row = some[sealed["contribution_id"]]
                    person = people.get(row.contributor)
                    if person is not None:
                        rows[row.id] = Row(_opened(person.sealer, row, sealed), kind=sealed["kind"], external_id=row.id)
        return rows


def _opened(sealer: Sealer, row: guard.Shown, sealed: Any) -> dict[str, bytes]:
    """The parts that may be shown, as the exact JSON text that was recorded."""
    return {name: sealer.open(bytes(sealed[name]), part_place(row.id, name)) for name in part_names(row.parts) if sealed[name] is not None}


def _begins(skeleton: tuple[Piece, ...]) -> str:
    return next((piece.value for piece in skeleton if piece.what == "always"), "")
