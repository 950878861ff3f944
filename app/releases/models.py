"""Tables of the releases slice."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

JSONL, PARQUET = "jsonl+zstd", "parquet"
"""Formats of shards, as the manifest names them."""

REASONS = ("lab", "agreement", "stopped", "storage", "log", "service")
"""Why a cut ended without a release: the lab gave it up; the agreement ended; nothing may go to the lab; files could not be written;
the log is read-only; anything else. Kept, and told by the API: never renamed."""


class Release(SQLModel, table=True):
    """An immutable cut under one agreement. `as_of` is the log's size when its records were selected."""

    id: str = Field(primary_key=True, sa_type=IdType)
    agreement_id: str = Field(foreign_key="agreement.id", index=True, sa_type=IdType)
    state: str
    as_of: int | None = Field(default=None, sa_type=sa.BigInteger)
    supersedes: str | None = Field(default=None, sa_type=IdType)
    manifest: str | None = None
    log_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    needs_new_terms: int = 0
    terms: list[Any] = Field(default_factory=list, sa_type=sa.JSON)
    requested_at: datetime = Field(sa_type=Instant)
    cut_at: datetime | None = Field(default=None, sa_type=Instant)
    format: str = Field(default=JSONL, sa_column_kwargs={"server_default": JSONL})
    open_until: date | None = None
    """The first day on which it may no longer be delivered: a permission in it, or the agreement, has ended."""
    reason: str | None = None
    """Of a cut that failed or was cancelled: one of `REASONS`."""
    run: str | None = None
    """Which run cuts it: one that has lost its lock finds another's here, and stops. Null before the first, and afterwards."""
    selected: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON(none_as_null=True))  # type: ignore[call-overload]
    """While it is cut: what its selection gave beside the items (`Filling._note_selected`). Null until that is whole, and afterwards."""


class ReleaseItem(SQLModel, table=True):
    """A contribution in a release: which parts, under which record id, in which shard (by leading bits).

    `parts` 0 is a tombstone: something withheld that keeps the place of other people's replies, or stands where its terms ask
    for all that is attached. `terms` points into the release's list of governing policies. `group_size` is the fewest people
    of one platform, language and kind that its terms want it to stand among; `keep` are bits of `releases/together.py`.
    """

    __tablename__ = "release_item"
    # With shard and parts what a person's page counts is read from the index alone.
    __table_args__ = (sa.Index("ix_release_item_contribution", "contribution_id", "release_id", "shard", "parts"),)

    release_id: str = Field(primary_key=True, sa_type=IdType)
    shard: int = Field(primary_key=True)
    record_id: bytes = Field(primary_key=True)
    contribution_id: str = Field(sa_type=IdType)
    parts: int = Field(sa_type=sa.SmallInteger)
    terms: int
    group_size: int = Field(default=0, sa_type=sa.SmallInteger, sa_column_kwargs={"server_default": "0"})
    keep: int = Field(default=0, sa_type=sa.SmallInteger, sa_column_kwargs={"server_default": "0"})


class Shard(SQLModel, table=True):
    """One file of a release. `gone` from the moment a record in it is withdrawn; the bytes follow within a day."""

    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id")
    shard: int = Field(primary_key=True)
    sha256: str = Field(index=True, sa_type=IdType)
    bytes: int = Field(sa_type=sa.BigInteger)
    rows: int
    state: str
    gone_at: datetime | None = Field(default=None, sa_type=Instant)
    swept_at: datetime | None = Field(default=None, sa_type=Instant)
    inputs: str | None = None
    """Digest (hex) of all that its bytes follow from, in their order: a later cut under the agreement with the same keeps the file."""
    told: dict[str, Any] | None = Field(default=None, sa_type=sa.JSON)
    """What the manifest says of it, for that cut: `BuiltShard.told`."""


class CutShard(SQLModel, table=True):
    """A finished file of a release that is still cut, for a run that goes on after a kill. Gone once it is published, or given up."""

    __tablename__ = "cut_shard"

    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id")
    shard: int = Field(primary_key=True)
    sha256: str = Field(sa_type=IdType)
    bytes: int = Field(sa_type=sa.BigInteger)
    rows: int
    inputs: str
    told: dict[str, Any] = Field(sa_type=sa.JSON)
    """As in `Shard`."""
    checked: bool
    """Whether all that stands in it was found among the items of the selection that is made now."""


class Delivery(SQLModel, table=True):
    """A ticket to read one release, by the hash of its secret."""

    id: str = Field(primary_key=True, sa_type=IdType)
    release_id: str = Field(foreign_key="release.id", index=True, sa_type=IdType)
    ticket_sha256: str = Field(unique=True, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    expires_at: datetime = Field(sa_type=Instant)
    revoked_at: datetime | None = Field(default=None, sa_type=Instant)


class Recall(SQLModel, table=True):
    """The duty on one holder to delete what was withdrawn: one a batch and agreement, beside one for what it said before that it deleted."""

    id: str = Field(primary_key=True, sa_type=IdType)
    agreement_id: str = Field(foreign_key="agreement.id", index=True, sa_type=IdType)
    state: str
    opened_at: datetime | None = Field(default=None, sa_type=Instant)
    due: datetime | None = Field(default=None, sa_type=Instant)
    delete_by: datetime | None = Field(default=None, sa_type=Instant)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Instant)
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    attestation: str | None = None
    """The lab's signed statement, as it came: a compact JWS by one of its keys."""
    models: list[Any] = Field(default_factory=list, sa_type=sa.JSON, sa_column_kwargs={"server_default": "[]"})
    """Where it cannot be removed: the models that were trained with it, as the lab signed."""
    log_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    answered_by: str | None = Field(default=None, sa_type=IdType)
    """Where the lab has nothing of it any more by its own word, and so owes nothing: the release of whose deletion it spoke last.
    `closed_at` is when it said so, before the recall was opened or after."""


class ReleaseDeletion(SQLModel, table=True):
    """The duty to delete a release a period after its cut, where the signed terms ask for it: from its first delivery on. States: owed,
    attested, cannot_remove."""

    __tablename__ = "release_deletion"

    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id")
    agreement_id: str = Field(foreign_key="agreement.id", index=True, sa_type=IdType)
    state: str
    delete_by: datetime = Field(sa_type=Instant)
    """By the signed terms."""
    late_from: datetime | None = Field(default=None, sa_type=Instant)
    """From when the lab is late: `delete_by`, or some days after it was first told, where the duty was noted only after the delivery. Null
    until it was told."""
    closed_at: datetime | None = Field(default=None, sa_type=Instant)
    attestation: str | None = None
    """The lab's signed statement, as it came: a compact JWS by one of its keys."""
    models: list[Any] = Field(default_factory=list, sa_type=sa.JSON, sa_column_kwargs={"server_default": "[]"})
    """Where it cannot be removed: the models that were trained with it, as the lab signed."""
    log_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    """Of the lab's answer."""


class LedgerDay(SQLModel, table=True):
    """Who got what share of all that was released, as the ledger tells it for one day (UTC): see `app/releases/shares.py`."""

    __tablename__ = "ledger_day"

    day: date = Field(primary_key=True)
    body: list[Any] = Field(sa_type=sa.JSON)


class RecallItem(SQLModel, table=True):
    """A record that a holder must delete. `recall_id` null until the next batch is opened."""

    __tablename__ = "recall_item"

    id: int | None = Field(default=None, primary_key=True)
    agreement_id: str = Field(index=True, sa_type=IdType, foreign_key="agreement.id")
    record_id: bytes
    recall_id: str | None = Field(default=None, index=True, sa_type=IdType)
    created_at: datetime = Field(sa_type=Instant)


class ReleaseOutcome(SQLModel, table=True):
    """A collective's decision that records of a published release rest on."""

    __tablename__ = "release_outcome"

    outcome: str = Field(primary_key=True, sa_type=IdType)
    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id", index=True)


class ReleaseLabel(SQLModel, table=True):
    """What is to be said of a release beside its manifest: `contested`, `dissent`. Added, and never changed or taken away."""

    __tablename__ = "release_label"

    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id")
    code: str = Field(primary_key=True, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class LabelTurn(SQLModel, table=True):
    """That a label was lifted, because it holds no more, or holds again. Added, and never changed or taken away: the last one counts."""

    __tablename__ = "label_turn"

    release_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="release.id")
    code: str = Field(primary_key=True, sa_type=IdType)
    log_index: int = Field(primary_key=True, sa_type=sa.BigInteger, sa_column_kwargs={"autoincrement": False})
    lifted: bool
    at: datetime = Field(sa_type=Instant)
