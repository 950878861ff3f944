"""HTTP for what is said against a proposal in writing, objections and minority reports, and for who supports those. To platforms and labs nothing
here is there."""

from fastapi import APIRouter
from sqlmodel import Session

from app.collectives import proposals, queries, supporting
from app.collectives.models import Proposal
from app.collectives.router import Member, done_out, once_for
from app.collectives.schemas import ActDoneOut, ReportIn, ReportOut
from app.collectives.service import Acting
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.parties.models import Receipt

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@router.post(
    "/collectives/{collective}/proposals/{proposal}/minority-reports", status_code=201, response_model=ReportOut, summary="File a minority report"
)
def dissent(
    collective: str, proposal: str, given: ReportIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ReportOut:  # fmt: skip
    """Alone, while the appeal runs. Whoever signs for data that rests on this outcome signs its digest."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"minority-reports/{proposal}", idempotency_key, given, session, runtime,
        lambda: proposals.dissent(session, runtime, Acting.of(receipt), collective, proposal, given.text, now=now),
    )  # fmt: skip
    return _reported(session, receipt, proposal, made)


@router.post("/collectives/{collective}/proposals/{proposal}/objections", status_code=201, response_model=ReportOut, summary="Object to a proposal")
def object_to(
    collective: str, proposal: str, given: ReportIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ReportOut:  # fmt: skip
    """Say what harm it would do. Until the ballot closes; it stands until its author withdraws it, and travels with what passes."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"objections/{proposal}", idempotency_key, given, session, runtime,
        lambda: proposals.object_to(session, runtime, Acting.of(receipt), collective, proposal, given.text, now=now),
    )  # fmt: skip
    return _reported(session, receipt, proposal, made)


@router.delete(
    "/collectives/{collective}/proposals/{proposal}/objections/{objection}", response_model=ActDoneOut, summary="Withdraw an objection"
)
def withdraw_objection(
    collective: str, proposal: str, objection: str, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> ActDoneOut:
    """While the ballot is open."""
    act = proposals.withdraw_objection(session, runtime, Acting.of(receipt), collective, proposal, objection, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.get(
    "/collectives/{collective}/proposals/{proposal}/minority-reports", response_model=list[ReportOut],
    summary="Minority reports on an outcome, and objections to its proposal",
)
def read_reports(collective: str, proposal: str, session: ReadSessionDep, receipt: Member) -> list[ReportOut]:
    queries.member(session, collective, Acting.of(receipt))
    row = queries.proposal(session, collective, proposal)
    return _reports(session, receipt, row)


@router.put(
    "/collectives/{collective}/proposals/{proposal}/minority-reports/{report}/support", response_model=ActDoneOut,
    summary="Support a minority report",
)
def support(collective: str, proposal: str, report: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """Of another, while the appeal runs, as one of the electorate. How many support it is told in steps, and to nobody who. Again it is the same."""
    act = supporting.support(session, runtime, Acting.of(receipt), collective, proposal, report, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.delete(
    "/collectives/{collective}/proposals/{proposal}/minority-reports/{report}/support", response_model=ActDoneOut,
    summary="Support a minority report no longer",
)
def support_no_longer(collective: str, proposal: str, report: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """While the appeal runs."""
    act = supporting.take_back(session, runtime, Acting.of(receipt), collective, proposal, report, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


def _reported(session: Session, receipt: Receipt, proposal: str, made: str) -> ReportOut:
    return _reports(session, receipt, session.get_one(Proposal, proposal), made)[0]


def _reports(session: Session, receipt: Receipt, row: Proposal, only: str | None = None) -> list[ReportOut]:
    return [
        ReportOut(
            id=one.row.id, kind=one.row.kind, upheld=one.upheld, text_sha256=one.row.sha256, text=one.text, log_index=one.row.log_index,
            status=one.standing.status, open=one.standing.open, supporters=one.standing.supporters, supported=one.supported,
        )
        for one in supporting.told(session, row, Acting.of(receipt), only)
    ]  # fmt: skip
