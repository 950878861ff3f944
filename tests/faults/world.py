"""What the write flows that are made to fail act in, and how a try is answered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa

from app.kit.db import make_engine, write
from tests.faults.state import State
from tests.support import LabParty, PlatformParty, Service

Made = tuple[Callable[[], Any], Callable[[], None]]
"""What is tried (and tried again), and what must hold once it was answered."""
Flow = Callable[["World"], "Made | Iterator[Made]"]
"""One try, or several in one setting, each of which is made to fail by itself: what comes between two of them is done as ever."""

OR_DONE = (200, 201, 202, 409)
"""409 where the commit was done and its answer lost: what must hold is looked at all the same."""


def of(*covered: str) -> Callable[[Flow], Flow]:
    """What a flow covers: a route (`POST /v1/…`), a job (`job …`), or a word for what has neither."""

    def mark(flow: Flow) -> Flow:
        flow.covers = covered  # type: ignore[attr-defined]
        return flow

    return mark


def tries(made: "Made | Iterator[Made]") -> Iterator[Made]:
    """What a flow tries, one after the other."""
    return iter([made]) if isinstance(made, tuple) else made


@cache
def _looking(url: str) -> sa.Engine:
    return make_engine(url, pool_size=1)


@dataclass
class World:
    service: Service
    platform: PlatformParty
    lab: LabParty
    n: int = 0
    release: Any = None
    kept: dict[str, Any] = field(default_factory=dict)
    """What one flow's tries share."""
    _agreement: Any = None

    @property
    def agreement(self) -> Any:
        """One for all tries: standing, over what the platform has."""
        if self._agreement is None:
            self._agreement = self.lab.agree(self.platform, mode="standing", until="2099-01-01")
        return self._agreement

    def name(self) -> str:
        self.n += 1
        return f"{self.platform.id} {self.n}"

    def post(self, path: str, sent: Any, secret: str, key: str | None = None, status: tuple[int, ...] = (200, 201, 202)) -> bool:
        """Whether it was answered as done; what it may answer otherwise is that it was not."""
        return self.told(self.service.post(path, sent, secret, **({"Idempotency_Key": key} if key else {})), status)

    def put(self, path: str, sent: Any, secret: str, status: tuple[int, ...] = (200,)) -> bool:
        """`post` for what is set."""
        return self.told(self.service.http.put(self.service.base + path, json=sent, headers={"Authorization": f"Bearer {secret}"}), status)

    def delete(self, path: str, secret: str, status: tuple[int, ...]) -> bool:
        """`post` for what is ended."""
        return self.told(self.service.http.delete(self.service.base + path, headers={"Authorization": f"Bearer {secret}"}), status)

    def told(self, answer: Any, status: tuple[int, ...]) -> bool:
        if answer.status_code in status:
            return True
        assert answer.status_code >= 500, answer.text
        return False

    def state(self) -> State:
        """A look at everything that is stored."""
        url = self.service.runtime.settings.database
        return State(url, _looking(url))

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.state() as state:
            return state.rows(sql, **values)

    def column(self, sql: str, **values: Any) -> list[Any]:
        with self.state() as state:
            return state.column(sql, **values)

    def count(self, sql: str, **values: Any) -> int:
        return int(self.column(sql, **values)[0])

    def leaves(self, *types: str) -> Callable[[], None]:
        """Looks that the log has one leaf more of each of these types than now."""
        counted = "SELECT count(*) FROM log_entry WHERE type = :type"
        before = {one: self.count(counted, type=one) for one in types}

        def holds() -> None:
            assert {one: self.count(counted, type=one) for one in types} == {one: n + 1 for one, n in before.items()}

        return holds

    def alter(self, table: Any, key: str, **values: Any) -> None:
        """Set columns of a row to what the weeks before would have brought."""
        with write(self.service.runtime.engine) as session:
            row = session.get_one(table, key)
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)

    def one_more(self, table: str, path: str, sent: Any, secret: str, where: str = "1 = 1", leaf: str | None = None) -> Made:
        """A POST after which there is one row more, and one leaf of a type where its act has one of its own."""
        counted, key = f"SELECT count(*) FROM {table} WHERE {where}", self.name()
        before, logged = self.count(counted), self.leaves(*([leaf] if leaf else []))

        def holds() -> None:
            assert self.count(counted) == before + 1
            logged()

        return lambda: self.post(path, sent, secret, key), holds
