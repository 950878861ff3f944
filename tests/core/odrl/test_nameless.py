"""Parties and assets without a name: nobody can say who or what they are, so they permit nothing and shield from nothing."""

import pytest

from tests.core.odrl.odrl_cases import CONTEXT, EX, check, compare, decide, limit, policy, request, rule, state

NAMELESS = {"@type": "AssetCollection"}
ANYBODY = {"@type": "PartyCollection"}
SPATIAL = limit("spatial", "eq", "x")
PLACES = {"spatial": "x"}


def refined(kind, *terms, **more):
    return {"@type": kind, "refinement": list(terms), **more}


@pytest.mark.parametrize(
    ("of", "facts", "decision"),
    [
        ({"target": NAMELESS}, {}, "indeterminate"),
        ({"target": {}}, {}, "indeterminate"),
        ({"target": refined("AssetCollection", SPATIAL)}, PLACES, "indeterminate"),
        ({"target": refined("AssetCollection", SPATIAL)}, {}, "indeterminate"),
        ({"target": refined("AssetCollection", SPATIAL)}, {"spatial": "y"}, "permit"),  # whatever it is, this is not in it
        ({"target": refined("AssetCollection", SPATIAL, source={"@type": "Asset"})}, PLACES, "indeterminate"),
        ({"assignee": ANYBODY}, {}, "indeterminate"),
        ({"assignee": refined("PartyCollection", SPATIAL)}, PLACES, "indeterminate"),
        ({"assignee": refined("PartyCollection", SPATIAL)}, {"spatial": "y"}, "permit"),
        ({"target": NAMELESS, "constraint": [SPATIAL]}, {"spatial": "y"}, "permit"),
        ({"target": [NAMELESS, EX + "x"]}, {}, "deny"),
    ],
)
def test_a_prohibition_of_something_without_a_name_is_never_quietly_off(of, facts, decision):
    made = {**rule("use", target=None, assignee=None), **of}
    given = policy(rule("use", assignee=None), prohibition=[made], conflict="prohibit")
    report = decide(given, facts=state(facts))
    assert report["decision"] == decision
    if decision == "indeterminate":
        assert next(one["activation"] for one in report["rules"] if one["type"] == "prohibition") == "active"
    where = next(iter(of))
    assert [(note["severity"], note["code"]) for note in report["notes"] if note["where"].startswith(f"/prohibition/0/{where}")] == [
        ("error", "odrl_property_missing")
    ]


@pytest.mark.parametrize("of", [{"target": NAMELESS}, {"assignee": ANYBODY}, {"target": refined("AssetCollection", SPATIAL)}])
def test_a_permission_of_something_without_a_name_permits_nothing(of):
    given = policy({**rule("use"), **of})
    assert decide(given, facts=state(PLACES))["decision"] == "indeterminate"
    assert check(given)[0] is False


def test_the_named_one_counts_with_its_own_refinement_and_not_with_anothers():
    targets = [refined("AssetCollection", SPATIAL), refined("AssetCollection", limit("spatial", "eq", "y"), uid=EX + "x")]
    assert decide(policy(rule(target=targets)), facts=state(PLACES))["decision"] == "indeterminate"
    assert decide(policy(rule(target=targets)), facts=state({"spatial": "y"}))["decision"] == "permit"


def test_who_belongs_to_it_can_be_said():
    graph = [policy(rule(), prohibition=[rule(target={"@id": "_:all"})], conflict="prohibit"), {"@id": EX + "x", "partOf": {"@id": "_:all"}}]
    report = decide({"@context": CONTEXT, "@graph": graph})
    assert report["decision"] == "deny"


def test_a_request_for_something_without_a_name_may_be_for_anything():
    given = policy(rule(assignee=None), prohibition=[rule()], conflict="prohibit")
    assert decide(given, request(assignee={"@type": "Party"}))["decision"] == "indeterminate"
    assert decide(given, request(target={"@type": "Asset"}))["decision"] == "indeterminate"


@pytest.mark.parametrize(
    ("of", "asked", "verdict"),
    [
        ({"target": NAMELESS}, [], "unknown"),
        ({"target": {}}, [], "unknown"),
        ({"assignee": ANYBODY}, [], "unknown"),
        ({"target": refined("AssetCollection", SPATIAL)}, [], "compatible"),
        ({"target": refined("AssetCollection", SPATIAL)}, [SPATIAL], "unknown"),
        ({"target": [EX + "x", NAMELESS]}, [], "conflict"),
        ({"target": [refined("AssetCollection", SPATIAL, uid=EX + "x"), NAMELESS]}, [limit("spatial", "eq", "y")], "unknown"),
        ({"target": [refined("AssetCollection", SPATIAL, uid=EX + "x"), NAMELESS]}, [SPATIAL], "conflict"),
    ],
)
def test_comparing_takes_it_for_unknown(of, asked, verdict):
    ban = {**rule("use", target=None, assignee=None), **of}
    offered = policy(rule(target=None, assignee=None), kind="Offer", assigner=EX + "owner", prohibition=[ban], conflict="prohibit")
    assert compare(offered, request(constraint=asked))[0] == verdict


def test_comparing_calls_no_permission_a_conflict_that_may_concern_the_request_by_something_without_a_name():
    targets = [refined("AssetCollection", SPATIAL, uid=EX + "x"), NAMELESS]
    offered = policy(rule(target=targets, assignee=None), kind="Offer", assigner=EX + "owner")
    assert compare(offered, request(constraint=[SPATIAL])) == ("compatible", None)
    assert compare(offered, request(constraint=[limit("spatial", "eq", "y")])) == ("unknown", "target")
