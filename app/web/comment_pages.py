"""Comments on a proposal, with one level of replies; what stewards hide, in the log that everybody in the collective reads; and appeals."""

from dataclasses import dataclass

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from sqlmodel import Session, select

from app.collectives import deliberating, moderating, queries, telling
from app.collectives.service import Acting
from app.collectives.thread_models import Amendment, Comment, Moderation, Statement
from app.collectives.thread_schemas import (
    AmendmentOut,
    AppealTextIn,
    CommentIn,
    CommentOut,
    DecideIn,
    HideIn,
    StatementOut,
)
from app.core.thread import COMMENTS
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.kit.ids import is_id
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab
from app.web import thread_words
from app.web.collective_pages import Here, built, chosen, member, once, perform, words
from app.web.rendering import PageRoute, page
from app.web.thread_pages import PROPOSAL, SHOWN, Number, Word, around, base_of, yes

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
LOG = "/r/collectives/{collective}/moderations"


# -- comments ----------------------------------------------------------------------------------------------------------
@router.get(PROPOSAL + "/comments")
def show_comments(
    collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, at: Number = 1, on: Word = "", to: Word = "",
    said: Word = "",
) -> Response:  # fmt: skip
    """The oldest first, each with its replies. `on` is a statement, `to` a comment that the form is about."""
    values = around(request, session, runtime, collective, proposal)
    here = values["here"]
    rows = session.exec(select(Comment).where(Comment.proposal_id == values["row"].id).order_by(Comment.log_index)).all()  # type: ignore[arg-type]
    replies: dict[str, list[Comment]] = {}
    for one in rows:
        if one.parent_id is not None:
            replies.setdefault(one.parent_id, []).append(one)
    tops = [one for one in rows if one.parent_id is None]
    pages = max(1, -(-len(tops) // SHOWN))
    place = next((n // SHOWN + 1 for n, top in enumerate(tops) if said and any(one.id == said for one in (top, *replies.get(top.id, [])))), at)
    at = min(place, pages)
    shown = tops[SHOWN * (at - 1) : SHOWN * at]
    told = telling.comments(session, runtime, collective, [one for top in shown for one in (top, *replies.get(top.id, []))], here.receipt)
    threads: list[tuple[CommentOut, list[CommentOut]]] = []
    for comment in told:
        if comment.parent is None:
            threads.append((comment, []))
        else:
            threads[-1][1].append(comment)
    about = {one.statement for one in told if one.statement is not None} | ({on} if is_id("statement", on) else set())
    quoted = {one.id: one for one in telling.statements(session, runtime, collective, proposal, here.receipt, about, ())}
    answered = session.get(Comment, to) if is_id("comment", to) else None
    if to and (answered is None or answered.proposal_id != proposal or answered.parent_id is not None):
        raise NotFound("not_found", "Open the comments again and use the link beside one.")
    return page(
        "comments.html", threads=threads, quoted=quoted, before=SHOWN * (at - 1), at=at, pages=pages, most=COMMENTS, on=quoted.get(on),
        labs=_labs(session, told),
        to=None if answered is None else telling.comments(session, runtime, collective, [answered], here.receipt)[0], said=said, **values,
    )  # fmt: skip


def _labs(session: Session, told: list[CommentOut]) -> dict[str, str]:
    """The names of labs that speak."""
    ids = {one.lab for one in told if one.lab is not None}
    return {one.id: one.legal_name for one in session.exec(select(Lab).where(Lab.id.in_(ids)))} if ids else {}  # type: ignore[attr-defined]


@router.post(PROPOSAL + "/comments")
async def comment(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            CommentIn, "Go back, write at most 2000 letters, and tick one to five boxes of what it is about.", text=words(form, "text"),
            reasons=chosen(form, "reason-"), parent=form.get("to") or None, statement=form.get("on") or None,
        )  # fmt: skip
        made = once(
            session, runtime, who, f"comments/{proposal}", form,
            lambda: deliberating.comment(session, runtime, who, collective, proposal, given, now=runtime.clock.now()),
        )  # fmt: skip
        return f"{base_of(collective, proposal)}/comments?said={made}#{made}"

    return await perform(request, runtime, deed)


# -- hiding ------------------------------------------------------------------------------------------------------------
@router.get(PROPOSAL + "/hide/{item}")
def ask_hide(collective: str, proposal: str, item: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What it does, and why it is done: a steward's page."""
    values = around(request, session, runtime, collective, proposal)
    told = _told(session, runtime, values["here"], proposal, item)
    if told is None:
        raise NotFound("not_found", "Open the page again and use the link beside what is to be hidden.")
    return page("hide.html", item=told, reasons={code: why for code, why in thread_words.HIDING.items() if code != "elsewhere"}, **values)


@dataclass(frozen=True)
class _Shown:
    """Something else that can be hidden, as its reader may see it."""

    id: str
    text: str | None
    hidden: str | None


def _told(session: Session, runtime: Runtime, here: Here, proposal: str, item: str) -> StatementOut | CommentOut | AmendmentOut | _Shown | None:
    """What was said on a proposal as its reader may see it; None for what is none of it."""
    collective, found = here.collective.id, moderating.there(session, proposal, item)
    if found is None:
        return None
    if isinstance(found.row, Comment):
        return telling.comments(session, runtime, collective, [found.row], here.receipt)[0]
    if isinstance(found.row, Amendment):
        return telling.amendments(session, runtime, collective, [found.row], here.receipt)[0]
    if isinstance(found.row, Statement):
        statement = telling.statements(session, runtime, collective, proposal, here.receipt, [item], ())[0]
        if item == statement.stand_in_id:
            return _Shown(item, statement.stand_in, statement.stand_in_hidden)
        return statement if statement.id == item else _Shown(item, statement.answer, statement.answer_hidden)
    notes = telling.notes(session, runtime, collective, proposal, here.receipt)
    said = next(one for note in notes for one in (note, note.appeal) if one is not None and one.id == item)
    return _Shown(said.id, said.text, said.hidden)


@router.post(PROPOSAL + "/hide/{item}")
async def hide(collective: str, proposal: str, item: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(HideIn, "Go back and choose why.", item=item, reason=form.get("reason", ""))
        made = moderating.hide(session, runtime, who, collective, proposal, given.item, given.reason, now=runtime.clock.now())
        return f"{LOG.format(collective=collective)}/{made}"

    return await perform(request, runtime, deed)


# -- the log of it, and appeals ------------------------------------------------------------------------------------------
@router.get(LOG)
def show_log(collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, cursor: Word = "") -> Response:
    """What was hidden in a collective, why, and what became of it; how much of all that is said."""
    here = member(request, session, collective)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"page/moderations/{collective}"
    rows = moderating.page(session, collective, cursors.read(listing, cursor) if cursor else None, PAGE)
    items, hidden = moderating.rate(session, collective)
    return page(
        "moderations.html", here=here, items=log.bucket(items), hidden=log.bucket(hidden), words=thread_words,
        rows=telling.moderations(session, runtime, collective, rows, here.receipt),
        more=cursors.make(listing, rows[-1].id) if len(rows) == PAGE else None,
    )  # fmt: skip


@router.get(LOG + "/of/{item}")
def find_moderation(collective: str, item: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The newest entry about something."""
    member(request, session, collective)
    query = select(Moderation).where(Moderation.collective_id == collective, Moderation.item_id == item)
    row = session.exec(query.order_by(sa.desc(Moderation.log_index)).limit(1)).first()  # type: ignore[arg-type]
    if row is None:
        raise NotFound("not_found", "Open the list of what was hidden again.")
    return show_moderation(collective, row.id, request, runtime, session)


@router.get(LOG + "/{moderation}")
def show_moderation(collective: str, moderation: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """One entry: the appeal for who may make one, and for who decides it the decision."""
    here = member(request, session, collective)
    row = session.get(Moderation, moderation)
    if row is None or row.collective_id != collective:
        raise NotFound("not_found", "Open the list of what was hidden again.")
    proposal = queries.proposal(session, collective, row.proposal_id)
    item = _told(session, runtime, here, row.proposal_id, row.item_id)
    assert here.mine is not None
    return page(
        "moderation.html", here=here, row=proposal, base=f"{here.home}/proposals/{proposal.id}", words=thread_words, item=item,
        one=telling.moderations(session, runtime, collective, [row], here.receipt)[0],
        appeals=moderating.may_appeal(session, row, here.mine),
        decides=moderating.may_decide(session, row, proposal, here.mine, runtime.clock.now()),
    )  # fmt: skip


@router.post(LOG + "/{moderation}/appeal")
async def appeal(collective: str, moderation: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(AppealTextIn, "Go back and say in at most 2000 letters why it should be seen.", text=words(form, "text"))
        moderating.appeal(session, runtime, who, collective, moderation, given.text, now=runtime.clock.now())
        return f"{LOG.format(collective=collective)}/{moderation}"

    return await perform(request, runtime, deed)


@router.post(LOG + "/{moderation}/decision")
async def decide(collective: str, moderation: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(DecideIn, "Go back and use one of the two buttons.", restore=yes(form, "restore"))
        moderating.decide(session, runtime, who, collective, moderation, given.restore, now=runtime.clock.now())
        return f"{LOG.format(collective=collective)}/{moderation}"

    return await perform(request, runtime, deed)
