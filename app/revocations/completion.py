"""The second half of an erasure: what was deleted leaves free pages, write-ahead log, shard files and the old data key too.

A durable job, safe to run twice and at any time: each step looks at what is there. What cannot be done yet (a reader still looks
at an old state of the database) is waited for, in this run for a while and then in another.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache, partial

import sqlalchemy as sa
from psycopg.errors import QueryCanceled
from sqlmodel import Session, select

from app.collectives import queries as collectives
from app.collectives import threads
from app.consents.models import Consent
from app.consents.service import credit_place
from app.contributions.models import Contribution, ContributionPayload, Objection
from app.contributions.objections import statement_place
from app.contributions.recording import part_place
from app.core.vocabulary import PARTS
from app.crypto.sealing import Sealer, new_key
from app.kit.db import for_update, is_away, is_sqlite, read, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry
from app.parties import contributors, passkeys
from app.parties.contributors import Person
from app.releases import service as releases
from app.releases.cutting import Cut
from app.revocations.erasure import DELAY, sealed_to_nobody
from app.revocations.models import ConsentAct, Erasure

_C = Contribution.__table__  # type: ignore[attr-defined]
_PAYLOAD = ContributionPayload.__table__  # type: ignore[attr-defined]
_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_CONSENT = Consent.__table__  # type: ignore[attr-defined]
PATIENCE = 3.0
"""Seconds that one run waits for readers to let go; then it makes room for the next one."""
_AGAIN = 5.0
_MOST_AGAIN = 30.0
"""Seconds until the next run: more each time, up to the second."""
_SOME = 2_000
_LOOKED_AT, _TOGETHER, _TAKING = 2_000, 200, 10.0
"""So many erasures that wait are looked at, so many of them taken along, and so many seconds spent on that, at most."""
_SOON = 0.5
"""Seconds within which a cut that somebody looks at is tried again: who only tidies it is soon done, who runs it is not."""
_TURN = 60.0
"""Seconds that a job waits for its turn before it makes room for others."""
_VACUUMED = (
    # Parts, and what confirms a guess of them or names the person: few dead rows in a large table, whose other pages are passed over.
    "VACUUM (FREEZE, TRUNCATE FALSE) contribution_payload", "VACUUM (FREEZE, TRUNCATE FALSE) contribution",
    # Their indexes too, however few are dead: one holds the pseudonym.
    "VACUUM (FREEZE, TRUNCATE FALSE, INDEX_CLEANUP ON) contributor", "VACUUM (FREEZE, TRUNCATE FALSE, INDEX_CLEANUP ON) data_key",
    "VACUUM (FREEZE, TRUNCATE FALSE, INDEX_CLEANUP ON) passkey", "VACUUM (FREEZE, TRUNCATE FALSE, INDEX_CLEANUP ON) consent_intent",
    # What they pledged, and who opened a campaign; the keys of those that ended, by which it is opened, lie in the second.
    "VACUUM (FREEZE, TRUNCATE FALSE, INDEX_CLEANUP ON) pledge", "VACUUM (FREEZE, TRUNCATE FALSE) campaign",
)  # fmt: skip
"""No one waits for these: without TRUNCATE there is no moment in which readers are kept out. They wait for others: with FREEZE for whoever
holds a page in which a row is dead, which VACUUM by itself would pass over. What is frozen once is passed over ever after."""
_LOOKING = sa.text("""SELECT count(*) FROM (
    SELECT backend_xmin AS at FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND (datname IS NULL OR datname = current_database())
        AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
    UNION ALL SELECT backend_xid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()
    UNION ALL SELECT xmin FROM pg_replication_slots
    UNION ALL SELECT transaction FROM pg_prepared_xacts WHERE database = current_database()
) held WHERE at IS NOT NULL AND age(at) >= age(CAST(:now AS xid))""")
"""Who keeps a state from before `now`, by which VACUUM must leave dead rows where they are: all but another VACUUM, also ANALYZE."""


def complete(runtime: Runtime, erasure: str, within: float = _TURN) -> bool:
    """The job; waits so many seconds for its turn. What is not completed then is tried later, and the answer is False."""
    done = _complete(runtime, erasure, within)
    if not done:
        _later(runtime, erasure)
    return done


def _complete(runtime: Runtime, erasure: str, within: float) -> bool:
    row = _requested(runtime, erasure)
    if row is None:
        return True
    # A cut that had read the records when they were erased ends without them, or is tidied up after: its files are gone then.
    for release in row.cuts:
        Cut(runtime, release).tidy()
    # One at a time in a process, for all that wait: what is slow is so for one as for a hundred. Not by `locks.exclusive`: whoever waits in it on
    # PostgreSQL holds a snapshot, and the scrub would wait for them.
    turn: threading.Lock = runtime.parts["completing"]
    if not turn.acquire(timeout=within):
        return False
    try:
        row = _requested(runtime, erasure)
        if row is None:
            return True  # it was taken along
        others = _waiting(runtime, row)  # before anything is done, since it is done for them too
        releases.sweep(runtime, erasure)
        fresh = cache(partial(replace_key, runtime))  # one key for all that was erased of a person
        _replace_key_of(row, fresh)
        together = [erasure, *_taken_along(runtime, others, fresh)]
        if not _scrub(runtime, row.attempts):
            return False
        _say_completed(runtime, together)
        return True
    finally:
        turn.release()


def _requested(runtime: Runtime, erasure: str) -> Erasure | None:
    with read(runtime.engine) as session:
        row = session.get(Erasure, erasure)
    return None if row is None or row.state == "completed" else row


def _waiting(runtime: Runtime, row: Erasure) -> list[Erasure]:
    """Who can be taken along: who waits for so long that every process has let go of their keys."""
    with read(runtime.engine) as session:
        before = runtime.clock.now() - timedelta(seconds=DELAY)
        waits = (Erasure.state == "requested", Erasure.id != row.id, Erasure.requested_at <= before)
        return list(session.exec(select(Erasure).where(*waits).order_by(Erasure.requested_at).limit(_LOOKED_AT)))  # type: ignore[arg-type]


def _taken_along(runtime: Runtime, others: Sequence[Erasure], fresh: Callable[[str], None]) -> list[str]:
    """Do for others what comes before the scrub, for a while (`fresh` replaces a person's key); gives those for whom it is done. Who waits for a
    cut that is being run is not waited for, and what hinders one is told by its own job."""

    soon, end = (time.monotonic() + seconds for seconds in (_SOON, _TAKING))

    @cache  # many wait for the same few cuts
    def tidy(release: str) -> bool:
        cut = Cut(runtime, release)
        while not (tidied := cut.tidy_if_idle()) and time.monotonic() < soon:
            time.sleep(0.05)
        return tidied

    done = []
    for other in others:
        if time.monotonic() > end or len(done) == _TOGETHER:
            break
        try:
            if not all(tidy(release) for release in other.cuts):
                continue
            _replace_key_of(other, fresh)
        except Exception as error:
            if is_away(error):
                break
            continue
        done.append(other.id)
    return done


def _replace_key_of(row: Erasure, fresh: Callable[[str], None]) -> None:
    if row.contribution_id is not None and not row.key_replaced:
        fresh(row.contributor_id)


def _say_completed(runtime: Runtime, erasures: Sequence[str]) -> None:
    with write(runtime.engine) as session:
        requested = select(Erasure).where(Erasure.id.in_(erasures), Erasure.state == "requested").order_by(Erasure.id)  # type: ignore[attr-defined,arg-type]
        rows = session.exec(for_update(requested, session)).all()
        if not rows:
            return
        now = runtime.clock.now()
        said = [("erasure.completed", row.id, {"erasure": row.id, "state": "completed"}) for row in rows]
        first = log.append(session, [sealed_to_nobody(*one, now) for one in said], now)
        for index, row in enumerate(rows, first):
            done = {"state": "completed", "completed_at": now, "completed_index": index, "cuts": []}
            session.execute(sa.update(Erasure).where(Erasure.id == row.id).values(**done))  # type: ignore[arg-type]


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: complete what should have been completed an hour ago, should its job have been given up. One that is not completed has a job
    again, and those behind it wait for the next look."""
    with read(runtime.engine) as session:
        waiting = session.exec(
            select(Erasure.id).where(Erasure.state == "requested", Erasure.requested_at < now - timedelta(hours=1))
        ).all()
    for erasure in waiting:
        if not complete(runtime, erasure, within=0):
            return


def replace_key(runtime: Runtime, contributor: str) -> None:
    """Give a contributor a fresh data key and seal everything that remains of them under it: the old one, which opens copies of
    what was erased, is gone with this transaction, which notes it in their erasures. Whoever seals something meanwhile is waited for, and waits."""
    with write(runtime.engine) as session:
        person = contributors.hold(session, runtime.keys, contributor, exclusive=True)
        if person is None:
            return
        # First: one that is asked for from here on may be of something that is still sealed anew below.
        erased = (Erasure.contributor_id == contributor, Erasure.contribution_id != None)
        session.execute(sa.update(Erasure).where(*erased).values(key_replaced=True))  # type: ignore[arg-type]
        key = new_key()
        sealer = Sealer(key)
        ids = sa.select(_C.c.id).where(_C.c.contributor_id == contributor, _C.c.state != "erased")
        _seal_payloads(session, person, sealer, ids)
        _seal_openings(session, person, sealer, contributor, ids)
        _seal_credits(session, person, sealer, contributor)
        _seal_objections(session, person, sealer, contributor)
        passkeys.seal_anew(session, person, sealer)
        threads.seal_anew(session, person, sealer, contributor)
        contributors.give_key(session, runtime.keys, contributor, key, person.rid_key)
    runtime.keys.forget(contributor)


def _seal_payloads(session: Session, person: Person, sealer: Sealer, ids: sa.Select[tuple[str]]) -> None:
    after = ""
    while True:
        query = sa.select(_PAYLOAD).where(_PAYLOAD.c.contribution_id.in_(ids), _PAYLOAD.c.contribution_id > after)
        rows = session.execute(query.order_by(_PAYLOAD.c.contribution_id).limit(_SOME)).mappings().all()
        for row in rows:
            one = row["contribution_id"]
            anew = {
                name: sealer.seal(person.sealer.open(bytes(row[name]), part_place(one, name)), part_place(one, name))
                for name in PARTS
                if row[name] is not None
            }
            session.execute(sa.update(_PAYLOAD).where(_PAYLOAD.c.contribution_id == one).values(**anew))
        if len(rows) < _SOME:
            return
        after = rows[-1]["contribution_id"]


def _seal_openings(
    session: Session, person: Person, sealer: Sealer, contributor: str, ids: sa.Select[tuple[str]]
) -> None:
    acts = sa.select(ConsentAct.id).where(ConsentAct.contributor_id == contributor)  # type: ignore[call-overload]
    acts = acts.union_all(collectives.acts_of(contributor))
    subjects = sa.or_(_ENTRY.c.subject.in_(ids), _ENTRY.c.subject.in_(acts))
    after = -1
    while True:
        query = sa.select(_ENTRY.c.log_index, _ENTRY.c.leaf, _ENTRY.c.sealed)
        query = query.where(subjects, _ENTRY.c.log_index > after, sa.func.length(_ENTRY.c.sealed) > 0)
        rows = session.execute(query.order_by(_ENTRY.c.log_index).limit(_SOME)).all()
        for index, leaf, sealed in rows:
            place = log.opening_place(bytes(leaf))
            anew = sealer.seal(person.sealer.open(bytes(sealed), place), place)
            session.execute(sa.update(_ENTRY).where(_ENTRY.c.log_index == index).values(sealed=anew))
        if len(rows) < _SOME:
            return
        after = rows[-1].log_index


def _seal_credits(session: Session, person: Person, sealer: Sealer, contributor: str) -> None:
    query = sa.select(_CONSENT.c.id, _CONSENT.c.contribution_id, _CONSENT.c.credit_sealed)
    query = query.where(_CONSENT.c.contributor_id == contributor, _CONSENT.c.credit_sealed.is_not(None))
    for consent, contribution, sealed in session.execute(query).all():
        place = credit_place(contribution or contributor)
        anew = sealer.seal(person.sealer.open(bytes(sealed), place), place)
        session.execute(sa.update(_CONSENT).where(_CONSENT.c.id == consent).values(credit_sealed=anew))


def _seal_objections(session: Session, person: Person, sealer: Sealer, contributor: str) -> None:
    rows = session.exec(select(Objection).where(Objection.contributor_id == contributor, Objection.statement != None)).all()
    for row in rows:
        place = statement_place(row.id)
        row.statement = sealer.seal(person.sealer.open(bytes(row.statement or b""), place), place)
        session.add(row)
    session.flush()


def _scrub(runtime: Runtime, attempts: int) -> bool:
    """Take what was deleted out of the database's files, or give False where a reader still needs it, or stands in its way.

    SQLite overwrites what it deletes (`secure_delete`) in the write-ahead log first: the checkpoint carries that into the
    database file and empties the log. PostgreSQL's VACUUM takes the dead rows out of their pages once nobody looks at a state in
    which they were there. It does not overwrite what thereby becomes free, nor its own write-ahead log: what lies there of keys and
    parts is under an epoch that will be destroyed.
    """
    if is_sqlite(runtime.engine):
        return _within_patience(lambda: _checkpointed(runtime))
    with runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        now = connection.execute(sa.text("SELECT pg_current_xact_id()::xid::text")).scalar_one()
        if not _within_patience(lambda: not connection.execute(_LOOKING, {"now": now}).scalar()):
            return False
        # One that was ended keeps what it did in the tables' pages. More time in each run, should the tables be so large.
        patience = sa.text("SELECT set_config('statement_timeout', :within, false)")
        connection.execute(patience, {"within": str(int(PATIENCE * 1000) * (attempts + 1))})
        try:
            for statement in _VACUUMED:
                connection.execute(sa.text(statement))
        except sa.exc.OperationalError as error:
            if not isinstance(error.orig, QueryCanceled):
                raise
            return False
        finally:
            connection.execute(sa.text("RESET statement_timeout"))
    return True


def _within_patience(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _checkpointed(runtime: Runtime) -> bool:
    pooled = runtime.engine.raw_connection()
    try:
        cursor = pooled.cursor()
        # Shortly: while it waits for readers it keeps writers out.
        cursor.execute("PRAGMA busy_timeout=500")
        busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute("PRAGMA busy_timeout=30000")
        return not busy
    finally:
        pooled.close()


def _later(runtime: Runtime, erasure: str) -> None:
    with write(runtime.engine) as session:
        row = session.get_one(Erasure, erasure)
        row.attempts += 1
        session.add(row)
        runtime.jobs.enqueue(session, "erase", erasure, key=str(row.attempts), delay=min(_AGAIN * row.attempts, _MOST_AGAIN))
