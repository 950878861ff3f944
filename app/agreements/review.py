"""Requests that a person looks at before there is an offer: which, by whom, and until when.

The operator names the actions that are looked at (`review_actions`). Nobody but the operator settles a review, and silence is
a no: what is not approved by its day is refused. An approval is decided anew, as things are then.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service
from app.agreements.models import Request
from app.agreements.models import Use as UseRow
from app.collectives import licensing
from app.core import vocabulary as words
from app.core.evaluation import Use, parse_use
from app.kit.db import for_update, read, write
from app.kit.errors import Conflict, NotFound
from app.kit.runtime import Runtime
from app.kit.settings import Settings
from app.log import service as log
from app.parties import service as parties
from app.parties.models import Lab

_A_DAY = timedelta(days=1)
"""How long after the appeal a request waits for what comes of it."""


def is_needed(settings: Settings, use: Use) -> bool:
    """Whether a use has an action that is looked at, one within it, or one that takes it in."""
    return any(words.touches(action, looked_at) for action in use.actions for looked_at in settings.reviewed)


def waiting(session: Session, now: datetime) -> list[tuple[Request, Lab, Use]]:
    """Requests that wait for the operator, the most urgent first."""
    found = session.exec(
        select(Request, Lab, UseRow)
        .join(Lab, sa.and_(Lab.id == Request.lab_id))
        .join(UseRow, sa.and_(UseRow.id == Request.use_id))
        .where(Request.state == "in_review", Request.review_until > now)  # type: ignore[operator]
        .order_by(sa.asc(Request.review_until), Request.id)  # type: ignore[arg-type]
    )
    return [(request, lab, parse_use(use.body["use"])) for request, lab, use in found if not by_collective(request)]


def by_collective(row: Request) -> bool:
    """Whether collectives settle it, and not the operator."""
    return row.answer.get("by") == "collective"


def take_up(runtime: Runtime, proposal: str) -> None:
    """The job: a collective has decided on a request. What waited for it is decided anew, unless another is still at it."""
    with read(runtime.engine) as session:
        lab = licensing.asked_by(session, proposal)
        open_ = session.exec(select(Request).where(Request.lab_id == lab, Request.state == "in_review").order_by(Request.id)).all()
    for found in open_:
        if by_collective(found) and proposal in found.answer.get("threads", []):
            with write(runtime.engine) as session:
                _go_on(session, runtime, found.id, runtime.clock.now())


def _go_on(session: Session, runtime: Runtime, request_id: str, now: datetime) -> None:
    row = session.exec(for_update(select(Request).where(Request.id == request_id), session)).one()
    if row.state != "in_review" or not by_collective(row) or licensing.undecided(session, row.answer["threads"]):
        return
    lab = session.get_one(Lab, row.lab_id)
    if parties.releases_stopped(lab, now):
        _end(session, row, "review", now)
        return
    service.decide(session, runtime, lab, row, parse_use(session.get_one(UseRow, row.use_id).body["use"]), now=now, asks=False)


def approve(session: Session, runtime: Runtime, request_id: str, *, now: datetime) -> str:
    """Let a request go on; gives its state then: `offered`, or `refused` where the terms permit nothing any more.

    Raises NotFound (not_found) or Conflict (request_not_in_review, lab_blocked).
    """
    row = _held(session, request_id, now)
    lab = session.get_one(Lab, row.lab_id)
    if parties.releases_stopped(lab, now):
        raise Conflict("lab_blocked", "Verify the lab again first, or refuse the request.")
    use = parse_use(session.get_one(UseRow, row.use_id).body["use"])
    service.decide(session, runtime, lab, row, use, now=now, reviewed=True)
    return row.state


def refuse(session: Session, request_id: str, *, now: datetime) -> None:
    """Say no. Raises NotFound (not_found) or Conflict (request_not_in_review)."""
    _end(session, _held(session, request_id, now), "review", now)


def lapse(runtime: Runtime, request_id: str) -> None:
    """The job: refuse what nobody settled by its day. Safe to run at any time and again. What a collective voted on is waited for, where the
    count came late and the appeal ends late with it."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        row = session.exec(for_update(select(Request).where(Request.id == request_id), session)).first()
        if row is None or row.state != "in_review" or row.review_until is None or row.review_until > now:
            return
        if by_collective(row) and (over := licensing.late(session, row.answer["threads"], now)) is not None:
            row.review_until = max(over, now) + _A_DAY
            session.add(row)
            session.flush()
            key = f"late-{row.review_until.date()}"
            runtime.jobs.enqueue(session, "review", row.id, key=key, delay=(row.review_until - now).total_seconds() + 1)
            return
        _end(session, row, "time", now)


def lapse_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: the same for what a job left. And what waits for a collective that has decided is taken up, where the job of that was given up,
    or a version before it queued none."""
    with read(runtime.engine) as session:
        late = select(Request.id).where(Request.state == "in_review", Request.review_until <= now)  # type: ignore[operator]
        found = list(session.exec(late.order_by(Request.id)))
        waiting = session.exec(select(Request).where(Request.state == "in_review", Request.review_until > now).order_by(Request.id)).all()  # type: ignore[operator]
        over = [row.id for row in waiting if by_collective(row) and not licensing.undecided(session, row.answer["threads"])]
    for request in found:
        lapse(runtime, request)
    for request in over:
        with write(runtime.engine) as session:
            _go_on(session, runtime, request, now)


def _held(session: Session, request_id: str, now: datetime) -> Request:
    row = session.exec(for_update(select(Request).where(Request.id == request_id), session)).first()
    if row is None:
        raise NotFound("not_found", "Look at the request's id; `python -m app requests review` lists those that wait.")
    if row.state != "in_review" or row.review_until is None or row.review_until <= now or by_collective(row):
        raise Conflict("request_not_in_review", "It was settled, or its time is over; the lab can ask again.", state=row.state)
    return row


def _end(session: Session, row: Request, because: str, now: datetime) -> None:
    row.state = "refused"
    row.answer = {**row.answer, "reasons": [{"rule": because, "constraint": because, "wanted": [], "seen": [], "satisfied": "no"}]}
    session.add(row)
    lab, use = session.get_one(Lab, row.lab_id), session.get_one(UseRow, row.use_id)
    leaf = {"lab": lab.legal_name, "lab_id": lab.id, "use": use.body["use"], "because": because}
    session.flush()
    log.append(session, [log.institutional("request.refused", row.id, leaf, now)], now)
