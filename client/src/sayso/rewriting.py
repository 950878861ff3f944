"""A shard without some of its records: read and written as it streams, under a name of its own."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from sayso import disk, errors, local, parquet, proofs


def rewrite(path: Path, shard: local.Listed, unwanted: set[str]) -> tuple[set[str], str, int]:
    """Write the shard at `path` anew without the records in `unwanted` (hex); a tombstone keeps its place.

    Gives (the records that were found, the new file's digest, its bytes). Where none was found there is no new file, and
    digest and size say nothing. The rows that stay say what they said. Raises errors.Damaged.
    """
    part = path.with_name(f"{shard.sha256}.new.part")
    try:
        with path.open("rb") as source:
            found = parquet.without(source, part, unwanted) if shard.format == "parquet" else _lines(source, part, unwanted)
        with part.open("rb") as file:
            os.fsync(file.fileno())
    except proofs.Failed as error:
        part.unlink(missing_ok=True)
        raise errors.Damaged(f"{path.name} cannot be read: {error}") from error
    if not found:
        part.unlink()
        return found, "", 0
    with part.open("rb") as file:
        digest, size = hashlib.file_digest(file, "sha256").hexdigest(), file.tell()
    part.replace(path.with_name(shard.name(digest)))
    disk.settle(path.parent)
    return found, digest, size


def _lines(source: BinaryIO, target: Path, unwanted: set[str]) -> set[str]:
    zstandard = proofs.zstd()
    found: set[str] = set()
    with target.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as packed:
        for line in proofs.shard_lines(source):
            row = proofs.parse(line, "a row")
            record = row.get("record_id")
            if record in unwanted and row.get("tombstone") is not True:
                found.add(str(record))
            else:
                packed.write(line + b"\n")
    return found
