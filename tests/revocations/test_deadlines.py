"""Reminders, what becomes overdue and what that stops, events by poll, and the ledger's shares; the clock is moved."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.jws import check

from app.kit.db import read, write
from app.log.models import LogEntry
from app.releases.models import LedgerDay, Recall
from app.revocations import deadlines
from app.revocations.models import SecurityEvent
from tests.agreements.test_catalog import another_day, timely
from tests.kit.refusals import accepted, at_once, get, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, until


@pytest.fixture(autouse=True)
def today(service: Service) -> Iterator[None]:
    """Other tests begin at the machine's time again."""
    yield
    service.clock.offset = timedelta()


class Owing:
    """A lab that owes something by a day."""

    service: Service
    lab: LabParty

    @property
    def token(self) -> str:
        return self.lab.sdk._auth.header().removeprefix("Bearer ")

    def after(self, days: float) -> None:
        """So many days after it began, with the hourly chores done."""
        self.service.clock.offset = timedelta(days=days)
        deadlines.look_for_forgotten(self.service.runtime, self.service.clock.now())


class Case(Owing):
    """A lab that holds a release, and a recall of one record of it."""

    def __init__(self, service: Service, platform: PlatformParty, records: int = 3) -> None:
        service.clock.offset = timedelta()
        self.service, self.lab = service, timely(service)
        self.given = platform.give(records)
        self.agreement = self.lab.agree(platform)
        self.release = self.lab.sdk.cut(self.agreement, poll=0)
        self.lab.sdk.deliver(self.release)
        self.person = service.claim(self.given[0])
        self.person.withdraw()
        self.recall = until(lambda: self.lab.sdk.recalls(self.agreement).items)[0].id

    def leaves(self) -> list[tuple[str, str | None]]:
        with read(self.service.runtime.engine) as session:
            query = sa.select(LogEntry.type, LogEntry.leaf).where(LogEntry.subject == self.recall).order_by(LogEntry.log_index)  # type: ignore[call-overload]
            return [(kind, json.loads(leaf).get("owed")) for kind, leaf in session.execute(query)]

    def events(self, *ack: str, **more: Any) -> dict[str, dict[str, Any]]:
        """The claims of what waits, by jti, each checked against the service's key."""
        jwk = self.service.runtime.keys.service.public_jwk
        found = {}
        for jti, token in self.lab.sdk.poll(ack, **more).sets.items():
            _, payload = check(token, jwk, "secevent+jwt")
            found[jti] = json.loads(payload)
            assert found[jti]["jti"] == jti and not {"sub", "exp"} & set(found[jti]), "RFC 8417 section 2.2, SSF 1.0"
        return found

    def cut_refused(self) -> None:
        refused(self.service.post(f"/v1/agreements/{self.agreement.id}/releases", {}, self.token), 403, "lab_blocked")


@pytest.fixture
def case(service: Service, platform: PlatformParty, fast_lab: None) -> Case:
    return Case(service, platform)


@pytest.fixture
def fast_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """`timely` labs wait for nothing; a cut here is waited for."""
    import time

    from tests.agreements import test_catalog

    monkeypatch.setattr(test_catalog, "_never", lambda seconds: time.sleep(0.02))


def kinds(events: dict[str, dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(uri.rpartition(":")[2], told.get("owed")) for one in events.values() for uri, told in one["events"].items()]


def test_a_lab_that_is_offline_for_a_week_is_overdue_in_public_and_gets_nothing_until_it_answers(case: Case, tmp_path: Path) -> None:
    case.after(4.9)
    assert case.leaves() == [("recall.opened", None)]
    case.after(8)
    case.after(9)
    assert case.leaves() == [("recall.opened", None), ("recall.overdue", "acknowledge")]  # once
    case.cut_refused()
    refused(case.service.post(f"/v1/releases/{case.release.id}/deliveries", {}, case.token), 403, "lab_blocked")
    entries = accepted(get(case.service, "/v1/ledger"))
    while entries["next"] and not any(e["act"]["id"] == case.recall and e["act"]["type"] == "recall.overdue" for e in entries["items"]):
        entries = accepted(get(case.service, f"/v1/ledger?cursor={entries['next']}"))
    [overdue] = [e["act"] for e in entries["items"] if e["act"]["id"] == case.recall and e["act"]["type"] == "recall.overdue"]
    assert overdue["lab"] == case.lab.name and overdue["owed"] == "acknowledge"
    # It comes back, takes what waited for it, and is served again, without what was recalled.
    waiting = case.events()
    assert kinds(waiting) == [("recall.opened", None), ("recall.overdue", "acknowledge")]
    assert case.events(*waiting) == {}
    [recall] = case.lab.sdk.recalls(case.agreement).items
    assert (recall.state, recall.overdue) == ("acknowledged", False)
    release = case.lab.sdk.cut(case.agreement, poll=0)
    assert len(case.lab.fetch(release, tmp_path)) == 2


def test_reminders_come_before_each_day_and_deletion_has_a_day_of_its_own(case: Case) -> None:
    case.after(6)
    assert kinds(case.events()) == [("recall.opened", None), ("recall.reminder", "acknowledge")]
    case.events(*case.events())
    for day in (24, 25):
        case.after(day)
        assert kinds(case.events()) == [("recall.reminder", "delete")]
    case.after(31)
    assert case.leaves()[1:] == [("recall.acknowledged", None), ("recall.overdue", "delete")]
    case.cut_refused()
    case.lab.sdk.attest(case.recall)
    case.after(32)
    assert case.leaves()[3:] == [("recall.attested", None)]
    assert case.lab.sdk.cut(case.agreement, poll=0).state == "published"


def test_many_looks_at_once_tell_it_once(case: Case) -> None:
    case.service.clock.offset = timedelta(days=40)
    at_once(6, lambda _: case.service.runtime.jobs.run("overdue", case.recall))
    assert case.leaves()[1:] == [("recall.overdue", "acknowledge"), ("recall.overdue", "delete")]
    case.service.runtime.jobs.run("overdue", "rcl_" + "0" * 26)


def test_the_jobs_of_a_recall_are_queued_for_its_days(case: Case) -> None:
    with case.service.runtime.engine.connect() as connection:
        table = "workflow_status" if case.service.backend == "sqlite" else "dbos.workflow_status"
        query = f"SELECT workflow_uuid FROM {table} WHERE workflow_uuid LIKE 'overdue:{case.recall}%'"
        queued = {row[0].rpartition(":")[2] for row in connection.execute(sa.text(query))}
    assert queued == {"acknowledge-before", "acknowledge-after", "delete-before", "delete-after"}


def test_what_cannot_be_removed_is_told_with_the_model(case: Case) -> None:
    with pytest.raises(ValueError, match="models"):
        case.lab.sdk.attest(case.recall, "cannot_remove")
    case.lab.sdk.attest(case.recall, "cannot_remove", ["Big <b>Model</b>-7"])
    with read(case.service.runtime.engine) as session:
        row = session.get_one(Recall, case.recall)
        query = sa.select(LogEntry.leaf).where(LogEntry.subject == case.recall, LogEntry.type == "recall.cannot-remove")  # type: ignore[call-overload]
        leaf = json.loads(session.execute(query).scalar_one())
    assert row.models == leaf["models"] == ["Big <b>Model</b>-7"]
    assert case.lab.sdk.recalls(case.agreement).items[0].models == ["Big <b>Model</b>-7"]
    shown = case.service.http.get(f"{case.service.base}/r", headers={"Cookie": f"sayso_receipt={case.person._auth.header()[7:]}"}).text
    assert "It trained a model with it: <bdi>Big &lt;b&gt;Model&lt;/b&gt;-7</bdi>." in shown


def test_a_poll_gives_each_token_again_until_it_is_settled_and_only_to_its_lab(case: Case) -> None:
    [jti] = case.events()
    assert list(case.events()) == [jti] and case.events(most=0) == {}
    claims = case.events()[jti]
    assert (claims["aud"], claims["txn"], claims["sub_id"]["id"]) == (case.lab.id, case.recall, case.agreement.id)
    other = timely(case.service)
    assert other.sdk.poll([jti]).sets == {} and list(case.events()) == [jti]
    told = {"setErrs": {jti: {"err": "invalid_key", "description": "unknown kid"}}, "returnImmediately": True}
    assert accepted(case.service.post("/v1/events/poll", told, case.token)) == {"sets": {}, "moreAvailable": False}
    assert case.lab.sdk.recalls(case.agreement).items[0].state == "notified"  # an error is no acknowledgement
    with read(case.service.runtime.engine) as session:
        assert session.get_one(SecurityEvent, jti).error == "invalid_key: unknown kid"
    for wrong in ({"maxEvents": -1}, {"ack": ["x" * 600]}, {"setErrs": {jti: {}}}, {"more": 1}):
        refused(case.service.post("/v1/events/poll", wrong, case.token), 422, "body_invalid")
    refused(case.service.post("/v1/events/poll", {}), 401, "token_missing")


def test_the_ledger_tells_who_got_what_share(service: Service, platform: PlatformParty, fast_lab: None) -> None:
    service.clock.offset = timedelta()
    big, small = timely(service), timely(service)
    platform.give(23)
    few = service.platform()
    few.give(4)
    for lab, here in ((big, platform), (big, platform), (small, few)):
        lab.sdk.cut(lab.agree(here, EVALUATION), poll=0)
    another_day(service)
    with write(service.runtime.engine) as session:
        session.execute(sa.delete(LedgerDay))  # another test may have looked at the ledger on just that day
    items = {i["lab"]: i for i in accepted(get(service, "/v1/ledger/shares"))["items"]}
    assert items[big.name]["records"] == 20  # a record counts once, in however many releases
    assert 0 <= items[big.name]["percent"] <= 100  # of what all tests had released by now
    assert (items[small.name]["records"], items[small.name]["percent"]) == (None, None)
    assert "fewer than 10" in service.http.get(f"{service.base}/ledger").text
