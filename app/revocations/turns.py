"""Sending what waits to somebody's address: one process at a time has it to itself, and after each failure it waits longer."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlmodel import Session, select

from app.kit.background import Background
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.revocations.models import PushAddress, Webhook

Address = TypeVar("Address", PushAddress, Webhook)
Send = Callable[[], str | None]
"""Sends one thing; gives what went wrong."""
EVERY = 2.0
"""Seconds between two looks."""
AT_ONCE = 20
"""Things sent to one address before the next has its turn."""
TURN = timedelta(minutes=3)
"""How long a process has an address to itself: more than AT_ONCE exchanges take."""


class Turns(Background, Generic[Address]):
    """Looks every few seconds for what waits to be sent to the addresses of one table, whose primary key is their owner's id.

    `pauses` are seconds until the next attempt, after one failure, two, …, the last for all further ones; each is longer by a share of
    up to `spread`, so that owners whose addresses failed together do not come back together.
    """

    def __init__(self, runtime: Runtime, name: str, kind: type[Address], pauses: tuple[int, ...], spread: float = 0.0) -> None:
        super().__init__(name, EVERY, f"{name}.failed")
        self._runtime, self._kind, self._pauses, self._spread = runtime, kind, pauses, spread
        self._owner = sa.inspect(kind).primary_key[0]

    @abstractmethod
    def due(self) -> Iterable[Any]:
        """The conditions on an address, besides its turn, that something waits to be sent there."""

    @abstractmethod
    def prepare(self, session: Session, row: Address, now: datetime) -> list[Send]:
        """What to send, the oldest first, AT_ONCE at the most."""

    def settled(self, row: Address, problem: str | None, now: datetime) -> None:
        """Note what else follows of an exchange, before the next turn is set."""

    def look(self) -> None:
        """Send what waits to every address whose turn it is."""
        now = self._runtime.clock.now()
        with read(self._runtime.engine) as session:
            owners = list(session.execute(sa.select(self._owner).where(self._kind.next_at <= now, *self.due())).scalars())  # type: ignore[arg-type]
        for owner in owners:
            if self._stop.is_set():
                return
            self._take(owner, now)

    def _take(self, owner: str, now: datetime) -> None:
        with write(self._runtime.engine) as session:
            # Whoever moves it on has the address to itself; another process finds that its turn is not yet.
            mine = sa.update(self._kind).where(self._owner == owner, self._kind.next_at <= now).values(next_at=now + TURN)  # type: ignore[arg-type]
            if session.execute(mine).rowcount == 0:  # type: ignore[attr-defined]
                return
            row = session.get_one(self._kind, owner)
            url, sends = row.url, self.prepare(session, row, now)
        problem = None
        for send in sends:
            problem = send()
            if problem is not None:
                break
        self._note(owner, url, problem)

    def _note(self, owner: str, url: str, problem: str | None) -> None:
        now = self._runtime.clock.now()
        with write(self._runtime.engine) as session:
            row = session.exec(for_update(select(self._kind).where(self._owner == owner), session)).first()
            if row is None or row.url != url:
                return  # its owner has set another meanwhile
            row.failures = 0 if problem is None else row.failures + 1
            self.settled(row, problem, now)
            pause = 0 if problem is None else self._pauses[min(row.failures, len(self._pauses)) - 1]
            row.problem, row.next_at = problem, now + timedelta(seconds=pause * (1 + self._spread * os.urandom(1)[0] / 256))
            session.add(row)
