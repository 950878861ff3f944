"""A permission that can never take effect is refused, also where only several prohibitions together take all of it."""

import json
import os
from datetime import date
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core import vocabulary as words
from app.core.evaluation import LabFacts, compile_policy, evaluate
from app.core.policy import Permission, PolicyError, Prohibition, parse_policy
from app.core.reach import never_fires
from tests.core.policy_cases import BANS, DAY, DAYS, PERMISSIONS, ask, ban, limit, odrl, parsed_or_none, policy, rule

EXAMPLES = 5_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 40

TEXT = rule("fineTune", ["text"])
BOTH = rule("fineTune", ["text", "judgment"])


def window(operator, day):
    return limit("dateTime", operator, day)


DEAD = {
    "part by part": (BOTH, [ban("train", target=["text"]), ban("fineTune", target=["judgment", "context"])]),
    "before and after": (TEXT, [ban("train", window("lt", "2027-01-01")), ban("train", window("gteq", "2027-01-01"))]),
    "overlapping days": (TEXT, [ban("train", window("lt", "2028-01-01")), ban("train", window("gteq", "2027-01-01"))]),
    "every kind of lab": (TEXT, [ban("fineTune", limit("recipient", "isAnyOf", k)) for k in words.RECIPIENT_KINDS]),
    "every action below it": (TEXT, [ban("preferenceTune"), ban("rewardModel")]),
    "each of its purposes": (
        rule("fineTune", ["text"], limit("purpose", "isAnyOf", ["dpv:CommercialResearch", "dpv:Marketing"])),
        [
            ban("train", limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"])),
            ban("fineTune", limit("purpose", "isAnyOf", ["dpv:Marketing"])),
        ],
    ),
    "its window": (
        rule("fineTune", ["text"], window("gteq", "2027-01-01"), window("lt", "2028-01-01")),
        [ban("train", window("gteq", "2026-06-01"), window("lt", "2028-06-01"))],
    ),
    "kinds here and days there": (
        rule("fineTune", ["text"], limit("recipient", "isAnyOf", ["academic", "company"])),
        [
            ban("train", limit("recipient", "isAnyOf", ["academic"])),
            ban("train", limit("recipient", "isAnyOf", ["company"]), window("lt", "2030-01-01")),
            ban("train", window("gteq", "2029-01-01")),
        ],
    ),
}
ALIVE = {
    "a part is left": (BOTH, [ban("train", target=["text"]), ban("fineTune", target=["context"])]),
    "a day is left": (TEXT, [ban("train", window("lt", "2027-01-01")), ban("train", window("gteq", "2027-01-02"))]),
    "a kind is left": (TEXT, [ban("fineTune", limit("recipient", "isAnyOf", ["academic", "company", "government"]))]),
    "an action is left": (rule("train", ["text"]), [ban("preferenceTune"), ban("pretrain"), ban("trainNonGenerative")]),
    "a place is left": (TEXT, [ban("train", limit("storagePlace", "isAnyOf", sorted(words.COUNTRIES - {"IS"})))]),
    "only together": (
        TEXT,
        [ban("train", limit("recipient", "isAnyOf", ["academic"]), limit("spatial", "isAnyOf", ["DE"]))],
    ),
}


@pytest.mark.parametrize("name", DEAD)
def test_dead(name):
    permission, bans = DEAD[name]
    with pytest.raises(PolicyError) as caught:
        parse_policy(odrl([permission], bans))
    assert caught.value.code == "policy_never_permits" and "fineTune can never be permitted" in caught.value.message


@pytest.mark.parametrize("name", ALIVE)
def test_alive(name):
    permission, bans = ALIVE[name]
    assert parse_policy(odrl([permission], bans)).permission


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(PERMISSIONS, st.lists(BANS, max_size=4), DAYS)
def test_what_is_called_dead_is_never_permitted(permission, bans, day):
    """Without the refusal, nothing that such a policy allows is ever allowed: tried with every lab and purpose of the tests."""
    alone = parsed_or_none(odrl([permission]))
    assume(alone is not None)
    banned = parsed_or_none(odrl([], [*bans, {"action": "reIdentify"}]))
    assume(banned is not None and never_fires(alone.permission[0], alone.permission, banned.prohibition))
    unchecked = alone.model_copy(update={"prohibition": banned.prohibition})
    for action in words.narrower_actions(permission["action"]):
        for purpose in ("dpv:ScientificResearch", "dpv:CommercialResearch", "dpv:CommercialPurpose", "dpv:Marketing"):
            for kind in ("academic", "company"):
                for place in ("DE", "KE"):
                    for openness in ("mof1", "closed"):
                        use = ask(
                            action, purposes=[purpose], openness=openness, territory=place, storage=place,
                            retention_days=1, ethics_review="ab" * 32,
                        )  # fmt: skip
                        for age in (0, 2, 3, 5):
                            answer = evaluate(compile_policy(unchecked), use, LabFacts(kind, place), day, age)
                            assert not answer.parts & unchecked.permission[0].mask & words.OWN_PARTS


TERMS = ["dpv:ResearchAndDevelopment", "dpv:ScientificResearch", "dpv:CommercialResearch", "dpv:Marketing"]
OF_A_FEW = st.one_of(
    st.lists(st.sampled_from(TERMS), min_size=1, max_size=2).map(lambda v: limit("purpose", "isAnyOf", v)),
    st.lists(st.sampled_from(["academic", "company"]), min_size=1, max_size=1).map(lambda v: limit("recipient", "isAnyOf", v)),
    st.builds(window, st.sampled_from(["gteq", "lt"]), st.sampled_from(["2000-01-01", "2026-06-01", "2026-06-02"])),
)
AGED = st.builds(lambda o, n: limit("delayPeriod", o, n), st.sampled_from(["gteq", "lt"]), st.sampled_from(["P2D", "P3D"]))
SOME_PARTS = st.lists(st.sampled_from(words.PARTS), min_size=1, max_size=2, unique=True)
NAMED = st.sampled_from(["trainGenerative", "fineTune", "rewardModel"])
A_RULE = st.builds(lambda a, t, c: rule(a, t, *c), NAMED, SOME_PARTS, st.lists(OF_A_FEW | AGED, max_size=2))
A_BAN = st.builds(lambda a, t, c: rule(a, t, *c), NAMED, SOME_PARTS, st.lists(OF_A_FEW, max_size=2))
USES = [
    (ask(action, purposes=[purpose]), LabFacts(kind, "DE"))
    for action in sorted(words.narrower_actions("trainGenerative"))
    for purpose in (*TERMS, "dpv:AcademicResearch", "dpv:EnforceSecurity")
    for kind in ("academic", "company", "government")
]
SOME_DAYS = [date(2000, 1, 1), date(2026, 5, 31), date(2026, 6, 1), date(2026, 6, 2)]


def _model(kind, one):
    try:
        return kind.model_validate_json(json.dumps(one))
    except ValidationError:
        return None


def _given(made, permission):
    """Whether some use by some lab is given a part of the permission, because of it."""
    alone = made.model_copy(update={"permission": (permission.model_copy(update={"target": ("text",)}),), "prohibition": ()})
    whole, single = compile_policy(made), compile_policy(alone)
    for (use, facts), day in product(USES, SOME_DAYS):
        for age in (0, 2, 3):
            if evaluate(whole, use, facts, day, age).parts & permission.mask and evaluate(single, use, facts, day, age).parts:
                return True
    return False


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(A_RULE, min_size=1, max_size=3), st.lists(A_BAN, max_size=3))
def test_dead_is_exactly_what_is_never_given(permissions, bans):
    """Of rules that may lack text or judgment, too: no policy is refused that could give what it says, and none taken that never does."""
    rules = tuple(one for one in (_model(Permission, p) for p in permissions) if one is not None)
    shut = tuple(one for one in (_model(Prohibition, b) for b in bans) if one is not None)
    made = policy(TEXT).model_copy(update={"permission": rules, "prohibition": shut})
    for one in rules:
        assert (never_fires(one, rules, shut) is None) == _given(made, one)


def test_too_many_cases_are_taken_for_alive():
    places = sorted(words.COUNTRIES)
    bans = [
        ban("train", limit("spatial", "isAnyOf", [places[n]]), limit("storagePlace", "isAnyOf", [places[n]]), window("lt", f"20{n + 30}-01-01"))
        for n in range(50)
    ]
    assert parse_policy(odrl([TEXT], bans)).permission


def test_nothing_is_released_because_of_a_wrong_alive():
    made = policy(TEXT, prohibition=[ban("train", limit("recipient", "isAnyOf", ["academic"]))])
    assert evaluate(compile_policy(made), ask("fineTune"), LabFacts("academic", "DE"), DAY).outcome == "deny"
