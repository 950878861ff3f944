"""What a lab owes, with days: from what it signed, what it holds and what was recalled."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.agreements.models import Agreement
from app.kit.clock import rfc3339
from app.kit.db import read
from app.releases.models import Recall, Release
from app.revocations import duties, recalls
from tests.core.policy_cases import owed, rule
from tests.kit.refusals import get, lab_token, refused
from tests.releases.test_sets import terms
from tests.support import LabParty, PlatformParty, Service, consent, until

REPORTING = {
    "actions": ["fineTune"], "purposes": ["dpv:ScientificResearch"], "model_openness": "openWeights", "retention_days": 30,
    "accepts": ["attribute", "delete", "reportBack", "keepDissent", "keepThread", "inform", "shareAlike", "compensate"],
}  # fmt: skip


def tasks(lab: LabParty, agreement: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in lab.sdk.duties(agreement):
        found.setdefault(one.task, []).append(one)
    return found


def later(service: Service, agreement: str, days: float) -> list[duties.Task]:
    """What is owed some days from now, worked out at that time."""
    with read(service.runtime.engine) as session:
        now = service.clock.now() + timedelta(days=days)
        return duties.of_agreement(session, session.get_one(Agreement, agreement), now=now)


def test_a_recall_is_two_tasks_until_each_is_done_or_overdue(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    given = platform.give(3)
    agreement = lab.agree(platform)
    lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.05))
    before = tasks(lab, agreement)
    assert "acknowledge" not in before and [t.state for t in before["attribute"]] == ["standing"]
    service.claim(given[0]).withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    told = tasks(lab, agreement)
    [noted], [removed] = told["acknowledge"], [t for t in told["delete"] if t.of == recall.id]
    assert (noted.of, noted.due, noted.state) == (recall.id, recall.due, "open")
    assert (removed.due, removed.state) == (recall.delete_by, "open")
    days = [t.due for t in lab.sdk.duties(agreement)]
    assert days == sorted((d for d in days if d), key=str) + [None] * days.count(None)
    assert {(t.task, t.state) for t in later(service, agreement.id, 8) if t.of == recall.id} == {("acknowledge", "overdue"), ("delete", "open")}
    lab.sdk.acknowledge(recall.id)
    assert {(t.task, t.state) for t in later(service, agreement.id, 400) if t.of == recall.id} == {("acknowledge", "done"), ("delete", "overdue")}
    lab.sdk.attest(recall.id)
    assert {t.state for t in later(service, agreement.id, 400) if t.of == recall.id} == {"done"}
    with read(service.runtime.engine) as session:
        kept = session.execute(sa.select(Recall.delete_by).where(Recall.id == recall.id)).scalar_one()  # type: ignore[call-overload]
    assert removed.due == rfc3339(kept)


def test_reports_and_deletions_have_their_days(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2, consent=consent("any-training-with-credit-and-report-back"))
    agreement = lab.agree(platform, REPORTING)
    assert "reportBack" in tasks(lab, agreement)
    [report] = tasks(lab, agreement)["reportBack"]
    every = timedelta(days=int(report.obligation["every"][1:-1]))
    with read(service.runtime.engine) as session:
        signed = session.get_one(Agreement, agreement.id).signed_at
    assert report.due == rfc3339(signed + every) and report.state == "open"
    [after] = [t for t in later(service, agreement.id, every.days * 3 + 1) if t.task == "reportBack"]
    assert after.due == signed + every * 4 and after.state == "open"
    timed = [d for d in lab.sdk.duties(agreement) if d.task == "delete"]
    assert timed == []  # nothing was handed over and nothing recalled


def test_a_period_after_release_counts_from_each_cut_that_was_delivered(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The shortest of those that were signed, once for each release."""
    for days in (20, 10):
        platform.give(1, consent=terms(service, platform, rule("evaluate"), obligation=[owed("delete", ("release", f"P{days}D"))]))
    agreement = lab.agree(platform, {**REPORTING, "actions": ["evaluate"], "retention_days": 10})
    held, unseen = (lab.sdk.cut(agreement, poll=0.05) for _ in range(2))
    for _ in range(2):
        lab.sdk.deliver(held)
    with read(service.runtime.engine) as session:
        cut = session.get_one(Release, held.id).cut_at
    assert cut is not None
    found = [[t for t in later(service, agreement.id, days) if t.obligation.get("event") == "release"] for days in (9, 11)]
    duty = {"kind": "delete", "event": "release", "within": "P10D"}
    assert found[0] == [duties.Task("delete", held.id, cut + timedelta(days=10), "open", duty)]
    assert found[1][0].state == "overdue" and unseen.id not in {t.of for t in found[1]}


def test_duties_are_the_labs_own(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(1)
    agreement = lab.agree(platform)
    path = f"/v1/agreements/{agreement.id}/duties"
    refused(get(service, path, lab_token(service, service.lab())), 404, "not_found")
    refused(get(service, path), 401, "token_missing")


@pytest.mark.parametrize(("periods", "days"), [
    ({"release": "P365D"}, 30), ({"withdrawal": "P30D", "release": "P10D"}, 30), ({"withdrawal": "P7D", "release": "P365D"}, 7), ({}, 30),
])  # fmt: skip
def test_a_recall_is_to_be_followed_within_the_period_signed_for_withdrawals(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch, periods: dict[str, str], days: int
) -> None:
    given = platform.give(2)
    agreement = lab.agree(platform)
    lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.05))
    real = recalls.agreements.terms_of
    owed = [{"kind": "delete", "event": event, "within": within} for event, within in periods.items()]

    def signed(session: Any, row: Any) -> Any:
        offer, terms = real(session, row)
        return offer, {**terms, "obligations": owed}

    monkeypatch.setattr(recalls.agreements, "terms_of", signed)
    service.claim(given[0]).withdraw()
    until(lambda: lab.sdk.recalls(agreement).items)
    with read(service.runtime.engine) as session:
        [recall] = session.execute(sa.select(Recall).where(Recall.agreement_id == agreement.id)).scalars()  # type: ignore[arg-type]
    assert recall.delete_by - recall.opened_at == timedelta(days=days)
