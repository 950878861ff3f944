"""Platforms' events, sent to an address of theirs as Standard Webhooks: signed, each until it is taken, with growing pauses.

An address is used once it has repeated what it was sent: nobody can have us send to somebody who did not ask. An event is sent at least
once, under the same id. After five days without one success sending stops, and what waits can be listed, and sent again.
"""

import base64
import hmac
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.core.strictjson import StrictJSONError, parse
from app.crypto.sealing import Sealer
from app.kit.clock import rfc3339
from app.kit.db import for_update, insert_or_ignore, write
from app.kit.egress import AddressRefused, FetchFailed, Reply
from app.kit.errors import Invalid, NotFound
from app.kit.runtime import Runtime
from app.parties.claims import encode_secret
from app.revocations.models import PlatformAttempt, PlatformEvent, Webhook
from app.revocations.turns import AT_ONCE, Send, Turns

PAUSES = (5, 30, 300, 1_800, 7_200, 6 * 3_600)
"""Seconds until the next attempt, after one failure, two, …; the last for all further ones."""
GIVEN_UP = timedelta(days=5)
OVERLAP = timedelta(days=1)
"""How long the secret of before signs beside a new one."""
KEPT = timedelta(days=30)
_SECRET = 32
PREFIX = "whsec_"


@dataclass(frozen=True)
class Set:
    """A webhook, and its secret where it was made now: it is shown once."""

    row: Webhook
    secret: str | None


def try_address(runtime: Runtime, url: str) -> None:
    """Send a challenge, which must come back. Raises Invalid (webhook_address_refused, webhook_challenge_failed)."""
    challenge = encode_secret(os.urandom(20))
    sent = json.dumps({"type": "webhook.challenge", "data": {"challenge": challenge}}).encode()
    try:
        reply = runtime.egress.ask(url, method="POST", content=sent, headers={"Content-Type": "application/json", "Accept": "application/json"})
    except AddressRefused as error:
        raise Invalid("webhook_address_refused", f"Give another address for events: {error}.") from None
    except FetchFailed as error:
        raise Invalid("webhook_challenge_failed", f"Make the address answer first: {error}.") from None
    if not _repeats(reply, challenge):
        raise Invalid("webhook_challenge_failed", 'Answer the challenge with 200 and {"challenge": "…"}, as it came.')


def _repeats(reply: Reply, challenge: str) -> bool:
    try:
        said = parse(reply.body, max_bytes=10_000)
    except StrictJSONError:
        return False
    return 200 <= reply.status < 300 and isinstance(said, dict) and said.get("challenge") == challenge


def set_address(session: Session, runtime: Runtime, platform: str, url: str, *, now: datetime) -> Set:
    """Send the platform's events to `url` from now on, which must have passed `try_address`. What waits is sent too."""
    secret = _new_secret()
    new = {"platform_id": platform, "url": url, "secret": _sealed(runtime, platform, secret), "set_at": now, "next_at": now, "failures": 0}
    insert_or_ignore(session, Webhook.__table__, new)  # type: ignore[attr-defined]  # two may set the first one at once
    row = find(session, platform, lock=True)
    row.url, row.set_at, row.next_at, row.failures, row.problem, row.failing_since, row.stopped_at = url, now, now, 0, None, None, None
    session.add(row)
    session.flush()
    return Set(row, secret if row.secret == new["secret"] else None)


def rotate(session: Session, runtime: Runtime, platform: str, *, now: datetime) -> Set:
    """A new secret; the one of before signs beside it for a day. Raises NotFound (not_found)."""
    row = find(session, platform, lock=True)
    secret = _new_secret()
    row.previous, row.previous_until, row.secret = row.secret, now + OVERLAP, _sealed(runtime, platform, secret)
    session.add(row)
    return Set(row, secret)


def find(session: Session, platform: str, *, lock: bool = False) -> Webhook:
    """Raises NotFound (not_found)."""
    query = select(Webhook).where(Webhook.platform_id == platform)
    row = session.exec(for_update(query, session) if lock else query).first()
    if row is None:
        raise NotFound("not_found", "Events are not sent to you; set an address with PUT.")
    return row


def forget(session: Session, platform: str) -> None:
    """Send nothing more; what there is can be listed. Raises NotFound (not_found)."""
    session.delete(find(session, platform, lock=True))


def events(session: Session, platform: str, before: str | None, limit: int) -> list[tuple[PlatformEvent, list[PlatformAttempt]]]:
    """The platform's events of the last month, the newest first, each with the attempts to send it."""
    query = select(PlatformEvent).where(PlatformEvent.platform_id == platform)
    if before is not None:
        query = query.where(PlatformEvent.id < before)
    rows = session.exec(query.order_by(sa.desc(PlatformEvent.id)).limit(limit)).all()  # type: ignore[arg-type]
    tried: dict[str, list[PlatformAttempt]] = {row.id: [] for row in rows}
    attempts = select(PlatformAttempt).where(PlatformAttempt.event_id.in_(list(tried)))  # type: ignore[attr-defined]
    for one in session.exec(attempts.order_by(sa.asc(PlatformAttempt.id))):  # type: ignore[arg-type]
        tried[one.event_id].append(one)
    return [(row, tried[row.id]) for row in rows]


def send_again(session: Session, platform: str, event: str, *, now: datetime) -> None:
    """Send an event once more, with its turn now. Raises NotFound (not_found)."""
    row = session.get(PlatformEvent, event)
    if row is None or row.platform_id != platform:
        raise NotFound("not_found", "Look at the event's id; it must be one of yours, of the last 30 days.")
    hook = find(session, platform, lock=True)
    row.delivered_at = None
    hook.next_at, hook.failing_since, hook.stopped_at = now, None, None
    session.add_all([row, hook])


def forget_old(session: Session, now: datetime) -> None:
    """Drop events of more than a month, taken or not."""
    old = sa.select(PlatformEvent.id).where(PlatformEvent.at < now - KEPT)  # type: ignore[call-overload]
    session.execute(sa.delete(PlatformAttempt).where(PlatformAttempt.event_id.in_(old)))  # type: ignore[attr-defined]
    session.execute(sa.delete(PlatformEvent).where(PlatformEvent.at < now - KEPT))  # type: ignore[arg-type]


# -- sending -----------------------------------------------------------------------------------------------------------
class Sender(Turns[Webhook]):
    """Looks every few seconds for what waits to be sent."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime, "webhook", Webhook, PAUSES, spread=0.25)

    def due(self) -> Iterable[Any]:
        yield Webhook.stopped_at == None
        yield sa.exists().where(PlatformEvent.platform_id == Webhook.platform_id, PlatformEvent.delivered_at == None)

    def prepare(self, session: Session, row: Webhook, now: datetime) -> list[Send]:
        url, secrets = row.url, _secrets(self._runtime, row, now)
        query = select(PlatformEvent).where(PlatformEvent.platform_id == row.platform_id, PlatformEvent.delivered_at == None)
        rows = session.exec(query.order_by(sa.asc(PlatformEvent.id)).limit(AT_ONCE)).all()  # type: ignore[arg-type]
        return [partial(self._one, one.id, url, secrets, body_of(one)) for one in rows]

    def settled(self, row: Webhook, problem: str | None, now: datetime) -> None:
        row.failing_since = None if problem is None else row.failing_since or now
        if row.failing_since is not None and row.failing_since <= now - GIVEN_UP:
            row.stopped_at = now

    def _one(self, event: str, url: str, secrets: list[bytes], body: bytes) -> str | None:
        now = self._runtime.clock.now()
        headers = {"Content-Type": "application/json", **signed(event, int(now.timestamp()), body, secrets)}
        status = problem = None
        try:
            status = self._runtime.egress.ask(url, method="POST", content=body, headers=headers).status
            problem = None if 200 <= status < 300 else f"the address answered {status}"
        except (AddressRefused, FetchFailed) as error:
            problem = str(error)
        with write(self._runtime.engine) as session:
            row = session.get(PlatformEvent, event)
            if row is not None:
                session.add(PlatformAttempt(event_id=event, at=now, status=status, problem=problem))
                row.delivered_at = now if problem is None else None
                session.add(row)
        return problem


def body_of(row: PlatformEvent) -> bytes:
    """What is sent: the same bytes each time."""
    told: dict[str, Any] = {"type": row.type, "timestamp": rfc3339(row.at), "data": {"contributions": row.contributions}}
    return json.dumps(told, separators=(",", ":")).encode()


def signed(event: str, at: int, body: bytes, secrets: list[bytes]) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: id, time in seconds, and an HMAC-SHA256 of `id.time.body` under each secret."""
    message = f"{event}.{at}.".encode() + body
    marks = (base64.b64encode(hmac.digest(secret, message, sha256)).decode() for secret in secrets)
    return {"webhook-id": event, "webhook-timestamp": str(at), "webhook-signature": " ".join(f"v1,{mark}" for mark in marks)}


def _new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(_SECRET)).decode()


def _sealed(runtime: Runtime, platform: str, secret: str) -> bytes:
    return _sealer(runtime).seal(secret.encode(), platform.encode())


def _secrets(runtime: Runtime, row: Webhook, now: datetime) -> list[bytes]:
    kept = [row.secret]
    if row.previous is not None and row.previous_until is not None and row.previous_until > now:
        kept.append(row.previous)
    opened = (_sealer(runtime).open(bytes(one), row.platform_id.encode()).decode() for one in kept)
    return [base64.b64decode(one.removeprefix(PREFIX)) for one in opened]


def _sealer(runtime: Runtime) -> Sealer:
    return Sealer(runtime.keys.derive("webhook"))
