"""A record that does not end, read in a process of its own and its memory measured: what is imported here is measured too, so it is little."""

import io
import json
import tracemalloc
from collections.abc import Iterator

from app.contributions.formats import reading
from app.contributions.formats.cutting import SourceRecord
from app.contributions.formats.draft import Refusal
from app.contributions.formats.registry import ADAPTERS


class Endless(io.RawIOBase):
    """A line of `size` bytes that is never held, between two good ones."""

    def __init__(self, size: int, before: bytes, filler: bytes, after: bytes) -> None:
        self._parts: Iterator[bytes] = self._give(size, before, filler * (1 << 14), after)

    def _give(self, size: int, before: bytes, block: bytes, after: bytes) -> Iterator[bytes]:
        yield before
        for _ in range(size // len(block)):
            yield block
        yield after

    def read(self, size: int = -1) -> bytes:
        return next(self._parts, b"")


def pass_over(before: bytes, filler: bytes, after: bytes) -> None:
    """Read it and print what was found, with the most memory that took, in bytes."""
    # A smaller bound, since measuring memory makes the walk slow; a line of 2 GB has a test of its own.
    reading.MOST = 1 << 18
    tracemalloc.start()
    found = list(ADAPTERS["openassistant"].read(Endless(3 << 18, before, filler, after), "x.jsonl"))  # type: ignore[arg-type]
    refused = [one.code for one in found if isinstance(one, Refusal)]
    ids = [d.external_id for one in found if isinstance(one, SourceRecord) for d in one.drafts]
    print(json.dumps({"peak": tracemalloc.get_traced_memory()[1], "refused": refused, "read": ids}))
