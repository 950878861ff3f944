"""HTTP for use reports: a lab files them, a person reads in which models their work is."""

from fastapi import APIRouter
from sqlmodel import select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.contributions import queries
from app.contributions.router import checked_id
from app.core.evaluation import Use
from app.kit.body import StrictRoute
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.parties.auth import ReadingLab, ReadingReceipt, WritingLab
from app.revocations import disputing, reporting
from app.revocations.models import UseReport
from app.revocations.schemas import (
    DisputeOut,
    LearnedOut,
    LearnedPage,
    ReportIn,
    ReportOut,
    ReportPage,
    ShownOut,
    TreeOut,
)

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


@router.post("/agreements/{agreement}/reports", status_code=201, response_model=ReportOut, summary="Report a use")
def report(agreement: str, given: ReportIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> ReportOut:
    """For each model, and at least as often as the terms ask. What is missing on its day is public; thirty days later nothing new
    goes to the lab until it comes. The same report again is the same report. A stage that the signed use does not cover (`beyond`) is
    taken too, and is a breach in the public log (`use.breached`)."""
    row = reporting.file(session, runtime, lab, agreement, given.report, given.signed, given.records, now=runtime.clock.now())
    of = session.get_one(Agreement, row.agreement_id)
    return _report(row, of, agreements.use_of(session, of), disputing.of(session, [row.id]))


@router.get("/agreements/{agreement}/reports", response_model=ReportPage, summary="Our use reports")
def reports(agreement: str, session: ReadSessionDep, lab: ReadingLab) -> ReportPage:
    """In the order of the log."""
    row = agreements.own_agreement(session, lab.id, agreement)
    found = session.exec(select(UseReport).where(UseReport.agreement_id == row.id).order_by(UseReport.log_index)).all()  # type: ignore[arg-type]
    use, disputes = agreements.use_of(session, row), disputing.of(session, [one.id for one in found])
    return ReportPage(items=[_report(one, row, use, disputes) for one in found])


def _report(row: UseReport, agreement: Agreement, use: Use, disputes: dict[str, list[disputing.Disputed]]) -> ReportOut:
    beyond = reporting.beyond(row.stages, use)
    return ReportOut(
        id=row.id, level=f"L{row.level}", model=row.model, version=row.version, stages=row.stages, beyond=beyond, records=row.records, root=row.root,  # type: ignore[arg-type]
        sha256=row.sha256, log_index=row.log_index, received_at=row.received_at, next_due=agreement.report_due,
        disputes=[DisputeOut(**one.to_json()) for one in disputes.get(row.id, ())],
    )  # fmt: skip


@router.get("/contributions/{contribution}/models", response_model=LearnedPage, summary="In which models it is")
def models(contribution: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt) -> LearnedPage:
    """What holders said their models learned from it, and how well that is shown. They say it; nobody can prove what is left out."""
    row = queries.covered(session, receipt, checked_id(contribution))
    return LearnedPage(
        items=[
            LearnedOut(
                agreement=one.agreement, lab=one.lab, report=one.report, model=one.model, version=one.version, stages=one.stages,
                level=one.level, used=one.used, at=one.at, record_id=one.record_id,  # type: ignore[arg-type]
                tree=None if one.root is None or one.size is None else TreeOut(size=one.size, root=one.root),
                shown=[ShownOut(**leaf) for leaf in one.shown], effect=one.effect,
                disputes=[DisputeOut(**said.to_json()) for said in one.disputes],
            )
            for one in reporting.learned(session, runtime, row)
        ]
    )  # fmt: skip
