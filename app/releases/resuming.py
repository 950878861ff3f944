"""Which files of a cut stand: those of the release before that are kept, and those that a run which was killed had finished.

Each file is noted (`CutShard`) in a transaction of its own once it is stored for good, so that the next run finds it. Whether it is still
what the release is to hold is not taken from there: the digest over its inputs decides, as it does for a file of the release before. And a
file in which anything stands that was narrowed since is given up before it is asked whether an erasure is complete.
"""

import shutil
from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.collectives import binding
from app.collectives.dissent_models import MinorityReport
from app.collectives.models import CollectiveAct
from app.consents.models import Narrowing
from app.contributions.models import Contribution
from app.kit.blobs import BlobNotFound
from app.kit.db import read, write
from app.releases import tree
from app.releases.items import Cancelled
from app.releases.models import CutShard, Release, ReleaseItem, Shard
from app.releases.publishing import Publishing
from app.releases.rows import BuiltShard, Terms, read_terms
from app.releases.shards import Source, blob_name, inputs_of, source_of

_NOTED = CutShard.__table__  # type: ignore[attr-defined]
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_N = Narrowing.__table__  # type: ignore[attr-defined]
_A = CollectiveAct.__table__  # type: ignore[attr-defined]
_R = MinorityReport.__table__  # type: ignore[attr-defined]
_AT_ONCE = 50
"""Files kept of the release before that are noted together: a second name costs less than a transaction, and is soon given again."""
_SOME = 5_000


class Resuming(Publishing):
    """The files of a cut, from one run to the next. Whoever calls holds the release's lock."""

    def _state(self, session: Session) -> str | None:
        return session.exec(select(Release.state).where(Release.id == self.release)).first()

    def _look(self, session: Session) -> None:
        """`_hold` without the lock, before long work that would be in vain."""
        if tuple(session.exec(select(Release.state, Release.run).where(Release.id == self.release)).one()) != ("cutting", self._mine):
            raise Cancelled

    def _tidy(self) -> None:
        """Delete files that neither a shard of this release nor a note refers to, a killed or a cancelled run's: they may hold what was
        withdrawn since."""
        for left in self._work.glob(f"{self.release}*"):
            shutil.rmtree(left, ignore_errors=True)
            left.unlink(missing_ok=True)
        self._give_up_narrowed()
        with read(self.runtime.engine) as session:
            state = self._state(session)
            named = session.exec(select(Shard.sha256).where(Shard.release_id == self.release)).all()
            if state == "cutting":
                named = [*named, *session.exec(select(CutShard.sha256).where(CutShard.release_id == self.release))]
        if state not in ("published", "superseded"):
            tree.drop(self.runtime.blobs, self.release)
        kept = {blob_name(self.release, digest) for digest in [*named, *(built.sha256 for built in self.built.values())]}
        self.runtime.blobs.drop_unfinished(f"releases/{self.release}")
        for name in list(self.runtime.blobs.names(f"releases/{self.release}")):
            if name not in kept:
                self.runtime.blobs.delete(name)

    # -- what a run before had finished ----------------------------------------------------------------------------
    def _recover(self) -> None:
        """What is noted is what there is."""
        with read(self.runtime.engine) as session:
            noted = session.exec(select(CutShard).where(CutShard.release_id == self.release)).all()
        self.built = {one.shard: _built(one) for one in noted}

    def _note(self, shards: Sequence[int]) -> None:
        """Note what stands of these now. One that lacks a record whose key was gone is not: it is written again."""
        finished = [one for one in map(self.built.get, shards) if one is not None and one.inputs is not None]
        rows = [
            {
                "release_id": self.release, "shard": one.shard, "sha256": one.sha256, "bytes": one.bytes, "rows": one.rows, "inputs": one.inputs,
                "told": one.told(), "checked": True,
            }
            for one in finished
        ]  # fmt: skip
        with self._writing() as session:
            self._hold(session)  # of a release that was given up meanwhile nothing is noted any more
            self._forget(session, shards)
            if rows:
                session.execute(sa.insert(_NOTED), rows)

    def _forget(self, session: Session, shards: Sequence[int]) -> None:
        """Note no more what stood of these: without a note a file is deleted by whoever comes next."""
        session.execute(sa.delete(_NOTED).where(_NOTED.c.release_id == self.release, _NOTED.c.shard.in_(shards)))

    def _give_up_narrowed(self) -> None:
        """Forget the files in which something may stand that was narrowed since the selection, and those that no run has held against the
        items of the selection that is made now: what they hold may not be among these any more, and so is not found by them."""
        with read(self.runtime.engine) as session:
            row = session.get(Release, self.release)
            noted = session.execute(sa.select(_NOTED.c.shard, _NOTED.c.checked).where(_NOTED.c.release_id == self.release)).all()
            if row is None or row.state != "cutting" or not noted:
                return
            given_up = {one.shard for one in noted if row.selected is None or not one.checked}
            if row.selected is not None and row.as_of is not None:
                lab, terms = session.get_one(Agreement, row.agreement_id).lab_id, [read_terms(one) for one in row.selected["terms"]]
                hits = sorted(touched(session, self.release, row.as_of, lab, terms))
                for start in range(0, len(hits), _SOME):
                    some = _ITEM.c.contribution_id.in_(hits[start : start + _SOME])
                    found = sa.select(_ITEM.c.shard).where(_ITEM.c.release_id == self.release, some).distinct()
                    given_up |= set(session.execute(found).scalars())
        if given_up:
            with write(self.runtime.engine) as session:
                self._forget(session, sorted(given_up))

    # -- what is kept ----------------------------------------------------------------------------------------------
    def _not_kept(self) -> list[int]:
        """Keep the files whose inputs are still the same, of a run before or of the release before; gives the numbers of the shards to write."""
        source = self._source()
        with self._reading() as session:
            before = {shard.shard: shard for shard in self._before(session)}
        missing: list[int] = []
        kept: list[int] = []
        for shard in range(1 << self.bits):
            if self._kept(source, shard, before.get(shard)):
                kept.append(shard)
            else:
                missing.append(shard)
            if len(kept) == _AT_ONCE:
                self._note(kept)
                kept = []
        if kept:
            self._note(kept)
        return missing

    def _before(self, session: Session) -> Sequence[Shard]:
        """The shards that are open of the newest release of this agreement and format."""
        mine = (Release.agreement_id == self.agreement.id, Release.format == self.format, Release.state.in_(["published", "superseded"]))  # type: ignore[attr-defined]
        newest = select(Release.id).where(*mine).order_by(sa.desc(Release.log_index)).limit(1)  # type: ignore[arg-type]
        return session.exec(select(Shard).where(Shard.release_id == session.exec(newest).first(), Shard.state == "live", Shard.inputs != None)).all()

    def _kept(self, source: Source, shard: int, before: Shard | None) -> bool:
        mine = self.built.get(shard)
        if mine is None and before is None:
            return False
        with self._reading(snapshot=True) as session:
            self._look(session)
            inputs = inputs_of(session, source, shard, self.runtime.settings.cut_chunk)
        if mine is not None and mine.inputs == inputs and self._is_there(self.release, mine):
            return True
        if before is None or before.inputs != inputs or not self._is_there(before.release_id, before):
            return False
        try:
            self.runtime.blobs.copy(blob_name(before.release_id, before.sha256), blob_name(self.release, before.sha256))
        except BlobNotFound:  # it was closed meanwhile, and swept
            return False
        self._replace(shard, _built(before), noted=mine is not None)
        return True

    def _is_there(self, release: str, file: BuiltShard | Shard) -> bool:
        """Whether the file is whole, by its length: a damaged one is written anew."""
        try:
            return self.runtime.blobs.size(blob_name(release, file.sha256)) == file.bytes
        except BlobNotFound:
            return False

    def _keep(self, built: BuiltShard) -> None:
        """Store and note a file that was written."""
        if built.rows:
            with self._reading() as session:
                self._look(session)
            self.runtime.blobs.put_file(blob_name(self.release, built.sha256), built.path)
        if built.rows or built.shard in self.built:
            self._replace(built.shard, built if built.rows else None)
        built.path.unlink()

    def _replace(self, shard: int, built: BuiltShard | None, *, noted: bool = True) -> None:
        """Let a file that is stored, or none, stand for a shard: note that (others may be noted later, together), and delete the one that
        stood for it."""
        before = self.built.pop(shard, None)
        if built is not None:
            self.built[shard] = built
        if noted:
            self._note([shard])
        if before is not None and (built is None or built.sha256 != before.sha256):
            self.runtime.blobs.delete(blob_name(self.release, before.sha256))

    def _source(self) -> Source:
        return source_of(self.runtime.keys, self.agreement.id, self.use, self.release, self.format, self.terms)


def _built(one: Shard | CutShard) -> BuiltShard:
    """A file of before, with what the manifest says of it."""
    built = BuiltShard(one.shard, sha256=one.sha256, bytes=one.bytes, rows=one.rows, inputs=one.inputs)
    built.tell(one.told or {})
    return built


def select_anew(session: Session) -> None:
    """Let cuts under way begin again, also one that still runs: after a restore a contribution may be erased of which no narrowing tells."""
    cutting = Release.state == "cutting"
    session.execute(sa.delete(_NOTED).where(_NOTED.c.release_id.in_(sa.select(Release.id).where(cutting))))  # type: ignore[arg-type,call-overload]
    session.execute(sa.update(Release).where(cutting).values(selected=None, run=None))  # type: ignore[arg-type]


def touched(session: Session, release: str, as_of: int, lab: str, terms: Sequence[Terms]) -> set[str]:
    """Contributions of the release that an act with index >= `as_of` may have narrowed; `terms` are those that its items point into. Under
    the head lock this is final."""
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
    # Dissent that was not signed for holds back what rests on the decision. It narrows no policy, and is found by the report, which outlives
    # its author's erasure. What rests on no decision, or on another, is not hit: whoever objects again and again would stop every cut.
    filed = set(session.execute(sa.select(_R.c.proposal_id).where(_R.c.log_index >= as_of, binding.upheld())).scalars())
    dissented = [at for at, one in enumerate(terms) if not filed.isdisjoint(one.outcomes)]
    for start in range(0, len(dissented), _SOME):
        hits |= set(session.execute(items.where(_ITEM.c.terms.in_(dissented[start : start + _SOME]))).scalars())
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
