"""Eligibility codes: a platform says of people it knows that they contribute, without being told who of them joined what.

A code is 160 random bits, of which the hash is kept with the platform that asked for it. It can be used once in each collective. What
is kept of its use is the collective and not the member; no route tells a platform whether a code was used.
"""

import os
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.collectives.models import EligibilityCode, EligibilityUse
from app.kit.errors import Invalid
from app.kit.ids import random_id
from app.log import service as log
from app.parties.claims import encode_secret
from app.parties.models import Platform

LIFE = timedelta(days=90)


def issue(session: Session, platform: Platform, count: int, *, now: datetime) -> list[str]:
    """Fresh codes, good for ninety days. They are kept by their hashes alone."""
    codes = ["elg_" + encode_secret(os.urandom(20)) for _ in range(count)]
    until = (now + LIFE).date()
    session.add_all([EligibilityCode(sha256=_hash(code), platform_id=platform.id, expires_on=until) for code in codes])
    session.flush()
    body = {"platform": platform.name, "platform_id": platform.id, "codes": log.bucket(count)}
    log.append(session, [log.institutional("admin.eligibility-issued", random_id("admin"), body, now)], now)
    return codes


def use(session: Session, collective: str, code: str | None, *, now: datetime) -> str:
    """Use a code in a collective; gives the platform that vouched. Raises Invalid: eligibility_missing, or eligibility_invalid, which
    is the same for a code that never was, has expired, or was used here before."""
    if code is None:
        raise Invalid("eligibility_missing", "Ask a platform that you contribute to for an eligibility code.")
    refused = Invalid("eligibility_invalid", "Ask the platform for another code.")
    row = session.get(EligibilityCode, _hash(code))
    if row is None or row.expires_on <= now.date():
        raise refused
    try:
        with session.begin_nested():
            session.execute(sa.insert(EligibilityUse).values(sha256=row.sha256, collective_id=collective))
    except IntegrityError:
        raise refused from None
    return row.platform_id


def forget_old(session: Session, now: datetime) -> None:
    """Drop codes past their day, and with them that they were used."""
    old = sa.select(EligibilityCode.sha256).where(EligibilityCode.expires_on < now.date())  # type: ignore[call-overload]
    session.execute(sa.delete(EligibilityUse).where(EligibilityUse.sha256.in_(old)))  # type: ignore[attr-defined]
    session.execute(sa.delete(EligibilityCode).where(EligibilityCode.expires_on < now.date()))  # type: ignore[arg-type]


def _hash(code: str) -> str:
    return sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
