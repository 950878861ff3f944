"""The closing note of an outcome, on pages: who had no part in it writes how it was decided, and anybody with a voice can say that it is wrong."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import closing, deliberating, queries, threads
from app.collectives.models import DissentText, Proposal
from app.collectives.service import Acting
from app.collectives.thread_models import ClosureNote
from app.collectives.thread_schemas import ClosureIn, NoteAppealIn
from app.kit.access import BY_RECEIPT
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Invalid, NotFound
from app.kit.runtime import Runtime
from app.web.collective_pages import Here, built, fresh_key, once, perform, reader, words
from app.web.rendering import PageRoute, page
from app.web.saying import say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
GROUNDS = {
    "argument-missing": say("It leaves out a point against"), "closer-involved": say("Who wrote it had a part in it"),
    "note-misleading": say("It says what is not so"),
}  # fmt: skip
_MOST = 200
"""Arguments to choose from, of each sort."""


def may_close(session: Session, runtime: Runtime, here: Here, row: Proposal, now: Any) -> bool:
    """Whether somebody who may read the proposal can write its note now. The service looks again."""
    if closing.note_of(session, row.id) is not None or not closing.may_be_closed(session, row, now):
        return False
    if here.mine is None:
        return True  # a steward of a group that was asked to
    voice = here.mine.steward or here.mine.voice_from <= now
    return voice and queries.pseudonym(runtime, row.collective_id, here.who.contributor) not in closing.involved(session, row)


@router.get("/r/collectives/{collective}/proposals/{proposal}/closure")
def ask_close(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What a note is, and the arguments that it can name as the strongest against."""
    here, row = reader(request, session, collective, proposal)
    return page("closure.html", here=here, row=row, arguments=_arguments(session, runtime, row), once=fresh_key())


def _arguments(session: Session, runtime: Runtime, row: Proposal) -> list[tuple[str, str]]:
    """(id, words) of what was held against it or said about it, and can be read."""
    reports = [(one.id, session.get(DissentText, one.id)) for one in queries.reports_of(session, row.id)]
    found = [(id_, said.text) for id_, said in reports if said is not None][:_MOST]
    items = [one.id for one in threads.statements(session, row.id) if one.hidden is None][:_MOST]
    items += [one.id for one in deliberating.comments(session, row.id, None, _MOST) if one.hidden is None]
    texts = threads.words_of(session, runtime, items)
    return found + [(item, texts[item][1]) for item in items if item in texts]


@router.post("/r/collectives/{collective}/proposals/{proposal}/closure")
async def close(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        advice = "Go back, write the note, and choose the strongest point against."
        given = built(ClosureIn, advice, text=words(form, "words"), cites=form.get("cites") or None)
        once(
            session, runtime, who, f"closure/{proposal}", form,
            lambda: closing.close(session, runtime, who, collective, proposal, given, now=runtime.clock.now()),
        )  # fmt: skip
        return f"/r/collectives/{collective}/proposals/{proposal}?done=closed"

    return await perform(request, runtime, deed)


@router.get("/r/collectives/{collective}/proposals/{proposal}/closure/appeal")
def ask_appeal(collective: str, proposal: str, request: Request, session: ReadSessionDep) -> Response:
    here, row = reader(request, session, collective, proposal)
    note: ClosureNote | None = closing.note_of(session, row.id)
    if note is None or here.mine is None:
        raise NotFound("not_found", "Open the page of the proposal again.")
    return page("closure_appeal.html", here=here, row=row, grounds=GROUNDS, once=fresh_key())


@router.post("/r/collectives/{collective}/proposals/{proposal}/closure/appeal")
async def appeal(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(NoteAppealIn, "Go back, choose what is wrong, and say it.", grounds=form.get("grounds"), text=words(form, "words"))
        once(
            session, runtime, who, f"closure-appeal/{proposal}", form,
            lambda: closing.appeal(session, runtime, who, collective, proposal, given.grounds, given.text, now=runtime.clock.now()),
        )  # fmt: skip
        return f"/r/collectives/{collective}/proposals/{proposal}?done=appealed"

    return await perform(request, runtime, deed)


@router.post("/r/collectives/{collective}/proposals/{proposal}/closure/decision")
async def decide(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        if form.get("right") not in ("yes", "no"):
            raise Invalid("body_invalid", "Go back and press one of the two buttons.")
        closing.decide(session, runtime, who, collective, proposal, form["right"] == "yes", now=runtime.clock.now())
        return f"/r/collectives/{collective}/proposals/{proposal}?done=settled"

    return await perform(request, runtime, deed)
