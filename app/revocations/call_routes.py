"""HTTP for calls: for people with a claimed receipt. To platforms and labs nothing is there."""

from fastapi import APIRouter

from app.collectives.router import Member, once_for
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.revocations import convening, service
from app.revocations.acting import holder_of
from app.revocations.call_schemas import CallIn, CallOut, CallsOut
from app.revocations.schemas import ActOut

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@router.post("/calls", status_code=201, response_model=ActOut, summary="Call people together")
def open_call(
    given: CallIn, runtime: RuntimeDep, session: SessionDep, receipt: Member, idempotency_key: IdempotencyHeader = None
) -> ActOut:
    """It stands for thirty days on the pages of at least ten people, and on no platform's. The act's id is the call's."""
    now = runtime.clock.now()
    act = once_for(
        receipt, "calls", idempotency_key, given, session, runtime,
        lambda: convening.open_call(session, runtime, holder_of(receipt), given.text, given.release, given.collective, now=now),
    )  # fmt: skip
    return ActOut.model_validate(service.act_of(session, receipt.contributor_id, act), from_attributes=True)


@router.get("/calls", response_model=CallsOut, summary="Calls that reach me, and mine")
def read_calls(runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> CallsOut:
    """Those that stand, without those that I hid."""
    found = convening.heard(session, runtime, holder_of(receipt), runtime.clock.now())
    return CallsOut(items=[CallOut.model_validate(one, from_attributes=True) for one in found])


@router.delete("/calls/{call}", response_model=ActOut, summary="End a call of mine")
def end_call(call: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActOut:
    """Its words are deleted, and nobody is shown it any more."""
    act = convening.end(session, runtime, holder_of(receipt), call, now=runtime.clock.now())
    return ActOut.model_validate(service.act_of(session, receipt.contributor_id, act), from_attributes=True)


@router.put("/calls/{call}/hidden", response_model=CallsOut, summary="Hide a call from me")
def hide_call(call: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> CallsOut:
    """Others still see it. Gives the calls that are left."""
    convening.hide(session, runtime, holder_of(receipt), call, now=runtime.clock.now())
    return read_calls(runtime, session, receipt)
