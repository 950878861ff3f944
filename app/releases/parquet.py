"""Shards as Parquet: the same rows as columns. A part is a string with its exact JSON text, never parsed.

The columns are those of a JSON line. A file follows from its rows alone: what does not change between two cuts keeps its digest.
"""

from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.releases.rows import BuiltShard, Terms, labelled

_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        pa.field("record_id", _TEXT, nullable=False), pa.field("kind", _TEXT, nullable=False), ("language", _TEXT), ("text", _TEXT),
        ("judgment", _TEXT), ("context", _TEXT), ("profile", _TEXT), ("context_terms", _TEXT), ("policies", pa.list_(_TEXT)),
        ("allowed_uses", pa.list_(_TEXT)), ("obligations", _TEXT), ("basis", _TEXT), ("attested_by", _TEXT), ("attribution", _TEXT),
        ("credit", _TEXT), ("parent", _TEXT), ("platform", _TEXT), ("link", _TEXT), pa.field("tombstone", pa.bool_(), nullable=False),
        ("labels", pa.list_(_TEXT)),
    ]
)  # fmt: skip
UNLABELLED = SCHEMA.remove(SCHEMA.get_field_index("labels"))
"""Of releases of before rows had labels: a file that is built again must have the bytes that it had."""
_NAMES = SCHEMA.names
GROUP = 8_000
"""Rows of a row group: what is held at a time."""
Row = tuple[Any, ...]


class ParquetRows:
    """A record as a tuple in the order of `SCHEMA`. `actions` are those of the signed use: every record in it permits them all."""

    name = f"parquet 1, pyarrow {pa.__version__}"

    def __init__(self, terms: list[Terms], actions: tuple[str, ...]) -> None:
        self._terms = terms
        self._actions = list(actions)
        self._schema = SCHEMA if labelled(terms) else UNLABELLED

    def part(self, text: bytes | None) -> str | None:
        """A part as it stands in a row."""
        return None if text is None else text.decode()

    def row(
        self, record_id: bytes, key: tuple[int, str, str | None, str], context_terms: str | None, parent: bytes | None,
        texts: list[Any], credit: str | None, link: bytes | None,
    ) -> Row:  # fmt: skip
        at, kind, language, platform = key
        t = self._terms[at]
        return (
            record_id.hex(), kind, language, texts[0], texts[1], texts[2], texts[3], context_terms, list(t.policies), self._actions, t.duties,
            t.basis, t.attested_by, t.attribution, credit, None if parent is None else parent.hex(), platform,
            None if link is None else link.hex(), False, None if t.labels is None else list(t.labels),
        )  # fmt: skip

    def tombstone(self, record_id: bytes, kind: str, parent: bytes | None) -> Row:
        """Keeps the place of a record, and says nothing more."""
        rest: dict[str, Any] = {"record_id": record_id.hex(), "kind": kind, "parent": None if parent is None else parent.hex(), "tombstone": True}
        return tuple(rest.get(name) for name in _NAMES)

    def block(self, rows: list[Row]) -> list[Row]:
        return rows

    def packer(self, built: BuiltShard, directory: Path) -> "ParquetPacker":
        return ParquetPacker(built, directory, self._schema)


class ParquetPacker:
    """A shard's file while it is written: zstd level 3, a row group at a time."""

    def __init__(self, built: BuiltShard, directory: Path, schema: pa.Schema = SCHEMA) -> None:
        self._built = built
        self._schema = schema
        self._waiting: list[Row] = []
        built.path = directory / f"{built.shard}.parquet"
        self._writer = pq.ParquetWriter(
            built.path, schema, compression="zstd", compression_level=3, use_dictionary=["kind", "language", "basis", "attested_by", "platform"],
            store_schema=False, write_statistics=["record_id", "kind", "language"],
        )  # fmt: skip

    def add(self, rows: list[Row]) -> None:
        self._waiting += rows
        if len(self._waiting) >= GROUP:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._writer.close()
        with self._built.path.open("rb") as file:
            self._built.sha256 = file_digest(file, "sha256").hexdigest()
            self._built.bytes = file.tell()

    def _write(self) -> None:
        columns = list(zip(*self._waiting, strict=True))[: len(self._schema)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._waiting = []
