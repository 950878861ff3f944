"""The public pages, and the claim link. What a receipt opens is in `receipt_pages.py`, what a person does there in `act_pages.py`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlmodel import Session

from app.consents.policies import PolicyBook
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.deed import beside
from app.kit.db import write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, DomainError, NotFound
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.log import ledger, proofs
from app.log import service as log
from app.parties import claims
from app.parties.claims import ClaimCode, Claims
from app.parties.models import PortalSession
from app.releases import shares
from app.revocations import erasure, service
from app.revocations.acting import Holder
from app.revocations.schemas import ErasureIn, RevocationIn
from app.web import telling
from app.web.receipt_pages import set_cookie
from app.web.rendering import HERE, page, problem_page

pages = APIRouter(include_in_schema=False)


@pages.get("/")
def home(runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    return page("home.html", size=log.size(session), vkey=proofs.verifier_key(runtime))


@pages.get("/ledger")
def ledger_page(
    runtime: RuntimeDep, session: ReadSessionDep, cursor: Annotated[str | None, Query(max_length=400)] = None
) -> Response:
    found = ledger.page(session, runtime, cursor)
    first = cursor is None
    return page("ledger.html", items=found.items, next=found.next, shares=shares.today(runtime)[1] if first else [])


@pages.get("/static/{name}")
def static(name: str) -> Response:
    if name != "sayso.css":
        raise NotFound("not_found", "There is no such file.")
    return Response(
        (HERE / "static" / name).read_bytes(), media_type="text/css", headers={"Cache-Control": "max-age=3600"}
    )


# -- claim links -----------------------------------------------------------------------------------------------------
def _read_claim(runtime: Runtime, session: Session, code: str) -> tuple[ClaimCode, str, Contribution | None, Any]:
    """(claim, contributor, what it is about, when it was given). Raises NotFound (claim_unknown)."""
    codes: Claims = runtime.parts["claims"]
    claim = codes.read(code)
    if claim.kind == "contributor":
        portal = session.get(PortalSession, claim.subject)
        if portal is None:
            raise NotFound("claim_unknown", "Look at the link again; it must be copied whole.")
        return claim, portal.contributor_id, None, portal.created_at
    row = queries.by_id(session, claim.subject)
    if row is None or row.state == "erased":
        raise NotFound("claim_unknown", "Look at the link again; it must be copied whole.")
    return claim, row.contributor_id, row, row.recorded_at


@pages.get("/c/{code}")
def claim_page(
    code: str, runtime: RuntimeDep, session: ReadSessionDep, done: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    """Shows one button. Reading never uses the link up: previews and scanners read it too."""
    try:
        claim, _, item, _ = _read_claim(runtime, session, code)
    except DomainError as error:
        return problem_page(error)
    used = claims.redeemed(session, claim)
    facts, deed = None, ()
    if used is None and item is not None:
        # What came with the record, and nothing of what became of it: the platform has this link too.
        book: PolicyBook = runtime.parts["policies"]
        found = queries.as_recorded(session, item)
        facts = telling.facts(session, runtime, item)
        deed = () if found is None else beside(book.by_digest(found.digest).terms, telling.LANGUAGE)
    return page(
        "claim.html",
        code=code,
        item=facts,
        deed=deed,
        redeemed_at=used and used.redeemed_at,
        contested_at=used and used.contested_at,
        done=done == "withdrawn",
    )


@pages.post("/c/{code}")
def redeem(code: str, request: Request, runtime: RuntimeDep) -> Response:
    """Use the link: the receipt as JSON where that is accepted, else a cookie and the page of what was given."""
    wants_json = "application/json" in request.headers.get("accept", "")
    try:
        with write(runtime.engine) as session:
            claim, contributor, _, given_at = _read_claim(runtime, session, code)
            codes: Claims = runtime.parts["claims"]
            secret = codes.secret(claim, request.headers.get("idempotency-key"))
            claims.redeem(session, claim, contributor, given_at, secret, now=runtime.clock.now())
    except DomainError as error:
        if wants_json:
            raise
        return problem_page(error)
    if wants_json:
        contribution = claim.subject if claim.kind == "contribution" else None
        return JSONResponse({"receipt": secret, "contribution": contribution}, 201, {"Cache-Control": "no-store"})
    response = RedirectResponse("/r?new=1", 303, {"Cache-Control": "no-store"})
    set_cookie(runtime, response, secret)
    return response


@pages.post("/c/{code}/contest")
def contest(code: str, runtime: RuntimeDep) -> Response:
    try:
        with write(runtime.engine) as session:
            claim, _, _, _ = _read_claim(runtime, session, code)
            claims.contest(session, claim, now=runtime.clock.now())
    except DomainError as error:
        return problem_page(error)
    return RedirectResponse(f"/c/{code}", 303)


@pages.post("/c/{code}/withdraw")
def withdraw_unclaimed(code: str, runtime: RuntimeDep) -> Response:
    """An unclaimed link can withdraw; it can widen nothing."""
    try:
        with write(runtime.engine) as session:
            claim, contributor, item, _ = _read_claim(runtime, session, code)
            if item is None:
                raise NotFound("claim_unknown", "Use the link's button first.")
            if claims.redeemed(session, claim) is not None:
                # From here on the receipt decides: whoever still has the link may be the platform.
                raise Conflict("claim_already_redeemed", "Use the receipt that was made from it.")
            holder = Holder(contributor, claim.subject, claimed=False)
            service.withdraw(session, runtime, holder, RevocationIn(scope="contribution"), now=runtime.clock.now())
    except DomainError as error:
        # Whether the person took it back before, by another way, is not for the holder of this link to learn.
        if error.code != "already_withdrawn":
            return problem_page(error)
    return RedirectResponse(f"/c/{code}?done=withdrawn", 303)


@pages.post("/c/{code}/erase")
def erase_unclaimed(code: str, request: Request, runtime: RuntimeDep) -> Response:
    """An unclaimed link can also have what it is about erased. As JSON where that is accepted."""
    wants_json = "application/json" in request.headers.get("accept", "")
    try:
        with write(runtime.engine) as session:
            codes: Claims = runtime.parts["claims"]
            claim = codes.read(code)
            row = queries.by_id(session, claim.subject) if claim.kind == "contribution" else None
            if row is None:
                raise NotFound("claim_unknown", "Use the link's button first.")
            if claims.redeemed(session, claim) is not None:
                raise Conflict("claim_already_redeemed", "Use the receipt that was made from it.")
            holder = Holder(row.contributor_id, row.id, claimed=False)
            # Asked again, because an answer was lost: the erasure that is there.
            done = erasure.find(session, row.contributor_id, row.id) or erasure.request(
                session, runtime, holder, ErasureIn(scope="contribution"), now=runtime.clock.now()
            )
            told = {"id": done.id, "state": done.state, "log_index": done.log_index}
    except DomainError as error:
        if wants_json:
            raise
        return problem_page(error)
    if wants_json:
        return JSONResponse(told, 202, {"Cache-Control": "no-store"})
    return RedirectResponse(f"/erased/{done.id}", 303, {"Cache-Control": "no-store"})


@pages.get("/erased/{erasure_id}")
def erased_page(erasure_id: str, session: ReadSessionDep) -> Response:
    """How an erasure stands, for whoever knows its id: the receipt may have ended with it."""
    try:
        if not is_id("erasure", erasure_id):
            raise NotFound("erasure_unknown", "Look at the address; it must be copied whole.")
        row = erasure.read(session, erasure_id)
    except DomainError as error:
        return problem_page(error)
    return page("erased.html", row=row)
