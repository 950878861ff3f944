"""After the count the closing note of an outcome: who writes it, who may appeal it, who decides that."""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from sqlmodel import Session, select

from app.collectives import closing, queries, telling, threads
from app.collectives.dissent_models import DissentText, MinorityReport
from app.collectives.models import Collective, OutcomeRow, Proposal, Refusal
from app.collectives.service import Acting
from app.collectives.thread_models import Comment
from app.collectives.thread_schemas import CloserIn, ClosureIn, DecideIn, NoteAppealIn
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import DomainError
from app.kit.runtime import Runtime
from app.web.collective_pages import Here, built, perform, words
from app.web.rendering import PageRoute, page
from app.web.saying import say
from app.web.thread_pages import PROPOSAL, around, base_of, yes

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
MOST_CITED = 300
"""Arguments that can be chosen from on the page; a longer thread's others are cited through the API."""
UNREAD = say("Its words are for members alone.")
_KINDS = {"mrp": say("An objection"), "stm": say("A statement"), "cmt": say("A comment")}


@router.get(PROPOSAL + "/closing")
def show_closing(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The notes, their appeals, and the form for each thing that the reader may do."""
    values = around(request, session, runtime, collective, proposal)
    here, row, now, mine = values["here"], values["row"], values["now"], values["here"].mine
    notes = telling.notes(session, runtime, here.collective.id, row.id, here.receipt)
    writes = may(lambda: closing.closer(session, runtime, here.who, row, mine, now))
    told = cited(session, runtime, here, row, None if writes else [note.cites for note in notes if note.cites is not None])
    return page(
        "closing.html", notes=notes, counted=session.get(OutcomeRow, row.id) is not None, labels=closing.labels(session, row, now),
        until=row.appeal_until - threads.TO_APPEAL, writes=writes, told=told, cited=list(told.items())[:MOST_CITED],
        told_to=session.get(Refusal, row.id) is not None, outside=_named(session, [note.outside for note in notes if note.outside is not None]),
        names=mine is not None and may(lambda: closing.lacks_closer(session, runtime, row, mine, now)),
        appeals=values["voice"] and may(lambda: closing.appealable(session, row, now)),
        decides=values["voice"] and may(lambda: closing.decidable(session, row, mine, now)), **values,
    )  # fmt: skip


def may(check: Callable[[], Any]) -> bool:
    """Whether the service would let them: it says so itself, and why not when they try."""
    with suppress(DomainError):
        check()
        return True
    return False


def cited(session: Session, runtime: Runtime, here: Here, row: Proposal, only: Collection[str] | None = None) -> dict[str, tuple[Any, str]]:
    """What can be cited on a proposal, or `only` that with these ids, as far as its reader may see it: id -> (kind, words). Objections and
    reports, then statements by how many disagree, then comments. Who is to close for another group can cite an objection, whose words are
    for members, and reads the rest."""
    if only is not None and not only:
        return {}
    filed = select(DissentText).join(MinorityReport, sa.and_(MinorityReport.id == DissentText.report_id)).where(MinorityReport.proposal_id == row.id)  # type: ignore[arg-type]
    said = select(Comment).where(Comment.proposal_id == row.id)
    if only is not None:
        filed, said = filed.where(DissentText.report_id.in_(only)), said.where(Comment.id.in_(only))  # type: ignore[attr-defined]
    objections = session.exec(filed.order_by(MinorityReport.log_index))  # type: ignore[arg-type]
    against = [(one.report_id, str(UNREAD) if here.mine is None else one.text) for one in objections]
    statements = telling.statements(session, runtime, here.collective.id, row.id, here.receipt, only, owed=())
    comments = telling.comments(session, runtime, here.collective.id, list(session.exec(said.order_by(Comment.log_index))), here.receipt)  # type: ignore[arg-type]
    found = [*against, *((one.id, one.text) for one in (*sorted(statements, key=lambda one: -one.totals.disagree), *comments))]
    return {one: (_KINDS[one[:3]], text) for one, text in found if text is not None}


def _named(session: Session, collectives: list[str]) -> dict[str, str]:
    """The names of the collectives whose stewards wrote notes, where those chose to be public."""
    query = select(Collective).where(Collective.id.in_(collectives), Collective.listed)  # type: ignore[attr-defined]
    return {one.id: one.name for one in session.exec(query)} if collectives else {}


@router.post(PROPOSAL + "/closing")
async def close(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        advice = "Go back, write at most 10000 letters, and choose the best point against it."
        given = built(ClosureIn, advice, text=words(form, "text"), cites=form.get("cites") or None)
        closing.close(session, runtime, who, collective, proposal, given, now=runtime.clock.now())
        outside = queries.membership_of(session, collective, who) is None
        # With the note a steward of another group has done what they were asked for, and reads here no more.
        return "/r/collectives?done=closed" if outside else f"{base_of(collective, proposal)}/closing"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/closing/closer")
async def name_closer(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(CloserIn, "Go back and give the id of the other group, as col_ and 26 letters.", collective=words(form, "closer"))
        closing.name_closer(session, runtime, who, collective, proposal, given.collective, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/closing"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/closing/appeal")
async def appeal(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        advice = "Go back, choose what is wrong with it, and say why in at most 2000 letters."
        given = built(NoteAppealIn, advice, grounds=form.get("grounds", ""), text=words(form, "text"))
        closing.appeal(session, runtime, who, collective, proposal, given.grounds, given.text, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/closing"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/closing/decision")
async def decide(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(DecideIn, "Go back and use one of the two buttons.", restore=yes(form, "restore"))
        closing.decide(session, runtime, who, collective, proposal, given.restore, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/closing"

    return await perform(request, runtime, deed)
