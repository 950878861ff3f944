"""An outcome that gave a lab something can be made void for a year, where somebody who works for the lab had a vote and had not said so.

Nobody can tell whose a ballot was, and nobody is asked to: a proposal says of which outcome how many ballots are meant, and names no
member. It is decided as a refusal is, and what comes of it is what comes of one: what was granted ends for good.
"""

import json
import re
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import licensing
from app.collectives.models import Collective, LabUse, OutcomeRow, OutcomeVoid, Proposal
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


def names_nobody(text: str) -> None:
    """Raises Invalid (person_named) where a text names a member by their pseudonym."""
    if _PERSON.search(text):
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
    if made is None:
        make_void(session, runtime, collective, target, row.id, now=now)
    return made is None or made.voided_by == row.id  # by this one where it was done from its line in the journal, after a crash


def make_void(
    session: Session, runtime: Runtime, collective: Collective, target: Proposal, by: str, *, now: datetime, act: str | None = None
) -> None:
    """Make an outcome void, once, by the decision `by`; the collective is held. What it granted ends as a refusal of the lab ends it, and
    what waits for its appeal does not come into force. A refusal that it took back stands again."""
    held, lab = target.state == "in_force", session.get_one(Lab, target.subject)
    if held and target.type == "licence.grant":
        licensing.set_refusal(session, collective, lab.id, True, by, now=now)
    elif held:
        licensing.end(session, collective.id, granted_first(target), now)
    target.state = "voided"
    session.add(target)
    session.flush()
    body = {
        "name": collective.name if collective.listed else None, "lab": lab.legal_name, "lab_id": lab.id, "decision": target.type,
        "voided": target.id, "outcome": by,
    }  # fmt: skip
    leaf = log.institutional("collective.outcome-voided", collective.id, body, now)
    line = {"collective": collective.id, "voided": target.id, "outcome": by}
    index = log.append_narrowing(session, leaf, act or random_id("act"), "void", now, **line)
    session.add(Narrowing(log_index=index, collective_id=collective.id, at=now))
    session.add(OutcomeVoid(proposal_id=target.id, voided_by=by, log_index=index, at=now))
    session.flush()
    runtime.jobs.enqueue(session, "voided", target.id)
    runtime.jobs.enqueue(session, "label", target.id, key="voided")
    if target.request_id is not None and not held:
        runtime.jobs.enqueue(session, "asked", target.id)


def granted_first(row: Proposal) -> str:
    """The proposal by which a use was granted that this one granted, or renewed."""
    return row.about if row.type == "licence.renew" and row.about is not None else row.id


def rested_on(session: Session, row: Proposal) -> list[str]:
    """All outcomes that what was granted rested on: the first, and every renewal."""
    first = granted_first(row)
    query = select(Proposal.id).where(Proposal.collective_id == row.collective_id, Proposal.about == first, Proposal.type == "licence.renew")
    return [first, *session.exec(query.order_by(Proposal.id))]
