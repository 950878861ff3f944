"""The profile's documents are what the code decides by: generated, current, and true of every policy."""

import copy
import json
import random
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings

from app.core import vocabulary as words
from app.core.policy import LIMITS, PolicyError, parse_policy
from app.core.profile import context, json_schema, ontology
from app.core.templates import render_template
from app.policy_cli import documents
from tests.core.policy_cases import RAW, limit, odrl, owed, rule
from tests.core.sizes import examples
from tests.core.test_policy import GOOD, INVALID, UNKNOWN, at

ROOT = Path(__file__).parents[2] / "policies"
SCHEMA = jsonschema_rs.validator_for(json_schema())


@pytest.mark.parametrize("name", documents())
def test_the_committed_file_is_current(name):
    assert (ROOT / name).read_text("utf-8") == documents()[name], "run `make profile`"


def test_the_context_has_every_word_once():
    terms = context()["@context"]
    from_odrl = {"purpose", "recipient", "spatial", "dateTime", "delayPeriod", "elapsedTime", "timeInterval", "event"}
    from_odrl |= {"payAmount", "attribute", "compensate", "delete", "inform"}
    ours = {*words.ACTIONS, *words.PARTS, *words.OBLIGATIONS, *words.OPERATORS, *words.MODEL_OPENNESS}
    ours |= set(words.ATTRIBUTION_MODES)
    assert terms["target"].pop("@context") == {"profile": "sayso:profile"}, "a part in a target; the key is ODRL's"
    ours.remove("profile")
    assert ours - from_odrl <= set(terms)
    assert not from_odrl & set(terms), "ODRL's own context gives these their meaning"
    assert all(terms[word] == f"sayso:{word}" for word in ours - from_odrl)


def test_no_key_of_a_policy_is_given_another_meaning():
    """A processor that reads ODRL's context and then ours must still see the profile, the conflict strategy and the rules."""
    vector = json.loads((ROOT / "vectors" / "every-word.json").read_text())["policy"]
    kinds = [vector, vector["permission"][0], vector["permission"][0]["constraint"][0], {"uid": ""}]
    terms = context()["@context"]
    redefined = {key: terms[key] for one in kinds for key in one if key in terms and not key.startswith("@")}
    assert set(redefined) == {"target"}
    assert redefined["target"]["@id"] == "http://www.w3.org/ns/odrl/2/target"


def test_the_ontology_has_the_trees():
    nodes = {node["@id"]: node for node in ontology()["@graph"]}
    for action, wider in words.ACTIONS.items():
        assert nodes[f"sayso:{action}"]["odrl:includedIn"]["@id"] == (f"sayso:{wider}" if wider else "odrl:use")
    for purpose, wider_ones in words.PURPOSES.items():
        assert [one["@id"] for one in nodes[purpose]["skos:broader"]] == list(wider_ones)
    known = set(nodes)
    for word in (*words.OPERATORS, *words.OBLIGATIONS):
        assert f"sayso:{word}" in known or f"odrl:{word}" in known
    assert {f"sayso:{part}" for part in words.PARTS} <= known
    assert {one["sayso:of"] for one in nodes[words.PROFILE]["sayso:limit"]} == set(LIMITS)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(RAW)
def test_the_schema_takes_what_the_parser_takes(obj):
    written = {key: value for key, value in obj.items() if value != []}
    assert SCHEMA.is_valid(written)
    assert SCHEMA.is_valid(parse_policy(obj).odrl(uid=True))


@pytest.mark.parametrize("path", sorted((ROOT / "templates").glob("*.json")), ids=lambda path: path.stem)
def test_the_schema_takes_the_templates(path):
    assert SCHEMA.is_valid(render_template(json.loads(path.read_text()), {}).odrl())


def test_the_schema_takes_every_word():
    for obligation in (owed("compensate"), owed("delete", ("release", "P90D")), owed("inform", "breach"), owed("keepDissent")):
        assert SCHEMA.is_valid(odrl([rule("train")], obligation=[obligation]))
    for constraint in (
        limit("delayPeriod", "lt", "P90D"),
        limit("groupSize", "gteq", ["10"]),
        limit("ethicsReview", "eq", "approved"),
        limit("storagePlace", "isAnyOf", "DE"),
        limit("processingPlace", "isAnyOf", ["DE", "FR"]),
    ):
        written = odrl([rule("train", ["text"], constraint)])
        assert SCHEMA.is_valid(written) and parse_policy(written)


@pytest.mark.parametrize("name", [*UNKNOWN, *(name for name in INVALID if name not in ("impossible day", "two modes"))])
def test_the_schema_refuses_what_the_parser_refuses(name):
    path, value, *_ = {**UNKNOWN, **INVALID}[name]
    obj = copy.deepcopy(GOOD)
    at(path, value)(obj)
    assert not SCHEMA.is_valid(obj)


def test_what_only_the_parser_sees():
    """A schema has no calendar and compares nothing: the parser has the last word."""
    backwards = odrl([rule("train", ["text"], limit("dateTime", "gteq", "2030-01-01"), limit("dateTime", "lt", "2029-01-01"))])
    assert SCHEMA.is_valid(backwards)
    with pytest.raises(PolicyError):
        parse_policy(backwards)


def test_a_vector_for_every_kind_of_constraint_and_obligation():
    vector = json.loads((ROOT / "vectors" / "every-word.json").read_text())
    made = parse_policy(vector["policy"])
    assert made.canonical_bytes() == vector["canonical"].encode()
    assert (made.digest, made.uid) == (vector["digest"], vector["uid"])
    said = {c.left_operand for r in (*made.permission, *made.prohibition) for c in r.constraint}
    assert said == set(words.OPERATORS)
    assert {duty.slot for duty in made.obligation} >= {("delete", e) for e in words.DELETE_EVENTS} | {("inform", "breach")}
    assert {duty.action for duty in made.obligation} == set(words.OBLIGATIONS)
    shuffled = copy.deepcopy(vector["policy"])
    for name in ("permission", "prohibition", "obligation"):
        random.Random(1).shuffle(shuffled[name])
    assert parse_policy(shuffled).digest == vector["digest"]
