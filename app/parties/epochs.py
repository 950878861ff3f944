"""Key epochs: a new key-encryption key every so often, every data key wrapped anew under it, the old one destroyed in time.

A backup holds data keys wrapped under the epoch of its day. With that epoch's key destroyed it opens nothing any more, erased
people included; those who are still here were carried on. So the age at which epochs are destroyed bounds for how long what was
erased can be read in a backup, and for how long a backup is of use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.crypto.sealing import CannotOpen
from app.kit.clock import rfc3339
from app.kit.db import insert_or_ignore, is_sqlite, read, write
from app.kit.locks import exclusive
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.log import service as log
from app.parties.models import DataKey, KeyEpoch

_KEY = DataKey.__table__  # type: ignore[attr-defined]
_EPOCH = KeyEpoch.__table__  # type: ignore[attr-defined]
_CHUNK = 1_000
# Only what was read: meanwhile the person may have been erased, or have got another key.
_REWRAP = sa.update(_KEY).where(_KEY.c.contributor_id == sa.bindparam("whose"), _KEY.c.wrapped == sa.bindparam("before"))
_GRACE = timedelta(hours=1)
"""An ended epoch lives at least so long, however few `backup_days` say: every process has long seen the next one by then."""


@dataclass(frozen=True)
class Carried:
    """What a rotation did."""

    epoch: int
    keys: int
    lost: int
    """Data keys under epochs that were destroyed: what a database restored from before brings back, and nobody can open."""


@dataclass(frozen=True)
class OthersKeys:
    """Keys of another slice, wrapped under epochs as people's are; those there are stand in `runtime.parts["wrapped"]`."""

    table: str
    carry_on: Callable[[Runtime, int], None]
    """Wraps anew what is under an epoch before this one."""
    under: Callable[[Session, int], int]
    """How many there are under an epoch."""


def know(runtime: Runtime) -> None:
    """Note when the epochs that exist began, as far as this database does not know."""
    now = runtime.clock.now()
    found = runtime.keys.refresh()
    with write(runtime.engine) as session:
        rows = [{"epoch": e, "began_at": now, "ended_at": None if e == found[-1] else now} for e in found]
        insert_or_ignore(session, _EPOCH, rows)


def rotate(runtime: Runtime, now: datetime) -> Carried:
    """Begin an epoch and wrap every data key under it. Safe to end at any point and to run again; one at a time."""
    with exclusive(runtime.engine, "key-epochs"):
        know(runtime)
        epoch = runtime.keys.begin_epoch()
        with write(runtime.engine) as session:
            insert_or_ignore(session, _EPOCH, {"epoch": epoch, "began_at": now})
            ended = sa.update(_EPOCH).where(_EPOCH.c.epoch < epoch, _EPOCH.c.ended_at.is_(None))
            session.execute(ended.values(ended_at=now))
            log.append(session, [log.institutional("key.epoch-begun", _id(epoch), {"epoch": epoch}, now)], now)
        return Carried(epoch, *rewrap(runtime, epoch))


def rewrap(runtime: Runtime, epoch: int) -> tuple[int, int]:
    """Wrap under `epoch` every key that is under an older one; gives how many of people's, and how many of those could not be opened."""
    for other in _others(runtime):
        other.carry_on(runtime, epoch)
    done = lost = 0
    after = ""
    while True:
        with write(runtime.engine) as session:
            query = sa.select(_KEY.c.contributor_id, _KEY.c.epoch, _KEY.c.wrapped)
            rows = session.execute(
                query.where(_KEY.c.epoch < epoch, _KEY.c.contributor_id > after).order_by(_KEY.c.contributor_id).limit(_CHUNK)
            ).all()
            changes = []
            for contributor, old, wrapped in rows:
                try:
                    key = runtime.keys.unwrap(contributor, old, bytes(wrapped))
                except CannotOpen:
                    lost += 1
                    continue
                current, anew = runtime.keys.wrap(contributor, key)
                changes.append({"whose": contributor, "before": wrapped, "epoch": current, "wrapped": anew})
            if changes:
                done += session.connection().execute(_REWRAP, changes).rowcount
        if len(rows) < _CHUNK:
            return done, lost
        after = rows[-1].contributor_id


def destroy(runtime: Runtime, now: datetime) -> list[int]:
    """Destroy the keys of the epochs that ended `backup_days` ago or earlier; gives their numbers.

    What is still wrapped under one of them is carried on first. What cannot be opened is left: it is lost already.
    """
    with exclusive(runtime.engine, "key-epochs"):
        know(runtime)
        present = runtime.keys.refresh()
        limit = now - max(timedelta(days=runtime.settings.backup_days), _GRACE)
        with read(runtime.engine) as session:
            old = session.exec(select(KeyEpoch.epoch).where(KeyEpoch.ended_at <= limit)).all()  # type: ignore[operator]
        going = [epoch for epoch in sorted(old) if epoch in present and epoch != present[-1]]
        for epoch in going:
            rewrap(runtime, epoch + 1)
            for other in _others(runtime):
                with write(runtime.engine) as session:
                    if not is_sqlite(session):
                        session.execute(sa.text(f"LOCK TABLE {other.table} IN SHARE ROW EXCLUSIVE MODE"))  # as below
                    if left := other.under(session, epoch):
                        raise RuntimeError(f"{left} keys in {other.table} are still under epoch {epoch}; run it again")
            with write(runtime.engine) as session:
                if not is_sqlite(session):
                    # Whoever is in the middle of adding a key is waited for; the grace above is for those who have yet to begin.
                    session.execute(sa.text("LOCK TABLE data_key IN SHARE ROW EXCLUSIVE MODE"))
                left = session.execute(sa.select(sa.func.count()).where(_KEY.c.epoch == epoch)).scalar_one()
                if left:
                    raise RuntimeError(f"{left} data keys are still under epoch {epoch}; run it again")
                told = sa.update(_EPOCH).where(_EPOCH.c.epoch == epoch, _EPOCH.c.destroyed_at.is_(None))
                if session.execute(told.values(destroyed_at=now)).rowcount:
                    log.append(session, [log.institutional("key.epoch-destroyed", _id(epoch), {"epoch": epoch}, now)], now)
            # After the commit: killed in between, the next run finds the key still there and destroys it then.
            runtime.keys.destroy_epoch(epoch)
        return going


def _others(runtime: Runtime) -> Sequence[OthersKeys]:
    found: Sequence[OthersKeys] = runtime.parts["wrapped"]
    return found


def keep_up(runtime: Runtime, now: datetime) -> None:
    """The chore of a single process: rotate and destroy when it is time. With several, an operator's timer runs the commands."""
    if not is_sqlite(runtime.engine):
        return
    with read(runtime.engine) as session:
        began = _began(session, runtime.keys.epoch)
    if began is not None and now - began >= timedelta(days=runtime.settings.epoch_days):
        rotate(runtime, now)
    destroy(runtime, now)


def due(runtime: Runtime) -> str | None:
    """A sentence where the current epoch is older than it should be."""
    with read(runtime.engine) as session:
        began = _began(session, runtime.keys.epoch)
    if began is None or runtime.clock.now() - began < timedelta(days=runtime.settings.epoch_days + 1):
        return None
    return f"the key epoch began on {rfc3339(began)[:10]}: run `python -m app keys rotate`"


def promise(settings: Settings) -> int:
    """Days after which nothing that is erased today opens in any backup, if rotations and destructions keep their times."""
    return settings.epoch_days + settings.backup_days


def promised(runtime: Runtime) -> str:
    """The promise as a sentence."""
    return f"What is erased today opens in no backup after {promise(runtime.settings)} days."


def listed(runtime: Runtime) -> list[str]:
    """One line an epoch, and the promise."""
    with read(runtime.engine) as session:
        rows = session.exec(select(KeyEpoch).order_by(KeyEpoch.epoch)).all()  # type: ignore[arg-type]
    lines = []
    for row in rows:
        until = "current" if row.ended_at is None else f"to {rfc3339(row.ended_at)[:10]}"
        gone = "" if row.destroyed_at is None else f", destroyed {rfc3339(row.destroyed_at)[:10]}"
        lines.append(f"epoch {row.epoch}: from {rfc3339(row.began_at)[:10]}, {until}{gone}")
    return [*lines, promised(runtime)]


def _began(session: Session, epoch: int) -> datetime | None:
    return session.exec(select(KeyEpoch.began_at).where(KeyEpoch.epoch == epoch)).first()


def _id(epoch: int) -> str:
    return f"epoch-{epoch:04d}"
