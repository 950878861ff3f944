"""A policy with all it inherits (Information Model, 2.7 and 2.9): its own rules first, then its parents', in their order.

Parents are looked for among the policies given, never fetched. As the model has it, what they say for all their rules, their
profiles, conflict strategies and rules are copied into the child; then what is said for all rules is written into each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.core.odrl.building import Built
from app.core.odrl.limits import MAX_CONSTRAINTS, MAX_NAMED, MAX_NESTING, MAX_RULES, OdrlError, too_large
from app.core.odrl.model import Policy, Rule, atoms, conditions_of


def merged(root: Built, given: Sequence[Built]) -> Policy:
    """The policy with the rules of its parents, theirs and so on; each policy counts once.

    Raises:
        OdrlError: odrl_inherit_unknown, odrl_inherit_cycle, odrl_too_large, odrl_policy_ambiguous (two policies with
            the uid of a parent), and whatever leaves no reading of one of the policies.
    """
    line = [one.policy for one in lineage(root, given)]
    policy = line[0]
    shared = [one.shared for one in line]
    linked = _linked(line)
    for_all = (*shared, *(said for said, _ in linked))
    count = sum(len(one.rules) for one in line)
    if count * sum(len(one.actions) + len(one.targets) + len(one.assignees) for one in for_all) > MAX_NAMED:
        raise too_large("actions, assets and parties of all rules together", MAX_NAMED, policy.where)
    rules = tuple(
        _filled(rule, [*shared, *(said for said, below in linked if one.uid in below)]) for one in line for rule in one.rules
    )
    if sum(1 for rule in rules for _ in rule.below()) > MAX_RULES:
        raise too_large("rules in a policy", MAX_RULES, policy.where)
    limits = sum(1 for r in rules for one in r.below() for listed in conditions_of(one) for _ in atoms(listed))
    if limits > MAX_CONSTRAINTS:
        raise too_large("constraints in a policy", MAX_CONSTRAINTS, policy.where)
    return replace(
        policy,
        shared=_filled(Rule("", "permission", policy.where), [*shared, policy.linked]),
        rules=rules,
        conflicts=frozenset(name for one in line for name in one.conflicts),
        profiles=tuple(dict.fromkeys(name for one in line for name in one.profiles)),
        included=_together([one.included for one in line]),
        implied=_together([one.implied for one in line]),
        parts={key: frozenset(values) for key, values in _together([one.parts for one in line]).items()},
    )


def _linked(line: Sequence[Policy]) -> list[tuple[Rule, set[str]]]:
    """What assets and parties say of the policies, with those whose rules it is about: the policy and all that it inherits."""
    parents = {one.uid: one.parents for one in line}
    found = []
    for one in line:
        if not (one.linked.targets or one.linked.assignees or one.linked.assigners):
            continue
        reached: set[str] = set()
        waiting = [one.uid]
        while waiting:
            uid = waiting.pop()
            if uid not in reached:
                reached.add(uid)
                waiting += parents[uid]
        found.append((one.linked, reached))
    return found


def lineage(root: Built, given: Sequence[Built]) -> list[Built]:
    """The policy, its parents, theirs and so on, each once. Raises OdrlError as `merged` does."""
    by_uid: dict[str, Built] = {}
    for one in given:
        if one.policy.uid in by_uid and by_uid[one.policy.uid] is not one:
            raise OdrlError("odrl_policy_ambiguous", "Two policies have the same uid.", one.policy.where)
        by_uid[one.policy.uid] = one
    line: list[Built] = []
    _collect(root, by_uid, [], line, set())
    return line


def _filled(rule: Rule, shared: Sequence[Rule]) -> Rule:
    """The rule with what its policy and the parents say for all rules, beside its own."""
    return replace(
        rule,
        actions=tuple(dict.fromkeys((*rule.actions, *(a for one in shared for a in one.actions)))),
        targets=tuple(dict.fromkeys((*rule.targets, *(t for one in shared for t in one.targets)))),
        assignees=tuple(dict.fromkeys((*rule.assignees, *(p for one in shared for p in one.assignees)))),
        assigners=tuple(dict.fromkeys((*rule.assigners, *(p for one in shared for p in one.assigners)))),
    )


def _collect(one: Built, by_uid: Mapping[str, Built], path: list[str], line: list[Built], seen: set[str]) -> None:
    policy = one.usable()
    if policy.uid in path:
        raise OdrlError("odrl_inherit_cycle", "A policy inherits from itself.", policy.where)
    if len(path) >= MAX_NESTING:
        raise too_large("policies that inherit from one another", MAX_NESTING, policy.where)
    if policy.uid in seen:
        return
    seen.add(policy.uid)
    line.append(one)
    for parent in policy.parents:
        if parent not in by_uid:
            raise OdrlError(
                "odrl_inherit_unknown",
                "The parent is not among the files given, and nothing is fetched: give its file too.",
                policy.where + "/inheritFrom",
            )
        _collect(by_uid[parent], by_uid, [*path, policy.uid], line, seen)


def _together(facts: Sequence[Mapping[str, object]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for one in facts:
        for key, values in one.items():
            found.setdefault(key, {}).update(dict.fromkeys(values))  # type: ignore[call-overload]
    return {key: tuple(values) for key, values in found.items()}
