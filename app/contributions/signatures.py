"""How webhooks prove where they come from, with the habits of the tools that send them. Pure.

Standard Webhooks: `webhook-signature` holds one or more `v1,BASE64(HMAC-SHA256(secret, "ID.TIME.BODY"))`, and `webhook-timestamp`
is the TIME. Argilla signs with the time of the *event* and sends the time of *sending* in the header: where an event waited in its
queue, the standard's own libraries refuse it. So both are tried, the header's first, each only inside the window.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

WINDOW = timedelta(minutes=15)
"""How far a time may be from ours. A replay inside it changes nothing: the same record is the same contribution."""


def secret_bytes(secret: str) -> bytes:
    """The key that a Standard Webhooks secret (`whsec_…`) stands for. Raises ValueError."""
    try:
        found = b64decode(secret.removeprefix("whsec_"))
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if len(found) < 16:
        raise ValueError("shorter than 128 bits")
    return found


def standard(secret: str, headers: Mapping[str, str], body: bytes, event_at: str | None, now: datetime) -> bool:
    """Whether `body` is signed with the secret under the header's time or under `event_at`, the body's own (RFC 3339)."""
    own, sent, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not own or not own.isascii() or not (sent.isascii() and sent.isdigit() and len(sent) <= 12):
        return False
    times = [int(sent)]
    if event_at is not None:
        try:
            event = datetime.fromisoformat(event_at.replace("Z", "+00:00"))
        except ValueError:
            return False
        if event.tzinfo is not None:
            times.append(int(event.timestamp()))
    key, near = secret_bytes(secret), WINDOW.total_seconds()
    if abs(times[0] - now.timestamp()) > near:
        return False
    # All are looked at, whichever matches: how long it takes tells nothing.
    found = False
    for time in times:
        if abs(time - now.timestamp()) > near:
            continue
        wanted = b"v1," + b64encode(hmac.digest(key, f"{own}.{time}.".encode() + body, sha256))
        for one in given.split(" ")[:10]:
            found |= hmac.compare_digest(one.encode("utf-8", "replace"), wanted)
    return found


def hex_digest(secret: str, given: str, body: bytes) -> bool:
    """Whether `given` is `sha256=HEX`, the HMAC of the body: HackerOne's `X-H1-Signature`. It has no time; to send again changes nothing."""
    wanted = "sha256=" + hmac.digest(secret.encode(), body, sha256).hex()
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted.encode())


def dated_digest(secret: str, given: str, body: bytes, now: datetime) -> bool:
    """Whether `given` is `timestamp=SECONDS;sha256=HEX`: Bugcrowd's `X-Bugcrowd-Digest`. Descriptions of it differ in where the time
    stands in what is signed, so both places are tried; in neither is the rest JSON, so one cannot be passed off as the other."""
    fields = dict(part.strip().partition("=")[::2] for part in given.split(";")[:4])
    sent, mac = fields.get("timestamp", ""), fields.get("sha256", "")
    if not (sent.isascii() and sent.isdigit() and len(sent) <= 12) or abs(int(sent) - now.timestamp()) > WINDOW.total_seconds():
        return False
    found = False
    for signed in (sent.encode() + b"." + body, body + b"." + sent.encode()):
        wanted = hmac.digest(secret.encode(), signed, sha256).hex()
        found |= hmac.compare_digest(mac.encode("utf-8", "replace"), wanted.encode())
    return found


def header(secret: str, headers: Mapping[str, str]) -> bool:
    """Whether the Authorization header is the secret, with or without `Bearer`: Label Studio signs nothing, and sends what is
    typed into its form."""
    given = headers.get("authorization", "").removeprefix("Bearer ").strip()
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
