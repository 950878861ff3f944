"""What was released stays open only while it would be released so again: parts, credit, days, and the log itself."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sayso.errors import ShardGone

from app.kit.db import read, write
from app.kit.errors import Gone, Unauthorised
from app.log.models import Checkpoint, LogEntry, LogHead
from app.log.publisher import LogDamaged, Publisher
from app.parties.models import Lab as LabRow
from app.releases import service as releases
from app.releases.models import Release, ReleaseItem
from tests.support import (
    EVALUATION,
    OPEN_TRAINING,
    LabParty,
    PlatformParty,
    Service,
    consent,
    serving,
    test_settings,
    until,
)


def _judgment_only(service: Service, token: str) -> str:
    """A policy that lets labs test with the vote and not with the words."""
    templates = service.runtime.parts["policies"].templates
    policy = json.loads(json.dumps(templates["evaluation-only"]["policy"]))
    for rule in policy["permission"]:
        rule["target"] = ["judgment"]
        rule["constraint"] = []
    for duty in policy["obligation"]:
        text = json.dumps(duty)
        if "$parameter" in text:
            duty.clear()
            duty.update(json.loads(text.replace('{"$parameter": "attribution"}', '"anonymous"')))
    answer = service.post("/v1/policies", {"policy": policy}, token)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["digest"])


def test_a_part_no_longer_permitted_closes_the_shard_that_holds_it(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    [given] = platform.give()
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    assert lab.fetch(release, tmp_path / "a")[0]["text"]
    done = service.claim(given).scope(given.id, policy=_judgment_only(service, service.token(platform)))
    assert done.recalls == 1
    with pytest.raises(ShardGone):
        lab.fetch(release, tmp_path / "b")


def test_a_credit_changed_or_taken_away_closes_the_shard_that_prints_it(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    [given] = platform.give()
    person = service.claim(given)
    named = {"template": "open-model-training-with-credit", "parameters": {"attribution": "named"}}
    person.scope(given.id, credit="Ada L.", **named)
    agreement = lab.agree(platform, {**EVALUATION, "model_openness": "openWeights"})
    release = lab.sdk.cut(agreement, poll=0.05)
    assert lab.fetch(release, tmp_path / "a")[0]["credit"] == "Ada L."
    assert person.scope(given.id, **named).recalls == 1  # the same terms, without the name
    with pytest.raises(ShardGone):
        lab.fetch(release, tmp_path / "b")
    assert [r["credit"] for r in lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path / "c")] == [None]


def test_one_link_puts_a_name_on_one_contribution_alone(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    terms = consent("open-model-training-with-credit")
    given = platform.give(3, contributor="ada", consent=terms)
    service.claim(given[0]).scope(given[0].id, template="open-model-training-with-credit", credit="Real Name")
    rows = lab.fetch(lab.sdk.cut(lab.agree(platform, OPEN_TRAINING), poll=0.05), tmp_path)
    assert sorted(str(r["credit"]) for r in rows) == ["None", "None", "Real Name"]


def _deliver(service: Service, lab: LabParty, release: str, now: datetime) -> str:
    """A ticket as a request at `now` would get it (tokens of the lab's own clock are beside the point here)."""
    with write(service.runtime.engine) as session:
        row = session.get_one(LabRow, lab.id)
        return releases.ticket(service.runtime, releases.deliver(session, service.runtime, row, release, now=now))


def test_a_release_closes_on_the_day_a_permission_in_it_ends(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    now = service.clock.now().replace(hour=23, minute=30)
    platform.give(2, consent=consent(end=(now.date() + timedelta(days=3)).isoformat()))
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    until(lambda: json.loads(lab.sdk.release_file(release.id))["tlog_proof"])
    late = now + timedelta(days=2)
    ticket = _deliver(service, lab, release.id, late)
    digest = release.shards[0]["sha256"] if isinstance(release.shards[0], dict) else release.shards[0].sha256
    with read(service.runtime.engine) as session:
        assert releases.open_shard(session, service.runtime, release.id, digest, ticket, now=late).sha256 == digest
        with pytest.raises(Unauthorised):  # midnight: half an hour into the ticket's hour
            releases.open_shard(session, service.runtime, release.id, digest, ticket, now=late + timedelta(minutes=31))
    with pytest.raises(Gone) as refused:
        _deliver(service, lab, release.id, late + timedelta(minutes=31))
    assert refused.value.code == "release_expired"


def test_a_release_under_an_agreement_that_ended_is_not_delivered(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    platform.give(2)
    now = service.clock.now()
    last = now.date() + timedelta(days=2)
    release = lab.sdk.cut(lab.agree(platform, mode="standing", until=last.isoformat()), poll=0.05)
    until(lambda: json.loads(lab.sdk.release_file(release.id))["tlog_proof"])
    assert _deliver(service, lab, release.id, now + timedelta(days=2))
    with pytest.raises(Gone) as refused:
        _deliver(service, lab, release.id, now + timedelta(days=3))
    assert refused.value.code == "release_expired"


def test_a_cut_given_up_leaves_no_file_and_no_item(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    agreement = lab.agree(platform) if platform.give(2) else None
    assert agreement is not None
    release = "rel_" + "1" * 26
    with write(service.runtime.engine) as session:
        session.add(Release(id=release, agreement_id=agreement.id, state="cutting", requested_at=service.clock.now()))
        session.add(
            ReleaseItem(
                release_id=release, shard=0, record_id=b"\1" * 32, contribution_id="con_" + "1" * 26, parts=1, terms=0
            )
        )
    service.runtime.blobs.put(f"releases/{release}/abc", b"left behind")
    releases.fail(service.runtime, release)
    assert list(service.runtime.blobs.names(f"releases/{release}")) == []
    with write(service.runtime.engine) as session:
        assert (
            session.execute(
                sa.select(sa.func.count()).select_from(ReleaseItem).where(ReleaseItem.release_id == release)
            ).scalar_one()
            == 0
        )


def test_a_log_set_back_while_the_service_runs_is_not_signed_over(backend: str, database_url: str, tmp_path: Path) -> None:
    """In a service of its own: an act of somebody else's meanwhile would be set back with it."""
    with serving(test_settings(tmp_path / "data", database_url), backend) as service:
        _set_back(service, service.platform())


def _set_back(service: Service, platform: PlatformParty) -> None:
    platform.give(3)
    publisher = Publisher(service.runtime)
    service.runtime.parts["publisher"].stop()
    try:
        signed = publisher.publish()
        with write(service.runtime.engine) as session:
            kept = (
                session.execute(sa.select(LogEntry.__table__).where(LogEntry.log_index == signed - 1)).mappings().one()
            )
            points = session.execute(sa.select(Checkpoint.__table__).where(Checkpoint.size == signed)).mappings().one()
            kept, points = dict(kept), dict(points)
            session.execute(sa.delete(LogEntry).where(LogEntry.log_index == signed - 1))
            session.execute(sa.delete(Checkpoint).where(Checkpoint.size == signed))
            session.execute(sa.update(LogHead).values(size=signed - 1))
        with pytest.raises(LogDamaged):
            publisher.publish()
        with write(service.runtime.engine) as session:
            session.execute(sa.insert(LogEntry.__table__).values(**kept))
            session.execute(sa.insert(Checkpoint.__table__).values(**points))
            session.execute(sa.update(LogHead).values(size=signed))
        assert publisher.publish() == signed
    finally:
        fresh = service.runtime.parts["publisher"] = Publisher(service.runtime)
        fresh.start()
        service.runtime.health["log"] = fresh.health
    until(lambda: fresh.health() is None)
