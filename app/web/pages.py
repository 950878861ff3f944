"""The public pages, and the claim link. What a receipt opens is in `receipt_pages.py`, what a person does there in `act_pages.py`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse
from sqlmodel import Session

from app.consents import service as consents
from app.consents import wordings
from app.consents.policies import PolicyBook, refusing
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.deed import beside
from app.core.narrowing import without
from app.kit.access import BY_LINK, FOR_ANYBODY
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, DomainError, Invalid, NotFound
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.log import proofs
from app.log import service as log
from app.parties import claims
from app.parties.claims import ClaimCode, Claims
from app.parties.models import PortalSession
from app.revocations import erasure, service
from app.revocations.acting import Holder
from app.revocations.schemas import ErasureIn, RevocationIn
from app.web import telling
from app.web.act_pages import language_of
from app.web.receipt_pages import keeps_own, set_cookie
from app.web.rendering import HERE, SpokenRoute, page, problem_page
from app.web.saying import deed_language

pages = APIRouter(include_in_schema=False, route_class=SpokenRoute)
STATIC = {"sayso.css": "text/css"} | dict.fromkeys(("verify.js", "gather.js", "words.js", "frame.js", "passkey.js"), "text/javascript")


@pages.get("/", dependencies=[FOR_ANYBODY])
def home(runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    return page("home.html", size=log.size(session), vkey=proofs.verifier_key(runtime))


@pages.get("/verify", dependencies=[FOR_ANYBODY])
def verify_page(runtime: RuntimeDep) -> Response:
    """Check a receipt without sending it: by a script, which may connect to nothing."""
    shown = page("verify.html", vkey=proofs.verifier_key(runtime))
    closed = shown.headers["Content-Security-Policy"].replace("form-action 'self'", "form-action 'none'")
    shown.headers["Content-Security-Policy"] = f"{closed}; script-src 'self'"
    return shown


@pages.get("/receipts", dependencies=[FOR_ANYBODY])
def gather_page() -> Response:
    """Receipts in one list, which a script keeps in the browser: it may connect to nothing, and opens a receipt as a form."""
    shown = page("gather.html")
    shown.headers["Content-Security-Policy"] += "; script-src 'self'"
    return shown


@pages.get("/static/{name}", dependencies=[FOR_ANYBODY])
def static(name: str) -> Response:
    if name not in STATIC:
        raise NotFound("not_found", "There is no such file.")
    return Response((HERE / "static" / name).read_bytes(), media_type=STATIC[name], headers={"Cache-Control": "max-age=3600"})


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


@pages.get("/c/{code}", dependencies=[BY_LINK])
def claim_page(
    code: str, runtime: RuntimeDep, session: ReadSessionDep, done: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    """Shows one button. Reading never uses the link up: previews and scanners read it too."""
    try:
        claim, _, item, _ = _read_claim(runtime, session, code)
    except DomainError as error:
        return problem_page(error)
    used = claims.redeemed(session, claim)
    facts, deed, uses, shown = None, (), (), None
    if used is None and item is not None:
        # What came with the record, and nothing of what became of it: the platform has this link too.
        book: PolicyBook = runtime.parts["policies"]
        found = queries.as_recorded(session, item)
        facts = telling.facts(session, runtime, item)
        if found is not None:
            terms, shown = book.by_digest(found[1].digest).terms, wordings.address(session, found[0].wording_sha256)
            deed, uses = beside(terms, deed_language()), telling.uses(terms)
    return page(
        "claim.html",
        code=code,
        item=facts,
        deed=deed,
        uses=uses,
        shown=shown,
        redeemed_at=used and used.redeemed_at,
        contested_at=used and used.contested_at,
        done=done,
    )


@pages.post("/c/{code}", dependencies=[BY_LINK])
def redeem(code: str, request: Request, runtime: RuntimeDep) -> Response:
    """Use the link: the receipt as JSON where that is accepted, else a cookie and the page of what was given."""
    wants_json = "application/json" in request.headers.get("accept", "")
    try:
        with write(runtime.engine) as session:
            claim, contributor, _, given_at = _read_claim(runtime, session, code)
            codes: Claims = runtime.parts["claims"]
            secret = codes.secret(claim, request.headers.get("idempotency-key"))
            receipt = claims.redeem(session, runtime.keys, claim, contributor, given_at, secret, now=runtime.clock.now())
            locked, kept = receipt.locked, keeps_own(request, session, receipt)
    except DomainError as error:
        if wants_json:
            raise
        return problem_page(error)
    if wants_json:
        contribution = claim.subject if claim.kind == "contribution" else None
        told = {"receipt": secret, "contribution": contribution, "locked": locked}
        return JSONResponse(told, 201, {"Cache-Control": "no-store"})
    response = RedirectResponse("/r" if kept else "/r?new=1", 303, {"Cache-Control": "no-store"})
    if not kept:
        set_cookie(runtime, response, secret)
    return response


@pages.post("/c/{code}/contest", dependencies=[BY_LINK])
def contest(code: str, runtime: RuntimeDep) -> Response:
    try:
        with write(runtime.engine) as session:
            claim, _, _, _ = _read_claim(runtime, session, code)
            claims.contest(session, claim, now=runtime.clock.now())
    except DomainError as error:
        return problem_page(error)
    return RedirectResponse(f"/c/{code}", 303)


@pages.post("/c/{code}/withdraw", dependencies=[BY_LINK])
def withdraw_unclaimed(code: str, runtime: RuntimeDep) -> Response:
    """An unclaimed link can withdraw; it can widen nothing."""
    try:
        with write(runtime.engine) as session:
            holder = _unclaimed(runtime, session, code)
            service.withdraw(session, runtime, holder, RevocationIn(scope="contribution"), now=runtime.clock.now())
    except DomainError as error:
        # Whether the person took it back before, by another way, is not for the holder of this link to learn.
        if error.code != "already_withdrawn":
            return problem_page(error)
    return RedirectResponse(f"/c/{code}?done=withdrawn", 303)


@pages.post("/c/{code}/narrow", dependencies=[BY_LINK])
async def narrow_unclaimed(code: str, request: Request, runtime: RuntimeDep) -> Response:
    """An unclaimed link can also stop uses of those that came with the record: its form names them by their place, `stop-0` and on."""
    try:
        form = await form_of(request)
        await run_in_threadpool(_narrow, code, runtime, form)
    except DomainError as error:
        return problem_page(error)
    return RedirectResponse(f"/c/{code}?done=narrowed", 303)


def _narrow(code: str, runtime: Runtime, form: dict[str, str]) -> None:
    names = {name for name, value in form.items() if value == "yes"}
    book: PolicyBook = runtime.parts["policies"]
    with read(runtime.engine) as session:
        holder = _unclaimed(runtime, session, code)
        row = queries.by_id(session, str(holder.contribution))
        came = None if row is None else queries.as_recorded(session, row)
        current = None if row is None else consents.current(session, holder.contributor, row.id)
        offered = () if came is None else book.by_digest(came[1].digest).terms.permission
        stopped = [rule for place, rule in enumerate(offered) if f"stop-{place}" in names]
        if not stopped or len(stopped) == len(offered):
            raise Invalid("body_invalid", "Go back and choose some of the uses to stop; to stop them all, take it back.")
        # What the person chose since, with a receipt for everything, is not told to whoever has the link: no word of it here.
        before = None if current is None else book.by_ids([current.policy_id])[current.policy_id].terms
        less = before and refusing(lambda: without(before, offered, stopped))
    if before is None or less == before:
        return
    now = runtime.clock.now()
    policy = None if less is None else book.store(less, now)
    with write(runtime.engine) as session:
        holder = _unclaimed(runtime, session, code)
        if policy is None:
            service.withdraw(session, runtime, holder, RevocationIn(scope="contribution"), now=now)
        else:
            service.scope(session, runtime, holder, holder.contribution, policy, language_of(form), None, now=now)


def _unclaimed(runtime: Runtime, session: Session, code: str) -> Holder:
    """Who acts by a link that nobody used yet. Raises NotFound (claim_unknown) or Conflict (claim_already_redeemed)."""
    claim, contributor, item, _ = _read_claim(runtime, session, code)
    if item is None:
        raise NotFound("claim_unknown", "Use the link's button first.")
    if claims.redeemed(session, claim) is not None:
        # From here on the receipt decides: whoever still has the link may be the platform.
        raise Conflict("claim_already_redeemed", "Use the receipt that was made from it.")
    return Holder(contributor, item.id, claimed=False)


@pages.post("/c/{code}/erase", dependencies=[BY_LINK])
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


@pages.get("/erased/{erasure_id}", dependencies=[FOR_ANYBODY])
def erased_page(erasure_id: str, session: ReadSessionDep) -> Response:
    """How an erasure stands, for whoever knows its id: the receipt may have ended with it."""
    try:
        if not is_id("erasure", erasure_id):
            raise NotFound("erasure_unknown", "Look at the address; it must be copied whole.")
        row = erasure.read(session, erasure_id)
    except DomainError as error:
        return problem_page(error)
    return page("erased.html", row=row)
