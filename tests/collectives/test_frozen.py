"""What a freeze fixes beside the text: whoever holds the database cannot put another effect in the place of the one that was voted on."""

import json
from base64 import b64decode
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import recount
from sqlmodel import select

from app.collectives import effects, frozen, queries
from app.collectives.models import CharterVersion, Collective, Petition, Proposal
from app.collectives.thread_models import ProposalThread
from app.core.canonical import canonical
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log.models import LogEntry
from app.web.collective_words import stage
from tests.collectives.members import CHARTER, pass_days, refuses
from tests.collectives.test_deciding import ADOPT, NARROW, row_of, union_of
from tests.collectives.test_requests_decided import deciding
from tests.kit.refusals import get
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend


def test_I7_an_effect_that_changed_after_the_freeze_voids_the_ballot(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2, asks=50, load=100)

    def put(kind: str, **what: Any) -> str:
        return str(mine[0].propose(kind, f"For {kind}.", **what)["id"])

    other = mine[1].me()["member"]
    kept, recall, adopt = put("policy.narrow", **NARROW), put("licence.recall", subject=lab.id), put("policy.adopt", **ADOPT)
    amend = put("charter.amend", charter={**CHARTER, "aim": "More."})
    elect, strike = put("steward.elect", subject=other), put("strike.call", strike={"kind": "refuse_new", "lab": lab.id})
    wide = row_of(service, adopt).policy_id
    swapped: dict[str, dict[str, Any]] = {
        put("policy.narrow", **NARROW): {"policy_id": wide}, amend: {"charter": canonical({**CHARTER, "aim": "Less."})},
        recall: {"subject": other}, elect: {"type": "steward.remove"}, strike: {"strike": canonical({"kind": "pause", "lab": lab.id})},
        put("policy.narrow", **NARROW): {"ballots": 3}, put("policy.narrow", **NARROW): {"about": kept},
        put("policy.narrow", **NARROW): {"measured": b"{}"}, put("policy.narrow", **NARROW): {"rounds": 2},
    }  # fmt: skip
    service.clock.offset += timedelta(days=14)
    for one in (kept, adopt, *swapped):
        opened = pass_days(service, mine[0], one, 0)
        assert opened["state"] == "ballot" and opened["effect_sha256"] == sha256(canonical(opened["effect"])).hexdigest()
        for voter in mine:
            voter.vote(opened, "yes")
    with write(service.runtime.engine) as session:  # as somebody would who holds the database
        for one, changes in swapped.items():
            session.execute(sa.update(Proposal).where(Proposal.id == one).values(**changes))  # type: ignore[arg-type]
    service.clock.offset += timedelta(days=7)
    policy, charter = mine[0].read()["policy"], mine[0].read()["charter"]
    for one, changes in swapped.items():
        assert pass_days(service, mine[0], one, 0)["state"] == "void", changes
        refuses("not_found", lambda one=one: mine[0].outcome(one))
    waits = pass_days(service, mine[0], adopt, 0)
    assert waits["state"] == "appeal" and (mine[0].read()["policy"], mine[0].read()["charter"]) == (policy, charter)
    with write(service.runtime.engine) as session:  # nor while a vote that was passed waits for its appeal
        narrow = session.get_one(Proposal, kept).policy_id
        session.execute(sa.update(Proposal).where(Proposal.id == adopt).values(policy_id=narrow))  # type: ignore[arg-type]
    assert pass_days(service, mine[0], adopt, 7)["state"] == "void" and mine[0].read()["policy"] == policy
    assert all("changed" in one["labels"] for one in (mine[0].proposal(adopt), mine[0].outcome(adopt))), "its count says passed, and this beside it"
    assert pass_days(service, mine[0], kept, 0)["state"] == "in_force", "what nobody touched holds"
    assert mine[0].read()["policy"] == mine[0].proposal(kept)["policy"]


def test_members_work_out_what_they_vote_on_and_find_it_in_the_log(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    charter = {**CHARTER, "aim": "More."}
    proposal = mine[0].propose("charter.amend", "More.", charter=charter)
    assert proposal["charter"]["aim"] == "More." and sha256(canonical(proposal["charter"])).hexdigest() == proposal["effect"]["charter_sha256"]
    assert proposal["effect"]["under_sha256"] == mine[0].read()["charter_sha256"]
    opened = pass_days(service, mine[0], proposal["id"], 14)
    with read(service.runtime.engine) as session:
        leaf = frozen.opened(session, row_of(service, proposal["id"]))
        assert leaf["effect_sha256"] == opened["effect_sha256"] == proposal["effect_sha256"]
        for changes in ({}, {"collective_id": "col_elsewhere"}, {"electorate_root": "0" * 64}, {"rounds": 2}, {"policy_id": 10**9}, {"strike": b"{"}):
            row = row_of(service, proposal["id"])
            for name, value in changes.items():
                setattr(row, name, value)
            assert frozen.whole(session, service.runtime, row) == (not changes), changes
    pass_days(service, mine[0], proposal["id"], 7)
    file = mine[1].outcome(proposal["id"])
    assert json.loads(file["outcome"])["effect_sha256"] == leaf["effect_sha256"] and json.loads(b64decode(file["opened"])) == leaf
    assert any("are those of the leaf that opened the ballot" in line for line in recount.recount(file))
    outcome = json.loads(file["outcome"])
    recount._frozen(leaf, outcome)
    with pytest.raises(recount.Wrong, match="rounds"):
        recount._frozen(leaf, {**outcome, "around": {**outcome["around"], "answered": [[], []]}})


def test_no_vote_is_held_by_rules_that_the_log_does_not_know(service: Service, platform: PlatformParty) -> None:
    """Whoever holds the database can change the charter before a freeze fixes its digest, and not the leaf by which it was adopted."""
    on_one_backend(service)
    mine = union_of(service, platform, 2)
    counted = pass_days(service, mine[0], mine[0].propose("policy.narrow", "One.", **NARROW)["id"], 7)
    frozen_, after = (mine[0].propose("policy.narrow", text, **NARROW)["id"] for text in ("Two.", "Three."))
    mine[1].put_up(frozen_, "So?")
    mine[1].sign(frozen_)
    mine[1].amend(mine[1].proposal(frozen_), "Two, and better.")
    for voter in mine:
        voter.vote(counted, "yes")
    service.clock.offset += timedelta(days=7)

    agreed = canonical(mine[0].read()["charter"])
    other = canonical({**json.loads(agreed), "decisions": {**json.loads(agreed)["decisions"], "policy.narrow": [{"rule": "majority"}]}})
    newer = canonical({**json.loads(agreed), "aim": "More."})
    with write(service.runtime.engine) as session:  # as a vote does, without the weeks before
        passed = Proposal(id=random_id("proposal"), collective_id=mine[0].id, type="charter.amend", charter=newer, charter_n=1)
        group = queries.collective_of(session, mine[0].id, lock=True)
        assert effects.bring_about(session, service.runtime, group, passed, service.clock.now())

    def holds(put: int = 1, versions: dict[int, bytes] | None = None, later: int = 0, **changes: Any) -> tuple[bool, bool]:
        """Before a freeze and before a count, with bodies of the charter in the place of what was adopted, with both `put` under another one,
        with one that is to be reviewed a day `later`, or with other columns in the collective's row."""
        with write(service.runtime.engine) as session:
            discussed, voted = session.get_one(Proposal, after), session.get_one(Proposal, counted["id"])
            group, first = session.get_one(Collective, mine[0].id), session.get_one(CharterVersion, (mine[0].id, 1))
            for n, body in (versions or {}).items():
                session.merge(CharterVersion(**{**first.model_dump(), "n": n, "body": body}))
            if later:
                session.get_one(CharterVersion, (mine[0].id, later)).review_by += timedelta(days=1)
            for name, value in changes.items():
                setattr(group, name, value)
            discussed.charter_n = voted.charter_n = put
            session.flush()
            found = frozen.by_agreed_rules(session, discussed), frozen.whole(session, service.runtime, voted)
            session.rollback()
        return found

    altered: list[dict[str, Any]] = [
        {"versions": {1: other}},  # by which both are put up
        {"versions": {2: other}},  # which is in force
        {"versions": {3: other}, "charter_n": 3}, {"versions": {1: newer, 2: agreed}}, {"charter_n": 1}, {"charter_n": 0}, {"state": "lost"},
        {"versions": {3: other}, "put": 3}, {"versions": {0: newer}, "put": 0}, {"later": 1}, {"later": 2},
    ]  # fmt: skip
    assert holds() == (True, True)
    for one in altered:
        assert holds(**one) == (False, False), one

    def change(*bodies: bytes) -> None:
        with write(service.runtime.engine) as session:
            for n, body in enumerate(bodies, 1):
                values, here = {"body": body, "sha256": sha256(body).hexdigest()}, (CharterVersion.collective_id == mine[0].id, CharterVersion.n == n)
                session.execute(sa.update(CharterVersion).where(*here).values(**values))  # type: ignore[arg-type]

    change(other, b"no charter at all")
    for one in (frozen_, counted["id"]):
        service.runtime.jobs.run("deadline", one)
        assert row_of(service, one).state == "void"
        assert stage(row_of(service, one), json.loads(agreed), service.clock.now()) == [], "of what was not counted no report is taken"
    change(agreed, newer)
    assert pass_days(service, mine[0], after, 0)["state"] == "ballot", "by the rules that were agreed all goes on"
    [amended] = mine[0].amendments(frozen_)
    assert amended["state"] == "alternative", "nobody sits an amendment out by that"
    alone = mine[0].proposal(amended["alternative"])
    assert (alone["text"], alone["state"], alone["alternative_to"]) == ("Two, and better.", "discussion", frozen_)
    made = row_of(service, alone["id"])
    assert min(made.freeze_at - made.opened_at, made.close_at - made.freeze_at, made.appeal_until - made.close_at) >= timedelta(days=7)
    with read(service.runtime.engine) as session:
        leaves = [json.loads(leaf) for leaf in session.exec(select(LogEntry.leaf).where(LogEntry.subject == frozen_))]
        assert [(one["type"], one.get("verdict")) for one in leaves if one["type"] != "act"] == [("outcome.decided", "void")]
        assert session.get_one(ProposalThread, frozen_).key is None and session.exec(select(Petition)).all() == [], "nor is it known who spoke for it"


@pytest.mark.parametrize("leaf", ["its own", "one that names no effect"])
def test_a_lab_that_was_put_in_the_place_of_another_is_not_said_to_be_refused(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch, leaf: str
) -> None:
    """Nor gets it what the other asked for: the row may name another leaf of the proposal's too, which has the same text."""
    on_one_backend(service)
    monkeypatch.setattr(queries, "FEWEST", 3)
    mine, other = deciding(service, platform, lab), service.lab()
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    proposal = lab.sdk.threads(asked.id)[0]["thread"]
    assert pass_days(service, mine[0], proposal, 7)["state"] == "ballot"
    with write(service.runtime.engine) as session:
        told = session.exec(select(LogEntry.log_index).where(LogEntry.type == "request.put-to-vote", LogEntry.subject == proposal)).one()
        changes = {"subject": other.id, **({"charter_n": 7} if leaf == "its own" else {"opened_index": told})}
        session.execute(sa.update(Proposal).where(Proposal.id == proposal).values(**changes))  # type: ignore[arg-type]
    service.clock.offset += timedelta(days=7)
    service.runtime.jobs.run("deadline", proposal)
    assert row_of(service, proposal).state == "void"
    assert get(service, f"/v1/refusals?lab={other.id}").json()["items"] == []


def test_a_lab_is_heard_where_the_rules_for_its_request_were_changed_before_the_vote(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was frozen yet: whom it was about is in the leaf by which it was put to the vote."""
    on_one_backend(service)
    monkeypatch.setattr(queries, "FEWEST", 3)
    mine, other = deciding(service, platform, lab), service.lab()
    other.sdk._transport.now = lambda: service.clock.now().timestamp()
    asked = [one.sdk.request(EVALUATION, {"platforms": [platform.id]}) for one in (lab, other)]
    proposals = [one.sdk.threads(its.id)[0]["thread"] for one, its in zip((lab, other), asked, strict=True)]
    with write(service.runtime.engine) as session:
        session.execute(sa.update(CharterVersion).values(body=canonical({**mine[0].read()["charter"], "load": 9})))
        session.execute(sa.update(Proposal).where(Proposal.id == proposals[1]).values(subject=lab.id))  # type: ignore[arg-type]
    service.clock.offset += timedelta(days=7, seconds=1)
    for proposal in proposals:
        service.runtime.jobs.run("deadline", proposal)
        assert row_of(service, proposal).state == "void"
    [refused] = [one for one in get(service, "/v1/refusals").json()["items"] if one["id"] in proposals]
    assert (refused["id"], refused["lab"], refused["request"]) == (proposals[0], lab.name, asked[0].id), "and no lab in the place of another"
    lab.sdk.reply(proposals[0], "Whose rules were these?")
