"""HTTP for what collectives refused: for anybody, and for the lab that was refused, which reads the reasoning first and can reply."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlmodel import Session

from app.agreements.schemas import RefusalOut, RefusalPage, ReplyIn
from app.collectives import refusals
from app.collectives.models import Refusal
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.idempotency import Once
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.parties.auth import ReadingLab, WritingLab

router = APIRouter(prefix="/v1", tags=["agreements"], route_class=StrictRoute)
Cursor = Annotated[str | None, Query(max_length=400)]


@router.get("/refusals", response_model=RefusalPage, dependencies=[FOR_ANYBODY], summary="What collectives refused labs")
def list_refusals(
    runtime: RuntimeDep, session: ReadSessionDep, response: Response, cursor: Cursor = None, lab: Annotated[str | None, Query(max_length=40)] = None
) -> RefusalPage:
    """The fact at once, the reasoning seven days later, with the lab's reply beside."""
    found = _page(session, runtime, cursor, lab, to_lab=False)
    if found.next:
        response.headers["Link"] = f'</v1/refusals?cursor={found.next}{f"&lab={lab}" if lab else ""}>; rel="next"'
    return found


@router.get("/labs/me/refusals", response_model=RefusalPage, summary="What collectives refused us")
def list_ours(runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab, cursor: Cursor = None) -> RefusalPage:
    """With the reasoning as soon as it is written: until `replies_until` only we read it."""
    return _page(session, runtime, cursor, lab.id, to_lab=True)


@router.post("/labs/me/refusals/{refusal}/reply", status_code=201, response_model=RefusalOut, summary="Reply to a refusal")
def reply(
    refusal: str, given: ReplyIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab, idempotency_key: IdempotencyHeader = None
) -> RefusalOut:
    """Once, until `replies_until`, in at most 500 words, which everybody can read. The log has their salted digest."""
    now = runtime.clock.now()
    once = Once.of(lab.id, f"refusals/{refusal}/reply", idempotency_key, given.model_dump_json().encode())
    once.perform(session, now, lambda: refusals.reply(session, runtime, lab, refusal, given.text, now=now))
    return _out(refusals.told(session, runtime, [session.get_one(Refusal, refusal)], now, to_lab=True)[0])


@router.delete("/labs/me/refusals/{refusal}/reply", response_model=RefusalOut, summary="Take the words of a reply back")
def take_back(refusal: str, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> RefusalOut:
    """They are erased. That there was a reply stays, and there is no other."""
    now = runtime.clock.now()
    refusals.take_back(session, lab, refusal, now=now)
    return _out(refusals.told(session, runtime, [session.get_one(Refusal, refusal)], now, to_lab=True)[0])


def _page(session: Session, runtime: Runtime, cursor: str | None, lab: str | None, *, to_lab: bool) -> RefusalPage:
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"refusals/{lab}/{to_lab}"
    rows = refusals.page(session, lab, None if cursor is None else int(cursors.read(listing, cursor)), PAGE)
    found = refusals.told(session, runtime, rows, runtime.clock.now(), to_lab=to_lab)
    return RefusalPage(items=[_out(one) for one in found], next=cursors.make(listing, str(rows[-1].log_index)) if len(rows) == PAGE else None)


def _out(one: refusals.Told) -> RefusalOut:
    row, replied = one.row, one.replied
    return RefusalOut(
        id=row.proposal_id, collective=row.collective_id, collective_name=one.collective, lab=one.lab, lab_id=row.lab_id, request=row.request_id,
        at=row.at, log_index=row.log_index, replies_until=one.replies_until, reasoning=one.reasoning, reply=one.reply,
        reply_sha256=None if replied is None else replied.digest, replied_at=None if replied is None else replied.at,
        reply_hidden=None if replied is None else replied.hidden, reply_log_index=None if replied is None else replied.log_index,
    )  # fmt: skip
