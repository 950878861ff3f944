"""Tables of the agreements slice."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class Use(SQLModel, table=True):
    """A use by one lab's verified facts, by content: what verdicts are kept for.

    Every one of its verdicts holds from `hold_from` until before `hold_until` (None: for good), as the `evaluator` of that version sees it;
    where that is None it is not known of all of them.
    """

    __tablename__ = "use"

    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True, sa_type=IdType)
    body: dict[str, Any] = Field(sa_type=sa.JSON)
    hold_from: date | None = None
    hold_until: date | None = None
    evaluator: int | None = Field(default=None, sa_type=sa.SmallInteger)


NO_AGE = 100_000
"""`max_age` of a stretch without an end: more days than any record has."""
AGED = f"min_age > 0 OR max_age < {NO_AGE}"
"""Of a verdict: it is not for records of every age."""


class Verdict(SQLModel, table=True):
    """What the evaluator says of one policy for one use: decided once, joined in SQL ever after.

    One row for each stretch of a record's age, `min_age` <= days since it was given < `max_age`; the stretches follow each
    other and leave no gap. It holds from `decided_on` until before `valid_until`, as this version of the `evaluator` sees it.
    Without foreign keys: neither uses nor policies are ever deleted, whoever decides has just read both, and checking each of a
    million new rows took PostgreSQL longer than deciding them.
    """

    __table_args__ = (sa.Index("ix_verdict_aged", "use_id", sqlite_where=sa.text(AGED), postgresql_where=sa.text(AGED)),)

    use_id: int = Field(primary_key=True)
    policy_id: int = Field(primary_key=True)
    min_age: int = Field(default=0, primary_key=True, sa_type=sa.BigInteger)
    max_age: int = Field(sa_type=sa.BigInteger)
    permit: bool
    parts: int = Field(sa_type=sa.SmallInteger)
    person: bool
    group_size: int = Field(default=0, sa_type=sa.SmallInteger)
    decided_on: date
    valid_until: date | None = None
    evaluator: int = Field(sa_type=sa.SmallInteger)


class CatalogDay(SQLModel, table=True):
    """The numbers of one day (UTC), as every lab sees them until the next: see `app/agreements/catalog.py`."""

    __tablename__ = "catalog_day"

    day: date = Field(primary_key=True)
    body: dict[str, Any] = Field(sa_type=sa.JSON)


class DryRun(SQLModel, table=True):
    """A quote that a lab asked for: the private audit of what was counted for whom. The unique row is what limits them."""

    __tablename__ = "dry_run"

    lab_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="lab.id")
    day: date = Field(primary_key=True)
    number: int = Field(primary_key=True)
    asked_sha256: str
    asked: dict[str, Any] = Field(sa_type=sa.JSON)
    at: datetime = Field(sa_type=Instant)


class Request(SQLModel, table=True):
    """What a lab asked for and what became of it."""

    __tablename__ = "request"

    id: str = Field(primary_key=True, sa_type=IdType)
    lab_id: str = Field(foreign_key="lab.id", index=True, sa_type=IdType)
    use_id: int = Field(foreign_key="use.id")
    selection: dict[str, Any] = Field(sa_type=sa.JSON)
    mode: str
    until: date | None = None
    state: str
    answer: dict[str, Any] = Field(sa_type=sa.JSON)
    review_until: datetime | None = Field(default=None, sa_type=Instant)
    """When a review that was needed is over, settled or not."""
    created_at: datetime = Field(sa_type=Instant)


class Offer(SQLModel, table=True):
    """Terms as exact bytes: what the lab signs and what every later check reads."""

    id: str = Field(primary_key=True, sa_type=IdType)
    request_id: str = Field(foreign_key="request.id", index=True, sa_type=IdType)
    lab_id: str = Field(foreign_key="lab.id", sa_type=IdType)
    body: bytes
    sha256: str
    key_thumbprint: str
    state: str
    issued_at: datetime = Field(sa_type=Instant)
    expires_at: datetime = Field(sa_type=Instant)
    outcomes: list[Any] = Field(default_factory=list, sa_type=sa.JSON, sa_column_kwargs={"server_default": "[]"})
    """The collectives' decisions that it rests on, whose dissent it lists: not told to the lab."""
    amends: str | None = Field(default=None, index=True, sa_type=IdType)
    """The agreement whose terms it would widen to those that records came under since."""


class Agreement(SQLModel, table=True):
    """A signed offer. `shard_bits` is kept for its life, so that a later cut rebuilds only what changed."""

    id: str = Field(primary_key=True, sa_type=IdType)
    offer_id: str = Field(foreign_key="offer.id", unique=True, sa_type=IdType)
    lab_id: str = Field(foreign_key="lab.id", index=True, sa_type=IdType)
    use_id: int = Field(foreign_key="use.id")
    acceptance: str
    countersignature: str
    state: str
    shard_bits: int | None = None
    log_index: int = Field(sa_type=sa.BigInteger)
    signed_at: datetime = Field(sa_type=Instant)
    report_due: datetime | None = Field(default=None, sa_type=Instant)
    """When the next use report is due, where the lab signed to report."""


class AgreementPolicy(SQLModel, table=True):
    """The policies that stand in the signed offer: a release holds records governed by these and no others."""

    __tablename__ = "agreement_policy"

    agreement_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="agreement.id")
    policy_id: int = Field(primary_key=True, foreign_key="policy.id")
