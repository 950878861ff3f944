"""Claim links and receipts: how a person without an account gets a capability that the platform never held.

A claim code proves itself: what it claims, a generation, and a MAC under the claim key. Recording therefore writes nothing
for it, and a retried record gives the same link.
"""

import hmac
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.crypto.keyring import KeyRing, keyed_hash
from app.kit import ids
from app.kit.errors import Conflict, Gone, NotFound, Unauthorised
from app.kit.runtime import Runtime
from app.parties import contributors, passkeys
from app.parties.models import Claim, PortalSession, Receipt

LINK_LIFE = timedelta(days=90)
PORTAL_LIFE = timedelta(minutes=15)
AGAIN = timedelta(minutes=10)
"""How long the same request is answered again with the same receipt, because its answer was lost."""
_ONCE = 16
"""Characters of an Idempotency-Key that nobody guesses."""
MOST_RECEIPTS = 20
_RECEIPT = Receipt.__table__  # type: ignore[attr-defined]
_KINDS = {"c": "contribution", "p": "contributor"}


@dataclass(frozen=True)
class ClaimCode:
    """What a claim link is about: a contribution, or (from a portal session) everything of a contributor."""

    kind: str
    subject: str
    generation: int


class Claims:
    """Makes and reads claim codes."""

    def __init__(self, keys: KeyRing) -> None:
        self._key = keys.derive("claim")

    def code(self, subject: str, generation: int = 1, *, portal: bool = False) -> str:
        """The code for a contribution id (or, with `portal`, a portal session's id): 60 characters, a MAC of 160 bits."""
        letter = "p" if portal else "c"
        body = subject.split("_", 1)[1]
        return f"{letter}{body}{ids.encode(generation.to_bytes(16, 'big'))[-1]}{self._mac(letter, body, generation)}"

    def read(self, code: str) -> ClaimCode:
        """What a code is about. Raises NotFound (claim_unknown), the same for every code this service did not make."""
        try:
            letter, body, generation = code[0], code[1:27], int.from_bytes(ids.decode("0" * 25 + code[27]), "big")
            if code[0] in _KINDS and hmac.compare_digest(
                code[28:].encode(), self._mac(letter, body, generation).encode()
            ):
                prefix = "con_" if letter == "c" else "prt_"
                return ClaimCode(_KINDS[letter], prefix + body, generation)
        except (ValueError, IndexError):
            pass
        raise NotFound("claim_unknown", "Look at the link again; it must be copied whole.")

    def secret(self, claim: ClaimCode, once: str | None) -> str:
        """A receipt's secret: 160 bits that nobody else has. For the same `once` (the request's Idempotency-Key) the same, so
        that whoever lost the answer gets it again; it is kept nowhere."""
        if once is None or len(once) < _ONCE:
            return "rcp_" + encode_secret(os.urandom(20))
        return "rcp_" + encode_secret(keyed_hash(self._key, "receipt", claim.subject, str(claim.generation), once)[:20])

    def _mac(self, letter: str, body: str, generation: int) -> str:
        mac = keyed_hash(self._key, letter, body, str(generation))
        return encode_secret(mac[:20])


def encode_secret(raw: bytes) -> str:
    """20 bytes as 32 characters of the id alphabet."""
    n = int.from_bytes(raw, "big")
    return "".join([ids.PAIRS[n >> shift & 1023] for shift in range(150, -1, -10)])


def open_portal(session: Session, contributor: str, *, now: datetime) -> PortalSession:
    """A portal session for a contributor: its link is good once, for 15 minutes."""
    portal = PortalSession(id="prt_" + ids.encode(ids.uuid7()), contributor_id=contributor, created_at=now)
    session.add(portal)
    session.flush()
    return portal


def redeemed(session: Session, claim: ClaimCode) -> Claim | None:
    """When the link was used, if it was."""
    return session.get(Claim, (claim.subject, claim.generation))


def redeem(
    session: Session, keys: KeyRing, claim: ClaimCode, contributor: str, given_at: datetime, secret: str, *, now: datetime
) -> Receipt:
    """Use a claim link: a receipt with this secret (of `Claims.secret`), of which only the hash is kept. The same request again
    gets the same receipt for ten minutes: an answer that was lost on its way leaves nobody without.

    Raises Gone (claim_expired), NotFound (claim_unknown) for a person who was erased, or Conflict (claim_already_redeemed, with
    `redeemed_at`), also for the loser of a race.
    """
    if now - given_at > (LINK_LIFE if claim.kind == "contribution" else PORTAL_LIFE):
        raise Gone("claim_expired", "Ask the platform for a new link.")
    # The key's row: a first passkey that is being added holds it, and locks this receipt too.
    if claim.kind == "contributor" and contributors.hold(session, keys, contributor) is None:
        raise NotFound("claim_unknown", "Look at the link again; it must be copied whole.")
    try:
        with session.begin_nested():
            session.execute(
                sa.insert(Claim).values(subject=claim.subject, generation=claim.generation, redeemed_at=now)
            )
    except IntegrityError:
        row = redeemed(session, claim)
        mine = receipt_of(session, secret)
        if row is not None and mine is not None and now - row.redeemed_at <= AGAIN and row.contested_at is None:
            return mine
        when = row.redeemed_at.strftime("%Y-%m-%dT%H:%M:%SZ") if row else None
        raise Conflict(
            "claim_already_redeemed", "If that was not you, contest it on the page of the link.", redeemed_at=when
        ) from None
    receipt = Receipt(
        id=ids.new_id("receipt").replace("rcp_", "rid_"), secret_sha256=sha256(secret.encode()).hexdigest(), contributor_id=contributor,
        contribution_id=claim.subject if claim.kind == "contribution" else None, created_at=now,
        # The platform can open a portal link itself. One of a single thing opens no more than the link did, and must let it be taken back.
        locked=claim.kind == "contributor" and passkeys.guarded(session, contributor),
    )  # fmt: skip
    session.add(receipt)
    session.flush()
    return receipt


def contest(session: Session, claim: ClaimCode, *, now: datetime) -> Claim:
    """Say that an earlier redemption was somebody else's. Raises NotFound (claim_unknown) if there was none."""
    row = redeemed(session, claim)
    if row is None:
        raise NotFound("claim_unknown", "The link was not used yet; use it.")
    if row.contested_at is None:
        row.contested_at = now
        session.add(row)
    return row


def receipt_of(session: Session, secret: str, *, revoked: bool = False) -> Receipt | None:
    """The receipt with this secret, unless revoked (with `revoked`, also then)."""
    if not secret.startswith("rcp_") or len(secret) != 36 or not secret.isascii():
        return None
    digest = sha256(secret.encode()).hexdigest()
    found = session.exec(select(Receipt).where(Receipt.secret_sha256 == digest)).first()
    return found if found is None or revoked or found.revoked_at is None else None


def _others(receipt: Receipt) -> sa.ColumnElement[bool]:
    """Receipts that open what this one opens and are not it. One over everything opens each thing, so those of one thing count."""
    reach: list[sa.ColumnElement[bool]] = [_RECEIPT.c.contributor_id == receipt.contributor_id]
    if receipt.contribution_id is not None:
        reach.append(_RECEIPT.c.contribution_id == receipt.contribution_id)
    return sa.and_(*reach, _RECEIPT.c.id != receipt.id, _RECEIPT.c.revoked_at.is_(None))


def others(session: Session, receipt: Receipt) -> list[datetime]:
    """When each further receipt was made that opens this, or a thing in it; the newest first."""
    query = sa.select(_RECEIPT.c.created_at).where(_others(receipt)).order_by(_RECEIPT.c.created_at.desc())
    return list(session.execute(query).scalars())


def renew(session: Session, runtime: Runtime, receipt: Receipt, *, now: datetime) -> str:
    """A further receipt that opens the same; gives its secret. The one before stays good until it is ended: an answer that is lost
    on its way locks nobody out.

    Raises Unauthorised (token_invalid) where the person was erased meanwhile, Conflict (receipts_too_many), and what `passkeys.prove` raises.
    """
    # The key's row: an erasure ends every receipt that there is, and must not miss one that is made beside it.
    if contributors.hold(session, runtime.keys, receipt.contributor_id, exclusive=True) is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    if len(others(session, receipt)) >= MOST_RECEIPTS:
        raise Conflict("receipts_too_many", "End the other receipts first, then make a new one.")
    passkeys.prove(session, runtime, receipt.contributor_id, {"type": "receipt.made", "receipt": receipt.id}, now=now)
    return mint(session, receipt.contributor_id, receipt.contribution_id, now=now)


def mint(session: Session, contributor: str, contribution: str | None, *, now: datetime) -> str:
    """A receipt over one contribution, or (None) all of a contributor's; gives its secret. For whoever holds the person's key row."""
    secret = "rcp_" + encode_secret(os.urandom(20))
    session.add(
        Receipt(
            id=ids.new_id("receipt").replace("rcp_", "rid_"), secret_sha256=sha256(secret.encode()).hexdigest(),
            contributor_id=contributor, contribution_id=contribution, created_at=now,
        )
    )  # fmt: skip
    session.flush()
    return secret


def end_others(session: Session, runtime: Runtime, receipt: Receipt, *, now: datetime) -> int:
    """End every other receipt that opens this, or a thing in it; gives how many that were. Raises Unauthorised (token_invalid) where the
    person was erased meanwhile, and what `passkeys.prove` raises: whoever else has a receipt must not lock the person out."""
    if contributors.hold(session, runtime.keys, receipt.contributor_id, exclusive=True) is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    passkeys.prove(session, runtime, receipt.contributor_id, {"type": "receipts.ended", "receipt": receipt.id}, now=now)
    done: Any = session.execute(sa.update(_RECEIPT).where(_others(receipt)).values(revoked_at=now))
    return int(done.rowcount)
