"""Mandates and what narrows, noted in the journal and done again after a crash or a restore."""

import json

import sqlalchemy as sa
from sayso.collective import Collective

from app.collectives import frozen
from app.collectives.models import CharterVersion, Proposal
from app.collectives.service import lost_charter
from app.core.canonical import canonical, sha256_hex
from app.kit.db import write
from app.kit.ids import random_id
from app.revocations import replay
from tests.collectives.members import change_policy, cut_of, founded, in_days, joined, mandated, people, refuses
from tests.kit.refusals import call
from tests.revocations.test_replay import dies, finished
from tests.support import LabParty, PlatformParty, Service


def test_acts_that_narrow_are_done_again_from_the_journal(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    (founder, _), (member, given) = people(service, platform, 2)
    platform.give(2)
    union = founded(founder, "nothing-new")
    mine = joined(union, member)
    agreement = lab.agree(platform)
    token, policy = member._auth._secret, mine.read()["policy"]
    dies(service, lambda: service.post(f"/v1/collectives/{mine.id}/mandates", {"expires_on": in_days(service, 9), "policy": policy}, token))
    assert mine.me()["mandates"] == []
    finished(service)
    [mandate] = mine.me()["mandates"]
    assert given.id not in cut_of(service, agreement).contributions
    dies(service, lambda: call(service, "DELETE", f"/v1/collectives/{mine.id}/mandates/{mandate['id']}", token))
    finished(service)
    assert mine.me()["mandates"][0]["ended_at"] is not None
    dies(service, lambda: change_policy(service, union.id, "evaluation-only", "prp_of_before"))
    finished(service)
    assert mine.read()["policy"] != policy
    dies(service, lambda: call(service, "DELETE", f"/v1/collectives/{mine.id}/members/me", token))
    finished(service)
    refuses("not_found", mine.me)
    mine.join()
    anew = {"expires_on": in_days(service, 9), "policy": mine.read()["policy"]}
    dies(service, lambda: service.post(f"/v1/collectives/{mine.id}/mandates", anew, token))
    mine.leave()
    finished(service)
    refuses("not_found", mine.me)


def test_a_mandate_to_a_collective_that_a_restore_lost_still_holds(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """It was acknowledged, so it narrows: nothing is released until the member ends it."""
    (founder, _), (member, given) = people(service, platform, 2)
    platform.give(2)
    agreement = lab.agree(platform)
    mine = joined(founded(founder), member)
    mandated(service, mine)
    assert given.id in cut_of(service, agreement).contributions
    line = next(line for line in reversed(service.runtime.journal.lines()) if line["kind"] == "mandate")
    named = {"act": "act", "collective": "collective", "mandate": "mandate", "membership": "member"}
    lost = {**line, **{name: random_id(kind) for name, kind in named.items()}}
    replay.again(service.runtime, lost)
    written = lost_charter()
    assert sha256_hex(written) in frozen.LOST, "of every charter that was ever written, so that this one is added there"
    older = {name: value for name, value in json.loads(written).items() if name != "recounters"}
    for body, agreed in ((written, True), (canonical(older), True), (canonical({**older, "load": 9}), False)):
        with write(service.runtime.engine) as session:
            session.execute(sa.update(CharterVersion).where(CharterVersion.collective_id == lost["collective"]).values(body=body))  # type: ignore[arg-type]
            assert frozen.by_agreed_rules(session, Proposal(collective_id=lost["collective"], charter_n=1)) == agreed, body
            session.rollback()
    assert given.id not in cut_of(service, agreement).contributions
    change_policy(service, mine.id, "evaluation-only", "prp_of_before")
    policy = next(line for line in reversed(service.runtime.journal.lines()) if line["kind"] == "collective-policy")
    replay.again(service.runtime, {**policy, "act": random_id("act"), "collective": lost["collective"]})
    anew = lab.agree(platform)  # whose terms have the policy as it is now
    assert given.id not in cut_of(service, anew).contributions, "it may have been one that decides on each use"
    Collective(member, lost["collective"]).end_mandate(lost["mandate"])
    assert given.id in cut_of(service, anew).contributions


def test_a_mandate_that_was_sent_again_before_the_next_start_is_one(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _) = people(service, platform, 2)
    mine = joined(founded(founder), member)
    dies(service, lambda: mandated(service, mine, days=30, kinds=["rating", "label"]))
    mandated(service, mine, days=30, kinds=["label", "rating"])
    finished(service)
    assert len(mine.me()["mandates"]) == 1
    # Another mandate is not the same one: it is done, unless one that was given since took its place.
    dies(service, lambda: mandated(service, mine, days=31, kinds=["critique", "rating"]))
    mandated(service, mine, days=32, kinds=["rating"])
    finished(service)
    assert sorted(one["expires_on"] for one in mine.me()["mandates"] if one["ended_at"] is None) == [in_days(service, n) for n in (30, 31)]
    dies(service, lambda: mandated(service, mine, days=33))
    last = mandated(service, mine, days=34)
    finished(service)
    assert [one["id"] for one in mine.me()["mandates"] if one["ended_at"] is None] == [last]


def test_a_mandate_that_is_done_again_is_bound_by_what_it_was_given_for(service: Service, platform: PlatformParty) -> None:
    """Whatever the collective has by then; lines of before do not name it."""
    (founder, _), *others = people(service, platform, 4)
    union = founded(founder)
    policy = union.read()["policy"]
    members = [joined(union, receipt) for receipt, _ in others]
    for mine in members:
        dies(service, lambda mine=mine: mandated(service, mine, kinds=["rating"]))
    change_policy(service, union.id, "leaderboard-and-research")
    finished(service, 3)
    lines = [line for line in service.runtime.journal.lines() if line["kind"] == "mandate" and line["collective"] == union.id][-3:]
    by = {line["mandate"]: {name: value for name, value in line.items() if name != "policy"} for line in lines}
    bound = []
    for mine, named in zip(members, ({"policy": None}, {"policy": policy}, {}), strict=True):
        [given] = mine.me()["mandates"]
        assert given["policy"] == policy != mine.read()["policy"]
        replay.again(service.runtime, {**by[given["id"]], "act": random_id("act"), "mandate": random_id("mandate"), "kinds": None, **named})
        [current] = [one for one in mine.me()["mandates"] if one["ended_at"] is None]
        bound.append(current["policy"])
    assert bound == [None, policy, union.read()["policy"]]


def test_a_mandate_that_is_done_again_without_its_policy_is_past_its_day(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Also where no collective ever had another policy: what one's own terms allow is not released until the mandate is given anew."""
    (founder, _), (member, given) = people(service, platform, 2)
    platform.give(2)
    mine = joined(founded(founder), member)
    agreement = lab.agree(platform)
    mandated(service, mine, kinds=["rating"])
    assert given.id in cut_of(service, agreement).contributions
    line = next(line for line in reversed(service.runtime.journal.lines()) if line["kind"] == "mandate")
    lost = {"act": random_id("act"), "mandate": random_id("mandate"), "kinds": None, "policy": "0" * 64}
    replay.again(service.runtime, line | lost)
    [done] = [one for one in mine.me()["mandates"] if one["ended_at"] is None]
    assert (done["policy"], done["expires_on"]) == (None, in_days(service, 0))
    assert given.id not in cut_of(service, agreement).contributions
    mandated(service, mine)
    assert given.id in cut_of(service, agreement).contributions
