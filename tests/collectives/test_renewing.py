"""What a lab was granted is renewed before it ends, by a vote as hard as the first, and to nothing wider."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from app.collectives import queries
from app.collectives.models import Collective, LabUse, Proposal
from app.core import electing
from app.core.electing import GRANT
from app.kit.db import read
from app.releases.models import ReleaseOutcome
from tests.collectives.members import cut_of, in_force, pass_days, refuses, relied_on
from tests.collectives.test_deciding import ADOPT
from tests.collectives.test_requests_decided import deciding, vote
from tests.kit.refusals import get
from tests.support import EVALUATION, LabParty, PlatformParty, Service, until
from tests.web.test_collective_forms import at, id_of, post, proposed
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window

CONSENT = [{"rule": "consent"}, {"rule": "supermajority"}]
HALF = {"decisions": {"licence.use": CONSENT}}
"""A charter by which what labs ask is granted for half a year."""


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def granted(
    service: Service, mine: list[Any], lab: LabParty, platform: PlatformParty, against: str | None = None
) -> tuple[str, Any]:
    """The proposal by which a lab was granted a use, and its agreement for that. `against`: what somebody dissents with."""
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]}, mode="standing", until="2099-01-01")
    [thread] = lab.sdk.threads(asked.id)
    vote(service, mine, thread["thread"], "yes")
    if against is not None:
        mine[0].dissent(thread["thread"], against)
    assert pass_days(service, mine[0], thread["thread"], 7)["state"] == "in_force"
    answer = until(lambda: (found := lab.sdk.asked(asked.id)).state == "offered" and found)
    return thread["thread"], lab.sdk.sign(lab.sdk.offer(str(answer.offer)))


def day(service: Service, days: int) -> str:
    return (service.clock.now() + timedelta(days=days)).date().isoformat()


def test_a_use_goes_on_past_its_day_where_it_was_renewed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, 4, **HALF)
    adopted = in_force(service, mine, mine[0].propose("policy.adopt", "Testing, by a vote of ours.", **ADOPT))["id"]
    soft = {"decisions": {"licence.use": CONSENT, "licence.renew": GRANT}}
    assert queries.rules_of(soft, "licence.renew") == CONSENT, "also where an older charter has less written out for it"
    written = electing.decisions(soft["decisions"])
    assert written["licence.renew"] == written["licence.use"], "and such a charter, read and sent again, is not refused"
    first, agreement = granted(service, mine, lab, platform, "Not at all.")
    assert mine[0].proposal(first)["until"] == day(service, 180)
    service.clock.offset += timedelta(days=150)
    for wrong in ("prp_" + "0" * 26, mine[0].id, lab.id):
        refuses("proposal_invalid", lambda wrong=wrong: mine[1].propose("licence.renew", "Go on.", subject=wrong))
    refuses("not_urgent", lambda: mine[1].propose("licence.renew", "Go on.", subject=first, urgent_hours=24))
    renewal = mine[1].renew(first, "They kept their word. Go on.")
    assert (renewal["about"], renewal["subject"], renewal["request"]) == (first, lab.id, None)
    assert renewal["until"] == day(service, 21 + 180), "it says until when, by the rule of the grant"
    mine[3].declare(None, lab.id)
    opened = pass_days(service, mine[0], renewal["id"], 7)
    for one in mine[:3]:
        one.vote(opened, "yes")
    refuses("not_elector", lambda: mine[3].vote(opened, "yes"))
    assert pass_days(service, mine[0], renewal["id"], 7)["state"] == "appeal", "it is a grant"
    assert mine[0].proposal(first)["until"] == day(service, 180 - 164)
    report = mine[0].dissent(renewal["id"], "Not for so long.")
    assert pass_days(service, mine[0], renewal["id"], 7)["state"] == "in_force"
    assert {mine[0].proposal(one)["until"] for one in (first, renewal["id"])} == {day(service, 180)}
    assert [rule["rule"] for rule in json.loads(mine[0].outcome(renewal["id"])["outcome"])["rules"]] == ["consent", "supermajority"]
    service.clock.offset += timedelta(days=20)  # past the day of before
    assert cut_of(service, agreement).contributions == set(), "who signed before it signed for no dissent from the renewal"
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert again.state == "offered" and lab.sdk.threads(again.id) == [], "the same use is not asked for anew"
    assert sorted(lab.sdk.dissent(str(again.offer)).values()) == ["Not at all.", "Not for so long."], "dissent from the first yes goes on too"
    waits = mine[2].renew(first, "And once more.")["id"]
    cut = cut_of(service, lab.sdk.sign(lab.sdk.offer(str(again.offer))))
    assert len(cut.contributions) == 4 and report["text_sha256"] in cut.manifest["dissent"]
    other = lab.sdk.request({**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]}, {"platforms": [platform.id]})
    assert other.state == "in_review", "another use is no wider granted than before"
    with read(service.runtime.engine) as session:
        [row] = session.exec(select(LabUse).where(LabUse.proposal_id == first)).all()
    assert (row.outcome, row.until.isoformat()) == (renewal["id"], mine[0].proposal(first)["until"])
    [leaf] = [one["act"] for one in get(service, f"/v1/ledger?lab={lab.id}").json()["items"] if one["act"]["type"] == "collective.use-renewed"]
    assert (leaf["renewed"], leaf["outcome"], leaf["until"]) == (first, renewal["id"], row.until.isoformat())
    with read(service.runtime.engine) as session:
        rests = set(session.exec(select(ReleaseOutcome.outcome).where(ReleaseOutcome.release_id == cut.release)))
        assert rests == {adopted, first, renewal["id"]}, "so that what becomes of any of them labels it"
        assert waits not in rests, "nor on what is not decided"
        # I4: each of them was in force at the cut, and not past the day on which it is to be decided anew.
        now, union = service.clock.now(), session.get_one(Collective, mine[0].id)
        for one in (session.get_one(Proposal, outcome) for outcome in rests):
            assert one.state == "in_force" and one.appeal_until <= now and one.collective_id == union.id
        assert union.policy_outcome == adopted and union.policy_until is not None and min(union.policy_until, row.until) > now.date()
    assert set(map(frozenset, relied_on(service, cut.release).values())) == {frozenset(rests)}, "each row keeps them all"


def test_what_ends_before_the_vote_or_ended_meanwhile_is_not_renewed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, **HALF)
    first, agreement = granted(service, mine, lab, platform)
    browser = window(service, mine[1]._person.receipt)
    service.clock.offset += timedelta(days=158)
    page = browser.get(at(mine[1], "/propose?type=licence.renew"))
    assert f"{lab.name}, until " in words(page) and "It is the same use as before, and nothing more." in words(page)
    shown = proposed(browser, mine[1], "licence.renew", subject=first)
    said = words(shown)
    assert "The vote let it use your work" in said and "If it is passed, that holds until" in said and "The vote that it is about" in said
    renewal, same = id_of(shown), mine[0].propose("licence.renew", "A second time.", subject=first)["id"]
    service.clock.offset += timedelta(days=1)
    refuses("renewal_late", lambda: mine[2].propose("licence.renew", "Too late.", subject=first))
    late = post(browser, at(mine[1], "/propose"), type="licence.renew", words="Too late.", subject=first)
    assert late.status_code == 409 and "Let it end; the lab can ask for it anew." in words(late)
    for one in (renewal, same):
        opened = pass_days(service, mine[0], one, 7 if one == renewal else 0)
        for member in mine:
            member.vote(opened, "yes")
    assert [pass_days(service, mine[0], one, days)["state"] for one, days in ((renewal, 7), (same, 0))] == ["appeal", "appeal"]
    recall = mine[0].propose("licence.recall", "They broke it.", subject=lab.id, urgent_hours=24)
    opened = pass_days(service, mine[0], recall["id"], 1)
    for member in mine:
        member.vote(opened, "yes")
    assert pass_days(service, mine[0], recall["id"], 1)["state"] == "in_force"
    assert pass_days(service, mine[0], renewal, 5)["state"] == "moot", "what was refused meanwhile is not revived"
    assert cut_of(service, agreement).contributions == set()
    assert "There is no such vote." in words(browser.get(at(mine[1], "/propose?type=licence.renew")))
