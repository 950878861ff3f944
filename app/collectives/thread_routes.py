"""HTTP for what is said around a proposal: for members, and for those who are asked to close one. To platforms and labs nothing is there."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import select

from app.collectives import amendments, closing, deliberating, moderating, queries, telling, threads
from app.collectives.router import Member, Reader, done_out, once_for, policy_of
from app.collectives.schemas import ActDoneOut
from app.collectives.service import Acting
from app.collectives.thread_models import (
    Amendment,
    Comment,
    Moderation,
    NoteAppeal,
    ProposalThread,
)
from app.collectives.thread_schemas import (
    AcceptIn,
    AmendmentIn,
    AmendmentOut,
    AnswerIn,
    AppealTextIn,
    CloserIn,
    ClosureIn,
    ClosureOut,
    CommentIn,
    CommentOut,
    CommentPage,
    DecideIn,
    HideIn,
    ModerationLog,
    ModerationOut,
    NoteAppealIn,
    NoteAppealOut,
    StatementIn,
    StatementOut,
    ThreadOut,
    WeighedOut,
    WeighIn,
)
from app.consents.policies import StoredPolicy
from app.core.canonical import sha256_hex
from app.core.thread import counted_reasons
from app.kit.access import naming
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log import service as log

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)
_HERE = "/collectives/{collective}/proposals/{proposal}"
Cursor = Annotated[str | None, Query(max_length=400)]


# -- statements and comments ------------------------------------------------------------------------------------------
@router.post(_HERE + "/statements", status_code=201, response_model=StatementOut, summary="Put up a statement")
def put_up(
    collective: str, proposal: str, given: StatementIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> StatementOut:  # fmt: skip
    """One sentence to agree or disagree with; whoever puts it up agrees. At most ten on a proposal."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"statements/{proposal}", idempotency_key, given, session, runtime,
        lambda: deliberating.put_up(session, runtime, Acting.of(receipt), collective, proposal, given.text, now=now),
    )  # fmt: skip
    return telling.statements(session, runtime, collective, proposal, receipt, [made])[0]


@router.get(_HERE + "/statements", response_model=list[StatementOut], summary="Statements on a proposal, and how many agree")
def list_statements(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> list[StatementOut]:
    """Who agreed with what is told to nobody, and is not kept beyond the freeze."""
    return telling.statements(session, runtime, collective, proposal, receipt)


@router.put(_HERE + "/statements/{statement}/vote", response_model=WeighedOut, summary="Agree, disagree or pass")
def weigh(
    collective: str, proposal: str, statement: str, given: WeighIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> WeighedOut:
    """Until the freeze; the last word counts."""
    index = deliberating.weigh(session, runtime, Acting.of(receipt), collective, proposal, statement, given.choice, now=runtime.clock.now())
    return WeighedOut(statement=statement, choice=given.choice, log_index=index)


@router.put(_HERE + "/statements/{statement}/answer", response_model=ActDoneOut, summary="Answer a statement")
def answer(
    collective: str, proposal: str, statement: str, given: AnswerIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> ActDoneOut:
    """By who proposed, or a steward, who stands in: their answer is `stand_in`, beside that of who proposed. Anew by whoever gave the answer. The
    ballot waits up to a week for answers that are owed, unless a steward stood in; without one of who proposed the outcome is labelled
    `unanswered`."""
    act = deliberating.answer(session, runtime, Acting.of(receipt), collective, proposal, statement, given.text, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.post(_HERE + "/comments", status_code=201, response_model=CommentOut, summary="Comment on a proposal")
def comment(
    collective: str, proposal: str, given: CommentIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> CommentOut:  # fmt: skip
    """With one to five reasons of a closed list; at most five comments an hour."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"comments/{proposal}", idempotency_key, given, session, runtime,
        lambda: deliberating.comment(session, runtime, Acting.of(receipt), collective, proposal, given, now=now),
    )  # fmt: skip
    return telling.comments(session, runtime, collective, [session.get_one(Comment, made)], receipt)[0]


@router.get(_HERE + "/comments", response_model=CommentPage, summary="Comments on a proposal")
def list_comments(
    collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member, cursor: Cursor = None
) -> CommentPage:
    """In the order in which they were made."""
    row = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now())
    listing = f"comments/{proposal}/{receipt.id}"
    rows = deliberating.comments(session, row.id, _after(runtime, listing, cursor), PAGE)
    following = _next(runtime, listing, [one.log_index for one in rows])
    return CommentPage(items=telling.comments(session, runtime, collective, rows, receipt), next=following)


@router.get(_HERE + "/thread", response_model=ThreadOut, summary="A thread's digest, and what it is of")
def read_thread(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> ThreadOut:
    """Frozen with the text: its SHA-256 stands in the leaf that opens the ballot. Before, as it would be frozen now."""
    row = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now())
    thread = session.get(ProposalThread, row.id)
    frozen = None if thread is None or thread.body is None else bytes(thread.body)
    body = frozen
    if body is None:
        charter = queries.charter(session, collective, row.charter_n)
        counted = threads.totals(session, row, threads.statements(session, row.id))
        body = threads.as_bytes(session, row, counted, threads.owed(session, runtime, row, charter, runtime.clock.now()))
    given = [threads.reasons(one) for one in session.exec(select(Comment).where(Comment.proposal_id == row.id))]
    return ThreadOut(proposal=row.id, frozen=frozen is not None, thread=body.decode(), sha256=sha256_hex(body), reasons=counted_reasons(given))


# -- moderation -------------------------------------------------------------------------------------------------------
@router.post(_HERE + "/moderations", status_code=201, response_model=ModerationOut, summary="Hide something")
def hide(
    collective: str, proposal: str, given: HideIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ModerationOut:  # fmt: skip
    """A steward who neither proposed it nor is who it is about, with a reason of a closed list. It is not deleted, stands in the
    moderation log, and can be appealed."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"moderations/{proposal}", idempotency_key, given, session, runtime,
        lambda: moderating.hide(session, runtime, Acting.of(receipt), collective, proposal, given.item, given.reason, now=now),
    )  # fmt: skip
    return telling.moderations(session, runtime, collective, [session.get_one(Moderation, made)], receipt)[0]


@router.get(
    "/collectives/{collective}/moderations", dependencies=[naming("collective")], response_model=ModerationLog,
    summary="A collective's moderation log",
)  # fmt: skip
def list_moderations(
    collective: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Reader, cursor: Cursor = None
) -> ModerationLog:
    """A public one's for everybody, another's for its members: what was hidden, why, and what became of the appeal."""
    queries.readable(session, collective, None if receipt is None else Acting.of(receipt))
    listing = f"moderations/{collective}"
    cursors: Cursors = runtime.parts["cursors"]
    rows = moderating.page(session, collective, None if cursor is None else cursors.read(listing, cursor), PAGE)
    items, hidden = moderating.rate(session, collective)
    return ModerationLog(
        items=log.bucket(items), hidden=log.bucket(hidden), moderations=telling.moderations(session, runtime, collective, rows, receipt),
        next=cursors.make(listing, rows[-1].id) if len(rows) == PAGE else None,
    )  # fmt: skip


@router.post("/collectives/{collective}/moderations/{moderation}/appeal", status_code=201, response_model=ActDoneOut, summary="Appeal a moderation")
def appeal_moderation(
    collective: str, moderation: str, given: AppealTextIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ActDoneOut:  # fmt: skip
    """Any member but who hid it, once; its author still, after another's was turned down. Another steward decides."""
    now = runtime.clock.now()
    act = once_for(
        receipt, f"moderations/{moderation}/appeal", idempotency_key, given, session, runtime,
        lambda: moderating.appeal(session, runtime, Acting.of(receipt), collective, moderation, given.text, now=now),
    )  # fmt: skip
    return done_out(session, collective, receipt, act)


@router.put("/collectives/{collective}/moderations/{moderation}/decision", response_model=ModerationOut, summary="Decide the appeal of a moderation")
def decide_moderation(
    collective: str, moderation: str, given: DecideIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> ModerationOut:
    """A steward who neither hid it, nor wrote it, nor appealed, nor is a party to the proposal."""
    made = moderating.decide(session, runtime, Acting.of(receipt), collective, moderation, given.restore, now=runtime.clock.now())
    return telling.moderations(session, runtime, collective, [session.get_one(Moderation, made)], receipt)[0]


# -- amendments -------------------------------------------------------------------------------------------------------
@router.post(_HERE + "/amendments", status_code=201, response_model=AmendmentOut, summary="Propose another text, or another effect")
def amend(
    collective: str, proposal: str, given: AmendmentIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    policy: Annotated[StoredPolicy | None, policy_of(AmendmentIn)], idempotency_key: IdempotencyHeader = None,
) -> AmendmentOut:  # fmt: skip
    """Another text, and where the proposal brings terms or rules others of these. Its author accepts it, or it becomes a proposal of its own;
    as such a text it outlasts its author's erasure, as nobody's."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"amendments/{proposal}", idempotency_key, given, session, runtime,
        lambda: amendments.amend(session, runtime, Acting.of(receipt), collective, proposal, given, policy, now=now),
    )  # fmt: skip
    return telling.amendments(session, runtime, collective, [session.get_one(Amendment, made)], receipt)[0]


@router.get(_HERE + "/amendments", response_model=list[AmendmentOut], summary="Amendments to a proposal")
def list_amendments(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> list[AmendmentOut]:
    """The oldest first."""
    row = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now())
    return telling.amendments(session, runtime, collective, amendments.of(session, row.id), receipt)


@router.put(_HERE + "/amendments/{amendment}/decision", response_model=AmendmentOut, summary="Accept an amendment, or let it stand by itself")
def settle(
    collective: str, proposal: str, amendment: str, given: AcceptIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> AmendmentOut:
    """The proposal's author. What is not accepted by the freeze becomes an alternative by itself."""
    amendments.settle(session, runtime, Acting.of(receipt), collective, proposal, amendment, given.accept, now=runtime.clock.now())
    return telling.amendments(session, runtime, collective, [session.get_one(Amendment, amendment)], receipt)[0]


# -- closing ----------------------------------------------------------------------------------------------------------
@router.put(_HERE + "/closer", response_model=ActDoneOut, summary="Ask another collective's stewards to close it")
def name_closer(collective: str, proposal: str, given: CloserIn, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """A steward, where no member is uninvolved. They can read this thread then, and nothing else here."""
    act = closing.name_closer(session, runtime, Acting.of(receipt), collective, proposal, given.collective, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.post(_HERE + "/closure-notes", status_code=201, response_model=ClosureOut, summary="Write the closure note")
def close(
    collective: str, proposal: str, given: ClosureIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ClosureOut:  # fmt: skip
    """How it was decided, by somebody who had no part in it, naming the strongest argument against. Where a lab was refused by a public
    collective the lab reads it at once, and everybody seven days later, without a name."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"closure-notes/{proposal}", idempotency_key, given, session, runtime,
        lambda: closing.close(session, runtime, Acting.of(receipt), collective, proposal, given, now=now),
    )  # fmt: skip
    told = next(one for one in telling.notes(session, runtime, collective, proposal, receipt) if one.id == made)
    # From outside nobody reads on, also where this is sent again: not what was said against the note since.
    return told if told.outside is None else told.model_copy(update={"appeal": None})


@router.get(_HERE + "/closure-notes", response_model=list[ClosureOut], summary="Closure notes on an outcome")
def list_notes(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> list[ClosureOut]:
    """The one that stands, and those that were struck."""
    row = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now())
    return telling.notes(session, runtime, collective, row.id, receipt)


@router.post(_HERE + "/appeal", status_code=201, response_model=NoteAppealOut, summary="Appeal the closure note")
def appeal_note(
    collective: str, proposal: str, given: NoteAppealIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> NoteAppealOut:  # fmt: skip
    """The note, never the arithmetic: that is counted again by whoever likes. The outcome is contested until a steward has decided."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"appeal/{proposal}", idempotency_key, given, session, runtime,
        lambda: closing.appeal(session, runtime, Acting.of(receipt), collective, proposal, given.grounds, given.text, now=now),
    )  # fmt: skip
    return telling.note_appeal(session.get_one(NoteAppeal, made), given.text)


@router.put(_HERE + "/appeal/decision", response_model=list[ClosureOut], summary="Decide the appeal of a closure note")
def decide_appeal(
    collective: str, proposal: str, given: DecideIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> list[ClosureOut]:
    """A steward who neither proposed, nor wrote it, nor appealed, nor is who it is about. Where the appeal is right the note is struck;
    the verdict stays."""
    closing.decide(session, runtime, Acting.of(receipt), collective, proposal, given.restore, now=runtime.clock.now())
    return telling.notes(session, runtime, collective, proposal, receipt)


# -- telling ----------------------------------------------------------------------------------------------------------
def _after(runtime: Runtime, listing: str, cursor: str | None) -> int | None:
    cursors: Cursors = runtime.parts["cursors"]
    return None if cursor is None else int(cursors.read(listing, cursor))


def _next(runtime: Runtime, listing: str, indices: list[int]) -> str | None:
    cursors: Cursors = runtime.parts["cursors"]
    return cursors.make(listing, str(indices[-1])) if len(indices) == PAGE else None
