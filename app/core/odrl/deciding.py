"""A request under a policy in a state of the world: the decision, and a report that says for every rule why.

The words of the report are those of the draft "ODRL Formal Semantics" and of the compliance reports of its test suites:

- `activation` of a rule: its constraints hold, its duties allow it, and it concerns the requested action, asset and party. A
  rule that may or may not hold for want of a fact does not count if it permits, and does if it prohibits.
- `deontic`: of a permission, `permit` if it is active and every refinement holds, else `deny`; of a prohibition, `violated`
  if the request would go against it, else `not-set`; of a duty or obligation, `not-set`, `fulfilled` or `violated` as the state
  says, where a consequence that has come due must be fulfilled as well.

Duties of a permission come first in `strict` mode (Formal Semantics: a duty that is due and not fulfilled makes the permission
inactive); in `eventual` mode only a violated one does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Literal as OneOf

from app.core.odrl import vocabulary as odrl
from app.core.odrl.limits import OdrlError
from app.core.odrl.model import Action, Concerned, Condition, Constraint, Policy, Rule, comparisons, placed, reached
from app.core.odrl.operators import holds
from app.core.odrl.state import Memberships, State
from app.core.odrl.values import Iri, Literal, Value, shown
from app.core.truth import MISSING, NO, YES, every, exactly_one, opposite, some

DutyMode = OneOf["strict", "eventual"]
_SATISFACTION = {NO: "not-satisfied", MISSING: "missing", YES: "satisfied"}
# Words of the service's own evaluator: core/evaluation.py, Outcome.
_OUTCOMES = ("permit", "permit_with_obligations", "deny", "indeterminate")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: one action, on one asset, by one party. None says "not stated"."""

    uid: str
    action: str
    target: str | None = None
    assignee: str | None = None


def read_request(policy: Policy) -> Request:
    """The request that an odrl:Request policy states: a permission naming assignee, action and target.

    Its constraints are not facts and prove nothing. Raises OdrlError (odrl_request_invalid).
    """
    permissions = [rule for rule in policy.rules if rule.type == "permission"] or [policy.shared]
    rule = permissions[0]
    several = max(len(permissions), len(rule.actions), len(rule.targets), len(rule.assignees)) > 1
    if several or not rule.actions:
        why = "A request names one action, and at most one target and one assignee; ask for several one by one."
        raise OdrlError("odrl_request_invalid", why, rule.where)
    target, assignee = (next(iter(found), None) for found in (rule.targets, rule.assignees))
    return Request(policy.uid, rule.actions[0].iri, _name(target), _name(assignee))


def _name(one: Concerned | None) -> str | None:
    """Who or what is meant; without a name it might be anyone, as where nothing is stated."""
    return None if one is None or one.iri.startswith("_:") else one.iri


class Decider:
    """A policy ready for many requests in one state. `policy` comes from `inheritance.merged`."""

    def __init__(self, policy: Policy, state: State, mode: DutyMode = "strict") -> None:
        self._policy, self._state, self._mode = policy, state, mode
        self._parts = Memberships(state.part_of, policy.parts)
        self._now: Value | None = state.now
        self._unplaced = {
            one.iri for rule in policy.rules if rule.type == "prohibition" for one in rule.actions if not placed(one, policy)
        }
        self._units: dict[str, set[str]] = {}
        for one in comparisons(policy):
            self._units.setdefault(one.left, set()).update({one.unit} if one.unit is not None else ())

    def decide(self, request: Request) -> dict[str, Any]:
        """The report: decision, why, conflict, request and the rules in the policy's order. Plain JSON values."""
        judged = [self._rule(rule, request) for rule in self._policy.rules]
        permissions = [one for one in judged if one.rule.type == "permission"]
        prohibitions = [one for one in judged if one.rule.type == "prohibition"]
        owed = [one for one in judged if one.owed]
        allowed, forbidden = (some(one.verdict for one in those) for those in (permissions, prohibitions))
        decision, why = self._outcome(allowed, forbidden, bool(owed))
        strategy = self._policy.strategy
        met = allowed == YES and forbidden == YES
        return {
            "decision": decision,
            "why": why,
            "policy": self._policy.uid,
            "request": {
                "uid": request.uid,
                "action": request.action,
                "target": request.target,
                "assignee": request.assignee,
            },
            "dutyMode": self._mode,
            "conflict": {
                "strategy": strategy,
                "between": [
                    one.rule.uid for one in judged if met and one.rule.type != "obligation" and one.verdict == YES
                ],
            },
            "rules": [one.report for one in judged],
        }

    def _outcome(self, allowed: int, forbidden: int, owed: bool) -> tuple[str, str]:
        permit = "permit_with_obligations" if owed else "permit"
        if self._policy.type in odrl.GRANTS_NOTHING:
            return "deny", f"A policy of type {self._policy.type} grants nothing: only a Set or an Agreement does."
        if self._policy.strategy == "perm" and allowed == YES:
            return permit, "A permission holds, and permissions win over prohibitions here."
        if allowed == YES and forbidden == YES:
            if self._policy.strategy == "prohibit":
                return "deny", "A prohibition holds, and prohibitions win over permissions here."
            return "deny", "A permission and a prohibition meet, which makes the policy void."
        if allowed == NO:
            return (
                "deny",
                "No permission holds." if forbidden == NO else "No permission holds, and a prohibition does or may.",
            )
        if forbidden == YES and self._policy.strategy != "perm":
            return "deny", "A prohibition holds."
        if allowed == YES and forbidden == NO:
            return permit, "A permission holds and no prohibition does."
        return "indeterminate", "It depends on facts that were not given: see what is missing in the report."

    # --- one rule ---

    def _rule(self, rule: Rule, request: Request) -> "_Judged":
        reach = self._matches(rule, request)
        constraints = self._all(rule.constraints)
        refined, refinements = self._refined(rule, request)
        duties = [self._duty(one) for one in rule.duties]
        if rule.type == "obligation":
            done = self._duty(rule)
            concerned = reach["assignee"] != _SATISFACTION[NO]
            report = self._report(
                rule, done.active >= MISSING, done.deontic, constraints, refinements, reach, done.below
            )
            return _Judged(rule, NO, report, done.active >= MISSING and concerned and done.deontic != "fulfilled")
        base = every([*(_VERDICT[one] for one in reach.values()), constraints.verdict])
        if rule.type == "permission":
            base = min(base, every(self._allows(one) for one in duties))
            verdict = min(base, refined)
            deontic = "permit" if verdict == YES else "deny"
            report = self._report(
                rule, base == YES, deontic, constraints, refinements, reach, [d.report for d in duties]
            )
            return _Judged(rule, verdict, report, verdict == YES and any(d.due for d in duties))
        verdict = min(base, refined)
        remedies = [self._duty(one) for one in rule.remedies]
        healed = bool(remedies) and all(one.deontic == "fulfilled" for one in remedies)
        deontic = "violated" if verdict == YES and not healed else "not-set"
        below = [one.report for one in remedies]
        return _Judged(
            rule, verdict, self._report(rule, base >= MISSING, deontic, constraints, refinements, reach, below), False
        )

    def _report(
        self,
        rule: Rule,
        active: bool,
        deontic: str,
        constraints: "_Checked",
        refinements: list[dict[str, Any]],
        matches: dict[str, str],
        duties: list[dict[str, Any]],
    ) -> dict[str, Any]:
        return {
            "uid": rule.uid,
            "type": rule.type,
            "activation": "active" if active else "inactive",
            "deontic": deontic,
            "constraints": constraints.reports,
            "duties": duties,
            "matches": matches,
            "refinements": refinements,
        }

    def _matches(self, rule: Rule, request: Request) -> dict[str, str]:
        """Whether the rule concerns what is asked: for action, target and assignee a word of `_SATISFACTION`."""
        wider = reached(request.action, rule, self._policy)
        action = some(self._covers(rule, one, wider) for one in rule.actions) if rule.actions else YES
        found = (action, self._concerns(rule.targets, request.target), self._concerns(rule.assignees, request.assignee))
        return dict(zip(("action", "target", "assignee"), (_SATISFACTION[one] for one in found), strict=True))

    def _covers(self, rule: Rule, action: Action, wider: frozenset[str]) -> int:
        """Whether an action of a rule is the one asked for, or a wider one. What is prohibited and has no place in the tree of
        actions may be wider than anything."""
        if action.iri in wider:
            return YES
        return MISSING if rule.type == "prohibition" and action.iri in self._unplaced else NO

    def _concerns(self, listed: Sequence[Concerned], asked: str | None) -> int:
        return some(self._parts.concerns(one, asked) for one in listed) if listed else YES

    def _refined(self, rule: Rule, request: Request) -> tuple[int, list[dict[str, Any]]]:
        """The refinements of that action, asset and party of the rule which the request is about, or may be about."""
        wider = reached(request.action, rule, self._policy)
        groups: list[list[tuple[Action | Concerned, int]]] = [
            [(one, self._covers(rule, one, wider)) for one in rule.actions],
            [(one, self._parts.concerns(one, request.target)) for one in rule.targets],
            [(one, self._parts.concerns(one, request.assignee)) for one in rule.assignees],
        ]
        verdicts, reports = [], []
        for group in groups:
            checked = [(concerned, self._all(one.refinements)) for one, concerned in group if concerned != NO]
            if checked:
                verdicts.append(some(min(concerned, one.verdict) for concerned, one in checked))
            reports += [report for _, one in checked for report in one.reports]
        return every(verdicts), reports

    # --- duties ---

    def _duty(self, duty: Rule) -> "_Duty":
        constraints = self._all(duty.constraints)
        deontic = self._state.duties.get(duty.uid, "not-set")
        below = [self._duty(one) for one in duty.consequences]
        if any(self._state.duties.get(one.uid) == "violated" for one in duty.consequences):
            deontic = "violated"  # what was to make good for the duty was failed as well
        elif deontic == "fulfilled":
            # A consequence that the state speaks of has come due: the duty was failed first, and both must be done.
            due = any(one.uid in self._state.duties and one.deontic != "fulfilled" for one in below)
            deontic = "not-set" if due else deontic
        consequences = [one.report for one in below]
        report = {
            "uid": duty.uid,
            "type": "duty",
            "activation": "inactive" if constraints.verdict == NO else "active",
            "deontic": deontic,
            "action": [one.iri for one in duty.actions],
            "constraints": constraints.reports,
            "duties": consequences,
        }
        return _Duty(duty.uid, constraints.verdict, deontic, report, consequences)

    def _allows(self, duty: "_Duty") -> int:
        """Whether a duty lets its permission be active."""
        if self._mode == "eventual":
            done = NO if duty.deontic == "violated" else YES
        else:
            done = YES if duty.deontic == "fulfilled" else NO
        return max(opposite(duty.active), done)

    # --- conditions ---

    def _all(self, conditions: Iterable[Condition]) -> "_Checked":
        checked = [self._condition(one) for one in conditions]
        return _Checked(every(verdict for verdict, _ in checked), [report for _, report in checked])

    def _condition(self, one: Condition) -> tuple[int, dict[str, Any]]:
        if isinstance(one, Constraint):
            given = self._state.of(one.left)
            verdict = holds(self._at_last(one), given, self._parts.reaches) if self._in_unit(one, given) else MISSING
            return verdict, {
                **({} if one.unit is None else {"unit": one.unit}),
                "uid": one.uid,
                "leftOperand": one.left,
                "operator": odrl.ODRL + one.operator,
                "rightOperand": [shown(value) for value in one.right],
                "given": [shown(value) for value in given],
                "satisfaction": _SATISFACTION[verdict],
            }
        below = [self._condition(member) for member in one.members]
        verdicts = [verdict for verdict, _ in below]
        if one.operator == "or":
            verdict = some(verdicts)
        elif one.operator == "xone":
            verdict = exactly_one(verdicts)
        else:  # `and`; in one state of the world a sequence holds when all of it does
            verdict = every(verdicts)
        return verdict, {
            "uid": one.uid,
            "operator": odrl.ODRL + one.operator,
            "satisfaction": _SATISFACTION[verdict],
            "constraints": [report for _, report in below],
        }

    def _in_unit(self, one: Constraint, given: tuple[Value, ...]) -> bool:
        """Whether the values count in the unit of the constraint. Nothing is converted; a value that does not say counts in the
        one unit that the policy has for the operand, and in none if it has several."""
        units = {value.unit for value in given if isinstance(value, Literal)}
        return units <= {one.unit or ""} or (units <= {one.unit or "", ""} and len(self._units[one.left]) <= 1)

    def _at_last(self, one: Constraint) -> Constraint:
        """The constraint with odrl:policyUsage, the time when the policy is used, filled in."""
        if not any(isinstance(value, Iri) and value.text == odrl.POLICY_USAGE for value in one.right):
            return one
        right = () if self._now is None else (self._now,)
        return Constraint(one.uid, one.left, one.operator, right, "time", one.unit, one.where)


_VERDICT = {word: verdict for verdict, word in _SATISFACTION.items()}


@dataclass(frozen=True, slots=True)
class _Checked:
    verdict: int
    reports: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Duty:
    uid: str
    active: int
    deontic: str
    report: dict[str, Any]
    below: list[dict[str, Any]]

    @property
    def due(self) -> bool:
        return self.active >= MISSING and self.deontic != "fulfilled"


@dataclass(frozen=True, slots=True)
class _Judged:
    rule: Rule
    verdict: int
    report: dict[str, Any]
    owed: bool
