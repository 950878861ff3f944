"""Engine, sessions and column types for SQLite (WAL, synchronous=FULL, secure_delete) and PostgreSQL 16+."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine
from sqlmodel import Session, SQLModel

from app.kit.clock import from_micros, micros

SQLModel.metadata.naming_convention = {  # type: ignore[assignment]
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# Ids compare by bytes on both databases, whatever the locale of the PostgreSQL cluster.
IdType = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime stored as integer microseconds since the epoch. Naive values are refused."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return micros(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else from_micros(value)


@event.listens_for(Engine, "connect")
def _sqlite_pragmas(connection: Any, record: Any) -> None:
    # Registered for every engine of the process, so that no SQLite connection (the job library's included) is without.
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA busy_timeout=30000")
        connection.execute("PRAGMA wal_autocheckpoint=8000")
        connection.execute("PRAGMA mmap_size=1073741824")
        connection.execute("PRAGMA cache_size=-8000")  # of each connection in the pool; the system caches the file once for all


def make_engine(url: str, *, pool_size: int = 20, overflow: int = 60) -> Engine:
    """An engine whose write transactions hold on SQLite from their start (`BEGIN IMMEDIATE`).

    `engine.execution_options(sayso_read=True)` gives the twin for reads, which begins deferred and never writes.
    """
    if url.startswith("sqlite"):
        path = sa.make_url(url).database
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        # The one given back last is taken first: each keeps its own 8 MB of pages, and work that takes one after the other (a cut, a shard
        # at a time) would fill them all in turn.
        engine = sa.create_engine(
            url, pool_size=pool_size, max_overflow=overflow, connect_args={"check_same_thread": False}, pool_timeout=30, pool_use_lifo=True
        )

        @event.listens_for(engine, "connect")
        def _manual(connection: Any, record: Any) -> None:
            # pysqlite would begin by itself, deferred, just before the first write: SQLITE_BUSY at once under load.
            connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            reading = connection.get_execution_options().get("sayso_read")
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        event.listen(engine, "checkin", _end_what_was_left_open)
        return engine
    engine = sa.create_engine(
        url, pool_size=pool_size, max_overflow=overflow, pool_timeout=30, isolation_level="READ COMMITTED", pool_pre_ping=True
    )
    event.listen(engine, "checkin", _end_what_was_left_open)
    return engine


def _end_what_was_left_open(connection: Any, record: Any) -> None:
    """A commit that failed may leave its transaction open, and SQLAlchemy takes it for ended: the next to get the connection
    could not begin, and meanwhile its locks would keep everybody else out."""
    if isinstance(connection, sqlite3.Connection):
        if connection.in_transaction:
            connection.rollback()
    elif connection is not None and not connection.closed and connection.info.transaction_status != 0:
        connection.rollback()


def is_sqlite(bind: Session | sa.Connection | Engine) -> bool:
    """Whether `bind` talks to SQLite (else PostgreSQL)."""
    return (bind.get_bind() if isinstance(bind, Session) else bind).dialect.name == "sqlite"


@contextmanager
def write(engine: Engine) -> Iterator[Session]:
    """One transaction, committed at the end of the block, rolled back on any exception."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.connection()  # SQLite: take the write lock before the first read
        yield session


@contextmanager
def read(engine: Engine, *, snapshot: bool = False) -> Iterator[Session]:
    """A look; nothing written in it survives. With `snapshot` every statement sees the same moment, as on SQLite they always
    do; otherwise on PostgreSQL each sees what was committed before it."""
    options: dict[str, Any] = {"sayso_read": True}
    if snapshot and not is_sqlite(engine):
        options["isolation_level"] = "REPEATABLE READ"
    with Session(engine.execution_options(**options), expire_on_commit=False) as session:
        # Closing rolls back; an explicit rollback would expire what was read, which callers still hold.
        yield session


# The drivers' own as well: the paths that write without SQLAlchemy (kit/bulk.py) raise them bare.
_AWAY = (
    exc.OperationalError, exc.InterfaceError, exc.TimeoutError, psycopg.OperationalError, psycopg.InterfaceError,
    sqlite3.OperationalError,
)  # fmt: skip


def is_away(error: BaseException) -> bool:
    """Whether an error says that the database ended, is starting, or is too busy."""
    return isinstance(error, _AWAY)


def for_update(statement: Any, bind: Session, *, of: Any = None) -> Any:
    """Row locks on PostgreSQL, of a join on the rows of `of` alone; on SQLite the write transaction already holds the only lock there is."""
    return statement if is_sqlite(bind) else statement.with_for_update(key_share=True, of=of)


def insert_or_ignore(connection: sa.Connection | Session, table: sa.Table, values: Any) -> None:
    """Insert a row (or rows) unless a unique constraint says it is there already."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), values)
