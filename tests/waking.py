"""Jobs of a service in the tests are looked for as soon as they are queued, so that it need not look thirty times a second; and the log is
published as soon as something was committed.

A look costs statements, and every worker of the tests has services that stand idle most of the time. Nothing else is changed: the
job library takes what it finds, as it does at its next look anyhow; what another process queues or writes waits for that. Services that
are processes of their own, as those that are killed, look as they do everywhere.
"""

import threading
from contextlib import suppress
from functools import partial
from typing import Any

from dbos import _queue
from dbos._dbos import _get_dbos_instance as get_dbos_instance
from sqlalchemy import event
from sqlalchemy.engine import Engine

from app.kit.bulk import Direct
from app.kit.jobs import Jobs
from app.log.publisher import Publisher

_enqueue, _do, _work_on = Jobs.enqueue, Jobs.work, _queue.queue_worker_thread
_waiting: set[threading.Event] = set()
"""What wakes each thread that pauses."""
_SOON = 10
"""Seconds; what is delayed for longer no test waits for."""
_LOOKS = 5
"""How often it is looked at the library's own pace once there was something: more may be queued than there are places."""


class _Pause:
    """The word to stop as the library's threads see it: the pause between two looks also ends when something is queued."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._woken, stopping = stop, threading.Event(), stop.set
        self._looks = _LOOKS
        self.is_set = stop.is_set

        def stop_and_wake() -> None:
            stopping()
            self._woken.set()

        stop.set = stop_and_wake  # type: ignore[method-assign]
        _waiting.add(self._woken)

    def wait(self, timeout: float) -> bool:
        # What is queued while the thread works leaves the mark set, and its next pause is none.
        if not self._stop.is_set() and not self._woken.wait(timeout if self._looks else 10 * timeout):
            self._looks = max(0, self._looks - 1)
        if self._woken.is_set():
            self._looks = _LOOKS
        self._woken.clear()
        return self._stop.is_set()

    def end(self) -> None:
        _waiting.discard(self._woken)


def _committed(_: Any) -> None:
    for woken in tuple(_waiting):
        woken.set()


def _over(_: Any, delay: float) -> None:
    timer = threading.Timer(delay + 0.02, _queue_what_was_delayed)
    timer.daemon = True
    timer.start()


def _queue_what_was_delayed() -> None:
    """As the library does once a second; where the service has ended meanwhile there is nothing to do."""
    with suppress(Exception):
        get_dbos_instance()._sys_db.transition_delayed_workflows()
        _committed(None)


def _enqueue_and_wake(self: Jobs, session: Any, *arguments: Any, **options: Any) -> None:
    _enqueue(self, session, *arguments, **options)
    delay = options.get("delay", 0)
    if delay <= _SOON:
        event.listen(session, "after_commit", partial(_over, delay=delay) if delay else _committed, once=True)


def _work_and_wake(self: Jobs, *arguments: str) -> None:
    # Its place is free a moment after this: one of the next looks finds it.
    try:
        _do(self, *arguments)
    finally:
        _committed(None)


Jobs.enqueue, Jobs.work = _enqueue_and_wake, _work_and_wake  # type: ignore[method-assign]


def _work(stop: threading.Event, *rest: Any) -> None:
    pause = _Pause(stop)
    try:
        _work_on(pause, *rest)  # type: ignore[arg-type]
    finally:
        pause.end()


_queue.queue_worker_thread = _work


# -- publishing ------------------------------------------------------------------------------------------------------
_publish, _commit = Publisher.look, Direct.commit
_commits = 0
_IDLE = 8
"""Looks left out where this process committed nothing: half a second."""


def _count(_: Any = None) -> None:
    global _commits
    _commits += 1


def _commit_and_count(self: Direct) -> Any:
    done = _commit(self)
    _count()
    return done


def _look(self: Publisher) -> None:
    seen, left_out = self.__dict__.get("_seen", (-1, 0))
    now = _commits
    if now == seen and left_out < _IDLE and self.damage is self.waiting is None:
        self.__dict__["_seen"] = seen, left_out + 1
        return
    self.__dict__["_seen"] = now, 0
    _publish(self)


event.listen(Engine, "commit", _count)
Direct.commit = _commit_and_count  # type: ignore[method-assign]
Publisher.look = _look  # type: ignore[method-assign]
