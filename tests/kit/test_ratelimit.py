"""One client is limited; another, and any contributor, is not."""

import pytest

from app.kit.errors import TooMany
from app.kit.ratelimit import RateLimit
from tests.support import Service


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
