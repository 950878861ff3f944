"""Routes that are met before the web framework, where its machinery would cost more than the work itself.

A handler takes a request's headers and body and gives the JSON of its answer. It refuses with a `DomainError` like every
other route, and is wrapped in `kit/edge.py` like every other route.
"""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.kit.body import read_body
from app.kit.errors import DomainError
from app.kit.problems import domain_problem

Headers = dict[bytes, bytes]
Handler = Callable[[Scope, Headers, bytes], Awaitable[tuple[int, bytes]]]
"""(scope, headers by lower-case name, whole body) -> (status, JSON). Raises DomainError."""


def hot(handler: Handler, limit: int) -> ASGIApp:
    """`handler` as an ASGI application that takes bodies of at most `limit` bytes."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = handler  # without parameters, so that the access log takes the address for the template
        try:
            # The first of a repeated header counts, as in the framework.
            sent: Headers = dict(scope["headers"][::-1])
            body = await read_body(receive, limit, sent.get(b"content-length"))
            if body is None:
                return
            status, answer = await handler(scope, sent, body)
        except DomainError as error:
            await domain_problem(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app
