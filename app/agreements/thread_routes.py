"""HTTP for the lab in the threads of its own request, where a collective decides on it. Nothing else of a collective is there for a lab."""

from fastapi import APIRouter

from app.agreements import asked_threads
from app.agreements.schemas import LabCommentIn, LabCommentOut, LabExplainIn, LabThreadOut
from app.collectives import licensing, threads
from app.collectives.models import Proposal
from app.collectives.thread_models import Comment
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.idempotency import Once
from app.parties.auth import ReadingLab, WritingLab

router = APIRouter(prefix="/v1", tags=["agreements"], route_class=StrictRoute)


@router.get("/requests/{request}/threads", response_model=list[LabThreadOut], summary="What collectives say of a request")
def read_threads(request: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> list[LabThreadOut]:
    """A thread for each public collective that decides on it: statements and comments without names, counts rounded to ten."""
    return [asked_threads.told(session, runtime, one) for one in asked_threads.of_request(session, lab.id, request)]


@router.post("/requests/{request}/threads/{thread}/comments", status_code=201, response_model=LabCommentOut, summary="Speak in a thread")
def comment(
    request: str, thread: str, given: LabCommentIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab,
    idempotency_key: IdempotencyHeader = None,
) -> LabCommentOut:  # fmt: skip
    """As the lab that asks, until it is frozen; five times an hour, and twenty times a day."""
    asked_threads.must_be_of(session, lab.id, request, thread)
    now = runtime.clock.now()
    once = Once.of(lab.id, f"threads/{thread}/comments", idempotency_key, given.model_dump_json().encode())
    made, _ = once.perform(session, now, lambda: licensing.comment(session, runtime, lab, thread, given, now=now))
    row = session.get_one(Comment, made)
    words = threads.words_of(session, runtime, [made] if row.hidden is None else [])
    return asked_threads.comment(row, words[made][1] if made in words else None)


@router.put(
    "/requests/{request}/threads/{thread}/statements/{statement}/answer", response_model=LabThreadOut, summary="Answer a statement in a thread"
)
def explain(
    request: str, thread: str, statement: str, given: LabExplainIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab
) -> LabThreadOut:
    """The lab that asks is who proposed: the ballot waits for its answers, and not for ever."""
    asked_threads.must_be_of(session, lab.id, request, thread)
    licensing.answer(session, runtime, lab, thread, statement, given.text, now=runtime.clock.now())
    return asked_threads.told(session, runtime, session.get_one(Proposal, thread))
