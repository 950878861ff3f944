"""Calls: from somebody to all who are in a release or on a platform with them, by no name, and past every platform."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.contributor import Contributor
from sqlmodel import select

from app.collectives.thread_models import Words
from app.kit.db import read, write
from app.log.models import LogEntry
from app.revocations import convening
from app.revocations.models import Call, CallHidden
from tests.collectives.members import founded, people
from tests.kit.refusals import accepted, call, refused
from tests.support import LabParty, PlatformParty, Service
from tests.web.talk import found
from tests.web.test_further_receipts import window
from tests.web.test_receipt_page import words


def called(person: Contributor, text: str = "Meet us.", **to: Any) -> dict[str, Any]:
    return dict(person.call("POST", "/v1/calls", {"text": text, **to}))


def opened(service: Service, person: Contributor, asked: dict[str, Any]) -> httpx.Response:
    return call(service, "POST", "/v1/calls", person.receipt, json.dumps(asked).encode())


def heard(person: Contributor) -> list[str]:
    return [one["text"] for one in person.call("GET", "/v1/calls")["items"]]


def stored(service: Service, table: Any) -> int:
    with read(service.runtime.engine) as session:
        return int(session.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_call_reaches_a_platforms_people_and_nobody_learns_whose_it_is(service: Service, platform: PlatformParty) -> None:
    (caller, _), *others = people(service, platform, 9)
    refused(opened(service, caller, {"text": "x"}), 422, "cohort_too_small")
    others += people(service, platform, 1)
    elsewhere, _ = people(service, service.platform(), 1)[0]
    union = founded(caller)
    hidden = founded(caller, listed=False)
    refused(opened(service, caller, {"text": "x", "collective": hidden.id}), 422, "collective_not_public")
    called(caller, "Join us, in all your languages.", collective=union.id)
    [found] = others[0][0].call("GET", "/v1/calls")["items"]
    assert (found["text"], found["mine"], found["name"]) == ("Join us, in all your languages.", False, union.read()["name"])
    assert not {"contributor", "release", "platform", "to", "author", "log_index"} & set(found), "nothing says who, or to whom"
    with read(service.runtime.engine) as session:
        lying = bytes(session.get_one(Words, found["id"]).sealed)
        opening = session.exec(select(LogEntry).where(LogEntry.subject == found["id"])).one()
    assert all(b"in all your" not in data for data in (lying, bytes(opening.leaf), bytes(opening.sealed or b""))), "sealed where it lies"
    Collective(others[0][0], found["collective"]).join()
    assert heard(elsewhere) == [] and [one["mine"] for one in caller.call("GET", "/v1/calls")["items"]] == [True]
    token = service.token(platform)
    one = f"/v1/calls/{found['id']}"
    for method, address in (("GET", "/v1/calls"), ("POST", "/v1/calls"), ("DELETE", one), ("PUT", one + "/hidden")):
        refused(call(service, method, address, token, b'{"text": "x"}' if method == "POST" else None), 404, "not_found")
    # One hides it from themselves; the others still hear it.
    others[1][0].call("PUT", f"/v1/calls/{found['id']}/hidden")
    assert heard(others[1][0]) == [] and len(heard(others[2][0])) == 1
    refused(call(service, "PUT", f"/v1/calls/{found['id']}/hidden", elsewhere.receipt), 404, "not_found")
    refused(call(service, "DELETE", f"/v1/calls/{found['id']}", others[2][0].receipt), 404, "not_found")
    refused(opened(service, others[3][0], {"text": "x", "collective": union.id}), 404, "not_found")
    union.leave()
    [left] = others[2][0].call("GET", "/v1/calls")["items"]
    assert (left["collective"], left["name"]) == (None, None), "its author is in it no more"
    ended = caller.call("DELETE", f"/v1/calls/{found['id']}")
    assert ended["type"] == "call.ended" and heard(others[2][0]) == []
    with read(service.runtime.engine) as session:
        assert session.get(Words, found["id"]) is None, "its words are gone"


def test_a_call_reaches_a_releases_people_on_every_platform(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    other = service.platform()
    (caller, _), *_ = people(service, platform, 4)
    (far, _), *_ = people(service, other, 6)
    small, _ = people(service, service.platform(), 1)[0]
    agreement = lab.sdk.sign(lab.sdk.offer(str(lab.sdk.request(
        {"actions": ["evaluate"], "purposes": ["dpv:ScientificResearch"], "accepts": ["attribute", "delete"]},
        selection={"platforms": [platform.id, other.id]},
    ).offer)))  # fmt: skip
    release = lab.sdk.cut(agreement, poll=0.05)
    late, _ = people(service, platform, 1)[0]
    called(caller, "We are in this one.", release=release.id)
    assert heard(far) == ["We are in this one."] and heard(late) == [] and heard(small) == []
    for other_release in (release.id, "rel_" + "0" * 26):
        refused(opened(service, late, {"text": "x", "release": other_release}), 404, "not_found")


def test_two_stand_at_once_and_an_erasure_or_time_ends_them(service: Service, platform: PlatformParty) -> None:
    (caller, _), (reader, _), *_ = people(service, platform, 11)
    for n in range(2):
        called(caller, f"{n}")
    refused(opened(service, caller, {"text": "3"}), 409, "calls_open")
    reader.call("PUT", f"/v1/calls/{reader.call('GET', '/v1/calls')['items'][0]['id']}/hidden")
    hidden = stored(service, CallHidden)
    accepted(call(service, "POST", "/v1/erasures", caller.receipt, b'{"scope": "all"}'))
    assert heard(reader) == [] and stored(service, CallHidden) == hidden - 1
    called(reader, "still here")
    service.clock.offset += timedelta(days=30)
    assert heard(reader) == []
    with write(service.runtime.engine) as session:
        convening.forget_old(session, service.clock.now())
    assert stored(service, Call) == 0


def test_records_without_an_id_are_no_ten_people(service: Service, platform: PlatformParty) -> None:
    (caller, _), *_ = people(service, platform, 9)
    platform.give(3, people=False)
    refused(opened(service, caller, {"text": "x"}), 422, "cohort_too_small")
    platform.give(1)
    called(caller)


def test_ones_own_calls_come_first_and_the_others_by_pages(service: Service, platform: PlatformParty) -> None:
    """A receipt for one thing ends, and counts as its own, the calls alone that were made with such a one."""
    (caller, given), *others = people(service, platform, 12)
    single = service.claim(given)
    narrow, whole = window(service, single.receipt), window(service, caller.receipt)
    called(caller, "Mine, with the whole receipt.")
    called(single, "Mine, for one thing.")
    for n in range(21):
        called(others[n // 2][0], f"Call {n:02}.")
    second_page = whole.get("/r/calls?at=2")
    first, second = words(whole.get("/r/calls")), words(second_page)
    assert first.count("End this call") == 2 and first.index("Mine, for") < first.index("Mine, with") < first.index("Call 20.")
    assert "Call 01." in first and "Call 00." not in first and "Call 00." in second and "End this call" not in second
    page = words(narrow.get("/r/calls"))
    assert page.count("End this call") == 1 and page.index("End this call") < page.index("Call 20."), page
    assert "Mine, with" not in page, "another receipt made it: it comes as the others do, the oldest last"
    last = words(narrow.get("/r/calls?at=2"))
    assert "Mine, with" in last and "End this call" not in last
    assert "There are 21 calls to you." in words(whole.get("/r")) and "There are 22 calls to you." in words(narrow.get("/r"))
    hidden = caller.call("GET", "/v1/calls")["items"][2]["id"]
    oldest = found(second_page.text, r"/r/calls/(\w+)/hide")
    for one in (hidden, oldest):
        caller.call("PUT", f"/v1/calls/{one}/hidden")
    assert "There are 19 calls to you." in words(whole.get("/r"))


def test_two_tabs_at_once_open_no_third_call(service: Service, platform: PlatformParty) -> None:
    (caller, _), *_ = people(service, platform, 10)
    called(caller, "one")
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda n: opened(service, caller, {"text": f"{n}"}).status_code, range(4)))
    assert sorted(statuses) == [201, 409, 409, 409]


@pytest.mark.parametrize("text", ["", "x" * 2_001, "a\x00b"])
def test_a_call_that_says_nothing_or_too_much_is_refused(service: Service, platform: PlatformParty, text: str) -> None:
    (caller, _), *_ = people(service, platform, 1)
    refused(opened(service, caller, {"text": text}), 422, "body_invalid")
