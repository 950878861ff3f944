"""API shapes of what is said around a proposal."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.collectives.effect_schemas import EffectOut
from app.collectives.schemas import CharterIn, Text, Word
from app.consents.schemas import PolicyChoice
from app.kit.body import Id, In, Out, Time

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
WORDS = r"^[^\x00]*[^\x00\s][^\x00]*$"
"""Something to be seen in it; and no character that PostgreSQL takes in no text, since some of it becomes a proposal's."""
Said = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=WORDS)]
Choice = Literal["agree", "disagree", "pass"]


class StatementIn(In):
    """One sentence that others can agree or disagree with."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=280, pattern=WORDS)]


class WeighIn(In):
    choice: Choice


class AnswerIn(In):
    text: Said


class CommentIn(In):
    """On the proposal, on a `statement`, or in reply to a comment (`parent`): one level of replies. `reasons` are of a closed list."""

    text: Said
    reasons: list[Word] = Field(min_length=1, max_length=5)
    parent: Id | None = None
    statement: Id | None = None


class TotalsOut(Out):
    agree: int
    disagree: int
    passed: int = Field(serialization_alias="pass")


class StatementOut(Out):
    """`owed`: it has so much agreement that the proposer owes it an answer, and has given none. `stand_in` is what a steward answered in their
    place, beside `answer`, which is theirs; the ballot waits for one of the two. `mine` is one's own last word, until the
    thread is frozen. `outside` are the counts of the export it was imported from. `digest` is SHA-256 of `salt` (hex) and `text`."""

    id: str
    author: str | None
    text: str | None
    hidden: str | None
    totals: TotalsOut
    outside: TotalsOut | None
    mine: Choice | None
    answer: str | None
    answer_id: str | None
    answer_hidden: str | None
    answered: bool
    stand_in: str | None
    stand_in_id: str | None
    stand_in_hidden: str | None
    owed: bool
    digest: str
    salt: str | None
    log_index: int


class WeighedOut(Out):
    """There is no receipt: nothing says whose it was once the thread is frozen."""

    statement: str
    choice: Choice
    log_index: int


class CommentOut(Out):
    """`lab` where it is the lab that speaks whose request is decided on."""

    id: str
    author: str | None
    lab: str | None
    text: str | None
    hidden: str | None
    reasons: list[str]
    parent: str | None
    statement: str | None
    digest: str
    salt: str | None
    log_index: int


class CommentPage(Out):
    items: list[CommentOut]
    next: str | None


class ThreadOut(Out):
    """`thread` are the bytes that `sha256` is of: digests and totals, without words. `reasons` counts what at least five comments give."""

    proposal: str
    frozen: bool
    thread: str
    sha256: str
    reasons: dict[str, int]


class HideIn(In):
    """`item` is a statement, an answer, a comment, an amendment, a closure note or its appeal; `reason` of a closed list."""

    item: Id
    reason: Word


class ModerationOut(Out):
    """`state`: hidden, appealed, undecided (nobody could decide the appeal, or did in time), upheld or restored. `text`: the words of the
    latest appeal, for stewards and who appealed; null to everybody else."""

    id: str
    proposal: str
    item: str
    kind: str
    reason: str
    state: str
    text: str | None
    day: str
    log_index: int


class ModerationLog(Out):
    """What was hidden in a collective. `items` and `hidden` are in steps."""

    items: str
    hidden: str
    moderations: list[ModerationOut]
    next: str | None


class AppealTextIn(In):
    text: Said


class DecideIn(In):
    """`restore`: the appeal is right."""

    restore: bool


class AmendmentIn(In):
    """`base_sha256`: the text that it is to replace, as it was read. `policy` for policy.adopt and policy.narrow, or `charter` for
    charter.amend: what a yes is to bring about in place of what it would; left out it stays. `base_effect_sha256` is the proposal's
    `effect_sha256` as it was read, and is needed on proposals of these types, also where the words alone are to be others."""

    text: Text
    base_sha256: Sha256
    policy: PolicyChoice | None = None
    charter: CharterIn | None = None
    base_effect_sha256: Sha256 | None = None


class SignIn(In):
    """`effect_sha256`: of the proposal, as it was read: for another that takes its place meanwhile nobody has signed. Left out it is for
    whichever there is."""

    effect_sha256: Sha256 | None = None


class AmendmentOut(Out):
    """`state`: open, accepted, or alternative, with a proposal of its own (`alternative`). `effect`: the `policy`, by its digest, or the
    `charter` that a yes would bring; null where such a proposal brings neither, and where the words are gone or hidden. `effect_digest` is
    SHA-256 of `effect_salt` (hex) and this as canonical JSON. `base_effect_sha256`: what a yes would have brought about when it was filed."""

    id: str
    author: str | None
    text: str | None
    hidden: str | None
    state: str
    base_sha256: str
    base_effect_sha256: str | None
    alternative: str | None
    digest: str
    salt: str | None
    effect: EffectOut | None
    effect_digest: str | None
    effect_salt: str | None
    log_index: int


class AcceptIn(In):
    accept: bool


class ClosureIn(In):
    """`cites`: the strongest argument against, by the id of a statement, a comment or an objection; null where nobody argued."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=WORDS)]
    cites: Id | None


class CloserIn(In):
    collective: Id


class NoteAppealOut(Out):
    id: str
    grounds: str
    state: str
    text: str | None
    hidden: str | None
    decide_by: Time


class ClosureOut(Out):
    """`outside`: it was written by a steward of that other collective. `state`: stands, or struck after an appeal."""

    id: str
    author: str | None
    outside: str | None
    text: str | None
    hidden: str | None
    cites: str | None
    state: str
    appeal: NoteAppealOut | None
    log_index: int


class NoteAppealIn(In):
    grounds: Word
    text: Said


class PolisFiles(In):
    """The two files of a Polis export, as text."""

    comments: Annotated[str, StringConstraints(max_length=2_000_000)]
    votes: Annotated[str, StringConstraints(max_length=12_000_000)]


class PolisOut(Out):
    comments: str
    votes: str


class ImportedOut(Out):
    statements: int
    votes: int
    log_index: int


class GroupSaidOut(Out):
    """How many of a group; null where fewer than three."""

    statement: str
    agree: int | None
    disagree: int | None
    passed: int | None = Field(serialization_alias="pass")


class GroupOut(Out):
    people: int
    statements: list[GroupSaidOut]


class GroupsOut(Out):
    """A mirror, by which nothing is decided. `stability`: the lowest adjusted Rand index between this picture and those that come of
    `beginnings` others, in hundredths; below `holds` no groups are shown, and `why` says that, or what else stands against it
    (too-few-people, too-many-people, too-large, no-groups, unstable, group-too-small)."""

    method: str
    code_sha256: str
    votes_sha256: str
    people: int
    beginnings: int
    stability: int | None
    holds: int
    groups: list[GroupOut]
    why: str | None
