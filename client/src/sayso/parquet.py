"""Shards as Parquet, read and written a row group at a time. Needs pyarrow: `pip install "sayso[parquet]"`."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from sayso.proofs import Failed


def rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The rows of a shard. Raises Failed."""
    arrow, parquet = _library()
    try:
        with parquet.ParquetFile(file) as shard:
            for batch in shard.iter_batches(2_000):
                yield from batch.to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise Failed("a shard is not Parquet") from error


def without(source: BinaryIO, target: Path, unwanted: set[str]) -> set[str]:
    """Write the shard anew without the records in `unwanted` (hex), tombstones kept; gives those that were found. Raises Failed."""
    arrow, parquet = _library()
    found: set[str] = set()
    try:
        with parquet.ParquetFile(source) as shard:
            schema = shard.schema_arrow
            with parquet.ParquetWriter(target, schema, compression="zstd", compression_level=3, store_schema=False) as writer:
                for group in range(shard.num_row_groups):
                    table = shard.read_row_group(group)
                    ids, stones = table.column("record_id").to_pylist(), table.column("tombstone").to_pylist()
                    gone = [one in unwanted and not stone for one, stone in zip(ids, stones, strict=True)]
                    found |= {one for one, drop in zip(ids, gone, strict=True) if drop}
                    kept = table.filter(arrow.array([not drop for drop in gone], arrow.bool_()))
                    if kept.num_rows:
                        writer.write_table(kept)
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise Failed("a shard is not Parquet") from error
    return found


def _library() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise Failed('Parquet shards need pyarrow: pip install "sayso[parquet]"') from error
