"""What members say in a thread: sealed under their own key, gone with their erasure, shown to nobody outside, and left as it was written."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel, select

from app.collectives import queries, threads, voting, weighing
from app.collectives.models import CollectiveAct, Membership, Proposal
from app.collectives.thread_models import Amendment, Comment, Statement, StatementVote, Words
from app.crypto.keyring import KeyRing
from app.kit.db import for_update, read, write
from app.log.models import LogEntry
from tests.collectives.members import founded, joined, pass_days, people, refuses, steward
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import accepted, call, lab_token, refused
from tests.support import LabParty, PlatformParty, Service, until


def test_an_erasure_of_an_author_takes_words_pseudonym_and_votes_and_the_thread_stays_whole(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 4)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    gone, kept = mine[1].put_up(proposal["id"], "My own words."), mine[0].put_up(proposal["id"], "Another's.")
    said = mine[1].comment(proposal["id"], "More of mine.", ["aim"], statement=kept["id"])
    mine[1].weigh(proposal["id"], kept["id"], "disagree")
    mine[0].answer(proposal["id"], gone["id"], "I see.")
    replied = mine[2].comment(proposal["id"], "A reply.", ["aim"], parent=said["id"])
    own = mine[1].propose("policy.narrow", "Of mine.", **NARROW)
    mine[0].propose("steward.elect", "One more.", subject=mine[1].me()["member"])
    for one in mine[1:]:
        steward(service, one)
    talk = mine[3].propose("policy.narrow", "Less still.", **NARROW)["id"]
    for hides, appeals, decides in ((1, 2, 0), (2, 1, 0), (2, 0, 1)):
        rude = mine[hides].hide(talk, mine[3].comment(talk, "x", ["aim"])["id"], "abuse")["id"]
        mine[appeals].appeal_moderation(rude, "It is not.")
        mine[decides].decide_moderation(rude, False)
    with read(service.runtime.engine) as session:
        name = mine[1].me()["member"]
        contributor = session.exec(select(Membership.contributor_id).where(Membership.member == name)).one()
        indices = session.exec(select(StatementVote.log_index).where(StatementVote.statement_id == kept["id"])).all()
    mine[1]._person.erase("all")
    found = {one["id"]: one for one in mine[2].statements(proposal["id"])}
    assert (found[gone["id"]]["text"], found[gone["id"]]["author"], found[gone["id"]]["salt"]) == (None, None, None)
    assert found[gone["id"]]["answer"] == "I see.", "an answer is another's words"
    assert found[kept["id"]]["totals"] == {"agree": 1, "disagree": 0, "pass": 0} and found[gone["id"]]["totals"]["agree"] == 0
    assert (mine[0].proposal(own["id"])["author"], mine[0].proposal(own["id"])["text"]) == (None, "Of mine.")
    told = {one["id"]: one for one in mine[2].comments(proposal["id"])}
    assert told[said["id"]]["text"] is None and told[said["id"]]["author"] is None and told[replied["id"]]["text"] == "A reply."
    with read(service.runtime.engine) as session:
        assert session.exec(select(Words).where(Words.contributor_id == contributor)).all() == []
        assert session.exec(select(CollectiveAct).where(CollectiveAct.contributor_id == contributor)).all() == []
        left = [
            (table.name, column.name) for table in SQLModel.metadata.sorted_tables for column in table.columns
            if isinstance(column.type, sa.String) and session.execute(sa.select(column).where(column == name).limit(1)).first() is not None
        ]  # fmt: skip
        sealed = session.exec(select(LogEntry.sealed).where(LogEntry.log_index.in_(indices))).all()  # type: ignore[attr-defined]
    assert left == [], "the pseudonym stands nowhere"
    assert sorted(len(bytes(one or b"")) > 0 for one in sealed) == [False, True]
    opened = pass_days(service, mine[0], proposal["id"], 7)
    frozen = {one["id"]: one["digest"] for one in json.loads(mine[0].thread(proposal["id"])["thread"])["statements"]}
    assert opened["state"] == "ballot" and frozen == {gone["id"]: gone["digest"], kept["id"]: kept["digest"]}


def waits(service: Service) -> bool:
    """Whether somebody waits for another's row."""
    with read(service.runtime.engine) as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.execute(sa.text(query)).scalar())


def test_an_erasure_beside_the_freeze_waits_for_it(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have to do with the same statements and votes, and neither stands in the other's way for ever."""
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    put = mine[1].put_up(proposal["id"], "My own words.")
    mine[0].answer(proposal["id"], put["id"], "I see.")
    service.clock.offset += timedelta(days=7, seconds=1)
    begun, take_away = Event(), weighing.take_away

    def slowly(*given: Any) -> Any:
        gone = take_away(*given)
        if not begun.is_set():
            begun.set()
            if service.backend == "postgresql":  # on SQLite nobody begins to write meanwhile
                until(lambda: waits(service))
        return gone

    monkeypatch.setattr(weighing, "take_away", slowly)
    with ThreadPoolExecutor(1) as pool:
        freezing = pool.submit(voting.advance, service.runtime, proposal["id"])
        assert begun.wait(20)
        accepted(call(service, "POST", "/v1/erasures", mine[1]._person._auth._secret, b'{"scope": "all"}'))  # at the first try
        freezing.result(timeout=30)
    [found] = mine[0].statements(proposal["id"])
    assert (found["text"], found["author"], found["totals"]["agree"]) == (None, None, 1)


def test_who_leaves_weighs_no_more_and_a_new_key_still_opens_what_was_said(service: Service, platform: PlatformParty) -> None:
    """An erasure of one contribution gives the person a fresh key: their words in the thread are sealed anew under it."""
    mine = union_of(service, platform, 3)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    put = mine[1].put_up(proposal["id"], "Mine.")
    mine[2].weigh(proposal["id"], put["id"], "agree")
    mine[2].leave()
    assert mine[0].statements(proposal["id"])[0]["totals"]["agree"] == 1
    with read(service.runtime.engine) as session:
        before = bytes(session.get_one(Words, put["id"]).sealed)
    [one] = list(mine[1]._person.mine())
    erasure = mine[1]._person.erase(contribution=one.id)
    service.runtime.jobs.run("erase", erasure.id)
    with read(service.runtime.engine) as session:
        assert bytes(session.get_one(Words, put["id"]).sealed) != before
    assert mine[0].statements(proposal["id"])[0]["text"] == "Mine."


def test_to_leave_beside_the_freeze_waits_for_it(service: Service, platform: PlatformParty) -> None:
    """Both take away votes, of the same thread and in an order of their own."""
    if service.backend != "postgresql":
        return  # on SQLite nobody begins to write meanwhile
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)["id"]
    put = [mine[0].put_up(proposal, text)["id"] for text in ("One.", "Two.")]
    for one in put:
        mine[1].weigh(proposal, one, "disagree")
    with ThreadPoolExecutor(1) as pool, write(service.runtime.engine) as session:
        session.exec(for_update(select(Proposal.id).where(Proposal.id == proposal), session)).one()
        weighing.take_away(session, weighing._VOTE, weighing._VOTE.c.statement_id == put[1])
        leaving = pool.submit(call, service, "DELETE", f"/v1/collectives/{mine[0].id}/members/me", mine[1]._person._auth._secret)
        until(lambda: waits(service))
        weighing.take_away(session, weighing._VOTE, weighing._VOTE.c.statement_id == put[0])
        session.commit()
        accepted(leaving.result(timeout=30))  # at the first try
    assert [one["totals"]["disagree"] for one in mine[0].statements(proposal)] == [0, 0]


def test_a_word_is_changed_so_often_in_a_day_and_voters_are_called_by_one_key(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "CHANGES", 3)
    mine = union_of(service, platform, 3)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)["id"]
    put = [one.put_up(proposal, "So it is.")["id"] for one in (mine[0], mine[2])]
    for choice, statement in (("agree", 0), ("disagree", 0), ("agree", 0), ("agree", 1), ("disagree", 1)):
        mine[1].weigh(proposal, put[statement], choice)
    problem = refuses("votes_spent", lambda: mine[1].weigh(proposal, put[0], "pass"))
    assert problem.status == 429 and mine[1].weigh(proposal, put[0], "agree"), "what stands can be said again"
    mine[2].weigh(proposal, put[0], "pass")
    service.clock.offset += timedelta(days=1)
    mine[1].weigh(proposal, put[0], "pass")
    opened, derive = [], KeyRing.derive

    def counted(self: KeyRing, name: str) -> bytes:
        opened.append(name)
        return derive(self, name)

    monkeypatch.setattr(KeyRing, "derive", counted)
    with read(service.runtime.engine) as session:
        row = session.get_one(Proposal, proposal)
        threads.owed(session, service.runtime, row, queries.charter(session, row.collective_id, 1), service.clock.now())
    assert opened.count("threads") == 1


HOSTILE = [
    "\u202egnp.exe", "<script>alert(1)</script>",
    "=HYPERLINK(\"x\")", "\U0001f9d1\u200d\U0001f33e" * 9, "' OR 1=1 --", "\u2028line", "  x  ",
]  # fmt: skip


def test_hostile_text_comes_back_as_it_was_and_breaks_nothing(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    for text in HOSTILE:
        mine[1].put_up(proposal["id"], text)
    assert [one["text"] for one in mine[0].statements(proposal["id"])] == HOSTILE
    token, path = mine[1]._person._auth._secret, f"/v1/collectives/{mine[0].id}/proposals/{proposal['id']}"
    for given in (b'{"text": ""}', b'{"text": " \\n"}', b'{"text": 7}', json.dumps({"text": "x" * 281}).encode(), b'{"text": "x", "who": "me"}'):
        refused(call(service, "POST", path + "/statements", token, given), 422, "body_invalid")
    refused(call(service, "POST", path + "/statements", token, b'{"text": "\\ud800"}'), 400, "json_lone_surrogate")
    amending = {"text": "Less\u0000.", "base_sha256": proposal["text_sha256"]}
    nul: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/amendments", amending), ("PUT", "/text", {"text": "\u0000"}), ("POST", "/objections", {"text": "x\u0000"}),
        ("POST", "/statements", {"text": "a\u0000b"}), ("POST", "/comments", {"text": "a\u0000b", "reasons": ["aim"]}),
    ]  # fmt: skip
    for method, where, given_ in nul:  # PostgreSQL takes it in no text
        refused(call(service, method, path + where, token, json.dumps(given_).encode()), 422, "body_invalid")
    for changed in ({"subject": "\u0000"}, {"text": "\u0000"}):
        asked = json.dumps({"type": "steward.remove", "text": "x", "subject": "x", **changed}).encode()
        refused(call(service, "POST", path.rpartition("/")[0], token, asked), 422, "body_invalid")
    refused(call(service, "GET", path + "/comments?cursor=x", token), 400, "cursor_invalid")


def test_I9_a_thread_is_not_there_for_platforms_labs_and_strangers(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The same bytes for what is there and what is not, whatever is asked."""
    (founder, _), (member, _), (stranger, _) = people(service, platform, 3)
    union = founded(founder, listed=False)
    mine = joined(union, member, invitation=union.read()["invitation"])
    proposal = mine.propose("policy.narrow", "Less.", **NARROW)["id"]
    put = mine.put_up(proposal, "A thing.")["id"]
    hidden = union.hide(proposal, put, "spam")["id"]
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/proposals/{p}/statements", None), ("POST", "/proposals/{p}/statements", {"text": "x"}),
        ("PUT", "/proposals/{p}/statements/{s}/vote", {"choice": "agree"}), ("GET", "/proposals/{p}/comments", None),
        ("POST", "/proposals/{p}/comments", {"text": "x", "reasons": ["aim"]}), ("GET", "/proposals/{p}/thread", None),
        ("GET", "/moderations", None), ("POST", "/moderations/{m}/appeal", {"text": "x"}), ("GET", "/proposals/{p}/amendments", None),
        ("GET", "/proposals/{p}/closure-notes", None), ("GET", "/proposals/{p}/polis", None),
    ]  # fmt: skip
    tokens = [service.token(platform), lab_token(service, lab), stranger._auth._secret]
    for method, path, body in asked:
        content, seen = None if body is None else json.dumps(body).encode(), set()
        for c, p, s, m in ((union.id, proposal, put, hidden), *[[prefix + "_" + "0" * 26 for prefix in ("col", "prp", "stm", "mdr")]]):
            address = f"/v1/collectives/{c}" + path.format(p=p, s=s, m=m)
            for token in tokens[:2]:
                answer = call(service, method, address, token, content)
                refused(answer, 404, "not_found")
                seen.add(answer.content)
            refused(call(service, method, address, tokens[2], content), 404, "not_found")
        assert len(seen) == 1, (method, path)


def test_what_is_said_lies_sealed_under_the_key_of_who_said_it(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    put = mine[1].put_up(proposal["id"], "Words of mine.")
    mine[0].answer(proposal["id"], put["id"], "Words in answer.")
    mine[1].comment(proposal["id"], "Words beside.", ["aim"])
    mine[1].amend(proposal, "Words instead.")
    with read(service.runtime.engine) as session:
        items = sa.select(Statement.id).where(Statement.proposal_id == proposal["id"])  # type: ignore[call-overload]
        items = items.union(*(sa.select(c).where(t.proposal_id == proposal["id"]) for t, c in (
            (Statement, Statement.answer_id), (Comment, Comment.id), (Amendment, Amendment.id),
        )))  # type: ignore[call-overload]  # fmt: skip
        rows = session.exec(select(Words).where(Words.item_id.in_(items))).all()  # type: ignore[attr-defined]
        people = {one.contributor_id for one in rows}
    assert len(rows) == 4 and len(people) == 2 and all(b"ords" not in bytes(one.sealed) for one in rows)
