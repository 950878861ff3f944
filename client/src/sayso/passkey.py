"""What a person's passkey signed (WebAuthn), checked from the act alone: that it signed this very act, and that the person was there."""

from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from sayso.proofs import Failed, get, parse, rsa_numbers, same, thumbprint, unbase64, verify_ed25519

_PRESENT, _VERIFIED = 0x01, 0x04
_WHAT = "the passkey's signature"


def check(act: dict[str, Any], key: str) -> None:
    """The act's own evidence holds: its passkey, known by the thumbprint `key`, signed what the act says. Raises Failed."""
    found = get(act, "passkey", dict)
    jwk = get(found, "key", dict)
    same(thumbprint(jwk), get(found, "thumbprint", str), "the passkey is another than the act names")
    same(key, found["thumbprint"], "the passkey is another than the evidence names")
    text = get(found, "text", str)
    asked = parse(text, "what was signed")
    same((get(asked, "v", int), get(asked, "type", str)), (1, "sayso-passkey-act"), "what was signed is no act")
    # The browser signs on which site it was, and the digest of the text.
    raw, data = (unbase64(get(found, name, str), _WHAT, url=True) for name in ("client_data", "authenticator_data"))
    client, site = parse(raw, "what the browser signed"), get(asked, "service", str)
    same(get(client, "type", str), "webauthn.get", "the passkey was not used to sign")
    same(get(client, "origin", str), site, "the passkey was used on another site")
    same(unbase64(get(client, "challenge", str), _WHAT, url=True), sha256(text.encode()).digest(), "the passkey signed another text")
    same(len(data) >= 37 and data[:32], sha256(_host(site).encode()).digest(), "the passkey is of another site")
    if not data[32] & _PRESENT or not data[32] & _VERIFIED:
        raise Failed("the device did not check that it was the person")
    _verify(jwk, unbase64(get(found, "signature", str), _WHAT, url=True), data + sha256(raw).digest())
    _is_of(get(asked, "act", dict), act, get(asked, "nonce", str))


def _host(site: str) -> str:
    try:
        return urlsplit(site).hostname or ""
    except ValueError:
        raise Failed("the site is no address") from None


def _is_of(asked: dict[str, Any], act: dict[str, Any], nonce: str) -> None:
    """Whatever was signed stands in the act as it was signed. Terms were signed before it was known whether they are the first. Several
    contributions at once are named by digests with the nonce: the receipt of one does not tell which the others are."""
    kind = "consent.scoped" if act.get("type") == "consent.given" else act.get("type")
    same(get(asked, "type", str), kind, "the passkey signed an act of another kind")
    for name, value in asked.items():
        if name == "contributions":
            if not isinstance(value, list) or sha256((nonce + get(act, "contribution", str)).encode()).hexdigest() not in value:
                raise Failed("the passkey signed something about other contributions")
        elif name != "type" and (name not in act or act[name] != value or type(act[name]) is not type(value)):
            raise Failed("the passkey signed something other than the act says")


def _verify(jwk: dict[str, Any], signature: bytes, message: bytes) -> None:
    if jwk["kty"] == "OKP":
        verify_ed25519(unbase64(jwk["x"], "the key", url=True), signature, message, _WHAT)
        return
    try:
        if jwk["kty"] == "EC":
            x, y = (int.from_bytes(unbase64(jwk[name], "the key", url=True)) for name in "xy")
            EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key().verify(signature, message, ECDSA(SHA256()))
        else:
            rsa_numbers(jwk).public_key().verify(signature, message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError) as error:
        raise Failed(f"{_WHAT} does not hold") from error
