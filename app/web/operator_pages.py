"""The operator's pages: labs that wait to be let in, requests that wait for a review, recalls that are late, and how the log is.

Reached by a link that `python -m app console` prints where the service's settings are, and open for a day's work.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sqlmodel import Session, select

from app.agreements import review
from app.agreements.models import Agreement
from app.kit.access import BY_LINK, BY_OPERATOR
from app.kit.body import form_of
from app.kit.db import write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.runtime import Runtime
from app.log import proofs
from app.log import service as log
from app.parties import applying
from app.parties.auth import same_origin
from app.parties.models import Lab
from app.releases.models import Recall, ReleaseDeletion
from app.releases.queries import late, undeleted
from app.web import telling
from app.web.consoles import Console
from app.web.rendering import StaffRoute, page

CONSOLE = Console("/operator", "sayso_operator", "operator_links", "operator_sessions", "python -m app console", "strict")
SOON = timedelta(days=60)
"""A lab's facts that lapse within it are shown."""
MOST = 100
router = APIRouter(include_in_schema=False, route_class=StaffRoute, dependencies=[BY_OPERATOR])


@router.get("/operator/open/{code}", dependencies=[BY_LINK])
def open_pages(code: str, runtime: RuntimeDep) -> Response:
    """Turn a link into the browser's session."""
    return CONSOLE.open(code, runtime)


def _let_in(request: Request, runtime: Runtime) -> datetime:
    """The time, for the operator's session. Raises Unauthorised (console_ended), NotFound where it has ended."""
    CONSOLE.party(request, runtime)
    return runtime.clock.now()


def _behind(session: Session, duty: type[Recall] | type[ReleaseDeletion], rule: Any) -> Sequence[Any]:
    """(duty, lab) of duties to delete that a rule finds late, the oldest first."""
    joined = select(duty, Lab).join(Agreement, sa.and_(Agreement.id == duty.agreement_id)).join(Lab, sa.and_(Lab.id == Agreement.lab_id))
    return session.execute(joined.where(rule).order_by(duty.delete_by).limit(MOST)).all()  # type: ignore[arg-type]


@router.get("/operator")
def home(request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What waits, what is late, and whether all is well."""
    now = _let_in(request, runtime)
    reviews = [{"row": row, "lab": lab, "use": telling.used(use)} for row, lab, use in review.waiting(session, now)[:MOST]]
    overdue, undone = (_behind(session, duty, rule) for duty, rule in ((Recall, late(now)), (ReleaseDeletion, undeleted(now))))
    lapsing = session.exec(select(Lab).where(Lab.verified_until < now + SOON).order_by(Lab.verified_until).limit(MOST)).all()  # type: ignore[arg-type]
    asking = [{"row": row, "said": applying.said(row)} for row in applying.waiting(session)[:MOST]]
    return page(
        "operator.html", asking=asking, reviews=reviews, overdue=overdue, undone=undone, lapsing=lapsing, now=now, health=_health(session, runtime)
    )  # fmt: skip


def _health(session: Session, runtime: Runtime) -> dict[str, Any]:
    """What /readyz says, with the log's size and the size of the checkpoint that is published."""
    wrong, notes = runtime.state()
    return {"wrong": wrong, "notes": notes, "size": log.size(session), "published": proofs.published_size(session)}


@router.get("/operator/applications/{application}")
def application_page(application: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """One lab that waits: what it says, what you found, and your word."""
    _let_in(request, runtime)
    row = applying.find(session, application)
    return page("operator_application.html", row=row, said=applying.said(row))


@router.post("/operator/applications/{application}")
async def settle_application(application: str, request: Request, runtime: RuntimeDep) -> Response:
    """Let it in, or not."""
    form = await form_of(request)
    same_origin(request)
    await run_in_threadpool(_settle_application, application, request, runtime, form)
    return RedirectResponse(f"/operator/applications/{application}", 303, {"Cache-Control": "no-store"})


def _settle_application(application: str, request: Request, runtime: Runtime, form: dict[str, str]) -> None:
    now = _let_in(request, runtime)
    with write(runtime.engine) as session:
        if form.get("answer") == "approve":
            applying.approve(session, application, form.get("evidence", ""), now=now)
        else:
            applying.refuse(session, application, form.get("why", ""), now=now)


@router.post("/operator/requests/{asked}")
async def settle_review(asked: str, request: Request, runtime: RuntimeDep) -> Response:
    """Let a request go on, or not."""
    form = await form_of(request)
    same_origin(request)
    await run_in_threadpool(_settle_review, asked, request, runtime, form.get("answer") == "approve")
    return RedirectResponse("/operator", 303, {"Cache-Control": "no-store"})


def _settle_review(asked: str, request: Request, runtime: Runtime, approved: bool) -> None:
    now = _let_in(request, runtime)
    with write(runtime.engine) as session:
        if approved:
            review.approve(session, runtime, asked, now=now)
        else:
            review.refuse(session, asked, now=now)
