"""The second place: what must survive the database. Narrowing acts, the leaves of the log, its last checkpoint.

A narrowing act is one line here, on disk before the database commits it (`note`, and the hook at the end of this file). The
line is written while its transaction holds the log's head, so lines stand in the order of the log, and whoever holds the head
may take every line for decided: committed, or never to be. A database that was set back is behind these lines; a process that
died between line and commit left one line without its act.

One directory for all processes of a service, each file changed under one lock (`flock`, which network file systems of today
keep across machines). Lines hold ids and keyed hashes, never content.
"""

import fcntl
import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction as Transaction

from app.kit.errors import Unavailable
from app.kit.files import sync_directory
from app.kit.ids import encode

Line = dict[str, Any]
_FRAME = struct.Struct(">QH")
"""Index and length of a kept leaf."""
_MARK = 8


class JournalDamaged(Exception):
    """A line or leaf is not what was written: an operator must look before anything is released."""


class Journal:
    """The files of the second place. Every write is on disk when it returns; OSError where it cannot be."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._threads = threading.Lock()
        self._leaves: tuple[int, int] = (0, 0)
        """How many leaves are kept, and where the next begins, as far as this process has read."""
        self.identity = self._identify()

    # -- narrowing acts ------------------------------------------------------------------------------------------
    def append(self, lines: list[Line]) -> None:
        """Write lines and wait until they are on disk. All of them or none stays, however the write fails."""
        data = b"".join(_line(line) for line in lines)
        with self._locked():
            with self._open("narrowing.log") as file:
                end = _after_last_line(file)  # what a writer left that died in the middle of a line
                try:
                    _put(file, end, data)
                except OSError:
                    with suppress(OSError):
                        file.truncate(end)
                    raise

    def lines(self, start: int = 0) -> list[Line]:
        """Every line from byte `start` on, in the order of writing; one torn at the end was never acknowledged and is left out.

        Raises JournalDamaged where a line before the end is not whole.
        """
        with self._locked():
            path = self.directory / "narrowing.log"
            data = b""
            if path.exists():
                with path.open("rb") as file:
                    file.seek(start)
                    data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        return [_read(line, n) for n, line in enumerate(whole.splitlines())]

    def end(self) -> int:
        """Where the next line begins, in bytes."""
        path = self.directory / "narrowing.log"
        with self._locked():
            if not path.exists():
                return 0
            with path.open("rb") as file:
                return _after_last_line(file)

    # -- the log -------------------------------------------------------------------------------------------------
    def kept(self) -> int:
        """How many of the log's leaves are here."""
        with self._locked():
            return self._look()[0]

    def keep_leaves(self, size: int, leaves: Callable[[int, int], list[bytes]]) -> None:
        """Keep the log's first `size` leaves; `leaves(start, end)` gives those that are missing.

        They are asked for with nothing locked: whoever holds the log's head waits for the lock of these files.
        """
        while (count := self.kept()) < size:
            some = leaves(count, min(size, count + 20_000))
            data = b"".join(_FRAME.pack(count + n, len(leaf)) + leaf for n, leaf in enumerate(some))
            with self._locked():
                now, at = self._look()
                if now == count:  # else another process kept some meanwhile
                    with self._open("leaves.bin") as file:
                        _put(file, at, data)
                    self._leaves = count + len(some), at + len(data)

    def leaves(self, start: int = 0) -> Iterator[bytes]:
        """The kept leaves from index `start` on."""
        with self._locked():
            count, _ = self._look()
        if count == 0:
            return
        with (self.directory / "leaves.bin").open("rb") as file:
            for n in range(count):
                index, length = _FRAME.unpack(file.read(_FRAME.size))
                if index != n:
                    raise JournalDamaged(f"leaf {n} of the second place is not in its place")
                leaf = file.read(length)
                if n >= start:
                    yield leaf

    def keep_checkpoint(self, note: str, size: int) -> None:
        """Keep a signed checkpoint, unless a newer one is here."""
        with self._locked():
            before = self._checkpoint()
            if before is None or _size_of(before) < size:
                self._replace("checkpoint", note.encode())

    def checkpoint(self) -> str | None:
        """The newest signed checkpoint that was ever kept here."""
        with self._locked():
            return self._checkpoint()

    # -- policies ------------------------------------------------------------------------------------------------
    def keep_policy(self, digest: str, body: bytes) -> None:
        """Keep a policy's canonical bytes, by which a choice of terms can be made again."""
        path = self.directory / "policies" / digest
        if not path.exists():
            with self._locked():
                path.parent.mkdir(exist_ok=True, mode=0o700)
                self._replace(f"policies/{digest}", body)

    def policy(self, digest: str) -> bytes | None:
        """A kept policy."""
        path = self.directory / "policies" / digest
        return path.read_bytes() if path.exists() else None

    # -- files ---------------------------------------------------------------------------------------------------
    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._threads, (self.directory / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # let go when the file is closed

    def _open(self, name: str) -> Any:
        path = self.directory / name
        if not path.exists():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.close(descriptor)
            sync_directory(self.directory)
        return path.open("r+b", buffering=0)

    def _replace(self, name: str, data: bytes) -> None:
        path = self.directory / name
        scratch = path.with_name(path.name + ".new")
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        sync_directory(path.parent)

    def _identify(self) -> str:
        path = self.directory / "id"
        with self._locked():
            if not path.exists():
                self._replace("id", encode(os.urandom(16)).encode())
            return path.read_text("ascii")

    def _checkpoint(self) -> str | None:
        path = self.directory / "checkpoint"
        return path.read_text("utf-8") if path.exists() else None

    def _look(self) -> tuple[int, int]:
        """Read on from where this process last stood: others may have kept more. A torn leaf at the end does not count."""
        count, at = self._leaves
        path = self.directory / "leaves.bin"
        end = path.stat().st_size if path.exists() else 0
        if end < at:
            raise JournalDamaged("the kept leaves have become fewer")
        if end > at:
            with path.open("rb") as file:
                file.seek(at)
                while len(head := file.read(_FRAME.size)) == _FRAME.size:
                    index, length = _FRAME.unpack(head)
                    if at + _FRAME.size + length > end:
                        break
                    if index != count:
                        raise JournalDamaged(f"leaf {count} of the second place is not in its place")
                    file.seek(length, os.SEEK_CUR)
                    count, at = count + 1, at + _FRAME.size + length
            self._leaves = count, at
        return count, at


def _put(file: Any, at: int, data: bytes) -> None:
    """Make the file end with `data` at `at`, on disk. Raises OSError."""
    file.truncate(at)
    file.seek(at)
    while data:
        data = data[file.write(data) :]
    os.fsync(file.fileno())


def _line(line: Line) -> bytes:
    text = json.dumps(line, separators=(",", ":"), sort_keys=True).encode()
    return sha256(text).hexdigest()[:_MARK].encode() + b" " + text + b"\n"


def _read(line: bytes, number: int) -> Line:
    mark, _, text = line.partition(b" ")
    if sha256(text).hexdigest()[:_MARK].encode() != mark:
        raise JournalDamaged(f"line {number + 1} of those read from the narrowing journal is not what was written")
    found: Line = json.loads(text)
    return found


def _after_last_line(file: Any) -> int:
    """Where the next line begins: after the last that is whole."""
    end = file.seek(0, os.SEEK_END)
    at = end
    while at > 0:
        start = max(0, at - 65_536)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0


def _size_of(note: str) -> int:
    return int(note.split("\n", 2)[1])


# -- in the transaction of the act ---------------------------------------------------------------------------------
def note(session: Session, line: Line) -> None:
    """Have `line` written before this session's transaction commits. The caller holds the log's head."""
    session.info.setdefault("journal", []).append(line)


def keep_policy(session: Session, digest: str, body: bytes) -> None:
    """Have a policy that a noted act names kept with it."""
    session.info.setdefault("journal_policies", {})[digest] = body


@event.listens_for(Session, "before_commit")
def _write(session: Session) -> None:
    if session.in_nested_transaction():
        return
    lines = session.info.pop("journal", [])
    policies = session.info.pop("journal_policies", {})
    if not lines:
        return
    session.flush()  # what can still fail fails before there is a line
    journal: Journal = session.get_bind().sayso_journal  # type: ignore[union-attr]
    try:
        for digest, body in policies.items():
            journal.keep_policy(digest, body)
        journal.append(lines)
    except OSError:
        raise Unavailable("journal_unavailable", "Try again in a moment; nothing was done.", retry_after=5) from None


@event.listens_for(Session, "after_soft_rollback")
def _drop(session: Session, transaction: Transaction) -> None:
    if transaction.parent is None:
        session.info.pop("journal", None)
        session.info.pop("journal_policies", None)
