"""Partial tiles and bundles are deleted once the full one has been there for an hour.

Whoever read a checkpoint may still ask for its partial tiles: not every client falls back to the full one by itself (ours is
served that way in any case, cut from the full one). How far this has come is kept beside the tiles; to do a stretch twice is
harmless.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.core import merkle
from app.kit.blobs import BlobNotFound
from app.kit.db import read
from app.kit.runtime import Runtime
from app.log.models import Checkpoint

GRACE = timedelta(hours=1)
_DONE = "log/pruned"


def prune(runtime: Runtime, now: datetime) -> int:
    """Delete the partials of tiles that were full in a checkpoint published an hour ago; gives how many went."""
    with read(runtime.engine) as session:
        old = session.execute(sa.select(sa.func.max(Checkpoint.size)).where(Checkpoint.published_at <= now - GRACE)).scalar()  # type: ignore[arg-type]
    try:
        done = int(runtime.blobs.get(_DONE))
    except (BlobNotFound, ValueError):
        done = 0
    if old is None or old <= done:
        return 0
    count = 0
    for level in (merkle.ENTRIES, *range(64)):
        first, end = done >> 8 * (max(level, 0) + 1), old >> 8 * (max(level, 0) + 1)
        if level >= 0 and end == 0:
            break
        for index in range(first, end):
            for name in list(runtime.blobs.names(f"log/{merkle.tile_path(level, index)}.p")):
                runtime.blobs.delete(name)
                count += 1
    runtime.blobs.put(_DONE, str(old).encode())
    return count
