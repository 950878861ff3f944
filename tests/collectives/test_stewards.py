"""Stewards' terms end by themselves, a petition removes one, and members put to the vote what they like: nobody in office can stop that."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.collectives import petitioning, terms
from app.collectives.models import Membership, Petition
from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import in_force, pass_days, refuses
from tests.collectives.test_deciding import union_of
from tests.support import LabParty, PlatformParty, Service
from tests.web.test_collective_pages import at
from tests.web.test_further_receipts import window
from tests.web.test_receipt_page import words


def test_a_term_ends_by_itself_and_the_members_of_a_collective_without_a_steward_elect_one(
    service: Service, platform: PlatformParty
) -> None:
    mine = union_of(service, platform, 2, steward_days=120)
    until = mine[0].me()["steward_until"]
    assert mine[0].me()["steward"] and until is not None and mine[1].me()["steward_until"] is None
    refuses("proposal_invalid", lambda: mine[1].propose("steward.elect", "Again.", subject=mine[0].me()["member"]))
    with read(service.runtime.engine) as session:
        membership = session.execute(sa.select(Membership.id).where(Membership.member == mine[0].me()["member"])).scalar_one()  # type: ignore[call-overload]
    service.clock.offset += timedelta(days=119)
    service.runtime.jobs.run("steward", membership)
    assert mine[0].me()["steward"], "not before its day"
    again = mine[1].propose("steward.elect", "Again.", subject=mine[0].me()["member"])
    refuses("not_urgent", lambda: mine[1].propose("steward.elect", "Me.", subject=mine[1].me()["member"], urgent_hours=24))
    service.clock.offset += timedelta(days=1, seconds=1)
    # From that moment, whether or not its job has run.
    browser, home = window(service, mine[0]._person.receipt), at(mine[0], "")
    assert not mine[0].me()["steward"] and mine[0].me()["steward_until"] is None
    assert "You are one." not in browser.get(home).text and "Stewards 0" in words(browser.get(f"/collectives/{mine[0].id}"))
    refuses("proposal_invalid", lambda: mine[1].propose("steward.remove", "Another.", subject=mine[0].me()["member"]))
    elected = mine[1].propose("steward.elect", "Me.", subject=mine[1].me()["member"], urgent_hours=24)
    asked = mine[1].put_up(again["id"], "Why?")["id"]
    refuses("not_steward", lambda: mine[0].hide(again["id"], asked, "off-topic"))
    refuses("not_proposer", lambda: mine[0].answer(again["id"], asked, "So."))
    terms.take_up_forgotten(service.runtime, service.clock.now())
    service.runtime.jobs.run("steward", membership)
    opened = pass_days(service, mine[1], elected["id"], 1)
    mine[0].vote(opened, "yes")
    pass_days(service, mine[1], elected["id"], 1)
    assert pass_days(service, mine[1], elected["id"], 7)["state"] == "in_force" and mine[1].me()["steward"]
    assert in_force(service, mine, again)["state"] == "in_force" and mine[0].me()["steward"], "who was proposed while in office still is elected"
    with read(service.runtime.engine) as session:
        ended = sa.select(LogEntry.log_index).where(LogEntry.type == "collective.term-ended", LogEntry.subject == mine[0].id)  # type: ignore[call-overload]
        assert len(session.execute(ended).all()) == 1


def test_a_steward_is_removed_on_a_petition_and_not_without(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(petitioning, "SHARE", 2)
    mine = union_of(service, platform, 4)
    alone, carried = (mine[n].propose("steward.remove", "Another turn.", subject=mine[0].me()["member"]) for n in (1, 2))
    assert (alone["petition"], alone["petition_needed"]) == (1, 2), "who proposes it has signed"
    mine[1].sign(alone["id"])
    assert mine[1].proposal(alone["id"])["petition"] == 1
    mine[3].sign(carried["id"])
    mine[3].sign_no_longer(carried["id"])
    refuses("not_found", lambda: mine[3].sign_no_longer(carried["id"]))
    assert mine[3].sign(carried["id"]) == mine[3].sign(carried["id"]), "once"
    assert mine[1].proposal(carried["id"])["petition"] == 2
    mine[2].amend(mine[2].proposal(alone["id"]), "It was a long turn.")
    assert [one["petition"] for one in mine[1]._do("GET", "/proposals")["items"]] == [None, None], "counted for one alone"
    assert [pass_days(service, mine[1], one["id"], days)["state"] for one, days in ((alone, 7), (carried, 0))] == ["lapsed", "ballot"]
    [amended] = mine[2].amendments(alone["id"])
    other = mine[2].proposal(amended["alternative"])
    assert (amended["state"], other["state"], other["text"]) == ("alternative", "discussion", "It was a long turn.")
    assert other["petition"] == 1, "its author alone has signed"
    with read(service.runtime.engine) as session:
        failed = session.execute(sa.select(LogEntry.leaf).where(LogEntry.type == "petition.failed", LogEntry.subject == alone["id"])).scalar_one()  # type: ignore[call-overload]
        assert json.loads(failed)["verdict"] == "lapsed" and mine[0].me()["member"].encode() not in failed
        assert session.execute(sa.select(Petition.tag).where(Petition.proposal_id.in_((alone["id"], carried["id"])))).all() == []  # type: ignore[attr-defined,call-overload]
        entries = session.execute(sa.select(LogEntry.sealed).where(LogEntry.type == "petition.signed")).scalars().all()[-2:]  # type: ignore[call-overload]
    assert b"" in entries, "who signed is nobody's to know any more"
    refuses("thread_frozen", lambda: mine[1].sign(carried["id"]))
    for one in mine[1:]:
        one.vote(mine[1].proposal(carried["id"]), "yes")
    elected = mine[1].propose("steward.elect", "Him.", subject=mine[3].me()["member"])["id"]
    assert pass_days(service, mine[1], carried["id"], 7)["state"] == "in_force" and not mine[0].me()["steward"]
    opened = pass_days(service, mine[1], elected, 0)
    mine[3].leave()
    for one in mine[1:3]:
        one.vote(opened, "yes")
    pass_days(service, mine[1], elected, 7)
    assert pass_days(service, mine[1], elected, 7)["state"] == "moot", "nobody is elected who has left"


def test_what_a_petition_carries_waits_for_no_load_and_who_leaves_carries_nothing(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 4, load=1)
    first = mine[0].propose("steward.elect", "Her.", subject=mine[1].me()["member"])
    assert pass_days(service, mine[0], first["id"], 7)["state"] == "ballot"
    second, third = (mine[1].propose("steward.elect", "Her too.", subject=mine[n].me()["member"]) for n in (2, 3))
    for proposal in (second, third):
        for one in mine[2:]:
            one.sign(proposal["id"])
    assert mine[0].proposal(second["id"])["petition"] == 3 == mine[0].proposal(second["id"])["petition_needed"]
    assert pass_days(service, mine[0], second["id"], 7)["state"] == "ballot"
    mine[3].leave()
    assert mine[0].proposal(third["id"])["petition"] == 2
    assert pass_days(service, mine[0], third["id"], 0)["state"] == "discussion", "more ballots than the charter's load wait"


def test_a_petition_counts_those_alone_who_have_a_voice_in_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 4)
    proposal = mine[0].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    for one in mine[1:3]:
        one.sign(proposal)
    found = mine[0].proposal(proposal)
    assert (found["petition"], found["petition_needed"]) == (3, 3)
    for one in mine[1:3]:
        one.declare(None, lab.id)
    found = mine[0].proposal(proposal)
    assert (found["petition"], found["petition_needed"]) == (1, 2), "who works for the lab signs nothing about it, nor is asked"


def test_how_many_a_petition_takes() -> None:
    assert [petitioning.needed("steward.remove", n) for n in (0, 1, 20, 21, 199, 200, 5_000)] == [1, 1, 1, 2, 10, 10, 10]
    assert [petitioning.needed("policy.adopt", n) for n in (0, 1, 2, 3, 60, 61, 5_000)] == [1, 1, 2, 3, 3, 4, 10]
