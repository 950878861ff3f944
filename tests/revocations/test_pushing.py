"""Events brought to a lab: each until it is taken, with growing pauses, and never to an address inside."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sayso.jws import check

from app.kit.db import read, write
from app.revocations import events
from app.revocations.models import PushAddress, SecurityEvent
from app.revocations.pushing import PAUSES
from tests.kit.refusals import accepted, at_once, call, lab_token, refused
from tests.kit.test_egress import nobody_asked
from tests.revocations.endpoints import Endpoint
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until


class Receiver(Endpoint):
    """A lab's: keeps what it is sent, and answers what it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], str]] = []
        self.status, self.body = 202, b""
        super().__init__("/events")

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.got.append((path, headers, body.decode()))
        return self.status, self.body


@pytest.fixture
def receiver(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setattr(service.runtime.parts["pusher"], "_stop", threading.Event())  # the service's own thread goes on looking
    with found.reached_by(service, monkeypatch):
        yield found


def tell(service: Service, lab: LabParty, *kinds: str) -> None:
    with write(service.runtime.engine) as session:
        for number, kind in enumerate(kinds):
            events.tell(session, lab.id, kind, "agr_" + "0" * 26, f"x{number}", service.clock.now())


def waiting(service: Service, lab: LabParty) -> set[str]:
    with read(service.runtime.engine) as session:
        rows = session.exec(events.select(SecurityEvent).where(SecurityEvent.lab_id == lab.id, SecurityEvent.acked_at == None))
        return {row.id for row in rows}


def state(service: Service, lab: LabParty) -> PushAddress:
    with read(service.runtime.engine) as session:
        return session.get_one(PushAddress, lab.id)


def test_a_recall_is_brought_and_taken(service: Service, platform: PlatformParty, lab: LabParty, receiver: Receiver) -> None:
    _, gone = platform.give(2)
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.02))
    lab.sdk.push_to(receiver.url, "Bearer a secret")
    service.claim(gone).withdraw()
    path, headers, token = until(lambda: receiver.got)[0]
    assert path == "/events" and headers["content-type"] == "application/secevent+jwt" and headers["authorization"] == "Bearer a secret"
    claims = json.loads(check(token, service.http.get(service.base + "/.well-known/jwks.json").json()["keys"][0], "secevent+jwt")[1])
    assert claims["aud"] == lab.id and list(claims["events"]) == ["urn:sayso:event:recall.opened"]
    until(lambda: claims["jti"] not in waiting(service, lab))
    assert lab.sdk.recalls(agreement).items[0].state == "acknowledged", "202 is the lab's word that it has the recall"
    told = accepted(call(service, "GET", "/v1/events/push", lab_token(service, lab)))
    assert told["url"] == receiver.url and told["authorization"] is True and "secret" not in json.dumps(told)
    with read(service.runtime.engine) as session:
        assert b"a secret" not in bytes(session.get_one(PushAddress, lab.id).authorization or b"")


def test_what_is_not_taken_is_brought_again_after_growing_pauses(service: Service, lab: LabParty, receiver: Receiver) -> None:
    pusher, receiver.status = service.runtime.parts["pusher"], 503
    lab.sdk.push_to(receiver.url)
    tell(service, lab, "report.due", "report.overdue")
    for number, pause in enumerate((*PAUSES, PAUSES[-1]), 1):
        until(lambda n=number: pusher.look() or state(service, lab).failures == n)
        row = state(service, lab)
        assert row.problem == "the address answered 503" and len(waiting(service, lab)) == 2
        before = len(receiver.got)
        service.clock.offset += timedelta(seconds=pause - 1) - (service.clock.now() - row.next_at + timedelta(seconds=pause))
        pusher.look()
        assert len(receiver.got) == before, "its turn is not yet"
        service.clock.offset += timedelta(seconds=2)
    receiver.status = 202
    until(lambda: pusher.look() or not waiting(service, lab))
    until(lambda: state(service, lab).failures == 0 and state(service, lab).problem is None)


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b'{"description":"x"}', b'{"err":7}', b"\xff", b"[" * 5_000])
def test_a_400_that_says_nothing_settles_nothing(service: Service, lab: LabParty, receiver: Receiver, body: bytes) -> None:
    receiver.status, receiver.body = 400, body
    lab.sdk.push_to(receiver.url)
    tell(service, lab, "report.due")
    until(lambda: service.runtime.parts["pusher"].look() or state(service, lab).failures == 1)
    assert len(waiting(service, lab)) == 1


def test_what_a_lab_cannot_read_is_noted_and_not_sent_again(service: Service, lab: LabParty, receiver: Receiver) -> None:
    receiver.status, receiver.body = 400, b'{"err":"invalid_key","description":"no such key"}'
    lab.sdk.push_to(receiver.url)
    tell(service, lab, "report.due")
    until(lambda: service.runtime.parts["pusher"].look() or not waiting(service, lab))
    with read(service.runtime.engine) as session:
        [row] = session.exec(events.select(SecurityEvent).where(SecurityEvent.lab_id == lab.id)).all()
    assert row.error == "invalid_key: no such key"


def test_of_many_that_look_at_once_one_brings(service: Service, lab: LabParty, receiver: Receiver) -> None:
    lab.sdk.push_to(receiver.url)
    tell(service, lab, *(f"report.due{n}" for n in range(5)))
    at_once(8, lambda _: service.runtime.parts["pusher"].look())
    until(lambda: not waiting(service, lab))
    tokens = [token for *_, token in receiver.got]
    assert len(tokens) == len(set(tokens)) == 5


def test_addresses_and_who_may_set_them(service: Service, lab: LabParty, receiver: Receiver) -> None:
    token = lab_token(service, lab)
    refused(call(service, "GET", "/v1/events/push", token), 404, "not_found")
    refused(call(service, "DELETE", "/v1/events/push", token), 404, "not_found")
    for url in ("http://10.0.0.1/", "https://localhost/x", "https://u:p@example.org/", "x", receiver.url.replace("127.0.0.1", "127.1")):
        refused(call(service, "PUT", "/v1/events/push", token, json.dumps({"url": url}).encode()), 422, "push_address_refused")
    good = {"url": receiver.url}
    for bad in ({}, {"url": ""}, good | {"authorization": "a\r\nb"}, good | {"authorization": "é"}, good | {"x": 1}):
        refused(call(service, "PUT", "/v1/events/push", token, json.dumps(bad).encode()), 422, "body_invalid")
    lab.sdk.push_to(receiver.url)
    lab.sdk.push_to(None)
    tell(service, lab, "report.due")
    service.runtime.parts["pusher"].look()
    assert receiver.got == [] and len(waiting(service, lab)) == 1


def test_no_address_inside_is_taken_or_asked(service: Service, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when the lab sets it, nor when one that stands there is sent to."""
    on_one_backend(service)
    token = lab_token(service, lab)
    with nobody_asked(monkeypatch) as forms:
        for form in forms:
            answer = call(service, "PUT", "/v1/events/push", token, json.dumps({"url": form}).encode())
            refused(answer, 422, "push_address_refused", *(["body_invalid"] if not 0 < len(form) <= 1_000 else []))
            assert service.runtime.parts["pusher"]._one(lab.id, form, {}, "evt", "token") is not None, form
    refused(call(service, "GET", "/v1/events/push", token), 404, "not_found")


def test_two_first_addresses_at_once_are_one(service: Service, lab: LabParty, receiver: Receiver) -> None:
    token = lab_token(service, lab)
    urls = [f"{receiver.url}/{n}" for n in range(8)]
    answers = at_once(8, lambda n: call(service, "PUT", "/v1/events/push", token, json.dumps({"url": urls[n]}).encode()))
    assert all(accepted(answer)["url"] in urls for answer in answers)
    assert state(service, lab).url in urls


def test_nothing_is_sent_where_a_name_leads_inside_by_then(service: Service, lab: LabParty, receiver: Receiver) -> Any:
    """An address that was public when it was set: looked at again before every exchange."""
    lab.sdk.push_to(receiver.url)
    tell(service, lab, "report.due")
    with write(service.runtime.engine) as session:
        session.get_one(PushAddress, lab.id).url = "https://localhost/events"
    until(lambda: service.runtime.parts["pusher"].look() or state(service, lab).failures >= 1)
    assert receiver.got == [] and "public name" in str(state(service, lab).problem)
