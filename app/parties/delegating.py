"""Keys that an institution gives to its own people and machines: it signs once for each, with a name and a day that it ends.

A delegated key does all that a key of the lab does, but give keys. Its name is for the lab alone; the log has its thumbprint.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from sqlmodel import Session, select

from app.core.strictjson import StrictJSONError, parse
from app.kit.db import read, write
from app.kit.errors import Forbidden, Invalid, NotFound
from app.kit.runtime import Runtime
from app.parties import service
from app.parties.models import Lab, LabKey
from app.parties.statements import open_signed

TYP = "sayso-key-delegation+jws"
LONGEST = timedelta(days=366)


class Delegation(BaseModel):
    """What the institution signs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    v: Annotated[int, Field(ge=1, le=1)]
    type: Literal["sayso-key-delegation"]
    service: str
    lab: str
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """whose key it is, in the lab's words"""
    until: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """the last day that it counts"""
    jwk: dict[str, str]


def delegate(session: Session, runtime: Runtime, lab: Lab, token: str, *, now: datetime) -> LabKey:
    """Add the key in a delegation. The same delegation again gives the same key.

    Raises Invalid (signature_invalid, signature_wrong_key, delegation_invalid, key_invalid), Conflict (party_exists).
    """
    body, by = open_signed(session, lab, token, TYP, now=now)
    if by.delegated_by is not None:
        raise Invalid("signature_wrong_key", "Sign with a key of the institution, named in kid; a delegated one gives no keys.")
    try:
        said = Delegation.model_validate(parse(body, max_bytes=20_000))
        last = date.fromisoformat(said.until)
    except (StrictJSONError, ValidationError, ValueError) as error:
        fields = sorted({str(one["loc"][0]) for one in error.errors() if one["loc"]}) if isinstance(error, ValidationError) else ["until"]
        raise Invalid("delegation_invalid", f"Correct these fields of the delegation: {', '.join(fields) or 'the object'}.") from None
    if (said.service, said.lab) != (runtime.settings.public_url, lab.id):
        raise Invalid("delegation_invalid", "The delegation names another service or another lab.")
    if not now.date() <= last <= (now + LONGEST).date():
        raise Invalid("delegation_invalid", "A delegated key ends today at the earliest, and within 366 days.")
    ends = datetime.combine(last + timedelta(days=1), time(), UTC)
    known = next((key for key in keys_of(session, lab) if key.delegation == token), None)
    if known is not None:
        return known
    print_ = service.add_lab_key(session, lab, said.jwk, now=now)
    row = session.get_one(LabKey, print_)
    row.name, row.delegated_by, row.delegation, row.ends_at = said.name, by.thumbprint, token, ends
    session.add(row)
    return row


def keys_of(session: Session, lab: Lab) -> list[LabKey]:
    """All keys of the lab, the newest first; revoked ones too."""
    query = select(LabKey).where(LabKey.lab_id == lab.id).order_by(sa.desc(LabKey.added_at), LabKey.thumbprint)  # type: ignore[arg-type]
    return list(session.exec(query))


def end(session: Session, lab: Lab, print_: str, with_key: str | None, *, now: datetime) -> None:
    """The lab takes one of its keys out of use, with all that it delegated. `with_key` is the key that proves who asks: an institution's
    ends every key but itself, a delegated one itself alone.

    Raises NotFound (not_found), Forbidden (key_not_yours).
    """
    asking = None if with_key is None else session.get(LabKey, with_key)
    if asking is None or (asking.delegated_by is not None) != (print_ == with_key):
        raise Forbidden("key_not_yours", "Use a token that another key of the institution got; a delegated key ends itself alone.")
    row = service.lab_key(session, lab.id, print_, now)
    if row is None:
        raise NotFound("not_found", "Look at the key's thumbprint; the lab has no such key in use.")
    service.revoke_lab_key(session, row, now=now)


def end_due(runtime: Runtime, now: datetime) -> None:
    """Revoke the keys whose day is over."""
    with read(runtime.engine) as session:
        due = list(session.exec(select(LabKey.thumbprint).where(LabKey.revoked_at == None, LabKey.ends_at <= now)))  # type: ignore[operator]
    for print_ in due:
        with write(runtime.engine) as session:
            row = session.get(LabKey, print_, with_for_update=True)
            if row is not None and row.revoked_at is None:
                service.revoke_lab_key(session, row, now=now)
