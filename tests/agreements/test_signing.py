"""Signing: only the lab's own key over the exact bytes makes an agreement."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from joserfc import jws
from joserfc.jwk import OctKey, RSAKey
from sayso.jws import PrivateKey, b64u

from app.agreements.models import Agreement, Offer
from app.kit.db import read, write
from app.log.models import LogEntry
from app.parties import service as parties
from app.parties.models import Lab, LabKey
from tests.kit.refusals import accepted, ask_token, assertion, at_once, get, lab_token, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service

TYP = "sayso-acceptance+jws"


class Asked:
    """An open offer to a lab, and its token."""

    def __init__(self, service: Service, platform: PlatformParty, lab: LabParty) -> None:
        self.service, self.lab = service, lab
        platform.give(1)
        self.token = lab_token(service, lab)
        request = accepted(
            service.post("/v1/requests", {"use": EVALUATION, "selection": {"platforms": [platform.id]}}, self.token),
            201,
        )
        self.id = request["offer"]
        self.raw = get(service, f"/v1/offers/{self.id}", self.token).content

    def sign(self, acceptance: Any, token: str | None = None, **headers: str) -> Any:
        return self.service.post(
            f"/v1/offers/{self.id}/agreement", {"acceptance": acceptance}, token or self.token, **headers
        )

    def agreements(self) -> int:
        """How many agreements came of the offer, each with its leaf."""
        with read(self.service.runtime.engine) as session:
            found = session.execute(sa.select(Agreement.id).where(Agreement.offer_id == self.id)).scalars().all()  # type: ignore[call-overload]
            leaves = sa.select(sa.func.count()).where(LogEntry.type == "agreement.signed", LogEntry.subject.in_(found))  # type: ignore[attr-defined]
            assert session.execute(leaves).scalar_one() == len(found)
            return len(found)


@pytest.fixture
def asked(service: Service, platform: PlatformParty, lab: LabParty) -> Asked:
    return Asked(service, platform, lab)


def test_the_labs_signature_over_the_exact_bytes_makes_one_agreement(asked: Asked) -> None:
    acceptance = asked.lab.key.sign(TYP, asked.raw)
    first = accepted(asked.sign(acceptance), 201)
    assert accepted(asked.sign(acceptance), 201) == first and asked.agreements() == 1
    assert first["state"] == "in_force" and first["offer"] == asked.id
    # Ed25519 is deterministic; another signature over the same bytes is another acceptance, and there is an agreement already.
    other = asked.lab.key.sign(TYP, asked.raw, note="again")
    found = refused(asked.sign(other), 409, "offer_not_open")
    assert found["agreement"] == first["id"] and asked.agreements() == 1


def test_twenty_signings_at_once_make_one_agreement(asked: Asked) -> None:
    acceptance = asked.lab.key.sign(TYP, asked.raw)
    answers = [accepted(a, 201) for a in at_once(20, lambda _: asked.sign(acceptance))]
    assert len({a["id"] for a in answers}) == 1 and asked.agreements() == 1


def test_of_twenty_different_signatures_at_once_one_makes_the_agreement(asked: Asked) -> None:
    answers = at_once(20, lambda i: asked.sign(asked.lab.key.sign(TYP, asked.raw, note=str(i))))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 19 and asked.agreements() == 1


def test_a_signature_by_another_key_is_refused(asked: Asked) -> None:
    stranger = PrivateKey.generate()
    refused(asked.sign(stranger.sign(TYP, asked.raw)), 422, "signature_wrong_key")
    refused(asked.sign(stranger.sign(TYP, asked.raw, kid=asked.lab.key.thumbprint)), 422, "signature_invalid")
    refused(asked.sign(asked.lab.key.sign(TYP, asked.raw, kid=stranger.thumbprint)), 422, "signature_wrong_key")
    refused(asked.sign(asked.service.lab().key.sign(TYP, asked.raw)), 422, "signature_wrong_key")
    es256 = PrivateKey.generate("ES256")
    refused(asked.sign(es256.sign(TYP, asked.raw, kid=asked.lab.key.thumbprint)), 422, "signature_invalid")
    assert asked.agreements() == 0


def test_a_signature_over_other_bytes_is_refused(asked: Asked) -> None:
    terms = json.loads(asked.raw)
    for payload in (
        b"", b"{}", asked.raw + b" ", asked.raw[:-1], json.dumps(terms).encode(), json.dumps({**terms, "until": "2030-01-01"}).encode(),
        json.dumps(terms, separators=(",", ":"), sort_keys=True).encode() + b"\n",
    ):  # fmt: skip
        refused(asked.sign(asked.lab.key.sign(TYP, payload)), 422, "signature_wrong_payload")
    head, _, signature = asked.lab.key.sign(TYP, asked.raw).split(".")
    refused(asked.sign(f"{head}.{b64u(b'{}')}.{signature}"), 422, "signature_invalid")
    assert asked.agreements() == 0


def test_another_typ_is_refused(asked: Asked) -> None:
    for typ in (
        "JWT",
        "sayso-agreement+jws",
        "sayso-manifest+jws",
        "",
        "application/sayso-acceptance+jws",
        "SAYSO-ACCEPTANCE+JWS",
    ):
        refused(asked.sign(asked.lab.key.sign(typ, asked.raw)), 422, "signature_invalid")


def test_algorithms_that_prove_nothing_are_refused(asked: Asked) -> None:
    kid = asked.lab.key.thumbprint
    for alg in ("none", "None", "HS256", "RS256", "EdDSA", "Ed448", None, ["Ed25519"], 7):
        head = b64u(json.dumps({"alg": alg, "typ": TYP, "kid": kid}).encode())
        for signature in (b"", b"x" * 64):
            refused(asked.sign(f"{head}.{b64u(asked.raw)}.{b64u(signature)}"), 422, "signature_invalid")
    public = OctKey.import_key(asked.lab.key.public_jwk["x"])
    header = {"alg": "HS256", "typ": TYP, "kid": kid}
    refused(
        asked.sign(jws.serialize_compact(header, asked.raw, public, algorithms=["HS256"])), 422, "signature_invalid"
    )
    rsa = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "typ": TYP, "kid": kid}
    refused(asked.sign(jws.serialize_compact(header, asked.raw, rsa, algorithms=["RS256"])), 422, "signature_invalid")
    assert asked.agreements() == 0


def test_headers_that_bring_their_own_key_are_refused(asked: Asked) -> None:
    for extra in (
        {"jwk": asked.lab.key.public_jwk},
        {"jku": "https://x.example"},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
        {"x5u": "x"},
    ):
        head = b64u(json.dumps({"alg": "Ed25519", "typ": TYP, "kid": asked.lab.key.thumbprint, **extra}).encode())
        message = f"{head}.{b64u(asked.raw)}"
        signature = asked.lab.key._key.sign(message.encode())  # type: ignore[call-arg,union-attr]
        refused(asked.sign(f"{message}.{b64u(signature)}"), 422, "signature_invalid")


def test_what_is_no_jws_is_refused(asked: Asked) -> None:
    good = asked.lab.key.sign(TYP, asked.raw)
    deep = b64u(b"[" * 50_000)
    for text in (
        good + ".x",
        good.replace(".", "", 1),
        good[:-3],
        "." * 40,
        "x" * 40,
        good + "=",
        "\u00e9" * 30,
        f"{deep}..",
        good.replace(".", ".\n", 1),
    ):
        refused(asked.sign(text), 422, "signature_invalid", "signature_wrong_key", "signature_wrong_payload")
    for value in (None, 7, "", {"a": 1}, ["x"]):
        refused(asked.sign(value), 422, "body_invalid")
    # The same bytes with bits at the end of base64url that mean nothing would be a second text for one signature.
    last = good[-1]
    twins = [good[:-1] + c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" if c != last]
    for twin in twins[:8]:
        answer = asked.sign(twin)
        assert answer.status_code in (201, 422), answer.text
        if answer.status_code == 201:
            break
    assert asked.agreements() <= 1


def test_an_expired_offer_cannot_be_signed_and_one_second_before_it_can(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    late, soon = Asked(service, platform, lab), Asked(service, platform, lab)
    service.clock.offset = timedelta(days=14, seconds=1)
    token = lab_token(service, lab)
    refused(late.sign(lab.key.sign(TYP, late.raw), token), 410, "offer_expired")
    service.clock.offset = timedelta(days=13, hours=23)
    token = lab_token(service, lab)
    accepted(soon.sign(lab.key.sign(TYP, soon.raw), token), 201)
    assert (late.agreements(), soon.agreements()) == (0, 1)
    # What was signed in time is answered again also after the offer's end.
    service.clock.offset = timedelta(days=30)
    accepted(soon.sign(lab.key.sign(TYP, soon.raw), lab_token(service, lab)), 201)


def test_an_offer_that_was_superseded_cannot_be_signed(asked: Asked) -> None:
    with write(asked.service.runtime.engine) as session:
        session.execute(sa.update(Offer).where(Offer.id == asked.id).values(state="superseded"))  # type: ignore[arg-type]
    refused(asked.sign(asked.lab.key.sign(TYP, asked.raw)), 409, "offer_not_open")


def test_a_key_revoked_after_the_offer_signs_nothing(asked: Asked) -> None:
    acceptance, second, service = asked.lab.key.sign(TYP, asked.raw), PrivateKey.generate(), asked.service
    with write(service.runtime.engine) as session:
        lab = parties.known_lab(session, asked.lab.id)
        parties.add_lab_key(session, lab, second.public_jwk, now=service.clock.now())
        parties.revoke_lab_key(session, session.get_one(LabKey, asked.lab.key.thumbprint), now=service.clock.now())
    token = str(accepted(ask_token(service, assertion(service, asked.lab, second)))["access_token"])
    refused(asked.sign(acceptance, token), 422, "signature_wrong_key")


def test_another_labs_offers_agreements_and_requests_do_not_exist(asked: Asked) -> None:
    service = asked.service
    other = lab_token(service, service.lab())
    made = accepted(asked.sign(asked.lab.key.sign(TYP, asked.raw)), 201)
    request = json.loads(asked.raw)["request"]
    for path in (
        f"offers/{asked.id}",
        f"agreements/{made['id']}",
        f"agreements/{made['id']}/file",
        f"agreements/{made['id']}/recalls",
        f"requests/{request}",
    ):
        accepted(get(service, f"/v1/{path}", asked.token))
        theirs = refused(get(service, f"/v1/{path}", other), 404, "not_found")
        none = refused(
            get(
                service,
                f"/v1/{path[:-4]}0000" if "/file" not in path and "/rec" not in path else "/v1/agreements/agr_x/file",
                other,
            ),
            404,
            "not_found",
        )
        assert theirs == none
    refused(asked.sign(asked.lab.key.sign(TYP, asked.raw), other), 404, "not_found")
    refused(service.post(f"/v1/agreements/{made['id']}/releases", {}, other), 404, "not_found")


def test_the_offer_comes_with_its_digest(asked: Asked) -> None:
    answer = get(asked.service, f"/v1/offers/{asked.id}", asked.token)
    assert (
        answer.headers["content-digest"].startswith("sha-256=:")
        and json.loads(answer.content)["lab"]["key"] == asked.lab.key.thumbprint
    )


def test_a_blocked_lab_and_one_whose_verification_lapsed_get_nothing_new(
    service: Service, platform: PlatformParty
) -> None:
    platform.give(1)
    for change in ("blocked", "lapsed"):
        lab = service.lab()
        agreement = lab.agree(platform)
        release = lab.sdk.cut(agreement, poll=0.05)
        with write(service.runtime.engine) as session:
            row = session.get_one(Lab, lab.id)
            if change == "blocked":
                row.blocked_at = service.clock.now()
            else:
                row.verified_until = service.clock.now()
            session.add(row)
        token = lab_token(service, lab)
        refused(service.post("/v1/requests", {"use": EVALUATION}, token), 403, "lab_blocked")
        refused(service.post(f"/v1/agreements/{agreement.id}/releases", {}, token), 403, "lab_blocked")
        refused(service.post(f"/v1/releases/{release.id}/deliveries", {}, token), 403, "lab_blocked")


def test_an_agreement_that_is_not_in_force_gives_nothing(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    platform.give(1)
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    token = lab_token(service, lab)
    for state in ("suspended", "ended"):
        with write(service.runtime.engine) as session:
            session.execute(sa.update(Agreement).where(Agreement.id == agreement.id).values(state=state))  # type: ignore[arg-type]
        refused(service.post(f"/v1/agreements/{agreement.id}/releases", {}, token), 409, "agreement_not_in_force")
        refused(service.post(f"/v1/releases/{release.id}/deliveries", {}, token), 409, "agreement_not_in_force")


def test_parties_are_added_once_and_keys_must_be_public_ones(service: Service, lab: LabParty) -> None:
    from app.kit.errors import DomainError

    now = service.clock.now()
    key = PrivateKey.generate()
    small = {"kty": "RSA", "n": b64u(b"\xc0" + b"\x01" * 127), "e": "AQAB"}
    cases: list[tuple[str, Any]] = [
        ("key_invalid", key.private_jwk), ("key_invalid", {}), ("key_invalid", {"kty": "oct", "k": "AAAA"}), ("key_invalid", small),
        ("key_invalid", {"kty": "OKP", "crv": "X25519", "x": key.public_jwk["x"]}), ("key_invalid", {"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        ("key_invalid", {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), ("key_invalid", []), ("party_exists", lab.key.public_jwk),
    ]  # fmt: skip
    for code, jwk in cases:
        with pytest.raises(DomainError) as error, write(service.runtime.engine) as session:
            parties.add_lab(session, f"Lab {uuid.uuid4().hex}", "academic", "NL", "test", jwk, now=now)
        assert error.value.code == code, jwk
    for name, kind, seat, code in (
        (lab.name, "academic", "NL", "party_exists"),
        ("New", "guild", "NL", "body_invalid"),
        ("New", "academic", "nl", "body_invalid"),
    ):
        with pytest.raises(DomainError) as error, write(service.runtime.engine) as session:
            parties.add_lab(session, name, kind, seat, "test", PrivateKey.generate().public_jwk, now=now)
        assert error.value.code == code
    with read(service.runtime.engine) as session:
        assert session.execute(sa.select(sa.func.count()).where(Lab.legal_name == "New")).scalar_one() == 0
