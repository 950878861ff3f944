"""The deed: one sentence an atom, every word of the profile has its phrase, and the sentences are easy to read."""

import json
import re
from itertools import combinations

import pytest
from hypothesis import given, settings

from app.core import vocabulary as words
from app.core.deed import CATALOGS, Atom, atoms, beside, deed, sentence
from app.core.policy import Permission, PolicyError, Prohibition, parse_policy
from tests.core.policy_cases import RAW, ban, limit, owed, policy, rule
from tests.core.sizes import examples


@pytest.mark.parametrize("language", CATALOGS)
def test_catalogs_are_complete(language):
    catalog = CATALOGS[language]
    assert set(catalog.actions) == set(catalog.uses) == set(words.ACTIONS)
    assert set(catalog.parts) == set(words.PARTS)
    assert set(catalog.purposes) == set(words.PURPOSES)
    assert set(catalog.recipients) == set(words.RECIPIENT_KINDS)
    assert set(catalog.openness) == set(words.MODEL_OPENNESS)
    assert set(catalog.attribution) == set(words.ATTRIBUTION_MODES)
    assert set(catalog.per) == set(words.PAID_PER)
    assert {"attribute", *(kind for kind, _ in catalog.duties)} == set(words.OBLIGATIONS)
    assert {event for kind, event in catalog.duties if kind == "delete"} == set(words.DELETE_EVENTS)
    assert {event for kind, event in catalog.duties if kind == "inform"} == {"", *words.INFORM_EVENTS}
    told = {(left, operator) for left, operators in words.OPERATORS.items() for operator in operators}
    assert set(catalog.permitted_if) == told
    assert set(catalog.prohibited_if) == {(left, op) for left, op in told if left not in words.PERMISSION_ONLY}
    assert set(catalog.answers) == {"yes", "conditions", "no"}
    assert set(catalog.compared) == {"same", "narrower", "wider", "neither"}


def test_english_is_the_only_language_that_was_reviewed():
    """Whoever reviews a language sets its flag, and this list, in the same change."""
    assert sorted(CATALOGS) == ["ar", "en", "es"]
    assert [language for language, catalog in CATALOGS.items() if catalog.reviewed] == ["en"]


@pytest.mark.parametrize("language", CATALOGS)
@settings(max_examples=examples(150), deadline=None)
@given(RAW)
def test_one_sentence_an_atom_and_one_atom_a_sentence(language, obj):
    made = parse_policy(obj)
    sentences, told = deed(made, language), list(atoms(made))
    assert len(sentences) == len(told)
    # What the atoms say, put together again, is all of the policy and nothing else.
    rules = [atom.rule for atom in told if atom.condition is None and atom.rule is not None]
    assert rules == [*made.permission, *made.prohibition, *made.obligation]
    assert (told[0].rule is None) == (not made.permission)
    for one in (*made.permission, *made.prohibition):
        said: dict = {}
        for atom in told:
            if atom.rule is one and atom.condition is not None:
                said.setdefault((atom.condition.left_operand, atom.condition.operator), []).extend(atom.values)
        assert said == {(c.left_operand, c.operator): list(c.right_operand) for c in one.constraint}
    # Two atoms that say different things read differently (the same condition of two rules reads alike, below its rule).
    def meaning(atom):
        if atom.condition is not None:
            return (type(atom.rule), atom.condition.left_operand, atom.condition.operator, atom.values, atom.further)
        return atom.rule if atom.rule is None else repr(atom.rule.odrl().get("action")) + repr(
            atom.rule.odrl().get("target", atom.rule.odrl())
        ) + type(atom.rule).__name__

    by_meaning = {}
    for atom, text in zip(told, sentences, strict=True):
        assert by_meaning.setdefault(meaning(atom), text) == text
        assert text[0] == text[0].upper() and text.endswith(".") and "{" not in text and "  " not in text
    assert len(set(by_meaning.values())) == len(by_meaning)


def test_sentences():
    made = policy(
        rule(
            "fineTune",
            ["text", "judgment"],
            limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]),
            limit("recipient", "isAnyOf", ["company", "nonprofit"]),
            limit("dateTime", "gteq", "2027-03-01"),
            limit("delayPeriod", "gteq", "P90D"),
        ),
        prohibition=[{"action": "reIdentify"}, ban("train", limit("modelOpenness", "isAnyOf", ["closed"]))],
        obligation=[owed("delete", "P7D"), owed("attribute", "anonymous")],
    )
    assert deed(made) == (
        "Labs may use your words and your votes to tune models.",
        "Only these may do this: firms or groups that do not seek gain.",
        "This is only for science.",
        "They may start on 1 March 2027.",
        "They must wait until 90 days after you gave it.",
        "Labs must not use what you gave to find out who you are.",
        "Labs must not use what you gave to train models.",
        "This rule is for a model that is kept closed.",
        "Labs must not name you.",
        "If you take it back, labs must delete it within 7 days.",
    )
    assert deed(made, "es")[0] == "Los laboratorios pueden usar tus palabras y tus votos para afinar modelos."
    assert deed(policy())[0] == "Nobody new may get or use what you gave."


def test_the_english_stands_beside_what_nobody_has_reviewed():
    made = policy(rule("train", ["text"]), obligation=[owed("inform")])
    assert [(line.text, line.english) for line in beside(made, "es")] == list(
        zip(deed(made, "es"), deed(made, "en"), strict=True)
    )
    assert {line.english for line in beside(made, "en")} == {None}


def test_different_policies_read_differently():
    """Changing any one word of a permission changes the deed."""
    for language in CATALOGS:
        seen = {deed(policy(rule(action, ["text"])), language) for action in words.PERMITTABLE}
        assert len(seen) == len(words.PERMITTABLE)
        for operand in words.NARROWER:
            texts = [
                deed(policy(rule("train", ["text"], limit(operand, "isAnyOf", v))), language)
                for v in words.NARROWER[operand]
            ]
            assert len(set(texts)) == len(texts)


def test_unknown_language():
    for call in (deed, beside):
        with pytest.raises(PolicyError) as caught:
            call(policy(), "tlh")
        assert caught.value.known == ("ar", "en", "es")


def syllables(word):
    groups = re.findall(r"[aeiouy]+", re.sub(r"(?<=[^l])e\b|es\b", "", word.lower()))
    return max(1, len(groups))


def grade(sentences):
    """Flesch-Kincaid grade of a text (years of school)."""
    found = [word for sentence in sentences for word in re.findall(r"[A-Za-z]+|[0-9]+", sentence)]
    return 0.39 * len(found) / len(sentences) + 11.8 * sum(map(syllables, found)) / len(found) - 15.59


PARTS_SOMEHOW = [list(some) for n in range(1, 5) for some in combinations(words.PARTS, n)]
MEASURED = [
    *(Atom(Permission(action=action, target=parts)) for action in words.PERMITTABLE for parts in PARTS_SOMEHOW),
    *(Atom(Prohibition(action=action, target=parts)) for action in words.ACTIONS for parts in PARTS_SOMEHOW),
]


def every_sentence():
    """Each sentence that the English catalog can make: every action with every set of parts, every condition with every
    pair of values that one sentence may hold, every obligation."""
    catalog = CATALOGS["en"]
    yield catalog.nothing
    for atom in MEASURED:
        yield sentence(atom, catalog)
    for make in (Permission, Prohibition):
        for left, operators in words.OPERATORS.items():
            if make is Prohibition and left in words.PERMISSION_ONLY:
                continue
            if left in words.NARROWER:
                one = sorted(words.NARROWER[left])
                chosen = list(combinations(one, 2)) if len(one) < 20 else [tuple(one[n : n + 12]) for n in range(0, 240, 12)]
                values = [*((v,) for v in one), *chosen]
            else:
                fixed = {"attestation": ["person"], "ethicsReview": ["approved"], "groupSize": ["2", "10000"]}
                values = [(v,) for v in fixed.get(left, ["P1D", "P3650D"] if left == "delayPeriod" else ["2027-11-23"])]
            for operator in operators:
                for value in values:
                    made = make.model_validate_json(
                        json.dumps(rule("train", ["text"], limit(left, operator, list(value))))
                    )
                    told = policy(rule("evaluate", ["text"]), rule("train", ["text"])).model_copy(
                        update={"permission": (made,), "prohibition": (), "obligation": ()}
                    )
                    yield from deed(told)[1:]
    for kind in words.OBLIGATIONS:
        for value in duty_values(kind):
            yield from deed(policy(obligation=[owed(kind, value)]))[-1:]


def duty_values(kind):
    if kind == "attribute":
        return words.ATTRIBUTION_MODES
    if kind == "compensate":
        return [("12.50", currency, per) for currency in ("EUR", "KES") for per in words.PAID_PER]
    if kind == "delete":
        return [("withdrawal", "P3650D"), ("release", "P365D")]
    return [None, "breach"] if kind == "inform" else [None]


def test_every_english_sentence_is_easy_to_read():
    """Flesch-Kincaid grade at most 7, one sentence at a time."""
    hard = {text: round(grade([text]), 1) for text in every_sentence() if grade([text]) > 7}
    assert not hard


def test_the_measure_tells_hard_from_easy():
    hard = ["The requesting organisation shall irrevocably indemnify contributors notwithstanding contradictions."]
    assert grade(hard) > 15 > 3 > grade(["You can take it back.", "They must not name you."])
