"""Labs that ask to be let in: what they say of themselves, under the key that they will use, until the operator has looked at it.

Nothing that stands in an application counts for anything before. What is approved are the operator's findings, in words of theirs.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from sqlmodel import Session, select

from app.core.canonical import unb64u
from app.core.strictjson import StrictJSONError, parse
from app.crypto.signing import BadKey, BadSignature, import_public, thumbprint, verify_compact
from app.kit.db import for_update, insert_or_ignore
from app.kit.errors import Conflict, Invalid, NotFound, TooMany
from app.kit.ids import is_id, random_id
from app.kit.runtime import Runtime
from app.parties import service
from app.parties.models import Lab, LabApplication, LabKey

TYP = "sayso-lab-application+jws"
MOST = 500
"""Applications that wait at a time: whoever sends one is not known."""
KEPT = timedelta(days=90)
_Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^\S.*\S$|^\S$")]


class Application(BaseModel):
    """What a lab says of itself; signed by the key in `jwk`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    v: Annotated[int, Field(ge=1, le=1)]
    type: Literal["sayso-lab-application"]
    service: str
    """the issuer that it is meant for"""
    legal_name: _Line
    kind: Literal["academic", "company", "government", "nonprofit"]
    seat: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    contact: _Line
    """where the operator reaches somebody who can answer"""
    evidence: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    """where name, kind and seat can be looked up"""
    jwk: dict[str, str]


def apply(session: Session, runtime: Runtime, token: str, *, now: datetime) -> LabApplication:
    """Take an application. The same key again while it waits: the newer words stand.

    Raises Invalid (application_invalid, key_invalid, signature_invalid), Conflict (party_exists) for the key of a lab that is there, or
    TooMany (applications_full).
    """
    print_ = _key_of(runtime, token)
    if session.get(LabKey, print_) is not None:
        raise Conflict("party_exists", "This key is a lab's already; apply with another one.")
    query = select(LabApplication).where(LabApplication.thumbprint == print_, LabApplication.state == "waiting")
    held = for_update(query, session)
    if session.exec(held).first() is None:
        waiting = select(sa.func.count()).select_from(LabApplication).where(LabApplication.state == "waiting")
        if session.exec(waiting).one() >= MOST:
            raise TooMany("applications_full", "Too many applications wait; try again tomorrow, or write to the operator.", retry_after=86_400)
        new = {"id": random_id("lab_application"), "thumbprint": print_, "token": token, "state": "waiting", "asked_at": now}
        insert_or_ignore(session, LabApplication.__table__, new)  # type: ignore[attr-defined]  # another may be faster
    row = session.exec(held).one()
    row.token, row.asked_at = token, now
    session.add(row)
    return row


def _key_of(runtime: Runtime, token: str) -> str:
    """The thumbprint of the key that an application which may be looked at was signed with."""
    try:
        payload = token.split(".")[1]
        unverified = parse(unb64u(payload), max_bytes=20_000)
        jwk = unverified["jwk"]
        print_ = thumbprint(jwk)
        body = parse(verify_compact(token, import_public(jwk), TYP), max_bytes=20_000)
    except BadKey as error:
        raise Invalid("key_invalid", f"The key was refused: {error}.") from None
    except (BadSignature, StrictJSONError, ValueError, KeyError, IndexError, TypeError):
        raise Invalid("signature_invalid", f"Send a compact JWS with typ {TYP}, signed by the key in its `jwk`.") from None
    try:
        said = Application.model_validate(body)
    except ValidationError as error:
        where = ", ".join(sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]})) or "the object"
        raise Invalid("application_invalid", f"Correct these fields of the application: {where}.") from None
    if said.service != runtime.settings.public_url:
        raise Invalid("application_invalid", "The application names another service.")
    return print_


def said(row: LabApplication) -> dict[str, Any]:
    """What the application says, as it was taken."""
    found: dict[str, Any] = parse(unb64u(row.token.split(".")[1]), max_bytes=20_000)
    return found


def waiting(session: Session) -> list[LabApplication]:
    """What the operator has to look at, the oldest first."""
    query = select(LabApplication).where(LabApplication.state == "waiting").order_by(sa.asc(LabApplication.asked_at))  # type: ignore[arg-type]
    return list(session.exec(query))


def find(session: Session, application_id: str) -> LabApplication:
    """Raises NotFound (not_found)."""
    row = session.get(LabApplication, application_id) if is_id("lab_application", application_id) else None
    if row is None:
        raise NotFound("not_found", "Look at the application's id, lap_…; it is forgotten 90 days after it was settled.")
    return row


def approve(session: Session, application_id: str, evidence: str, *, now: datetime) -> Lab:
    """Let the lab in with the facts it stated, which the operator found to be true (`evidence` says how).

    Raises NotFound (not_found), Invalid (body_invalid), Conflict (application_settled, party_exists).
    """
    row = _held(session, application_id)
    if not evidence.strip():
        raise Invalid("body_invalid", "Say how the facts were verified.")
    told = said(row)
    lab = service.add_lab(session, told["legal_name"], told["kind"], told["seat"], evidence, told["jwk"], now=now)
    row.state, row.settled_at, row.lab_id = "approved", now, lab.id
    session.add(row)
    return lab


def refuse(session: Session, application_id: str, why: str, *, now: datetime) -> None:
    """Say no; `why` is told to who applied. Raises NotFound (not_found), Conflict (application_settled)."""
    row = _held(session, application_id)
    row.state, row.settled_at, row.why = "refused", now, why.strip()[:2_000] or None
    session.add(row)


def _held(session: Session, application_id: str) -> LabApplication:
    find(session, application_id)
    query = select(LabApplication).where(LabApplication.id == application_id)
    row = session.exec(for_update(query, session).execution_options(populate_existing=True)).one()
    if row.state != "waiting":
        raise Conflict("application_settled", "The application was approved or refused before.")
    return row


def forget_old(session: Session, now: datetime) -> None:
    """Drop what was settled, or has waited, for 90 days: it names people."""
    old = sa.func.coalesce(LabApplication.settled_at, LabApplication.asked_at) < now - KEPT
    session.execute(sa.delete(LabApplication).where(old))
