"""HTTP for objections: what a person says against what becomes of something they gave."""

from fastapi import APIRouter

from app.contributions import objections, queries
from app.contributions.objections import Said
from app.contributions.router import checked_id
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.idempotency import Once
from app.parties.auth import ReadingReceipt, WritingReceipt
from app.revocations import objecting, service
from app.revocations.acting import holder_of
from app.revocations.models import ConsentAct
from app.revocations.schemas import ActOut, ObjectionIn, ObjectionOut

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


@router.post("/contributions/{contribution}/objections", status_code=201, response_model=ActOut, summary="Object, in words of your own")
def object_to(
    contribution: str, given: ObjectionIn, runtime: RuntimeDep, session: SessionDep, receipt: WritingReceipt,
    idempotency_key: IdempotencyHeader = None,
) -> ActOut:  # fmt: skip
    """Every release from now on that holds the contribution carries the statement beside it. It narrows nothing: for that, withdraw
    or choose other terms. One stands at a time. The act's receipt is read like any other's."""
    row = queries.covered(session, receipt, checked_id(contribution))
    now = runtime.clock.now()
    once = Once.of(receipt.id, f"objections/{row.id}", idempotency_key, given.model_dump_json().encode())
    act, _ = once.perform(
        session, now,
        lambda: objecting.object_to(session, runtime, holder_of(receipt), row.id, given.statement, given.language, now=now).id,
    )  # fmt: skip
    return _act(service.act_of(session, receipt.contributor_id, act))


@router.get("/contributions/{contribution}/objections", response_model=list[ObjectionOut], summary="My objections to what becomes of it")
def read_objections(contribution: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt) -> list[ObjectionOut]:
    """The newest first, withdrawn ones too; of these the words are gone."""
    row = queries.covered(session, receipt, checked_id(contribution))
    return [_told(said) for said in objections.of_contribution(session, runtime, row.id, row.contributor_id)]


@router.delete("/contributions/{contribution}/objections/{objection}", response_model=ActOut, summary="Withdraw an objection")
def withdraw_objection(
    contribution: str, objection: str, runtime: RuntimeDep, session: SessionDep, receipt: WritingReceipt
) -> ActOut:  # fmt: skip
    """Its words are deleted here, and later releases are without it. Labels of releases that carried it stay, as all labels do."""
    row = queries.covered(session, receipt, checked_id(contribution))
    return _act(objecting.withdraw(session, runtime, holder_of(receipt), row.id, objection, now=runtime.clock.now()))


def _act(row: ConsentAct) -> ActOut:
    return ActOut.model_validate(row, from_attributes=True)


def _told(said: Said) -> ObjectionOut:
    return ObjectionOut.model_validate(said, from_attributes=True)
