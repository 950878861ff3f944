"""Calls on a person's pages: open one, end one's own, hide another's."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from app.collectives import queries
from app.collectives.models import Collective, Membership
from app.collectives.service import Acting
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.revocations import convening, timeline
from app.revocations.acting import Holder
from app.revocations.call_schemas import CallIn
from app.web.collective_home_pages import calls_to
from app.web.collective_pages import built, fresh_key, once, perform, person, words
from app.web.rendering import PageRoute, page
from app.web.saying import say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
MOST_RELEASES = 20
TOLD = {
    "opened": say("Your call is out. It stands for 30 days."), "ended": say("Your call is over. Its words are gone."),
    "hidden": say("You will not see that call again."),
}  # fmt: skip


def _holder(who: Acting) -> Holder:
    return Holder(who.contributor, who.contribution)


def _public(session: Session, who: Acting) -> list[tuple[Collective, Membership]]:
    """The groups that a call can ask others into."""
    return [one for one in queries.groups_of(session, who) if one[0].listed]


@router.get("/r/calls")
def calls(
    request: Request, runtime: RuntimeDep, session: ReadSessionDep, done: Annotated[str, Query(max_length=20)] = "",
    at: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:  # fmt: skip
    """The calls that reach me, mine, and the form to open one."""
    receipt = person(request, session)
    return page(
        "calls.html", **calls_to(session, runtime, receipt, at), groups=_public(session, Acting.of(receipt)), done=TOLD.get(done),
        releases=timeline.went(session, receipt, MOST_RELEASES), most=convening.MOST_LETTERS, fewest=convening.FEWEST, once=fresh_key(),
        days=convening.LIFE.days, most_open=convening.MOST_OPEN,
    )  # fmt: skip


@router.post("/r/calls")
async def open_call(request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            CallIn, f"Go back and write at most {convening.MOST_LETTERS} letters.", text=words(form, "words"), release=form.get("release") or None,
            collective=form.get("collective") or None,
        )  # fmt: skip
        now = runtime.clock.now()
        once(
            session, runtime, who, "calls", form,
            lambda: convening.open_call(session, runtime, _holder(who), given.text, given.release, given.collective, now=now),
        )  # fmt: skip
        return "/r/calls?done=opened"

    return await perform(request, runtime, deed)


@router.post("/r/calls/{call}/end")
async def end_call(call: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        try:
            convening.end(session, runtime, _holder(who), call, now=runtime.clock.now())
        except NotFound:  # pressed twice, or over
            return "/r/calls"
        return "/r/calls?done=ended"

    return await perform(request, runtime, deed)


@router.post("/r/calls/{call}/hide")
async def hide_call(call: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        convening.hide(session, runtime, _holder(who), call, now=runtime.clock.now())
        return "/r/calls?done=hidden"

    return await perform(request, runtime, deed)
