"""Durable work outside a request: DBOS workflows, queued in the transaction of the act that calls for them.

A workflow's id is the id of the act, so a queued job exists exactly if its act was committed, and once. Arguments and
results are ids and counts only (JSON, never pickle). Each step must be safe to run twice.
DBOS keeps one instance a process; its tables live in the application's own database.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient, DBOSConfig, Serializer
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from app.kit.recovery import Recovery
from app.kit.settings import Settings

QUEUE = "sayso"
WAITING = "sayso-waiting"
"""The queue of jobs that wait for somebody: a place in it is held while nothing is done, so they have places of their own."""
APPLICATION = "sayso"
# Fixed, so that a job queued by one version of the code is picked up by the next.
_VERSION = "1"


class JsonSerializer(Serializer):
    """JSON in place of DBOS's default, which is pickle."""

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_outcome)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data)

    def name(self) -> str:
        return "sayso_json"


def _outcome(value: Any) -> Any:
    # Exceptions are stored as outcomes of failed jobs: their class says enough, their text might hold data.
    if isinstance(value, BaseException):
        return {"error": type(value).__name__}
    raise TypeError(f"job values are ids and counts, not {type(value).__name__}")


class Jobs:
    """Queue jobs; run them where `start` was called. `handlers` maps a job's name to `handler(id) -> None`."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database
        self._poll = settings.job_poll_ms / 1000
        self._handlers: dict[str, Callable[[str], None]] = {}
        self._failures: dict[str, Callable[[str], None]] = {}
        self._waiting: set[str] = set()
        self._client: DBOSClient | None = None
        self._recovery: Recovery | None = None
        self._doing: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def handle(
        self, name: str, handler: Callable[[str], None], failed: Callable[[str], None] | None = None, *, waits: bool = False
    ) -> None:
        """Say what runs a job called `name`, and what notes that it failed for good. Before `start`. One that `waits` for others, for
        seconds at a time, keeps no other kind of job from being done."""
        self._handlers[name] = handler
        if waits:
            self._waiting.add(name)
        if failed is not None:
            self._failures[name] = failed

    def prepare(self) -> None:
        """Make or migrate the job tables."""
        DBOS(config=self._config("none"))
        DBOS.launch()
        DBOS.destroy()

    def make_ready(self) -> None:
        """`prepare`, unless jobs are being worked on here already."""
        if self._recovery is None:
            self.prepare()

    def start(self, engine: Engine) -> None:
        """Begin working, and take up the jobs of processes that have ended. `engine` leads to the same database."""
        global _running
        self._stopping.clear()
        recovery = Recovery(engine, (QUEUE, WAITING), self._at_work, max(1.0, 25 * self._poll))
        DBOS(config=self._config(recovery.name))
        _running = self
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=4, polling_interval_sec=self._poll)
        DBOS.register_queue(WAITING, worker_concurrency=4, polling_interval_sec=2 * self._poll)
        recovery.start()
        self._recovery = recovery

    def stop(self) -> None:
        """Stop working; what is unfinished goes on at the next start."""
        global _running
        if self._client is not None:
            self._client.destroy()
            self._client = None
        self._stopping.set()
        if self._recovery is not None:
            self._recovery.stop()
            # Asked to wait, the library sleeps a whole second before it looks whether anything is being done.
            DBOS.destroy(workflow_completion_timeout_sec=5 if self._at_work() else 0)
            self._recovery = None
            _running = None

    def enqueue(self, session: Session, name: str, act: str, *, key: str | None = None, delay: float = 0) -> None:
        """Queue job `name` for the act with id `act` in the caller's transaction; `delay` in seconds.

        `key` tells jobs of one act apart; the same (name, act, key) is queued once.
        """
        if self._client is None:
            self._client = DBOSClient(
                system_database_url=self._url, serializer=JsonSerializer(), lazy=True, application_name=APPLICATION
            )
        options: dict[str, Any] = {
            "queue_name": WAITING if name in self._waiting else QUEUE, "workflow_name": "sayso_job", "app_version": _VERSION,
            "workflow_id": f"{name}:{act}" + (f":{key}" if key else ""),
        }  # fmt: skip
        if delay:
            options["delay_seconds"] = delay
        self._client.enqueue_in_transaction(session, options, name, act)  # type: ignore[arg-type]

    def enqueue_batched(self, session: Session, name: str, act: str, seconds: int, now: datetime) -> None:
        """Queue one job (name, act) for all who ask within the same `seconds`; it runs when they are over.

        Ask under the head lock, with `now` read under it: the job takes that lock before it looks, so that it sees everybody who asked.
        """
        batch, into = divmod(now.timestamp(), seconds)
        self.enqueue(session, name, act, key=str(int(batch)), delay=seconds - into)

    def run(self, name: str, act: str) -> None:
        """Do a job here and now (a step's body; tests call it to run a job twice)."""
        self._insist(self._handlers[name], act)

    def fail(self, name: str, act: str) -> None:
        """Note that a job failed for good."""
        if name in self._failures:
            self._insist(self._failures[name], act)

    def work(self, workflow: str, name: str, act: str) -> None:
        """A workflow's body: the step, and where it failed for good a note of that. Counted while it runs."""
        with self._lock:
            self._doing[workflow] += 1
        try:
            _step(name, act)
        except Exception:
            _note_failure(name, act)
            raise
        finally:
            with self._lock:
                self._doing -= Counter([workflow])

    def _insist(self, handler: Callable[[str], None], act: str) -> None:
        """While the database is away a job waits: that is no failure of the job, and uses up none of its attempts."""
        wait = 0.5
        while True:
            try:
                return handler(act)
            except (DBAPIError, psycopg.OperationalError) as error:
                away = isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.OperationalError)
                if not away or self._stopping.wait(wait):
                    raise
                wait = min(2 * wait, 10.0)

    def _at_work(self) -> set[str]:
        with self._lock:
            return set(self._doing)

    def _config(self, executor: str) -> DBOSConfig:
        return {
            "name": APPLICATION, "system_database_url": self._url, "serializer": JsonSerializer(),
            "application_version": _VERSION, "executor_id": executor, "log_level": "ERROR",
            "use_listen_notify": False, "scheduler_polling_interval_sec": 30.0, "max_executor_threads": 8,
        }  # fmt: skip


_running: Jobs | None = None


@DBOS.workflow(name="sayso_job")
def _job(name: str, act: str) -> None:
    if _running is None:
        raise RuntimeError("no jobs are started in this process")
    _running.work(str(DBOS.workflow_id), name, act)


@DBOS.step(name="sayso_failed")
def _note_failure(name: str, act: str) -> None:
    if _running is not None:
        _running.fail(name, act)


@DBOS.step(name="sayso_step", retries_allowed=True, max_attempts=8, interval_seconds=0.5, backoff_rate=2.0)
def _step(name: str, act: str) -> None:
    if _running is None:
        raise RuntimeError("no jobs are started in this process")
    _running.run(name, act)
