"""HTTP for what platforms are told, and where it is sent."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import StringConstraints

from app.kit.body import In, Out, StrictRoute, Time
from app.kit.db import write
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.kit.pagination import PAGE, Cursors
from app.parties.auth import ReadingPlatform, WritingPlatform
from app.revocations import webhooks
from app.revocations.models import Webhook

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


class WebhookIn(In):
    """Where to send events: an https address on the public internet, which repeats a challenge first."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class WebhookOut(Out):
    """`secret` is shown where it was made, and never again. `failures` counts those since the last success; with `stopped_at` nothing is
    sent any more until the address is set anew."""

    url: str
    secret: str | None
    set_at: Time
    failures: int
    problem: str | None
    next_at: Time | None
    stopped_at: Time | None


class AttemptOut(Out):
    at: Time
    status: int | None
    problem: str | None


class PlatformEventOut(Out):
    """What was, or will be, sent: ids of your own contributions, and never why."""

    id: str
    type: Literal["contribution.availability_changed", "contribution.deletion_requested"]
    at: Time
    contributions: list[str]
    delivered_at: Time | None
    attempts: list[AttemptOut]


class PlatformEventPage(Out):
    items: list[PlatformEventOut]
    next: str | None


@router.put("/webhook", response_model=WebhookOut, summary="Send events to us")
def set_webhook(given: WebhookIn, runtime: RuntimeDep, platform: WritingPlatform) -> WebhookOut:
    """The address is sent `{"type": "webhook.challenge", "data": {"challenge": …}}` and answers with the challenge. Events are signed as
    Standard Webhooks say; each is sent until it is answered 2xx, the oldest first."""
    webhooks.try_address(runtime, given.url)  # before the transaction: it may take seconds
    with write(runtime.engine) as session:
        made = webhooks.set_address(session, runtime, platform.id, given.url, now=runtime.clock.now())
        return _told(made.row, made.secret)


@router.get("/webhook", response_model=WebhookOut, summary="Where our events are sent")
def read_webhook(session: ReadSessionDep, platform: ReadingPlatform) -> WebhookOut:
    """With what went wrong the last time, and when it is tried again."""
    return _told(webhooks.find(session, platform.id), None)


@router.delete("/webhook", status_code=204, response_class=Response, summary="Send no events to us")
def end_webhook(session: SessionDep, platform: WritingPlatform) -> Response:
    """What there is can be listed."""
    webhooks.forget(session, platform.id)
    return Response(status_code=204)


@router.post("/webhook/secret", response_model=WebhookOut, summary="A new secret for our webhook")
def rotate_secret(runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> WebhookOut:
    """The one of before signs beside it for a day."""
    made = webhooks.rotate(session, runtime, platform.id, now=runtime.clock.now())
    return _told(made.row, made.secret)


@router.get("/webhook/events", response_model=PlatformEventPage, summary="What we are told, and how sending went")
def list_events(
    runtime: RuntimeDep, session: ReadSessionDep, platform: ReadingPlatform, cursor: Annotated[str | None, Query(max_length=400)] = None
) -> PlatformEventPage:
    """Of the last 30 days, the newest first; also without an address."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"webhook/events/{platform.id}"
    found = webhooks.events(session, platform.id, None if cursor is None else cursors.read(listing, cursor), PAGE)
    items = [
        PlatformEventOut(
            id=row.id, type=row.type, at=row.at, contributions=row.contributions, delivered_at=row.delivered_at,  # type: ignore[arg-type]
            attempts=[AttemptOut(at=one.at, status=one.status, problem=one.problem) for one in tried],
        )
        for row, tried in found
    ]  # fmt: skip
    return PlatformEventPage(items=items, next=cursors.make(listing, found[-1][0].id) if len(found) == PAGE else None)


@router.post("/webhook/events/{event}/redelivery", status_code=202, response_class=Response, summary="Send an event again")
def redeliver(event: str, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> Response:
    """Under the same id, with its turn now; it also takes up sending that had stopped."""
    webhooks.send_again(session, platform.id, event, now=runtime.clock.now())
    return Response(status_code=202)


def _told(row: Webhook, secret: str | None) -> WebhookOut:
    next_at: datetime | None = row.next_at if row.failures and row.stopped_at is None else None
    return WebhookOut(
        url=row.url, secret=secret, set_at=row.set_at, failures=row.failures, problem=row.problem, next_at=next_at, stopped_at=row.stopped_at,
    )  # fmt: skip
