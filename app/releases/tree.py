"""The tree of a release's record ids: kept beside its shards, and the proofs from it that a record is in it, or is not.

The leaves are the ids in ascending order, so absence is two neighbours with nothing between them (or the first, the last, or
a tree of nothing). Two files a release: the ids, 32 bytes each, and the rows of complete subtrees of 256, 65,536, … ids above
them. Both are written once, before the release is published, and say nothing of people: an id is a hash over a seed that only
the holder can compute.
"""

from base64 import b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import isqrt
from pathlib import Path
from typing import Any

from app.core import merkle
from app.core.merkle import HASH_SIZE, TILE_WIDTH, MerkleError
from app.kit.blobs import BlobNotFound, Blobs

_STREAMED = 8192


def names(release: str) -> tuple[str, str]:
    """Where the ids and the rows above them lie."""
    return f"trees/{release}/ids", f"trees/{release}/rows"


def keep(blobs: Blobs, release: str, ids: Iterable[bytes], work: Path, look: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Store the tree over `ids` (32 bytes each, strictly ascending); gives its size and root (hex). `work` is a file to write to; `look` is called
    before anything is stored, and may raise.

    Raises:
        MerkleError: for an id that is not 32 bytes, out of order, or there twice.
    """
    with work.open("wb") as file:
        grown = _Grown(ids, file.write)
    look()
    blobs.put_file(names(release)[0], work)
    blobs.put(names(release)[1], grown.above())
    work.unlink()
    return grown.size, grown.root()


def stands(blobs: Blobs, release: str, size: int, root: str) -> bool:
    """Whether the tree that is stored is the one of `size` records under `root` (hex)."""
    try:
        if blobs.size(names(release)[0]) != size * HASH_SIZE:
            return False
        grown = _Grown(RecordTree(blobs, release, size).after(None), lambda _: None)
        return grown.root() == root and blobs.get(names(release)[1]) == grown.above()
    except (BlobNotFound, MerkleError):
        return False


class _Grown:
    """A tree over ids as they come, each 256 of which are given to `put`."""

    def __init__(self, ids: Iterable[bytes], put: Callable[[bytes], object]) -> None:
        self.size, before = 0, b""
        self._rest: list[bytes] = []
        self._rows: list[list[bytes]] = [[]]
        source = iter(ids)
        while some := list(islice(source, TILE_WIDTH)):
            for item in some:
                if len(item) != HASH_SIZE or item <= before:
                    raise MerkleError("ids must be 32 bytes each, ascending, and each there once")
                before = item
            put(b"".join(some))
            self.size += len(some)
            self._rest = [merkle.leaf_hash(item) for item in some]
            if len(some) == TILE_WIDTH:
                self._rows[0].append(merkle.root(self._rest))
                self._rest = []
        while len(self._rows[-1]) >= TILE_WIDTH:
            below = self._rows[-1]
            whole = range(0, len(below) - TILE_WIDTH + 1, TILE_WIDTH)
            self._rows.append([merkle.root(below[at : at + TILE_WIDTH]) for at in whole])

    def above(self) -> bytes:
        """The rows of complete subtrees."""
        return b"".join(b"".join(row) for row in self._rows)

    def root(self) -> str:
        def tile(level: int, index: int, width: int) -> bytes:
            # Of level 0 the root needs the tile at the edge alone, and that is what was left over.
            row = self._rest if level == 0 else self._rows[level - 1][index * TILE_WIDTH : index * TILE_WIDTH + width]
            return b"".join(row)

        return merkle.tree_root(self.size, tile).hex()


def drop(blobs: Blobs, release: str) -> None:
    """Delete the files of a release that is not to be."""
    for name in names(release):
        blobs.delete(name)


class RecordTree:
    """The stored tree of a published release of `size` records."""

    def __init__(self, blobs: Blobs, release: str, size: int) -> None:
        self._blobs = blobs
        self._ids, self._rows = names(release)
        self.size = size

    def prove(self, record: bytes) -> tuple[bool, list[dict[str, Any]]]:
        """Whether `record` (32 bytes) is in the tree, and the leaves that show it: itself, or its neighbours.

        Each is {index, record_id (hex), path (base64, leaf to root)}. Raises BlobNotFound.
        """
        index, present = self._place(record)
        shown = [index] if present else [i for i in (index - 1, index) if 0 <= i < self.size]
        return present, [self._show(i) for i in shown]

    def after(self, record: bytes | None) -> Iterator[bytes]:
        """The ids above `record` (None: all), ascending, read some thousands at a time. Raises BlobNotFound."""
        at = 0
        if record is not None:
            index, present = self._place(record)
            at = index + present
        while at < self.size:
            some = self._read(at, min(self.size, at + _STREAMED))
            yield from some
            at += len(some)

    def _show(self, index: int) -> dict[str, Any]:
        path = merkle.inclusion(index, self.size, self._tile)
        (item,) = self._read(index, index + 1)
        return {"index": index, "record_id": item.hex(), "path": [b64encode(h).decode() for h in path]}

    def _place(self, record: bytes) -> tuple[int, bool]:
        """(index, True) of the record, or (index of the first greater one, False). Ids are hashes, so a guess comes near."""
        guess = int.from_bytes(record, "big") * self.size >> 256
        reach = 4 * isqrt(self.size) + 64
        while self.size:
            start, end = max(0, guess - reach), min(self.size, guess + reach)
            some = self._read(start, end)
            if (start == 0 or some[0] <= record) and (end == self.size or record <= some[-1]):
                at = bisect_left(some, record)
                return start + at, at < len(some) and some[at] == record
            reach *= 8
        return 0, False

    def _read(self, start: int, end: int) -> list[bytes]:
        data = self._blobs.read(self._ids, start * HASH_SIZE, end * HASH_SIZE)
        return [data[i : i + HASH_SIZE] for i in range(0, len(data), HASH_SIZE)]

    def _tile(self, level: int, index: int, width: int) -> bytes:
        first = index * TILE_WIDTH
        if level == 0:
            return b"".join(map(merkle.leaf_hash, self._read(first, first + width)))
        start = sum(self.size >> 8 * below for below in range(1, level)) + first
        return self._blobs.read(self._rows, start * HASH_SIZE, (start + width) * HASH_SIZE)
