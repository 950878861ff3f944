"""HTTP for recounters, who need no receipt: their key is what they show."""

from fastapi import APIRouter

from app.collectives import recounting
from app.collectives.recount_schemas import OpeningsIn, OpeningsOut
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import RuntimeDep, SessionDep

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@router.post("/openings", response_model=OpeningsOut, dependencies=[FOR_ANYBODY], summary="The openings of a count, for its recounter")
def hand_over(given: OpeningsIn, runtime: RuntimeDep, session: SessionDep) -> OpeningsOut:
    """By a ticket that only the recounter's key opens. Until the appeal is over; `sayso recount --from` does it."""
    row = recounting.hand_over(session, given.ticket, runtime.clock.now())
    return OpeningsOut(v=1, proposal=row.proposal_id, key=row.key, sha256=row.sha256, sealed=bytes(row.sealed or b"").decode())
