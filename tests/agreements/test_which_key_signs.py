"""Which of a lab's keys signs an offer: the one that asked for it, until the end of its day."""

from datetime import timedelta

import pytest
from sayso.jws import PrivateKey
from sayso.lab import Lab as LabSdk

from app.agreements import review
from app.kit.db import read, write
from app.kit.errors import Invalid
from app.parties import service as parties
from app.parties import statements
from app.parties.models import LabKey
from tests.kit.refusals import accepted, ask_token, assertion, get, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service

TYP = "sayso-acceptance+jws"


def _another_key(service: Service, lab: LabParty, *, by: PrivateKey | None = None) -> PrivateKey:
    """A further key of the lab's, newer than all others: the operator adds it, or a key of the institution gives it."""
    key = PrivateKey.generate()
    if by is not None:
        LabSdk(service.base, lab.id, by).delegate(key.public_jwk, "a team", (service.clock.now() + timedelta(days=9)).date().isoformat())
        return key
    with write(service.runtime.engine) as session:
        parties.add_lab_key(session, parties.known_lab(session, lab.id), key.public_jwk, now=service.clock.now())
    return key


def test_every_key_of_a_lab_signs_the_offers_that_it_asked_for(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    one, other = (_another_key(service, lab, by=lab.key) for _ in range(2))
    _another_key(service, lab)  # published ahead of its day: nobody has it yet
    platform.give(1)
    for key in (lab.key, one, other):
        sdk = LabSdk(service.base, lab.id, key)
        offer = sdk.offer(str(sdk.request(EVALUATION, {"platforms": [platform.id]}).offer))
        assert offer.terms["lab"]["key"] == key.thumbprint
        theirs = next(k for k in (lab.key, one) if k is not key).sign(TYP, offer.raw)
        refused(service.post(f"/v1/offers/{offer.id}/agreement", {"acceptance": theirs}, lab_token(service, lab)), 422, "signature_wrong_key")
        assert sdk.sign(offer).state == "in_force"


def test_what_is_approved_after_a_review_is_offered_to_the_key_that_asked(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = _another_key(service, lab, by=lab.key)
    _another_key(service, lab)
    platform.give(1)
    monkeypatch.setattr(service.runtime, "settings", service.runtime.settings.model_copy(update={"review_actions": "evaluate"}))
    sdk = LabSdk(service.base, lab.id, team)
    asked = sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert asked.state == "in_review"
    with write(service.runtime.engine) as session:
        review.approve(session, service.runtime, asked.id, now=service.clock.now())
    assert sdk.sign(sdk.offer(str(sdk.asked(asked.id).offer))).state == "in_force"


def test_a_delegated_key_signs_nothing_from_the_end_of_its_day_on(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    team = _another_key(service, lab, by=lab.key)
    platform.give(1)
    sdk = LabSdk(service.base, lab.id, team)
    offer = sdk.offer(str(sdk.request(EVALUATION, {"platforms": [platform.id]}).offer))
    acceptance = team.sign(TYP, offer.raw)
    path = f"/v1/offers/{offer.id}/agreement"
    with read(service.runtime.engine) as session:
        ends = session.get_one(LabKey, team.thumbprint).ends_at
    assert ends is not None
    service.clock.offset = ends - timedelta(minutes=2) - (service.clock.now() - service.clock.offset)
    token = str(accepted(ask_token(service, assertion(service, lab, team)))["access_token"])
    accepted(get(service, f"/v1/offers/{offer.id}", token))
    service.clock.offset += timedelta(minutes=2)  # nothing has revoked it yet
    refused(ask_token(service, assertion(service, lab, team)), 401, "invalid_client")
    refused(get(service, f"/v1/offers/{offer.id}", token), 401, "token_invalid")
    refused(service.post(path, {"acceptance": acceptance}, lab_token(service, lab)), 422, "signature_wrong_key")
    with pytest.raises(Invalid, match="signature_wrong_key"), read(service.runtime.engine) as session:
        statements.open_signed(session, parties.known_lab(session, lab.id), acceptance, TYP, now=service.clock.now())
