"""The outermost layer: whatever breaks inside, the answer is a problem document and says nothing of the inside."""

import asyncio
import json
from typing import Any

import pytest

from app.kit.edge import Edge
from app.kit.errors import Malformed
from app.kit.pagination import Cursors


def run(app: Any, path: str = "/x") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    asyncio.run(Edge(app, log_requests=False)(scope, receive, send))
    return sent


def test_a_failure_is_answered_as_internal_without_its_text() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("canary")

    start, body = run(broken)
    assert start["status"] == 500 and json.loads(body["body"])["code"] == "internal" and b"canary" not in body["body"]


def test_a_failure_after_the_answer_began_breaks_the_connection() -> None:
    async def cut(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run(cut)


def test_an_address_with_a_zero_byte_is_nowhere() -> None:
    async def unreachable(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    start, body = run(unreachable, "/v1/policies/\x00")
    assert start["status"] == 404 and json.loads(body["body"])["code"] == "not_found"


def test_a_cursor_is_bound_to_its_key_and_its_list() -> None:
    mine, theirs = Cursors(b"1" * 32), Cursors(b"2" * 32)
    for position in ("", "7", "con_x", "\u00e9", "x" * 200):
        cursor = mine.make("list/a", position)
        assert mine.read("list/a", cursor) == position and cursor.isascii() and "=" not in cursor
        for reader, listing in ((mine, "list/b"), (theirs, "list/a"), (mine, "list/a\x00")):
            with pytest.raises(Malformed):
                reader.read(listing, cursor)
    for bad in ("", "a", "ab", "!" * 30, "\u00e9", cursor + "=", cursor + "\n", " " + cursor):
        with pytest.raises(Malformed):
            mine.read("list/a", bad)
