"""One at a time across processes: for long work whose steps are safe to repeat but not to interleave."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

_HERE: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def exclusive_or_not(engine: Engine, name: str) -> Iterator[bool]:
    """Hold the lock called `name` if nobody does, and say whether it is held: for work that another one does as well."""
    here = _HERE[str(engine.url), name]
    if not here.acquire(blocking=False):
        yield False
        return
    try:
        if engine.dialect.name == "sqlite":
            yield True
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            held = bool(connection.execute(sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}).scalar())
            try:
                yield held
            finally:
                if held:
                    _unlock(connection, name)
    finally:
        here.release()


@contextmanager
def exclusive(engine: Engine, name: str) -> Iterator[None]:
    """Hold the lock called `name`, waiting for whoever holds it. Gone with the process: nothing stays locked after a kill.

    SQLite takes one process, so a lock of this process is enough; PostgreSQL holds a session's advisory lock.
    """
    with _HERE[str(engine.url), name]:
        if engine.dialect.name == "sqlite":
            yield
            return
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(hashtextextended(:name, 0))"), {"name": name})
            try:
                yield
            finally:
                _unlock(connection, name)


def _unlock(connection: Connection, name: str) -> None:
    try:
        connection.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name})
    except BaseException:
        # Ended and not given back: the next to get it would hold a lock that nobody lets go of.
        connection.invalidate()
        raise
