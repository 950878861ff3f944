"""Wordings, kept as people are shown them; and what a platform's records come under where nobody chose."""

from datetime import datetime
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.consents.models import PlatformDefault, Wording
from app.consents.policies import StoredPolicy
from app.kit.db import for_update
from app.kit.errors import Invalid, NotFound, TooLarge
from app.log import service as log
from app.parties.models import Platform

MEDIA_TYPES = ("text/plain", "text/html")
MOST_BYTES = 200_000
UNKNOWN = "Register the wording first with POST /v1/wordings, then name it by the SHA-256 that was answered."


def register(session: Session, platform: Platform, body: bytes, media_type: str, language: str, *, now: datetime) -> Wording:
    """Keep these very bytes. The same bytes again, by whomever, are the wording that is there: its type and language stay.

    Raises TooLarge (wording_too_large) or Invalid (wording_invalid).
    """
    if len(body) > MOST_BYTES:
        raise TooLarge("wording_too_large", f"Send at most {MOST_BYTES} bytes: the text that people are shown, without pictures.")
    try:
        empty = not body.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Invalid("wording_invalid", "Send the text in UTF-8, exactly as it is shown.") from None
    if empty:
        raise Invalid("wording_invalid", "Send the text that people are shown; it must not be empty.")
    leaves = keep(session, platform, {body: language}, media_type, now=now)
    if leaves:
        log.append(session, leaves, now)
    return session.get_one(Wording, sha256(body).hexdigest())


def keep(session: Session, platform: Platform, texts: dict[bytes, str], media_type: str, *, now: datetime) -> list[log.Leaf]:
    """Keep texts, each in its language. Gives the leaves of those that are new: the caller appends them.

    In the order of their digests, and before the log's head is taken: two at once with the same texts wait for each other one way only.
    """
    leaves = []
    for digest, body in sorted((sha256(body).hexdigest(), body) for body in texts):
        row = {"sha256": digest, "media_type": media_type, "language": texts[body], "body": body, "created_at": now}
        try:
            with session.begin_nested():
                session.execute(sa.insert(Wording).values(**row))
        except IntegrityError:
            continue
        leaf = {"platform": platform.name, "sha256": digest, "media_type": media_type, "language": texts[body]}
        leaves.append(log.institutional("admin.wording-added", platform.id, leaf, now))
    return leaves


def known(session: Session, digest: str | None) -> Wording | None:
    """The wording of that digest, where it is registered."""
    return None if digest is None else session.get(Wording, digest)


def address(session: Session, digest: str | None) -> str | None:
    """The path at which anybody reads a wording; None where it is not registered."""
    query = select(Wording.sha256).where(Wording.sha256 == digest)
    return None if digest is None or session.exec(query).first() is None else f"/v1/wordings/{digest}"


def default_of(session: Session, platform: str) -> PlatformDefault | None:
    """A platform's default, where it has set one."""
    return session.get(PlatformDefault, platform)


def set_default(
    session: Session, platform: Platform, policy: StoredPolicy | None, wording: str | None, shown_at: datetime | None, *, now: datetime
) -> int:
    """What records that come without a choice are under from now on; None takes it away. Gives the log index.

    Nothing that was recorded before changes. Raises NotFound (wording_unknown): only words that anybody can read are a notice.
    """
    # As with floors: of two settings at once the second waits here.
    session.execute(for_update(sa.select(Platform.id).where(Platform.id == platform.id), session))  # type: ignore[call-overload]
    row = session.get(PlatformDefault, platform.id)
    if row is not None:
        session.delete(row)
        session.flush()
    if policy is not None:
        if wording is None or shown_at is None or known(session, wording) is None:
            raise NotFound("wording_unknown", UNKNOWN)
        session.add(PlatformDefault(platform_id=platform.id, policy_id=policy.id, wording_sha256=wording, shown_at=shown_at, set_at=now))
    body = {"platform": platform.name, "policy": None if policy is None else policy.digest, "wording": None if policy is None else wording}
    return log.append(session, [log.institutional("admin.default-set", platform.id, body, now)], now)
