"""Tables of the revocations slice."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class ConsentAct(SQLModel, table=True):
    """What one act of a person did: so that a retried request gets the first answer again, and the page its history."""

    __tablename__ = "consent_act"

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(index=True, sa_type=IdType)
    type: str
    scope: str
    contributions: int
    recalls: int
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
    by_passkey: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """Signed with a passkey: the evidence stands in what the leaf commits to."""


class Overdue(SQLModel, table=True):
    """A deadline that passed unmet, once it was told in public: the unique row is what tells it once. `subject` is what is owed
    about (a recall, or an agreement), `what` is `acknowledge`, `delete`, or `report` with its day."""

    subject: str = Field(primary_key=True, sa_type=IdType)
    what: str = Field(primary_key=True, sa_type=IdType)
    agreement_id: str = Field(foreign_key="agreement.id", sa_type=IdType)
    at: datetime = Field(sa_type=Instant)


class SecurityEvent(SQLModel, table=True):
    """Something a lab is told, kept until it says that it has it (RFC 8936). The token is signed when it is fetched: `id` is its
    `jti`, and everything in it follows from the row and from what it is about."""

    __tablename__ = "security_event"
    __table_args__ = (sa.UniqueConstraint("lab_id", "type", "subject", "what"), sa.Index("ix_security_event_waiting", "lab_id", "acked_at", "id"))

    id: str = Field(primary_key=True, sa_type=IdType)
    lab_id: str = Field(foreign_key="lab.id", sa_type=IdType)
    type: str = Field(sa_type=IdType)
    subject: str = Field(sa_type=IdType)
    what: str = Field(default="", sa_type=IdType)
    made_at: datetime = Field(sa_type=Instant)
    acked_at: datetime | None = Field(default=None, sa_type=Instant)
    error: str | None = None
    """What the lab said it could not do with it (RFC 8935 section 2.4), for the operator."""


class PushAddress(SQLModel, table=True):
    """Where a lab's events are brought (RFC 8935), and how it went."""

    __tablename__ = "push_address"

    lab_id: str = Field(primary_key=True, foreign_key="lab.id", sa_type=IdType)
    url: str
    authorization: bytes | None = None
    """The Authorization header to send, sealed."""
    set_at: datetime = Field(sa_type=Instant)
    next_at: datetime = Field(sa_type=Instant)
    failures: int = 0
    problem: str | None = None


class UseReport(SQLModel, table=True):
    """What a lab said of a use: `body` as it came (the JWS, or for level 0 the canonical JSON). `level` 2 has the tree of the records
    used, with `root`, kept as a release's is."""

    __tablename__ = "use_report"
    __table_args__ = (sa.UniqueConstraint("agreement_id", "sha256"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    agreement_id: str = Field(foreign_key="agreement.id", sa_type=IdType)
    level: int = Field(sa_type=sa.SmallInteger)
    body: str
    sha256: str = Field(sa_type=IdType)
    model: str | None = None
    version: str | None = None
    stages: list[Any] = Field(sa_type=sa.JSON)
    releases: list[Any] = Field(sa_type=sa.JSON)
    records: int
    root: str | None = Field(default=None, sa_type=IdType)
    received_at: datetime = Field(sa_type=Instant)
    log_index: int = Field(sa_type=sa.BigInteger)


class EffectDispute(SQLModel, table=True):
    """That a collective disputes a use report. What it measured itself, and its words, are the proposal's."""

    __tablename__ = "effect_dispute"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    report_id: str = Field(sa_type=IdType, foreign_key="use_report.id", index=True)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
    hidden: str | None = None


class Erasure(SQLModel, table=True):
    """One erasure: of one contribution, or (contribution_id null) of everything of a contributor.

    `requested`: excluded, keys and openings gone from the database. `completed`: gone from its free pages, its journal and
    every file too.
    """

    __table_args__ = (
        sa.Index("uq_erasure_contribution", "contribution_id", unique=True),
        sa.Index(
            "uq_erasure_contributor", "contributor_id", unique=True,
            sqlite_where=sa.text("contribution_id IS NULL"), postgresql_where=sa.text("contribution_id IS NULL"),
        ),
        sa.Index("ix_erasure_log_index", "log_index"),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    refusal: str
    state: str
    contributions: int
    recalls: int
    cuts: list[Any] = Field(default_factory=list, sa_type=sa.JSON)
    """Releases that were being cut when it was requested: their files may hold what was erased until they end."""
    attempts: int = 0
    key_replaced: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """Of one of a contribution: whether what remains of the person was sealed under a fresh key since."""
    requested_at: datetime = Field(sa_type=Instant)
    log_index: int = Field(sa_type=sa.BigInteger)
    completed_at: datetime | None = Field(default=None, sa_type=Instant)
    completed_index: int | None = Field(default=None, sa_type=sa.BigInteger)


class CompensationLine(SQLModel, table=True):
    """What a lab owes one payee for one release under one duty of the signed terms; `period` is the year where it is owed by the year.

    `amount` is in minor units of the currency. `payee` is a pseudonym of the agreement's own, or a collective's id. `contribution_id`
    is given where the line is about that one alone, so that a receipt for it opens the line. No money passes through here: `evidence`
    is what the lab says of its payment. `reason` is why it is disputed.
    """

    __tablename__ = "compensation_line"
    __table_args__ = (
        sa.UniqueConstraint("release_id", "duty", "period", "payee"), sa.Index("ix_compensation_line_agreement", "agreement_id", "id"),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    agreement_id: str = Field(foreign_key="agreement.id", sa_type=IdType)
    release_id: str = Field(foreign_key="release.id", sa_type=IdType)
    duty: str = Field(sa_type=IdType)
    """Amount, currency and unit as they were signed: `0.50 EUR record`."""
    period: int = Field(default=0, sa_type=sa.SmallInteger)
    payee: str = Field(sa_type=IdType)
    contributor_id: str | None = Field(default=None, index=True, sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    collective_id: str | None = Field(default=None, index=True, sa_type=IdType)
    records: int
    amount: int = Field(sa_type=sa.BigInteger)
    currency: str
    state: str
    due: datetime = Field(sa_type=Instant)
    evidence: str | None = None
    paid_at: datetime | None = Field(default=None, sa_type=Instant)
    reason: str | None = None


class Webhook(SQLModel, table=True):
    """Where a platform's events are sent (Standard Webhooks), the secrets that they are signed with, sealed, and how it went."""

    platform_id: str = Field(primary_key=True, foreign_key="platform.id", sa_type=IdType)
    url: str
    secret: bytes
    previous: bytes | None = None
    """The secret of before, which signs beside the new one until `previous_until`."""
    previous_until: datetime | None = Field(default=None, sa_type=Instant)
    set_at: datetime = Field(sa_type=Instant)
    next_at: datetime = Field(sa_type=Instant)
    failing_since: datetime | None = Field(default=None, sa_type=Instant)
    failures: int = 0
    problem: str | None = None
    stopped_at: datetime | None = Field(default=None, sa_type=Instant)


class PlatformEvent(SQLModel, table=True):
    """What a platform is told: a type and ids of its own contributions, never why. Kept for a month."""

    __tablename__ = "platform_event"
    __table_args__ = (sa.Index("ix_platform_event_platform", "platform_id", "id"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", sa_type=IdType)
    type: str
    contributions: list[str] = Field(sa_type=sa.JSON)
    at: datetime = Field(sa_type=Instant)
    delivered_at: datetime | None = Field(default=None, sa_type=Instant)


class PlatformAttempt(SQLModel, table=True):
    """One attempt to send an event: the status that came back, or what was wrong."""

    __tablename__ = "platform_attempt"

    id: int | None = Field(default=None, primary_key=True)
    event_id: str = Field(foreign_key="platform_event.id", sa_type=IdType, index=True)
    at: datetime = Field(sa_type=Instant)
    status: int | None = None
    problem: str | None = None


class AvailabilityMark(SQLModel, table=True):
    """Up to where in the log a platform was told what changed, and when that was."""

    __tablename__ = "availability_mark"

    platform_id: str = Field(primary_key=True, foreign_key="platform.id", sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class Call(SQLModel, table=True):
    """What somebody says to all people of one release, or of their platform: one of `release_id` and `platform_id` says to whom. Its words
    lie with those of threads, sealed under the person's key. Deleted when it is over."""

    __tablename__ = "call"
    __table_args__ = (
        sa.Index("ix_call_contributor", "contributor_id"), sa.Index("ix_call_platform", "platform_id"), sa.Index("ix_call_release", "release_id"),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    """What the receipt was for that it was made with, where that was one contribution."""
    release_id: str | None = Field(default=None, foreign_key="release.id", sa_type=IdType)
    platform_id: str | None = Field(default=None, foreign_key="platform.id", sa_type=IdType)
    collective_id: str | None = Field(default=None, foreign_key="collective.id", sa_type=IdType)
    opened_at: datetime = Field(sa_type=Instant)
    expires_on: date


class CallHidden(SQLModel, table=True):
    """A call that somebody wants to see no more."""

    __tablename__ = "call_hidden"

    call_id: str = Field(primary_key=True, foreign_key="call.id", sa_type=IdType)
    contributor_id: str = Field(primary_key=True, sa_type=IdType)
