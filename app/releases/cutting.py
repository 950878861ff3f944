"""The cut: select, build, and one last transaction that looks for what was narrowed meanwhile.

Selecting and building hold no lock. The last transaction takes the log head; if since `as_of` anybody narrowed something
that touches an item, it commits nothing, the shards hit are built again without it, and it is tried again. Who may be in it is decided
anew at every cut; a file of the release before whose inputs came out the same is kept unread.
Every step may be run twice: a cut killed half-way goes on where it was, and a finished one is left alone.
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from secrets import token_hex

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements import verdicts
from app.agreements.models import Agreement, Offer, Request
from app.core.evaluation import EVALUATOR
from app.kit.db import for_update, read, write
from app.kit.locks import exclusive, exclusive_or_not
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.publisher import LogDamaged, Publisher
from app.parties.models import Lab
from app.releases import tree
from app.releases.items import Cancelled
from app.releases.models import CutShard, Release, ReleaseItem
from app.releases.queries import stopped, tree_of
from app.releases.rebuilding import plant
from app.releases.resuming import Resuming, touched
from app.releases.rows import BuiltShard
from app.releases.shards import write_shard

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_NOTED = CutShard.__table__  # type: ignore[attr-defined]
_MOST_HITS = 5_000  # beyond it, selecting anew is cheaper than mending
_PATIENCE = 5
"""Attempts after which what was narrowed is left out under the head lock: where people withdraw faster than a shard is built,
a cut that builds without it would never end. Everybody who appends waits for that long."""
_ANEW: set[str] = set()
"""What `_finish` gives where everything must be selected again."""


class Cut(Resuming):
    """One run of cutting one release."""

    def __init__(self, runtime: Runtime, release: str) -> None:
        self.runtime = runtime
        self.release = release
        self._mine = token_hex(8)
        self._work = runtime.settings.data_dir / "work"
        self.terms = []
        self._terms_at, self._labels = {}, {(): ()}
        self.needs_new_terms = 0
        self.as_of = 0
        self.built = {}
        self._published = False
        self.after_selection: list[Callable[[], object]] = []
        """Called before each attempt at the last transaction: where tests put a withdrawal."""

    def run(self) -> None:
        """Cut, unless that was done. Leaves the release published, or cancelled: nothing may go to the lab any more, or the lab wants
        none; then nothing of it stays."""
        overtaken, state = True, None
        while overtaken and state not in ("failed", "cancelled"):
            # A job picked up again after a restart must not run beside the first: they would share the release's items.
            with exclusive(self.runtime.engine, f"cut/{self.release}"):
                try:
                    self._run()
                    overtaken = False
                except Cancelled:
                    # Who lost the lock waits for whoever has it and may be killed: both are the same job, which ends with either. Also
                    # where the other has published what this one stored is still to be deleted.
                    pass
                self._clear()
                with read(self.runtime.engine) as session:
                    state = self._state(session)
        if state in ("published", "superseded") and not self._published:
            self._mend_tree()

    def _run(self) -> None:
        self.built = {}  # what another run did meanwhile is noted, and nothing else stands
        with write(self.runtime.engine) as session:
            mine = sa.and_(Release.id == self.release, Release.state == "cutting")
            session.execute(sa.update(Release).where(mine).values(run=self._mine))  # type: ignore[arg-type]
        self._tidy()  # before all: also a run that was killed just after it had published left its files
        with read(self.runtime.engine) as session:
            row = session.get(Release, self.release)
            if row is None or row.state != "cutting":
                return
            self._load(session, row)
        self._recover()
        if not self._go_on():
            return
        self._work.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=self.release, dir=self._work))
        try:
            self._build(self._not_kept(), directory)
            for attempt in itertools.count(1):
                for hook in self.after_selection:
                    hook()
                hits = self._finish(directory if attempt > _PATIENCE else None)
                if hits is None:
                    self._tidy()
                    return
                if hits is _ANEW or len(hits) > _MOST_HITS:
                    self._recover()  # what was written under the head lock is not noted where nothing was committed
                    if not self._select():
                        self._tidy()
                        return
                    self._build(self._not_kept(), directory)
                else:
                    self._build(self._reselect(hits), directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _mend_tree(self) -> None:
        """A run that lost its lock may have stored its tree over the one that another signed: between its last look and the file that one
        published. Whoever finds the release published makes the tree again from the items, where it is not the signed one."""
        with read(self.runtime.engine) as session:
            signed = tree_of(session.get_one(Release, self.release))
        if not tree.stands(self.runtime.blobs, self.release, signed["size"], signed["root"]):
            self._work.mkdir(parents=True, exist_ok=True)
            plant(self.runtime, self.release, self._work / f"{self.release}-{self._mine}-ids")

    def clear(self) -> None:
        """Leave nothing of a cut that was given up: no file, no item."""
        with exclusive(self.runtime.engine, f"cut/{self.release}"):
            self._clear()
            self._tidy()

    def _clear(self) -> None:
        with read(self.runtime.engine) as session:
            given_up = self._state(session) in ("failed", "cancelled")
        if given_up:
            with write(self.runtime.engine) as session:
                session.execute(sa.delete(_ITEM).where(_ITEM.c.release_id == self.release))
                session.execute(sa.delete(_NOTED).where(_NOTED.c.release_id == self.release))
                session.execute(sa.update(Release).where(Release.id == self.release).values(selected=None, run=None))  # type: ignore[arg-type]
            self.built.clear()
            self._tidy()

    def tidy(self) -> None:
        """Wait for a run under way to end, then leave no file of the release that no shard refers to; and, of one that a killed run was
        cutting, none in which something may stand that was narrowed. A run that lost its lock and lives on stores nothing more: it finds
        another's name."""
        with exclusive(self.runtime.engine, f"cut/{self.release}"):
            self._take_over()

    def tidy_if_idle(self) -> bool:
        """`tidy` where no run is under way, or give False."""
        with exclusive_or_not(self.runtime.engine, f"cut/{self.release}") as held:
            if held:
                self._take_over()
            return held

    def _take_over(self) -> None:
        with write(self.runtime.engine) as session:
            begun = (Release.id == self.release, Release.state == "cutting", Release.run != None)
            session.execute(sa.update(Release).where(*begun).values(run=self._mine))  # type: ignore[arg-type]
        self._tidy()

    def _load(self, session: Session, row: Release) -> None:
        agreement = session.get_one(Agreement, row.agreement_id)
        offer = session.get_one(Offer, agreement.offer_id)
        request = session.get_one(Request, offer.request_id)
        self.agreement = agreement
        self.offer = offer
        self.offered = json.loads(offer.body)
        self.selection = request.selection
        self.recorded_until = offer.issued_at if request.mode == "snapshot" else None
        self.ends = request.until
        self.use = agreements.use_of(session, agreement)
        self.format = row.format

    def _go_on(self) -> bool:
        """Take up the selection of a run that was killed, without what was narrowed since, or select; False where the release was cancelled.

        It is made anew on another day, since permissions end with a day; for other facts of the lab; and where so much was narrowed that
        mending takes longer. What ends without being narrowed (a hold, an embargo) is not looked for again: the cut tells of the
        moment of its selection, as it does where nobody kills it."""
        now = self.runtime.clock.now()
        with write(self.runtime.engine) as session:
            made = session.exec(select(Release.selected).where(Release.id == self.release)).one()
            if made is None or made["day"] != now.date().isoformat() or made["evaluator"] != EVALUATOR:
                begun = None
            else:
                begun = self._begin(session, now)
                if begun is None:
                    return False
        if begun is None or made is None or made["use"] != self.use_id:
            return self._select()
        self._take_up(made)
        with read(self.runtime.engine) as session:
            # The log's size first: what narrows from here on has this index or a later one.
            self.as_of, size = int(begun.as_of or 0), log.size(session)
            hits = touched(session, self.release, self.as_of, self.agreement.lab_id, self.terms)
        if len(hits) > _MOST_HITS:
            return self._select()
        if hits:
            self.as_of = size
            self._reselect(hits)
        return True

    # -- building ------------------------------------------------------------------------------------------------
    def _build(self, shards: Iterable[int], directory: Path) -> None:
        source, chunk = self._source(), self.runtime.settings.cut_chunk
        before: Future[BuiltShard] | None = None
        with ThreadPoolExecutor(1, "sayso-compress") as compressing:
            for shard in sorted(shards):
                # One moment: a payload and the key that opens it, which an erasure beside it may replace.
                with self._reading(snapshot=True) as session:
                    self._look(session)
                    written = write_shard(session, source, shard, chunk, directory, compressing)
                # One file is finished while the next is read.
                if before is not None:
                    self._keep(before.result())
                before = written
            if before is not None:
                self._keep(before.result())

    # -- the last transaction ------------------------------------------------------------------------------------
    def _finish(self, directory: Path | None) -> set[str] | None:
        """Publish and give None; or commit nothing and give the contributions that were touched meanwhile. With a working
        `directory` shards without these are built here and now, and it is published all the same."""
        runtime = self.runtime
        ids, root = self._tree()
        with write(runtime.engine) as session:
            row = session.exec(for_update(select(Release).where(Release.id == self.release), session)).one()
            if row.state != "cutting":
                self.built.clear()  # of another run, whose files are not these
                return None
            if row.run != self._mine:
                raise Cancelled
            lab = session.exec(
                for_update(select(Lab).where(Lab.id == self.agreement.lab_id), session).execution_options(
                    populate_existing=True
                )
            ).one()
            if directory is not None:
                # Deciding anew under the head takes the use's row, which whoever asks for a release takes before the head.
                verdicts.hold_use(session, self.use_id)
            size = log.lock_head(session)
            hits = touched(session, self.release, self.as_of, self.agreement.lab_id, self.terms)
            if hits and directory is not None and len(hits) <= _MOST_HITS:
                self._held, self.as_of = session, size
                try:
                    self._build(self._reselect(hits), directory)
                    ids, root = self._tree()
                finally:
                    self._held = None
            elif hits:
                session.rollback()
                # Nothing before this index was missed. To take a later size would jump over who narrows from here on.
                self.as_of = size
                return hits
            now = runtime.clock.now()
            if now.date() != self.day:
                # Midnight passed: permissions that ended with the day are in what was selected.
                session.rollback()
                return _ANEW
            reason = self._stopped_by(session, lab, now)
            if reason is not None:
                self._cancel(session, reason)
                return None
            self._publish(session, row, ids, root, now)
        self._published = True
        return None

    def _stopped_by(self, session: Session, lab: Lab, now: datetime) -> str | None:
        publisher: Publisher = self.runtime.parts["publisher"]
        if publisher.health() is not None:
            raise LogDamaged(publisher.health())
        state = session.exec(select(Agreement.state).where(Agreement.id == self.agreement.id)).one()
        if state != "in_force" or (self.ends is not None and now.date() > self.ends):
            return "agreement"
        return "stopped" if stopped(session, lab, now) else None

    def _cancel(self, session: Session, reason: str) -> None:
        self.built.clear()
        session.execute(sa.update(Release).where(Release.id == self.release).values(state="cancelled", reason=reason))  # type: ignore[arg-type]
