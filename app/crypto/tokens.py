"""JWTs: access tokens in the RFC 9068 profile, and client assertions (RFC 7523, private_key_jwt) in the FAPI 2.0 one."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from app.core.canonical import canonical
from app.crypto.signing import ALGORITHMS, BadSignature, ServiceKey, import_public, peek_header, verify_compact

LEEWAY = 10
"""Seconds by which a client's clock may differ."""
ASSERTION_LIFE = 300
"""Longest life of a client assertion taken, in seconds."""


class BadToken(Exception):
    """The token is not valid; the text says why without repeating any of it."""


class AccessToken(NamedTuple):
    """What a valid access token says."""

    client: str
    exp: int
    """seconds since the epoch"""
    jti: str
    jkt: str | None
    """thumbprint of the key that it is bound to (RFC 9449)"""
    key: str | None
    """thumbprint of the key that the client proved itself with, where it did so by a key: the token ends with it"""


def issue_access_token(
    key: ServiceKey, issuer: str, client_id: str, jti: str, now: datetime, life: int, jkt: str | None = None, proven_by: str | None = None
) -> str:
    """A signed access token (RFC 9068 section 2) for the service itself, good for `life` seconds; with `jkt` bound to the key of
    that thumbprint (RFC 9449 section 6.1); `proven_by` is `AccessToken.key`."""
    at = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": issuer,
        "sub": client_id,
        "client_id": client_id,
        "iat": at,
        "exp": at + life,
        "jti": jti,
        **({} if jkt is None else {"cnf": {"jkt": jkt}}),
        **({} if proven_by is None else {"client_key": proven_by}),
    }
    return key.sign("at+jwt", canonical(claims))


def verify_access_token(key: ServiceKey, issuer: str, token: str, now: datetime) -> AccessToken:
    """What the token says. Raises BadToken."""
    try:
        claims = json.loads(key.verify("at+jwt", token))
    except (BadSignature, ValueError, RecursionError):
        raise BadToken("the token's signature or form is wrong") from None
    if claims.get("iss") != issuer or claims.get("aud") != issuer or claims["exp"] <= now.timestamp():
        raise BadToken("the token has expired or is for another service")
    jkt = claims["cnf"]["jkt"] if "cnf" in claims else None
    return AccessToken(str(claims["client_id"]), int(claims["exp"]), str(claims["jti"]), jkt, claims.get("client_key"))


def verify_assertion(token: str, jwk: dict[str, Any], client_id: str, issuer: str, now: datetime) -> tuple[str, int]:
    """(jti, expiry) of a client assertion made by `jwk`'s owner for this issuer. Raises BadToken.

    The audience must be the issuer and nothing else (FAPI 2.0 section 5.3.2.1); a JWT with two equal claim names,
    without jti, living too long or from the future is refused.
    """
    try:
        header = peek_header(token)
        typ = header.get("typ", "JWT")
        if typ not in ("JWT", "client-authentication+jwt") or "typ" not in header:
            raise BadToken("the assertion needs typ JWT")
        payload = verify_compact(token, import_public(jwk), typ, [*ALGORITHMS])
        claims = json.loads(payload, object_pairs_hook=_no_twins)
    except (BadSignature, ValueError, RecursionError):
        raise BadToken("the assertion's signature or form is wrong") from None
    if not isinstance(claims, dict):
        raise BadToken("the assertion holds no claims")
    audience = claims.get("aud")
    if audience != issuer and audience != [issuer]:
        raise BadToken("the assertion's audience must be the issuer")
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise BadToken("iss and sub must be the client id")
    at = now.timestamp()
    exp, iat, nbf = claims.get("exp"), claims.get("iat", at), claims.get("nbf", at)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e12 for v in (exp, iat, nbf)):
        raise BadToken("exp, iat and nbf must be numbers")
    if exp + LEEWAY <= at or exp > at + ASSERTION_LIFE + LEEWAY:
        raise BadToken("the assertion has expired or lives too long")
    if iat > at + LEEWAY or nbf > at + LEEWAY:
        raise BadToken("the assertion is from the future")
    jti = claims.get("jti")
    # Half a surrogate pair is a string for Python, but no bytes.
    if not isinstance(jti, str) or not 8 <= len(jti) <= 200 or not jti.isprintable():
        raise BadToken("the assertion needs a jti of 8 to 200 characters")
    return jti, int(exp)


def is_by(token: str, jwk: dict[str, Any]) -> bool:
    """Whether a client assertion was signed by this key, whatever it says."""
    try:
        verify_compact(token, import_public(jwk), peek_header(token).get("typ", ""), [*ALGORITHMS])
    except BadSignature:
        return False
    return True


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same claim twice")
    return found
