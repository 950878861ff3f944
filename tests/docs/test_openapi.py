"""The committed description of the API is what the service does, and the service holds to it under invented requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from app.main import create_app
from tests.kit.refusals import accepted, call, refused
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
