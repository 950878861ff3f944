"""Offline proofs that a leaf stands in the log, between text and values (C2SP tlog-proof v1)."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.core import merkle, note

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
MAX_PROOF_BYTES = note.MAX_NOTE_BYTES + 100_000

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


class TlogProofError(ValueError):
    """The text is not a tlog-proof, or what it says does not hold; the message says which."""


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A leaf's index, the hashes from its sibling to the root's child (32 bytes each), and the checkpoint note.

    `extra` is data beside the proof that nothing authenticates; Sayso writes none and trusts none.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None


def format_proof(index: int, hashes: Sequence[bytes], checkpoint: str) -> str:
    """The proof as text, with `checkpoint` (a signed note) verbatim.

    Raises:
        TlogProofError: for an index below 0, a hash that is not 32 bytes, more than 63 hashes, or a note that is
            not of its form.
    """
    lines = [HEADER, f"index {index}", *(base64.b64encode(item).decode() for item in hashes)]
    text = "\n".join(lines) + "\n\n" + checkpoint
    if parse_proof(text) != TlogProof(index, tuple(hashes), checkpoint):
        raise TlogProofError("the values are outside the format of a tlog-proof")
    return text


def parse_proof(text: str) -> TlogProof:
    """A proof taken apart; nothing in it is checked beyond its form. Raises TlogProofError."""
    if len(text) > MAX_PROOF_BYTES:
        raise TlogProofError("the proof is too long")
    head, blank, checkpoint = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or lines.pop(0) != HEADER:
        raise TlogProofError("not a tlog-proof of version 1")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _unbase64(lines.pop(0).removeprefix("extra "))
    match = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None or len(lines) > MAX_HASHES:
        raise TlogProofError("the proof has no index, or more hashes than any tree needs")
    hashes = tuple(_unbase64(line) for line in lines)
    if any(len(item) != merkle.HASH_SIZE for item in hashes):
        raise TlogProofError("a hash in the proof is not 32 bytes")
    try:
        note.parse_note(checkpoint)
    except note.NoteError as error:
        raise TlogProofError(f"the proof's checkpoint: {error}") from error
    return TlogProof(int(match[1]), hashes, checkpoint, extra)


def verify_proof(text: str, leaf: bytes, key: note.VerifierKey, verify: note.Verify) -> tuple[int, note.Checkpoint]:
    """The index of `leaf` (its bytes, not its hash) and the signed checkpoint it stands under.

    Raises:
        TlogProofError: when the log with this key did not commit to the leaf in this way.
    """
    proof = parse_proof(text)
    try:
        checkpoint = note.open_checkpoint(proof.checkpoint, key, verify)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    except (note.NoteError, merkle.MerkleError) as error:
        raise TlogProofError(str(error)) from error
    return proof.index, checkpoint


def _unbase64(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except ValueError as error:
        raise TlogProofError("a line of the proof is not base64") from error
    if not raw or base64.b64encode(raw).decode() != line:
        raise TlogProofError("a line of the proof is not canonical base64")
    return raw
