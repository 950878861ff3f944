"""HTTP for what outside systems send by themselves: the key stands in the address, since they can send no header."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from app.contributions import intake_status
from app.contributions.hook_schemas import IntakeOut, RefusedPage, WebhookOut
from app.contributions.hooks import Done, Hooks
from app.contributions.router import answer_of
from app.contributions.schemas import RecordOut
from app.kit.access import BY_LINK
from app.kit.body import StrictRoute
from app.kit.clock import micros
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.pagination import PAGE, Cursors
from app.kit.ratelimit import RateLimit
from app.kit.runtime import Runtime
from app.parties.auth import ReadingPlatform, WritingPlatform

router = APIRouter(prefix="/v1", tags=["hooks"], route_class=StrictRoute)
_ANY_OBJECT: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.post(
    "/ingest/fastchat/{key}", dependencies=[BY_LINK], status_code=201, response_model=RecordOut, openapi_extra=_ANY_OBJECT,
    summary="Take a line of FastChat's log",
)  # fmt: skip
async def fastchat(key: str, request: Request) -> Response:
    """Exactly what FastChat sends to `REMOTE_LOGGER_URL`: one chat or vote, nested values as strings of JSON, no credential but
    the write-only key in the address. Answered once it is durable; the same line again gives the first answer.
    """
    runtime: Runtime = request.app.state.runtime
    done = await _take("fastchat", key, request)
    return Response(orjson.dumps(answer_of(runtime, done.recorded[0])), 201, media_type="application/json")


@router.post(
    "/ingest/label-studio/{key}", dependencies=[BY_LINK], response_model=WebhookOut, openapi_extra=_ANY_OBJECT,
    summary="Take a webhook of Label Studio's",
)  # fmt: skip
async def label_studio(key: str, request: Request) -> Response:
    """Annotations, created and updated, are recorded; deleted ones are revoked. The webhook's Authorization header carries the
    secret that was printed with the key: Label Studio signs nothing."""
    return _told(await _take("label-studio", key, request))


@router.post(
    "/ingest/argilla/{key}", dependencies=[BY_LINK], response_model=WebhookOut, openapi_extra=_ANY_OBJECT,
    summary="Take a webhook of Argilla's",
)  # fmt: skip
async def argilla(key: str, request: Request) -> Response:
    """Responses that were submitted or discarded are recorded; deleted ones are revoked. Signed after Standard Webhooks, under the
    time of sending or of the event."""
    return _told(await _take("argilla", key, request))


@router.post(
    "/ingest/hackerone/{key}", dependencies=[BY_LINK], response_model=WebhookOut, openapi_extra=_ANY_OBJECT,
    summary="Take a webhook of HackerOne's",
)  # fmt: skip
async def hackerone(key: str, request: Request) -> Response:
    """A report is recorded when an event first tells of it, and comments that are not internal. Signed with the secret that was
    printed with the key. What the programme changes later is nobody's act there, and is not recorded."""
    return _told(await _take("hackerone", key, request))


@router.post(
    "/ingest/bugcrowd/{key}", dependencies=[BY_LINK], response_model=WebhookOut, openapi_extra=_ANY_OBJECT,
    summary="Take a webhook of Bugcrowd's",
)  # fmt: skip
async def bugcrowd(key: str, request: Request) -> Response:
    """A submission is recorded when an event first brings it, in `data` or among `included`. Signed with the webhook's secret, and dated."""
    return _told(await _take("bugcrowd", key, request))


@router.post(
    "/ingest/odin/{key}", dependencies=[BY_LINK], response_model=WebhookOut, openapi_extra=_ANY_OBJECT,
    summary="Take disclosures of 0din's",
)  # fmt: skip
async def odin(key: str, request: Request) -> Response:
    """One disclosure, or a list in `disclosures`, each recorded when it first comes. 0din describes no webhook, so whoever passes on what
    its API answers signs that as Standard Webhooks say, with the secret that was printed with the key."""
    return _told(await _take("odin", key, request))


def _told(done: Done) -> Response:
    answer = {"recorded": len(done.recorded), "revoked": done.revoked}
    return Response(orjson.dumps(answer), 200, media_type="application/json")


async def _take(format_: str, secret: str, request: Request) -> Done:
    runtime: Runtime = request.app.state.runtime
    hooks: Hooks = runtime.parts["hooks"]
    key = await hooks.key(format_, secret)
    limit: RateLimit = runtime.parts["rates"]
    request.scope["sayso.rate"] = limit.headers(limit.take(key.id, micros(runtime.clock.now())))
    return await hooks.take(key, request.headers, await request.body())


# -- what a platform sees of its hooks -------------------------------------------------------------------------------
@router.get("/intake", response_model=IntakeOut, summary="What came through my hooks, and how late")
def intake(runtime: RuntimeDep, session: ReadSessionDep, platform: ReadingPlatform) -> IntakeOut:
    """Every hook of the platform's with its counts. `python -m app platforms intake` gives a link to the same as a page."""
    hooks = intake_status.overview(session, platform.id, now=runtime.clock.now())
    recorded, imports = intake_status.recorded(session, platform.id), intake_status.imports(session, platform.id)
    return IntakeOut(recorded=recorded, imports=imports, hooks=hooks)


@router.get("/intake/refused", response_model=RefusedPage, summary="Lines that were refused, and why")
def refused_lines(
    runtime: RuntimeDep,
    session: ReadSessionDep,
    platform: ReadingPlatform,
    response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> RefusedPage:
    """The latest first, in pages of 100. Reports stay for 30 days, what was sent for 7 and is shown to nobody."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"refused/{platform.id}"
    before = None if cursor is None else cursors.read(listing, cursor)
    items = intake_status.refused_page(session, platform.id, before, PAGE + 1)
    following = cursors.make(listing, items[PAGE - 1].id) if len(items) > PAGE else None
    if following:
        response.headers["Link"] = f'</v1/intake/refused?cursor={following}>; rel="next"'
    return RefusedPage(items=items[:PAGE], next=following)


@router.post(
    "/intake/refused/{line}/retry", status_code=201, response_model=RecordOut, summary="Try a refused line again"
)
async def retry(line: str, runtime: RuntimeDep, platform: WritingPlatform) -> Response:
    """Record what was refused before, as it was sent. Where it is refused again the report says why now."""
    hooks: Hooks = runtime.parts["hooks"]
    done = await hooks.try_again(platform.id, line)
    return Response(orjson.dumps(answer_of(runtime, done)), 201, media_type="application/json")
