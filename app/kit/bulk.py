"""Many rows in few statements, through the driver: the record and cut paths only.

SQLAlchemy's statement, parameter and result objects cost more than the statements themselves at these rates (see
benchmarks/README.md). Here SQL is generated from the tables' metadata once and the values go to the driver as they are.
On SQLite several rows go into one statement, because each step of a statement gives up the interpreter lock and a busy
event loop is slow to give it back; on PostgreSQL arrays go through `unnest` (binary parameters; unlike COPY it takes
ON CONFLICT and RETURNING), and statements that need no answer share one round trip.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import lru_cache
from itertools import islice
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlmodel import Session

Row = Sequence[Any]
_FEW = 3
"""Up to so many rows, plain values cost PostgreSQL's driver less than arrays."""
_ROWS = (32, 8, 1)
"""Rows in one SQLite statement: few sizes, so that the driver keeps each of them prepared."""


class Direct:
    """A driver's connection. SQL is written with `?`; `IN (*)` takes a list; times are microseconds.

    Errors are those of the driver itself: SQLAlchemy does not translate them.
    """

    __slots__ = ("driver", "sqlite")

    def __init__(self, driver: Any, sqlite: bool) -> None:
        self.driver = driver
        self.sqlite = sqlite

    @classmethod
    def under(cls, connection: "sa.Connection | Session | Direct") -> "Direct":
        """The driver's connection in the transaction that `connection` has begun."""
        if isinstance(connection, Direct):
            return connection
        if isinstance(connection, Session):
            connection.flush()
            connection = connection.connection()
        return cls(connection.connection.driver_connection, connection.dialect.name == "sqlite")

    # Transactions of a connection that is nobody else's, on PostgreSQL one in autocommit mode: by itself psycopg waits for
    # the answer to its BEGIN, and its commit() does not send on what a pipeline still holds.
    def begin(self) -> None:
        """Begin: on SQLite with the write lock."""
        self.driver.execute("BEGIN IMMEDIATE" if self.sqlite else "BEGIN")

    def commit(self) -> Any:
        """Commit; in a pipeline it is only sent, and done when the pipeline ended without failure."""
        return self.driver.execute("COMMIT")

    def rollback(self) -> None:
        """End what was begun, if it was."""
        if not self.sqlite:
            # psycopg's own, because it also forgets which statements it had prepared: a failed pipeline prepared fewer.
            self.driver.rollback()
        elif self.driver.in_transaction:
            self.driver.execute("ROLLBACK")

    def pipeline(self) -> AbstractContextManager[Any]:
        """Statements inside wait for no answer until one is fetched. A failure may surface only at the end of the block."""
        return nullcontext() if self.sqlite else self.driver.pipeline()

    def run(self, sql: str, values: Row = (), *, binary: bool = False) -> Any:
        """A cursor over the answer; in a pipeline fetching from it waits for it. PostgreSQL sends long bytes as twice as much text unless they are
        asked for as `binary`."""
        return self.driver.execute(sql, values) if self.sqlite else self.driver.execute(_percent(sql), values, binary=binary)

    def run_among(self, sql: str, fixed: Row, among: Row) -> Any:
        """`run` for SQL with one `IN (*)` after the `fixed` values. `among` must not be empty."""
        if not self.sqlite:
            return self.driver.execute(_percent(sql), (*fixed, list(among)), binary=True)
        # Padded to a power of two: few distinct texts, so that they stay prepared.
        size = 1 << (len(among) - 1).bit_length()
        marks = ",".join("?" * size)
        return self.driver.execute(sql.replace("(*)", f"({marks})"), (*fixed, *among, *[among[-1]] * (size - len(among))))

    def insert(self, table: sa.Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """Insert `rows` (tuples in the order of `columns`)."""
        if not rows:
            return
        if self.sqlite:
            self._sqlite_rows(table, columns, rows, "")
        elif len(rows) <= _FEW:
            sql = _pg_values(table, columns, "")
            for row in rows:
                self.driver.execute(sql, row)
        else:
            self.driver.execute(_pg_arrays(table, columns, ""), arrays(rows))

    def insert_new(self, table: sa.Table, columns: tuple[str, ...], rows: Sequence[Row], key: str) -> set[str]:
        """Insert the rows that violate no unique constraint; give the values of column `key` that went in."""
        if not rows:
            return set()
        tail = f" ON CONFLICT DO NOTHING RETURNING {key}"
        if self.sqlite:
            return {found for (found,) in self._sqlite_rows(table, columns, rows, tail)}
        return {found for (found,) in self.driver.execute(_pg_arrays(table, columns, tail), arrays(rows))}

    def load(self, table: sa.Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        """`insert` of thousands of rows; not in a pipeline."""
        if self.sqlite or len(rows) <= _FEW:
            return self.insert(table, columns, rows)
        with self.driver.cursor() as cursor, cursor.copy(
            f"COPY {table.name} ({','.join(columns)}) FROM STDIN (FORMAT BINARY)"
        ) as copy:  # fmt: skip
            copy.set_types([_pg_type(table.c[name].type) for name in columns])
            for row in rows:
                copy.write_row(row)
        return None

    def stream(self, sql: str, values: Row, size: int) -> Iterator[list[Row]]:
        """The answer in lists of at most `size` rows, never held whole. Other statements can be run meanwhile."""
        if self.sqlite:
            yield from self._sqlite_stream(sql, values, size)
            return
        # All rows are read. Left to itself PostgreSQL plans a cursor for whoever reads the first tenth: by indexes, row by row.
        self.driver.execute("SET LOCAL cursor_tuple_fraction = 1")
        with self.driver.cursor(name="stream") as cursor:
            cursor.execute(_percent(sql), values, binary=True)
            while rows := cursor.fetchmany(size):
                yield rows

    def stream_alone(self, sql: str, values: Row, size: int) -> Iterator[list[Row]]:
        """`stream` where the connection does nothing else until all is read: PostgreSQL's workers may take part, which a cursor forbids.

        Any other statement meanwhile, also a commit, waits for ever there. Who stops before the end gives the transaction up.
        """
        if self.sqlite:
            yield from self._sqlite_stream(sql, values, size)
        else:
            yield from self._as_it_comes(_percent(sql), values, size)

    def _sqlite_stream(self, sql: str, values: Row, size: int) -> Iterator[list[Row]]:
        cursor = self.driver.execute(sql, values)
        while rows := cursor.fetchmany(size):
            yield rows

    def _as_it_comes(self, sql: str, values: Any, size: int) -> Iterator[list[Row]]:
        """`stream_alone` on PostgreSQL, in its driver's notation."""
        at_once = size if psycopg.capabilities.has_stream_chunked() else 1
        with self.driver.cursor() as cursor, closing(cursor.stream(sql, values, binary=True, size=at_once)) as answer:
            while rows := list(islice(answer, size)):
                yield rows

    def _sqlite_rows(self, table: sa.Table, columns: tuple[str, ...], rows: Sequence[Row], tail: str) -> list[Any]:
        answers: list[Any] = []
        at = 0
        for size in _ROWS:
            sql = _sqlite_values(table, columns, size, tail)
            while len(rows) - at >= size:
                flat = rows[at] if size == 1 else [value for row in rows[at : at + size] for value in row]
                cursor = self.driver.execute(sql, flat)
                if tail:
                    answers.extend(cursor.fetchall())
                at += size
        return answers


def rows_of(session: Session, statement: sa.Select[Any], size: int) -> Iterator[list[Row]]:
    """The rows of a select as the driver gives them, in lists of at most `size`, never held whole: no value is converted, so this is for
    columns that need none. For a million rows SQLAlchemy's own results cost more than the query. As with `Direct.stream_alone` the
    session must do nothing else until all is read."""
    connection = session.connection()
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    # What the statement would do itself to each value on its way to the driver; SQLAlchemy has no public name for it.
    convert = compiled._bind_processors  # type: ignore[attr-defined]
    values = {name: convert[name](value) if name in convert else value for name, value in compiled.params.items()}
    direct = Direct.under(connection)
    if direct.sqlite:
        yield from direct.stream(str(compiled), [values[name] for name in compiled.positiontup], size)  # type: ignore[attr-defined]
    else:
        yield from direct._as_it_comes(str(compiled), values, size)


def arrays(rows: Sequence[Row]) -> list[list[Any]]:
    """Columns of `rows`, for `unnest`."""
    return list(map(list, zip(*rows, strict=True)))


def unnest(table: sa.Table, columns: tuple[str, ...]) -> str:
    """`unnest(…)` over one array parameter a column of `table`, in PostgreSQL's driver's notation."""
    return f"unnest({','.join(f'%b::{_pg_type(table.c[name].type)}[]' for name in columns)})"


def casts(table: sa.Table, columns: tuple[str, ...]) -> str:
    """One typed parameter a column of `table`, in PostgreSQL's driver's notation."""
    return ",".join(f"%s::{_pg_type(table.c[name].type)}" for name in columns)


@lru_cache(maxsize=256)
def _percent(sql: str) -> str:
    return sql.replace("IN (*)", "= ANY(%s)").replace("?", "%s")


@lru_cache(maxsize=256)
def _sqlite_values(table: sa.Table, columns: tuple[str, ...], size: int, tail: str) -> str:
    marks = "(" + ",".join("?" * len(columns)) + ")"
    return f"INSERT INTO {table.name} ({','.join(columns)}) VALUES {','.join([marks] * size)}{tail}"  # noqa: S608


@lru_cache(maxsize=256)
def _pg_values(table: sa.Table, columns: tuple[str, ...], tail: str) -> str:
    return f"INSERT INTO {table.name} ({','.join(columns)}) VALUES ({','.join(['%s'] * len(columns))}){tail}"  # noqa: S608


@lru_cache(maxsize=256)
def _pg_arrays(table: sa.Table, columns: tuple[str, ...], tail: str) -> str:
    return f"INSERT INTO {table.name} ({','.join(columns)}) SELECT * FROM {unnest(table, columns)}{tail}"  # noqa: S608


def _pg_type(kind: Any) -> str:
    if isinstance(kind, sa.types.TypeDecorator):
        kind = kind.impl_instance if hasattr(kind, "impl_instance") else kind.impl
    if isinstance(kind, sa.LargeBinary):
        return "bytea"
    if isinstance(kind, sa.BigInteger):
        return "bigint"
    if isinstance(kind, sa.SmallInteger):
        return "smallint"
    if isinstance(kind, sa.Integer):
        return "integer"
    if isinstance(kind, sa.Boolean):
        return "boolean"
    if isinstance(kind, sa.Date):
        return "date"
    if isinstance(kind, sa.Text | sa.String):
        return "text"
    raise TypeError(f"no array type for {kind!r}")

