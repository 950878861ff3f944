"""What a decision is made of: shares, tallies, the groups that may be told apart, and rules as charters hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

GROUP = 10
"""Ballots that a group must have (yes, no or block) to be counted by itself, and so to be published: fewer would tell on somebody."""
OTHER = "other"
"""The merged group."""
_MOST = 1_000_000


class RuleError(ValueError):
    """A rule is not one that this version knows; the message says what to write."""


class Share(NamedTuple):
    """A fraction of two whole numbers, 0 <= num <= den, den > 0."""

    num: int
    den: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of each elector's last ballot."""

    yes: int = 0
    no: int = 0
    abstain: int = 0
    block: int = 0

    @property
    def votes(self) -> int:
        """Those who said something: V."""
        return self.yes + self.no + self.block

    @property
    def turnout(self) -> int:
        """Those who cast a ballot: T."""
        return self.votes + self.abstain

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.yes + other.yes, self.no + other.no, self.abstain + other.abstain, self.block + other.block)

    def to_json(self) -> dict[str, int]:
        return {"yes": self.yes, "no": self.no, "abstain": self.abstain, "block": self.block}


Groups = dict[str, Tally]

DEFAULTS: dict[str, tuple[Share, Share, Share]] = {
    "majority": (Share(1, 4), Share(1, 2), Share(2, 3)),
    "supermajority": (Share(1, 4), Share(2, 3), Share(2, 3)),
    "absolute": (Share(0, 1), Share(1, 2), Share(2, 3)),
    "consent": (Share(1, 4), Share(3, 4), Share(2, 3)),
    "bridging": (Share(1, 4), Share(1, 2), Share(2, 3)),
}
"""Rule -> (quorum, share, fallback)."""
_TAKES = {
    "majority": {"quorum"}, "supermajority": {"quorum", "share"}, "absolute": set[str](), "consent": {"quorum", "share"},
    "bridging": {"quorum", "share", "fallback"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its parameters, defaults filled in."""

    name: str
    quorum: Share
    share: Share
    fallback: Share

    def to_json(self) -> dict[str, Any]:
        """With every parameter written out, so that an outcome says what was applied."""
        found: dict[str, Any] = {"rule": self.name}
        return found | {name: list(getattr(self, name)) for name in sorted(_TAKES[self.name])}


def parse_rules(rules: Any) -> tuple[Rule, ...]:
    """Rules as a charter holds them: a list of `{rule, quorum?, share?, fallback?}`, shares as `[num, den]`. Raises RuleError."""
    if not isinstance(rules, list) or not 1 <= len(rules) <= len(DEFAULTS):
        raise RuleError(f"give a list of one to {len(DEFAULTS)} rules")
    parsed = tuple(_rule(rule) for rule in rules)
    if len({rule.name for rule in parsed}) < len(parsed):
        raise RuleError("name each rule once")
    return parsed


def _rule(given: Any) -> Rule:
    name = given.get("rule") if isinstance(given, dict) else None
    if not isinstance(name, str) or name not in DEFAULTS:
        raise RuleError(f"a rule is one of {', '.join(sorted(DEFAULTS))}")
    if set(given) - {"rule"} - _TAKES[name]:
        raise RuleError(f"the rule {name} takes {', '.join(sorted(_TAKES[name])) or 'no parameter'}")
    quorum, share, fallback = (
        _share(given.get(key), default) for key, default in zip(("quorum", "share", "fallback"), DEFAULTS[name], strict=True)
    )
    least, most = (share.num * 2 >= share.den, share.num <= share.den)
    if not least or not most or fallback.num * 2 < fallback.den:
        raise RuleError("a share of the votes is at least one half and at most all")
    if name == "bridging" and share.num == share.den:
        raise RuleError("a group's share is below all: one more is always counted against")
    return Rule(name, quorum, share, fallback)


def _share(given: Any, default: Share) -> Share:
    if given is None:
        return default
    whole = isinstance(given, list | tuple) and len(given) == 2 and all(type(n) is int for n in given)
    if not whole or not 0 <= given[0] <= given[1] <= _MOST or given[1] == 0:
        raise RuleError("a share is two whole numbers, such as [2, 3]")
    return Share(*given)


def counted_groups(by_group: Mapping[str | None, Tally]) -> Groups:
    """The groups that are counted and published: who declared nothing, and the smallest, are merged into `other` until each
    group has `GROUP` votes. None where all together have fewer."""
    kept: Groups = {name: tally for name, tally in by_group.items() if name is not None and name != OTHER}
    other = by_group.get(None, Tally()) + by_group.get(OTHER, Tally())
    for name in sorted(kept, key=lambda n: (kept[n].votes, n)):
        if kept[name].votes < GROUP or (other.turnout and other.votes < GROUP):
            other += kept.pop(name)
    if other.votes >= GROUP:
        kept[OTHER] = other
    return kept


Rules = list[dict[str, Any]]
GRANT: Rules = [{"rule": "supermajority"}, {"rule": "bridging"}]
_WIDEN: Rules = [{"rule": "supermajority", "share": [3, 4]}, {"rule": "bridging"}]
_REFUSE: Rules = [{"rule": "majority"}]
TYPES: dict[str, Rules] = {
    "policy.adopt": _WIDEN, "policy.narrow": _REFUSE, "licence.use": GRANT, "licence.grant": GRANT, "licence.renew": GRANT, "licence.recall": _REFUSE,
    "charter.amend": [{"rule": "absolute"}, *_WIDEN], "steward.elect": _REFUSE, "steward.remove": _REFUSE,
    "strike.call": _REFUSE, "strike.end": _REFUSE, "effect.dispute": _REFUSE, "outcome.void": _REFUSE,
}  # fmt: skip
"""Decision types with their default rules; a charter of before a type was there is taken to have these. What grants asks for more than
what refuses: two thirds and every counted group against a bare majority; more than a third of the votes stops any grant."""
AS_HARD = {"licence.renew": "licence.use"}
"""A type whose rules are those of another: a charter has no rules of its own for it. Those of before have the default written out."""
_AMEND_BEFORE: Rules = [{"rule": "absolute"}, {"rule": "bridging"}]
"""The default of before, which charters have written out: read and sent again it stands for the default."""
GRANTS = ("policy.adopt", "licence.use", "licence.grant", "licence.renew", "charter.amend")
REFUSALS = ("policy.narrow", "licence.recall", "steward.remove", "strike.call", "outcome.void")
_GRANTING = Rule("supermajority", Share(1, 4), Share(2, 3), DEFAULTS["supermajority"][2])
"""What every grant takes, beside whatever else: consent alone passes over any number of no, and without one yes; half of all over 49 of 100."""


def decisions(given: Any) -> dict[str, Rules]:
    """A charter's rules for each type of decision, every parameter written out. Raises RuleError, also where a charter would make it
    easier to grant than to refuse, or could be amended by fewer than more than half of all members, or by fewer than decide what its rules
    are for: else who cannot do a thing could first make it easier. Left out, `charter.amend` has the hardest of all the others' rules."""
    if not isinstance(given, dict) or set(given) - set(TYPES):
        raise RuleError(f"decisions are {', '.join(sorted(TYPES))}")
    parsed = {kind: parse_rules(given.get(kind, rules)) for kind, rules in TYPES.items()}
    for kind, other in AS_HARD.items():
        if parsed[kind] not in (parsed[other], parse_rules(TYPES[kind])):
            raise RuleError(f"{kind} is decided as {other} is: leave it out")
        parsed[kind] = parsed[other]
    for kind in REFUSALS:
        if [rule.name for rule in parsed[kind]] != ["majority"] or 4 * parsed[kind][0].quorum.num > parsed[kind][0].quorum.den:
            raise RuleError(f"{kind} refuses: it is decided by a majority alone, with a quorum of at most a quarter")
    for kind in GRANTS:  # what amends the charter takes the hardest of all of them
        if kind != "charter.amend" and not any(_is_hard(rule) for rule in parsed[kind]):
            raise RuleError(f"{kind} grants: give it a supermajority of two thirds or more with a quorum of a quarter, beside whatever else")
    parsed["charter.amend"] = _amending(parsed, "charter.amend" not in given or parsed["charter.amend"] == parse_rules(_AMEND_BEFORE))
    return {kind: [rule.to_json() for rule in rules] for kind, rules in parsed.items()}


def held(kind: str, rules: Rules) -> Rules:
    """A stored charter's rules for a type of decision, as they are applied: where it was adopted before grants took a supermajority, they do."""
    parsed = parse_rules(rules)
    if kind not in GRANTS or any(_is_hard(rule) for rule in parsed):
        return rules
    soft = next((rule for rule in parsed if rule.name == _GRANTING.name), _GRANTING)
    return [*(rule.to_json() for rule in parsed if rule is not soft), _harder(soft, _GRANTING).to_json()]


def carried(written: dict[str, Rules]) -> dict[str, Rules]:
    """A stored charter's rules for a charter that takes its place: those for amending it are left out where they are too soft by now, and
    those of grants are as they are applied."""
    written = {kind: held(kind, rules) for kind, rules in written.items()}
    try:
        decisions(written)
    except RuleError:
        return {kind: rules for kind, rules in written.items() if kind != "charter.amend"}
    return written


def _amending(parsed: Mapping[str, tuple[Rule, ...]], raised: bool) -> tuple[Rule, ...]:
    """The rules for amending a charter, made as hard as all others where `raised`. Raises RuleError where they are not."""
    rules = parse_rules(TYPES["charter.amend"]) if raised else parsed["charter.amend"]
    if not any(rule.name == "absolute" for rule in rules):
        raise RuleError("charter.amend takes an absolute majority, beside whatever else")
    for kind, others in parsed.items():
        for other in others:
            same = next((rule for rule in rules if rule.name == other.name), None)
            if _covered(other, same):
                continue
            if not raised:
                raise RuleError(f"charter.amend can change every rule: give it {other.name} too, as hard as for {kind}, or leave it out")
            kept = tuple(rule for rule in rules if rule is not same)
            rules = (*kept, other if same is None else _harder(same, other))
    return rules


def _covered(other: Rule, same: Rule | None) -> bool:
    """Whether more than half of all, and beside that `same`, is as hard as `other`: half of all is a quorum, and more than those against."""
    few = 2 * other.quorum.num <= other.quorum.den
    if same is None:
        return few and other.name in ("absolute", "majority")
    return (few or _least(same.quorum, other.quorum)) and _least(same.share, other.share) and _least(same.fallback, other.fallback)


def _harder(one: Rule, other: Rule) -> Rule:
    quorum, share, fallback = (
        mine if _least(mine, theirs) else theirs
        for mine, theirs in ((one.quorum, other.quorum), (one.share, other.share), (one.fallback, other.fallback))
    )
    return Rule(one.name, quorum, share, fallback)


def _least(share: Share, other: Share) -> bool:
    return share.num * other.den >= other.num * share.den


def _is_hard(rule: Rule) -> bool:
    return rule.name == _GRANTING.name and _least(rule.quorum, _GRANTING.quorum) and _least(rule.share, _GRANTING.share)
