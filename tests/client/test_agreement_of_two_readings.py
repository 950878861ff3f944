"""The service's arithmetic and the verifier's were written apart: on the same values they must say the same."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sayso import proofs

from app.core import merkle, note, tlogproof
from tests.client.forge import Forge, Key, b64, b64u


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.data())
def test_inclusion(size, data):
    leaves = [b"%d" % i for i in range(size)]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, hashes)
    assert proofs.inclusion_root(leaves[index], index, size, proof) == merkle.root(hashes)
    bent = data.draw(st.permutations([*proof, bytes(32)]))
    other = data.draw(st.integers(0, size))
    try:
        merkle.verify_inclusion(hashes[index], other, size, bent, merkle.root(hashes))
        holds = True
    except merkle.MerkleError:
        holds = False
    try:
        assert (proofs.inclusion_root(leaves[index], other, size, list(bent)) == merkle.root(hashes)) is holds
    except proofs.Failed:
        assert not holds


@given(st.sets(st.binary(min_size=32, max_size=32), max_size=70))
def test_sorted_trees(ids):
    assert proofs.tree_root(sorted(ids)) == merkle.sorted_tree_root(sorted(ids))


def test_notes_and_proofs():
    key = Key(1)

    forge = Forge()
    assert note.vkey("log.example/sayso", key.public) == forge.vkey
    assert proofs.parse_vkey(forge.vkey) == (forge.vkey.split("+")[0], note.parse_vkey(forge.vkey).key_id, key.public)
    leaf = b"an older leaf 3"
    text = forge.proof(3)
    index, path, checkpoint, size, root = proofs.parse_proof(text)
    parsed = tlogproof.parse_proof(text)
    assert (index, tuple(path), checkpoint) == (parsed.index, parsed.hashes, parsed.checkpoint)
    seen = note.parse_checkpoint(note.parse_note(checkpoint).text)
    assert (seen.size, seen.root) == (size, root)
    assert proofs.check_checkpoint(checkpoint, forge.vkey) == "log.example/sayso"
    made = note.sign_checkpoint(note.Checkpoint("log.example/sayso", size, root), key.public, key.sign)
    assert made == checkpoint
    assert proofs.inclusion_root(leaf, index, size, path) == root
    assert tlogproof.format_proof(index, path, made) == text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n— ", "\n— "),
        ("— ", "- "),
        ("@v1", "@v2"),
        ("index 3", "index 03"),
        ("index 3", "index 9" + "9" * 30),
        ("sayso ", "other "),
        ("\n5\n", "\n05\n"),
        ("\n5\n", "\n6\n"),
        ("log.example/sayso\n", "log.example/other\n"),
        ("=\n\n— ", "=\n\x07\n\n— "),
        ("=\n\n— ", "\n\n— "),
    ],
)
def test_both_refuse(old, new):
    forge = Forge()
    text = forge.proof(3).replace(old, new, 1)
    assert text != forge.proof(3)
    with pytest.raises(proofs.Failed):
        index, path, checkpoint, size, root = proofs.parse_proof(text)
        proofs.check_checkpoint(checkpoint, forge.vkey)
        assert proofs.inclusion_root(b"an older leaf 3", index, size, path) != root
        raise proofs.Failed

    def verify(public, signature, message):
        return Key(1).sign(message) == signature

    with pytest.raises(tlogproof.TlogProofError):
        tlogproof.verify_proof(text, b"an older leaf 3", note.parse_vkey(forge.vkey), verify)


def test_the_reading_of_json_is_strict():
    for text in (
        '{"a":1,"a":1}',
        '{"a":1.0}',
        '{"a":1e2}',
        '{"a":NaN}',
        '{"a":9007199254740992}',
        '{"a":"\\ud800"}',
        "[]",
        "",
        "\ufeff{}",
    ):
        with pytest.raises(proofs.Failed):
            proofs.parse(text, "it")
        with pytest.raises(proofs.Failed):
            proofs.parse(text.encode(), "it")
    assert proofs.parse(b'{"a":"\\ud83d\\ude00","b":-9007199254740991}', "it") == {"a": "😀", "b": -(2**53) + 1}
    assert (
        proofs.canonical_sha256({"b": "é\x7f\u2028", "a": [1, None]})
        == sha256('{"a":[1,null],"b":"é\x7f\u2028"}'.encode()).hexdigest()
    )


def signed(text, *, lines=1, name="log.example/sayso"):
    """A note over any text at all, by the log's own key."""
    line = f"— {name} {b64(bytes.fromhex(Forge().vkey.split('+')[1]) + Key(1).sign(text.encode()))}\n"
    return f"{text}\n{line * lines}"


def test_what_the_log_signed_is_still_read_strictly():
    root = b64(bytes(32))
    good = f"log.example/sayso\n5\n{root}\n"
    assert proofs.check_checkpoint(signed(good), Forge().vkey)
    for bad in (
        signed(f"other.example/log\n5\n{root}\n"),
        signed(good, lines=101),
        signed(good + "\x07\n"),
        signed(good)[:-1],
    ):
        with pytest.raises(proofs.Failed):
            proofs.check_checkpoint(bad, Forge().vkey)
    for bad in (f"log.example/sayso\n05\n{root}\n", f"log.example/sayso\n5\n{b64(bytes(31))}\n", "log.example/sayso\n"):
        with pytest.raises(proofs.Failed):
            proofs.parse_proof("c2sp.org/tlog-proof@v1\nindex 0\n\n" + signed(bad))


def test_proofs_have_their_length():
    leaves = [b"%d" % i for i in range(6)]
    proof = merkle.inclusion_proof(2, [merkle.leaf_hash(leaf) for leaf in leaves])
    for index, size, path in (
        (2, 6, proof[:-1]),
        (2, 6, [*proof, bytes(32)]),
        (6, 6, proof),
        (0, 0, []),
        (0, 1, [bytes(32)]),
    ):
        with pytest.raises(proofs.Failed):
            proofs.inclusion_root(leaves[2], index, size, path)


def test_keys_have_their_length():
    for x in (bytes(31), bytes(33), b""):
        with pytest.raises(proofs.Failed):
            proofs.thumbprint({"kty": "OKP", "crv": "Ed25519", "x": b64u(x)})
