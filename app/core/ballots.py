"""How a collective decides: rules, a fixed electorate and ballots in, a verdict out. Integers only; no float, no clock, no order of a set.

Five rules (reference: "decision rules"), named by what they ask for. Y, N, A and B are the counts of yes, no, abstain and block on
each elector's last ballot; V = Y + N + B, T = V + A, E the size of the electorate.

    majority        quorum, and Y > N + B: a tie fails
    supermajority   quorum, V > 0, and Y / V >= share
    absolute        2 Y > E
    consent         quorum of yes and abstain, and no objection stands, where a block is one; with objections after two rounds of
                    amendment a supermajority of `share`, with a minority report that must be written
    bridging        majority, and (Y + 1) / (V + 2) >= share in each counted group; with fewer than two of them a supermajority of
                    `fallback`

Counted groups are exactly those that may be published: the smallest are merged into `other` until every one has `GROUP` ballots or
more. A decision is by one rule or by several, of which each must pass. Where a quorum fails it lapses, and lapsing is never a yes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.core.electing import Groups, Rule, Share, Tally, counted_groups, parse_rules

RULES = 1
"""The version of these rules: it stands in every outcome. A change that can change a verdict raises it."""
CHOICES = ("yes", "no", "abstain", "block")
ROUNDS = 2
"""Amendment rounds after which objections no longer stop a decision by consent, but must be carried along with it."""

SUPPORTERS, SUPPORTING = 3, 20
"""A minority report is collective with that many supporters, and one in so many of V where that is more."""

Verdict = Literal["passed", "failed", "lapsed"]


def is_collective(supporters: int, votes: int) -> bool:
    """Whether a minority report with so many supporters is a collective one, where `votes` is the V of its outcome."""
    return supporters >= max(SUPPORTERS, -(-votes // SUPPORTING))


@dataclass(frozen=True, slots=True)
class Ballot:
    """One elector's choice; `at` is its place in the log. The highest of an elector counts."""

    elector: str
    choice: str
    at: int


@dataclass(frozen=True)
class Snapshot:
    """What was fixed before the first ballot, and the objections that stand at the close.

    `electors` maps each to its declared group, or None. `overruled` says that an objection was dismissed, `appealed` that an appeal
    is open, `struck` that an executed strike is against the same use: none of them decides, all make an outcome contested.
    """

    electors: Mapping[str, str | None]
    objections: int = 0
    rounds: int = 0
    overruled: bool = False
    appealed: bool = False
    struck: bool = False


@dataclass(frozen=True)
class Outcome:
    """A verdict and what it follows from. `applied` are the rules as they were applied, fallbacks included.

    `min_sybils_to_flip` is the fewest people whose joining the electorate, each in a group as it was counted here and each with
    whatever ballot or none, would have turned a passed decision into another or another into a passed one. None: no number would.
    """

    verdict: Verdict
    applied: tuple[str, ...]
    tally: Tally
    groups: Groups
    turnout: int
    size: int
    contested: bool
    report_needed: bool
    min_sybils_to_flip: int | None
    version: int = RULES

    def to_json(self) -> dict[str, Any]:
        """As it is stored and published: strings and integers alone."""
        return {
            "version": self.version, "verdict": self.verdict, "applied": list(self.applied), "tally": self.tally.to_json(),
            "groups": {name: tally.to_json() for name, tally in sorted(self.groups.items())}, "turnout": self.turnout, "size": self.size,
            "contested": self.contested, "report_needed": self.report_needed, "min_sybils_to_flip": self.min_sybils_to_flip,
        }  # fmt: skip


@dataclass(frozen=True)
class _Test:
    """One condition of a rule: whether it holds, the fewest yes that would make it hold, the fewest people who would break it.

    `quorum` conditions make a decision lapse; those `by_group` need their yes in that group, so that their needs add up.
    """

    holds: bool
    to_pass: int | None
    to_fail: int | None
    quorum: bool = False
    by_group: bool = False


@dataclass
class _Count:
    tally: Tally
    size: int
    groups: Groups
    tests: list[_Test] = field(default_factory=list)

    def quorum(self, share: Share, present: int) -> None:
        lack = self.size * share.num - present * share.den
        room = share.den - share.num
        to_pass = 0 if lack <= 0 else -(-lack // room) if room else None
        self.tests.append(_Test(lack <= 0, to_pass, max(0, -lack // share.num + 1) if share.num else None, quorum=True))

    def majority(self) -> None:
        margin = self.tally.yes - self.tally.no - self.tally.block
        self.tests.append(_Test(margin > 0, max(0, 1 - margin), max(0, margin)))

    def share_of(self, tally: Tally, share: Share, *, smoothed: bool = False) -> None:
        """yes / votes >= share, or with `smoothed` (yes + 1) / (votes + 2), of one group."""
        yes, votes = (tally.yes + 1, tally.votes + 2) if smoothed else (tally.yes, tally.votes)
        lack = votes * share.num - yes * share.den
        room = share.den - share.num
        needed = max(0, -(-lack // room)) if room else (0 if lack <= 0 else None)
        if votes == 0 and needed is not None:
            needed = max(1, needed)
        self.tests.append(_Test(lack <= 0 and votes > 0, needed, max(0, -lack // share.num + 1) if votes else 0, by_group=smoothed))

    def absolute(self) -> None:
        margin = 2 * self.tally.yes - self.size
        self.tests.append(_Test(margin > 0, max(0, 1 - margin), max(0, margin)))


def last_ballots(snapshot: Snapshot, ballots: Iterable[Ballot]) -> dict[str, str]:
    """Elector -> choice of their last ballot. Raises ValueError for somebody outside the electorate, or no choice of ours."""
    last: dict[str, Ballot] = {}
    for ballot in ballots:
        if ballot.elector not in snapshot.electors:
            raise ValueError("a ballot by nobody of the electorate")
        if ballot.choice not in CHOICES:
            raise ValueError("a ballot without a choice")
        before = last.get(ballot.elector)
        if before is not None and before.at == ballot.at:
            raise ValueError("two ballots in one place of the log")
        if before is None or before.at < ballot.at:
            last[ballot.elector] = ballot
    return {elector: ballot.choice for elector, ballot in last.items()}


def decide(rules: Any, snapshot: Snapshot, ballots: Iterable[Ballot]) -> Outcome:
    """The outcome of these ballots. `rules` is a list of rules as charters hold them. Raises RuleError or ValueError."""
    choices = last_ballots(snapshot, ballots)
    by_group: dict[str | None, Tally] = {}
    for elector, choice in choices.items():
        group = snapshot.electors[elector]
        by_group[group] = by_group.get(group, Tally()) + Tally(**{choice: 1})
    return judge(rules, len(snapshot.electors), by_group, snapshot)


def judge(rules: Any, size: int, by_group: Mapping[str | None, Tally], snapshot: Snapshot) -> Outcome:
    """`decide` from tallies by declared group (None: undeclared)."""
    parsed = parse_rules(rules)
    tally = sum(by_group.values(), Tally())
    groups = counted_groups(by_group)
    count = _Count(tally, size, groups)
    stand = snapshot.objections + tally.block
    applied, carried = [], False
    for rule in parsed:
        applied.append(_apply(rule, count, snapshot, stand))
        carried |= rule.name == "consent" and stand > 0 and snapshot.rounds >= ROUNDS
    tests = count.tests
    verdict: Verdict = "passed"
    if any(not test.holds for test in tests):
        verdict = "lapsed" if any(test.quorum and not test.holds for test in tests) else "failed"
    contested = (
        (tally.votes > 0 and 5 * (tally.no + tally.block) >= tally.votes)
        or any(2 * (group.yes + 1) < group.votes + 2 for group in groups.values())
        or carried
        or snapshot.overruled
        or snapshot.appealed
        or snapshot.struck
    )
    return Outcome(
        verdict, tuple(applied), tally, groups, tally.turnout, size, contested, carried and verdict == "passed", _flip(verdict, tests)
    )


def _apply(rule: Rule, count: _Count, snapshot: Snapshot, stand: int) -> str:
    if rule.name == "absolute":
        count.absolute()
        return "absolute"
    if rule.name == "consent":
        if stand and snapshot.rounds >= ROUNDS:
            count.quorum(rule.quorum, count.tally.turnout)
            count.share_of(count.tally, rule.share)
            return "consent/supermajority"
        count.quorum(rule.quorum, count.tally.yes + count.tally.abstain)
        count.tests.append(_Test(stand == 0, None if stand else 0, 1))
        return "consent"
    count.quorum(rule.quorum, count.tally.turnout)
    if rule.name == "majority":
        count.majority()
    elif rule.name == "supermajority":
        count.share_of(count.tally, rule.share)
    elif len(count.groups) < 2:
        count.share_of(count.tally, rule.fallback)
        return "bridging/supermajority"
    else:
        count.majority()
        for _, group in sorted(count.groups.items()):
            count.share_of(group, rule.share, smoothed=True)
    return rule.name


def _flip(verdict: Verdict, tests: list[_Test]) -> int | None:
    if verdict == "passed":
        return min((test.to_fail for test in tests if test.to_fail is not None), default=None)
    needs = [test.to_pass for test in tests]
    if any(need is None for need in needs):
        return None
    in_groups = sum(test.to_pass or 0 for test in tests if test.by_group)
    return max([in_groups, *(test.to_pass or 0 for test in tests)])
