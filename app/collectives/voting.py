"""Freeze, ballot, count, come into force. Deadlines move a proposal on; nobody has to call a vote, and nobody can.

A ballot's leaf commits to it; its opening is sealed under a key of this proposal alone, which is destroyed when the appeal is over.
Then nobody can tell any more who of the electorate voted, or how, and the outcome with its commitments stays.
"""

import hmac
import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import (
    amendments,
    closing,
    effects,
    frozen,
    moderating,
    petitioning,
    proposals,
    queries,
    recounting,
    refusals,
    reviewing,
    strikes,
    supporting,
    threads,
    voiding,
)
from app.collectives.electorate import ballot_key, left_out, tag, tag_of
from app.collectives.models import (
    BallotRow,
    CharterVersion,
    Collective,
    Elector,
    OutcomeRow,
    Proposal,
)
from app.collectives.schemas import BallotIn
from app.collectives.service import Acting, acting, proof
from app.collectives.thread_models import Moderation, NoteAppeal, ProposalThread
from app.core.ballots import Ballot, Snapshot, decide
from app.core.canonical import canonical, sha256_hex
from app.core.electing import REFUSALS, parse_rules
from app.core.merkle import leaf_hash, root
from app.core.thread import REASONS, reasons_by_choice
from app.crypto.sealing import Sealer, new_key
from app.kit.background import each
from app.kit.db import read, write
from app.kit.errors import Conflict, Forbidden, Invalid
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
GONE = b""
"""What stands where a ballot's opening was."""


def vote(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, given: BallotIn, *, now: datetime) -> BallotRow:
    """Cast a ballot; the last one of each elector counts.

    Raises NotFound, Conflict (proposal_state, text_changed), Forbidden (not_elector) or Invalid (reasons_missing, reason_unknown).
    """
    acting(session, runtime, who)
    _, mine = queries.member(session, collective, who)
    # Under the row's lock: the count waits for ballots under way, and they for it.
    row = queries.proposal(session, collective, proposal_id, lock=True)
    if row.state != "ballot" or row.close_at <= now:
        raise Conflict("proposal_state", "Ballots are taken between the freeze and the close.", state=row.state)
    effect = frozen.opened(session, row).get("effect_sha256")
    if given.text_sha256 != row.text_sha256 or given.effect_sha256 not in (None, effect):
        raise Conflict("text_changed", "Read the proposal again, and send the digests of the text and the effect that you read.")
    if given.choice in ("no", "block") and not given.reasons:
        raise Invalid("reasons_missing", "Say why in `reasons`, by one code or several.")
    if set(given.reasons) - set(REASONS):
        raise Invalid("reason_unknown", "Use the reasons listed in `known`.", known=list(REASONS))
    elector = tag_of(session, runtime, row, mine.member)
    if elector is None:
        raise Forbidden("not_elector", "Who had a voice when the text was frozen can vote on it.")
    if mine.member in queries.working_for_it(session, row):  # they said so since
        raise Forbidden("not_elector", "Who works for the lab that it is about has no vote on it.")
    body = {
        "collective": collective, "proposal": row.id, "tag": elector.tag, "group": elector.declared, "choice": given.choice,
        "reasons": sorted(set(given.reasons)), "text_sha256": row.text_sha256, "effect_sha256": effect,
    }  # fmt: skip
    # What a passkey signed is looked at and not kept: nobody can be made to show how they voted.
    signed = {"collective": collective, **{name: body[name] for name in ("proposal", "choice", "reasons", "text_sha256", "effect_sha256")}}
    proof(session, runtime, who, "ballot.cast", signed, now)
    ballot = random_id("ballot")
    leaf = log.personal("ballot.cast", ballot, body, Sealer(ballot_key(runtime, row)), now)
    index = log.append(session, [leaf], now)
    cast = BallotRow(id=ballot, proposal_id=row.id, tag=elector.tag, commitment=json.loads(leaf.data)["commitment"], log_index=index)
    session.add(cast)
    session.flush()
    return cast


# -- what time does ---------------------------------------------------------------------------------------------------
def advance(runtime: Runtime, proposal_id: str) -> None:
    """The job of a deadline: do whatever is due, once, and queue what comes next."""
    for step in (_freeze, _count, _come_into_force, _forget, _lapse):
        with write(runtime.engine) as session:
            found = session.exec(select(Proposal.collective_id).where(Proposal.id == proposal_id)).first()
            if found is None:
                return
            # Rows in one order everywhere: the collective, then its proposal.
            collective = queries.collective_of(session, found, lock=True)
            row = queries.proposal(session, found, proposal_id, lock=True)
            step(session, runtime, collective, row, runtime.clock.now())


def _struck(session: Session, row: Proposal, now: datetime) -> bool:
    """Whether people act together against the lab that is decided on."""
    if not row.type.startswith("licence."):
        return False
    return any(one.counts_for([row.collective_id]) for one in strikes.executed(session, now, lab=row.subject))


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: advance what a deadline should have moved on."""
    with read(runtime.engine) as session:
        due = sa.or_(
            sa.and_(Proposal.state == "discussion", Proposal.freeze_at <= now), sa.and_(Proposal.state == "ballot", Proposal.close_at <= now),
            sa.and_(Proposal.ballot_key != None, Proposal.appeal_until <= now),
            Proposal.id.in_(sa.select(Moderation.proposal_id).where(Moderation.state == "appealed", Moderation.decide_by <= now)),  # type: ignore[attr-defined,call-overload,operator]
            Proposal.id.in_(sa.select(NoteAppeal.proposal_id).where(NoteAppeal.state == "open", NoteAppeal.decide_by <= now)),  # type: ignore[attr-defined,call-overload]
        )  # type: ignore[arg-type]  # fmt: skip
        waiting = session.exec(select(Proposal.id).where(due)).all()
    each(waiting, partial(advance, runtime))


def _freeze(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    if row.state != "discussion" or row.freeze_at > now:
        return
    if not frozen.by_agreed_rules(session, row):  # nobody votes by rules that the log does not know
        _void(session, runtime, collective, row, now)
        return
    charter = queries.charter(session, collective.id, row.charter_n)
    # What labs ask takes none of the room that members have for what they propose.
    full = queries.begun(session, collective.id, now, requests=row.request_id is not None) >= charter["load"]
    voices = queries.voices(session, row, charter, now)
    petitioned = petitioning.carries(session, runtime, row, [member for member, _ in voices])
    if row.type == "steward.remove" and not petitioned:
        _drop(session, runtime, collective, row, charter, now)
        return
    if reviewing.stops(session, collective, row.type, now):
        _put_off(session, runtime, row, now)
        return
    if full and row.type not in REFUSALS and not petitioned:  # what takes away does not wait, also for its ballot
        _put_off(session, runtime, row, now)
        return
    # The proposer owes answers first. They are waited for, and not for ever, nor where a steward stood in: then the outcome says that there were
    # none. For what cannot wait they are not waited for.
    waited = now - queries.planned(charter, row)
    if row.urgent_hours is None and waited < threads.PATIENCE and threads.owed(session, runtime, row, charter, now, stood_in=False):
        _put_off(session, runtime, row, now)
        return
    leaves = amendments.settle_all(session, runtime, collective, row, now)  # with the freeze, and not where that is put off
    key = new_key()
    row.ballot_key = Sealer(runtime.keys.derive("ballots")).seal(key, row.id.encode())
    # Deadlines are late by what the machine was away: nobody loses time to vote by that.
    late = now - row.freeze_at
    row.freeze_at, row.close_at, row.appeal_until = now, row.close_at + late, row.appeal_until + late
    tags = []
    for member, group in voices:
        tags.append(tag(key, member, row.id))
        session.add(Elector(proposal_id=row.id, tag=tags[-1], declared=group))
    petitioning.forget(session, row)
    thread = threads.freeze(session, runtime, row, charter, now)
    row.electorate_size, row.electorate_root = len(tags), root([leaf_hash(bytes.fromhex(tag)) for tag in sorted(tags)]).hex()
    row.state = "ballot"
    session.add(row)
    session.flush()
    _queue(session, runtime, row, "close", row.close_at, now)
    body = {
        "collective": collective.id, "decision": row.type, "text_sha256": row.text_sha256, "electorate_root": row.electorate_root,
        "electorate": log.bucket(len(tags)), "closes": row.close_at.date().isoformat(), "thread_sha256": thread,
        "effect_sha256": frozen.effect_sha256(session, runtime, row), "rounds": row.rounds,
    }  # fmt: skip
    index = log.append(session, [log.institutional("ballot.opened", row.id, body, now), *leaves], now)
    session.execute(sa.update(Proposal).where(Proposal.id == row.id).values(opened_index=index))  # type: ignore[arg-type]


def _drop(session: Session, runtime: Runtime, collective: Collective, row: Proposal, charter: dict[str, Any], now: datetime) -> None:
    """Nobody votes on it: too few signed. What was said stays as it was, and another wording that nobody answered is put up by itself, to find
    signatures of its own."""
    leaves = amendments.settle_all(session, runtime, collective, row, now)
    row.state = "lapsed"
    session.add(row)
    petitioning.forget(session, row)
    threads.freeze(session, runtime, row, charter, now)
    body = {"collective": row.collective_id, "decision": row.type, "verdict": "lapsed"}
    log.append(session, [log.institutional("petition.failed", row.id, body, now), *leaves], now)


def _put_off(session: Session, runtime: Runtime, row: Proposal, now: datetime) -> None:
    day = timedelta(days=1)
    row.freeze_at, row.close_at, row.appeal_until = row.freeze_at + day, row.close_at + day, row.appeal_until + day
    session.add(row)
    session.flush()
    _queue(session, runtime, row, f"freeze-{row.freeze_at.date()}", row.freeze_at, now)


def _queue(session: Session, runtime: Runtime, row: Proposal, key: str, at: datetime, now: datetime) -> None:
    runtime.jobs.enqueue(session, "deadline", row.id, key=key, delay=max(1.0, (at - now).total_seconds()))


def _count(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    if row.state != "ballot" or row.close_at > now:
        return
    if not frozen.whole(session, runtime, row):
        _void(session, runtime, collective, row, now)
        return
    row.appeal_until += now - row.close_at  # a count that comes late takes nothing of the time to appeal
    charter = queries.charter(session, collective.id, row.charter_n)
    rules = queries.rules_of(charter, row.type)
    electors = {e.tag: e.declared for e in session.exec(select(Elector).where(Elector.proposal_id == row.id))}
    affiliated = left_out(session, runtime, row)
    ballots = session.exec(select(BallotRow).where(BallotRow.proposal_id == row.id).order_by(BallotRow.log_index)).all()  # type: ignore[arg-type]
    cast = [one for one in ballots if one.tag not in affiliated]
    if row.type == "steward.remove":
        proposals.steward(session, collective.id, row.subject, now)  # locked before the head, as everywhere
    elif row.type in ("licence.recall", "outcome.void"):
        voiding.hold(session, row)
    # Nobody votes any more, who would need the proposal's row: what takes long with many ballots is done before the head is taken.
    openings = _opened(session, runtime, row)
    opened = [openings[b.log_index] for b in cast]
    said = [_said(row, b, one) for b, one in zip(cast, opened, strict=True)]
    counted = {b.tag: (b.log_index, one) for b, one in zip(cast, opened, strict=True)}
    sealed = recounting.seal(session, row, charter, list(counted.values()), now)
    size = log.lock_head(session)
    standing, answered = queries.standing_objections(session, row.id), queries.answered(session, row)
    rounds = sum(map(bool, answered))  # a round whose objections were taken back is over: what stands now it did not answer
    snapshot = Snapshot(electors, objections=len(standing), rounds=rounds, struck=_struck(session, row, now))
    found = decide(rules, snapshot, [Ballot(b.tag, one["choice"], b.log_index) for b, one in zip(cast, said, strict=True)])
    last = {b.tag: (one["choice"], one.get("reasons", ())) for b, one in zip(cast, said, strict=True)}  # in the order of the log
    outcome = {
        **found.to_json(), "v": 1, "type": "sayso-outcome", "proposal": row.id, "collective": collective.id, "decision": row.type,
        "text_sha256": row.text_sha256, "effect_sha256": frozen.opened(session, row).get("effect_sha256"),
        "rules": [rule.to_json() for rule in parse_rules(rules)],
        "charter_sha256": session.get_one(CharterVersion, (collective.id, row.charter_n)).sha256,
        "electorate": {"tags": sorted(electors), "size": len(electors), "root": row.electorate_root},
        "left_out": len({one.tag for one in ballots} & affiliated), "objections": standing, "thread": _thread_of(session, row),
        "reasons": reasons_by_choice(last.values()),
        "around": {
            "objections": len(standing), "rounds": rounds, "answered": answered, "overruled": False, "appealed": False, "struck": snapshot.struck,
        },
        "ballots": [{"tag": b.tag, "at": b.log_index, "commitment": b.commitment} for b in cast],
        "opened_index": row.opened_index, "closed_index": size, "openings": sealed,
    }  # fmt: skip
    body = canonical(outcome)
    leaf = {
        "collective": collective.id, "name": collective.name if collective.listed else None, "decision": row.type, "verdict": found.verdict,
        "contested": found.contested, "outcome_sha256": sha256_hex(body), "electorate_root": row.electorate_root,
        "electorate": log.bucket(len(electors)), "turnout": log.bucket(found.turnout), "appeal_until": row.appeal_until.date().isoformat(),
        "openings": [{"key": one["key"] if collective.listed else None, "sha256": one["sha256"]} for one in sealed],
    }  # fmt: skip
    refuses = row.type in REFUSALS
    row.closed_index = size
    row.state = found.verdict if found.verdict != "passed" else "in_force" if refuses else "appeal"
    session.add(row)
    session.flush()
    index = log.append(session, [log.institutional("outcome.decided", row.id, leaf, now)], now)
    session.add(
        OutcomeRow(
            proposal_id=row.id, verdict=found.verdict, contested=found.contested, report_needed=found.report_needed, body=body,
            sha256=sha256_hex(body), log_index=index, at=now,
        )
    )  # fmt: skip
    session.flush()
    _queue(session, runtime, row, "appeal", row.appeal_until, now)
    if row.request_id is not None and row.state != "appeal":
        refusals.note(session, collective, row, now)
        runtime.jobs.enqueue(session, "asked", row.id)
    if found.verdict == "passed" and refuses:  # what takes away does not wait
        _bind(session, runtime, collective, row, now)


def _thread_of(session: Session, row: Proposal) -> dict[str, Any] | None:
    thread = session.get(ProposalThread, row.id)  # none where the text was frozen by a version without threads
    return None if thread is None else {"sha256": thread.sha256, "unanswered": thread.unanswered}


def _void(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    """What was voted on is not what was frozen, or not by the rules that were agreed: nothing follows, also from a vote that was passed."""
    leaves = []
    if row.state == "discussion":
        leaves = amendments.settle_all(session, runtime, collective, row, now, by_charter=False)
        petitioning.forget(session, row)
        threads.freeze(session, runtime, row, None, now)
    row.state = "void"
    session.add(row)
    session.flush()
    body = {"collective": collective.id, "decision": row.type, "verdict": "void"}
    log.append(session, [log.institutional("outcome.decided", row.id, body, now), *leaves], now)
    if row.request_id is not None:
        if frozen.same_lab(session, runtime, row):
            refusals.note(session, collective, row, now)
        runtime.jobs.enqueue(session, "asked", row.id)


def _opened(session: Session, runtime: Runtime, row: Proposal) -> dict[int, bytes]:
    """The openings of a proposal's ballots, salt (32) || act, by their place in the log: all by one key and in one query."""
    sealer = Sealer(ballot_key(runtime, row))
    query = sa.select(_ENTRY.c.log_index, _ENTRY.c.leaf, _ENTRY.c.sealed).join(BallotRow, BallotRow.log_index == _ENTRY.c.log_index)
    entries = session.execute(query.where(BallotRow.proposal_id == row.id))  # type: ignore[arg-type]
    return {index: sealer.open(bytes(sealed or b""), log.opening_place(bytes(leaf))) for index, leaf, sealed in entries}


def _said(row: Proposal, cast: BallotRow, opened: bytes) -> dict[str, Any]:
    """What a ballot says."""
    body: dict[str, Any] = json.loads(opened[32:])
    if not hmac.compare_digest(str(body["tag"]), cast.tag) or body["text_sha256"] != row.text_sha256:
        raise ValueError("a ballot that is not what its leaf says")
    return body


def _come_into_force(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    if row.state == "appeal" and row.appeal_until <= now:
        _bind(session, runtime, collective, row, now)


def _bind(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    """What was decided governs releases from here on; what does nothing any more is moot, and void what was changed while it waited."""
    if not (frozen.whole(session, runtime, row) and frozen.passed(session, row)):
        _void(session, runtime, collective, row, now)
        return
    row.state = "in_force" if effects.bring_about(session, runtime, collective, row, now) else "moot"
    session.add(row)
    session.flush()
    refusals.note(session, collective, row, now)
    if row.request_id is not None:
        runtime.jobs.enqueue(session, "asked", row.id)


def _lapse(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    """Appeals that nobody decided in time: that is told, and nothing follows from it by itself."""
    leaves = [*moderating.lapse(session, row.id, now), *closing.lapse(session, row.id, now)]
    if leaves:
        session.flush()
        log.append(session, leaves, now)


def _forget(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> None:
    """The appeal is over: what its minority reports are is settled, and the ballot key is destroyed, and the openings with it, also those sealed
    to recounters."""
    if row.ballot_key is None or row.appeal_until > now:
        return
    indices = sa.select(BallotRow.log_index).where(BallotRow.proposal_id == row.id)  # type: ignore[call-overload]
    session.execute(sa.update(_ENTRY).where(_ENTRY.c.log_index.in_(indices)).values(sealed=GONE))
    recounting.forget(session, row.id)
    supporting.settle(session, runtime, row, now)
    row.ballot_key = None
    session.add(row)
