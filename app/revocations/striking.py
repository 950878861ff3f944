"""The end of a campaign: the greatest set of pledges that supports itself acts, all of it in one transaction, or nobody does.

Each pledger's act is their own withdrawal, as they authorised it, noted in the narrowing journal as any other: what a crash cuts off is
done at the next start, for all of them. Order of locks: every pledger's key (by id, alone), the campaign, then as for any act.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import campaigns, queries
from app.collectives.models import Campaign
from app.core.pledges import greatest_set
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.models import Lab
from app.revocations import service
from app.revocations.acting import Holder
from app.revocations.schemas import RevocationIn
from app.revocations.service import Strike

_TRIES = 20


def resolve(runtime: Runtime, campaign: str) -> None:
    """The job: weigh the pledges, if it is time. Running it twice, or beside itself, does it once."""
    for _ in range(_TRIES):
        with write(runtime.engine) as session:
            if _resolved(session, runtime, campaign, runtime.clock.now()):
                return
    raise RuntimeError("people go on pledging")  # the job is tried again


def _resolved(session: Session, runtime: Runtime, campaign: str, now: datetime) -> bool:
    """Whether there is nothing more to do; False where somebody pledged between the look and the lock."""
    row = session.get(Campaign, campaign)
    if row is None or not _is_due(row, now):
        return True
    # Keys before the campaign, as whoever pledges takes them. Who was erased meanwhile is not there; what is there stays until this
    # ends, with nothing of theirs recorded beside it.
    asked = {one.contributor for one in campaigns.opened(session, runtime, row)}
    there = {one for one in sorted(asked) if contributors.hold(session, runtime.keys, one, exclusive=True) is not None}
    locked = for_update(select(Campaign).where(Campaign.id == campaign), session).execution_options(populate_existing=True)
    row = session.exec(locked).one()
    if not _is_due(row, now):
        return True
    given = campaigns.opened(session, runtime, row)
    if {one.contributor for one in given} - asked:
        return False
    acting = greatest_set({one.contributor: one.threshold for one in given if one.contributor in there})
    if acting:
        campaigns.close(session, row, "reached", len(acting))
        for one in given:
            if one.contributor in acting:
                _act(session, runtime, row, one, now)
    elif row.deadline <= now:
        campaigns.close(session, row, "not_reached", 0)
    else:
        return True
    _tell(session, row, now)
    return True


def _is_due(row: Campaign, now: datetime) -> bool:
    return row.state == "open" and (row.deadline <= now or row.mode == "instant")


def _act(session: Session, runtime: Runtime, row: Campaign, one: campaigns.Given, now: datetime) -> None:
    asked = RevocationIn(scope="purpose", purpose=row.purpose) if row.lab_id is None else RevocationIn(scope="lab", lab=row.lab_id)
    strike = Strike(
        pledge=one.id, since=now if row.action == "refuse_new" else None, until=row.until if row.action == "pause" else None
    )
    service.withdraw(session, runtime, Holder(one.contributor, one.contribution), asked, now=now, strike=strike)


def _tell(session: Session, row: Campaign, now: datetime) -> None:
    """In the open: what was asked of whom and whether enough acted; how many in the log's steps, and of ten or more."""
    collective = queries.collective_of(session, row.collective_id)
    lab = None if row.lab_id is None else session.get_one(Lab, row.lab_id)
    body = {
        "name": collective.name if collective.listed else None, "terms_sha256": campaigns.terms_sha256(row), "action": row.action,
        "lab": None if lab is None else lab.legal_name, "lab_id": row.lab_id, "purpose": row.purpose,
        "acted": log.bucket(row.executed) if row.executed >= queries.FEWEST else None,
    }  # fmt: skip
    kind = "campaign.reached" if row.state == "reached" else "campaign.not-reached"
    log.append(session, [log.institutional(kind, row.id, body, now)], now)


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: end what should have ended, should its job have been given up."""
    with read(runtime.engine) as session:
        waiting = list(session.exec(select(Campaign.id).where(Campaign.state == "open", Campaign.deadline <= now).order_by(sa.asc(Campaign.id))))  # type: ignore[arg-type]
    for campaign in waiting:
        resolve(runtime, campaign)
