"""Votes on statements as they are kept until the freeze: under a tag, whose key is then destroyed with every opening of their leaves."""

from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries
from app.collectives.models import Petition, Proposal
from app.collectives.thread_models import ProposalThread, StatementVote
from app.crypto.keyring import keyed_hash
from app.crypto.sealing import Sealer, new_key
from app.kit.db import for_update
from app.kit.errors import TooMany
from app.kit.runtime import Runtime
from app.log.models import LogEntry

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_VOTE = StatementVote.__table__  # type: ignore[attr-defined]
_PETITION = Petition.__table__  # type: ignore[attr-defined]
GONE = b""
"""What stands where a vote's opening was."""
CHANGES = 50
"""How often in a day (UTC) one voter says otherwise than before in one thread: each time is a leaf of the log for good."""


def of(session: Session, runtime: Runtime, row: Proposal) -> ProposalThread:
    """The thread of a proposal whose row is held, with its key."""
    found = session.get(ProposalThread, row.id)
    if found is None:
        found = ProposalThread(proposal_id=row.id, key=Sealer(runtime.keys.derive("threads")).seal(new_key(), row.id.encode()))
        session.add(found)
        session.flush()
    return found


def _key(runtime: Runtime, thread: ProposalThread) -> bytes:
    assert thread.key is not None
    return Sealer(runtime.keys.derive("threads")).open(bytes(thread.key), thread.proposal_id.encode())


def sealer(runtime: Runtime, thread: ProposalThread) -> Sealer:
    """Seals what a vote's leaf commits to, until the freeze."""
    return Sealer(_key(runtime, thread))


def tag(runtime: Runtime, thread: ProposalThread, member: str) -> str:
    """How one voter is called in one thread: nobody can tell who it is without the key."""
    return tags(runtime, thread)(member)


def tags(runtime: Runtime, thread: ProposalThread) -> Callable[[str], str]:
    """What gives the tag of each of many voters in one thread: its key is opened once."""
    key = _key(runtime, thread)
    return lambda member: keyed_hash(key, "voter", member, thread.proposal_id).hex()


def hold_discussed(session: Session, collective: str) -> None:
    """Take the rows of all proposals of a collective that are discussed, by id: before a membership, as whoever speaks in them does, and
    before votes, as a freeze does."""
    query = select(Proposal.id).where(Proposal.collective_id == collective, Proposal.state == "discussion")
    session.exec(for_update(query.order_by(Proposal.id), session)).all()


def forget_votes(session: Session, runtime: Runtime, contributor: str, collective: str) -> None:
    """Who leaves, or is erased, weighs no more in what is not frozen yet. The caller holds what is discussed (`hold_discussed`)."""
    query = select(ProposalThread).join(Proposal, sa.and_(Proposal.id == ProposalThread.proposal_id))
    member = queries.pseudonym(runtime, collective, contributor)
    for thread in session.exec(query.where(Proposal.collective_id == collective, ProposalThread.key != None)):
        called = tag(runtime, thread, member)
        take_away(session, _VOTE, _VOTE.c.tag == called)
        unsign(session, _PETITION.c.proposal_id == thread.proposal_id, _PETITION.c.tag == called)


def unsign(session: Session, *which: Any) -> bool:
    """Take signatures of petitions away; whether there were any."""
    return bool(take_away(session, _PETITION, *which))


def may_change(session: Session, tag: str, now: datetime) -> None:
    """Raises TooMany (votes_spent) where somebody whose proposal is held changed their votes in a thread as often today as they may."""
    changed = sa.select(sa.func.coalesce(sa.func.sum(_VOTE.c.changes), 0)).where(_VOTE.c.tag == tag, _VOTE.c.changed_on == now.date())
    if session.execute(changed).scalar_one() >= CHANGES:
        over = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo) - now
        raise TooMany(
            "votes_spent", "Let your last word stand for today; tomorrow you can change it again.", most=CHANGES, within_hours=24,
            retry_after=int(over.total_seconds()) + 1,
        )  # fmt: skip


def take_away(session: Session, table: Any, *which: Any) -> Sequence[Any]:
    """Delete votes, or signatures of petitions, and the openings of their leaves; gives the rows as they were."""
    gone = session.execute(sa.delete(table).where(*which).returning(*table.c)).all()
    indices = [row.log_index for row in gone]
    for start in range(0, len(indices), 5_000):
        session.execute(sa.update(_ENTRY).where(_ENTRY.c.log_index.in_(indices[start : start + 5_000])).values(sealed=GONE))
    return gone
