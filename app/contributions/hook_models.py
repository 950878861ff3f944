"""Tables of hooks: what came through one, and what was refused at it."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class HookLine(SQLModel, table=True):
    """A contribution that an outside system sent by itself, and the skeleton of its line, sealed under a key of the platform's:
    the line without its parts and ids of people, so that it can be written back in the system's own shape."""

    __tablename__ = "hook_line"
    __table_args__ = (sa.Index("ix_hook_line_key_id", "key_id", "received_at"),)

    contribution_id: str = Field(primary_key=True, sa_type=IdType)
    key_id: str = Field(sa_type=IdType)
    skeleton: bytes
    received_at: datetime = Field(sa_type=Instant)


class OutsideName(SQLModel, table=True):
    """The names by which an outside system tells that it deleted a contribution, as keyed hashes: its own, and that of what it is
    deleted with. Of what came by an import as well as through a hook."""

    __tablename__ = "outside_name"
    __table_args__ = tuple(
        sa.Index(f"ix_outside_name_{c}", c, sqlite_where=sa.text(f"{c} IS NOT NULL"), postgresql_where=sa.text(f"{c} IS NOT NULL"))
        for c in ("own_mac", "group_mac")
    )

    contribution_id: str = Field(primary_key=True, sa_type=IdType)
    own_mac: bytes | None = None
    group_mac: bytes | None = None


class RefusedLine(SQLModel, table=True):
    """A line that was not recorded, and why. Its content is kept for some days, so that it can be tried again, where its
    addresses could be taken out; sealed under a key of its own, which is wrapped under a key epoch."""

    __tablename__ = "refused_line"
    __table_args__ = (sa.Index("ix_refused_line_platform_id", "platform_id", "id"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(sa_type=IdType)
    key_id: str = Field(sa_type=IdType)
    received_at: datetime = Field(sa_type=Instant, index=True)
    code: str
    detail: str
    size: int
    epoch: int | None = None
    wrapped: bytes | None = None
    content: bytes | None = None
    settled_at: datetime | None = Field(default=None, sa_type=Instant)
    """When trying it again recorded it."""
