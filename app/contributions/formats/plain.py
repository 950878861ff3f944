"""A platform's contributions as plain rows, whichever way they came: JSON lines, or Parquet with the parts as JSON text.

A row has `id` (the one that recording answered with), `kind`, `language`, `parent`, `recorded_on` (its day, UTC), the parts that may be shown, and
`tombstone`: true where none may, and then nothing else but id, kind and parent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import orjson

PARTS = ("text", "judgment", "context", "profile")
_GROUP = 5_000


@dataclass(frozen=True, slots=True)
class Plain:
    """One contribution; `parts` by name with their exact JSON text, None where nothing of it may be shown."""

    id: str
    kind: str
    language: str | None
    parent: str | None
    recorded_on: str
    parts: Mapping[str, bytes] | None


@runtime_checkable
class PlainWriter(Protocol):
    """Writes plain rows. `lines`: others can follow in one file."""

    lines: bool

    def write_plain(self, rows: Iterable[Plain]) -> Iterator[bytes]: ...


class JsonLines:
    """A line each, the parts as values by their own octets."""

    lines = True

    def write_plain(self, rows: Iterable[Plain]) -> Iterator[bytes]:
        """Lines with their LF."""
        for row in rows:
            told = {"id": row.id, "kind": row.kind, "parent": row.parent, "tombstone": row.parts is None}
            if row.parts is None:
                yield orjson.dumps(told) + b"\n"
                continue
            head = orjson.dumps(told | {"language": row.language, "recorded_on": row.recorded_on})
            parts = b"".join(b',"%s":%s' % (name.encode(), row.parts.get(name, b"null").replace(b"\n", b" ").replace(b"\r", b" ")) for name in PARTS)
            yield head[:-1] + parts + b"}\n"


class Parquet:
    """Columns of the same names, parts as their JSON text; row groups of 5,000."""

    lines = False

    def write_plain(self, rows: Iterable[Plain]) -> Iterator[bytes]:
        """The pieces of one file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema(
            [pa.field("id", pa.string(), nullable=False), pa.field("kind", pa.string(), nullable=False)]
            + [(name, pa.string()) for name in ("language", "parent", "recorded_on", *PARTS)]
            + [pa.field("tombstone", pa.bool_(), nullable=False)]
        )
        sink = _Sink()
        with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd") as writer:
            group: list[dict[str, object]] = []
            for row in rows:
                bare = row.parts is None
                parts = {name: None if row.parts is None or name not in row.parts else row.parts[name].decode() for name in PARTS}
                about = {"language": None if bare else row.language, "recorded_on": None if bare else row.recorded_on}
                group.append({"id": row.id, "kind": row.kind, "parent": row.parent, "tombstone": bare} | about | parts)
                if len(group) == _GROUP:
                    writer.write_table(pa.Table.from_pylist(group, schema))
                    group = []
                    yield sink.taken()
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema))
        yield sink.taken()


class _Sink:
    """A file that is handed on as it grows."""

    closed = False

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def write(self, data: bytes) -> int:
        data = bytes(data)
        self._held.append(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        held, self._held = b"".join(self._held), []
        return held
