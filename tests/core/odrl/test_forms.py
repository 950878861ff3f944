"""One policy written in every form that JSON-LD has for it gives one report; what cannot be read is refused by name."""

import json

import pytest

from app.core.odrl.context import BUNDLED
from app.core.odrl.limits import OdrlError
from tests.core.odrl.odrl_cases import CONTEXT, EX, as_file, check, day, decide, limit, policy, request, rule, state

O = "http://www.w3.org/ns/odrl/2/"  # noqa: E741 - as short as the prefix
XSD = "http://www.w3.org/2001/XMLSchema#"

COMPACT = {
    "@context": CONTEXT,
    "@type": "Set",
    "uid": EX + "policy",
    "conflict": "prohibit",
    "permission": [
        {
            "uid": EX + "r1",
            "target": {"@type": "AssetCollection", "uid": EX + "c", "source": EX + "s"},
            "assignee": EX + "alice",
            "action": [
                {
                    "rdf:value": {"@id": "odrl:print"},
                    "refinement": [{**limit("resolution", "lteq", {"@value": "1200", "@type": "xsd:integer"}), "uid": EX + "f"}],
                }
            ],
            "constraint": [
                {
                    "uid": EX + "l",
                    "and": [
                        {**limit("dateTime", "lt", day("2025-01-01")), "uid": EX + "c1"},
                        {**limit("purpose", "isAnyOf", [{"@id": EX + "p"}, {"@id": EX + "q"}]), "uid": EX + "c2"},
                    ],
                }
            ],
            "duty": [{"uid": EX + "d", "action": "compensate"}],
        }
    ],
    "prohibition": [{"uid": EX + "r2", "target": EX + "x", "action": "sell"}],
}
PREFIXED = {
    "@context": {"odrl": O, "ex": EX, "xsd": XSD, "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#"},
    "@type": "odrl:Set",
    "@id": "ex:policy",
    "odrl:conflict": {"@id": "odrl:prohibit"},
    "odrl:permission": {
        "@id": "ex:r1",
        "@type": "odrl:Permission",
        "odrl:target": {"@type": "odrl:AssetCollection", "@id": "ex:c", "odrl:source": {"@id": "ex:s"}},
        "odrl:assignee": "ex:alice",  # a string where only an IRI makes sense
        "odrl:action": {
            "rdf:value": {"@id": "odrl:print"},
            "odrl:refinement": {
                "@id": "ex:f",
                "odrl:leftOperand": {"@id": "odrl:resolution"},
                "odrl:operator": "odrl:lteq",
                "odrl:rightOperand": {"@value": "1200", "@type": "xsd:integer"},
            },
        },
        "odrl:constraint": {
            "@id": "ex:l",
            "odrl:and": {
                "@list": [
                    {
                        "@id": "ex:c1",
                        "odrl:leftOperand": {"@id": "odrl:dateTime"},
                        "odrl:operator": {"@id": "odrl:lt"},
                        "odrl:rightOperand": {"@value": "2025-01-01", "@type": "xsd:date"},
                    },
                    {
                        "@id": "ex:c2",
                        "odrl:leftOperand": {"@id": "odrl:purpose"},
                        "odrl:operator": {"@id": "odrl:isAnyOf"},
                        "odrl:rightOperand": [{"@id": "ex:p"}, {"@id": "ex:q"}],
                    },
                ]
            },
        },
        "odrl:duty": {"@id": "ex:d", "@type": "odrl:Duty", "odrl:action": {"@id": "odrl:compensate"}},
    },
    "odrl:prohibition": {"@id": "ex:r2", "odrl:target": {"@id": "ex:x"}, "odrl:action": {"@id": "odrl:sell"}},
}


def node(name, kind=None, **properties):
    made = {"@id": EX + name} | ({"@type": [O + kind]} if kind else {})
    return made | {O + key: value for key, value in properties.items()}


def ref(name, space=EX):
    return [{"@id": space + name}]


FLAT = [  # expanded, every node by itself, in another order than they are referred to, as Turtle is turned into JSON-LD
    node("c1", "Constraint", leftOperand=ref("dateTime", O), operator=ref("lt", O), rightOperand=[{"@value": "2025-01-01", "@type": XSD + "date"}]),
    node("c2", "Constraint", leftOperand=ref("purpose", O), operator=ref("isAnyOf", O), rightOperand=[*ref("p"), *ref("q")]),
    node("l", "LogicalConstraint", **{"and": [*ref("c1"), *ref("c2")]}),
    node("f", leftOperand=ref("resolution", O), operator=ref("lteq", O), rightOperand=[{"@value": "1200", "@type": XSD + "integer"}]),
    {"@id": "_:b0", "http://www.w3.org/1999/02/22-rdf-syntax-ns#value": ref("print", O), O + "refinement": ref("f")},
    node("policy", "Set", uid=ref("policy"), conflict=ref("prohibit", O), permission=ref("r1"), prohibition=ref("r2")),
    node("d", "Duty", action=ref("compensate", O)),
    node("c", "AssetCollection", source=ref("s")),
    {**node("r1", "Permission", target=ref("c"), assignee=ref("alice"), constraint=ref("l"), duty=ref("d")), O + "action": [{"@id": "_:b0"}]},
    node("r2", "Prohibition", target=ref("x"), action=ref("sell", O)),
]  # fmt: skip
OWN_NAMES = {  # terms of the author's own choosing
    "@context": [
        CONTEXT,
        {"ex": EX, "may": {"@id": "odrl:permission", "@type": "@id"}, "who": {"@id": "odrl:assignee", "@type": "@id"}},
    ],
    **{key: value for key, value in COMPACT.items() if key not in ("@context", "permission", "prohibition")},
    "may": [{**COMPACT["permission"][0], "who": "ex:alice"} | {"assignee": None}],
    "prohibition": COMPACT["prohibition"],
}
FORMS = {
    "compact": COMPACT,
    "prefixed": PREFIXED,
    "flat": FLAT,
    "graph": {"@graph": FLAT},
    "own names": OWN_NAMES,
    "typed by name": {**{k: v for k, v in COMPACT.items() if k not in ("@type", "uid")}, "type": "Set", "@id": EX + "policy"},
    "https context": {**COMPACT, "@context": ["https://www.w3.org/ns/odrl.jsonld"]},
}
WORLDS = [
    state({"resolution": 600, "purpose": EX + "q"}, partOf={EX + "x": [EX + "s"]}, duties={EX + "d": "fulfilled"}),
    state({"resolution": 600, "purpose": EX + "q"}, partOf={EX + "x": [EX + "s"]}),
    state({"resolution": 2400, "purpose": EX + "z"}, partOf={EX + "x": [EX + "s"]}, duties={EX + "d": "violated"}),
    state(),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("world", range(len(WORLDS)))
def test_every_form_gives_the_same_report(form, world):
    for action in ("print", "sell", "read"):
        assert decide([FORMS[form]], request(action), WORLDS[world]) == decide(COMPACT, request(action), WORLDS[world])


def test_the_first_world_permits_and_the_others_do_not():
    assert [decide(COMPACT, request("print"), one)["decision"] for one in WORLDS] == ["permit", "deny", "deny", "deny"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_valid(form):
    assert check([FORMS[form]]) == (True, [])


def test_a_request_in_every_form():
    spelled = {"@type": O + "Request", "@id": EX + "request", O + "permission": [{"@id": EX + "n"}]}
    rest = {"@id": EX + "n", O + "action": ref("read", O), O + "target": ref("x"), O + "assignee": ref("alice")}
    given = policy(rule())
    for asked in ([spelled, rest], {"@graph": [rest, spelled]}, request()):
        assert decide(given, asked)["decision"] == "permit"
    bare = {"@context": CONTEXT, "@type": "Request", "uid": EX + "q", "action": "read", "target": EX + "x", "assignee": EX + "alice"}
    assert decide(given, bare)["decision"] == "permit"


def test_compact_policies_are_written_out():
    given = policy({"action": "read"}, {"action": "print", "target": EX + "y"}, target=EX + "x", assignee=EX + "alice")
    for action, target, expected in [("read", "x", "permit"), ("print", "y", "permit"), ("print", "x", "permit"), ("read", "y", "deny")]:
        assert decide(given, request(action, EX + target))["decision"] == expected
    assert decide(given, request(assignee=EX + "bob"))["decision"] == "deny"
    several = policy(rule(["read", "print"], [EX + "x", EX + "y"], [EX + "alice", EX + "bob"]))
    assert decide(several, request("print", EX + "y", EX + "bob"))["decision"] == "permit"
    assert check(several)[0]


def test_a_state_may_use_prefixes_and_names():
    given = policy(rule(constraint=[limit("purpose", "eq", {"@id": "https://w3id.org/dpv#AcademicResearch"})]))
    for values in (
        {"purpose": "https://w3id.org/dpv#AcademicResearch"},
        {"odrl:purpose": "dpv:AcademicResearch"},
        {O + "purpose": {"@id": "https://w3id.org/dpv#AcademicResearch"}},
        {"purpose": ["dpv:AcademicResearch"]},
    ):
        assert decide(given, facts=state(values))["decision"] == "permit"
    own = {**state({"e:thing": "e:value"}), "@context": {"e": EX}}
    assert decide(policy(rule(constraint=[limit(EX + "thing", "eq", {"@id": EX + "value"})])), facts=own)["decision"] == "permit"


# --- what is refused ---

CIRCLE = {
    "uid": EX + "d",
    "action": "delete",
    "consequence": [{"uid": EX + "e", "action": "inform", "consequence": [{"uid": EX + "d"}]}],
}
REFUSED = [
    (b"", "json_invalid"),
    (b"not json", "json_invalid"),
    (b'{"a": 1', "json_invalid"),
    (b"\xff\xfe{}", "json_not_utf8"),
    (b"\xef\xbb\xbf{}", "json_bom"),
    (b'{"a": 1, "a": 2}', "json_duplicate_key"),
    (b'{"a": NaN}', "json_not_finite"),
    (b'{"a": -Infinity}', "json_not_finite"),
    (b'{"a": "\\ud800"}', "json_lone_surrogate"),
    (b'{"a": ' + b"9" * 65 + b"}", "json_number"),
    (b'{"a": 1e999999999}', "json_number"),
    (b"[" * 1000 + b"]" * 1000, "json_too_deep"),
    (b"[" * 100_000, "json_too_deep"),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "json_too_deep"),
    (b" " * (4 * 1024 * 1024 + 1), "odrl_too_large"),
    (b'"text"', "odrl_jsonld_unsupported"),
    (b"[1, 2]", "odrl_jsonld_unsupported"),
    (b"{}", "odrl_policy_missing"),
    (policy(rule(), **{"@context": "http://example.org/context.jsonld"}), "odrl_context_unknown"),
    (policy(rule(), **{"@context": [CONTEXT, {"x": {"@id": EX, "@context": {}}}]}), "odrl_jsonld_unsupported"),
    (policy(rule(), **{"@context": [CONTEXT, {"@import": EX}]}), "odrl_jsonld_unsupported"),
    (policy(EX + "nothing-is-said-of-it"), "odrl_property_missing"),
    (policy({}), "odrl_property_missing"),
    (policy(rule("@:")), "odrl_iri_invalid"),
    (policy(rule(duty=[EX + "nor-of-it"])), "odrl_property_missing"),
    (policy(rule(constraint=[EX + "nor-of-it"])), "odrl_property_missing"),
    (policy(rule(), **{"@reverse": {}}), "odrl_jsonld_unsupported"),
    (policy(rule(), comment="a name that no context has"), "odrl_term_unknown"),
    (policy(rule(constrain=[])), "odrl_term_unknown"),
    (policy(rule("raed")), "odrl_term_unknown"),
    (policy(rule("odrl:raed")), "odrl_term_unknown"),
    (policy(rule(constraint=[limit("odrl:porpoise", "eq", 1)])), "odrl_term_unknown"),
    (policy(rule(constraint=[limit("purpose", "odrl:is", 1)])), "odrl_term_unknown"),
    (policy(rule(), conflict="odrl:maybe"), "odrl_term_unknown"),
    (policy(rule(), kind="odrl:Sett"), "odrl_term_unknown"),
    (policy(rule(), **{"odrl:permissions": {"@id": EX + "r"}}), "odrl_term_unknown"),
    (policy(rule(target="not an iri")), "odrl_iri_invalid"),
    (policy(rule(target="relative")), "odrl_iri_invalid"),
    (policy(rule(target="http://ex\u0430mple.org/x")), "odrl_iri_invalid"),  # a Cyrillic letter that looks like an a
    (policy(rule("odrl:re\u0430d")), "odrl_iri_invalid"),
    (policy(rule(target=EX + "a b")), "odrl_iri_invalid"),
    (policy(rule(target=EX + "x" * 3000)), "odrl_too_large"),
    (policy(rule(constraint=[limit("purpose", "eq", "x" * 1_000_000)])), "odrl_too_large"),
    (policy(*(rule(uid=f"{EX}r{n}") for n in range(10_000))), "odrl_too_large"),
    (policy(rule(constraint=[limit("count", "lt", n) for n in range(12_000)])), "odrl_too_large"),
    (policy(rule(constraint=[limit("purpose", "isAnyOf", [f"v{n}" for n in range(600)])])), "odrl_too_large"),
    (policy(rule(), **{"@context": [CONTEXT] * 40}), "odrl_too_large"),
    (policy(rule(), **{"@context": [CONTEXT, {f"t{n}": EX for n in range(2_000)}]}), "odrl_too_large"),
    (policy(rule(constraint=[limit("dateTime", "lt", day("9999-12-31"))])), "odrl_value_invalid"),
    (policy(rule(constraint=[limit("dateTime", "lt", {"@value": "9999-12-31T23:59:59-14:00", "@type": "xsd:dateTime"})])), "odrl_value_invalid"),
    (policy(rule(constraint=[limit("dateTime", "lt", "soon")])), "odrl_value_invalid"),
    (policy(rule(constraint=[limit("dateTime", "lt", {"@value": "P1D", "@type": "xsd:duration"})])), "odrl_value_invalid"),
    (policy(rule(constraint=[limit("dateTime", "lt", {"@value": "2025-01-01", "@type": "xsd:dat"})])), "odrl_term_unknown"),
    (policy(rule(constraint=[limit("dateTime", "lt", {"@value": "2025-01-01", "@type": "odrl:wish"})])), "odrl_value_invalid"),
    (policy(rule(), kind="http://example.org/wish"), "odrl_type_wrong"),
    (policy(rule(constraint=[limit("count", "lt", {"@value": "1e", "@type": "xsd:integer"})])), "odrl_value_invalid"),
    (policy(rule(constraint=[limit("count", "lt", {"@id": EX + "five"})])), "odrl_value_invalid"),
    (policy(rule(constraint=[{"leftOperand": "count", "operator": "lt"}])), "odrl_property_missing"),
    (policy(rule(constraint=[{"operator": "lt", "rightOperand": 1}])), "odrl_property_missing"),
    (policy(rule(constraint=[{**limit("count", "lt", 1), "rightOperandReference": EX + "r"}])), "odrl_property_repeated"),
    (policy(rule(constraint=[limit("count", "lt", [1, 2])])), "odrl_property_repeated"),
    (policy(rule(constraint=[{"and": [limit("count", "lt", 1)], "or": [limit("count", "lt", 1)]}])), "odrl_property_repeated"),
    (policy(rule(constraint=[{"and": []}])), "odrl_property_missing"),
    (policy(rule(constraint=[{"uid": EX + "l", "and": [{"or": [{"uid": EX + "l"}]}]}])), "odrl_cycle"),
    (policy(rule(remedy=[{"action": "delete"}])), "odrl_property_unexpected"),
    (policy(prohibition=[rule(duty=[{"action": "delete"}])]), "odrl_property_unexpected"),
    (policy(rule(), constraint=[limit("count", "lt", 1)]), "odrl_property_unexpected"),
    (policy(rule(consequence=[{"action": "delete"}])), "odrl_property_unexpected"),
    (policy(prohibition=[rule(remedy=[{"action": "delete", "consequence": [{"action": "delete"}]}])]), "odrl_property_unexpected"),
    (policy(obligation=[CIRCLE]), "odrl_property_unexpected"),
    (policy({**rule(), "@type": "Prohibition"}), "odrl_type_wrong"),
    (policy(rule(), **{"@type": ["Set", "Offer"]}), "odrl_type_wrong"),
    (policy(rule(), profile=EX + "profile"), "odrl_profile_unknown"),
    (policy(rule(), isReplacedBy=EX + "new"), "odrl_replaced"),
    ([policy(rule(), uid=EX + "a"), policy(rule(), uid=EX + "b")], "odrl_policy_ambiguous"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "code"), REFUSED)
def test_hostile_and_wrong_policies_are_refused(given, code):
    from app.core.odrl.files import evaluate

    with pytest.raises(OdrlError) as refused:
        evaluate([as_file(given)], as_file(request()), as_file(state()))
    told = refused.value.to_json()
    assert told["code"] == code and told["file"] == "given.json"
    assert told["why"].endswith(".") and "Traceback" not in told["why"]
    if code == "odrl_too_large":
        assert set(told["limit"]) == {"name", "most"} and str(told["limit"]["most"]) in told["why"]


def test_a_long_chain_of_logical_constraints_in_a_flat_graph_is_refused_within_its_limit():
    chain = [{"@id": f"{EX}n{n}", O + "and": ref(f"n{n + 1}")} for n in range(1000)]
    last = node("n1000", leftOperand=ref("count", O), operator=ref("lt", O), rightOperand=[{"@value": 1}])
    given = [*chain, last, node("p", "Set", permission=ref("r")), node("r", action=ref("read", O), target=ref("x"), constraint=ref("n0"))]
    with pytest.raises(OdrlError) as refused:
        decide([given])
    assert refused.value.code == "odrl_too_large"


def test_many_objects_are_refused_within_their_limit():
    with pytest.raises(OdrlError) as refused:
        decide([[{"@id": f"{EX}n{n}", O + "source": ref("x")} for n in range(20_001)]])
    assert refused.value.code == "odrl_too_large"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (policy(rule(), rule("print"), kind="Request"), "odrl_request_invalid"),
        (policy(rule(["read", "print"]), kind="Request"), "odrl_request_invalid"),
        (policy({"target": EX + "x", "assignee": EX + "alice"}, kind="Request"), "odrl_request_invalid"),
        ({"@context": CONTEXT}, "odrl_policy_missing"),
    ],
)
def test_a_request_asks_for_one_thing(asked, code):
    with pytest.raises(OdrlError) as refused:
        decide(policy(rule()), asked)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "given",
    [
        [], "now", {"now": 5}, {"now": "soon"}, {"now": "9999-12-31T00:00:00Z"}, {"values": []}, {"later": 1},
        {"duties": {EX + "d": "done"}}, {"duties": {EX + "d": ["fulfilled"]}}, {"partOf": {EX + "x": [1]}},
        {"values": {"purpose": {"@id": 1}}}, {"values": {"purpose": [["nested"]]}},
    ],
)  # fmt: skip
def test_a_state_of_another_form_is_refused(given):
    with pytest.raises(OdrlError) as refused:
        decide(policy(rule()), facts=json.dumps(given).encode())
    assert refused.value.code == "odrl_state_invalid"


@pytest.mark.parametrize("given", [{"values": {"porpoise": 1}}, {"values": {"a b": 1}}, {"partOf": {"x": [EX + "y"]}}])
def test_a_state_with_a_name_that_means_nothing_is_refused(given):
    with pytest.raises(OdrlError) as refused:
        decide(policy(rule()), facts=given)
    assert refused.value.code in ("odrl_term_unknown", "odrl_iri_invalid")


def test_the_bundled_contexts_are_the_only_ones():
    assert sorted(BUNDLED) == [
        CONTEXT, "https://sayso.example/ns/profile/v1/context.jsonld", "https://www.w3.org/ns/odrl.jsonld"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {O + "datatype": [{"@id": "http://www.w3.org/2001/XMLSchema#integer"}]},
        {O + "dataType": [{"@id": "http://www.w3.org/2001/XMLSchema#integer"}]},
        {O + "datatype": [{"@id": "http://www.w3.org/2001/XMLSchema#integer"}], O + "dataType": [{"@id": "http://www.w3.org/2001/XMLSchema#integer"}]},
        {"odrl:datatype": "xsd:integer"},
        {"datatype": "xsd:integer"},
        {"dataType": {"@id": "xsd:integer"}},
    ],
)
def test_a_data_type_in_every_form(given):
    # A text would not be in order with another.
    limited = {"leftOperand": {"@id": EX + "operand"}, "operator": "lt", "rightOperand": "10", **given}
    found = decide(policy(rule(constraint=[limited])), facts=state({EX + "operand": "9"}))
    assert (found["decision"], found["notes"]) == ("permit", [])
    shown = found["rules"][0]["constraints"][0]["rightOperand"]
    assert shown == [{"@value": "10", "@type": "http://www.w3.org/2001/XMLSchema#integer"}]


def test_two_data_types_are_one_too_many():
    limited = limit(EX + "operand", "lt", "10", **{O + "datatype": {"@id": "xsd:integer"}, "dataType": "xsd:decimal"})
    with pytest.raises(OdrlError) as refused:
        decide(policy(rule(constraint=[limited])))
    assert refused.value.code == "odrl_property_repeated"


def test_a_rule_of_which_only_the_class_is_said_concerns_everything():
    any_use = policy({"@type": "Permission"})
    assert decide(any_use, request("sell", EX + "anything", EX + "anybody"))["decision"] == "permit"
    assert not check(any_use)[0]
    assert decide(policy(prohibition=[{"@type": "Prohibition"}]))["rules"][0]["activation"] == "active"


def test_a_profile_may_be_declared_as_known():
    given = policy(rule(), profile=EX + "profile")
    assert decide(given, profiles=[EX + "profile"])["decision"] == "permit"
    assert decide(policy(rule(), profile=O + "core"))["decision"] == "permit"
