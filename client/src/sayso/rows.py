"""Every row of a release's shards, against what the manifest says and what was removed from them since."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sayso import parquet, proofs
from sayso.local import DIGEST, FORMATS, Rewritten
from sayso.proofs import Failed, get, same, texts

_TOMBSTONE = ("record_id", "tombstone", "kind", "parent")


def read(file: BinaryIO, form: str) -> Iterator[dict[str, Any]]:
    """The rows of a shard file of that format, as they stand in it. Raises Failed."""
    if form == "parquet":
        yield from parquet.rows(file)
        return
    for line in proofs.shard_lines(file):
        yield proofs.parse(line, "a row")


def group_of(row: dict[str, Any]) -> tuple[str, str | None, str]:
    """Platform, language and kind of a row, or of a group in a manifest. Raises Failed."""
    language = get(row, "language", (str, type(None)))
    return get(row, "platform", str), language, get(row, "kind", str)


class Shards:
    """The shard files in a directory. `found` counts rows by kind, tombstones under "", as `ids` is read."""

    def __init__(self, folder: Path, policies: set[str], here: dict[str, Rewritten], recalled: dict[str, set[str]]) -> None:
        self._folder = folder
        self._policies = policies
        self._here = here
        self._recalled = recalled
        self._told = set().union(*recalled.values())
        self.found: Counter[str] = Counter()
        self.groups: Counter[tuple[str, str | None, str]] = Counter()
        """Records by platform, language and kind."""
        self.removed = 0

    def ids(self, listed: list[dict[str, Any]]) -> Iterator[bytes]:
        """The ids of all records that were released, in order: those in the files, and those removed from them by a recall.

        Raises Failed for a file that is not the manifest's or `local.json`'s, and for a row out of its place.
        """
        unknown = set(self._here) - {get(shard, "sha256", str) for shard in listed}
        if unknown:
            raise Failed("local.json names a shard that the manifest does not")
        before = b""
        for shard in listed:
            prefix = get(shard, "prefix", str)
            gone = self._removed(get(shard, "sha256", str))
            for record, live in heapq.merge(self._file(shard, gone), ((item, True) for item in gone)):
                bits = bin(int.from_bytes(record))[2:].zfill(256)
                if not bits.startswith(prefix) or record <= before:
                    raise Failed(f"record {record.hex()} is out of its place")
                before = record
                if live:
                    yield record

    def _removed(self, digest: str) -> list[bytes]:
        """What may be missing from a shard: exactly what local.json names, each of it in a recall that it names."""
        one = self._here.get(digest)
        if one is None:
            return []
        told = set().union(*(self._recalled[recall] for recall in one.recalls))
        for record in one.removed:
            if record not in told:
                raise Failed(f"record {record} was removed and no recall says so")
        self.removed += len(one.removed)
        return [bytes.fromhex(record) for record in one.removed]

    def _file(self, shard: dict[str, Any], gone: list[bytes]) -> Iterator[tuple[bytes, bool]]:
        digest = get(shard, "sha256", str)
        if get(shard, "format", str) not in FORMATS or not DIGEST.fullmatch(digest):
            raise Failed("a shard is of a format this verifier does not know")
        one = self._here.get(digest)
        wanted = (digest, get(shard, "bytes", int)) if one is None else (one.sha256, one.bytes)
        path = next((p for p in sorted(self._folder.glob(wanted[0] + "*")) if p.suffix != ".part"), None)
        if path is None:
            raise Failed(f"shard {wanted[0]} is not in {self._folder}")
        try:
            with path.open("rb") as file:
                same(hashlib.file_digest(file, "sha256").hexdigest(), wanted[0], f"shard {wanted[0]} has other bytes")
                same(file.tell(), wanted[1], f"shard {wanted[0]} has another length")
                file.seek(0)
                rows = 0
                for row in read(file, shard["format"]):
                    record, live = self._row(row)
                    if live and record.hex() in self._told:
                        raise Failed(f"record {record.hex()} was recalled and is still there")
                    rows += 1
                    yield record, live
                same(rows + len(gone), get(shard, "rows", int), f"shard {digest} has another number of rows")
        except OSError as error:
            raise Failed(f"shard {digest} cannot be read: {error.strerror}") from error

    def _row(self, row: dict[str, Any]) -> tuple[bytes, bool]:
        """A row's record id, and whether it is a record or keeps the place of one."""
        record, kind = get(row, "record_id", str), get(row, "kind", str)
        if not DIGEST.fullmatch(record):
            raise Failed(f"record {record[:64]} is out of its place")
        live = row.get("tombstone") is not True
        if not live:
            if any(v is not None for k, v in row.items() if k not in _TOMBSTONE):
                raise Failed(f"tombstone {record} holds more than its kind and place")
            if not DIGEST.fullmatch(row.get("parent") or record):
                raise Failed(f"tombstone {record} names a place that is no record id")
        elif not texts(row, "policies") or not set(row["policies"]) <= self._policies:
            raise Failed(f"record {record} stands under policies that the manifest does not name")
        self.found[kind or "?" if live else ""] += 1
        if live:
            self.groups[group_of(row)] += 1
        return bytes.fromhex(record), live
