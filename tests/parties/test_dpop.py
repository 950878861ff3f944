"""DPoP (RFC 9449): a token that was taken opens nothing without the key it is bound to."""

import base64
import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from sayso.jws import PrivateKey, b64u
from sayso.lab import Lab

from tests.kit.refusals import ASSERTION_TYPE, accepted, assertion, at_once, call, get, refused
from tests.support import EVALUATION, LabParty, PlatformParty, Service


class Bound:
    """A lab with a token that is bound to a key, and requests with bent proofs."""

    def __init__(self, service: Service, lab: LabParty, alg: Any = "Ed25519") -> None:
        self.service, self.lab, self.key = service, lab, PrivateKey.generate(alg)
        self.nonce = refused(self.ask(nonce=...), 400, "use_dpop_nonce") and self.last.headers["dpop-nonce"]
        answer = accepted(self.ask())
        assert answer["token_type"] == "DPoP"
        self.token = str(answer["access_token"])
        claims = json.loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="))
        assert claims["cnf"] == {"jkt": self.key.thumbprint}

    def now(self) -> int:
        return int(self.service.clock.now().timestamp())

    def proof(self, method: str, path: str, token: str | None = None, key: PrivateKey | None = None, **changed: Any) -> str:
        claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": self.service.base + path, "iat": self.now()}
        if token is not None:
            claims["ath"] = b64u(sha256(token.encode()).digest())
        found = {name: value for name, value in {**claims, **changed}.items() if value is not ...}
        return (key or self.key).sign("dpop+jwt", json.dumps(found).encode(), embed=True)

    def ask(self, proof: str | list[str] | None = None, **changed: Any) -> httpx.Response:
        """A token request."""
        if proof is None:
            proof = self.proof("POST", "/v1/oauth/token", **{"nonce": getattr(self, "nonce", ...), **changed})
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(self.service, self.lab)}
        headers = [("DPoP", one) for one in ([proof] if isinstance(proof, str) else proof)]
        self.last = self.service.http.post(self.service.base + "/v1/oauth/token", data=form, headers=headers)
        return self.last

    def get(self, proof: str | list[str] | None = None, path: str = "/v1/catalog", scheme: str = "DPoP", **changed: Any) -> httpx.Response:
        """A request with the token."""
        proof = self.proof("GET", path, self.token, **changed) if proof is None else proof
        headers = [("Authorization", f"{scheme} {self.token}"), *(("DPoP", one) for one in ([proof] if isinstance(proof, str) else proof))]
        return self.service.http.get(self.service.base + path, headers=headers)


@pytest.fixture
def bound(service: Service, lab: LabParty) -> Bound:
    return Bound(service, lab)


def resigned(key: PrivateKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A proof with this very header."""
    good = key.sign("x", json.dumps(claims).encode())
    head = b64u(json.dumps(header).encode())
    message = f"{head}.{good.split('.')[1]}"
    signature = key._key.sign(message.encode()) if key.alg == "Ed25519" else b""  # type: ignore[call-arg]
    return f"{message}.{b64u(signature)}"


def test_a_bound_token_with_a_fresh_proof_opens_what_a_bearer_token_would(bound: Bound) -> None:
    assert accepted(bound.get())["items"] is not None
    assert accepted(bound.get(htu=bound.service.base + "/v1/catalog?x=1#y"))
    assert accepted(bound.get(nonce=bound.nonce))


def test_an_es256_key_binds_as_well(service: Service, lab: LabParty) -> None:
    bound = Bound(service, lab, "ES256")
    accepted(bound.get())
    refused(bound.get(key=PrivateKey.generate("ES256")), 401, "invalid_dpop_proof")


BENT: dict[str, Callable[[Bound], dict[str, Any]]] = {
    "for another method": lambda b: {"htm": "POST"}, "for a method in small letters": lambda b: {"htm": "get"},
    "without a method": lambda b: {"htm": ...}, "for another address": lambda b: {"htu": b.service.base + "/v1/ledger"},
    "for another host": lambda b: {"htu": "https://elsewhere.example/v1/catalog"}, "for no address": lambda b: {"htu": ...},
    "for an address that is none": lambda b: {"htu": "http://[::1"}, "for a number as address": lambda b: {"htu": 7},
    "stale": lambda b: {"iat": b.now() - 120}, "from the future": lambda b: {"iat": b.now() + 60},
    "without a time": lambda b: {"iat": ...}, "of a time that is text": lambda b: {"iat": "now"}, "of a time that is true": lambda b: {"iat": True},
    "of a time that no float holds": lambda b: {"iat": 10**309}, "of one as far back": lambda b: {"iat": -(10**309)},
    "without jti": lambda b: {"jti": ...}, "with a short jti": lambda b: {"jti": "1"},
    "with half a character as jti": lambda b: {"jti": "\ud800" * 8},
}  # fmt: skip


@pytest.mark.parametrize("what", BENT)
def test_a_proof_is_refused_when_it_is(bound: Bound, what: str) -> None:
    changed = BENT[what](bound)
    answer = bound.get(**changed)
    refused(answer, 401, "invalid_dpop_proof")
    assert answer.headers["www-authenticate"].startswith('DPoP error="invalid_dpop_proof", algs="')
    if "htm" not in changed and "htu" not in changed:
        refused(bound.ask(**changed), 400, "invalid_dpop_proof")


def test_a_proof_of_another_token_or_of_none_is_refused(bound: Bound) -> None:
    for changed in ({"ath": ...}, {"ath": b64u(sha256(b"other").digest())}, {"ath": 7}):
        refused(bound.get(**changed), 401, "invalid_dpop_proof")


def test_a_proof_by_another_key_is_refused(bound: Bound) -> None:
    refused(bound.get(bound.proof("GET", "/v1/catalog", bound.token, key=PrivateKey.generate())), 401, "invalid_dpop_proof")


def test_a_bound_token_without_proof_with_two_or_as_bearer_is_refused(bound: Bound) -> None:
    refused(bound.get([]), 401, "invalid_dpop_proof")
    refused(bound.get([bound.proof("GET", "/v1/catalog", bound.token) for _ in range(2)]), 401, "invalid_dpop_proof")
    for proof in ([], None):
        refused(bound.get(proof, scheme="Bearer"), 401, "dpop_missing")
    refused(bound.ask([]) if bound.service.runtime.settings.require_dpop else bound.ask(["x", "y"]), 400, "invalid_dpop_proof")
    # Nor does it pass as a platform's on the way of the records.
    refused(call(bound.service, "POST", "/v1/contributions", bound.token, b"{}"), 401, "dpop_missing")


def test_an_unbound_token_is_not_made_better_by_a_proof(bound: Bound, service: Service) -> None:
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(service, bound.lab)}
    plain = accepted(service.http.post(service.base + "/v1/oauth/token", data=form))
    assert plain["token_type"] == "Bearer"
    bound.token = plain["access_token"]
    refused(bound.get(), 401, "invalid_dpop_proof")
    bound.token = "x.y.z"
    refused(bound.get(), 401, "token_invalid")


def test_a_proof_is_good_once(bound: Bound) -> None:
    proof = bound.proof("GET", "/v1/catalog", bound.token)
    accepted(bound.get(proof))
    refused(bound.get(proof), 401, "invalid_dpop_proof")
    first = bound.proof("POST", "/v1/oauth/token", nonce=bound.nonce)
    accepted(bound.ask(first))
    refused(bound.ask(first), 400, "invalid_dpop_proof")


def test_of_ten_replays_at_once_exactly_one_is_let_in(bound: Bound) -> None:
    proof = bound.proof("GET", "/v1/catalog", bound.token)
    answers = at_once(10, lambda _: bound.get(proof))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 9


def test_nonces_are_the_services_own_and_end(bound: Bound) -> None:
    for nonce in (..., "x", "", 7, None, bound.nonce[:-1]):
        refused(bound.ask(nonce=nonce), 400, "use_dpop_nonce")
        assert len(bound.last.headers["dpop-nonce"]) == len(bound.nonce)
    answer = bound.get(nonce="x")
    refused(answer, 401, "use_dpop_nonce")
    assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"] and answer.headers["dpop-nonce"]
    bound.service.clock.offset = timedelta(minutes=15)
    refused(bound.ask(), 400, "use_dpop_nonce")


def test_the_header_of_a_proof_must_be_one_of_a_proof(bound: Bound) -> None:
    """Wrong alg, none, key confusion, keys that are private or come from elsewhere."""
    key = bound.key
    claims = json.loads(base64.urlsafe_b64decode(bound.proof("GET", "/v1/catalog", bound.token).split(".")[1] + "=="))
    good = {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": key.public_jwk}
    accepted(bound.get(resigned(key, good, claims)))
    other = PrivateKey.generate("ES256")
    for bent in (
        {"alg": "none"}, {"alg": "HS256"}, {"alg": "EdDSA"}, {"alg": "ES256"}, {"alg": "RS256"}, {"alg": 7}, {"alg": ...},
        {"typ": "JWT"}, {"typ": ...}, {"jwk": ...}, {"jwk": None}, {"jwk": "x"}, {"jwk": key.private_jwk}, {"jwk": other.public_jwk},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jku": "https://elsewhere.example/keys"}, {"x5u": "https://elsewhere.example"}, {"crit": ["b64"], "b64": False},
    ):  # fmt: skip
        header = {name: value for name, value in {**good, **bent}.items() if value is not ...}
        refused(bound.get(resigned(key, header, {**claims, "jti": str(uuid.uuid4())})), 401, "invalid_dpop_proof")
    whole = bound.proof("GET", "/v1/catalog", bound.token)
    for broken in (whole[:-4] + "AAAA", whole + ".x", whole.rsplit(".", 1)[0] + ".", "x", "x" * 9_000):
        refused(bound.get(broken), 401, "invalid_dpop_proof")


def test_a_service_that_asks_for_bound_tokens_gives_no_others(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.runtime, "settings", service.runtime.settings.model_copy(update={"require_dpop": True}))
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion(service, lab)}
    refused(service.http.post(service.base + "/v1/oauth/token", data=form), 400, "invalid_dpop_proof")
    platform.give(1)  # platforms prove themselves by their secret, as before
    assert lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).state == "offered"  # the SDK sees what is asked for
    assert lab.sdk._auth.header().startswith("DPoP ")


def test_the_sdk_binds_its_token_when_told_to(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(2)
    mine = Lab(service.base, lab.id, lab.key, dpop=True)
    answer = mine.request(EVALUATION, {"platforms": [platform.id]})
    agreement = mine.sign(mine.offer(str(answer.offer)))
    assert mine.cut(agreement, poll=0.05).state == "published"
    assert mine._auth.header().startswith("DPoP ")
    taken = mine._auth.header().removeprefix("DPoP ")
    refused(get(service, "/v1/catalog", taken), 401, "dpop_missing")
