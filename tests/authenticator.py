"""A passkey in software: what a browser and a device do between the options of a page and what they send, and how each can be wrong."""

import json
import os
import re
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256, CoseKey
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from app.core.canonical import b64u, unb64u

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """One discoverable credential on one site. `step` is by how much it counts; 0 is what passkeys that are synced do."""

    def __init__(self, base: str, step: int = 1) -> None:
        self.origin, self.host = base, urlsplit(base).hostname or ""
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id, self.count, self.step = os.urandom(16), 0, step

    def _data(self, flags: int, host: str | None, credential: bytes = b"") -> AuthenticatorData:
        rp = sha256((host or self.host).encode()).digest()
        return AuthenticatorData.create(rp, AuthenticatorData.FLAG(flags), self.count, credential)

    def make(
        self, wanted: dict[str, Any], *, origin: str | None = None, host: str | None = None, flags: int = PRESENT | VERIFIED,
        key: CoseKey | None = None,
    ) -> str:  # fmt: skip
        """What the page sends as `made`."""
        options = wanted["options"]
        assert options["attestation"] == "none" and options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["userVerification"] == "required" and options["rp"]["id"] == self.host
        known = AttestedCredentialData.create(b"\0" * 16, self.id, key or ES256.from_cryptography_key(self.key.public_key()))
        client = CollectedClientData.create("webauthn.create", unb64u(options["challenge"]), origin or self.origin)
        whole = AttestationObject.create("none", self._data(flags | ATTESTED, host, known), {})
        return json.dumps({"nonce": wanted["nonce"], "client_data": b64u(client), "attestation": b64u(whole)})

    def show(
        self, ask: dict[str, Any], *, origin: str | None = None, host: str | None = None, flags: int = PRESENT | VERIFIED, kind: str = "webauthn.get",
        over: str | None = None,
    ) -> str:  # fmt: skip
        """What the page sends as `passkey`, and an API's client as the header `Sayso-Passkey`."""
        self.count += self.step
        challenge = sha256((over or ask["text"]).encode()).digest()
        client, data = CollectedClientData.create(kind, challenge, origin or self.origin), self._data(flags, host)
        signature = self.key.sign(data + client.hash, ec.ECDSA(SHA256()))
        sent = {"id": self.id, "client_data": client, "authenticator_data": data, "signature": signature}
        return json.dumps({"nonce": ask["nonce"], **{name: b64u(value) for name, value in sent.items()}})


def wanted(page: httpx.Response, name: str = "ask") -> dict[str, Any]:
    """What a page asks the browser for."""
    found = re.search(rf'data-{name}="([^"]*)"', page.text)
    assert found, page.text
    told: dict[str, Any] = json.loads(unescape(found[1]))
    return told


def added(browser: httpx.Client, passkey: Authenticator, name: str = "my phone", shown: Authenticator | None = None) -> httpx.Response:
    """Add it on the person's page; with one there before, `shown` signs."""
    headers = {"Origin": passkey.origin}
    made = passkey.make(wanted(browser.post("/r/passkeys/new", data={"name": name}, headers=headers), "make"))
    answer = browser.post("/r/passkeys/add", data={"name": name, "made": made}, headers=headers)
    if shown is None:
        return answer
    signed = shown.show(wanted(answer))
    return browser.post("/r/passkeys/add", data={"name": name, "made": made, "passkey": signed}, headers=headers)
