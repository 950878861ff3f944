"""Offline proofs as text: made, read back, checked whole, and refused when anything in them was changed."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import merkle, note, tlogproof
from app.core.tlogproof import TlogProof, TlogProofError
from tests.core.test_note import KEY, ORIGIN, PUBLIC, SEED, verify

LEAVES = [f"leaf {i}".encode() for i in range(11)]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
CHECKPOINT = note.sign_checkpoint(note.Checkpoint(ORIGIN, 11, merkle.root(HASHES)), PUBLIC, SEED.sign)


def proof(index=4):
    return tlogproof.format_proof(index, merkle.inclusion_proof(index, HASHES), CHECKPOINT)


def test_the_text_of_a_proof():
    hashes = merkle.inclusion_proof(4, HASHES)
    lines = [base64.b64encode(item).decode() for item in hashes]
    assert proof() == "c2sp.org/tlog-proof@v1\nindex 4\n" + "\n".join(lines) + "\n\n" + CHECKPOINT
    assert tlogproof.parse_proof(proof()) == TlogProof(4, tuple(hashes), CHECKPOINT)


def test_a_proof_holds_for_its_leaf_alone():
    for index, leaf in enumerate(LEAVES):
        found, checkpoint = tlogproof.verify_proof(proof(index), leaf, KEY, verify)
        assert (found, checkpoint.size) == (index, 11)
        with pytest.raises(TlogProofError):
            tlogproof.verify_proof(proof(index), leaf + b"x", KEY, verify)


def test_a_tree_of_one_leaf_needs_no_hashes():
    checkpoint = note.sign_checkpoint(note.Checkpoint(ORIGIN, 1, HASHES[0]), PUBLIC, SEED.sign)
    text = tlogproof.format_proof(0, [], checkpoint)
    assert text.startswith("c2sp.org/tlog-proof@v1\nindex 0\n\n")
    assert tlogproof.verify_proof(text, LEAVES[0], KEY, verify)[0] == 0


def test_extra_data_is_read_and_not_trusted():
    text = proof().replace("@v1\n", "@v1\nextra aGVsbG8=\n")
    assert tlogproof.parse_proof(text).extra == b"hello"
    assert tlogproof.verify_proof(text, LEAVES[4], KEY, verify)[0] == 4


def test_every_flipped_byte_is_refused():
    text = proof().encode()
    for at in range(len(text)):
        changed = (text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]).decode(errors="surrogateescape")
        with pytest.raises(TlogProofError):
            tlogproof.verify_proof(changed, LEAVES[4], KEY, verify)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 4", "index 04"),
        ("index 4", "index +4"),
        ("index 4", "index -4"),
        ("index 4", "index ٤"),
        ("index 4\n", ""),
        ("index 4\n", "index 4\nAAAA\n"),
        ("index 4\n", "index 4\n" + "A" * 43 + "=\n" * 1),
        ("index 4\n", "extra \nindex 4\n"),
        ("index 4\n", "index 4\n" + ("A" * 43 + "=\n") * 64),
        ("index 4", "index " + "9" * 6000),
        ("c2sp", "\nc2sp"),
    ],
)
def test_other_proofs_are_refused(old, new):
    with pytest.raises(TlogProofError):
        tlogproof.verify_proof(proof().replace(old, new, 1), LEAVES[4], KEY, verify)


def test_what_cannot_be_a_proof_is_not_written():
    outside = [(-1, [], CHECKPOINT), (0, [b"short"], CHECKPOINT), (0, [bytes(32)] * 64, CHECKPOINT), (0, [], "no note")]
    for arguments in outside:
        with pytest.raises(TlogProofError):
            tlogproof.format_proof(*arguments)


@given(st.text())
def test_no_text_breaks_the_parser(text):
    for whole in (text, "c2sp.org/tlog-proof@v1\n" + text, "c2sp.org/tlog-proof@v1\nindex 1\n" + text):
        try:
            tlogproof.parse_proof(whole)
        except TlogProofError:
            pass
