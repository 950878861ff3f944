"""The outermost middleware of ours: one access line a request, and no failure that is not a problem document."""

import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.db import is_away
from app.kit.problems import problem


class Edge:
    """ASGI middleware. Logs the route's template, never the address itself, which may hold a secret."""

    def __init__(self, app: ASGIApp, log_requests: bool) -> None:
        self.app = app
        self.log = structlog.get_logger("sayso.access") if log_requests else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began = time.perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *scope.get("sayso.rate", ()), *scope.get("sayso.cors", ())]
            await send(message)

        if "\x00" in scope["path"]:  # no address of ours has one, and PostgreSQL takes it in no text
            return await problem(404, "not_found", "Look at the address.")(scope, receive, send)
        try:
            await self.app(scope, receive, noted)
        except Exception as error:
            structlog.get_logger("sayso").error(
                "request.failed", route=template(scope), error=type(error).__name__, exc_info=error
            )
            if status:
                # Part of the answer is sent: only breaking the connection tells the client that the rest is missing.
                raise
            if is_away(error):
                # The database ended, is starting, or is too busy. What became of this request is not known.
                again = problem(
                    503,
                    "unavailable",
                    "Send it again in a moment, with the same Idempotency-Key.",
                    {"Retry-After": "1"},
                )
                await again(scope, receive, noted)
                return None
            await problem(500, "internal", "Try again; if it stays, tell the operator.")(scope, receive, noted)
        finally:
            if self.log is not None:
                ms = round((time.perf_counter() - began) * 1000, 1)
                self.log.info("request", method=scope["method"], route=template(scope), status=status, ms=ms)
        return None


def template(scope: Scope) -> str:
    """The route's template, or `(none)`."""
    route: Any = scope.get("route")
    if route is None and "endpoint" in scope and not scope.get("path_params"):
        return str(scope["path"])  # a plain Starlette route without parameters: its address is its template
    return getattr(route, "path", "(none)")
