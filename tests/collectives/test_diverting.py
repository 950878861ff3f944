"""To divert: a consent in advance, for what one named, and never for more."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.errors import Conflict, Invalid

from app.collectives import campaigns
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.log import guard
from app.revocations import striking
from tests.collectives.members import founded
from tests.collectives.test_pledging import others, over, row_of, rows, union_of
from tests.faults.cuts import receipt_for_all
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, on_one_backend


def diverting(service: Service, union: Collective, against: LabParty, to: LabParty | None, days: int = 2) -> dict[str, Any]:
    deadline = rfc3339(service.clock.now() + timedelta(days=days))
    more = {} if to is None else {"to_lab": to.id}
    policy = {"template": "open-model-training-with-credit"}
    return union.open_campaign("To those who share.", "divert", deadline, lab=against.id, policy=policy, **more)


def test_to_divert_is_a_consent_given_in_advance_and_never_for_more(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """On each contribution that was named, for the one lab, with exactly the terms that were read; what changed since stays as it is."""
    members, given = union_of(service, platform, 4)
    rival = service.lab()
    for party in (lab, rival):
        party.sdk._transport.now = lambda: service.clock.now().timestamp()
    held = lab.agree(platform, mode="standing", until="2099-01-01")
    release = lab.sdk.cut(held, poll=0.02)
    campaign = diverting(service, members[0], lab, rival)
    with pytest.raises(Conflict) as unread:
        members[0].pledge({**campaign, "policy": "0" * 64}, 0)
    assert unread.value.code == "text_changed"
    for member in members[:3]:
        member.pledge(campaign, 2)
    # One of them thinks again about what they gave, and gives something more: neither is what they pledged.
    service.clock.offset += timedelta(hours=1)
    members[2]._person.scope(given[2], template="nothing-new")
    asked = {"use": OPEN_TRAINING, "selection": {"platforms": [platform.id]}}
    assert rival.sdk.request(asked["use"], selection=asked["selection"]).state == "refused"
    service.clock.offset += timedelta(days=2)
    dies(service, lambda: striking.resolve(service.runtime, campaign["id"]))
    finished(service, 2)
    over(service, campaign, 0)
    assert (row_of(service, campaign).state, row_of(service, campaign).executed) == ("reached", 3)
    versions = "SELECT version FROM consent WHERE state = 'current' AND contribution_id IN (:a, :b)"
    with write(service.runtime.engine) as session:
        assert session.execute(sa.text(versions), {"a": given[0], "b": given[1]}).scalars().all() == [2, 2], "once, also after a crash"
    assert rows(rival.sdk.cut(rival.agree(platform, OPEN_TRAINING), poll=0.02)) == 2, "for the rival, what two of them named"
    assert lab.sdk.request(asked["use"], selection=asked["selection"]).state == "refused", "and for nobody else"
    assert [shard["state"] for shard in lab.sdk.release(release.id).shards] == ["gone"]
    assert rows(lab.sdk.cut(lab.agree(platform), poll=0.02)) == 1, "who pledged nothing gives as before"
    with read(service.runtime.engine) as session:
        assert guard.unfinished(session, service.runtime.journal) == []
    # New terms of one's own are for whoever they admit: the limit was of the consent that it came with.
    members[0]._person.scope(given[0], template="evaluation-only")
    assert rows(lab.sdk.cut(lab.agree(platform), poll=0.02)) == 2


@pytest.mark.parametrize("against", ["lab", "purpose"])
def test_to_divert_to_whoever_the_terms_admit_leaves_out_what_it_is_against(
    service: Service, platform: PlatformParty, lab: LabParty, against: str
) -> None:
    """Also where it is done from its line in the journal, and until its giver chooses other terms."""
    [member], [given] = union_of(service, platform, 1)
    rival = service.lab()
    for party in (lab, rival):
        party.sdk._transport.now = lambda: service.clock.now().timestamp()
    release = lab.sdk.cut(lab.agree(platform), poll=0.02)
    terms = {"template": "open-model-training-with-credit"}
    where = {"lab": lab.id} if against == "lab" else {"purpose": EVALUATION["purposes"][0]}
    member.pledge(member.open_campaign("Away.", "divert", rfc3339(service.clock.now() + timedelta(days=2)), policy=terms, **where), 0)
    campaign = member.campaigns()[0]
    others(service, member, campaign)
    service.clock.offset += timedelta(days=2, seconds=2)
    dies(service, lambda: striking.resolve(service.runtime, campaign["id"]))
    finished(service, 3)
    over(service, campaign, 0)
    found = [party.sdk.request(OPEN_TRAINING, selection={"platforms": [platform.id]}).state for party in (lab, rival)]
    assert found == (["refused", "offered"] if against == "lab" else ["refused", "refused"])
    assert [shard["state"] for shard in lab.sdk.release(release.id).shards] == ["gone"]
    member._person.scope(given, template="evaluation-only")
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"


def test_who_took_back_the_standing_terms_since_diverts_nothing_that_they_alone_governed(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    [given] = platform.give(1, contributor="stander", consent=None)
    stander = receipt_for_all(service, platform, "stander")
    stander.scope(template="evaluation-only")
    service.clock.offset += timedelta(minutes=1)
    union = founded(stander, template=None)
    campaign = diverting(service, union, lab, None)
    union.pledge(campaign, 0)
    others(service, union, campaign)
    service.clock.offset += timedelta(minutes=1)
    stander.withdraw("standing")
    over(service, campaign)
    assert row_of(service, campaign).state == "reached"
    with read(service.runtime.engine) as session:
        assert session.execute(sa.text("SELECT count(*) FROM consent WHERE contribution_id = :id"), {"id": given.id}).scalar() == 0


def test_a_standing_consent_that_allows_less_goes_on_holding_a_divert_back(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    rival = service.lab()
    rival.sdk._transport.now = lambda: service.clock.now().timestamp()
    [given] = platform.give(1, contributor="cautious")
    cautious = receipt_for_all(service, platform, "cautious")
    cautious.scope(template="evaluation-only")
    union = founded(cautious, template=None)
    campaign = diverting(service, union, lab, rival)
    union.pledge(campaign, 0)
    others(service, union, campaign)
    over(service, campaign)
    with read(service.runtime.engine) as session:
        assert session.execute(sa.text("SELECT max(version) FROM consent WHERE contribution_id = :id"), {"id": given.id}).scalar() == 2
    asked = {"platforms": [platform.id]}
    assert rival.sdk.request(OPEN_TRAINING, selection=asked).state == "refused"
    cautious.scope(template="open-model-training-with-credit")
    assert rival.sdk.request(OPEN_TRAINING, selection=asked).state == "offered", "and nothing else did"


def test_to_divert_expires_with_its_day_and_takes_what_it_needs(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _ = union_of(service, platform, 2)
    campaign = diverting(service, members[0], lab, None)
    members[0].pledge(campaign, 0)
    others(service, members[0], campaign)
    over(service, campaign, 3.1)
    assert row_of(service, campaign).state == "not_reached", "a day late it is no consent any more"
    good = rfc3339(service.clock.now() + timedelta(days=2))
    policy = {"policy": {"template": "open-model-training-with-credit"}}
    for action, more in (
        ("divert", {}), ("pause", policy), ("divert", {**policy, "to_lab": lab.id}), ("divert", {**policy, "to_lab": "lab_" + "0" * 26}),
        ("divert", {"policy": {"template": "nothing-new"}}), ("withdraw", {"to_lab": lab.id}), ("divert", {**policy, "mode": "called"}),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refusal:
            members[0].open_campaign("x", action, good, lab=lab.id, **more)
        assert refusal.value.code == "campaign_invalid"


def test_a_pledge_diverts_no_more_than_its_giver_can_look_at(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service)
    monkeypatch.setattr(campaigns, "DIVERTED", 1)
    platform.give(2, contributor="of two")
    mine = founded(receipt_for_all(service, platform, "of two"))
    with pytest.raises(Invalid) as many:
        mine.pledge(diverting(service, mine, lab, None), 0)
    assert many.value.code == "divert_too_many"
