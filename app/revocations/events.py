"""What labs are told, as security event tokens (RFC 8417) that they fetch (RFC 8936).

A token stays until the lab says that it has it. To acknowledge the token of a recall is to acknowledge the recall: it is proof
that the lab knew. `txn` is the id of what it is about, under which leaves stand in the log; the subject (RFC 9493) is the agreement,
which joins with nothing that another lab is told.
"""

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives.models import Strike
from app.kit.clock import rfc3339
from app.kit.db import for_update, insert_or_ignore
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab
from app.releases.models import Recall, ReleaseDeletion
from app.revocations.models import SecurityEvent

TYP = "secevent+jwt"
URI = "urn:sayso:event:"
MOST = 100
"""Tokens in one answer."""


def tell(session: Session, lab: str, kind: str, subject: str, what: str, now: datetime) -> None:
    """Note an event for a lab, once for each (kind, subject, what), in the caller's transaction."""
    row = {"id": random_id("event"), "lab_id": lab, "type": kind, "subject": subject, "what": what, "made_at": now}
    insert_or_ignore(session, SecurityEvent.__table__, row)  # type: ignore[attr-defined]


def waiting(session: Session, runtime: Runtime, lab: str, most: int) -> tuple[dict[str, str], bool]:
    """(tokens by their `jti`, whether there are more), the oldest first; `most` may be 0."""
    rows = session.exec(
        select(SecurityEvent)
        .where(SecurityEvent.lab_id == lab, SecurityEvent.acked_at == None)
        .order_by(sa.asc(SecurityEvent.made_at), sa.asc(SecurityEvent.id))  # type: ignore[arg-type]
        .limit(most + 1)
    ).all()
    return {row.id: token(session, runtime, row) for row in rows[:most]}, len(rows) > most


def token(session: Session, runtime: Runtime, row: SecurityEvent) -> str:
    """The signed token of an event: the same claims whenever it is fetched."""
    agreement = row.subject
    told: dict[str, Any] = {"owed": row.what} if row.what else {}
    if row.type.startswith("recall."):
        recall = session.get_one(Recall, row.subject)
        agreement = recall.agreement_id
        told |= {"address": f"{runtime.settings.public_url}/v1/recalls/{recall.id}", "recall": recall.id}
        days = (("due", recall.due), ("delete_by", recall.delete_by)) if recall.answered_by is None else ()
        told |= {name: rfc3339(at) for name, at in days if at is not None}
        told |= {} if recall.answered_by is None else {"answered_by": recall.answered_by}
    elif row.type.startswith("deletion."):
        held = session.get_one(ReleaseDeletion, row.subject)
        agreement = held.agreement_id
        told |= {
            "address": f"{runtime.settings.public_url}/v1/releases/{row.subject}", "release": row.subject, "delete_by": rfc3339(held.delete_by),
            **({"late_from": rfc3339(held.late_from)} if held.late_from not in (None, held.delete_by) else {}),
        }  # fmt: skip
    elif row.type == "offer.amended":
        told = {"address": f"{runtime.settings.public_url}/v1/offers/{row.what}", "offer": row.what}
    elif row.type.startswith("strike."):
        strike = session.get_one(Strike, row.what)
        told = {"strike": strike.id, "kind": strike.kind} | ({} if strike.until is None else {"until": rfc3339(strike.until)})
    elif row.type == "outcome.voided":
        told = {"outcome": row.what}
    else:
        told |= {"address": f"{runtime.settings.public_url}/v1/agreements/{agreement}/duties"}
    claims = {
        "iss": runtime.settings.public_url, "aud": row.lab_id, "iat": int(row.made_at.timestamp()), "jti": row.id, "txn": row.subject,
        "sub_id": {"format": "opaque", "id": agreement}, "events": {URI + row.type: told},
    }  # fmt: skip
    return runtime.keys.service.sign(TYP, json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())


def settle(session: Session, lab: Lab, acked: list[str], errors: dict[str, str], *, now: datetime) -> None:
    """Take what a lab says it has, or could not take. Ids that are not its own, or were settled before, change nothing."""
    named = sorted({*acked, *errors})
    query = select(SecurityEvent).where(SecurityEvent.id.in_(named), SecurityEvent.lab_id == lab.id)  # type: ignore[attr-defined]
    rows = session.exec(for_update(query.order_by(SecurityEvent.id), session)).all() if named else []
    recalls = []
    for row in rows:
        if row.acked_at is not None:
            continue
        # A token with an error is not sent again either (RFC 8936 section 2.4); its recall stays as it is, and can become overdue.
        row.acked_at, row.error = now, errors.get(row.id)
        session.add(row)
        if row.type == "recall.opened" and row.id not in errors:
            recalls.append(row.subject)
    _acknowledge(session, lab, recalls, now)


def _acknowledge(session: Session, lab: Lab, recalls: list[str], now: datetime) -> None:
    query = select(Recall).where(Recall.id.in_(recalls), Recall.state == "notified").order_by(Recall.id)  # type: ignore[attr-defined]
    leaves = []
    for recall in session.exec(for_update(query, session)) if recalls else ():
        recall.state, recall.acknowledged_at = "acknowledged", now
        session.add(recall)
        leaves.append(log.institutional("recall.acknowledged", recall.id, {"agreement": recall.agreement_id, "lab": lab.legal_name}, now))
    session.flush()
    if leaves:
        log.append(session, leaves, now)
