"""What must hold for every policy, use and lab: nothing that narrows a policy ever widens an answer."""

import copy
import os
from functools import reduce
from operator import or_

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.core import vocabulary as words
from app.core.evaluation import compile_policy, evaluate, intersect, parse_use, verdict
from app.core.narrowing import narrows
from app.core.policy import parse_policy
from tests.core.policy_cases import (
    BANS,
    DAYS,
    DUTIES,
    FACTS,
    LIMITS,
    OF_PERMISSIONS,
    PERMISSIONS,
    RAW,
    RECORD_AGES,
    USES,
    grants,
    parsed_or_none,
)

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
EXAMPLES = 20_000 if SOAK else 120
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
POLICIES = RAW.map(parse_policy)


def decisions(use, facts, day):
    return st.lists(POLICIES.map(lambda made: evaluate(compile_policy(made), use, facts, day)), min_size=2, max_size=4)


@QUICK
@given(RAW, BANS, USES, FACTS, DAYS)
def test_adding_a_prohibition_never_widens(obj, rule, use, facts, day):
    stricter = parsed_or_none({**obj, "prohibition": [*obj["prohibition"], rule]})
    assume(stricter is not None)
    assert grants(stricter, use, facts, day) <= grants(parse_policy(obj), use, facts, day)


@QUICK
@given(RAW, OF_PERMISSIONS, USES, FACTS, DAYS, st.randoms(use_true_random=False))
def test_adding_a_constraint_to_a_permission_never_widens(obj, constraint, use, facts, day, rng):
    assume(obj["permission"])
    narrowed = copy.deepcopy(obj)
    rng.choice(narrowed["permission"])["constraint"].append(constraint)
    stricter = parsed_or_none(narrowed)
    assume(stricter is not None)
    assert grants(stricter, use, facts, day) <= grants(parse_policy(obj), use, facts, day)


@QUICK
@given(RAW, USES, FACTS, DAYS, st.randoms(use_true_random=False))
def test_dropping_a_value_or_a_permission_never_widens(obj, use, facts, day, rng):
    assume(obj["permission"])
    narrowed = copy.deepcopy(obj)
    rule = rng.choice(narrowed["permission"])
    values = [c["rightOperand"] for c in rule["constraint"] if isinstance(c["rightOperand"], list)]
    values = [v for v in [*values, rule["target"]] if len(v) > 1]
    if values:
        values[0].pop()
    else:
        narrowed["permission"].remove(rule)
    stricter = parsed_or_none(narrowed)
    assume(stricter is not None)
    assert grants(stricter, use, facts, day) <= grants(parse_policy(obj), use, facts, day)


@QUICK
@given(RAW, DUTIES, USES, FACTS, DAYS)
def test_adding_an_obligation_never_widens(obj, duty, use, facts, day):
    stricter = parsed_or_none({**obj, "obligation": [*obj["obligation"], duty]})
    assume(stricter is not None)
    assert grants(stricter, use, facts, day) <= grants(parse_policy(obj), use, facts, day)


@QUICK
@given(POLICIES, USES, FACTS, DAYS)
def test_fewer_facts_never_widen(made, use, facts, day):
    known = evaluate(compile_policy(made), use, facts, day)
    nothing = dict.fromkeys(["model_openness", "territory", "storage", "retention_days", "ethics_review"])
    fewer = [{"purposes": []}, nothing, *({key: None} for key in nothing)]
    blanks = [(parse_use({**use.to_json(), **gone}), facts) for gone in fewer]
    for ask, lab in [*blanks, (use, type(facts)(None, facts.seat)), (use, type(facts)(facts.kind, None))]:
        blind = evaluate(compile_policy(made), ask, lab, day)
        assert blind.parts & ~known.parts == 0
        assert not (blind.outcome == "deny" and known.permitted)


@QUICK
@given(POLICIES, USES, FACTS, DAYS)
def test_more_actions_or_purposes_never_widen(made, use, facts, day):
    whole = evaluate(compile_policy(made), use, facts, day)
    for action in use.actions:
        alone = parse_use({**use.to_json(), "actions": [action]})
        assert whole.parts & ~evaluate(compile_policy(made), alone, facts, day).parts == 0
    for purpose in use.purposes:
        alone = parse_use({**use.to_json(), "purposes": [purpose]})
        assert whole.parts & ~evaluate(compile_policy(made), alone, facts, day).parts == 0


@QUICK
@given(RAW, USES, FACTS, DAYS, st.randoms(use_true_random=False))
def test_order_changes_no_decision(obj, use, facts, day, rng):
    shuffled = copy.deepcopy(obj)
    for name in ("permission", "prohibition", "obligation"):
        rng.shuffle(shuffled[name])
    one, two = compile_policy(parse_policy(obj)), compile_policy(parse_policy(shuffled))
    assert evaluate(one, use, facts, day) == evaluate(two, use, facts, day)


@QUICK
@given(POLICIES, USES, FACTS, DAYS)
def test_what_every_answer_holds(made, use, facts, day):
    answer = evaluate(compile_policy(made), use, facts, day)
    assert answer.permitted == bool(answer.parts)
    assert bool(answer.parts) == bool(answer.parts & words.OWN_PARTS)
    assert bool(answer.nearest) != answer.permitted
    assert answer.valid_until is None or answer.valid_until > day
    assert answer.reasons == tuple(sorted(set(answer.reasons)))
    if answer.outcome == "permit":
        assert not answer.obligations
    if "linkWithinRelease" in use.actions and answer.permitted:
        assert any(rule.action == "linkWithinRelease" for rule in made.permission)
    assert intersect([answer]) == answer
    for reason in answer.reasons:
        assert reason.seen or reason.satisfied in ("missing", "record", "release") or reason.rule.startswith("obligation/")


@QUICK
@given(POLICIES, USES, FACTS, DAYS)
def test_what_is_decided_for_many_records_equals_what_is_decided_for_each(made, use, facts, day):
    compiled = compile_policy(made)
    many = verdict(compiled, use, facts, day)
    assert [step.from_age for step in many.steps] == [0, *(step.to_age for step in many.steps[:-1])]
    assert many.steps[-1].to_age is None
    for age in RECORD_AGES:
        one = evaluate(compiled, use, facts, day, age)
        (step,) = [s for s in many.steps if s.from_age <= age and (s.to_age is None or age < s.to_age)]
        assert (step.parts, many.person, many.group_size) == (one.parts, one.attested == "person", one.group_size)
    whole = evaluate(compiled, use, facts, day)
    assert whole.parts == reduce(or_, (step.parts for step in many.steps))
    assert (whole.permitted, whole.valid_until) == (many.permit, many.valid_until)


@QUICK
@given(POLICIES, USES, FACTS, DAYS)
def test_the_answer_holds_until_it_says(made, use, facts, day):
    compiled = compile_policy(made)
    answer = evaluate(compiled, use, facts, day)
    later = max(edge for edge in (day.replace(year=2027), answer.valid_until) if edge)
    if answer.valid_until:
        later = answer.valid_until.fromordinal(answer.valid_until.toordinal() - 1)
    again = evaluate(compiled, use, facts, later)
    assert (again.outcome, again.parts) == (answer.outcome, answer.parts)


@QUICK
@given(st.data(), USES, FACTS, DAYS)
def test_intersection_is_commutative_associative_and_idempotent(data, use, facts, day):
    layers = data.draw(decisions(use, facts, day))
    together = intersect(layers)
    assert intersect(layers[::-1]) == together
    assert intersect([*layers, *layers]) == together
    folded = reduce(lambda one, two: intersect([one, two]), layers)
    assert (folded.outcome, folded.parts, folded.obligations) == (
        together.outcome,
        together.parts,
        together.obligations,
    )
    for layer in layers:
        assert intersect([layer, layer]) == layer
        assert together.parts & ~layer.parts == 0
        assert not together.permitted or layer.permitted


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    RAW,
    st.lists(PERMISSIONS, max_size=1),
    LIMITS,
    st.lists(st.tuples(USES, FACTS, DAYS), min_size=8, max_size=8),
    st.randoms(use_true_random=False),
)
def test_narrows_is_sound(obj, more, constraint, asked, rng):
    """Mutate a policy a little in any direction; whenever `narrows` says yes, no use anywhere gets more."""
    other = copy.deepcopy(obj)
    for name in ("permission", "prohibition", "obligation"):
        if other[name] and rng.random() < 0.3:
            other[name].remove(rng.choice(other[name]))
    for rule in [*other["permission"], *other["prohibition"]]:
        if rng.random() < 0.3:
            rule.setdefault("constraint", []).append(constraint)
        if rule.get("target") and rng.random() < 0.2:
            rule["target"] = rule["target"][:1]
    if rng.random() < 0.3:
        other["permission"].extend(more)
    new, old = parsed_or_none(other), parse_policy(obj)
    assume(new is not None)
    assert narrows(old, old)
    for one, two in [(new, old), (old, new)]:
        if narrows(one, two):
            for use, facts, day in asked:
                assert grants(one, use, facts, day) <= grants(two, use, facts, day)
