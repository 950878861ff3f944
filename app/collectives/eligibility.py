"""Eligibility codes: a platform says of people it knows that they contribute, without being told who of them joined what.

A code is 160 random bits, made for one contributor of the platform that asked for it: what is kept is a hash of it together with the
platform's pseudonym of that person, which tells neither. It can be used once in each collective, with a receipt of that very person. To
any other receipt, also one that the platform minted for itself, it is a code that never was: trying it tells nothing, and uses nothing
up. What is kept of its use is the collective and not the member; no route tells a platform whether a code was used.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.collectives.models import EligibilityCode, EligibilityUse
from app.kit.errors import Invalid
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.parties.claims import encode_secret
from app.parties.models import Contributor, Platform

LIFE = timedelta(days=90)


def issue(session: Session, runtime: Runtime, platform: Platform, named: Sequence[str], *, now: datetime) -> list[str]:
    """Fresh codes, good for ninety days: one for each of these contributors, by the platform's own ids and in their order. Whether anything
    was recorded of one is not looked at. They are kept by their hashes alone."""
    until, codes = (now + LIFE).date(), []
    for ref in named:
        codes.append("elg_" + encode_secret(os.urandom(20)))
        kept = _hash(codes[-1], contributors.pseudonym(runtime.keys, platform.id, ref))
        session.add(EligibilityCode(sha256=kept, platform_id=platform.id, expires_on=until))
    session.flush()
    body = {"platform": platform.name, "platform_id": platform.id, "codes": log.bucket(len(codes))}
    log.append(session, [log.institutional("admin.eligibility-issued", random_id("admin"), body, now)], now)
    return codes


def use(session: Session, collective: str, contributor: str, code: str | None, *, now: datetime) -> str:
    """Use a contributor's code in a collective; gives the platform that vouched. Raises Invalid: eligibility_missing, or
    eligibility_invalid, which is the same for a code that never was, is another person's, has expired, or was used here before."""
    if code is None:
        raise Invalid("eligibility_missing", "Ask a platform that you contribute to for an eligibility code.")
    refused = Invalid("eligibility_invalid", "Join with a receipt from the platform that gave you the code, or ask it for another.")
    named = session.exec(select(Contributor.pseudonym).where(Contributor.id == contributor)).first()
    row = None if named is None else session.get(EligibilityCode, _hash(code, named))
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


def _hash(code: str, named: bytes) -> str:
    return sha256(named + code.encode("utf-8", "surrogatepass")).hexdigest()
