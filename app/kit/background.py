"""Work that a process does beside requests: a look every few seconds, in a thread of its own."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from sqlalchemy.exc import OperationalError

T = TypeVar("T")


def each(waiting: Iterable[T], act: Callable[[T], object]) -> None:
    """Do something for each, also behind one for which it fails: else those that come after wait for as long as it does. The first failure is
    raised in the end. One of the database's is raised at once, since the others would have it too."""
    failed: list[Exception] = []
    for one in waiting:
        try:
            act(one)
        except OperationalError:
            raise
        except Exception as error:
            failed.append(error)
    if failed:
        raise failed[0]


class Background(ABC):
    """Looks every `interval` seconds from `start` to `stop`. A look that fails is logged as `failed`, and made again."""

    def __init__(self, name: str, interval: float, failed: str) -> None:
        self._interval = interval
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=f"sayso-{name}", daemon=True)

    @abstractmethod
    def look(self) -> object:
        """Do what there is to do. It must be safe to be made twice."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the look under way; waits for it for half a minute at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            self._try()

    def _try(self) -> None:
        try:
            self.look()
        except Exception as error:
            structlog.get_logger("sayso").warning(self._failed, error=type(error).__name__)
