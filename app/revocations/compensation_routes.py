"""HTTP for compensation: what a lab owes and says it paid, and what a person is owed."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.agreements import service as agreements
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.idempotency import Once
from app.kit.pagination import PAGE, Cursors
from app.parties.auth import ReadingLab, ReadingReceipt, WritingLab, WritingReceipt
from app.parties.models import Receipt
from app.revocations import compensation
from app.revocations.acting import Holder
from app.revocations.compensation_schemas import (
    CompensationPage,
    DisputeIn,
    LineOut,
    MyCompensationPage,
    MyLineOut,
    PaidOut,
    PaymentIn,
    TotalOut,
)
from app.revocations.models import CompensationLine

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)
Cursor = Annotated[str | None, Query(max_length=400)]


@router.get("/agreements/{agreement}/compensation", response_model=CompensationPage, summary="What we owe to whom")
def read_compensation(
    agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab, response: Response, cursor: Cursor = None
) -> CompensationPage:  # fmt: skip
    """A line for each release, payee and duty, in minor units of its currency, and by release what they add up to. Payees are
    pseudonyms of this agreement's own, or collectives. They appear a moment after a release was first handed over."""
    row = agreements.own_agreement(session, lab.id, agreement)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"compensation/{row.id}"
    after = "" if cursor is None else cursors.read(listing, cursor)
    found = compensation.page(session, row.id, after, PAGE)
    following = cursors.make(listing, found[-1].id) if len(found) == PAGE else None
    if following:
        response.headers["Link"] = f'</v1/agreements/{row.id}/compensation?cursor={following}>; rel="next"'
    return CompensationPage(totals=_totals(compensation.totals(session, row.id)), items=[_line(line) for line in found], next=following)


def _totals(rows: list[tuple[str, str, str, int, int]]) -> list[TotalOut]:
    found: dict[tuple[str, str], TotalOut] = {}
    for release, currency, state, lines, amount in rows:
        none = TotalOut(release=release, currency=currency, lines=0, total=0, due=0, paid=0, disputed=0)
        one = found.setdefault((release, currency), none)
        one.lines, one.total = one.lines + lines, one.total + amount
        setattr(one, state, amount)
    return list(found.values())


def _line(line: CompensationLine) -> LineOut:
    return LineOut(
        id=line.id, release=line.release_id, payee=line.payee, collective=line.collective_id is not None, duty=line.duty, records=line.records,
        amount=line.amount, currency=line.currency, state=line.state, due=line.due, evidence=line.evidence, paid_at=line.paid_at,  # type: ignore[arg-type]
        reason=line.reason,
    )  # fmt: skip


@router.post("/agreements/{agreement}/compensation/payments", response_model=PaidOut, summary="We paid")
def pay(
    agreement: str, given: PaymentIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab, idempotency_key: IdempotencyHeader = None
) -> PaidOut:  # fmt: skip
    """Say which lines were paid, or all of a release, and by what it can be seen; the payee reads it and may dispute it. The money
    itself goes another way. What was paid before stays as it is."""
    now = runtime.clock.now()
    once = Once.of(lab.id, f"payments/{agreement}", idempotency_key, given.model_dump_json().encode())
    paid, _ = once.perform(
        session, now, lambda: str(compensation.pay(session, lab, agreement, given.lines, given.release, given.evidence, now=now))
    )
    return PaidOut(paid=int(paid))


def _holder(receipt: Receipt) -> Holder:
    return Holder(receipt.contributor_id, receipt.contribution_id)


@router.get("/contributions/me/compensation", response_model=MyCompensationPage, summary="What I am owed")
def mine(
    runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt, response: Response, cursor: Cursor = None
) -> MyCompensationPage:  # fmt: skip
    """By which lab, for what, and whether it says that it paid; also what collectives are owed that I am a member of. A receipt for
    one contribution shows what is owed for that one by itself."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"owed/{receipt.id}"
    after = "" if cursor is None else cursors.read(listing, cursor)
    found = compensation.mine(session, _holder(receipt), after, PAGE)
    following = cursors.make(listing, found[-1][0].id) if len(found) == PAGE else None
    if following:
        response.headers["Link"] = f'</v1/contributions/me/compensation?cursor={following}>; rel="next"'
    return MyCompensationPage(items=[_my_line(line, lab) for line, lab in found], next=following)


def _my_line(line: CompensationLine, lab: str) -> MyLineOut:
    return MyLineOut(**_line(line).model_dump(exclude={"collective"}), agreement=line.agreement_id, lab=lab, collective=line.collective_id)


@router.post("/contributions/me/compensation/{line}/dispute", response_model=MyLineOut, summary="It was not paid, or not as it should be")
def dispute(line: str, given: DisputeIn, runtime: RuntimeDep, session: SessionDep, receipt: WritingReceipt) -> MyLineOut:
    """The lab sees it beside the line. What is not due yet can be disputed in its amount alone."""
    holder = _holder(receipt)
    compensation.dispute(session, runtime, holder, line, given.reason, now=runtime.clock.now())
    return _my_line(*compensation.one_of_mine(session, holder, line))
