"""What labs owe a person: what they see of it, and how they say that it was not paid."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from app.kit.access import BY_RECEIPT
from app.kit.body import form_of
from app.kit.db import write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Invalid
from app.kit.pagination import Cursors
from app.kit.runtime import Runtime
from app.parties.auth import receipt_from, same_origin
from app.revocations import compensation
from app.revocations.acting import holder_of
from app.web import telling
from app.web.receipt_pages import MOST_LISTED, Cursor
from app.web.rendering import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
REASONS = ("not-received", "too-little")


@router.get("/r/pay")
def owed(request: Request, runtime: RuntimeDep, session: ReadSessionDep, cursor: Cursor = None) -> Response:
    """Every line, and what each lab says of it."""
    receipt = receipt_from(request, session)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"pay/{receipt.id}"
    after = "" if cursor is None else cursors.read(listing, cursor)
    found = compensation.mine(session, holder_of(receipt), after, MOST_LISTED + 1)
    more = cursors.make(listing, found[MOST_LISTED - 1][0].id) if len(found) > MOST_LISTED else None
    return page("pay.html", items=[telling.payment(line, lab) for line, lab in found[:MOST_LISTED]], more=more)


@router.get("/r/pay/{line}")
def ask(line: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What it means to say that a payment is wrong."""
    row, lab = compensation.one_of_mine(session, holder_of(receipt_from(request, session)), line)
    return page("ask_pay.html", item=telling.payment(row, lab), missing=row.state != "due" or row.due <= runtime.clock.now())


@router.post("/r/pay/{line}")
async def dispute(line: str, request: Request, runtime: RuntimeDep) -> Response:
    form = await form_of(request)
    await run_in_threadpool(_dispute, runtime, request, line, form.get("reason", ""))
    return RedirectResponse("/r/pay", 303, {"Cache-Control": "no-store"})


def _dispute(runtime: Runtime, request: Request, line: str, reason: str) -> None:
    same_origin(request)
    if reason not in REASONS:
        raise Invalid("body_invalid", "Go back and press one of the buttons.")
    with write(runtime.engine) as session:
        compensation.dispute(session, runtime, holder_of(receipt_from(request, session)), line, reason, now=runtime.clock.now())
