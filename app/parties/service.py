"""Platforms, labs and their keys: what an operator adds, and what authentication looks up."""

import hmac
import json
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.core.canonical import b64u, unb64u
from app.core.vocabulary import RECIPIENT_KINDS
from app.crypto.signing import BadKey, thumbprint
from app.kit.clock import rfc3339
from app.kit.db import for_update
from app.kit.errors import Conflict, Invalid, NotFound
from app.kit.ids import is_id, new_id
from app.log import service as log
from app.parties.models import AssertionUse, Lab, LabKey, Platform, PortalSession, RevokedToken

VERIFIED_FOR = timedelta(days=365)
MAX_NAME = 200


def add_platform(session: Session, name: str, *, now: datetime) -> tuple[Platform, str]:
    """A new platform and its client secret (256 bits, shown once). Raises Invalid (name_too_long) or Conflict (party_exists)."""
    _fits(name)
    secret = b64u(os.urandom(32))
    platform = Platform(
        id=new_id("platform"), name=name, secret_sha256=sha256(secret.encode()).hexdigest(), created_at=now
    )
    _add(session, platform)
    log.append(session, [log.institutional("admin.platform-added", platform.id, {"name": name}, now)], now)
    return platform, secret


def new_secret(session: Session, platform_id: str, keep: timedelta, *, now: datetime) -> str:
    """Another client secret of a platform's (256 bits, shown once); the one before counts for `keep` more, and the one before that no
    more. Raises NotFound (not_found)."""
    known_platform(session, platform_id)
    platform = session.exec(for_update(select(Platform).where(Platform.id == platform_id), session)).one()
    secret = b64u(os.urandom(32))
    platform.old_secret_sha256, platform.old_secret_until = platform.secret_sha256, now + keep
    platform.secret_sha256 = sha256(secret.encode()).hexdigest()
    session.add(platform)
    log.append(session, [log.institutional("admin.platform-secret-changed", platform.id, {"name": platform.name}, now)], now)
    return secret


def is_secret(platform: Platform, secret: str, now: datetime) -> bool:
    """Whether a platform is known by it: its client secret, or the one before while that counts."""
    given, late = sha256(secret.encode()).hexdigest(), platform.old_secret_until
    is_old = platform.old_secret_sha256 is not None and hmac.compare_digest(given, platform.old_secret_sha256)
    return hmac.compare_digest(given, platform.secret_sha256) or (is_old and late is not None and now < late)


def add_lab(
    session: Session, legal_name: str, kind: str, seat: str, evidence: str, jwk: dict[str, Any], *, now: datetime, from_uri: bool = False
) -> Lab:
    """A lab whose facts the operator verified (`evidence` says how), with its first public key (`from_uri`: from its `jwks_uri`).

    Raises Invalid (key_invalid, body_invalid, name_too_long) or Conflict (party_exists).
    """
    _fits(legal_name)
    if kind not in RECIPIENT_KINDS:
        raise Invalid("body_invalid", "The lab's kind must be one of: " + ", ".join(RECIPIENT_KINDS) + ".")
    if not (len(seat) == 2 and seat.isascii() and seat.isupper()):
        raise Invalid("body_invalid", "Give the seat as an ISO 3166-1 alpha-2 code, such as CH.")
    lab = Lab(
        id=new_id("lab"), legal_name=legal_name, kind=kind, seat=seat, evidence=evidence,
        verified_at=now, verified_until=now + VERIFIED_FOR, created_at=now,
    )  # fmt: skip
    _add(session, lab)
    print_ = _add_key(session, lab, jwk, now, from_uri)
    body = {"legal_name": legal_name, "kind": kind, "seat": seat, "key": print_}
    log.append(session, [log.institutional("admin.lab-added", lab.id, body, now)], now)
    return lab


def verify_lab(session: Session, lab_id: str, evidence: str, *, now: datetime) -> datetime:
    """The operator looked at the lab's facts again and they still hold (`evidence` says how); gives until when that counts.

    Raises NotFound (not_found) or Invalid (body_invalid).
    """
    if not evidence.strip():
        raise Invalid("body_invalid", "Say in --evidence how the facts were verified.")
    lab = _locked(session, lab_id)
    lab.evidence, lab.verified_at, lab.verified_until = evidence, now, now + VERIFIED_FOR
    session.add(lab)
    body = {"legal_name": lab.legal_name, "kind": lab.kind, "seat": lab.seat, "until": rfc3339(lab.verified_until)}
    log.append(session, [log.institutional("admin.lab-verified", lab.id, body, now)], now)
    return lab.verified_until


def block_lab(session: Session, lab_id: str, why: str, *, now: datetime, act: str | None = None) -> None:
    """Nothing more goes to the lab, and downloads under way end: the operator's word, with a reason that the log tells everybody.

    Raises NotFound (not_found), Invalid (body_invalid) or Conflict (lab_blocked) where it is blocked already.
    """
    lab = _locked(session, lab_id)
    if not why.strip() or len(why) > MAX_NAME:
        raise Invalid("body_invalid", "Say in --why what happened, in at most 200 characters.")
    if lab.blocked_at is not None:
        raise Conflict("lab_blocked", "It is blocked already.")
    lab.blocked_at = now
    session.add(lab)
    leaf = log.institutional("admin.lab-blocked", lab.id, {"legal_name": lab.legal_name, "why": why}, now)
    log.append_narrowing(session, leaf, act or new_id("admin"), "lab-block", now, lab=lab.id, why=why)


def unblock_lab(session: Session, lab_id: str, *, now: datetime) -> None:
    """Let the lab go on. Raises NotFound (not_found) where it is not blocked."""
    lab = _locked(session, lab_id)
    if lab.blocked_at is None:
        raise NotFound("not_found", "The lab is not blocked.")
    lab.blocked_at = None
    session.add(lab)
    log.append(session, [log.institutional("admin.lab-unblocked", lab.id, {"legal_name": lab.legal_name}, now)], now)


def _locked(session: Session, lab_id: str) -> Lab:
    return session.exec(for_update(select(Lab).where(Lab.id == known_lab(session, lab_id).id), session)).one()


def _fits(name: str) -> None:
    """Names stand in many leaves, beside other things. Raises Invalid (name_too_long)."""
    if len(name) > MAX_NAME:
        raise Invalid("name_too_long", "Use at most 200 characters.")


def add_lab_key(session: Session, lab: Lab, jwk: dict[str, Any], *, now: datetime, from_uri: bool = False) -> str:
    """One more public key for `lab`; gives its thumbprint. Raises Invalid (key_invalid) or Conflict (party_exists)."""
    print_ = _add_key(session, lab, jwk, now, from_uri)
    log.append(
        session, [log.institutional("key.added", lab.id, {"legal_name": lab.legal_name, "key": print_}, now)], now
    )
    return print_


def revoke_lab_key(session: Session, key: LabKey, *, now: datetime, act: str | None = None) -> None:
    """The key signs nothing from now on and gets no token; those that it got, and the keys that it delegated, end with
    it."""
    key.revoked_at = now
    session.add(key)
    leaf = log.institutional("key.revoked", key.lab_id, {"key": key.thumbprint}, now)
    log.append_narrowing(session, leaf, act or new_id("admin"), "key", now, lab=key.lab_id, key=key.thumbprint)
    given = select(LabKey).where(LabKey.delegated_by == key.thumbprint, LabKey.revoked_at == None)
    for other in session.exec(for_update(given.order_by(LabKey.thumbprint), session)).all():
        revoke_lab_key(session, other, now=now)


def known_platform(session: Session, platform_id: str) -> Platform:
    """Raises NotFound (not_found)."""
    platform = session.get(Platform, platform_id) if is_id("platform", platform_id) else None
    if platform is None:
        raise NotFound("not_found", "Name a platform by its id, plt_…; `python -m app platforms add` makes one.")
    return platform


def known_lab(session: Session, lab_id: str) -> Lab:
    """Raises NotFound (not_found)."""
    lab = session.get(Lab, lab_id) if is_id("lab", lab_id) else None
    if lab is None:
        raise NotFound("not_found", "Look at the lab's client id.")
    return lab


def revoke_key_of(session: Session, lab_id: str, print_: str, *, now: datetime) -> None:
    """`revoke_lab_key` by names. Raises NotFound (not_found) where the lab has no such key in use."""
    row = session.exec(for_update(select(LabKey).where(LabKey.thumbprint == print_, LabKey.lab_id == lab_id), session)).first()
    if row is None or row.revoked_at is not None:
        raise NotFound("not_found", "Look at the key's thumbprint; the lab has no such key in use.")
    revoke_lab_key(session, row, now=now)


def counts(key: LabKey, now: datetime) -> bool:
    """Whether a key is in use: not revoked, and its day, if it has one, not over. The hourly chore revokes it after that."""
    return key.revoked_at is None and (key.ends_at is None or key.ends_at > now)


def keys_in_use(session: Session, lab_id: str, now: datetime) -> list[LabKey]:
    """The institution's own keys first, the longest in use first: one published ahead of its day is the last to be taken."""
    held = session.exec(select(LabKey).where(LabKey.lab_id == lab_id, LabKey.revoked_at == None)).all()
    return sorted((key for key in held if counts(key, now)), key=lambda k: (k.delegated_by is not None, k.added_at, k.thumbprint))


def lab_key(session: Session, lab_id: str, print_: str, now: datetime) -> LabKey | None:
    """The lab's key of that thumbprint, if it is in use; it is not revoked before the transaction ends."""
    held = for_update(select(LabKey).where(LabKey.thumbprint == print_), session)
    key = session.exec(held.execution_options(populate_existing=True)).first()
    return key if key is not None and key.lab_id == lab_id and counts(key, now) else None


def key_for(session: Session, lab_id: str, wanted: str | None, now: datetime) -> LabKey | None:
    """The key that an offer is made to: the `wanted` one if it is in use, else another of the lab's."""
    keys = keys_in_use(session, lab_id, now)
    return next((key for key in keys if key.thumbprint == wanted), keys[0] if keys else None)


def releases_stopped(lab: Lab, now: datetime) -> bool:
    """Whether nothing new may go to the lab: blocked, or its verified facts have lapsed."""
    return lab.blocked_at is not None or lab.verified_until <= now


def use_assertion(session: Session, client_id: str, jti: str, exp: int) -> bool:
    """Note a client assertion as used; False if it was before. The row outlives the assertion by an hour."""
    expires = datetime.fromtimestamp(exp, UTC) + timedelta(hours=1)
    try:
        with session.begin_nested():
            session.execute(
                sa.insert(AssertionUse).values(
                    client_id=client_id, jti_sha256=sha256(jti.encode()).hexdigest(), expires_at=expires
                )
            )
    except IntegrityError:
        return False
    return True


def forget_assertions(session: Session, now: datetime) -> None:
    """Drop used assertions that no replay could use any more."""
    session.execute(sa.delete(AssertionUse).where(AssertionUse.expires_at < now))  # type: ignore[arg-type]


def revoke_token(session: Session, client_id: str, jti: str, exp: int) -> None:
    """Note that an access token counts no more; the same one twice is no error."""
    if session.get(RevokedToken, jti) is None:
        _add_once(session, RevokedToken(jti=jti, client_id=client_id, expires_at=datetime.fromtimestamp(exp, UTC)))


def revoked_tokens(session: Session) -> frozenset[str]:
    """Ids of the tokens that were revoked and have not been forgotten."""
    return frozenset(session.exec(select(RevokedToken.jti)))


def forget_revoked_tokens(session: Session, now: datetime) -> None:
    """Drop revoked tokens an hour after they would have ended."""
    session.execute(sa.delete(RevokedToken).where(RevokedToken.expires_at < now - timedelta(hours=1)))  # type: ignore[arg-type]


def forget_portal_sessions(session: Session, now: datetime) -> None:
    """Drop links of a quarter of an hour that are three months old: until then who was overtaken can say so on their page."""
    session.execute(sa.delete(PortalSession).where(PortalSession.created_at < now - timedelta(days=90)))  # type: ignore[arg-type]


def assertion_subject(assertion: str) -> str | None:
    """The unverified `sub` of a JWT: says whose keys to look for, and nothing else."""
    try:
        claims = json.loads(unb64u(assertion.split(".")[1]))
        return claims["sub"] if isinstance(claims["sub"], str) else None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None


def _add_key(session: Session, lab: Lab, jwk: dict[str, Any], now: datetime, from_uri: bool = False) -> str:
    try:
        print_ = thumbprint(jwk)
    except BadKey as error:
        raise Invalid("key_invalid", f"The key was refused: {error}.") from None
    public = {k: v for k, v in jwk.items() if k in ("kty", "crv", "x", "y", "n", "e")}
    _add(session, LabKey(thumbprint=print_, lab_id=lab.id, jwk=public, added_at=now, from_uri=from_uri))
    return print_


def _add_once(session: Session, row: Any) -> None:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        pass  # another request was faster


def _add(session: Session, row: Any) -> None:
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise Conflict("party_exists", "Choose another name, or use the party or key that is there.") from None
