"""What a policy decides: hierarchy, parties, assets, logic, duties, conflicts, inheritance, refinements, collections."""

import itertools

import pytest

from app.core.odrl.limits import OdrlError
from tests.core.odrl.odrl_cases import (
    CONTEXT,
    DUTY,
    EX,
    FALSE,
    KNOWN,
    MEMBER,
    NOW,
    TRUE,
    check,
    day,
    decide,
    limit,
    policy,
    request,
    rule,
    state,
    states,
)

# --- action, target, assignee ---


@pytest.mark.parametrize(
    ("offered", "asked", "expected"),
    [
        ("use", "use", "active"),
        ("use", "read", "active"),
        ("use", "write", "active"),  # deprecated; means modify, which is a part of use
        ("use", "display", "active"),
        ("play", "display", "active"),
        ("reproduce", "extract", "active"),
        ("copy", "extract", "active"),  # copy is the old name of reproduce
        ("modify", "write", "active"),
        ("transfer", "sell", "active"),
        ("use", "sell", "inactive"),
        ("transfer", "read", "inactive"),
        ("read", "use", "inactive"),
        ("read", "display", "inactive"),
        ("use", "cc:CommercialUse", "active"),
    ],
)
def test_a_rule_on_the_wider_action_covers_the_narrower(offered, asked, expected):
    assert decide(policy(rule(offered)), request(asked))["rules"][0]["activation"] == expected


@pytest.mark.parametrize("kind", ["permission", "prohibition"])
@pytest.mark.parametrize(("action", "target", "assignee"), [*itertools.product([None, "read"], [None, "x"], [None, "alice"])])
def test_a_rule_concerns_what_it_names_and_everything_where_it_names_nothing(kind, action, target, assignee):
    made = rule(action, target and EX + target, assignee and EX + assignee, **{"@type": kind.title()})
    for asked_action, asked_target, asked_assignee in itertools.product(("read", "sell"), "xy", ("alice", "bob")):
        asked = request(asked_action, EX + asked_target, EX + asked_assignee)
        expected = (
            action in (None, asked_action) and target in (None, asked_target) and assignee in (None, asked_assignee)
        )
        report = decide(policy(**{kind: [made]}), asked)
        assert report["rules"][0]["activation"] == ("active" if expected else "inactive")
        assert report["decision"] == ("permit" if expected and kind == "permission" else "deny")


def test_a_request_that_does_not_say_who_asks_is_nobody_and_may_be_anybody():
    asked = policy({"action": "read", "target": EX + "x"}, kind="Request", uid=EX + "request")
    assert decide(policy(rule()), asked)["decision"] == "indeterminate"
    banned = policy(rule(assignee=None), prohibition=[rule()], conflict="prohibit")
    assert decide(banned, asked)["decision"] == "indeterminate"


def test_actions_of_other_vocabularies_take_their_place_from_the_policy_and_never_from_the_request():
    tells = {"@id": EX + "skim", "includedIn": "odrl:read"}
    given = {"@context": CONTEXT, "@graph": [policy(rule()), tells]}
    asked = {"@context": CONTEXT, "@graph": [request(EX + "skim"), tells]}
    assert decide(given, request(EX + "skim"))["decision"] == "permit"
    assert decide(policy(rule()), asked)["decision"] == "deny"


def test_a_policy_cannot_rearrange_the_standards_own_actions():
    given = {"@context": CONTEXT, "@graph": [policy(rule("use")), {"@id": "odrl:sell", "includedIn": "odrl:use"}]}
    assert decide(given, request("sell"))["decision"] == "deny"


def test_a_prohibited_action_without_a_place_may_be_any():
    wish = EX + "wish"
    given = policy(rule("use"), prohibition=[rule(wish)], conflict="prohibit")
    report = decide(given)
    assert report["decision"] == "indeterminate"
    assert [note["code"] for note in report["notes"]] == ["odrl_action_unplaced"]
    assert check(given) == (True, [("warning", "odrl_action_unplaced", "/prohibition/0")])
    assert decide(given, request(wish))["decision"] == "deny"
    # What is said of it settles it, as does a permission that wins.
    for place, decision in (("odrl:sell", "permit"), ("odrl:transfer", "permit"), (EX + "elsewhere", "indeterminate")):
        facts = {"@id": wish, "includedIn": {"@id": place}}
        assert decide({"@context": CONTEXT, "@graph": [given, facts]})["decision"] == decision
    assert decide(policy(rule("use"), prohibition=[rule(wish)], conflict="perm"))["decision"] == "permit"
    assert decide(policy(rule("use"), prohibition=[rule(wish, target=EX + "y")], conflict="prohibit"))["decision"] == "permit"
    refined = {"rdf:value": {"@id": wish}, "refinement": [limit("count", "gt", 5)]}
    given = policy(rule("use"), prohibition=[rule(refined)], conflict="prohibit")
    assert decide(given, facts=state({"count": 3}))["decision"] == "permit"
    assert decide(given, facts=state({"count": 7}))["decision"] == "indeterminate"
    # As a permission it is what it is.
    assert decide(policy(rule(wish)))["decision"] == "deny"


def test_what_an_action_implies_is_prohibited_as_far_as_it_is_refined():
    refined = {"rdf:value": {"@id": "odrl:print"}, "refinement": [limit("count", "gt", 5)]}
    given = {"@context": CONTEXT, "@graph": [
        policy(rule("use"), rule(EX + "copy"), prohibition=[rule(refined)], conflict="prohibit"),
        {"@id": EX + "copy", "implies": {"@id": "odrl:print"}},
    ]}  # fmt: skip
    for count, decision in ((3, "permit"), (7, "deny")):
        assert decide(given, request(EX + "copy"), state({"count": count}))["decision"] == decision


def test_what_an_action_implies_must_must_not_be_prohibited():
    tells = {"@id": EX + "stream", "implies": "odrl:reproduce"}
    rules = {"permission": [rule(EX + "stream")], "prohibition": [rule("reproduce")], "conflict": "prohibit"}
    asked = request(EX + "stream")
    assert decide({"@context": CONTEXT, "@graph": [policy(**rules), tells]}, asked)["decision"] == "deny"
    assert decide(policy(**rules), asked)["decision"] == "permit"


# --- logic ---


def logic(operator, members):
    if operator == "andSequence":
        return {operator: {"@list": members}}
    return {operator: members}


def expected_of(operator, members):
    yes, no, missing = (members.count(one) for one in "yn?")
    if operator == "or":
        return "satisfied" if yes else "missing" if missing else "not-satisfied"
    if operator == "xone":
        if yes > 1 or not yes + missing:
            return "not-satisfied"
        return "missing" if missing else "satisfied"
    return "not-satisfied" if no else "missing" if missing else "satisfied"


@pytest.mark.parametrize("operator", ["and", "or", "xone", "andSequence"])
@pytest.mark.parametrize("members", ["".join(m) for n in (1, 2, 3) for m in itertools.product("yn?", repeat=n)])
def test_logical_operators(operator, members):
    # Equal members are one statement in a graph, so each gets a name of its own.
    joined = logic(operator, [{"uid": f"{EX}c{n}", **MEMBER[one]} for n, one in enumerate(members)])
    found = decide(policy(rule(constraint=[joined])), facts=state(KNOWN))["rules"][0]["constraints"][0]
    assert found["satisfaction"] == expected_of(operator, members)
    assert [one["satisfaction"] for one in found["constraints"]] == [expected_of("and", one) for one in members]


@pytest.mark.parametrize("members", ["".join(m) for m in itertools.product("yn?", repeat=2)])
def test_several_constraints_of_a_rule_hold_together(members):
    report = decide(policy(rule(constraint=[MEMBER[one] for one in members])), facts=state(KNOWN))
    assert report["rules"][0]["activation"] == ("active" if members == "yy" else "inactive")
    wanted = {"satisfied": "permit", "missing": "indeterminate", "not-satisfied": "deny"}
    assert report["decision"] == wanted[expected_of("and", members)]


def test_logical_constraints_inside_one_another():
    office = {"or": [{"and": [TRUE, FALSE]}, {"xone": [TRUE, FALSE]}]}
    assert decide(policy(rule(constraint=[office])), facts=state(KNOWN))["decision"] == "permit"


# --- conflicts ---


@pytest.mark.parametrize("strategy", ["perm", "prohibit", "invalid", None])
@pytest.mark.parametrize("allowed", "yn?")
@pytest.mark.parametrize("forbidden", "yn?")
def test_conflict_strategies(strategy, allowed, forbidden):
    more = {"conflict": strategy} if strategy else {}
    given = policy(rule(constraint=[MEMBER[allowed]]), prohibition=[rule(constraint=[MEMBER[forbidden]])], **more)
    report = decide(given, facts=state(KNOWN))
    if allowed == "n" or (forbidden == "y" and not (strategy == "perm" and allowed == "y")):
        expected = "deny"
    elif allowed == "y" and (forbidden == "n" or strategy == "perm"):
        expected = "permit"
    else:
        expected = "indeterminate"
    if strategy == "perm" and allowed == "?" and forbidden == "y":
        expected = "indeterminate"  # the permission would win, if only it were known to hold
    assert report["decision"] == expected
    assert bool(report["conflict"]["between"]) == (allowed == forbidden == "y")
    assert report["conflict"]["strategy"] == (strategy or "invalid")


def test_without_any_rule_that_concerns_the_request_the_answer_is_no():
    assert decide(policy(rule("print")))["decision"] == "deny"
    assert decide(policy(prohibition=[rule("print")]))["decision"] == "deny"
    assert decide(policy(obligation=[DUTY]))["decision"] == "deny"


@pytest.mark.parametrize(
    ("kind", "decision"),
    [("Set", "permit"), ("Agreement", "permit"), ("Policy", "permit"), ("Ticket", "permit"), ("Privacy", "permit"),
     ("Offer", "deny"), ("Request", "deny"), ("Assertion", "deny")],
)  # fmt: skip
def test_an_offer_or_a_request_grants_nothing(kind, decision):
    given = policy(rule(assigner=EX + "owner"), kind=kind)
    report = decide(given)
    assert report["decision"] == decision
    assert report["rules"][0]["activation"] == "active"


# --- inheritance ---


def child(*parents, **more):
    return policy(uid=EX + "child", inheritFrom=[EX + one for one in parents], **more)


def test_a_child_has_its_own_rules_and_those_of_all_above():
    above = policy(rule("print"), uid=EX + "a", inheritFrom=EX + "b")
    top = policy(rule("play"), uid=EX + "b")
    for files in ([child("a", permission=[rule()]), above, top], [top, above, child("a", permission=[rule()])]):
        assert decide(files)["policy"] == EX + "child"
        for action, decision in [("read", "permit"), ("print", "permit"), ("play", "permit"), ("sell", "deny")]:
            assert decide(files, request(action))["decision"] == decision


def test_a_diamond_counts_each_policy_once():
    files = [
        child("a", "b"),
        policy(uid=EX + "a", inheritFrom=EX + "top", permission=[rule("print")]),
        policy(uid=EX + "b", inheritFrom=EX + "top", permission=[rule("play")]),
        policy(rule(), uid=EX + "top"),
    ]
    report = decide(files)
    assert (report["decision"], len(report["rules"])) == ("permit", 3)


def test_all_policies_may_stand_in_one_file():
    graph = {"@context": CONTEXT, "@graph": [policy(rule(), uid=EX + "a"), child("a", permission=[rule("print")])]}
    assert decide(graph)["decision"] == "permit"


def test_a_prohibition_is_inherited_too_and_strategies_that_differ_make_void():
    above = policy(prohibition=[rule()], uid=EX + "a", conflict="perm")
    assert decide([child("a", permission=[rule()]), above])["decision"] == "permit"
    assert decide([child("a", permission=[rule()], conflict="perm"), above])["decision"] == "permit"
    report = decide([child("a", permission=[rule()], conflict="prohibit"), above])
    assert (report["decision"], report["conflict"]["strategy"]) == ("deny", "invalid")


def test_what_the_parent_says_for_all_its_rules_is_copied_into_the_child():
    above = policy({"action": "print"}, uid=EX + "a", target=EX + "x", assignee=EX + "alice")
    files = [child("a", permission=[{"action": "read"}]), above]
    assert decide(files)["decision"] == "permit"
    assert decide(files, request(target=EX + "y"))["decision"] == "deny"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([child("gone", permission=[rule()])], "odrl_inherit_unknown"),
        ([child("child", permission=[rule()])], "odrl_inherit_cycle"),
        ([child("a", permission=[rule()]), policy(uid=EX + "a", inheritFrom=EX + "child")], "odrl_inherit_cycle"),
        ([child("a"), policy(rule(), uid=EX + "a"), policy(rule("sell"), uid=EX + "a")], "odrl_policy_ambiguous"),
        ([child("p0"), *(policy(uid=f"{EX}p{n}", inheritFrom=f"{EX}p{n + 1}") for n in range(30))], "odrl_too_large"),
    ],
)
def test_inheritance_that_cannot_be_resolved_is_refused(files, code):
    with pytest.raises(OdrlError) as refused:
        decide(files)
    assert refused.value.code == code and refused.value.file


# --- refinements ---

DPI = [limit("resolution", "lteq", {"@value": "1200", "@type": "xsd:integer"})]


@pytest.mark.parametrize(
    ("given", "decision", "deontic"), [(1100, "permit", "permit"), (1300, "deny", "deny"), (None, "indeterminate", "deny")]
)
@pytest.mark.parametrize("place", ["action", "target", "assignee"])
def test_a_refinement_narrows_what_an_active_permission_permits(given, decision, deontic, place):
    refined = {
        "action": [{"rdf:value": {"@id": "odrl:read"}, "refinement": DPI}],
        "target": {"@type": "AssetCollection", "uid": EX + "x", "refinement": DPI},
        "assignee": {"@type": "PartyCollection", "uid": EX + "alice", "refinement": DPI},
    }[place]
    report = decide(policy(rule(**{place: refined})), facts=state({"resolution": given}))
    assert report["decision"] == decision
    assert states(report) == [("permission", "active", deontic)]  # Formal Semantics, example B1: active, and deny
    assert report["rules"][0]["refinements"][0]["leftOperand"].endswith("resolution")


@pytest.mark.parametrize(("given", "decision"), [(1100, "deny"), (1300, "permit"), (None, "indeterminate")])
def test_a_refined_prohibition_forbids_that_much(given, decision):
    ban = rule(action=[{"rdf:value": {"@id": "odrl:read"}, "refinement": DPI}])
    report = decide(policy(rule(), prohibition=[ban], conflict="prohibit"), facts=state({"resolution": given}))
    assert report["decision"] == decision


def test_only_the_refinements_of_what_is_asked_for_count():
    given = policy(rule(action=[{"rdf:value": {"@id": "odrl:print"}, "refinement": DPI}, "read"]))
    assert decide(given, facts=state({"resolution": 9999}))["decision"] == "permit"
    assert decide(given, request("print"), state({"resolution": 9999}))["decision"] == "deny"


# --- collections ---


@pytest.mark.parametrize("by", ["uid", "source"])
@pytest.mark.parametrize("role", ["target", "assignee"])
def test_members_of_a_collection(by, role):
    kind = "AssetCollection" if role == "target" else "PartyCollection"
    named = {"uid": EX + "all"} if by == "uid" else {"uid": EX + "other", "source": EX + "all"}
    given = policy(rule(**{role: {"@type": kind, **named}}))
    member = EX + ("x" if role == "target" else "alice")
    inside = {"partOf": {member: [EX + "some"], EX + "some": EX + "all"}}
    assert decide(given, facts=state(**inside))["decision"] == "permit"
    assert decide(given)["decision"] == "deny"
    assert decide(given, facts=state(partOf={member: [EX + "elsewhere"]}))["decision"] == "deny"


def test_membership_in_a_circle_ends():
    facts = state(partOf={EX + "x": [EX + "y"], EX + "y": [EX + "x"]})
    assert decide(policy(rule(target=EX + "z")), facts=facts)["decision"] == "deny"
    assert decide(policy(rule(target=EX + "y")), facts=facts)["decision"] == "permit"


def test_a_requester_cannot_put_itself_into_a_collection():
    given = policy(rule(assignee={"@type": "PartyCollection", "uid": EX + "members"}))
    asked = request(assignee={"uid": EX + "mallory", "partOf": EX + "members"})
    assert decide(given, asked)["decision"] == "deny"


# --- the shape of the report ---


def test_rules_come_in_the_policys_order_with_the_promised_members():
    given = {
        "@context": CONTEXT, "@type": "Set", "uid": EX + "policy",
        "prohibition": [rule("print", uid=EX + "1")],
        "obligation": [{**DUTY, "uid": EX + "2"}],
        "permission": [rule(uid=EX + "3"), rule("play", uid=EX + "4")],
    }  # fmt: skip
    report = decide(given)
    assert [one["uid"] for one in report["rules"]] == [EX + n for n in "1234"]
    for one in report["rules"]:
        assert {"uid", "type", "activation", "deontic", "constraints", "duties"} <= set(one)
    assert decide(given) == report


def test_a_constraint_is_told_with_the_value_that_it_saw():
    found = decide(policy(rule(constraint=[limit("dateTime", "lt", day("2025-01-01"), uid=EX + "c")])))
    (told,) = found["rules"][0]["constraints"]
    assert told["uid"] == EX + "c" and told["given"] == [
        {"@value": NOW, "@type": "http://www.w3.org/2001/XMLSchema#dateTime"}
    ]
