"""Who is calling: platforms and labs by access token, contributors by receipt (Bearer or the cookie of the pages)."""

from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlmodel import Session
from starlette.types import Scope

from app.crypto.tokens import AccessToken, BadToken, verify_access_token
from app.kit.access import LAB, PERSON, PLATFORM, admits
from app.kit.clock import micros
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep
from app.kit.errors import Forbidden, NotFound, Unauthorised
from app.kit.ids import is_id
from app.kit.ratelimit import RateLimit
from app.kit.runtime import Runtime
from app.parties import claims, dpop, passkeys, service
from app.parties.models import Lab, LabKey, Platform, Receipt

COOKIE = "sayso_receipt"
PasskeyHeader = Annotated[str | None, Header(max_length=12_000, description="What the person's passkey signed; see passkey_needed.")]
"""Told to readers of the API here; the route's class hands it on (kit/shown.py)."""


class TokenCache:
    """Signatures already checked, by token digest, until the token's expiry, and the tokens that were revoked. Whether the party and
    its key may still act is looked up in the database at every use, so there is nothing to evict when a party is suspended."""

    _MOST = 10_000

    def __init__(self) -> None:
        self._seen: dict[bytes, AccessToken] = {}
        self._revoked: frozenset[str] = frozenset()
        self._lock = Lock()

    def look(self, runtime: Runtime) -> None:
        """Learn which tokens were revoked, here or through another process."""
        with read(runtime.engine) as session:
            self._revoked = service.revoked_tokens(session)

    def client(self, runtime: Runtime, header: str, now: datetime) -> str:
        """The client id of the valid Bearer token in an Authorization header. Raises Unauthorised."""
        return self.unbound(runtime, header, now).client

    def unbound(self, runtime: Runtime, header: str, now: datetime) -> AccessToken:
        """The valid Bearer token in an Authorization header. Raises Unauthorised."""
        known = self.known(runtime, bearer(header), now)
        if known.jkt is not None:  # whoever took it must not use it without the key
            raise Unauthorised("dpop_missing", "This token is bound to a key: send it as `Authorization: DPoP …` with a proof.")
        return known

    def known(self, runtime: Runtime, token: str, now: datetime) -> AccessToken:
        """What a valid token says. Raises Unauthorised."""
        digest = sha256(token.encode()).digest()
        hit = self._seen.get(digest)
        if hit is None or hit.exp <= now.timestamp():
            if token.startswith("rcp_"):
                raise Unauthorised("token_wrong_party", "Use a client's access token here, not a receipt.")
            try:
                hit = verify_access_token(runtime.keys.service, runtime.settings.public_url, token, now)
            except BadToken:
                raise Unauthorised("token_invalid", "Get a new access token.") from None
            with self._lock:
                if len(self._seen) >= self._MOST:
                    self._seen.clear()
                self._seen[digest] = hit
        if hit.jti in self._revoked:
            raise Unauthorised("token_invalid", "The token was revoked; get a new one.")
        return hit


def bearer(header: str) -> str:
    """The Bearer credential of an Authorization header. Raises Unauthorised (token_missing)."""
    scheme, _, value = header.partition(" ")
    value = value.strip()
    if scheme.lower() != "bearer" or not value or not value.isascii():
        raise Unauthorised("token_missing", "Send the credential as `Authorization: Bearer …`.")
    return value


def client_of(runtime: Runtime, header: str, scope: Scope) -> str:
    """The id of the client whose Bearer token stands in an Authorization header, one call of its rate taken. Raises Unauthorised, TooMany."""
    now = runtime.clock.now()
    cache: TokenCache = runtime.parts["tokens"]
    return _rated(runtime, cache.client(runtime, header, now), scope, now)


def _rated(runtime: Runtime, found: str, scope: Scope, now: datetime) -> str:
    limit: RateLimit = runtime.parts["rates"]
    scope["sayso.rate"] = limit.headers(limit.take(found, micros(now)))
    return found


def client_id(request: Request) -> str:
    """The id of the client whose access token the request carries, with a proof of its key where it is bound to one.

    Raises Unauthorised, TooMany.
    """
    return _token(request).client


def _token(request: Request) -> AccessToken:
    runtime: Runtime = request.app.state.runtime
    header = request.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    now, cache = runtime.clock.now(), runtime.parts["tokens"]
    if scheme.lower() != "dpop":
        known: AccessToken = cache.unbound(runtime, header, now)
    else:
        known = cache.known(runtime, token.strip(), now)
        with write(runtime.engine) as session:  # the proof is used up, whatever becomes of the request
            proofs, path = request.headers.getlist("dpop"), request.url.path
            dpop.at_resource(session, runtime, proofs, method=request.method, path=path, token=token.strip(), jkt=known.jkt, now=now)
    _rated(runtime, known.client, request.scope, now)
    return known


def _platform(found: str, session: Session) -> Platform:
    platform = session.get(Platform, found) if is_id("platform", found) else None
    if platform is None:
        raise Unauthorised("token_wrong_party", "Use a platform's access token here.")
    if platform.suspended_at is not None:
        raise Unauthorised("token_invalid", "The platform is suspended; ask the operator.")
    return platform


def _lab(token: AccessToken, session: Session, now: datetime) -> Lab:
    lab = session.get(Lab, token.client) if is_id("lab", token.client) else None
    if lab is None:
        raise Unauthorised("token_wrong_party", "Use a lab's access token here.")
    key = None if token.key is None else session.get(LabKey, token.key)
    if key is not None and not service.counts(key, now):
        raise Unauthorised("token_invalid", "The key that got this token is no longer in use; get a new token with another key.")
    return lab


@admits(PLATFORM, LAB)
def active_client(request: Request) -> str:
    """The id of a platform or lab that may act now."""
    runtime: Runtime = request.app.state.runtime
    token = _token(request)
    with read(runtime.engine) as session:
        return (_platform(token.client, session) if is_id("platform", token.client) else _lab(token, session, runtime.clock.now())).id


def turn_away(request: Request) -> None:
    """Raises NotFound for a platform's or a lab's token, as if nothing were at the address; Unauthorised for what is no token."""
    credential = request.headers.get("authorization", "")
    if credential and not credential.lower().startswith("bearer rcp_"):
        client_id(request)
        raise NotFound("not_found", "Look at the address, and at whose credential this is.")


def receipt_from(request: Request, session: Session, *, revoked: bool = False, locked: bool = False) -> Receipt:
    """The receipt that the request carries, in its header or the pages' cookie. Raises Unauthorised, or Forbidden (csrf, and unless
    `locked` passkey_needed for one that waits for a passkey)."""
    if "authorization" in request.headers:
        secret: str | None = bearer(request.headers["authorization"])
    else:
        secret = request.cookies.get(COOKIE)
        if secret:
            same_origin(request)
    if not secret:
        raise Unauthorised("token_missing", "Send the receipt as `Authorization: Bearer rcp_…`.")
    receipt = claims.receipt_of(session, secret, revoked=revoked)
    if receipt is None:
        # An erased person's receipt and one that never was look alike.
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    if not locked:
        runtime: Runtime = request.app.state.runtime
        passkeys.insist(session, runtime, receipt, runtime.clock.now())
    return receipt


def same_origin(request: Request) -> None:
    """A write that rests on a cookie must come from a page of ours. Raises Forbidden (csrf)."""
    if request.method in ("GET", "HEAD"):
        return
    runtime: Runtime = request.app.state.runtime
    origin = request.headers.get("origin")
    home = "/".join(runtime.settings.public_url.split("/")[:3])
    if origin != home and not (origin is None and request.headers.get("sec-fetch-site") == "same-origin"):
        raise Forbidden("csrf", "Open the page again and use its buttons.")


# A write's caller is looked up in a short read of its own. On SQLite the write lock would otherwise be held from here, across
# hops between threads: with every thread waiting for it, its holder would find none to go on in.
@admits(PLATFORM)
def platform_for_write(request: Request) -> Platform:
    runtime: Runtime = request.app.state.runtime
    with read(runtime.engine) as session:
        return _platform(client_id(request), session)


@admits(PLATFORM)
def platform_for_read(request: Request, session: ReadSessionDep) -> Platform:
    return _platform(client_id(request), session)


@admits(LAB)
def lab_for_write(request: Request) -> Lab:
    runtime: Runtime = request.app.state.runtime
    with read(runtime.engine) as session:
        return _lab(_token(request), session, runtime.clock.now())


@admits(LAB)
def lab_for_read(request: Request, session: ReadSessionDep) -> Lab:
    runtime: Runtime = request.app.state.runtime
    return _lab(_token(request), session, runtime.clock.now())


@admits(LAB)
def lab_with_key(request: Request) -> tuple[Lab, str | None]:
    """The lab, and the thumbprint of the key that got its token."""
    runtime: Runtime = request.app.state.runtime
    token = _token(request)
    with read(runtime.engine) as session:
        return _lab(token, session, runtime.clock.now()), token.key


@admits(PERSON)
def receipt_for_write(request: Request, sayso_passkey: PasskeyHeader = None) -> Receipt:
    runtime: Runtime = request.app.state.runtime
    with read(runtime.engine) as session:
        return receipt_from(request, session)


@admits(PERSON)
def receipt_for_erasing(request: Request) -> Receipt:
    """Also one that an erasure revoked: whoever asks again gets the first answer."""
    runtime: Runtime = request.app.state.runtime
    with read(runtime.engine) as session:
        return receipt_from(request, session, revoked=True)


@admits(PERSON)
def receipt_for_read(request: Request, session: ReadSessionDep) -> Receipt:
    return receipt_from(request, session)


WritingPlatform = Annotated[Platform, Depends(platform_for_write)]
ReadingPlatform = Annotated[Platform, Depends(platform_for_read)]
WritingLab = Annotated[Lab, Depends(lab_for_write)]
ReadingLab = Annotated[Lab, Depends(lab_for_read)]
LabWithKey = Annotated[tuple[Lab, str | None], Depends(lab_with_key)]
WritingReceipt = Annotated[Receipt, Depends(receipt_for_write)]
ErasingReceipt = Annotated[Receipt, Depends(receipt_for_erasing)]
ReadingReceipt = Annotated[Receipt, Depends(receipt_for_read)]
ActiveClient = Annotated[str, Depends(active_client)]
