"""API shapes of the collectives slice."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.collectives.effect_schemas import EffectOut
from app.collectives.recount_schemas import SealedTo
from app.collectives.schedule_schemas import MovedOut
from app.consents.schemas import Day, PolicyChoice
from app.kit.body import Id, In, Out, Time

Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL takes the character in no text."""
Short = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000, pattern=NO_NUL)]


class DimensionIn(In):
    """What members may declare about themselves, so that decisions can ask for more than one group's yes."""

    name: Word
    values: list[Word] = Field(min_length=2, max_length=20)


class RecounterIn(In):
    """Who may count ballots anew: `name` says who that is, `key` is their public X25519 key as a JWK, as `sayso keygen --alg X25519` prints it."""

    name: Short
    key: dict[str, Any] = Field(max_length=10)


class CharterIn(In):
    """How a collective decides. `decisions` maps a type of decision to its rules; what is left out has the default, and
    licence.renew what licence.use has: one that differs is refused. `policy` binds from the start, until it is to be reviewed: who gives a
    mandate has seen it."""

    aim: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    eligibility: Literal["open", "code"] = "open"
    tenure_days: Annotated[int, Field(ge=0, le=90)] = 14
    dimension: DimensionIn | None = None
    decisions: dict[Annotated[str, StringConstraints(max_length=40)], list[dict[str, Any]]] = Field(default_factory=dict, max_length=20)
    discussion_days: Annotated[int, Field(ge=7, le=30)] = 7
    ballot_days: Annotated[int, Field(ge=7, le=30)] = 7
    appeal_days: Annotated[int, Field(ge=7, le=30)] = 7
    review_days: Annotated[int, Field(ge=30, le=365)] = 365
    load: Annotated[int, Field(ge=1, le=100)] = 8
    """Where so many ballots on members' proposals began in thirty days, further ones wait; a lab's request waits where so many began of both
    together. What refuses never waits, nor what enough members signed for."""
    steward_days: Annotated[int, Field(ge=30, le=365)] = 365
    """The longest that a steward is in office before the next election."""
    requests: Literal["policy", "decide"] = "policy"
    """Whether the policy alone answers labs, or each new use of a lab is decided by itself too. Only a public collective decides, and
    which of the two is fixed when it is founded."""
    asks: Annotated[int, Field(ge=1, le=50)] = 5
    """The most that one member asks of the others in seven days: proposals and amendments."""
    recounters: list[RecounterIn] = Field(default_factory=list, max_length=3)
    """Each gets, with the count of what is put up under this charter, the openings of the ballots that counted, sealed to their key."""


class FoundIn(In):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
    kind: Literal["affinity", "platform_cohort"] = "affinity"
    listed: bool = False
    """Public: its name, charter and outcomes may be read by everybody, and labs may be told its reasons."""
    charter: CharterIn
    policy: PolicyChoice | None = None


class JoinIn(In):
    """`invitation`: for a collective that is not public, as its members read it."""

    invitation: Annotated[str, StringConstraints(max_length=80)] | None = None
    eligibility_code: Annotated[str, StringConstraints(max_length=80)] | None = None
    declared: Word | None = None


class DeclareIn(In):
    """`interest`: the lab that one works for. On what is decided about it one does not vote."""

    declared: Word | None
    interest: Id | None = None


class MandateIn(In):
    """A mandate over everything of the receipt, or some kinds of it. `policy`: the digest of the collective's policy as it was read."""

    expires_on: Day
    kinds: list[Annotated[str, StringConstraints(max_length=40)]] | None = Field(None, min_length=1, max_length=20)
    policy: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None


class CollectiveOut(Out):
    """`members` is a bucket. `policy` is null where none is in force: what was mandated is then released to nobody. `invitation` is told
    to members of a collective that is not public, to hand on."""

    id: str
    name: str
    kind: str
    listed: bool
    members: str
    charter: dict[str, Any]
    charter_sha256: str
    review_by: date
    """By when the charter is to be reviewed: by a charter.amend, with other rules or the same ones again."""
    review: Literal["later", "due", "overdue"]
    """`due` in the last thirty days. Once it is overdue no ballot begins that would allow more."""
    policy: str | None
    policy_until: date | None
    created_at: Time
    invitation: str | None


class MandateOut(Out):
    """`policy` is the collective's when it was given. Where the collective has another now, both must permit until it is given anew, which
    ends the earlier one."""

    id: str
    kinds: list[str] | None
    contribution: str | None
    policy: str | None
    expires_on: date
    given_at: Time
    ended_at: Time | None


class MemberOut(Out):
    """One's own membership. `member` is the pseudonym that others here see; it is another in every collective."""

    collective: str
    member: str
    steward: bool
    steward_until: Time | None
    declared: str | None
    interest: str | None
    joined_at: Time
    voice_from: Time
    mandates: list[MandateOut]


class ActDoneOut(Out):
    """An act of a member: its receipt is at `…/acts/{act}/receipt`."""

    act: str
    log_index: int


class CodesIn(In):
    """`contributors`: people whom the platform knows to contribute, by its own ids, as in what it records."""

    contributors: list[Annotated[str, StringConstraints(min_length=1, max_length=512)]] = Field(min_length=1, max_length=1000)


class CodesOut(Out):
    """Codes to hand out, in the order of `contributors`; each is good for that one alone, and they are told once. Who used them, and for
    what, is told to nobody."""

    codes: list[str]
    expires_on: date


class StrikeIn(In):
    """Against a `lab`, or a `purpose`. `kind`: `refuse_new` (nothing that is recorded from the call on), `pause` (nothing at all, until a
    day or until it is ended, and what the mandated gave cannot be downloaded meanwhile), `withdraw` (as a pause, and the pledges of
    `campaign`, which waits for the call, are carried out). Nobody's consent ends without a pledge of theirs."""

    kind: Literal["refuse_new", "pause", "withdraw"]
    lab: Id | None = None
    purpose: Annotated[str, StringConstraints(max_length=200)] | None = None
    until: Time | None = None
    campaign: Id | None = None


class StrikeTerms(Out):
    """`id`: of the strike that is to be ended; null of one that is to be called."""

    id: str | None
    kind: str
    lab: str | None
    purpose: str | None
    until: Time | None
    campaign: str | None


class StrikeOut(StrikeTerms):
    """`id` is that of the proposal which called it."""

    id: str
    since: Time
    ended_at: Time | None


class MeasuredIn(In):
    """What a collective measured of a model with and without the records, as decimal texts, over `n` cases; and the use report by which the
    lab says something else, by the id that it has in the ledger. `evidence_sha256` is of whatever shows it."""

    report: Id
    metric: Short
    with_: Short = Field(alias="with")
    without: Short
    n: int = Field(ge=1, le=2**53 - 1)
    ci: Short | None = None
    evidence_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None


class ProposeIn(In):
    """`policy` for policy.adopt and policy.narrow; `charter` for charter.amend; `strike` for strike.call; `subject` is the member's
    pseudonym for steward.elect and steward.remove, the lab's id for licence.recall (nothing of any member goes to it; or the proposal by
    which it was granted a use: that one alone ends) and licence.grant (which takes such a refusal back), and the strike's id for
    strike.end; `measured` for effect.dispute, by which the collective answers a lab's use report, and the text is what it says beside.
    `urgent_hours`: how long discussion and ballot take each, in place of the charter's days; for strike.call and licence.recall, and for
    steward.elect while nobody is in office. Of licence.renew and outcome.void `subject` is the proposal by which a lab was granted
    something: it is to hold longer, or to be made void, because of so many `ballots` of people who work for the lab and had not said so.
    The text says why, and of nobody who."""

    type: Literal[
        "policy.adopt", "policy.narrow", "charter.amend", "licence.grant", "licence.recall", "steward.elect", "steward.remove", "strike.call",
        "strike.end", "effect.dispute", "licence.renew", "outcome.void",
    ]  # fmt: skip
    text: Text
    policy: PolicyChoice | None = None
    charter: CharterIn | None = None
    measured: MeasuredIn | None = None
    subject: Annotated[str, StringConstraints(max_length=40, pattern=NO_NUL)] | None = None
    strike: StrikeIn | None = None
    urgent_hours: Annotated[int, Field(ge=24, le=168)] | None = None
    ballots: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


class AmendIn(In):
    text: Text


class VoidedOut(Out):
    """By which proposal an outcome was made void, when, and because of what: its text."""

    by: str
    at: Time
    because: str
    log_index: int


class ProposalOut(Out):
    """`thread_sha256`: the digest of the thread that was frozen with the text. `labels`: what is to be said of the outcome beside its verdict.
    `alternative_to`: the proposal whose author did not accept this text. `charter`: the rules that it would bring. `subject`: the lab or
    the member that it is about; to end a strike is about whom that is against, and the id that was proposed as `subject` is `strike.id`."""

    id: str
    type: str
    author: str | None
    state: str
    text: str
    text_sha256: str
    effect: dict[str, Any]
    """What it would bring about and under which charter, by digests and ids, with a salt. `effect_sha256` is of this as canonical JSON
    (RFC 8785): the freeze fixes it in the log as it does the text, and the outcome names it."""
    effect_sha256: str
    policy: str | None
    charter: dict[str, Any] | None
    first_effect: EffectOut | None
    """What it would have brought when it was put up, where that was changed since, also if back again: who had signed a petition signs anew."""
    subject: str | None
    measured: dict[str, Any] | None
    freeze_at: Time
    close_at: Time
    appeal_until: Time
    moved: MovedOut | None
    """Where a steward let it be talked over for longer: these days are later by so much."""
    electorate: int | None
    electorate_root: str | None
    verdict: str | None
    reasons: dict[str, dict[str, int]] | None
    """Of an outcome, by choice: how many gave a reason, where five or more did. Told of one proposal only, to who may read the outcome."""
    thread_sha256: str | None
    labels: list[str]
    alternative_to: str | None
    request: str | None
    """The lab's request that it is about. The lab reads statements and comments of this thread, without names, and can speak in it."""
    strike: StrikeTerms | None
    urgent_hours: int | None
    petition: int | None
    """While it is discussed: how many want it put to the vote, who proposed it among them. Null in a list, as the next, also where it takes one."""
    petition_needed: int | None
    """How many that takes: to remove a steward at all, and for anything else to be voted on although the month's ballots are used up."""
    about: str | None
    """The proposal by which a lab was granted what is to be renewed, or recalled alone, or made void. `subject` is then the lab."""
    ballots: int | None
    until: date | None
    """Of what granted a lab a use, or would renew one: until before which day. It is the earliest day while that is open."""
    voided: VoidedOut | None


class PetitionOut(Out):
    """That one signed, or no longer does. There is no receipt: nobody can be made to show it."""

    log_index: int


class ProposalPage(Out):
    items: list[ProposalOut]
    next: str | None


class BallotIn(In):
    """`text_sha256` and `effect_sha256`: the text that is voted on, and what a yes brings about, as they were read. A no or a block gives its
    reasons, by the codes that comments have too; the outcome tells those that five electors or more gave."""

    choice: Literal["yes", "no", "abstain", "block"]
    text_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    effect_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    reasons: list[Word] = Field(default_factory=list, max_length=5)


class BallotOut(Out):
    """Keep it: `sayso recount --mine` finds it in the outcome. It proves that a ballot was cast, and not which; to a recounter, who opens
    ballots, it proves that too."""

    proposal: str
    tag: str
    at: int
    commitment: str


class OutcomeFile(Out):
    """`outcome` are the exact bytes whose digest stands in the leaf, for `sayso recount`."""

    v: int
    type: str
    outcome: str
    opened: str
    """The leaf by which the ballot was opened (base64): it names electorate, text and effect, as the outcome does."""
    leaf: str
    tlog_proof: str | None
    vkey: str
    charter: str
    """The charter that it was decided by, as exact bytes: `charter_sha256` in the outcome is of these."""
    minority_reports: list[str]
    """Digests, sorted: what an offer that rests on this outcome lists."""
    dissent_status: dict[str, str]
    """Of each of them: `collective` or `individual`, or `open` while that can change."""
    labels: list[str]
    """`voided`, `unanswered`, `no-closure-note`, `closed-from-outside`, `appealed`, `note-struck`: as of now."""
    openings: list[SealedTo]


class ReportIn(In):
    text: Text


class ReportOut(Out):
    """`kind` is `report` or `objection`; an objection that its author withdrew is not `upheld`. `status` is `collective` where, beside its author, at
    least three and a twentieth of all who said yes, no or block support a report, else `individual`; it is worked out anew while the report is
    `open`, until the appeal is over, and then settled. `supporters` is how many, in steps, null for an objection; `supported`: you do."""

    id: str
    kind: str
    upheld: bool
    text_sha256: str
    text: str | None
    log_index: int
    status: str
    open: bool
    supporters: str | None
    supported: bool
