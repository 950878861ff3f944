"""One byte form for every signed or hashed JSON value: RFC 8785 under a strict profile.

The profile refuses whatever two JSON libraries may write differently: floats, integers beyond 2^53-1, keys beyond
ASCII (their sort order is UTF-16 in RFC 8785 and UTF-8 elsewhere), lone surrogates, nesting beyond 64. Inside it,
orjson's sorted output equals RFC 8785 byte for byte, which the tests hold against the `rfc8785` package.
A contributor's own payload never passes through here: its exact octets are kept instead.
"""

import base64
import binascii
import hashlib
import re
from typing import Any

import orjson

MAX_SAFE_INTEGER = 2**53 - 1
MAX_DEPTH = 64

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_B64U = re.compile(r"[A-Za-z0-9_-]*\Z")


class NotCanonical(ValueError):
    """The value has no canonical bytes; the message names what was refused, never the value itself."""


class TooDeep(NotCanonical):
    """Nested deeper than `MAX_DEPTH` containers."""


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value made of dict, list or tuple, str, int, bool and None.

    Raises:
        NotCanonical: for a float, an integer beyond 2^53-1 either way, a key that is not an ASCII str, a lone
            surrogate, nesting deeper than 64 containers, or any other Python type (subclasses included).
    """
    level = [value]
    depth = 0
    while level:  # breadth first, so that a hostile depth costs no Python stack
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or item is None or kind is bool:
                continue
            if kind is dict:
                for key in item:
                    if type(key) is not str or not key.isascii():
                        raise NotCanonical("object keys must be ASCII strings")
                below += [v for v in item.values() if type(v) is not str]
            elif kind is list or kind is tuple:
                below.extend(item)
            elif kind is int:
                if not -MAX_SAFE_INTEGER <= item <= MAX_SAFE_INTEGER:
                    raise NotCanonical("integer beyond 2^53-1")
                continue
            elif kind is float:
                raise NotCanonical("floats are not allowed; write the number as a string")
            else:
                raise NotCanonical(f"{kind.__name__} is not a JSON type")
            if depth >= MAX_DEPTH:
                raise TooDeep(f"nested deeper than {MAX_DEPTH}")
        level = below
        depth += 1
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise NotCanonical("text is not valid Unicode (lone surrogate)") from error


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hex digits, the form of every digest inside JSON."""
    return hashlib.sha256(data).hexdigest()


def b64u(data: bytes) -> str:
    """base64url without padding (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Bytes of an unpadded base64url text; exactly one text is accepted for each byte string.

    Raises:
        ValueError: for padding, characters outside the alphabet, an impossible length, or trailing bits
            that are not zero.
    """
    if not isinstance(text, str) or not _B64U.match(text):
        raise ValueError("not unpadded base64url")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not unpadded base64url") from error
    if b64u(data) != text:
        raise ValueError("base64url with non-zero trailing bits")
    return data
