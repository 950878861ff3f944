"""Tables of the collectives slice. Rows are added and ended, and what was decided is never changed."""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.kit.db import IdType, Instant

_STILL = sa.text("left_at IS NULL")
_CURRENT = _RUNNING = sa.text("ended_at IS NULL")


class Collective(SQLModel, table=True):
    """A group of contributors with a charter. `policy_id` is its policy in force, until before `policy_until`: without one what its
    members mandated it for is not released. `listed`: it chose to be public."""

    id: str = Field(primary_key=True, sa_type=IdType)
    name: str
    kind: str
    listed: bool
    state: str
    charter_n: int
    policy_id: int | None = Field(default=None, foreign_key="policy.id")
    policy_until: date | None = None
    policy_outcome: str | None = Field(default=None, sa_type=IdType)
    """The proposal whose outcome brought the policy into force."""
    decides: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """It decides on labs' requests itself, one by one, where its policy would permit them. Fixed when it is founded."""
    created_at: datetime = Field(sa_type=Instant)


class CollectivePolicy(SQLModel, table=True):
    """What a collective's policy was, from when: so that somebody can be told of it a day late."""

    __tablename__ = "collective_policy"

    id: int | None = Field(default=None, primary_key=True)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id", index=True)
    policy_id: int = Field(foreign_key="policy.id")
    until: date
    from_at: datetime = Field(sa_type=Instant)


class CharterVersion(SQLModel, table=True):
    """A charter as exact bytes: aim, who may join, how each type of decision is made."""

    __tablename__ = "charter_version"

    collective_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="collective.id")
    n: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    body: bytes
    sha256: str
    from_at: datetime = Field(sa_type=Instant)
    review_by: date


class Membership(SQLModel, table=True):
    """A contributor in a collective, under a pseudonym (`member`) that is another in every collective. With `contribution_id` they
    came with a receipt for that one contribution, and can mandate for no more."""

    __table_args__ = (
        sa.Index("uq_membership_contributor", "contributor_id", "collective_id", unique=True, sqlite_where=_STILL, postgresql_where=_STILL),
        sa.Index("ix_membership_member", "collective_id", "member"),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id")
    contributor_id: str = Field(sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    member: str = Field(sa_type=IdType)
    steward: bool = False
    steward_until: datetime | None = Field(default=None, sa_type=Instant)
    """When the term of a steward ends by itself."""
    eligible_by: str | None = Field(default=None, sa_type=IdType)
    """The platform that vouched, where the charter asks for it; never which of its codes."""
    declared: str | None = None
    declared_at: datetime | None = Field(default=None, sa_type=Instant)
    interest: str | None = Field(default=None, sa_type=IdType)
    """The lab that they say they work for: on what is decided about it they do not vote. What they said before: `PastInterest`."""
    joined_at: datetime = Field(sa_type=Instant)
    voice_from: datetime = Field(sa_type=Instant)
    left_at: datetime | None = Field(default=None, sa_type=Instant)


class PastInterest(SQLModel, table=True):
    """That a member said they work for a lab, and until when: for what was put up before it holds on."""

    __tablename__ = "past_interest"

    membership_id: str = Field(primary_key=True, sa_type=IdType)
    lab_id: str = Field(primary_key=True, sa_type=IdType)
    until: datetime = Field(sa_type=Instant)


class Mandate(SQLModel, table=True):
    """What a member signed for a collective: that its policy governs these kinds (null: all) of what they gave, before `expires_on`.

    Past that day what it covers is released to nobody until the member renews or ends it: time alone widens nothing. Nor do the others
    alone: once the collective has another policy, that of the mandate must permit too, until the member gives it anew.
    """

    __table_args__ = (
        sa.Index("ix_mandate_contributor", "contributor_id", sqlite_where=_CURRENT, postgresql_where=_CURRENT),
        sa.Index("ix_mandate_collective", "collective_id", sqlite_where=_CURRENT, postgresql_where=_CURRENT),
    )  # fmt: skip

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id")
    membership_id: str = Field(sa_type=IdType)
    contributor_id: str = Field(sa_type=IdType)
    contribution_id: str | None = Field(default=None, sa_type=IdType)
    kinds: str | None = None
    """`,rating,label,`: each between two commas."""
    policy_id: int | None = Field(default=None, foreign_key="policy.id")
    """The collective's policy when it was given; null where none was in force: then whatever it adopts."""
    expires_on: date
    given_at: datetime = Field(sa_type=Instant)
    ended_at: datetime | None = Field(default=None, sa_type=Instant)


class CollectiveAct(SQLModel, table=True):
    """A member's acts by their leaves: for their own receipts, and so that an erasure finds what was sealed."""

    __tablename__ = "collective_act"

    id: str = Field(primary_key=True, sa_type=IdType)
    contributor_id: str = Field(index=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType)
    type: str
    log_index: int = Field(sa_type=sa.BigInteger, index=True)
    at: datetime = Field(sa_type=Instant)


class EligibilityCode(SQLModel, table=True):
    """A code that a platform hands to a contributor of its own, by a hash of it with their pseudonym, which tells neither."""

    __tablename__ = "eligibility_code"

    sha256: str = Field(primary_key=True, sa_type=IdType)
    platform_id: str = Field(foreign_key="platform.id", sa_type=IdType)
    expires_on: date


class EligibilityUse(SQLModel, table=True):
    """A code was used in a collective: once each. By whom is not kept."""

    __tablename__ = "eligibility_use"

    sha256: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(primary_key=True, sa_type=IdType)


class Proposal(SQLModel, table=True):
    """A text put to decision. Its times are set when it opens; timers move it on."""

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id", index=True)
    type: str
    author: str | None = Field(default=None, sa_type=IdType)
    charter_n: int
    text: str
    first_text: str | None = None
    """The text as it was put up, once it was changed: what people began to discuss; so too the two `first_` below."""
    text_sha256: str
    policy_id: int | None = Field(default=None, foreign_key="policy.id")
    charter: bytes | None = None
    first_policy_id: int | None = None
    first_charter: bytes | None = None
    subject: str | None = Field(default=None, sa_type=IdType)
    alternative_to: str | None = Field(default=None, sa_type=IdType)
    """The proposal whose author did not accept this text."""
    about: str | None = Field(default=None, sa_type=IdType)
    """The proposal whose outcome it is about: that granted what is to be renewed, or recalled alone, or is to be made void."""
    ballots: int | None = None
    """Of what is to be made void: how many ballots are said to be of people who work for the lab and had not said so."""
    request_id: str | None = Field(default=None, sa_type=IdType)
    """The lab's request that it is about: who asked reads this thread, and can speak in it."""
    strike: bytes | None = None
    """The terms of the strike that is to be called or ended, canonical."""
    urgent_hours: int | None = None
    """How long discussion and ballot take each, where they are shorter than the charter's."""
    measured: bytes | None = None
    """What the collective measured itself, and of which use report, where that is disputed: canonical JSON."""
    state: str
    rounds: int = 0
    """Amendments that answered an objection of somebody else's; those whose objections were withdrawn since are among them."""
    moved_days: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """By how many days a steward moved all its days, why, and who that was."""
    moved_reason: str | None = None
    moved_by: str | None = Field(default=None, sa_type=IdType)
    amended_index: int = Field(default=0, sa_type=sa.BigInteger)
    """The log's size when the text was last changed."""
    opened_at: datetime = Field(sa_type=Instant)
    freeze_at: datetime = Field(sa_type=Instant)
    close_at: datetime = Field(sa_type=Instant)
    appeal_until: datetime = Field(sa_type=Instant)
    opened_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    closed_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    ballot_key: bytes | None = None
    """Sealed under a key of the service from the freeze until the appeal has passed; then destroyed, and no ballot opens again."""
    electorate_root: str | None = None
    electorate_size: int | None = None


class Elector(SQLModel, table=True):
    """One tag of a proposal's electorate, fixed at the freeze: a keyed hash that nobody ties to a member once the key is gone."""

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    tag: str = Field(primary_key=True, sa_type=IdType)
    declared: str | None = None


class BallotRow(SQLModel, table=True):
    """One ballot: its leaf's commitment, and the opening sealed under the proposal's ballot key."""

    __tablename__ = "ballot"
    __table_args__ = (sa.Index("ix_ballot_proposal", "proposal_id", "log_index"),)

    id: str = Field(primary_key=True, sa_type=IdType)
    proposal_id: str = Field(sa_type=IdType, foreign_key="proposal.id")
    tag: str = Field(sa_type=IdType)
    commitment: str
    log_index: int = Field(sa_type=sa.BigInteger)


class OutcomeRow(SQLModel, table=True):
    """What was decided, as the bytes whose digest stands in the log. Never changed."""

    __tablename__ = "outcome"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    verdict: str
    contested: bool
    report_needed: bool
    body: bytes
    sha256: str
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class OutcomeVoid(SQLModel, table=True):
    """That an outcome was made void by a later one (`voided_by`, its proposal). Never changed."""

    __tablename__ = "outcome_void"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    voided_by: str = Field(sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class LabRefusal(SQLModel, table=True):
    """A lab to which nothing of this collective's members goes, mandated or not: what a collective can deny for everybody in it."""

    __tablename__ = "lab_refusal"

    collective_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="collective.id")
    lab_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="lab.id")
    outcome: str = Field(sa_type=IdType)
    log_index: int | None = Field(default=None, sa_type=sa.BigInteger)
    """Where that is in the log; none for a moment, until its leaf is appended."""


class LabUse(SQLModel, table=True):
    """A use that a lab asked a collective for: the proposal of last time, and where it was granted the outcome, before `until`. Where that
    was renewed `outcome` is the last renewal, and `proposal_id` stays."""

    __tablename__ = "lab_use"

    collective_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="collective.id")
    lab_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="lab.id")
    use_id: int = Field(primary_key=True, foreign_key="use.id", sa_column_kwargs={"autoincrement": False})
    proposal_id: str = Field(sa_type=IdType)
    asked_at: datetime = Field(sa_type=Instant)
    outcome: str | None = Field(default=None, sa_type=IdType)
    until: date | None = None
    recalled_by: str | None = Field(default=None, sa_type=IdType)
    """The proposal by which this use alone was recalled; the grant of `proposal_id` is in force no more, nor comes into force."""


class Refusal(SQLModel, table=True):
    """That a public collective refused a lab: a use that it asked for (`request_id`), or altogether. Never changed."""

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id")
    lab_id: str = Field(sa_type=IdType, foreign_key="lab.id", index=True)
    request_id: str | None = Field(default=None, sa_type=IdType)
    at: datetime = Field(sa_type=Instant)
    log_index: int = Field(sa_type=sa.BigInteger)


class RefusalReply(SQLModel, table=True):
    """That the lab replied. Its words lie with those of threads, under `id`; the digest stays where they are gone."""

    __tablename__ = "refusal_reply"

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="refusal.proposal_id")
    id: str = Field(sa_type=IdType)
    digest: str
    hidden: str | None = None
    log_index: int = Field(sa_type=sa.BigInteger)
    at: datetime = Field(sa_type=Instant)


class Campaign(SQLModel, table=True):
    """What members pledge to do together, against a lab or a purpose, once enough of them do. `key` (wrapped under `key_epoch`) opens the pledges
    until it ends."""

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id", index=True)
    author: str | None = Field(default=None, sa_type=IdType)
    demand: str
    action: str
    lab_id: str | None = Field(default=None, sa_type=IdType, foreign_key="lab.id")
    purpose: str | None = None
    policy_id: int | None = Field(default=None, foreign_key="policy.id")
    """What `divert` lets, in place of the terms of before."""
    to_lab_id: str | None = Field(default=None, sa_type=IdType, foreign_key="lab.id")
    """The lab that it is diverted to alone; without one, to whoever the policy admits."""
    until: datetime | None = Field(default=None, sa_type=Instant)
    mode: str
    opened_at: datetime = Field(sa_type=Instant)
    deadline: datetime = Field(sa_type=Instant)
    state: str
    executed: int = 0
    at_least: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    """The fewest people who act; of a campaign from before there was such a number, one."""
    set_back: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """That it ended because the database was set back: nobody knows which pledges still stood."""
    key_epoch: int | None = None
    """Absent where a version sealed the key that knew of no epochs for it."""
    key: bytes | None = None


class Strike(SQLModel, table=True):
    """A strike that was called by vote, under the id of the proposal; it binds whoever is a member. `refuse_new`: nothing that was recorded
    from `since` on goes to the lab, or for the purpose. `pause`, `withdraw`: nothing at all does, before `until` or until it is ended."""

    __table_args__ = (sa.Index("ix_strike_collective", "collective_id", sqlite_where=_RUNNING, postgresql_where=_RUNNING),)

    id: str = Field(primary_key=True, sa_type=IdType)
    collective_id: str = Field(sa_type=IdType, foreign_key="collective.id")
    kind: str
    lab_id: str | None = Field(default=None, sa_type=IdType, foreign_key="lab.id")
    purpose: str | None = None
    public: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    """Whether the collective was public, and of ten members or more, when it was called: what is told of it in the open, and makes contested
    what others decided, hangs on that and on nothing since."""
    since: datetime = Field(sa_type=Instant)
    until: datetime | None = Field(default=None, sa_type=Instant)
    campaign_id: str | None = Field(default=None, sa_type=IdType)
    """Whose pledges a call of `withdraw` sets off."""
    told_at: datetime | None = Field(default=None, sa_type=Instant)
    """When holders were told."""
    ended_at: datetime | None = Field(default=None, sa_type=Instant)
    ended_by: str | None = Field(default=None, sa_type=IdType)
    end_told_at: datetime | None = Field(default=None, sa_type=Instant)
    """When holders were told of its end."""


class Petition(SQLModel, table=True):
    """That one more member wants a proposal put to the vote, under a tag that nobody ties to them; gone with the freeze."""

    proposal_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="proposal.id")
    tag: str = Field(primary_key=True, sa_type=IdType)
    log_index: int = Field(sa_type=sa.BigInteger)


class Pledge(SQLModel, table=True):
    """One pledge while its campaign runs: under a tag and sealed, so that a row says nothing of anybody."""

    campaign_id: str = Field(primary_key=True, sa_type=IdType, foreign_key="campaign.id")
    tag: str = Field(primary_key=True, sa_type=IdType)
    sealed: bytes
