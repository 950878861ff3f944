"""A steward has a vote begin later: once, for a reason, within thirty days, and nothing that refuses or that members signed for."""

import json
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import select

from app.collectives import petitioning, voting
from app.collectives.models import Proposal
from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import pass_days, people, refuses, steward
from tests.collectives.test_deciding import ADOPT, NARROW, row_of, union_of
from tests.kit.refusals import refused
from tests.support import LabParty, PlatformParty, Service
from tests.web.test_collective_pages import at
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_receipt_page import ledger_of, words


def day_of(service: Service, proposal: str, more: int) -> str:
    """So many days after that on which the vote is to begin."""
    return (row_of(service, proposal).freeze_at.date() + timedelta(days=more)).isoformat()


def queued(service: Service, proposal: str) -> list[str]:
    table = "workflow_status" if service.backend == "sqlite" else "dbos.workflow_status"
    with read(service.runtime.engine) as session:
        query = sa.text(f"SELECT workflow_uuid FROM {table} WHERE workflow_uuid LIKE :mine AND status NOT IN ('SUCCESS', 'ERROR')")
        return sorted(session.execute(query, {"mine": f"deadline:{proposal}:%"}).scalars())


def test_a_vote_begins_on_the_later_day_and_all_its_days_move_along(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3)
    proposal = mine[1].propose("policy.adopt", "More.", **ADOPT)
    here, before = proposal["id"], row_of(service, proposal["id"])
    day = day_of(service, here, 9)
    found = mine[0].move(here, day, "facts-wanted")
    assert found["moved"] == {"days": 9, "reason": "facts-wanted"} and found["freeze_at"][:10] == day
    assert found == mine[0].move(here, day, "facts-wanted"), "sent again"
    refuses("day_fixed", lambda: mine[0].move(here, day_of(service, here, 1), "facts-wanted"))
    assert mine[2].proposal(here)["moved"] == found["moved"], "members see it"
    after = row_of(service, here)
    for name in ("freeze_at", "close_at", "appeal_until"):
        assert getattr(after, name) - getattr(before, name) == timedelta(days=9)
    assert (found["effect_sha256"], found["text_sha256"]) == (proposal["effect_sha256"], proposal["text_sha256"])
    with read(service.runtime.engine) as session:
        [leaf] = session.exec(select(LogEntry.leaf).where(LogEntry.type == "proposal.postponed", LogEntry.subject == here)).all()
    said = json.loads(leaf)
    assert (said["from"], said["to"], said["reason"]) == (before.freeze_at.date().isoformat(), day, "facts-wanted")
    assert mine[0].me()["member"].encode() not in leaf
    # Statements were over by the old days, and are not by the new ones.
    assert pass_days(service, mine[0], here, 14)["state"] == "discussion", "the old timer finds that its time has not come"
    mine[2].put_up(here, "Is it enough?")
    assert f"deadline:{here}:freeze-{day}" in queued(service, here)
    service.runtime.jobs.stop()
    service.runtime.jobs.start(service.runtime.engine)
    assert f"deadline:{here}:freeze-{day}" in queued(service, here), "a restart loses no timer"
    opened = pass_days(service, mine[0], here, 9)
    assert opened["state"] == "discussion", "an answer that is owed is waited for after the later day as after any"
    mine[1].answer(here, mine[2].statements(here)[0]["id"], "It is.")
    service.clock.offset += timedelta(days=1)
    voting.advance(service.runtime, here)
    opened = mine[0].proposal(here)
    assert opened["state"] == "ballot"
    refuses("thread_frozen", lambda: mine[0].move(here, day_of(service, here, 1), "away"))
    for one in mine:
        one.vote(opened, "yes")
    assert pass_days(service, mine[0], here, 7)["state"] == "appeal"
    assert pass_days(service, mine[0], here, 7)["state"] == "in_force", "what the leaves say of it still holds"


def test_who_moves_it_and_how_far(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 4)
    steward(service, mine[1])
    here = mine[1].propose("policy.adopt", "More.", **ADOPT)["id"]
    day = day_of(service, here, 2)
    refuses("not_steward", lambda: mine[2].move(here, day, "away"))
    refuses("steward_involved", lambda: mine[1].move(here, day, "away"))
    refuses("reason_unknown", lambda: mine[0].move(here, day, "dislike"))
    for wrong in (-20, -1, 0, 17, 400):  # the plan is fourteen days, and thirty are the most
        found = refuses("day_invalid", lambda wrong=wrong: mine[0].move(here, day_of(service, here, wrong), "away"))
    assert (found.document["first"], found.document["last"]) == (day_of(service, here, 1), day_of(service, here, 16))
    refuses("not_found", lambda: mine[0].move("prp_" + "0" * 26, day, "away"))
    outside = people(service, platform, 1)[0][0].receipt
    body = {"day": day, "reason": "away"}
    path = f"{service.base}/v1/collectives/{mine[0].id}/proposals/{here}/day"
    for secret in (outside, mine[0]._person.receipt):
        for sent in ({"day": "soon", "reason": "away"}, {"day": day}, {"day": day, "reason": 1}, body if secret == outside else {}):
            answer = service.http.put(path, json=sent, headers={"Authorization": f"Bearer {secret}"})
            refused(answer, 404 if sent == body else 422, "not_found" if sent == body else "body_invalid")
    mine[0].move(here, day_of(service, here, 16), "away")
    row = row_of(service, here)
    assert row.freeze_at == row.opened_at + timedelta(days=30)
    refuses("day_fixed", lambda: mine[0].move(here, day_of(service, here, 1), "away"))
    mine[0]._person.erase("all")
    assert (row_of(service, here).moved_by, row_of(service, here).moved_days) == (None, 16), "an erasure takes the name, and not the day"


def test_what_refuses_is_never_moved_nor_what_members_signed_for(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 4, asks=50)
    member = mine[2].me()["member"]
    strike = {"kind": "refuse_new", "lab": lab.id}
    fixed: list[tuple[str, dict[str, Any]]] = [
        ("policy.narrow", NARROW), ("licence.recall", {"subject": lab.id}), ("licence.recall", {"subject": lab.id, "urgent_hours": 24}),
        ("strike.call", {"strike": strike}), ("steward.remove", {"subject": mine[0].me()["member"]}), ("steward.elect", {"subject": member}),
        ("charter.amend", {"charter": {"aim": "Other."}}),
    ]  # fmt: skip
    steward(service, mine[3])
    for kind, brought in fixed:
        one = mine[1].propose(kind, "A text.", **brought)["id"]
        refuses("day_fixed", lambda one=one: mine[3].move(one, day_of(service, one, 1), "away"))
        assert row_of(service, one).moved_days == 0
    here = mine[1].propose("policy.adopt", "More.", **ADOPT)["id"]
    for one in mine[1:]:
        if one is not mine[1]:
            one.sign(here)
    assert mine[0].proposal(here)["petition"] >= petitioning.LEAST
    refuses("day_fixed", lambda: mine[0].move(here, day_of(service, here, 1), "away"))
    mine[3].sign_no_longer(here)
    mine[0].move(here, day_of(service, here, 1), "away")


def test_where_discussions_are_long_there_is_nothing_to_move_to(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2, discussion_days=15)
    here = mine[1].propose("policy.adopt", "More.", **ADOPT)["id"]
    refuses("day_fixed", lambda: mine[0].move(here, day_of(service, here, 1), "away"))


def test_on_the_later_day_the_load_and_the_rules_are_looked_at_as_ever(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3, load=1)
    here = mine[1].propose("policy.adopt", "More.", **ADOPT)["id"]
    mine[0].move(here, day_of(service, here, 1), "clash")
    other = mine[1].propose("steward.elect", "Her.", subject=mine[2].me()["member"])["id"]
    assert pass_days(service, mine[0], other, 14)["state"] == "ballot"
    assert pass_days(service, mine[0], here, 1)["state"] == "discussion", "more ballots than the charter's load wait"
    with read(service.runtime.engine) as session:
        assert session.get_one(Proposal, here).freeze_at > service.clock.now()


def test_a_steward_moves_it_on_its_page(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    here = mine[1].propose("policy.adopt", "More.", **ADOPT)["id"]
    stewards, members = (window(service, one._person.receipt) for one in mine)
    address = at(mine[0], f"/proposals/{here}")
    assert "Let the vote begin later" in stewards.get(address).text and "Let the vote begin later" not in members.get(address).text
    day = day_of(service, here, 3)
    assert post(stewards, address + "/day", day="", reason="away").status_code == 422
    assert post(stewards, address + "/day", day=day_of(service, here, 60), reason="away").status_code == 422
    assert post(members, address + "/day", day=day, reason="away").status_code == 403
    told = words(post(stewards, address + "/day", day=day, reason="away"))
    assert "The vote begins later now." in told and "A steward moved the vote by 3 days, because: many of us are away." in told
    assert "Let the vote begin later" not in told and "moved the vote by 3 days" in words(members.get(address))
    assert row_of(service, here).freeze_at.date() == date.fromisoformat(day)
    assert "many of us are away" in ledger_of(service, kind="collectives")
