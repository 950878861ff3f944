"""What a lab is told of a thread about its own request: what is said there without names, in counts that speak of nobody."""

from sqlmodel import Session

from app.agreements import service
from app.agreements.schemas import LabCommentOut, LabStatementOut, LabThreadOut
from app.collectives import licensing, queries, threads
from app.collectives.models import Proposal
from app.collectives.thread_models import Comment
from app.kit.errors import NotFound
from app.kit.runtime import Runtime


def of_request(session: Session, lab: str, request: str) -> list[Proposal]:
    """The proposals that a request of the lab's waits for, or waited. Raises NotFound (not_found)."""
    return licensing.threads_of(session, service.own_request(session, lab, request).answer.get("threads", []), lab)


def must_be_of(session: Session, lab: str, request: str, thread: str) -> None:
    """Raises NotFound (not_found)."""
    if thread not in service.own_request(session, lab, request).answer.get("threads", []):
        raise NotFound("not_found", "Look at the id; it must be of a thread about a request of yours.")


def told(session: Session, runtime: Runtime, row: Proposal) -> LabThreadOut:
    """A thread as its lab reads it."""
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
        comments=[comment(one, said(one.id)) for one in comments],
    )  # fmt: skip


def comment(one: Comment, text: str | None) -> LabCommentOut:
    """A comment as the lab reads it."""
    return LabCommentOut(
        id=one.id, text=text, mine=one.lab_id is not None, reasons=threads.reasons(one), parent=one.parent_id, statement=one.statement_id
    )
