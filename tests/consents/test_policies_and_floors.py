"""Policies, templates, floors and consent intents: unknown words are refused when written, and what each layer does."""

import copy
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.kit.refusals import accepted, at_once, body, call, get, lab_token, refused
from tests.support import EVALUATION, OPEN_TRAINING, ROOT, SHOWN, WORDING, LabParty, PlatformParty, Service, consent

EXAMPLE: dict[str, Any] = json.loads((ROOT / "policies" / "vectors" / "full-example.json").read_text())


def example() -> dict[str, Any]:
    return copy.deepcopy(EXAMPLE.get("policy", EXAMPLE))


def changed(path: str, value: Any) -> dict[str, Any]:
    """The example with the value at a `/`-separated path replaced (or, as `...`, left out)."""
    policy = example()
    *way, last = path.split("/")
    at: Any = policy
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is ...:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return policy


def store(service: Service, token: str, policy: Any) -> Any:
    return service.post("/v1/policies", json.dumps({"policy": policy}).encode(), token)


def test_a_policy_is_stored_by_its_digest_and_read_by_anybody(service: Service, platform: PlatformParty) -> None:
    found = accepted(store(service, service.token(platform), example()), 201)
    assert accepted(store(service, service.token(platform), example()), 201) == found
    again = accepted(get(service, f"/v1/policies/{found['digest']}"))
    assert again == found and again["deed"]
    for unknown in ("0" * 64, "x", "A" * 64, "0" * 5_000):
        refused(get(service, f"/v1/policies/{unknown}"), 404, "policy_unknown")
    refused(get(service, "/v1/policies/%00"), 404, "not_found", "policy_unknown")


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("permission/0/action", "wish", "policy_unknown_term"),
        ("permission/0/action", "reIdentify", "policy_unknown_term"),
        ("permission/0/target", ["text", "thoughts"], "policy_unknown_term"),
        (
            "permission/0/constraint",
            [{"leftOperand": "mood", "operator": "eq", "rightOperand": "good"}],
            "policy_unknown_term",
        ),
        (
            "permission/0/constraint",
            [{"leftOperand": "purpose", "operator": "eq", "rightOperand": "x"}],
            "policy_unknown_term",
        ),
        (
            "permission/0/constraint",
            [{"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": ["dpv:Fun"]}],
            "policy_unknown_term",
        ),
        (
            "permission/0/constraint",
            [{"leftOperand": "spatial", "operator": "isAnyOf", "rightOperand": ["ZZ"]}],
            "policy_unknown_term",
        ),
        (
            "permission/0/constraint",
            [{"leftOperand": "dateTime", "operator": "lt", "rightOperand": "2026-02-30"}],
            "policy_invalid",
        ),
        ("permission/0/constraint", 7, "policy_invalid"),
        ("permission/0/assignee", "https://lab.example", "policy_unknown_term"),
        ("permission", "all", "policy_invalid"),
        ("conflict", "permit", "policy_unknown_term"),
        ("conflict", ..., "policy_invalid"),
        ("profile", "https://elsewhere.example/profile", "policy_unknown_term"),
        ("@type", "Offer", "policy_unknown_term"),
        ("@context", "https://evil.example/context.jsonld", "policy_invalid"),
        ("@context", ["https://evil.example/context.jsonld"], "policy_unknown_term"),
        ("comment", "please be nice", "policy_unknown_term"),
        ("uid", "ni:///sha-256;AAAA", "policy_invalid"),
        ("permission", [{"action": "evaluate", "target": ["text"]}] * 65, "policy_too_large"),
        ("permission", [{"action": "train", "target": ["context"]}], "policy_never_permits"),
        ("permission/0/target", [["text"]], "policy_invalid"),
        ("permission/0/target", "\u00e9", "policy_unknown_term"),
    ],
)
def test_a_policy_with(service: Service, platform: PlatformParty, path: str, value: Any, code: str) -> None:
    found = refused(store(service, service.token(platform), changed(path, value)), 422, code)
    if code == "policy_unknown_term":
        assert found["known"] and found["where"]


def test_policies_of_the_wrong_shape_are_refused(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    for shape in ([], "x", None, 1):
        refused(store(service, token, shape), 422, "body_invalid")
    refused(store(service, token, {}), 422, "policy_invalid")
    refused(store(service, token, {"a": "x" * 70_000}), 422, "policy_too_large", "policy_unknown_term")
    refused(store(service, token, {"\u00e9": 1}), 422, "policy_invalid", "policy_unknown_term")
    refused(service.post("/v1/policies", {"policy": example()}), 401, "token_missing")


def test_templates_take_only_the_parameters_they_name(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    explicit = {"basis": "explicit", "wording": WORDING, "language": "en", "shown_at": SHOWN}
    for chosen, status, code in (
        ({"template": "evaluation"}, 422, "policy_unknown_template"),
        ({"template": "../../etc/passwd"}, 422, "policy_unknown_template"),
        ({"template": "evaluation-only", "parameters": {"colour": "red"}}, 422, "policy_unknown_parameter"),
        ({"template": "evaluation-only", "parameters": {"attribution": "loud"}}, 422, "policy_bad_parameter"),
        ({"template": "evaluation-only", "parameters": {"attribution": 7}}, 422, "policy_bad_parameter"),
        ({"template": "evaluation-only", "parameters": {"embargo": "tomorrow"}}, 422, "policy_bad_parameter"),
        ({"template": "evaluation-only", "parameters": {"territory": ["XX"]}}, 422, "policy_bad_parameter"),
        ({"template": "evaluation-only", "parameters": {"territory": []}}, 422, "policy_bad_parameter"),
        (
            {"template": "evaluation-only", "parameters": {"embargo": "2030-01-01", "end": "2029-01-01"}},
            422,
            "policy_never_permits",
        ),
        ({"policy": "0" * 64}, 404, "policy_unknown"),
    ):
        found = refused(service.post("/v1/contributions", body(consent={**chosen, **explicit}), token), status, code)
        if code in ("policy_unknown_template", "policy_unknown_parameter"):
            assert found["known"]
        refused(
            call(service, "PUT", "/v1/platforms/me/floor", token, json.dumps({"floor": chosen}).encode()), status, code
        )
        intent = {"wording": WORDING, "language": "en", "shown_at": SHOWN, **chosen}
        refused(service.post("/v1/consent-intents", intent, token), status, code)


def test_every_listed_template_can_be_used_as_it_is_listed(service: Service, platform: PlatformParty) -> None:
    listed = accepted(get(service, "/v1/policies"))
    assert {"evaluation-only", "nothing-new"} <= {t["name"] for t in listed} and len(listed) <= 8
    for template in listed:
        if template["deed"] is not None:
            platform.give(1, consent=consent(template["name"]))


def test_a_consent_needs_the_wording_its_language_and_the_time(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    whole = {"template": "evaluation-only", "wording": WORDING, "language": "en", "shown_at": SHOWN}
    for basis in ("explicit", "notice"):
        for missing in ("wording", "language", "shown_at"):
            given = {k: v for k, v in {**whole, "basis": basis}.items() if k != missing}
            refused(service.post("/v1/contributions", body(consent=given), token), 422, "consent_incomplete")


def warnings(answer: Any) -> list[str]:
    return [w["code"] for w in accepted(answer, 201)["warnings"]]


def test_a_contribution_without_a_usable_consent_is_kept_said_so_and_never_released(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    token = service.token(platform)
    for given in (None, ..., {}, {"basis": "none"}):
        assert warnings(service.post("/v1/contributions", body(consent=given), token)) == ["consent_missing"]
    assert warnings(service.post("/v1/contributions", body(consent={"template": "evaluation-only"}), token)) == [
        "consent_no_basis"
    ]
    answer = lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]})
    assert (answer.state, answer.offer, answer.model_extra["records"]) == ("refused", None, "fewer than 10")  # type: ignore[index]
    platform.give(1)
    agreement = lab.agree(platform)
    rows = lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path)
    assert [json.loads(r["text"]) for r in rows] == ["words 1"]


def test_a_notice_permits_evaluation_and_nothing_more(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    token = service.token(platform)
    notice = {
        "template": "open-model-training-with-credit",
        "basis": "notice",
        "wording": WORDING,
        "language": "en",
        "shown_at": SHOWN,
    }
    assert warnings(service.post("/v1/contributions", body(consent=notice), token)) == ["consent_notice_only"]
    answer = lab.sdk.request(OPEN_TRAINING, selection={"platforms": [platform.id]})
    assert answer.state == "refused"
    agreement = lab.agree(platform, {**EVALUATION, "model_openness": "openWeights"})
    [row] = lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path)
    assert (row["basis"], row["attested_by"]) == ("notice", "platform")


def test_the_hold_window_keeps_a_new_record_back(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    def ask() -> Any:
        return accepted(service.post("/v1/requests", asked, lab_token(service, lab)), 201)["state"]

    asked = {"use": EVALUATION, "selection": {"platforms": [platform.id]}}
    service.clock.offset = timedelta(hours=2)
    [given] = platform.give(1)
    receipt = service.claim(given)
    # The tests' service holds nothing back, so the clock goes: seen from here the record is not to be released yet.
    service.clock.offset = timedelta()
    assert ask() == "refused" and next(receipt.mine()).state == "held"
    service.clock.offset = timedelta(hours=3)
    assert ask() == "offered" and next(receipt.mine()).state == "live"


def intend(service: Service, party: PlatformParty, **changes: Any) -> Any:
    chosen = {"template": "evaluation-only", "wording": WORDING, "language": "en", "shown_at": SHOWN}
    return service.post("/v1/consent-intents", {**chosen, **changes}, service.token(party))


def test_a_consent_intent_is_good_once_and_one_that_the_platform_sends_ahead_is_its_own_word(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    token = service.token(platform)
    intent = accepted(intend(service, platform), 201)["intent"]
    data = body(consent={"intent": intent})
    first = accepted(service.post("/v1/contributions", data, token), 201)
    assert accepted(service.post("/v1/contributions", data, token), 201) == first
    refused(service.post("/v1/contributions", body(consent={"intent": intent}), token), 422, "intent_unknown")
    [row] = lab.fetch(lab.sdk.cut(lab.agree(platform), poll=0.05), tmp_path)
    assert (row["basis"], row["attested_by"]) == ("explicit", "platform")


def test_of_twenty_records_at_once_with_one_intent_one_is_taken(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    intent = accepted(intend(service, platform), 201)["intent"]
    answers = at_once(20, lambda _: service.post("/v1/contributions", body(consent={"intent": intent}), token))
    assert sorted(a.status_code for a in answers) == [201] + [422] * 19
    lines = b"\n".join(body(consent={"intent": accepted(intend(service, platform), 201)["intent"]}) for _ in range(1))
    twice = lines + b"\n" + body(consent={"intent": json.loads(lines)["consent"]["intent"]})
    items = accepted(service.post("/v1/contributions/batch", twice, token, Content_Type="application/x-ndjson"))[
        "items"
    ]
    assert [i.get("code") for i in items] == [None, "intent_unknown"]


def test_an_intent_for_another_platform_one_too_old_and_none_are_unknown(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    other = accepted(intend(service, service.platform()), 201)["intent"]
    old = accepted(intend(service, platform), 201)["intent"]
    for intent in (other, "cit_" + "0" * 26):
        refused(service.post("/v1/contributions", body(consent={"intent": intent}), token), 422, "intent_unknown")
    service.clock.offset = timedelta(hours=25)
    refused(
        service.post("/v1/contributions", body(consent={"intent": old}), service.token(platform)), 422, "intent_unknown"
    )
    service.clock.offset = timedelta()
    for wrong in (
        {"platform": "x"},
        {"wording": "x"},
        {"language": 1},
        {"shown_at": "now"},
        {"template": None},
        {"policy": "0" * 64},
    ):
        refused(intend(service, platform, **wrong), 422, "body_invalid")


def test_a_floor_narrows_every_release_of_the_platform_until_it_is_taken_away(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    platform.give(2, consent=consent("open-model-training-with-credit"))
    use = {**OPEN_TRAINING}
    agreement = lab.agree(platform, use)
    assert len(lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path / "1")) == 2
    platform.sdk.set_floor(template="evaluation-only")
    assert lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path / "2") == []
    assert lab.sdk.request(use, selection={"platforms": [platform.id]}).state == "refused"
    # A floor that permits the use, but whose terms the lab has not signed, holds the records back as well.
    platform.sdk.set_floor(template="any-training-with-credit-and-report-back")
    third = lab.sdk.cut(agreement, poll=0.05)
    assert lab.fetch(third, tmp_path / "3") == []
    platform.sdk.set_floor()
    assert len(lab.fetch(lab.sdk.cut(agreement, poll=0.05), tmp_path / "4")) == 2


def test_floors_of_the_wrong_form_are_refused_and_twenty_at_once_leave_one(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)

    def put(value: Any) -> Any:
        return call(service, "PUT", "/v1/platforms/me/floor", token, json.dumps(value).encode())

    for wrong in (
        {},
        {"floor": 1},
        {"floor": {}},
        {"floor": {"template": "a", "policy": "0" * 64}},
        {"floor": None, "x": 1},
        [],
    ):
        refused(put(wrong), 422, "body_invalid")
    names = ["evaluation-only", "nothing-new", None, "open-model-training-with-credit"]
    answers = at_once(20, lambda i: put({"floor": None if names[i % 4] is None else {"template": names[i % 4]}}))
    indexes = [accepted(a)["log_index"] for a in answers]
    assert len(set(indexes)) == 20
    accepted(put({"floor": None}))


def test_a_lab_sets_no_floor(service: Service, lab: LabParty) -> None:
    refused(
        call(service, "PUT", "/v1/platforms/me/floor", lab_token(service, lab), b'{"floor":null}'),
        401,
        "token_wrong_party",
    )
