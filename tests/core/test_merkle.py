"""The tree against a naive reading of RFC 9162, the known answers, and proofs that were tampered with."""

from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import merkle
from app.core.merkle import MerkleError


def naive_root(hashes):
    """MTH exactly as RFC 9162 section 2.1.1 writes it."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


def naive_path(m, hashes):
    """PATH(m, D_n) exactly as RFC 9162 section 2.1.3.1 writes it."""
    if len(hashes) == 1:
        return []
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m < k:
        return [*naive_path(m, hashes[:k]), naive_root(hashes[k:])]
    return [*naive_path(m - k, hashes[k:]), naive_root(hashes[:k])]


def naive_subproof(m, hashes, whole):
    """SUBPROOF(m, D_n, b) exactly as RFC 9162 section 2.1.4.1 writes it."""
    if m == len(hashes):
        return [] if whole else [naive_root(hashes)]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    if m <= k:
        return [*naive_subproof(m, hashes[:k], whole), naive_root(hashes[k:])]
    return [*naive_subproof(m - k, hashes[k:], False), naive_root(hashes[:k])]


LEAVES = [merkle.leaf_hash(str(i).encode()) for i in range(1000)]


class Tiles:
    """A store of tiles that keeps what a log keeps and refuses what it would not have."""

    def __init__(self):
        self.held = {}
        self.size = 0

    def read(self, level, index, width):
        if (level, index, width) in self.held:
            return self.held[level, index, width]
        return self.held[level, index, 256]

    def append(self, hashes):
        new = merkle.extend(self.size, hashes, self.read)
        for tile, data in new.items():
            assert len(data) == tile[2] * 32
            assert self.held.setdefault(tile, data) == data, "a tile never changes"
        self.size += len(hashes)
        return new


def test_known_answers():
    assert merkle.leaf_hash(b"L123456").hex().startswith("395aa064")
    assert merkle.leaf_hash(b"L123456").hex().endswith("4d56")
    assert merkle.node_hash(b"N123", b"N456").hex().startswith("aa217fe8")
    assert merkle.node_hash(b"N123", b"N456").hex().endswith("6bbb")
    assert merkle.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root([]) == merkle.EMPTY_ROOT == merkle.tree_root(0, Tiles().read) == merkle.sorted_tree_root([])


@cache
def range_root(start, end):
    """`naive_root` of a slice of LEAVES, remembered, so that every index of every size can be held against it."""
    if end - start == 1:
        return LEAVES[start]
    k = 1 << (end - start - 1).bit_length() - 1
    return merkle.node_hash(range_root(start, start + k), range_root(start + k, end))


def range_path(m, start, end):
    if end - start == 1:
        return []
    k = 1 << (end - start - 1).bit_length() - 1
    if m < k:
        return [*range_path(m, start, start + k), range_root(start + k, end)]
    return [*range_path(m - k, start + k, end), range_root(start, start + k)]


def test_root_and_inclusion_for_every_index_of_every_size_to_300():
    assert merkle.root([]) == naive_root([])
    for size in range(1, 301):
        hashes = LEAVES[:size]
        root = naive_root(hashes)
        assert merkle.root(hashes) == root == range_root(0, size)
        generated = set(range(size)) if size in (64, 127, 129, 255, 256, 257, 300) else {0, size // 3, size - 1}
        for index in range(size):
            proof = range_path(index, 0, size)
            if index in generated:
                assert merkle.inclusion_proof(index, hashes) == proof == naive_path(index, hashes)
            merkle.verify_inclusion(hashes[index], index, size, proof, root)


def test_every_consistency_to_70():
    roots = [naive_root(LEAVES[:n]) for n in range(71)]
    for size in range(1, 71):
        for first in range(1, size + 1):
            proof = merkle.consistency_proof(first, LEAVES[:size])
            assert proof == naive_subproof(first, LEAVES[:size], True)
            merkle.verify_consistency(first, size, roots[first], roots[size], proof)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=6), st.data())
def test_tiles_written_in_any_steps_give_the_same_tree(steps, data):
    tiles, hashes = Tiles(), []
    for step in steps:
        new = [merkle.leaf_hash(bytes([1]) + str(len(hashes) + i).encode()) for i in range(step)]
        tiles.append(new)
        hashes += new
    size = len(hashes)
    assert merkle.tree_root(size, tiles.read) == naive_root(hashes)
    if size:
        index = data.draw(st.integers(0, size - 1))
        proof = merkle.inclusion(index, size, tiles.read)
        assert proof == merkle.inclusion_proof(index, hashes) == naive_path(index, hashes)
        first = data.draw(st.integers(1, size))
        proof = merkle.consistency(first, size, tiles.read)
        assert proof == merkle.consistency_proof(first, hashes) == naive_subproof(first, hashes, True)
        merkle.verify_consistency(first, size, naive_root(hashes[:first]), naive_root(hashes), proof)


def test_an_older_size_reads_from_full_tiles():
    tiles = Tiles()
    for start in range(0, 1000, 100):
        tiles.append(LEAVES[start : start + 100])
    for tile in [tile for tile in tiles.held if tile[2] < 256 and (tile[0], tile[1], 256) in tiles.held]:
        del tiles.held[tile]  # what a log may forget
    assert merkle.tree_root(300, tiles.read) == naive_root(LEAVES[:300])
    assert merkle.inclusion(299, 300, tiles.read) == naive_path(299, LEAVES[:300])


def test_the_70000_example_of_tlog_tiles():
    hashes = [sha256(i.to_bytes(4, "big")).digest() for i in range(70_000)]
    tiles = merkle.extend(0, hashes, lambda *_: b"")
    full = [sum(1 for tile in tiles if tile[0] == level and tile[2] == 256) for level in range(3)]
    assert full == [273, 1, 0]
    assert {(level, width) for level, _, width in tiles if width < 256} == {(0, 112), (1, 17), (2, 1)}
    assert merkle.tree_root(70_000, lambda *tile: tiles[tile]) == merkle.root(hashes)
    assert set(merkle.extend(0, hashes[:256], lambda *_: b"")) == {(0, 0, 256), (1, 0, 1)}
    assert merkle.tile_width(0, 273, 70_000) == 112
    assert merkle.tile_width(1, 1, 70_000) == 17
    assert merkle.tile_width(2, 0, 70_000) == 1
    assert merkle.tile_width(0, 274, 70_000) == merkle.tile_width(3, 0, 70_000) == 0


def test_extend_names_no_tile_that_did_not_change():
    tiles = Tiles()
    tiles.append(LEAVES[:600])
    assert set(tiles.append(LEAVES[600:601])) == {(0, 2, 89)}
    assert tiles.append([]) == {}


def flips(value):
    return [bytes([*value[:i], value[i] ^ 1, *value[i + 1 :]]) for i in (0, 15, 31)]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.data())
def test_tampered_inclusion_proofs_are_refused(size, data):
    index = data.draw(st.integers(0, size - 1))
    root, proof = naive_root(LEAVES[:size]), naive_path(index, LEAVES[:size])
    bad = [(LEAVES[index], index, size, [*proof, root], root), (LEAVES[index], index, size, proof, LEAVES[999])]
    bad += [(LEAVES[index], i, size, proof, root) for i in (index + 1, index - 1, index ^ 1, size, -1) if i != index]
    bad += [(other, index, size, proof, root) for other in flips(LEAVES[index])]
    bad += [(LEAVES[index], index, 0, proof, root), (LEAVES[index], index, 2**80, proof, root)]
    bad += [(LEAVES[index][:31], index, size, proof, root), (LEAVES[index] + b"x", index, size, proof, root)]
    if proof:
        spot = data.draw(st.integers(0, len(proof) - 1))
        bad += [(LEAVES[index], index, size, [*proof[:spot], f, *proof[spot + 1 :]], root) for f in flips(proof[spot])]
        bad += [(LEAVES[index], index, size, proof[:-1], root), (LEAVES[index], index, size, proof[1:], root)]
        bad += [(LEAVES[index], index, size, [p[:31] for p in proof], root)]
    for arguments in bad:
        with pytest.raises(MerkleError):
            merkle.verify_inclusion(*arguments)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.data())
def test_tampered_consistency_proofs_are_refused(second, data):
    first = data.draw(st.integers(1, second))
    a, b = naive_root(LEAVES[:first]), naive_root(LEAVES[:second])
    proof = naive_subproof(first, LEAVES[:second], True)
    bad = [(first, second, a, b, [*proof, b]), (0, second, merkle.EMPTY_ROOT, b, []), (0, 0, a, a, [])]
    bad += [(second + 1, second, a, b, proof), (-1, second, a, b, proof), (first, 2**80, a, b, proof)]
    bad += [(first, second, f, b, proof) for f in flips(a)] + [(first, second, a, f, proof) for f in flips(b)]
    bad += [(first, second, a[:31], b, proof)]
    if a != b:
        bad.append((first, second, b, a, proof))
    if proof:
        spot = data.draw(st.integers(0, len(proof) - 1))
        bad += [(first, second, a, b, [*proof[:spot], f, *proof[spot + 1 :]]) for f in flips(proof[spot])]
        bad += [(first, second, a, b, proof[:-1]), (first, second, a, b, proof[1:]), (first, second, a, b, [])]
    for arguments in bad:
        with pytest.raises(MerkleError):
            merkle.verify_consistency(*arguments)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        ((0, 0, 256), "tile/0/000"),
        ((0, 1234, 256), "tile/0/x001/234"),
        ((0, 1234067, 256), "tile/0/x001/x234/067"),
        ((1, 999, 17), "tile/1/999.p/17"),
        ((63, 1000, 255), "tile/63/x001/000.p/255"),
        ((merkle.ENTRIES, 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_tile_paths(tile, path):
    assert merkle.tile_path(*tile) == path
    assert merkle.parse_tile_path(path) == tile


@given(st.integers(-1, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_tile_paths_come_back(level, index, width):
    assert merkle.parse_tile_path(merkle.tile_path(level, index, width)) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/001/234",
        "tile/0/000.p/01",
        "tile/0/000\n",
        "/tile/0/000",
        "tile/0/../000",
        "tile/-1/000",
        "tile/0/x1/000",
        "tile/0/٠٠٠",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/data/000",
        "tile/0/000.p/",
        "tile/0/x" + "1" * 5000,
    ],
)
def test_other_paths_are_refused(path):
    with pytest.raises(MerkleError):
        merkle.parse_tile_path(path)


@pytest.mark.parametrize("tile", [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257), (0, 2**63, 1)])
def test_tiles_that_cannot_be_named(tile):
    with pytest.raises(MerkleError):
        merkle.tile_path(*tile)


@settings(deadline=None)
@given(st.sets(st.binary(min_size=32, max_size=32), max_size=150))
def test_the_sorted_tree_is_the_tree_over_sorted_ids(ids):
    ids = sorted(ids)
    assert merkle.sorted_tree_root(iter(ids)) == naive_root([merkle.leaf_hash(i) for i in ids])


def test_the_sorted_tree_refuses_disorder():
    a, b = b"a" * 32, b"b" * 32
    for ids in ([b, a], [a, a], [a, b, b], [a[:31]], [a + b"x"], [b""]):
        with pytest.raises(MerkleError):
            merkle.sorted_tree_root(ids)
    assert merkle.sorted_tree_root([bytes(32)]) == merkle.leaf_hash(bytes(32))


def test_short_hashes_and_short_tiles_are_refused():
    for call in (
        lambda: merkle.root([b"x"]),
        lambda: merkle.extend(0, [bytes(33)], Tiles().read),
        lambda: merkle.extend(-1, [bytes(32)], Tiles().read),
        lambda: merkle.extend(3, [bytes(32)], lambda *_: bytes(64)),
        lambda: merkle.tree_root(3, lambda *_: bytes(64)),
        lambda: merkle.inclusion_proof(3, LEAVES[:3]),
        lambda: merkle.inclusion_proof(0, []),
        lambda: merkle.consistency_proof(0, LEAVES[:3]),
        lambda: merkle.consistency_proof(4, LEAVES[:3]),
    ):
        with pytest.raises(MerkleError):
            call()


@given(st.lists(st.binary(max_size=80), max_size=256))
def test_bundles_come_back(entries):
    assert merkle.parse_entry_bundle(merkle.entry_bundle(entries)) == entries


def test_bad_bundles_are_refused():
    for call in (
        lambda: merkle.entry_bundle([b""] * 257),
        lambda: merkle.entry_bundle([bytes(65_536)]),
        lambda: merkle.parse_entry_bundle(b"\x00"),
        lambda: merkle.parse_entry_bundle(b"\x00\x02a"),
        lambda: merkle.parse_entry_bundle(b"\x00\x00" * 257),
    ):
        with pytest.raises(MerkleError):
            call()
