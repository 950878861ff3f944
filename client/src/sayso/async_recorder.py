"""For platforms on asyncio: `sayso.recorder`, without ever blocking the loop."""

import asyncio
from types import TracebackType
from typing import Any, Self

from sayso.recorder import Consent, Stats


class AsyncConsent:
    """The same for asyncio. Nothing here blocks the loop: opening, flushing and closing happen in threads."""

    def __init__(self, key: str, **options: Any) -> None:
        """Takes what `Consent` takes. The directory is opened at the first record, or by `async with`."""
        self._make = lambda: Consent(key, **options)
        self._inner: Consent | None = None
        self._opening = asyncio.Lock()

    async def _opened(self) -> Consent:
        if self._inner is None:
            async with self._opening:
                if self._inner is None:
                    self._inner = await asyncio.to_thread(self._make)
        return self._inner

    async def record(self, **fields: Any) -> str:
        """As `Consent.record`."""
        return (self._inner or await self._opened()).record(**fields)

    async def flush(self, timeout: float | None = None) -> bool:
        """As `Consent.flush`."""
        return await asyncio.to_thread((await self._opened()).flush, timeout)

    async def stats(self) -> Stats:
        """As `Consent.stats`."""
        return (await self._opened()).stats()

    async def close(self, timeout: float = 5.0) -> bool:
        """As `Consent.close`."""
        return self._inner is None or await asyncio.to_thread(self._inner.close, timeout)

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
