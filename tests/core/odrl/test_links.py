"""What assets and parties say of policies; which name means which thing where several documents are read together."""

import itertools

import pytest

from app.core.odrl.files import validate
from app.core.odrl.limits import OdrlError
from tests.core.odrl.odrl_cases import (
    CONTEXT,
    DUTY,
    EX,
    as_file,
    check,
    compare,
    decide,
    limit,
    policy,
    request,
    rule,
    state,
)


def graph(*nodes):
    return {"@context": CONTEXT, "@graph": list(nodes)}


BARE = {"@id": EX + "p", "@type": "Set", "permission": [{"action": "use"}]}
X = {"@id": EX + "x", "@type": "Asset", "hasPolicy": EX + "p"}


@pytest.mark.parametrize("given", [[graph(X, BARE)], [graph(BARE, X)], [graph(BARE), graph(X)], [graph(X), graph(BARE)],
                                   [graph({**X, "hasPolicy": {"uid": EX + "p", **{k: v for k, v in BARE.items() if k != "@id"}}})]])  # fmt: skip
def test_an_asset_that_says_so_is_the_target_of_all_rules_of_its_policy(given):
    assert check(given)[0] is True
    assert decide(given, request("read"))["decision"] == "permit"
    assert decide(given, request("read", target=EX + "other"))["decision"] == "deny"


def test_a_target_that_says_of_which_policy_it_is_keeps_a_rule_without_target_from_concerning_everything():
    given = graph({**BARE, "permission": [{"action": "read", "target": {"uid": EX + "x", "hasPolicy": EX + "p"}}, {"action": "print"}]})
    assert decide(given, request("print"))["decision"] == "permit"
    assert decide(given, request("print", target=EX + "other"))["decision"] == "deny"


@pytest.mark.parametrize(("role", "said"), [("assignee", "assigneeOf"), ("assigner", "assignerOf")])
def test_a_party_that_says_so_is_assignee_or_assigner(role, said):
    other = {"assignee": "assigner", "assigner": "assignee"}[role]
    party = {"@id": EX + "alice", "@type": "Party", said: EX + "p"}
    made = {**BARE, "@type": "Agreement", "permission": [{"action": "use", "target": EX + "x", other: EX + "them"}]}
    assert check(graph(made))[0] is False
    assert check(graph(made, party)) == (True, [])
    bare = {**BARE, "permission": [{"action": "use", "target": EX + "x"}]}
    found = decide(graph(bare, party), request(assignee=EX + "bob"))["decision"]
    assert found == ("deny" if role == "assignee" else "permit")


def test_the_link_is_about_the_policys_own_rules_and_those_it_inherits():
    child = {"@id": EX + "child", "@type": "Set", "inheritFrom": EX + "p", "permission": [{"action": "print"}]}
    of_parent = graph(child, BARE, X)
    # What is said of the parent is not said of the child's own rules: they concern every asset, and the notes tell it.
    assert decide(of_parent, request("print", target=EX + "other"))["decision"] == "permit"
    assert decide(of_parent, request("read", target=EX + "other"))["decision"] == "deny"
    of_child = graph(child, BARE, {**X, "hasPolicy": EX + "child"})
    for action, target in itertools.product(("print", "read"), ("x", "other")):
        assert decide(of_child, request(action, target=EX + target))["decision"] == ("permit" if target == "x" else "deny")


def test_a_request_says_nothing_of_the_policy_it_is_judged_by():
    given = policy({"action": "use", "target": EX + "y"}, uid=EX + "p")
    asked = graph(request(), X)
    assert decide(given, asked)["decision"] == "deny"
    asks = graph({"@id": EX + "r", "@type": "Request", "permission": [{"action": "read"}]}, {**X, "hasPolicy": EX + "r"})
    assert decide(policy(rule(assignee=None)), asks)["request"]["target"] == EX + "x"


def test_comparing_agrees():
    offered = {**BARE, "@type": "Offer", "assigner": EX + "owner"}
    assert compare(graph(offered, X), request()) == ("compatible", None)
    assert compare(graph(offered, X), request(target=EX + "other")) == ("conflict", "target")


@pytest.mark.parametrize("said", ["hasPolicy", "assigneeOf", "assignerOf"])
def test_a_link_to_no_policy_is_refused(said):
    with pytest.raises(OdrlError) as refused:
        decide(graph(BARE, {"@id": EX + "x", said: {"@value": "p"}}))
    assert refused.value.code == "odrl_iri_invalid"
    assert not validate([as_file(graph(BARE, {"@id": EX + "x", said: {"@value": "p"}}))])["valid"]


def test_very_many_links_are_refused_within_their_limit():
    many = [{"@id": f"{EX}{n}", "hasPolicy": EX + "p"} for n in range(500)]
    rules = [{"action": "use", "uid": f"{EX}r{n}"} for n in range(500)]
    for given in (graph(*many, {**BARE, "permission": rules}), graph({**BARE, "target": [one["@id"] for one in many], "permission": rules})):
        with pytest.raises(OdrlError) as refused:
            decide(given)
        assert refused.value.code == "odrl_too_large" and refused.value.limit[1] == 200_000


# --- names of what has none ---

UNNAMED = {"action": "inform"}
LABELLED = {"@id": "_:b0", "action": "inform"}


@pytest.mark.parametrize("duty", [UNNAMED, LABELLED])
@pytest.mark.parametrize("apart", [True, False])
def test_duties_without_a_name_of_a_child_and_its_parent_are_two(duty, apart):
    child = policy(rule("read", duty=[duty]), inheritFrom=EX + "parent")
    parent = policy(rule("print", duty=[duty]), uid=EX + "parent")
    # One file with both is one document, in which a label is one name.
    given = [child, parent] if apart else [{"@context": CONTEXT, "@graph": [child, parent]}]
    names = [one["duties"][0]["uid"] for one in decide(given)["rules"]]
    assert len(set(names)) == (1 if duty is LABELLED and not apart else 2)
    for done, action in zip(names, ("read", "print"), strict=True):
        for asked in ("read", "print"):
            report = decide(given, request(asked), state(duties={done: "fulfilled"}))
            assert report["decision"] == ("permit" if asked == action or len(set(names)) == 1 else "deny")


def test_no_label_is_like_the_name_of_a_place_or_of_another_document():
    child = policy(rule("read", duty=[UNNAMED, LABELLED]), inheritFrom=EX + "parent")
    parent = policy(rule("print", duty=[UNNAMED, LABELLED]), uid=EX + "parent")
    report = decide([child, parent])
    names = [duty["uid"] for one in report["rules"] for duty in one["duties"]]
    assert names == ["_:/permission/0/duty/0", "_:b0", "_:2/permission/0/duty/0", "_:2#b0"]
    for label in ("_:/permission/0/duty/0", "_:2#b0", "_:2/permission/0/duty/0", "_:", "_:b 0"):
        with pytest.raises(OdrlError) as refused:
            decide([policy(rule("read", duty=[{**UNNAMED, "@id": label}]), inheritFrom=EX + "parent"), parent])
        assert refused.value.code == "odrl_iri_invalid"
    spelled = {"http://www.w3.org/ns/odrl/2/uid": "_:/permission/0/duty/0", "action": "compensate"}
    with pytest.raises(OdrlError):
        decide(policy(rule("read", duty=[UNNAMED, spelled])))


def test_a_duty_with_a_name_is_one_in_all_files():
    child = policy(rule("read", duty=[DUTY]), inheritFrom=EX + "parent")
    given = [child, policy(rule("print", duty=[DUTY]), uid=EX + "parent")]
    assert decide(given, request("print"), state(duties={EX + "duty": "fulfilled"}))["decision"] == "permit"


# --- two things of one name ---


def twice(one, other, **more):
    return policy({"uid": EX + "1", **one}, {"uid": EX + "1", **other}, **more)


A, B = {"action": "print", "target": EX + "a"}, {"action": "play", "target": EX + "b"}
SOON = {"constraint": [limit("dateTime", "lt", "2030-01-01")]}
COUNTED = {"constraint": [limit("count", "lt", 5)]}


@pytest.mark.parametrize(
    ("one", "other"),
    [(A, B), (A, {**A, "action": "play"}), (A, {**A, "target": EX + "b"}), (A, {**A, **SOON}), ({**A, **SOON}, {**A, **COUNTED}),
     ({**A, "duty": [DUTY]}, A), ({**A, "assignee": EX + "alice"}, {**A, "assignee": EX + "bob"})],
)  # fmt: skip
def test_two_rules_with_one_uid_are_refused(one, other):
    with pytest.raises(OdrlError) as refused:
        decide(twice(one, other), request("play", target=EX + "a"))
    assert (refused.value.code, refused.value.where) == ("odrl_property_repeated", "/permission/1")
    assert ("error", "odrl_property_repeated", "/permission/1") in check(twice(one, other))[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [(A, A), ({**A, **SOON}, {**A, **SOON}), ({**A, "duty": [{"action": "inform", **SOON}]}, {**A, "duty": [{"action": "inform", **SOON}]}),
     ({"action": "print"}, {"target": EX + "a"}), (A, {})],
)  # fmt: skip
def test_one_rule_may_be_said_twice_or_in_pieces(one, other):
    assert decide(twice(one, other), request("print", target=EX + "b"))["decision"] == "deny"
    check_ = check(twice(one, other))
    assert check_ == (True, [])


def test_a_constraint_or_a_policy_that_is_two_is_refused():
    same = {"uid": EX + "c", "leftOperand": "purpose", "operator": "isAnyOf"}
    given = policy(*({**rule(), "constraint": [{**same, "rightOperand": {"@id": EX + one}}]} for one in "ab"))
    shorthand = {"@context": CONTEXT, "@graph": [
        {"uid": EX + "p", "@type": "Set", "target": EX + one, "permission": [{"action": action}]} for one, action in (("a", "print"), ("b", "play"))
    ]}  # fmt: skip
    for made in (given, shorthand):
        with pytest.raises(OdrlError) as refused:
            decide(made)
        assert refused.value.code == "odrl_property_repeated"


def test_two_descriptions_of_one_asset_count_together_and_are_told():
    english, french = ({"uid": EX + "x", "refinement": [limit("language", "eq", one)]} for one in ("en", "fr"))
    given = policy(rule(target=english), prohibition=[rule(target=french)], conflict="prohibit")
    report = decide(given, facts=state({"language": "fr"}))
    assert report["decision"] == "deny" and [note["code"] for note in report["notes"]] == ["odrl_property_repeated"]
    assert check(given)[0] is True


def test_descriptions_that_go_round_in_circles_are_compared_in_the_end():
    ring = [
        {"@id": f"_:{n}", "partOf": [{"@id": f"_:{(n + step) % 40}"} for step in (1, 7)], "refinement": [{"@id": f"_:{n}"}]} for n in range(40)
    ]
    nodes = [{"@id": EX + "1", "action": "print", "target": {"@id": f"_:{n}"}} for n in (0, 1)]
    with pytest.raises(OdrlError):
        decide({"@context": CONTEXT, "@graph": [*ring, *nodes, {"@id": EX + "p", "@type": "Set", "permission": {"@id": EX + "1"}}]})
