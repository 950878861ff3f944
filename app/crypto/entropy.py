"""Random bytes for one piece of work, fetched from the system in blocks."""

import os


class Entropy:
    """`os.urandom` in blocks: each call to the system gives up the interpreter lock, and in a thread beside a busy
    event loop getting it back takes longer than the record.

    Make one for one piece of work and let it go afterwards: kept across a fork, both sides would draw the same bytes.
    """

    __slots__ = ("_at", "_block", "_data")

    def __init__(self, block: int = 4096) -> None:
        self._block = block
        self._data = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """`size` bytes that were never given before."""
        end = self._at + size
        if end > len(self._data):
            self._data = os.urandom(max(self._block, size))
            self._at, end = 0, size
        found = self._data[self._at : end]
        self._at = end
        return found
