"""API shapes of the contributions slice."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.consents.schemas import Digest, LanguageTag, Scalar
from app.kit.body import In, Out, Time

# Printable or not, but no control characters: what stands in a name is compared, hashed and shown on one line.
Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]


Model = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A language model's name, as its source writes it: compared letter by letter."""


class ContextTerms(In):
    """Under which terms the third-party matter in `context` stands."""

    licence: Name | None = None
    holder: Name | None = None


class ConsentGiven(In):
    """How the person consented: to which policy, on what basis, having been shown which wording; or an intent."""

    policy: Digest | None = None
    template: Annotated[str, StringConstraints(max_length=80)] | None = None
    parameters: dict[Annotated[str, StringConstraints(max_length=40)], Scalar] = Field(
        default_factory=dict, max_length=10
    )
    basis: Literal["explicit", "notice", "none"] = "none"
    wording: Digest | None = None
    language: LanguageTag | None = None
    shown_at: Time | None = None
    intent: Annotated[str, StringConstraints(pattern=r"^cit_[0-9a-z]{26}$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.policy, self.template, self.intent]
        if sum(x is not None for x in given) > 1:
            raise ValueError("give one of policy, template, intent")
        if self.intent is None and self.basis != "none" and self.policy is None and self.template is None:
            raise ValueError("a consent with a basis needs a policy or a template")
        return self


class RecordIn(In):
    """One contribution. The values in `parts` are kept byte for byte and read by no model."""

    external_id: Name
    kind: str = Field(max_length=40)
    contributor: Name | None = None
    parent: Name | None = None
    created_at: Time | None = None
    language: LanguageTag | None = None
    parts: dict[str, Any]
    context_terms: ContextTerms | None = None
    context_ref: Name | None = None
    models: Annotated[list[Model], Field(max_length=20)] | None = None
    """The language models it is about, for labs that ask by model: in a battle both."""
    consent: ConsentGiven | None = None


class Warning_(Out):
    """Something the platform should know though the record was taken."""

    code: str
    detail: str


class RecordOut(Out):
    """The acknowledged record. `claim_url` is for the person who gave it."""

    id: str
    log_index: int
    claim_url: str
    releasable_from: Time
    warnings: list[Warning_]


class ClaimLinkIn(In):
    """Which contribution: its kind and the id that the platform (or the outside system) has for it."""

    kind: str = Field(max_length=40)
    external_id: Name


class ClaimLinkOut(Out):
    id: str
    claim_url: str


class BatchItemOut(Out):
    """One line's result: the record's fields with status 201, or code and detail of the refusal with what belongs to it
    (`errors`, `known`, …)."""

    model_config = ConfigDict(extra="allow")

    line: int
    status: int
    id: str | None = None
    log_index: int | None = None
    claim_url: str | None = None
    releasable_from: str | None = None
    warnings: list[Warning_] | None = None
    code: str | None = None
    detail: str | None = None


class BatchOut(Out):
    recorded: int
    refused: int
    items: list[BatchItemOut]


class ContributionOut(Out):
    """What a platform sees of a contribution of its own: never why it is not released."""

    id: str
    kind: str
    state: str
    language: str | None
    parts: list[str]
    parent: str | None
    recorded_at: Time
    releasable_from: Time


class MineOut(Out):
    """What the person sees of a contribution."""

    id: str
    kind: str
    state: str
    language: str | None
    parts: list[str]
    platform: str
    recorded_at: Time
    releasable_from: Time
    policy: str | None
    basis: str | None
    deed: list[str]
    log_index: int


class MinePage(Out):
    items: list[MineOut]
    next: str | None


class ReceiptFile(Out):
    """Everything needed to verify, offline and without this service, that the act was logged."""

    v: int
    type: str
    act: str
    payload_sha256: str
    salt: str
    rid_seed: str | None
    leaf: str
    tlog_proof: str | None
    vkey: str
    policy: dict[str, str] | None
    wording: dict[str, str] | None
    evidence: dict[str, str]
    cose: str | None
    """The same proof as a COSE receipt (RFC 9942), base64."""
    consent_receipt: dict[str, Any] | None
    """The consent after ISO/IEC TS 27560, in JSON-LD with DPV; its schema is at /v1/schemas/consent-receipt."""
