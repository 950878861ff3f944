"""Values that go in and come out. Members of an answer that are not named here are kept in `model_extra`."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Basis = Literal["explicit", "notice", "none"]


class RawJSON:
    """A part's exact JSON text. What is recorded, hashed and released later are these very octets.

    Raises:
        ValueError: when it is not one JSON value in UTF-8.
    """

    __slots__ = ("data",)

    def __init__(self, text: bytes | str) -> None:
        self.data = text.encode() if isinstance(text, str) else bytes(text)
        json.loads(self.data.decode(), parse_int=str, parse_float=str)  # any number of digits; only its form counts

    def __repr__(self) -> str:
        return f"RawJSON({self.data!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawJSON) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.data)


@dataclass(frozen=True, kw_only=True)
class ConsentGiven:
    """How a person consented: a policy by digest or by template, or a consent intent, such as the widget makes.

    `wording` is the hex SHA-256 of the text they were shown, `language` its language, `shown_at` an RFC 3339 time.
    """

    policy: str | None = None
    template: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    basis: Basis = "none"
    wording: str | None = None
    language: str | None = None
    shown_at: str | None = None
    intent: str | None = None

    def to_json(self) -> dict[str, Any]:
        if self.intent is not None:
            return {"intent": self.intent}
        chosen: dict[str, Any] = {"policy": self.policy}
        if self.template is not None:
            chosen = {"template": self.template, "parameters": self.parameters}
        rest = {"basis": self.basis, "wording": self.wording, "language": self.language, "shown_at": self.shown_at}
        return {name: value for name, value in (chosen | rest).items() if value is not None}


Consent = ConsentGiven


@dataclass(frozen=True, kw_only=True)
class NewContribution:
    """One contribution to record. `parts` maps text, judgment, context or profile to any JSON value or RawJSON."""

    external_id: str
    kind: str
    parts: dict[str, Any]
    contributor: str | None = None
    parent: str | None = None
    created_at: str | None = None
    language: str | None = None
    context_terms: dict[str, Any] | None = None
    context_ref: str | None = None
    models: list[str] | None = None
    """Names of the language models it is about: in a battle both."""
    consent: ConsentGiven | dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """The request body, with raw parts byte for byte. Raises ValueError for NaN or half characters."""
        members: list[bytes] = []
        for name, value in vars(self).items():
            if name == "parts":
                parts = [_dumps(part) + b":" + _dumps(item) for part, item in self.parts.items()]
                members.append(b'"parts":{' + b",".join(parts) + b"}")
            elif value is not None:
                value = value.to_json() if isinstance(value, ConsentGiven) else value
                members.append(_dumps(name) + b":" + _dumps(value))
        return b"{" + b",".join(members) + b"}"


def _dumps(value: Any) -> bytes:
    if isinstance(value, RawJSON):
        return value.data
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Notice(Answer):
    """Something to know though the record was taken."""

    code: str
    detail: str = ""


class Recorded(Answer):
    """An acknowledged contribution. `claim_url` is for the person who gave it, and for nobody else."""

    id: str
    log_index: int
    claim_url: str = Field(repr=False)
    releasable_from: str
    warnings: list[Notice] = []


class BatchItem(Answer):
    """What became of one item: `status` 201 and the record's fields, or `code` and `detail` of the refusal."""

    status: int
    external_id: str | None = None
    id: str | None = None
    log_index: int | None = None
    claim_url: str | None = Field(default=None, repr=False)
    releasable_from: str | None = None
    warnings: list[Notice] | None = None
    code: str | None = None
    detail: str | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Contribution(Answer):
    """A contribution as its platform or its contributor sees it."""

    id: str
    kind: str
    state: str
    language: str | None = None


class Consented(Answer):
    """A consent that was given."""

    id: str
    log_index: int | None = None
    policy: str | None = None
    deed: list[str] = []


class Revoked(Answer):
    """A revocation that was taken; `contributions` is how many it covers."""

    id: str
    log_index: int | None = None
    contributions: int


class Erased(Answer):
    """An erasure: `requested` (in force, unreadable in the database) or `completed` (gone from its files too)."""

    id: str
    state: str
    log_index: int
    contributions: int
    completed_at: str | None = None


class RequestResult(Answer):
    """What became of a request: `offer` is an id when `state` is "offered"; `review` says by whom and until when it is looked at
    when it is "in_review"; `nearest` is the nearest way to yes."""

    id: str
    state: str
    offer: str | None = None
    review: dict[str, Any] | None = None
    reasons: list[Any] = []
    nearest: Any = None


class Catalog(Answer):
    """What there is to ask for: items of platform, platform_name, kind, language, records; the same by month and by model."""

    day: str
    items: list[dict[str, Any]]
    months: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []


class Quote(Answer):
    """What a use would get, and what each relaxation (member, value) adds; `left` dry runs are left today."""

    day: str
    records: str
    relaxations: list[dict[str, Any]]
    left: int


class Agreement(Answer):
    """An agreement in the service; `amended_offer` is the id of an offer of further terms, where records wait for those."""

    id: str
    state: str = "in_force"
    offer: str | None = None
    amended_offer: str | None = None


class Deletion(Answer):
    """The duty to delete a release by a day: owed, attested (deleted) or cannot_remove, with the `models` that were trained with it."""

    release: str
    state: str
    delete_by: str
    late_from: str | None = None
    """From when you are late: `delete_by`, or later where you were told of it late; None until then."""
    closed_at: str | None = None
    models: list[str] = []
    attestation: str | None = None
    """What the lab stated, as it signed it."""


class Release(Answer):
    """A release in the service; `state` is cutting, published, superseded, cancelled or failed."""

    id: str
    state: str
    agreement: str | None = None
    format: str = "jsonl+zstd"
    successor: str | None = None
    shards: list[dict[str, Any]] = []
    held_back: dict[str, Any] | None = None
    progress: dict[str, int] | None = None
    """While it is cut: how many shards are `done`, `of` how many."""
    reason: str | None = None
    """Why there is no release: `lab`, `agreement`, `stopped`, `storage`, `log` or `service`; see the API's description."""
    deletion: Deletion | None = None
    """Once it was handed over, where the terms ask for its deletion a period after the cut."""


class ReleasePage(Answer):
    """Releases, the newest first."""

    items: list[Release]
    next: str | None = None


class DeltaPage(Answer):
    """Record ids that one release holds beyond another, and the other way."""

    release: str
    since: str
    added: list[str]
    withdrawn: list[str]
    next: str | None = None


class PolicyCheck(Answer):
    """The parts of a record that one policy opens to a use; `by_person`: only where the person attested the consent."""

    digest: str
    parts: list[str]
    by_person: bool
    nearest: list[str] = []


class UseCheck(Answer):
    """What an agreement and each of its policies say of a use."""

    in_force: bool
    signed: bool
    needs_explicit: bool
    policies: list[PolicyCheck]


class UseReport(Answer):
    """A use report as it was taken; `level` is L0, L1 or L2, `next_due` when the next is due. `beyond` are stages that were not signed
    for: the log tells of a breach."""

    id: str
    level: str
    log_index: int
    root: str | None = None
    beyond: list[str] = []
    next_due: str | None = None


class Delivery(Answer):
    """An opened release: the ticket reads its shards until `expires_at`."""

    id: str
    release: str
    ticket: str = Field(repr=False)
    expires_at: str


class Duty(Answer):
    """One thing owed; `due` is None for as long as data is held. States: standing, open, overdue, done."""

    task: str
    of: str | None = None
    due: str | None = None
    state: str
    obligation: dict[str, str]


class Duties(Answer):
    items: list[Duty]


class Recall(Answer):
    """A duty to delete: `records` are record ids (hex) as in the shards, `due` the time to acknowledge by. With `answered_by` nothing is
    owed: it was all in releases that you said you deleted, the last of them that one."""

    id: str
    opened_at: str
    due: str
    records: list[str]
    state: str
    overdue: bool = False
    models: list[str] = []
    log_index: int | None = None
    answered_by: str | None = None


class Events(Answer):
    """Security event tokens by their `jti`: compact JWS by the service, `typ` secevent+jwt (RFC 8417)."""

    sets: dict[str, str]
    more: bool = Field(False, alias="moreAvailable")


class RecallPage(Answer):
    """Recalls since a cursor; keep `next` for the next call."""

    items: list[Recall]
    next: str | None = None
