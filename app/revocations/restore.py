"""`python -m app restore`: bring a database that was set back to where the second place says, before anything is released.

The log goes on where it was signed: leaves that the backup does not have are taken over from the second place, so that no index
is given twice and every checkpoint and receipt ever handed out stays good. What those acts did is lost, and is said so in the
log. Narrowing acts among them, and after them, are done again; files of releases that the database does not know are deleted, and
those of releases that go on are made anew.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import sqlalchemy as sa
from sqlmodel import Session

from app.consents.models import PlatformDefault
from app.contributions.models import Contribution, ContributionModel, ContributionPayload
from app.core import merkle
from app.core.note import NoteError, open_checkpoint, parse_vkey
from app.crypto.keyring import verify_ed25519
from app.crypto.sealing import new_key
from app.kit.db import insert_or_ignore, read, write
from app.kit.ids import random_id
from app.kit.locks import exclusive
from app.kit.runtime import Runtime
from app.log import guard
from app.log import service as log
from app.log.models import LOST, Checkpoint, LogEntry, LogHead
from app.log.proofs import verifier_key
from app.parties import contributors
from app.parties.models import DataKey
from app.releases.models import Release
from app.releases.rebuilding import rebuild_missing
from app.releases.resuming import select_anew
from app.revocations import replay, striking
from app.revocations.erasure import ERASED

_HEAD = LogHead.__table__  # type: ignore[attr-defined]
_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_C = Contribution.__table__  # type: ignore[attr-defined]
_PAYLOAD = ContributionPayload.__table__  # type: ignore[attr-defined]
_KEY = DataKey.__table__  # type: ignore[attr-defined]
_CHUNK = 5_000


class CannotRestore(Exception):
    """The text says what is missing or does not fit."""


@dataclass
class Restored:
    """What a restore did."""

    size: int
    """The log's size in the backup."""
    adopted: int = 0
    """Leaves taken over from the second place."""
    lost: Counter[str] = field(default_factory=Counter)
    """Their types; `act` stands for people's."""
    campaigns: int = 0
    """Campaigns that were ended: which of their pledges still stood, nobody knows."""
    done: int = 0
    """Narrowing acts done again."""
    unreadable: int = 0
    """People whose key was under an epoch that is destroyed: nothing of theirs in this backup opens any more."""
    files: int = 0
    """Files of releases that the database does not know."""
    made: int = 0
    """Shards that were made anew: a backup holds none."""
    closed: int = 0
    """Shards that did not come out as they were: their holders need a new cut."""


def restore(runtime: Runtime, now: datetime) -> Restored:
    """Do it all. Killed at any point, it can be run again; the service does what is left at its start. Raises CannotRestore."""
    with exclusive(runtime.engine, "restore"):
        found = _adopt(runtime, now)
        found.unreadable = _give_up_what_cannot_be_opened(runtime)
        with write(runtime.engine) as session:
            select_anew(session)
        found.done = replay.finish(runtime)
        found.files = _delete_unknown(runtime)
        found.made, found.closed = rebuild_missing(runtime)
        return found


def _adopt(runtime: Runtime, now: datetime) -> Restored:
    journal = runtime.journal
    signed = journal.checkpoint()  # before the leaves are counted: a process that still serves may sign for more of them meanwhile
    kept = journal.kept()
    lines = journal.lines()
    if not kept and not lines:
        raise CannotRestore("The narrowing journal is empty. Set SAYSO_JOURNAL_DIR to the one that belonged to this database.")
    with read(runtime.engine) as session:
        head = session.execute(sa.select(_HEAD)).one()
        if head.journal not in (None, journal.identity):
            raise CannotRestore("This narrowing journal belongs to another database.")
        _compare(session, journal.leaves())
        late = guard.behind(session, head.size, lines, kept)
    note = _checkpoint(runtime, signed, kept)
    found = Restored(head.size)
    if head.frozen_at is None and head.journal is not None and not late:
        return found  # nothing was set back
    with write(runtime.engine) as session:
        opened = {"frozen_at": None, "journal": journal.identity, "size": max(kept, head.size)}
        session.execute(sa.update(_HEAD).values(**opened))
        # A default that was taken away since must not come back by itself: platforms set theirs again.
        session.execute(sa.delete(PlatformDefault))
        leaves = journal.leaves(head.size)
        index, over = head.size, set()
        while some := list(islice(leaves, _CHUNK)):
            session.execute(sa.insert(_ENTRY), [_entry(index + n, leaf, now) for n, leaf in enumerate(some)])
            parsed = [json.loads(leaf) for leaf in some]
            found.lost.update(str(leaf["type"]) for leaf in parsed)
            over |= {leaf["id"] for leaf in parsed if leaf["type"] in striking.ENDS}
            index += len(some)
        found.adopted = index - head.size
        if note is not None:
            at, text = note
            insert_or_ignore(session, Checkpoint.__table__, {"size": at, "note": text, "published_at": now})  # type: ignore[attr-defined]
        body = {"from": head.size, "to": max(kept, head.size), "lost": {k: log.bucket(n) for k, n in sorted(found.lost.items())}}
        act = random_id("admin")
        # With a line of its own: from here on the lines before it say nothing about how far the log must be.
        log.append_narrowing(session, log.institutional("admin.restored", act, body, now), act, guard.RESTORED, now)
        # To pledge, and to take a pledge back, narrows nothing and is in no line: what stood is not known, and nobody acts by what may not.
        found.campaigns = striking.end_all(session, runtime, over, now)
    return found


def _entry(index: int, leaf: bytes, now: datetime) -> dict[str, object]:
    personal = json.loads(leaf)["type"] == "act"
    return {"log_index": index, "type": LOST, "subject": "", "at": now, "leaf": leaf, "sealed": ERASED if personal else None}


def _compare(session: Session, kept: Iterator[bytes]) -> None:
    """The database's leaves and the second place's must be the same, as far as both go."""
    rows = session.connection().execution_options(yield_per=_CHUNK).execute(sa.select(_ENTRY.c.leaf).order_by(_ENTRY.c.log_index))
    if any(bytes(row.leaf) != other for row, other in zip(rows, kept, strict=False)):
        raise CannotRestore("The database holds other leaves than its second place: it is not an earlier state of this log.")


def _checkpoint(runtime: Runtime, text: str | None, kept: int) -> tuple[int, str] | None:
    """The last signed checkpoint with its size, which the kept leaves must give. Raises CannotRestore."""
    if text is None:
        return None
    try:
        value = open_checkpoint(text, parse_vkey(verifier_key(runtime)), verify_ed25519)
    except NoteError:
        raise CannotRestore("The last checkpoint is not signed by the log's key that is here; put back the right keys.") from None
    if value.size > kept:
        raise CannotRestore("The second place has fewer leaves than were signed.")
    tiles: dict[merkle.Tile, bytes] = {}
    size = 0
    leaves = islice(runtime.journal.leaves(), value.size)
    while some := [merkle.leaf_hash(leaf) for leaf in islice(leaves, 20_000)]:
        tiles.update(merkle.extend(size, some, lambda *tile: tiles[tile]))
        size += len(some)
    if merkle.tree_root(value.size, lambda *tile: tiles[tile]) != value.root:
        raise CannotRestore("The leaves of the second place do not give the root that was signed.")
    return value.size, text


def _give_up_what_cannot_be_opened(runtime: Runtime) -> int:
    """People whose data key is under a destroyed epoch get a fresh one, and what was sealed under the old is marked as erased."""
    present = runtime.keys.refresh()
    with read(runtime.engine) as session:
        lost = session.execute(sa.select(_KEY.c.contributor_id).where(_KEY.c.epoch.not_in(present))).scalars().all()
    for contributor in lost:
        with write(runtime.engine) as session:
            theirs = sa.select(_C.c.id).where(_C.c.contributor_id == contributor)
            session.execute(sa.delete(_PAYLOAD).where(_PAYLOAD.c.contribution_id.in_(theirs)))
            session.execute(sa.delete(ContributionModel).where(ContributionModel.contribution_id.in_(theirs)))  # type: ignore[attr-defined]
            session.execute(sa.update(_ENTRY).where(_ENTRY.c.subject.in_(theirs), _ENTRY.c.sealed.is_not(None)).values(sealed=ERASED))
            session.execute(sa.update(_C).where(_C.c.contributor_id == contributor).values(state="erased", body_mac=None, parts=0))
            contributors.give_key(session, runtime.keys, contributor, new_key(), None)
    return len(lost)


def _delete_unknown(runtime: Runtime) -> int:
    """Files of releases that were cut after the backup: they may hold what was withdrawn or erased since."""
    with read(runtime.engine) as session:
        known = set(session.execute(sa.select(Release.id)).scalars())  # type: ignore[call-overload]
    kept = itertools.chain(runtime.blobs.names("releases/"), runtime.blobs.names("trees/"))
    unknown = [name for name in kept if name.split("/")[1] not in known]
    for name in unknown:
        runtime.blobs.delete(name)
    return len(unknown)
