"""What is thrown away with time: used idempotency keys, used assertions. Once an hour, and at start. And what is looked for all the time."""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from sqlmodel import Session

from app.kit.background import Background
from app.kit.db import write
from app.kit.runtime import Runtime

_HOUR = 3600.0
_OFTEN = 3.0


class Housekeeper(Background):
    """Runs each chore in a transaction of its own; a chore that fails is logged and tried again in an hour."""

    def __init__(self, runtime: Runtime, chores: dict[str, Callable[[Session, datetime], None]]) -> None:
        super().__init__("housekeeping", _OFTEN, "chore.failed")
        self._runtime = runtime
        self._chores = chores
        self._tidied = -_HOUR
        self.errands: dict[str, Callable[[datetime], None]] = {}
        """Chores that make their own transactions."""
        self.watch: dict[str, Callable[[], object]] = {}
        """What is done every few seconds: it must cost next to nothing where there is nothing to do."""

    def tidy(self) -> None:
        """Do every chore now."""
        for name, chore in self._chores.items():
            self._one(name, partial(self._tidy_one, chore))
        for name, errand in self.errands.items():
            self._one(name, partial(self._run, errand))

    def _tidy_one(self, chore: Callable[[Session, datetime], None]) -> None:
        with write(self._runtime.engine) as session:
            chore(session, self._runtime.clock.now())

    def _run(self, errand: Callable[[datetime], None]) -> None:
        errand(self._runtime.clock.now())

    def _one(self, name: str, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:
            structlog.get_logger("sayso").warning("chore.failed", chore=name, error=type(error).__name__)

    def look(self) -> None:
        """Do what is watched, and every chore once an hour."""
        for name, what in self.watch.items():
            self._one(name, what)
        if time.monotonic() - self._tidied >= _HOUR:
            self._tidied = time.monotonic()
            self.tidy()

    def _loop(self) -> None:
        self._try()  # at start
        super()._loop()
