"""Pledges: sealed while they wait, all of the greatest set or nobody, each person's own act in the end."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.collective import Collective
from sayso.errors import Conflict, Forbidden, Invalid, NotFound, Problem

from app.collectives import campaigns, pledging
from app.collectives.models import Campaign, CollectiveAct, Pledge
from app.core.pledges import greatest_set
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.log import service as log
from app.log.models import LogEntry
from app.parties import contributors, epochs
from app.parties.models import Contributor
from app.revocations import striking
from tests.collectives.members import founded, joined, people
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import call, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until


def union_of(service: Service, platform: PlatformParty, n: int) -> tuple[list[Collective], list[str]]:
    """A collective as each of `n` members meets it, and the record that each of them gave."""
    (founder, first), *others = people(service, platform, n)
    union = founded(founder, template=None)
    return [union, *(joined(union, person) for person, _ in others)], [first.id, *(given.id for _, given in others)]


def opened(service: Service, union: Collective, action: str = "withdraw", days: int = 2, **more: Any) -> dict[str, Any]:
    return union.open_campaign("Pay for what you test with.", action, rfc3339(service.clock.now() + timedelta(days=days)), **more)


def all_pledged(
    service: Service, platform: PlatformParty, n: int, threshold: int, action: str = "withdraw", **more: Any
) -> tuple[list[Collective], list[str], dict[str, Any]]:
    """`union_of` with a campaign for which every member has pledged, each if `threshold` others act."""
    members, given = union_of(service, platform, n)
    campaign = opened(service, members[0], action, **more)
    for member in members:
        member.pledge(campaign, threshold)
    return members, given, campaign


def others(service: Service, union: Collective, campaign: dict[str, Any], n: int = 2) -> None:
    """So many people who pledge whatever the others do; what they gave is on a platform of their own."""
    for person, _ in people(service, service.platform(), n):
        joined(union, person).pledge(campaign, 0)


def over(service: Service, campaign: dict[str, Any], days: float = 2) -> None:
    service.clock.offset += timedelta(days=days, seconds=2)
    striking.resolve(service.runtime, campaign["id"])


def row_of(service: Service, campaign: dict[str, Any]) -> Campaign:
    with read(service.runtime.engine) as session:
        return session.get_one(Campaign, campaign["id"])


def pledged(service: Service, campaign: dict[str, Any]) -> list[Pledge]:
    with read(service.runtime.engine) as session:
        return list(session.execute(sa.select(Pledge).where(Pledge.campaign_id == campaign["id"])).scalars())  # type: ignore[arg-type]


def test_four_who_each_ask_for_three_others_act_together(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _ = union_of(service, platform, 5)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    release = lab.sdk.cut(agreement, poll=0.02)
    campaign = opened(service, members[0], lab=lab.id)
    assert campaign["pledges"] == "0-9" and campaign["state"] == "open"
    for member in members[:4]:
        member.pledge(campaign, 3)
    members[4].pledge(campaign, 4)
    assert members[0].campaign(campaign["id"])["pledges"] == "0-9", "in steps"
    striking.resolve(service.runtime, campaign["id"])
    assert row_of(service, campaign).state == "open", "not before its day"
    over(service, campaign)
    assert members[1].campaign(campaign["id"])["state"] == "reached"
    assert len(pledged(service, campaign)) == 0 and row_of(service, campaign).key is None and row_of(service, campaign).executed == 5
    assert [shard["state"] for shard in lab.sdk.release(release.id).shards] == ["gone"]
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "refused"
    striking.resolve(service.runtime, campaign["id"])
    with read(service.runtime.engine) as session:
        told = [json.loads(leaf) for leaf in session.execute(sa.select(LogEntry.leaf).where(LogEntry.subject == campaign["id"])).scalars()]  # type: ignore[call-overload]
    [end] = [leaf for leaf in told if leaf.get("type") == "campaign.reached"]
    assert (end["lab_id"], end["action"], end["acted"]) == (lab.id, "withdraw", None), "fewer than ten are not counted in the open"


def test_too_few_do_nothing_and_leave_nothing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _, campaign = all_pledged(service, platform, 3, 3, lab=lab.id)
    over(service, campaign)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    row = row_of(service, campaign)
    assert (row.state, row.executed, row.key) == ("not_reached", 0, None) and pledged(service, campaign) == []
    assert lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"
    with pytest.raises(Conflict) as late:
        members[0].pledge(campaign, 0)
    assert late.value.code == "campaign_over"


def test_a_pledge_says_nothing_of_anybody_while_it_waits(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, given = union_of(service, platform, 2)
    campaign = opened(service, members[0], lab=lab.id)
    members[0].pledge(campaign, 7)
    members[0].pledge(campaign, 8)
    [row] = pledged(service, campaign)
    with read(service.runtime.engine) as session:
        [only] = campaigns.opened(session, service.runtime, session.get_one(Campaign, campaign["id"]))
        leaves = b"".join(session.execute(sa.select(LogEntry.leaf)).scalars())
    assert only.threshold == 8, "the last one counts"
    assert only.contributor.encode() not in bytes(row.sealed) and campaign["id"].encode() not in leaves.replace(b"campaign.", b"")
    for token in (service.token(platform), lab_token(service, lab)):
        for method, path in (("GET", ""), ("GET", f"/{campaign['id']}"), ("PUT", f"/{campaign['id']}/pledge")):
            answer = call(service, method, f"/v1/collectives/{members[0].id}/campaigns{path}", token, b"{}" if method == "PUT" else None)
            refused(answer, 404, "not_found")
    with pytest.raises(NotFound):
        members[1].take_pledge_back(campaign["id"])
    members[0].take_pledge_back(campaign["id"])
    assert pledged(service, campaign) == [] and given


def test_when_a_campaign_ended_nothing_says_who_had_pledged(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Neither an act of theirs, nor the opening of a leaf, under whichever key there still is."""
    members, given = union_of(service, platform, 2)
    campaign = opened(service, members[0], lab=lab.id)
    with read(service.runtime.engine) as session:
        before = log.size(session)
    for member in members:
        assert set(member.pledge(campaign, 2)) == {"act", "log_index"}
    members[1].take_pledge_back(campaign["id"])
    row = row_of(service, campaign)
    with read(service.runtime.engine) as session:
        entries = session.exec(campaigns.select(LogEntry).where(LogEntry.type.startswith("pledge."), LogEntry.log_index >= before)).all()  # type: ignore[attr-defined]
        openings = [pledging.sealer(service.runtime, row).open(bytes(e.sealed or b""), log.opening_place(bytes(e.leaf)))[32:] for e in entries]
        people_ = [person.id for person in session.exec(campaigns.select(Contributor))]
    assert sorted(json.loads(opening)["type"] for opening in openings) == ["pledge.given", "pledge.given", "pledge.taken-back"]
    for name in (*people_, *given):
        assert name.encode() not in b"".join(openings), "not even while it runs"
    over(service, campaign)
    assert row_of(service, campaign).key is None and pledged(service, campaign) == []
    with read(service.runtime.engine) as session:
        kept = {act.type for act in session.exec(campaigns.select(CollectiveAct).where(CollectiveAct.log_index >= before - 1))}
        assert "campaign.opened" in kept and not {kind for kind in kept if kind.startswith("pledge.")}
        keys = contributors.load(session.connection(), service.runtime.keys, set(people_)).values()
        for entry in entries:
            for sealer in (*(person.sealer for person in keys), Sealer(service.runtime.keys.derive("campaigns"))):
                with pytest.raises(CannotOpen):
                    sealer.open(bytes(entry.sealed or b""), log.opening_place(bytes(entry.leaf)))


def test_a_campaigns_key_is_carried_on_and_a_copy_of_it_opens_as_long_as_its_epoch(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a backup holds of pledges is bounded as what it holds of people: no key of the service's opens it for ever."""
    members, _, campaign = all_pledged(service, platform, 3, 2, lab=lab.id, days=90)
    copy = row_of(service, campaign)
    keys = service.runtime.keys
    assert copy.key is not None and copy.key_epoch == keys.epoch
    with pytest.raises(CannotOpen):
        Sealer(keys.derive("campaigns")).open(bytes(copy.key), copy.id.encode())
    old = opened(service, members[0], lab=lab.id, days=80)
    with write(service.runtime.engine) as session:  # as a version left it that sealed it under the root
        row = session.get_one(Campaign, old["id"])
        own = keys.unwrap(row.id, row.key_epoch or 0, bytes(row.key or b""))
        row.key, row.key_epoch = Sealer(keys.derive("campaigns")).seal(own, row.id.encode()), None
        session.add(row)
    members[0].pledge(old, 7)
    epochs.rotate(service.runtime, service.clock.now())
    for one in (campaign, old):
        assert row_of(service, one).key_epoch == keys.epoch == copy.key_epoch + 1
    straggler = opened(service, members[0], lab=lab.id, days=80)
    with write(service.runtime.engine) as session:  # as a process left it that had not heard of the newer epoch
        row = session.get_one(Campaign, straggler["id"])
        row.key = keys._driver.wrap(copy.key_epoch, new_key(), b"data-key\x00" + row.id.encode(), os.urandom)
        row.key_epoch = copy.key_epoch
        session.add(row)
    service.clock.offset += timedelta(days=31)
    with monkeypatch.context() as without:
        [there] = service.runtime.parts["wrapped"]
        without.setitem(service.runtime.parts, "wrapped", [replace(there, carry_on=lambda *_: None)])
        with pytest.raises(RuntimeError, match="1 keys in campaign are still under"):
            epochs.destroy(service.runtime, service.clock.now())
    assert copy.key_epoch in epochs.destroy(service.runtime, service.clock.now())
    with pytest.raises(CannotOpen):
        pledging.sealer(service.runtime, copy)
    assert pledging.sealer(service.runtime, row_of(service, straggler))
    members[0].pledge(campaign, 1)
    with read(service.runtime.engine) as session:
        kept = [one.threshold for one in campaigns.opened(session, service.runtime, row_of(service, old))]
    assert kept == [7] and members[0].take_pledge_back(old["id"])
    over(service, campaign, 60)
    assert row_of(service, campaign).executed == 3, "of those who stay nothing is lost"


def test_pause_and_refuse_new_delete_nothing_and_end_or_begin_with_a_day(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    members, _ = union_of(service, platform, 3)
    asked = {"platforms": [platform.id]}
    release = lab.sdk.cut(lab.agree(platform, mode="standing", until="2099-01-01"), poll=0.02)
    pause = opened(service, members[0], "pause", lab=lab.id, until=rfc3339(service.clock.now() + timedelta(days=9)))
    for member in members:
        member.pledge(pause, 1)
    over(service, pause)
    assert lab.sdk.request(EVALUATION, selection=asked).state == "refused", "paused"
    assert [shard["state"] for shard in lab.sdk.release(release.id).shards] == ["gone"]
    assert lab.sdk.recalls(release.agreement).items == [], "nothing is to be deleted"
    service.clock.offset += timedelta(days=8)
    assert lab.sdk.request(EVALUATION, selection=asked).records == "fewer than 10", "the pause has ended by itself"
    out = lab.sdk.cut(lab.agree(platform), poll=0.02)
    purpose = opened(service, members[0], "pause", purpose=EVALUATION["purposes"][0], until=rfc3339(service.clock.now() + timedelta(days=3)))
    members[1].pledge(purpose, 0)
    others(service, members[0], purpose)
    over(service, purpose)
    assert [shard["state"] for shard in lab.sdk.release(out.id).shards] == ["gone"], "also what is out for a purpose"
    service.clock.offset += timedelta(days=1)
    platform.give(1, contributor="striker")
    later = joined(members[0], receipt_for_all(service, platform, "striker"))
    before = lab.sdk.cut(lab.agree(platform), poll=0.02)
    fresh = opened(service, members[0], "refuse_new", lab=lab.id)
    later.pledge(fresh, 0)
    others(service, later, fresh)
    over(service, fresh)
    platform.give(1, contributor="striker")
    platform.give(1, contributor="somebody else")
    after = lab.sdk.cut(lab.agree(platform), poll=0.02)
    assert (rows(before), rows(after)) == (4, 5), "what was given before stays, what is given after goes to others alone"


def rows(release: Any) -> int:
    return sum(int(shard["rows"]) for shard in release.shards)


def test_instant_campaigns_act_with_the_pledge_that_makes_them(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _ = union_of(service, platform, 3)
    campaign = opened(service, members[0], lab=lab.id, mode="instant")
    for member in members:
        striking.resolve(service.runtime, campaign["id"])
        assert row_of(service, campaign).state == "open"
        member.pledge(campaign, 1)
    assert until(lambda: row_of(service, campaign).state == "reached", campaigns.WEIGHED + 20), "by itself, in seconds"


def test_of_fewer_than_a_campaign_takes_nobody_acts(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Not in an instant one, where it goes on waiting, and not at the deadline: nobody ends it for all others by needing none of them."""
    members, _ = union_of(service, platform, 5)
    instant, five = opened(service, members[0], lab=lab.id, mode="instant", days=3), opened(service, members[0], lab=lab.id, at_least=5)
    assert (instant["at_least"], five["at_least"]) == (3, 5)
    for member in members[:2]:
        member.pledge(instant, 0)
        striking.resolve(service.runtime, instant["id"])
    assert row_of(service, instant).state == "open" and len(pledged(service, instant)) == 2
    for member in members[:4]:
        member.pledge(five, 0)
    over(service, five)
    row = row_of(service, five)
    assert (row.state, row.executed, row.key) == ("not_reached", 0, None) and pledged(service, five) == []
    members[2].pledge(instant, 2)
    striking.resolve(service.runtime, instant["id"])
    assert (row_of(service, instant).state, row_of(service, instant).executed) == ("reached", 3)
    with read(service.runtime.engine) as session:
        acted = session.execute(sa.text("SELECT count(*) FROM exclusion WHERE lab_id = :lab"), {"lab": lab.id}).scalar()
        entry = session.exec(campaigns.select(LogEntry).where(LogEntry.type == "campaign.opened", LogEntry.subject == five["id"])).one()
        author = session.exec(campaigns.select(CollectiveAct.contributor_id).where(CollectiveAct.id == five["id"])).one()
        sealer = contributors.load(session.connection(), service.runtime.keys, {author})[author].sealer
    assert acted == 3
    assert json.loads(sealer.open(bytes(entry.sealed or b""), log.opening_place(bytes(entry.leaf)))[32:])["at_least"] == 5, "the log has it"


def test_what_is_pledged_within_seconds_is_weighed_once(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where there are too few by their number alone, no pledge is opened for that."""
    members, _ = union_of(service, platform, 4)
    campaign, queued = opened(service, members[0], lab=lab.id, mode="instant", at_least=5), []
    real = service.runtime.jobs.enqueue
    monkeypatch.setattr(campaigns, "WEIGHED", 3600)
    monkeypatch.setattr(service.runtime.jobs, "enqueue", lambda *given, **more: (queued.append(more["key"]), real(*given, **more)))
    before = int(service.clock.now().timestamp()) // 3600
    for member in members:
        member.pledge(campaign, 1)
    assert len(queued) == 4 and {int(key) for key in queued} <= {before, before + 1}
    monkeypatch.setattr(campaigns, "opened", lambda *_: pytest.fail("opened"))
    striking.resolve(service.runtime, campaign["id"])
    assert row_of(service, campaign).state == "open"


def test_who_has_no_voice_yet_or_permits_nothing_pledges_nothing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """As they do not vote: a hundred people who come in an hour are not counted with those who are there."""
    on_one_backend(service)
    union = founded(people(service, platform, 1)[0][0], template=None, tenure_days=14)
    campaign = opened(service, union, lab=lab.id, days=30)
    [(newcomer, given)] = people(service, platform, 1)
    fresh = joined(union, newcomer)
    with pytest.raises(Forbidden) as early:
        fresh.pledge(campaign, 0)
    assert early.value.code == "no_voice_yet" and pledged(service, campaign) == []
    service.clock.offset += timedelta(days=15)
    newcomer.scope(given.id, template="nothing-new")
    with pytest.raises(Invalid) as empty:
        fresh.pledge(campaign, 0)
    assert empty.value.code == "nothing_to_pledge"
    newcomer.scope(given.id, template="evaluation-only")
    fresh.pledge(campaign, 0)
    newcomer.scope(template="nothing-new")
    with pytest.raises(Invalid):
        fresh.pledge(campaign, 1)
    fresh.take_pledge_back(campaign["id"])


def test_who_left_or_was_erased_is_not_counted(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, _, campaign = all_pledged(service, platform, 3, 2, lab=lab.id)
    members[1].leave()
    assert len(pledged(service, campaign)) == 2
    members[2]._person.erase("all")
    assert len(pledged(service, campaign)) == 1
    over(service, campaign)
    assert row_of(service, campaign).state == "not_reached"


def test_what_is_refused(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    [union, other], _ = union_of(service, platform, 2)
    soon, late = (rfc3339(service.clock.now() + timedelta(days=days)) for days in (0.5, 91))
    good = rfc3339(service.clock.now() + timedelta(days=2))
    for deadline, action, more in (
        (soon, "withdraw", {"lab": lab.id}), (late, "withdraw", {"lab": lab.id}), (good, "withdraw", {}), (good, "pause", {"lab": lab.id}),
        (good, "withdraw", {"lab": lab.id, "purpose": "dpv:ScientificResearch"}), (good, "withdraw", {"lab": "lab_" + "0" * 26}),
        (good, "withdraw", {"lab": lab.id, "until": late}), (good, "pause", {"lab": lab.id, "until": soon}),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refusal:
            union.open_campaign("x", action, deadline, **more)
        assert refusal.value.code == "campaign_invalid"
    with pytest.raises(Invalid) as refusal:
        union.open_campaign("x", "withdraw", good, purpose="x:y")
    assert refusal.value.code == "policy_unknown_term"
    campaign = opened(service, union, purpose="dpv:ScientificResearch")
    with pytest.raises(Conflict) as changed:
        other.pledge({**campaign, "terms_sha256": "0" * 64}, 1)
    assert changed.value.code == "text_changed"
    other._person.withdraw("all")
    with pytest.raises(Invalid) as nothing:
        other.pledge(campaign, 1)
    assert nothing.value.code == "nothing_to_pledge"
    with pytest.raises(Problem):
        other.campaign("cmp_" + "0" * 26)
    for fewest in (2, 0, 1_000_001):
        with pytest.raises(Invalid) as few:
            union.open_campaign("x", "withdraw", good, lab=lab.id, at_least=fewest)
        assert few.value.code == "body_invalid"
    union.pledge(campaign, 0)
    over(service, campaign)
    assert row_of(service, campaign).state == "not_reached"
    assert [one["id"] for one in union.campaigns()] == [campaign["id"]]


def test_steps_hide_the_number() -> None:
    assert [campaigns.step(n) for n in (0, 9, 10, 24, 25, 9_999, 10_000)] == ["0-9", "0-9", "10-24", "10-24", "25-49", "1000-9999", "10000 or more"]
    assert greatest_set({"a": 0, "b": 9}) == {"a"}
