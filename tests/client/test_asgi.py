"""The middleware for platforms on FastAPI: it records what a route took, and is never in the way of its answer."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from sayso import AsyncConsent, Consent
from sayso.asgi import MOST, Recording, recorded

from tests.client.flaky_service import Flaky


def envelope(sent: Any, answer: Any) -> dict[str, Any] | None:
    if sent.get("skip"):
        return None
    return {
        "kind": "preference", "external_id": answer["id"], "contributor": sent["user"],
        "parts": {"judgment": {"winner": sent["winner"]}},
    }  # fmt: skip


def platform() -> FastAPI:
    app = FastAPI()

    @app.post("/vote", status_code=201)
    def vote(given: dict[str, Any]) -> Any:
        if given.get("bad"):
            return Response(status_code=422)
        return {"id": f"v-{given['user']}"}

    @app.post("/rooms/{room}/vote")
    async def stream(room: str, given: dict[str, Any]) -> Any:
        async def pieces() -> Any:
            for piece in (b'{"id": "', room.encode(), b'"}'):
                yield piece

        return StreamingResponse(pieces(), media_type="application/json")

    @app.post("/other")
    def other(given: dict[str, Any]) -> Any:
        return {"id": "other"}

    @app.post("/broken")
    def broken(given: dict[str, Any]) -> Any:
        raise ValueError("the platform's own")

    return app


def tagged(given: Any, answer: Any, scope: Any) -> dict[str, Any]:
    return {
        "kind": "rating", "external_id": f"{scope['path_params']['battle']}/{dict(scope['headers'])[b'x-user'].decode()}",
        "contributor": scope["state"]["user"], "parts": {"judgment": given},
    }  # fmt: skip


def test_a_tagged_route_gives_what_only_the_request_knows(flaky: Flaky, tmp_path: Path) -> None:
    """Path, headers and user of a route behind a router of its own; recorded although the task that follows the answer fails."""
    router, seen = APIRouter(prefix="/battles"), []

    def fails() -> None:
        seen.append(app_consent.stats().accepted)
        raise ValueError("the platform's own")

    @router.post("/{battle}/vote")
    @recorded(tagged)
    def vote(battle: str, given: dict[str, Any], request: Request, tasks: BackgroundTasks) -> Any:
        request.state.user = "u9"
        tasks.add_task(fails)
        return {"id": battle}

    @router.post("/{battle}/other")
    def other(battle: str, given: dict[str, Any]) -> Any:
        return {}

    inner = FastAPI()
    inner.include_router(router)

    async def go() -> list[int]:
        transport = httpx.ASGITransport(Recording(inner, consent=app_consent), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return [(await client.post(f"/battles/b1/{name}", json={"n": 1}, headers={"x-user": "h"})).status_code for name in ("vote", "other")]

    with Consent(flaky.key, spool=tmp_path) as app_consent:
        assert asyncio.run(go()) == [200, 200] and seen == [1], "recorded before the task began"
        assert app_consent.flush(10) and app_consent.stats().accepted == 1
    assert flaky.bodies["b1/h"]["contributor"] == "u9" and flaky.bodies["b1/h"]["parts"]["judgment"] == {"n": 1}


def test_an_async_consent_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="give the middleware a Consent"):
        Recording(FastAPI(), consent=AsyncConsent("http://plt_x:s@127.0.0.1:1", spool=tmp_path))  # type: ignore[arg-type]


def play(flaky: Flaky, spool: Path, calls: list[tuple[str, Any]]) -> list[int]:
    async def go() -> list[int]:
        with Consent(flaky.key, spool=spool) as consent:
            routes = {"POST /vote": envelope, "POST /rooms/*": envelope, "POST /broken": envelope, "GET /other": envelope}
            app = Recording(platform(), consent=consent, routes=routes)
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://platform") as http:
                found = [(await http.post(path, json=body)).status_code for path, body in calls]
            assert await asyncio.to_thread(consent.flush, 20)
        return found

    return asyncio.run(go())


@pytest.fixture
def flaky() -> Any:
    service = Flaky()
    yield service
    service.close()


def test_what_a_route_took_is_recorded_and_nothing_else(flaky: Flaky, tmp_path: Path) -> None:
    good = {"user": "u1", "winner": "a"}
    calls = [
        ("/vote", good), ("/rooms/7/vote", good), ("/other", good), ("/vote", {**good, "user": "u2", "skip": True}),
        ("/vote", {**good, "bad": True}), ("/nowhere", good), ("/broken", good),
    ]  # fmt: skip
    assert play(flaky, tmp_path, calls) == [201, 200, 200, 201, 422, 404, 500]
    assert flaky.order == ["v-u1", "7"]
    assert flaky.bodies["v-u1"]["contributor"] == "u1" and flaky.bodies["v-u1"]["parts"] == {"judgment": {"winner": "a"}}


def test_a_mistake_in_the_envelope_costs_the_record_and_not_the_answer(
    flaky: Flaky, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "sayso"):
        assert play(flaky, tmp_path, [("/vote", {"user": "SECRET"}), ("/vote", {"user": "u", "winner": "a"})]) == [201, 201]
    assert flaky.order == ["v-u"]
    assert "KeyError" in caplog.text and "SECRET" not in caplog.text


def test_what_is_too_long_goes_through_unrecorded(flaky: Flaky, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "sayso"):
        long = {"user": "u", "winner": "a", "more": "x" * MOST}
        assert play(flaky, tmp_path, [("/vote", long), ("/vote", {"user": "w", "winner": "a"})]) == [201, 201]
    assert flaky.order == ["v-w"] and "_TooMuch" in caplog.text


def test_a_service_that_is_away_is_not_noticed_by_the_platform(flaky: Flaky, tmp_path: Path) -> None:
    flaky.moods = [503, "cut"]
    assert play(flaky, tmp_path, [("/vote", {"user": f"u{n}", "winner": "a"}) for n in range(20)]) == [201] * 20
    assert flaky.order == [f"v-u{n}" for n in range(20)]
