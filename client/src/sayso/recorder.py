"""For platforms: record what people give without ever making them wait.

    consent = Consent("https://plt_…:secret@sayso.example", consent=terms)
    consent.record(kind="preference", contributor=user, parts={"judgment": {"winner": "a"}})

`record` puts the contribution into memory and returns. One thread writes what is in memory to a directory, one sends what is in
the directory, in order. A service that is away or busy is tried again for as long as it takes, also by the next process.
"""

import atexit
import json
import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import httpx

from sayso import errors
from sayso.http import Transport
from sayso.models import BatchItem, ConsentGiven, NewContribution
from sayso.platform import CHUNK, CHUNK_BYTES, Platform
from sayso.spool import Frame, Spool, open_one

_log = logging.getLogger("sayso")
LONGEST_PAUSE = 30.0
"""Seconds between two attempts to reach a service that is away."""
_LINGER = 0.01
_FINAL = frozenset({400, 409, 410, 413, 422})
"""Statuses of a refusal that no second try changes, where the service itself says why. Everything else may pass: a proxy's 404, a
secret that was not changed everywhere yet."""
Seen = Callable[[BatchItem], None]


@dataclass(frozen=True)
class Stats:
    """What became of the records of this process and of those it found on disk."""

    accepted: int
    """Taken by `record`."""
    waiting: int
    """Not yet answered by the service."""
    recorded: int
    refused: int
    """Refused by the service for good; each was logged with its code, and told to `on_refused`."""
    dropped: int
    """Not taken, because memory was full and the disk did not take them."""
    lost: int
    """Taken by an earlier process that was killed before they were on disk."""


_ALL: "weakref.WeakSet[Consent]" = weakref.WeakSet()


def _after_fork() -> None:
    """In the child: locks may have been held by threads that it does not have."""
    for one in list(_ALL):
        one._forked = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Consent:
    """Records contributions in the background. Safe to share between threads; survives a fork."""

    _spool: Spool
    _ended: bool
    _left: bool

    def __init__(
        self,
        key: str,
        *,
        consent: ConsentGiven | dict[str, Any] | None = None,
        spool: Path | str | None = None,
        on_recorded: Seen | None = None,
        on_refused: Seen | None = None,
        most: int = 100_000,
        timeout: float = 10.0,
        transport: Callable[[str], Transport] | None = None,
    ) -> None:
        """`key` is `https://CLIENT_ID:SECRET@host`, as `python -m app platforms add` prints it. `consent` goes with every record
        that brings none. `spool` is a directory of this platform's alone; it holds contributions as they are, readable by its
        owner only. `on_recorded` gets each answer with its claim link, `on_refused` each refusal, both in a thread of ours.
        `most` records wait in memory at most; `timeout` is in seconds, of one request.

        Raises ValueError for a key of another form, OSError where the directory cannot be used.
        """
        parts = urlsplit(key)
        if parts.scheme not in ("http", "https") or not (parts.username and parts.password and parts.hostname):
            raise ValueError("the key must be https://CLIENT_ID:SECRET@host, as `platforms add` prints it")
        self._base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
        self._client = (unquote(parts.username), unquote(parts.password))
        self._consent = consent
        self._root = Path(spool) if spool is not None else _state() / self._client[0]
        self._seen = (on_recorded, on_refused)
        self._most = most
        self._timeout = timeout
        self._transport = transport or self._usual_transport
        self._closed = False
        self._forked = threading.Lock()
        self._begin()
        _ALL.add(self)
        atexit.register(self.close)

    def record(
        self,
        *,
        kind: str,
        parts: dict[str, Any],
        external_id: str | None = None,
        consent: ConsentGiven | dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Take one contribution; gives its external id (made here unless given). Never waits for the disk or the network.

        `fields` are those of `NewContribution`: contributor, parent, created_at, language, context_terms, context_ref, models.
        What cannot be JSON raises ValueError or TypeError at once. Where memory is full the record is dropped, counted and logged.
        """
        own = external_id if external_id is not None else uuid.uuid4().hex
        new = NewContribution(
            external_id=own, kind=kind, parts=parts, consent=consent if consent is not None else self._consent, **fields
        )
        data = new.to_bytes()
        self._here()
        with self._changed:
            if self._closed:
                raise RuntimeError("this Consent is closed")
            if len(self._memory) >= self._most:
                self._dropped += 1
                if self._dropped & (self._dropped - 1) == 0:  # 1, 2, 4, 8, …: said, and not a thousand times a second
                    _log.error("sayso: memory is full and the spool does not take it: %d dropped", self._dropped)
                return own
            self._memory.append((self._spool.accept(), data))
            self._accepted += 1
            if len(self._memory) == 1:
                self._changed.notify_all()
        return own

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything taken so far is answered by the service. False where that took longer than `timeout` seconds."""
        self._here()
        with self._changed:
            wanted = self._spool.accepted
            self._hurry.set()
            return self._changed.wait_for(lambda: self._spool.delivered >= wanted, timeout)

    def stats(self) -> Stats:
        """Counts, now."""
        self._here()
        with self._changed:
            waiting = self._spool.accepted - self._spool.delivered
            return Stats(self._accepted, waiting, self._recorded, self._refused, self._dropped, self._spool.lost)

    def close(self, timeout: float = 5.0) -> bool:
        """Put everything on disk and send what can be sent within `timeout` seconds. The rest goes with the next start.
        Called at exit by itself. Gives whether nothing is left."""
        if self._closed or self._pid != os.getpid():
            return True
        ends = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            self._hurry.set()
            self._changed.notify_all()
        self._writer.join()
        self._sender.join(max(0.0, ends - time.monotonic()))
        self._stop.set()
        self._sender.join(0.5)  # it ends at once, unless it is in the middle of a call
        with self._changed:
            left = self._spool.accepted - self._spool.delivered
            if self._ended:
                self._spool.close()
            self._left = True
        if left:
            _log.warning("sayso: %d records wait on disk for the next start", left)
        atexit.unregister(self.close)
        return left == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- threads -----------------------------------------------------------------------------------------------------
    def _here(self) -> None:
        """After a fork, threads and directory are the parent's: whoever comes first in the child begins anew, and the others wait."""
        if self._pid == os.getpid():
            return
        with self._forked:
            if self._pid != os.getpid():
                self._begin()

    def _begin(self) -> None:
        if hasattr(self, "_spool"):
            before = self._spool
            del self._spool  # once: its files may be somebody else's by the next time
            before.abandon()
        self._changed = threading.Condition()
        self._hurry, self._stop = threading.Event(), threading.Event()
        self._memory: deque[Frame] = deque()
        self._accepted = self._recorded = self._refused = self._dropped = 0
        self._spool: Spool = open_one(self._root)
        if self._spool.lost:
            _log.warning("sayso: %d records of a process that was killed never reached the disk", self._spool.lost)
        self._platform = Platform(self._base, *self._client, transport=self._transport(self._base))
        self._ended = self._left = False
        self._writer = threading.Thread(target=self._write, name="sayso-write", daemon=True)
        self._sender = threading.Thread(target=self._work, name="sayso-send", daemon=True)
        self._writer.start()
        self._sender.start()
        self._pid = os.getpid()

    def _usual_transport(self, base: str) -> Transport:
        client = httpx.Client(timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 5.0)))
        return Transport(base, client=client, sleep=self._pause)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._memory or self._closed)
                if not self._memory:
                    return
                closing = self._closed
            if not closing:
                time.sleep(_LINGER)  # one sync for many
            with self._changed:
                frames = list(self._memory)
            try:
                self._spool.append(frames)
            except OSError as error:
                _log.error("sayso: the spool cannot be written (%s); %d wait in memory", error.strerror, len(frames))
                if closing:
                    return
                self._stop.wait(1.0)
                continue
            with self._changed:
                for _ in frames:
                    self._memory.popleft()
                self._changed.notify_all()

    def _work(self) -> None:
        self._send()
        with self._changed:
            self._ended = True
            if self._left:  # nobody waited for the last call: whoever is last lets the directory go
                self._spool.close()

    def _send(self) -> None:
        pause = 0.0
        waiting: list[Frame] = []
        while not self._stop.is_set():
            if not waiting:
                # Read without the lock: nobody who records waits for a disk.
                ended, until = self._closed and not self._writer.is_alive(), self._spool.written
                waiting = self._spool.read(CHUNK, CHUNK_BYTES)
                if not waiting:
                    if ended:
                        return
                    with self._changed:
                        self._changed.wait_for(lambda: self._spool.written > until or self._closed)  # noqa: B023
                        if self._closed:
                            self._changed.wait(0.02)
                    continue
            try:
                settled = self._settle(waiting)
                pause = 0.0
            except errors.SaysoError as error:
                settled = 0
                pause = min(LONGEST_PAUSE, max(0.25, pause * 2))
                asked = error.retry_after if isinstance(error, errors.Problem) else None
                _log.warning("sayso: not sent yet (%s), again in %.0f s", _name(error), max(pause, asked or 0))
                self._pause(max(pause, min(asked or 0.0, 300.0)))
            except Exception:
                settled = 0
                _log.exception("sayso: sending failed, again in %.0f s", LONGEST_PAUSE)
                self._pause(LONGEST_PAUSE)
            if settled:
                with self._changed:
                    self._spool.deliver(waiting[settled - 1][0])
                    waiting = waiting[settled:]
                    self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        """Wait, unless somebody is waiting for us: then a moment."""
        ends = time.monotonic() + seconds
        while not self._stop.is_set() and (left := ends - time.monotonic()) > 0:
            if self._hurry.wait(left):
                self._hurry.clear()
                self._stop.wait(min(left, 0.1))
                return

    def _settle(self, frames: list[Frame]) -> int:
        """Send the first of `frames`, as many as go together; how many are settled. Raises SaysoError where none is."""
        alone = [b"\n" in body or b"\r" in body for _, body in frames]
        together = frames[: alone.index(True)] if any(alone) else frames
        if len(together) > 1:
            try:
                return self._note(self._platform._send([_item(f) for f in together], _key(together)))
            except errors.Problem as refusal:
                # Something in it spoils the whole: one at a time, so that it is the only one that is refused.
                if refusal.status not in _FINAL:
                    raise
        return self._note([self._platform._send_alone(*_item(frames[0]), key=_key(frames[:1]))])

    def _note(self, items: Any) -> int:
        settled = 0
        for item in items:
            if not item.ok and not (item.status in _FINAL and item.code not in (None, "unknown")):
                if not settled:
                    raise errors.problem(item.status, {"code": item.code, "detail": item.detail}, None)
                break  # this one and what follows it are sent again; to send again what was recorded changes nothing
            settled += 1
            told = self._seen[0 if item.ok else 1]
            with self._changed:
                self._recorded += item.ok
                self._refused += not item.ok
            if not item.ok:
                _log.error("sayso: refused: %s (%s)", item.code, item.external_id)
            if told is not None:
                try:
                    told(item)
                except Exception:
                    _log.exception("sayso: a callback failed")
        return settled


def _state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sayso"


def _item(frame: Frame) -> tuple[str, bytes]:
    """(external id, body). The id stands first in the body, as `NewContribution` writes it."""
    body = frame[1]
    name, _ = json.JSONDecoder().raw_decode(body[len(b'{"external_id":') :].decode())
    return str(name), body


def _key(frames: list[Frame]) -> str:
    """One Idempotency-Key for one content, whoever sends it and whenever."""
    digest = sha256()
    for _, body in frames:
        digest.update(sha256(body).digest())
    return digest.hexdigest()[:40]


def _name(error: errors.SaysoError) -> str:
    return error.code if isinstance(error, errors.Problem) else str(error)
