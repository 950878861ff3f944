"""From a proposal to an outcome that binds, and back to anybody who wants to count again."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import recount
from sayso.collective import Collective
from sqlmodel import select

from app.collectives import frozen
from app.collectives.dissent_models import MinorityReport
from app.collectives.models import BallotRow, Elector, OutcomeRow, Proposal
from app.collectives.voting import take_up_forgotten
from app.core.electing import TYPES
from app.kit.db import read, write
from app.log.models import LogEntry
from tests.collectives.members import CHARTER, cut_of, founded, in_force, joined, mandated, pass_days, people, refuses
from tests.faults.cuts import once, outcome, queued
from tests.kit.refusals import accepted, call, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend

NARROW = {"policy": {"template": "nothing-new"}}
ADOPT = {"policy": {"template": "evaluation-only"}}


def union_of(service: Service, platform: PlatformParty, n: int, **charter: Any) -> list[Collective]:
    """A collective as each of its `n` members meets it; all can vote."""
    template = charter.pop("template", "evaluation-only")
    (founder, _), *others = people(service, platform, n)
    union = founded(founder, template, **charter)
    return [union, *(joined(union, person) for person, _ in others)]


def row_of(service: Service, proposal: str) -> Proposal:
    with read(service.runtime.engine) as session:
        return session.get_one(Proposal, proposal)


def test_what_is_decided_binds_releases_and_a_refusal_does_not_wait(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """A grant is in force after its appeal, a refusal when it is counted."""
    mine = union_of(service, platform, 3, template=None)
    mandated(service, mine[1])
    platform.give(3)
    agreement = lab.agree(platform)
    assert len(cut_of(service, agreement).contributions) == 5, "without a policy a mandate permits nothing"
    adopt = mine[1].propose("policy.adopt", "Let models be tested with our work.", **ADOPT)
    done = in_force(service, mine, adopt)
    assert (done["state"], done["verdict"]) == ("in_force", "passed")
    assert len(cut_of(service, agreement).contributions) == 6
    narrow = mine[2].propose("policy.narrow", "No more.", **NARROW)
    opened = pass_days(service, mine[0], narrow["id"], 7)
    for one in mine[:2]:
        one.vote(opened, "yes")
    assert pass_days(service, mine[0], narrow["id"], 7)["state"] == "in_force"
    assert len(cut_of(service, agreement).contributions) == 5
    refuses("policy_not_narrower", lambda: mine[0].propose("policy.narrow", "More!", **ADOPT))
    with read(service.runtime.engine) as session:
        leaves = session.exec(select(LogEntry.leaf).where(LogEntry.subject == narrow["id"])).all()
    said = {json.loads(leaf)["type"]: json.loads(leaf) for leaf in leaves}
    assert said["outcome.decided"]["turnout"] == "1-9" and said["ballot.opened"]["electorate"] == "1-9"
    assert "author" not in said["outcome.decided"] and said.keys() == {"act", "ballot.opened", "outcome.decided"}


def test_a_count_that_comes_late_leaves_the_time_to_appeal(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    first, shorter, lost = (mine[0].propose("policy.adopt", text, **ADOPT)["id"] for text in ("More.", "More?", "No more."))
    service.clock.offset += timedelta(days=14)
    for proposal in (lost, shorter, first):
        opened = pass_days(service, mine[0], proposal, 0)
        for one in mine:
            one.vote(opened, *(("no", ["aim"]) if proposal == lost else ("yes",)))
    service.clock.offset += timedelta(days=7 + 10)  # the service was away
    assert [pass_days(service, mine[0], one, 0)["state"] for one in (shorter, lost)] == ["appeal", "failed"]
    counted = pass_days(service, mine[0], opened["id"], 0)
    assert (counted["state"], counted["close_at"]) == ("appeal", opened["close_at"])
    assert datetime.fromisoformat(counted["appeal_until"]) - datetime.fromisoformat(opened["appeal_until"]) > timedelta(days=10)
    with read(service.runtime.engine) as session:
        leaf = session.exec(select(LogEntry.leaf).where(LogEntry.subject == opened["id"], LogEntry.type == "outcome.decided")).one()
    assert json.loads(leaf)["appeal_until"] == counted["appeal_until"][:10]
    assert pass_days(service, mine[0], opened["id"], 6.9)["state"] == "appeal"
    mine[1].dissent(opened["id"], "It takes from us.")
    with read(service.runtime.engine) as session, session.no_autoflush:
        row, count = session.get_one(Proposal, opened["id"]), session.get_one(OutcomeRow, opened["id"])
        assert frozen.passed(session, row)
        count.log_index = row.opened_index or 0
        assert not frozen.passed(session, row), "another leaf is not the one of its count"
        session.rollback()
    with write(service.runtime.engine) as session:  # as somebody would who holds the database
        shortened = {"appeal_until": session.get_one(Proposal, shorter).appeal_until - timedelta(days=1)}
        for one, changes in ((shorter, shortened), (lost, {"state": "appeal"})):
            session.execute(sa.update(Proposal).where(Proposal.id == one).values(**changes))  # type: ignore[arg-type]
    assert [pass_days(service, mine[0], one, 0)["state"] for one in (shorter, lost)] == ["void", "appeal"], "nobody shortens the time to appeal"
    assert pass_days(service, mine[0], opened["id"], 0.1)["state"] == "in_force"
    assert pass_days(service, mine[0], lost, 0)["state"] == "void", "nor makes a yes of a no"


def test_I5_an_outcome_is_counted_again_by_who_has_nothing_but_what_is_published(
    service: Service, platform: PlatformParty, tmp_path: Path
) -> None:
    mine = union_of(service, platform, 4)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    first = mine[0].vote(opened, "no", ["process"])
    last = mine[0].vote(opened, "yes")
    mine[1].vote(opened, "yes")
    mine[2].vote(opened, "abstain")
    assert first["tag"] == last["tag"] and first["at"] < last["at"]
    assert pass_days(service, mine[0], proposal["id"], 7)["verdict"] == "passed"
    file = mine[3].outcome(proposal["id"])
    found = json.loads(file["outcome"])
    assert found["tally"] == {"yes": 2, "no": 0, "abstain": 1, "block": 0}, "the last ballot counts"
    assert recount.recount(file, last) and "a later ballot" in " ".join(recount.recount(file, first))
    (tmp_path / "outcome.json").write_text(json.dumps(file))
    alone = [sys.executable, "-I", str(recount.__file__), str(tmp_path / "outcome.json")]
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 0
    with read(service.runtime.engine) as session:
        row = session.get_one(OutcomeRow, proposal["id"])
        assert row.sha256 == sha256(file["outcome"].encode()).hexdigest()
        for ballot in found["ballots"]:
            leaf = json.loads(session.get_one(LogEntry, ballot["at"]).leaf)
            assert leaf["commitment"] == ballot["commitment"] and leaf["type"] == "act"


def test_I6_the_electorate_is_fixed_before_the_first_ballot_and_tenure_counts(service: Service, platform: PlatformParty) -> None:
    (founder, _), (early, _), (new, _), (late, _) = people(service, platform, 4)
    union = founded(founder, tenure_days=14)
    first = joined(union, early)
    service.clock.offset += timedelta(days=10)
    second = joined(union, new)
    refuses("no_voice_yet", lambda: second.propose("steward.remove", "x", subject=union.me()["member"]))
    proposal = union.propose("policy.narrow", "Less.", **NARROW)
    refuses("proposal_state", lambda: union.vote(proposal, "yes"))
    opened = pass_days(service, union, proposal["id"], 7)
    third = joined(union, late)
    assert opened["electorate"] == 2
    first.vote(opened, "yes")
    for nobody in (second, third):
        refuses("not_elector", lambda nobody=nobody: nobody.vote(opened, "yes"))
    service.clock.offset += timedelta(days=6)
    refuses("not_elector", lambda: second.vote(opened, "no", ["process"]))
    root = row_of(service, proposal["id"]).electorate_root
    pass_days(service, union, proposal["id"], 1)
    found = json.loads(union.outcome(proposal["id"])["outcome"])
    assert found["electorate"]["root"] == root and found["electorate"]["size"] == 2


def test_I7_a_text_that_changed_after_the_freeze_voids_the_ballot(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[1].propose("policy.narrow", "Less.", **NARROW)
    path = f"/v1/collectives/{mine[0].id}/proposals/{proposal['id']}/text"
    amended = accepted(call(service, "PUT", path, mine[1]._person._auth._secret, b'{"text": "Much less."}'))
    assert amended["text_sha256"] != proposal["text_sha256"]
    refused(call(service, "PUT", path, mine[0]._person._auth._secret, b'{"text": "More."}'), 403, "receipt_scope")
    opened = pass_days(service, mine[0], proposal["id"], 7)
    refused(call(service, "PUT", path, mine[1]._person._auth._secret, b'{"text": "More."}'), 409, "proposal_state")
    refuses("text_changed", lambda: mine[0].vote(proposal, "yes"))
    mine[0].vote(opened, "yes")
    with write(service.runtime.engine) as session:  # as somebody would who holds the database
        session.execute(sa.update(Proposal).where(Proposal.id == proposal["id"]).values(text="Everything."))  # type: ignore[arg-type]
    assert pass_days(service, mine[0], proposal["id"], 7)["state"] == "void"
    assert mine[0].read()["policy"] is not None
    refuses("not_found", lambda: mine[0].outcome(proposal["id"]))


def test_I8_ballots_after_the_close_are_refused_by_time_and_by_the_order_of_the_log(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    mine[0].vote(opened, "yes")
    service.clock.offset += timedelta(days=7, seconds=1)
    refuses("proposal_state", lambda: mine[1].vote(opened, "no", ["process"]))
    assert row_of(service, proposal["id"]).state == "ballot", "time alone has closed it"
    take_up_forgotten(service.runtime, service.clock.now())
    refuses("proposal_state", lambda: mine[1].vote(opened, "no", ["process"]))
    found = json.loads(mine[0].outcome(proposal["id"])["outcome"])
    assert all(found["opened_index"] < ballot["at"] < found["closed_index"] for ballot in found["ballots"])
    service.runtime.jobs.run("deadline", proposal["id"])
    with read(service.runtime.engine) as session:
        kinds = session.exec(select(LogEntry.type).where(LogEntry.subject == proposal["id"])).all()
    assert kinds.count("outcome.decided") == 1 == kinds.count("ballot.opened"), "a timer that fires twice acts once"


def test_I10_an_outcome_is_never_changed_or_deleted(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    pass_days(service, mine[0], proposal["id"], 7)
    pass_days(service, mine[0], proposal["id"], 7)
    mine[1].dissent(proposal["id"], "This was too fast.")
    for table in (OutcomeRow.__table__, MinorityReport.__table__):  # type: ignore[attr-defined]
        mine_only = table.c.proposal_id == proposal["id"]
        changes: list[Callable[[], Any]] = [
            lambda t=table, m=mine_only: sa.update(t).where(m).values(sha256="0" * 64), lambda t=table, m=mine_only: sa.delete(t).where(m),
        ]  # fmt: skip
        for change in changes:
            with pytest.raises(sa.exc.DBAPIError, match="never changed"):
                with write(service.runtime.engine) as session:
                    session.execute(change())


def test_I11_a_signature_covers_the_dissent_and_any_difference_is_refused(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    mine = union_of(service, platform, 3)
    mandated(service, mine[1])
    platform.give(2)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    plain = lab.agree(platform)
    assert len(cut_of(service, plain).contributions) == 5
    narrow = mine[0].propose("policy.narrow", "As before, and no more.", **ADOPT)
    opened = pass_days(service, mine[0], narrow["id"], 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], narrow["id"], 7)
    answer = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
    offer = lab.sdk.offer(str(answer.offer))
    filed: list[Any] = []
    beside = queued(service, plain)
    beside.after_selection.append(once(lambda: filed.append(mine[2].dissent(narrow["id"], "Testing alone is too much already."))))
    beside.run()
    assert len(outcome(service, beside.release).contributions) == 4, "filed beside a cut it holds back as well"
    [report] = filed
    assert report["text_sha256"] == sha256(b"Testing alone is too much already.").hexdigest()
    refuses("dissent_changed", lambda: lab.sdk.sign(offer))
    assert len(cut_of(service, plain).contributions) == 4, "what was signed before does not cover it"
    answer = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
    token = lab.sdk._auth.header().removeprefix("Bearer ")
    terms = accepted(call(service, "GET", f"/v1/offers/{answer.offer}", token))
    assert terms["dissent"] == [report["text_sha256"]]
    assert lab.sdk.dissent(str(answer.offer)) == {report["text_sha256"]: "Testing alone is too much already."}
    agreement = lab.sdk.sign(lab.sdk.offer(str(answer.offer)))
    cut = cut_of(service, agreement)
    assert len(cut.contributions) == 5 and cut.manifest is not None
    assert cut.manifest["dissent"] == [report["text_sha256"]]
    # On a proposal that is open nothing rests: whoever objects to it holds up no cut.
    open_one = mine[0].propose("policy.narrow", "No more.", **NARROW)
    beside, looks = queued(service, agreement), []
    beside.after_selection += [once(lambda: mine[2].object_to(open_one["id"], "Who is paid by it?")), lambda: looks.append(1)]
    beside.run()
    assert (len(outcome(service, beside.release).contributions), len(looks)) == (5, 1)

    def dissents_and_goes() -> None:
        mine[0].dissent(narrow["id"], "I would not have it.")
        mine[0]._person.erase(scope="all")

    beside = queued(service, agreement)
    beside.after_selection.append(once(dissents_and_goes))
    beside.run()
    assert len(outcome(service, beside.release).contributions) == 3, "it stands where its author is erased"


def test_I13_a_steward_opens_and_can_do_no_more(service: Service, platform: PlatformParty) -> None:
    """Tenure is waived for opening, and for nothing else; no route counts, shows ballots or moves a day."""
    (founder, _), (member, _) = people(service, platform, 2)
    union = founded(founder, tenure_days=0)
    mine = joined(union, member)
    proposal = mine.propose("steward.remove", "Another turn.", subject=union.me()["member"])
    opened = pass_days(service, union, proposal["id"], 7)
    mine.vote(opened, "yes")
    token = founder._auth._secret
    path = f"/v1/collectives/{union.id}/proposals/{proposal['id']}"
    for method in ("GET", "PUT", "DELETE"):
        refused(call(service, method, path + "/ballots", token, b"{}" if method == "PUT" else None), 405, "method_not_allowed")
    assert "tally" not in accepted(call(service, "GET", path, token)) and opened["verdict"] is None
    refused(call(service, "GET", path + "/outcome", token), 404, "not_found")
    pass_days(service, union, proposal["id"], 7)
    assert union.me()["steward"] is False


def test_when_the_appeal_is_over_no_ballot_opens_again(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    ballot = mine[1].vote(opened, "no", ["aim"])
    pass_days(service, mine[0], proposal["id"], 7)
    with read(service.runtime.engine) as session:
        assert session.get_one(LogEntry, ballot["at"]).sealed and row_of(service, proposal["id"]).ballot_key
        stored = session.exec(select(BallotRow).where(BallotRow.proposal_id == proposal["id"])).one()
        assert b'"no"' not in bytes(session.get_one(LogEntry, ballot["at"]).leaf) and stored.commitment == ballot["commitment"]
    pass_days(service, mine[0], proposal["id"], 7)
    with read(service.runtime.engine) as session:
        assert session.get_one(LogEntry, ballot["at"]).sealed == b"" and row_of(service, proposal["id"]).ballot_key is None
    assert recount.recount(mine[0].outcome(proposal["id"]), ballot), "and the outcome still holds"
    refuses("proposal_state", lambda: mine[1].dissent(proposal["id"], "Too late."))


def test_nobody_voting_lapses_and_changes_nothing(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 5)
    policy = mine[0].read()["policy"]
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    opened = pass_days(service, mine[0], proposal["id"], 7)
    mine[0].vote(opened, "yes")
    found = pass_days(service, mine[0], proposal["id"], 7)
    assert (found["state"], found["verdict"]) == ("lapsed", "lapsed") and mine[0].read()["policy"] == policy


def test_groups_count_when_they_stood_for_a_week(service: Service, platform: PlatformParty) -> None:
    (founder, _), (member, _), (other, _) = people(service, platform, 3)
    union = founded(founder, dimension={"name": "language", "values": ["en", "sw"]})
    joined(union, member, declared="sw")
    refuses("group_unknown", lambda: joined(union, other, declared="klingon"))
    proposal = union.propose("policy.narrow", "Less.", **NARROW)
    service.clock.offset += timedelta(days=3)
    union.declare("en")
    pass_days(service, union, proposal["id"], 4)
    with read(service.runtime.engine) as session:
        declared = session.exec(select(Elector.declared).where(Elector.proposal_id == proposal["id"])).all()
    assert sorted(declared, key=str) == [None, "sw"]


def test_what_a_proposal_takes_and_what_a_ballot_needs(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2, load=1)
    refuses("proposal_invalid", lambda: mine[0].propose("policy.narrow", "x"))
    refuses("proposal_invalid", lambda: mine[0].propose("steward.remove", "x", subject="mem_" + "0" * 26))
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    second = mine[0].propose("steward.elect", "Her too.", subject=mine[1].me()["member"])
    opened = pass_days(service, mine[0], proposal["id"], 7)
    assert pass_days(service, mine[0], second["id"], 0)["state"] == "discussion", "more ballots than the charter's load wait"
    refuses("reasons_missing", lambda: mine[0].vote(opened, "no"))
    pass_days(service, mine[0], proposal["id"], 7)
    refuses("report_too_long", lambda: mine[0].dissent(proposal["id"], "word " * 2001))
    listed = accepted(call(service, "GET", f"/v1/collectives/{mine[0].id}/proposals", mine[1]._person._auth._secret))
    assert [item["id"] for item in listed["items"]] == [second["id"], proposal["id"]]


def test_a_charter_is_amended_by_more_than_half_of_all(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 3)
    charter = {**CHARTER, "aim": "To be fewer.", "ballot_days": 9}
    done = in_force(service, mine, mine[0].propose("charter.amend", "Longer ballots.", charter=charter))
    assert done["state"] == "in_force" and mine[0].read()["charter"]["ballot_days"] == 9
    assert set(mine[0].read()["charter"]["decisions"]) == set(TYPES)


def test_an_outcome_of_fewer_than_ten_electors_is_for_members_alone(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 2)
    proposal = mine[0].propose("policy.narrow", "Less.", **NARROW)
    pass_days(service, mine[0], proposal["id"], 7)
    pass_days(service, mine[0], proposal["id"], 7)
    assert mine[1].outcome(proposal["id"])
    path = f"/v1/collectives/{mine[0].id}"
    refused(call(service, "GET", f"{path}/proposals/{proposal['id']}/outcome"), 404, "not_found")
    assert accepted(call(service, "GET", path))["members"] == "1-9", "the charter of a public collective is for everybody"


def test_a_refused_lab_gets_nothing_of_any_member_mandated_or_not(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """Without a mandate a collective can only deny. Taking it back asks for more votes than the refusal did."""
    mine = union_of(service, platform, 3)
    other = service.lab()
    for party in (lab, other):
        party.sdk._transport.now = lambda: service.clock.now().timestamp()
    platform.give(2)
    agreement, theirs = lab.agree(platform), other.agree(platform)
    assert len(cut_of(service, agreement).contributions) == 5
    recall = mine[0].propose("licence.recall", "They broke their word.", subject=lab.id)
    opened = pass_days(service, mine[0], recall["id"], 7)
    mine[1].vote(opened, "yes")
    cut = queued(service, agreement)
    cut.after_selection.append(once(lambda: pass_days(service, mine[0], recall["id"], 7)))
    cut.run()
    assert len(outcome(service, cut.release).contributions) == 2, "also one that was under way"
    assert len(cut_of(service, theirs).contributions) == 5
    refuses("proposal_invalid", lambda: mine[0].propose("licence.recall", "Again.", subject=lab.id))
    grant = in_force(service, mine, mine[0].propose("licence.grant", "They mended it.", subject=lab.id))
    assert grant["state"] == "in_force" and len(cut_of(service, agreement).contributions) == 5


def test_I14_who_works_for_a_lab_does_not_vote_on_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 3)
    mine[2].declare(None, interest=lab.id)
    recall = mine[0].propose("licence.recall", "No.", subject=lab.id)
    narrow = mine[0].propose("policy.narrow", "Less.", **NARROW)
    about, general = (pass_days(service, mine[0], p["id"], days) for p, days in ((recall, 7), (narrow, 0)))
    refuses("not_elector", lambda: mine[2].vote(about, "no", ["cost"]))
    mine[2].vote(general, "abstain")
    assert (about["electorate"], general["electorate"]) == (2, 3)
