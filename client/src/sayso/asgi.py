"""For platforms on FastAPI, Starlette or any ASGI server: record what a route takes, without touching the route.

    app.add_middleware(Recording, consent=consent, routes={"POST /vote": vote})

    def vote(sent, answer):                # both as JSON gives them
        return {"kind": "preference", "contributor": sent["user"], "parts": {"judgment": {"winner": sent["winner"]}}}
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from sayso.recorder import Consent

_log = logging.getLogger("sayso")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Envelope = Callable[[Any, Any], dict[str, Any] | None]
"""From a request's and an answer's JSON (None where it is none) to the arguments of `Consent.record`, or None: nothing was given."""
MOST = 2 * 2**20
"""Bytes of a request or an answer that are looked at; with more it goes through unrecorded, and that is logged."""


class Recording:
    """ASGI middleware. Records after the platform's own 2xx answer was sent; whatever goes wrong here, the answer stands."""

    def __init__(self, app: App, *, consent: Consent, routes: Mapping[str, Envelope]) -> None:
        """`routes`: `METHOD /exact/path`, or `METHOD /path/*` for all below it, to what makes the envelope."""
        self._app = app
        self._consent = consent
        self._routes = dict(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        envelope = self._for(scope) if scope["type"] == "http" else None
        if envelope is None:
            await self._app(scope, receive, send)
            return
        sent, answer = _Kept(), _Kept()
        status = 0

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                sent.add(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                answer.add(message.get("body", b""))
            await send(message)

        await self._app(scope, received, sending)
        if 200 <= status < 300:
            self._record(envelope, sent, answer)

    def _for(self, scope: Scope) -> Envelope | None:
        wanted = f"{scope['method']} {scope['path']}"
        found = self._routes.get(wanted)
        while found is None and wanted.count("/") > 1:
            wanted = wanted.rpartition("/")[0]
            found = self._routes.get(wanted + "/*")
        return found

    def _record(self, envelope: Envelope, sent: "_Kept", answer: "_Kept") -> None:
        try:
            fields = envelope(sent.json(), answer.json())
            if fields is not None:
                self._consent.record(**fields)
        except Exception as error:
            # The platform's own person has their answer. The class alone is logged: a text might hold what they gave.
            _log.error("sayso: not recorded: %s", type(error).__name__)


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
