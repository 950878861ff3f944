"""A strike makes contested what rests on a decision and goes to whom, or for what, it is against: while it lasts, and not by one person alone."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective

from app.collectives import queries, strikes
from app.collectives.models import Campaign, Strike
from app.collectives.queries import collective_of
from app.kit.clock import rfc3339
from app.kit.db import write
from app.kit.ids import random_id
from app.releases import labels
from app.revocations import replay, striking
from tests.collectives.members import founded, joined, people, rested_on
from tests.collectives.test_deciding import union_of
from tests.collectives.test_pledging import opened, over, row_of
from tests.collectives.test_strikes import struck
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until

PURPOSE = "dpv:ScientificResearch"


def resting(service: Service, platform: PlatformParty, lab: LabParty) -> tuple[list[Collective], str]:
    """Three members, and a release to the lab that rests on what they decided without a voice against it."""
    mine = union_of(service, platform, 3)
    narrow, release = rested_on(service, mine, platform, lab)
    service.runtime.jobs.run("label", narrow)
    assert lab.sdk.labels(release) == []
    return mine, release


def against(service: Service, collective: str, purpose: str) -> str:
    terms = {"kind": "refuse_new", "lab": None, "purpose": purpose, "until": None, "campaign": None}
    made = random_id("proposal")
    with write(service.runtime.engine) as session:
        strikes.call(session, service.runtime, collective_of(session, collective, lock=True), made, terms, now=service.clock.now())
    return made


def holds(lab: LabParty, release: str) -> list[tuple[str, bool]]:
    return [(one["label"], one["lifted_at"] is None) for one in lab.sdk.labels(release)]


def test_a_release_is_contested_while_a_strike_is_against_its_lab_or_its_use(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, release = resting(service, platform, lab)
    strike = struck(service, mine[0].id, "pause", lab.id)
    assert until(lambda: holds(lab, release)) == [("contested", True)]
    with write(service.runtime.engine) as session:
        strikes.end(session, service.runtime, collective_of(session, mine[0].id, lock=True), strike, "prp_of_its_end", now=service.clock.now())
    assert until(lambda: holds(lab, release) == [("contested", False)]), "and not beyond it"
    against(service, mine[0].id, PURPOSE)
    assert until(lambda: holds(lab, release) == [("contested", True)])


def test_a_pause_that_is_over_by_itself_is_looked_at_then(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine, release = resting(service, platform, lab)
    struck(service, mine[0].id, "pause", lab.id, service.clock.now() + timedelta(days=3))
    assert until(lambda: holds(lab, release) == [("contested", True)])
    service.clock.offset += timedelta(days=4)
    labels.take_up_forgotten(service.runtime, service.clock.now())  # as where the job of that day was given up
    assert holds(lab, release) == [("contested", False)]


def acted(service: Service, collective: str, lab: LabParty, **fields: Any) -> str:
    """A campaign that was reached, without the days before."""
    now, made = service.clock.now(), random_id("campaign")
    said = {"action": "withdraw", "mode": "at_deadline", "executed": 3, "at_least": 3, **fields}
    with write(service.runtime.engine) as session:
        session.add(Campaign(id=made, collective_id=collective, demand="x", lab_id=lab.id, opened_at=now, deadline=now, state="reached", **said))
    service.runtime.jobs.run("label", made)
    return made


def test_what_fewer_did_than_a_campaign_takes_makes_nothing_contested(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """As two could in one from before it took three."""
    on_one_backend(service)
    mine, release = resting(service, platform, lab)
    acted(service, mine[0].id, lab, executed=2, at_least=1)
    acted(service, mine[0].id, lab, executed=4, at_least=5)
    assert holds(lab, release) == []
    acted(service, mine[0].id, lab)
    assert holds(lab, release) == [("contested", True)]


def test_a_pause_that_was_pledged_makes_contested_until_its_day(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, release = resting(service, platform, lab)
    campaign = opened(service, mine[0], "pause", lab=lab.id, until=rfc3339(service.clock.now() + timedelta(days=40)))
    for one in mine:
        one.pledge(campaign, 2)
    queued, real = [], service.runtime.jobs.enqueue
    monkeypatch.setattr(service.runtime.jobs, "enqueue", lambda *given, **more: (queued.append((*given[1:], more)), real(*given, **more)))
    over(service, campaign)
    assert row_of(service, campaign).state == "reached"
    [(delay, key)] = [(more["delay"], more["key"]) for name, _, more in queued if name == "label" and more]
    assert key == "over" and 37.9 < delay / 86_400 < 38.1, "it is looked at on that day"
    assert until(lambda: holds(lab, release) == [("contested", True)])
    service.clock.offset += timedelta(days=39)
    labels.take_up_forgotten(service.runtime, service.clock.now())  # as where the job of that day was given up
    assert holds(lab, release) == [("contested", False)]


def test_what_a_called_strike_set_off_makes_contested_until_that_is_ended(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, release = resting(service, platform, lab)
    campaign = opened(service, mine[0], lab=lab.id, mode="called")
    for one in mine:
        one.pledge(campaign, 0)
    strike, terms = random_id("proposal"), {"kind": "withdraw", "lab": lab.id, "purpose": None, "until": None, "campaign": campaign["id"]}
    with write(service.runtime.engine) as session:
        row = collective_of(session, mine[0].id, lock=True)
        strikes.call(session, service.runtime, row, strike, terms, now=service.clock.now())
    striking.carry_out(service.runtime, strike)
    assert row_of(service, campaign).state == "reached"
    assert until(lambda: holds(lab, release) == [("contested", True)])
    with write(service.runtime.engine) as session:
        row = collective_of(session, mine[0].id, lock=True)
        assert strikes.end(session, service.runtime, row, strike, strike, now=service.clock.now())
    assert until(lambda: holds(lab, release) == [("contested", False)])


def test_others_make_it_contested_where_they_are_many_and_public(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one person could found a group, call a strike, and have a lab's every release labelled."""
    on_one_backend(service)
    _, release = resting(service, platform, lab)
    (founder, _), (member, _) = people(service, platform, 2)
    alone = founded(founder)
    joined(alone, member)
    strike = struck(service, alone.id, "pause", lab.id)
    service.runtime.jobs.run("label", strike)
    assert lab.sdk.labels(release) == []
    monkeypatch.setattr(queries, "FEWEST", 2)  # as if two were ten
    service.runtime.jobs.run("label", strike)
    assert lab.sdk.labels(release) == [], "whoever grew since makes nothing more of a call of before"
    later = against(service, alone.id, PURPOSE)
    monkeypatch.setattr(queries, "FEWEST", 10)
    service.runtime.jobs.run("label", later)
    assert holds(lab, release) == [("contested", True)], "nor less of one by who shrank"
    line = next(line for line in reversed(service.runtime.journal.lines()) if line["kind"] == "strike")
    assert line["strike"] == later
    with write(service.runtime.engine) as session:  # as in a database that was set back
        session.execute(sa.delete(Strike).where(Strike.id == later))  # type: ignore[arg-type]
    replay.again(service.runtime, {**line, "act": random_id("act")})
    with write(service.runtime.engine) as session:
        assert session.get_one(Strike, later).public, "nor does it, done again, hang on how many there are by then"
