"""Tables of dissent: objections and minority reports, their words, and who supports them."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant


class MinorityReport(SQLModel, table=True):
    """That somebody dissented, by the digest of the text; never changed. `kind` is `report` (on an outcome, while its appeal runs) or
    `objection` (to a proposal, until its ballot closes)."""

    __tablename__ = "minority_report"

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id", index=True)
    kind: str
    sha256: str
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class DissentText(SQLModel, table=True):
    """A minority report's words, which its author can have erased; the digest stays with the outcome."""

    __tablename__ = "dissent_text"

    report_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="minority_report.id")
    contributor_id: str = Field(index=True, sa_type=IdType)
    text: str


class ObjectionWithdrawn(SQLModel, table=True):
    """An objection that its author no longer upholds."""

    __tablename__ = "objection_withdrawn"

    report_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="minority_report.id")
    log_index: int = Field(sa_type=sa.BigInteger)


class ObjectionAnswered(SQLModel, table=True):
    """That an amendment answered an objection: the which of a proposal's rounds it made. Never changed."""

    __tablename__ = "objection_answered"

    report_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="minority_report.id")
    round: int


class ReportSupport(SQLModel, table=True):
    """That somebody supports a minority report of another. Taken back it goes, and when the time for dissent is over all do: not under the tag
    that ballots have, which a person's acts would then give a name."""

    __tablename__ = "report_support"

    report_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="minority_report.id")
    contributor_id: str = Field(primary_key=True, index=True, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)


class ReportSettled(SQLModel, table=True):
    """What support a minority report had when the time for dissent was over: `collective` or `individual`, and how many in steps. Never changed."""

    __tablename__ = "report_settled"

    report_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="minority_report.id")
    status: str
    supporters: str
    at: datetime = Field(sa_type=Instant)
