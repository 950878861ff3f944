"""A stored policy in the words of others, over HTTP: what the exporters say, for anybody, and nothing for what is not stored."""

import json

import pytest

from app.core import exports
from app.core.policy import parse_policy
from tests.core.policy_cases import limit, odrl, rule
from tests.kit.refusals import accepted, get, refused
from tests.support import PlatformParty, Service

EVERY = ("text", "judgment", "context", "profile")
OUTRIGHT = odrl([rule("trainGenerative", EVERY)])
UNDER_CONDITIONS = odrl([rule("train", EVERY, limit("purpose", "isAnyOf", ["dpv:ScientificResearch"]))])


def stored(service: Service, platform: PlatformParty, policy: dict) -> str:
    body = json.dumps({"policy": policy}).encode()
    return accepted(service.post("/v1/policies", body, service.token(platform)), 201)["digest"]


@pytest.mark.parametrize(("policy", "value"), [(OUTRIGHT, "train-ai=y, search=n"), (UNDER_CONDITIONS, "train-ai=n, search=n")])
def test_the_exports_of_a_policy_are_read_by_anybody(service: Service, platform: PlatformParty, policy: dict, value: str) -> None:
    digest = stored(service, platform, policy)
    terms = parse_policy(policy)
    address = f"{service.runtime.settings.public_url}/v1/policies/{digest}"
    assert accepted(get(service, f"/v1/policies/{digest}/exports/aipref")) == {
        "draft": exports.AIPREF_DRAFT, "field": "Content-Usage", "value": value
    }  # fmt: skip
    assert accepted(get(service, f"/v1/policies/{digest}/exports/cawg")) == exports.cawg(terms, address)
    answer = get(service, f"/v1/policies/{digest}/exports/dpv")
    assert answer.headers["content-type"] == "application/ld+json"
    assert answer.json() == exports.dpv(terms, address)


@pytest.mark.parametrize("export", ["aipref", "cawg", "dpv"])
def test_what_is_not_stored_has_no_exports(service: Service, export: str) -> None:
    refused(get(service, f"/v1/policies/{'0' * 64}/exports/{export}"), 404, "policy_unknown")


def test_there_is_no_export_of_another_name(service: Service, platform: PlatformParty) -> None:
    refused(get(service, f"/v1/policies/{stored(service, platform, OUTRIGHT)}/exports/rsl"), 404, "not_found")
