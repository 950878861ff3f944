"""What is thrown away with time: used idempotency keys, used assertions. Once an hour, and at start. And what is looked for all the time."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from sqlmodel import Session

from app.kit.db import write
from app.kit.runtime import Runtime

_HOUR = 3600.0
_OFTEN = 3.0


class Housekeeper:
    """Runs each chore in a transaction of its own; a chore that fails is logged and tried again in an hour."""

    def __init__(self, runtime: Runtime, chores: dict[str, Callable[[Session, datetime], None]]) -> None:
        self._runtime = runtime
        self._chores = chores
        self.errands: dict[str, Callable[[datetime], None]] = {}
        """Chores that make their own transactions."""
        self.watch: dict[str, Callable[[], object]] = {}
        """What is done every few seconds: it must cost next to nothing where there is nothing to do."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sayso-housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def tidy(self) -> None:
        """Do every chore now."""
        for name, chore in self._chores.items():
            self._try(name, partial(self._tidy_one, chore))
        for name, errand in self.errands.items():
            self._try(name, partial(self._run, errand))

    def _tidy_one(self, chore: Callable[[Session, datetime], None]) -> None:
        with write(self._runtime.engine) as session:
            chore(session, self._runtime.clock.now())

    def _run(self, errand: Callable[[datetime], None]) -> None:
        errand(self._runtime.clock.now())

    def _try(self, name: str, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:
            structlog.get_logger("sayso").warning("chore.failed", chore=name, error=type(error).__name__)

    def _loop(self) -> None:
        tidied = -_HOUR
        while True:
            if time.monotonic() - tidied >= _HOUR:
                tidied = time.monotonic()
                self.tidy()
            if self._stop.wait(_OFTEN):
                return
            for name, what in self.watch.items():
                self._try(name, what)
