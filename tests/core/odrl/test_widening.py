"""Nothing that narrows a standard policy widens its decision, and the order in which it is written decides nothing."""

import copy

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.core.odrl.odrl_cases import DUTY, EX, FALSE, KNOWN, OPEN, TRUE, decide, policy, request, rule, state
from tests.core.sizes import examples

QUICK = settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
RANK = {"deny": 0, "indeterminate": 1, "permit_with_obligations": 2, "permit": 2}
CONDITION = st.recursive(
    st.sampled_from([TRUE, TRUE, TRUE, FALSE, OPEN]),
    lambda below: st.builds(lambda name, members: {name: members}, st.sampled_from(["and", "or", "xone"]), st.lists(below, min_size=1, max_size=3)),
    max_leaves=4,
)
CONDITIONS = st.lists(CONDITION, max_size=2)


def refined(action, conditions):
    return {"rdf:value": {"@id": f"odrl:{action}"}, "refinement": conditions}


RULES = st.builds(
    lambda action, conditions, target, limits, duty: rule(refined(action, conditions), EX + target, constraint=limits, duty=[DUTY] if duty else None),
    st.sampled_from(["use", "read", "read", "sell"]), st.lists(CONDITION, max_size=1), st.sampled_from(["x", "x", "all", "y"]), CONDITIONS,
    st.just(False) | st.booleans(),
)  # fmt: skip
BANS = RULES.map(lambda one: {key: value for key, value in one.items() if key != "duty"})
POLICIES = st.builds(
    lambda permissions, bans, conflict: policy(*permissions, prohibition=bans, **conflict),
    st.lists(RULES, min_size=1, max_size=3), st.lists(BANS, max_size=1),
    st.sampled_from([{}, *({"conflict": name} for name in ("perm", "prohibit", "invalid"))]),
)  # fmt: skip
DUTIES = st.sampled_from([{}, {DUTY["uid"]: "fulfilled"}])


def decided(given_, facts, duties):
    return decide(given_, request(), state(facts, duties=duties, partOf={EX + "x": [EX + "all"]}))


@QUICK
@given(POLICIES, st.sampled_from(["ban", "constraint", "refinement", "duty", "fewer"]), BANS, CONDITION, DUTIES, st.randoms(use_true_random=False))
def test_what_narrows_a_policy_never_widens_it(obj, how, ban, condition, duties, rng):
    made = copy.deepcopy(obj)
    one = rng.choice(made["permission"])
    if how == "ban":
        made["prohibition"].append(ban)
    elif how == "constraint":
        one["constraint"].append(condition)
    elif how == "refinement":
        one["action"]["refinement"].append(condition)
    elif how == "duty":
        one["duty"] = [*one.get("duty", []), {"uid": EX + "other", "action": "inform"}]
    else:
        made["permission"].remove(one)
    assert RANK[decided(made, KNOWN, duties)["decision"]] <= RANK[decided(obj, KNOWN, duties)["decision"]]


@QUICK
@given(POLICIES, DUTIES, st.sampled_from(sorted(KNOWN)))
def test_a_fact_less_never_permits_more(obj, duties, gone):
    fewer = {name: value for name, value in KNOWN.items() if name != gone}
    assume(decided(obj, fewer, duties)["decision"].startswith("permit"))
    assert decided(obj, KNOWN, duties)["decision"].startswith("permit")


@QUICK
@given(POLICIES, BANS, DUTIES, st.randoms(use_true_random=False))
def test_the_order_of_rules_and_constraints_decides_nothing(obj, ban, duties, rng):
    obj["prohibition"].append(ban)
    shuffled = copy.deepcopy(obj)
    for listed in (shuffled["permission"], shuffled["prohibition"], *(one["constraint"] for one in shuffled["permission"])):
        rng.shuffle(listed)
    one, two = decided(obj, KNOWN, duties), decided(dict(reversed(shuffled.items())), KNOWN, duties)
    assert (one["decision"], one["why"]) == (two["decision"], two["why"])
    assert sorted((r["type"], r["activation"], r["deontic"]) for r in one["rules"]) == sorted(
        (r["type"], r["activation"], r["deontic"]) for r in two["rules"]
    )
