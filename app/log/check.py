"""Recompute the whole log from the stored leaves and compare it with what was signed, and with the files that are served."""

from collections.abc import Callable

import sqlalchemy as sa

from app.core import merkle
from app.core.note import NoteError, open_checkpoint, parse_vkey
from app.crypto.keyring import verify_ed25519
from app.kit.blobs import BlobNotFound
from app.kit.db import read
from app.kit.runtime import Runtime
from app.log.models import Checkpoint, LogEntry, LogHead
from app.log.proofs import verifier_key
from app.log.publisher import read_bundle, read_tile

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_CHUNK = 80 * merkle.TILE_WIDTH


def check(runtime: Runtime) -> list[str]:
    """Sentences about everything that does not fit; empty where all does. Files: those that the newest checkpoint implies."""
    wrong: list[str] = []
    tiles: dict[merkle.Tile, bytes] = {}
    key = parse_vkey(verifier_key(runtime))
    with read(runtime.engine, snapshot=True) as session:
        head = int(session.connection().execute(sa.select(LogHead.__table__.c.size)).scalar_one())  # type: ignore[attr-defined]
        signed = list(session.execute(sa.select(Checkpoint.size, Checkpoint.note).order_by(Checkpoint.size)))  # type: ignore[call-overload]
        size = 0
        rows = (
            session.connection()
            .execution_options(yield_per=_CHUNK)
            .execute(sa.select(_ENTRY.c.log_index, _ENTRY.c.leaf).order_by(_ENTRY.c.log_index))
        )
        for part in rows.partitions(_CHUNK):
            if [r.log_index for r in part] != list(range(size, size + len(part))):
                return [f"The leaves have a gap at or after {size}."]
            tiles.update(
                merkle.extend(size, [merkle.leaf_hash(bytes(r.leaf)) for r in part], lambda *tile: tiles[tile])
            )
            wrong += _bundles(runtime, size, [bytes(r.leaf) for r in part], signed[-1].size if signed else 0)
            size += len(part)
    if size != head:
        wrong.append(f"There are {size} leaves, but the head says {head}.")

    def tile(level: int, index: int, width: int) -> bytes:
        found = tiles.get((level, index, width)) or tiles.get((level, index, merkle.TILE_WIDTH))
        if found is None:
            found = next(data for (lv, ix, w), data in tiles.items() if (lv, ix) == (level, index) and w >= width)
        return found[: width * merkle.HASH_SIZE]

    for at, note in signed:
        try:
            value = open_checkpoint(note, key, verify_ed25519)
        except NoteError:
            wrong.append(f"The checkpoint of size {at} is not signed by this log's key.")
            continue
        if value.size != at or at > size or merkle.tree_root(at, tile) != value.root:
            wrong.append(f"The checkpoint of size {at} does not match the stored leaves.")
    wrong += _tiles(runtime, signed[-1].size, tile) if signed and signed[-1].size <= size else []
    return wrong


def _bundles(runtime: Runtime, start: int, leaves: list[bytes], published: int) -> list[str]:
    """What is wrong with the bundles that hold these leaves, as far as a checkpoint covers them."""
    wrong = []
    for at in range(0, len(leaves), merkle.TILE_WIDTH):
        index = (start + at) // merkle.TILE_WIDTH
        some = leaves[at : at + merkle.tile_width(0, index, published)]
        if some and _stored(lambda: read_bundle(runtime, index, len(some))) != merkle.entry_bundle(some):  # noqa: B023
            wrong.append(f"The stored {merkle.tile_path(merkle.ENTRIES, index)} does not hold the leaves.")
    return wrong


def _tiles(runtime: Runtime, size: int, tile: merkle.ReadTile) -> list[str]:
    """What is wrong with the tiles that a checkpoint of `size` implies."""
    wrong = []
    for level in range(64):
        index = 0
        while width := merkle.tile_width(level, index, size):
            if _stored(lambda: read_tile(runtime, level, index, width)) != tile(level, index, width):  # noqa: B023
                wrong.append(f"The stored {merkle.tile_path(level, index, width)} does not match the leaves.")
            index += 1
        if not index:
            break
    return wrong


def _stored(read: Callable[[], bytes]) -> bytes | None:
    try:
        return read()
    except (BlobNotFound, merkle.MerkleError):
        return None
