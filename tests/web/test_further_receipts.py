"""A receipt that somebody else may have: a new one, and the end of the others. Nobody is locked out on the way."""

from typing import Any

import httpx
import pytest

from app.kit.problems import CODES
from app.parties import claims
from app.parties.auth import COOKIE
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import at_once, refused
from tests.support import PlatformParty, Service


def window(service: Service, receipt: str) -> httpx.Client:
    """A browser that has this receipt."""
    return httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base}, cookies={COOKIE: receipt})


def opens(service: Service, receipt: str) -> bool:
    return httpx.get(f"{service.base}/v1/contributions/me", headers={"Authorization": f"Bearer {receipt}"}).status_code == 200



def renewed(service: Service, receipt: str) -> str:
    """A further receipt, made with this one."""
    answer = httpx.post(f"{service.base}/r/keys/new", headers={"Origin": service.base}, cookies={COOKIE: receipt})
    assert (answer.status_code, answer.headers["location"]) == (303, "/r/keys?told=new")
    return str(answer.cookies[COOKIE])


def test_the_old_one_is_good_until_it_is_ended(service: Service, platform: PlatformParty) -> None:
    [given, other] = platform.give(2, contributor="renews")
    old = service.claim(given).receipt
    elsewhere = service.claim(other).receipt
    new = renewed(service, old)
    assert new != old and opens(service, old) and opens(service, new)
    page = window(service, new).get("/r/keys")
    assert "One more receipt opens this" in page.text and "Made on" in page.text
    page = window(service, new).post("/r/keys/end")
    assert page.url.path == "/r/keys" and "Only the receipt in this browser" in page.text and "No other receipt" in page.text
    # What opens another thing of the same person is not touched by one that opens this.
    assert (opens(service, old), opens(service, new), opens(service, elsewhere)) == (False, True, True)
    assert window(service, old).get("/r/keys").status_code == 401
    assert httpx.post(f"{service.base}/r/keys/new", headers={"Origin": service.base}, cookies={COOKIE: old}).status_code == 401


def test_one_for_everything_ends_those_of_each_thing_and_not_the_other_way(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1, contributor="whole")
    part, whole = service.claim(given).receipt, receipt_for_all(service, platform, "whole").receipt
    window(service, part).post("/r/keys/end")
    assert opens(service, whole)
    page = window(service, whole).get("/r/keys")
    assert "opens this, or a part of it" in " ".join(page.text.split())
    window(service, whole).post("/r/keys/end")
    assert (opens(service, part), opens(service, whole)) == (False, True)


def test_strangers_other_sites_and_too_many(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    [mine, theirs] = platform.give(2)
    receipt, stranger = service.claim(mine).receipt, service.claim(theirs).receipt
    for address in ("new", "end"):
        assert httpx.post(f"{service.base}/r/keys/{address}", cookies={COOKIE: receipt}).status_code == 403
        assert httpx.post(f"{service.base}/r/keys/{address}", headers={"Origin": service.base}).status_code == 401
    window(service, stranger).post("/r/keys/end")
    assert opens(service, receipt)
    monkeypatch.setattr(claims, "MOST_RECEIPTS", 3)
    for _ in range(3):
        renewed(service, receipt)
    page = window(service, receipt).post("/r/keys/new")
    assert page.status_code == 409 and CODES["receipts_too_many"] in page.text


def test_erased_beside_it_no_receipt_is_left(service: Service, platform: PlatformParty) -> None:
    platform.give(1, contributor="gone")
    whole = receipt_for_all(service, platform, "gone")
    made: list[Any] = []

    def act(n: int) -> None:
        if n == 3:
            whole.erase("all")
            return
        answer = httpx.post(f"{service.base}/r/keys/new", headers={"Origin": service.base}, cookies={COOKIE: whole.receipt})
        assert answer.status_code in (303, 401), answer.text
        made.extend([answer.cookies[COOKIE]] if answer.status_code == 303 else [])

    at_once(8, act)
    assert not any(opens(service, secret) for secret in [whole.receipt, *made])
    refused(httpx.get(f"{service.base}/v1/contributions/me", headers={"Authorization": f"Bearer {whole.receipt}"}), 401, "token_invalid")
