"""Labs are told that an outcome which their releases rest on was made void. Nothing of theirs is released anew under it; what is out stays
as it is, as when a lab is refused."""

from datetime import datetime, timedelta
from functools import partial

from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.collectives import voiding
from app.collectives.models import OutcomeVoid, Proposal
from app.kit.background import each
from app.kit.db import read, write
from app.kit.runtime import Runtime
from app.releases.models import Release, ReleaseOutcome
from app.revocations import events
from app.revocations.acting import OUT

LATELY = timedelta(days=30)


def tell_holders(runtime: Runtime, outcome: str) -> None:
    """The job: tell of an outcome that was made void, once for each agreement with a release that rests on what it granted, or renewed."""
    with read(runtime.engine) as session:
        holders = _holding(session, outcome)
    if not holders:
        return
    with write(runtime.engine) as session:
        for agreement, lab in holders:
            events.tell(session, lab, "outcome.voided", agreement, outcome, runtime.clock.now())


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: tell of what was made void lately, should its job have been given up. Who was told is not told twice."""
    with read(runtime.engine) as session:
        lately = select(OutcomeVoid.proposal_id).where(OutcomeVoid.at > now - LATELY).order_by(OutcomeVoid.proposal_id)
        found = list(session.exec(lately))
    each(found, partial(tell_holders, runtime))


def _holding(session: Session, outcome: str) -> list[tuple[str, str]]:
    """(agreement, lab): the gate was shut with the outcome's leaf, so that no release of after it rests on what was granted."""
    if session.get(OutcomeVoid, outcome) is None:
        return []
    row = session.get_one(Proposal, outcome)
    resting = select(Release.agreement_id).join(ReleaseOutcome, ReleaseOutcome.release_id == Release.id)  # type: ignore[arg-type]
    resting = resting.where(ReleaseOutcome.outcome.in_(voiding.rested_on(session, row)), Release.state.in_(OUT))  # type: ignore[attr-defined]
    query = select(Agreement.id, Agreement.lab_id).where(Agreement.id.in_(resting), Agreement.lab_id == row.subject)  # type: ignore[attr-defined]
    return list(session.exec(query.order_by(Agreement.id)))
