"""Sign: the terms of an offer, signed by the lab's own key and countersigned, are the agreement."""

import json
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service
from app.agreements.models import Agreement, AgreementPolicy, Offer, Request
from app.collectives import proposals
from app.consents.policies import PolicyBook
from app.core.canonical import sha256_hex
from app.crypto.signing import BadSignature, import_public, peek_header, verify_compact
from app.kit.errors import Conflict, Gone, Invalid
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import service as parties
from app.parties.models import Lab


def sign(session: Session, runtime: Runtime, lab: Lab, offer_id: str, acceptance: str, *, now: datetime) -> str:
    """Take the lab's signature over the offer and countersign; gives the agreement's id. The same signature again: the same id.

    Raises Invalid (signature_invalid, signature_wrong_key, signature_wrong_payload), Gone (offer_expired) or
    Conflict (offer_not_open, dissent_changed).
    """
    offer = service.own_offer(session, lab.id, offer_id, lock=True)
    _check(session, lab, offer, acceptance, now)
    before = session.exec(select(Agreement).where(Agreement.offer_id == offer.id)).first()
    if before is not None:
        if before.acceptance == acceptance:
            return before.id
        raise Conflict("offer_not_open", "Use the agreement that came of it, or ask again.", agreement=before.id)
    if offer.state != "open":
        raise Conflict("offer_not_open", "Ask again for a new offer.")
    if offer.expires_at <= now:
        raise Gone("offer_expired", "Ask again for a new offer.")
    terms = json.loads(offer.body)
    if proposals.reports(session, offer.outcomes) != terms["dissent"]:
        raise Conflict("dissent_changed", "Ask again: the new offer lists the dissent that there is now.")
    agreement_id = random_id("agreement")
    counter = runtime.keys.service.sign(
        "sayso-agreement+jws", offer.body, agr=agreement_id, acc=sha256_hex(acceptance.encode())
    )
    row = session.get_one(Request, offer.request_id)
    agreement = Agreement(
        id=agreement_id, offer_id=offer.id, lab_id=lab.id, use_id=row.use_id, acceptance=acceptance, countersignature=counter,
        state="in_force", log_index=-1, signed_at=now,
    )  # fmt: skip
    every = service.report_every(terms)
    if every is not None:
        agreement.report_due = now + every
        runtime.jobs.enqueue(session, "report", agreement_id, delay=every.total_seconds() + 1)
    offer.state = "signed"
    session.add_all([agreement, offer])
    session.flush()
    book: PolicyBook = runtime.parts["policies"]
    session.add_all(
        [
            AgreementPolicy(agreement_id=agreement_id, policy_id=book.by_digest(p["digest"]).id)
            for p in terms["policies"]
        ]
    )
    body = {
        "offer": offer.id, "offer_sha256": offer.sha256, "lab": lab.legal_name, "lab_id": lab.id, "lab_key": offer.key_thumbprint,
        "service_key": runtime.keys.service.thumbprint, "acceptance_sha256": sha256_hex(acceptance.encode()),
        "agreement_sha256": sha256_hex(counter.encode()), "dissent": len(terms["dissent"]),
        **({"supersedes": offer.amends} if offer.amends else {}),
    }  # fmt: skip
    session.flush()
    leaf = log.institutional("agreement.signed", agreement_id, body, now)
    # The head lock is the last one taken: the index is written into our own new row, which nobody else can hold.
    index = log.append(session, [leaf], now)
    session.execute(sa.update(Agreement).where(Agreement.id == agreement_id).values(log_index=index))  # type: ignore[arg-type]
    return agreement_id


def _check(session: Session, lab: Lab, offer: Offer, acceptance: str, now: datetime) -> None:
    try:
        header = peek_header(acceptance)
    except BadSignature:
        raise Invalid("signature_invalid", "Send a compact JWS with typ sayso-acceptance+jws.") from None
    kid = header.get("kid")
    key = parties.lab_key(session, lab.id, offer.key_thumbprint, now)
    if kid != offer.key_thumbprint or key is None:
        raise Invalid(
            "signature_wrong_key", "Sign with the key whose thumbprint stands in the offer's lab.key, named in kid, or ask anew with this one."
        )
    try:
        signed = verify_compact(acceptance, import_public(key.jwk), "sayso-acceptance+jws")
    except BadSignature:
        raise Invalid("signature_invalid", "Sign the offer's exact bytes; typ must be sayso-acceptance+jws.") from None
    if signed != offer.body:
        raise Invalid("signature_wrong_payload", "Fetch the offer again and sign its bytes as they come.")
