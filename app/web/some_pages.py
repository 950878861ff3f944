"""Acts on some of many, chosen from the list: first a summary, which changes nothing, then the deed."""

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from app.consents.policies import PolicyBook, StoredPolicy, refusing
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.deed import beside
from app.core.policy import Policy
from app.core.templates import render_template
from app.kit.access import BY_RECEIPT
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, Invalid
from app.kit.runtime import Runtime
from app.kit.shown import FIELD
from app.parties import passkeys
from app.parties.auth import receipt_from, same_origin
from app.parties.models import Receipt
from app.revocations import service, whereabouts
from app.revocations.acting import holder_of, lock, person_acting
from app.revocations.schemas import RevocationIn
from app.web import telling
from app.web.act_pages import ALL, MOST_CREDIT, compared, credit_of, language_of, names, offered
from app.web.receipt_pages import done_by
from app.web.rendering import PageRoute, page
from app.web.saying import deed_language, say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
_OTHER = ("choose", "template", "credit", "language", FIELD)
"""Fields of these forms that name no contribution."""
_NO_STORE = {"Cache-Control": "no-store"}


def _chosen(session: Session, receipt: Receipt, form: dict[str, str]) -> list[Contribution]:
    """What the form names, in the order of ids. Raises NotFound (not_found)."""
    return [queries.covered(session, receipt, one) for one in sorted(form) if one not in _OTHER]


def _shown(session: Session, runtime: Runtime, receipt: Receipt, rows: list[Contribution]) -> dict[str, Any]:
    held = whereabouts.held(session, receipt.contributor_id, [row.id for row in rows], runtime.clock.now()) if rows else []
    return {"items": telling.facts_of(session, runtime, rows), "labs": telling.labs([one for one in held if one.fetched])}


# -- take them back ----------------------------------------------------------------------------------------------------
@router.post("/r/some")
async def ask_some(request: Request, runtime: RuntimeDep) -> Response:
    """What was chosen from the list, told before anything happens: this changes nothing."""
    form = await form_of(request)
    return await run_in_threadpool(_summary, request, runtime, form)


def _summary(request: Request, runtime: Runtime, form: dict[str, str]) -> Response:
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
        return page("ask_some.html", **_shown(session, runtime, receipt, _chosen(session, receipt, form)))


@router.post("/r/some/withdraw")
async def some_back(request: Request, runtime: RuntimeDep) -> Response:
    """Take the chosen ones back, as one act."""
    form = await form_of(request)
    address = await run_in_threadpool(_some_back, request, runtime, form)
    return RedirectResponse(address, 303, _NO_STORE)


def _some_back(request: Request, runtime: Runtime, form: dict[str, str]) -> str:
    same_origin(request)
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session)
        ids = [row.id for row in _chosen(session, receipt, form)]
        if not ids:
            raise Invalid("body_invalid", "Go back and choose some.")
        holder = holder_of(receipt)
        try:
            act = service.withdraw(session, runtime, holder, RevocationIn(scope="contribution", ids=ids), now=runtime.clock.now()).id
        except Conflict as error:
            if error.code != "already_withdrawn":
                raise
            act = None
        back = ALL if receipt.contribution_id is None else receipt.contribution_id
    return f"/r/of/{back}/done" + (f"?act={act}" if act else "")


# -- other terms for them ------------------------------------------------------------------------------------------------
@router.post("/r/some/terms")
async def ask_terms(request: Request, runtime: RuntimeDep) -> Response:
    """First the list of terms; then, with one chosen, what would change for how many. This changes nothing."""
    form = await form_of(request)
    return await run_in_threadpool(_terms, request, runtime, form)


def _terms(request: Request, runtime: Runtime, form: dict[str, str]) -> Response:
    book: PolicyBook = runtime.parts["policies"]
    choose = form.get("choose")
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
        rows = [row for row in _chosen(session, receipt, form) if row.state == "live"]
        shown = _shown(session, runtime, receipt, rows)
        if choose is None or not rows:
            return page("ask_some_terms.html", offered=offered(book), choose=None, **shown)
        new = refusing(lambda: render_template(book.template(choose), {}))
        relations = [_relation(session, book, row, new) for row in rows]
    counts = Counter(relations)
    return page(
        "ask_some_terms.html", choose=choose, title=say(book.template(choose)["title"]), after=beside(new, deed_language()), named=names(new),
        most=MOST_CREDIT, relations=relations, counts=counts, **shown,
    )  # fmt: skip


def _relation(session: Session, book: PolicyBook, row: Contribution, new: Policy) -> str:
    """How the new terms stand to what governs it now: a word of `act_pages.compared`, or `first` where nothing does."""
    found = queries.governing(session, row)
    return compared(None if found is None else book.by_digest(found[1].digest).terms, new) or "first"


@router.post("/r/some/scope")
async def scope_some(request: Request, runtime: RuntimeDep) -> Response:
    """Put the chosen ones under these terms: an act each, all in one transaction."""
    form = await form_of(request)
    address = await run_in_threadpool(_scope, request, runtime, form)
    return RedirectResponse(address, 303, _NO_STORE)


def _scope(request: Request, runtime: Runtime, form: dict[str, str]) -> str:
    same_origin(request)
    book: PolicyBook = runtime.parts["policies"]
    credit, language = credit_of(form), language_of(form)
    with read(runtime.engine) as session:
        receipt_from(request, session)
    policy = book.resolve(None, form.get("template", ""), {}, runtime.clock.now())  # stored, where new, before the act's transaction
    done = 0
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session)
        ids = [row.id for row in _chosen(session, receipt, form)]
        if not ids:
            raise Invalid("body_invalid", "Go back and choose some.")
        holder = holder_of(receipt)
        # All locks before the first act: it takes the log's head, after which none may be waited for. With the person's key held for
        # themselves alone nobody else acts for them meanwhile.
        person = person_acting(session, runtime, receipt.contributor_id, exclusive=True)
        live = [row.id for row in lock(session, holder, ids) if row.state == "live"]
        left = [one for one in live if not _is_under(session, receipt, one, policy, credit)]
        proven = None
        if any(service.to_sign(session, runtime, person, one, policy, language, credit) for one in left):
            # One signature over all of them: each act holds it, and stands in it.
            signed = {"type": "consent.scoped", **service.terms_to_sign(policy, language, credit)}
            proven = passkeys.prove(
                session, runtime, receipt.contributor_id, lambda once: {**signed, "contributions": passkeys.veiled(left, once)},
                now=runtime.clock.now(),
            )  # fmt: skip
        for one in left:
            service.scope(session, runtime, holder, one, policy, language, credit, now=runtime.clock.now(), proven=proven)
            done += 1
    return f"/r/some/done?n={done}"


def _is_under(session: Session, receipt: Receipt, contribution: str, policy: StoredPolicy, credit: str | None) -> bool:
    """Whether it was put under exactly that before: the button was pressed twice."""
    found = queries.current(session, receipt.contributor_id, contribution)
    return found is not None and found[1].digest == policy.digest and credit is None and found[0].credit_sealed is None


@router.get("/r/some/done")
def some_done(request: Request, runtime: RuntimeDep, session: ReadSessionDep, n: Annotated[int, Query(ge=0, le=100)] = 0) -> Response:
    """That it is done, with the receipts of these acts."""
    receipt = receipt_from(request, session)
    return page("some_done.html", n=n, done=done_by(session, runtime, receipt)[:n])
