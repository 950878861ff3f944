"""API shapes of the consents slice."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from app.core.constraints import parse_day
from app.kit.body import In, Out, Time

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
LanguageTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")]
Scalar = str | int | list[str] | None


def _day(value: Any) -> date:
    if not isinstance(value, str):
        raise ValueError("give a day as YYYY-MM-DD")
    return parse_day(value)


Day = Annotated[date, BeforeValidator(_day)]


class PolicyChoice(In):
    """A policy by digest, or a template with its parameters."""

    policy: Digest | None = None
    template: str | None = Field(None, max_length=80)
    parameters: dict[Annotated[str, StringConstraints(max_length=40)], Scalar] = Field(
        default_factory=dict, max_length=10
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.policy is None) == (self.template is None):
            raise ValueError("give either policy or template")
        if self.policy is not None and self.parameters:
            raise ValueError("parameters go with a template")
        return self


class ScopeIn(PolicyChoice):
    """What a person allows from now on, in the language they read it in."""

    language: LanguageTag = "en"
    credit: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None


class FloorIn(In):
    """The platform's floor; null takes it away for releases cut from now on."""

    floor: PolicyChoice | None


class DefaultChoice(PolicyChoice):
    """Terms for what comes without a choice, the registered wording that tells people of them, and since when it is shown."""

    wording: Digest
    shown_at: Time


class DefaultIn(In):
    """The platform's default; null takes it away for what is recorded from now on."""

    default: DefaultChoice | None


class DefaultOut(Out):
    policy: str | None
    wording: str | None
    basis: Literal["notice"] | None
    log_index: int


class WordingOut(Out):
    """A registered wording. `bytes` is its length."""

    sha256: str
    media_type: str
    language: str
    bytes: int
    url: str


class IntentIn(PolicyChoice):
    """What a person chose in a form of the platform's own, and exactly which text was shown in which language."""

    wording: Digest
    language: LanguageTag
    shown_at: Time


class IntentOut(Out):
    intent: str
    expires_at: Time


class SiteChoice(PolicyChoice):
    """Terms that the widget offers, and the registered wordings that tell of them, each in another language. Without wordings the
    terms' own sentences are shown, under the template's title, in the languages that a native reader has reviewed."""

    wordings: list[Digest] = Field(default_factory=list, max_length=10)


class SiteKeyIn(In):
    """Where the widget may stand (origins as browsers write them, such as https://arena.example), and what it offers, in this order."""

    origins: list[Annotated[str, StringConstraints(max_length=200)]] = Field(min_length=1, max_length=10)
    choices: list[SiteChoice] = Field(min_length=2, max_length=5)


class SiteChoiceOut(Out):
    """`wordings` by language."""

    policy: str
    wordings: dict[str, str]


class SiteKeyOut(Out):
    """A site key is public: it stands in the page. It does not change; for other choices or origins make another."""

    id: str
    origins: list[str]
    choices: list[SiteChoiceOut]
    created_at: Time
    revoked_at: Time | None


class SiteKeyList(Out):
    items: list[SiteKeyOut]


class ShownOut(Out):
    """The exact text of a wording, and its digest."""

    wording: str
    text: str


class WidgetChoiceOut(Out):
    """Terms to choose, where they are told in full, and what is shown, by language."""

    policy: str
    terms: str
    shown: dict[str, ShownOut]


class WidgetLanguageOut(Out):
    """How a language runs, and the widget's own words beside the wordings, in `spoken`: that language, or English. `beside` is the
    English of these words while no native reader has reviewed them."""

    dir: Literal["ltr", "rtl"]
    spoken: str
    words: dict[str, str]
    beside: dict[str, str] | None


class WidgetOut(Out):
    site: str
    choices: list[WidgetChoiceOut]
    languages: dict[str, WidgetLanguageOut]


class WidgetChoiceIn(In):
    """The digest of the wording that was chosen."""

    wording: Digest


class ChosenOut(Out):
    """A choice, good for one record until `expires_at`."""

    intent: str
    policy: str
    wording: str
    language: str
    expires_at: Time


class ConsentOut(Out):
    """A consent in force."""

    id: str
    log_index: int
    version: int
    policy: str
    deed: list[str]
    recalls: int
    """Records of this person that labs are told to delete because the new terms no longer cover their use."""


class PolicyIn(In):
    """A policy as ODRL JSON-LD in the profile."""

    policy: dict[str, Any]


class PreviewChoice(In):
    """A policy to look at: as ODRL JSON-LD in the profile or by digest, or a template with its parameters. Nothing is stored."""

    policy: dict[str, Any] | Digest | None = None
    template: str | None = Field(None, max_length=80)
    parameters: dict[Annotated[str, StringConstraints(max_length=40)], Scalar] = Field(
        default_factory=dict, max_length=10
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.policy is None) == (self.template is None):
            raise ValueError("give either policy or template")
        if self.policy is not None and self.parameters:
            raise ValueError("parameters go with a template")
        return self


class PreviewIn(In):
    """One policy to see what it would allow, or two to compare."""

    policies: list[PreviewChoice] = Field(min_length=1, max_length=2)
    language: LanguageTag = "en"


class SentenceOut(Out):
    text: str
    english: str | None
    """The English beside it, in a language that no native reader has reviewed."""


class PreviewedOut(Out):
    digest: str
    deed: list[SentenceOut]


class AnswerOut(Out):
    answer: Literal["yes", "conditions", "no"]
    told: str
    parts: list[str]
    sentences: list[str]


class UseOut(Out):
    """One use, answered under each policy. `depth` is how far its action lies below the widest of its kind."""

    action: str
    told: str
    depth: int
    answers: list[AnswerOut]


class PreviewOut(Out):
    """`relation` says how the second policy stands to the first."""

    language: str
    policies: list[PreviewedOut]
    uses: list[UseOut]
    relation: Literal["same", "narrower", "wider", "neither"] | None
    compared: str | None


class PolicyOut(Out):
    digest: str
    uid: str
    policy: dict[str, Any]
    deed: list[str]


class AiprefOut(Out):
    """A header field or a rule of robots.txt: its name and its value, and the draft that defines the words."""

    draft: str
    field: str
    value: str


class CawgOut(Out):
    """The assertion as it stands in a C2PA manifest."""

    label: str
    data: dict[str, dict[str, dict[str, str]]]


class TemplateOut(Out):
    name: str
    version: str
    title: str
    parameters: dict[str, Any]
    deed: list[str] | None


class FloorOut(Out):
    policy: str | None
    log_index: int
