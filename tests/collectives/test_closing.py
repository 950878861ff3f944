"""Who closes an outcome, who may appeal the note, and who decides that."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from sayso import labels
from sayso.collective import Collective
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from app.collectives.thread_models import NoteAppeal
from app.kit.db import read, write
from app.log.models import LogEntry
from app.releases.models import LabelTurn, ReleaseLabel
from tests.collectives.members import founded, in_force, pass_days, people, refuses, rested_on, steward
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import accepted, get
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until


def test_who_closes_and_who_decides_an_appeal_of_the_note(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Where everybody had a part, another collective's steward; the note is appealed and struck, and the verdict stays."""
    (outsider, _), (stranger, _) = people(service, platform, 2)
    mine = union_of(service, platform, 3)
    elsewhere = founded(outsider)
    left = founded(mine[2]._person)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    said = mine[1].comment(proposal["id"], "Too little.", ["harm"])
    mine[2].comment(proposal["id"], "Too much.", ["aim"])
    opened = pass_days(service, mine[0], proposal["id"], 7)
    for one in mine:
        one.vote(opened, "yes")
    refuses("proposal_state", lambda: mine[0].name_closer(proposal["id"], elsewhere.id))
    pass_days(service, mine[0], proposal["id"], 7)
    there = [Collective(person, mine[0].id) for person in (outsider, stranger)]
    for one in there:
        refuses("not_found", lambda one=one: one.close(proposal["id"], "Well.", said["id"]))
    refuses("not_steward", lambda: mine[1].name_closer(proposal["id"], elsewhere.id))
    refuses("not_found", lambda: mine[0].name_closer(proposal["id"], "col_" + "0" * 26))
    named = [mine[0].name_closer(proposal["id"], other.id) for other in (elsewhere, left)]
    mine[2].leave()
    refuses("closer_involved", lambda: mine[2].close(proposal["id"], "As I said.", said["id"]))
    assert [one["text"] for one in there[0].comments(proposal["id"])] == ["Too little.", "Too much."]
    for nowhere in (there[0].me, there[0].campaigns, lambda: there[0].comment(proposal["id"], "x", ["aim"])):
        refuses("not_found", nowhere)
    refuses("not_found", lambda: list(there[1].comments(proposal["id"])))
    sent = {"text": "It was asked whether it is enough.", "cites": said["id"]}
    where = f"/v1/collectives/{mine[0].id}/proposals/{proposal['id']}/closure-notes"
    note = accepted(service.post(where, sent, outsider.receipt, Idempotency_Key="note"), 201)
    assert (note["author"], note["outside"]) == (None, elsewhere.id)
    for nowhere in (lambda: list(there[0].comments(proposal["id"])), lambda: there[0].closure_notes(proposal["id"])):
        refuses("not_found", nowhere)  # it is closed, and nobody from outside reads on
    assert mine[0].proposal(proposal["id"])["labels"] == ["closed-from-outside"]
    assert mine[0].name_closer(proposal["id"], elsewhere.id) == named[0], "sent again, also now"
    refuses("reason_unknown", lambda: mine[1].appeal_note(proposal["id"], "arithmetic", "Count again."))
    assert mine[1].appeal_note(proposal["id"], "note-misleading", "It was not.")["state"] == "undecided", "its steward is who proposed"
    assert accepted(service.post(where, sent, outsider.receipt, Idempotency_Key="note"), 201) == note, "sent again, and nothing of the appeal in it"


def test_who_objected_or_dissented_is_not_uninvolved(service: Service, platform: PlatformParty) -> None:
    """Also with an objection that was taken back: whoever argued for one side does not tell how it was decided."""
    mine = union_of(service, platform, 5)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)["id"]
    mine[1].object_to(proposal, "It would harm us.")
    mine[2].withdraw_objection(proposal, mine[2].object_to(proposal, "Me too.")["id"])
    opened = pass_days(service, mine[0], proposal, 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], proposal, 7)
    report = mine[3].dissent(proposal, "I told you.")
    for one in mine[:4]:
        refuses("closer_involved", lambda one=one: one.close(proposal, "All was said.", report["id"]))
    refuses("member_uninvolved", lambda: mine[0].name_closer(proposal, founded(people(service, platform, 1)[0][0]).id))
    assert mine[4].close(proposal, "All was said.", report["id"])["author"] == mine[4].me()["member"]


def test_when_no_steward_is_left_to_decide_an_appeal_that_is_what_is_told(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 4)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], proposal["id"], 7)
    refuses("member_uninvolved", lambda: mine[0].name_closer(proposal["id"], founded(people(service, platform, 1)[0][0]).id))
    mine[1].close(proposal["id"], "Nobody argued.", None)
    refuses("appeal_settled", lambda: mine[0].decide_appeal(proposal["id"], True))
    assert mine[2].appeal_note(proposal["id"], "argument-missing", "I did, elsewhere.")["state"] == "undecided"
    refuses("appeal_settled", lambda: mine[3].appeal_note(proposal["id"], "argument-missing", "Me too."))
    assert mine[0].proposal(proposal["id"])["labels"] == ["appealed"]
    refuses("steward_involved", lambda: mine[0].decide_appeal(proposal["id"], False))
    steward(service, mine[3])
    [struck] = mine[3].decide_appeal(proposal["id"], True)
    assert (struck["state"], struck["appeal"]["state"]) == ("struck", "upheld")
    found = mine[0].proposal(proposal["id"])
    assert (found["verdict"], found["labels"]) == ("passed", ["note-struck"]), "the arithmetic is nobody's to appeal"
    pass_days(service, mine[0], proposal["id"], 4)
    refuses("proposal_state", lambda: mine[3].close(proposal["id"], "Late.", None))


def test_an_outcome_whose_note_is_appealed_is_contested_in_releases_too_until_that_is_decided(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    mine = union_of(service, platform, 4)
    narrow, cut = rested_on(service, mine, platform, lab)
    mine[1].close(narrow, "Nobody argued.", None)
    mine[2].appeal_note(narrow, "argument-missing", "I did.")
    assert [(one["label"], one["lifted_at"]) for one in until(lambda: lab.sdk.labels(cut))] == [("contested", None)]
    public, contested = f"/collectives/{mine[0].id}", "It rests on a vote that is contested."
    page = get(service, public).text
    assert cut in page and contested in page
    steward(service, mine[3])
    mine[3].decide_appeal(narrow, False)
    [lifted] = until(lambda: (found := lab.sdk.labels(cut)) and found[0]["lifted_at"] and found)
    page = get(service, public).text
    assert cut in page and contested not in page, "all read what holds now"
    with read(service.runtime.engine) as session:
        leaves = [json.loads(session.get_one(LogEntry, lifted[name]).leaf) for name in ("log_index", "lifted_index")]
    assert [(leaf["type"], leaf["label"], leaf["id"]) for leaf in leaves] == [
        ("label.added", "contested", cut), ("label.lifted", "contested", cut)
    ]  # fmt: skip
    labels.keep(tmp_path, cut, [lifted])
    assert labels.codes(tmp_path, cut) == [] and '"lifted_at"' in (tmp_path / labels.NAME).read_text()
    with write(service.runtime.engine) as session:  # as another appeal of it does
        appeal = session.exec(select(NoteAppeal).where(NoteAppeal.proposal_id == narrow)).one()
        appeal.state = "open"
        session.add(appeal)
    for _ in range(2):
        service.runtime.jobs.run("label", narrow)
    [again] = lab.sdk.labels(cut)
    assert (again["label"], again["lifted_at"]) == ("contested", None) and again["log_index"] > lifted["lifted_index"]
    for table in (ReleaseLabel, LabelTurn):
        for change in (sa.update(table).values(code="x"), sa.delete(table)):
            with pytest.raises(DBAPIError, match="never changed"), write(service.runtime.engine) as session:
                session.execute(change.where(table.release_id == cut))


def test_answers_notes_and_appeals_are_hidden_as_statements_are(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 4)
    for one in mine[2:]:
        steward(service, one)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)["id"]
    put = mine[1].put_up(proposal, "Why?")["id"]
    mine[0].answer(proposal, put, "Ask your mother.")
    [said] = mine[1].statements(proposal)
    hidden = [mine[2].hide(proposal, said["answer_id"], "abuse")]
    assert [(one["answer"], one["answer_hidden"]) for one in (*mine[1].statements(proposal), *mine[0].statements(proposal))] == [
        (None, "abuse"), ("Ask your mother.", "abuse")
    ]  # fmt: skip
    mine[0].answer(proposal, put, "To be asked first.")
    assert [(one["answer"], one["answer_hidden"]) for one in mine[1].statements(proposal)] == [("To be asked first.", None)]
    opened = pass_days(service, mine[0], proposal, 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], proposal, 7)
    note = mine[3].close(proposal, "Her mother was named.", put)["id"]
    appeal = mine[1].appeal_note(proposal, "note-misleading", "Yours was.")["id"]
    refuses("steward_involved", lambda: mine[3].hide(proposal, appeal, "abuse"))
    hidden += [mine[2].hide(proposal, one, "personal-data") for one in (note, appeal)]
    told = {n: mine[n].closure_notes(proposal)[0] for n in (0, 1, 2, 3)}
    texts = {n: (one["text"], one["appeal"]["text"]) for n, one in told.items()}
    assert texts == {0: ("Her mother was named.", "Yours was."), 1: (None, "Yours was."), 2: texts[0], 3: texts[0]}, "stewards, and who wrote it"
    assert (told[1]["hidden"], told[1]["appeal"]["hidden"]) == ("personal-data", "personal-data")
    assert [one["kind"] for one in mine[1].moderations()["moderations"]] == ["answer", "closure-note", "appeal"]
    mine[1].appeal_moderation(hidden[0]["id"], "It was true.")  # though the answer has been replaced
    mine[1].appeal_moderation(hidden[2]["id"], "It was.")
    refuses("steward_involved", lambda: mine[3].decide_moderation(hidden[2]["id"], True))


def test_stewards_are_elected_and_a_refused_import_says_why(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3)
    on_one_backend(service)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    problem = refuses("polis_invalid", lambda: mine[0].import_polis(proposal["id"], "", ""))
    assert problem.detail.startswith("The first row of comments")
    refuses("proposal_invalid", lambda: mine[0].propose("steward.elect", "Me.", subject=mine[0].me()["member"]))
    elected = mine[0].propose("steward.elect", "One more.", subject=mine[1].me()["member"])
    assert in_force(service, mine, elected)["state"] == "in_force" and mine[1].me()["steward"]
