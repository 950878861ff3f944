"""Random documents: nothing but an answer or a named refusal, and no unknown term ever permits."""

import copy
import json

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.core.odrl.context import BUNDLED, KEYWORDS, pointer
from app.core.odrl.files import compatible, evaluate, validate
from app.core.odrl.limits import OdrlError
from app.kit.problems import CODES
from tests.core.odrl.odrl_cases import EX, as_file, decide, limit, policy, request, rule, state
from tests.core.odrl.test_forms import COMPACT, FLAT, PREFIXED
from tests.core.sizes import examples

QUICK = settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
LONGER = settings(QUICK, max_examples=examples(500))
O = "http://www.w3.org/ns/odrl/2/"  # noqa: E741
KEYS = st.sampled_from(
    ["@id", "@type", "@context", "@graph", "@value", "@list", "@set", "uid", "permission", "prohibition", "duty", "constraint",
     "and", "xone", "action", "target", "leftOperand", "operator", "rightOperand", "refinement", "conflict", "inheritFrom",
     "profile", "consequence", "remedy", "rdf:value", "source", "partOf", "includedIn", O + "permission", "odrl:uid", "x:y"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5),
    st.sampled_from(["Set", "Offer", "use", "read", "odrl:read", "eq", "isAnyOf", "dateTime", "purpose", EX + "x", EX + "policy",
                     "_:b", "2024-01-01", "P1D", "http://www.w3.org/ns/odrl.jsonld", "prohibit", "xsd:date"]),
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=4), max_leaves=12
)


def places(value, path=()):
    """Paths of everything in a JSON value."""
    yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from places(below, (*path, key))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from places(below, (*path, number))


def changed(value, path, new):
    if not path:
        return new
    value = copy.deepcopy(value)
    at = value
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = new
    return value


@QUICK
@given(st.sampled_from([COMPACT, PREFIXED, FLAT, {"@graph": FLAT}]), st.data(), ANYTHING, st.sampled_from(["policy", "request", "state"]))
def test_a_document_changed_anywhere_is_answered_or_refused_by_name(base, data, new, place):
    good = {"policy": base, "request": request("print"), "state": state({"resolution": 600, "purpose": EX + "q"})}
    path = data.draw(st.sampled_from([*places(good[place])]))
    good[place] = changed(good[place], path, new)
    files = {name: as_file(value) for name, value in good.items()}
    for ask in (
        lambda: evaluate([files["policy"]], files["request"], files["state"]),
        lambda: validate([files["policy"]]),
        lambda: compatible([files["policy"]], [files["request"]], files["state"]),
    ):
        try:
            json.dumps(ask())
        except OdrlError as refused:
            assert refused.code in CODES and refused.message


@QUICK
@given(st.binary(max_size=200) | ANYTHING)
def test_any_bytes_at_all(given_):
    data = given_ if isinstance(given_, bytes) else json.dumps(given_).encode()
    try:
        validate([("x", data)])
    except OdrlError as refused:
        assert refused.code in CODES


PERMITS = policy(
    rule(
        "print",
        uid=EX + "r1",
        constraint=[{"and": [limit("dateTime", "lt", {"@value": "2025-01-01", "@type": "xsd:date"}), limit("purpose", "eq", {"@id": EX + "q"})]}],
        duty=[
            {"uid": EX + "d", "action": "compensate", "constraint": [limit("count", "gteq", 0)]},
            {"uid": EX + "later", "action": "inform", "constraint": [limit("count", "gteq", 9)]},  # not due
        ],
    ),
    prohibition=[{**rule("sell"), "uid": EX + "r2"}, {**rule("print"), "uid": EX + "r3", "constraint": [limit("media", "eq", "online")]}],
    conflict="prohibit",
)  # fmt: skip
FACTS = state({"purpose": EX + "q", "count": 1, "media": "paper"}, duties={EX + "d": "fulfilled"})
DONE, LATER, OFF = ("permission", 0, "duty", 0), ("permission", 0, "duty", 1), ("prohibition", 1)
WORDS = {"action", "operator", "leftOperand", "conflict", "@type", "@context"}


def test_the_policy_of_the_next_test_permits():
    assert decide(PERMITS, request("print"), FACTS)["decision"] == "permit"


NAMES = BUNDLED["http://www.w3.org/ns/odrl.jsonld"]
MEANT = {term.iri for term in NAMES.terms.values()}


def is_unknown(term):
    """Whether a word means nothing in the standard: no name of the context, and no IRI of the vocabulary."""
    try:
        return NAMES.iri(term, "", named=True) not in MEANT
    except OdrlError:
        return True


LETTERS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
KNOWN = st.sampled_from(sorted(name for name in NAMES.terms if ":" not in name))
UNKNOWN = st.one_of(
    st.text(max_size=12),
    st.builds(lambda prefix, name: prefix + name, st.sampled_from(["", "odrl:", "x:", EX, O, "urn:", "_:", "dpv:", "schema:"]), LETTERS),
    st.builds(lambda prefix, name, more: prefix + name + more, st.sampled_from(["", "odrl:", O]), KNOWN, LETTERS | st.just("")),
    # A name of ODRL's under another prefix: mistyped, of another scheme or version, of another vocabulary.
    st.builds(lambda prefix, name: prefix + name, st.sampled_from(
        ["ordl:", "x:", "_:", "urn:odrl:", "schema:", EX, O.replace("http", "https"), O.replace("/2/", "/"), O.replace("www.", "")]), KNOWN),
    st.sampled_from(sorted(KEYWORDS)),
    KNOWN.map(str.swapcase),
    KNOWN.map(lambda name: name.replace("a", "а").replace("e", "е")),  # the same letters in Cyrillic
).filter(is_unknown)


@LONGER
@given(st.data(), UNKNOWN)
def test_an_unknown_term_at_any_place_never_permits(data, term):
    """A word of the vocabulary, or a key, is exchanged for one that nobody knows."""
    named = [path for path in places(PERMITS) if path and path[-1] in WORDS]
    keyed = [path for path in places(PERMITS) if path and isinstance(path[-1], str) and not path[-1].startswith("@")]
    path, as_key = data.draw(st.one_of(st.sampled_from(named).map(lambda p: (p, False)), st.sampled_from(keyed).map(lambda p: (p, True))))
    assume(not (as_key and path[-1] == "uid"))
    made = copy.deepcopy(PERMITS)
    at = made
    for step in path[:-1]:
        at = at[step]
    if as_key:
        at[term] = at.pop(path[-1])
    else:
        at[path[-1]] = term
    try:
        report = decide(made, request("print"), FACTS)
    except OdrlError:
        return
    # What may stay a yes: of what kind the duty is that is done or not due, when that was due which is done, and what is
    # prohibited under a constraint that is false.
    done, later, off = (path[: len(start)] == start and not as_key for start in (DONE, LATER, OFF))
    excused = (done and path[-1] in ("action", "leftOperand")) or ((later or off) and path[-1] == "action")
    # A statement of another vocabulary changes nothing, and that is told with its place.
    place = "".join("/" + pointer(str(step)) for step in (*path[:-1], term))
    told = as_key and ("odrl_property_unread", place) in [(note["code"], note["where"]) for note in report["notes"]]
    assert report["decision"] != "permit" or excused or told, (path, term)
    if path[0] == "prohibition" and path[-1] == "action" and not as_key:
        assert "odrl_action_unplaced" in [note["code"] for note in report["notes"]]
