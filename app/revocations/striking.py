"""The end of a campaign, and what a strike that was called does to what is out.

The end of a campaign: the greatest set of pledges that supports itself acts, all of it in one transaction, or nobody does.

Each pledger's act is their own withdrawal, as they authorised it, noted in the narrowing journal as any other: what a crash cuts off is
done at the next start, for all of them. Order of locks: every pledger's key (by id, alone), the campaign, then as for any act.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.collectives import binding, campaigns, queries, strikes
from app.collectives.models import Campaign
from app.collectives.models import Strike as CalledStrike
from app.consents.models import Consent
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core.pledges import greatest_set
from app.kit.background import each
from app.kit.db import for_update, read, write
from app.kit.ids import PREFIXES
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.models import Lab
from app.revocations import events, service
from app.revocations.acting import Holder, close
from app.revocations.models import ConsentAct, SecurityEvent
from app.revocations.schemas import RevocationIn
from app.revocations.service import Strike

_TRIES = 20
ENDS = ("campaign.reached", "campaign.not-reached")
"""The leaves that tell of the end of a campaign."""
EXPIRES = timedelta(hours=24)
"""How late, at the most, a campaign that diverts is carried out."""


def resolve(runtime: Runtime, campaign: str) -> None:
    """The job: weigh the pledges, if it is time. Running it twice, or beside itself, does it once."""
    if not _is_worth_it(runtime, campaign):
        return
    for _ in range(_TRIES):
        with write(runtime.engine) as session:
            if _resolved(session, runtime, campaign, runtime.clock.now()):
                return
    raise RuntimeError("people go on pledging")  # the job is tried again


def carry_out(runtime: Runtime, strike: str) -> None:
    """The job of a strike that was called or ended: what mandated members gave is served to its target no more, holders are told, and the
    pledges that waited for the call are weighed. What is released anew is not looked at here: the gate is shut with the call.

    Without a mandate a member's records stay where they are until they say otherwise: only they can take them back.
    """
    with write(runtime.engine) as session:
        # The strike before the head, as whoever ends it takes them.
        row = session.exec(for_update(select(CalledStrike).where(CalledStrike.id == strike), session)).first()
        log.lock_head(session)  # every release of before the call is to be seen, and none of after it holds these
        if row is None or row.kind == "refuse_new":
            return
        campaign, now = row.campaign_id, runtime.clock.now()
        if row.told_at is None and row.ended_at is None:
            _close(session, row, now)
        elif row.told_at is not None and row.ended_at is not None and row.end_told_at is None:
            holders = select(SecurityEvent.subject, SecurityEvent.lab_id)
            for agreement, lab in session.exec(holders.where(SecurityEvent.type == "strike.called", SecurityEvent.what == strike)).all():
                events.tell(session, lab, "strike.ended", agreement, strike, now)
            row.end_told_at = now
            session.add(row)
    if campaign is not None:
        resolve(runtime, campaign)


def _close(session: Session, row: CalledStrike, now: datetime) -> None:
    running = row.until is None or row.until > now  # else it was over before anybody could be told
    author = Contribution.__table__.c.contributor_id  # type: ignore[attr-defined]
    theirs = session.execute(binding.mandated(row.collective_id, now.date()).add_columns(author)).all() if running else []
    people: dict[str, str] = dict(map(tuple, theirs))
    leaves = []

    def reaches(agreement: Agreement) -> bool:
        return agreement.lab_id == row.lab_id if row.purpose is None else agreements.touches(session, agreement, row.purpose)

    for one in close(session, list(people), reaches, now):
        events.tell(session, one.agreement.lab_id, "strike.called", one.agreement.id, row.id, now)
        if len({people[contribution] for contribution in one.contributions}) < queries.FEWEST:
            continue  # the log says of nobody, and of no few, that a lab holds what they gave
        lab = session.get_one(Lab, one.agreement.lab_id)
        body = {"strike": row.id, "kind": row.kind, "lab": lab.legal_name, "lab_id": lab.id}
        leaves.append(log.institutional("strike.told", one.agreement.id, body, now))
    row.told_at = now
    session.add(row)
    session.flush()
    if leaves:
        log.append(session, leaves, now)


def _is_worth_it(runtime: Runtime, campaign: str) -> bool:
    """Whether a campaign is to end now. Before its deadline most looks find too few: those are spared everybody's key, and wait for nobody but
    whoever is pledging, whom they would else not see."""
    with write(runtime.engine) as session:
        row = session.exec(for_update(select(Campaign).where(Campaign.id == campaign), session)).first()
        now = runtime.clock.now()
        if row is None or not _is_due(session, row, now):
            return False
        if row.deadline <= now:
            return True
        return campaigns.count(session, row) >= row.at_least and len(_greatest(row, campaigns.opened(session, runtime, row))) >= row.at_least


def _greatest(row: Campaign, given: Iterable[campaigns.Given]) -> frozenset[str]:
    """Who acts: the greatest set that supports itself, or nobody where that is smaller than the campaign takes."""
    found = greatest_set({one.contributor: one.threshold for one in given})
    return found if len(found) >= row.at_least else frozenset()


def _resolved(session: Session, runtime: Runtime, campaign: str, now: datetime) -> bool:
    """Whether there is nothing more to do; False where somebody pledged between the look and the lock."""
    row = session.get(Campaign, campaign)
    if row is None or not _is_due(session, row, now):
        return True
    # Keys before the campaign, as whoever pledges takes them. Who was erased meanwhile is not there; what is there stays until this
    # ends, with nothing of theirs recorded beside it.
    asked = {one.contributor for one in campaigns.opened(session, runtime, row)}
    there = {one for one in sorted(asked) if contributors.hold(session, runtime.keys, one, exclusive=True) is not None}
    locked = for_update(select(Campaign).where(Campaign.id == campaign), session).execution_options(populate_existing=True)
    row = session.exec(locked).one()
    if not _is_due(session, row, now):
        return True
    given = campaigns.opened(session, runtime, row)
    if {one.contributor for one in given} - asked:
        return False
    # Pledges that wait for a call do nothing without one.
    asked_for = row.mode != "called" or strikes.called_in_time(session, row)
    # A consent in advance is none any more when its day is long over.
    asked_for &= row.action != "divert" or now <= row.deadline + EXPIRES
    acting = _greatest(row, [one for one in given if asked_for and one.contributor in there])
    if acting:
        campaigns.close(session, row, "reached", len(acting))
        runtime.jobs.enqueue(session, "label", row.id)
        if row.until is not None:
            runtime.jobs.enqueue(session, "label", row.id, key="over", delay=max(0.0, (row.until - now).total_seconds()) + 1)
        for one in given:
            if one.contributor in acting:
                _act(session, runtime, row, one, now)
    elif row.deadline <= now:
        campaigns.close(session, row, "not_reached", 0)
    else:
        return True
    _tell(session, runtime, row, now)
    return True


def _is_due(session: Session, row: Campaign, now: datetime) -> bool:
    if row.state != "open":
        return False
    return row.deadline <= now or row.mode == "instant" or (row.mode == "called" and strikes.called_in_time(session, row))


def _act(session: Session, runtime: Runtime, row: Campaign, one: campaigns.Given, now: datetime) -> None:
    if row.action == "divert":
        _divert(session, runtime, row, one, now)
        return
    act = PREFIXES["revocation"] + one.id[len(PREFIXES["pledge"]) :]
    if session.get(ConsentAct, act) is not None:
        return  # done from its line in the journal, after a crash between that and the commit
    asked = RevocationIn(scope="purpose", purpose=row.purpose) if row.lab_id is None else RevocationIn(scope="lab", lab=row.lab_id)
    strike = Strike(
        pledge=one.id, since=now if row.action == "refuse_new" else None, until=row.until if row.action == "pause" else None
    )
    service.withdraw(session, runtime, Holder(one.contributor, one.contribution), asked, now=now, act=act, strike=strike)


def _divert(session: Session, runtime: Runtime, row: Campaign, one: campaigns.Given, now: datetime) -> None:
    """The terms that a pledger gave in advance, on each contribution that they named, and on none whose terms they changed since."""
    book: PolicyBook = runtime.parts["policies"]
    policy, pledged = book.by_digest(str(one.policy)), datetime.fromisoformat(one.at)
    since = sa.or_(Consent.given_at > pledged, Consent.ended_at > pledged)  # type: ignore[arg-type,operator]
    # What was said of everything since, to take it back or otherwise, was said of what the standing terms alone govern.
    all_of_it = sa.and_(Consent.contribution_id == None, Consent.contributor_id == one.contributor)  # type: ignore[arg-type]
    changed = sa.exists().where(sa.or_(Consent.contribution_id == Contribution.id, all_of_it), since)  # type: ignore[arg-type]
    mine = select(Contribution.id).where(Contribution.contributor_id == one.contributor, Contribution.state == "live", ~changed)
    # For whoever they admit: but not for whom, or for what, it is against.
    but = {name: value for name, value in (("lab", row.lab_id), ("purpose", row.purpose)) if value is not None}
    for contribution in session.exec(mine.where(Contribution.id.in_(one.contributions)).order_by(Contribution.id)).all():  # type: ignore[attr-defined]
        service.scope(
            session, runtime, Holder(one.contributor, None), contribution, policy, one.language, None, now=now,
            proven={"capability": "receipt", "pledge": one.id}, only=row.to_lab_id,
            but=but if row.to_lab_id is None else None,
        )  # fmt: skip


def end_all(session: Session, runtime: Runtime, told: Collection[str], now: datetime) -> int:
    """End every campaign that runs: the database was set back, and nobody knows which pledges were taken back, or carried out, since. Those
    whose end is `told` in the log already are not told of again. Gives how many."""
    running = session.exec(select(Campaign).where(Campaign.state == "open").order_by(Campaign.id)).all()
    for row in running:
        row.set_back = True
        campaigns.close(session, row, "not_reached", 0)
        if row.id not in told:
            _tell(session, runtime, row, now)
    return len(running)


def _tell(session: Session, runtime: Runtime, row: Campaign, now: datetime) -> None:
    """In the open: what was asked of whom and whether enough acted; how many in the log's steps, and of ten or more."""
    collective = queries.collective_of(session, row.collective_id)
    lab = None if row.lab_id is None else session.get_one(Lab, row.lab_id)
    terms = campaigns.terms_sha256(row, campaigns.policy_of(runtime, row))
    body = {
        "name": collective.name if collective.listed else None, "terms_sha256": terms, "action": row.action,
        "lab": None if lab is None else lab.legal_name, "lab_id": row.lab_id, "purpose": row.purpose,
        "acted": log.bucket(row.executed) if row.executed >= queries.FEWEST else None, **({"set_back": True} if row.set_back else {}),
    }  # fmt: skip
    log.append(session, [log.institutional(ENDS[row.state != "reached"], row.id, body, now)], now)


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: end what should have ended, and tell what should have been told, should its job have been given up."""
    with read(runtime.engine) as session:
        waiting = list(session.exec(select(Campaign.id).where(Campaign.state == "open", Campaign.deadline <= now).order_by(sa.asc(Campaign.id))))  # type: ignore[arg-type]
        call = sa.and_(CalledStrike.told_at == None, CalledStrike.ended_at == None)  # type: ignore[arg-type]
        end = sa.and_(CalledStrike.told_at != None, CalledStrike.ended_at != None, CalledStrike.end_told_at == None)  # type: ignore[arg-type]
        untold = select(CalledStrike.id).where(sa.or_(call, end), CalledStrike.kind != "refuse_new")
        strikes_ = list(session.exec(untold.order_by(sa.asc(CalledStrike.id))))  # type: ignore[arg-type]
    acts = [*((partial(resolve, runtime), one) for one in waiting), *((partial(carry_out, runtime), one) for one in strikes_)]
    each(acts, lambda due: due[0](due[1]))
