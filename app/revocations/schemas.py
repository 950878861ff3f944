"""API shapes of the revocations slice."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app.consents.schemas import LanguageTag
from app.contributions.objections import MOST_LETTERS
from app.kit.body import Id, In, Out, Time


class RevocationIn(In):
    """What a person takes back: contributions, one lab's or one purpose's use, the standing consent, or everything."""

    scope: Literal["contribution", "lab", "purpose", "standing", "all"]
    ids: list[Id] | None = Field(None, min_length=1, max_length=1000)
    lab: Id | None = None
    purpose: Annotated[str, StringConstraints(max_length=80)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.scope == "lab") != (self.lab is not None) or (self.scope == "purpose") != (self.purpose is not None):
            raise ValueError("scope lab takes `lab`, scope purpose takes `purpose`")
        if self.ids is not None and self.scope not in ("contribution", "lab", "purpose"):
            raise ValueError("`ids` goes with the scopes contribution, lab and purpose")
        return self


class RevocationOut(Out):
    id: str
    log_index: int
    contributions: int
    recalls: int


class ErasureIn(In):
    """What to erase: one contribution (the receipt's own, unless named), or everything; and whether the refusal is remembered,
    so that nothing is recorded in this person's name again."""

    scope: Literal["contribution", "all"]
    contribution: Id | None = None
    refusal: Literal["forget", "remember"] = "forget"
    tell_platform: bool = False
    """Ask the platform to delete its own copy too."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.scope == "all" and self.contribution is not None:
            raise ValueError("scope all takes no `contribution`")
        if self.refusal == "remember" and self.scope != "all":
            raise ValueError("`refusal` remember goes with the scope all")
        return self


class ErasureOut(Out):
    """`requested`: excluded, and unreadable in the database. `completed`: gone from its files too, and from every shard."""

    id: str
    state: str
    log_index: int
    contributions: int
    recalls: int
    requested_at: Time
    completed_at: Time | None
    completed_index: int | None


class SetError(In):
    """Why a token could not be taken (RFC 8935 section 2.4)."""

    err: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: Annotated[str, StringConstraints(max_length=500)] = ""


class RecallItemOut(Out):
    """What a lab must delete. `models`, where it cannot be removed: those that the lab says were trained with it. `answered_by`, where it
    owes nothing: of the releases that held it, all of which it said it deleted, the one that it spoke of last."""

    id: str
    state: str
    opened_at: Time
    due: Time
    delete_by: Time
    overdue: bool
    log_index: int
    records: list[str]
    models: list[str]
    answered_by: str | None


class PollIn(In):
    """What to fetch, and what was taken (RFC 8936 section 2.2)."""

    maxEvents: int | None = Field(None, ge=0)
    returnImmediately: bool = True
    ack: list[Id] = Field(default_factory=list, max_length=1000)
    setErrs: dict[Id, SetError] = Field(default_factory=dict, max_length=1000)


class PollOut(Out):
    """Security event tokens by their `jti`; each comes again until it is named in `ack` or `setErrs`."""

    sets: dict[str, str]
    moreAvailable: bool


class PushIn(In):
    """Where to bring events: an https address on the public internet, and the Authorization header to send with each, if any."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
    authorization: Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]{0,1998}[!-~])?$")] | None = None


class PushOut(Out):
    """`failures` counts those since the last success; `problem` is the last one, and `next_at` when it is tried again."""

    url: str
    authorization: bool
    set_at: Time
    failures: int
    problem: str | None
    next_at: Time | None


class RecallPage(Out):
    items: list[RecallItemOut]
    next: str | None


class RecallOut(Out):
    id: str
    state: str
    log_index: int


class DutyOut(Out):
    """One thing owed: `of` names the release or recall. States: standing, open, overdue, done."""

    task: str
    of: str | None
    due: Time | None
    state: str
    obligation: dict[str, str]


class DutiesOut(Out):
    agreement: str
    items: list[DutyOut]


class TreeOut(Out):
    """A release's sorted tree of record ids: how many, and the root (hex)."""

    size: int
    root: str


class ShownOut(Out):
    """A leaf of that tree and the way from it to the root (base64)."""

    index: int
    record_id: str
    path: list[str]


class ReportIn(In):
    """A use report: an object (level L0), or the lab's JWS over it, `typ` sayso-use-report+jws (L1); with `records`, the ids of all
    records used (hex, ascending), L2. What it says: `Report` of `app/revocations/reporting.py`."""

    report: dict[str, Any] | None = None
    signed: Annotated[str, StringConstraints(min_length=20, max_length=40_000)] | None = None
    records: list[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]] | None = None


class DisputeOut(Out):
    """What a collective decided to say against a report: its own measurement (`metric`, `with`, `without`, `n`, `ci`, `evidence_sha256`) and
    words. Both are null where the operator had to hide them; `hidden` is in the log."""

    id: str
    collective: str
    name: str
    measured: dict[str, Any] | None
    text: str | None
    measured_sha256: str
    log_index: int


class ReportOut(Out):
    """A report as it was taken: its level, and when the next is due."""

    id: str
    level: Literal["L0", "L1", "L2"]
    model: str | None
    version: str | None
    stages: list[str]
    beyond: list[str]
    """Those that the signed use has no action for: a breach, which the public log tells of."""
    records: int
    root: str | None
    sha256: str
    log_index: int
    received_at: Time
    next_due: Time | None
    disputes: list[DisputeOut]


class ReportPage(Out):
    items: list[ReportOut]


class LearnedOut(Out):
    """A model that a holder named. `used` is `yes` or `no` where an L2 report counts each record, shown by the leaves of its tree,
    and `maybe` where the report says how many and not which. Without a `report` it is from the answer to a recall."""

    agreement: str
    lab: str
    report: str | None
    model: str
    version: str | None
    stages: list[str]
    level: str
    used: Literal["yes", "no", "maybe"]
    at: Time
    record_id: str | None
    tree: TreeOut | None
    shown: list[ShownOut]
    effect: dict[str, Any] | None
    """What the lab says that it measured with and without the records; null where it did not."""
    disputes: list[DisputeOut]


class LearnedPage(Out):
    items: list[LearnedOut]


class AttestationIn(In):
    """A compact JWS by a key of the lab: `app/revocations/attesting.py` says what it says of a recall, `deleting.py` there of a release."""

    attestation: Annotated[str, StringConstraints(min_length=20, max_length=20_000)]


class HoldingOut(Out):
    """Whether a release holds a contribution, and what shows it: the record itself, or the neighbours of its empty place. `deletion` where
    nobody may keep the release beyond a period: owed, attested (every copy was deleted, says the lab) or cannot_remove."""
    v: int
    type: str
    release: str
    agreement: str
    lab: str
    cut_at: Time | None
    record_id: str
    present: bool
    tombstone: bool
    shard_state: str | None
    recall: str | None
    deletion: str | None
    tree: TreeOut | None
    shown: list[ShownOut]
    leaf: str
    tlog_proof: str | None
    vkey: str


class HoldingPage(Out):
    items: list[HoldingOut]
    next: str | None


class RecallFile(Out):
    """Everything needed to verify offline that a lab was told, in the open, to delete these records."""

    v: int
    type: str
    id: str
    agreement: str
    records: list[str]
    attestation: str | None
    """What the lab stated under its own key, once it did."""
    leaf: str
    tlog_proof: str | None
    vkey: str


class ObjectionIn(In):
    """A statement in the person's own words: at most 1,000 characters, and not blank."""

    statement: Annotated[str, StringConstraints(min_length=1, max_length=MOST_LETTERS)]
    language: LanguageTag

    @model_validator(mode="after")
    def _said(self) -> Self:
        if not self.statement.strip():
            raise ValueError("say something in `statement`")
        return self


class ObjectionOut(Out):
    """An objection of the person's; once it was withdrawn without its `statement`."""

    id: str
    contribution: str
    statement: str | None
    language: str
    at: Time
    withdrawn_at: Time | None
    log_index: int


class ActOut(Out):
    """Something the person did: what, how far it reached, and where it stands in the log."""

    id: str
    type: str
    scope: str
    at: Time
    log_index: int
    contributions: int
    recalls: int


class ActPage(Out):
    items: list[ActOut]
    next: str | None
