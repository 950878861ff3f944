"""An outcome that gave a lab something can be made void for a year, where somebody who works for the lab had a vote and had not said so.

Nobody can tell whose a ballot was, and nobody is asked to: a proposal says of which outcome how many ballots are meant, and names no
member. It is decided as a refusal is, and what comes of it is what comes of one: what was granted ends for good.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import licensing, petitioning, queries, threads
from app.collectives.models import Collective, LabUse, Membership, OutcomeRow, OutcomeVoid, Proposal
from app.consents.models import Narrowing
from app.kit.db import for_update
from app.kit.errors import Conflict, Invalid
from app.kit.ids import PREFIXES, random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab

TIME = timedelta(days=365)
"""How long after the count an outcome can be put to the vote again."""
GAVE = ("licence.use", "licence.renew", "licence.grant")
"""Types of decisions that give a lab something."""
PASSED = ("appeal", "in_force")
_PERSON = re.compile(rf"\b{PREFIXES['member']}_[0-9a-z]{{6,}}", re.IGNORECASE)
SHORT = 6
"""So many characters of a pseudonym, behind its prefix, pages show of a member."""
_WORD = re.compile(rf"(?<![0-9a-z])[0-9a-z]{{{SHORT},}}", re.IGNORECASE)
_MEMBERS = Membership.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Voided:
    """What making an outcome void did, as its line in the narrowing journal has it: what a database that was set back knows of the
    outcome may be less, and must not end less."""

    decision: str
    lab: str
    first: str
    """The proposal by which it was granted first."""
    ended: bool
    """Whether that was in force, and ends."""
    refused: bool
    """Whether a refusal of the lab stands again."""
    told: bool
    """Whether all may read who and whom it is about."""


def to_void(session: Session, collective: str, outcome: str | None, ballots: int, now: datetime) -> Proposal:
    """The proposal whose outcome is to be made void. Raises Invalid (proposal_invalid) or Conflict (outcome_final)."""
    row = None if outcome is None else session.get(Proposal, outcome)
    found = None if row is None else session.get(OutcomeRow, row.id)
    if row is None or found is None or row.collective_id != collective or row.type not in GAVE or row.state not in PASSED:
        raise Invalid("proposal_invalid", "As `subject`, give the proposal by which a lab was granted something here.", takes=["ballots", "subject"])
    if ballots > int(json.loads(bytes(found.body))["turnout"]):
        raise Invalid("proposal_invalid", "Give in `ballots` at most as many as were counted.", takes=["ballots", "subject"])
    if now >= found.at + TIME:
        raise Conflict("outcome_final", "Propose to refuse the lab (licence.recall): that can be done at any time.")
    return row


def names_nobody(session: Session, collective: str, text: str) -> None:
    """Raises Invalid (person_named) where a text names a member by their pseudonym, or by as much of it as pages show."""
    column = sa.func.substr(_MEMBERS.c.member, len(PREFIXES["member"]) + 2, SHORT)
    found = sorted({word[:SHORT] for word in _WORD.findall(text.lower())})
    for start in range(0, len(found), 500):
        called = _MEMBERS.c.collective_id == collective, column.in_(found[start : start + 500])
        if session.execute(sa.select(_MEMBERS.c.id).where(*called).limit(1)).first() is not None:
            break
    else:
        if not _PERSON.search(text):
            return
    raise Invalid("person_named", "Say how many ballots are meant, and leave out whose.")


def can_be_void(session: Session, collective: str, now: datetime) -> list[Proposal]:
    """What can be made void, the newest outcome first."""
    query = select(Proposal).join(OutcomeRow, sa.and_(OutcomeRow.proposal_id == Proposal.id))
    query = query.where(Proposal.collective_id == collective, Proposal.type.in_(GAVE), Proposal.state.in_(PASSED), OutcomeRow.at > now - TIME)  # type: ignore[attr-defined]
    return list(session.exec(query.order_by(sa.desc(OutcomeRow.log_index))))  # type: ignore[arg-type]


def hold(session: Session, row: Proposal) -> None:
    """Take the rows that a refusal of a lab, or this, will change, before the log's head as everywhere; the collective and `row` are held."""
    uses = select(LabUse).where(LabUse.collective_id == row.collective_id, LabUse.lab_id == row.subject)
    if row.type == "outcome.void":
        session.exec(for_update(select(Proposal).where(Proposal.id == row.about), session).execution_options(populate_existing=True)).one()
    session.exec(for_update(uses.order_by(LabUse.use_id), session).execution_options(populate_existing=True)).all()  # type: ignore[arg-type]


def bring_about(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> bool:
    """What an outcome.void that was passed does; the collective and the proposal are held. Whether this vote did it, now or before."""
    target, made = session.get_one(Proposal, row.about), session.get(OutcomeVoid, row.about)
    if made is not None:
        return made.voided_by == row.id  # by this one where it was done from its line in the journal, after a crash
    if target.state not in PASSED:
        return False  # it came to nothing meanwhile
    held, grants = target.state == "in_force", target.type == "licence.grant"
    # Fewer, or a group that is not public, accuse nobody in public: there the lab has no reply.
    told = collective.listed and (row.electorate_size or 0) >= queries.FEWEST
    done = Voided(target.type, str(target.subject), granted_first(target), held and not grants, held and grants, told)
    make_void(session, runtime, collective, target.id, done, row.id, now=now)
    return True


def make_void(
    session: Session, runtime: Runtime, collective: Collective, outcome: str, done: Voided, by: str, *, now: datetime, act: str | None = None
) -> bool:
    """Make an outcome void, once, by the decision `by`; the collective is held. What it granted ends as a refusal of the lab ends it, and
    what waits does not come into force. A refusal that it took back stands again.

    Also in a database that was set back, where the outcome may not be there, or not decided yet: what had ended ends, by the proposal that
    granted it first, and that one does not come into force either. Whether there was anything of it.
    """
    target, first = session.get(Proposal, outcome), session.get(Proposal, done.first)
    # Of what is not there its first grant stands for it, at which its releases and their holders are found.
    stopped = [one for one in (target, first if done.ended and (target is None or _waits(first)) else None) if one is not None]
    stopped = [one for one in {one.id: one for one in stopped}.values() if session.get(OutcomeVoid, one.id) is None]
    if not stopped:
        return False
    lab = session.get_one(Lab, done.lab)
    waited = [one.request_id for one in stopped if one.request_id is not None and one.state != "in_force"]
    for one in stopped:
        if one.state == "discussion":
            petitioning.forget(session, one)
            threads.freeze(session, runtime, one, queries.charter(session, collective.id, one.charter_n), now)
        one.state = "voided"
        session.add(one)
    session.flush()
    if done.ended:
        licensing.end(session, collective.id, done.first, now)
    if done.refused:
        licensing.set_refusal(session, collective, lab.id, True, by, now=now)
    body = {
        "name": collective.name if done.told else None, "lab": lab.legal_name if done.told else None, "lab_id": lab.id if done.told else None,
        "decision": done.decision, "voided": outcome if done.told else None, "outcome": by,
    }  # fmt: skip
    leaf = log.institutional("collective.outcome-voided", collective.id, body, now)
    line = {"collective": collective.id, "voided": outcome, "outcome": by, "did": asdict(done)}
    index = log.append_narrowing(session, leaf, act or random_id("act"), "void", now, **line)
    session.add(Narrowing(log_index=index, collective_id=collective.id, at=now))
    for one in stopped:
        session.add(OutcomeVoid(proposal_id=one.id, voided_by=by, log_index=index, at=now))
    session.flush()
    for one in stopped:
        runtime.jobs.enqueue(session, "voided", one.id)
        runtime.jobs.enqueue(session, "label", one.id, key="voided")
        if one.request_id in waited:
            runtime.jobs.enqueue(session, "asked", one.id)
    return True


def _waits(row: Proposal | None) -> bool:
    return row is not None and row.state in ("discussion", "ballot", "appeal")


def granted_first(row: Proposal) -> str:
    """The proposal by which a use was granted that this one granted, or renewed."""
    return row.about if row.type == "licence.renew" and row.about is not None else row.id


def rested_on(session: Session, row: Proposal) -> list[str]:
    """All outcomes that what was granted rested on: the first, and every renewal."""
    first = granted_first(row)
    query = select(Proposal.id).where(Proposal.collective_id == row.collective_id, Proposal.about == first, Proposal.type == "licence.renew")
    return [first, *session.exec(query.order_by(Proposal.id))]
