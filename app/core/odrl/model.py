"""A policy as it is decided: every name an IRI, every shorthand written out, in the order in which it stands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal as OneOf

from app.core import vocabulary as words
from app.core.odrl import vocabulary as odrl
from app.core.odrl.values import Value

RuleType = OneOf["permission", "prohibition", "obligation", "duty"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One comparison. `right` is empty where the value is only referred to, which is never fetched.

    `kind` says how values without a type of their own are compared ("time", "duration", "number" or ""). `unit` is the one in
    which the right value counts.
    """

    uid: str
    left: str
    operator: str
    right: tuple[Value, ...]
    kind: str
    unit: str | None
    where: str


@dataclass(frozen=True, slots=True)
class Logical:
    """Several conditions joined by `operator`: and, or, xone, andSequence."""

    uid: str
    operator: str
    members: "tuple[Condition, ...]"
    where: str


Condition = Constraint | Logical


@dataclass(frozen=True, slots=True)
class Action:
    iri: str
    refinements: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Concerned:
    """A party or an asset of a rule. A collection has members; `source` names it too."""

    iri: str
    source: str | None = None
    collection: bool = False
    refinements: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, or a duty of one. Without actions, targets or assignees it concerns every one."""

    uid: str
    type: RuleType
    where: str
    actions: tuple[Action, ...] = ()
    targets: tuple[Concerned, ...] = ()
    assignees: tuple[Concerned, ...] = ()
    assigners: tuple[str, ...] = ()
    constraints: tuple[Condition, ...] = ()
    duties: "tuple[Rule, ...]" = ()
    remedies: "tuple[Rule, ...]" = ()
    consequences: "tuple[Rule, ...]" = ()

    def below(self) -> "Iterator[Rule]":
        """The rule, its duties, remedies and consequences, and theirs."""
        yield self
        for rule in (*self.duties, *self.remedies, *self.consequences):
            yield from rule.below()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. `shared` is what it says for all its rules, `linked` what assets and parties say of all of them;
    `inheritance.merged` writes both into each;
    `included` and `implied` are what it says of actions of other vocabularies, `parts` what of collections."""

    uid: str
    type: str
    where: str
    shared: Rule
    linked: Rule
    rules: tuple[Rule, ...]
    conflicts: frozenset[str]
    profiles: tuple[str, ...]
    parents: tuple[str, ...]
    included: Mapping[str, tuple[str, ...]]
    implied: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, frozenset[str]]

    @property
    def strategy(self) -> str:
        """perm, prohibit or invalid; without one, or with several that differ, invalid (Information Model, 2.10)."""
        return next(iter(self.conflicts)) if len(self.conflicts) == 1 else "invalid"


def atoms(conditions: tuple[Condition, ...]) -> Iterator[Constraint]:
    """All comparisons of a list of conditions."""
    for one in conditions:
        if isinstance(one, Constraint):
            yield one
        else:
            yield from atoms(one.members)


def conditions_of(rule: Rule) -> Iterator[tuple[Condition, ...]]:
    """The constraints of a rule and all refinements in it, each as a list that must hold together."""
    yield rule.constraints
    yield from (action.refinements for action in rule.actions)
    yield from (one.refinements for one in (*rule.targets, *rule.assignees))


def comparisons(policy: Policy) -> Iterator[Constraint]:
    """All comparisons of a policy's rules, and of their duties, remedies and consequences."""
    for rule in policy.rules:
        for below in rule.below():
            for listed in conditions_of(below):
                yield from atoms(listed)


def placed(action: Action, policy: Policy) -> bool:
    """Whether it is known of what an action is part: it is one of the standard or of this service's own profile, or the
    policy says so."""
    return odrl.placed(action.iri, policy.included, words.PROFILE + "#")


def reached(action: str, rule: Rule, policy: Policy) -> frozenset[str]:
    """The actions that a rule may name to concern an action: itself and all that it is part of. To do something is also to do
    what it implies, which matters where that is prohibited."""
    wider = odrl.wider(action, policy.included)
    if rule.type != "prohibition":
        return wider
    return wider.union(*(odrl.wider(one, policy.included) for one in policy.implied.get(action, ())))
