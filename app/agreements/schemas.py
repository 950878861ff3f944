"""API shapes of the agreements slice."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app.collectives.thread_schemas import WORDS, AnswerIn, CommentIn
from app.consents.schemas import Day, LanguageTag
from app.contributions.schemas import Model
from app.kit.body import Id, In, Out, Time


class SelectionIn(In):
    """Which contributions: null means any."""

    platforms: list[Id] | None = Field(None, min_length=1, max_length=100)
    kinds: list[Annotated[str, StringConstraints(max_length=40)]] | None = Field(None, min_length=1, max_length=20)
    languages: list[LanguageTag] | None = Field(None, min_length=1, max_length=100)
    models: list[Model] | None = Field(None, min_length=1, max_length=100)
    """Records about any of these language models."""
    from_: Day | None = Field(None, alias="from")
    """The first day (UTC) that they were made on, as the platform says, or else recorded on."""
    to: Day | None = None
    """The last day."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ is not None and self.to is not None and self.from_ > self.to:
            raise ValueError("`from` is a day after `to`")
        return self

    def chosen(self) -> dict[str, Any]:
        """As it is stored and signed: days as YYYY-MM-DD, what is not given left out where it is newer than version 1's fields."""
        given = self.model_dump(mode="json", by_alias=True)
        return {name: value for name, value in given.items() if value is not None or name in ("platforms", "kinds", "languages")}


class RequestIn(In):
    """A use over a selection: `snapshot` of what is there, or `standing` until a day."""

    use: dict[str, Any]
    selection: SelectionIn = SelectionIn()
    mode: Literal["snapshot", "standing"] = "snapshot"
    until: Day | None = None

    @model_validator(mode="after")
    def _standing_ends(self) -> Self:
        if (self.mode == "standing") != (self.until is not None):
            raise ValueError("a standing request needs `until`, a snapshot takes none")
        return self


class ReviewOut(Out):
    """Who looks at a request before there is an offer (`operator`, or a `collective` that decides itself), and until when; what is not
    approved by then is refused."""

    by: str
    until: Time


class RequestOut(Out):
    """`offered`, `in_review` or `refused`."""

    id: str
    state: str
    review: ReviewOut | None
    offer: str | None
    reasons: list[dict[str, Any]]
    nearest: list[str]
    records: str
    """How many records match and are permitted, rounded to ten and suppressed below."""


class CatalogItem(Out):
    """Contributions of ten people or more. `records` are rounded down to ten."""

    platform: str
    platform_name: str
    kind: str
    language: str | None
    records: int


class CatalogMonth(Out):
    """The same by the month (YYYY-MM, UTC) that they were made in."""

    platform: str
    kind: str
    month: str
    records: int


class CatalogModel(Out):
    """The same by a language model that they are about; a battle counts for both of its models."""

    platform: str
    kind: str
    model: str
    records: int


class CatalogOut(Out):
    """What a selection may be made of, as of the day's first look."""

    day: date
    items: list[CatalogItem]
    months: list[CatalogMonth]
    models: list[CatalogModel]


class QuoteIn(In):
    use: dict[str, Any]
    selection: SelectionIn = SelectionIn()


class RelaxationOut(Out):
    """One member of the use, what it would be, and how many records that would add (rounded down to ten). Of purposes and places that are
    not stated it tries those that the most policies name; `ethics_review: stated` counts what an ethics board's approval would open."""

    member: str
    value: str
    adds: int


class QuoteOut(Out):
    """From the day's snapshot; an offer decides anew. `left` are the dry runs left today."""

    day: date
    records: str
    relaxations: list[RelaxationOut]
    left: int


class DissentOut(Out):
    """A minority report on a decision that an offer rests on. `text` is null where its author had it erased. `status`: `collective` where many
    supported it, `individual` where it is one member's, `open` as long as others can still support it. Who did is told to nobody."""

    sha256: str
    text: str | None
    status: str


class AcceptanceIn(In):
    """The lab's compact JWS over the offer's exact bytes."""

    acceptance: Annotated[str, StringConstraints(min_length=20, max_length=16_000_000)]


class AgreementOut(Out):
    id: str
    state: str
    offer: str
    offer_sha256: str
    lab: str
    log_index: int
    signed_at: Time
    amended_offer: str | None
    """An offer of further terms, open to be signed: records came under terms that stand in no signature. This agreement goes on
    for what it covers."""


class CheckIn(In):
    """A use that a lab has in mind; the duties that it accepts are those it signed."""

    use: dict[str, Any]


class PolicyCheckOut(Out):
    digest: str
    parts: list[str]
    """Parts of a record that this policy opens to the use, whatever the record's age."""
    by_person: bool
    """Only where the consent was attested by the person."""
    nearest: list[str]


class CheckOut(Out):
    """A use under an agreement. A record may be so used where `in_force` and `signed` are true and each of its policies opens
    its parts; with `needs_explicit` only where its basis is explicit."""

    in_force: bool
    signed: bool
    needs_explicit: bool
    policies: list[PolicyCheckOut]


class AgreementFile(Out):
    """Everything needed to verify the agreement offline."""

    v: int
    type: str
    id: str
    acceptance: str
    agreement: str
    lab_jwk: dict[str, str]
    service_jwk: dict[str, str]
    leaf: str
    tlog_proof: str | None
    vkey: str


class GuardIn(In):
    """A use that a platform itself makes of its own records. `accepts` are the obligations that it keeps, `retention_days` how long it
    shows them, where terms limit that."""

    ids: list[Annotated[str, StringConstraints(max_length=40)]] = Field(min_length=1, max_length=5_000)
    actions: list[Annotated[str, StringConstraints(max_length=40)]] = Field(min_length=1, max_length=20)
    purposes: list[Annotated[str, StringConstraints(max_length=60)]] = Field(default_factory=list, max_length=20)
    accepts: list[Annotated[str, StringConstraints(max_length=40)]] = Field(default_factory=lambda: ["attribute", "delete"], max_length=20)
    retention_days: int | None = None

    def use(self) -> dict[str, Any]:
        """As the core reads it."""
        return self.model_dump(exclude={"ids"})


class MayShowOut(Out):
    """`parts` may be shown; `whole` says that these are all that it has."""

    id: str
    parts: list[str]
    whole: bool


class GuardOut(Out):
    """What may be shown now, in the order that was asked. Of all the rest nothing is told. Collectives were heard as of `as_of`."""

    items: list[MayShowOut]
    as_of: Time


class LabCommentIn(CommentIn):
    """On the request, on a `statement`, or in reply to a comment (`parent`). `reasons` are of a closed list."""


class LabExplainIn(AnswerIn):
    """In answer to a statement."""


class LabCommentOut(Out):
    """`mine`: the lab said it, and not a member."""

    id: str
    text: str | None
    mine: bool
    reasons: list[str]
    parent: str | None
    statement: str | None


class LabStatementOut(Out):
    """`owed`: you owe an answer to it, and have given none, whether a steward stood in (`stand_in`) or not; null where fewer than ten agree, since
    yes and no would each say how many. Counts are rounded down to ten, and suppressed below."""

    id: str
    text: str | None
    agree: str
    disagree: str
    answer: str | None
    stand_in: str | None
    owed: bool | None


class LabThreadOut(Out):
    """What is said of a request in one collective that decides on it. `state` is a proposal's."""

    thread: str
    collective: str
    collective_name: str
    state: str
    text: str
    freeze_at: Time
    close_at: Time
    statements: list[LabStatementOut]
    comments: list[LabCommentOut]


class ReplyIn(In):
    """At most 500 words."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=WORDS)]


class RefusalOut(Out):
    """`id` is the decision's. `request`: what was asked for; null where the lab is refused altogether. `reasoning` is the closure note of the
    decision: null while there is none, while only the lab reads it, and where it was erased or hidden. `reply` is null where there is none, or
    it is gone; `reply_sha256` stays."""

    id: str
    collective: str
    collective_name: str
    lab: str
    lab_id: str
    request: str | None
    at: Time
    log_index: int
    replies_until: Time
    reasoning: str | None
    reply: str | None
    reply_sha256: str | None
    replied_at: Time | None
    reply_hidden: str | None
    reply_log_index: int | None


class RefusalPage(Out):
    items: list[RefusalOut]
    next: str | None
