"""Salted commitments of personal acts, and the seeds of record ids. HMAC-SHA256 and SHA-256 only."""

from hashlib import sha256

from app.crypto.mac import hmac_sha256

_ACT = b"sayso/act/v1\x00"
_RID = b"sayso/rid/v1"
_PAYEE = b"sayso/payee/v1\x00"
_SEED = b"sayso/rid-seed/v1\x00"
_RID_KEY = b"sayso/rid-key/v1"


def commit(salt: bytes, payload: bytes) -> bytes:
    """32 bytes that bind `payload` and, once `salt` (32 fresh bytes) is gone, confirm no guess of it."""
    return hmac_sha256(salt, _ACT + sha256(payload).digest())


def rid_key(data_key: bytes) -> bytes:
    """The 32 bytes from which a contributor's rid seeds follow. Kept where the data key is replaced, and tells nothing of it."""
    return hmac_sha256(data_key, _RID_KEY)


def rid_seed(rid_key: bytes, contribution: str) -> bytes:
    """The 32-byte secret from which a contribution's record ids follow; dies with the contributor's keys."""
    return hmac_sha256(rid_key, _SEED + contribution.encode())


def record_id(agreement: str, seed: bytes) -> bytes:
    """The 32-byte id of a contribution under one agreement."""
    return sha256(_RID + agreement.encode() + seed).digest()


def payee(agreement: str, seed: bytes) -> bytes:
    """The 32 bytes by which a person who is owed something is known under one agreement: told apart from every record id, and from
    the pseudonym that may join a person's rows."""
    return sha256(_PAYEE + agreement.encode() + seed).digest()
