"""Group commit: all records waiting in this process go into one transaction and are answered after it.

One thread owns the write and a connection of its own; requests hand it their drafts and await. With one request waiting
the batch is one record.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import PoolProxiedConnection

from app.contributions.recording import Draft, RaceLost, Recorded, record_many
from app.kit.bulk import Direct
from app.kit.clock import micros
from app.kit.db import is_sqlite
from app.kit.errors import Conflict, DomainError, Unavailable
from app.kit.idempotency import Once
from app.kit.runtime import Runtime
from app.log.guard import refusal

MOST = 1_000
_ATTEMPTS = 5
Results = list[Recorded | DomainError]


@dataclass(slots=True)
class _Job:
    drafts: Sequence[Draft]
    once: Once | None
    future: "asyncio.Future[Results]"
    loop: asyncio.AbstractEventLoop


class Committer:
    """Takes drafts, gives results once they are durable."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._hold = timedelta(hours=runtime.settings.hold_hours)
        self._queue: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._turns: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._thread = threading.Thread(target=self._work, name="sayso-record", daemon=True)
        self._pooled: PoolProxiedConnection | None = None
        self._driver = runtime.engine.dialect.loaded_dbapi

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def submit(self, drafts: Sequence[Draft], once: Once | None = None) -> "asyncio.Future[Results]":
        """To be awaited: a result for each draft, durable where it is a `Recorded`. Earlier calls are recorded first.

        Raises DomainError for the whole where `once` refuses.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Results] = loop.create_future()
        # Handed over at the end of this turn of the loop, together: a hand-over for each would wake the thread for the first
        # alone, which then works beside the loop for the one interpreter while the others wait for their turn to be queued.
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = []
            loop.call_soon(self._hand_over, loop)
        turn.append(_Job(drafts, once if once and once.key else None, future, loop))
        return future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue.put(self._turns.pop(loop))

    def _work(self) -> None:
        waiting: deque[_Job] = deque()
        going = True
        while going or waiting:
            while going and (not waiting or not self._queue.empty()):
                turn = self._queue.get()
                if turn is None:
                    going = False
                else:
                    waiting.extend(turn)
            jobs: list[_Job] = []
            count = 0
            while waiting and (not jobs or count + len(waiting[0].drafts) <= MOST):
                jobs.append(waiting.popleft())
                count += len(jobs[-1].drafts)
            if jobs:
                self._answer(jobs)
        self._drop()

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            outcomes = self._commit(jobs)
        except Exception as error:
            if len(jobs) > 1:
                # One request's bytes must not fail its neighbours': each once more by itself.
                for job in jobs:
                    self._answer([job])
                return
            structlog.get_logger("sayso").error("record.failed", error=type(error).__name__)
            closed = error if isinstance(error, Unavailable) else refusal(error)
            outcomes = [closed or Unavailable("unavailable", "Send it again in a moment; nothing was recorded.", retry_after=1)]
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, Results | DomainError]]] = {}
        for job, outcome in zip(jobs, outcomes, strict=True):
            by_loop.setdefault(job.loop, []).append((job, outcome))
        for loop, pairs in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(_resolve, pairs)

    def _commit(self, jobs: list[_Job]) -> list[Results | DomainError]:
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                # The first attempt takes everything for new; a unique row that knows better makes the next ones careful.
                return self._transaction(self._connection(), jobs, careful=attempt > 0)
            except (RaceLost, self._driver.IntegrityError):
                if last:
                    raise
            except self._driver.Error as error:
                broken = self._broken()
                self._drop()
                if last or not (broken or "deadlock" in str(error)):
                    raise
        raise AssertionError

    def _connection(self) -> Direct:
        if self._pooled is None:
            self._pooled = self._runtime.engine.raw_connection()
            if not is_sqlite(self._runtime.engine):
                self._pooled.driver_connection.autocommit = True  # type: ignore[union-attr]
        return Direct(self._pooled.driver_connection, is_sqlite(self._runtime.engine))

    def _broken(self) -> bool:
        """Whether PostgreSQL closed the connection: a restart, a failover."""
        return self._pooled is not None and bool(getattr(self._pooled.driver_connection, "closed", False))

    def _drop(self) -> None:
        """Let the connection go; what broke one transaction must not stand in the way of the next."""
        if self._pooled is not None:
            pooled, self._pooled = self._pooled, None
            pooled.invalidate()

    def _transaction(self, direct: Direct, jobs: list[_Job], careful: bool) -> list[Results | DomainError]:
        now = self._runtime.clock.now()
        refused: dict[int, DomainError] = {}
        try:
            with direct.pipeline():
                direct.begin()
                for i, job in enumerate(jobs):
                    if job.once is not None and (refusal := _reserve(direct, job.once, micros(now))):
                        refused[i] = refusal
                drafts = [d for i, job in enumerate(jobs) if i not in refused for d in job.drafts]
                answer = None
                if drafts:
                    answer = record_many(direct, self._runtime.keys, drafts, self._hold, now=now, careful=careful)
                committed = direct.commit()
            if not direct.sqlite and committed.statusmessage != "COMMIT":
                raise RaceLost
        except BaseException:
            with contextlib.suppress(self._driver.Error):
                direct.rollback()
            raise
        results = answer() if answer is not None else []
        outcomes: list[Results | DomainError] = []
        at = 0
        for i, job in enumerate(jobs):
            if i in refused:
                outcomes.append(refused[i])
            else:
                outcomes.append(results[at : at + len(job.drafts)])
                at += len(job.drafts)
        return outcomes


def _reserve(direct: Direct, once: Once, now: int) -> DomainError | None:
    """Note the key; the refusal where it was used with another body. The same body goes on: external ids repeat its answer."""
    key = (once.client, once.route, once.key)
    row = direct.run("SELECT body_sha256 FROM idempotency_key WHERE client = ? AND route = ? AND key = ?", key).fetchone()
    if row is None:
        direct.run(
            "INSERT INTO idempotency_key (client, route, key, body_sha256, status, result, created_at) VALUES (?,?,?,?,?,?,?)",
            (*key, once.body_sha256, 201, "", now),
        )
        return None
    if row[0] != once.body_sha256:
        return Conflict("idempotency_key_reused", "Use a new Idempotency-Key for a new request.")
    return None


def _resolve(pairs: list[tuple[_Job, Results | DomainError]]) -> None:
    for job, outcome in pairs:
        if job.future.cancelled():
            continue
        if isinstance(outcome, DomainError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
