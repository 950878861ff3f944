"""Objecting on a page: what it does and does not do, the person's words, and taking them back."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from pydantic import ValidationError
from sqlmodel import Session

from app.contributions import objections, queries
from app.contributions.models import Contribution
from app.kit.access import BY_RECEIPT
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, Invalid
from app.kit.runtime import Runtime
from app.parties.auth import receipt_from, same_origin
from app.revocations import objecting
from app.revocations.acting import holder_of
from app.revocations.schemas import ObjectionIn
from app.web import telling
from app.web.rendering import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])


def said(session: Session, runtime: Runtime, row: Contribution) -> objections.Said | None:
    """The objection that stands on it."""
    return next((one for one in objections.of_contribution(session, runtime, row.id, row.contributor_id) if one.withdrawn_at is None), None)


@router.get("/r/of/{contribution}/object")
def ask_object(contribution: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    row = queries.covered(session, receipt_from(request, session), contribution)
    standing = said(session, runtime, row)
    return page(
        "ask_object.html", item=telling.facts(session, runtime, row), target=row.id, home=f"/r/of/{row.id}", said=standing,
        most=objections.MOST_LETTERS, languages=telling.LANGUAGES,
    )  # fmt: skip


@router.post("/r/of/{contribution}/object")
async def object_to(contribution: str, request: Request, runtime: RuntimeDep) -> Response:
    form = await form_of(request)
    return await run_in_threadpool(_do, request, runtime, contribution, form)


@router.post("/r/of/{contribution}/unobject")
async def withdraw(contribution: str, request: Request, runtime: RuntimeDep) -> Response:
    form = await form_of(request)
    return await run_in_threadpool(_do, request, runtime, contribution, form, back=True)


def _do(request: Request, runtime: Runtime, contribution: str, form: dict[str, str], back: bool = False) -> Response:
    same_origin(request)
    given = None if back else _given(form)
    try:
        with write(runtime.engine) as session:
            receipt = receipt_from(request, session)
            row = queries.covered(session, receipt, contribution)
            holder = holder_of(receipt)
            now = runtime.clock.now()
            if given is None:
                act = objecting.withdraw(session, runtime, holder, row.id, form.get("objection", ""), now=now).id
            else:
                act = objecting.object_to(session, runtime, holder, row.id, given.statement, given.language, now=now).id
            address = f"/r/of/{row.id}/done?act={act}"
    except Conflict as error:
        # Pressed twice, or in another tab. New words beside those that stand are told that they were not taken.
        if error.code == "objection_stands" and not _same(request, runtime, contribution, given):
            raise
        if error.code not in ("objection_stands", "objection_withdrawn"):
            raise
        address = f"/r/of/{contribution}/done"
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _given(form: dict[str, str]) -> ObjectionIn:
    text = form.get("statement", "").replace("\r\n", "\n").strip()
    try:
        text.encode()  # half a surrogate pair is text for Python and for nobody else
        return ObjectionIn(statement=text, language=form.get("language", "").strip())
    except (ValidationError, UnicodeEncodeError):
        raise Invalid("body_invalid", f"Go back, write at most {objections.MOST_LETTERS} letters, and say in which language.") from None


def _same(request: Request, runtime: Runtime, contribution: str, given: ObjectionIn | None) -> bool:
    with read(runtime.engine) as session:
        row = queries.covered(session, receipt_from(request, session), contribution)
        standing = said(session, runtime, row)
    return standing is not None and given is not None and standing.statement == given.statement
