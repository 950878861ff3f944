"""The platform's SDK: exact bytes, tokens, retries that cannot act twice, batches, refusals."""

import base64
import json
from urllib.parse import parse_qs

import httpx
import pytest
from sayso import ConsentGiven, Platform, RawJSON, errors
from sayso.models import NewContribution

from tests.client.fake_service import BASE, RECORDED, Service, json_, problem


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def platform(service):
    return Platform(BASE, "plt_1", "s e+c:ret", transport=service.transport)


def record(platform, **more):
    return platform.record(external_id="e1", kind="vote", parts={"judgment": 1}, **more)


def test_recording_sends_exact_bytes(service, platform):
    service.routes["POST", "/v1/contributions"] = json_(201, RECORDED)
    raw = b'{ "n": 12345678901234567890123,\n "n2": 1.10, "u": "\\u00e9" }'
    done = platform.record(
        external_id="e1",
        kind="critique",
        parts={"text": RawJSON(raw), "judgment": {"é": [1, None]}},
        contributor="u7",
        consent=ConsentGiven(template="evaluation-only", basis="explicit", wording="0" * 64, language="fr"),
    )
    assert (done.id, done.log_index, done.claim_url) == ("con_1", 4, f"{BASE}/c/abc")
    assert "c/abc" not in repr(done), "a claim link is a secret"
    body = service.seen[-1].content
    assert b'"text":' + raw in body
    assert '"judgment":{"é":[1,null]}'.encode() in body
    sent = json.loads(body)
    assert sent["consent"] == {
        "template": "evaluation-only",
        "parameters": {},
        "basis": "explicit",
        "wording": "0" * 64,
        "language": "fr",
    }
    assert "parent" not in sent
    token = service.calls("/v1/oauth/token")[0]
    basic = base64.b64decode(token.headers["authorization"].removeprefix("Basic ")).decode()
    assert basic == "plt_1:s+e%2Bc%3Aret"
    assert parse_qs(token.content.decode()) == {"grant_type": ["client_credentials"]}


@pytest.mark.parametrize("text", ["", "1} , {", '{"a":1},"consent":{"basis":"explicit"}', "{", b"\xff", "'a'"])
def test_raw_json_is_one_json_value(text):
    with pytest.raises(ValueError):
        RawJSON(text)


@pytest.mark.parametrize("part", [float("nan"), "\ud800", {1, 2}])
def test_parts_that_are_no_json_are_refused_before_sending(service, platform, part):
    with pytest.raises((ValueError, TypeError)):
        platform.record(external_id="e", kind="vote", parts={"text": part})
    assert not service.seen


def test_tokens_are_kept_and_renewed_in_time(service, platform):
    service.routes["POST", "/v1/contributions"] = json_(201, RECORDED)
    record(platform), record(platform)
    assert service.tokens == 1
    service.clock += 280
    record(platform)
    assert service.tokens == 2
    assert service.seen[-1].headers["authorization"] == "Bearer token2"


def test_a_token_refused_early_is_renewed_once(service, platform):
    service.routes["POST", "/v1/contributions"] = [problem(401, "token_invalid"), json_(201, RECORDED)]
    record(platform)
    first, second = service.calls("/v1/contributions")
    assert (first.headers["authorization"], second.headers["authorization"]) == ("Bearer token1", "Bearer token2")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    service.routes["POST", "/v1/contributions"] = problem(401, "token_invalid")
    with pytest.raises(errors.Unauthorised):
        record(platform)
    assert len(service.calls("/v1/contributions")) == 4


def test_retries_keep_the_key_and_the_body(service, platform):
    service.routes["POST", "/v1/contributions"] = [
        problem(429, "rate_limited", retry_after="7"),
        problem(503, "unavailable", retry_after="Mon, 12 Jan 1970 13:47:10 GMT"),
        httpx.ReadTimeout("cut"),
        problem(409, "idempotency_in_flight", retry_after="1"),
        json_(201, RECORDED),
    ]
    record(platform)
    sent = service.calls("/v1/contributions")
    assert len(sent) == 5
    assert len({r.headers["idempotency-key"] for r in sent}) == 1 == len({r.content for r in sent})
    assert service.slept[0] == 7 and service.slept[1] == 23 and service.slept[3] == 1
    service.routes["POST", "/v1/contributions"] = json_(201, RECORDED)
    record(platform)
    record(platform, idempotency_key="mine")
    keys = [r.headers["idempotency-key"] for r in service.calls("/v1/contributions")[4:]]
    assert len(set(keys)) == 3 and keys[-1] == "mine"


def test_retries_end(service, platform):
    service.routes["POST", "/v1/contributions"] = problem(503, "unavailable")
    with pytest.raises(errors.Busy):
        record(platform)
    assert len(service.calls("/v1/contributions")) == 5
    service.routes["POST", "/v1/contributions"] = httpx.ConnectError("no")
    with pytest.raises(errors.TransportError):
        record(platform)
    service.seen.clear()
    service.routes["POST", "/v1/contributions"] = problem(429, "rate_limited", retry_after="3600")
    with pytest.raises(errors.Busy) as refusal:
        record(platform)
    assert len(service.seen) == 1 and refusal.value.retry_after == 3600


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (422, errors.Invalid),
        (500, errors.Problem),
    ],
)
def test_refusals_are_errors_of_their_kind(service, platform, status, kind):
    service.routes["POST", "/v1/contributions"] = problem(status, "some_code")
    with pytest.raises(kind) as refusal:
        record(platform)
    assert (refusal.value.status, refusal.value.code, refusal.value.detail) == (status, "some_code", "Do otherwise.")
    assert isinstance(refusal.value, errors.SaysoError)
    assert len(service.calls("/v1/contributions")) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"code":'])
def test_refusals_without_a_problem(service, platform, body):
    service.routes["POST", "/v1/contributions"] = httpx.Response(
        502, content=body, headers={"content-type": "application/json"}
    )
    with pytest.raises(errors.Problem) as refusal:
        record(platform)
    assert refusal.value.code == "unknown"


@pytest.mark.parametrize("answer", [httpx.Response(201, content=b"nope"), json_(201, {"id": "x"}), json_(201, [])])
def test_answers_of_another_form(service, platform, answer):
    service.routes["POST", "/v1/contributions"] = answer
    with pytest.raises(errors.TransportError):
        record(platform)


def test_the_token_endpoint_says_no(service, platform):
    service.routes["POST", "/v1/oauth/token"] = json_(401, {"error": "invalid_client", "error_description": "Who?"})
    with pytest.raises(errors.Unauthorised) as refusal:
        record(platform)
    assert (refusal.value.code, refusal.value.detail) == ("invalid_client", "Who?")
    service.routes["POST", "/v1/oauth/token"] = json_(200, {"access_token": 1})
    with pytest.raises(errors.TransportError):
        record(platform)


def batch(request):
    lines = request.content.split(b"\n")
    assert lines.pop() == b"" and request.headers["content-type"] == "application/x-ndjson"
    items = [
        {"line": i + 1, "status": 422, "code": "kind_unknown", "detail": "No."}
        if json.loads(line)["kind"] == "?"
        else {"line": i + 1, "status": 201, **RECORDED, "id": "con_" + json.loads(line)["external_id"]}
        for i, line in enumerate(lines)
    ]
    return json_(200, {"items": items, "recorded": 0, "refused": 0})


def test_many_go_in_chunks_and_come_back_in_order(service, platform):
    service.routes["POST", "/v1/contributions/batch"] = batch
    service.routes["POST", "/v1/contributions"] = [json_(201, RECORDED), problem(409, "external_id_reused")]
    made = []

    def items():
        for i in range(1203):
            made.append(i)
            kind = "?" if i == 700 else "vote"
            part = RawJSON("[1,\n2]") if i in (600, 601) else "\u2028 \n"
            yield (
                NewContribution(external_id=str(i), kind=kind, parts={"text": part})
                if i % 2
                else {
                    "external_id": str(i),
                    "kind": kind,
                    "parts": {"text": part},
                }
            )

    results = platform.record_many(items())
    assert not made, "nothing happens before it is asked for"
    results = list(results)
    assert [item.external_id for item in results] == [str(i) for i in range(1203)]
    assert results[0].id == "con_0" and results[0].ok
    assert (results[700].ok, results[700].code) == (False, "kind_unknown")
    assert (results[600].id, results[600].status) == ("con_1", 201)
    assert (results[601].status, results[601].code) == (409, "external_id_reused")
    sent = service.calls("/v1/contributions/batch")
    assert [r.content.count(b"\n") for r in sent] == [500, 100, 500, 101]
    assert len({r.headers["idempotency-key"] for r in sent}) == 4


def test_a_batch_answered_short_is_an_error(service, platform):
    service.routes["POST", "/v1/contributions/batch"] = json_(200, {"items": []})
    with pytest.raises(errors.TransportError):
        list(platform.record_many([{"external_id": "1", "kind": "vote", "parts": {}}]))


def test_large_items_make_smaller_chunks(service, platform):
    service.routes["POST", "/v1/contributions/batch"] = batch
    big = "x" * 1_500_000
    assert (
        len(
            list(
                platform.record_many({"external_id": str(i), "kind": "vote", "parts": {"text": big}} for i in range(12))
            )
        )
        == 12
    )
    assert max(len(r.content) for r in service.seen) < 8 * 2**20


def test_ids_cannot_leave_their_path(service, platform):
    with pytest.raises(errors.NotFound):
        platform.contribution("../policies?x=1#y")
    assert service.seen[-1].url.raw_path == b"/v1/contributions/..%2Fpolicies%3Fx%3D1%23y"


def test_floor(service, platform):
    service.routes["PUT", "/v1/platforms/me/floor"] = json_(200, {"policy": None, "log_index": 3})
    platform.set_floor(template="evaluation-only", parameters={"a": 1})
    platform.set_floor()
    bodies = [json.loads(r.content) for r in service.calls("/v1/platforms/me/floor")]
    assert bodies == [{"floor": {"template": "evaluation-only", "parameters": {"a": 1}}}, {"floor": None}]


def test_redirects_do_not_carry_secrets_away(service, platform):
    service.routes["POST", "/v1/contributions"] = httpx.Response(
        307, headers={"location": "https://elsewhere.example/"}
    )
    with pytest.raises(errors.Problem):
        record(platform)
    assert {r.url.host for r in service.seen} == {"sayso.example"}
