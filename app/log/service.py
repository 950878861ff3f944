"""Sequencing: a leaf gets its index in the transaction of the act, as that transaction's last lock."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.core.canonical import b64u, canonical
from app.core.merkle import MAX_LEAF_BYTES, leaf_hash
from app.crypto.commitment import commit
from app.crypto.sealing import Sealer
from app.kit import journal
from app.kit.bulk import Direct, arrays, casts, unnest
from app.kit.clock import micros, rfc3339
from app.kit.db import write
from app.kit.errors import Invalid
from app.kit.ids import random_id
from app.log.guard import refusal
from app.log.models import LogEntry, LogHead

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_HEAD = LogHead.__table__  # type: ignore[attr-defined]
_COLUMNS = ("type", "subject", "at", "leaf", "sealed")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf ready to be sequenced. `sealed` is the opening of a personal act, None for an institutional one."""

    type: str
    subject: str
    data: bytes
    sealed: bytes | None


def personal(
    act_type: str, subject: str, body: dict[str, Any], sealer: Sealer, now: datetime, random: Callable[[int], bytes] = os.urandom
) -> Leaf:
    """The leaf of a person's act: a salted commitment, an id that tells nothing, and the day.

    `body` joins the committed payload; the payload and its salt are sealed under the contributor's data key.
    """
    act = random_id("act", random)
    at = rfc3339(now)
    payload = canonical({"v": 1, "type": act_type, "act": act, "at": at, **body})
    salt = random(32)
    # The canonical form of {v, type, id, day, commitment}, whose values hold no character that JSON would escape.
    leaf = f'{{"commitment":"{b64u(commit(salt, payload))}","day":"{at[:10]}","id":"{act}","type":"act","v":1}}'.encode()
    return Leaf(act_type, subject, leaf, sealer.seal(salt + payload, act.encode(), random))


def opening_place(leaf: bytes) -> bytes:
    """Where the sealed opening of a personal leaf belongs: its act's id."""
    return str(json.loads(leaf)["id"]).encode()


def institutional(act_type: str, subject: str, body: dict[str, Any], now: datetime) -> Leaf:
    """The leaf of an organisation's act, in the open. Raises Invalid (leaf_too_long) from 4 KB on."""
    data = canonical({"v": 1, "type": act_type, "id": subject, "at": rfc3339(now), **body})
    if len(data) > MAX_LEAF_BYTES:  # a personal leaf is of one length, far below
        raise Invalid("leaf_too_long", "Ask for fewer things at once: what goes into the public log must stay under 4 KB.")
    return Leaf(act_type, subject, data, None)


def append(connection: sa.Connection | Session | Direct, leaves: Sequence[Leaf], now: datetime) -> int:
    """Sequence `leaves`; give the index of the first. The caller does nothing but commit after this."""
    return append_later(Direct.under(connection), leaves, now)()


def append_narrowing(session: Session, leaf: Leaf, act: str, kind: str, now: datetime, **of: Any) -> int:
    """`append` one leaf of an act that narrows, and note the act for the journal: `kind` and what it is `of`, in ids alone.

    The line is written when the caller's transaction commits. What it holds must suffice to do the act again.
    """
    index = append(session, [leaf], now)
    print_ = b64u(leaf_hash(leaf.data))
    journal.note(session, {"v": 1, "seq": index, "leaf": print_, "act": act, "kind": kind, "at": rfc3339(now), **of})
    return index


def append_later(direct: Direct, leaves: Sequence[Leaf], now: datetime) -> Callable[[], int]:
    """`append` whose answer is waited for only when it is asked for: in a pipeline, after the commit was sent too."""
    at = micros(now)
    rows = [(leaf.type, leaf.subject, at, leaf.data, leaf.sealed) for leaf in leaves]
    if direct.sqlite:
        try:
            [(size,)] = direct.run("UPDATE log_head SET size = size + ? WHERE id = 1 RETURNING size", (len(rows),)).fetchall()
        except Exception as error:
            raise (refusal(error) or error) from None
        first = int(size) - len(rows)
        direct.insert(_ENTRY, ("log_index", *_COLUMNS), [(first + i, *row) for i, row in enumerate(rows)])
        return lambda: first
    try:
        cursor = direct.driver.execute(_sequence(len(rows) == 1), (len(rows), len(rows), *(rows[0] if len(rows) == 1 else arrays(rows))))
    except Exception as error:
        raise (refusal(error) or error) from None
    return lambda: int(cursor.fetchone()[0])


@lru_cache
def _sequence(one: bool) -> str:
    """Head and entries in one statement: the lock on the head is held for no round trip but the commit's."""
    names = ",".join(_COLUMNS)
    given = f"SELECT {casts(_ENTRY, _COLUMNS)}, 1" if one else f"SELECT * FROM {unnest(_ENTRY, _COLUMNS)} WITH ORDINALITY"  # noqa: S608
    return (
        "WITH head AS (UPDATE log_head SET size = size + %s WHERE id = 1 RETURNING size - %s AS first), "  # noqa: S608
        f"given ({names}, place) AS ({given}), "
        "entry AS (INSERT INTO log_entry (log_index, "
        f"{names}) SELECT first + place - 1, {names} FROM head, given) "
        "SELECT first FROM head"
    )


def lock_head(session: Session) -> int:
    """Take the head lock and give the log's size: nothing is sequenced by others until this transaction ends."""
    session.flush()
    return int(
        session.connection().execute(sa.update(_HEAD).where(_HEAD.c.id == 1).values(size=_HEAD.c.size).returning(_HEAD.c.size)).scalar_one()
    )


def await_head(engine: sa.Engine) -> None:
    """Come back once everybody who holds the head lock now has committed or given up. Holds nothing afterwards."""
    with write(engine) as session:
        lock_head(session)


def size(session: Session) -> int:
    """How many leaves are sequenced and committed."""
    return int(session.connection().execute(sa.select(_HEAD.c.size)).scalar_one())


def bucket(count: int) -> str:
    """A count as the public log tells it: `0`, `1-9`, `10-99`, `100-999`, …"""
    if count == 0:
        return "0"
    low = 10 ** (len(str(count)) - 1)
    return f"{low}-{low * 10 - 1}"
