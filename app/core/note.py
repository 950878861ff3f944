"""Signed notes and the checkpoints they carry, between text and values (C2SP signed-note, tlog-checkpoint).

The algorithms come in as callables: this module knows bytes, key names and key ids, and no cryptography beyond
SHA-256. Only Ed25519 keys (type 0x01) are known by name; signatures of any other type are kept and ignored.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

ED25519 = 0x01
MAX_SIGNATURES = 100
MAX_NOTE_BYTES = 1_000_000

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes, bytes], bool]
"""`verify(public_key, signature, message)`: 32, 64 and any number of bytes."""

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(ValueError):
    """The text is not of its form, or no trusted key signed it; the message says which."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its origin, its number of leaves, and their root (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text: one line each, the last ended too. Raises NoteError for values outside the format."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        if not _name_ok(self.origin) or not 0 <= self.size < 2**63 or len(self.root) != 32:
            raise NoteError("not a checkpoint: the origin, size or root is outside the format")
        if any(not line or "\n" in line for line in lines):
            raise NoteError("not a checkpoint: a line is empty or holds a line break")
        return "".join(line + "\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name, its id (4 bytes), and the bytes it made."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text, ended by a line break, and its signatures, none of them checked."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public Ed25519 key (32 bytes) under the name it signs as."""

    name: str
    key_id: bytes
    public_key: bytes


def key_id(name: str, public_key: bytes, signature_type: int = ED25519) -> bytes:
    """First 4 bytes of SHA-256 over name, line break, type and key (signed-note, "Signatures")."""
    return sha256(name.encode() + b"\n" + bytes([signature_type]) + public_key).digest()[:4]


def vkey(name: str, public_key: bytes) -> str:
    """A verifier key as text, `name+hex8+base64(0x01 || key)`. Raises NoteError for a bad name or length."""
    if not _name_ok(name) or len(public_key) != 32:
        raise NoteError("a verifier key needs a name without spaces or plus signs, and 32 bytes")
    return f"{name}+{key_id(name, public_key).hex()}+{base64.b64encode(bytes([ED25519]) + public_key).decode()}"


def parse_vkey(text: str) -> VerifierKey:
    """The key in a verifier key text. Raises NoteError, also for keys that are not Ed25519 and ids that do not fit."""
    parts = text.split("+", 2)
    if len(parts) != 3 or not _name_ok(parts[0]) or not _KEY_ID.fullmatch(parts[1]):
        raise NoteError("not a verifier key")
    raw = _unbase64(parts[2], "the verifier key")
    if len(raw) != 33 or raw[0] != ED25519:
        raise NoteError("the verifier key is not an Ed25519 key")
    found = key_id(parts[0], raw[1:])
    if found.hex() != parts[1]:
        raise NoteError("the verifier key's id does not fit its key")
    return VerifierKey(parts[0], found, raw[1:])


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint in a note text. Raises NoteError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise NoteError("a checkpoint is at least three lines, none of them empty")
    origin, size, root = lines[:3]
    if not _name_ok(origin) or not _SIZE.fullmatch(size) or int(size) >= 2**63:
        raise NoteError("the checkpoint's origin or size is not of its form")
    root_hash = _unbase64(root, "the checkpoint's root")
    if len(root_hash) != 32:
        raise NoteError("the checkpoint's root is not 32 bytes")
    return Checkpoint(origin, int(size), root_hash, tuple(lines[3:-1]))


def format_note(text: str, signatures: Sequence[Signature]) -> str:
    """A signed note; what it gives always parses to what it was given. Raises NoteError."""
    lines = [
        f"— {s.name} {base64.b64encode(s.key_id + s.signature).decode()}\n" for s in signatures if len(s.key_id) == 4
    ]
    note = f"{text}\n{''.join(lines)}"
    if parse_note(note) != Note(text, tuple(signatures)):
        raise NoteError("the text or a signature is outside the format of a signed note")
    return note


def parse_note(note: str | bytes) -> Note:
    """A signed note taken apart; nothing in it can be trusted yet. Raises NoteError."""
    try:
        raw = note.encode() if isinstance(note, str) else note
        if len(raw) > MAX_NOTE_BYTES:
            raise NoteError("the note is too long")
        whole = raw.decode()
    except UnicodeError as error:
        raise NoteError("the note is not UTF-8") from error
    if _CONTROL.search(whole):
        raise NoteError("the note holds a control character")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n") or at + 2 >= len(whole):
        raise NoteError("the note has no signatures after a blank line")
    lines = whole[at + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"the note has more than {MAX_SIGNATURES} signatures")
    return Note(whole[: at + 1], tuple(_signature(line) for line in lines))


def sign_note(text: str, name: str, public_key: bytes, sign: Sign) -> str:
    """`text` with one Ed25519 signature. Raises NoteError."""
    return format_note(text, [Signature(name, key_id(name, public_key), sign(text.encode()))])


def verify_note(note: str | bytes, keys: Sequence[VerifierKey], verify: Verify) -> Note:
    """The note with those signatures alone that one of `keys` made. Unknown keys are passed over.

    Raises:
        NoteError: when the note is not of its form, a signature of a known key does not hold, or there is none.
    """
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    held = []
    for line in parsed.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not verify(key.public_key, line.signature, parsed.text.encode()):
            raise NoteError(f"the signature of {line.name} does not hold")
        held.append(line)
    if not held:
        raise NoteError("no trusted key signed the note")
    return Note(parsed.text, tuple(held))


def sign_checkpoint(checkpoint: Checkpoint, public_key: bytes, sign: Sign) -> str:
    """A checkpoint as a note signed by the log's own key, which bears the name of its origin. Raises NoteError."""
    return sign_note(checkpoint.text, checkpoint.origin, public_key, sign)


def open_checkpoint(note: str | bytes, key: VerifierKey, verify: Verify) -> Checkpoint:
    """The checkpoint that this log signed. Raises NoteError, also for another log's origin."""
    checkpoint = parse_checkpoint(verify_note(note, [key], verify).text)
    if checkpoint.origin != key.name:
        raise NoteError("the checkpoint is of another log")
    return checkpoint


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not _name_ok(parts[1]):
        raise NoteError("a signature line is not of its form")
    raw = _unbase64(parts[2], "a signature")
    if len(raw) < 5:
        raise NoteError("a signature is too short")
    return Signature(parts[1], raw[:4], raw[4:])


def _name_ok(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or c < " " or "\ud800" <= c <= "\udfff" for c in name)


def _unbase64(text: str, what: str) -> bytes:
    """Standard base64; exactly one text is taken for each byte string."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError(f"{what} is not canonical base64")
    return raw
