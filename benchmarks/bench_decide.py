"""Explained decisions a second on one core, beside cedarpy on an equivalent policy, with the same verdict in every timed case.

Sayso gives every constraint with the value it saw, the nearest way to yes and the day until which the answer holds; cedarpy
names the policies that decided. Parsing is left out on both sides: Sayso's policies are compiled, cedarpy gets its handles and
its fastest call, the batch. A plain loop over the rules, written for this comparison alone, decides a third time.
"""

import random
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import cedarpy

from app.core import vocabulary as words
from app.core.evaluation import CompiledPolicy, LabFacts, Use, compile_policy, evaluate, parse_use
from app.core.odrl.building import build_policies
from app.core.odrl.deciding import Decider, read_request
from app.core.odrl.graph import read_graph
from app.core.odrl.inheritance import merged
from app.core.odrl.profile import questions, standard
from app.core.odrl.state import read_state
from app.core.policy import Policy, parse_policy
from benchmarks.measure import Outcome, interleaved, paired

GOAL_A_RECORD = 100
POLICIES = 50
DAY = date(2026, 6, 1)
_ACTIONS = sorted(words.narrower_actions("train") | words.narrower_actions("evaluate") | {"distribute"})
_PURPOSES = sorted(words.closure("purpose", ["dpv:ResearchAndDevelopment", "dpv:PublicBenefit"]) | {"dpv:Marketing"})
_OWN = ("text", "judgment")
Case = tuple[Use, LabFacts, date]


def run(*, rounds: int, decisions: int) -> list[Outcome]:
    """`decisions` random uses a round under one policy, and one use over fifty times as many records under `POLICIES`."""
    rng = random.Random(11)
    cases = [_case(rng) for _ in range(decisions)]
    policies = [_policy(rng) for _ in range(POLICIES)]
    compiled = [compile_policy(policy) for policy in policies]
    cedar = [cedarpy.PolicySet.from_str(as_cedar(policy)) for policy in policies]
    nobody = cedarpy.Entities.from_json_str("[]")
    some = max(200, decisions // 20)
    generic = [_standard(policies[0], case) for case in cases[:some]]
    permitted = _same_verdicts(policies, compiled, cedar, nobody, cases, generic)

    main, main_cedar = compiled[0], cedar[0]
    requests = [_request(case) for case in cases]
    of = [rng.randrange(POLICIES) for _ in range(decisions * 50)]
    use = cases[0]

    def ours(_: int) -> float:
        return decisions / _timed(lambda: [evaluate(main, *case) for case in cases])

    def theirs(_: int) -> float:
        return decisions / _timed(lambda: cedarpy.is_authorized_batch(requests, main_cedar, nobody))

    def ours_records(_: int) -> float:
        def decide() -> list[bool]:
            verdicts = [evaluate(one, *use).permitted for one in compiled]
            return [verdicts[number] for number in of]

        return len(of) / _timed(decide)

    def theirs_records(_: int) -> float:
        fewer = of[: max(1000, decisions // 4)]
        asked = _request(use)
        return len(fewer) / _timed(lambda: [cedarpy.is_authorized(asked, cedar[number], nobody) for number in fewer])

    def standard_evaluator(_: int) -> float:
        return sum(len(one) for one in generic) / _timed(
            lambda: [decider.decide(request) for one in generic for decider, request in one]
        )

    found = interleaved(
        {
            "ours": ours,
            "cedarpy": theirs,
            "our records": ours_records,
            "their records": theirs_records,
            "standard": standard_evaluator,
        },
        rounds,
    )
    checked = f"verdicts equal, {permitted:.0%} permitted"
    return [
        paired("explained decisions/s on one core, against cedarpy's batch", found["ours"], found["cedarpy"], None, checked),
        paired(
            f"records/s where {POLICIES} policies are decided once, against cedarpy a record",
            found["our records"],
            found["their records"],
            GOAL_A_RECORD,
            checked,
        ),
        paired(
            "standard ODRL: requests/s with the full report, against cedarpy's batch",
            found["standard"],
            found["cedarpy"],
            None,
            "the same policy written out",
        ),
    ]


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# --- the same policy three times ---


def _policy(rng: random.Random) -> Policy:
    """Two permissions, a prohibition with conditions and the usual one; purpose, kind, place, openness, day and duties."""

    def limit(left: str, values: list[str], most: int) -> dict[str, Any]:
        return {"leftOperand": left, "operator": "isAnyOf", "rightOperand": rng.sample(values, rng.randint(1, most))}

    start = DAY + timedelta(days=rng.randint(-300, 0))
    return parse_policy(
        {
            "@context": list(words.CONTEXT),
            "@type": "Set",
            "profile": words.PROFILE,
            "conflict": "prohibit",
            "permission": [
                {
                    "action": "train",
                    "target": list(_OWN),
                    "constraint": [
                        limit("purpose", ["dpv:ResearchAndDevelopment", "dpv:PublicBenefit"], 2),
                        limit("recipient", sorted(words.RECIPIENT_KINDS), 3),
                        {"leftOperand": "dateTime", "operator": "gteq", "rightOperand": start.isoformat()},
                    ],
                },
                {
                    "action": "evaluate",
                    "target": list(_OWN),
                    "constraint": [limit("spatial", ["DE", "FR", "KE", "NL", "US"], 4)],
                },
            ],
            "prohibition": [
                {"action": rng.choice(["rewardModel", "pretrain"]), "constraint": [limit("modelOpenness", ["closed"], 1)]},
                {"action": "reIdentify"},
            ],
            "obligation": [{"action": "inform"}],
        }
    )


def _case(rng: random.Random) -> Case:
    use = parse_use(
        {
            "actions": [rng.choice(_ACTIONS)],
            "purposes": [rng.choice(_PURPOSES)],
            "model_openness": rng.choice([None, "openWeights", "osaid", "closed"]),
            "accepts": ["inform"] if rng.random() < 0.9 else [],
        }
    )
    facts = LabFacts(rng.choice([None, *words.RECIPIENT_KINDS]), rng.choice([None, "DE", "FR", "KE", "NL", "US"]))
    return use, facts, DAY + timedelta(days=rng.randint(-300, 300))


def _condition(left: str, operator: str, right: tuple[str, ...], forbids: bool) -> str:
    if left == "dateTime":
        return f"context.day {'>=' if operator == 'gteq' else '<'} {date.fromisoformat(right[0]).toordinal()}"
    closed = words.closure(left, right)
    if forbids:
        closed = frozenset(value for value, below in words.NARROWER[left].items() if below & closed)
    listed = ", ".join(f'"{value}"' for value in sorted(closed))
    inside = f"[{listed}].contains(context.{left})"
    return f"(!(context has {left}) || {inside})" if forbids else f"context has {left} && {inside}"


def as_cedar(policy: Policy) -> str:
    """The policy in Cedar. A missing attribute must neither permit nor let a prohibition be skipped, so each is asked for."""
    lines = []
    for rules, effect in ((policy.permission, "permit"), (policy.prohibition, "forbid")):
        for rule in rules:
            forbids = effect == "forbid"
            reached = [
                action
                for action in words.ACTIONS
                if (words.touches(action, rule.action) if forbids else words.covers(rule.action, action))
            ]
            actions = ", ".join(f'Action::"{action}"' for action in sorted(reached))
            limits = [_condition(c.left_operand, c.operator, c.right_operand, forbids) for c in rule.constraint]
            when = f" when {{ {' && '.join(limits)} }}" if limits else ""
            lines.append(f"{effect}(principal, action in [{actions}], resource){when};")
    kinds = ", ".join(f'"{rule.action}"' for rule in policy.obligation)
    if kinds:
        lines.append(f"forbid(principal, action, resource) unless {{ context.accepts.containsAll([{kinds}]) }};")
    return "\n".join(lines)


def _request(case: Case) -> dict[str, Any]:
    use, facts, day = case
    context: dict[str, Any] = {"accepts": sorted(use.accepts), "day": day.toordinal()}
    known = {"recipient": facts.kind, "spatial": facts.seat, "modelOpenness": use.model_openness}
    context |= {name: value for name, value in known.items() if value is not None}
    context |= {"purpose": purpose for purpose in use.purposes}
    return {
        "principal": {"type": "Lab", "id": "lab"},
        "action": {"type": "Action", "id": min(use.actions)},
        "resource": {"type": "Record", "id": "record"},
        "context": context,
    }


def plain(policy: Policy, case: Case) -> bool:
    """The decision once more, by nothing but loops."""
    use, facts, day = case
    given = {"recipient": facts.kind, "spatial": facts.seat, "modelOpenness": use.model_openness, "purpose": min(use.purposes)}

    def holds(rule: Any, missing: bool, overlap: bool) -> bool:
        for c in rule.constraint:
            if c.left_operand == "dateTime":
                ok = day.isoformat() >= c.right_operand[0] if c.operator == "gteq" else day.isoformat() < c.right_operand[0]
            elif given[c.left_operand] is None:
                ok = missing
            else:
                below = words.NARROWER[c.left_operand]
                value = given[c.left_operand]
                ok = any(value in below[wide] or (overlap and wide in below[value]) for wide in c.right_operand)
            if not ok:
                return False
        return True

    action = min(use.actions)
    return (
        any(words.covers(rule.action, action) and holds(rule, False, False) for rule in policy.permission)
        and not any(words.touches(rule.action, action) and holds(rule, True, True) for rule in policy.prohibition)
        and all(rule.action in use.accepts for rule in policy.obligation)
    )


def _standard(policy: Policy, case: Case) -> list[tuple[Decider, Any]]:
    """The questions of one use for the standard evaluator: policy, state and request read, ready to be decided."""
    [built] = build_policies(read_graph(standard(policy)))
    made = merged(built, [built])
    asked = []
    for question in questions(policy, *case):
        [request] = build_policies(read_graph(question.request))
        asked.append((Decider(made, read_state(question.state)), read_request(merged(request, [request]))))
    return asked


def _same_verdicts(
    policies: list[Policy],
    compiled: list[CompiledPolicy],
    cedar: list[Any],
    nobody: Any,
    cases: list[Case],
    generic: list[list[tuple[Decider, Any]]],
) -> float:
    """The share of permits. Raises AssertionError unless all agree: on every case under the first policy, which is the one that
    is timed, on as many as `generic` has under each of the others, and there with the standard evaluator."""
    permits = total = 0
    for number, policy in enumerate(policies):
        asked = cases if number == 0 else cases[: len(generic)]
        answers = cedarpy.is_authorized_batch([_request(case) for case in asked], cedar[number], nobody)
        for case, answer in zip(asked, answers, strict=True):
            ours = evaluate(compiled[number], *case).permitted
            assert not answer.diagnostics.errors, answer.diagnostics.errors
            assert ours == answer.allowed == plain(policy, case), (policy.odrl(), case)
            permits, total = permits + ours, total + 1
    for case, questions_of_it in zip(cases, generic, strict=False):
        told = {decider.decide(request)["decision"].startswith("permit") for decider, request in questions_of_it}
        assert told == {evaluate(compiled[0], *case).permitted}, case
    return permits / total
