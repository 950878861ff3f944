"""Jobs of a service in the tests are looked for as soon as they are queued, so that it need not look thirty times a second.

A look costs statements, and every worker of the tests has services that stand idle most of the time. Nothing else is changed: the
job library takes what it finds, as it does at its next look anyhow; what another process queues, or what was delayed, waits for that.
"""

import threading
import time
from typing import Any

from dbos import _queue
from sqlalchemy import event

from app.kit.jobs import Jobs

_enqueue, _work_on = Jobs.enqueue, _queue.queue_worker_thread
_queued = 0
"""How often something was queued and committed."""


class _Pause:
    """The word to stop as the library's threads see it: the pause between two looks also ends when something is queued."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._known = _queued
        self.is_set = stop.is_set

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while self._known == _queued and time.monotonic() < end:
            if self._stop.wait(0.02):
                return True
        self._known = _queued
        return self._stop.is_set()


def _committed(_: Any) -> None:
    global _queued
    _queued += 1


def _enqueue_and_wake(self: Jobs, session: Any, *arguments: Any, **options: Any) -> None:
    _enqueue(self, session, *arguments, **options)
    if not options.get("delay"):
        event.listen(session, "after_commit", _committed, once=True)


Jobs.enqueue = _enqueue_and_wake  # type: ignore[method-assign]
_queue.queue_worker_thread = lambda stop, *rest: _work_on(_Pause(stop), *rest)  # type: ignore[assignment, arg-type]
