"""Reading requests strictly: one JSON parser (core/strictjson.py), one urlencoded parser, one size limit."""

import re
from asyncio import sleep
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import wraps
from inspect import iscoroutinefunction
from time import monotonic
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints
from sqlmodel import Session
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.strictjson import StrictJSONError, parse
from app.kit.clock import rfc3339
from app.kit.errors import Malformed, TooLarge, WrongMediaType
from app.kit.problems import domain_problem
from app.kit.shown import HEADER, SHOWN

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class In(BaseModel):
    """Base of what clients send: nothing coerced, nothing unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Out(BaseModel):
    """Base of what the service answers: every field always there."""

    model_config = ConfigDict(extra="forbid")


_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:  # our own rows; JSON has no such type
        return value
    try:
        # `fromisoformat` reads much of ISO 8601 that RFC 3339 leaves out, such as weeks and times without separators.
        if isinstance(value, str) and _RFC_3339.match(value):
            moment = datetime.fromisoformat(value)
            if 1970 <= moment.year <= 9990:
                return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("give an RFC 3339 time with zone, such as 2026-11-24T01:02:03Z")


Time = Annotated[datetime, BeforeValidator(_instant), PlainSerializer(rfc3339, return_type=str)]
"""RFC 3339 in both directions."""


Id = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}_[0-9a-z]{26}$")]
"""The form of every id this service gives."""


def read_json(body: bytes, limit: int, raw: tuple[str, ...] = ()) -> Any:
    """`core.strictjson.parse` with its refusals as this service's. Raises Malformed, TooLarge."""
    try:
        return parse(body, max_bytes=limit, raw=raw)
    except StrictJSONError as error:
        kind = TooLarge if error.code == "body_too_large" else Malformed
        raise kind(error.code, error.detail) from None


class StrictRequest(Request):
    """A request whose JSON is read by the strict parser and by no other."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body(), self.app.state.runtime.settings.max_body_bytes)
        return self._json


def committing(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """`endpoint` with its write session committed when it returns, in the same hop to a thread.

    FastAPI checks the response in a further hop before a dependency's code after `yield` runs. A transaction still open then
    holds its locks while it waits for a thread, and with every thread waiting for those locks it never gets one.
    """
    if iscoroutinefunction(endpoint) or getattr(endpoint, "commits", False):
        return endpoint

    @wraps(endpoint)
    def run(*args: Any, **values: Any) -> Any:
        result = endpoint(*args, **values)
        session = values.get("session")
        if isinstance(session, Session) and session.info.get("write"):
            session.commit()
        return result

    run.commits = True  # type: ignore[attr-defined]
    return run


def evenly(seconds: float) -> Callable[[Endpoint], Endpoint]:
    """Have an endpoint answer only when a multiple of `seconds` has passed since the request was whole. To find why something is denied takes
    longer for one cause than for another, by some ten-thousandths of a second, and who asks often enough would learn which it was."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.evenly = seconds  # type: ignore[attr-defined]
        return endpoint

    return mark


class StrictRoute(APIRoute):
    """A route that reads JSON bodies strictly and only as `application/json`, commits before it answers, and answers evenly if it is to."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, committing(endpoint), **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()
        reads_json = self.body_field is not None
        step = getattr(self.endpoint, "evenly", None)

        async def handler(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            SHOWN.set(request.headers.get(HEADER))
            if reads_json and await strict.body():
                need_media_type(strict, "application/json")
                # FastAPI turns any failure of json() into a 400 of its own, so parse once here where ours get through.
                await strict.json()
            if step is None:
                return await inner(strict)
            # Counted from the whole body on: else whoever sends it slowly would choose where between two multiples the work falls.
            begun = monotonic()
            answer = await inner(strict)
            await sleep(step - (monotonic() - begun) % step)
            return answer

        return handler


def need_media_type(request: Request, wanted: str) -> None:
    """Raises WrongMediaType unless the body is declared as `wanted` in UTF-8, without any content coding."""
    check_media_type(request.headers.get("content-type", ""), request.headers.get("content-encoding", "identity"), wanted)


def check_media_type(declared: str, coding: str, wanted: str) -> None:
    """`need_media_type` of the two headers' values."""
    if declared == wanted and coding == "identity":
        return
    base, _, parameters = declared.partition(";")
    charset_ok = parameters.strip().lower() in ("", "charset=utf-8", 'charset="utf-8"')
    if base.strip().lower() != wanted or not charset_ok or coding != "identity":
        raise WrongMediaType("media_type", f"Send {wanted} in UTF-8, uncompressed.")


def parse_form(body: bytes) -> dict[str, str]:
    """An urlencoded form, each field once. Raises Malformed (form_invalid)."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), strict_parsing=True, max_num_fields=100, keep_blank_values=True, errors="strict"
        )
    except ValueError:
        raise Malformed("form_invalid", "Send application/x-www-form-urlencoded with each field once.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("form_invalid", "Send each field once.")
    if any("\x00" in name or "\x00" in value for name, value in pairs):  # PostgreSQL takes it in no text
        raise Malformed("form_invalid", "Leave out the character with the number 0.")
    return fields


async def form_of(request: Request) -> dict[str, str]:
    """The form that a page sent; empty where nothing was. Raises WrongMediaType or Malformed (form_invalid)."""
    body = await request.body()
    if not body:
        return {}
    need_media_type(request, "application/x-www-form-urlencoded")
    return parse_form(body)


async def read_body(receive: Receive, limit: int, declared: bytes | None) -> bytes | None:
    """The whole body, None where the client went away. Raises TooLarge while it arrives, whatever `declared` (Content-Length) says."""
    if declared is not None and _is_over(declared, limit):
        raise _too_large(limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        pieces, seen = [body], len(body)
        while message.get("more_body", False) and seen <= limit:
            message = await receive()
            pieces.append(message.get("body", b""))
            seen += len(pieces[-1])
        body = b"".join(pieces)
    if message["type"] == "http.disconnect":
        return None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _is_over(declared: bytes, limit: int) -> bool:
    return not declared.isdigit() or int(declared[:20]) > limit


def _too_large(limit: int) -> TooLarge:
    return TooLarge("body_too_large", f"Send at most {limit} bytes; split a batch into smaller ones.")


class BodyLimit:
    """ASGI middleware: refuses a body over the limit while it arrives, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        for name, value in scope["headers"]:
            if name == b"content-length" and _is_over(value, self.limit):
                return await domain_problem(_too_large(self.limit))(scope, receive, send)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.limit:
                    raise _too_large(self.limit)
            return message

        return await self.app(scope, counted, send)
