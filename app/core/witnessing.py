"""Witnesses between text and values: cosignatures, the request that asks for one, and the policy that says how many count.

Sources: C2SP tlog-cosignature v1 (Ed25519), tlog-witness `add-checkpoint`, tlog-policy. The algorithms come in as callables.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.core.note import Note, NoteError, Signature, VerifierKey, Verify, key_id, parse_note, parse_vkey

COSIGNATURE = 0x04
"""The type byte of Ed25519 keys that make timestamped cosignatures."""
MAX_PROOF_LINES = 63
MAX_NAMES = 100

_NUMBER = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e\x80-\U0010ffff]")


class PolicyFileError(ValueError):
    """The text is not a tlog-policy; the message says which line."""


def parse_cosigner(text: str) -> VerifierKey:
    """The key in a witness's vkey, whose type is 0x04. Raises NoteError."""
    parts = text.split("+", 2)
    try:
        raw = base64.b64decode(parts[2], validate=True) if len(parts) == 3 else b""
    except ValueError:
        raw = b""
    if len(raw) != 33 or raw[0] != COSIGNATURE or base64.b64encode(raw).decode() != parts[2]:
        raise NoteError("not the verifier key of a witness (Ed25519, type 4)")
    found = key_id(parts[0], raw[1:], COSIGNATURE)
    if not re.fullmatch(r"[^\s+]+", parts[0]) or found.hex() != parts[1]:
        raise NoteError("the witness's key does not fit the id it bears")
    return VerifierKey(parts[0], found, raw[1:])


def cosigned_message(text: str, time: int) -> bytes:
    """What a witness signs: the header, the time in POSIX seconds, and the whole text of the checkpoint."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def cosignature(text: str, signature: Signature, key: VerifierKey, verify: Verify) -> int | None:
    """The time at which `key` cosigned the checkpoint text with this line; None where the line is not by that key.

    Raises:
        NoteError: when it claims to be by that key and does not hold.
    """
    if (signature.name, signature.key_id) != (key.name, key.key_id):
        return None
    blob = signature.signature
    time = int.from_bytes(blob[:8], "big")
    if len(blob) != 72 or time >= 2**63 or not verify(key.public_key, blob[8:], cosigned_message(text, time)):
        raise NoteError(f"the cosignature of {key.name} does not hold")
    return time


def request_body(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of `add-checkpoint`: the size the witness knows, the consistency proof from there, the signed checkpoint."""
    lines = [f"old {old}", *(base64.b64encode(item).decode() for item in proof), "", note]
    return "\n".join(lines).encode()


def answered_lines(body: bytes, note: str) -> tuple[Signature, ...]:
    """The signature lines of an answer to `add-checkpoint`. Raises NoteError."""
    text = parse_note(note).text
    return parse_note(f"{text}\n".encode() + body).signatures


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness under the name that the policy calls it by; `url` is the prefix of `add-checkpoint`, if we are to ask it."""

    name: str
    key: VerifierKey
    url: str | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Which logs and witnesses count. `groups` maps a name to (threshold, members); quorum None needs no witness."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: Mapping[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    quorum: str | None = None
    text: str = ""

    def satisfied(self, names: Iterable[str]) -> bool:
        """Whether these witnesses together make the quorum."""
        there = set(names)
        for group, (least, members) in self.groups.items():  # in order: members stand before their group
            if sum(member in there for member in members) >= least:
                there.add(group)
        return self.quorum is None or self.quorum in there

    def cosigned(self, note: Note, verify: Verify) -> dict[str, int]:
        """Witness -> time, for every cosignature in the note by a witness of the policy. Raises NoteError where one fails."""
        found: dict[str, int] = {}
        for witness in self.witnesses:
            for line in note.signatures:
                time = cosignature(note.text, line, witness.key, verify)
                if time is not None:
                    found[witness.name] = time
        return found


def parse_policy(text: str) -> Policy:
    """A tlog-policy file. Raises PolicyFileError."""
    reader = _Reader()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t")
        if line and not line.startswith("#"):
            try:
                if _FORBIDDEN.search(line):
                    raise PolicyFileError("holds a control character")
                reader.read(re.split("[ \t]+", line))
            except (PolicyFileError, NoteError) as error:
                raise PolicyFileError(f"line {number}: {error}") from error
    if not reader.decided:
        raise PolicyFileError("there is no quorum line")
    return Policy(tuple(reader.logs), tuple(reader.witnesses), reader.groups, reader.quorum, text)


class _Reader:
    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: list[Witness] = []
        self.groups: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.quorum: str | None = None
        self.decided = False
        self._members: set[str] = set()

    def read(self, words: list[str]) -> None:
        kind, rest = words[0], words[1:]
        if kind == "log" and len(rest) in (1, 2):
            self._new_key(parse_vkey(rest[0]), self.logs)
        elif kind == "witness" and len(rest) in (2, 3):
            self._new_name(rest[0])
            key = parse_cosigner(rest[1])
            self._new_key(key, [w.key for w in self.witnesses])
            self.witnesses.append(Witness(rest[0], key, rest[2] if len(rest) == 3 else None))
        elif kind == "group" and len(rest) >= 3:
            self._group(rest[0], rest[1], rest[2:])
        elif kind == "quorum" and len(rest) == 1 and not self.decided:
            if rest[0] != "none" and rest[0] not in self._names():
                raise PolicyFileError("the quorum is no witness or group of a line before")
            self.quorum, self.decided = None if rest[0] == "none" else rest[0], True
        else:
            raise PolicyFileError("is not a log, witness, group or quorum line, or is a second quorum")

    def _names(self) -> set[str]:
        return {w.name for w in self.witnesses} | set(self.groups)

    def _new_name(self, name: str) -> None:
        if name == "none" or name in self._names() or len(self._names()) >= MAX_NAMES:
            raise PolicyFileError("the name is taken, or there are too many")

    def _new_key(self, key: VerifierKey, others: list[VerifierKey]) -> None:
        if any(key.public_key == other.public_key for other in others):
            raise PolicyFileError("the key stands there twice")
        if others is self.logs:
            self.logs.append(key)

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        self._new_name(name)
        if set(members) - self._names() or len(set(members)) < len(members) or self._members & set(members):
            raise PolicyFileError("a member is unknown, or counted twice")
        least = {"all": len(members), "any": 1}.get(threshold)
        if least is None:
            if not _NUMBER.fullmatch(threshold) or int(threshold) > len(members):
                raise PolicyFileError("the threshold is not all, any, or a number up to the members")
            least = int(threshold)
        self._members |= set(members)
        self.groups[name] = (least, tuple(members))


def public_policy(vkey: str, policy: Policy) -> str:
    """The policy as others check with it: this log, and the policy's own lines but for logs and the witnesses' addresses."""
    lines = [f"log {vkey}"]
    for raw in policy.text.split("\n"):
        words = raw.split()
        if words[:1] == ["witness"]:
            lines.append(" ".join(words[:3]))
        elif words[:1] in (["group"], ["quorum"]):
            lines.append(" ".join(words))
    if not policy.text:
        lines.append("quorum none")
    return "\n".join(lines) + "\n"
