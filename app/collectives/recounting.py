"""Recounters: whom a charter names to count a vote anew. With the count each of them gets the openings of the ballots that counted, sealed to
their own key; the file is handed to who shows that they hold the key, and is erased with the ballot key.

It is not handed to everybody, though nobody else can open it: what is copied once stays for the day on which a recounter's key leaks. Who asks
sends a secret that is sealed to the same key in the outcome's file. An opening says which commitment chose what, and names nobody.
"""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import defer
from sqlmodel import Session, select

from app.collectives.models import Proposal
from app.collectives.recount_models import SealedOpenings
from app.collectives.schemas import RecounterIn
from app.core.canonical import b64u, sha256_hex
from app.crypto.recipients import public_part, seal_to, thumbprint
from app.crypto.signing import BadKey
from app.kit.db import for_update
from app.kit.errors import Invalid, NotFound
from app.log import service as log

TYPE, TICKET = "sayso-openings", "sayso-openings-ticket"
ROW = 800
"""Bytes that each opening takes in the file, whatever its choice, reasons and group: its length tells only how many voted."""

_SEALED = SealedOpenings.__table__  # type: ignore[attr-defined]


def recounters(given: Sequence[RecounterIn]) -> list[dict[str, Any]]:
    """Recounters as a charter has them: a name, and the public key alone. Raises Invalid (recounter_key)."""
    found: list[dict[str, Any]] = []
    for n, one in enumerate(given):
        try:
            found.append({"name": one.name, "key": public_part(one.key)})
        except BadKey as error:
            raise Invalid("recounter_key", f"Recounter {n + 1} has no key to seal to: {error}. `sayso keygen --alg X25519` makes one.") from None
    if len({one["key"]["x"] for one in found}) < len(found):
        raise Invalid("recounter_key", "Give each recounter a key of their own.")
    return found


def keys_of(charter: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, thumbprint of the key) of each recounter that a charter names; those of before recounters name none."""
    return [(one["name"], thumbprint(one["key"])) for one in charter.get("recounters", [])]


def seal(session: Session, row: Proposal, charter: dict[str, Any], counted: Sequence[tuple[int, bytes]], now: datetime) -> list[dict[str, str]]:
    """Keep the openings of a count for the recounters of the charter it was frozen under; `counted` is, of each elector's last ballot, its
    place in the log and salt || act. Gives what the outcome says of it: who, the key's thumbprint, the digest of the sealed file."""
    named = charter.get("recounters", [])
    if not named:
        return []
    file, said = openings_file(row.id, counted), []
    for one in named:
        key, ticket = thumbprint(one["key"]), b64u(os.urandom(32))
        sealed = seal_to(one["key"], TYPE, file).encode()
        session.add(
            SealedOpenings(
                proposal_id=row.id, key=key, recounter=one["name"], sha256=sha256_hex(sealed), sealed=sealed,
                ticket=seal_to(one["key"], TICKET, ticket.encode()), ticket_sha256=sha256_hex(ticket.encode()), at=now,
            )
        )  # fmt: skip
        said.append({"recounter": one["name"], "key": key, "sha256": sha256_hex(sealed)})
    session.flush()
    return said


def openings_file(proposal: str, counted: Sequence[tuple[int, bytes]]) -> bytes:
    """The openings as `sayso recount` reads them, as long for every vote of as many."""
    openings = [{"at": at, "salt": b64u(opened[:32]), "act": opened[32:].decode()} for at, opened in counted]
    text = json.dumps({"v": 1, "type": TYPE, "proposal": proposal, "openings": openings}, separators=(",", ":"))
    return text.encode().ljust(ROW * (len(openings) + 1))


def of(session: Session, proposal: str) -> list[SealedOpenings]:
    """To whom the openings of an outcome were sealed; the file itself, which may be large, is not read."""
    query = select(SealedOpenings).where(SealedOpenings.proposal_id == proposal).order_by(SealedOpenings.recounter, SealedOpenings.key)
    return list(session.exec(query.options(defer(SealedOpenings.sealed, raiseload=True))))  # type: ignore[arg-type]


def hand_over(session: Session, ticket: str, now: datetime) -> SealedOpenings:
    """What was sealed to the recounter who opened this ticket; the log tells the first time. Raises NotFound (not_found)."""
    query = select(SealedOpenings).where(SealedOpenings.ticket_sha256 == sha256_hex(ticket.encode()))
    row = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    found = None if row is None else session.get(Proposal, row.proposal_id)
    if row is None or found is None or row.sealed is None or found.appeal_until <= now:
        raise NotFound("not_found", "Open the ticket in the outcome with your key; it is good until the appeal is over.")
    if row.handed_at is None:
        row.handed_at = now
        session.add(row)
        session.flush()
        body = {"collective": found.collective_id, "sha256": row.sha256}
        log.append(session, [log.institutional("openings.handed-over", row.proposal_id, body, now)], now)
    return row


def forget(session: Session, proposal: str) -> None:
    """The appeal is over: what was sealed goes, as the ballot key does."""
    gone = sa.update(_SEALED).where(_SEALED.c.proposal_id == proposal)
    session.execute(gone.values(sealed=None, ticket=None, ticket_sha256=None))
