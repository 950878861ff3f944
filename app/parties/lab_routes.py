"""HTTP for labs that ask to be let in, and for the keys of those that were."""

from fastapi import APIRouter, Response

from app.kit.access import BY_LINK, FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.parties import applying, delegating
from app.parties.auth import LabWithKey, ReadingLab, WritingLab
from app.parties.models import LabApplication, LabKey
from app.parties.schemas import ApplicationIn, ApplicationOut, DelegationIn, LabKeyOut

router = APIRouter(prefix="/v1", tags=["parties"], route_class=StrictRoute)


@router.post("/lab-applications", dependencies=[FOR_ANYBODY], status_code=202, response_model=ApplicationOut, summary="Ask to be let in")
def apply(given: ApplicationIn, runtime: RuntimeDep, session: SessionDep) -> ApplicationOut:
    """What a lab says of itself, signed by the key that it will use. The operator looks at it; keep the id, which is how you learn the
    answer. The same key again, while it waits, replaces what was said."""
    return _application(applying.apply(session, runtime, given.application, now=runtime.clock.now()))


@router.get("/lab-applications/{application}", dependencies=[BY_LINK], response_model=ApplicationOut, summary="What became of an application")
def application(application: str, session: ReadSessionDep) -> ApplicationOut:
    """By its id, which nobody guesses. Forgotten 90 days after it was settled."""
    return _application(applying.find(session, application))


def _application(row: LabApplication) -> ApplicationOut:
    return ApplicationOut(id=row.id, state=row.state, asked_at=row.asked_at, why=row.why, client_id=row.lab_id)


@router.post("/lab-keys", status_code=201, response_model=LabKeyOut, summary="Give a key to one of our own")
def delegate(given: DelegationIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> LabKeyOut:
    """The institution signs once for each of its people and machines, with a name and a last day. Such a key does all that the
    institution's does, but give keys."""
    return _key(delegating.delegate(session, runtime, lab, given.delegation, now=runtime.clock.now()))


@router.get("/lab-keys", response_model=list[LabKeyOut], summary="Our keys")
def keys(session: ReadSessionDep, lab: ReadingLab) -> list[LabKeyOut]:
    """The newest first, with those that were revoked."""
    return [_key(row) for row in delegating.keys_of(session, lab)]


@router.delete("/lab-keys/{key}", status_code=204, response_class=Response, summary="Take a key of ours out of use")
def end(key: str, runtime: RuntimeDep, session: SessionDep, found: LabWithKey) -> Response:
    """At once, with the tokens that it got and the keys that it gave. An institution's key ends every other key, a delegated one
    itself."""
    delegating.end(session, found[0], key, found[1], now=runtime.clock.now())
    return Response(status_code=204)


def _key(row: LabKey) -> LabKeyOut:
    return LabKeyOut(
        key=row.thumbprint, name=row.name, delegated_by=row.delegated_by, from_uri=row.from_uri, added_at=row.added_at, ends_at=row.ends_at,
        revoked_at=row.revoked_at,
    )  # fmt: skip
