"""Strikes by vote: who is bound, what closes at once, what each kind does to what is out, and who ends it."""

import json
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective

from app.collectives import binding, queries, strikes
from app.collectives.models import Campaign, Strike
from app.collectives.queries import collective_of
from app.core.canonical import unb64u
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log import guard
from app.log.models import LogEntry
from app.releases.models import Shard
from app.revocations import striking
from tests.collectives.members import cut_of, founded, joined, mandated, pass_days, people, refuses
from tests.collectives.test_pledging import row_of
from tests.faults.cuts import index_of, once, outcome, queued, receipt_for_all
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend

RACES = int(os.environ.get("SAYSO_TEST_RACES", "10000" if os.environ.get("SAYSO_TEST_SIZE") == "soak" else "6"))


def members_of(service: Service, platform: PlatformParty, n: int, **charter: Any) -> tuple[list[Collective], list[str]]:
    (founder, first), *others = people(service, platform, n)
    union = founded(founder, **charter)
    return [union, *(joined(union, person) for person, _ in others)], [first.id, *(given.id for _, given in others)]


def called(service: Service, mine: list[Collective], kind: str, **strike: Any) -> dict[str, Any]:
    """A strike called in two days, which everybody but the last votes for; gives its proposal."""
    proposal = mine[0].propose("strike.call", "They do not pay.", strike={"kind": kind, **strike}, urgent_hours=24)
    opened = pass_days(service, mine[0], proposal["id"], 1)
    assert opened["state"] == "ballot" and opened["strike"]["kind"] == kind
    for one in mine[:-1]:
        one.vote(opened, "yes")
    return pass_days(service, mine[0], proposal["id"], 1)


def struck(service: Service, collective: str, kind: str, lab: str, until: datetime | None = None) -> str:
    """A strike without the days before, as an outcome calls one; gives its id."""
    terms = {"kind": kind, "lab": lab, "purpose": None, "until": None if until is None else until.isoformat(), "campaign": None}
    made = random_id("proposal")
    with write(service.runtime.engine) as session:
        row = collective_of(session, collective, lock=True)
        strikes.call(session, service.runtime, row, made, terms, now=service.clock.now())
    return made


def ended(service: Service, collective: str, strike: str) -> None:
    with write(service.runtime.engine) as session:
        assert strikes.end(session, service.runtime, collective_of(session, collective, lock=True), strike, strike, now=service.clock.now())


def clocked(service: Service, lab: LabParty) -> LabParty:
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    return lab


def b64(token: str) -> bytes:
    return unb64u(token.split(".")[1])


def states(service: Service, release: str) -> list[str]:
    with read(service.runtime.engine) as session:
        return list(session.execute(sa.select(Shard.state).where(Shard.release_id == release)).scalars())  # type: ignore[call-overload]


def test_a_called_pause_closes_the_gate_at_once_and_holders_are_told_and_its_participants_end_it(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Mandated or not, nothing of a member is released anew; what is out is closed for who gave a mandate alone."""
    mine, given = members_of(service, platform, 4)
    mandated(service, mine[1])
    [stranger] = platform.give(1)
    agreement = clocked(service, lab).agree(platform, mode="standing", until="2099-01-01")
    before = cut_of(service, agreement)
    assert before.contributions == {*given, stranger.id}
    strike = called(service, mine, "pause", lab=lab.id)
    assert (strike["state"], strike["verdict"]) == ("in_force", "passed")
    assert cut_of(service, agreement).contributions == {stranger.id}
    striking.carry_out(service.runtime, strike["id"])
    striking.carry_out(service.runtime, strike["id"])
    assert states(service, before.release) == ["gone"], "what a mandate covers is not served while the strike runs"
    assert lab.sdk.recalls(agreement).items == [], "and nothing is to be deleted"
    told = [json.loads(b64(token)) for token in lab.sdk.poll().sets.values()]
    assert [one["events"] for one in told] == [{"urn:sayso:event:strike.called": {"strike": strike["id"], "kind": "pause"}}]
    [listed] = mine[2].strikes()
    assert (listed["id"], listed["kind"], listed["ended_at"]) == (strike["id"], "pause", None)
    refuses("strike_invalid", lambda: mine[0].propose("strike.call", "x", strike={"kind": "refuse_new", "lab": lab.id}))
    # Who comes now is bound as the others are, and does not decide on its end.
    newcomer, late = people(service, platform, 1)[0]
    mine.append(joined(mine[0], newcomer))
    assert cut_of(service, agreement).contributions == {stranger.id}
    end = mine[3].propose("strike.end", "They pay.", subject=strike["id"])
    opened = pass_days(service, mine[0], end["id"], 7)
    assert opened["electorate"] == 4 and (opened["strike"]["id"], opened["strike"]["lab"]) == (strike["id"], lab.id)
    refuses("not_elector", lambda: mine[4].vote(opened, "yes"))
    for one in mine[:3]:
        one.vote(opened, "yes")
    assert pass_days(service, mine[0], end["id"], 7)["state"] == "appeal"
    assert cut_of(service, agreement).contributions == {stranger.id}, "what gives more waits for the appeal"
    assert pass_days(service, mine[0], end["id"], 7)["state"] == "in_force"
    assert cut_of(service, agreement).contributions == {*given, stranger.id, late.id}
    striking.carry_out(service.runtime, strike["id"])
    told = [json.loads(b64(token))["events"] for token in lab.sdk.poll().sets.values()]
    assert [list(one) for one in told] == [["urn:sayso:event:strike.called"], ["urn:sayso:event:strike.ended"]], "and holders are told of that too"
    with read(service.runtime.engine) as session:
        leaves = session.execute(sa.select(LogEntry.leaf).where(LogEntry.subject.in_((strike["id"], agreement.id)))).scalars().all()  # type: ignore[attr-defined,call-overload]
    types = [json.loads(leaf)["type"] for leaf in leaves]
    assert types.count("collective.strike-called") == types.count("collective.strike-ended") == 1
    assert "strike.told" not in types, "that a lab holds what one person gave is told to nobody else"
    assert {json.loads(leaf)["name"] for leaf in leaves if b"strike-" in leaf} == {None}, "nor whose few members strike"


def test_who_refuses_what_is_new_keeps_what_was_given_and_who_leaves_is_free(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, given = members_of(service, platform, 3)
    platform.give(1, contributor="striker")
    mine.insert(1, joined(mine[0], receipt_for_all(service, platform, "striker")))
    agreement = clocked(service, lab).agree(platform, mode="standing", until="2099-01-01")
    assert len(cut_of(service, agreement).contributions) == 4
    called(service, mine, "refuse_new", purpose="dpv:ScientificResearch")
    platform.give(1, contributor="striker")
    platform.give(1, contributor="nobody's member")
    found = cut_of(service, agreement).contributions
    assert len(found) == 5 and set(given) < found, "what a member gave since is not in it"
    mine[1].leave()
    assert len(cut_of(service, agreement).contributions) == 6


def test_a_strike_beside_a_cut_is_in_it_or_after_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, _ = members_of(service, platform, 3)
    platform.give(2)
    agreement = clocked(service, lab).agree(platform)
    cut = queued(service, agreement)
    cut.after_selection.append(once(lambda: struck(service, mine[0].id, "pause", lab.id)))
    cut.run()
    assert len(outcome(service, cut.release).contributions) == 2


def test_strikes_that_race_cuts_are_in_every_release_that_comes_later_in_the_log(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Both orders come about: each strike is called closer to the moment in which the last ones turned from before the release to after it."""
    mine, given = members_of(service, platform, 3)
    [stranger] = platform.give(1)
    agreement, rng = clocked(service, lab).agree(platform), random.Random(3)
    early, late, seen = 0.0, 0.0, {True: 0, False: 0}
    for race in range(RACES + 20):
        if race >= RACES and all(seen.values()):
            break
        # Until a strike came after a release, ever later; then around what is between, and now and then anywhere.
        middle = 2 * early + 0.02 if not late else (early + late) / 2 if race % 3 else rng.uniform(0, 2 * late)
        cut, wait = queued(service, agreement), middle * rng.uniform(0.9, 1.1) if race else 0.0
        called_: list[str] = []

        def call(wait: float = wait, called_: list[str] = called_) -> None:
            time.sleep(wait)
            called_.append(struck(service, mine[0].id, "pause", lab.id))

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(cut.run), pool.submit(call)]:
                done.result(timeout=120)
        found = outcome(service, cut.release)
        [at] = index_of(service, "collective.strike-called", *called_).values()
        assert stranger.id in found.items.values()
        later = (found.log_index or 0) > at
        assert set(found.items.values()) == ({stranger.id} if later else {*given, stranger.id})
        seen[later] += 1
        early, late = (wait, late) if later else (early, wait)
        ended(service, mine[0].id, called_[0])
    assert all(seen.values()), f"strikes before the release: {seen[True]}, after it: {seen[False]}"


def test_a_strike_that_withdraws_does_so_for_those_who_pledged_it_and_for_nobody_else(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Pledges of the mode `called` wait for the vote: without it they come to nothing, and it takes no unpledged consent along."""
    mine, given = members_of(service, platform, 5)
    mandated(service, mine[4])
    agreement = clocked(service, lab).agree(platform, mode="standing", until="2099-01-01")
    deadline = rfc3339(service.clock.now() + timedelta(days=20))
    campaign = mine[0].open_campaign("Pay.", "withdraw", deadline, lab=lab.id, mode="called")
    unheard = mine[0].open_campaign("Pay.", "withdraw", rfc3339(service.clock.now() + timedelta(days=2)), lab=lab.id, mode="called")
    for one in mine[:3]:
        one.pledge(campaign, 1)
        one.pledge(unheard, 0)
    mine[3].pledge(campaign, 4)
    service.clock.offset += timedelta(days=3)
    for one in (campaign, unheard):
        striking.resolve(service.runtime, one["id"])
    assert (row_of(service, campaign).state, row_of(service, unheard).state) == ("open", "not_reached"), "nobody called a strike"
    refuses("strike_invalid", lambda: mine[0].propose("strike.call", "x", strike={"kind": "withdraw", "lab": lab.id}))
    refuses("strike_invalid", lambda: mine[0].propose("strike.call", "x", strike={"kind": "withdraw", "lab": lab.id, "campaign": unheard["id"]}))
    strike = called(service, mine, "withdraw", lab=lab.id, campaign=campaign["id"])
    striking.carry_out(service.runtime, strike["id"])
    assert (row_of(service, campaign).state, row_of(service, campaign).executed) == ("reached", 3)
    with read(service.runtime.engine) as session:
        gone = set(session.execute(sa.text("SELECT contributor_id FROM exclusion WHERE lab_id = :lab"), {"lab": lab.id}).scalars())
        theirs = {session.execute(sa.text("SELECT contributor_id FROM contribution WHERE id = :id"), {"id": one}).scalar() for one in given[:3]}
        assert gone == theirs and guard.unfinished(session, service.runtime.journal) == []
        assert session.execute(sa.text("SELECT count(*) FROM exclusion WHERE lab_id = :lab"), {"lab": lab.id}).scalar() == 3
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "refused", "the strike denies for all of them"
    assert agreement


def test_a_call_that_died_is_called_at_the_next_start_and_one_that_was_ended_stays_so(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine, given = members_of(service, platform, 3)
    proposal = mine[0].propose("strike.call", "Now.", strike={"kind": "pause", "lab": lab.id}, urgent_hours=24)
    opened = pass_days(service, mine[0], proposal["id"], 1)
    mine[1].vote(opened, "yes")
    dies(service, lambda: pass_days(service, mine[0], proposal["id"], 1))

    def row() -> Strike | None:
        with read(service.runtime.engine) as session:
            return session.get(Strike, proposal["id"])

    assert row() is None
    finished(service)
    found = row()
    assert found is not None and found.ended_at is None and found.lab_id == lab.id
    # Its timer comes again, and finds that it was called.
    service.runtime.jobs.run("deadline", proposal["id"])
    assert mine[0].proposal(proposal["id"])["state"] == "in_force" and len(mine[0].strikes()) == 1
    assert given


def test_of_enough_people_the_log_says_that_holders_were_told_and_a_mandate_past_its_day_is_none(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FEWEST", 2)
    mine, _ = members_of(service, platform, 3)
    for one, days in zip(mine, (300, 300, 5), strict=True):
        mandated(service, one, days)
    agreement = clocked(service, lab).agree(platform, mode="standing", until="2099-01-01")
    assert len(cut_of(service, agreement).contributions) == 3
    service.clock.offset += timedelta(days=6)
    today = service.clock.now().date()
    with read(service.runtime.engine) as session:
        assert len(session.execute(binding.mandated(mine[0].id, today)).all()) == 2
    strike = struck(service, mine[0].id, "pause", lab.id)
    striking.take_up_forgotten(service.runtime, service.clock.now())
    with read(service.runtime.engine) as session:
        assert session.get_one(Strike, strike).told_at is not None
        found = sa.select(LogEntry.leaf).where(LogEntry.type.in_(("strike.told", "collective.strike-called")))  # type: ignore[attr-defined,call-overload]
        told = [json.loads(leaf) for leaf in session.execute(found.order_by(LogEntry.log_index)).scalars()]
    names = [mine[0].read()["name"], strike]
    assert [name for one in told if (name := one.get("name", one.get("strike"))) in names] == names
    ended(service, mine[0].id, strike)
    for _ in range(2):
        striking.take_up_forgotten(service.runtime, service.clock.now())
    with read(service.runtime.engine) as session:
        assert session.get_one(Strike, strike).end_told_at is not None
    assert len(lab.sdk.poll().sets) == 2, "a call, and its end, are told also where their jobs were given up"
    quiet = founded(mine[0]._person, listed=False)
    for one in mine[1:]:
        joined(quiet, one._person, invitation=quiet.read()["invitation"])
    called_ = struck(service, quiet.id, "pause", lab.id)
    with read(service.runtime.engine) as session:
        leaf = session.execute(sa.select(LogEntry.leaf).where(LogEntry.subject == called_)).scalar_one()  # type: ignore[call-overload]
    assert json.loads(leaf)["name"] is None, "one that is not public is named nowhere, however many it has"


def test_of_two_calls_against_the_same_one_is_moot_and_pledges_wait_for_one_that_runs(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine, _ = members_of(service, platform, 3)
    late, until = (rfc3339(service.clock.now() + timedelta(days=days)) for days in (20, 90))
    asked = ({"kind": "pause", "lab": lab.id}, {"kind": "pause", "lab": lab.id, "until": until})
    both = [mine[0].propose("strike.call", "They do not pay.", strike=one, urgent_hours=24)["id"] for one in asked]
    opened = [pass_days(service, mine[0], one, days) for one, days in zip(both, (1, 0), strict=True)]
    for one in opened:
        for who in mine:
            who.vote(one, "yes")
    assert [pass_days(service, mine[0], one, days)["state"] for one, days in zip(both, (1, 0), strict=True)] == ["in_force", "moot"]
    assert [one["id"] for one in mine[0].strikes()] == both[:1]
    again = mine[0].propose("strike.call", "Others too.", strike={"kind": "pause", "purpose": "dpv:ScientificResearch", "until": late})["id"]
    opened = [pass_days(service, mine[0], again, 7)]
    for who in mine:
        who.vote(opened[0], "yes")
    service.clock.offset += timedelta(days=14)  # it was put off, or the service was away
    assert pass_days(service, mine[0], again, 0)["state"] == "moot", "its day is over before it could begin"
    late = rfc3339(service.clock.now() + timedelta(days=20))
    campaign = mine[0].open_campaign("Pay.", "withdraw", late, purpose="dpv:ScientificResearch", mode="called")
    for one in mine:
        one.pledge(campaign, 0)
    terms = {"kind": "withdraw", "lab": None, "purpose": "dpv:ScientificResearch", "until": None, "campaign": campaign["id"]}
    made = random_id("proposal")
    with write(service.runtime.engine) as session:  # the job that carries it out comes later than its end
        row, now = collective_of(session, mine[0].id, lock=True), service.clock.now()
        strikes.call(session, service.runtime, row, made, terms, now=now)
        assert strikes.called_in_time(session, session.get_one(Campaign, campaign["id"]))
        assert strikes.end(session, service.runtime, row, made, made, now=now)
    striking.carry_out(service.runtime, made)
    assert row_of(service, campaign).state == "open", "what ended before they were weighed takes nothing back"


def test_an_end_that_died_is_no_moot_one_and_where_all_participants_left_the_others_end_it(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine, _ = members_of(service, platform, 2)
    strike = struck(service, mine[0].id, "pause", lab.id)
    service.clock.offset += timedelta(days=1)
    mine += [joined(mine[0], person) for person, _ in people(service, platform, 2)]
    end = mine[2].propose("strike.end", "They pay.", subject=strike)
    for one in mine[:2]:
        one.leave()
    opened = pass_days(service, mine[2], end["id"], 7)
    assert opened["electorate"] == 2, "who is bound by it now: nobody else could"
    for one in mine[2:]:
        one.vote(opened, "yes")
    assert pass_days(service, mine[2], end["id"], 7)["state"] == "appeal"
    dies(service, lambda: pass_days(service, mine[2], end["id"], 7))
    finished(service)
    service.runtime.jobs.run("deadline", end["id"])
    assert mine[2].proposal(end["id"])["state"] == "in_force" and mine[2].strikes()[0]["ended_at"] is not None


def test_an_end_beside_the_job_that_carries_a_strike_out_waits_for_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Both take the strike, then the head of the log: in any other order each would wait for the other."""
    mine, _ = members_of(service, platform, 2)
    strike = struck(service, mine[0].id, "pause", lab.id)
    order: list[str] = []
    here = threading.get_ident()

    def noted(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == here:  # the publisher looks at the head meanwhile
            order.extend(name for name in ("strike", "log_head") if re.search(rf"(UPDATE|FROM) {name}\b", statement))

    sa.event.listen(service.runtime.engine, "before_cursor_execute", noted)
    try:
        striking.carry_out(service.runtime, strike)
    finally:
        sa.event.remove(service.runtime.engine, "before_cursor_execute", noted)
    assert order[:2] == ["strike", "log_head"]


def test_what_is_refused(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine, _ = members_of(service, platform, 2)
    soon, late = (rfc3339(service.clock.now() + timedelta(days=days)) for days in (1, 90))
    for strike in (
        {"kind": "pause"}, {"kind": "pause", "lab": lab.id, "purpose": "dpv:ScientificResearch"}, {"kind": "pause", "lab": "lab_" + "0" * 26},
        {"kind": "pause", "lab": lab.id, "until": soon}, {"kind": "refuse_new", "lab": lab.id, "until": late},
        {"kind": "withdraw", "lab": lab.id}, {"kind": "pause", "lab": lab.id, "campaign": "cmp_" + "0" * 26},
    ):  # fmt: skip
        refuses("strike_invalid", lambda strike=strike: mine[0].propose("strike.call", "x", strike=strike))
    refuses("policy_unknown_term", lambda: mine[0].propose("strike.call", "x", strike={"kind": "pause", "purpose": "x:y"}))
    refuses("proposal_invalid", lambda: mine[0].propose("strike.call", "x"))
    refuses("proposal_invalid", lambda: mine[0].propose("strike.end", "x", subject="prp_" + "0" * 26))
    narrow = {"policy": {"template": "nothing-new"}}
    refuses("not_urgent", lambda: mine[0].propose("policy.narrow", "x", urgent_hours=24, **narrow))
    refuses("body_invalid", lambda: mine[0].propose("strike.call", "x", strike={"kind": "pause", "lab": lab.id}, urgent_hours=23))
    mine[1].declare(None, interest=lab.id)
    proposal = mine[0].propose("strike.call", "x", strike={"kind": "pause", "lab": lab.id, "until": late}, urgent_hours=24)
    opened = pass_days(service, mine[0], proposal["id"], 1)
    assert opened["electorate"] == 1, "who works for the lab does not vote on it"
    refuses("not_elector", lambda: mine[1].vote(opened, "no", ["cost"]))


def test_a_pause_with_a_day_ends_by_itself(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, given = members_of(service, platform, 2)
    agreement = clocked(service, lab).agree(platform, mode="standing", until="2099-01-01")
    mandated(service, mine[1])
    cut_of(service, agreement)
    mine.append(mine[0])
    strike = called(service, mine, "pause", lab=lab.id, until=rfc3339(service.clock.now() + timedelta(days=9)))
    striking.carry_out(service.runtime, strike["id"])
    [told] = [json.loads(b64(token))["events"] for token in lab.sdk.poll().sets.values()]
    assert told["urn:sayso:event:strike.called"] == {"strike": strike["id"], "kind": "pause", "until": strike["strike"]["until"]}
    assert cut_of(service, agreement).contributions == set()
    service.clock.offset += timedelta(days=8)
    assert cut_of(service, agreement).contributions == set(given)
    striking.carry_out(service.runtime, strike["id"])
    assert len(lab.sdk.poll().sets) == 1, "its day was told when it was called"
