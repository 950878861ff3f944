"""Petitions: members who want a proposal put to the vote. Who signed is kept as votes on statements are, until the freeze, and told to nobody.

To remove a steward takes one: of a twentieth of all with a voice, or ten where that is less. Any other proposal that one carries is voted
on in time, though as many ballots began this month as the charter allows; then it takes three people at the least, or all there are.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import frozen, queries, threads, weighing
from app.collectives.models import Petition, Proposal
from app.collectives.service import Acting, proof
from app.collectives.thread_models import ProposalThread
from app.kit.errors import Conflict, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

SHARE, MOST, LEAST = 20, 10, 3
_P = Petition.__table__  # type: ignore[attr-defined]


class NotSigned(NotFound):
    """Somebody takes back what they have not signed."""


def sign(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, effect: str | None = None, *, now: datetime) -> int:
    """Sign, once; gives the place in the log. `effect`: the digest of what a yes would bring about, as it was read.

    Raises NotFound, Forbidden (no_voice_yet) or Conflict (thread_frozen, text_changed).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    if effect not in (None, frozen.effect_sha256(session, runtime, at.row)):
        raise Conflict("text_changed", "Read the proposal again: it would bring about something else by now.")
    thread = weighing.of(session, runtime, at.row)
    tag = weighing.tag(runtime, thread, at.mine.member)
    kept = session.get(Petition, (proposal, tag))
    if kept is not None:
        return kept.log_index
    index = _append(session, runtime, who, at.row, thread, "petition.signed", now)
    session.add(Petition(proposal_id=proposal, tag=tag, log_index=index))
    session.flush()
    return index


def take_back(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, *, now: datetime) -> int:
    """Sign no longer; gives the place in the log. Raises NotFound (NotSigned too), Forbidden (no_voice_yet) or Conflict (thread_frozen)."""
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    thread = weighing.of(session, runtime, at.row)
    if not weighing.unsign(session, _P.c.proposal_id == proposal, _P.c.tag == weighing.tag(runtime, thread, at.mine.member)):
        raise NotSigned("not_found", "You have not signed here.")
    return _append(session, runtime, who, at.row, thread, "petition.taken-back", now)


def _append(session: Session, runtime: Runtime, who: Acting, row: Proposal, thread: ProposalThread, kind: str, now: datetime) -> int:
    signed = {"collective": row.collective_id, "proposal": row.id}
    # What the passkey signed is looked at and not kept: it would say whose signature this is.
    body = {**signed, "capability": proof(session, runtime, who, kind, signed, now)["capability"]}
    return log.append(session, [log.personal(kind, random_id("act"), body, weighing.sealer(runtime, thread), now)], now)


def signatures(session: Session, runtime: Runtime, row: Proposal, voices: list[str]) -> int:
    """How many of those with a voice in it want a proposal put to the vote: who signed, and who proposed it, once."""
    tags = set(session.exec(select(Petition.tag).where(Petition.proposal_id == row.id)))
    thread = session.get(ProposalThread, row.id)
    tag = None if thread is None or thread.key is None else weighing.tags(runtime, thread)
    return sum(one == row.author or (tag is not None and tag(one) in tags) for one in voices)


def signed_by(session: Session, runtime: Runtime, thread: ProposalThread, member: str) -> bool:
    """Whether a member signed, for their own page."""
    return thread.key is not None and session.get(Petition, (thread.proposal_id, weighing.tag(runtime, thread, member))) is not None


def needed(kind: str, voices: int) -> int:
    """How many of so many with a voice it takes."""
    lesser = min(MOST, max(1, -(-voices // SHARE)))
    return lesser if kind == "steward.remove" else min(max(1, voices), max(LEAST, lesser))


def carries(session: Session, runtime: Runtime, row: Proposal, voices: list[str]) -> bool:
    """Whether a proposal has what its petition takes of those with a voice in it."""
    return signatures(session, runtime, row, voices) >= needed(row.type, len(voices))


def told(session: Session, runtime: Runtime, row: Proposal, now: datetime) -> tuple[int, int] | tuple[None, None]:
    """How many signed and how many it takes, while that is open."""
    if row.state != "discussion":
        return None, None
    voices = [member for member, _ in queries.voices(session, row, queries.charter(session, row.collective_id, row.charter_n), now)]
    return signatures(session, runtime, row, voices), needed(row.type, len(voices))


def forget(session: Session, row: Proposal) -> None:
    """The text is frozen: who signed is nobody's to know any more. Or it would bring about something else than what they signed for."""
    weighing.unsign(session, _P.c.proposal_id == row.id, sa.true())
