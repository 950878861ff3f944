"""DPoP (RFC 9449): proofs that whoever sends a token holds the key that it is bound to."""

import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from joserfc import jws
from joserfc.errors import JoseError

from app.core.canonical import b64u
from app.crypto.signing import ALGORITHMS, BadKey, BadSignature, import_public, peek_header
from app.crypto.tokens import LEEWAY

PROOF_LIFE = 60
"""Seconds for which a proof is taken after it was made."""
_NONCE_LIFE = 300


class BadProof(Exception):
    """The proof is not one for this request; the text says why without repeating any of it."""


class NonceWanted(Exception):
    """The proof needs a nonce of the server's, and has none or an old one."""


@dataclass(frozen=True)
class Proof:
    """A proof that holds: the thumbprint of its key, its id, and when (seconds) it can no longer be used."""

    jkt: str
    jti: str
    ends: int


class Nonces:
    """Nonces without a store: a MAC over the time, good for five to ten minutes. `key` is 32 secret bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def give(self, now: datetime) -> str:
        """The nonce of this moment."""
        return self._of(int(now.timestamp()) // _NONCE_LIFE)

    def good(self, nonce: Any, now: datetime) -> bool:
        """Whether it was given in this stretch of time or the one before."""
        at = int(now.timestamp()) // _NONCE_LIFE
        return isinstance(nonce, str) and any(hmac.compare_digest(nonce.encode(errors="replace"), self._of(n).encode()) for n in (at, at - 1))

    def _of(self, stretch: int) -> str:
        return b64u(hmac.digest(self._key, b"dpop-nonce/%d" % stretch, sha256)[:18])


def verify_proof(
    proof: str, *, method: str, url: str, now: datetime, nonces: Nonces, token: str | None = None, need_nonce: bool = False
) -> Proof:  # fmt: skip
    """Check a proof for a request (RFC 9449 section 4.3). With a `token` it must name its hash (`ath`).

    A nonce that is given must be one of ours; with `need_nonce` there must be one. Raises BadProof or NonceWanted.
    """
    header, claims = _open(proof)
    if claims.get("htm") != method:
        raise BadProof("htm is not the method of this request")
    if not isinstance(claims.get("htu"), str) or _bare(claims["htu"]) != _bare(url):
        raise BadProof("htu is not the address of this request")
    at, jti = claims.get("iat"), claims.get("jti")
    # Bounded before it is subtracted: a whole number of hundreds of digits is beyond any float.
    numeric = isinstance(at, int) and not isinstance(at, bool) and abs(at) < 1e12
    if not numeric or not -LEEWAY < now.timestamp() - at < PROOF_LIFE + LEEWAY:
        raise BadProof("iat is not now")
    if not isinstance(jti, str) or not 8 <= len(jti) <= 200 or not jti.isprintable():
        raise BadProof("it needs a jti of 8 to 200 characters")
    if token is not None and claims.get("ath") != b64u(sha256(token.encode()).digest()):
        raise BadProof("ath is not the hash of the token")
    if (need_nonce or "nonce" in claims) and not nonces.good(claims.get("nonce"), now):
        raise NonceWanted
    return Proof(import_public(header["jwk"]).thumbprint(), jti, at + PROOF_LIFE + LEEWAY)


def _open(proof: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a proof signed by the key in its own header, which must be public and of an algorithm we take."""
    try:
        header = peek_header(proof)
        if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS or {"crit", "b64", "jku", "x5u", "x5c"} & set(header):
            raise BadProof("its header is not that of a DPoP proof with an algorithm taken here")
        if len(proof) > 8_000 or proof.count(".") != 2:
            raise BadProof("it is not a compact JWS")
        key = import_public(header.get("jwk"))  # type: ignore[arg-type]
        registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        found = jws.deserialize_compact(proof, key, algorithms=[header["alg"]], registry=registry)
        claims = json.loads(found.payload, object_pairs_hook=_no_twins)
    except BadKey:
        raise BadProof("jwk is not a public key taken here") from None
    except (BadSignature, JoseError, ValueError, TypeError, UnicodeError, RecursionError):
        raise BadProof("its signature or form is wrong") from None
    if not isinstance(claims, dict):
        raise BadProof("it holds no claims")
    return header, claims


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same claim twice")
    return found


def _bare(url: str) -> tuple[str, str, str]:
    """Scheme, authority and path: query and fragment are no part of htu. Raises ValueError as BadProof."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadProof("htu is not an address") from None
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = (parts.hostname or "") + ("" if port in (None, default) else f":{port}")
    return parts.scheme, host, parts.path or "/"
