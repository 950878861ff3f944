"""What platforms are told: one event for every cause, never one person's, signed, and until it is taken."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from sayso import webhooks as reading
from sayso.errors import NotFound, Problem

from app.kit.db import read, write
from app.kit.egress import Egress
from app.revocations import availability, turns, webhooks
from app.revocations.availability import CHANGED, DELETE
from app.revocations.models import Webhook
from tests.collectives.members import founded, mandated, pass_days
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted, at_once, call, refused
from tests.revocations.endpoints import Endpoint
from tests.support import PlatformParty, Service, until


class Receiver(Endpoint):
    """A platform's: answers challenges, keeps what it is sent, and answers it as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.repeats = 200, True
        super().__init__("/sayso")

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        event = json.loads(body)
        if reading.is_challenge(event):
            return 200, json.dumps(reading.answer(event)).encode() if self.repeats else b"{}"
        self.got.append((headers, body))
        return self.status, b""


@pytest.fixture
def receiver(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    with found.reached_by(service, monkeypatch):
        yield found


def day(service: Service, platform: PlatformParty, days: int = 1) -> int:
    """What the round of the next day notes."""
    service.clock.offset += timedelta(days=days)
    with write(service.runtime.engine) as session:
        return availability.batch(session, platform.id, now=service.clock.now())


def morning(service: Service) -> None:
    """Move the clock to three in the morning (UTC) of the next day, so that acts of a test are all of one day."""
    now = service.clock.now()
    service.clock.offset += datetime.combine(now.date() + timedelta(days=1), time(3), UTC) - now


def told(platform: PlatformParty) -> list[tuple[str, set[str]]]:
    return [(event["type"], set(event["contributions"])) for event in platform.sdk.events()]


def test_ten_people_or_three_days(service: Service, platform: PlatformParty) -> None:
    morning(service)
    given = platform.give(11)
    day(service, platform)
    for one in given[:9]:
        service.claim(one).withdraw()
    assert day(service, platform) == 0, "nine wait"
    service.claim(given[9]).scope(given[9].id, template="nothing-new")
    assert day(service, platform) == 10
    assert told(platform) == [(CHANGED, {one.id for one in given[:10]})]
    assert day(service, platform) == 0, "once"
    service.claim(given[10]).erase()
    assert [day(service, platform), day(service, platform)] == [0, 0]
    assert [day(service, platform), day(service, platform)] == [1, 0], "after three days it goes alone"
    assert told(platform)[0] == (CHANGED, {given[10].id})


def test_what_comes_on_the_same_day_waits_for_the_next(service: Service, platform: PlatformParty) -> None:
    morning(service)
    given = platform.give(10)
    day(service, platform)
    for one in given:
        service.claim(one).withdraw()
    with write(service.runtime.engine) as session:
        assert availability.batch(session, platform.id, now=service.clock.now()) == 0
    service.clock.offset += timedelta(hours=20)
    with write(service.runtime.engine) as session:
        assert availability.batch(session, platform.id, now=service.clock.now()) == 0, "a day has one look, whoever comes tenth"
    assert day(service, platform) == 10


def test_a_collectives_decision_looks_like_any_other_cause(service: Service, platform: PlatformParty) -> None:
    morning(service)
    [one] = platform.give(1, contributor="member")
    platform.give(1, contributor="other")
    member = receipt_for_all(service, platform, "member")
    union = founded(member, tenure_days=0)
    mandated(service, union)
    assert day(service, platform, 4) == 1, "the mandate"
    proposal = union.propose("policy.narrow", "Less.", policy={"template": "nothing-new"})
    opened = pass_days(service, union, proposal["id"], 7)
    union.vote(opened, "yes")
    pass_days(service, union, proposal["id"], 7)
    assert day(service, platform, 4) == 1, "the policy"
    assert told(platform) == [(CHANGED, {one.id})] * 2
    with read(service.runtime.engine) as session:
        bodies = {webhooks.body_of(row) for row, _ in webhooks.events(session, platform.id, None, 10)}
    assert all(set(json.loads(body)) == {"type", "timestamp", "data"} for body in bodies)


def test_who_asks_has_the_platform_told_to_delete(service: Service, platform: PlatformParty) -> None:
    one, two = platform.give(2)
    service.claim(one).erase()
    service.claim(two).erase(tell_platform=True)
    assert told(platform) == [(DELETE, {two.id})]


def test_events_are_signed_and_sent_until_they_are_taken(service: Service, platform: PlatformParty, receiver: Receiver) -> None:
    sender, mine = service.runtime.parts["sender"], platform.sdk
    secret = str(mine.send_events_to(receiver.url))
    assert secret.startswith("whsec_") and mine.send_events_to(receiver.url) is None, "shown once"
    receiver.status = 503
    [one] = platform.give(1)
    service.claim(one).erase(tell_platform=True)
    until(lambda: sender.look() or receiver.got)
    until(lambda: hook(service, platform).failures == 1)
    assert hook(service, platform).problem == "the address answered 503"
    sender.look()
    assert len(receiver.got) == 1, "its turn is not yet"
    receiver.status = 200
    service.clock.offset += timedelta(seconds=10)
    until(lambda: sender.look() or len(receiver.got) == 2)
    [first, second] = receiver.got
    assert first[1] == second[1] and first[0]["webhook-id"] == second[0]["webhook-id"]
    now = service.clock.now().timestamp()
    event = reading.read(secret, second[0], second[1], now=now)
    assert (event["type"], event["data"]) == (DELETE, {"contributions": [one.id]})
    for headers, body, at in (
        (second[0], second[1] + b" ", now), (second[0], second[1], now + 400), ({**second[0], "webhook-id": "pev_x"}, second[1], now),
        ({**second[0], "webhook-signature": "v1,AAAA v2,x v1"}, second[1], now), ({}, second[1], now), ({}, b"[]", now), ({}, b"\xff", now),
    ):  # fmt: skip
        with pytest.raises(reading.Forged):
            reading.read(secret, headers, body, now=at)
    until(lambda: [a["status"] for a in next(mine.events())["attempts"]] == [503, 200])
    new = mine.new_webhook_secret()
    mine.send_again(second[0]["webhook-id"])
    until(lambda: sender.look() or len(receiver.got) == 3)
    for one_secret in (new, secret):
        reading.read(one_secret, receiver.got[2][0], receiver.got[2][1], now=service.clock.now().timestamp())
    service.clock.offset += timedelta(days=1, minutes=1)
    mine.send_again(second[0]["webhook-id"])
    until(lambda: sender.look() or len(receiver.got) == 4)
    with pytest.raises(reading.Forged):
        reading.read(secret, receiver.got[3][0], receiver.got[3][1], now=service.clock.now().timestamp())
    reading.read([secret, new], receiver.got[3][0], receiver.got[3][1], now=service.clock.now().timestamp())


def hook(service: Service, platform: PlatformParty) -> Webhook:
    with read(service.runtime.engine) as session:
        return session.get_one(Webhook, platform.id)


def test_after_five_days_of_failures_it_stops_until_it_is_taken_up(service: Service, platform: PlatformParty, receiver: Receiver) -> None:
    sender, mine = service.runtime.parts["sender"], platform.sdk
    mine.send_events_to(receiver.url)
    receiver.status = 500
    [one] = platform.give(1)
    service.claim(one).erase(tell_platform=True)
    until(lambda: sender.look() or hook(service, platform).failures == 1)
    service.clock.offset += timedelta(days=5)
    until(lambda: sender.look() or hook(service, platform).stopped_at)
    before = len(receiver.got)
    service.clock.offset += timedelta(days=1)
    sender.look()
    assert len(receiver.got) == before
    receiver.status = 204
    mine.send_again(next(mine.events())["id"])
    until(lambda: sender.look() or next(mine.events())["delivered_at"])
    service.clock.offset += timedelta(days=31)
    with write(service.runtime.engine) as session:
        webhooks.forget_old(session, service.clock.now())
    assert list(mine.events()) == []


def test_of_many_that_look_at_once_one_sends(service: Service, platform: PlatformParty, receiver: Receiver) -> None:
    platform.sdk.send_events_to(receiver.url)
    for one in platform.give(3):
        service.claim(one).erase(tell_platform=True)
    at_once(8, lambda _: service.runtime.parts["sender"].look())
    until(lambda: len(receiver.got) == 3)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 3


def test_what_was_sent_and_not_noted_is_sent_again_under_the_same_id(
    service: Service, platform: PlatformParty, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the platform had it and before that was written down: another takes the turn when it has run out."""
    sender = service.runtime.parts["sender"]
    platform.sdk.send_events_to(receiver.url)

    def dies(*_: object) -> None:
        raise OSError("the machine went away")

    monkeypatch.setattr(webhooks, "write", dies)
    service.claim(platform.give(1)[0]).erase(tell_platform=True)

    def looks() -> bool:
        with suppress(OSError):
            sender.look()
        return len(receiver.got) == 1

    until(looks)
    monkeypatch.undo()
    monkeypatch.setattr(service.runtime, "egress", Egress(frozenset({receiver.place})))
    assert next(platform.sdk.events())["delivered_at"] is None
    sender.look()
    assert len(receiver.got) == 1, "its turn has not run out"
    service.clock.offset += turns.TURN + timedelta(seconds=5)
    until(lambda: sender.look() or next(platform.sdk.events())["delivered_at"])
    [first, second] = receiver.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"] and first[1] == second[1]


def test_of_many_who_set_the_first_address_at_once_one_is_shown_the_secret(
    service: Service, platform: PlatformParty, receiver: Receiver
) -> None:
    token, body = service.token(platform), json.dumps({"url": receiver.url}).encode()
    answers = at_once(6, lambda _: accepted(call(service, "PUT", "/v1/webhook", token, body)))
    assert sorted(answer["secret"] is not None for answer in answers) == [False] * 5 + [True]


def test_of_many_first_looks_at_once_one_tells(service: Service, platform: PlatformParty) -> None:
    for one in platform.give(10):
        service.claim(one).withdraw()
    service.clock.offset += timedelta(days=4)

    def look(_: int) -> int:
        with write(service.runtime.engine) as session:
            return availability.batch(session, platform.id, now=service.clock.now())

    assert sorted(at_once(6, look)) == [0] * 5 + [10]


def test_who_had_the_days_look_is_not_looked_at_again(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chore runs every hour and takes the log's head for each platform that it looks at."""
    looked: list[str] = []
    real = availability.batch

    def counted(session: Any, name: str, *, now: datetime) -> int:
        looked.append(name)
        return real(session, name, now=now)

    monkeypatch.setattr(availability, "batch", counted)
    morning(service)
    for _ in range(3):
        availability.tell_all(service.runtime, service.clock.now())
    assert looked.count(platform.id) == 1
    morning(service)
    availability.tell_all(service.runtime, service.clock.now())
    assert looked.count(platform.id) == 2


def test_an_address_must_be_one_that_may_be_asked_and_repeat_the_challenge(
    service: Service, platform: PlatformParty, receiver: Receiver
) -> None:
    token, mine = service.token(platform), platform.sdk
    for method, path in (("GET", "/v1/webhook"), ("DELETE", "/v1/webhook"), ("POST", "/v1/webhook/secret")):
        refused(call(service, method, path, token), 404, "not_found")
    for url in ("http://10.0.0.1/", "https://localhost/x", "https://u:p@example.org/", "x", receiver.url.replace("127.0.0.1", "127.1")):
        refused(call(service, "PUT", "/v1/webhook", token, json.dumps({"url": url}).encode()), 422, "webhook_address_refused")
    for bad in ({}, {"url": ""}, {"url": receiver.url, "x": 1}):
        refused(call(service, "PUT", "/v1/webhook", token, json.dumps(bad).encode()), 422, "body_invalid")
    receiver.repeats = False
    refused(call(service, "PUT", "/v1/webhook", token, json.dumps({"url": receiver.url}).encode()), 422, "webhook_challenge_failed")
    gone = receiver.url.replace(receiver.place, receiver.place.split(":")[0] + ":1")
    service.runtime.egress = Egress(frozenset({receiver.place, "127.0.0.1:1"}))
    refused(call(service, "PUT", "/v1/webhook", token, json.dumps({"url": gone}).encode()), 422, "webhook_challenge_failed")
    with pytest.raises(NotFound):
        mine.send_again("pev_" + "0" * 26)
    receiver.repeats = True
    mine.send_events_to(receiver.url)
    other: Any = service.platform()
    service.claim(platform.give(1)[0]).erase(tell_platform=True)
    event = next(mine.events())["id"]
    with pytest.raises(Problem):
        other.sdk.send_again(event)
    mine.send_events_to(None)
    refused(call(service, "GET", "/v1/webhook", token), 404, "not_found")
