"""Passkeys: who has one signs with it what nobody else is to do in their name, above all not the platform.

An act that needs it is refused once it is known what the act is, and the refusal says what to sign: the SHA-256 of the act's text, with
a nonce that is good once and for five minutes. The same request again, with what the passkey signed, does exactly that act or none.
What only takes away (to allow less, to take back, to erase, to delete one's own words) never needs it.
"""

import hmac
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.core.canonical import b64u, canonical, unb64u
from app.crypto.keyring import keyed_hash
from app.crypto.signing import thumbprint
from app.crypto.webauthn import Made, Refused, Site, as_jwk
from app.kit.db import for_update
from app.kit.errors import Conflict, DomainError, Forbidden, Gone, Invalid
from app.kit.runtime import Runtime
from app.kit.shown import SHOWN
from app.parties import service
from app.parties.contributors import Person
from app.parties.models import Contributor, Passkey, Receipt

LIFE = timedelta(minutes=5)
MOST = 20
BY_RECEIPT: dict[str, Any] = {"capability": "receipt"}
Act = dict[str, Any] | Callable[[str], dict[str, Any]]
"""What is to be signed, or how it follows from the nonce."""
_MOST_SHOWN = 12_000
_PASSKEY = Passkey.__table__  # type: ignore[attr-defined]
_FIELDS = {"nonce", "id", "client_data", "authenticator_data", "signature"}
_ADVICE = {
    "passkey_invalid": "Try again, and use a passkey that you added on this page.",
    "passkey_wrong_site": "Open this service at its own address, and use your passkey there.",
    "passkey_other_act": "Go back, do it again, and use your passkey for just that.",
    "passkey_unverified": "Try again, and let your device check that it is you: by a finger, your face, or its code.",
}


@dataclass(frozen=True)
class Signed:
    """What the passkey of a person signed, as it came."""

    nonce: str
    credential: bytes
    client_data: bytes
    data: bytes
    signature: bytes


def site(runtime: Runtime) -> Site:
    return Site(runtime.settings.public_url)


def of(session: Session, contributor: str) -> list[Passkey]:
    """A person's passkeys, the oldest first."""
    return list(session.exec(select(Passkey).where(Passkey.contributor_id == contributor).order_by(Passkey.id)))  # type: ignore[arg-type]


def guarded(session: Session, contributor: str) -> bool:
    """Whether the person has a passkey."""
    return session.exec(select(Passkey.id).where(Passkey.contributor_id == contributor).limit(1)).first() is not None


def covers(session: Session, receipt: Receipt) -> bool:
    """Whether a receipt covers the whole person, all of whom a passkey guards: one for everything, or for the one thing that is all."""
    return receipt.contribution_id is None or is_sole(session, receipt.contributor_id)


def is_sole(session: Session, contributor: str) -> bool:
    """Whether the contributor is one record's alone, because the platform named nobody."""
    row = session.get_one(Contributor, contributor)
    return row.pseudonym is None and row.refused_at is None


# -- what is to be signed ----------------------------------------------------------------------------------------------
def nonce(runtime: Runtime, contributor: str, now: datetime) -> str:
    """A nonce for this person, good for five minutes: nothing is stored until it is used."""
    body = int((now + LIFE).timestamp()).to_bytes(8, "big") + os.urandom(16)
    return b64u(body + _mac(runtime, contributor, body))


def _mac(runtime: Runtime, contributor: str, body: bytes) -> bytes:
    return keyed_hash(runtime.keys.derive("passkey-nonce"), contributor, body.hex())[:16]


def text(runtime: Runtime, act: dict[str, Any], once: str) -> bytes:
    """The text of an act as it is signed: canonical JSON, whose SHA-256 is the challenge."""
    return canonical({"v": 1, "type": "sayso-passkey-act", "service": site(runtime).origin, "nonce": once, "act": act})


def veiled(ids: list[str], once: str) -> list[str]:
    """What one signature over several names them by: each receipt of it shows the whole list, and must not tell what else the person gave."""
    return sorted(sha256((once + one).encode()).hexdigest() for one in ids)


def ask(session: Session, runtime: Runtime, contributor: str, act: Act, now: datetime, *, tell: bool = True) -> dict[str, Any]:
    """What a browser needs to have an act signed; unless `tell`, without the ids of the person's passkeys."""
    once = nonce(runtime, contributor, now)
    asked = text(runtime, act(once) if callable(act) else act, once)
    known = [bytes(row.credential_id) for row in of(session, contributor)] if tell else []
    told = {"text": asked.decode(), "nonce": once, "options": site(runtime).to_show(sha256(asked).digest(), known)}
    # For a program that has the receipt and is no browser: where the person can sign it. What it is about, such as a vote, is in the
    # fragment, which goes to no server and into no log.
    return told if not tell else {**told, "sign_at": f"{runtime.settings.public_url}/r/passkeys/sign#ask={b64u(asked)}"}


def asked_again(session: Session, runtime: Runtime, contributor: str, sent: str, now: datetime) -> dict[str, Any]:
    """An ask of before, by the text in its `sign_at`: gives what `ask` does. Raises Invalid (passkey_invalid), also for another person's or
    another service's, or Gone (passkey_expired)."""
    try:
        if len(sent) > _MOST_SHOWN:
            raise ValueError
        found = json.loads(unb64u(sent))
        act, once = found["act"], found["nonce"]
        asked = text(runtime, act, once)
        # A receipt is opened on its own page alone: here it would be opened for whoever sent the person.
        if asked != unb64u(sent) or not isinstance(act["type"], str) or act["type"] == "receipt.opened":
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Invalid("passkey_invalid", "Copy the whole address again; it is long.") from None
    _look_at(runtime, contributor, once, now)
    known = [bytes(row.credential_id) for row in of(session, contributor)]
    return {"text": asked.decode(), "nonce": once, "options": site(runtime).to_show(sha256(asked).digest(), known)}


def use_up(session: Session, runtime: Runtime, contributor: str, once: str, now: datetime) -> None:
    """Take a nonce. Raises Invalid (passkey_invalid), Gone (passkey_expired) or Conflict (passkey_used)."""
    ends = _look_at(runtime, contributor, once, now)
    if not service.use_assertion(session, "passkey", once, ends):
        raise Conflict("passkey_used", "Look at your page first: it may be done. If it is not, do it again.")


def _look_at(runtime: Runtime, contributor: str, once: str, now: datetime) -> int:
    """When a nonce of this person's ends, in seconds. Raises Invalid (passkey_invalid) or Gone (passkey_expired)."""
    try:
        raw = unb64u(once)
    except ValueError:
        raw = b""
    body, ends = raw[:24], int.from_bytes(raw[:8], "big")
    if len(raw) != 40 or not hmac.compare_digest(raw[24:], _mac(runtime, contributor, body)):
        raise Invalid("passkey_invalid", _ADVICE["passkey_invalid"])
    if ends <= now.timestamp():
        raise Gone("passkey_expired", "Go back and do it again. You then have five minutes to use your passkey.")
    return ends


# -- what was signed ---------------------------------------------------------------------------------------------------
def prove(session: Session, runtime: Runtime, contributor: str, act: Act, *, now: datetime, tell: bool = True) -> dict[str, Any]:
    """What an act's text says of how it is known to be the person's: `capability` receipt for who has no passkey, else passkey, with
    what that signed. Called under the person's key row and before the log's head is taken.

    Raises Forbidden (passkey_needed, with `ask`) where nothing was signed, Forbidden (passkey_unknown, passkey_wrong_site,
    passkey_other_act, passkey_unverified), Conflict (passkey_used, passkey_count), Gone (passkey_expired), Invalid (passkey_invalid).
    """
    if not guarded(session, contributor):
        return dict(BY_RECEIPT)
    sent = SHOWN.get()
    if not sent:
        needed = ask(session, runtime, contributor, act, now, tell=tell)
        raise Forbidden("passkey_needed", "Sign the act in `ask` with your passkey, and send the request again with it.", ask=needed)
    signed = read(sent)
    asked = text(runtime, act(signed.nonce) if callable(act) else act, signed.nonce)
    query = select(Passkey).where(Passkey.contributor_id == contributor, Passkey.credential_id == signed.credential)
    row = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if row is None:
        raise Forbidden("passkey_unknown", "Use a passkey that you added on your page here.")
    public = bytes(row.public_key)
    count = _checked(lambda: site(runtime).shown(
        sha256(asked).digest(), signed.credential, public, signed.client_data, signed.data, signed.signature
    ))  # fmt: skip
    use_up(session, runtime, contributor, signed.nonce, now)
    if (count or row.sign_count) and count <= row.sign_count:  # those that are synced stay at 0
        raise Conflict("passkey_count", "Somebody may have a copy of it. Use another passkey, and remove this one.")
    # No more than the day: a ballot and a pledge have their time in the log, and keep nothing of who signed them.
    row.sign_count, row.used_at = count, now.replace(hour=0, minute=0, second=0, microsecond=0)
    session.add(row)
    session.flush()
    jwk = as_jwk(public)
    evidence = {
        "text": asked.decode(), "key": jwk, "thumbprint": thumbprint(jwk), "authenticator_data": b64u(signed.data),
        "client_data": b64u(signed.client_data), "signature": b64u(signed.signature),
    }  # fmt: skip
    return {"capability": "passkey", "passkey": evidence}


def read(sent: str) -> Signed:
    """What a request brought. Raises Invalid (passkey_invalid)."""
    try:
        if len(sent) > _MOST_SHOWN:
            raise ValueError
        found = json.loads(sent)
        if not isinstance(found, dict) or set(found) != _FIELDS:
            raise ValueError
        rest = (unb64u(found[name]) for name in ("id", "client_data", "authenticator_data", "signature"))
        return Signed(str(found["nonce"]), *rest)
    except (ValueError, RecursionError):
        raise Invalid("passkey_invalid", _ADVICE["passkey_invalid"]) from None


def _checked(look: Any) -> Any:
    try:
        return look()
    except Refused as refused:
        kind: type[DomainError] = Invalid if refused.code == "passkey_invalid" else Forbidden
        raise kind(refused.code, _ADVICE[refused.code]) from None


# -- adding and forgetting ---------------------------------------------------------------------------------------------
NEW = {"type": "passkey.new"}
"""What the challenge of a new passkey is over; what adds it to a person is an act of its own."""


def to_make(session: Session, runtime: Runtime, contributor: str, name: str, now: datetime) -> dict[str, Any]:
    """What a browser needs to make a passkey."""
    once = nonce(runtime, contributor, now)
    user = keyed_hash(runtime.keys.derive("passkey-user"), contributor)
    known = [bytes(row.credential_id) for row in of(session, contributor)]
    return {"nonce": once, "options": site(runtime).to_create(user, name, sha256(text(runtime, NEW, once)).digest(), known)}


def made(session: Session, runtime: Runtime, contributor: str, sent: str, now: datetime) -> Made:
    """A passkey that a browser made, its nonce used up. Raises as `prove` does."""
    try:
        if len(sent) > _MOST_SHOWN:
            raise ValueError
        found = json.loads(sent)
        if not isinstance(found, dict) or set(found) != {"nonce", "client_data", "attestation"}:
            raise ValueError
        once, client_data, attestation = str(found["nonce"]), unb64u(found["client_data"]), unb64u(found["attestation"])
    except (ValueError, RecursionError):
        raise Invalid("passkey_invalid", "Try again on the page where passkeys are added.") from None
    challenge = sha256(text(runtime, NEW, once)).digest()
    new: Made = _checked(lambda: site(runtime).created(challenge, client_data, attestation))
    use_up(session, runtime, contributor, once, now)
    return new


def name_place(passkey: str) -> bytes:
    """Where the sealed name of a passkey belongs."""
    return b"passkey\x00" + passkey.encode()


def seal_anew(session: Session, person: Person, sealer: Any) -> None:
    """The names under another data key."""
    for row in of(session, person.id):
        place = name_place(row.id)
        row.name_sealed = sealer.seal(person.sealer.open(bytes(row.name_sealed), place), place)
        session.add(row)
    session.flush()


def forget(session: Session, contributor: str, now: datetime) -> int:
    """Remove all passkeys of a person, and end the receipts that waited for one; gives how many passkeys that were."""
    locked = sa.update(Receipt).where(Receipt.contributor_id == contributor, Receipt.locked, Receipt.revoked_at == None)  # type: ignore[arg-type]
    session.execute(locked.values(revoked_at=now))
    done: Any = session.execute(sa.delete(_PASSKEY).where(_PASSKEY.c.contributor_id == contributor))
    return int(done.rowcount)


# -- receipts that came from the platform --------------------------------------------------------------------------------
def opening(receipt: Receipt) -> dict[str, Any]:
    """The act of opening a receipt that came by a link of the platform's."""
    return {"type": "receipt.opened", "receipt": receipt.id}


def insist(session: Session, runtime: Runtime, receipt: Receipt, now: datetime) -> None:
    """Raises Forbidden (passkey_needed) for a receipt that waits for a passkey: whoever made the link may be anybody."""
    if receipt.locked:
        asked = ask(session, runtime, receipt.contributor_id, opening(receipt), now, tell=False)
        detail = "Open the page in a browser and show your passkey there; until then this opens nothing."
        raise Forbidden("passkey_needed", detail, ask=asked, opens=True)
