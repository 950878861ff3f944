"""The cut: select, build, and one last transaction that looks for what was narrowed meanwhile.

Selecting and building hold no lock. The last transaction takes the log head; if since `as_of` anybody narrowed something
that touches an item, it commits nothing, the shards hit are built again without it, and it is tried again. Who may be in it is decided
anew at every cut; a file of the release before whose inputs came out the same is kept unread.
Every step may be run twice: a cut killed half-way begins anew, and a finished one is left alone.
"""

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements import verdicts
from app.agreements.models import Agreement, Offer, Request
from app.collectives import binding
from app.collectives.models import CollectiveAct
from app.consents.models import Narrowing
from app.contributions.models import Contribution
from app.kit.blobs import BlobNotFound
from app.kit.db import for_update, read, write
from app.kit.locks import exclusive
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.publisher import LogDamaged, Publisher
from app.parties.models import Lab
from app.releases import tree
from app.releases.models import Release, ReleaseItem, Shard
from app.releases.publishing import Publishing
from app.releases.queries import stopped
from app.releases.rows import BuiltShard
from app.releases.shards import Source, inputs_of, source_of, write_shard

_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_N = Narrowing.__table__  # type: ignore[attr-defined]
_A = CollectiveAct.__table__  # type: ignore[attr-defined]
_MOST_HITS = 5_000  # beyond it, selecting anew is cheaper than mending
_PATIENCE = 5
"""Attempts after which what was narrowed is left out under the head lock: where people withdraw faster than a shard is built,
a cut that builds without it would never end. Everybody who appends waits for that long."""
_ANEW: set[str] = set()
"""What `_finish` gives where everything must be selected again."""


class _Cancelled(Exception):
    """The release is not to be cut any more."""


class Cut(Publishing):
    """One run of cutting one release."""

    def __init__(self, runtime: Runtime, release: str) -> None:
        self.runtime = runtime
        self.release = release
        self._work = runtime.settings.data_dir / "work"
        self.terms = []
        self._terms_at, self._labels = {}, {(): ()}
        self.needs_new_terms = 0
        self.as_of = 0
        self.built = {}
        self.after_selection: list[Callable[[], object]] = []
        """Called before each attempt at the last transaction: where tests put a withdrawal."""

    def run(self) -> None:
        """Cut, unless that was done. Leaves the release published, or cancelled: nothing may go to the lab any more, or the lab wants
        none; then nothing of it stays."""
        # A job picked up again after a restart must not run beside the first: they would share the release's items.
        with exclusive(self.runtime.engine, f"cut/{self.release}"):
            with suppress(_Cancelled):
                self._run()
            self._clear()

    def _run(self) -> None:
        self._tidy()  # before all: also a run that was killed just after it had published left its files
        with read(self.runtime.engine) as session:
            row = session.get(Release, self.release)
            if row is None or row.state != "cutting":
                return
            self._load(session, row)
        if not self._select():
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
                    if not self._select():
                        self._tidy()
                        return
                    self._build(self._not_kept(), directory)
                else:
                    self._build(self._reselect(hits), directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

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
            self.built.clear()
            self._tidy()

    def _state(self, session: Session) -> str | None:
        return session.exec(select(Release.state).where(Release.id == self.release)).first()

    def tidy(self) -> None:
        """Wait for a run under way to end, then leave no file of the release that no shard refers to."""
        with exclusive(self.runtime.engine, f"cut/{self.release}"):
            self._tidy()

    def _tidy(self) -> None:
        """Delete files that no shard of this release refers to, a killed or a cancelled run's: they may hold what was withdrawn since."""
        for left in self._work.glob(f"{self.release}*"):
            shutil.rmtree(left, ignore_errors=True)
            left.unlink(missing_ok=True)
        with read(self.runtime.engine) as session:
            state = self._state(session)
            published = session.exec(select(Shard.sha256).where(Shard.release_id == self.release)).all()
        if state not in ("published", "superseded"):
            tree.drop(self.runtime.blobs, self.release)
        kept = {
            blob_name(self.release, digest) for digest in [*published, *(built.sha256 for built in self.built.values())]
        }
        self.runtime.blobs.drop_unfinished(f"releases/{self.release}")
        for name in list(self.runtime.blobs.names(f"releases/{self.release}")):
            if name not in kept:
                self.runtime.blobs.delete(name)

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

    # -- building ------------------------------------------------------------------------------------------------
    def _not_kept(self) -> list[int]:
        """Keep the files of the release before whose inputs are still the same; gives the numbers of the shards to write."""
        source = self._source()
        with self._reading() as session:
            before = {shard.shard: shard for shard in self._before(session)}
        return [n for n in range(1 << self.bits) if n not in before or not self._kept(source, before[n])]

    def _before(self, session: Session) -> Sequence[Shard]:
        """The shards that are open of the newest release of this agreement and format."""
        mine = (Release.agreement_id == self.agreement.id, Release.format == self.format, Release.state.in_(["published", "superseded"]))  # type: ignore[attr-defined]
        newest = select(Release.id).where(*mine).order_by(sa.desc(Release.log_index)).limit(1)  # type: ignore[arg-type]
        return session.exec(select(Shard).where(Shard.release_id == session.exec(newest).first(), Shard.state == "live", Shard.inputs != None)).all()

    def _kept(self, source: Source, one: Shard) -> bool:
        with self._reading(snapshot=True) as session:
            if self._state(session) != "cutting":
                raise _Cancelled
            if inputs_of(session, source, one.shard, self.runtime.settings.cut_chunk) != one.inputs:
                return False
        self._discard(one.shard)
        blobs, name = self.runtime.blobs, blob_name(one.release_id, one.sha256)
        try:
            if blobs.size(name) != one.bytes:  # damaged: what is written anew is whole again
                return False
            blobs.copy(name, blob_name(self.release, one.sha256))
        except BlobNotFound:  # it was closed meanwhile, and swept
            return False
        kept = self.built[one.shard] = BuiltShard(one.shard, sha256=one.sha256, bytes=one.bytes, rows=one.rows, inputs=one.inputs)
        kept.tell(one.told or {})
        return True

    def _build(self, shards: Iterable[int], directory: Path) -> None:
        source, chunk = self._source(), self.runtime.settings.cut_chunk
        before: Future[BuiltShard] | None = None
        with ThreadPoolExecutor(1, "sayso-compress") as compressing:
            for shard in sorted(shards):
                # One moment: a payload and the key that opens it, which an erasure beside it may replace.
                with self._reading(snapshot=True) as session:
                    if self._state(session) != "cutting":
                        raise _Cancelled
                    written = write_shard(session, source, shard, chunk, directory, compressing)
                # One file is finished while the next is read.
                if before is not None:
                    self._keep(before.result())
                before = written
            if before is not None:
                self._keep(before.result())

    def _source(self) -> Source:
        return source_of(self.runtime.keys, self.agreement.id, self.use, self.release, self.format, self.terms)

    def _keep(self, built: BuiltShard) -> None:
        self._discard(built.shard)
        if built.rows:
            self.runtime.blobs.put_file(blob_name(self.release, built.sha256), built.path)
            self.built[built.shard] = built
        built.path.unlink()

    def _discard(self, shard: int) -> None:
        before = self.built.pop(shard, None)
        if before is not None:
            self.runtime.blobs.delete(blob_name(self.release, before.sha256))

    # -- the last transaction ------------------------------------------------------------------------------------
    def _finish(self, directory: Path | None) -> set[str] | None:
        """Publish and give None; or commit nothing and give the contributions that were touched meanwhile. With a working
        `directory` shards without these are built here and now, and it is published all the same."""
        runtime = self.runtime
        ids, root = self._tree()
        with write(runtime.engine) as session:
            row = session.exec(for_update(select(Release).where(Release.id == self.release), session)).one()
            if row.state != "cutting":
                return None
            lab = session.exec(
                for_update(select(Lab).where(Lab.id == self.agreement.lab_id), session).execution_options(
                    populate_existing=True
                )
            ).one()
            if directory is not None:
                # Deciding anew under the head takes the use's row, which whoever asks for a release takes before the head.
                verdicts.hold_use(session, self.use_id)
            size = log.lock_head(session)
            hits = touched(session, self.release, self.as_of, self.agreement.lab_id)
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


def touched(session: Session, release: str, as_of: int, lab: str) -> set[str]:
    """Contributions of the release that an act with index >= `as_of` may have narrowed. Under the head lock this is final."""
    fresh = _N.c.log_index >= as_of
    hits: set[str] = set()
    items = sa.select(_ITEM.c.contribution_id).where(_ITEM.c.release_id == release, _ITEM.c.parts > 0)
    hits |= set(
        session.execute(
            items.where(
                _ITEM.c.contribution_id.in_(
                    sa.select(_N.c.contribution_id).where(fresh, _N.c.contribution_id.is_not(None))
                )
            )
        ).scalars()
    )
    joined = items.join(_C, _C.c.id == _ITEM.c.contribution_id)
    people = sa.select(_N.c.contributor_id).where(
        fresh, _N.c.contribution_id.is_(None), _N.c.contributor_id.is_not(None)
    )
    collectives = sa.select(_N.c.collective_id).where(fresh, _N.c.collective_id.is_not(None))
    if session.execute(collectives.limit(1)).first() is not None:
        hits |= set(session.execute(joined.where(binding.concerned(collectives))).scalars())
    platforms = sa.select(_N.c.platform_id).where(fresh, _N.c.platform_id.is_not(None))
    # Whoever joins a collective is bound by its refusals and strikes. It is no narrowing row: of those platforms are told.
    begun = (_A.c.log_index >= as_of, _A.c.type == "membership.begun", _A.c.collective_id.in_(binding.refusing(lab)))
    joining = sa.select(_A.c.contributor_id).where(*begun)
    if session.execute(people.union_all(platforms, joining).limit(1)).first() is not None:
        hits |= set(
            session.execute(
                joined.where(sa.or_(_C.c.contributor_id.in_(people), _C.c.contributor_id.in_(joining), _C.c.platform_id.in_(platforms)))
            ).scalars()
        )
    return hits


def blob_name(release: str, digest: str) -> str:
    """Where a shard's bytes lie."""
    return f"releases/{release}/{digest}"
