"""Tables of imports: how far each file got, what is left of its records, and what the database refused of it."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class ImportRun(SQLModel, table=True):
    """One file imported for one platform under one set of options: `run` is the digest of all that."""

    __tablename__ = "import_run"

    platform_id: str = Field(primary_key=True, sa_type=IdType)
    run: str = Field(primary_key=True, sa_type=IdType)
    format: str
    records: int = Field(sa_type=sa.BigInteger)
    """So many records, from the first, are done."""
    started_at: datetime = Field(sa_type=Instant)
    finished_at: datetime | None = Field(default=None, sa_type=Instant)


class ImportRecord(SQLModel, table=True):
    """What a file's record became, and its skeleton: the record without its parts and ids of people, sealed under a key of the
    platform's. It holds no words of anybody; parts come back out of the contributions that are released."""

    __tablename__ = "import_record"

    platform_id: str = Field(primary_key=True, sa_type=IdType)
    run: str = Field(primary_key=True, sa_type=IdType)
    at: int = Field(primary_key=True, sa_type=sa.BigInteger)
    contributions: str
    """Ids in the order of the drafts, a space between them; `-` for one that was refused."""
    skeleton: bytes


class ImportRefusal(SQLModel, table=True):
    """A contribution that the database refused: told again when the import goes on later."""

    __tablename__ = "import_refusal"

    platform_id: str = Field(primary_key=True, sa_type=IdType)
    run: str = Field(primary_key=True, sa_type=IdType)
    at: int = Field(primary_key=True, sa_type=sa.BigInteger)
    draft: int = Field(primary_key=True, sa_type=sa.Integer)
    code: str
    detail: str
