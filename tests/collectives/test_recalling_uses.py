"""One use that a lab was granted is recalled alone: by the rules of a refusal, at once, and what else it may do goes on."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from app.collectives import licensing, queries
from app.collectives.models import LabRefusal, LabUse, Proposal
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log.models import LogEntry
from app.revocations import replay
from app.revocations.acting import OUT
from tests.collectives.members import cut_of, pass_days, refuses
from tests.collectives.test_renewing import day, granted
from tests.collectives.test_requests_decided import deciding, vote
from tests.faults.cuts import once, outcome, queued
from tests.kit.refusals import get
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, LabParty, PlatformParty, Service, until
from tests.web.test_collective_forms import at, id_of, proposed
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window

OTHER = {**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]}


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def granted_too(service: Service, mine: list[Any], lab: LabParty, platform: PlatformParty) -> tuple[str, Any]:
    """Another use that the same lab is granted, and its agreement for that."""
    asked = lab.sdk.request(OTHER, {"platforms": [platform.id]}, mode="standing", until="2099-01-01")
    [thread] = lab.sdk.threads(asked.id)
    vote(service, mine, thread["thread"], "yes")
    assert pass_days(service, mine[0], thread["thread"], 7)["state"] == "in_force"
    answer = until(lambda: (found := lab.sdk.asked(asked.id)).state == "offered" and found)
    return thread["thread"], lab.sdk.sign(lab.sdk.offer(str(answer.offer)))


def recalled(service: Service, mine: list[Any], first: str) -> dict[str, Any]:
    """By a bare majority, in two days."""
    made = mine[0].recall(first, "They broke it.", urgent_hours=24)
    opened = pass_days(service, mine[0], made["id"], 1)
    for one, choice in zip(mine, ("yes", "yes", "no"), strict=False):
        one.vote(opened, choice, [] if choice == "yes" else ["aim"])
    found: dict[str, Any] = pass_days(service, mine[0], made["id"], 1)
    return found


def test_one_use_ends_at_once_and_another_goes_on(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    (first, agreement), (second, kept) = granted(service, mine, lab, platform), granted_too(service, mine, lab, platform)
    out = cut_of(service, agreement)
    assert len(out.contributions) == 3 == len(cut_of(service, kept).contributions)
    renewal = mine[1].renew(first, "Go on.")["id"]
    for wrong in ("prp_" + "0" * 26, mine[0].id, renewal):
        refuses("proposal_invalid", lambda wrong=wrong: mine[0].recall(wrong, "They broke it."))
    found = recalled(service, mine, first)
    assert (found["state"], found["about"], found["subject"], found["until"]) == ("in_force", first, lab.id, None), "a bare majority is enough"
    assert found["effect"]["about"] == first
    assert cut_of(service, agreement).contributions == set() and len(cut_of(service, kept).contributions) == 3
    assert mine[0].proposal(first)["until"] == day(service, 0) and mine[0].proposal(second)["until"] > day(service, 1)
    assert outcome(service, out.release).state in OUT, "what is out stays as it is, as where the lab is refused"
    with read(service.runtime.engine) as session:
        assert session.get(LabRefusal, (mine[0].id, lab.id)) is None, "the lab is not refused"
        [leaf] = session.exec(select(LogEntry.leaf).where(LogEntry.type == "collective.use-recalled", LogEntry.subject == mine[0].id)).all()
    said = json.loads(leaf)
    assert (said["lab_id"], said["recalled"], said["outcome"]) == (lab.id, first, found["id"])
    # It is told as a refusal of what was asked for, which the lab can reply to.
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert (refusal["id"], refusal["request"]) == (found["id"], mine[0].proposal(first)["request"])
    [item] = [one for one in get(service, f"/v1/ledger?lab={lab.id}&kind=refusals").json()["items"] if one["act"]["type"] == said["type"]]
    assert item["beside"]["outcome"] == found["id"]
    lab.sdk.reply(found["id"], "We did not.")
    # Nothing revives it: not a renewal that was under way, nor a second recall, nor the lab by asking at once.
    assert vote(service, mine, renewal, "yes")["state"] == "appeal" and pass_days(service, mine[0], renewal, 7)["state"] == "moot"
    refuses("proposal_invalid", lambda: mine[0].recall(first, "Once more."))
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert again.state == "refused" and lab.sdk.threads(again.id) == []
    service.clock.offset += licensing.AGAIN
    for one in mine:
        one.give_mandate(day(service, 300), one.read()["policy"])
    later = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(later.id)
    assert vote(service, mine, thread["thread"], "yes")["state"] == "appeal"
    assert pass_days(service, mine[0], thread["thread"], 7)["state"] == "in_force", "which they can grant anew"


def test_a_renewed_use_is_recalled_by_whichever_vote_gave_it_and_a_cut_under_way_too(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab)
    first, _ = granted(service, mine, lab, platform)
    service.clock.offset += timedelta(days=30)
    renewal = mine[0].renew(first, "Go on.")["id"]
    vote(service, mine, renewal, "yes")
    assert pass_days(service, mine[0], renewal, 7)["state"] == "in_force"
    two = [mine[n].recall(renewal, "They broke it.", urgent_hours=24)["id"] for n in (0, 1)]
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    agreement = lab.sdk.sign(lab.sdk.offer(str(again.offer)))
    opened = [pass_days(service, mine[0], one, 1 if one == two[0] else 0) for one in two]
    for proposal in opened:
        for one in mine:
            one.vote(proposal, "yes")
    service.clock.offset += timedelta(days=1, seconds=1)  # not counted yet
    cut = queued(service, agreement)

    def counted() -> None:
        assert [pass_days(service, mine[0], one, 0)["state"] for one in two] == ["in_force", "moot"], "the second finds nothing to end"

    cut.after_selection.append(once(counted))
    cut.run()
    assert outcome(service, cut.release).contributions == set()
    assert [one["id"] for one in get(service, f"/v1/refusals?lab={lab.id}").json()["items"]] == [two[0]], "what was moot refused nothing"
    assert mine[0].proposal(two[0])["about"] == first


def test_it_is_done_again_from_the_journal(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    first, agreement = granted(service, mine, lab, platform)
    made = mine[0].recall(first, "They broke it.", urgent_hours=24)["id"]
    opened = pass_days(service, mine[0], made, 1)
    for one in mine:
        one.vote(opened, "yes")
    dies(service, lambda: pass_days(service, mine[0], made, 1))
    assert len(cut_of(service, agreement).contributions) == 3
    finished(service)
    assert cut_of(service, agreement).contributions == set()
    service.runtime.jobs.run("deadline", made)
    assert mine[0].proposal(made)["state"] == "in_force", "counted after that, it is what was done"
    [refusal] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    assert refusal["id"] == made


def test_what_was_recalled_does_not_come_into_force_where_the_database_was_set_back(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """As after a restore to when the grant had passed, and its appeal ran."""
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    first = thread["thread"]
    assert vote(service, mine, first, "yes")["state"] == "appeal"
    line = {"kind": "use-recall", "seq": 0, "collective": mine[0].id, "first": first, "outcome": random_id("proposal")}
    replay.again(service.runtime, {"act": random_id("act"), **line})
    assert pass_days(service, mine[0], first, 7)["state"] == "moot"
    with read(service.runtime.engine) as session:
        [use] = session.exec(select(LabUse).where(LabUse.proposal_id == first)).all()
    assert (use.outcome, use.recalled_by) == (None, line["outcome"])
    replay.again(service.runtime, {"act": random_id("act"), **line})
    replay.again(service.runtime, {"act": random_id("act"), **line, "first": random_id("proposal")})  # of which nothing is left


def test_whose_effect_was_changed_recalls_nothing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    (first, agreement), (second, kept) = granted(service, mine, lab, platform), granted_too(service, mine, lab, platform)
    made = mine[0].recall(first, "They broke it.", urgent_hours=24)["id"]
    opened = pass_days(service, mine[0], made, 1)
    for one in mine:
        one.vote(opened, "yes")
    with write(service.runtime.engine) as session:  # as somebody would who holds the database
        session.get_one(Proposal, made).about = second
    assert pass_days(service, mine[0], made, 1)["state"] == "void"
    assert len(cut_of(service, agreement).contributions) == 3 == len(cut_of(service, kept).contributions)


def test_it_is_proposed_on_a_page(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    browser = window(service, mine[1]._person.receipt)
    form = at(mine[1], "/propose?type=licence.recall")
    assert "Which lab?" in words(browser.get(form)), "while nothing is granted there are labs alone"
    first, _ = granted(service, mine, lab, platform)
    shown = words(browser.get(form))
    assert "Which lab, or which one use of a lab?" in shown and f"{lab.name}, until " in shown and "The vote that let it" in shown
    page = proposed(browser, mine[1], "licence.recall", subject=first)
    said = words(page)
    assert "If it is passed, this one use ends at once. What else the lab may do goes on." in said and "The vote let it use your work" in said
    assert mine[0].proposal(id_of(page))["about"] == first
    whole = proposed(browser, mine[1], "licence.recall", subject=lab.id)
    assert mine[0].proposal(id_of(whole))["about"] is None and "this one use" not in words(whole)
