"""What a platform's web server needs to take events from the service: who sent this, and the answer to a challenge.

    event = webhooks.read(secret, request.headers, request.body)      # raises webhooks.Forged
    if webhooks.is_challenge(event):
        return webhooks.answer(event)
    for contribution in event["data"]["contributions"]: ...

Standard Webhooks 1.0 with `v1` (HMAC-SHA256). The same event may come twice: `webhook-id` tells.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from sayso.errors import SaysoError

TOLERANCE = 300
"""Seconds that the sender's clock and yours may differ."""
PREFIX = "whsec_"


class Forged(SaysoError):
    """It was not signed with your secret, or is too old; answer 400 and do nothing."""


def read(secret: str | Sequence[str], headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> dict[str, Any]:
    """The event in a request, once its signature holds under one of your secrets (`whsec_…`). A challenge, which comes before there is a
    secret, is not signed, and asks for nothing. Raises Forged."""
    given = {name.lower(): value for name, value in headers.items()}
    try:
        event = json.loads(body)
    except ValueError:
        raise Forged("it is no JSON") from None
    if not isinstance(event, dict):
        raise Forged("it is no event")
    if is_challenge(event) and "webhook-signature" not in given:
        return event
    secrets = [secret] if isinstance(secret, str) else list(secret)
    stamp, name = given.get("webhook-timestamp", ""), given.get("webhook-id", "")
    if not stamp.isascii() or not stamp.isdigit() or abs((time.time() if now is None else now) - int(stamp)) > TOLERANCE:
        raise Forged("it is too old, or has no time")
    wanted = [hmac.digest(_key(one), f"{name}.{stamp}.".encode() + body, sha256) for one in secrets]
    for mark in given.get("webhook-signature", "").split():
        version, _, encoded = mark.partition(",")
        try:
            found = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue
        if version == "v1" and any(hmac.compare_digest(found, one) for one in wanted):
            return event
    raise Forged("it is signed with no secret of yours")


def is_challenge(event: Mapping[str, Any]) -> bool:
    """Whether the service only wants to know that the address is yours."""
    return event.get("type") == "webhook.challenge"


def answer(event: Mapping[str, Any]) -> dict[str, Any]:
    """What to answer a challenge with, as JSON and with 200."""
    return {"challenge": event["data"]["challenge"]}


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
