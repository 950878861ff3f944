"""Contributors: pairwise pseudonyms and their data keys. The record path resolves many at once."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.crypto.commitment import rid_key
from app.crypto.keyring import KeyRing, keyed_hash
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.kit.bulk import Direct
from app.kit.clock import micros
from app.kit.db import is_sqlite
from app.parties.models import Contributor, DataKey

_CONTRIBUTOR = Contributor.__table__  # type: ignore[attr-defined]
_KEY = DataKey.__table__  # type: ignore[attr-defined]
_MEET = (
    "SELECT c.pseudonym, c.id, k.epoch, k.wrapped, k.rid_sealed FROM contributor c JOIN data_key k ON k.contributor_id = c.id "
    "WHERE c.platform_id = ? AND c.pseudonym IN (*)"
)
# Held until the record is committed: an erasure or a change of key waits for it, and what it sealed is seen by them.
_HELD = " FOR KEY SHARE OF k"
_KEYS = "SELECT contributor_id, epoch, wrapped, rid_sealed FROM data_key WHERE contributor_id IN (*)"
_REFUSED = "SELECT pseudonym FROM contributor WHERE platform_id = ? AND refused_at IS NOT NULL AND pseudonym IN (*)"
_COLUMNS = ("id", "platform_id", "pseudonym", "created_at")


@dataclass(frozen=True, slots=True)
class Person:
    """A contributor with the key their work is sealed under."""

    id: str
    rid_key: bytes
    """From it follow the record ids of what they gave."""
    sealer: Sealer


def pseudonym(keys: KeyRing, platform: str, ref: str) -> bytes:
    """What a platform's own id for a person becomes: differs from platform to platform, and is all that is kept."""
    return keyed_hash(keys.derive(f"pseudonym/{platform}"), ref)


def meet(
    direct: Direct, keys: KeyRing, named: Iterable[tuple[str, bytes]]
) -> Callable[[], dict[tuple[str, bytes], Person]]:
    """Ask for the contributors with these (platform, pseudonym); call what this gives for those there are, keys opened."""
    by_platform: dict[str, list[bytes]] = {}
    for platform, name in named:
        by_platform.setdefault(platform, []).append(name)
    asked = [
        (platform, direct.run_among(_MEET if direct.sqlite else _MEET + _HELD, (platform,), names[start : start + 5000]))
        for platform, names in by_platform.items()
        for start in range(0, len(names), 5000)
    ]

    def answer() -> dict[tuple[str, bytes], Person]:
        people = {}
        for platform, rows in asked:
            for name, contributor, epoch, wrapped, rid_sealed in rows.fetchall():
                people[platform, name] = _open(keys, contributor, epoch, wrapped, rid_sealed)
        return people

    return answer


def _open(keys: KeyRing, contributor: str, epoch: int, wrapped: bytes, rid_sealed: bytes | None) -> Person:
    data_key, sealer = keys.sealer(contributor, epoch, wrapped)
    kept = rid_key(data_key) if rid_sealed is None else sealer.open(bytes(rid_sealed), rid_place(contributor))
    return Person(contributor, kept, sealer)


def rid_place(contributor: str) -> bytes:
    """Where a sealed rid key belongs."""
    return b"rid-key\x00" + contributor.encode()


def refused(direct: Direct, named: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Those of these (platform, pseudonym) who were erased and asked not to be recorded again."""
    return {
        (platform, bytes(found))
        for platform, name in named
        for (found,) in direct.run_among(_REFUSED, (platform,), [name]).fetchall()
    }


def create(
    direct: Direct, keys: KeyRing, strangers: dict[str, tuple[str, bytes | None]], now: datetime, *,
    careful: bool, random: Callable[[int], bytes] = os.urandom,
) -> dict[str, Person] | None:  # fmt: skip
    """Make contributors (id -> platform and pseudonym; None for one record only) with fresh data keys.

    Where another process named one of the same people first: None if `careful`, else the driver's IntegrityError. Begin
    the transaction again and `meet` them.
    """
    if not strangers:
        return {}
    at = micros(now)
    rows = [(contributor, platform, name, at) for contributor, (platform, name) in strangers.items()]
    if not careful:
        direct.insert(_CONTRIBUTOR, _COLUMNS, rows)
    elif len(direct.insert_new(_CONTRIBUTOR, _COLUMNS, rows, "id")) < len(rows):
        return None
    people = {}
    wrapped = []
    for contributor in strangers:
        data_key = new_key(random)
        epoch, sealed = keys.wrap(contributor, data_key, random)
        wrapped.append((contributor, epoch, sealed))
        people[contributor] = Person(contributor, rid_key(data_key), Sealer(data_key))
    direct.insert(_KEY, ("contributor_id", "epoch", "wrapped"), wrapped)
    return people


def load(connection: sa.Connection, keys: KeyRing, ids: Iterable[str]) -> dict[str, Person]:
    """The people with these ids whose data keys still exist."""
    ids = list(ids)
    people = {}
    direct = Direct.under(connection)
    for start in range(0, len(ids), 5000):
        for contributor, epoch, wrapped, rid_sealed in direct.run_among(_KEYS, (), ids[start : start + 5000]).fetchall():
            with suppress(CannotOpen):  # a key whose epoch is destroyed is as good as none
                people[contributor] = _open(keys, contributor, epoch, wrapped, rid_sealed)
    return people


def hold(session: Session, keys: KeyRing, contributor: str, *, exclusive: bool = False) -> Person | None:
    """The person with their key row locked until the transaction ends, before their contributions: nobody erases them or
    changes their key meanwhile (or with `exclusive` seals anything under it). None where the key is gone.

    Where the key is there and cannot be opened (a restored database, its epoch destroyed) they can still take back what they
    gave: what they seal is then sealed to nobody.
    """
    query: Any = sa.select(_KEY).where(_KEY.c.contributor_id == contributor)
    if not is_sqlite(session):
        query = query.with_for_update() if exclusive else query.with_for_update(read=True, key_share=True)
    row = session.execute(query).first()
    if row is None:
        return None
    try:
        return _open(keys, contributor, row.epoch, bytes(row.wrapped), row.rid_sealed)
    except CannotOpen:
        return Person(contributor, new_key(), Sealer(new_key()))


def give_key(session: Session, keys: KeyRing, contributor: str, key: bytes, rid: bytes | None) -> None:
    """Replace a person's data key; `rid` is their rid key where it is to be kept, else it follows from the new key. The caller
    holds the key's row, and has sealed anew what is to be read."""
    sealer = Sealer(key)
    epoch, wrapped = keys.wrap(contributor, key)
    kept = None if rid is None else sealer.seal(rid, rid_place(contributor))
    row = sa.update(_KEY).where(_KEY.c.contributor_id == contributor)
    session.execute(row.values(epoch=epoch, wrapped=wrapped, rid_sealed=kept))


def find(connection: sa.Connection, named: Iterable[tuple[str, bytes]]) -> dict[tuple[str, bytes], str]:
    """Ids of the contributors with these (platform, pseudonym), where there are any."""
    by_platform: dict[str, list[bytes]] = {}
    for platform, name in named:
        by_platform.setdefault(platform, []).append(name)
    found: dict[tuple[str, bytes], str] = {}
    for platform, names in by_platform.items():
        for start in range(0, len(names), 5000):
            rows = connection.execute(
                sa.select(_CONTRIBUTOR.c.id, _CONTRIBUTOR.c.pseudonym).where(
                    _CONTRIBUTOR.c.platform_id == platform, _CONTRIBUTOR.c.pseudonym.in_(names[start : start + 5000]),
                    _CONTRIBUTOR.c.refused_at.is_(None),
                )
            )
            found.update({(platform, bytes(name)): contributor for contributor, name in rows})
    return found
