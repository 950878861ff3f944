"""Amended offers: a cut held records back because their terms are not in what the lab signed, so the lab is offered those too."""

from sqlmodel import select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.kit.db import for_update, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import service as parties
from app.parties.models import Lab
from app.revocations import events


def amend(runtime: Runtime, agreement_id: str) -> None:
    """The job: make the offer, tell the lab of it, log it. Run again it finds the offer it made and does nothing."""
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        agreement = session.exec(for_update(select(Agreement).where(Agreement.id == agreement_id), session)).one()
        lab = session.get_one(Lab, agreement.lab_id)
        if agreement.state != "in_force" or parties.releases_stopped(lab, now) or not parties.keys_in_use(session, lab.id, now):
            return
        offer = agreements.amend(session, runtime, lab, agreement, now=now)
        if offer is None:
            return
        events.tell(session, lab.id, "offer.amended", agreement.id, offer.id, now)
        body = {"lab": lab.legal_name, "lab_id": lab.id, "agreement": agreement.id, "offer_sha256": offer.sha256}
        session.flush()
        log.append(session, [log.institutional("offer.amended", offer.id, body, now)], now)
