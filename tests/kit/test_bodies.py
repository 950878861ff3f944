"""What bad bodies get: each is a problem of its own, and nothing of it is recorded."""

import gzip
import json
from typing import Any

import pytest
import sqlalchemy as sa

from app.contributions.models import Contribution
from app.kit.db import read
from tests.kit.refusals import accepted, body, raw_request, record, refused
from tests.support import PlatformParty, Service

BIG = 20 * 1024 * 1024


@pytest.fixture
def token(service: Service, platform: PlatformParty) -> str:
    return service.token(platform)


def recorded(service: Service, platform: PlatformParty) -> int:
    """How many contributions of the platform are in the database."""
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(Contribution).where(Contribution.platform_id == platform.id)  # type: ignore[arg-type]
        return int(session.execute(query).scalar_one())


GOOD = json.dumps(record(external_id="e"))
UNREADABLE = {
    "not JSON at all": (b"hello", "json_invalid"),
    "an empty body": (b"", "json_invalid"),
    "a part that is not JSON": (GOOD.replace('"words"', "words").encode(), "json_invalid"),
    "a part cut off": (GOOD[:60].encode(), "json_invalid"),
    "a trailing comma": (GOOD.replace("}}", "},}", 1).encode(), "json_invalid"),
    "two JSON values": (GOOD.encode() * 2, "json_invalid"),
    "a comment": (b"// hi\n" + GOOD.encode(), "json_invalid"),
    "a control character in a string": (GOOD.replace("words", "wo\x01rds").encode(), "json_invalid"),
    "a no-break space between tokens": ("\u00a0".encode() + GOOD.encode(), "json_invalid"),
    "the same key twice": (b'{"kind":"preference",' + GOOD.encode()[1:], "json_duplicate_key"),
    "the same key twice, once escaped": (b'{"\\u006bind":"preference",' + GOOD.encode()[1:], "json_duplicate_key"),
    "the same key twice inside a part": (GOOD.replace('"words"', '{"a":1,"a":2}').encode(), "json_duplicate_key"),
    "the same part twice": (GOOD.replace('"text": "words"', '"text": 1, "text": 2').encode(), "json_duplicate_key"),
    "NaN": (GOOD.replace('"words"', "NaN").encode(), "json_not_finite"),
    "Infinity": (GOOD.replace('"words"', "[-Infinity]").encode(), "json_not_finite"),
    "half a surrogate pair": (GOOD.replace("words", "\\ud800").encode(), "json_lone_surrogate"),
    "half a pair outside of parts": (GOOD.replace('"e"', '"\\udfff"').encode(), "json_lone_surrogate"),
    "an encoded surrogate": (GOOD.replace("words", "@").encode().replace(b"@", b"\xed\xa0\x80"), "json_not_utf8"),
    "Latin-1": (GOOD.replace("words", "@").encode().replace(b"@", b"\xe9"), "json_not_utf8"),
    "an overlong encoding": (GOOD.replace("words", "@").encode().replace(b"@", b"\xc0\xaf"), "json_not_utf8"),
    "a byte-order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "json_bom"),
    "UTF-16 with a mark": (GOOD.encode("utf-16"), "json_not_utf8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "json_not_utf8"),
    "UTF-32": (GOOD.encode("utf-32"), "json_not_utf8"),
    "a part nested 10,000 deep": (GOOD.replace('"words"', "[" * 10_000 + "]" * 10_000).encode(), "json_too_deep"),
    "an open bracket a million times": (b"[" * 1_000_000, "json_too_deep"),
    "a fraction outside of parts": (GOOD.replace('"e"', "1.5").encode(), "json_number"),
    "an integer beyond 2^53 outside of parts": (GOOD.replace('"e"', "9007199254740993").encode(), "json_number"),
    "an integer of 100,000 digits outside of parts": (GOOD.replace('"e"', "9" * 100_000).encode(), "json_number"),
    "a number outside of parts that overflows": (GOOD.replace('"e"', "1e999").encode(), "json_number"),
}  # fmt: skip


def test_a_body_that_cannot_be_read_is_refused_with_its_own_code_and_leaves_nothing(
    service: Service, platform: PlatformParty, token: str
) -> None:
    for what, (data, code) in UNREADABLE.items():
        found = refused(
            service.post("/v1/contributions", data, token), 400, code, *(["json_invalid"] if "million" in what else [])
        )
        assert "words" not in found["detail"], what
    assert recorded(service, platform) == 0


def test_the_same_unreadable_lines_in_a_batch_are_refused_each_for_itself(
    service: Service, platform: PlatformParty, token: str
) -> None:
    lines = {
        what: data
        for what, (data, _) in UNREADABLE.items()
        if data and b"\n" not in data and not data.startswith(b"\xff\xfe")
    }
    # Zero bytes of the wide encodings stay inside their line.
    sent = b"\n".join([body(external_id="first"), *lines.values(), body(external_id="last")])
    answer = accepted(service.post("/v1/contributions/batch", sent, token, Content_Type="application/x-ndjson"))
    assert [i["status"] for i in answer["items"]] == [201, *[400] * len(lines), 201]
    assert (answer["recorded"], answer["refused"]) == (2, len(lines))
    assert all(i["code"].startswith("json_") and i["detail"] for i in answer["items"][1:-1])
    assert recorded(service, platform) == 2


def test_numbers_inside_parts_have_no_limits(service: Service, token: str) -> None:
    parts = b'{"text":[9007199254740993,1e999,0.10,-0,' + b"9" * 5_000 + b"]}"
    data = body(parts=0).replace(b'"parts": 0', b'"parts": ' + parts)
    accepted(service.post("/v1/contributions", data, token), 201)


def test_a_body_of_20_mb_is_refused_by_its_declared_length_before_it_is_read(service: Service, token: str) -> None:
    for path, media in (("", "application/json"), ("/batch", "application/x-ndjson")):
        head = (
            f"POST /v1/contributions{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: {media}\r\nContent-Length: {BIG}\r\n\r\n"
        ).encode()
        refused(raw_request(service, head), 413, "body_too_large")


def test_a_body_of_20_mb_without_a_length_is_refused_while_it_arrives(
    service: Service, platform: PlatformParty, token: str
) -> None:
    def pieces() -> Any:
        yield b"1\r\n{\r\n"
        for _ in range(BIG // 65_536):
            yield b"10000\r\n" + b" " * 65_536 + b"\r\n"
        yield b"0\r\n\r\n"

    for path in ("/v1/contributions", "/v1/requests", "/v1/policies"):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        ).encode()
        refused(raw_request(service, head, pieces()), 413, "body_too_large")
    assert recorded(service, platform) == 0


def test_one_contribution_of_more_than_2_mb_is_refused_alone_and_in_a_batch(service: Service, token: str) -> None:
    large = body(parts={"text": "x" * 2_200_000})
    refused(service.post("/v1/contributions", large, token), 413, "record_too_large")
    lines = b"\n".join([large, body()])
    items = accepted(service.post("/v1/contributions/batch", lines, token, Content_Type="application/x-ndjson"))[
        "items"
    ]
    assert [(i["status"], i.get("code")) for i in items] == [(413, "record_too_large"), (201, None)]


def test_a_length_that_is_no_number_is_refused(service: Service) -> None:
    for length in (b"-1", b"+5", b"five", b"99999999999999999999999"):
        head = b"POST /v1/contributions HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
        assert raw_request(service, head).status_code in (400, 413)


@pytest.mark.parametrize(
    "path", ["/v1/contributions", "/v1/requests", "/v1/policies", "/v1/revocations", "/v1/portal-sessions"]
)
def test_other_media_types_and_codings_are_refused(service: Service, token: str, path: str) -> None:
    good = body()
    for media in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/ld+json",
        "multipart/form-data; boundary=x",
        "",
    ):
        refused(service.post(path, good, token, Content_Type=media), 415, "media_type")
    refused(
        service.post(path, good.decode().encode("utf-16"), token, Content_Type="application/json; charset=utf-16"),
        415,
        "media_type",
    )
    for coding in ("gzip", "br", "deflate, gzip"):
        refused(service.post(path, gzip.compress(good), token, Content_Encoding=coding), 415, "media_type")


def test_json_in_utf_8_may_say_so(service: Service, token: str) -> None:
    for media in (
        "application/json; charset=utf-8",
        "application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ):
        accepted(service.post("/v1/contributions", body(), token, Content_Type=media), 201)


WRONG: dict[str, list[Any]] = {
    "external_id": [..., None, 1, "", "x" * 513, ["a"], {"a": 1}, True, "line\nbreak", "\u0000"],
    "kind": [..., None, 1, [], "x" * 41],
    "contributor": [1, "", "x" * 513, [], "\u0007"],
    "parent": [1, "", [], False],
    "created_at": [1, "", "yesterday", "2026-11-24", "2026-11-24T01:02:03", "2026-13-01T00:00:00Z", "20261124T010203Z",
                   "2026-W48-2T01:02:03Z", "9999-12-31T23:59:59Z", "2026-11-24 01:02:03Z", "2026-11-24T01:02:03+25:00"],
    "language": [1, "", "english", "e", "en_US", "en-", "x" * 200],
    "parts": [..., None, 1, "text", []],
    "context_terms": [1, "CC-BY", [], {"licence": 1}, {"owner": "me"}, {"licence": ""}],
    "context_ref": [1, "", "x" * 513],
    "consent": [1, "yes", [], {"basis": "implied"}, {"template": 1}, {"policy": "abc"}, {"policy": "A" * 64}, {"parameters": []},
                {"template": "evaluation-only", "policy": "a" * 64, "basis": "none"}, {"basis": "explicit"}, {"agreed": True},
                {"intent": "cit_x"}, {"intent": "cit_" + "0" * 26, "template": "evaluation-only"},
                {"template": "evaluation-only", "parameters": {"attribution": {"a": 1}}},
                {"template": "evaluation-only", "parameters": {"attribution": True}}],
    "surprise": [1, None],
}  # fmt: skip


def test_every_field_of_the_wrong_type_is_refused_and_named(
    service: Service, platform: PlatformParty, token: str
) -> None:
    sent = [(name, value) for name, values in WRONG.items() for value in values]
    lines = b"\n".join(body(**{name: value}) for name, value in sent)
    items = accepted(service.post("/v1/contributions/batch", lines, token, Content_Type="application/x-ndjson"))[
        "items"
    ]
    for (name, value), item in zip(sent, items, strict=True):
        assert (item["status"], item.get("code")) == (422, "body_invalid"), (name, value, item)
        assert any(name in error["where"] or "consent" in error["where"] for error in item["errors"]), (
            name,
            value,
            item,
        )
    assert recorded(service, platform) == 0
    found = refused(service.post("/v1/contributions", body(kind=17), token), 422, "body_invalid")
    assert found["errors"][0]["where"] == "kind"


def test_unknown_kinds_parts_and_fields_are_refused_and_the_known_ones_named(
    service: Service, platform: PlatformParty, token: str
) -> None:
    found = refused(service.post("/v1/contributions", body(kind="tweet"), token), 422, "kind_unknown")
    assert "testimony" in found["known"] and len(found["known"]) == 13
    found = refused(service.post("/v1/contributions", body(parts={"text": 1, "notes": 2}), token), 422, "part_unknown")
    assert found["known"] == ["text", "judgment", "context", "profile"]
    refused(service.post("/v1/contributions", body(parts={}), token), 422, "parts_missing")
    refused(service.post("/v1/contributions", body(colour="red"), token), 422, "body_invalid")
    refused(service.post("/v1/contributions", body(parent="con_" + "0" * 26), token), 422, "parent_unknown")
    refused(service.post("/v1/contributions", body(parent="never seen"), token), 422, "parent_unknown")
    assert recorded(service, platform) == 0


def test_a_body_that_is_no_object_is_refused(service: Service, token: str) -> None:
    for data in (b"[]", b"1", b'"a"', b"null", b"true"):
        refused(service.post("/v1/contributions", data, token), 422, "body_invalid")
        refused(service.post("/v1/policies", data, token), 422, "body_invalid")


def test_what_was_sent_never_stands_in_a_refusal(service: Service, token: str) -> None:
    canary = "canary-7f3a"
    for fields in (
        {"language": canary},
        {canary: 1},
        {"created_at": canary},
        {"parts": {canary: 1}},
        {"kind": canary},
        {"parent": canary},
    ):
        answer = service.post("/v1/contributions", body(**fields), token)
        assert answer.status_code == 422
        # A field's own name may be repeated to say where; a value may not.
        assert canary not in answer.text or canary in fields
