"""Records whose terms are not in what the lab signed: it is offered those too, and signs anew or goes on as before."""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sayso.jws import PrivateKey, check
from sayso.lab import Lab

from app.agreements.models import Offer
from app.kit.db import read, write
from app.log.models import LogEntry
from app.parties import service as parties
from tests.kit.refusals import lab_token, refused
from tests.releases.test_cut import OPEN_EVALUATION
from tests.support import LabParty, PlatformParty, Service, until


def offers(service: Service, agreement: str) -> dict[str, str]:
    """Amended offers of an agreement, oldest first, with their states."""
    with read(service.runtime.engine) as session:
        query = sa.select(Offer.id, Offer.state).where(Offer.amends == agreement).order_by(Offer.issued_at)  # type: ignore[call-overload]
        return {row.id: row.state for row in session.execute(query)}


def texts(lab: LabParty, agreement: Any, path: Path) -> set[str]:
    release = lab.sdk.cut(agreement, poll=0.05)
    return {json.loads(row["text"]) for row in lab.fetch(release, path)}


def test_an_amended_offer_covers_what_was_held_back_and_the_old_agreement_goes_on(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    given = [platform.give(1, parts={"text": name, "judgment": 1})[0] for name in ("stays", "moves")]
    old = lab.agree(platform, OPEN_EVALUATION)
    assert texts(lab, old, tmp_path / "1") == {"stays", "moves"} and offers(service, old.id) == {}
    service.claim(given[1]).scope(given[1].id, template="open-model-training-with-credit")
    assert texts(lab, old, tmp_path / "2") == {"stays"}
    offer = until(lambda: lab.sdk.agreement(old.id).amended_offer)
    lab.sdk.cut(old, poll=0.05)  # more cuts, and the job once more, make no more offers of the same
    service.runtime.jobs.run("amend", old.id)
    assert offers(service, old.id) == {offer: "open"}
    terms = lab.sdk.offer(offer).terms
    assert terms["supersedes"] == old.id and len(terms["policies"]) == 2 and terms["use"] == lab.sdk.offer(str(old.offer)).terms["use"]
    told = [json.loads(check(t, service.runtime.keys.service.public_jwk, "secevent+jwt")[1]) for t in lab.sdk.poll().sets.values()]
    assert [e["events"]["urn:sayso:event:offer.amended"]["offer"] for e in told] == [offer]
    new = lab.sdk.sign(lab.sdk.offer(offer))
    assert texts(lab, new, tmp_path / "3") == {"stays", "moves"}
    assert texts(lab, old, tmp_path / "4") == {"stays"} and lab.sdk.agreement(old.id).state == "in_force"
    service.runtime.jobs.run("amend", old.id)
    assert lab.sdk.agreement(old.id).amended_offer is None  # what was signed in the amended one is not offered again
    with read(service.runtime.engine) as session:
        query = sa.select(LogEntry.leaf).where(LogEntry.subject == new.id, LogEntry.type == "agreement.signed")  # type: ignore[call-overload]
        assert json.loads(session.execute(query).scalar_one())["supersedes"] == old.id


def test_an_amended_offer_that_gave_way_to_a_newer_one_cannot_be_signed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    one, two = platform.give(2)
    platform.give(1)
    old = lab.agree(platform, OPEN_EVALUATION)
    service.claim(one).scope(one.id, template="open-model-training-with-credit")
    lab.sdk.cut(old, poll=0.05)
    first = lab.sdk.offer(until(lambda: lab.sdk.agreement(old.id).amended_offer))
    service.claim(two).scope(two.id, template="leaderboard-and-research")
    lab.sdk.cut(old, poll=0.05)
    service.runtime.jobs.run("amend", old.id)
    assert list(offers(service, old.id).values()) == ["superseded", "open"]
    signed = lab.key.sign("sayso-acceptance+jws", first.raw)
    refused(service.post(f"/v1/offers/{first.id}/agreement", {"acceptance": signed}, lab_token(service, lab)), 409, "offer_not_open")


def test_an_amended_offer_goes_to_the_key_that_signed_and_to_another_once_that_is_gone(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    one, _ = platform.give(2)
    old = lab.agree(platform, OPEN_EVALUATION)
    keys = {}
    for name in ("next", "unused"):
        keys[name] = PrivateKey.generate()
        with write(service.runtime.engine) as session:
            parties.add_lab_key(session, parties.known_lab(session, lab.id), keys[name].public_jwk, now=service.clock.now())
    service.claim(one).scope(one.id, template="open-model-training-with-credit")
    lab.sdk.cut(old, poll=0.05)
    first = lab.sdk.offer(until(lambda: lab.sdk.agreement(old.id).amended_offer))
    assert first.terms["lab"]["key"] == lab.key.thumbprint, "not the newest"
    with write(service.runtime.engine) as session:
        parties.revoke_key_of(session, lab.id, lab.key.thumbprint, now=service.clock.now())
    service.runtime.jobs.run("amend", old.id)
    after = Lab(service.base, lab.id, keys["next"])
    further = after.offer(str(after.agreement(old.id).amended_offer))
    assert further.terms["lab"]["key"] == keys["next"].thumbprint and list(offers(service, old.id).values()) == ["superseded", "open"]
    assert after.sign(further).state == "in_force"
