"""Keys of other vocabularies: refused where they may be a misspelt limit, told elsewhere; and the service's own context."""

import json
from pathlib import Path

import pytest

from app.core.odrl.building import build_policies
from app.core.odrl.context import BUNDLED, pointer
from app.core.odrl.graph import read_graph
from app.core.odrl.limits import OdrlError
from tests.core.odrl.odrl_cases import CONTEXT, EX, check, decide, limit, policy, rule, state

O = "http://www.w3.org/ns/odrl/2/"  # noqa: E741 - as short as the prefix
OWN = "https://sayso.example/ns/profile/v1#"
LIMIT = [limit("count", "lt", 1)]

KEYS = [
    "ordl:constraint", "ordl:anything", "_:constraint", "mailto:constraint", "https://www.w3.org/ns/odrl/2/constraint",
    "http://w3.org/ns/odrl/2/constriant", "HTTPS://www.w3.org/ns/odrl/2.1/note", EX + "constraint", EX + "terms#Constraint/",
    "urn:example:constraint", "schema:constraint",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_may_be_a_misspelt_limit_is_refused_wherever_it_stands(key):
    said = {key: LIMIT}
    for given in (
        policy(rule(**said)),
        policy(rule(), **said),
        policy(rule(duty=[{"action": "inform", **said}])),
        policy(rule(constraint=[limit("count", "lt", 1, **said)])),
        policy(rule(constraint=[{"and": LIMIT, **said}])),
        policy(rule({"rdf:value": {"@id": "odrl:read"}, **said})),
        policy(rule(target={"uid": EX + "x", **said})),
        policy(rule(assignee={"uid": EX + "alice", **said})),
    ):
        with pytest.raises(OdrlError) as refused:
            decide(given)
        assert refused.value.code == "odrl_term_unknown" and refused.value.where
        assert not check(given)[0]


REFUSED = [
    (policy(rule(short=LIMIT), **{"@context": [CONTEXT, {"short": "ordl:constraint"}]}), "odrl_term_unknown"),
    (policy(rule(short=LIMIT), **{"@context": [CONTEXT, {"e": EX, "short": "e:constraint"}]}), "odrl_term_unknown"),
    (policy(**{"@context": {"@vocab": EX, "uid": "@id"}, "@type": O + "Set", "permission": [rule()]}), "odrl_term_unknown"),
    # Of a thing that no rule names, too: it would no longer be part of what is prohibited.
    ({"@context": CONTEXT, "@graph": [policy(rule()), {"uid": EX + "y", "odrl:partoff": EX + "x"}]}, "odrl_term_unknown"),
    *((policy(rule(**{key: LIMIT})), "odrl_jsonld_unsupported") for key in ("@graph", "@index", "@direction", "@version", "@protected")),
    (policy(rule(), **{"@graph": [{"uid": EX + "y"}]}), "odrl_jsonld_unsupported"),
    (policy(rule(), **{"dct:isReplacedBy": {"@id": EX + "new"}}), "odrl_replaced"),
]


@pytest.mark.parametrize(("given", "code"), REFUSED)
def test_what_would_be_left_aside_is_refused(given, code):
    with pytest.raises(OdrlError) as refused:
        decide(given)
    assert refused.value.code == code


def test_what_other_vocabularies_say_is_told_and_changes_nothing():
    said = {EX + "note": "a"}
    limited = limit("count", "lt", 5, **{"schema:about": "d"})
    given = policy(
        rule({"rdf:value": {"@id": "odrl:read"}, **said}, {"uid": EX + "x", **said}, {"uid": EX + "alice", **said}, constraint=[limited], **said),
        **{"dct:title": "read by nobody", "dct:replaces": EX + "old", EX + "mark": 1},
    )
    report = decide(given, facts=state({"count": 1}))
    assert report["decision"] == "permit"
    mark, note, one = "/" + pointer(EX + "mark"), "/" + pointer(EX + "note"), "/permission/0"
    told = {mark, one + "/constraint/0/schema:about", *(one + at + note for at in ("", "/action", "/target", "/assignee"))}
    assert sorted(x["where"] for x in report["notes"]) == sorted(told)
    assert {x["code"] for x in report["notes"]} == {"odrl_property_unread"}
    many = policy(*(rule(assignee={"uid": EX + "alice"}, uid=f"{EX}{n}") for n in range(5)), assignee={"uid": EX + "alice", **said})
    assert [x["code"] for x in decide(many)["notes"]] == ["odrl_property_unread"]  # once, however many rules name her


def test_an_error_is_never_crowded_out_by_what_is_told():
    given = policy(*(rule(uid=f"{EX}{n}", **{EX + "note": n}) for n in range(150)), conflict=["perm", "prohibit"])
    valid, problems = check(given)
    assert not valid and ("error", "odrl_property_repeated", "/conflict") in problems


def test_the_bundled_context_is_the_published_one():
    published = json.loads((Path(__file__).parents[3] / "policies" / "context.jsonld").read_text())["@context"]
    bundled = BUNDLED["https://sayso.example/ns/profile/v1/context.jsonld"].terms
    assert set(bundled) == {name for name in published if not name.startswith("@")}
    for name, said in published.items():
        if name in ("@version", "target"):
            continue
        assert bundled[name].iri == (said.replace("sayso:", OWN) if said.startswith("sayso:") else said)
    target = published["target"]
    assert (bundled["target"].iri, bundled["target"].coerce) == (target["@id"], target["@type"])
    assert {name: term.iri for name, term in bundled["target"].scope.items()} == {"profile": OWN + "profile"}
    assert target["@context"] == {"profile": "sayso:profile"}


def test_a_name_of_the_services_context_means_what_the_context_says():
    contexts = [CONTEXT, "https://sayso.example/ns/profile/v1/context.jsonld"]
    about = {"@context": contexts, "@type": "Set", "uid": EX + "p", "profile": O + "core"}  # the key is ODRL's beside the part
    given = {**about, "permission": [{"action": "train", "target": ["profile", "text"], "assignee": EX + "alice"}]}
    for part in ("profile", OWN + "profile"):
        asked = {"@context": contexts, "@type": "Request", "uid": EX + "q", "permission": [rule("train", part)]}
        assert decide(given, asked)["decision"] == "permit"
    with pytest.raises(OdrlError) as refused:
        decide({**given, "profile": EX + "unheard"})
    assert refused.value.code == "odrl_profile_unknown"
    shared = {**about, "obligation": [{"uid": EX + "d", "action": "shareAlike"}]}
    [built] = build_policies(read_graph(shared))
    assert [one.iri for one in built.policy.rules[0].actions] == [OWN + "shareAlike"]
