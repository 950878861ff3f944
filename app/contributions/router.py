"""HTTP for contributions: recording (raw bytes in, group commit) and reading back."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.types import Scope

from app.contributions import mine as mine_of
from app.contributions import queries
from app.contributions.committer import Committer
from app.contributions.intake import Intake
from app.contributions.recording import Draft, Recorded
from app.contributions.schemas import (
    BatchOut,
    ClaimLinkIn,
    ClaimLinkOut,
    ContributionOut,
    MinePage,
    RecordIn,
    RecordOut,
)
from app.core.strictjson import split_ndjson
from app.kit.access import BY_PLATFORM
from app.kit.body import StrictRoute, check_media_type
from app.kit.clock import rfc3339
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import DomainError, Invalid, Malformed, TooLarge, Unauthorised
from app.kit.hot import Handler, Headers
from app.kit.idempotency import Once
from app.kit.ids import is_id
from app.kit.pagination import PAGE, Cursors
from app.kit.problems import as_item
from app.kit.runtime import Runtime
from app.parties.auth import ReadingPlatform, ReadingReceipt, client_of
from app.parties.claims import Claims

router = APIRouter(prefix="/v1/contributions", tags=["contributions"], route_class=StrictRoute)
MOST_LINES = 5_000
_CHUNK = 125

_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": RecordIn.model_json_schema()}}}}
_LINES = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "One record as JSON a line, split at LF only."}
            }
        },
    }
}


@router.post("", dependencies=[BY_PLATFORM], status_code=201, response_model=RecordOut, openapi_extra=_BODY, summary="Record a contribution")
async def record(request: Request) -> Response:
    """Record one contribution. The same external id with the same bytes gives the first answer again; other bytes: 409.

    `Idempotency-Key` is honoured. Answered once the record is durable.
    """
    return await _through(request, _record)


@router.post("/batch", dependencies=[BY_PLATFORM], response_model=BatchOut, openapi_extra=_LINES, summary="Record many contributions")
async def record_batch(request: Request) -> Response:
    """Record up to 5,000 contributions, one JSON object a line. A bad line is refused by itself; the good ones are recorded."""
    return await _through(request, _record_batch)


def hot_handlers(runtime: Runtime) -> dict[str, Handler]:
    """POST address -> the work of the two routes above, for `kit/hot.py`: of the framework's machinery they use nothing, and it
    costs more than everything else that recording one contribution does in Python. The routes stand for their descriptions."""
    return {"/v1/contributions": partial(_record, runtime), "/v1/contributions/batch": partial(_record_batch, runtime)}


async def _through(request: Request, work: Callable[..., Awaitable[tuple[int, bytes]]]) -> Response:
    status, answer = await work(request.app.state.runtime, request.scope, dict(request.headers.raw[::-1]), await request.body())
    return Response(answer, status, media_type="application/json")


def _platform_of(runtime: Runtime, scope: Scope, headers: Headers, media_type: str) -> str:
    # Whether the platform may still act is looked up in the transaction of the record itself.
    found = client_of(runtime, headers.get(b"authorization", b"").decode("latin-1"), scope)
    if not is_id("platform", found):
        raise Unauthorised("token_wrong_party", "Use a platform's access token here.")
    declared, coding = headers.get(b"content-type", b""), headers.get(b"content-encoding", b"identity")
    check_media_type(declared.decode("latin-1"), coding.decode("latin-1"), media_type)
    return found


def _once(platform: str, route: str, headers: Headers, data: bytes) -> Once | None:
    key = headers.get(b"idempotency-key")
    return None if key is None else Once.of(platform, route, key.decode("latin-1"), data)


async def _record(runtime: Runtime, scope: Scope, headers: Headers, data: bytes) -> tuple[int, bytes]:
    platform = _platform_of(runtime, scope, headers, "application/json")
    intake: Intake = runtime.parts["intake"]
    draft = await intake.read(data, platform, now=runtime.clock.now())
    committer: Committer = runtime.parts["committer"]
    [result] = await committer.submit([draft], _once(platform, "contributions", headers, data))
    if isinstance(result, DomainError):
        raise result
    return 201, orjson.dumps(answer_of(runtime, result))


async def _record_batch(runtime: Runtime, scope: Scope, headers: Headers, data: bytes) -> tuple[int, bytes]:
    platform = _platform_of(runtime, scope, headers, "application/x-ndjson")
    lines = list(split_ndjson(data))
    if not lines:
        raise Malformed("batch_empty", "Send one record a line.")
    if len(lines) > MOST_LINES:
        raise TooLarge("batch_too_long", f"Send at most {MOST_LINES} lines at once.")
    intake: Intake = runtime.parts["intake"]
    committer: Committer = runtime.parts["committer"]
    once = _once(platform, "contributions/batch", headers, data)
    refused: dict[int, DomainError] = {}
    waiting = []
    # In pieces: one is committed, in the committer's thread, while the next is read here.
    for start in range(0, len(lines), _CHUNK):
        drafts: list[Draft] = []
        now = runtime.clock.now()
        for number, line in lines[start : start + _CHUNK]:
            try:
                drafts.append(await intake.read(line, platform, now=now))
            except DomainError as error:
                refused[number] = error
        waiting.append(committer.submit(drafts, once if start == 0 else None))
        # A key that was used with another body refuses the whole batch: nothing more of it goes in before that is known.
        await (waiting[0] if once is not None and start == 0 else asyncio.sleep(0))
    results = iter([result for piece in await asyncio.gather(*waiting) for result in piece])
    items: list[dict[str, Any]] = []
    for number, _ in lines:
        result = refused[number] if number in refused else next(results)
        if isinstance(result, DomainError):
            items.append({"line": number, **as_item(result)})
        else:
            items.append({"line": number, "status": 201, **answer_of(runtime, result)})
    recorded = sum(item["status"] == 201 for item in items)
    return 200, orjson.dumps({"recorded": recorded, "refused": len(items) - recorded, "items": items})


def answer_of(runtime: Runtime, result: Recorded) -> dict[str, Any]:
    """The members of `RecordOut`."""
    codes: Claims = runtime.parts["claims"]
    return {
        "id": result.id, "log_index": result.log_index, "claim_url": f"{runtime.settings.public_url}/c/{codes.code(result.id)}",
        "releasable_from": rfc3339(result.releasable_from), "warnings": result.warnings,
    }  # fmt: skip


@router.post("/claim-link", response_model=ClaimLinkOut, summary="The claim link of what was recorded before")
def claim_link(
    given: ClaimLinkIn, runtime: RuntimeDep, session: ReadSessionDep, platform: ReadingPlatform
) -> ClaimLinkOut:
    """By the platform's own id: for what came through a hook or an import, whose answers nobody saw. The same link as recording
    gave, whatever became of it since. Show it to the person who gave this, and to nobody else."""
    intake: Intake = runtime.parts["intake"]
    row = queries.by_external(session, platform.id, given.kind, intake.external_hash(platform.id, given.external_id))
    codes: Claims = runtime.parts["claims"]
    return ClaimLinkOut(id=row.id, claim_url=f"{runtime.settings.public_url}/c/{codes.code(row.id)}")


Cursor = Annotated[str | None, Query(max_length=400)]


@router.get("/me", response_model=MinePage, summary="What I gave")
def mine(
    runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt, response: Response, cursor: Cursor = None
) -> MinePage:
    """What this receipt covers, in pages of 100: what each piece may be used for now, as sentences."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"mine/{receipt.id}"
    rows = queries.covered_page(session, receipt, None if cursor is None else cursors.read(listing, cursor), PAGE + 1)
    items = [mine_of.read_mine(runtime, session, row) for row in rows[:PAGE]]
    following = cursors.make(listing, rows[PAGE - 1].id) if len(rows) > PAGE else None
    if following:
        response.headers["Link"] = f'</v1/contributions/me?cursor={following}>; rel="next"'
    return MinePage(items=items, next=following)


@router.get("/{contribution}", response_model=ContributionOut, summary="Read a contribution of the platform's own")
def read_one(
    contribution: str, runtime: RuntimeDep, session: ReadSessionDep, platform: ReadingPlatform
) -> ContributionOut:
    """The platform's view: `held` until the hold window ends, then `recorded`, whatever the person did since. A platform is told
    in batches that something is no longer available, so that it cannot work out who did what, and when."""
    row = queries.own(session, platform.id, checked_id(contribution))
    return ContributionOut(
        id=row.id, kind=row.kind, state="held" if row.releasable_from > runtime.clock.now() else "recorded", language=row.language,
        parts=queries.names_of(row), parent=row.parent_id, recorded_at=row.recorded_at, releasable_from=row.releasable_from,
    )  # fmt: skip


def checked_id(value: str) -> str:
    """Raises Invalid (id_invalid) for what cannot be a contribution's id."""
    if not is_id("contribution", value):
        raise Invalid("id_invalid", "Give an id that starts with con_.")
    return value
