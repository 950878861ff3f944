"""Many items in the order of their key, without holding them: beyond some thousands they wait in a file beside the shards' own.

Written as they come they would land all over a release's items. Each little transaction would then touch as many pages as it has rows, and
the selection that is still being read would keep SQLite's write-ahead log from starting over: a million items made four gigabytes of it,
through which every later read had to look. Sorting takes as much again in SQLite's own nameless files (`SQLITE_TMPDIR`, or the system's place).
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

Item = Sequence[Any]
HELD = 40_000
"""Items that are held before they are put aside: some ten megabytes."""


class Sorter:
    """Tuples of plain values by their first two, each list of them once. `place` is a file that is not there; `close` deletes it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._held: list[Item] = []
        self.size = 0
        """Items that were added."""
        self._aside: sqlite3.Connection | None = None

    def add(self, items: list[Item]) -> None:
        """More of them, in any order."""
        self._held += items
        self.size += len(items)
        if len(self._held) > HELD:
            self._put_aside()

    def _put_aside(self) -> None:
        if self._aside is None:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._place.touch(mode=0o600)
            self._aside = sqlite3.connect(self._place, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE", "temp_store = FILE", "cache_size = -16000"):
                self._aside.execute(f"PRAGMA {setting}")
            self._aside.execute(f"CREATE TABLE item ({','.join(f'c{n}' for n in range(len(self._held[0])))})")
        self._aside.execute("BEGIN")
        self._aside.executemany(f"INSERT INTO item VALUES ({','.join('?' * len(self._held[0]))})", self._held)  # noqa: S608
        self._aside.execute("COMMIT")
        self._held = []

    def sorted(self, size: int) -> Iterator[list[Item]]:
        """All of them, at most `size` at a time."""
        if self._aside is None:
            self._held.sort()
            rest = iter(self._held)
        else:
            if self._held:
                self._put_aside()
            rest = self._aside.execute("SELECT * FROM item ORDER BY c0, c1")
        while some := list(islice(rest, size)):
            yield some

    def close(self) -> None:
        """Leave nothing."""
        if self._aside is not None:
            self._aside.close()
        self._place.unlink(missing_ok=True)
