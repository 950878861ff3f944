"""The committed description of the API is what the service does, and the service holds to it under invented requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from app.main import create_app
from tests.kit.refusals import accepted, call, lab_token, refused
from tests.support import ROOT, Service, test_settings

METHODS = ("get", "post", "put", "delete", "patch", "head")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return create_app(test_settings(tmp_path_factory.mktemp("schema"))).openapi()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield path, method, operation


def test_the_committed_description_is_current(schema: dict[str, Any]) -> None:
    committed = json.loads((ROOT / "openapi" / "openapi.json").read_text("utf-8"))
    assert committed == json.loads(json.dumps(schema)), "run `python -m app export-openapi`"


def test_it_names_every_route_of_the_api_and_no_other(tmp_path: Path, schema: dict[str, Any]) -> None:
    app = create_app(test_settings(tmp_path))
    routes = {route.path for route in _routes(app) if route.path.startswith(("/v1", "/.well-known"))}
    described = {path.replace("{path}", "{path:path}") for path in schema["paths"]}
    assert routes == described


def _routes(app: Any) -> Iterator[Any]:
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, Route):
            yield route
        else:
            inner = getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", [])
            waiting += inner


def test_every_operation_has_a_summary_of_its_own(schema: dict[str, Any]) -> None:
    summaries = [
        (path, operation.get("summary", "")) for path, method, operation in operations(schema) if method != "head"
    ]
    assert all(summary and " " in summary for _, summary in summaries), summaries
    assert schema["openapi"].startswith("3.1")


def test_every_operation_says_that_refusals_are_problem_documents(schema: dict[str, Any]) -> None:
    for path, method, operation in operations(schema):
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"], (method, path)
        assert "422" not in operation["responses"]


OPEN = {
    "/v1/oauth/token", "/v1/policies", "/v1/policies/preview", "/v1/policies/{digest}", "/v1/consent-intents", "/v1/ledger",
    "/v1/ledger/shares", "/v1/erasures/{erasure}", "/v1/schemas/consent-receipt",
}  # fmt: skip
"""Routes for everybody; under /v1/log and /.well-known all are."""
LABS = ("/v1/catalog", "/v1/quotes", "/v1/requests", "/v1/offers", "/v1/agreements", "/v1/releases", "/v1/recalls", "/v1/events", "/v1/console-links")
PEOPLE = ("/models", "/receipt", "/consents", "/releases", "/me", "/acts", "/revocations", "/erasures")


def for_whom(path: str, method: str) -> str:
    if path.startswith(LABS):
        return "ticket" if "/shards/" in path else "lab"
    if path.startswith("/v1/contributions") or path in ("/v1/revocations", "/v1/erasures"):
        return "person" if path.endswith(PEOPLE) else "platform"
    if path.startswith("/v1/collectives"):
        return "reader" if method == "get" and path.endswith(("{collective}", "/outcome")) else "member"
    if path.startswith(("/v1/platforms", "/v1/intake")) or path in ("/v1/portal-sessions", "/v1/eligibility-codes"):
        return "platform"
    if path == "/v1/policies" and method == "post":
        return "client"
    open_under = ("/v1/log/", "/.well-known/", "/v1/ingest/", "/v1/policies/{digest}/exports/")
    assert path in OPEN or path.startswith(open_under), f"say here who may call {path}"
    return "anybody"


BODIES: dict[str, Any] = {
    "/v1/quotes": {"use": {}},
    "/v1/requests": {"use": {}}, "/v1/offers/{offer}/agreement": {"acceptance": "x" * 20}, "/v1/portal-sessions": {"contributor": "x"},
    "/v1/recalls/{recall}/attestation": {"attestation": "x" * 20}, "/v1/agreements/{agreement}/checks": {"use": {}},
    "/v1/platforms/me/floor": {"floor": None}, "/v1/policies": {"policy": {}},
    "/v1/contributions/claim-link": {"kind": "label", "external_id": "x"},
    "/v1/collectives": {"name": "x", "charter": {"aim": "x"}}, "/v1/eligibility-codes": {"count": 1},
    "/v1/collectives/{collective}/members/me/group": {"declared": None},
    "/v1/collectives/{collective}/mandates": {"expires_on": "2027-01-01", "policy": None},
    "/v1/collectives/{collective}/proposals": {"type": "policy.adopt", "text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/text": {"text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/ballots": {"choice": "yes", "text_sha256": "0" * 64},
    "/v1/collectives/{collective}/proposals/{proposal}/minority-reports": {"text": "x"},
    "/v1/collectives/{collective}/proposals/{proposal}/objections": {"text": "x"},
    "/v1/revocations": {"scope": "contribution"}, "/v1/erasures": {"scope": "contribution"},
}  # fmt: skip


def test_on_every_route_the_token_of_another_party_opens_nothing(service: Service, schema: dict[str, Any]) -> None:
    platform, lab = service.platform(), service.lab()
    [given] = platform.give(1)
    tokens = {
        "platform": service.token(platform), "lab": lab_token(service, lab), "person": service.claim(given)._auth._secret,
        "ticket": "tkt_" + "a" * 52, "nonsense": "x", "nobody": None,
    }  # fmt: skip
    seen = 0
    for path, method, _ in operations(schema):
        wanted = for_whom(path, method)
        if wanted == "anybody":
            continue
        address = path.replace("{contribution}", given.id).replace("{sha256}", "0" * 64)
        for name in ("request", "offer", "agreement", "release", "recall"):
            address = address.replace(
                "{" + name + "}",
                {"agreement": "agr", "request": "req", "offer": "off", "release": "rel", "recall": "rcl"}[name]
                + "_"
                + "0" * 26,
            )
        default = {"template": "nothing-new"} if path.endswith("consents") else {}
        content = None if method in ("get", "head") else json.dumps(BODIES.get(path, default)).encode()
        for who, token in tokens.items():
            if who == wanted or (wanted == "client" and who in ("platform", "lab")):
                continue
            if wanted in ("member", "reader") and who == "person":
                continue
            answer = call(service, method.upper(), address, token, content)
            seen += 1
            if (who in ("platform", "lab") and wanted in ("member", "reader")) or (who == "nobody" and wanted == "reader"):
                refused(answer, 404, "not_found")  # to them there is nothing
                continue
            assert answer.status_code == 401, (method, path, who, answer.status_code, answer.text[:200])
            if method != "head":
                refused(answer, 401, "token_missing", "token_invalid", "token_wrong_party", "ticket_invalid")
    assert seen > 80


def test_addresses_and_methods_that_are_not_there_are_problems_too(service: Service) -> None:
    for path in (
        "/v1",
        "/v1/nothing",
        "/v1/contributions/x/y/z",
        "/v2/contributions",
        "/c",
        "/%00",
        "/v1/log/tile/%00",
        "/v1/contributions/%00",
        "/.env",
    ):
        refused(call(service, "GET", path), 404, "not_found")
    for method, path in (
        ("DELETE", "/v1/contributions"),
        ("PATCH", "/v1/ledger"),
        ("GET", "/v1/revocations"),
        ("POST", "/v1/ledger"),
        ("TRACE", "/v1/ledger"),
    ):
        answer = call(service, method, path)
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"]


def test_health_is_told_to_anybody(service: Service) -> None:
    assert accepted(call(service, "GET", "/healthz")) == {"status": "alive"}
    ready = accepted(call(service, "GET", "/readyz"))
    assert (ready["status"], ready["checks"]) == ("ready", {}) and set(ready["notes"]) <= {"journal"}
