"""HTTP for the consent widget in people's browsers: the only routes that pages of other origins may call, and never with a cookie.

A browser says truly from which origin a page calls, and keeps the answer from it unless the answer names that origin. So a page that is
not listed gets nothing here; a program, which can write any origin, gets what anybody may read, and can make intents: SECURITY.md.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from app.consents import site_keys
from app.consents.models import INTENT_LIFE, SiteKey
from app.consents.policies import PolicyBook
from app.consents.schemas import ChosenOut, WidgetChoiceIn, WidgetOut
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute, read_body
from app.kit.clock import micros
from app.kit.db import read
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.kit.ratelimit import whence
from app.kit.runtime import Runtime

MOST_BYTES = 1_000
"""Of a body that comes from anywhere: it holds one digest."""
CACHED = 300
"""Seconds that a browser keeps the choices of a key, which never change; a key that was revoked makes no intents from the first on."""


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def only_small(inner: Handler) -> Handler:
    """A route's handler that is handed no more than a small body. It raises TooLarge while a larger one arrives."""

    async def handler(request: Request) -> Response:
        declared = request.headers.get("content-length")
        body = await read_body(request.receive, MOST_BYTES, None if declared is None else declared.encode("latin-1"))

        async def again() -> dict[str, Any]:
            return {"type": "http.disconnect"} if body is None else {"type": "http.request", "body": body, "more_body": False}

        return await inner(Request(request.scope, again))

    return handler


class SmallRoute(StrictRoute):
    """A route that reads no more than a small body."""

    def get_route_handler(self) -> Handler:
        return only_small(super().get_route_handler())


router = APIRouter(prefix="/v1/widget", tags=["consents"], route_class=SmallRoute, dependencies=[FOR_ANYBODY])


def slow_down(runtime: Runtime, request: Request, key: SiteKey) -> None:
    """Count a choice under this key, by where the request comes from and then of all. Raises TooMany (rate_limited)."""
    now = micros(runtime.clock.now())
    one, everybody = runtime.parts["choosing"], runtime.parts["choosing_all"]
    one.take(f"{key.id} {whence(request)}", now)
    everybody.take(key.id, now)


def _site(site: str, request: Request, runtime: RuntimeDep) -> SiteKey:
    """The key, on a call of an origin that it lists; or (to read) on one that names none, as no page's does."""
    # Added to whatever is answered, a refusal too, once the origin is known to be a listed one: without it the page cannot read it.
    added = request.scope["sayso.cors"] = [(b"vary", b"Origin")]
    origin = request.headers.get("origin")
    with read(runtime.engine) as session:
        key = site_keys.find(session, site)
    if origin is not None or request.method not in ("GET", "HEAD"):
        added.append((b"access-control-allow-origin", site_keys.check_origin(key, origin).encode("ascii")))
    return key


Site = Annotated[SiteKey, Depends(_site)]


@router.get("/{site}", response_model=WidgetOut, summary="What the consent widget shows")
def show(key: Site, runtime: RuntimeDep, session: ReadSessionDep, response: Response) -> dict[str, Any]:
    """The choices of a site key in the words that were registered for them. Cacheable; for pages of the origins that the key lists."""
    response.headers["Cache-Control"] = f"public, max-age={CACHED}"
    return site_keys.shown(session, key, runtime.settings.public_url)


@router.post("/{site}/intents", status_code=201, response_model=ChosenOut, summary="A choice in the consent widget")
def choose(given: WidgetChoiceIn, key: Site, request: Request, runtime: RuntimeDep, session: SessionDep, response: Response) -> ChosenOut:
    """Called by the widget in the person's browser, from a page of an origin that the key lists. The intent is good for one record: the
    platform sends it as `consent.intent`, and the consent is attested by the person."""
    slow_down(runtime, request, key)
    book: PolicyBook = runtime.parts["policies"]
    now = runtime.clock.now()
    policies = {choice["policy"]: book.by_digest(choice["policy"]) for choice in key.choices}
    intent = site_keys.choose(session, site_keys.find(session, key.id), policies, given.wording, now=now)
    response.headers["Cache-Control"] = "no-store"
    return ChosenOut(
        intent=intent.id, policy=next(name for name, row in policies.items() if row.id == intent.policy_id), wording=intent.wording_sha256,
        language=intent.wording_language, expires_at=now + INTENT_LIFE,
    )  # fmt: skip


@router.options("/{site}/intents", status_code=204, include_in_schema=False)
def preflight(key: Site) -> Response:
    """What a browser asks before it sends JSON to another origin (Fetch, CORS preflight)."""
    may = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "content-type", "Access-Control-Max-Age": "600"}
    return Response(status_code=204, headers=may)
