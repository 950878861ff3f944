"""Answers that come at even times: the steps are counted from the moment on in which the whole request was there."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from app.kit import body
from app.kit.body import In, StrictRoute, evenly


class Asked(In):
    n: int


def test_whoever_sends_slowly_does_not_choose_where_a_step_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Any] = []
    router = APIRouter(route_class=StrictRoute)

    @router.post("/even")
    @evenly(0.05)
    def even(asked: Asked) -> int:
        met.append("work")
        return asked.n

    @router.post("/plain")
    def plain(asked: Asked) -> int:
        met.append("work")
        return asked.n

    service, parts = FastAPI(), [b'{"n"', b": 1}"]
    service.include_router(router)
    service.state.runtime = SimpleNamespace(settings=SimpleNamespace(max_body_bytes=100))
    now = iter([10.0, 10.012])

    def looks() -> float:
        met.append("clock")
        return next(now)

    async def sleeps(seconds: float) -> None:
        met.append(round(seconds, 6))

    monkeypatch.setattr(body, "monotonic", looks)
    monkeypatch.setattr(body, "sleep", sleeps)

    async def ask(path: str) -> None:
        left = list(parts)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": [(b"content-type", b"application/json")], "root_path": "", "scheme": "http",
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            met.append("part")
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: dict[str, Any]) -> None:
            met.append(message.get("status", message.get("body")))

        await service(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(ask("/even"))
    assert met == ["part", "part", "clock", "work", "clock", 0.038, 200, b"1"]
    met.clear()
    asyncio.run(ask("/plain"))
    assert met == ["part", "part", "work", 200, b"1"]
