"""A queue on disk that outlives its process: appended by one thread, read in order by another.

A directory holds segments of frames, and a page of two counters that is mapped into memory: how many records were accepted, and
up to which they were delivered. A store into mapped memory survives the end of the process, so what was accepted and never
reached a segment is known afterwards by its number.
"""

import fcntl
import mmap
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sayso import disk

_FRAME = struct.Struct("<IQI")
"""Length of the body, number, CRC-32 of number and body."""
_META = struct.Struct("<8sQQ")
_MAGIC = b"sayso\x00\x00\x01"
SEGMENT = 8 * 2**20
Frame = tuple[int, bytes]
"""Number from 1, body."""


class Busy(Exception):
    """Another process has the directory."""


class Spool:
    """One process's directory. Raises Busy where another has it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Busy from None
        self._meta = self._map()
        self._last: tuple[int, int] | None = None
        self._changing = threading.Lock()
        self._segments = sorted(directory.glob("*.spool"))
        self.written = self._recover()
        self.lost = max(0, self.accepted - self.written)
        """Records that were accepted by the process before and were not yet on disk when it was killed."""
        self._set(self.written, self.delivered)
        self._out: int | None = None
        self._out_size = 0
        self._in: tuple[Path, int] | None = None

    # -- counters ----------------------------------------------------------------------------------------------------
    @property
    def accepted(self) -> int:
        return self._last[0] if self._last else int(_META.unpack_from(self._meta)[1])

    @property
    def delivered(self) -> int:
        return self._last[1] if self._last else int(_META.unpack_from(self._meta)[2])

    def accept(self) -> int:
        """The number of one more record. The caller sees to it that one thread at a time asks. Touches no disk."""
        number = self.accepted + 1
        struct.pack_into("<Q", self._meta, 8, number)
        return number

    def deliver(self, number: int) -> None:
        """Everything up to `number` is settled and need not be read again."""
        struct.pack_into("<Q", self._meta, 16, number)

    # -- the writing thread ------------------------------------------------------------------------------------------
    def append(self, frames: Sequence[Frame]) -> None:
        """Put frames on disk; they are there when this returns. Raises OSError, and may then be called with them again."""
        data = b"".join(_frame(number, body) for number, body in frames)
        if self._out is None or self._out_size >= SEGMENT:
            self._roll(frames[0][0])
        assert self._out is not None
        try:
            view, at = memoryview(data), 0
            while at < len(data):
                at += os.write(self._out, view[at:])
            os.fsync(self._out)
        except OSError:
            # What was half written is cut off, so that the next frame stands where a reader looks for it.
            os.ftruncate(self._out, self._out_size)
            os.lseek(self._out, self._out_size, os.SEEK_SET)
            raise
        self._out_size += len(data)
        self.written = frames[-1][0]

    def _roll(self, number: int) -> None:
        if self._out is not None:
            os.close(self._out)
            self._out = None
        path = self.directory / f"{number:020d}.spool"
        self._out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._out_size = 0
        disk.settle(self.directory)
        with self._changing:
            self._segments.append(path)

    # -- the reading thread ------------------------------------------------------------------------------------------
    def read(self, most: int, most_bytes: int) -> list[Frame]:
        """The next frames that are on disk, in order, after those that were read before; [] where there are none yet.

        A segment whose frames were all read is deleted when the next one is begun: deliver what was read before reading on.
        """
        while True:
            with self._changing:
                if not self._segments:
                    return []
                path, at = self._in or (self._segments[0], 0)
                is_last = self._segments[-1] == path
            found: list[Frame] = []
            size = 0
            for number, body, end in _frames(path, at):
                if number > self.written or len(found) == most or (found and size + len(body) > most_bytes):
                    break
                at, size = end, size + len(body)
                if number > self.delivered:
                    found.append((number, body))
            self._in = (path, at)
            if found or is_last:
                return found
            with self._changing:
                self._segments.remove(path)
            self._in = None
            path.unlink()

    def abandon(self) -> None:
        """In a child after a fork: close what was inherited. The directory stays its parent's."""
        os.close(self._lock)
        if self._out is not None:
            os.close(self._out)
        self._meta.close()

    def close(self) -> None:
        """Let the directory go. Only when both threads have ended."""
        if self._out is not None:
            os.close(self._out)
            self._out = None
        if self.delivered >= self.written:
            for path in self._segments:
                path.unlink(missing_ok=True)
        self._last = (self.accepted, self.delivered)
        self._meta.flush()
        self._meta.close()
        os.close(self._lock)

    def _map(self) -> mmap.mmap:
        file = os.open(self.directory / "counters", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(file).st_size != mmap.PAGESIZE:
                os.ftruncate(file, mmap.PAGESIZE)
            mapped = mmap.mmap(file, mmap.PAGESIZE)
        finally:
            os.close(file)
        if mapped[:8] != _MAGIC:
            mapped[: _META.size] = _META.pack(_MAGIC, 0, 0)
        return mapped

    def _set(self, accepted: int, delivered: int) -> None:
        self._meta[: _META.size] = _META.pack(_MAGIC, accepted, delivered)

    def _recover(self) -> int:
        """The last number that is whole on disk (or was delivered); half a frame at the end is cut off."""
        last = self.delivered
        for path in self._segments:
            end = 0
            for number, _, after in _frames(path, 0):
                last, end = max(last, number), after
            if not end:
                path.unlink()
            elif end < path.stat().st_size:
                os.truncate(path, end)
        self._segments = [path for path in self._segments if path.exists()]
        return last


def _frame(number: int, body: bytes) -> bytes:
    return _FRAME.pack(len(body), number, zlib.crc32(struct.pack("<Q", number) + body)) + body


def _frames(path: Path, at: int) -> Iterator[tuple[int, bytes, int]]:
    """(number, body, where the next begins), from `at` on, as far as they are whole."""
    with path.open("rb") as file:
        file.seek(at)
        while True:
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                return
            length, number, check = _FRAME.unpack(head)
            body = file.read(length)
            if len(body) < length or zlib.crc32(struct.pack("<Q", number) + body) != check:
                return
            at += _FRAME.size + length
            yield number, body, at


def open_one(root: Path) -> Spool:
    """The first directory under `root` that no other process has, with what ended processes left in the others moved to its end."""
    mine: Spool | None = None
    number = 0
    while mine is None:
        try:
            mine = Spool(root / str(number))
        except Busy:
            number += 1
    for other in sorted(p for p in root.iterdir() if p.is_dir() and p != mine.directory):
        try:
            left = Spool(other)
        except Busy:
            continue
        while frames := left.read(1000, SEGMENT):
            mine.append([(mine.accept(), body) for _, body in frames])
            left.deliver(frames[-1][0])
        mine.lost += left.lost
        left.close()
    return mine
