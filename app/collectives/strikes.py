"""Strikes that a collective calls and ends by vote.

A called strike denies: from its place in the log on nothing of any member goes to its target, mandated or not, as with a lab that is
refused; leaving ends that for who leaves. It ends nobody's consent. What is out already is closed for those alone who mandated the
collective for it (`revocations/striking.py`), and taken back for those alone who pledged that beforehand, for this very call.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries
from app.collectives.models import Campaign, Collective, Proposal, Strike
from app.collectives.schemas import StrikeIn
from app.consents.models import Narrowing
from app.core.canonical import canonical
from app.core.pledges import FEWEST_TOGETHER
from app.core.strictjson import parse
from app.kit.clock import rfc3339
from app.kit.db import for_update
from app.kit.errors import Invalid
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab

LISTED = 100
"""Strikes that are listed at the most."""


def terms_of(session: Session, collective: str, given: StrikeIn, close_at: datetime, now: datetime) -> bytes:
    """The terms of a strike that is proposed, canonical. Raises Invalid (strike_invalid, policy_unknown_term)."""
    queries.check_target(session, given.lab, given.purpose, "strike_invalid")
    if given.until is not None and (given.kind != "pause" or given.until <= close_at):
        raise Invalid("strike_invalid", "Only a pause has an `until`, after its ballot has closed.")
    if (given.campaign is None) == (given.kind == "withdraw"):
        raise Invalid("strike_invalid", "To withdraw takes the pledges of a `campaign`, and nothing else does.")
    if given.campaign is not None:
        found = session.get(Campaign, given.campaign)
        fits = found is not None and (found.collective_id, found.state, found.mode, found.action) == (collective, "open", "called", "withdraw")
        if found is None or not fits or (found.lab_id, found.purpose) != (given.lab, given.purpose) or found.deadline <= close_at:
            raise Invalid("strike_invalid", "Name an open `campaign` against the same, of the mode `called`, that lasts beyond the ballot.")
    if running_against(session, collective, given.lab, given.purpose, now):
        raise Invalid("strike_invalid", "A strike against it is running; end that first.")
    return canonical(
        {
            "kind": given.kind, "lab": given.lab, "purpose": given.purpose, "until": None if given.until is None else rfc3339(given.until),
            "campaign": given.campaign,
        }
    )  # fmt: skip


def to_end(session: Session, collective: str, strike: str | None, now: datetime) -> bytes:
    """The terms of a strike that is to be ended, with its id. Raises Invalid (proposal_invalid)."""
    row = None if strike is None else session.get(Strike, strike)
    if row is None or row.collective_id != collective or not _runs(row, now):
        raise Invalid("proposal_invalid", "Give the id of a strike that is running as `subject`.", takes=["subject"])
    until = None if row.until is None else rfc3339(row.until)
    return canonical({"id": row.id, "kind": row.kind, "lab": row.lab_id, "purpose": row.purpose, "until": until, "campaign": row.campaign_id})


def read_terms(body: bytes) -> dict[str, Any]:
    """Terms as they were proposed."""
    found: dict[str, Any] = parse(body, max_bytes=len(body))
    return found


def _runs(row: Strike, now: datetime) -> bool:
    return row.ended_at is None and (row.until is None or row.until > now)


def running_against(session: Session, collective: str, lab: str | None, purpose: str | None, now: datetime) -> bool:
    """Whether a strike of a collective runs against exactly this lab, or this purpose."""
    query = select(Strike).where(Strike.collective_id == collective, Strike.ended_at == None, Strike.lab_id == lab, Strike.purpose == purpose)
    return any(_runs(row, now) for row in session.exec(query))


class Executed(NamedTuple):
    """That people of a collective act together against a lab, or against a purpose; `public` where they are ten or more of a public one,
    of a strike when it was called."""

    collective: str
    lab: str | None
    purpose: str | None
    public: bool

    def counts_for(self, collectives: Collection[str]) -> bool:
        """Whether it makes decisions of these contested: their own does, and of others one that is public, so that nobody alone can do that."""
        return self.public or self.collective in collectives


def executed(session: Session, now: datetime, lab: str | None = None) -> list[Executed]:
    """The strikes that run and the campaigns that were reached, of all collectives; against everybody and everything, or one `lab`. A pause that
    was pledged counts until its day, what a called strike set off as long as that runs, and what fewer people did than a campaign takes never."""
    query = select(Strike).where(Strike.ended_at == None)
    running = session.exec(query if lab is None else query.where(Strike.lab_id == lab)).all()
    found = [Executed(one.collective_id, one.lab_id, one.purpose, one.public) for one in running if _runs(one, now)]
    reached = select(Campaign, Collective.listed).join(Collective, sa.and_(Collective.id == Campaign.collective_id))
    reached = reached.where(Campaign.state == "reached", Campaign.executed >= FEWEST_TOGETHER, Campaign.executed >= Campaign.at_least)
    reached = reached.where(sa.or_(Campaign.until == None, Campaign.until > now))  # type: ignore[arg-type,operator]
    called = sa.exists().where(Strike.campaign_id == Campaign.id, Strike.ended_at == None)  # type: ignore[arg-type]
    reached = reached.where(sa.or_(Campaign.mode != "called", called))  # type: ignore[arg-type]
    for one, listed in session.exec(reached if lab is None else reached.where(Campaign.lab_id == lab)):
        found.append(Executed(one.collective_id, one.lab_id, one.purpose, listed and one.executed >= queries.FEWEST))
    return found


def call(
    session: Session, runtime: Runtime, row: Collective, strike: str, terms: dict[str, Any], *, now: datetime, since: datetime | None = None,
    act: str | None = None, public: bool | None = None,
) -> None:  # fmt: skip
    """Call a strike, the collective held; it is in force with its leaf. `strike` is the proposal that was passed, and `since` and `public` are
    given where a call of before is done again: whether all are told whose strike it is, is looked at once."""
    if session.get(Strike, strike) is not None:
        return  # done from its line in the journal, after a crash between that and the commit
    until, begun = terms["until"], since or now
    made = Strike(
        id=strike, collective_id=row.id, kind=terms["kind"], lab_id=terms["lab"], purpose=terms["purpose"], since=begun,
        public=_is_public(session, row) if public is None else public,
        until=None if until is None else datetime.fromisoformat(until), campaign_id=terms["campaign"],
    )  # fmt: skip
    session.add(made)
    session.flush()
    if made.kind != "refuse_new":
        runtime.jobs.enqueue(session, "strike", strike)
    runtime.jobs.enqueue(session, "label", strike)
    if made.until is not None:
        runtime.jobs.enqueue(session, "label", strike, key="over", delay=max(0.0, (made.until - now).total_seconds()) + 1)
    leaf = log.institutional("collective.strike-called", strike, {**_told(session, row, made), "until": until}, now)
    line = {"collective": row.id, "strike": strike, "terms": terms, "since": rfc3339(begun), "public": made.public}
    index = log.append_narrowing(session, leaf, act or random_id("act"), "strike", now, **line)
    session.add(Narrowing(log_index=index, collective_id=row.id, at=now))


def end(session: Session, runtime: Runtime, row: Collective, strike: str, outcome: str, *, now: datetime, act: str | None = None) -> bool:
    """End a strike, the collective held; whether it ran. Noted like its call, so that a call which is done again is ended again."""
    found = session.exec(for_update(select(Strike).where(Strike.id == strike), session).execution_options(populate_existing=True)).first()
    if found is None or found.ended_at is not None:
        return False
    found.ended_at, found.ended_by = now, outcome
    session.add(found)
    session.flush()
    if found.kind != "refuse_new":
        runtime.jobs.enqueue(session, "strike", strike, key="end")
    runtime.jobs.enqueue(session, "label", strike, key="end")
    leaf = log.institutional("collective.strike-ended", strike, {**_told(session, row, found), "outcome": outcome}, now)
    index = log.append_narrowing(session, leaf, act or random_id("act"), "strike-end", now, collective=row.id, strike=strike, outcome=outcome)
    session.add(Narrowing(log_index=index, collective_id=row.id, at=now))
    return True


def _is_public(session: Session, row: Collective) -> bool:
    """Whether a strike that is called now is told of in the open: of a collective that is public, and not of a few people."""
    return row.listed and queries.members(session, row.id) >= queries.FEWEST


def _told(session: Session, row: Collective, found: Strike) -> dict[str, Any]:
    lab = None if found.lab_id is None else session.get_one(Lab, found.lab_id)
    return {
        "collective": row.id, "name": (row.name or None) if found.public else None, "kind": found.kind,
        "lab": None if lab is None else lab.legal_name, "lab_id": found.lab_id, "purpose": found.purpose,
    }  # fmt: skip


def of_collective(session: Session, collective: str) -> list[Strike]:
    """A collective's strikes, the newest first."""
    query = select(Strike).where(Strike.collective_id == collective)
    return list(session.exec(query.order_by(sa.desc(Strike.since), sa.desc(Strike.id)).limit(LISTED)))  # type: ignore[arg-type]


def called_in_time(session: Session, campaign: Campaign) -> bool:
    """Whether a strike runs that a campaign's pledges wait for, called before its deadline."""
    query = select(Strike.id).where(Strike.campaign_id == campaign.id, Strike.since <= campaign.deadline, Strike.ended_at == None)
    return session.exec(query.limit(1)).first() is not None


def bring_about(session: Session, runtime: Runtime, row: Collective, proposal: Proposal, now: datetime) -> bool:
    """What a strike.call, or a strike.end, that was passed does; the collective and the proposal are held. Whether it did anything, now or
    from its line in the journal after a crash."""
    terms = read_terms(proposal.strike or b"{}")
    if proposal.type == "strike.end":
        return end(session, runtime, row, terms["id"], proposal.id, now=now) or _ended_by(session, terms["id"]) == proposal.id
    if session.get(Strike, proposal.id) is not None:
        return True
    # Looked at when it was proposed too. Another that was proposed beside it may run by now, and an alternative, or what was put off, is
    # counted later than its text thought.
    over = terms["until"] is not None and datetime.fromisoformat(terms["until"]) <= now
    if over or running_against(session, row.id, terms["lab"], terms["purpose"], now):
        return False
    call(session, runtime, row, proposal.id, terms, now=now)
    return True


def _ended_by(session: Session, strike: str) -> str | None:
    found = session.get(Strike, strike)
    return None if found is None else found.ended_by

