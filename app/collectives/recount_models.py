"""The openings of counted ballots, as they lie until the appeal is over."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class SealedOpenings(SQLModel, table=True):
    """The openings of one count, sealed to one recounter of the charter that it was frozen under. With the ballot key go `sealed` and what
    it is asked for by; that it was sealed, and handed over, stays."""

    __tablename__ = "sealed_openings"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    key: str = Field(primary_key=True, sa_type=IdType)
    """The thumbprint of the recounter's key."""
    recounter: str
    sha256: str
    """Of the sealed file."""
    sealed: bytes | None = None
    ticket: str | None = None
    """The secret that the file is asked for by, sealed to the same key."""
    ticket_sha256: str | None = Field(default=None, sa_type=IdType, unique=True)
    at: datetime = Field(sa_type=Instant)
    handed_at: datetime | None = Field(default=None, sa_type=Instant)
    """When it was first handed to who opened the ticket."""
