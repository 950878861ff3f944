"""The floors: what the hardware and the libraries do at best, without any of Sayso's work.

- `app`: a FastAPI POST that validates the same 2 KB body with a Pydantic model and does nothing with it.
- `pages`: a FastAPI GET that answers with as many bytes as a page has.
- `RawTables`: the rows that Sayso wrote for some contributions, written again into copies of the same tables with the
  same indexes: binary COPY on PostgreSQL, `executemany` on SQLite, one transaction a batch, nothing else.
- `release_loop`: read, decrypt, compress (zstd level 3, in one background thread) and hash, with nothing decided.
"""

import hashlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from psycopg import sql
from pydantic import BaseModel

# --- HTTP ---


class Message(BaseModel):
    role: Literal["user", "assistant"]
    content: str


class Vote(BaseModel):
    winner: str
    models: list[str]


class Parts(BaseModel):
    text: list[Message]
    judgment: Vote


class ConsentGiven(BaseModel):
    template: str
    parameters: dict[str, str]
    basis: str
    wording: str
    language: str
    shown_at: datetime


class Contribution(BaseModel):
    external_id: str
    kind: str
    contributor: str | None
    parent: str | None
    created_at: datetime
    language: str
    parts: Parts
    context_terms: dict[str, str] | None
    context_ref: str | None
    consent: ConsentGiven


app = FastAPI()


@app.post("/noop", status_code=201)
async def noop(body: Contribution) -> dict[str, str]:
    """The no-op."""
    return {"id": body.external_id}


@app.post("/hook", status_code=201)
async def hook(body: dict[str, Any]) -> dict[str, int]:
    """The no-op of a hook: whatever JSON object comes is read."""
    return {"recorded": len(body) and 1}


pages = FastAPI()


@pages.get("/page/{size}")
def bare_page(size: int) -> HTMLResponse:
    """A page of so many bytes, of which nothing is looked up or rendered."""
    return HTMLResponse("x" * size)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The server alone: the body is read and not looked at. Shows how much of the no-op is the framework's."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


# --- rows ---


def plain_url(database: str) -> str:
    """An SQLAlchemy URL as the driver takes it: a libpq URI, or a path."""
    return database.replace("postgresql+psycopg://", "postgresql://").removeprefix("sqlite:///")


def query(database: str, statement: str) -> list[tuple[Any, ...]]:
    """All rows of one statement, over a connection of its own."""
    connection: Any = (
        psycopg.connect(plain_url(database))
        if database.startswith("postgresql")
        else sqlite3.connect(plain_url(database))
    )
    try:
        return list(connection.execute(statement).fetchall())
    finally:
        connection.close()


class RawTables:
    """Tables of a Sayso database that grew while it recorded; their newest rows, written again by the driver alone."""

    BATCH = 500

    def __init__(self, database: str, directory: Path) -> None:
        self.postgresql = database.startswith("postgresql")
        self.source = database
        self.rows: dict[str, list[tuple[Any, ...]]] = {}
        self.columns: dict[str, list[str]] = {}
        self.types: dict[str, list[str]] = {}
        if self.postgresql:
            self.target: Any = psycopg.connect(plain_url(self.source))
        else:
            self.target = sqlite3.connect(directory / "floor.db", isolation_level=None)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-64000", "secure_delete=ON"):
                self.target.execute(f"PRAGMA {pragma}")

    def counts(self) -> dict[str, int]:
        """Rows of every table of the application."""
        names = (
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            if self.postgresql
            else "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        return {
            name: query(self.source, f'SELECT count(*) FROM "{name}"')[0][0] for (name,) in query(self.source, names)
        }

    def take(self, before: dict[str, int], contributions: int) -> dict[str, int]:
        """Copy the structure and the new rows of every table that grew by at least a tenth of `contributions`."""
        grown = {
            name: count - before[name]
            for name, count in self.counts().items()
            if count - before[name] >= contributions // 10
        }
        for name, count in grown.items():
            if self.postgresql:
                self.target.execute("CREATE SCHEMA IF NOT EXISTS floor")
                self.target.execute(f'CREATE TABLE floor."{name}" (LIKE public."{name}" INCLUDING ALL)')
                described = query(
                    self.source,
                    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
                    f"WHERE attrelid = 'public.\"{name}\"'::regclass AND attnum > 0 AND NOT attisdropped"
                    " ORDER BY attnum",
                )
                self.target.commit()
                newest = query(self.source, f'SELECT * FROM public."{name}" ORDER BY ctid DESC LIMIT {count}')
            else:
                for (statement,) in query(
                    self.source, f"SELECT sql FROM sqlite_master WHERE tbl_name = '{name}' AND sql IS NOT NULL"
                ):
                    self.target.execute(statement)
                described = [(row[1], row[2]) for row in query(self.source, f'PRAGMA table_info("{name}")')]
                newest = query(self.source, f'SELECT * FROM "{name}" ORDER BY rowid DESC LIMIT {count}')
            self.columns[name] = [column for column, _ in described]
            self.types[name] = [kind for _, kind in described]
            self.rows[name] = newest[::-1]
        return grown

    def write(self, contributions: int) -> float:
        """Contributions a second: empty the copies, then write all rows, a transaction for each 500 contributions."""
        for name in self.rows:
            self.target.execute(f'TRUNCATE floor."{name}"' if self.postgresql else f'DELETE FROM "{name}"')
        if self.postgresql:
            self.target.commit()
        batches = -(-contributions // self.BATCH)
        shares = [
            {name: rows[len(rows) * i // batches : len(rows) * (i + 1) // batches] for name, rows in self.rows.items()}
            for i in range(batches)
        ]
        start = time.perf_counter()
        for share in shares:
            if self.postgresql:
                self._copy(share)
            else:
                self.target.execute("BEGIN IMMEDIATE")
                for name, rows in share.items():
                    marks = ",".join("?" * len(self.columns[name]))
                    self.target.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)
                self.target.execute("COMMIT")
        return contributions / (time.perf_counter() - start)

    def _copy(self, share: dict[str, list[tuple[Any, ...]]]) -> None:
        with self.target.cursor() as cursor:
            for name, rows in share.items():
                columns = sql.SQL(",").join(map(sql.Identifier, self.columns[name]))
                statement = sql.SQL("COPY floor.{} ({}) FROM STDIN (FORMAT BINARY)").format(
                    sql.Identifier(name), columns
                )
                with cursor.copy(statement) as copy:
                    copy.set_types(self.types[name])
                    for row in rows:
                        copy.write_row(row)
        self.target.commit()

    def close(self) -> None:
        self.target.close()


# --- release ---


def release_loop(
    records: Iterator[list[tuple[AESGCM, list[tuple[bytes, bytes]]]]], target: Path
) -> tuple[float, int, str]:
    """(seconds, records, SHA-256) of the bare loop over chunks of records.

    A record is its opened cipher and its sealed parts, each (nonce || ciphertext || tag, place it is bound to).
    """
    work: queue.Queue[bytes | None] = queue.Queue(8)
    digest = hashlib.sha256()

    def compress() -> None:
        packer = zstandard.ZstdCompressor(level=3).compressobj()
        with target.open("wb") as file:
            while True:
                block = work.get()
                packed = packer.flush() if block is None else packer.compress(block)
                digest.update(packed)
                file.write(packed)
                if block is None:
                    file.flush()
                    os.fsync(file.fileno())
                    return

    start = time.perf_counter()
    thread = threading.Thread(target=compress)
    thread.start()
    count = 0
    for chunk in records:
        lines = []
        for cipher, parts in chunk:
            opened = [cipher.decrypt(sealed[:12], sealed[12:], place) for sealed, place in parts]
            lines.append(b'{"parts":[' + b",".join(opened) + b"]}\n")
        count += len(chunk)
        work.put(b"".join(lines))
    work.put(None)
    thread.join()
    return time.perf_counter() - start, count, digest.hexdigest()


def parquet_loop(records: Iterator[list[tuple[AESGCM, list[tuple[bytes, bytes]]]]], target: Path) -> tuple[float, int, str]:
    """(seconds, records, SHA-256) of read, decrypt and write as Parquet (zstd level 3) of the parts alone, then hash the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(f"part{n}", pa.string()) for n in range(4)])
    start = time.perf_counter()
    count = 0
    with pq.ParquetWriter(target, schema, compression="zstd", compression_level=3) as writer:
        for chunk in records:
            columns: list[list[str | None]] = [[], [], [], []]
            for cipher, parts in chunk:
                opened = [cipher.decrypt(sealed[:12], sealed[12:], place).decode() for sealed, place in parts]
                for n, column in enumerate(columns):
                    column.append(opened[n] if n < len(opened) else None)
            count += len(chunk)
            writer.write_table(pa.table(columns, schema=schema))
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return time.perf_counter() - start, count, digest
