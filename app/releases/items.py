"""Filling a release with items: which contributions, which parts of them, in which shard, under which terms."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import selection, verdicts
from app.agreements.models import Agreement, Offer
from app.collectives import binding, strikes
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution, ContributionPayload
from app.core.evaluation import EVALUATOR, LabFacts, Use, evaluate, intersect, strictest_attribution
from app.core.manifest import shard_bits, shard_of
from app.crypto.commitment import record_id, rid_seed
from app.kit.bulk import Direct, rows_of
from app.kit.clock import from_micros, micros
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.contributors import load
from app.parties.models import Lab
from app.releases import labels, together
from app.releases.models import CutShard, Release, ReleaseItem
from app.releases.rows import Terms, duties, read_terms, stored
from app.releases.sorting import Item, Sorter

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_NOTED = CutShard.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_ITEM_COLUMNS = ("release_id", "shard", "record_id", "contribution_id", "parts", "terms", "group_size", "keep")
_TERMS_UNKNOWN = 0
CHUNK = 4_000
"""Items read and written at a time."""
_PEOPLE = 50_000
"""People whose keys are remembered while items are filled in."""


class Cancelled(Exception):
    """The release is not to be cut any more, or not by this run."""


class Filling(ABC):
    """The selecting half of a cut: what `releases/cutting.py` builds and publishes."""

    runtime: Runtime
    release: str
    agreement: Agreement
    offer: Offer
    offered: dict[str, Any]
    selection: dict[str, Any]
    recorded_until: datetime | None
    ends: date | None
    use: Use
    use_id: int
    facts: LabFacts
    day: date
    looked_at: datetime
    as_of: int
    bits: int
    terms: list[Terms]
    needs_new_terms: int
    _mine: str
    """The name of this run."""
    _terms_at: dict[Any, int]
    _replies: bool
    """Whether a record that was selected has a parent."""
    _labels: dict[tuple[str, ...], tuple[str, ...]]
    """Of the outcomes that were met so far."""
    _against: list[strikes.Executed] | None = None
    """What people acted together against when the first of them was met."""
    _work: Path
    _held: Session | None = None
    """The transaction that holds the head lock, while shards are built in it."""

    @contextmanager
    def _reading(self, *, snapshot: bool = False) -> Iterator[Session]:
        if self._held is not None:
            yield self._held
        else:
            with read(self.runtime.engine, snapshot=snapshot) as session:
                yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        if self._held is not None:
            yield self._held
            self._held.flush()
        else:
            with write(self.runtime.engine) as session:
                yield session

    def _hold(self, session: Session) -> None:
        """Lock the release's row. Raises Cancelled where it is not to be cut any more, or by another run: whoever loses the connection
        that held the lock may live on, and must not touch what the next one does."""
        query = select(Release.state, Release.run).where(Release.id == self.release)
        if tuple(session.exec(for_update(query, session)).one()) != ("cutting", self._mine):
            raise Cancelled

    @abstractmethod
    def _stopped_by(self, session: Session, lab: Lab, now: datetime) -> str | None:
        """Why nothing may go to this lab under this agreement any more (one of `REASONS`), or None."""

    @abstractmethod
    def _cancel(self, session: Session, reason: str) -> None:
        """Give the release up."""

    @abstractmethod
    def _look(self, session: Session) -> None:
        """`_hold` without the lock, before long work that would be in vain."""

    @abstractmethod
    def _forget(self, session: Session, shards: Sequence[int]) -> None:
        """Note no more what file stands for these shards."""

    def _select(self) -> bool:
        """Fill the release's items; False where the release was cancelled."""
        runtime = self.runtime
        now = self.looked_at = runtime.clock.now()
        self.day = now.date()
        with write(runtime.engine) as session:
            if self._begin(session, now) is None:
                return False
            # Before anything is looked at: what narrows from here on has this index or a later one.
            self.as_of = log.size(session)
            session.execute(sa.update(Release).where(Release.id == self.release).values(as_of=self.as_of, selected=None))  # type: ignore[arg-type]
            # Files that a run before made may hold what is no item any more.
            session.execute(sa.update(_NOTED).where(_NOTED.c.release_id == self.release).values(checked=False))
            session.execute(sa.delete(_ITEM).where(_ITEM.c.release_id == self.release))
            self._decide(session, now)
        self.needs_new_terms, self._replies = 0, False
        with closing(Sorter(self._work / f"{self.release}-{self._mine}-items")) as found:
            with read(runtime.engine) as session:
                query = self._eligible(now, selection.present(session, self.use_id, now))
                met: dict[str, bytes] = {}
                for part in rows_of(session, query, CHUNK):
                    found.add(self._items(part, met))
            self._choose_bits(found.size)
            # Nothing is read any more: on SQLite what is written can be checkpointed as it comes.
            for items in found.sorted(CHUNK):
                self._insert(items)
        with write(runtime.engine) as session:
            self._hold(session)
            self._drop_small_groups(session)
            self._add_tombstones(session.connection())
            self._note_selected(session)
        return True

    def _begin(self, session: Session, now: datetime) -> Release | None:
        """Look under the row's lock whether it is still to be cut, and for whom; None where the release was cancelled."""
        # Under the lock, since the items of a published release are what withdrawals look through.
        row = session.exec(for_update(select(Release).where(Release.id == self.release), session)).one()
        if row.state != "cutting":
            return None
        if row.run != self._mine:
            raise Cancelled
        lab = session.get_one(Lab, self.agreement.lab_id)
        # The facts as they are verified now, which need not be those of the day it was signed.
        self.facts = verdicts.facts_of(lab)
        self.use_id = verdicts.use_row(session, self.use, self.facts)
        reason = self._stopped_by(session, lab, now)
        if reason is not None:
            self._cancel(session, reason)
            return None
        return row

    def _note_selected(self, session: Session) -> None:
        """Note what the selection gave beside its items, in the transaction that makes them whole, for a run that goes on after a kill."""
        made = {
            "day": self.day.isoformat(), "looked_at": micros(self.looked_at), "use": self.use_id, "evaluator": EVALUATOR,
            "needs_new_terms": self.needs_new_terms, "replies": self._replies, "terms": [stored(t) for t in self.terms],
        }  # fmt: skip
        session.execute(sa.update(Release).where(Release.id == self.release).values(selected=made, as_of=self.as_of))  # type: ignore[arg-type]

    def _take_up(self, made: dict[str, Any]) -> None:
        """`_note_selected` read back."""
        self.looked_at = from_micros(made["looked_at"])
        self.day = self.looked_at.date()
        self.needs_new_terms, self._replies = made["needs_new_terms"], made["replies"]
        self.terms, self._terms_at = [read_terms(one) for one in made["terms"]], {}
        # Labels are those of the moment of the selection, also for what is looked at again.
        self._labels |= {tuple(t.outcomes): tuple(t.labels) for t in self.terms if t.labels is not None}
        self.bits = int(self.agreement.shard_bits or 0)

    def _drop_small_groups(self, session: Session) -> set[int]:
        # Looking through all items for one that asks is what a cut of a million need not wait for where no terms ask.
        return together.drop_small_groups(session, self.release) if any(t.group_size for t in self.terms) else set()

    def _decide(self, session: Session, now: datetime, policies: Iterable[int] | None = None) -> None:
        book: PolicyBook = self.runtime.parts["policies"]
        known = (self.use_id, self.use, self.facts)
        if policies is not None:
            return verdicts.keep(session, book, *known, policies, now.date())
        needed = selection.governing(self.selection, now, self.recorded_until)
        return verdicts.keep_all(session, book, *known, needed, now.date())

    def _eligible(self, now: datetime, there: selection.Present = selection.EVERYTHING) -> Any:
        return selection.eligible(
            self.use_id,
            self.use,
            self.agreement.lab_id,
            self.selection,
            now,
            self.recorded_until,
            self.agreement.id,
            there,
            self.offered["dissent"],
        )

    def _choose_bits(self, total: int) -> None:
        """Shards by leading bits, chosen at the agreement's first cut, of `total` records, and kept for its life."""
        if self.agreement.shard_bits is not None:
            self.bits = self.agreement.shard_bits
            return
        p = ContributionPayload.__table__  # type: ignore[attr-defined]
        length = sum(sa.func.coalesce(sa.func.length(p.c[name]), 0) for name in ("text", "judgment", "context", "profile"))
        sample = sa.select(length.label("n")).limit(1000).subquery()  # type: ignore[attr-defined]
        with write(self.runtime.engine) as session:
            average = float(session.execute(sa.select(sa.func.avg(sample.c.n))).scalar_one() or 0)
            # Text of this kind compresses about threefold; the aim is a size, not a promise.
            bits = shard_bits(total, average / 3 + 100, self.runtime.settings.shard_bytes)
            mine = Agreement.id == self.agreement.id
            session.execute(sa.update(Agreement).where(mine, Agreement.shard_bits == None).values(shard_bits=bits))  # type: ignore[arg-type]
            self.bits = int(session.exec(select(Agreement.shard_bits).where(mine)).one() or 0)

    def _items(self, rows: Sequence[Any], known: dict[str, bytes]) -> list[Item]:
        """Items of eligible rows. `known` are rid keys of people who were met before, and takes those who are met here."""
        if len(known) > _PEOPLE:
            known.clear()
        if strangers := {r[1] for r in rows}.difference(known):
            with self._reading() as session:
                found = load(session.connection(), self.runtime.keys, strangers)
            known |= {contributor: person.rid_key for contributor, person in found.items()}
        items = []
        agreement, release = self.agreement.id, self.release
        for contribution, contributor, _, _, parts, base, standing, floor, basis, attested_by, in_terms, reply, bound in rows:
            key = known.get(contributor)
            if not in_terms:
                self.needs_new_terms += 1
            elif key is not None:
                rid = record_id(agreement, rid_seed(key, contribution))
                terms = self._terms_of((base, standing, floor, basis, attested_by, bound))
                asks = self.terms[terms]
                items.append((release, rid, contribution, parts, terms, asks.group_size, asks.keep))
                if reply:
                    self._replies = True
        return items

    def _insert(self, items: Sequence[Item]) -> None:
        """Write items that are in the order of their key: they are random otherwise. A shard is where a record id begins."""
        bits = self.bits
        rows = [(release, shard_of(rid, bits), rid, *rest) for release, rid, *rest in items]
        with self._writing() as session:
            self._hold(session)
            Direct.under(session).load(_ITEM, _ITEM_COLUMNS, rows)

    def _terms_of(self, key: tuple[Any, ...]) -> int:
        at = self._terms_at.get(key)
        if at is None:
            # The collectives of a record come in any order.
            same = (*key[:5], binding.split(key[5]))
            at = self._terms_at.get(same)
            if at is None:
                at = self._terms_at[same] = self._add_terms(*same)
            self._terms_at[key] = at
        return at

    def _add_terms(
        self, base: int, standing: int | None, floor: int | None, basis: str, attested_by: str, bound: tuple[tuple[int, ...], tuple[str, ...]]
    ) -> int:  # fmt: skip
        book: PolicyBook = self.runtime.parts["policies"]
        policies, outcomes = bound
        stored = book.by_ids({p for p in (base, standing, floor, *policies) if p is not None})
        today = self.runtime.clock.now().date()
        joint = intersect([evaluate(s.compiled, self.use, self.facts, today) for s in stored.values()])
        self.terms.append(
            Terms(
                tuple(sorted(s.digest for s in stored.values())), basis, attested_by, strictest_attribution(joint.obligations),
                joint.group_size, together.keep_bits(joint.obligations), duties(joint.obligations), outcomes, self._labels_of(outcomes),
                tuple(sorted(self.use.actions)),
            )
        )  # fmt: skip
        return len(self.terms) - 1

    def _labels_of(self, outcomes: tuple[str, ...]) -> tuple[str, ...]:
        if outcomes not in self._labels:
            with self._reading() as session:
                if self._against is None:
                    self._against = strikes.executed(session, self.looked_at)
                stricken = labels.struck(session, self.agreement, outcomes, self._against)
                self._labels[outcomes] = labels.of_outcomes(session, outcomes, stricken)
        return self._labels[outcomes]

    def _add_tombstones(self, connection: sa.Connection) -> None:
        """What is withheld and keeps a place stands as a tombstone: an id and a kind, no more."""
        connection.execute(sa.delete(_ITEM).where(_ITEM.c.release_id == self.release, _ITEM.c.parts == 0))
        until = self.looked_at if self.recorded_until is None else self.recorded_until
        keeps = {t.keep for t in self.terms}
        missing = together.withheld(connection, self.release, until, keeps, replies=self._replies)
        people = load(connection, self.runtime.keys, {contributor for _, contributor, _ in missing})
        items = []
        for contribution, contributor, bits in missing:
            person = people.get(contributor)
            # An erased person's place is kept under a key of the service: their own is gone.
            key = self.runtime.keys.derive("tombstone") if person is None else person.rid_key
            rid = record_id(self.agreement.id, rid_seed(key, contribution))
            place = (self.release, shard_of(rid, self.bits), rid)
            items.append((*place, contribution, 0, _TERMS_UNKNOWN, 0, bits))
        Direct.under(connection).load(_ITEM, _ITEM_COLUMNS, items)

    def _reselect(self, hits: set[str]) -> set[int]:
        """Look again at the contributions that a narrowing act touched; gives the shards to build anew. In one transaction: a kill in the
        middle of it leaves the selection that was, which a later run finds touched again."""
        if self._held is not None:
            return self._mend(hits)
        with write(self.runtime.engine) as session:
            self._hold(session)
            self._held = session
            try:
                return self._mend(hits)
            finally:
                self._held = None

    def _mend(self, hits: set[str]) -> set[int]:
        now = self.runtime.clock.now()
        shards: set[int] = set()
        with self._writing() as session:
            before = session.execute(
                sa.select(_ITEM).where(_ITEM.c.release_id == self.release, _ITEM.c.contribution_id.in_(hits))
            ).all()
            shards |= {i.shard for i in before} | {i.shard for i in self._tombstones(session)}
            session.execute(
                sa.delete(_ITEM).where(_ITEM.c.release_id == self.release, _ITEM.c.contribution_id.in_(hits))
            )
            g = selection.Governed()
            governing = session.execute(
                sa.select(*g.layers()).select_from(g.joined).where(_C.c.id.in_(hits)).distinct()
            )
            of_collectives = session.execute(binding.policies(hits)).scalars()
            self._decide(session, now, {p for row in governing for p in row if p is not None} | set(of_collectives))
            rows = session.execute(self._eligible(now).where(_C.c.id.in_(hits))).all()
        self._insert(sorted(self._items(rows, {})))
        with self._writing() as session:
            # Who left makes groups smaller for the others, all over the release.
            shards |= self._drop_small_groups(session)
            self._add_tombstones(session.connection())
            shards |= {i.shard for i in self._tombstones(session)}
            # A reply names its parent's record id, so replies to what left are written again too.
            replies = _C.alias("replies")
            shards |= set(
                session.execute(
                    sa.select(_ITEM.c.shard)
                    .join(replies, replies.c.id == _ITEM.c.contribution_id)
                    .where(_ITEM.c.release_id == self.release, replies.c.parent_id.in_(hits))
                ).scalars()
            )
            self._note_selected(session)
            self._forget(session, sorted(shards))
        return shards

    def _tombstones(self, session: Session) -> list[Any]:
        return list(
            session.execute(sa.select(_ITEM.c.shard).where(_ITEM.c.release_id == self.release, _ITEM.c.parts == 0))
        )
