"""Say something about a proposal while it is discussed: put up statements, weigh them, answer them, comment.

All of it is a member's own act. Votes on statements are logged as ballots are: sealed under a key of the thread, so that neither a row nor
a receipt says for long whose they were. What is owed an answer, and what that means for the ballot, is in `threads.py` and `voting.py`.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries, threads, weighing
from app.collectives.models import CollectiveAct, Proposal
from app.collectives.service import Acting, keep_act, signed
from app.collectives.thread_models import Comment, Statement, StatementVote, Words
from app.collectives.thread_schemas import CommentIn
from app.core.canonical import sha256_hex
from app.core.thread import COMMENTS, MOST_COMMENTS, MOST_STATEMENTS, REASONS, STATEMENTS
from app.crypto.sealing import Sealer
from app.kit.db import Instant
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

_V = StatementVote.__table__  # type: ignore[attr-defined]
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)


class Slot(NamedTuple):
    """The columns of a statement in which an answer to it stands."""

    id: str
    digest: str
    by: str
    hidden: str


PROPOSERS = Slot("answer_id", "answer_digest", "answered_by", "answer_hidden")
"""The answer of who proposed, who owes it."""
STAND_IN = Slot("stand_in_id", "stand_in_digest", "stood_in_by", "stand_in_hidden")
"""A steward's, beside it."""
ASKING = ("proposal.opened", "amendment.filed")
ASKS = 5
"""What one member may ask all others to read in seven days, proposals and amendments, where the charter says nothing else."""


def put_up(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, text: str, *, now: datetime) -> str:
    """Put up a statement, which its author agrees with; gives its id.

    Raises NotFound, Forbidden (no_voice_yet) or Conflict (thread_frozen, statements_closed, statements_full).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    charter = queries.charter(session, collective, at.row.charter_n)
    if now >= threads.last_statement(at.row, charter):
        raise Conflict("statements_closed", "Comment on it; the last three days are there to weigh and to answer what was put up.")
    query = sa.select(sa.func.count()).select_from(Statement).where(Statement.proposal_id == proposal)  # type: ignore[arg-type]
    mine = session.execute(query.where(Statement.author == at.mine.member)).scalar_one()  # type: ignore[arg-type]
    if mine >= STATEMENTS or session.execute(query).scalar_one() >= MOST_STATEMENTS:
        raise Conflict("statements_full", f"Each member puts up at most {STATEMENTS} statements on a proposal; agree with another's.")
    thread = weighing.of(session, runtime, at.row)
    made = random_id("statement")
    digest = threads.keep(session, at.person.sealer, who.contributor, made, text)
    row = Statement(id=made, proposal_id=proposal, author=at.mine.member, digest=digest, log_index=-1, at=now)
    session.add(row)
    session.flush()
    vote = _vote_leaf(runtime, thread, at.row, row.id, at.mine.member, "agree", now)
    said = {"collective": collective, "proposal": proposal, "text_sha256": sha256_hex(text.encode())}
    body = {"statement": made, "digest": digest, **signed(session, runtime, who, "statement.filed", said, now)}
    index = log.append(session, [log.personal("statement.filed", made, body, at.person.sealer, now), vote], now)
    row.log_index = index
    session.add(StatementVote(statement_id=made, tag=weighing.tag(runtime, thread, at.mine.member), choice="agree", log_index=index + 1))
    return keep_act(session, who, collective, made, "statement.filed", index, now)


def weigh(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, statement: str, choice: str, *, now: datetime
) -> int:
    """Agree, disagree or pass; the last word counts. Gives the place in the log. Of all that a member does this alone needs no passkey: it
    decides nothing, and is done fifty times in a row.

    Raises NotFound, Forbidden (no_voice_yet), Conflict (thread_frozen, item_hidden, own_statement) or TooMany (votes_spent).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    found = statement_of(session, proposal, statement)
    threads.still_open(at.row, now)
    if found.hidden is not None:
        raise Conflict("item_hidden", "It is hidden; appeal that, or weigh another.")
    if found.author == at.mine.member and choice != "agree":
        raise Conflict("own_statement", "One's own statement is one that one agrees with.")
    thread = weighing.of(session, runtime, at.row)
    tag = weighing.tag(runtime, thread, at.mine.member)
    same = sa.and_(_V.c.statement_id == statement, _V.c.tag == tag, _V.c.choice == choice)
    if (kept := session.execute(sa.select(_V.c.log_index).where(same)).scalar()) is not None:  # said before, and in the log
        return int(kept)
    mine = sa.and_(_V.c.statement_id == statement, _V.c.tag == tag)
    before = session.execute(sa.select(_V.c.changes, _V.c.changed_on).where(mine)).first()
    changes, today = 0, now.date()
    if before is not None:
        weighing.may_change(session, tag, now)
        changes = 1 + (before.changes if before.changed_on == today else 0)
    weighing.take_away(session, _V, mine)
    index = log.append(session, [_vote_leaf(runtime, thread, at.row, statement, at.mine.member, choice, now)], now)
    changed = today if changes else None
    session.add(StatementVote(statement_id=statement, tag=tag, choice=choice, log_index=index, changes=changes, changed_on=changed))
    session.flush()
    return index


def _vote_leaf(runtime: Runtime, thread: Any, row: Proposal, statement: str, member: str, choice: str, now: datetime) -> log.Leaf:
    body = {
        "collective": row.collective_id, "proposal": row.id, "statement": statement, "tag": weighing.tag(runtime, thread, member), "choice": choice,
    }  # fmt: skip
    return log.personal("statement.voted-on", random_id("act"), body, weighing.sealer(runtime, thread), now)


def answer(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, statement: str, text: str, *, now: datetime) -> str:
    """Answer a statement, or one's own answer anew: the proposer, or a steward who stands in. What a steward says stands beside what the proposer
    says, and is not their answer: the ballot waits no longer, and that they gave none is still told. Gives the act.

    Raises NotFound, Forbidden (not_proposer) or Conflict (thread_frozen, item_hidden, answer_exists).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    found = statement_of(session, proposal, statement)
    if at.mine.member != at.row.author and not queries.in_office(at.mine, now):
        raise Forbidden("not_proposer", "Who proposed it answers, or a steward; comment on it instead.")
    threads.still_open(at.row, now)
    if found.hidden is not None:
        raise Conflict("item_hidden", "What is hidden is owed no answer.")
    slot = PROPOSERS if at.mine.member == at.row.author else STAND_IN
    if (given := answered(session, runtime, found, slot, who.contributor, text)) is not None:
        return given
    made, digest = put_answer(session, found, slot, at.mine.member, at.person.sealer, who.contributor, text)
    said = {"collective": collective, "proposal": proposal, "statement": statement, "text_sha256": sha256_hex(text.encode())}
    body = {"answer": made, "digest": digest, **signed(session, runtime, who, "statement.answered", said, now)}
    index = log.append(session, [log.personal("statement.answered", made, body, at.person.sealer, now)], now)
    return keep_act(session, who, collective, made, "statement.answered", index, now)


def answered(session: Session, runtime: Runtime, found: Statement, slot: Slot, contributor: str | None, text: str) -> str | None:
    """The answer of a contributor, or (None) the lab, that stands in these words: sent again it is the same."""
    before: str | None = getattr(found, slot.id)
    if before is None:
        return None
    said = threads.words_of(session, runtime, [before]).get(before)
    return before if said is not None and said[1:] == (text, contributor) else None


def put_answer(
    session: Session, found: Statement, slot: Slot, by: str | None, sealer: Sealer, contributor: str | None, text: str
) -> tuple[str, str]:
    """Put an answer of a contributor, or (None) the lab, in the place of their own of before; gives its id and digest. Nobody takes away
    another's words. Raises Conflict (answer_exists)."""
    before = getattr(found, slot.id)
    words = None if before is None else session.get(Words, before)
    if words is not None and words.contributor_id != contributor:
        raise Conflict("answer_exists", "Comment on the statement; who gave the answer can give another.")
    if words is not None:
        session.delete(words)
        session.flush()
    made = random_id("answer")
    digest = threads.keep(session, sealer, contributor, made, text)
    # Another answer is not hidden by what the one before said.
    for column, value in ((slot.id, made), (slot.digest, digest), (slot.by, by), (slot.hidden, None)):
        setattr(found, column, value)
    session.add(found)
    session.flush()
    return made, digest


def comment(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, given: CommentIn, *, now: datetime) -> str:
    """Comment on a proposal, a statement, or a comment; gives the comment's id.

    Raises NotFound, Forbidden (no_voice_yet), Invalid (reason_unknown, comment_too_deep), Conflict (thread_frozen, thread_full) or
    TooMany (load_spent).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    reasons = check_comment(session, proposal, given)
    not_too_many(session, who, collective, ("comment.filed",), COMMENTS, HOUR, now)
    made = random_id("comment")
    digest = threads.keep(session, at.person.sealer, who.contributor, made, given.text)
    row = Comment(
        id=made, proposal_id=proposal, author=at.mine.member, statement_id=given.statement, parent_id=given.parent, reasons=reasons,
        digest=digest, log_index=-1, at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    on = given.parent or given.statement or proposal
    said = {"collective": collective, "proposal": proposal, "on": on, "reasons": reasons, "text_sha256": sha256_hex(given.text.encode())}
    body = {"comment": made, "digest": digest, **signed(session, runtime, who, "comment.filed", said, now)}
    row.log_index = log.append(session, [log.personal("comment.filed", made, body, at.person.sealer, now)], now)
    return keep_act(session, who, collective, made, "comment.filed", row.log_index, now)


def check_comment(session: Session, proposal: str, given: CommentIn) -> str:
    """A comment's reasons as they are kept; the proposal's row is held. Raises Invalid (reason_unknown, comment_too_deep), NotFound or
    Conflict (thread_full)."""
    if set(given.reasons) - set(REASONS):
        raise Invalid("reason_unknown", "Use the reasons listed in `known`.", known=list(REASONS))
    if given.parent is not None:
        parent = session.get(Comment, given.parent)
        if parent is None or parent.proposal_id != proposal or given.statement not in (None, parent.statement_id):
            raise NotFound("not_found", "Look at the comment's id; it must be one on this proposal.")
        if parent.parent_id is not None:
            raise Invalid("comment_too_deep", "Reply to the comment at the top; there is one level of replies.")
    if given.statement is not None:
        statement_of(session, proposal, given.statement)
    query = sa.select(sa.func.count()).select_from(Comment).where(Comment.proposal_id == proposal)  # type: ignore[arg-type]
    if session.execute(query).scalar_one() >= MOST_COMMENTS:
        raise Conflict("thread_full", f"A proposal has at most {MOST_COMMENTS} comments; put what is missing into a minority report.")
    return f",{','.join(sorted(set(given.reasons)))},"


def not_too_many(
    session: Session, who: Acting, collective: str, kinds: tuple[str, ...], most: int, within: timedelta, now: datetime
) -> None:
    """Raises TooMany (load_spent) where somebody whose membership is held did so as often already."""
    done = _done(session, who, collective, kinds, within, now)
    if len(done) >= most:
        free = done[-most] + within - now
        raise TooMany(
            "load_spent", "Others have only so much time: wait, or talk with those who have not asked for anything yet.", most=most,
            within_hours=int(within.total_seconds() // 3600), retry_after=int(free.total_seconds()) + 1,
        )  # fmt: skip


def may_ask(session: Session, who: Acting, collective: str, charter: dict[str, Any], now: datetime) -> None:
    """Raises TooMany (load_spent) where somebody whose membership is held has asked enough of the others this week."""
    not_too_many(session, who, collective, ASKING, charter.get("asks", ASKS), WEEK, now)


def asked(session: Session, who: Acting, collective: str, now: datetime) -> list[datetime]:
    """When somebody put something to all others in the last seven days, the earliest first."""
    return _done(session, who, collective, ASKING, WEEK, now)


def _done(session: Session, who: Acting, collective: str, kinds: tuple[str, ...], within: timedelta, now: datetime) -> list[datetime]:
    query = select(CollectiveAct.at).where(
        CollectiveAct.contributor_id == who.contributor, CollectiveAct.collective_id == collective, CollectiveAct.type.in_(kinds),  # type: ignore[attr-defined]
        CollectiveAct.at > sa.literal(now - within, Instant()),
    )  # fmt: skip
    return sorted(session.exec(query))


def statement_of(session: Session, proposal: str, statement: str) -> Statement:
    """A statement on a proposal. Raises NotFound (not_found)."""
    found = session.get(Statement, statement)
    if found is None or found.proposal_id != proposal:
        raise NotFound("not_found", "Look at the statement's id; it must be one on this proposal.")
    return found


def comments(session: Session, proposal: str, after: int | None, limit: int) -> list[Comment]:
    """Comments in the order of the log."""
    query = select(Comment).where(Comment.proposal_id == proposal)
    if after is not None:
        query = query.where(Comment.log_index > after)
    return list(session.exec(query.order_by(Comment.log_index).limit(limit)))  # type: ignore[arg-type]
