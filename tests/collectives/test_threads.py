"""What is said around a proposal: statements, answers, comments, moderation, amendments, closing, and the exchange with Polis."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

import pytest
from sayso import recount
from sayso.collective import Collective
from sayso.errors import SaysoError
from sqlmodel import select

from app.collectives import amendments, deliberating, queries, threads, voting
from app.collectives.thread_models import Comment, ProposalThread, Statement, StatementVote
from app.core.thread import must_be_answered
from app.kit.db import read
from app.log.models import LogEntry
from tests.collectives.members import in_force, pass_days, refuses, steward
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import accepted, call
from tests.support import LabParty, PlatformParty, Service, on_one_backend


def test_a_whole_deliberation_from_proposal_to_closed_outcome(service: Service, platform: PlatformParty) -> None:
    """Statements, comments, an answer that is owed, an amendment that is accepted, ballot, note, and nothing that says who voted for what."""
    mine = union_of(service, platform, 4)
    author, second, third, fourth = mine
    proposal = author.propose("policy.narrow", "Less.", **NARROW)
    put = second.put_up(proposal["id"], "Testing is fine, training is not.")
    assert (put["totals"], put["mine"], put["owed"]) == ({"agree": 1, "disagree": 0, "pass": 0}, "agree", True), "a fifth of four is one"
    third.weigh(proposal["id"], put["id"], "agree")
    weighed = [third.weigh(proposal["id"], put["id"], "disagree")["log_index"] for _ in range(2)]
    assert weighed[0] == weighed[1], "to say the same again is nothing new in the log"
    assert fourth.statements(proposal["id"])[0]["totals"] == {"agree": 1, "disagree": 1, "pass": 0}, "the last word counts"
    refuses("own_statement", lambda: second.weigh(proposal["id"], put["id"], "pass"))
    said = third.comment(proposal["id"], "What does it cost us?", ["cost", "question"], statement=put["id"])
    reply = author.comment(proposal["id"], "Nothing.", ["cost"], parent=said["id"])
    refuses("comment_too_deep", lambda: third.comment(proposal["id"], "And again", ["cost"], parent=reply["id"]))
    refuses("reason_unknown", lambda: third.comment(proposal["id"], "x", ["vibes"]))
    assert [one["text"] for one in fourth.comments(proposal["id"])] == ["What does it cost us?", "Nothing."]
    refuses("not_proposer", lambda: third.answer(proposal["id"], put["id"], "Mine to say?"))
    author.answer(proposal["id"], put["id"], "So the text says now.")
    amendment = third.amend(proposal, "Less: no training.")
    refuses("not_proposer", lambda: second.settle_amendment(proposal["id"], amendment["id"], True))
    assert author.settle_amendment(proposal["id"], amendment["id"], True)["state"] == "accepted"
    refuses("amendment_settled", lambda: author.settle_amendment(proposal["id"], amendment["id"], False))
    refuses("text_changed", lambda: third.amend(proposal, "More."))

    with read(service.runtime.engine) as session:
        indices = session.exec(select(StatementVote.log_index).where(StatementVote.statement_id == put["id"])).all()
    opened = pass_days(service, author, proposal["id"], 7)
    assert (opened["state"], opened["text"]) == ("ballot", "Less: no training.")
    thread = fourth.thread(proposal["id"])
    assert thread["frozen"] and thread["sha256"] == opened["thread_sha256"] == sha256(thread["thread"].encode()).hexdigest()
    [frozen] = json.loads(thread["thread"])["statements"]
    found = fourth.statements(proposal["id"])[0]
    assert (frozen["agree"], frozen["disagree"], frozen["digest"]) == (1, 1, found["digest"]) and found["answer"] == "So the text says now."
    assert sha256(bytes.fromhex(found["salt"]) + found["text"].encode()).hexdigest() == found["digest"], "members check the words"
    for late in (
        lambda: second.put_up(proposal["id"], "Late."), lambda: third.weigh(proposal["id"], put["id"], "agree"),
        lambda: author.answer(proposal["id"], put["id"], "Late."), lambda: author.comment(proposal["id"], "Late.", ["aim"]),
        lambda: third.amend(opened, "Late."),
    ):  # fmt: skip
        refuses("thread_frozen", late)
    assert author.settle_amendment(proposal["id"], amendment["id"], True)["state"] == "accepted", "sent again, also now"
    for one in mine:
        one.vote(opened, "yes")
    done = pass_days(service, author, proposal["id"], 7)
    assert (done["verdict"], done["labels"]) == ("passed", [])
    file = author.outcome(proposal["id"])
    outcome = json.loads(file["outcome"])
    assert outcome["thread"] == {"sha256": thread["sha256"], "unanswered": 0} and recount.recount(file)
    for part in (author, second, third):
        refuses("closer_involved", lambda part=part: part.close(proposal["id"], "All well.", put["id"]))
    refuses("closure_uncited", lambda: fourth.close(proposal["id"], "All well.", None))
    note = fourth.close(proposal["id"], "The strongest doubt was the cost.", said["id"])
    assert (note["cites"], note["state"]) == (said["id"], "stands")
    refuses("closure_exists", lambda: fourth.close(proposal["id"], "Again.", said["id"]))
    with read(service.runtime.engine) as session:
        assert session.exec(select(StatementVote).where(StatementVote.statement_id == put["id"])).all() == []
        assert session.get_one(ProposalThread, proposal["id"]).key is None
        votes = session.exec(select(LogEntry.type, LogEntry.sealed).where(LogEntry.log_index.in_(indices))).all()  # type: ignore[attr-defined]
        opening = session.exec(select(LogEntry).where(LogEntry.subject == proposal["id"], LogEntry.type == "ballot.opened")).one()
    assert [(kind, bytes(sealed or b"?")) for kind, sealed in votes] == [("statement.voted-on", b"?")] * 2 and all(
        sealed is not None for _, sealed in votes
    ), "no vote opens any more"
    assert json.loads(opening.leaf)["thread_sha256"] == thread["sha256"]


def test_a_ballot_waits_for_an_answer_that_is_owed_and_not_for_ever(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3)
    waited = mine[0].propose("policy.narrow", "Less.", **NARROW)
    sat_out = mine[0].propose("policy.narrow", "Less still.", **NARROW)
    put = mine[1].put_up(waited["id"], "Why at all?")
    mine[1].put_up(sat_out["id"], "Why at all?")
    amendment = mine[2].amend(waited, "Less, for a reason.")
    pass_days(service, mine[0], sat_out["id"], 4)
    refuses("statements_closed", lambda: mine[2].put_up(sat_out["id"], "And why now?"))
    assert pass_days(service, mine[0], waited["id"], 3)["state"] == "discussion", "it is put off by a day"
    assert mine[2].amendments(waited["id"])[0]["state"] == "open", "and an amendment can still be accepted"
    mine[0].answer(waited["id"], put["id"], "Because of the last release.")
    assert pass_days(service, mine[0], waited["id"], 1)["state"] == "ballot"
    assert [(one["id"], one["state"]) for one in mine[2].amendments(waited["id"])] == [(amendment["id"], "alternative")]
    service.runtime.jobs.run("deadline", sat_out["id"])
    assert pass_days(service, mine[0], sat_out["id"], 1)["state"] == "discussion"
    service.clock.offset += timedelta(days=6)
    service.runtime.jobs.run("deadline", sat_out["id"])
    opened = mine[0].proposal(sat_out["id"])
    assert opened["state"] == "ballot" and opened["labels"] == [], "nobody can keep a ballot from opening"
    mine[2].vote(opened, "yes")
    assert pass_days(service, mine[0], sat_out["id"], 7)["labels"] == ["unanswered"]
    file = mine[0].outcome(sat_out["id"])
    assert json.loads(file["outcome"])["thread"]["unanswered"] == 1 and file["labels"] == ["unanswered"] and recount.recount(file)
    assert pass_days(service, mine[0], sat_out["id"], 5)["labels"] == ["unanswered", "no-closure-note"]


def test_what_is_urgent_waits_for_no_answer(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 3)
    recall = mine[0].propose("licence.recall", "Not them.", subject=lab.id, urgent_hours=96)["id"]
    mine[1].put_up(recall, "Why not?")
    with read(service.runtime.engine) as session:
        row = queries.proposal(session, mine[0].id, recall)
        owed = threads.owed(session, service.runtime, row, queries.charter(session, mine[0].id, 1), service.clock.now())
    assert owed and pass_days(service, mine[0], recall, 4)["state"] == "ballot"


def test_what_is_owed_an_answer() -> None:
    """A fifth of all with a voice, or half of a group that counts; nothing is owed to nobody."""
    assert must_be_answered(2, 10) and not must_be_answered(2, 11) and not must_be_answered(0, 0)
    assert must_be_answered(5, 100, [(5, 10)]) and not must_be_answered(5, 100, [(5, 11)]) and not must_be_answered(0, 100, [(0, 0)])


def test_what_is_hidden_stands_in_the_log_and_another_steward_decides_the_appeal(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 5)
    founder, second, third, fourth, fifth = mine
    own, proposal = founder.propose("policy.narrow", "Less.", **NARROW), fourth.propose("policy.narrow", "Less.", **NARROW)
    owed = second.put_up(own["id"], "Why at all?")
    refuses("steward_involved", lambda: founder.hide(own["id"], owed["id"], "off-topic"))
    about = fourth.propose("steward.remove", "Another.", subject=founder.me()["member"])
    said = second.comment(about["id"], "She hid what she did not like.", ["harm"])
    refuses("steward_involved", lambda: founder.hide(about["id"], said["id"], "abuse"))
    put, other = (second.put_up(proposal["id"], text) for text in ("A rude thing.", "Another."))
    refuses("not_steward", lambda: third.hide(proposal["id"], put["id"], "abuse"))
    refuses("reason_unknown", lambda: founder.hide(proposal["id"], put["id"], "dislike"))
    hidden = founder.hide(proposal["id"], put["id"], "abuse")
    refuses("item_hidden", lambda: founder.hide(proposal["id"], put["id"], "spam"))
    refuses("item_hidden", lambda: third.weigh(proposal["id"], put["id"], "agree"))
    shown = [next(one["text"] for one in of.statements(proposal["id"])) for of in (founder, second, third)]
    assert shown == ["A rude thing.", "A rude thing.", None], "to its author and the stewards"
    refuses("not_found", lambda: founder.hide(proposal["id"], "stm_" + "0" * 26, "abuse"))
    # One steward alone decides over nothing of their own.
    refuses("appeal_settled", lambda: founder.decide_moderation(hidden["id"], False))
    refuses("steward_involved", lambda: founder.appeal_moderation(hidden["id"], "I was right."))
    second.appeal_moderation(hidden["id"], "It is not about a person.")
    refuses("appeal_settled", lambda: third.appeal_moderation(hidden["id"], "Nor do I think so."))
    told = accepted(call(service, "GET", f"/v1/collectives/{founder.id}/moderations"))
    assert (told["items"], told["hidden"], told["moderations"][0]["state"]) == ("1-9", "1-9", "undecided")
    assert not {"steward", "author"} & told["moderations"][0].keys(), "anybody reads it, and nobody's name"
    read_by = [one.moderations()["moderations"][0]["text"] for one in (founder, second, third)]
    assert [told["moderations"][0]["text"], *read_by] == [None, *["It is not about a person."] * 2, None], "who decides, and who appealed"
    steward(service, third)
    refuses("steward_involved", lambda: founder.decide_moderation(hidden["id"], False))
    assert third.decide_moderation(hidden["id"], True)["state"] == "restored"
    assert fourth.statements(proposal["id"])[0]["text"] == "A rude thing."
    refuses("moderation_settled", lambda: founder.hide(proposal["id"], put["id"], "abuse"))
    # Silence settles nothing: a week later it is told that nobody decided.
    late = third.hide(proposal["id"], other["id"], "off-topic")
    refuses("steward_involved", lambda: third.appeal_moderation(late["id"], "So that it is settled."))
    fourth.appeal_moderation(late["id"], "It is the topic.")
    assert fourth.moderations()["moderations"][-1]["state"] == "appealed"
    pass_days(service, founder, proposal["id"], 7)
    assert fourth.moderations()["moderations"][-1]["state"] == "undecided"
    assert founder.decide_moderation(late["id"], False)["state"] == "upheld", "it can still be decided"
    # Another's appeal is not its author's: that is decided by who has not decided before.
    second.appeal_moderation(late["id"], "I wrote it, and it is the topic.")
    assert fourth.moderations()["moderations"][-1]["state"] == "undecided"
    refuses("steward_involved", lambda: founder.decide_moderation(late["id"], False))
    for one in (fourth, fifth):
        steward(service, one)
    refuses("steward_involved", lambda: fourth.decide_moderation(late["id"], True))
    assert fifth.decide_moderation(late["id"], True)["state"] == "restored"
    refuses("appeal_settled", lambda: second.appeal_moderation(late["id"], "Again."))
    read_by = [one.moderations()["moderations"][-1]["text"] for one in (founder, second)]
    assert read_by == ["I wrote it, and it is the topic."] * 2
    with read(service.runtime.engine) as session:
        kinds = session.exec(select(LogEntry.type).where(LogEntry.subject.in_((hidden["id"], late["id"]))).order_by(LogEntry.log_index)).all()  # type: ignore[attr-defined,arg-type]
    assert kinds == ["thread.hidden", "thread.restored", "thread.hidden", "thread.undecided", "thread.upheld", "thread.restored"]


def test_the_appeal_of_a_hidden_answer_is_decided_though_the_answer_was_replaced(service: Service, platform: PlatformParty) -> None:
    founder, second, third = mine = union_of(service, platform, 3)
    steward(service, third)
    proposal = second.propose("policy.narrow", "Less.", **NARROW)["id"]
    put = third.put_up(proposal, "Why?")["id"]
    second.answer(proposal, put, "A rude answer.")
    with read(service.runtime.engine) as session:
        answer = session.get_one(Statement, put).answer_id
    hidden = founder.hide(proposal, str(answer), "abuse")["id"]
    second.appeal_moderation(hidden, "It is an answer.")
    second.answer(proposal, put, "Another answer.")
    assert third.decide_moderation(hidden, True)["state"] == "restored"
    assert mine[0].statements(proposal)[0]["answer"] == "Another answer."


def test_nobody_asks_more_of_the_others_than_they_have_time_for(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2, asks=2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    for n in range(5):
        mine[1].comment(proposal["id"], f"{n}", ["aim"])
    spent = refuses("load_spent", lambda: mine[1].comment(proposal["id"], "6", ["aim"]))
    assert spent.document["most"] == 5 and 0 < spent.document["retry_after"] <= 3601
    mine[0].comment(proposal["id"], "Another's time is their own.", ["aim"])
    service.clock.offset += timedelta(hours=1, seconds=1)
    mine[1].comment(proposal["id"], "6", ["aim"])
    for n in range(10):
        mine[1].put_up(proposal["id"], f"{n}")
    refuses("statements_full", lambda: mine[1].put_up(proposal["id"], "11"))
    mine[0].put_up(proposal["id"], "One of mine.")
    for n in range(2):
        mine[1].amend(proposal, f"Text {n}")
    refuses("load_spent", lambda: mine[1].amend(proposal, "Text 3"))
    refuses("load_spent", lambda: mine[1].propose("policy.narrow", "Mine.", **NARROW))
    service.clock.offset += timedelta(days=7)
    mine[1].propose("policy.narrow", "Mine.", **NARROW)


def test_a_thread_has_a_size(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    monkeypatch.setattr(deliberating, "MOST_COMMENTS", 1)
    monkeypatch.setattr(amendments, "MOST", 1)
    mine[0].comment(proposal["id"], "x", ["aim"])
    refuses("thread_full", lambda: mine[1].comment(proposal["id"], "x", ["aim"]))
    mine[1].amend(proposal, "One.")
    refuses("thread_full", lambda: mine[1].amend(proposal, "Two."))


def test_an_amendment_that_is_not_accepted_is_decided_by_itself(service: Service, platform: PlatformParty) -> None:
    """Declined at once, or sat out until the freeze: a proposal of its own, with the same subject."""
    mine = union_of(service, platform, 4)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    declined, waited, hidden = (mine[n].amend(proposal, text) for n, text in ((1, "Much less."), (2, "A little less."), (2, "Rude.")))
    steward(service, mine[1])
    moderation = mine[1].hide(proposal["id"], hidden["id"], "abuse")
    refuses("item_hidden", lambda: mine[0].settle_amendment(proposal["id"], hidden["id"], True))
    settled = mine[0].settle_amendment(proposal["id"], declined["id"], False)
    alternative = mine[1].proposal(settled["alternative"])
    assert (alternative["text"], alternative["alternative_to"], alternative["policy"]) == ("Much less.", proposal["id"], proposal["policy"])
    assert alternative["author"] == mine[1].me()["member"] and alternative["state"] == "discussion"
    pass_days(service, mine[0], proposal["id"], 7)
    states = {one["id"]: (one["state"], one["alternative"]) for one in mine[0].amendments(proposal["id"])}
    assert states[hidden["id"]] == ("open", None), "of what is hidden there is nothing to decide"
    assert mine[2].proposal(states[waited["id"]][1])["text"] == "A little less."
    service.runtime.jobs.run("deadline", proposal["id"])
    listed = accepted(call(service, "GET", f"/v1/collectives/{mine[0].id}/proposals", mine[0]._person._auth._secret))["items"]
    assert len(listed) == 3, "a timer that fires twice opens one"
    mine[2].appeal_moderation(moderation["id"], "It is plain.")
    steward(service, mine[3])
    mine[3].decide_moderation(moderation["id"], True)
    [restored] = [one for one in mine[0].amendments(proposal["id"]) if one["id"] == hidden["id"]]
    assert (restored["state"], mine[0].proposal(restored["alternative"])["text"]) == ("alternative", "Rude."), "and of what is restored there is"
    done = in_force(service, mine, alternative)
    assert done["state"] == "in_force"
    mine[2]._person.erase("all")
    left = mine[0].proposal(restored["alternative"])
    assert (left["text"], left["author"]) == ("Rude.", None), "what became a proposal's text stays, as nobody's"


def test_comments_beside_the_freeze_are_in_the_thread_or_were_refused(service: Service, platform: PlatformParty) -> None:
    """Timers fire while people comment, put up and weigh: one freeze, with everything that was acknowledged, and nothing more."""
    mine = union_of(service, platform, 5)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    put = mine[0].put_up(proposal["id"], "Something.")
    service.clock.offset += timedelta(days=7) - timedelta(seconds=0.7)
    said, weighed = [], []

    def talk(one: Collective) -> None:
        with suppress(SaysoError):
            for _ in range(5):
                said.append(one.comment(proposal["id"], "words", ["aim"])["id"])

    def weigh(one: Collective) -> None:
        with suppress(SaysoError):
            for n in range(200):
                one.weigh(proposal["id"], put["id"], ("agree", "disagree")[n % 2])
                weighed.append(one)

    def freeze() -> None:
        for _ in range(200):
            voting.advance(service.runtime, proposal["id"])
            if mine[0].proposal(proposal["id"])["state"] == "ballot":
                return

    with ThreadPoolExecutor(12) as pool:
        for done in [*(pool.submit(act, one) for one in mine[1:] for act in (talk, weigh)), *(pool.submit(freeze) for _ in range(3))]:
            done.result(timeout=60)
    thread = json.loads(mine[0].thread(proposal["id"])["thread"])
    assert {one["id"] for one in thread["comments"]} == set(said) == {one["id"] for one in mine[0].comments(proposal["id"])}
    [frozen] = thread["statements"]
    assert frozen["agree"] + frozen["disagree"] == 1 + len({id(one) for one in weighed})
    with read(service.runtime.engine) as session:
        opened = session.exec(select(LogEntry).where(LogEntry.subject == proposal["id"], LogEntry.type == "ballot.opened")).one()
        later = session.exec(select(Comment.id).where(Comment.proposal_id == proposal["id"], Comment.log_index > opened.log_index)).all()
    assert later == []
