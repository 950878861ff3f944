"""Many outcomes in one database, as they are stored and served, counted again by the stand-alone program: each says what it said."""

import json
import os
import random
import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sayso import recount

from app.collectives import queries, voting
from app.collectives.dissent_models import MinorityReport, ObjectionAnswered
from app.collectives.models import BallotRow, Elector, OutcomeRow, Proposal
from app.core.ballots import CHOICES as FOUR
from app.core.ballots import Snapshot
from app.core.canonical import sha256_hex
from app.core.merkle import leaf_hash, root
from app.crypto.sealing import Sealer, new_key
from app.kit.db import read, write
from app.kit.ids import random_id
from app.log import service as log
from tests.collectives.members import founded, pass_days, people, refuses
from tests.collectives.test_deciding import union_of
from tests.core.test_ballots import People, _groups, _oracle
from tests.support import LabParty, PlatformParty, Service
from tests.web.test_collective_pages import words
from tests.web.test_further_receipts import window

OUTCOMES = 1_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 40
AT_ONCE = 50
CHOICES = ("yes", "yes", "yes", "no", "abstain", "block")
CONSENT = [{"rule": "consent", "share": [3, 4]}, {"rule": "supermajority"}]
KINDS = ("policy.adopt", "licence.grant", "licence.renew", "charter.amend", "steward.elect")
"""Decisions whose effect waits for the appeal: nothing comes of these."""


def put_to_vote(session: Any, service: Service, collective: str, rng: random.Random, now: datetime) -> tuple[str, People]:
    """A proposal whose ballot is over, with an electorate and ballots that nobody had to cast one by one; and what each said last."""
    text, key, kind = f"Text {uuid.uuid4().hex}", new_key(), rng.choice(KINDS)
    groups = {os.urandom(32).hex(): rng.choice([None, "en", "sw"]) for _ in range(rng.randrange(1, 45))}
    row = Proposal(
        id=random_id("proposal"), collective_id=collective, type=kind, author=None, charter_n=1, text=text, text_sha256=sha256_hex(text.encode()),
        state="ballot", opened_at=now, freeze_at=now, close_at=now - timedelta(seconds=1), appeal_until=now + timedelta(days=3650),
        rounds=rng.randrange(4), electorate_size=len(groups), electorate_root=root([leaf_hash(bytes.fromhex(tag)) for tag in sorted(groups)]).hex(),
    )  # fmt: skip
    row.ballot_key = Sealer(service.runtime.keys.derive("ballots")).seal(key, row.id.encode())
    session.add(row)
    session.flush()
    session.add_all([Elector(proposal_id=row.id, tag=tag, declared=group) for tag, group in groups.items()])
    cast = [tag for tag in groups if rng.random() < 0.8]
    cast += [tag for tag in cast if rng.random() < 0.2]
    ballots = [(random_id("ballot"), tag, rng.choice(CHOICES)) for tag in cast]
    fixed = {"collective": collective, "text_sha256": row.text_sha256, "electorate_root": row.electorate_root}
    leaves = [log.institutional("ballot.opened", row.id, fixed, now)]  # as before effects were frozen too
    for ballot, tag, choice in ballots:
        body = {"proposal": row.id, "tag": tag, "group": groups[tag], "choice": choice, "text_sha256": row.text_sha256}
        leaves.append(log.personal("ballot.cast", ballot, body, Sealer(key), now))
    first = log.append(session, leaves, now)
    row.opened_index = first
    session.add_all(
        [
            BallotRow(id=ballot, proposal_id=row.id, tag=tag, commitment=json.loads(leaf.data)["commitment"], log_index=first + 1 + n)
            for n, ((ballot, tag, _), leaf) in enumerate(zip(ballots, leaves[1:], strict=True))
        ]
    )
    for n in range(row.rounds):  # of the rounds that were made some answered an objection that stands
        if rng.random() < 0.5:
            digest = os.urandom(32).hex()
            report = MinorityReport(id=random_id("minority_report"), proposal_id=row.id, kind="objection", sha256=digest, log_index=n, at=now)
            session.add(report)
            session.flush()
            session.add(ObjectionAnswered(report_id=report.id, round=n + 1))
    session.flush()
    last = {tag: choice for _, tag, choice in ballots}
    return row.id, [(group, last.get(tag)) for tag, group in groups.items()]


def test_I5_every_stored_outcome_is_counted_again(service: Service, platform: PlatformParty) -> None:
    [(founder, _)] = people(service, platform, 1)
    union = founded(founder, dimension={"name": "language", "values": ["en", "sw"]}, decisions={"licence.use": CONSENT}, load=100)
    rng, made = random.Random(5), dict[str, People]()
    for start in range(0, OUTCOMES, AT_ONCE):
        with write(service.runtime.engine) as session:
            now = service.clock.now()
            some = [put_to_vote(session, service, union.id, rng, now) for _ in range(min(AT_ONCE, OUTCOMES - start))]
            collective = queries.collective_of(session, union.id, lock=True)
            for one, _ in some:
                voting._count(session, service.runtime, collective, queries.proposal(session, union.id, one, lock=True), now)
            made |= dict(some)
    seen = set()
    for one, said_by in made.items():
        file = union.outcome(one)
        said = json.loads(file["outcome"])
        assert recount.recount(file)[-1] == f"`{said['verdict']}` follows from the rules and the tally"
        assert recount.judge(said) == {name: said[name] for name in ("verdict", "applied", "contested")}
        # And what it says of the ballots is what they were: each elector's last, by itself and in the groups that are told apart.
        cast = Counter(choice for _, choice in said_by)
        assert said["tally"] == {choice: cast[choice] for choice in FOUR}, one
        groups = {name: {choice: pile.count(choice) for choice in FOUR} for name, pile in _groups(said_by).items()}
        assert said["groups"] == groups and said["turnout"] == cast.total() - cast[None]
        snapshot = Snapshot({}, objections=len(said["objections"]), rounds=said["around"]["rounds"])
        assert said["verdict"] == _oracle(said["rules"], said_by, _groups(said_by), snapshot)
        seen |= {said["verdict"], said["decision"], *said["applied"]}
    assert {"passed", "failed", "consent/supermajority", *KINDS} <= seen
    with read(service.runtime.engine) as session:
        stored = session.execute(sa.select(OutcomeRow.proposal_id).where(OutcomeRow.proposal_id.in_(made))).scalars().all()  # type: ignore[attr-defined,call-overload]
    assert set(stored) == set(made)


def test_who_says_after_voting_that_they_work_for_the_lab_is_not_counted(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 4)
    recall = mine[0].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    opened = pass_days(service, mine[0], recall, 7)
    cast = [one.vote(opened, choice, ["aim"]) for one, choice in zip(mine, ("yes", "yes", "no", "no"), strict=True)]
    for one in mine[2:]:
        one.declare(None, lab.id)
    mine[2].declare(None)
    assert pass_days(service, mine[0], recall, 7)["state"] == "in_force", "two to none: one who took it back again said so while it was voted on"
    file = mine[1].outcome(recall)
    outcome = json.loads(file["outcome"])
    assert (outcome["electorate"]["size"], outcome["turnout"], outcome["tally"]["no"]) == (4, 2, 0) and mine[3].me()["member"] not in file["outcome"]
    assert outcome["left_out"] == 2
    assert "electors left out, because they say that they work for the lab that it is about: 2" in recount.recount(file, cast[1])
    for one in cast[2:]:
        with pytest.raises(recount.Wrong, match="your ballot is not among them; left out for working for the lab, as they say: 2"):
            recount.recount(file, one)
    page = window(service, mine[1]._person.receipt).get(f"/r/collectives/{mine[1].id}/proposals/{recall}")
    assert "2 of 4 who had a vote took part. Not counted, because they work for the lab: 2." in words(page)


def test_why_five_said_byor_more_voted_as_they_did_is_told(service: Service, platform: PlatformParty) -> None:
    mine = union_of(service, platform, 6)
    proposal = mine[0].propose("policy.narrow", "Less.", policy={"template": "nothing-new"})["id"]
    opened = pass_days(service, mine[0], proposal, 7)
    assert "cost" in refuses("reason_unknown", lambda: mine[0].vote(opened, "no", ["too-early"])).document["known"]
    for n, one in enumerate(mine):
        one.vote(opened, "no", ["cost", "privacy"] if n < 4 else ["cost", "harm"])
    mine[5].vote(opened, "yes", ["cost"])
    assert mine[1].proposal(proposal)["reasons"] is None, "while it is voted on nothing is told"
    pass_days(service, mine[0], proposal, 7)
    file = mine[1].outcome(proposal)
    assert json.loads(file["outcome"])["reasons"] == {"no": {"cost": 5}} == mine[1].proposal(proposal)["reasons"] and recount.recount(file)
    page = words(window(service, mine[1]._person.receipt).get(f"/r/collectives/{mine[1].id}/proposals/{proposal}"))
    assert "No: What it costs us (5) A reason is shown if five people or more gave it." in page
