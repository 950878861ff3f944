"""Past its day of review a charter allows nothing more, until it was agreed anew; what refuses goes on, and nothing is released by a day."""

from datetime import timedelta
from typing import Any

import pytest

from app.collectives import queries, reviewing
from tests.collectives.members import CHARTER, change_policy, cut_of, mandated, pass_days, readmitted, refuses
from tests.collectives.test_deciding import ADOPT, NARROW, union_of
from tests.collectives.test_requests_decided import deciding
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import window


def stage(service: Service, mine: Any) -> tuple[str, bool]:
    """What the API says, and whether the page of the members says that it is time."""
    browser = window(service, mine._person.receipt)
    [among, home] = ("of the group must be agreed anew" in page or "no vote begins" in page for page in (
        browser.get(path).text for path in ("/r/collectives", f"/r/collectives/{mine.id}")
    ))  # fmt: skip
    assert among == home
    return mine.read()["review"], home


def test_past_its_day_a_charter_allows_nothing_more_until_it_was_agreed_anew(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 3, review_days=60)
    until = mine[0].read()["review_by"]
    assert until == (service.clock.now() + timedelta(days=60)).date().isoformat() and stage(service, mine[0]) == ("later", False)
    readmitted(service, mine[0].id, lab.id, again=False)
    service.clock.offset += timedelta(days=29)
    assert mine[0].read()["review"] == "later"
    service.clock.offset += timedelta(days=1)
    assert stage(service, mine[0]) == ("due", True)
    service.clock.offset += timedelta(days=12)
    voted = mine[0].propose("policy.adopt", "Voted on.", **ADOPT)
    service.clock.offset += timedelta(days=8)
    waits = mine[0].propose("policy.adopt", "Too late.", **ADOPT)
    opened = pass_days(service, mine[0], voted["id"], 6)
    assert opened["state"] == "ballot"
    service.clock.offset += timedelta(days=4)
    assert mine[0].read()["review"] == "due", "its own day is still of it"
    service.clock.offset += timedelta(days=1)
    assert stage(service, mine[0]) == ("overdue", True)
    for one in mine:
        one.vote(opened, "yes")
    problem = refuses("charter_overdue", lambda: mine[0].propose("policy.adopt", "More.", **ADOPT))
    assert problem.status == 409 and problem.document["review_by"] == until
    refuses("charter_overdue", lambda: mine[0].propose("licence.grant", "Let them.", subject=lab.id))
    refuses("charter_overdue", lambda: mine[0].propose("licence.renew", "Go on.", subject=waits["id"]))
    refuses("charter_overdue", lambda: mine[1].amend(waits, policy={"template": "safety-research"}))
    less = mine[0].propose("policy.narrow", "Less.", **NARROW)
    strike = mine[1].propose("strike.call", "Now.", strike={"kind": "pause", "lab": lab.id}, urgent_hours=24)
    same = mine[1].propose("charter.amend", "As before.", charter={**CHARTER, "review_days": 60})
    opened = pass_days(service, mine[0], strike["id"], 1)
    for one in mine:
        one.vote(opened, "yes")
    assert pass_days(service, mine[0], strike["id"], 1)["state"] == "in_force", "what refuses goes on"
    assert pass_days(service, mine[0], voted["id"], 0)["state"] == "appeal"
    assert pass_days(service, mine[0], waits["id"], 2)["state"] == "discussion", "its vote does not begin"
    page = window(service, mine[1]._person.receipt).get(f"/r/collectives/{mine[0].id}/proposals/{waits['id']}").text
    assert "no vote begins that allows more" in page
    assert pass_days(service, mine[0], voted["id"], 5)["state"] == "in_force", "a ballot that was open finishes"
    assert pass_days(service, mine[0], less["id"], 0)["state"] == "ballot"
    mine[2].leave()
    opened = pass_days(service, mine[0], same["id"], 6)
    for one in mine[:2]:
        one.vote(opened, "yes")
    pass_days(service, mine[0], same["id"], 7)
    assert pass_days(service, mine[0], waits["id"], 0)["state"] == "discussion"
    assert pass_days(service, mine[0], same["id"], 7)["state"] == "in_force"
    found = mine[0].read()
    assert (found["review"], found["review_by"]) == ("later", (service.clock.now() + timedelta(days=60)).date().isoformat())
    assert pass_days(service, mine[0], waits["id"], 0)["state"] == "ballot", "and goes on where it was"
    mine[0].propose("licence.grant", "Let them.", subject=lab.id)


def test_no_lapse_of_a_charter_releases_anything(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """What a member denied stays denied, and so does what the collective did; where its policy ended nothing of the mandated goes out."""
    mine = union_of(service, platform, 2, review_days=30)
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    agreement = lab.agree(platform)
    assert len(cut_of(service, agreement).contributions) == 2
    change_policy(service, mine[0].id, "nothing-new")  # holds for a year, beyond the charter's day
    service.clock.offset += timedelta(days=31)
    assert mine[0].read()["review"] == "overdue" and len(cut_of(service, agreement).contributions) == 1
    readmitted(service, mine[0].id, lab.id, again=False)
    [own] = list(mine[0]._person.mine())
    mine[0]._person.withdraw(ids=[own.id])
    mine[1].end_mandate(mine[1].me()["mandates"][0]["id"])
    assert len(cut_of(service, agreement).contributions) == 0, "a refusal of the lab, and a withdrawal, past that day"


def test_a_lab_that_asks_past_that_day_is_asked_about_nothing(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service)
    monkeypatch.setattr(queries, "FEWEST", 3)
    mine = deciding(service, platform, lab, review_days=30)
    change_policy(service, mine[0].id, "evaluation-only")
    service.clock.offset += timedelta(days=31)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert asked.state == "refused" and lab.sdk.threads(asked.id) == [] and mine[0]._do("GET", "/proposals")["items"] == []


def test_what_waits_for_the_review_is_what_grants() -> None:
    assert set(reviewing.WIDENING) == {"policy.adopt", "licence.use", "licence.grant", "licence.renew"}
