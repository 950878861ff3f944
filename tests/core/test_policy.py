"""Parsing: one normal form, one digest, and a refusal with the known terms for everything the profile does not have."""

import copy
import hashlib
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core import vocabulary as words
from app.core.canonical import unb64u
from app.core.policy import RULES, PolicyError, parse_policy
from tests.core.policy_cases import RAW, ban, limit, odrl, owed, policy, rule
from tests.core.sizes import examples

ROOT = Path(__file__).parents[2] / "policies"
QUICK = settings(max_examples=examples(120), deadline=None, suppress_health_check=list(HealthCheck))


def refused(obj):
    with pytest.raises(PolicyError) as caught:
        parse_policy(obj)
    return caught.value


def test_published_vector():
    vector = json.loads((ROOT / "vectors/full-example.json").read_text())
    made = parse_policy(vector["policy"])
    assert made.canonical_bytes() == vector["canonical"].encode()
    assert made.digest == vector["digest"] == hashlib.sha256(vector["canonical"].encode()).hexdigest()
    assert made.uid == vector["uid"]
    assert unb64u(made.uid.removeprefix("ni:///sha-256;")).hex() == made.digest
    assert made.digest == "01a055d787c4cccf3d18c909d8060b3c2df36b8d025535431a16347555f7e6a9"


def test_context_document_knows_every_word():
    context = json.loads((ROOT / "context.jsonld").read_text())["@context"]
    assert set(words.ACTIONS) | set(words.PARTS) <= {*context, *context["target"]["@context"]}
    assert context["sayso"] == words.PROFILE + "#"


def test_round_trip_with_and_without_uid():
    made = policy(rule("train", ["text"]), obligation=[owed("delete")])
    assert parse_policy(made.odrl()) == made
    assert parse_policy(made.odrl(uid=True)) == made
    assert parse_policy(json.loads(made.canonical_bytes())).digest == made.digest
    wrong = refused({**made.odrl(), "uid": "ni:///sha-256;AAAA"})
    assert (wrong.code, wrong.path, wrong.known) == ("policy_invalid", "/uid", (made.uid,))


@QUICK
@given(RAW, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(obj, rng):
    shuffled = copy.deepcopy(obj)
    for name in ("permission", "prohibition", "obligation"):
        if shuffled[name]:
            shuffled[name].append(copy.deepcopy(rng.choice(shuffled[name])))
        rng.shuffle(shuffled[name])
        for one in shuffled[name]:
            for values in [one.get("constraint", []), one.get("target", [])]:
                rng.shuffle(values)
            if name != "obligation" and one.get("constraint"):
                one["constraint"].append(copy.deepcopy(rng.choice(one["constraint"])))
                for constraint in one["constraint"]:
                    if isinstance(constraint["rightOperand"], list):
                        constraint["rightOperand"] = rng.sample(
                            constraint["rightOperand"] * 2, len(constraint["rightOperand"]) * 2
                        )
    assert parse_policy(shuffled) == parse_policy(obj)
    assert parse_policy(shuffled).digest == parse_policy(obj).digest
    assert parse_policy(parse_policy(obj).odrl()) == parse_policy(obj)


def test_equal_meaning_equal_digest():
    narrow, wide = "dpv:ScientificResearch", "dpv:ResearchAndDevelopment"
    one = policy(
        rule("train", ["text"], limit("purpose", "isAnyOf", [wide])),
        rule("train", ["judgment"], limit("purpose", "isAnyOf", wide)),
    )
    two = policy(rule("train", ["judgment", "text"], limit("purpose", "isAnyOf", [narrow, wide])))
    assert one.digest == two.digest
    days = policy(
        rule("train", ["text"], limit("dateTime", "gteq", "2027-01-01"), limit("dateTime", "gteq", "2026-01-01"))
    )
    assert days == policy(rule("train", ["text"], limit("dateTime", "gteq", "2027-01-01")))
    assert policy(prohibition=[{"action": "train"}]) == policy(prohibition=[ban("train")])


def test_no_permission_is_a_policy():
    assert policy().permission == ()
    assert refused(odrl(prohibition=[])).code == "policy_invalid"


def at(path, value):
    def change(obj):
        node = obj
        *way, last = path
        for step in way:
            node = node[step]
        node[last] = value

    return change


GOOD = odrl(
    [
        rule(
            "train",
            ["text"],
            limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]),
            limit("dateTime", "lt", "2030-01-01"),
        )
    ],
    [ban("evaluate", limit("spatial", "isAnyOf", ["DE"]))],
    [owed("attribute"), owed("delete")],
)
C = ("permission", 0, "constraint")
UNKNOWN = {
    "profile": (("profile",), "https://other.example/", "/profile", words.PROFILE),
    "core profile": (("profile",), "http://www.w3.org/ns/odrl/2/core", "/profile", words.PROFILE),
    "context": (("@context",), ["https://evil.example/c"], "/@context", words.CONTEXT[0]),
    "type": (("@type",), "Offer", "/@type", "Set"),
    "conflict perm": (("conflict",), "perm", "/conflict", "prohibit"),
    "conflict invalid": (("conflict",), "invalid", "/conflict", "prohibit"),
    "policy key": (("inheritFrom",), "https://evil.example/p", "/inheritFrom", "permission"),
    "assigner": (("assigner",), "me", "/assigner", "permission"),
    "duty": (("permission", 0, "duty"), [], "/permission/0/duty", "target"),
    "remedy": (("prohibition", 0, "remedy"), [], "/prohibition/0/remedy", "target"),
    "consequence": (("obligation", 0, "consequence"), [], "/obligation/0/consequence", "action"),
    "action": (("permission", 0, "action"), "use", "/permission/0/action", "train"),
    "action iri": (("permission", 0, "action"), "odrl:use", "/permission/0/action", "train"),
    "permitted reIdentify": (("permission", 0, "action"), "reIdentify", "/permission/0/action", "train"),
    "prohibited action": (("prohibition", 0, "action"), "play", "/prohibition/0/action", "reIdentify"),
    "obligation": (("obligation", 0, "action"), "pay", "/obligation/0/action", "delete"),
    "part": (("permission", 0, "target"), ["text", "audio"], "/permission/0/target", "judgment"),
    "operand": ((*C, 0, "leftOperand"), "count", "/permission/0/constraint/0", "purpose"),
    "anonymity": ((*C, 0, "leftOperand"), "kAnonymity", "/permission/0/constraint/0", "purpose"),
    "operator": ((*C, 0, "operator"), "isNoneOf", "/permission/0/constraint/0", "isAnyOf"),
    "date operator": ((*C, 1, "operator"), "eq", "/permission/0/constraint/1", "gteq"),
    "purpose": ((*C, 0, "rightOperand"), ["dpv:Purpose"], "/permission/0/constraint/0", "dpv:ScientificResearch"),
    "typed value": (
        (*C, 1, "rightOperand"),
        {"@value": "2030-01-01", "@type": "xsd:date"},
        "/permission/0/constraint/1/rightOperand",
        "a plain text",
    ),
    "value as a node": ((*C, 0, "rightOperand"), [{"@id": "dpv:ScientificResearch"}], "/permission/0/constraint/0/rightOperand", "a plain text"),
    "part as a node": (("permission", 0, "target"), {"@id": "text"}, "/permission/0/target", "a plain text"),
    "reference": (
        (*C, 0, "rightOperandReference"),
        "https://evil.example/",
        "/permission/0/constraint/0/rightOperandReference",
        "operator",
    ),
    "country": (("prohibition", 0, "constraint", 0, "rightOperand"), ["UK"], "/prohibition/0/constraint/0", "GB"),
    "lower case country": (
        ("prohibition", 0, "constraint", 0, "rightOperand"),
        ["de"],
        "/prohibition/0/constraint/0",
        "DE",
    ),
    "attestation of a ban": (
        ("prohibition", 0, "constraint", 0),
        limit("attestation", "eq", "person"),
        "/prohibition/0/constraint/0",
        "purpose",
    ),
    "mode": (("obligation", 0, "constraint", 0, "rightOperand"), "loud", "/obligation/0", "anonymous"),
    "event": (("obligation", 1, "constraint", 0, "rightOperand"), "sunset", "/obligation/1", "withdrawal"),
    "duty constraint": (
        ("obligation", 0, "constraint", 0, "leftOperand"),
        "event",
        "/obligation/0",
        "attributionMode eq",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_terms_name_the_known_ones(name):
    path, value, where, known = UNKNOWN[name]
    obj = copy.deepcopy(GOOD)
    at(path, value)(obj)
    error = refused(obj)
    assert (error.code, error.path) == ("policy_unknown_term", where)
    assert known in error.known
    assert error.message


INVALID = {
    "number": ((*C, 0, "rightOperand"), 3),
    "null": ((*C, 0, "rightOperand"), None),
    "float": ((*C, 0, "rightOperand"), 1.5),
    "no value": ((*C, 0, "rightOperand"), []),
    "no target": (("permission", 0, "target"), []),
    "action list": (("permission", 0, "action"), ["train", "evaluate"]),
    "rule object": (("permission",), {"action": "train", "target": ["text"]}),
    "two days": ((*C, 1, "rightOperand"), ["2030-01-01", "2031-01-01"]),
    "time of day": ((*C, 1, "rightOperand"), "2030-01-01T00:00:00Z"),
    "impossible day": ((*C, 1, "rightOperand"), "2030-02-30"),
    "short day": ((*C, 1, "rightOperand"), "2030-1-1"),
    "foreign digits": ((*C, 1, "rightOperand"), "٢٠٣٠-01-01"),
    "week": (("obligation", 1, "constraint", 1, "rightOperand"), "P4W"),
    "no period": (("obligation", 1, "constraint", 1, "rightOperand"), "P0D"),
    "long period": (("obligation", 1, "constraint", 1, "rightOperand"), "P9999D"),
    "missing duty constraint": (("obligation", 1, "constraint"), []),
    "two modes": (("obligation", 1), owed("attribute", "named")),
    "key outside ascii": (("obligatión",), []),
}


@pytest.mark.parametrize("name", INVALID)
def test_wrong_forms(name):
    path, value = INVALID[name]
    obj = copy.deepcopy(GOOD)
    at(path, value)(obj)
    assert refused(obj).code == "policy_invalid"


@pytest.mark.parametrize("key", ["@context", "@type", "profile", "conflict"])
def test_needed_keys(key):
    obj = copy.deepcopy(GOOD)
    del obj[key]
    error = refused(obj)
    assert (error.code, error.path) == ("policy_invalid", f"/{key}")


@pytest.mark.parametrize("obj", [None, [], "x", 1, {}, [GOOD]])
def test_not_a_policy_at_all(obj):
    assert refused(obj).code == "policy_invalid"


def test_limits():
    days = [f"20{n:02d}-01-01" for n in range(10, 75)]
    many = [rule("train", ["text"], limit("dateTime", "gteq", day)) for day in days]
    assert len(parse_policy(odrl(many[:63])).permission) == 63
    assert refused(odrl(many[:64])).code == "policy_too_large"
    assert refused(odrl(many)).code == "policy_too_large"
    same = limit("dateTime", "lt", "2030-01-01")
    policy(rule("train", ["text"], *[same] * 16))
    assert refused(odrl([rule("train", ["text"], *[same] * 17)])).code == "policy_too_large"
    everywhere = limit("spatial", "isAnyOf", sorted(words.COUNTRIES))
    assert refused(odrl([rule("train", ["text"], *[everywhere] * 16) for _ in range(8)])).code == "policy_too_large"


NEVER = {
    "window": [rule("train", ["text"], limit("dateTime", "gteq", "2027-01-01"), limit("dateTime", "lt", "2027-01-01"))],
    "recipients": [
        rule("train", ["text"], limit("recipient", "isAnyOf", ["academic"]), limit("recipient", "isAnyOf", ["company"]))
    ],
    "purposes": [
        rule(
            "train",
            ["text"],
            limit("purpose", "isAnyOf", "dpv:Marketing"),
            limit("purpose", "isAnyOf", "dpv:EnforceSecurity"),
        )
    ],
    "context alone": [rule("train", ["context"]), rule("evaluate", ["text"])],
    "context for another purpose": [
        rule("train", ["context"], limit("purpose", "isAnyOf", ["dpv:Marketing"])),
        rule("train", ["text"], limit("purpose", "isAnyOf", ["dpv:AcademicResearch"])),
    ],
    "context for another kind of lab": [
        rule("train", ["context", "profile"], limit("recipient", "isAnyOf", ["company"])),
        rule("train", ["judgment"], limit("recipient", "isAnyOf", ["academic"])),
    ],
    "context before the text": [
        rule("train", ["context"], limit("dateTime", "lt", "2027-01-01")),
        rule("train", ["text"], limit("dateTime", "gteq", "2027-01-01")),
    ],
    "context of other records": [
        rule("train", ["context"], limit("delayPeriod", "lt", "P30D")),
        rule("train", ["text"], limit("delayPeriod", "gteq", "P30D")),
    ],
    "context of the wider action": [rule("train", ["context"]), rule("train", ["text"], limit("dateTime", "lt", "2000-01-01"))],
    "before the first day": [rule("train", ["text"], limit("dateTime", "lt", "2000-01-01"))],
}


@pytest.mark.parametrize("name", NEVER)
def test_permissions_that_never_fire(name):
    error = refused(odrl(NEVER[name]))
    assert error.code == "policy_never_permits"
    assert error.message


def test_shadowed_permissions():
    research = limit("purpose", "isAnyOf", ["dpv:ResearchAndDevelopment"])
    science = limit("purpose", "isAnyOf", ["dpv:ScientificResearch"])
    fine = rule("fineTune", ["text"], science)
    for shadow in (ban("train"), ban("fineTune", target=["text"]), ban("train", research)):
        error = refused(odrl([fine], [shadow]))
        assert error.code == "policy_never_permits"
        assert "fineTune" in error.message
    for partial in (
        ban("rewardModel"),
        ban("train", target=["profile"]),
        ban("train", limit("spatial", "isAnyOf", ["DE"])),
    ):
        assert policy(fine, prohibition=[partial]).permission


def test_context_beside_text_is_fine():
    assert policy(rule("train", ["text"]), rule("fineTune", ["context"])).permission
    research, science = (limit("purpose", "isAnyOf", [f"dpv:{one}"]) for one in ("ResearchAndDevelopment", "ScientificResearch"))
    assert policy(rule("train", ["text"], research), rule("fineTune", ["context"], science)).permission
    assert policy(rule("pretrain", ["text"]), rule("train", ["context"])).permission
    assert policy(rule("train", ["text"], limit("dateTime", "lt", "2000-01-02"))).permission


def test_context_beside_text_that_is_prohibited():
    science = limit("purpose", "isAnyOf", ["dpv:ScientificResearch"])
    rules = [rule("train", ["text"]), rule("train", ["context"], science)]
    error = refused(odrl(rules, [ban("train", science, target=["text"])]))
    assert error.code == "policy_never_permits" and "prohibition of train" in error.message
    assert policy(*rules, prohibition=[ban("fineTune", science, target=["text"])]).permission
    assert policy(*rules, rule("train", ["judgment"]), prohibition=[ban("train", science, target=["text"])]).permission


def test_attestation_is_one_for_actions_that_overlap():
    person = limit("attestation", "eq", "person")
    assert policy(rule("train", ["text"], person), rule("evaluate", ["text"])).permission
    assert refused(odrl([rule("train", ["text"], person), rule("rewardModel", ["text"])])).code == "policy_invalid"


def test_objects_are_frozen():
    made = policy(rule("train"))
    with pytest.raises(ValueError):
        made.profile = "x"
    with pytest.raises(ValueError):
        made.permission[0].action = "evaluate"


EVERY_WORD = {
    *words.ACTIONS, *words.PURPOSES, *words.RECIPIENT_KINDS, *words.MODEL_OPENNESS, *words.ATTRIBUTION_MODES, *words.OBLIGATIONS,
    *words.DELETE_EVENTS, *words.INFORM_EVENTS, *words.PAID_PER, *words.PARTS, *words.COUNTRIES, *words.CURRENCIES, *words.OPERATORS,
    *(one for listed in words.OPERATORS.values() for one in listed), *words.CONTEXT, words.PROFILE, "Set", "uid", "prohibit",
    "@context", "@type", "profile", "conflict", *RULES, "action", "target", "constraint", "leftOperand", "operator", "rightOperand",
    "person", "approved",
}  # fmt: skip
LIKE = st.sampled_from(sorted(EVERY_WORD))
# A word that the profile does not have: any text, an IRI, or one like a word that it has. Days, periods and numbers are values.
UNHEARD = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12).flatmap(
        lambda name: st.sampled_from(["dpv:", "odrl:", "sayso:", "http://example.org/", words.PROFILE + "#", words.DPV, "_:"]).map(lambda p: p + name)
    ),
    LIKE.map(str.swapcase),
    st.builds(lambda word, more: word + more, LIKE, st.text(min_size=1, max_size=2)),
    LIKE.map(lambda word: word.replace("a", "а").replace("e", "е")),  # the same letters in Cyrillic
).filter(lambda word: word not in EVERY_WORD and not re.fullmatch(r"[0-9-]*|P[0-9]+D|[0-9]*\.[0-9]*", word))


def leaves(node, path=()):
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, below in pairs:
        yield (*path, key)
        yield from leaves(below, (*path, key))


@settings(max_examples=examples(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(RAW, st.randoms(use_true_random=False), UNHEARD)
def test_an_unknown_term_anywhere_is_refused(obj, rng, word):
    """Replacing any word, and adding or renaming any key, gives a refusal: never a policy that ignores it."""
    changed = copy.deepcopy(obj)
    places = [path for path in leaves(changed) if isinstance(_get(changed, path), str | dict)]
    path = rng.choice([*places, ()])
    node = _get(changed, path)
    if isinstance(node, dict):
        node[word] = node.pop(rng.choice(sorted(node))) if rng.random() < 0.6 else rng.choice([[], "x", {}])
    else:
        at(path, word)(changed)
    assert refused(changed).code in {"policy_unknown_term", "policy_invalid"}


def _get(node, path):
    for step in path:
        node = node[step]
    return node


def test_random_bytes_never_crash_the_parser():
    rng = random.Random(5)
    for _ in range(300):
        obj = copy.deepcopy(GOOD)
        path = rng.choice(list(leaves(obj)))
        at(path, rng.choice([None, True, 0, -1, 2**60, 0.5, "", "\ud800", "x" * 70000, [], {}, [[]], [{}], {"é": 1}]))(
            obj
        )
        try:
            parse_policy(obj)
        except PolicyError as error:
            assert error.code.startswith("policy_")
