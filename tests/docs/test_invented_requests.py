"""Requests invented from the API's own description: whatever is sent, the service does not fail and answers as it said."""

import json
import os
import warnings
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sayso.collective import Collective
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.kit.problems import CODES
from tests.kit.refusals import lab_token
from tests.support import Service, on_one_backend, until

EXAMPLES = 50 if os.environ.get("SAYSO_TEST_SIZE") == "soak" else 2
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A batch's body from what was invented for it."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


def known_ids(service: Service) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Tokens by party, and real ids for path parameters, so that invented requests reach past the first lookup."""
    platform, lab = service.platform(), service.lab()
    recorded = platform.give(2)
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    delivery = lab.sdk.deliver(release)
    person = service.claim(recorded[0])
    person.withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    tokens = {
        "platform": service.token(platform),
        "lab": lab_token(service, lab),
        "person": person._auth._secret,
        "ticket": delivery.ticket,
    }
    union = Collective.found(person, "Invented", {"aim": "x"}, policy={"template": "evaluation-only"})
    proposal = union.propose("steward.remove", "x", subject=union.me()["member"])
    put = union.put_up(proposal["id"], "x")
    shard = release.shards[0]["sha256"]
    ids = {
        "contribution": [r.id for r in recorded], "agreement": [agreement.id], "release": [release.id], "recall": [recall.id],
        "offer": [str(agreement.offer)], "sha256": [shard], "digest": ["0" * 64],
        "collective": [union.id], "proposal": [proposal["id"]], "statement": [put["id"]],
    }  # fmt: skip
    return tokens, ids


def test_no_invented_request_breaks_the_service(service: Service) -> None:
    on_one_backend(service, "one backend is enough for what the routes do with their input")
    tokens, ids = known_ids(service)
    schema = schemathesis.openapi.from_url(service.base + "/openapi.json")
    calls = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        needs = [name for need in operation.definition.raw["security"] for name in need]
        headers = {"Authorization": f"Bearer {tokens[needs[0]]}"} if needs else {}

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(
            case=st.one_of(
                operation.as_strategy(), operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            ),
            real=st.booleans(),
        )
        def attempt(case: Any, real: bool) -> None:
            nonlocal calls
            for name, values in ids.items():
                if real and name in (case.path_parameters or {}):
                    case.path_parameters[name] = values[0]
            answer = case.call(headers=headers, timeout=30)
            calls += 1
            assert answer.status_code < 500 or answer.json()["code"] in ("awaiting_checkpoint",), (
                case.method,
                case.path,
                answer.text,
            )
            if answer.status_code >= 400 and case.method != "HEAD":
                assert answer.headers["content-type"] == ["application/problem+json"], (
                    case.method,
                    case.path,
                    answer.status_code,
                )
                assert answer.json()["code"] in CODES and answer.json()["detail"]
            if case.method != "HEAD" and answer.status_code != 503:
                case.validate_response(answer, checks=CHECKS)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt()
    assert calls > 100
