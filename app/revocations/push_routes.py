"""HTTP for the address that a lab's events are brought to."""

from fastapi import APIRouter, Response

from app.kit.body import StrictRoute
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.parties.auth import ReadingLab, WritingLab
from app.revocations import pushing
from app.revocations.models import PushAddress
from app.revocations.schemas import PushIn, PushOut

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


@router.put("/events/push", response_model=PushOut, summary="Bring events to us")
def set_push(given: PushIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> PushOut:
    """Security event tokens are sent to `url` one by one (RFC 8935), the oldest first, each until it is answered 202. What cannot be
    brought is tried again after growing pauses, and can be fetched meanwhile."""
    return _told(pushing.set_address(session, runtime, lab, given.url, given.authorization, now=runtime.clock.now()))


@router.get("/events/push", response_model=PushOut, summary="Where our events are brought")
def read_push(session: ReadSessionDep, lab: ReadingLab) -> PushOut:
    """With what went wrong the last time, and when it is tried again. The Authorization header is not shown."""
    return _told(pushing.address_of(session, lab))


@router.delete("/events/push", status_code=204, response_class=Response, summary="Bring no events to us")
def end_push(session: SessionDep, lab: WritingLab) -> Response:
    """What waits can be fetched (`/v1/events/poll`)."""
    pushing.forget_address(session, lab)
    return Response(status_code=204)


def _told(row: PushAddress) -> PushOut:
    return PushOut(
        url=row.url, authorization=row.authorization is not None, set_at=row.set_at, failures=row.failures, problem=row.problem,
        next_at=row.next_at if row.failures else None,
    )  # fmt: skip
