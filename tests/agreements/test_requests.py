"""Asking: what a request may say, and that one is asked once."""

import uuid
from typing import Any

import sqlalchemy as sa

from app.agreements.models import Offer, Request
from app.kit.db import read
from tests.kit.refusals import accepted, at_once, get, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service

BAD_USES: list[tuple[Any, str]] = [
    ({}, "use_invalid"),
    ({"actions": []}, "use_invalid"),
    ({"actions": "evaluate"}, "use_invalid"),
    ({"actions": ["wish"]}, "policy_unknown_term"),
    ({"actions": [1]}, "use_invalid"),
    ({"actions": ["evaluate"], "purposes": ["dpv:Fun"]}, "policy_unknown_term"),
    ({"actions": ["evaluate"], "territory": "ZZ"}, "policy_unknown_term"),
    ({"actions": ["evaluate"], "territory": ["NL"]}, "use_invalid"),
    ({"actions": ["evaluate"], "model_openness": "ajar"}, "policy_unknown_term"),
    ({"actions": ["evaluate"], "retention_days": 0}, "use_invalid"),
    ({"actions": ["evaluate"], "retention_days": "30"}, "use_invalid"),
    ({"actions": ["evaluate"], "accepts": ["sing"]}, "policy_unknown_term"),
    ({"actions": ["evaluate"], "colour": "red"}, "use_invalid"),
]


def test_uses_outside_the_profile_are_refused_and_the_known_terms_named(service: Service, lab: LabParty) -> None:
    token = lab_token(service, lab)
    for use, code in BAD_USES:
        found = refused(service.post("/v1/requests", {"use": use}, token), 422, code)
        assert code == "use_invalid" or found["known"]


def test_requests_of_the_wrong_form_are_refused(service: Service, lab: LabParty) -> None:
    token = lab_token(service, lab)
    for wrong in (
        {}, {"use": 1}, {"use": None}, {"selection": []}, {"selection": {"platforms": []}}, {"selection": {"platforms": ["x"]}},
        {"selection": {"platforms": "plt"}}, {"selection": {"kinds": [1]}}, {"selection": {"languages": ["english"]}},
        {"selection": {"people": []}}, {"mode": "forever"}, {"mode": "standing"}, {"until": "2030-01-01"},
        {"mode": "standing", "until": "soon"}, {"mode": "standing", "until": "2030-02-30"}, {"mode": "standing", "until": "2030-W01-1"},
        {"mode": "standing", "until": 20300101}, {"why": "because"},
    ):  # fmt: skip
        asked = wrong if wrong == {} else {"use": EVALUATION, **wrong}
        refused(service.post("/v1/requests", asked, token), 422, "body_invalid")
    refused(
        service.post("/v1/requests", {"use": EVALUATION, "selection": {"kinds": ["tweet"]}}, token), 422, "kind_unknown"
    )
    refused(
        service.post("/v1/requests", {"use": EVALUATION, "mode": "standing", "until": "2020-01-01"}, token),
        422,
        "use_invalid",
    )


def test_a_request_that_matches_nothing_is_answered_with_a_refusal_and_not_an_error(
    service: Service, lab: LabParty
) -> None:
    token = lab_token(service, lab)
    selection = {"platforms": ["plt_" + "0" * 26]}
    found = accepted(service.post("/v1/requests", {"use": EVALUATION, "selection": selection}, token), 201)
    assert (found["state"], found["offer"], found["records"]) == ("refused", None, "fewer than 10")
    assert accepted(get(service, f"/v1/requests/{found['id']}", token)) == found


def test_one_idempotency_key_asks_once(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(1)
    token, key = lab_token(service, lab), str(uuid.uuid4())
    asked = {"use": EVALUATION, "selection": {"platforms": [platform.id]}}
    answers = [
        accepted(a, 201)
        for a in at_once(20, lambda _: service.post("/v1/requests", asked, token, Idempotency_Key=key))
        if a.status_code != 409
    ]
    assert answers and all(a == answers[0] for a in answers)
    assert accepted(service.post("/v1/requests", asked, token, Idempotency_Key=key), 201) == answers[0]
    refused(
        service.post("/v1/requests", {"use": EVALUATION}, token, Idempotency_Key=key), 409, "idempotency_key_reused"
    )
    refused(service.post("/v1/requests", asked, token, Idempotency_Key="k" * 150), 400, "idempotency_key_invalid")
    refused(service.post("/v1/requests", asked, token, Idempotency_Key="k" * 201), 422, "parameter_invalid")
    with read(service.runtime.engine) as session:
        for table in (Request, Offer):
            assert (
                session.execute(
                    sa.select(sa.func.count()).select_from(table).where(table.lab_id == lab.id)
                ).scalar_one()
                == 1
            )
    # A refused request leaves its key free: nothing took effect.
    spare = str(uuid.uuid4())
    refused(service.post("/v1/requests", {"use": {}}, token, Idempotency_Key=spare), 422, "use_invalid")
    accepted(service.post("/v1/requests", asked, token, Idempotency_Key=spare), 201)
