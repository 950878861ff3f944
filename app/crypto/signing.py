"""JOSE for the exchange: compact JWS (RFC 7515) and access tokens (RFC 9068) with Ed25519, ES256 and PS256.

Signatures cover stored bytes: nothing is parsed and written again to be verified.
"""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from app.core.canonical import b64u, unb64u

# FAPI 2.0 section 5.4: no RS256, no none; `EdDSA` is the old name of Ed25519 (RFC 9864) and accepted in assertions only.
ALGORITHMS = ["Ed25519", "ES256", "PS256"]


class BadSignature(Exception):
    """The signature does not verify, or its header is not one we take."""


class BadKey(Exception):
    """The JWK is not a public key we take; the text says why."""


class ServiceKey:
    """The service's own signing key (Ed25519): agreements, manifests, access tokens."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._key = OKPKey.import_key(
            {
                "kty": "OKP", "crv": "Ed25519", "x": b64u(private.public_key().public_bytes_raw()),
                "d": b64u(private.private_bytes_raw()),
            }
        )  # fmt: skip
        self.thumbprint = self._key.thumbprint()

    @property
    def public_jwk(self) -> dict[str, str]:
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": str(self._key.as_dict(private=False)["x"]),
            "kid": self.thumbprint,
            "alg": "Ed25519",
            "use": "sig",
        }

    def sign(self, typ: str, payload: bytes, **header: Any) -> str:
        """A compact JWS over exactly `payload`."""
        return jws.serialize_compact(
            {"alg": "Ed25519", "typ": typ, "kid": self.thumbprint, **header}, payload, self._key, algorithms=["Ed25519"],
            registry=_registry(header),
        )  # fmt: skip

    def verify(self, typ: str, token: str) -> bytes:
        """The payload of a compact JWS that this key made with this `typ`. Raises BadSignature."""
        return verify_compact(token, self._key, typ, ["Ed25519"])


def _registry(extra: dict[str, Any]) -> jws.JWSRegistry:
    from joserfc.registry import HeaderParameter

    return jws.JWSRegistry(
        header_registry={name: HeaderParameter("Sayso's own", "str") for name in extra},
        algorithms=ALGORITHMS, strict_check_header=True,
    )  # fmt: skip


def import_public(jwk: dict[str, Any]) -> Key:
    """A lab's public key. Raises BadKey for private material, other curves, and RSA under 2048 bits."""
    if not isinstance(jwk, dict) or any(k in jwk for k in ("d", "p", "q", "k", "x5u", "x5c")):
        raise BadKey("give the public key alone")
    try:
        if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
            return OKPKey.import_key({k: jwk[k] for k in ("kty", "crv", "x")})
        if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
            return ECKey.import_key({k: jwk[k] for k in ("kty", "crv", "x", "y")})
        if jwk.get("kty") == "RSA":
            key = RSAKey.import_key({k: jwk[k] for k in ("kty", "n", "e")})
            if not 2048 <= key.raw_value.key_size <= 16_384:
                raise BadKey("an RSA key needs at least 2048 bits, and at most 16384")
            if any(b64u(unb64u(jwk[name])) != jwk[name] or unb64u(jwk[name])[:1] == b"\0" for name in ("n", "e")):
                raise BadKey("write n and e as RFC 7518 does, without zeros in front")  # else one key had many thumbprints
            return key
    except (JoseError, ValueError, KeyError, TypeError, AttributeError):
        raise BadKey("the key could not be read") from None
    raise BadKey("use an Ed25519, P-256 or RSA key")


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 SHA-256 thumbprint. Raises BadKey."""
    return import_public(jwk).thumbprint()


def peek_header(token: str) -> dict[str, Any]:
    """The protected header of a compact JWS, unverified. Raises BadSignature."""
    try:
        header = json.loads(unb64u(token.split(".", 1)[0]))
        if isinstance(header, dict):
            return header
    except (ValueError, UnicodeDecodeError, RecursionError):
        pass
    raise BadSignature


def verify_compact(token: str, key: Key, typ: str, algorithms: list[str] = ALGORITHMS) -> bytes:
    """The payload of a compact JWS under `key`, with exactly this `typ`. Raises BadSignature."""
    header = peek_header(token)
    if (
        header.get("typ") != typ
        or header.get("alg") not in algorithms
        or {"crit", "b64", "jwk", "jku", "x5u", "x5c"} & set(header)
    ):
        raise BadSignature
    if token.count(".") != 2 or len(token) > 20_000_000:
        raise BadSignature
    try:
        registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
        registry.max_payload_length = registry.max_header_length = 20_000_000
        found = jws.deserialize_compact(token, key, algorithms=algorithms, registry=registry)
    except (JoseError, ValueError, TypeError, UnicodeError):
        raise BadSignature from None
    return bytes(found.payload)
