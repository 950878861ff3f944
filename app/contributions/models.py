"""Tables of the contributions slice. Payloads live in a table of their own, away from what selections scan."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

_ANSWERS = sa.text("parent_id IS NOT NULL")
_STANDS = sa.text("withdrawn_at IS NULL")
KINDS = (
    "conversation", "message", "preference", "rating", "ranking", "label", "red_team_report", "vulnerability_report",
    "critique", "refusal", "statement", "objection", "testimony",
)  # fmt: skip


class Contribution(SQLModel, table=True):
    """One act of one contributor. `parts` is the bitmask of the parts it has (core/vocabulary.py)."""

    __table_args__ = (
        sa.UniqueConstraint("platform_id", "kind", "external_hash"),
        # Most records answer nothing and cost this index nothing.
        sa.Index("ix_contribution_parent", "parent_id", sqlite_where=_ANSWERS, postgresql_where=_ANSWERS),
    )

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(sa_type=IdType)
    contributor_id: str = Field(index=True, sa_type=IdType)
    kind: str
    external_hash: bytes
    body_mac: bytes | None = None
    parent_id: str | None = Field(default=None, sa_type=IdType)
    language: str | None = None
    created_at: datetime | None = Field(default=None, sa_type=Instant)
    recorded_at: datetime = Field(sa_type=Instant)
    releasable_from: datetime = Field(sa_type=Instant)
    state: str
    parts: int = Field(sa_type=sa.SmallInteger)
    context_terms: str | None = None
    context_ref: str | None = None


class ContributionModel(SQLModel, table=True):
    """A language model that a contribution is about, by the name its source gives it: what a selection by model looks for.

    A battle has two. It follows from the record's context and goes when the record is erased.
    """

    __tablename__ = "contribution_model"
    __table_args__ = (sa.Index("ix_contribution_model_model", "model", "contribution_id"),)

    contribution_id: str = Field(primary_key=True, sa_type=IdType)
    model: str = Field(primary_key=True, sa_type=IdType)


class Objection(SQLModel, table=True):
    """What a person says against something in words of their own, to stand beside their contribution wherever it goes from then on.

    `statement` is sealed like a part, and null once it was withdrawn; the row stays, so that the act is told. One stands at a time.
    """

    __table_args__ = (
        sa.Index("uq_objection_standing", "contribution_id", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS),
        sa.Index("ix_objection_contributor", "contributor_id"),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    contribution_id: str = Field(foreign_key="contribution.id", sa_type=IdType)
    contributor_id: str = Field(sa_type=IdType)
    statement: bytes | None = None
    language: str
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)
    withdrawn_at: datetime | None = Field(default=None, sa_type=Instant)


class ContributionPayload(SQLModel, table=True):
    """The parts of a contribution, each the exact JSON bytes sealed under the contributor's data key."""

    __tablename__ = "contribution_payload"

    contribution_id: str = Field(primary_key=True, sa_type=IdType)
    text: bytes | None = None
    judgment: bytes | None = None
    context: bytes | None = None
    profile: bytes | None = None
