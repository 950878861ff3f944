"""Policies as people meet them: forms and languages, previews, and hostile ones refused within limits that are named."""

import json
import re
from typing import Any

import httpx
import pytest

from app.core import vocabulary as words
from app.core.deed import beside, deed
from app.core.policy import LIMITS, parse_policy
from app.kit.errors import NotAcceptable
from app.kit.negotiate import language, media_type
from tests.core.policy_cases import limit, odrl, owed, rule
from tests.support import PlatformParty, Service, receipt_terms

RULES = [rule("evaluate", ["text"], limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]))]


@pytest.fixture
def stored(service: Service, platform: PlatformParty) -> dict[str, Any]:
    answer = service.post("/v1/policies", {"policy": odrl(RULES, obligation=[owed("delete")])}, service.token(platform))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def get(service: Service, stored: dict[str, Any], **headers: str) -> httpx.Response:
    return service.http.get(
        f"{service.base}/v1/policies/{stored['digest']}", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def test_one_address_serves_every_form(service: Service, stored: dict[str, Any]) -> None:
    made = parse_policy(stored["policy"])
    plain = get(service, stored, Accept="*/*")
    assert plain.json() == stored and plain.headers["content-type"] == "application/json"
    ld = get(service, stored, Accept="application/ld+json")
    assert ld.json() == made.odrl(uid=True) and ld.headers["content-type"] == "application/ld+json"
    assert parse_policy(ld.json()).digest == stored["digest"]
    text = get(service, stored, Accept="text/plain")
    assert text.headers["content-type"].startswith("text/plain") and text.headers["content-language"] == "en"
    assert [line.strip()[2:] for line in text.text.splitlines()] == list(deed(made))
    page = get(service, stored, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html") and "Accept" in page.headers["vary"]
    for sentence in deed(made):
        assert f"<li>{sentence}</li>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"] and "<script" not in page.text


def test_the_language_follows_the_reader_with_english_beside_what_nobody_reviewed(
    service: Service, stored: dict[str, Any]
) -> None:
    made = parse_policy(stored["policy"])
    text = get(service, stored, Accept="text/plain", Accept_Language="tlh, es-MX;q=0.9, en;q=0.5")
    assert text.headers["content-language"] == "es"
    for line in beside(made, "es"):
        assert f"- {line.text}\n" in text.text and f"({line.english})" in text.text
    page = get(service, stored, Accept="text/html", Accept_Language="es").text
    assert '<html lang="es">' in page and page.count('lang="en"') == len(deed(made))
    assert get(service, stored, Accept="text/plain", Accept_Language="tlh").headers["content-language"] == "en"
    plain = get(service, stored, Accept_Language="es")
    assert plain.headers["content-language"] == "es" and plain.json() == {
        **stored, "deed": [told for line in beside(made, "es") for told in (line.text, line.english)]
    }  # fmt: skip
    assert get(service, stored, Accept_Language="tlh").json() == stored
    for form in ("application/json", "application/ld+json", "text/html", "text/plain"):
        assert get(service, stored, Accept=form).headers["vary"] == "Accept, Accept-Language"


def test_a_form_that_is_not_there(service: Service, stored: dict[str, Any]) -> None:
    answer = get(service, stored, Accept="application/pdf")
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "application/ld+json" in answer.json()["known"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "a/a"), ("", "a/a"), ("*/*", "a/a"), ("b/b", "b/b"), ("b/*", "b/b"), ("a/a;q=0.1, b/b;q=0.2", "b/b"),
        ("*/*, a/a;q=0", "b/b"), ("B/B; charset=utf-8", "b/b"), ("a/a;q=x, b/b;q=0.1", "b/b"), (",,b/b", "b/b"),
    ],
)  # fmt: skip
def test_media_types(accept: str | None, form: str) -> None:
    assert media_type(accept, ["a/a", "b/b"]) == form


@pytest.mark.parametrize("accept", ["c/c", "a/a;q=0", "*/*;q=0", ";", "text"])
def test_no_media_type(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        media_type(accept, ["a/a", "b/b"])


@pytest.mark.parametrize(
    ("accept", "found"),
    [(None, "en"), ("es", "es"), ("ES-419", "es"), ("fr, es;q=0.1", "es"), ("en;q=0.2, es;q=0.1", "en"), ("es;q=0", "en"), ("*", "en")],
)
def test_languages(accept: str | None, found: str) -> None:
    assert language(accept, ["en", "es"], "en") == found


# -- preview ----------------------------------------------------------------------------------------------------------
def test_anyone_may_look_at_what_a_policy_would_allow(service: Service, stored: dict[str, Any]) -> None:
    given = {"policies": [{"policy": stored["digest"]}, {"policy": odrl([rule("evaluate", ["text"])])}], "language": "es"}
    answer = service.post("/v1/policies/preview", given)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert [use["action"] for use in body["uses"]] == list(words.ACTIONS)
    evaluate = next(use for use in body["uses"] if use["action"] == "evaluate")
    assert [a["answer"] for a in evaluate["answers"]] == ["conditions", "yes"]
    assert body["relation"] == "wider" and body["policies"][0]["digest"] == stored["digest"]
    assert all(line["english"] for line in body["policies"][0]["deed"])
    assert service.http.get(f"{service.base}/v1/policies/{body['policies'][1]['digest']}").status_code == 404  # not stored


def test_a_template_with_parameters_is_previewed(service: Service) -> None:
    given = {"policies": [{"template": "open-model-training-with-credit", "parameters": {"end": "2030-01-01"}}]}
    body = service.post("/v1/policies/preview", given).json()
    answers = {use["action"]: use["answers"][0] for use in body["uses"]}
    assert answers["fineTune"]["answer"] == "conditions" and answers["distribute"]["answer"] == "no"
    assert "They must stop before 1 January 2030." in answers["fineTune"]["sentences"]
    assert (body["relation"], body["compared"]) == (None, None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"policies": []}, "body_invalid"),
        ({"policies": [{}]}, "body_invalid"),
        ({"policies": [{"template": "evaluation-only", "policy": {}}]}, "body_invalid"),
        ({"policies": [{"policy": {}, "parameters": {"end": None}}]}, "body_invalid"),
        ({"policies": [{"template": "evaluation-only"}] * 3}, "body_invalid"),
        ({"policies": [{"template": "x"}]}, "policy_unknown_template"),
        ({"policies": [{"template": "evaluation-only", "parameters": {"x": "y"}}]}, "policy_unknown_parameter"),
        ({"policies": [{"template": "evaluation-only"}], "language": "tlh"}, "policy_unknown_term"),
        ({"policies": [{"policy": "0" * 64}]}, "policy_unknown"),
        ({"policies": [{"policy": odrl([rule("use")])}]}, "policy_unknown_term"),
    ],
)
def test_previews_that_are_refused(service: Service, given: dict[str, Any], code: str) -> None:
    assert service.post("/v1/policies/preview", given).json()["code"] == code


# -- the wording that a consent keeps ---------------------------------------------------------------------------------
def test_a_consent_in_a_language_nobody_reviewed_keeps_that_the_english_stood_beside_it(
    service: Service, platform: PlatformParty
) -> None:
    [given] = platform.give()
    holder = service.claim(given)
    wordings = []
    for chosen in ("en", "es", "tlh"):
        holder.scope(given.id, template="nothing-new", language=chosen)
        wordings.append(receipt_terms(service, given.id))
    assert [shown for _, shown in wordings] == ["en", "es+en", "en"]
    assert wordings[0][0] == wordings[2][0] != wordings[1][0]


# -- hostile policies -------------------------------------------------------------------------------------------------
def written(given: Any) -> bytes:
    """JSON bytes, with `deep N` written out as N arrays in each other (which `json` itself cannot write)."""
    return re.sub(rb'"deep (\d+)"', lambda found: b"[" * int(found[1]) + b"]" * int(found[1]), json.dumps(given).encode())


HOSTILE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "10,000 rules": (odrl([rule("train", ["text"])] * 10_000), {"policy_too_large", "body_too_large"}),
    "10,000 small rules": ({**odrl(), "permission": [{}] * 10_000}, {"policy_too_large"}),
    "10,000 constraints": (
        odrl([rule("train", ["text"], *[limit("dateTime", "lt", "2030-01-01")] * 10_000)]), {"policy_too_large", "body_too_large"},
    ),
    "10,000 values": (odrl([rule("train", ["text"], limit("spatial", "isAnyOf", ["DE"] * 10_000))]), {"policy_too_large"}),
    "a string of a megabyte": ({**odrl(RULES), "profile": "x" * 1_000_000}, {"policy_too_large"}),
    "a key of a megabyte": ({**odrl(RULES), "x" * 1_000_000: 1}, {"policy_too_large", "body_too_large"}),
    "nested 100 deep": ({**odrl(RULES), "permission": "deep 100"}, {"policy_too_large", "json_too_deep"}),
    "nested 1,000 deep": ({**odrl(RULES), "permission": "deep 1000"}, {"policy_too_large", "json_too_deep"}),
    "nested 100,000 deep": ({**odrl(RULES), "permission": "deep 100000"}, {"policy_too_large", "json_too_deep"}),
    "an IRI that looks alike": ({**odrl(RULES), "profile": words.PROFILE.replace("a", "а")}, {"policy_unknown_term"}),
    "a word that looks alike": (odrl([rule("tr\u0430in")]), {"policy_unknown_term"}),
    "a word with a joiner": (odrl([rule("train\u200d")]), {"policy_unknown_term"}),
    "a word in another case": (odrl([rule("Train")]), {"policy_unknown_term"}),
    "wide letters": (odrl([rule("train", ["ｔｅｘｔ"])]), {"policy_unknown_term"}),
    "the year 9999": (odrl([rule("train", ["text"], limit("dateTime", "lt", "9999-12-31"))]), {"policy_invalid"}),
    "the year 0000": (odrl([rule("train", ["text"], limit("dateTime", "gteq", "0000-01-01"))]), {"policy_invalid"}),
    "ten thousand days": (odrl([rule("train", ["text"], limit("delayPeriod", "gteq", "P9999D"))]), {"policy_invalid"}),
    "a group of a million": (odrl([rule("train", ["text"], limit("groupSize", "gteq", "1000000"))]), {"policy_invalid"}),
    "a number of a thousand digits": (odrl([rule("train", ["text"], limit("groupSize", "gteq", "9" * 1000))]), {"policy_invalid"}),
    "itself": ({**odrl(RULES), "inheritFrom": "ni:///sha-256;AAAA"}, {"policy_unknown_term"}),
}  # fmt: skip


@pytest.mark.parametrize("route", ["/v1/policies", "/v1/policies/preview"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_policies_are_refused_within_limits_that_are_named(
    service: Service, platform: PlatformParty, name: str, route: str
) -> None:
    body, codes = HOSTILE[name]
    given = {"policy": body} if route == "/v1/policies" else {"policies": [{"policy": body}]}
    answer = service.post(route, written(given), service.token(platform))
    problem = answer.json()
    assert 400 <= answer.status_code < 500 and problem["code"] in codes, (answer.status_code, problem)
    assert len(answer.content) < 20_000 and answer.elapsed.total_seconds() < 3
    if problem["code"] in ("policy_too_large", "policy_invalid"):
        assert problem["limits"] == LIMITS
    elif problem["code"] in ("body_too_large", "json_too_deep"):
        assert any(letter.isdigit() for letter in problem["detail"]), problem["detail"]
    else:
        assert problem["known"]


def test_the_most_expensive_policy_that_is_taken_is_decided_in_time(service: Service, platform: PlatformParty) -> None:
    """As many prohibitions as fit, each about other purposes, places and days, so that every case has to be looked at."""
    countries, purposes = sorted(words.COUNTRIES), sorted(words.PURPOSES)
    bans = [
        rule(
            "train", ["text"], limit("spatial", "isAnyOf", countries[n : n + 9]), limit("purpose", "isAnyOf", [purposes[n % 16]]),
            limit("storagePlace", "isAnyOf", countries[n * 2 : n * 2 + 9]), limit("dateTime", "gteq", f"20{n + 10}-01-01"),
        )
        for n in range(55)
    ]  # fmt: skip
    body = odrl([rule(action, ["text"]) for action in ("train", "fineTune", "rewardModel")], [*bans, {"action": "reIdentify"}])
    for route, given in (("/v1/policies", {"policy": body}), ("/v1/policies/preview", {"policies": [{"policy": body}] * 2})):
        answer = service.post(route, given, service.token(platform))
        assert answer.status_code in (200, 201), answer.text
        assert answer.elapsed.total_seconds() < 5
