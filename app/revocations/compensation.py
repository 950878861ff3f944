"""What a lab owes to whom, where the terms that it signed ask for payment: lines that add up to each duty's total.

Lines are made when a release is first handed over, by a job, in one transaction. `record`: each record is paid for once under an
agreement, with the first release that was handed over with it. `release` and `year`: one sum for each release, or for each year from
the first one on, shared by the records whose terms ask for it. A line is due, paid (the lab says so, with evidence) or disputed (the
payee says so). No money passes through here, and the public log has totals of ten payees or more alone.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.collectives.models import Membership, Proposal
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core.groups import LEAST
from app.core.lines import owed, split
from app.crypto.commitment import payee, rid_seed
from app.kit.db import for_update, write
from app.kit.errors import Conflict, NotFound
from app.kit.ids import new_id, random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors, passkeys
from app.parties.models import Lab
from app.releases.models import Release, ReleaseItem
from app.releases.rows import Terms, read_terms
from app.revocations.acting import Holder, keep, person_acting
from app.revocations.models import CompensationLine

PAY_WITHIN = timedelta(days=30)
YEAR = timedelta(days=365)
_C = Contribution.__table__  # type: ignore[attr-defined]
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_LINE = CompensationLine.__table__  # type: ignore[attr-defined]
_SOME = 2_000
_UNKNOWN = "Look at the ids; each must be of a line that is yours."


@dataclass
class _Pool:
    """The records of a release whose terms carry one duty, by who is to be paid: a contributor's or a collective's id."""

    duty: dict[str, str]
    people: Counter[str] = field(default_factory=Counter)
    collectives: Counter[str] = field(default_factory=Counter)
    one: dict[str, str] = field(default_factory=dict)
    """One contribution of each contributor's: all of them, where it is one."""

    @property
    def records(self) -> dict[str, int]:
        return {**self.people, **self.collectives}


def named(duty: dict[str, str]) -> str:
    """A duty as a line names it: `0.50 EUR record`."""
    return f"{duty['amount']} {duty['currency']} {duty['per']}"


def draw_up(runtime: Runtime, release: str) -> None:
    """The job: make the lines of a release that are not there yet, and come back where something is owed by the year."""
    now = runtime.clock.now()
    with write(runtime.engine) as session:
        row = session.get(Release, release)
        if row is None or row.state not in ("published", "superseded"):
            return
        query = for_update(select(Agreement).where(Agreement.id == row.agreement_id), session)
        agreement = session.exec(query.execution_options(populate_existing=True)).one()
        first = session.exec(select(sa.func.min(CompensationLine.due)).where(CompensationLine.agreement_id == agreement.id)).one()
        period = 0 if first is None else max(0, (now - (first - PAY_WITHIN)) // YEAR)
        made: list[dict[str, Any]] = []
        yearly = False
        for pool in _pools(session, runtime, agreement, row):
            by_year = pool.duty["per"] == "year"
            yearly = yearly or by_year
            if not _is_drawn_up(session, agreement.id, release, named(pool.duty), period if by_year else None):
                made += _lines(session, runtime, agreement, release, pool, period if by_year else 0, now)
        for start in range(0, len(made), _SOME):
            session.execute(sa.insert(CompensationLine), made[start : start + _SOME])
        if yearly and agreement.state == "in_force":
            runtime.jobs.enqueue(session, "compensate", release, key=f"year-{period + 1}", delay=YEAR.total_seconds())
        if made:
            lab = session.get_one(Lab, agreement.lab_id)
            _tell(session, "compensation.due", release, lab, agreement.id, [(one["payee"], one["currency"], one["amount"]) for one in made], now)


def _is_drawn_up(session: Session, agreement: str, release: str, duty: str, period: int | None) -> bool:
    """By the release; or, with a `period`, whether the year was counted by whichever release of the agreement."""
    query = sa.select(_LINE.c.id).where(_LINE.c.agreement_id == agreement, _LINE.c.duty == duty)
    here = query.where(_LINE.c.release_id == release) if period is None else query.where(_LINE.c.period == period)
    return session.execute(here.limit(1)).first() is not None


def _pools(session: Session, runtime: Runtime, agreement: Agreement, release: Release) -> list[_Pool]:
    pools: dict[str, _Pool] = {}
    before: dict[str, list[tuple[str, list[int]]]] = {}
    for at, terms in enumerate(map(read_terms, release.terms)):
        for duty in _compensations(terms):
            name = named(duty)
            pool = pools.setdefault(name, _Pool(duty))
            once = duty["per"] == "record"
            if once and name not in before:
                before[name] = _paid_for(session, agreement.id, release.id, name)
            to = _collective(session, runtime, terms, duty)
            query = (
                sa.select(_C.c.contributor_id, sa.func.count(), sa.func.min(_C.c.id))
                .select_from(_ITEM.join(_C, _C.c.id == _ITEM.c.contribution_id))
                .where(_ITEM.c.release_id == release.id, _ITEM.c.parts > 0, _ITEM.c.terms == at, *(_not_in(before[name]) if once else ()))
                .group_by(_C.c.contributor_id)
            )
            for contributor, count, contribution in session.execute(query, execution_options={"yield_per": _SOME}):
                if to is None:
                    pool.people[contributor] += count
                    pool.one[contributor] = contribution
                else:
                    pool.collectives[to] += count
    return list(pools.values())


def _compensations(terms: Terms) -> list[dict[str, str]]:
    """The payments that terms of a release ask for; releases of before told nothing of them."""
    return [duty for duty in json.loads(terms.duties) if duty["kind"] == "compensate"]


def _paid_for(session: Session, agreement: str, release: str, name: str) -> list[tuple[str, list[int]]]:
    """Earlier releases whose records have lines under this duty, with the terms in them that carry it."""
    lines = sa.select(_LINE.c.release_id).where(_LINE.c.agreement_id == agreement, _LINE.c.duty == name, _LINE.c.release_id != release)
    found = session.execute(sa.select(Release.id, Release.terms).where(Release.id.in_(lines)))  # type: ignore[call-overload,attr-defined]
    return [(id_, [at for at, terms in enumerate(map(read_terms, listed)) if name in map(named, _compensations(terms))]) for id_, listed in found]


def _not_in(before: list[tuple[str, list[int]]]) -> Iterable[Any]:
    there = _ITEM.alias("there")
    for release, terms in before:
        held = sa.and_(there.c.release_id == release, there.c.contribution_id == _ITEM.c.contribution_id, there.c.parts > 0, there.c.terms.in_(terms))
        yield ~sa.exists().where(held)


def _collective(session: Session, runtime: Runtime, terms: Terms, duty: dict[str, str]) -> str | None:
    """The collective that is to be paid: where nobody's terms but a collective's ask for it. None: each contributor."""
    book: PolicyBook = runtime.parts["policies"]
    outcomes = terms.outcomes
    decided = {p.policy_id: p.collective_id for p in session.exec(select(Proposal).where(Proposal.id.in_(outcomes)))} if outcomes else {}  # type: ignore[attr-defined]
    policies = [book.by_digest(digest) for digest in terms.policies]
    asking = [stored for stored in policies if duty in [obligation.duty() for obligation in stored.terms.obligation]]
    found = [decided.get(stored.id) for stored in asking]
    return None if None in found else min((one for one in found if one is not None), default=None)


def _lines(
    session: Session, runtime: Runtime, agreement: Agreement, release: str, pool: _Pool, period: int, now: datetime
) -> list[dict[str, Any]]:
    shares = split(owed(pool.duty, sum(pool.records.values())), pool.records)
    made = []
    for start in range(0, len(shares), _SOME):
        some = list(shares.items())[start : start + _SOME]
        people = contributors.load(session.connection(), runtime.keys, [who for who, _ in some if who in pool.people])
        for who, amount in some:
            person = who in pool.people
            # An erased person's keys are gone: what is owed for their work stays owed, under a name that nobody can claim.
            key = people[who].rid_key if who in people else runtime.keys.derive("tombstone")
            records = pool.records[who]
            made.append(
                {
                    "id": new_id("line"), "agreement_id": agreement.id, "release_id": release, "duty": named(pool.duty), "period": period,
                    "payee": payee(agreement.id, rid_seed(key, who)).hex() if person else who, "contributor_id": who if person else None,
                    "contribution_id": pool.one[who] if person and records == 1 else None, "collective_id": None if person else who,
                    "records": records, "amount": amount, "currency": pool.duty["currency"], "state": "due", "due": now + PAY_WITHIN,
                }
            )  # fmt: skip
    return made


def _tell(session: Session, act: str, subject: str, lab: Lab, agreement: str, lines: list[tuple[str, str, int]], now: datetime) -> int:
    """Log it: how many lines, and what they come to in currencies of ten payees or more."""
    totals: Counter[str] = Counter()
    payees: dict[str, set[str]] = {}
    for who, currency, amount in lines:
        totals[currency] += amount
        payees.setdefault(currency, set()).add(who)
    told = {currency: str(total) if len(payees[currency]) >= LEAST else None for currency, total in sorted(totals.items())}
    body = {"agreement": agreement, "lab": lab.legal_name, "lab_id": lab.id, "lines": log.bucket(len(lines)), "totals": told}
    session.flush()
    return log.append(session, [log.institutional(act, subject, body, now)], now)


# -- the lab ------------------------------------------------------------------------------------------------------------
def page(session: Session, agreement: str, after: str, limit: int) -> list[CompensationLine]:
    """Lines of an agreement whose ids come after `after`."""
    query = select(CompensationLine).where(CompensationLine.agreement_id == agreement, CompensationLine.id > after)
    return list(session.exec(query.order_by(CompensationLine.id).limit(limit)))


def totals(session: Session, agreement: str) -> list[tuple[str, str, str, int, int]]:
    """(release, currency, state, lines, minor units), in order: what the lines of each release add up to."""
    by = (_LINE.c.release_id, _LINE.c.currency, _LINE.c.state)
    query = sa.select(*by, sa.func.count(), sa.func.sum(_LINE.c.amount)).where(_LINE.c.agreement_id == agreement).group_by(*by).order_by(*by)
    return [(release, currency, state, count, int(amount)) for release, currency, state, count, amount in session.execute(query)]


def pay(
    session: Session, lab: Lab, agreement_id: str, lines: list[str] | None, release: str | None, evidence: str, *, now: datetime
) -> int:
    """Note that the lab paid these lines, or all of a release, and what shows it; gives how many were not paid before. A disputed
    line is paid again. Raises NotFound (not_found)."""
    agreement = agreements.own_agreement(session, lab.id, agreement_id, lock=True)
    query = select(CompensationLine).where(CompensationLine.agreement_id == agreement.id).order_by(CompensationLine.id)
    query = query.where(CompensationLine.id.in_(lines)) if lines is not None else query.where(CompensationLine.release_id == release)  # type: ignore[attr-defined]
    found = session.exec(for_update(query, session).execution_options(populate_existing=True)).all()
    if not found or (lines is not None and len(found) < len(set(lines))):
        raise NotFound("not_found", _UNKNOWN)
    paid = [line for line in found if line.state != "paid"]
    for line in paid:
        line.state, line.evidence, line.paid_at, line.reason = "paid", evidence, now, None
        session.add(line)
    if paid:
        _tell(session, "compensation.paid", agreement.id, lab, agreement.id, [(p.payee, p.currency, p.amount) for p in paid], now)
    return len(paid)


# -- the payee ------------------------------------------------------------------------------------------------------------
def _mine(holder: Holder) -> Any:
    """The condition on a line that the holder may see it: their own, as far as the receipt reaches, and their collectives'."""
    member = sa.select(Membership.collective_id).where(Membership.contributor_id == holder.contributor, Membership.left_at == None)  # type: ignore[call-overload]
    own = _LINE.c.contributor_id == holder.contributor
    if holder.contribution is not None:  # more would tell what else the person gave
        member = member.where(Membership.contribution_id == holder.contribution)
        own = sa.and_(own, _LINE.c.contribution_id == holder.contribution)
    return sa.or_(own, _LINE.c.collective_id.in_(member))


def mine(session: Session, holder: Holder, after: str, limit: int) -> list[tuple[CompensationLine, str]]:
    """(line, lab) of what the holder is owed, or a collective of theirs, by ids after `after`."""
    query = _with_lab().where(_mine(holder), CompensationLine.id > after)
    return [(line, lab) for line, lab in session.exec(query.order_by(CompensationLine.id).limit(limit))]


def one_of_mine(session: Session, holder: Holder, line_id: str) -> tuple[CompensationLine, str]:
    """The same of one line. Raises NotFound (not_found)."""
    found = session.exec(_with_lab().where(_mine(holder), CompensationLine.id == line_id)).first()
    if found is None:
        raise NotFound("not_found", _UNKNOWN)
    return found[0], found[1]


def _with_lab() -> Any:
    joined = select(CompensationLine, Lab.legal_name).join(Agreement, sa.and_(Agreement.id == CompensationLine.agreement_id))
    return joined.join(Lab, sa.and_(Lab.id == Agreement.lab_id))


def dispute(session: Session, runtime: Runtime, holder: Holder, line_id: str, reason: str, *, now: datetime) -> CompensationLine:
    """Say that a line was not paid, or not as it should be. The same again is the same.

    Raises NotFound (not_found), Conflict (compensation_not_due), Unauthorised (token_invalid).
    """
    person = person_acting(session, runtime, holder.contributor)
    query = select(CompensationLine).where(CompensationLine.id == line_id, _mine(holder))
    line = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if line is None:
        raise NotFound("not_found", _UNKNOWN)
    if line.state == "disputed" and line.reason == reason:
        return line
    if line.state == "due" and line.due > now and reason == "not-received":
        raise Conflict("compensation_not_due", "Wait until the day that it is due, or dispute the amount.")
    signed = {"type": "compensation.disputed", "line": line.id, "agreement": line.agreement_id, "reason": reason}
    proven = passkeys.prove(session, runtime, holder.contributor, signed, now=now)
    line.state, line.reason = "disputed", reason
    session.add(line)
    act = random_id("dispute")
    body = {
        "dispute": act, "line": line.id, "agreement": line.agreement_id, "reason": reason, "by": "subject", **proven,
        **({} if line.contribution_id is None else {"contribution": line.contribution_id}),
    }  # fmt: skip
    session.flush()
    index = log.append(session, [log.personal("compensation.disputed", act, body, person.sealer, now)], now)
    keep(session, holder, act, "compensation.disputed", "line", 0, 0, index, now, "passkey" in proven)
    return line


def forget(session: Session, contributor: str) -> None:
    """Before somebody is erased: what labs wrote of paying them. What is owed stays owed, to a pseudonym."""
    session.execute(sa.update(_LINE).where(_LINE.c.contributor_id == contributor).values(evidence=None))

