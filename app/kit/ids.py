"""Prefixed opaque ids: a prefix, `_`, and 26 characters of Crockford base32 over 16 bytes.

Row ids are UUIDv7 (RFC 9562 section 5.7), so that primary keys arrive in index order; ids that stand in the public
log are random, because a time-ordered one would tell the time of a personal act.
"""

import os
import re
import time
from collections.abc import Callable

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_VALUES = {c: i for i, c in enumerate(_ALPHABET)}
_FREE = (1 << 80) - 1 & ~(0xF << 76 | 0x3 << 62)
_VERSION_7 = 0x7 << 76 | 0x2 << 62
_BODY = re.compile(r"[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}\Z")

PREFIXES = {
    "platform": "plt", "contributor": "ctb", "contribution": "con", "consent": "cns", "intent": "cit", "lab": "lab",
    "request": "req", "offer": "off", "agreement": "agr", "release": "rel", "delivery": "dlv", "revocation": "rvk",
    "recall": "rcl", "erasure": "ers", "receipt": "rcp", "act": "act", "admin": "adm", "ingest_key": "igk",
    "refused_line": "rfl", "collective": "col", "member": "mem", "mandate": "mdt", "proposal": "prp", "ballot": "blt",
    "minority_report": "mrp", "event": "sev", "lab_application": "lap", "report": "rpt", "line": "cpl", "dispute": "dsp",
    "objection": "obj", "platform_event": "pev", "campaign": "cmp", "pledge": "pld", "passkey": "pky", "site_key": "stk",
    "statement": "stm", "comment": "cmt", "answer": "ans", "moderation": "mdr", "amendment": "amd", "closure_note": "cln", "appeal": "apl",
    "call": "cal",
    "reply": "rpy",
}  # fmt: skip


def encode(raw: bytes) -> str:
    """26 characters for 16 bytes, order preserving."""
    n = int.from_bytes(raw, "big")
    return "".join([PAIRS[(n >> shift) & 1023] for shift in range(120, -1, -10)])


def decode(body: str) -> bytes:
    """The inverse of `encode`. Raises ValueError on anything `encode` does not produce."""
    if not _BODY.match(body):
        raise ValueError("not an id")
    n = 0
    for c in body:
        n = n << 5 | _VALUES[c]
    return n.to_bytes(16, "big")


def uuid7(random: Callable[[int], bytes] = os.urandom) -> bytes:
    """16 bytes, time-ordered to the millisecond, 74 random bits (RFC 9562 section 5.7)."""
    # The clock here orders keys and decides nothing, so it is the machine's own and not the one passed in.
    n = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(random(10), "big") & _FREE | _VERSION_7
    return n.to_bytes(16, "big")


def new_id(kind: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh time-ordered id for a row of `kind`."""
    return PREFIXES[kind] + "_" + encode(uuid7(random))


def random_id(kind: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """A fresh id that tells nothing of when it was made."""
    return PREFIXES[kind] + "_" + encode(random(16))


def is_id(kind: str, value: str) -> bool:
    """Whether `value` has the form of an id of `kind`."""
    prefix, _, body = value.partition("_")
    return prefix == PREFIXES[kind] and _BODY.match(body) is not None
