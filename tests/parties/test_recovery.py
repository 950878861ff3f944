"""A recovery code: written on paper, it opens a person's page again, once, and never more than it was made with."""

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.entropy import Entropy
from app.kit.db import read
from app.kit.errors import Invalid
from app.kit.problems import CODES
from app.parties import recovery
from app.parties.auth import COOKIE
from app.parties.claims import encode_secret
from app.parties.models import RecoveryCode
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import at_once
from tests.support import PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import opens, window

_CODE = re.compile(r"(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}")


def shown(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    [code] = _CODE.findall(answer.text)
    return str(code)


def make(service: Service, receipt: str) -> str:
    return shown(httpx.post(f"{service.base}/r/recovery", headers={"Origin": service.base}, cookies={COOKIE: receipt}))


def use(service: Service, code: str, address: str = "127.0.0.1", **headers: str) -> httpx.Response:
    """A code typed in, by somebody at an address."""
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as browser:
        return browser.post(f"{service.base}/r/recover", data={"code": code}, headers={"Origin": service.base, **headers})


def told(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status and CODES[code] in answer.text.replace("&#39;", "'"), answer.text


@given(st.binary(min_size=20, max_size=20), st.data())
def test_a_slip_is_told_from_a_wrong_code(raw: bytes, data: st.DataObject) -> None:
    code = encode_secret(raw)
    paper = recovery.written(code)
    assert recovery.typed(paper) == recovery.typed(f" {paper.lower().replace('-', ' ')}\n") == code
    assert recovery.typed(paper.replace("0", "O").replace("1", data.draw(st.sampled_from("lIi")))) == code
    plain = paper.replace("-", "")
    at = data.draw(st.integers(0, 35))
    kind = data.draw(st.sampled_from(["other", "left out", "twice", "swapped"]))
    slip = {
        "other": plain[:at] + data.draw(st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ-UÉ")) + plain[at + 1 :],
        "left out": plain[:at] + plain[at + 1 :], "twice": plain[:at] + plain[at] * 2 + plain[at + 1 :],
        "swapped": plain[:at] + plain[at : at + 2][::-1] + plain[at + 2 :],
    }[kind]  # fmt: skip
    if slip != plain:
        with pytest.raises(Invalid, match="recovery_code_mistyped"):
            recovery.typed(slip)


def test_it_lets_one_in_again_and_the_old_code_ends(service: Service, platform: PlatformParty) -> None:
    [one, two] = platform.give(2, contributor="loses")
    first = receipt_for_all(service, platform, "loses").receipt
    assert "Get a code to print" in httpx.get(service.base + "/r?new=1", cookies={COOKIE: first}).text
    code = make(service, first)
    with read(service.runtime.engine) as session:
        kept = [str(row) for row in session.execute(sa.select(RecoveryCode)).all()]
    assert kept and not any(code.replace("-", "").lower()[:32] in row for row in kept)
    answer = use(service, code)
    new, following = answer.cookies[COOKIE], shown(answer)
    assert new != first and following != code and opens(service, new) and opens(service, first)
    assert one.id in (page := window(service, new).get("/r").text) and two.id in page
    # The answer may be lost on its way: for ten minutes the same code gives the same new one again.
    again = use(service, code)
    assert shown(again) == following and opens(service, again.cookies[COOKIE])
    service.clock.offset = timedelta(minutes=11)
    told(use(service, code), 404, "recovery_code_unknown")
    third = shown(use(service, following))
    # Once the new one was used the first is of no use, also within the ten minutes; and a new code ends the one before.
    told(use(service, code), 404, "recovery_code_unknown")
    fourth = make(service, new)
    told(use(service, third), 404, "recovery_code_unknown")
    # Whoever ends the other receipts ends the code too: another may have made it.
    assert "it has ended too" in window(service, new).post("/r/keys/end").text
    told(use(service, fourth), 404, "recovery_code_unknown")


def test_it_opens_no_more_than_it_was_made_with_and_goes_with_the_person(service: Service, platform: PlatformParty) -> None:
    [one, two] = platform.give(2, contributor="part")
    whole = receipt_for_all(service, platform, "part")
    part, all_of_it = make(service, service.claim(one).receipt), make(service, whole.receipt)
    page = window(service, use(service, part).cookies[COOKIE]).get("/r")
    assert one.id in page.text and two.id not in page.text
    following = shown(use(service, part))
    whole.erase(contribution=one.id)
    told(use(service, following), 404, "recovery_code_unknown")
    answers: list[httpx.Response] = []
    at_once(4, lambda n: answers.append(use(service, all_of_it)))
    assert len({shown(a) for a in answers}) == 1 and all(opens(service, a.cookies[COOKIE]) for a in answers)
    whole.erase("all")
    told(use(service, shown(answers[0])), 404, "recovery_code_unknown")
    stranger = recovery.written(encode_secret(Entropy()(20)))
    told(use(service, stranger), 404, "recovery_code_unknown")


def test_other_sites_slips_and_too_many_tries(running: Service, monkeypatch: Any) -> None:
    on_one_backend(running, "no database has a part in it")
    assert httpx.post(f"{running.base}/r/recover", data={"code": "x"}).status_code == 403
    assert httpx.post(f"{running.base}/r/recovery", headers={"Origin": running.base}).status_code == 401
    told(use(running, "x" * 36), 422, "recovery_code_mistyped")
    code = recovery.written(encode_secret(Entropy()(20)))
    codes: recovery.Recovery = running.runtime.parts["recovery"]
    monkeypatch.setattr(codes, "limit", type(codes.limit)(1, burst=2, advice="Wait a little, then try again."))
    assert [use(running, code).status_code for _ in range(4)][-1] == 429
    turned_away = use(running, code)
    told(turned_away, 429, "rate_limited")
    assert int(turned_away.headers["retry-after"]) >= 1
    assert use(running, "x").status_code == 422, "a slip costs no try"
    told(use(running, code, "127.0.0.2"), 404, "recovery_code_unknown")
    told(use(running, code, **{"X-Forwarded-For": "192.0.2.1"}), 429, "rate_limited")
