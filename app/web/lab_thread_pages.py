"""A lab's page for the threads of its own request: what is said there, its comments, and the answers that it owes as who asks.

What it says is said in the lab's name, and needs no key, as to give up a cut needs none: it signs nothing and releases nothing.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from app.agreements import asked_threads
from app.agreements import service as agreements
from app.agreements.models import Use as UseRow
from app.agreements.schemas import LabCommentIn, LabExplainIn
from app.collectives import licensing
from app.core.thread import COMMENTS, LAB_COMMENTS
from app.kit.access import BY_DESK
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.idempotency import Once
from app.kit.runtime import Runtime
from app.parties.auth import same_origin
from app.parties.models import Lab
from app.web import collective_words, telling, thread_words
from app.web.collective_pages import built, chosen, fresh_key, words
from app.web.lab_pages import lab_of
from app.web.rendering import StaffRoute, page

router = APIRouter(include_in_schema=False, route_class=StaffRoute, dependencies=[BY_DESK])
Asked = Annotated[str, Path(alias="request")]
_THREAD = "/lab/requests/{request}/threads/{thread}"


@router.get("/lab/requests/{request}")
def request_page(request_id: Asked, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What collectives that decide on a request say of it, and the forms to speak there until it is frozen."""
    lab, now = lab_of(request, runtime, session), runtime.clock.now()
    row = agreements.own_request(session, lab.id, request_id)
    threads = [
        {
            "told": told, "open": one.state == "discussion" and one.freeze_at > now, "state": collective_words.STATES[one.state],
            "talks": [(top, [reply for reply in told.comments if reply.parent == top.id]) for top in told.comments if top.parent is None],
        }
        for one in asked_threads.of_request(session, lab.id, request_id)
        for told in (asked_threads.told(session, runtime, one),)
    ]  # fmt: skip
    use = session.get_one(UseRow, row.use_id)
    return page(
        "lab_request.html", lab=lab, row=row, use=telling.used(agreements.parse(use.body["use"])), threads=threads, words=thread_words,
        most=(COMMENTS, LAB_COMMENTS), once=fresh_key(),
    )  # fmt: skip


@router.post(_THREAD + "/comments")
async def comment(request_id: Asked, thread: str, request: Request, runtime: RuntimeDep) -> Response:
    """Say something there, once however often it is pressed."""

    def said(session: Session, lab: Lab, form: dict[str, str]) -> None:
        given = built(
            LabCommentIn, "Go back, write at most 2000 letters, and tick one to five of what it is about.", text=words(form, "text"),
            reasons=chosen(form, "reason-"), parent=form.get("to") or None, statement=form.get("on") or None,
        )  # fmt: skip
        now = runtime.clock.now()
        key = form["once"][:40] if form.get("once") else None
        once = Once.of(lab.id, f"page/threads/{thread}/comments", key, given.model_dump_json().encode())
        once.perform(session, now, lambda: licensing.comment(session, runtime, lab, thread, given, now=now))

    return await _speak(request_id, thread, request, runtime, said)


@router.post(_THREAD + "/statements/{statement}/answer")
async def explain(request_id: Asked, thread: str, statement: str, request: Request, runtime: RuntimeDep) -> Response:
    """Answer a statement, or one's own answer anew."""

    def said(session: Session, lab: Lab, form: dict[str, str]) -> None:
        given = built(LabExplainIn, "Go back and write an answer of at most 2000 letters.", text=words(form, "text"))
        licensing.answer(session, runtime, lab, thread, statement, given.text, now=runtime.clock.now())

    return await _speak(request_id, thread, request, runtime, said)


async def _speak(request_id: str, thread: str, request: Request, runtime: Runtime, said: Callable[[Session, Lab, dict[str, str]], Any]) -> Response:
    form = await form_of(request)
    same_origin(request)
    await run_in_threadpool(_do, request_id, thread, request, runtime, lambda session, lab: said(session, lab, form))
    return RedirectResponse(f"/lab/requests/{request_id}#{thread}", 303, {"Cache-Control": "no-store"})


def _do(request_id: str, thread: str, request: Request, runtime: Runtime, act: Callable[[Session, Lab], Any]) -> None:
    with read(runtime.engine) as session:
        lab = lab_of(request, runtime, session).id
        asked_threads.must_be_of(session, lab, request_id, thread)
    with write(runtime.engine) as session:
        act(session, session.get_one(Lab, lab))
