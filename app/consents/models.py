"""Tables of the consents slice."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

INTENT_LIFE = timedelta(hours=24)
"""How long a consent intent waits for its record."""
_CURRENT, _ENDED = sa.text("state = 'current'"), sa.text("state <> 'current'")
CHOSEN = "contribution_id IS NULL OR attested_by = 'person' OR version > 1 OR state = 'withdrawn'"
"""Of a consent: it shows that its contributor chose something themselves. To such a person no platform's default applies."""


class Policy(SQLModel, table=True):
    """A policy by content: its canonical bytes, once, whoever uses it."""

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True, sa_type=IdType)
    body: bytes
    created_at: datetime = Field(sa_type=Instant)


class Consent(SQLModel, table=True):
    """One version of a consent: on one contribution, or (contribution_id null) standing for all of a contributor's."""

    __table_args__ = (
        sa.Index("uq_consent_current", "contribution_id", unique=True, sqlite_where=_CURRENT, postgresql_where=_CURRENT),
        sa.Index(
            "uq_consent_standing", "contributor_id", unique=True,
            sqlite_where=sa.text("state = 'current' AND contribution_id IS NULL"),
            postgresql_where=sa.text("state = 'current' AND contribution_id IS NULL"),
        ),
        sa.Index("ix_consent_ended", "contribution_id", sqlite_where=_ENDED, postgresql_where=_ENDED),
        sa.Index("ix_consent_chosen", "contributor_id", sqlite_where=sa.text(CHOSEN), postgresql_where=sa.text(CHOSEN)),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    version: int
    policy_id: int = Field(foreign_key="policy.id")
    basis: str
    attested_by: str
    wording_sha256: str | None = None
    wording_language: str | None = None
    shown_at: datetime | None = Field(default=None, sa_type=Instant)
    given_at: datetime = Field(sa_type=Instant)
    state: str
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    credit_sealed: bytes | None = None


class PlatformFloor(SQLModel, table=True):
    """The policy that a platform lays under every release of its records: narrows, never widens, is public."""

    __tablename__ = "platform_floor"

    platform_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="platform.id")
    policy_id: int = Field(foreign_key="policy.id")
    set_at: datetime = Field(sa_type=Instant)


class Wording(SQLModel, table=True):
    """A text as people are shown it, by its digest: exact bytes that never change."""

    sha256: str = Field(primary_key=True, sa_type=IdType)
    media_type: str
    language: str
    body: bytes
    created_at: datetime = Field(sa_type=Instant)


class PlatformDefault(SQLModel, table=True):
    """What governs a record that comes to a platform without any choice of terms, on basis notice: `wording_sha256` has been shown
    there since `shown_at`."""

    __tablename__ = "platform_default"

    platform_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="platform.id")
    policy_id: int = Field(foreign_key="policy.id")
    wording_sha256: str = Field(foreign_key="wording.sha256", sa_type=IdType)
    shown_at: datetime = Field(sa_type=Instant)
    set_at: datetime = Field(sa_type=Instant)


class SiteKey(SQLModel, table=True):
    """What a platform's pages name to show the consent widget: public, good from its `origins` only, and never changed. `choices` holds
    a policy's digest each, and by language the digest of the wording that tells of it."""

    __tablename__ = "site_key"

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", index=True, sa_type=IdType)
    origins: list[str] = Field(sa_type=sa.JSON)
    choices: list[dict[str, Any]] = Field(sa_type=sa.JSON)
    created_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class ConsentIntent(SQLModel, table=True):
    """A consent waiting for its record: chosen in Sayso's own widget under a site key, and then attested by the person; or sent by the
    platform itself (`site_key_id` null), which then attests it."""

    __tablename__ = "consent_intent"

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", sa_type=IdType)
    policy_id: int = Field(foreign_key="policy.id")
    wording_sha256: str
    wording_language: str
    shown_at: datetime = Field(sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    used_by: str | None = Field(default=None, index=True, sa_type=IdType)
    site_key_id: str | None = Field(default=None, foreign_key="site_key.id", sa_type=IdType)
    ref_sha256: str | None = Field(default=None, index=True, sa_type=IdType)
    """Of the number under which the platform's page opened the frame, and by which the platform asks for the intent."""


class Exclusion(SQLModel, table=True):
    """Something a person took back in part: one lab, or one purpose; of one contribution or (null) of everything. With `since` only what is
    recorded from then on, with `until` only before then: what people pledged to do together. With `only_lab_id` instead of either it is every lab but
    that one. With `consent_id` it is so while that consent is in force."""

    id: int | None = Field(default=None, primary_key=True)
    contributor_id: str = Field(index=True, sa_type=IdType)
    contribution_id: str | None = Field(default=None, index=True, sa_type=IdType)
    lab_id: str | None = Field(default=None, sa_type=IdType)
    purpose: str | None = None
    only_lab_id: str | None = Field(default=None, sa_type=IdType)
    consent_id: str | None = Field(default=None, sa_type=IdType)
    since: datetime | None = Field(default=None, sa_type=Instant)
    until: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)


class Narrowing(SQLModel, table=True):
    """An act that may narrow what is releasable, by log index: what a cut in its last transaction looks for.

    The narrowest subject is set; an act on several contributions writes a row for each.
    """

    id: int | None = Field(default=None, primary_key=True)
    log_index: int = Field(sa_type=sa.BigInteger, index=True)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    contributor_id: str | None = Field(default=None, sa_type=IdType)
    platform_id: str | None = Field(default=None, sa_type=IdType)
    lab_id: str | None = Field(default=None, sa_type=IdType)
    collective_id: str | None = Field(default=None, sa_type=IdType)
    at: datetime = Field(sa_type=Instant)
