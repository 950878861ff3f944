"""HTTP for the lab in the threads of its own request, where a collective decides on it. Nothing else of a collective is there for a lab."""

from fastapi import APIRouter
from sqlmodel import Session

from app.agreements import service
from app.agreements.schemas import LabCommentIn, LabCommentOut, LabExplainIn, LabStatementOut, LabThreadOut
from app.collectives import licensing, queries, threads
from app.collectives.models import Proposal
from app.collectives.thread_models import Comment
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import NotFound
from app.kit.idempotency import Once
from app.kit.runtime import Runtime
from app.parties.auth import ReadingLab, WritingLab

router = APIRouter(prefix="/v1", tags=["agreements"], route_class=StrictRoute)


@router.get("/requests/{request}/threads", response_model=list[LabThreadOut], summary="What collectives say of a request")
def read_threads(request: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> list[LabThreadOut]:
    """A thread for each public collective that decides on it: statements and comments without names, counts rounded to ten."""
    row = service.own_request(session, lab.id, request)
    return [_thread(session, runtime, one) for one in licensing.threads_of(session, row.answer.get("threads", []), lab.id)]


@router.post("/requests/{request}/threads/{thread}/comments", status_code=201, response_model=LabCommentOut, summary="Speak in a thread")
def comment(
    request: str, thread: str, given: LabCommentIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab,
    idempotency_key: IdempotencyHeader = None,
) -> LabCommentOut:  # fmt: skip
    """As the lab that asks, until it is frozen; five times an hour, and twenty times a day."""
    _own(session, lab.id, request, thread)
    now = runtime.clock.now()
    once = Once.of(lab.id, f"threads/{thread}/comments", idempotency_key, given.model_dump_json().encode())
    made, _ = once.perform(session, now, lambda: licensing.comment(session, runtime, lab, thread, given, now=now))
    row = session.get_one(Comment, made)
    words = threads.words_of(session, runtime, [made] if row.hidden is None else [])
    return _comment(row, words[made][1] if made in words else None)


@router.put(
    "/requests/{request}/threads/{thread}/statements/{statement}/answer", response_model=LabThreadOut, summary="Answer a statement in a thread"
)
def explain(
    request: str, thread: str, statement: str, given: LabExplainIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab
) -> LabThreadOut:
    """The lab that asks is who proposed: the ballot waits for its answers, and not for ever."""
    _own(session, lab.id, request, thread)
    licensing.answer(session, runtime, lab, thread, statement, given.text, now=runtime.clock.now())
    return _thread(session, runtime, session.get_one(Proposal, thread))


def _own(session: Session, lab: str, request: str, thread: str) -> None:
    """Raises NotFound (not_found)."""
    if thread not in service.own_request(session, lab, request).answer.get("threads", []):
        raise NotFound("not_found", "Look at the id; it must be of a thread about a request of yours.")


def _thread(session: Session, runtime: Runtime, row: Proposal) -> LabThreadOut:
    statements, comments = licensing.visible(session, row)
    answers = [item for one in statements for item in (one.answer_id, one.stand_in_id) if item is not None]
    words = threads.words_of(session, runtime, [*(one.id for one in statements), *answers, *(one.id for one in comments)])
    counted = threads.totals(session, row, statements)
    charter = queries.charter(session, row.collective_id, row.charter_n)
    owed = set(threads.owed(session, runtime, row, charter, runtime.clock.now()))

    def said(item: str | None) -> str | None:
        return words[item][1] if item in words else None

    return LabThreadOut(
        thread=row.id, collective=row.collective_id, collective_name=queries.collective_of(session, row.collective_id).name, state=row.state,
        text=row.text, freeze_at=row.freeze_at, close_at=row.close_at,
        statements=[
            LabStatementOut(
                id=one.id, text=said(one.id), agree=service.rounded(counted[one.id].agree), disagree=service.rounded(counted[one.id].disagree),
                answer=said(one.answer_id) if one.answer_hidden is None else None,
                stand_in=said(one.stand_in_id) if one.stand_in_hidden is None else None,
                owed=one.id in owed if counted[one.id].agree >= queries.FEWEST else None,
            )
            for one in statements
        ],
        comments=[_comment(one, said(one.id)) for one in comments],
    )  # fmt: skip


def _comment(one: Comment, text: str | None) -> LabCommentOut:
    return LabCommentOut(
        id=one.id, text=text, mine=one.lab_id is not None, reasons=threads.reasons(one), parent=one.parent_id, statement=one.statement_id
    )
