"""WebAuthn (Level 3), the relying party's side: values in, values out. The library reads and checks; here is told apart what was wrong."""

import json
import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from fido2 import cbor
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialDescriptor,
    PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialType,
    PublicKeyCredentialUserEntity,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.core.canonical import b64u
from app.crypto.signing import thumbprint

logging.getLogger("fido2").setLevel(logging.WARNING)  # below that it writes credential ids
ALGORITHMS = (-7, -8, -257)
"""ES256, EdDSA (Ed25519) and RS256: what a verifier without this library can check too."""
_NO_AAGUID = b"\0" * 16
_VERIFIED = UserVerificationRequirement.REQUIRED
LONGEST = 1023
"""Bytes of a credential id (WebAuthn section 7.1)."""


class Refused(Exception):
    """What a browser sent does not prove anything; `code` is one of `kit/problems.py`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Made:
    """A credential as it is registered."""

    credential: bytes
    public_key: bytes
    """A COSE key, in CBOR."""
    sign_count: int


class Site:
    """One relying party: the service under its public address. Only pages of exactly that origin count."""

    def __init__(self, public_url: str) -> None:
        parts = urlsplit(public_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.id = parts.hostname or ""
        rp = PublicKeyCredentialRpEntity(name="Sayso", id=self.id)
        self._server = Fido2Server(rp, AttestationConveyancePreference.NONE, verify_origin=lambda origin: origin == self.origin)
        self._server.timeout = 300_000
        self._server.allowed_algorithms = [
            PublicKeyCredentialParameters(type=PublicKeyCredentialType.PUBLIC_KEY, alg=alg) for alg in ALGORITHMS
        ]

    def to_create(self, user: bytes, name: str, challenge: bytes, known: list[bytes]) -> dict[str, Any]:
        """Options for `navigator.credentials.create`, bytes as base64url: discoverable, user verified, no attestation asked."""
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(id=user, name=name, display_name=name), [_described(one) for one in known],
            ResidentKeyRequirement.REQUIRED, _VERIFIED, challenge=challenge,
        )  # fmt: skip
        return _plain(options)

    def to_show(self, challenge: bytes, known: list[bytes]) -> dict[str, Any]:
        """Options for `navigator.credentials.get`, bytes as base64url."""
        options, _ = self._server.authenticate_begin([_described(one) for one in known] or None, _VERIFIED, challenge=challenge)
        return _plain(options)

    def created(self, challenge: bytes, client_data: bytes, attestation: bytes) -> Made:
        """The credential that was made over this challenge. Raises Refused."""
        try:
            data = AttestationObject(attestation).auth_data
            self._look(CollectedClientData(client_data), CollectedClientData.TYPE.CREATE, challenge, data)
            response = {"clientDataJSON": b64u(client_data), "attestationObject": b64u(attestation)}
            found = data.credential_data
            if found is None:
                raise Refused("passkey_invalid")
            registration = {"id": b64u(found.credential_id), "rawId": b64u(found.credential_id), "type": "public-key", "response": response}
            self._server.register_complete(_state(challenge), registration)
            public = cbor.encode(dict(found.public_key))
            thumbprint(as_jwk(public))  # also says whether it is a key at all: a point on the curve, a modulus that is long enough
        except Refused:
            raise
        except Exception as error:  # its parsers raise whatever there is, on bytes that a stranger chose
            raise Refused("passkey_invalid") from error
        if found.public_key.get(3) not in ALGORITHMS or len(found.credential_id) > LONGEST:
            raise Refused("passkey_invalid")
        return Made(bytes(found.credential_id), public, data.counter)

    def shown(self, challenge: bytes, credential: bytes, public_key: bytes, client_data: bytes, data: bytes, signature: bytes) -> int:
        """See that the credential signed this challenge on a page of ours, its user verified; gives its signature count.
        Raises Refused."""
        try:
            read = AuthenticatorData(data)
            self._look(CollectedClientData(client_data), CollectedClientData.TYPE.GET, challenge, read)
            known = AttestedCredentialData.create(_NO_AAGUID, credential, CoseKey.parse(cbor.decode(public_key)))
            response = {"clientDataJSON": b64u(client_data), "authenticatorData": b64u(data), "signature": b64u(signature)}
            shown = {"id": b64u(credential), "rawId": b64u(credential), "type": "public-key", "response": response}
            self._server.authenticate_complete(_state(challenge), [known], shown)
        except Refused:
            raise
        except Exception as error:
            raise Refused("passkey_invalid") from error
        return int(read.counter)

    def _look(self, client: CollectedClientData, wanted: str, challenge: bytes, data: AuthenticatorData) -> None:
        if client.type != wanted:
            raise Refused("passkey_invalid")
        if client.origin != self.origin or client.cross_origin or data.rp_id_hash != sha256(self.id.encode()).digest():
            raise Refused("passkey_wrong_site")
        if client.challenge != challenge:
            raise Refused("passkey_other_act")
        if not data.is_user_verified():
            raise Refused("passkey_unverified")


def as_jwk(public_key: bytes) -> dict[str, str]:
    """A COSE key of `ALGORITHMS` as a JWK. Raises ValueError."""
    key: Any = cbor.decode(public_key)
    try:
        if (key[1], key[3], key[-1]) == (2, -7, 1) and len(key[-2]) == len(key[-3]) == 32:
            return {"kty": "EC", "crv": "P-256", "x": b64u(key[-2]), "y": b64u(key[-3])}
        if (key[1], key[3], key[-1]) == (1, -8, 6) and len(key[-2]) == 32:
            return {"kty": "OKP", "crv": "Ed25519", "x": b64u(key[-2])}
        if (key[1], key[3]) == (3, -257):
            return {"kty": "RSA", "n": b64u(key[-1].lstrip(b"\0")), "e": b64u(key[-2].lstrip(b"\0"))}
    except (KeyError, TypeError, AttributeError):
        pass
    raise ValueError("not a key of a kind that is taken")


def _described(credential: bytes) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(type=PublicKeyCredentialType.PUBLIC_KEY, id=credential)


def _state(challenge: bytes) -> dict[str, Any]:
    return {"challenge": b64u(challenge), "user_verification": _VERIFIED}


def _plain(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(options.public_key), default=dict))
    return found
