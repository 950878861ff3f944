"""A release whose period is over: what its lab states, under its own key, that became of it.

The statement is a JSON object, signed as a compact JWS, as a recall's attestation is: {v: 1, type: "sayso-deletion", release, agreement,
manifest_sha256, outcome: "deleted" or "cannot_remove", models, at}. `deleted` speaks of every copy of the release; `cannot_remove` says
that models were trained with it, and names them. Once it is answered the release is handed over no more.

It speaks of what the lab had at `at`: a copy that came later is not in it, so it closes nothing where there may be one.
"""

from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.core.canonical import sha256_hex, unb64u
from app.kit.clock import rfc3339
from app.kit.db import for_update
from app.kit.errors import Conflict, Invalid
from app.log import service as log
from app.log.models import LogEntry
from app.parties.models import Lab
from app.releases import service as releases
from app.releases.models import Delivery, Recall, Release, ReleaseDeletion
from app.revocations import attesting, recalls
from app.revocations.answered import answered

TYP = "sayso-deletion+jws"
ON_ITS_WAY = timedelta(minutes=15)
"""How long after it was made a statement may come while a ticket for the release was open: nothing tells what was fetched meanwhile."""
AHEAD = timedelta(minutes=5)
"""How far a lab's clock may be ahead."""


class DeletionStatement(attesting.Statement):
    type: Literal["sayso-deletion"]
    release: str
    manifest_sha256: str


def attest(session: Session, lab: Lab, release_id: str, token: str, *, now: datetime) -> ReleaseDeletion:
    """Take a lab's signed statement on a release that it must delete; its digest is logged, tickets for it end, and recalls of what it has
    no more are answered by it. The same outcome again keeps the first statement.

    Raises NotFound (not_found), Invalid (signature_invalid, signature_wrong_key, signature_wrong_payload) or
    Conflict (deletion_not_owed, deletion_state, deletion_outdated).
    """
    release = releases.own_release(session, lab.id, release_id)
    # Before the duty, as a batch of recalls takes it: either it sees this word, or this word sees its recalls, and answers them.
    agreements.own_agreement(session, lab.id, release.agreement_id, lock=True)
    row = session.exec(for_update(select(ReleaseDeletion).where(ReleaseDeletion.release_id == release.id), session)).first()
    if row is None:
        raise Conflict("deletion_not_owed", "Look at what you owe: this release has no day by which it must be deleted.")
    statement, leaf = attesting.opened(session, lab, token, TYP, DeletionStatement, now)
    if (statement.release, statement.agreement, statement.manifest_sha256) != (release.id, release.agreement_id, manifest_digest(release)):
        raise Invalid("signature_wrong_payload", "Sign the release's id, its agreement and the digest of its manifest as its file has them.")
    state = attesting.STATES[statement.outcome]
    if row.state == state:
        return row
    if row.state != "owed":
        raise Conflict("deletion_state", "You answered it already, and otherwise.", state=row.state)
    _insist_on_time(session, release.id, statement.at, now)
    row.state, row.closed_at, row.attestation, row.models = state, now, token, list(statement.models)
    session.add(row)
    open_ = sa.update(Delivery).where(Delivery.release_id == release.id, Delivery.revoked_at == None, Delivery.expires_at > now)  # type: ignore[arg-type]
    session.execute(open_.values(revoked_at=now))
    body = {"agreement": release.agreement_id, "lab": lab.legal_name, "lab_id": lab.id, **leaf}
    session.flush()
    settled = _settled_with_it(session, lab, row, now) if state == "attested" else []
    index = log.append(session, [log.institutional(f"deletion.{state.replace('_', '-')}", release.id, body, now), *settled], now)
    session.execute(sa.update(ReleaseDeletion).where(ReleaseDeletion.release_id == release.id).values(log_index=index))  # type: ignore[arg-type]
    session.refresh(row)
    return row


def _settled_with_it(session: Session, lab: Lab, row: ReleaseDeletion, now: datetime) -> list[log.Leaf]:
    """Open recalls of what the lab had in this release and others that it deleted: nothing is left that it could delete for them."""
    agreement = session.get_one(Agreement, row.agreement_id)
    query = select(Recall).where(Recall.agreement_id == agreement.id, Recall.state.in_(["notified", "acknowledged"])).order_by(Recall.id)  # type: ignore[attr-defined]
    leaves = []
    for recall in session.exec(for_update(query, session).execution_options(populate_existing=True)).all():
        records = {bytes.fromhex(record) for record in recalls.records(session, recall.id)}
        if answered(session, agreement, records).keys() != records:
            continue
        recall.state, recall.closed_at, recall.answered_by = "attested", now, row.release_id
        session.add(recall)
        body = {"agreement": agreement.id, "lab": lab.legal_name, "answered_by": row.release_id}
        leaves.append(log.institutional("recall.attested", recall.id, body, now))
    session.flush()
    return leaves


def _insist_on_time(session: Session, release: str, at: datetime, now: datetime) -> None:
    """That the statement is of a time after which nobody can have fetched a copy. The lock on the duty keeps new deliveries out meanwhile.

    Raises Conflict (deletion_outdated), Invalid (signature_wrong_payload) for a time that has not come.
    """
    if at > now + AHEAD:
        raise Invalid("signature_wrong_payload", "Set your clock right and sign anew: `at` has not come yet.")
    ends = sa.func.max(sa.func.coalesce(Delivery.revoked_at, Delivery.expires_at))
    query = sa.select(sa.func.max(LogEntry.at), ends).select_from(Delivery).join(LogEntry, sa.and_(LogEntry.log_index == Delivery.log_index))
    came, ended = session.execute(query.where(Delivery.release_id == release)).one()  # type: ignore[arg-type]
    # Statements have whole seconds: one of the same second may well have come after.
    if at < came.replace(microsecond=0) or (at < ended and at < now - ON_ITS_WAY):
        told = "Delete what you fetched since too, then sign and send a statement of now, by a clock that is right."
        raise Conflict("deletion_outdated", told, delivered_at=rfc3339(came))


def manifest_digest(release: Release) -> str:
    """SHA-256 (hex) of a published release's manifest, as the leaf of its cut names it."""
    return sha256_hex(unb64u(str(release.manifest).split(".")[1]))
