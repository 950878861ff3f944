"""A mandate that is given anew: what it takes the place of, and that nothing wider is released before it is."""

from datetime import timedelta

from sayso.collective import Collective
from sqlmodel import select

from app.agreements.models import AgreementPolicy
from app.consents.models import Policy
from app.kit.db import read
from tests.collectives.members import (
    change_policy,
    cut_of,
    founded,
    joined,
    mandated,
    people,
    refuses,
)
from tests.support import LabParty, PlatformParty, Service


def test_a_mandate_given_anew_takes_the_place_of_those_over_no_more(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Also of one that ran out: to renew it is enough to be released again."""
    [(founder, _), (member, given)] = people(service, platform, 2)
    platform.give(3)
    mine = joined(founded(founder), member)
    some, short = mandated(service, mine, days=3, kinds=["preference"]), mandated(service, mine, days=3)
    assert standing(mine) == {short}, "it is over those kinds too"
    agreement = lab.agree(platform)
    service.clock.offset += timedelta(days=4)
    assert given.id not in cut_of(service, agreement).contributions
    some = mandated(service, mine, kinds=["rating", "preference"])
    assert standing(mine) == {short, some} and given.id not in cut_of(service, agreement).contributions, "the earlier one is over more"
    whole = mandated(service, mine)
    assert standing(mine) == {whole} and given.id in cut_of(service, agreement).contributions
    refuses("mandate_ended", lambda: mine.end_mandate(some))


def standing(of: Collective) -> set[str]:
    return {one["id"] for one in of.me()["mandates"] if one["ended_at"] is None}


def test_I2_a_collective_cannot_release_what_a_mandate_was_not_given_for(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Whatever the others adopt later, and whatever one's own terms allow: until the mandate is given anew. Its dissent and its policies
    are what a lab signs."""
    [(founder, _), (member, given), (other, theirs)] = people(service, platform, 3)
    platform.give(3)
    union = founded(founder, "nothing-new")
    before = lab.agree(platform)
    mine, yours = joined(union, member), joined(union, other)
    mandated(service, mine)
    change_policy(service, union.id, "leaderboard-and-research")
    mandated(service, yours)
    agreement = lab.agree(platform)
    found = cut_of(service, agreement).contributions
    assert given.id not in found and theirs.id in found
    [one] = mine.me()["mandates"]
    assert one["policy"] not in (None, mine.read()["policy"])
    mandated(service, mine)
    assert given.id in cut_of(service, agreement).contributions
    change_policy(service, union.id, "evaluation-only")
    assert {given.id, theirs.id} <= cut_of(service, agreement).contributions
    assert not {given.id, theirs.id} & cut_of(service, before).contributions, "its offer names only the policy of now"
    of_agreement = select(AgreementPolicy.policy_id).where(AgreementPolicy.agreement_id == lab.agree(platform).id)
    with read(service.runtime.engine) as session:
        signed = set(session.exec(select(Policy.digest).where(Policy.id.in_(of_agreement))))  # type: ignore[union-attr]
    [current] = [one for one in mine.me()["mandates"] if one["ended_at"] is None]
    assert current["policy"] != mine.read()["policy"] and {current["policy"], mine.read()["policy"]} <= signed
