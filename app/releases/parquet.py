"""Shards as Parquet: the same rows as columns. A part is a string with its exact JSON text, never parsed.

The columns are those of a JSON line. A file follows from its rows alone: what does not change between two cuts keeps its digest.
"""

from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.core.vocabulary import PARTS
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
GROUP = 8_000
"""Rows of a row group: what is held at a time."""
Row = tuple[Any, ...]
_OWN = ("record_id", "kind", "language", "text", "judgment", "context", "profile", "context_terms", "credit", "parent", "platform", "link")
"""The columns that a row has of its own, in the order in which it has them, after the place of its terms. The others follow from those."""
_PARTS, _IDS = frozenset(PARTS), frozenset(("record_id", "parent", "link"))


class ParquetRows:
    """A record as the place of its terms and a tuple in the order of `_OWN`, with ids and parts as bytes. `actions` are those of the signed
    use: every record in it permits them all."""

    name = f"parquet 1, pyarrow {pa.__version__}"

    def __init__(self, terms: list[Terms], actions: tuple[str, ...]) -> None:
        self.schema = SCHEMA if labelled(terms) else UNLABELLED
        told = {
            "policies": [list(t.policies) for t in terms], "allowed_uses": [list(actions)] * len(terms), "obligations": [t.duties for t in terms],
            "basis": [t.basis for t in terms], "attested_by": [t.attested_by for t in terms], "attribution": [t.attribution for t in terms],
            "labels": [None if t.labels is None else list(t.labels) for t in terms],
        }  # fmt: skip
        self._told = {name: pa.array(values, SCHEMA.field(name).type) for name, values in told.items()}

    def part(self, text: bytes | None) -> bytes | None:
        """A part as it stands in a row."""
        return text

    def row(
        self, record_id: bytes, key: tuple[int, str, str | None, str], context_terms: str | None, parent: bytes | None,
        texts: list[Any], credit: str | None, link: bytes | None,
    ) -> Row:  # fmt: skip
        at, kind, language, platform = key
        return at, record_id, kind, language, *texts, context_terms, credit, parent, platform, link

    def tombstone(self, record_id: bytes, kind: str, parent: bytes | None) -> Row:
        """Keeps the place of a record, and says nothing more."""
        return None, record_id, kind, None, None, None, None, None, None, None, parent, None, None

    def block(self, rows: list[Row]) -> list[Row]:
        return rows

    def batch(self, rows: list[Row]) -> pa.RecordBatch:
        """Rows as columns. What follows from the terms is made once for each terms and taken from there, which costs a fraction."""
        places, *own = zip(*rows, strict=True)
        at = pa.array(places, pa.int32())
        columns = {name: told.take(at) for name, told in self._told.items()}
        for name, values in zip(_OWN, own, strict=True):
            if name in _IDS:
                values = [None if value is None else value.hex() for value in values]
            # Exact bytes, looked at once whether they are UTF-8, and not made into text and back.
            columns[name] = pa.array(values, pa.binary()).cast(_TEXT) if name in _PARTS else pa.array(values, _TEXT)
        columns["tombstone"] = at.is_null()
        return pa.record_batch([columns[name] for name in self.schema.names], schema=self.schema)

    def packer(self, built: BuiltShard, directory: Path) -> "ParquetPacker":
        return ParquetPacker(built, directory, self)


class ParquetPacker:
    """A shard's file while it is written: zstd level 3, a row group at a time."""

    def __init__(self, built: BuiltShard, directory: Path, form: ParquetRows) -> None:
        self._built = built
        self._form = form
        self.waiting: list[pa.RecordBatch] = []
        built.path = directory / f"{built.shard}.parquet"
        self._writer = pq.ParquetWriter(
            built.path, form.schema, compression="zstd", compression_level=3,
            use_dictionary=["kind", "language", "basis", "attested_by", "platform"],
            store_schema=False, write_statistics=["record_id", "kind", "language"],
        )  # fmt: skip

    def add(self, rows: list[Row]) -> None:
        self.waiting.append(self._form.batch(rows))
        if sum(batch.num_rows for batch in self.waiting) >= GROUP:
            self._write()

    def close(self) -> None:
        if self.waiting:
            self._write()
        self._writer.close()
        with self._built.path.open("rb") as file:
            self._built.sha256 = file_digest(file, "sha256").hexdigest()
            self._built.bytes = file.tell()

    def _write(self) -> None:
        # In one piece: where pages end must follow from the rows, not from how they came.
        (group,) = pa.Table.from_batches(self.waiting).combine_chunks().to_batches()
        self.waiting = []
        self._writer.write_batch(group)
