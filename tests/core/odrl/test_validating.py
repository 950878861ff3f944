"""Without a request a policy is checked: everything that is wrong, each with its place."""

import pytest

from app.core.odrl.limits import OdrlError
from tests.core.odrl.odrl_cases import CONTEXT, EX, check, day, limit, policy, rule

DUTY = {"uid": EX + "d", "action": "compensate"}

VALID = [
    policy(rule()),
    policy(rule(assignee=None)),
    policy(rule(assigner=EX + "owner"), kind="Offer"),
    policy({"action": "read", "target": EX + "x"}, kind="Offer", assigner=EX + "owner"),
    policy(rule(assigner=EX + "owner"), kind="Agreement"),
    policy({"action": "read"}, kind="Agreement", assigner=EX + "owner", assignee=EX + "alice", target=EX + "x"),
    policy(obligation=[{**DUTY, "consequence": [{"action": "inform"}]}]),
    policy(prohibition=[rule(remedy=[{"action": "delete"}])]),
    policy(rule(), prohibition=[rule("sell")], conflict="perm"),
    policy(rule(constraint=[{"xone": [limit("count", "lt", 5), limit("count", "gt", 9)]}])),
    {"@context": [CONTEXT, {"dc": "http://purl.org/dc/terms/"}], "@type": "Set", "uid": EX + "p", "dc:title": "A policy",
     "permission": [rule()]},
]  # fmt: skip


@pytest.mark.parametrize("given", VALID)
def test_what_the_information_model_allows_is_valid(given):
    assert check(given) == (True, [])


INVALID = [
    (policy({"action": "read"}), [("odrl_property_missing", "/permission/0")]),
    (policy({"target": EX + "x"}), [("odrl_property_missing", "/permission/0")]),
    (policy(), [("odrl_property_missing", "")]),
    ({"@context": CONTEXT, "@type": "Set", "permission": [rule()]}, [("odrl_property_missing", "")]),
    (policy(rule(), kind="Offer"), [("odrl_property_missing", "/permission/0")]),
    (policy(rule(), kind="Agreement"), [("odrl_property_missing", "/permission/0")]),
    (policy(rule(assigner=[EX + "a", EX + "b"]), kind="Offer"), [("odrl_property_repeated", "/permission/0")]),
    (policy(rule(), conflict=["perm", "prohibit"]), [("odrl_property_repeated", "/conflict")]),
    (policy(rule(constraint=[{"leftOperand": "count", "operator": "lt"}])), [("odrl_property_missing", "/permission/0/constraint/0")]),
    (policy(rule(constraint=[limit("count", "less", 1)])), [("odrl_term_unknown", "/permission/0/constraint/0/operator")]),
    (policy(rule(constraint=[limit("count", "lt", "many")])), [("odrl_value_invalid", "/permission/0/constraint/0/rightOperand")]),
    (policy(rule(constraint=[limit("dateTime", "lt", day("2024-02-30"))])), [("odrl_value_invalid", "/permission/0/constraint/0/rightOperand")]),
    (policy(rule(duty=[{"uid": EX + "d"}])), [("odrl_property_missing", "/permission/0/duty/0")]),
    (policy(rule(remedy=[DUTY])), [("odrl_property_unexpected", "/permission/0/remedy")]),
    (policy(rule("red")), [("odrl_term_unknown", "/permission/0/action")]),
    (policy(rule(), profile=[EX + "one", EX + "two"]), [("odrl_profile_unknown", "/profile/0"), ("odrl_profile_unknown", "/profile/1")]),
    (policy(rule(), isReplacedBy=EX + "new"), [("odrl_replaced", "/isReplacedBy")]),
    (policy(rule(), inheritFrom=EX + "parent"), [("odrl_inherit_unknown", "/inheritFrom")]),
    (policy(rule(), **{"@context": EX + "c"}), [("odrl_context_unknown", "/@context")]),
    (policy(rule("red"), rule("blue", target="here")), [
        ("odrl_term_unknown", "/permission/0/action"),
        ("odrl_term_unknown", "/permission/1/action"),
        ("odrl_iri_invalid", "/permission/1/target"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), INVALID)
def test_what_is_wrong_is_told_with_its_place(given, expected):
    valid, problems = check(given)
    assert not valid
    errors = [(code, where) for severity, code, where in problems if severity == "error"]
    assert all(one in errors for one in expected), errors


WARNED = [
    (policy(rule(), prohibition=[rule("sell")]), "odrl_conflict_unset"),
    (policy(rule(constraint=[{"leftOperand": "purpose", "operator": "eq", "rightOperandReference": EX + "r"}])), "odrl_reference_unread"),
    ({"@context": CONTEXT, "uid": EX + "p", "permission": [rule()]}, "odrl_type_wrong"),
    ({"@context": CONTEXT, "@graph": [policy(rule()), {"@id": "odrl:sell", "includedIn": "odrl:use"}]}, "odrl_property_unexpected"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code"), WARNED)
def test_a_warning_leaves_a_policy_valid(given, code):
    valid, problems = check(given)
    assert valid and [(severity, found) for severity, found, _ in problems] == [("warning", code)]


@pytest.mark.parametrize(
    "given",
    [
        policy(*(rule("red", uid=f"{EX}{n}") for n in range(900))),
        policy(*(rule({"@id": "odrl:red"}, uid=f"{EX}{n}") for n in range(900))),
        policy(rule(constraint=[limit("count", {"@id": "odrl:less"}, n) for n in range(5_000)])),
    ],
)
def test_of_very_many_problems_a_hundred_are_told(given):
    valid, problems = check(given)
    assert not valid and 100 <= len(problems) <= 102


def test_a_parents_target_makes_the_child_complete():
    child = policy({"action": "read"}, inheritFrom=EX + "parent")
    parent = policy(rule("print"), uid=EX + "parent", target=EX + "x")
    assert check([child, parent]) == (True, [])


@pytest.mark.parametrize("given", [b"", b"[]", b"{}", b"[" * 2000, policy(*(rule(uid=f"{EX}{n}") for n in range(10_000)))])
def test_what_holds_no_policy_is_refused(given):
    with pytest.raises(OdrlError):
        check(given)


def test_a_policy_of_the_services_profile_is_checked_by_the_profile():
    own = {
        "@context": [CONTEXT, "https://sayso.example/ns/profile/v1/context.jsonld"],
        "@type": "Set",
        "profile": "https://sayso.example/ns/profile/v1",
        "conflict": "prohibit",
        "permission": [{"action": "benchmark", "target": ["text"]}],
    }
    assert check(own) == (True, [])
    wrong = {**own, "permission": [{"action": "benchmark", "target": ["soul"]}]}
    assert check(wrong) == (False, [("error", "policy_unknown_term", "/permission/0/target")])
    # In any other form the profile is one that is not known, so that nothing passes by its checks.
    spelled = {"@context": {"odrl": "http://www.w3.org/ns/odrl/2/"}, "@type": "odrl:Set", "@id": EX + "p",
               "odrl:profile": {"@id": own["profile"]}, "odrl:permission": {"odrl:action": {"@id": "odrl:use"}}}  # fmt: skip
    assert ("error", "odrl_profile_unknown", "/odrl:profile") in check(spelled)[1]
