"""Decide one use under one policy. Deny by default; the same inputs always give the same decision.

A use is a set of actions for a set of purposes, and every pair of them must be permitted. For each pair the parts that
a permission allows are joined, and those that a prohibition touches are taken away; a constraint on a fact that was not
given is neither true nor false, and then the permission does not count and the prohibition does. What would be
permitted if the missing facts were right makes the answer `indeterminate` instead of `deny`; neither releases anything.

Three things are not the policy's to decide. How old a record is and who attested its consent are known of each record; how
many people stand in its group is known of a release. `verdict` gives what a query needs to decide the first two for a
million records at once, and the cut decides the third.
"""

from dataclasses import dataclass, replace
from datetime import date

from app.core import advice
from app.core import vocabulary as words
from app.core.constraints import parse_day
from app.core.decision import (
    Decision,
    Outcome,
    Reason,
    basis_allows,
    intersect,
    strictest_attribution,
    union_of_obligations,
)
from app.core.facts import CompiledRule, Facts, compiled_rule, for_purpose
from app.core.policy import Policy
from app.core.truth import MISSING, NO, YES
from app.core.use import LabFacts, Use, parse_use

__all__ = [
    "AgeStep",
    "CompiledPolicy",
    "Decision",
    "LabFacts",
    "Reason",
    "Use",
    "Verdict",
    "basis_allows",
    "compile_policy",
    "evaluate",
    "intersect",
    "parse_use",
    "strictest_attribution",
    "union_of_obligations",
    "verdict",
]

EVALUATOR = 2
"""Raised whenever the same policy, use, facts and day may be answered otherwise: what was decided before is decided anew."""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy ready for many evaluations; holds nothing that the policy does not say."""

    policy: Policy
    rules: tuple[CompiledRule, ...]
    duties: tuple[dict[str, str], ...]
    edges: tuple[date, ...]
    """Days on which an answer may change, sorted."""
    ages: tuple[int, ...]
    """Ages of a record, in days, at which an answer may change, sorted; empty where age does not matter."""


@dataclass(frozen=True, slots=True)
class AgeStep:
    """Parts that are open to records from `from_age` days old until before `to_age` (None: for ever)."""

    from_age: int
    to_age: int | None
    parts: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a query needs of a decision. `steps` follow each other from age 0 on and leave no gap."""

    steps: tuple[AgeStep, ...]
    person: bool
    group_size: int
    valid_until: date | None

    @property
    def permit(self) -> bool:
        """Whether records of any age are permitted."""
        return any(step.parts for step in self.steps)


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Resolve hierarchies once: which actions a permission covers, which a prohibition touches."""
    rules = [compiled_rule(f"permission/{i}", rule, forbids=False) for i, rule in enumerate(policy.permission)]
    rules += [compiled_rule(f"prohibition/{i}", ban, forbids=True) for i, ban in enumerate(policy.prohibition)]
    regions = [rule.source.region for rule in rules]
    edges = {day for region in regions for day in (region.start, region.end) if day}
    ages = {age for region in regions for age in (region.min_age, region.max_age) if age}
    duties = union_of_obligations([tuple(o.duty() for o in policy.obligation)])
    return CompiledPolicy(
        policy, tuple(rules), duties, tuple(sorted(parse_day(day) for day in edges)), tuple(sorted(ages))
    )


def evaluate(compiled: CompiledPolicy, use: Use, facts: LabFacts, now: date, age: int | None = None) -> Decision:
    """Decide `use` by a lab with verified `facts` on the day `now`. Never raises on parsed input.

    Args:
        age: days since the record was given; None decides for the policy as a whole, where `parts` are those open to
            records of any age and nothing is said of a record's attestation and group.
    """
    known = Facts(use, facts, now, age)
    flat = {rule.name: known.holds(rule) for rule in compiled.rules}
    definite, possible, blocked = _open(compiled, known, flat, use)
    if age is None and compiled.ages:
        definite = _at_any_age(compiled, known, flat, use)
    refused = sorted({duty["kind"] for duty in compiled.duties if duty["kind"] not in use.accepts})
    kept = advice.retention(use, compiled.duties)
    nearest = {f"Accept the obligation {kind}." for kind in refused}
    if kept != YES:
        limit = advice.retention_limit(compiled.duties)
        nearest.add(advice.KEEP_LESS.format(limit) if kept == NO else advice.SAY_HOW_LONG)
    for action, purpose in blocked:
        nearest |= advice.nearest(compiled.rules, known, flat, action, purpose)
    if not blocked and not definite & words.OWN_PARTS:
        nearest.add(advice.ONE_BY_ONE)
    outcome: Outcome = "deny"
    if definite & words.OWN_PARTS and not refused and kept == YES:
        outcome, nearest = ("permit_with_obligations" if compiled.duties else "permit"), set()
    elif possible & words.OWN_PARTS and not refused and kept != NO:
        outcome = "indeterminate"
    person, group = _asked_of_records(compiled, use)
    return Decision(
        outcome=outcome,
        parts=definite if outcome.startswith("permit") else 0,
        attested="person" if person else None,
        obligations=compiled.duties,
        reasons=advice.reasons(compiled.rules, compiled.duties, known, use),
        nearest=tuple(sorted(nearest)),
        valid_until=_next_edge(compiled, now),
        group_size=group,
        aged=bool(compiled.ages),
    )


def verdict(compiled: CompiledPolicy, use: Use, facts: LabFacts, now: date) -> Verdict:
    """The same decision without its report, for records of every age: equal to `evaluate` with each age."""
    known = Facts(use, facts, now)
    person, group = _asked_of_records(compiled, use)
    until = _next_edge(compiled, now)
    owed = all(duty["kind"] in use.accepts for duty in compiled.duties)
    if not owed or advice.retention(use, compiled.duties) != YES:
        return Verdict((AgeStep(0, None, 0),), person, group, until)
    flat = {rule.name: known.holds(rule) for rule in compiled.rules}
    if not compiled.ages:
        return Verdict((AgeStep(0, None, _released(_open(compiled, known, flat, use)[0])),), person, group, until)
    steps: list[AgeStep] = []
    for age, before in zip((0, *compiled.ages), (*compiled.ages, None), strict=True):
        known.age = age
        parts = _released(_open(compiled, known, flat, use)[0])
        if steps and steps[-1].parts == parts:
            steps[-1] = replace(steps[-1], to_age=before)
        else:
            steps.append(AgeStep(age, before, parts))
    return Verdict(tuple(steps), person, group, until)


def _open(
    compiled: CompiledPolicy, known: Facts, flat: dict[str, int], use: Use
) -> tuple[int, int, list[tuple[str, str | None]]]:
    """Parts that are surely, and that may be, open to the whole use, and the pairs for which neither own part is."""
    definite = possible = words.ALL_PARTS
    blocked: list[tuple[str, str | None]] = []
    purposes = known.purposes or (None,)
    for action in sorted(use.actions):
        rules = [rule for rule in compiled.rules if action in rule.actions]
        for purpose in purposes:
            sure, maybe = _pair(rules, known, flat, purpose)
            if not sure & words.OWN_PARTS:
                blocked.append((action, purpose))
            definite, possible = definite & sure, possible & maybe
    return definite, possible, blocked


def _pair(rules: list[CompiledRule], known: Facts, flat: dict[str, int], purpose: str | None) -> tuple[int, int]:
    given = denied = open_to = shut = 0
    for rule in rules:
        found = min(flat[rule.name], for_purpose(rule, purpose))
        if rule.forbids:
            denied |= rule.mask if found >= MISSING else 0
            shut |= rule.mask if found == YES else 0
        elif found and known.old_enough(rule):
            given |= rule.mask if found == YES else 0
            open_to |= rule.mask
    return given & ~denied, open_to & ~shut


def _at_any_age(compiled: CompiledPolicy, known: Facts, flat: dict[str, int], use: Use) -> int:
    parts = 0
    for age in (0, *compiled.ages):
        known.age = age
        parts |= _released(_open(compiled, known, flat, use)[0])
    known.age = None
    return parts


def _released(parts: int) -> int:
    """Context and profile are released only beside text or judgment."""
    return parts if parts & words.OWN_PARTS else 0


def _asked_of_records(compiled: CompiledPolicy, use: Use) -> tuple[bool, int]:
    """Whether the person must have attested, and the size of group that the strictest permission concerned asks for."""
    person, group = False, 0
    for rule in compiled.rules:
        if not rule.forbids and rule.actions & use.actions:
            person = person or rule.source.region.attested
            group = max(group, rule.source.region.group)
    return person, group


def _next_edge(compiled: CompiledPolicy, now: date) -> date | None:
    return next((edge for edge in compiled.edges if edge > now), None)
