"""No export says yes where the evaluator says anything but an unconditional yes."""

import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.core import vocabulary as words
from app.core.evaluation import compile_policy, evaluate
from app.core.exports import AIPREF, AIPREF_DRAFT, CAWG, DPV, aipref, answer, cawg, dpv
from app.core.policy import parse_policy
from tests.core.policy_cases import (
    ACTION,
    BANS,
    DAYS,
    DUTIES,
    FACTS,
    OF_PERMISSIONS,
    OPENNESS,
    PURPOSE,
    RAW,
    RECORD_AGES,
    ask,
    limit,
    odrl,
    owed,
    parsed_or_none,
    rule,
)
from tests.core.sizes import examples

EXAMPLES = 20_000 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 200

ADDRESS = "https://sayso.example/v1/policies/" + "0" * 64
EVERY = tuple(words.PARTS)
ROOTS = [action for action, above in words.ACTIONS.items() if above is None and action in words.PERMITTABLE]


def said_yes(policy):
    """(export, foreign word, our actions) of every yes in every export."""
    value = aipref(policy)["value"]
    fields = dict(one.split("=") for one in value.split(", "))
    assert set(fields) == set(AIPREF) and set(fields.values()) <= {"y", "n"}
    found = [("aipref", word, AIPREF[word]) for word, told in fields.items() if told == "y"]
    entries = cawg(policy, ADDRESS)["data"]["entries"]
    assert set(entries) == set(CAWG)
    found += [("cawg", word, CAWG[word]) for word, told in entries.items() if told["use"] == "allowed"]
    for told in dpv(policy, ADDRESS)["dpv:hasPermission"]:
        word = told["dpv:hasProcessing"]["@id"]
        found.append(("dpv", word, DPV[word]))
    return found


# Policies that often permit much and condition little: random ones hardly ever say an unconditional yes.
WIDE = st.builds(
    lambda roots, more, bans, duties: odrl(
        [*(rule(action, EVERY) for action in roots), *more], [*bans, {"action": "reIdentify"}], duties
    ),
    st.lists(st.sampled_from(ROOTS), min_size=1, max_size=6, unique=True),
    st.lists(
        st.builds(
            lambda a, t, c: rule(a, t, *c),
            ACTION,
            st.sampled_from([EVERY, ("text",), ("judgment", "profile")]),
            st.lists(OF_PERMISSIONS, max_size=1),
        ),
        max_size=2,
    ),
    st.lists(BANS, max_size=1),
    st.lists(DUTIES, max_size=1),
).filter(lambda obj: parsed_or_none(obj) is not None)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(WIDE | RAW, st.data(), FACTS, DAYS)
def test_no_export_says_yes_where_the_evaluator_does_not(obj, data, facts, day):
    policy = parse_policy(obj)
    yes = said_yes(policy)
    assume(yes)
    for _, _, actions in yes:
        covered = sorted(frozenset().union(*(words.narrower_actions(action) for action in actions)))
        use = ask(
            *data.draw(st.lists(st.sampled_from(covered), min_size=1, max_size=3)),
            purposes=data.draw(st.lists(PURPOSE, max_size=2)),
            openness=data.draw(st.none() | OPENNESS),
            accepts=[],
        )
        unconditional(evaluate(compile_policy(policy), use, facts, day))
        unconditional(evaluate(compile_policy(policy), use, facts, day, data.draw(st.sampled_from(RECORD_AGES))))


def unconditional(decision):
    """All parts, of a record by whomever attested and of any age, in a group of any size, with nothing owed."""
    assert decision.outcome == "permit" and decision.parts == words.ALL_PARTS
    assert decision.attested is None and decision.group_size == 0 and not decision.obligations


BARE = {
    "@context": list(words.CONTEXT), "@type": "Set", "profile": words.PROFILE, "conflict": "prohibit",
    "permission": [rule(action, EVERY) for action in ROOTS],
}  # fmt: skip
CONDITIONS = {
    "purpose": ["dpv:Marketing"],
    "recipient": ["academic"],
    "spatial": ["DE"],
    "processingPlace": ["DE"],
    "storagePlace": ["DE"],
    "modelOpenness": ["openWeights"],
    "dateTime": "2030-01-01",
    "delayPeriod": "P3650D",
    "ethicsReview": "approved",
    "attestation": "person",
    "groupSize": "2",
}


def test_every_constraint_of_the_profile_and_every_obligation_takes_each_yes_away():
    """Of every word that the profile has: a new one fails here until it was thought of."""
    assert set(CONDITIONS) == set(words.OPERATORS)
    everything = len(said_yes(parse_policy(BARE)))
    assert everything == len(AIPREF) + len(CAWG) + len(DPV)
    for left, operators in words.OPERATORS.items():
        for operator in operators:
            term = limit(left, operator, CONDITIONS[left])
            conditioned = [{**one, "constraint": [term]} for one in BARE["permission"]]
            assert not said_yes(parse_policy({**BARE, "permission": conditioned})), left
            if left not in words.PERMISSION_ONLY:
                bans = [{"action": action, "constraint": [term]} for action in ROOTS]
                assert not said_yes(parse_policy({**BARE, "prohibition": bans})), left
    for kind in words.OBLIGATIONS:
        assert not said_yes(parse_policy({**BARE, "obligation": [owed(kind)]})), kind
    assert len(said_yes(parse_policy({**BARE, "prohibition": [{"action": "reIdentify"}]}))) == everything


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(WIDE, BANS, DUTIES)
def test_a_further_prohibition_or_obligation_never_adds_a_yes(obj, rule_, duty):
    before = set(said_yes(parse_policy(obj)))
    for more in ({"prohibition": [*obj["prohibition"], rule_]}, {"obligation": [*obj["obligation"], duty]}):
        stricter = parsed_or_none({**obj, **more})
        if stricter is not None:
            assert set(said_yes(stricter)) <= before


def test_a_policy_that_permits_everything_outright_says_yes_everywhere():
    everything = parse_policy(odrl([rule(action, EVERY) for action in ROOTS]))
    assert len(said_yes(everything)) == len(AIPREF) + len(CAWG) + len(DPV)
    assert aipref(everything) == {"draft": AIPREF_DRAFT, "field": "Content-Usage", "value": "train-ai=y, search=y"}


def test_the_property_is_not_empty():
    only = parse_policy(odrl([rule("trainGenerative", EVERY)]))
    assert [(export, word) for export, word, _ in said_yes(only)] == [
        ("aipref", "train-ai"),
        ("cawg", "cawg.ai_generative_training"),
    ]


TRAIN = rule("train", EVERY)


@pytest.mark.parametrize(
    "obj",
    [
        odrl([rule("train", EVERY, limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]))]),
        odrl([rule("train", EVERY, limit("dateTime", "lt", "2030-01-01"))]),
        odrl([rule("train", EVERY, limit("attestation", "eq", "person"))]),
        odrl([TRAIN], obligation=[owed("attribute")]),
        odrl([TRAIN], [rule("preferenceTune", ("text",))]),
        odrl([rule("train", ("text", "judgment"))]),
        odrl([rule("pretrain", EVERY), rule("fineTune", EVERY)]),
    ],
)
def test_any_condition_makes_it_a_no_or_constrained(obj):
    policy = parse_policy(obj)
    if obj["permission"][0]["action"] == "train":
        assert aipref(policy)["value"].startswith("train-ai=n")
    told = cawg(policy, ADDRESS)["data"]["entries"]["cawg.ai_generative_training"]
    assert told == {"use": "constrained", "constraint_info": ADDRESS}
    assert not dpv(policy, ADDRESS)["dpv:hasPermission"]


def test_what_is_not_permitted_at_all_is_not_allowed():
    nothing = parse_policy(odrl())
    assert {one["use"] for one in cawg(nothing, ADDRESS)["data"]["entries"].values()} == {"notAllowed"}
    assert not said_yes(nothing)
    assert answer(nothing, ["evaluate"]) == "no"


def test_dpv_names_the_policy_and_the_ban_on_re_identification():
    made = parse_policy(odrl([TRAIN]))
    told = dpv(made, ADDRESS)
    assert told["@id"] == made.uid and told["dct:source"] == {"@id": ADDRESS}
    risk = {"@id": "https://w3id.org/dpv/risk#UnauthorisedReidentification"}
    assert {"@type": "dpv:Prohibition", "dpv:hasRisk": risk} in told["dpv:hasProhibition"]
    processed = [one["dpv:hasProcessing"]["@id"] for one in told["dpv:hasPermission"]]
    assert processed == ["https://w3id.org/dpv/ai#ModelFineTuning", "https://w3id.org/dpv/ai#ModelTraining"]
