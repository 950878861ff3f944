"""HMAC-SHA256 (RFC 2104) for short messages, without giving up the interpreter lock.

`hmac.digest` releases the lock around each call. For the few dozen bytes that are authenticated here the hash takes half
a microsecond, but in a thread beside a busy event loop the way back can take a thousand times as long.
"""

from hashlib import sha256

_BLOCK = 64
_INNER = bytes(x ^ 0x36 for x in range(256))
_OUTER = bytes(x ^ 0x5C for x in range(256))


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """32 bytes, equal to `hmac.digest(key, message, "sha256")`."""
    if len(key) > _BLOCK:
        key = sha256(key).digest()
    key = key.ljust(_BLOCK, b"\x00")
    return sha256(key.translate(_OUTER) + sha256(key.translate(_INNER) + message).digest()).digest()
