"""For platforms on FastAPI, Starlette or any ASGI server: record what a route takes, without touching the route.

    def vote(sent, answer, scope):         # both as JSON gives them; the ASGI scope where it is wanted: path_params, headers, user, state
        return {"kind": "preference", "contributor": scope["user"].id, "parts": {"judgment": {"winner": sent["winner"]}}}

    @app.post("/battles/{battle}/vote")
    @recorded(vote)                        # or routes={"POST /battles/*": vote}
    def take(battle: str, given: Vote): ...

    app.add_middleware(Recording, consent=consent)
"""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeVar

from sayso.recorder import Consent

_log = logging.getLogger("sayso")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
F = TypeVar("F", bound=Callable[..., Any])
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Envelope = Callable[..., dict[str, Any] | None]
"""From a request's and an answer's JSON (None where it is none), and the scope if it takes three, to the arguments of
`Consent.record`, or None: nothing was given."""
_TAG = "__sayso_envelope__"
MOST = 2 * 2**20
"""Bytes of a request or an answer that are looked at; with more it goes through unrecorded, and that is logged."""


def recorded(envelope: Envelope) -> Callable[[F], F]:
    """Tag a route's function: what it takes is recorded by `Recording`. Above or below the route's own decorator."""

    def tag(endpoint: F) -> F:
        setattr(endpoint, _TAG, envelope)
        return endpoint

    return tag


class Recording:
    """ASGI middleware. Records once the platform's own 2xx answer is sent, before any task that follows it; whatever goes wrong here,
    the answer stands."""

    def __init__(self, app: App, *, consent: Consent, routes: Mapping[str, Envelope] | None = None) -> None:
        """`routes`: `METHOD /exact/path`, or `METHOD /path/*` for all below it, to what makes the envelope; beside those that are
        tagged as `recorded`. Raises TypeError for an AsyncConsent, whose records nobody would wait for."""
        if inspect.iscoroutinefunction(consent.record):
            raise TypeError("give the middleware a Consent: it never waits, and needs no AsyncConsent")
        self._app = app
        self._consent = consent
        self._routes = dict(routes or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent, answer = _Kept(), _Kept()
        status = 0
        named = self._named(scope) if self._routes else None

        async def received() -> Message:
            message = await receive()
            # A route reads its request when the router has chosen it, so a route without a tag costs nothing here.
            if message["type"] == "http.request" and ("endpoint" not in scope or _tagged(scope) or named):
                sent.add(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            envelope = _tagged(scope) or named
            ends = False
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and envelope is not None:
                answer.add(message.get("body", b""))
                ends = not message.get("more_body", False)
            try:
                await send(message)
            finally:  # who gave it may be gone, and gave it all the same
                if ends and envelope is not None and 200 <= status < 300:
                    self._record(envelope, sent, answer, scope)

        await self._app(scope, received, sending)

    def _named(self, scope: Scope) -> Envelope | None:
        wanted = f"{scope['method']} {scope['path']}"
        found = self._routes.get(wanted)
        while found is None and wanted.count("/") > 1:
            wanted = wanted.rpartition("/")[0]
            found = self._routes.get(wanted + "/*")
        return found

    def _record(self, envelope: Envelope, sent: "_Kept", answer: "_Kept", scope: Scope) -> None:
        try:
            with_scope = len(inspect.signature(envelope).parameters) > 2
            fields = envelope(sent.json(), answer.json(), *([scope] if with_scope else []))
            if fields is not None:
                self._consent.record(**fields)
        except Exception as error:
            # The platform's own person has their answer. The class alone is logged: a text might hold what they gave.
            _log.error("sayso: not recorded: %s", type(error).__name__)


def _tagged(scope: Scope) -> Envelope | None:
    tagged: Envelope | None = getattr(scope.get("endpoint"), _TAG, None)
    return tagged


class _TooMuch(Exception):
    pass


class _Kept:
    """A body, as far as it is looked at."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= MOST:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def json(self) -> Any:
        if self._size > MOST:
            raise _TooMuch
        try:
            return json.loads(b"".join(self._pieces))
        except ValueError:
            return None
