"""Who else saw a checkpoint: cosignatures (C2SP tlog-cosignature, Ed25519) and the policy that says how many count (tlog-policy)."""

import base64
import re
from dataclasses import dataclass, field

from sayso import proofs
from sayso.proofs import Failed, sha256

COSIGNER = 4
"""The type byte in a witness's key; a log's own is 1."""


@dataclass
class Policy:
    """`logs` are vkeys; `witnesses` name -> (key name, key id, public key); `groups` name -> (threshold, members), in order."""

    logs: list[str] = field(default_factory=list)
    witnesses: dict[str, tuple[str, bytes, bytes]] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: str = ""

    def check(self, note: str) -> list[tuple[str, int]]:
        """(witness, POSIX time) of each cosignature on a checkpoint, once they make the quorum."""
        text, lines = proofs.signed_note(note)
        seen: dict[str, int] = {}
        for name, (key_name, key_id, public) in self.witnesses.items():
            for line_name, line_id, blob in lines:
                if (line_name, line_id) == (key_name, key_id):
                    seen[name] = open_cosignature(text, blob, public, name)
        there = set(seen)
        for name, (threshold, members) in self.groups.items():  # members stand before their group
            if sum(member in there for member in members) >= threshold:
                there.add(name)
        if self.quorum != "none" and self.quorum not in there:
            raise Failed(f"{len(seen)} of {len(self.witnesses)} witnesses cosigned, too few for quorum {self.quorum}")
        return sorted(seen.items())


def message(text: str, time: int) -> bytes:
    """What a witness signs."""
    return f"cosignature/v1\ntime {time}\n{text}".encode(errors="replace")


def open_cosignature(text: str, blob: bytes, public: bytes, who: str) -> int:
    """The time in a cosignature over this checkpoint text."""
    time = int.from_bytes(blob[:8])
    if len(blob) != 72 or time >= 2**63:
        raise Failed(f"the cosignature of {who} is not of its form")
    proofs.verify_ed25519(public, blob[8:], message(text, time), f"the cosignature of {who}")
    return time


def cosigner_vkey(name: str, public: bytes) -> str:
    """A witness's key as text."""
    raw = bytes([COSIGNER]) + public
    key_id = sha256(name.encode() + b"\n" + raw)[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(raw).decode()}"


def parse_policy(text: str) -> Policy:
    """A tlog-policy file."""
    policy = Policy()
    counted: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.strip(" \t").split()
        if not words or words[0].startswith("#"):
            continue
        names = policy.witnesses.keys() | policy.groups.keys()
        kind, rest = words[0], words[1:]
        if kind == "log" and len(rest) in (1, 2):
            proofs.parse_vkey(rest[0])
            policy.logs.append(rest[0])
        elif kind == "witness" and len(rest) in (2, 3) and rest[0] not in names | {"none"}:
            key = proofs.parse_vkey(rest[1], COSIGNER)
            if key[2] in [other[2] for other in policy.witnesses.values()]:
                raise Failed(f"line {number} of the policy has the key of another witness")
            policy.witnesses[rest[0]] = key
        elif kind == "group" and len(rest) >= 3 and rest[0] not in names | {"none"} and set(rest[2:]) <= names - counted:
            members = rest[2:]
            number_of = {"all": str(len(members)), "any": "1"}.get(rest[1], rest[1])
            if not re.fullmatch("[1-9][0-9]{0,3}", number_of) or not int(number_of) <= len(set(members)) == len(members):
                raise Failed(f"line {number} of the policy has a group that cannot be")
            counted |= set(members)
            policy.groups[rest[0]] = (int(number_of), members)
        elif kind == "quorum" and len(rest) == 1 and not policy.quorum and rest[0] in names | {"none"}:
            policy.quorum = rest[0]
        else:
            raise Failed(f"line {number} of the policy is not of its form")
    if not policy.quorum:
        raise Failed("the policy has no quorum line")
    return policy


def decode(data: bytes) -> str:
    """A policy or a checkpoint as text."""
    try:
        return data.decode()
    except UnicodeError as error:
        raise Failed("the file is not UTF-8") from error
