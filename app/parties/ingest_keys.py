"""Write-only keys of platforms: an outside system sends its records to an address that has one in it.

Such a system often cannot send a header. So the key can do nothing but add records for one platform in one format: it reads
nothing, and what it sends is taken for no more than its notice says.
"""

import os
from datetime import datetime
from hashlib import sha256

from sqlmodel import Session, select

from app.crypto.keyring import KeyRing
from app.crypto.sealing import Sealer
from app.kit.db import for_update
from app.kit.errors import NotFound
from app.kit.ids import is_id, new_id
from app.log import service as log
from app.parties.claims import encode_secret
from app.parties.models import IngestKey
from app.parties.service import known_platform

UNKNOWN = "Copy the whole address again, or make a new key with `python -m app platforms ingest-key add`."


def add(
    session: Session, platform_id: str, format_: str, consent: str | None, *, now: datetime
) -> tuple[IngestKey, str]:
    """A new key and its secret (160 bits, shown once). `consent` is the API's `consent` object as JSON, or None.

    Raises NotFound (not_found) where there is no such platform.
    """
    platform = known_platform(session, platform_id)
    secret = "ing_" + encode_secret(os.urandom(20))
    key = IngestKey(
        id=new_id("ingest_key"), platform_id=platform.id, format=format_, consent=consent, created_at=now,
        secret_sha256=sha256(secret.encode()).hexdigest(),
    )  # fmt: skip
    session.add(key)
    body = {"platform": platform.name, "key": key.id, "format": format_}
    log.append(session, [log.institutional("admin.ingest-key-added", platform.id, body, now)], now)
    return key, secret


def set_secret(session: Session, keys: KeyRing, key_id: str, secret: str, *, now: datetime) -> IngestKey:
    """The secret that what is sent with the key must prove to know; takes the place of another. Raises NotFound."""
    key = _locked(session, key_id)
    key.signing = _sealer(keys, key).seal(secret.encode(), key.id.encode())
    session.add(key)
    log.append(session, [log.institutional("admin.ingest-key-secret-set", key.platform_id, {"key": key.id}, now)], now)
    return key


def secret_of(keys: KeyRing, key: IngestKey) -> str | None:
    """That secret, None where there is none."""
    return None if key.signing is None else _sealer(keys, key).open(bytes(key.signing), key.id.encode()).decode()


def _sealer(keys: KeyRing, key: IngestKey) -> Sealer:
    return Sealer(keys.derive(f"webhook/{key.platform_id}"))


def _locked(session: Session, key_id: str) -> IngestKey:
    query = select(IngestKey).where(IngestKey.id == key_id)
    key = session.exec(for_update(query, session)).first() if is_id("ingest_key", key_id) else None
    if key is None:
        raise NotFound("ingest_key_unknown", "Name the key by its id, igk_…; `ingest-key list` shows them.")
    return key


def revoke(session: Session, key_id: str, *, now: datetime) -> IngestKey:
    """Nothing more is taken with the key; what came with it stays. Twice is once. Raises NotFound (ingest_key_unknown)."""
    key = _locked(session, key_id)
    if key.revoked_at is None:
        key.revoked_at = now
        session.add(key)
        log.append(session, [log.institutional("admin.ingest-key-revoked", key.platform_id, {"key": key.id}, now)], now)
    return key


def listed(session: Session, platform_id: str) -> list[IngestKey]:
    """A platform's keys in the order they were made, revoked ones too."""
    known_platform(session, platform_id)
    return list(session.exec(select(IngestKey).where(IngestKey.platform_id == platform_id).order_by(IngestKey.id)))


def find(session: Session, format_: str, secret: str) -> IngestKey:
    """The key of that secret. Raises NotFound (ingest_key_unknown), the same for a revoked one and one of another format."""
    key = None
    if secret.startswith("ing_") and len(secret) == 36 and secret.isascii():
        digest = sha256(secret.encode()).hexdigest()
        key = session.exec(select(IngestKey).where(IngestKey.secret_sha256 == digest)).first()
    if key is None or key.revoked_at is not None or key.format != format_:
        raise unknown()
    return key


def unknown() -> NotFound:
    """Nothing is taken with that key."""
    return NotFound("ingest_key_unknown", UNKNOWN)
