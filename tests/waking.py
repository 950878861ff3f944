"""Jobs of a service in the tests are looked for as soon as they are queued, so that it need not look thirty times a second.

A look costs statements, and every worker of the tests has services that stand idle most of the time. Nothing else is changed: the
job library takes what it finds, as it does at its next look anyhow; what another process queues, or what was delayed, waits for that.
"""

import threading
from typing import Any

from dbos import _queue
from sqlalchemy import event

from app.kit.jobs import Jobs

_enqueue, _work_on = Jobs.enqueue, _queue.queue_worker_thread
_waiting: set[threading.Event] = set()
"""What wakes each thread that pauses."""


class _Pause:
    """The word to stop as the library's threads see it: the pause between two looks also ends when something is queued."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._woken, stopping = stop, threading.Event(), stop.set
        self.is_set = stop.is_set

        def stop_and_wake() -> None:
            stopping()
            self._woken.set()

        stop.set = stop_and_wake  # type: ignore[method-assign]
        _waiting.add(self._woken)

    def wait(self, timeout: float) -> bool:
        # What is queued while the thread works leaves the mark set, and its next pause is none.
        if not self._stop.is_set():
            self._woken.wait(4 * timeout)
        self._woken.clear()
        return self._stop.is_set()

    def end(self) -> None:
        _waiting.discard(self._woken)


def _committed(_: Any) -> None:
    for woken in tuple(_waiting):
        woken.set()


def _enqueue_and_wake(self: Jobs, session: Any, *arguments: Any, **options: Any) -> None:
    _enqueue(self, session, *arguments, **options)
    if not options.get("delay"):
        event.listen(session, "after_commit", _committed, once=True)


Jobs.enqueue = _enqueue_and_wake  # type: ignore[method-assign]


def _work(stop: threading.Event, *rest: Any) -> None:
    pause = _Pause(stop)
    try:
        _work_on(pause, *rest)  # type: ignore[arg-type]
    finally:
        pause.end()


_queue.queue_worker_thread = _work
