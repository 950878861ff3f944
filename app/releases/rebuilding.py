"""Making the files of releases again: a backup holds none of them, since what was erased later would lie open in it.

A shard follows from the rows of its release, byte for byte. One that comes out otherwise (another version of the compressor, a
credit changed since) is closed, and its holder asks for a new cut.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.kit.blobs import BlobNotFound
from app.kit.db import read, write
from app.kit.runtime import Runtime
from app.releases import tree
from app.releases.models import Release, ReleaseItem, Shard
from app.releases.rows import read_terms
from app.releases.shards import blob_name, build_shard, source_of

_SHARD = Shard.__table__  # type: ignore[attr-defined]
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]


def rebuild_missing(runtime: Runtime) -> tuple[int, int]:
    """Make every live shard, and every published release's tree, that is not there; gives (shards made, shards closed)."""
    with read(runtime.engine) as session:
        live = session.exec(select(Shard).where(Shard.state == "live").order_by(Shard.release_id, Shard.shard)).all()  # type: ignore[arg-type]
        published = session.exec(select(Release.id).where(Release.state.in_(("published", "superseded")))).all()  # type: ignore[attr-defined]
    work = runtime.settings.data_dir / "work"
    work.mkdir(parents=True, exist_ok=True)
    made = closed = 0
    with tempfile.TemporaryDirectory(dir=work) as directory, ThreadPoolExecutor(1, "sayso-compress") as compressing:
        for release in published:
            if not _there(runtime, tree.names(release)[0]):
                plant(runtime, release, Path(directory) / "ids")
        for shard in live:
            if _there(runtime, blob_name(shard.release_id, shard.sha256), shard.bytes):
                continue
            if _made(runtime, shard, Path(directory), compressing):
                made += 1
            else:
                closed += 1
    return made, closed


def _there(runtime: Runtime, name: str, size: int | None = None) -> bool:
    try:
        found = runtime.blobs.size(name)
    except BlobNotFound:
        return False
    return size in (None, found)


def _made(runtime: Runtime, shard: Shard, directory: Path, compressing: ThreadPoolExecutor) -> bool:
    with read(runtime.engine, snapshot=True) as session:
        release = session.get_one(Release, shard.release_id)
        agreement = session.get_one(Agreement, release.agreement_id)
        use = agreements.use_of(session, agreement)
        terms = [read_terms(one) for one in release.terms]
        source = source_of(runtime.keys, agreement.id, use, release.id, release.format, terms)
        built = build_shard(session, source, shard.shard, runtime.settings.cut_chunk, directory, compressing)
    same = built.sha256 == shard.sha256
    if same:
        runtime.blobs.put_file(blob_name(shard.release_id, shard.sha256), built.path)
    else:
        with write(runtime.engine) as session:
            mine = sa.and_(_SHARD.c.release_id == shard.release_id, _SHARD.c.shard == shard.shard)
            session.execute(sa.update(_SHARD).where(mine).values(state="gone", gone_at=runtime.clock.now()))
    built.path.unlink()
    return same


def plant(runtime: Runtime, release: str, scratch: Path) -> None:
    """Store the tree of a published release, as its items say. `scratch` is a file to write to."""
    with read(runtime.engine) as session:
        ids = sa.select(_ITEM.c.record_id).where(_ITEM.c.release_id == release, _ITEM.c.parts > 0).order_by(_ITEM.c.shard, _ITEM.c.record_id)
        found = session.connection().execute(ids, execution_options={"yield_per": 4000})
        tree.keep(runtime.blobs, release, (bytes(r[0]) for r in found), scratch)
