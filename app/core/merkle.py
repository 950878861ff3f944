"""The log's tree: RFC 9162 SHA-256 hashing and proofs, and the C2SP tlog-tiles arithmetic over it.

A *hash* is always 32 raw bytes, a *size* a number of leaves, an *index* counts leaves from 0. A range [start, end) of
leaves stands for one node of some tree: `start` is a multiple of the smallest power of two that holds the range.

A tile is named (level, index, width): up to 256 hashes of one level of the tree in one row, `width` of them present.
Slot i of tile n at level l is the root of the leaves [(256n + i) * 256^l, (256n + i + 1) * 256^l). Only the hashes
of complete subtrees are stored, so a stored hash never changes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

HASH_SIZE = 32
TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_SIZE
EMPTY_ROOT = sha256(b"").digest()
ENTRIES = -1
"""The level that stands for entry bundles (`tile/entries/...`) in `tile_path` and `parse_tile_path`."""
MAX_ENTRY_BYTES = 65_535
MAX_LEAF_BYTES = 4_095
"""Leaves of Sayso stay under 4 KB, so that a bundle of 256 stays under 1 MB."""
MAX_SIZE = 2**63 - 1

Tile = tuple[int, int, int]
ReadTile = Callable[[int, int, int], bytes]
"""`read_tile(level, index, width)` gives the bytes of a tile; a longer one (the full tile) will do as well."""

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


class MerkleError(ValueError):
    """A proof does not hold, or the values given describe no tree; the message says which."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf's bytes (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + entry).digest()


def leaf_hashes(entries: Iterable[bytes]) -> list[bytes]:
    """`leaf_hash` of many: a call for each costs as much as the hashing."""
    return [sha256(b"\x00" + entry).digest() for entry in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over its two children (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes in order; SHA-256 of nothing for none (RFC 9162 section 2.1.1).

    Raises:
        MerkleError: when a hash is not 32 bytes.
    """
    _require_hashes(hashes)
    return _fold(b"".join(hashes))


def inclusion_proof(index: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Hashes from the leaf's sibling up to the root's child, for leaf `index` of these (RFC 9162 section 2.1.3.1).

    Raises:
        MerkleError: when there is no such leaf, or a hash is not 32 bytes.
    """
    _require_hashes(hashes)
    return [_fold(b"".join(hashes[a:b])) for a, b in _inclusion_ranges(index, len(hashes))]


def consistency_proof(first: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Proof that the tree of the first `first` leaves is a prefix of the tree of all (RFC 9162 section 2.1.4.1).

    Raises:
        MerkleError: for `first` of 0 or beyond the leaves, or a hash that is not 32 bytes.
    """
    _require_hashes(hashes)
    return [_fold(b"".join(hashes[a:b])) for a, b in _consistency_ranges(first, len(hashes))]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> None:
    """Check that `leaf` (its hash) is number `index` of the `size` leaves under `root_hash` (RFC 9162 section 2.1.3.2).

    Raises:
        MerkleError: when it is not so.
    """
    _require_hashes([leaf, root_hash, *proof])
    _require_index(index, size)
    fn, sn, found = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise MerkleError("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            found = node_hash(sibling, found)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise MerkleError("the inclusion proof is too short")
    if found != root_hash:
        raise MerkleError("the inclusion proof leads to another root")


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `first` leaves is a prefix of the tree of `second` (RFC 9162 section 2.1.4.2).

    Size 0 is refused, even against itself: every tree extends the empty one, so such a proof proves nothing.

    Raises:
        MerkleError: when it is not so.
    """
    _require_hashes([first_root, second_root, *proof])
    _require_sizes(first, second)
    if first == second:
        if proof or first_root != second_root:
            raise MerkleError("two trees of one size have different roots" if not proof else "the proof is too long")
        return
    path = list(proof)
    if first & (first - 1) == 0:  # a complete tree is its own first node
        path.insert(0, first_root)
    if not path:
        raise MerkleError("the consistency proof is too short")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if sn == 0:
            raise MerkleError("the consistency proof is too long")
        if fn & 1 or fn == sn:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise MerkleError("the consistency proof is too short")
    if old != first_root or new != second_root:
        raise MerkleError("the consistency proof leads to other roots")


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile below the log's prefix: `tile/0/x001/234`, with `.p/W` when partial; level `ENTRIES` for bundles.

    Raises:
        MerkleError: for numbers outside the format (level -1..63, index below 2^63, width 1..256).
    """
    if not (ENTRIES <= level <= 63 and 0 <= index <= MAX_SIZE and 1 <= width <= TILE_WIDTH):
        raise MerkleError("there is no such tile")
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    name = "/x".join(groups[:-1])
    number = f"x{name}/{groups[-1]}" if name else groups[-1]
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level == ENTRIES else level}/{number}{partial}"


def parse_tile_path(path: str) -> Tile:
    """(level, index, width) of the one canonical path of a tile; level `ENTRIES` for bundles.

    Raises:
        MerkleError: for any other text.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise MerkleError("not the path of a tile")
    level, number, partial = match.groups()
    tile = (ENTRIES if level == "entries" else int(level), int(re.sub("[x/]", "", number)), int(partial or TILE_WIDTH))
    if tile_path(*tile) != path:  # more zero groups than needed, or `.p/256`
        raise MerkleError("not the canonical path of a tile")
    return tile


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes of a tile a tree of `size` leaves has (0..256); level `ENTRIES` counts entries of a bundle."""
    return max(0, min(TILE_WIDTH, (size >> 8 * max(level, 0)) - index * TILE_WIDTH))


def extend(old_size: int, leaf_hashes: Sequence[bytes], read_tile: ReadTile) -> dict[Tile, bytes]:
    """Every tile that is new or wider once `leaf_hashes` follow a tree of `old_size` leaves.

    Partial tiles come in the width of the new size only. `read_tile` is asked for the partial tiles on the right
    edge of the old tree, at most one a level.

    Raises:
        MerkleError: for a hash that is not 32 bytes, a bad size, or a tile shorter than its width.
    """
    _require_hashes(leaf_hashes)
    if old_size < 0 or old_size + len(leaf_hashes) > MAX_SIZE:
        raise MerkleError("there is no tree of that size")
    tiles: dict[Tile, bytes] = {}
    added, level = b"".join(leaf_hashes), 0
    while added:
        first, width = divmod(old_size >> 8 * level, TILE_WIDTH)
        row = (_read(read_tile, (level, first, width)) if width else b"") + added
        full = len(row) // TILE_BYTES
        for number in range(full):
            tiles[level, first + number, TILE_WIDTH] = row[number * TILE_BYTES : (number + 1) * TILE_BYTES]
        if rest := row[full * TILE_BYTES :]:
            tiles[level, first + full, len(rest) // HASH_SIZE] = rest
        added = row[: full * TILE_BYTES]
        for _ in range(8):  # all full tiles of the level at once: eight rows up stand their roots
            added = _pair(added)
        level += 1
    return tiles


def tree_root(size: int, read_tile: ReadTile) -> bytes:
    """Root of the first `size` leaves, from at most one tile a level. Raises MerkleError."""
    return _range_root(0, size, size, _cached(read_tile)) if size else EMPTY_ROOT


def inclusion(index: int, size: int, read_tile: ReadTile) -> list[bytes]:
    """`inclusion_proof` of leaf `index` in the tree of `size` leaves, from tiles. Raises MerkleError."""
    read = _cached(read_tile)
    return [_range_root(a, b, size, read) for a, b in _inclusion_ranges(index, size)]


def consistency(first: int, second: int, read_tile: ReadTile) -> list[bytes]:
    """`consistency_proof` between the trees of `first` and `second` leaves, from tiles. Raises MerkleError."""
    read = _cached(read_tile)
    return [_range_root(a, b, second, read) for a, b in _consistency_ranges(first, second)]


def sorted_tree_root(ids: Iterable[bytes]) -> bytes:
    """Root over 32-byte ids given in strictly ascending order, each a leaf; holds one hash for each level alone.

    Raises:
        MerkleError: for an id that is not 32 bytes, out of order, or there twice.
    """
    peaks: list[bytes] = []
    before = b""
    for count, item in enumerate(ids):
        if len(item) != HASH_SIZE or item <= before:
            raise MerkleError("ids must be 32 bytes each, ascending, and each there once")
        before, found, number = item, leaf_hash(item), count
        while number & 1:  # each trailing one bit is a complete subtree of the height reached
            found, number = node_hash(peaks.pop(), found), number >> 1
        peaks.append(found)
    return _join(peaks)


def entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Up to 256 entries as a bundle: each its length in two bytes, big-endian, and its bytes. Raises MerkleError."""
    if len(entries) > TILE_WIDTH or any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise MerkleError("a bundle holds 256 entries of at most 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entry_bundle(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises MerkleError when it is cut short or holds more than 256."""
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle) or at + 2 > len(bundle) or len(entries) == TILE_WIDTH:
            raise MerkleError("the bundle is cut short or too long")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries


def _inclusion_ranges(index: int, size: int) -> Iterator[tuple[int, int]]:
    """The nodes of an inclusion proof, leaf to root, each as its range of leaves."""
    _require_index(index, size)
    width = 1
    while width < size:
        start = (index // width ^ 1) * width
        if start < size:  # else the node is the last of an odd row and moves up alone
            yield start, min(start + width, size)
        width *= 2


def _consistency_ranges(first: int, second: int) -> Iterator[tuple[int, int]]:
    """The nodes of a consistency proof in order, each as its range of leaves."""
    _require_sizes(first, second)
    if first == second:
        return
    # The old tree's last complete subtree, then its siblings on the way up. The first is left out when it is the
    # whole old tree, whose root the verifier holds.
    width = first & -first
    if width != first:
        yield first - width, first
    index = (first - width) // width
    while width < second:
        start = (index ^ 1) * width
        if start < second:
            yield start, min(start + width, second)
        index, width = index // 2, width * 2


def _range_root(start: int, end: int, size: int, read: ReadTile) -> bytes:
    """Root of the leaves [start, end), put together from complete subtrees that stand in tiles."""
    peaks = []
    while start < end:
        height = (end - start).bit_length() - 1
        level, rest = divmod(height, 8)
        number, slot = divmod(start >> 8 * level, TILE_WIDTH)
        row = read(level, number, tile_width(level, number, size))
        peaks.append(_fold(row[slot * HASH_SIZE : (slot + (1 << rest)) * HASH_SIZE]))
        start += 1 << height
    return _join(peaks)


def _join(peaks: list[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = node_hash(peak, found)
    return found


def _cached(read_tile: ReadTile) -> ReadTile:
    seen: dict[Tile, bytes] = {}

    def read(level: int, index: int, width: int) -> bytes:
        tile = (level, index, width)
        if tile not in seen:
            seen[tile] = _read(read_tile, tile)
        return seen[tile]

    return read


def _read(read_tile: ReadTile, tile: Tile) -> bytes:
    row = read_tile(*tile)[: tile[2] * HASH_SIZE]
    if len(row) != tile[2] * HASH_SIZE:
        raise MerkleError(f"{tile_path(*tile)} is shorter than its width")
    return row


def _pair(row: bytes) -> bytes:
    """The row above an even number of hashes."""
    return b"".join([sha256(b"\x01" + row[i : i + 64]).digest() for i in range(0, len(row), 64)])


def _fold(row: bytes) -> bytes:
    """Root over a row of hashes; the last of an odd row moves up as it is, which gives RFC 9162's split."""
    if not row:
        return EMPTY_ROOT
    while len(row) > HASH_SIZE:
        even = len(row) // 64 * 64
        row = _pair(row[:even]) + row[even:]
    return row


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if set(map(len, hashes)) - {HASH_SIZE}:
        raise MerkleError("a hash is 32 bytes")


def _require_index(index: int, size: int) -> None:
    if not 0 <= index < size <= MAX_SIZE:
        raise MerkleError("there is no such leaf in a tree of that size")


def _require_sizes(first: int, second: int) -> None:
    if not 1 <= first <= second <= MAX_SIZE:
        raise MerkleError("consistency runs from a size of at least 1 to one at least as large")
