"""A steward moves the day on which a vote begins: to a later day, once, for a reason of a closed list that everybody reads.

Whatever a moved day stalls is denied meanwhile: only what would give more is moved, and not what refuses, what is urgent, what says by which
rules or by whom a collective is run, what must be decided before a day, or what enough members signed for. Nothing is moved to later than thirty
days after it was put up. From the day on all is as on any other: what the load or an answer that is owed puts off waits in addition.
"""

from datetime import date, datetime, timedelta
from typing import Any

from sqlmodel import Session

from app.collectives import moderating, petitioning, queries, threads
from app.collectives.models import Proposal
from app.collectives.service import Acting, acting, proof
from app.core.thread import MOVING
from app.kit.errors import Conflict, Forbidden, Invalid
from app.kit.runtime import Runtime
from app.log import service as log

MOVED = ("policy.adopt", "licence.use", "licence.grant")
"""What a steward can move: what gives more, but a renewal, which is in time or not at all, and new rules, by which stewards are bound."""
LATEST = timedelta(days=30)
"""How long after it was put up a proposal is talked over at the most, where a steward moved its day."""


def move(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, day: date, reason: str, *, now: datetime
) -> None:  # fmt: skip
    """Have the vote on a proposal begin on a later day, and with it everything after: a steward with no part in it, while it is talked over.

    Raises NotFound, Forbidden (not_steward, steward_involved), Invalid (reason_unknown, day_invalid) or Conflict (thread_frozen, day_fixed).
    """
    acting(session, runtime, who)
    queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal, lock=True)
    _, mine = queries.member(session, collective, who, lock=True)
    moderating.as_steward(mine, now)
    if moderating.conflicted(session, row, mine):
        raise Forbidden("steward_involved", "Ask another steward: not who proposed it, nor whom it is about.")
    if reason not in MOVING:
        raise Invalid("reason_unknown", "Use a reason listed in `known`.", known=list(MOVING))
    if row.moved_days and (row.freeze_at.date(), row.moved_reason, row.moved_by) == (day, reason, mine.member):
        return  # sent again
    threads.still_open(row, now)
    if not movable(session, runtime, row, now):
        raise Conflict("day_fixed", "Let it be voted on when it is due. Only what gives more is moved, once, and not what enough members signed for.")
    first, last = days(row)
    if not first <= day <= last:
        raise Invalid("day_invalid", "Choose a day from `first` to `last`.", first=first.isoformat(), last=last.isoformat())
    # An act in office is the steward's, and its leaf holds no name: the passkey is asked for, and nothing of it kept.
    said: dict[str, Any] = {"collective": collective, "proposal": proposal, "day": day.isoformat(), "reason": reason}
    proof(session, runtime, who, "proposal.postponed", said, now)
    before, by = row.freeze_at, timedelta(days=(day - row.freeze_at.date()).days)
    row.freeze_at, row.close_at, row.appeal_until = row.freeze_at + by, row.close_at + by, row.appeal_until + by
    row.moved_days, row.moved_reason, row.moved_by = by.days, reason, mine.member
    session.add(row)
    session.flush()
    # The timer of before finds that its time has not come.
    runtime.jobs.enqueue(session, "deadline", row.id, key=f"freeze-{day}", delay=(row.freeze_at - now).total_seconds())
    leaf = {"collective": collective, "decision": row.type, "from": before.date().isoformat(), "to": day.isoformat(), "reason": reason}
    log.append(session, [log.institutional("proposal.postponed", row.id, leaf, now)], now)


def movable(session: Session, runtime: Runtime, row: Proposal, now: datetime) -> bool:
    """Whether the day of a proposal can be moved, and there is a day to move it to."""
    if row.state != "discussion" or row.freeze_at <= now or row.type not in MOVED or row.urgent_hours is not None or row.moved_days:
        return False
    first, last = days(row)
    if last < first:
        return False
    signed, needed = petitioning.told(session, runtime, row, now)
    return signed is None or needed is None or signed < needed


def days(row: Proposal) -> tuple[date, date]:
    """The first and the last day that the vote can be moved to; there is none where the last comes before the first."""
    latest = row.opened_at + LATEST
    fits = latest.date() if latest.time() >= row.freeze_at.time() else latest.date() - timedelta(days=1)
    return row.freeze_at.date() + timedelta(days=1), fits
