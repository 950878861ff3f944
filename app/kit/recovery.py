"""Jobs that nobody does any more: their process is gone, or its database failed between taking a job and running it.

The job library takes a job in one transaction and starts it after that; if the database ends in between it logs the failure and
leaves the job taken. And it takes up the jobs of a dead process only where one with the same name starts again. Here every
process has a name of its own and shows that it lives by a lock which ends with it; whoever lives looks after all.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

import sqlalchemy as sa
import structlog
from dbos import DBOS
from sqlalchemy.engine import Connection, Engine

from app.kit.background import Background
from app.kit.db import is_sqlite

_TAKE = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
_FREE = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")


class Recovery(Background):
    """Puts back into its queue, every `interval` seconds, what is taken and not being done. `doing` tells this process's own jobs.

    To do a job twice is harmless, so the doubtful ones are put back as well.
    """

    def __init__(self, engine: Engine, queues: Sequence[str], doing: Callable[[], set[str]], interval: float) -> None:
        super().__init__("recovery", interval, "jobs.recovery-failed")
        self.name = uuid4().hex
        """What this process's jobs are marked with."""
        self._engine = engine
        self._queues = queues
        self._doing = doing
        self._idle: set[str] = set()
        self._alive: Connection | None = None

    def start(self) -> None:
        """Look once, then go on in the background."""
        self._try()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._let_go()

    def look(self) -> list[str]:
        """Put back what nobody does; gives the ids."""
        self._show_life()
        found = [w for queue in self._queues for w in DBOS.list_workflows(status="PENDING", queue_name=queue, load_input=False)]
        taken = {w.workflow_id: str(w.executor_id) for w in found}
        mine = {job for job, executor in taken.items() if executor == self.name} - self._doing()
        gone = self._gone(set(taken.values()) - {self.name})
        # One just taken is not being done yet: what is idle on two looks in a row was lost.
        lost = [job for job, executor in taken.items() if executor in gone or (job in mine and job in self._idle)]
        self._idle = mine - set(lost)
        if lost:
            for queue in self._queues:
                some = [w.workflow_id for w in found if w.workflow_id in lost and w.queue_name == queue]
                if some:
                    DBOS.resume_workflows(some, queue_name=queue)
            structlog.get_logger("sayso").warning("jobs.recovered", count=len(lost))
        return lost

    def _gone(self, others: set[str]) -> set[str]:
        """Which of these processes have ended. SQLite has one process at a time."""
        if is_sqlite(self._engine) or not others:
            return others
        with self._engine.connect() as connection:
            return {name for name in others if connection.execute(_FREE, {"name": _lock(name)}).scalar()}

    def _show_life(self) -> None:
        """Hold the lock of this process, on a connection of its own; taken again where the database ended it."""
        if is_sqlite(self._engine):
            return
        if self._alive is not None:
            with suppress(sa.exc.DBAPIError):
                self._alive.execute(sa.text("SELECT 1"))
                return
            self._let_go()
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_TAKE, {"name": _lock(self.name)})
        self._alive = connection

    def _let_go(self) -> None:
        if self._alive is not None:
            connection, self._alive = self._alive, None
            with suppress(sa.exc.DBAPIError):
                connection.invalidate()
            connection.close()


def _lock(executor: str) -> str:
    return f"executor/{executor}"
