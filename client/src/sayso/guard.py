"""For platforms: which of their own records may be shown, asked just before they are shown.

    shown = platform.guard.filter(ids, ["publishDataset"], ["dpv:ScientificResearch"])
    shown = await AsyncGuard(platform.guard).filter(ids, ["publishDataset"], ["dpv:ScientificResearch"])
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

from sayso.http import Auth, Transport
from sayso.models import Answer

MOST = 5_000
"""Ids of one call."""
ACCEPTS = ("attribute", "delete")


class _MayShow(Answer):
    id: str
    parts: list[str]
    whole: bool


class _Told(Answer):
    items: list[_MayShow]


class Guard:
    """Asks the service about any number of ids, 5,000 a call. Terms that ask for a number of people are counted call by call."""

    def __init__(self, transport: Transport, auth: Auth) -> None:
        self._transport = transport
        self._auth = auth

    def filter(
        self, ids: Iterable[str], actions: Sequence[str], purposes: Sequence[str] = (), *, accepts: Sequence[str] = ACCEPTS,
        retention_days: int | None = None,
    ) -> list[str]:  # fmt: skip
        """Those that may be shown with every part they have, in order, each once. Raises SaysoError: then show nothing."""
        found = self._ask(ids, actions, purposes, accepts, retention_days)
        return [one.id for one in found if one.whole]

    def parts(
        self, ids: Iterable[str], actions: Sequence[str], purposes: Sequence[str] = (), *, accepts: Sequence[str] = ACCEPTS,
        retention_days: int | None = None,
    ) -> dict[str, frozenset[str]]:  # fmt: skip
        """For each that may be shown the parts that may: `text`, `judgment`, `context`, `profile`. What is not there must not."""
        return {one.id: frozenset(one.parts) for one in self._ask(ids, actions, purposes, accepts, retention_days)}

    def _ask(
        self, ids: Iterable[str], actions: Sequence[str], purposes: Sequence[str], accepts: Sequence[str], retention_days: int | None
    ) -> list[_MayShow]:  # fmt: skip
        use = {"actions": list(actions), "purposes": list(purposes), "accepts": list(accepts), "retention_days": retention_days}
        found: list[_MayShow] = []
        each = iter(dict.fromkeys(ids))
        while some := list(islice(each, MOST)):
            found += self._transport.post(_Told, "/v1/platforms/me/guard", self._auth, {"ids": some, **use}).items
        return found


class AsyncGuard:
    """The same for asyncio: asked in a thread, so that the loop goes on."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def filter(
        self, ids: Iterable[str], actions: Sequence[str], purposes: Sequence[str] = (), *, accepts: Sequence[str] = ACCEPTS,
        retention_days: int | None = None,
    ) -> list[str]:  # fmt: skip
        """As `Guard.filter`."""
        return await asyncio.to_thread(self._guard.filter, ids, actions, purposes, accepts=accepts, retention_days=retention_days)

    async def parts(
        self, ids: Iterable[str], actions: Sequence[str], purposes: Sequence[str] = (), *, accepts: Sequence[str] = ACCEPTS,
        retention_days: int | None = None,
    ) -> dict[str, frozenset[str]]:  # fmt: skip
        """As `Guard.parts`."""
        return await asyncio.to_thread(self._guard.parts, ids, actions, purposes, accepts=accepts, retention_days=retention_days)
