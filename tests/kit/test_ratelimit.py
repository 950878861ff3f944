"""One client is limited; another, and any contributor, is not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from app.kit.errors import TooMany
from app.kit.ratelimit import RateLimit, whence
from app.kit.settings import Settings
from tests.support import Service, shell


def test_a_burst_then_a_steady_rate() -> None:
    limit = RateLimit(10, burst=2)
    taken = 0
    with pytest.raises(TooMany) as refused:
        for _ in range(100):
            limit.take("a", 1_000_000_000)
            taken += 1
    assert taken == 20
    assert refused.value.code == "rate_limited" and refused.value.extra["retry_after"] >= 1
    limit.take("b", 1_000_000_000)
    limit.take("a", 1_000_100_000)
    with pytest.raises(TooMany):
        limit.take("a", 1_000_100_000)


def test_behind_a_trusted_proxy_people_are_told_apart_and_nobody_else_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(caller: str, told: str = "", **settings: str) -> str:
        """By what a call is counted that comes from `caller` with that X-Forwarded-For, as the command line starts the service."""
        kept: dict[str, Any] = {}
        found: list[str] = []
        monkeypatch.setattr(uvicorn, "run", lambda app, **options: kept.update(options))
        assert shell(tmp_path, **settings)(["serve"]).exit_code == 0

        async def application(scope: Any, receive: Any, send: Any) -> None:
            found.append(whence(HTTPConnection(scope)))

        config = uvicorn.Config(application, **{name: kept[name] for name in ("proxy_headers", "forwarded_allow_ips")}, log_config=None)
        config.load()
        headers = [(b"x-forwarded-for", told.encode())] if told else []
        asyncio.run(config.loaded_app({"type": "http", "client": (caller, 1), "headers": headers}, None, None))  # type: ignore[arg-type]
        return found[0]

    ours = {"SAYSO_TRUSTED_PROXIES": "10.0.0.7, 10.1.0.0/16"}
    assert counted("10.0.0.7", "192.0.2.1, 192.0.2.2", **ours) == "192.0.2.2" != counted("10.1.2.3", "192.0.2.3, 10.0.0.7", **ours)
    assert counted("10.0.0.8", "192.0.2.1", **ours) == "10.0.0.8" and counted("127.0.0.1", "192.0.2.1") == "127.0.0.1"
    assert counted("2001:db8::1:2:3:4") == counted("2001:db8::5") == "2001:db8::" and counted("::ffff:192.0.2.1") == "192.0.2.1"
    assert counted("10.0.0.7", "x" * 1000, **ours) == "x" * 100
    for wrong in ("*", "0.0.0.0/0", "::/0", "proxy.example", "10.0.0.7/8"):
        with pytest.raises(ValidationError):
            Settings(trusted_proxies=wrong)


def test_a_clock_that_is_set_back_keeps_nobody_waiting() -> None:
    limit = RateLimit(10)
    limit.take("a", 7_200_000_000)
    assert limit.take("a", 1_000_000) == 19


def test_a_client_over_its_rate_gets_429_and_people_are_exempt(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = service.platform()
    [given] = platform.give()
    token = service.token(platform)
    person = service.claim(given)
    monkeypatch.setitem(service.runtime.parts, "rates", RateLimit(1, burst=1))
    path = f"{service.base}/v1/contributions/{given.id}"
    auth = {"Authorization": f"Bearer {token}"}
    first = service.http.get(path, headers=auth)
    assert first.status_code == 200 and first.headers["ratelimit-policy"] == '"client";q=1;w=1'
    second = service.http.get(path, headers=auth)
    assert (
        second.status_code == 429
        and second.json()["code"] == "rate_limited"
        and int(second.headers["retry-after"]) >= 1
    )
    assert [c.id for c in person.mine()] == [given.id]
    assert person.withdraw().contributions == 1
