"""What I gave: the pages that a receipt opens. Reads only; what a person does is in `act_pages.py`."""

from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from app.collectives.queries import Acting, groups_of
from app.contributions import queries, receipts
from app.contributions.models import Contribution
from app.kit.access import BY_LINK, BY_RECEIPT
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Unauthorised
from app.kit.pagination import Cursors
from app.kit.runtime import Runtime
from app.parties import claims, recovery
from app.parties.auth import COOKIE, bearer, receipt_from, same_origin
from app.parties.models import Receipt
from app.revocations import acts, compensation, convening, reporting, whereabouts
from app.revocations.acting import holder_of
from app.web import telling
from app.web.object_pages import said
from app.web.rendering import HEADERS, PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
Cursor = Annotated[str | None, Query(max_length=400)]
Filter = Annotated[str | None, Query(max_length=40)]
_ACTS = 50
MOST_LISTED = 50
"""Of a list on a page: what can be chosen in one form, which takes a hundred fields."""
Flag = Annotated[str | None, Query(max_length=20)]


def set_cookie(runtime: Runtime, response: Response, secret: str) -> None:
    """The receipt as the pages' cookie: no script reads it, no other site sends it."""
    secure = runtime.settings.public_url.startswith("https")
    response.set_cookie(COOKIE, secret, max_age=365 * 86_400, httponly=True, samesite="lax", secure=secure, path="/")


def keeps_own(request: Request, session: Session, found: Receipt | None) -> bool:
    """Whether the receipt in the browser stays, though this one was opened there: it opens all of the same person, and this one, of a link
    of the platform's, opens nothing. Else such a link would take the last way in from who lost their passkey."""
    own = claims.receipt_of(session, request.cookies.get(COOKIE) or "")
    if found is None or own is None or own.locked or not found.locked:
        return False
    return (own.contributor_id, own.contribution_id) == (found.contributor_id, None)


@router.get("/r")
def mine(
    request: Request, runtime: RuntimeDep, session: ReadSessionDep, cursor: Cursor = None, new: Flag = None, show: Flag = None,
    kind: Filter = None, state: Filter = None,
) -> Response:  # fmt: skip
    """One thing's page, or with a receipt for everything the list."""
    receipt = receipt_from(request, session)
    fresh = new is not None
    if receipt.contribution_id is not None:
        row = queries.covered(session, receipt, receipt.contribution_id)
        return _one(session, runtime, receipt, row, show == "1", fresh)
    cursors: Cursors = runtime.parts["cursors"]
    kind, state = (kind if kind in telling.KINDS else None), (state if state in telling.FILTERS else None)
    listing = f"page/{receipt.id}/{kind}/{state}"
    after = None if cursor is None else cursors.read(listing, cursor)
    rows = queries.covered_page(session, receipt, after, MOST_LISTED + 1, kind=kind, state=state)
    following = cursors.make(listing, rows[MOST_LISTED - 1].id) if len(rows) > MOST_LISTED else None
    held = whereabouts.held(session, receipt.contributor_id, None, runtime.clock.now()) if cursor is None else []
    filtered = {name: value for name, value in (("kind", kind), ("state", state)) if value}
    more = urlencode({**filtered, "cursor": following}) if following else None
    taken = frozenset(x.lab_id for x in whereabouts.exclusions(session, receipt.contributor_id, None))
    return page(
        "mine.html", items=telling.facts_of(session, runtime, rows[:MOST_LISTED]), more=more, fresh=fresh, first=cursor is None,
        labs=telling.labs(held, taken), target="all", done=done_by(session, runtime, receipt),
        owed=_is_owed(session, receipt), **_together(session, runtime, receipt), kinds=telling.KINDS, states=telling.FILTERS, filtered=filtered,
    )  # fmt: skip


@router.get("/r/of/{contribution}")
def one(contribution: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, show: Flag = None) -> Response:
    receipt = receipt_from(request, session)
    row = queries.covered(session, receipt, contribution)
    return _one(session, runtime, receipt, row, show == "1", False)


def _one(session: Session, runtime: Runtime, receipt: Receipt, row: Contribution, show: bool, fresh: bool) -> Response:
    now, whole = runtime.clock.now(), receipt.contribution_id is None
    held = whereabouts.held(session, row.contributor_id, row.id, now)
    has = {(h.lab_id, h.use) for h in held}
    taken = frozenset(x.lab_id for x in whereabouts.exclusions(session, row.contributor_id, row.id))
    return page(
        "one.html", item=telling.facts(session, runtime, row), terms=telling.terms(session, runtime, row), labs=telling.labs(held, taken),
        refused=[(r, telling.used(r.use)) for r in whereabouts.refused(session, runtime, row, now) if (r.lab_id, r.use) not in has],
        gave=telling.readable(receipts.content(session, runtime, row)) if show and row.state != "erased" else None,
        models=reporting.learned(session, runtime, row), said=None if row.state == "erased" else said(session, runtime, row),
        whole=whole, fresh=fresh, target=row.id, done=done_by(session, runtime, receipt),
        owed=_is_owed(session, receipt), **({} if whole else _together(session, runtime, receipt)),
    )  # fmt: skip


def _together(session: Session, runtime: Runtime, receipt: Receipt) -> dict[str, Any]:
    """The collectives that they belong to, and how many others call them."""
    calls = convening.count(session, holder_of(receipt), runtime.clock.now())
    return {"groups": groups_of(session, Acting.of(receipt)), "calls": calls}


def _is_owed(session: Session, receipt: Receipt) -> bool:
    """Whether a lab owes them anything that this receipt shows."""
    return bool(compensation.mine(session, holder_of(receipt), "", 1))


def done_by(session: Session, runtime: Runtime, receipt: Receipt) -> list[dict[str, object]]:
    """What the person did, newest first."""
    found = acts.latest(session, runtime, receipt, _ACTS)
    return [{"id": a.id, "at": a.at, "told": telling.did(a.type, a.scope, a.by_passkey)} for a in found]


def file_of(name: str, content: bytes, media_type: str) -> Response:
    """A private file to be saved."""
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


@router.get("/r/receipt/{contribution}")
def receipt_download(contribution: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The receipt of the recording, to verify offline."""
    row = queries.covered(session, receipt_from(request, session), contribution)
    data = receipts.receipt_file(session, runtime, row)
    return file_of(f"sayso-receipt-{row.id}.json", orjson.dumps(data, option=orjson.OPT_INDENT_2), "application/json")


@router.get("/r/content/{contribution}")
def content_download(contribution: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What was given, each part as the exact JSON text that was recorded."""
    row = queries.covered(session, receipt_from(request, session), contribution)
    parts = receipts.content(session, runtime, row)
    body = "{" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "}\n"
    return file_of(f"sayso-{row.id}.json", body.encode(), "application/json")


@router.get("/r/act/{act}")
def act_download(act: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The receipt of something the person did."""
    data = acts.receipt_file(session, runtime, receipt_from(request, session), act)
    return file_of("sayso-act.json", orjson.dumps(data, option=orjson.OPT_INDENT_2), "application/json")


@router.get("/r/keep")
def keep(request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The receipt as a small text to keep: the secret and the link that it makes."""
    receipt_from(request, session)
    secret = request.cookies.get(COOKIE) or bearer(request.headers["authorization"])
    text = telling.kept(f"{runtime.settings.public_url}/r/{secret}", secret).as_file()
    return file_of("my-sayso-receipt.txt", text.encode(), "text/plain; charset=utf-8")


# -- further receipts --------------------------------------------------------------------------------------------------
@router.get("/r/keys")
def keys(request: Request, session: ReadSessionDep, told: Flag = None) -> Response:
    """Which receipts open this page: make another, end the others."""
    receipt = receipt_from(request, session)
    return page("keys.html", receipt=receipt, others=claims.others(session, receipt), told=told, most=claims.MOST_RECEIPTS)


@router.post("/r/keys/new")
def another(request: Request, runtime: RuntimeDep) -> Response:
    """A new receipt in this browser; the one before stays good until the others are ended."""
    same_origin(request)
    with write(runtime.engine) as session:
        secret = claims.renew(session, runtime, receipt_from(request, session), now=runtime.clock.now())
    response = RedirectResponse("/r/keys?told=new", 303, {"Cache-Control": "no-store"})
    set_cookie(runtime, response, secret)
    return response


@router.post("/r/keys/end")
def end_others(request: Request, runtime: RuntimeDep) -> Response:
    """End every receipt but the one in this browser."""
    same_origin(request)
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session)
        claims.end_others(session, runtime, receipt, now=runtime.clock.now())
        recovery.end(session, receipt.contributor_id, receipt.contribution_id)  # who had a receipt may have made a code with it
    return RedirectResponse("/r/keys?told=ended", 303, {"Cache-Control": "no-store"})


# The last of these: it takes whatever no other address above takes.
@router.get("/r/{secret}", dependencies=[BY_LINK])
def open_receipt(secret: str, request: Request, runtime: RuntimeDep) -> Response:
    """A kept receipt as a link: becomes a cookie and leaves the address bar."""
    with read(runtime.engine) as session:
        found = claims.receipt_of(session, secret)
        kept = keeps_own(request, session, found)
    if found is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    response = Response(status_code=303, headers={"Location": "/r", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
    if not kept:
        set_cookie(runtime, response, secret)
    return response
