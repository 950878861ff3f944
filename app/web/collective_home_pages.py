"""A person's own pages of their collectives: which they are, what one is like from inside, and joining, founding, mandating, leaving."""

import hmac
from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from app.collectives import deliberating, mandates, proposals, queries, service
from app.collectives.models import Collective, Mandate
from app.collectives.schemas import CharterIn, DeclareIn, FoundIn, JoinIn, MandateIn
from app.collectives.service import Acting
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.deed import beside
from app.core.templates import render_template
from app.kit.access import BY_MEMBER, naming
from app.kit.body import form_of
from app.kit.db import read
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, DomainError, Invalid, NotFound
from app.kit.ids import is_id
from app.kit.pagination import Cursors
from app.kit.runtime import Runtime
from app.parties.auth import same_origin
from app.parties.models import Lab, Receipt
from app.revocations import convening
from app.revocations.acting import holder_of
from app.web import charter_forms, telling
from app.web import collective_words as told
from app.web.act_pages import offered
from app.web.collective_pages import (
    NO_STORE,
    built,
    chosen,
    fresh_key,
    inside,
    labs,
    member,
    once,
    perform,
    person,
    turn_away,
    words,
)
from app.web.collective_public_pages import facts, review
from app.web.rendering import PageRoute, page
from app.web.saying import deed_language, say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
DAYS = (30, 90, 182, 365)
"""For how long a mandate can be given on the page."""
MOST = 30
TOLD = {
    "joined": say("You are a member now."),
    "declared": say("We noted it. A lab that you work for counts at once, a group in votes that begin in a week or later."),
    "mandate": say("From now on the terms of the group count too."), "mandate-ended": say("From now on your own terms count."),
    "founded": say("Your group is there. You are its first member and its steward."),
    "left": say("You left. From now on your own terms count for what you gave."),
    "closed": say("The closing note is there. You cannot read there any more."),
}  # fmt: skip
"""What was just done, by a word in the address."""
Word = Annotated[str | None, Query(max_length=20)]


def calls_to(session: Session, runtime: Runtime, receipt: Receipt, at: int = 1) -> dict[str, Any]:
    """For a page: theirs and the `calls` that reach whoever has the receipt, of these the page `at` of so many `pages`."""
    holder, now = holder_of(receipt), runtime.clock.now()
    pages = max(1, -(-convening.count(session, holder, now) // convening.SHOWN))
    at = min(at, pages)
    return {"calls": convening.heard(session, runtime, holder, now, at), "at": at, "pages": pages}


@router.get("/r/collectives")
def mine(request: Request, runtime: RuntimeDep, session: ReadSessionDep, done: Word = None) -> Response:
    """Those I belong to, calls, and the ways to join or found one."""
    receipt = person(request, session)
    groups = queries.groups_of(session, Acting.of(receipt))
    return page(
        "collectives_mine.html", groups=groups, reviews={row.id: review(session, runtime, row) for row, _ in groups}, done=TOLD.get(done or ""),
        **calls_to(session, runtime, receipt),
    )  # fmt: skip


# -- found -----------------------------------------------------------------------------------------------------------------
@router.get("/r/collectives/found")
def ask_found(request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    person(request, session)
    return _founding(runtime, {}, None)


def _founding(runtime: Runtime, form: dict[str, str], error: DomainError | None) -> Response:
    """The form to found one, with what was typed in it so far, and what was wrong with that."""
    fresh = {**CharterIn(aim="x").model_dump(mode="json"), "aim": ""}
    return page(
        "collective_found.html", offered=with_deeds(runtime.parts["policies"]), house=charter_forms.kept(form, fresh), typed=form, once=fresh_key(),
        refused=charter_forms.refused(error),
    )  # fmt: skip


def with_deeds(book: PolicyBook) -> list[dict[str, Any]]:
    """The terms that a group can choose, each with its deed."""
    return [{**one, "deed": beside(render_template(book.template(one["name"]), {}), deed_language())} for one in offered(book)]


@router.post("/r/collectives/found")
async def found(request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str], policy: StoredPolicy | None) -> str:
        charter = charter_forms.charter_of(form, {"requests": form.get("requests", "policy")})
        advice = "Give the group a name of at most 200 letters, and say who can see it."
        given = built(FoundIn, advice, name=words(form, "name"), listed=form.get("listed") == "yes", charter=charter)
        made = once(
            session, runtime, who, "found", form,
            lambda: service.found(session, runtime, who, given, policy, now=runtime.clock.now()),
        )  # fmt: skip
        return f"/r/collectives/{made}?done=founded"

    return await perform(
        request, runtime, deed, lambda form: policy_of(runtime, form), lambda session, form, error: _founding(runtime, form, error)
    )


def policy_of(runtime: Runtime, form: dict[str, str]) -> StoredPolicy | None:
    """The policy that a form chooses, stored; None where it chooses none. Raises NotFound (policy_unknown_template)."""
    book: PolicyBook = runtime.parts["policies"]
    return book.resolve(None, form["choose"], {}, runtime.clock.now()) if form.get("choose") else None


# -- join ------------------------------------------------------------------------------------------------------------------
@router.post("/r/collectives/look")
async def look(request: Request, runtime: RuntimeDep) -> Response:
    """What it means to join one, by its id and for one that is not public its invitation: this changes nothing."""
    if "authorization" in request.headers:
        await run_in_threadpool(turn_away, request)
    form = await form_of(request)
    return await run_in_threadpool(_look, request, runtime, form.get("id", "").strip(), form.get("invitation", "").strip())


def _look(request: Request, runtime: Runtime, collective: str, invitation: str) -> Response:
    same_origin(request)
    with read(runtime.engine) as session:
        receipt = person(request, session)
        row = session.get(Collective, collective) if is_id("collective", collective) else None
        good = row is not None and hmac.compare_digest(invitation.encode(), queries.invitation(runtime, row.id).encode())
        if row is None or not (row.listed or good):
            raise NotFound("not_found", "Go back and copy the id, and for a group that is not public its invitation, whole.")
        if queries.membership_of(session, row.id, Acting.of(receipt)) is not None:
            return RedirectResponse(f"/r/collectives/{row.id}", 303, NO_STORE)
        return page("collective_join.html", **facts(session, runtime, row), invitation=invitation)


@router.post("/r/collectives/{collective}/join", dependencies=[naming("collective")])
async def join(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            JoinIn, "Go back and copy the codes whole.", invitation=words(form, "invitation") or None,
            eligibility_code=words(form, "eligibility_code") or None, declared=form.get("declared") or None,
        )  # fmt: skip
        try:
            service.join(session, runtime, who, collective, given, now=runtime.clock.now())
        except Conflict as error:
            if error.code != "already_member":
                raise
        return f"/r/collectives/{collective}?done=joined"

    return await perform(request, runtime, deed)


# -- inside ----------------------------------------------------------------------------------------------------------------
@router.get("/r/collectives/{collective}")
def home(
    collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, done: Word = None,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> Response:  # fmt: skip
    """A collective as its members meet it. Who is no member is led to its public page, where it has one."""
    receipt = person(request, session)
    try:
        here = inside(session, receipt, collective)
    except NotFound:
        row = session.get(Collective, collective)
        if row is None or not row.listed:
            raise
        return RedirectResponse(f"/collectives/{collective}", 303, NO_STORE)
    assert here.mine is not None
    now = runtime.clock.now()
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"page-proposals/{collective}/{receipt.id}"
    rows, last = proposals.page(session, collective, None if cursor is None else cursors.read(listing, cursor), MOST)
    given = [_mandate(m, here.collective, receipt) for m in queries.mandates_of(session, here.mine) if _binds(m, receipt)]
    return page(
        "collective_home.html", once=fresh_key(), here=here, mine=here.mine, now=now, today=now.date(), done=TOLD.get(done or ""), proposals=rows,
        in_office=queries.in_office(here.mine, now),
        more=None if last is None else cursors.make(listing, last), types=told.TYPES, states=told.STATES, mandates=given,
        load=queries.begun(session, collective, now), asked=len(deliberating.asked(session, here.who, collective, now)),
        asks=here.charter.get("asks", deliberating.ASKS), kinds=telling.KINDS, one=receipt.contribution_id is not None,
        until=[(days, now.date() + timedelta(days=days)) for days in DAYS],
        invitation=None if here.collective.listed else queries.invitation(runtime, collective),
        interest=None if here.mine.interest is None else session.get(Lab, here.mine.interest), choice=_choice(session, here.mine.interest),
        **facts(session, runtime, here.collective, here.charter),
    )  # fmt: skip


def _binds(row: Mandate, receipt: Receipt) -> bool:
    """Whether a mandate may bind something that the receipt is for: one over everything does so for each thing."""
    return receipt.contribution_id is None or row.contribution_id in (None, receipt.contribution_id)


def _mandate(row: Mandate, collective: Collective, receipt: Receipt) -> dict[str, Any]:
    kinds = [telling.KINDS[kind] for kind in mandates.kinds_of(row.kinds) or []]
    ends = receipt.contribution_id in (None, row.contribution_id)
    outgrown = row.policy_id not in (None, collective.policy_id)
    return {"row": row, "kinds": kinds, "one": row.contribution_id is not None, "ends": ends, "outgrown": outgrown}


def _choice(session: Session, interest: str | None) -> list[Lab]:
    """Labs to choose from, by name; the member's interest always, so that to note something else does not end it."""
    found = labs(session)
    mine = None if interest is None else session.get(Lab, interest)
    return found if mine is None or mine in found else [mine, *found]


@router.post("/r/collectives/{collective}/declare")
async def declare(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            DeclareIn, "Go back and choose from the lists.", declared=form.get("declared") or None, interest=form.get("interest") or None
        )
        if given.interest is not None and session.get(Lab, given.interest) is None:
            raise Invalid("body_invalid", "Go back and choose the lab from the list.")
        service.declare(session, runtime, who, collective, given, now=runtime.clock.now())
        return f"/r/collectives/{collective}?done=declared"

    return await perform(request, runtime, deed)


@router.post("/r/collectives/{collective}/mandate")
async def mandate(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        try:
            until = date.fromisoformat(form.get("until", ""))
        except ValueError:
            raise Invalid("mandate_too_long", "Go back and choose a day from the list.") from None
        kinds = chosen(form, "kind-") if form.get("reach") == "kinds" else None
        given = built(
            MandateIn, "Go back and choose for what it is to count.", expires_on=until.isoformat(), kinds=kinds, policy=form.get("policy") or None
        )
        once(
            session, runtime, who, f"mandate/{collective}", form,
            lambda: mandates.give_mandate(session, runtime, who, collective, given, now=runtime.clock.now()),
        )  # fmt: skip
        return f"/r/collectives/{collective}?done=mandate"

    return await perform(request, runtime, deed)


@router.post("/r/collectives/{collective}/mandate/{mandate}/end")
async def end_mandate(collective: str, mandate: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        try:
            mandates.end_mandate(session, runtime, who, collective, mandate, now=runtime.clock.now())
        except Conflict as error:
            if error.code != "mandate_ended":
                raise
        return f"/r/collectives/{collective}?done=mandate-ended"

    return await perform(request, runtime, deed)


@router.get("/r/collectives/{collective}/leave")
def ask_leave(collective: str, request: Request, session: ReadSessionDep) -> Response:
    return page("collective_leave.html", here=member(request, session, collective))


@router.post("/r/collectives/{collective}/leave")
async def leave(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        try:
            service.leave(session, runtime, who, collective, now=runtime.clock.now())
        except DomainError as error:
            if error.code != "not_found":  # pressed twice: they are gone
                raise
            return "/r/collectives"
        return "/r/collectives?done=left"

    return await perform(request, runtime, deed)
