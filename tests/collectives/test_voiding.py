"""Who works for a lab and says so has no vote on it; where somebody did not say so, what the lab got by that vote can be made void for a year."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.collectives import queries, voiding
from app.collectives.models import LabRefusal, OutcomeVoid
from app.kit.db import read, write
from tests.collectives.members import founded, pass_days
from tests.collectives.test_mandates import cut_of, refuses
from tests.collectives.test_renewing import HALF, granted
from tests.collectives.test_requests_decided import deciding, vote
from tests.collectives.test_strikes import b64
from tests.kit.refusals import get
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_collective_forms import at, id_of, post, proposed
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window

WHY = "Two who voted are paid by them. We learned it in May."


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def test_I14_an_outcome_is_void_where_somebody_who_voted_worked_for_the_lab(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Declared affiliates are no electors, of the request and of what makes it void; an undeclared one makes the outcome voidable, by a
    majority, at once, and without a name."""
    mine = deciding(service, platform, lab, 5)
    mine[4].declare(None, lab.id)
    first, agreement = granted(service, mine[:4], lab, platform)
    assert mine[0].proposal(first)["electorate"] == 4
    before = cut_of(service, agreement)
    assert len(before.contributions) == 5
    made = {"subject": first, "ballots": 2}
    for wrong in ({"subject": first}, {"subject": "prp_" + "0" * 26, "ballots": 2}, {"subject": first, "ballots": 5}):
        refuses("proposal_invalid", lambda wrong=wrong: mine[0].propose("outcome.void", WHY, **wrong))
    named = f"It was {mine[3].me()['member']}."
    refuses("person_named", lambda: mine[0].propose("outcome.void", named, **made))
    void, beside = (mine[n].make_void(first, 2, WHY) for n in (0, 1))
    assert (void["about"], void["subject"], void["ballots"]) == (first, lab.id, 2)
    refuses("person_named", lambda: mine[1].amend(void, named))
    opened = [pass_days(service, mine[0], one["id"], days) for one, days in ((void, 7), (beside, 0))]
    refuses("not_elector", lambda: mine[4].vote(opened[0], "no", ["aim"]))
    mine[3].declare(None, lab.id)
    refuses("not_elector", lambda: mine[3].vote(opened[0], "no", ["aim"]))  # who says so after the freeze does not vote either
    mine[3].declare(None)
    for one in opened:
        for member, choice in zip(mine, ("yes", "yes", "no", "abstain"), strict=False):
            member.vote(one, choice, ["evidence"])
    done = [pass_days(service, mine[0], one["id"], days) for one, days in ((void, 7), (beside, 0))]
    assert [one["state"] for one in done] == ["in_force", "moot"], "by more than half, at once, and once"
    for given in (first, void["id"]):
        refuses("proposal_invalid", lambda given=given: mine[0].make_void(given, 1, WHY))  # it is void, or gave nobody anything
    assert cut_of(service, agreement).contributions == set(), "what was granted ends"
    found = mine[2].proposal(first)
    assert (found["state"], found["until"]) == ("voided", None) and "voided" in found["labels"]
    assert (found["voided"]["by"], found["voided"]["because"]) == (void["id"], WHY) and found["verdict"] == "passed"
    assert "voided" in get(service, f"/v1/collectives/{mine[0].id}/proposals/{first}/outcome").json()["labels"], "anybody reads it with the count"
    told = until(lambda: [json.loads(b64(token)) for token in lab.sdk.poll().sets.values()])
    assert [(one["events"], one["sub_id"]["id"]) for one in told] == [({"urn:sayso:event:outcome.voided": {"outcome": first}}, agreement.id)]
    assert [one["label"] for one in until(lambda: lab.sdk.labels(before.release))] == ["contested"]
    for job in ("voided", "label"):
        service.runtime.jobs.run(job, first)
    assert len(lab.sdk.poll().sets) == len(lab.sdk.labels(before.release)) == 1, "and each of that once"
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert (refusal["id"], refusal["request"]) == (void["id"], found["request"])
    lab.sdk.reply(void["id"], "We knew of nobody.")
    [item] = [one for one in get(service, f"/v1/ledger?lab={lab.id}").json()["items"] if one["act"]["type"] == "collective.outcome-voided"]
    assert (item["act"]["voided"], item["act"]["outcome"], item["beside"]["reply"]) == (first, void["id"], "We knew of nobody.")
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert again.state == "in_review" and lab.sdk.threads(again.id)[0]["thread"] != first, "and it can be asked for anew"
    for change in (sa.update(OutcomeVoid).values(voided_by=first), sa.delete(OutcomeVoid)):
        with pytest.raises(DBAPIError, match="never changed"), write(service.runtime.engine) as session:
            session.execute(change.where(OutcomeVoid.proposal_id == first))


def test_an_outcome_can_be_made_void_for_a_year_and_its_page_says_that_it_was(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    on_one_backend(service)
    mine = deciding(service, platform, lab)
    first, _ = granted(service, mine, lab, platform)
    browser, form = window(service, mine[1]._person.receipt), at(mine[1], "/propose?type=outcome.void")
    service.clock.offset += voiding.TIME - timedelta(days=8)  # seven days of appeal, and one that is left
    assert f"{lab.name}: Answer what a lab asks for, " in words(browser.get(form))
    shown = proposed(browser, mine[1], "outcome.void", subject=first, ballots="1")
    assert "It is said that 1 vote came from somebody who works for the lab and did not say so." in words(shown)
    service.clock.offset += timedelta(days=1)
    refuses("outcome_final", lambda: mine[0].propose("outcome.void", WHY, subject=first, ballots=1))
    assert "There is no such vote." in words(browser.get(form))
    late = post(browser, at(mine[1], "/propose"), type="outcome.void", words=WHY, subject=first, ballots="1")
    assert late.status_code == 409 and "Propose to refuse the lab: that can be done at any time." in words(late)
    assert vote(service, mine, id_of(shown), "yes")["state"] == "in_force", "what was proposed in time is decided"
    said = words(browser.get(at(mine[1], f"/proposals/{first}")))
    assert "This text was passed, and was made void since." in said and "It was made void on " in said and "Words." in said
    assert "A later vote made it void." in said and "The vote that made it void" in said
    public = words(browser.get(f"/collectives/{mine[1].id}"))
    assert "made void since" in public
    ledger = words(browser.get(f"/ledger?lab={lab.id}&kind=refusals"))
    assert "An earlier vote is void: what a lab asks for." in ledger


def test_a_void_outcome_that_waited_for_its_appeal_gives_nothing_and_a_refusal_stands_again(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    on_one_backend(service)
    mine = deciding(service, platform, lab, appeal_days=30)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    assert vote(service, mine, thread["thread"], "yes")["state"] == "appeal"
    elsewhere = founded(mine[0]._person)
    refuses("proposal_invalid", lambda: elsewhere.make_void(thread["thread"], 1, WHY))
    void = mine[0].propose("outcome.void", WHY, subject=thread["thread"], ballots=1)
    other = mine[0].settle_amendment(void["id"], mine[1].amend(void, "One was paid by them.")["id"], accept=False)
    alternative = mine[1].proposal(other["alternative"])
    assert (alternative["about"], alternative["ballots"], alternative["type"]) == (thread["thread"], 1, "outcome.void")
    assert vote(service, mine, void["id"], "yes")["state"] == "in_force"
    assert until(lambda: (found := lab.sdk.asked(asked.id)).state == "refused" and found)
    assert pass_days(service, mine[0], thread["thread"], 30)["state"] == "voided", "it does not come into force"
    refuses("proposal_invalid", lambda: mine[0].propose("outcome.void", WHY, subject=thread["thread"], ballots=1))
    for kind, days in (("licence.recall", 0), ("licence.grant", 30)):
        decided = mine[0].propose(kind, "As things are.", subject=lab.id)
        vote(service, mine, decided["id"], "yes")
        assert pass_days(service, mine[0], decided["id"], days)["state"] == "in_force"
    void = mine[0].propose("outcome.void", WHY, subject=decided["id"], ballots=1)
    vote(service, mine, void["id"], "yes")
    with read(service.runtime.engine) as session:
        assert session.get_one(LabRefusal, (mine[0].id, lab.id)).outcome == void["id"]


def test_what_made_a_renewal_void_is_done_after_a_crash_and_ends_what_was_renewed(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab, **HALF)
    first, agreement = granted(service, mine, lab, platform)
    assert len(cut_of(service, agreement).contributions) == 3
    renewal = mine[0].renew(first, "Go on.")["id"]
    vote(service, mine, renewal, "yes")
    assert pass_days(service, mine[0], renewal, 7)["state"] == "in_force"
    void = mine[0].make_void(renewal, 1, WHY)["id"]
    opened = pass_days(service, mine[0], void, 7)
    for one in mine:
        one.vote(opened, "yes")
    dies(service, lambda: pass_days(service, mine[0], void, 7))
    assert mine[0].proposal(renewal)["state"] == "in_force"
    finished(service)
    assert mine[0].proposal(renewal)["state"] == "voided" and cut_of(service, agreement).contributions == set()
    service.runtime.jobs.run("deadline", void)
    assert mine[0].proposal(void)["state"] == "in_force", "counted after that, it is what was done"
    assert mine[0].proposal(first)["until"] == service.clock.now().date().isoformat(), "what was renewed ends with it"
    told = until(lambda: [json.loads(b64(token))["events"] for token in lab.sdk.poll().sets.values()])
    assert told == [{"urn:sayso:event:outcome.voided": {"outcome": renewal}}], "also who holds what was granted before"
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert (refusal["id"], refusal["request"]) == (void, mine[0].proposal(first)["request"])
