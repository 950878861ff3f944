"""The thread around a proposal: whose words are sealed where, what is owed an answer, and how it is frozen.

Order of locks: the person's key row, the proposal, their membership, the log's head. Whoever says something holds the proposal's row, and
so does the freeze: what was acknowledged is in the frozen thread, and what comes later is refused.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import queries, weighing
from app.collectives.models import Campaign, Membership, Proposal
from app.collectives.service import Acting, acting
from app.collectives.thread_models import (
    Amendment,
    Closer,
    ClosureNote,
    Comment,
    Moderation,
    NoteAppeal,
    OutsideVote,
    ProposalThread,
    Statement,
    StatementVote,
    Words,
)
from app.core.canonical import sha256_hex
from app.core.electing import GROUP
from app.core.thread import CHOICES, Totals, must_be_answered, thread_bytes, words_digest
from app.crypto.sealing import CannotOpen, Sealer
from app.kit.db import Instant, for_update
from app.kit.errors import Conflict, NotFound
from app.kit.runtime import Runtime
from app.parties import contributors
from app.parties.contributors import Person

_VOTE = StatementVote.__table__  # type: ignore[attr-defined]
_WORDS = Words.__table__  # type: ignore[attr-defined]
PATIENCE = timedelta(days=7)
"""How long beyond the planned day a ballot waits for answers."""
TO_APPEAL = timedelta(days=3)
"""A closure note is taken until so long before the appeal is over: it can still be appealed."""
WEIGHING = timedelta(days=3)
"""Statements are taken until so long before the planned freeze: each can be weighed and answered. And so long before the freeze what a yes
brings about stays as it is: who is to vote has had the time to read it, and to speak against it."""
_SALT = 16


@dataclass(frozen=True)
class Entered:
    """Somebody in a thread, with a voice and the proposal's row held."""

    person: Person
    mine: Membership
    row: Proposal


def enter(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, *, now: datetime) -> Entered:
    """A member with a voice, the proposal's row held and then their own. Raises NotFound or Forbidden (no_voice_yet)."""
    person = acting(session, runtime, who)
    queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal, lock=True)
    _, mine = queries.member(session, collective, who, lock=True)
    queries.with_voice(mine, now)
    return Entered(person, mine, row)


def still_open(row: Proposal, now: datetime) -> None:
    """Raises Conflict (thread_frozen)."""
    if row.state != "discussion" or row.freeze_at <= now:
        raise Conflict("thread_frozen", "Say it in an objection or a minority report: text and thread are frozen.", state=row.state)


def readable(session: Session, collective: str, proposal: str, who: Acting, now: datetime) -> Proposal:
    """A proposal for a member, or for a steward of another collective while they are to close it: until a note stands, or it is too late
    for one. Raises NotFound (not_found)."""
    if queries.membership_of(session, collective, who) is None:
        standing = sa.select(ClosureNote.id).where(ClosureNote.proposal_id == proposal, ClosureNote.state == "stands")  # type: ignore[call-overload]
        late = sa.literal(now + TO_APPEAL, Instant())
        waits = sa.select(Proposal.id).where(Proposal.id == proposal, Proposal.appeal_until > late, ~standing.exists())  # type: ignore[call-overload]
        closers = sa.select(Closer.collective_id).where(Closer.proposal_id == proposal)  # type: ignore[call-overload]
        query = select(Membership.id).where(
            queries.theirs(who), queries.stewards(now), Membership.collective_id.in_(closers), waits.exists(),  # type: ignore[attr-defined]
        )
        if session.exec(query.limit(1)).first() is None:
            raise NotFound("not_found", "Look at the id; it must be of a collective that you belong to, or a public one.")
    return queries.proposal(session, collective, proposal)


def last_statement(row: Proposal, charter: dict[str, Any]) -> datetime:
    """Until when statements are put up: the days to weigh before the planned freeze, and an urgent text is frozen sooner than that."""
    planned = queries.planned_freeze(charter, row.type, row.opened_at) + timedelta(days=row.moved_days)
    return min(row.freeze_at, planned - WEIGHING)


def effect_stays_from(row: Proposal) -> datetime:
    """From when on what a yes brings about is changed no more: `WEIGHING` before the freeze, and of a short discussion in its second half.
    Where the freeze is put off, a day at a time, that goes on."""
    return row.freeze_at - min(WEIGHING, (row.freeze_at - row.opened_at) / 2)


# -- words ------------------------------------------------------------------------------------------------------------
def place(item: str) -> bytes:
    """Where sealed words belong."""
    return b"thread\x00" + item.encode()


def keep(session: Session, sealer: Sealer, contributor: str | None, item: str, text: str) -> str:
    """Keep words under their speaker's key; gives their salted digest."""
    salt = os.urandom(_SALT)
    session.add(Words(item_id=item, contributor_id=contributor, sealed=sealer.seal(salt + text.encode(), place(item))))
    return words_digest(salt, text)


def outside(runtime: Runtime) -> Sealer:
    """What imported words are sealed under: they are no member's."""
    return Sealer(runtime.keys.derive("outside-words"))


def words_of(session: Session, runtime: Runtime, items: Iterable[str]) -> dict[str, tuple[bytes, str, str | None]]:
    """item -> (salt, text, contributor) of what can still be read."""
    asked, rows = list(items), []
    for start in range(0, len(asked), 500):
        rows += session.execute(sa.select(_WORDS).where(_WORDS.c.item_id.in_(asked[start : start + 500]))).all()
    people = contributors.load(session.connection(), runtime.keys, {row.contributor_id for row in rows if row.contributor_id is not None})
    found = {}
    for row in rows:
        sealer = outside(runtime) if row.contributor_id is None else people[row.contributor_id].sealer if row.contributor_id in people else None
        with suppress(CannotOpen):
            if sealer is not None:
                opened = sealer.open(bytes(row.sealed), place(row.item_id))
                found[row.item_id] = (opened[:_SALT], opened[_SALT:].decode(), row.contributor_id)
    return found


def forget_words(session: Session, items: Iterable[str]) -> None:
    """Delete what was said, so that nobody can read it any more."""
    session.execute(sa.delete(_WORDS).where(_WORDS.c.item_id.in_(list(items))))


def seal_anew(session: Session, person: Person, sealer: Sealer, contributor: str) -> None:
    """Under a fresh key, whose row the caller holds."""
    for row in session.exec(select(Words).where(Words.contributor_id == contributor)):
        row.sealed = sealer.seal(person.sealer.open(bytes(row.sealed), place(row.item_id)), place(row.item_id))
        session.add(row)
    session.flush()


def forget(session: Session, runtime: Runtime, contributor: str) -> None:
    """An erasure: words and pseudonyms go, and votes that somebody could still tie to the person. Digests stay, which say nothing. What
    they had proposed stays, as nobody's, and so does what was decided about them or by them in office."""
    mine = sa.select(_WORDS.c.item_id).where(_WORDS.c.contributor_id == contributor)
    collectives = sorted(set(session.exec(select(Membership.collective_id).where(Membership.contributor_id == contributor))))
    parts = [
        (table.__table__.c, key, name)  # type: ignore[attr-defined]
        for table, key, name in (
            (Statement, "id", "author"), (Comment, "id", "author"), (Amendment, "id", "author"), (ClosureNote, "id", "author"),
            (NoteAppeal, "id", "author"), (Statement, "answer_id", "answered_by"), (Statement, "stand_in_id", "stood_in_by"),
        )
    ]  # fmt: skip
    names = [queries.pseudonym(runtime, collective, contributor) for collective in collectives]
    # In office, and as whom something is about, there are no words to go by: the pseudonym is.
    inside = sa.select(Proposal.id).where(Proposal.collective_id.in_(collectives))  # type: ignore[attr-defined,call-overload]
    called = [
        (table.__table__.c[name], table.__table__.c[key].in_(within) & table.__table__.c[name].in_(names))  # type: ignore[attr-defined]
        for table, key, within, name in (
            (Proposal, "collective_id", collectives, "author"), (Proposal, "collective_id", collectives, "subject"),
            (Proposal, "collective_id", collectives, "moved_by"),
            (Campaign, "collective_id", collectives, "author"), (NoteAppeal, "proposal_id", inside, "decided_by"),
            *((Moderation, "collective_id", collectives, name) for name in ("steward", "appealed_by", "decided_by")),
        )
    ]  # fmt: skip
    # The proposals first, as whoever freezes, hides or settles holds them before what is said there.
    concerned = sa.union(
        *(sa.select(columns.proposal_id).where(columns[key].in_(mine)) for columns, key, _ in parts),
        *(sa.select(column.table.c.proposal_id).where(theirs) for column, theirs in called if "proposal_id" in column.table.c),
    )
    held = select(Proposal.id).where(
        sa.or_(
            sa.and_(Proposal.collective_id.in_(collectives), Proposal.state == "discussion"), Proposal.author.in_(names),  # type: ignore[attr-defined,union-attr]
            Proposal.subject.in_(names), Proposal.moved_by.in_(names), Proposal.id.in_(concerned),  # type: ignore[attr-defined,union-attr]
        )
    )  # fmt: skip
    session.exec(for_update(held.order_by(Proposal.id), session)).all()
    for column, theirs in called:
        session.execute(sa.update(column.table).where(theirs).values({column.name: None}).execution_options(synchronize_session=False))
    for columns, key, name in parts:
        table = columns[key].table
        session.execute(sa.update(table).where(columns[key].in_(mine)).values({name: None}).execution_options(synchronize_session=False))
    session.execute(sa.delete(_WORDS).where(_WORDS.c.contributor_id == contributor))
    for collective in collectives:
        weighing.forget_votes(session, runtime, contributor, collective)


# -- what is said, counted ----------------------------------------------------------------------------------------------
def statements(session: Session, proposal: str, only: Iterable[str] | None = None) -> list[Statement]:
    """A proposal's statements, in the order of the log; of them `only` those that have these ids, or of whose answers one has."""
    query = select(Statement).where(Statement.proposal_id == proposal)
    if only is not None:
        ids = list(only)
        query = query.where(sa.or_(Statement.id.in_(ids), Statement.answer_id.in_(ids), Statement.stand_in_id.in_(ids)))  # type: ignore[attr-defined,union-attr]
    return list(session.exec(query.order_by(Statement.log_index, Statement.number, Statement.id)))  # type: ignore[arg-type]


def totals(session: Session, row: Proposal, found: Collection[Statement]) -> dict[str, Totals]:
    """statement -> how many members agree, disagree and pass."""
    if row.state != "discussion":
        return {one.id: Totals(one.agree, one.disagree, one.passed) for one in found}
    ids = [one.id for one in found]
    query = sa.select(_VOTE.c.statement_id, _VOTE.c.choice, sa.func.count()).where(_VOTE.c.statement_id.in_(ids))
    counted = {(one, choice): n for one, choice, n in session.execute(query.group_by(_VOTE.c.statement_id, _VOTE.c.choice))}
    return {one.id: Totals(*(counted.get((one.id, choice), 0) for choice in CHOICES)) for one in found}


def outside_totals(session: Session, found: Iterable[Statement]) -> dict[str, Totals]:
    """statement -> how the rows of an imported export come to; statements of members are not among them."""
    ids = [one.id for one in found if one.number is not None]
    if not ids:
        return {}
    table = OutsideVote.__table__  # type: ignore[attr-defined]
    query = sa.select(table.c.statement_id, table.c.vote, sa.func.count()).where(table.c.statement_id.in_(ids))
    counted = {(one, vote): n for one, vote, n in session.execute(query.group_by(table.c.statement_id, table.c.vote))}
    return {one: Totals(*(counted.get((one, vote), 0) for vote in (1, -1, 0))) for one in ids}


def owed(session: Session, runtime: Runtime, row: Proposal, charter: dict[str, Any], now: datetime, *, stood_in: bool = True) -> list[str]:
    """The statements that the proposer owes an answer, and has given none: agreed to by a fifth of all with a voice, or half of a group
    that is large enough to be counted. Nobody answers themselves. Without `stood_in` those alone that no steward answered either."""
    thread = session.get(ProposalThread, row.id)
    if thread is None or thread.key is None:
        return []
    asked = (one for one in statements(session, row.id) if one.hidden is None and one.answer_id is None and (stood_in or one.stand_in_id is None))
    waiting = [one.id for one in asked if one.author is None or one.author != row.author]
    if not waiting:
        return []
    tag = weighing.tags(runtime, thread)
    voices: dict[str | None, list[str]] = defaultdict(list)
    for member, group in queries.voices(session, row, charter, now):
        voices[group].append(tag(member))
    agreed = {group: _agreed(session, waiting, tags) for group, tags in voices.items()}
    everybody = sum(len(tags) for tags in voices.values())
    found = []
    for statement in waiting:
        groups = [(agreed[group][statement], len(tags)) for group, tags in voices.items() if group is not None and len(tags) >= GROUP]
        if must_be_answered(sum(counts[statement] for counts in agreed.values()), everybody, groups):
            found.append(statement)
    return found


def _agreed(session: Session, statements: list[str], tags: list[str]) -> Counter[str]:
    """statement -> how many of these voters agree with it, counted where the votes are."""
    counts: Counter[str] = Counter()
    query = sa.select(_VOTE.c.statement_id, sa.func.count()).where(_VOTE.c.statement_id.in_(statements), _VOTE.c.choice == "agree")
    for start in range(0, len(tags), 5_000):
        some = query.where(_VOTE.c.tag.in_(tags[start : start + 5_000])).group_by(_VOTE.c.statement_id)
        for statement, n in session.execute(some):
            counts[statement] += n
    return counts


# -- the freeze -------------------------------------------------------------------------------------------------------
def as_bytes(session: Session, row: Proposal, counted: Mapping[str, Totals], unanswered: Iterable[str]) -> bytes:
    """The thread as it stands: digests, totals, what is hidden. No words, and no names."""
    found = statements(session, row.id)
    imported = outside_totals(session, found)
    comments = session.exec(select(Comment).where(Comment.proposal_id == row.id).order_by(Comment.log_index))  # type: ignore[arg-type]
    amendments = session.exec(select(Amendment).where(Amendment.proposal_id == row.id).order_by(Amendment.log_index))  # type: ignore[arg-type]
    return thread_bytes(
        row.id, row.text_sha256,
        [
            {
                "id": one.id, "digest": one.digest, "hidden": one.hidden, "answer": one.answer_digest, **counted[one.id].to_json(),
                **({} if one.answer_hidden is None else {"answer_hidden": one.answer_hidden}),
                **({} if one.stand_in_digest is None else {"stand_in": one.stand_in_digest}),
                **({} if one.stand_in_hidden is None else {"stand_in_hidden": one.stand_in_hidden}),
                "outside": imported[one.id].to_json() if one.id in imported else None,
            }
            for one in found
        ],
        [
            {"id": one.id, "digest": one.digest, "hidden": one.hidden, "parent": one.parent_id, "statement": one.statement_id,
             "reasons": reasons(one), "lab": one.lab_id}
            for one in comments
        ],
        [
            {"id": one.id, "digest": one.digest, "hidden": one.hidden, "state": one.state,
             **({} if one.effect_digest is None else {"effect": one.effect_digest})}
            for one in amendments
        ],
        unanswered,
    )  # fmt: skip


def reasons(comment: Comment) -> list[str]:
    """A comment's reasons, sorted."""
    return comment.reasons.strip(",").split(",")


def freeze(session: Session, runtime: Runtime, row: Proposal, charter: dict[str, Any] | None, now: datetime) -> str:
    """Fix the thread of a proposal whose row is held; gives its digest. Votes on statements become totals, and the key of their tags is
    destroyed: from then on nobody can tell who had voted. Without a charter nobody is to vote, and no answer is owed."""
    thread = weighing.of(session, runtime, row)
    unanswered = [] if charter is None else owed(session, runtime, row, charter, now)
    found = {one.id: one for one in statements(session, row.id)}
    votes = weighing.take_away(session, _VOTE, _VOTE.c.statement_id.in_(list(found))) if found else []
    taken = Counter((vote.statement_id, vote.choice) for vote in votes)
    for one in found.values():
        one.agree, one.disagree, one.passed = (taken[one.id, choice] for choice in CHOICES)
        session.add(one)
    session.flush()
    body = as_bytes(session, row, {one.id: Totals(one.agree, one.disagree, one.passed) for one in found.values()}, unanswered)
    thread.key, thread.body, thread.sha256, thread.unanswered = None, body, sha256_hex(body), len(unanswered)
    session.add(thread)
    session.flush()
    return thread.sha256
