"""Tables of the thread around a proposal. What somebody said lies apart, sealed under their own key: the rest says who only by pseudonym."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class ProposalThread(SQLModel, table=True):
    """What belongs to a proposal's thread as a whole. `key` (sealed) makes the tags of votes on statements, and is destroyed when the
    thread is frozen; `body` are then the bytes whose digest stands in the log."""

    __tablename__ = "proposal_thread"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    key: bytes | None = None
    body: bytes | None = None
    sha256: str | None = None
    unanswered: int = 0
    """Statements that were owed an answer when the ballot opened, and had none of who proposed."""


class Words(SQLModel, table=True):
    """A salt and what somebody said, sealed under their key; without a contributor, what was imported, under a key of the service."""

    __tablename__ = "thread_words"

    item_id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str | None = Field(default=None, index=True, sa_type=IdType)
    sealed: bytes


class Statement(SQLModel, table=True):
    """A short sentence to agree or disagree with. `digest` is of its salted words. The counts are filled at the freeze, when single votes go."""

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    author: str | None = Field(default=None, sa_type=IdType)
    digest: str
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
    hidden: str | None = None
    answer_id: str | None = Field(default=None, sa_type=IdType)
    answer_digest: str | None = None
    answered_by: str | None = Field(default=None, sa_type=IdType)
    answer_hidden: str | None = None
    stand_in_id: str | None = Field(default=None, sa_type=IdType)
    """The answer of a steward, who stood in for who proposed: it stands beside theirs."""
    stand_in_digest: str | None = None
    stood_in_by: str | None = Field(default=None, sa_type=IdType)
    stand_in_hidden: str | None = None
    agree: int = 0
    disagree: int = 0
    passed: int = 0
    number: int | None = Field(default=None, sa_type=sa.BigInteger)
    """Its id in the export that it was imported from, and of who wrote it there."""
    outside_author: int | None = Field(default=None, sa_type=sa.BigInteger)
    moderated: int | None = None
    said_ms: int | None = Field(default=None, sa_type=sa.BigInteger)


class StatementVote(SQLModel, table=True):
    """Somebody's last word on a statement, under a tag, until the freeze; and how often it was changed on the last day it was."""

    __tablename__ = "statement_vote"

    statement_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="statement.id")
    tag: str = Field(primary_key=True, index=True, sa_type=IdType)
    choice: str
    log_index: int = Field(sa_type=sa.BigInteger)
    changes: int = Field(default=0, sa_type=sa.SmallInteger, sa_column_kwargs={"server_default": "0"})
    changed_on: date | None = None


class OutsideVote(SQLModel, table=True):
    """A row of an imported export's votes. It counts beside the members' votes and never as one."""

    __tablename__ = "outside_vote"

    statement_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="statement.id")
    n: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    voter: int = Field(sa_type=sa.BigInteger)
    vote: int = Field(sa_type=sa.SmallInteger)
    at_ms: int = Field(sa_type=sa.BigInteger)


class Comment(SQLModel, table=True):
    """A comment on a proposal, or on one of its statements, or a reply to a comment. `reasons` is `,aim,harm,`."""

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id")
    author: str | None = Field(default=None, sa_type=IdType)
    statement_id: str | None = Field(default=None, sa_type=IdType, foreign_key="statement.id")
    parent_id: str | None = Field(default=None, sa_type=IdType, foreign_key="comment.id")
    reasons: str
    digest: str
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
    hidden: str | None = None
    lab_id: str | None = Field(default=None, sa_type=IdType, foreign_key="lab.id")
    """The lab that asked, where it is the lab that speaks."""

    __table_args__ = (sa.Index("ix_comment_proposal", "proposal_id", "log_index"),)


class Moderation(SQLModel, table=True):
    """That something was hidden, why, and what became of the appeal: hidden, appealed, undecided, upheld or restored."""

    __table_args__ = (sa.Index("ix_moderation_collective", "collective_id", "log_index"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id")
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    item_id: str = Field(sa_type=IdType, index=True)
    kind: str
    reason: str
    state: str
    steward: str | None = Field(default=None, sa_type=IdType)
    appealed_by: str | None = Field(default=None, sa_type=IdType)
    decide_by: datetime | None = Field(default=None, sa_type=Instant)
    decided_by: str | None = Field(default=None, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class Amendment(SQLModel, table=True):
    """Another text for a proposal, or other terms or rules that it would bring: open, accepted, or an alternative with a proposal of its own."""

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    author: str | None = Field(default=None, sa_type=IdType)
    base_sha256: str
    base_effect_sha256: str | None = None
    """What a yes would have brought about when it was filed: it is not taken into a proposal that would bring about something else since."""
    digest: str
    effect_digest: str | None = None
    """Of the salted terms or rules that it would bring, which are sealed as its words are; of a type that brings neither there are none."""
    state: str
    hidden: str | None = None
    alternative_id: str | None = Field(default=None, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class ClosureNote(SQLModel, table=True):
    """What somebody uninvolved says of how it was decided, naming the strongest argument against. `outside`: a steward of another collective."""

    __tablename__ = "closure_note"

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    author: str | None = Field(default=None, sa_type=IdType)
    outside: str | None = Field(default=None, sa_type=IdType)
    cites: str | None = Field(default=None, sa_type=IdType)
    digest: str
    state: str
    hidden: str | None = None
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class Closer(SQLModel, table=True):
    """Another collective whose stewards may close a proposal, because nobody here is uninvolved."""

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    collective_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="collective.id")


class NoteAppeal(SQLModel, table=True):
    """An appeal of a closure note: open, undecided, upheld (the note is struck) or dismissed."""

    __tablename__ = "note_appeal"

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    note_id: str = Field(sa_type=IdType, foreign_key="closure_note.id", unique=True)
    author: str | None = Field(default=None, sa_type=IdType)
    grounds: str
    state: str
    hidden: str | None = None
    decide_by: datetime = Field(sa_type=Instant)
    decided_by: str | None = Field(default=None, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
