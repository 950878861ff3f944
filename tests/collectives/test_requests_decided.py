"""A collective that decides on labs' requests itself: request, review, proposal; and the lab in its own thread and nowhere else."""

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.agreements import review
from app.collectives import licensing, queries
from app.collectives.dissent_models import MinorityReport
from app.collectives.models import LabRefusal, LabUse, Membership, PastInterest, Proposal
from app.collectives.thread_models import Statement
from app.kit.db import read, write
from app.kit.errors import Conflict
from app.kit.ids import random_id
from app.log.models import LogEntry
from tests.collectives.members import CHARTER, cut_of, joined, mandated, pass_days, people, refuses, steward
from tests.collectives.test_deciding import row_of, union_of
from tests.kit.refusals import accepted, call, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def deciding(service: Service, platform: PlatformParty, lab: LabParty, n: int = 3, **charter: Any) -> list[Any]:
    """A collective that decides itself, all of whose members mandated it, and who asks."""
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    mine = union_of(service, platform, n, requests="decide", **charter)
    for one in mine:
        mandated(service, one)
    return mine


def vote(service: Service, mine: list[Any], proposal: str, choice: str, days: int = 7) -> dict[str, Any]:
    opened = pass_days(service, mine[0], proposal, days)
    assert opened["state"] == "ballot", opened
    for one in mine:
        one.vote(opened, choice, [] if choice == "yes" else ["aim"])
    return pass_days(service, mine[0], proposal, 7)


def test_a_request_is_decided_by_the_collective_and_the_lab_speaks_in_its_own_thread(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert asked.state == "in_review" and asked.review is not None and asked.review["by"] == "collective"
    [thread] = lab.sdk.threads(asked.id)
    proposal = thread["thread"]
    found = mine[0].proposal(proposal)
    assert (found["type"], found["subject"], found["author"], found["request"]) == ("licence.use", lab.id, None, asked.id)
    put = mine[1].put_up(proposal, "For how long?")
    said = mine[2].comment(proposal, "And who sees it?", ["privacy"])
    told = lab.sdk.comment(asked.id, proposal, "Our own staff.", ["privacy"], parent=said["id"])
    assert told["mine"] and [one["lab"] for one in mine[0].comments(proposal)] == [None, lab.id]
    assert lab.sdk.threads(asked.id)[0]["statements"][0]["owed"] is None, "of fewer than enough it is not told whether they suffice"
    for one in (mine[0], mine[2]):
        one.weigh(proposal, put["id"], "agree")
    [seen] = lab.sdk.threads(asked.id)
    assert seen["statements"] == [{"id": put["id"], "text": "For how long?", "agree": "fewer than 10", "disagree": "fewer than 10",
                                   "answer": None, "stand_in": None, "owed": True}]  # fmt: skip
    assert not {mine[n].me()["member"] for n in range(3)} & set(json.dumps(seen).replace('"', " ").split()), "no member is named to the lab"
    lab.sdk.explain(asked.id, proposal, put["id"], "A year.")
    mine[0].answer(proposal, put["id"], "For ever.")
    lab.sdk.explain(asked.id, proposal, put["id"], "One year.")
    ours = mine[1].put_up(proposal, "Who asked for it?")["id"]
    mine[0].answer(proposal, ours, "Nobody here.")
    lab.sdk.explain(asked.id, proposal, ours, "All of you.")
    both = [("One year.", "For ever."), ("All of you.", "Nobody here.")]
    assert [(one["answer"], one["stand_in"]) for one in mine[1].statements(proposal)] == both, "nobody takes away another's words"
    assert [(one["answer"], one["stand_in"]) for one in lab.sdk.threads(asked.id)[0]["statements"]] == both
    refuses("not_proposer", lambda: mine[1].amend(found, "Another use."))
    hidden = mine[0].hide(proposal, said["id"], "off-topic")
    assert [one["id"] for one in lab.sdk.threads(asked.id)[0]["comments"]] == [told["id"]] and hidden["state"] == "hidden"
    # The same use again joins the same thread; an operator has nothing to settle.
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert [one["thread"] for one in lab.sdk.threads(again.id)] == [proposal]
    with read(service.runtime.engine) as session:
        assert asked.id not in [request.id for request, _, _ in review.waiting(session, service.clock.now())]
        with pytest.raises(Conflict, match="request_not_in_review"):
            review.approve(session, service.runtime, asked.id, now=service.clock.now())
    assert vote(service, mine, proposal, "yes")["state"] == "appeal"
    assert pass_days(service, mine[0], proposal, 7)["state"] == "in_force"
    answers = [until(lambda one=one: (found := lab.sdk.asked(one.id)).state == "offered" and found) for one in (asked, again)]
    refuses("thread_frozen", lambda: lab.sdk.comment(asked.id, proposal, "Thank you.", ["aim"]))
    assert lab.sdk.threads(asked.id)[0]["state"] == "in_force", "what was said stays there to be read"
    offer = lab.sdk.offer(str(answers[0].offer))
    cut = cut_of(service, lab.sdk.sign(offer))
    assert len(cut.contributions) == 3
    with read(service.runtime.engine) as session:
        leaves = [json.loads(leaf) for leaf in session.exec(select(LogEntry.leaf).where(LogEntry.subject.in_((proposal, mine[0].id))))]  # type: ignore[attr-defined]
    kinds = {leaf["type"] for leaf in leaves}
    assert {"request.put-to-vote", "ballot.opened", "outcome.decided", "collective.use-granted"} <= kinds


def test_a_steward_who_stands_in_takes_no_duty_from_who_asks(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The ballot waits for one answer; that the lab gave none stays true until it gives one, and two stewards do not overwrite each other."""
    mine = deciding(service, platform, lab, 4)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    proposal = lab.sdk.threads(asked.id)[0]["thread"]
    put = [mine[1].put_up(proposal, text)["id"] for text in ("For how long?", "For whom?")]
    for one, statement in itertools.product((mine[2], mine[3]), put):
        one.weigh(proposal, statement, "agree")
    assert pass_days(service, mine[0], proposal, 7)["state"] == "discussion", "answers are owed"
    for statement in put:
        mine[0].answer(proposal, statement, "As I read it, a year.")
    steward(service, mine[1])
    refuses("answer_exists", lambda: mine[1].answer(proposal, put[0], "Two."))
    owed = [(one["answered"], one["owed"], one["stand_in"]) for one in mine[2].statements(proposal)]
    assert owed == [(False, True, "As I read it, a year.")] * 2
    assert [one["owed"] for one in lab.sdk.threads(asked.id)[0]["statements"]] == [True, True]
    lab.sdk.explain(asked.id, proposal, put[1], "For us.")
    hidden = mine[1].hide(proposal, mine[2].statements(proposal)[0]["stand_in_id"], "off-topic")
    assert mine[2].statements(proposal)[0]["stand_in_hidden"] == "off-topic" and mine[2].statements(proposal)[0]["stand_in"] is None
    page = words(window(service, mine[2]._person.receipt).get(f"/r/collectives/{mine[0].id}/proposals/{proposal}/statements?all=1"))
    assert "The answer: For us. A steward answered instead: As I read it, a year." in page
    assert "It waits for an answer. A steward answered instead: The words are hidden, or gone." in page and hidden["kind"] == "answer"
    done = vote(service, mine, proposal, "yes", days=1)
    assert done["labels"] == ["unanswered"], "the ballot did not wait any longer, and the lab answered one of two"
    said = json.loads(mine[0].thread(proposal)["thread"])
    assert said["unanswered"] == [put[0]] and json.loads(mine[0].outcome(proposal)["outcome"])["thread"]["unanswered"] == 1
    assert [("stand_in" in one, one["answer"] is None, one.get("stand_in_hidden")) for one in said["statements"]] == [
        (True, True, "off-topic"), (True, False, None)
    ]  # fmt: skip
    mine[0]._person.erase(scope="all")
    assert [(one["answer"], one["stand_in"]) for one in mine[2].statements(proposal)] == [(None, None), ("For us.", None)]
    with read(service.runtime.engine) as session:
        assert session.exec(select(Statement.stood_in_by).where(Statement.proposal_id == proposal)).all() == [None, None]


def test_who_takes_back_that_they_work_for_a_lab_still_does_for_what_was_put_up_before(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Taken back, voted, said again: nobody votes so on whom they work for, also by leaving and coming back, nor moderates or closes there."""
    other, mine = service.lab(), deciding(service, platform, lab, 5)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    proposal = lab.sdk.threads(asked.id)[0]["thread"]
    said = mine[2].comment(proposal, "Who sees it?", ["privacy"])
    for one in (mine[0], mine[1], mine[3]):
        one.declare(None, lab.id)
    mine[0].declare(None)
    mine[1].declare(None, other.id)
    mine[1].declare(None)
    assert mine[0].me()["interest"] is None
    refuses("steward_involved", lambda: mine[0].hide(proposal, said["id"], "off-topic"))
    opened = pass_days(service, mine[0], proposal, 7)
    assert (opened["state"], row_of(service, proposal).electorate_size) == ("ballot", 2)
    for one in mine[:2]:
        refuses("not_elector", lambda one=one: one.vote(opened, "yes"))
    # Who was of the electorate, votes, says so, leaves and comes back without a word of it: their ballot is not counted.
    mine[4].vote(opened, "yes")
    mine[4].declare(None, lab.id)
    refuses("not_elector", lambda: mine[4].vote(opened, "yes"))
    mine[4].leave()
    mine[4].join()
    refuses("not_elector", lambda: mine[4].vote(opened, "yes"))
    mine[2].vote(opened, "yes")
    pass_days(service, mine[0], proposal, 7)
    outcome = json.loads(mine[2].outcome(proposal)["outcome"])
    assert (outcome["turnout"], outcome["left_out"]) == (1, 1)
    refuses("closer_involved", lambda: mine[1].close(proposal, "It was short.", said["id"]))
    later = mine[2].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    pass_days(service, mine[2], later, 7)
    assert row_of(service, later).electorate_size == 4, "past the week it is over; who still says so has no vote"
    mine[0]._person.erase(scope="all")
    with read(service.runtime.engine) as session:
        kept = select(PastInterest).where(PastInterest.lab_id == lab.id)
        assert [session.get_one(Membership, one.membership_id).member for one in session.exec(kept)] == [mine[1].me()["member"]]


def test_a_no_and_silence_are_a_refusal_and_the_lab_does_not_ask_again_at_once(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, load=1)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    elect = mine[0].propose("steward.elect", "Her too.", subject=mine[1].me()["member"])["id"]
    recall = mine[0].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    assert vote(service, mine, thread["thread"], "no")["state"] == "failed"
    # What a lab asks does not keep members' own proposals waiting, and nothing keeps a refusal.
    assert [pass_days(service, mine[0], one, 0)["state"] for one in (elect, recall)] == ["ballot"] * 2
    assert until(lambda: (found := lab.sdk.asked(asked.id)).state == "refused" and found).reasons == []
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert again.state == "refused" and lab.sdk.threads(again.id) == []
    platform.give(1)
    assert lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).state == "offered", "what is nobody's to decide waits for nobody"
    service.clock.offset += timedelta(days=90)
    later = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert later.state == "offered" and len(lab.sdk.threads(later.id)) == 1
    cut = cut_of(service, lab.sdk.sign(lab.sdk.offer(str(later.offer))))
    assert len(cut.contributions) == 1, "and a release holds nothing that was not granted"


def test_a_grant_covers_one_use_until_its_review_and_fewer_than_enough_open_nothing(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = deciding(service, platform, lab, 4, decisions={"licence.use": [{"rule": "consent"}, {"rule": "supermajority"}]})
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]}, mode="standing", until="2099-01-01")
    proposal = lab.sdk.threads(asked.id)[0]["thread"]
    vote(service, mine, proposal, "yes")
    report = mine[3].dissent(proposal, "Not for this.")
    pass_days(service, mine[0], proposal, 7)
    with read(service.runtime.engine) as session:
        granted = session.exec(select(LabUse.until).where(LabUse.proposal_id == proposal)).one()
    assert granted == (service.clock.now() + timedelta(days=180)).date(), "by consent for half a year at most"
    answer = until(lambda: (found := lab.sdk.asked(asked.id)).state == "offered" and found)
    assert lab.sdk.dissent(str(answer.offer)) == {report["text_sha256"]: "Not for this."}, "dissent from the grant is signed for"
    agreement = lab.sdk.sign(lab.sdk.offer(str(answer.offer)))
    assert len(cut_of(service, agreement).contributions) == 4
    other = {**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]}
    elsewhere = lab.sdk.request(other, {"platforms": [platform.id]})
    assert elsewhere.state != "offered", "another use is another question"
    with read(service.runtime.engine) as session:
        assert session.exec(select(LabUse).where(LabUse.proposal_id == proposal)).one().outcome == proposal
    with write(service.runtime.engine) as session:  # as a later grant of the same use brings it
        session.add(
            MinorityReport(id=random_id("minority_report"), proposal_id=proposal, kind="report", sha256="0" * 64, log_index=0, at=service.clock.now())
        )
    assert cut_of(service, agreement).contributions == set(), "dissent that was not signed for holds its records back"
    for one in mine[2:]:
        one.leave()
    with read(service.runtime.engine) as session:
        before = session.exec(select(Proposal.id).where(Proposal.collective_id == mine[0].id)).all()
    third = lab.sdk.request({**EVALUATION, "accepts": ["attribute", "delete", "inform"]}, {"platforms": [platform.id]})
    assert lab.sdk.threads(third.id) == []
    with read(service.runtime.engine) as session:
        after = session.exec(select(Proposal.id).where(Proposal.collective_id == mine[0].id)).all()
    assert set(after) == set(before), "two people are too few to ask about"


def test_a_lab_asks_for_no_more_than_five_uses_a_week(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """What it asks beyond that members need not read; it is refused, and can be asked for again when the week is over."""
    on_one_backend(service)
    deciding(service, platform, lab)
    words = ["inform", "shareAlike", "keepDissent", "keepThread", "compensate", "reportBack"]
    uses = [{**EVALUATION, "accepts": [*EVALUATION["accepts"], word]} for word in words]
    asked = [lab.sdk.request(use, {"platforms": [platform.id]}) for use in uses]
    assert [(one.state, len(lab.sdk.threads(one.id))) for one in asked] == [("in_review", 1)] * 5 + [("refused", 0)]
    service.clock.offset += timedelta(days=7)
    assert lab.sdk.request(uses[5], {"platforms": [platform.id]}).state == "in_review"


def test_to_a_lab_every_other_thread_is_not_there(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    own = lab.sdk.threads(asked.id)[0]["thread"]
    other = mine[0].propose("policy.narrow", "Less.", policy={"template": "nothing-new"})["id"]
    put = mine[1].put_up(other, "Between us.")["id"]
    stranger = service.lab()
    token, foreign, body = lab_token(service, lab), lab_token(service, stranger), b'{"text": "x", "reasons": ["aim"]}'
    seen = set()
    for who, request, thread in (
        (token, asked.id, other), (token, asked.id, "prp_" + "0" * 26), (token, "req_" + "0" * 26, own), (foreign, asked.id, own),
        (foreign, "req_" + "0" * 26, own),
    ):  # fmt: skip
        answer = call(service, "POST", f"/v1/requests/{request}/threads/{thread}/comments", who, body)
        refused(answer, 404, "not_found")
        seen.add((who == token and thread != own, answer.content))
    assert len({content for _, content in seen}) <= 2
    refused(call(service, "PUT", f"/v1/requests/{asked.id}/threads/{own}/statements/{put}/answer", token, b'{"text": "x"}'), 404, "not_found")
    refused(call(service, "GET", f"/v1/requests/{asked.id}/threads", foreign), 404, "not_found")
    for path in ("", "/statements", "/comments", "/thread"):
        refused(call(service, "GET", f"/v1/collectives/{mine[0].id}/proposals/{own}{path}", token), 404, "not_found")
    where, once = f"/v1/requests/{asked.id}/threads/{own}/comments", {"Idempotency_Key": "0123456789abcdef"}
    first, again = (accepted(service.post(where, json.loads(body), token, **once), 201) for _ in range(2))
    mine[0].hide(own, first["id"], "spam")
    hidden = accepted(service.post(where, json.loads(body), token, **once), 201)
    assert first == again and hidden == {**first, "text": None}, "sent again it is the same comment, also when it was hidden since"
    for _ in range(4):
        accepted(call(service, "POST", where, token, body), 201)
    assert refused(call(service, "POST", where, token, body), 429, "load_spent")["most"] == 5
    monkeypatch.setattr(licensing, "LAB_COMMENTS", 6)
    service.clock.offset += timedelta(hours=1, seconds=1)
    accepted(call(service, "POST", where, lab_token(service, lab), body), 201)
    assert refused(call(service, "POST", where, lab_token(service, lab), body), 429, "load_spent")["most"] == 6, "and no more in a day"


def test_no_choice_of_records_tells_a_lab_how_few_there_are(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """A grant is of a use: whichever days, languages or models a lab names, the same collectives are asked, or none."""
    other = service.platform()
    mine = deciding(service, platform, lab, 2)
    for person, _ in people(service, other, 2):
        mandated(service, joined(mine[0], person))
    both = {"platforms": [platform.id, other.id]}
    assert lab.sdk.threads(lab.sdk.request(EVALUATION, both).id) == [], "too few on each platform are too few together"
    mandated(service, joined(mine[0], people(service, platform, 1)[0][0]))
    threads = [
        [one["thread"] for one in lab.sdk.threads(lab.sdk.request(EVALUATION, {**both, **chosen}).id)]
        for chosen in ({}, {"languages": ["tlh"]}, {"to": "2020-01-01"}, {"models": ["no such"]}, {"kinds": ["testimony"]})
    ]
    assert len(threads[0]) == 1 and threads == threads[:1] * 5


def test_what_waited_for_a_collective_is_decided_and_goes_round_no_second_time(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Also where it came to wait while the count ran, whose job then did not see it: a job that is queued with a request that joins does, and
    where that came to nothing a chore. And where the decision took longer than the time after which a lab may ask again."""
    mine = deciding(service, platform, lab)
    asked, again = (lab.sdk.request(EVALUATION, {"platforms": [platform.id]}) for _ in range(2))
    [thread] = lab.sdk.threads(again.id)
    table = "workflow_status" if service.backend == "sqlite" else "dbos.workflow_status"

    def job(what: str, request: str) -> Any:
        with read(service.runtime.engine) as session:
            query = sa.text(f"SELECT {what} FROM {table} WHERE workflow_uuid = :name")  # a count, or a column
            return session.execute(query, {"name": f"asked:{thread['thread']}:{request}"}).scalar()

    assert until(lambda: job("status", again.id) == "SUCCESS"), "it found nothing to do yet"
    with write(service.runtime.engine) as session:
        row = session.get_one(Proposal, thread["thread"])
        row.state = "failed"
        use = session.exec(select(LabUse).where(LabUse.proposal_id == row.id)).one()
        use.asked_at -= licensing.AGAIN + timedelta(days=1)
        session.add_all([row, use])
    assert lab.sdk.asked(asked.id).state == "in_review"
    assert [job("count(*)", one.id) for one in (asked, again)] == [0, 1], "not for the one that put it to the vote"
    review.lapse_forgotten(service.runtime, service.clock.now())
    for one in (asked, again):
        assert lab.sdk.asked(one.id).state == "refused" and [its["thread"] for its in lab.sdk.threads(one.id)] == [row.id]
    assert [one["id"] for one in mine[0]._do("GET", "/proposals")["items"]] == [row.id]


def test_a_request_waits_for_what_was_voted_on_where_the_count_comes_late(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The service was away past the request's own day, and does what is due in any order; a vote that never began is not waited for."""
    on_one_backend(service)
    mine, uses = deciding(service, platform, lab), (EVALUATION, {**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]})
    asked, other = (lab.sdk.request(use, {"platforms": [platform.id]}) for use in uses)
    [thread] = lab.sdk.threads(asked.id)
    opened = pass_days(service, mine[0], thread["thread"], 7)
    for one in mine:
        one.vote(opened, "yes")
    service.clock.offset += timedelta(days=60)
    for request in (asked, other):
        review.lapse(service.runtime, request.id)
    assert [lab.sdk.asked(one.id).state for one in (asked, other)] == ["in_review", "refused"]
    assert pass_days(service, mine[0], thread["thread"], 0)["state"] == "appeal"
    assert pass_days(service, mine[0], thread["thread"], 7)["state"] == "in_force"
    review.lapse(service.runtime, asked.id)
    assert until(lambda: lab.sdk.asked(asked.id).state == "offered")


def test_a_refusal_that_is_taken_back_revives_no_grant_of_before(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]}, mode="standing", until="2099-01-01")
    vote(service, mine, lab.sdk.threads(asked.id)[0]["thread"], "yes")
    pass_days(service, mine[0], lab.sdk.threads(asked.id)[0]["thread"], 7)
    answer = until(lambda: (found := lab.sdk.asked(asked.id)).state == "offered" and found)
    agreement = lab.sdk.sign(lab.sdk.offer(str(answer.offer)))
    assert len(cut_of(service, agreement).contributions) == 3
    for kind in ("licence.recall", "licence.grant"):
        decided = mine[0].propose(kind, "As things are.", subject=lab.id)
        vote(service, mine, decided["id"], "yes")
        assert pass_days(service, mine[0], decided["id"], 7)["state"] == "in_force"
    assert cut_of(service, agreement).contributions == set(), "it was let in again, and granted nothing"
    again = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(again.id)
    assert vote(service, mine, thread["thread"], "yes")["state"] == "appeal"
    with write(service.runtime.engine) as session:
        session.add(LabRefusal(collective_id=mine[0].id, lab_id=lab.id, outcome=decided["id"]))
    assert pass_days(service, mine[0], thread["thread"], 7)["state"] == "moot", "nor does a yes come into force after a refusal"


def test_who_answers_labs_is_fixed_when_a_collective_is_founded_and_only_a_public_one_decides(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    refuses("charter_invalid", lambda: mine[0].propose("charter.amend", "We decide.", charter={**CHARTER, "requests": "decide"}))
    refuses("charter_invalid", lambda: union_of(service, platform, 1, listed=False, requests="decide"))
