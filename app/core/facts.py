"""Rules ready for deciding, and the truth of each constraint under what is known of a use, a lab, a day and a record.

Truth has three values: a constraint on a fact that was not given is neither true nor false.
"""

from dataclasses import dataclass
from datetime import date

from app.core import vocabulary as words
from app.core.constraints import Constraint
from app.core.decision import Satisfied
from app.core.policy import Rule
from app.core.truth import MISSING, NO, YES
from app.core.use import LabFacts, Use

SATISFIED: dict[int, Satisfied] = {NO: "no", MISSING: "missing", YES: "yes"}
LATER: dict[str, Satisfied] = {"attestation": "record", "delayPeriod": "record", "groupSize": "release"}
"""What the policy level cannot decide: by record, or by the set of records that a release would hold."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its hierarchies resolved: the actions it covers (a permission) or touches (a prohibition)."""

    name: str
    forbids: bool
    actions: frozenset[str]
    mask: int
    purposes: frozenset[str] | None
    flat: tuple[Constraint, ...]
    """Constraints other than purpose, which is decided for each purpose apart, and those of `LATER`."""
    source: Rule


def compiled_rule(name: str, rule: Rule, *, forbids: bool) -> CompiledRule:
    """The rule with what can be worked out once."""
    actions = words.touched_actions(rule.action) if forbids else words.narrower_actions(rule.action)
    flat = tuple(c for c in rule.constraint if c.left_operand != "purpose" and c.left_operand not in LATER)
    return CompiledRule(name, forbids, actions, rule.mask, rule.region.allowed.get("purpose"), flat, rule)


class Facts:
    """What is known, by left operand. Places: the seat is the verified one; the others the lab declares and signs."""

    __slots__ = ("age", "day", "purposes", "reviewed", "single")

    def __init__(self, use: Use, facts: LabFacts, now: date, age: int | None = None) -> None:
        self.purposes = tuple(sorted(use.purposes))
        self.single = {
            "recipient": facts.kind,
            "spatial": facts.seat,
            "processingPlace": use.territory,
            "storagePlace": use.storage,
            "modelOpenness": use.model_openness,
        }
        self.reviewed = use.ethics_review
        self.day = now.isoformat()
        self.age = age

    def seen(self, constraint: Constraint) -> tuple[str, ...]:
        """The value that the constraint is compared with; empty where none was given, or a record decides."""
        left = constraint.left_operand
        if left == "purpose":
            return self.purposes
        if left == "dateTime":
            return (self.day,)
        if left == "delayPeriod":
            return () if self.age is None else (f"P{self.age}D",)
        value = self.reviewed if left == "ethicsReview" else self.single.get(left)
        return () if value is None else (value,)

    def verdict(self, rule: CompiledRule, constraint: Constraint) -> int:
        """Truth of one constraint that is decided once for the whole use."""
        left, wanted = constraint.left_operand, constraint.right_operand[0]
        if left == "dateTime":
            return YES if (self.day >= wanted if constraint.operator == "gteq" else self.day < wanted) else NO
        if left == "ethicsReview":
            return MISSING if self.reviewed is None else YES
        value = self.single[left]
        narrower = words.NARROWER[left].get(value) if value is not None else None
        if narrower is None:  # not given, or a value this version does not know: it proves nothing
            return MISSING
        allowed = rule.source.region.allowed[left]
        return YES if (narrower & allowed if rule.forbids else value in allowed) else NO

    def holds(self, rule: CompiledRule) -> int:
        """Truth of all constraints of a rule but its purposes and what is decided later."""
        return min((self.verdict(rule, constraint) for constraint in rule.flat), default=YES)

    def old_enough(self, rule: CompiledRule) -> bool:
        """Whether a record of the age at hand may be used under the rule; True where no age is at hand."""
        region = rule.source.region
        return self.age is None or (self.age >= region.min_age and (region.max_age is None or self.age < region.max_age))

    def all_purposes(self, rule: CompiledRule) -> int:
        """Truth of the purpose constraint for the use as a whole, for the report."""
        verdicts = [for_purpose(rule, purpose) for purpose in self.purposes or (None,)]
        return max(verdicts) if rule.forbids else min(verdicts)


def for_purpose(rule: CompiledRule, purpose: str | None) -> int:
    """Truth of the rule's purpose constraint for one purpose; None where the use states none."""
    if rule.purposes is None:
        return YES
    if purpose is None:
        return MISSING
    if rule.forbids:  # a purpose that may turn out to be a forbidden one is forbidden
        return YES if words.NARROWER["purpose"][purpose] & rule.purposes else NO
    return YES if purpose in rule.purposes else NO
