"""HTTP for releases whose period is over: the lab says what became of one."""

from fastapi import APIRouter

from app.kit.body import StrictRoute
from app.kit.deps import RuntimeDep, SessionDep
from app.parties.auth import WritingLab
from app.releases.router import deletion_out
from app.releases.schemas import DeletionOut
from app.revocations import deleting
from app.revocations.schemas import AttestationIn

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


@router.post("/releases/{release}/attestation", response_model=DeletionOut, summary="We deleted a release, or cannot")
def attest(release: str, given: AttestationIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> DeletionOut:
    """Hand in the lab's own signature over what became of a release that must be deleted a period after its cut, on that day or before.
    It is kept, and its digest is logged. The release is then handed over no more (410 `release_deleted`), and open tickets for it end.
    A statement from before the newest delivery is refused (409 `deletion_outdated`), and so is one older than a quarter of an hour where a
    ticket was open after it."""
    return deletion_out(deleting.attest(session, lab, release, given.attestation, now=runtime.clock.now()))
