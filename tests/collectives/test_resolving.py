"""A campaign is resolved once and for all of them, beside others who act and wherever it is cut off."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.errors import Conflict

from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.log import guard
from app.log.models import LogEntry
from app.revocations import striking
from tests.collectives.test_pledging import all_pledged, pledged, row_of
from tests.kit.refusals import at_once
from tests.revocations.test_replay import dies, finished
from tests.support import LabParty, PlatformParty, Service


def test_of_many_that_resolve_at_once_one_does_and_all_of_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    _, _, campaign = all_pledged(service, platform, 4, 2, lab=lab.id)
    service.clock.offset += timedelta(days=2, seconds=2)
    at_once(6, lambda _: striking.resolve(service.runtime, campaign["id"]))
    assert row_of(service, campaign).executed == 4
    with read(service.runtime.engine) as session:
        ends = session.execute(sa.select(LogEntry.log_index).where(LogEntry.type == "campaign.reached", LogEntry.subject == campaign["id"])).all()  # type: ignore[call-overload]
        assert len(ends) == 1 and guard.unfinished(session, service.runtime.journal) == []


@pytest.mark.parametrize("at", range(1, 5))
def test_a_resolution_cut_off_anywhere_is_all_or_nothing(
    service: Service, platform: PlatformParty, lab: LabParty, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The k-th person's act fails: nobody has acted. The next run does all of it."""
    _, _, campaign = all_pledged(service, platform, 4, 3, lab=lab.id)
    service.clock.offset += timedelta(days=2, seconds=2)
    real: Callable[..., None] = striking._act
    calls = []

    def fails(*given: Any) -> None:
        calls.append(1)
        if len(calls) == at:
            raise OSError("the machine went away")
        real(*given)

    monkeypatch.setattr(striking, "_act", fails)
    with pytest.raises(OSError, match="went away"):
        striking.resolve(service.runtime, campaign["id"])
    assert row_of(service, campaign).state == "open" and len(pledged(service, campaign)) == 4
    with write(service.runtime.engine) as session:
        assert session.execute(sa.text("SELECT count(*) FROM exclusion WHERE lab_id = :lab"), {"lab": lab.id}).scalar() == 0
    monkeypatch.setattr(striking, "_act", real)
    striking.resolve(service.runtime, campaign["id"])
    assert row_of(service, campaign).executed == 4


def test_a_resolution_that_died_after_its_lines_were_noted_is_done_for_all_at_the_next_start(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    _, _, campaign = all_pledged(service, platform, 3, 2, "pause", lab=lab.id, until=rfc3339(service.clock.now() + timedelta(days=9)))
    service.clock.offset += timedelta(days=2, seconds=2)
    dies(service, lambda: striking.resolve(service.runtime, campaign["id"]))
    finished(service, 3)
    paused = "SELECT count(*) FROM exclusion WHERE lab_id = :lab AND until IS NOT NULL"
    with write(service.runtime.engine) as session:
        assert session.execute(sa.text(paused), {"lab": lab.id}).scalar() == 3
    striking.resolve(service.runtime, campaign["id"])
    assert row_of(service, campaign).executed == 3
    with write(service.runtime.engine) as session:
        assert session.execute(sa.text(paused), {"lab": lab.id}).scalar() == 3, "each of them once"


def test_beside_people_who_act_for_themselves_nothing_waits_for_ever(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Pledgers who withdraw at the very moment: both get done, in either order."""
    members, given, campaign = all_pledged(service, platform, 4, 3, lab=lab.id)
    service.clock.offset += timedelta(days=2, seconds=2)
    people_ = [member._person for member in members]
    done: list[Any] = []

    def act(n: int) -> None:
        if n == 0:
            striking.resolve(service.runtime, campaign["id"])
        else:
            done.append(people_[n - 1].withdraw(ids=[given[n - 1]]))

    at_once(5, act)
    assert len(done) == 4 and row_of(service, campaign).executed == 4


def test_beside_people_who_pledge_anew_nothing_waits_for_ever(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _, campaign = all_pledged(service, platform, 4, 4, lab=lab.id, mode="instant")
    answers: list[str] = []

    def act(n: int) -> None:
        if n == 0:
            striking.resolve(service.runtime, campaign["id"])
            return
        try:
            members[n - 1].pledge(campaign, 3)
            answers.append("pledged")
        except Conflict as error:
            answers.append(error.code)

    at_once(5, act)
    striking.resolve(service.runtime, campaign["id"])
    assert len(answers) == 4 and set(answers) <= {"pledged", "campaign_over"}
    assert row_of(service, campaign).state == "reached" and row_of(service, campaign).executed == 4
