"""Data keys that were opened leave the memory of every process soon after an erasure, not only of the one that took it."""

import sqlalchemy as sa

from app.kit.background import Background
from app.kit.db import read
from app.kit.runtime import Runtime
from app.revocations.models import Erasure

EVERY = 1.0
"""Seconds between two looks. A key that was evicted here is used by nobody before either: it is kept against the row that held it."""


class Evictor(Background):
    """Looks for new erasures and lets go of those people's keys; and for epochs that another process began or destroyed."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__("evict", EVERY, "eviction.failed")
        self._runtime = runtime
        self._seen = -1

    def look(self) -> None:
        """Evict what was erased since the last look."""
        with read(self._runtime.engine) as session:
            query = sa.select(Erasure.contributor_id, Erasure.log_index).where(Erasure.log_index > self._seen)  # type: ignore[call-overload]
            found = session.execute(query.order_by(Erasure.log_index)).all()
        for contributor, index in found:
            self._runtime.keys.forget(contributor)
            self._seen = index
        self._runtime.keys.refresh()
