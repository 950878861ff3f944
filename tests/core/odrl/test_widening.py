"""Nothing that narrows a standard policy widens its decision, and the order in which it is written decides nothing."""

import copy

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.core.odrl.odrl_cases import DUTY, EX, FALSE, KNOWN, OPEN, TRUE, decide, policy, request, rule, state
from tests.core.sizes import examples

QUICK = settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
RANK = {"deny": 0, "indeterminate": 1, "permit_with_obligations": 2, "permit": 2}
ATOM = st.sampled_from([TRUE, TRUE, FALSE, OPEN])
CONDITION = ATOM | st.builds(lambda name, members: {name: members}, st.sampled_from(["and", "or", "xone"]), st.lists(ATOM, min_size=1, max_size=3))
FEW = st.lists(CONDITION, max_size=1)


def made(action, refinement, target, limits, duty):
    refined = {"rdf:value": {"@id": f"odrl:{action}"}, "refinement": refinement}
    return rule(refined, EX + target, constraint=limits, duty=[DUTY] if duty else None)


RULES = st.builds(made, st.sampled_from(["use", "read", "sell"]), FEW, st.sampled_from(["x", "x", "all", "y"]), FEW, st.booleans())
BANS = st.builds(made, st.sampled_from(["use", "read", "sell"]), st.just([]) | FEW, st.sampled_from(["x", "all"]), FEW, st.just(False))
PLAIN = made("use", [], "x", [], False)
# Half of them permit, but for their prohibitions: most policies at random say no to begin with, and then nothing can be seen.
POLICIES = st.builds(
    lambda plain, permissions, bans, conflict: policy(*plain, *permissions, prohibition=bans, **({"conflict": conflict} if conflict else {})),
    st.sampled_from([[], [PLAIN]]), st.lists(RULES, min_size=1, max_size=2), st.lists(BANS, max_size=2),
    st.sampled_from(["prohibit", "prohibit", "perm", "invalid", None]),
).map(copy.deepcopy)  # fmt: skip
WAYS = st.sampled_from(["ban", "ban", "constraint", "refinement", "duty", "fewer"])
DUTIES = st.sampled_from([{}, {DUTY["uid"]: "fulfilled"}])


def decided(given_, facts, duties):
    return decide(given_, request(), state(facts, duties=duties, partOf={EX + "x": [EX + "all"]}))


@QUICK
@given(POLICIES, WAYS, BANS, CONDITION, DUTIES, st.randoms(use_true_random=False))
def test_what_narrows_a_policy_never_widens_it(obj, how, ban, condition, duties, rng):
    narrowed = copy.deepcopy(obj)
    one = rng.choice(narrowed["permission"])
    if how == "ban":
        narrowed["prohibition"].append(ban)
    elif how == "constraint":
        one["constraint"].append(condition)
    elif how == "refinement":
        one["action"]["refinement"].append(condition)
    elif how == "duty":
        one["duty"] = [*one.get("duty", []), {"uid": EX + "other", "action": "inform"}]
    else:
        narrowed["permission"].remove(one)
    assert RANK[decided(narrowed, KNOWN, duties)["decision"]] <= RANK[decided(obj, KNOWN, duties)["decision"]]


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
