"""Tables of the log slice."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

LOST = "lost"
"""The type of an entry of which only the leaf is left: what its act did was lost with a database, and restored without it."""


class LogHead(SQLModel, table=True):
    """One row: how many leaves are sequenced. Its lock is the last one any transaction takes."""

    __tablename__ = "log_head"

    # A frozen log takes nothing more, whoever appends: the database was set back, and going on would be a fork.
    __table_args__ = (sa.CheckConstraint("frozen_at IS NULL OR size = frozen_at", name="frozen"),)

    id: int = Field(primary_key=True)
    size: int = Field(sa_type=sa.BigInteger)
    frozen_at: int | None = Field(default=None, sa_type=sa.BigInteger)
    """The size at which it was closed until `restore` has run; null while it is open."""
    journal: str | None = Field(default=None, sa_type=IdType)
    """Which narrowing journal belongs to this database."""


class LogEntry(SQLModel, table=True):
    """One act: the public leaf, and for a personal act its sealed opening (salt and payload)."""

    __tablename__ = "log_entry"
    __table_args__ = (
        sa.Index("ix_log_entry_subject", "subject"),
        sa.Index(
            "ix_log_entry_open",
            "log_index",
            sqlite_where=sa.text("sealed IS NULL"),
            postgresql_where=sa.text("sealed IS NULL"),
        ),
    )

    log_index: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    type: str
    subject: str = Field(sa_type=IdType)
    at: datetime = Field(sa_type=Instant)
    leaf: bytes
    sealed: bytes | None = None


class Checkpoint(SQLModel, table=True):
    """A published checkpoint: the signed note over the first `size` leaves."""

    size: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    note: str
    published_at: datetime = Field(sa_type=Instant)
