"""Sealing to somebody's own key: compact JWE (RFC 7516) by ECDH-ES on X25519 (RFC 8037) with A256GCM. Nothing here can open it again."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from joserfc import jwe
from joserfc.jwk import OKPKey

from app.core.canonical import unb64u
from app.crypto.signing import BadKey

_ALGORITHMS = ["ECDH-ES", "A256GCM"]
_PRIVATE = ("d", "p", "q", "k", "x5u", "x5c")
_ORDER = 2**255 - 19


def public_part(jwk: dict[str, Any]) -> dict[str, str]:
    """The key alone (`kty`, `crv`, `x`) of a public X25519 JWK. Raises BadKey for private material, other curves, another way to write a
    point, and points that share a secret with everybody."""
    if any(name in jwk for name in _PRIVATE):
        raise BadKey("give the public key alone")
    if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "X25519"):
        raise BadKey("use an X25519 key (kty OKP, crv X25519)")
    try:
        x = unb64u(jwk["x"])
        point = X25519PublicKey.from_public_bytes(x)
        if int.from_bytes(x, "little") >= _ORDER:
            raise BadKey("write the key as RFC 7748 does")  # else one key had many thumbprints
        X25519PrivateKey.generate().exchange(point)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadKey("the key could not be read") from None
    return {"kty": "OKP", "crv": "X25519", "x": jwk["x"]}


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 SHA-256 thumbprint of what `public_part` gives."""
    return str(OKPKey.import_key(dict(jwk)).thumbprint())


def seal_to(jwk: dict[str, str], typ: str, data: bytes) -> str:
    """A compact JWE of `data` that only the holder of the key opens; `jwk` is what `public_part` gives, and is named by `kid`."""
    key = OKPKey.import_key(dict(jwk))
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": typ, "kid": key.thumbprint()}
    return str(jwe.encrypt_compact(header, data, key, algorithms=_ALGORITHMS))
