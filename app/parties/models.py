"""Tables of the parties slice. Secrets are stored as SHA-256 of 160 or more random bits, never as they are."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

_WAITS = sa.text("state = 'waiting'")


class Platform(SQLModel, table=True):
    """A tenant that collects contributions."""

    id: str = Field(primary_key=True, sa_type=IdType)
    name: str = Field(unique=True)
    secret_sha256: str
    old_secret_sha256: str | None = None
    """The one before, which counts until `old_secret_until`."""
    old_secret_until: datetime | None = Field(default=None, sa_type=Instant)
    created_at: datetime = Field(sa_type=Instant)
    suspended_at: datetime | None = Field(default=None, sa_type=Instant)


class Contributor(SQLModel, table=True):
    """A person as one platform knows them; `pseudonym` is a keyed hash of the platform's own id, null for one record only."""

    __table_args__ = (sa.UniqueConstraint("platform_id", "pseudonym"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", sa_type=IdType)
    pseudonym: bytes | None = None
    created_at: datetime = Field(sa_type=Instant)
    refused_at: datetime | None = Field(default=None, sa_type=Instant)
    """Erased, and asked not to be recorded again: the pseudonym stays, to know them by."""


class DataKey(SQLModel, table=True):
    """A contributor's data key, wrapped. Deleting the row makes everything sealed under it unreadable."""

    __tablename__ = "data_key"

    contributor_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="contributor.id")
    epoch: int
    wrapped: bytes
    rid_sealed: bytes | None = None
    """Their rid key, sealed under the data key, where it no longer follows from it because the data key was replaced."""


class KeyEpoch(SQLModel, table=True):
    """When each epoch's key-encryption key was in use. The keys themselves are the driver's."""

    __tablename__ = "key_epoch"

    epoch: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    began_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    destroyed_at: datetime | None = Field(default=None, sa_type=Instant)


class Lab(SQLModel, table=True):
    """A requester with the facts the operator verified."""

    id: str = Field(primary_key=True, sa_type=IdType)
    legal_name: str = Field(unique=True)
    kind: str
    seat: str
    verified_at: datetime = Field(sa_type=Instant)
    verified_until: datetime = Field(sa_type=Instant)
    evidence: str
    created_at: datetime = Field(sa_type=Instant)
    blocked_at: datetime | None = Field(default=None, sa_type=Instant)
    jwks_uri: str | None = None
    """Where the lab publishes its keys; None: the operator adds them."""
    jwks_asked_at: datetime | None = Field(default=None, sa_type=Instant)


class LabKey(SQLModel, table=True):
    """One public key of a lab, by RFC 7638 thumbprint."""

    __tablename__ = "lab_key"

    thumbprint: str = Field(primary_key=True, sa_type=IdType)
    lab_id: str = Field(foreign_key="lab.id", index=True, sa_type=IdType)
    jwk: dict[str, Any] = Field(sa_type=sa.JSON)
    added_at: datetime = Field(sa_type=Instant)
    from_uri: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """Came from the lab's `jwks_uri`, and ends when it stands there no more."""
    name: str | None = None
    delegated_by: str | None = Field(default=None, foreign_key="lab_key.thumbprint", sa_type=IdType)
    """The key of the institution that gave this one; it ends with it."""
    delegation: str | None = None
    ends_at: datetime | None = Field(default=None, sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class LabApplication(SQLModel, table=True):
    """A lab that asks to be let in. `token` is the JWS as it came; it names somebody to talk to, so it is forgotten."""

    __tablename__ = "lab_application"
    __table_args__ = (
        sa.Index("uq_lab_application_waiting", "thumbprint", unique=True, sqlite_where=_WAITS, postgresql_where=_WAITS),
    )

    id: str = Field(primary_key=True, sa_type=IdType)
    thumbprint: str = Field(sa_type=IdType)
    token: str
    state: str = Field(index=True, sa_type=IdType)
    asked_at: datetime = Field(sa_type=Instant)
    settled_at: datetime | None = Field(default=None, sa_type=Instant)
    why: str | None = None
    lab_id: str | None = Field(default=None, foreign_key="lab.id", sa_type=IdType)


class IngestKey(SQLModel, table=True):
    """A write-only key of a platform's, for one outside system to send its records with: it stands in the address, opens nothing
    and reads nothing. Only its hash is kept."""

    __tablename__ = "ingest_key"

    id: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", index=True, sa_type=IdType)
    format: str
    secret_sha256: str = Field(unique=True, sa_type=IdType)
    consent: str | None = None
    """What people are told there (the API's `consent` object as JSON, basis notice), or None: basis none."""
    signing: bytes | None = None
    """The secret that what is sent must prove to know, sealed; None where the system can prove nothing."""
    created_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class AssertionUse(SQLModel, table=True):
    """A client assertion, or a nonce for a passkey, that was used: the unique row is what refuses a replay (RFC 7523 section 3, jti)."""

    __tablename__ = "assertion_use"

    client_id: str = Field(primary_key=True, sa_type=IdType)
    jti_sha256: str = Field(primary_key=True, sa_type=IdType)
    expires_at: datetime = Field(sa_type=Instant, index=True)


class RevokedToken(SQLModel, table=True):
    """An access token that its client revoked, until it would have ended by itself."""

    __tablename__ = "revoked_token"

    jti: str = Field(primary_key=True, sa_type=IdType)
    client_id: str = Field(sa_type=IdType)
    expires_at: datetime = Field(sa_type=Instant, index=True)


class Claim(SQLModel, table=True):
    """A claim link that was redeemed. Unredeemed links have no row: the code proves itself."""

    subject: str = Field(primary_key=True, sa_type=IdType)
    generation: int = Field(primary_key=True)
    redeemed_at: datetime = Field(sa_type=Instant)
    contested_at: datetime | None = Field(default=None, sa_type=Instant)


class PortalSession(SQLModel, table=True):
    """A one-time link to everything of one contributor, asked for by the platform."""

    __tablename__ = "portal_session"

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(foreign_key="contributor.id", sa_type=IdType)
    created_at: datetime = Field(sa_type=Instant)


class RecoveryCode(SQLModel, table=True):
    """What somebody wrote down to get in again without a receipt: one for each reach, which is that of the receipt it was made with
    (`contribution_id` empty: all of a contributor's). `before_sha256` is the code it took the place of, at `made_at`."""

    __tablename__ = "recovery_code"

    contributor_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="contributor.id")
    contribution_id: str = Field(primary_key=True, sa_type=IdType)
    code_sha256: str = Field(unique=True, sa_type=IdType)
    before_sha256: str | None = Field(default=None, index=True, sa_type=IdType)
    made_at: datetime = Field(sa_type=Instant)


class Passkey(SQLModel, table=True):
    """A passkey (WebAuthn credential) of a person's: it signs what nobody else is to do in their name."""

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(foreign_key="contributor.id", index=True, sa_type=IdType)
    credential_id: bytes = Field(unique=True)
    public_key: bytes
    """As a COSE key, in CBOR."""
    sign_count: int = Field(sa_type=sa.BigInteger)
    name_sealed: bytes
    added_at: datetime = Field(sa_type=Instant)
    used_at: datetime | None = Field(default=None, sa_type=Instant)


class Receipt(SQLModel, table=True):
    """A claimed capability: over one contribution, or (contribution_id null) over all of a contributor's."""

    id: str = Field(primary_key=True, sa_type=IdType)
    secret_sha256: str = Field(unique=True, sa_type=IdType)
    contributor_id: str = Field(foreign_key="contributor.id", index=True, sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    created_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)
    locked: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """Came from a portal link of the platform's, for somebody who has a passkey: it opens nothing until that is shown."""
