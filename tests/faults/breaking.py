"""Calls that fail on demand: the k-th of those that a piece of work makes to the database, to files and to the blob store."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from app.kit import journal
from app.kit.bulk import Direct
from app.kit.runtime import Runtime

BACKGROUND = (
    "sayso-publish", "sayso-evict", "sayso-push", "sayso-webhooks", "sayso-housekeeping", "sayso-recovery", "dbos", "DBOS", "ThreadPoolExecutor",
)  # fmt: skip

BORDERS = ("BEGIN", "COMMIT", "ROLLBACK", "before commit", "after commit", "begin", "commit", "journal", "blob")

_ALL = 3


class Broken(Exception):
    """A call that failed because it was its turn."""


class BrokenFile(OSError):
    """The same for a file: what a full disk or a lost mount raises."""


class Breaking:
    """Counts calls of the threads that work for a request (or of the test's own), and fails number `at`.

    With `every` above 1 not all statements of a flow count: after its first three calls, of those between two borders (a transaction's
    begin and end, a line of the journal, a blob, each of which always counts) the first and every so many-th after it. What fails between
    them is undone by the same code.
    """

    def __init__(self, every: int = 1) -> None:
        self.at = 0
        self.calls = 0
        self.fired = ""
        self._every, self._between, self._met = every, 0, 0
        self._lock = threading.Lock()

    def arm(self, at: int) -> None:
        self.at, self.calls, self.fired, self._between, self._met = at, 0, "", 0, 0

    def disarm(self) -> None:
        self.at = 0

    def meet(self, what: str, kind: type[Exception] = Broken) -> None:
        if not self.at or threading.current_thread().name.startswith(BACKGROUND):
            return
        with self._lock:
            self._met += 1
            self._between = 0 if what.startswith(BORDERS) else self._between + 1
            if self._met > _ALL and self._between and (self._between - 1) % self._every:
                return
            self.calls += 1
            if self.calls != self.at:
                return
            self.fired = what
        raise kind(what)


@contextmanager
def breaking(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, every: int = 1) -> Iterator[Breaking]:
    """Statements (all, or `every` so many-th), begin and commit (before it, and after it was done), every line of the journal, every blob call."""
    it = Breaking(every)

    def statement(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        it.meet(text.split(None, 1)[0])

    event.listen(runtime.engine, "before_cursor_execute", statement)
    dialect: Any = runtime.engine.dialect
    commit: Callable[[Any], None] = dialect.do_commit

    def committing(connection: Any) -> None:
        it.meet("before commit")
        commit(connection)
        it.meet("after commit")

    monkeypatch.setattr(dialect, "do_commit", committing)
    for name in ("run", "run_among", "insert", "insert_new", "load", "begin", "commit"):
        monkeypatch.setattr(Direct, name, _first(it, name, getattr(Direct, name)))
    monkeypatch.setattr(journal, "_put", _first(it, "journal", journal._put, BrokenFile))
    for name in ("put", "put_file", "copy", "get", "size", "read", "delete", "names"):
        monkeypatch.setattr(runtime.blobs, name, _first(it, f"blob {name}", getattr(runtime.blobs, name), BrokenFile))
    try:
        yield it
    finally:
        it.disarm()
        event.remove(runtime.engine, "before_cursor_execute", statement)
        monkeypatch.undo()


def _first(it: Breaking, what: str, real: Any, kind: type[Exception] = Broken) -> Any:
    def call(*args: Any, **values: Any) -> Any:
        it.meet(what, kind)
        return real(*args, **values)

    return call
