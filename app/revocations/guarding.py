"""Adding passkeys and removing them: acts of the person's, each with its leaf. What passkeys then guard is in `parties/passkeys.py`.

The first one is added by whoever has the receipt. From then on it takes a passkey to add or remove one; who lost all of them removes them
with the recovery code, which from then on can only be made with a passkey.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.crypto.signing import thumbprint
from app.crypto.webauthn import as_jwk
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorised
from app.kit.ids import is_id, new_id, random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import claims, contributors, passkeys, recovery
from app.parties.contributors import Person
from app.parties.models import Passkey, Receipt
from app.revocations.acting import Holder, keep, person_acting
from app.revocations.models import ConsentAct

_RECEIPT = Receipt.__table__  # type: ignore[attr-defined]
LONGEST = 60
"""Letters of a passkey's name."""


def add(session: Session, runtime: Runtime, receipt: Receipt, name: str, sent: str, *, now: datetime) -> str | None:
    """Add the passkey that a browser made (`sent`, as the page's script writes it), under a name. With the first one gives the secret of a
    new receipt, to go on with: the one before may be somebody else's too, and could then never be ended as one of the others.

    Raises Unauthorised (token_invalid), Forbidden (receipt_scope), Invalid (body_invalid, passkey_invalid), Conflict (passkeys_too_many,
    passkey_used), Gone (passkey_expired), and with a passkey there already what `passkeys.prove` raises.
    """
    person = person_acting(session, runtime, receipt.contributor_id, exclusive=True)
    insist_on_all(session, receipt)
    name = name.strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise Invalid("body_invalid", f"Go back and give it a name of at most {LONGEST} letters.")
    before = passkeys.of(session, person.id)
    if len(before) >= passkeys.MOST:
        raise Conflict("passkeys_too_many", "Remove one that you do not use any more, then add the new one.")
    new = passkeys.made(session, runtime, person.id, sent, now)
    signed = {"key": thumbprint(as_jwk(new.public_key)), **_of(receipt)}
    proven = passkeys.prove(session, runtime, person.id, {"type": "passkey.added", **signed}, now=now)
    made = new_id("passkey")
    row = Passkey(
        id=made, contributor_id=person.id, credential_id=new.credential, public_key=new.public_key, sign_count=new.sign_count,
        name_sealed=person.sealer.seal(name.encode(), passkeys.name_place(made)), added_at=now,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise Conflict("passkey_used", "This passkey stands on a page already. Make another one.") from None
    if not before:
        recovery.end(session, person.id, None)  # whoever had a receipt may have made a code with it, and a code removes passkeys
    _logged(session, person, receipt.contribution_id, "passkey.added", {**signed, **proven}, now)
    return None if before else claims.mint(session, person.id, receipt.contribution_id, now=now)


def remove(session: Session, runtime: Runtime, receipt: Receipt, passkey: str, *, now: datetime) -> ConsentAct:
    """Remove one, with a passkey, which may be the same. Raises NotFound (not_found), Forbidden (receipt_scope), Unauthorised
    (token_invalid) and what `passkeys.prove` raises."""
    person = person_acting(session, runtime, receipt.contributor_id, exclusive=True)
    insist_on_all(session, receipt)
    row = session.get(Passkey, passkey, populate_existing=True) if is_id("passkey", passkey) else None
    if row is None or row.contributor_id != person.id:
        raise NotFound("not_found", "Open the page of your passkeys again; it shows those that are there.")
    signed = {"key": thumbprint(as_jwk(bytes(row.public_key))), **_of(receipt)}
    proven = passkeys.prove(session, runtime, person.id, {"type": "passkey.removed", **signed}, now=now)
    session.delete(row)
    session.flush()
    if not passkeys.guarded(session, person.id):
        passkeys.forget(session, person.id, now)  # with the receipts that waited for one
    return _logged(session, person, receipt.contribution_id, "passkey.removed", {**signed, **proven}, now)


def remove_all(session: Session, runtime: Runtime, contributor: str, contribution: str | None, *, now: datetime) -> int:
    """After a recovery code was used, which reaches as far as `contribution`: remove every passkey that it can. Gives how many."""
    person = person_acting(session, runtime, contributor, exclusive=True)
    if contribution is not None and not passkeys.is_sole(session, contributor):
        return 0
    count = passkeys.forget(session, contributor, now)
    if count:
        body = {"keys": count, "capability": "recovery-code", **({} if contribution is None else {"contribution": contribution})}
        _logged(session, person, contribution, "passkey.removed", body, now, "recovery")
    return count


def unlock(session: Session, runtime: Runtime, receipt: Receipt, *, now: datetime) -> str:
    """Give a new receipt for one that came by a portal link, which ends, once the passkey was shown; gives its secret. Whoever opened the
    link knows the secret of before: it must not open what the passkey of another opened.

    Raises Unauthorised (token_invalid) where it was used so before, and what `passkeys.prove` raises.
    """
    person = person_acting(session, runtime, receipt.contributor_id, exclusive=True)
    passkeys.prove(session, runtime, person.id, passkeys.opening(receipt), now=now, tell=False)
    waits = sa.and_(_RECEIPT.c.id == receipt.id, _RECEIPT.c.locked, _RECEIPT.c.revoked_at.is_(None))
    done: Any = session.execute(sa.update(_RECEIPT).where(waits).values(revoked_at=now))
    if done.rowcount != 1:
        raise Unauthorised("token_invalid", "Ask the platform for a new link.")
    return claims.mint(session, person.id, receipt.contribution_id, now=now)


def names(session: Session, runtime: Runtime, contributor: str) -> list[dict[str, Any]]:
    """The passkeys as the person's page lists them."""
    person = contributors.load(session.connection(), runtime.keys, [contributor]).get(contributor)
    found = []
    for row in passkeys.of(session, contributor):
        name = "" if person is None else person.sealer.open(bytes(row.name_sealed), passkeys.name_place(row.id)).decode()
        found.append({"id": row.id, "name": name, "added_at": row.added_at, "used_at": row.used_at})
    return found


def insist_on_all(session: Session, receipt: Receipt) -> None:
    """Raises Forbidden (receipt_scope) for a receipt that covers a part of the person alone."""
    if not passkeys.covers(session, receipt):
        raise Forbidden("receipt_scope", "A passkey guards all that you gave. Ask the platform for a link to all of it, and add it there.")


def _of(receipt: Receipt) -> dict[str, Any]:
    """So that a receipt for the one thing there is also shows the act."""
    return {} if receipt.contribution_id is None else {"contribution": receipt.contribution_id}


def _logged(
    session: Session, person: Person, contribution: str | None, kind: str, body: dict[str, Any], now: datetime, scope: str = "passkey"
) -> ConsentAct:
    act = random_id("act")
    # For who has one thing that is all, the thing is the leaf's subject: what erases it meets this too.
    index = log.append(session, [log.personal(kind, contribution or act, body, person.sealer, now)], now)
    return keep(session, Holder(person.id, contribution), act, kind, scope, 0, 0, index, now, "passkey" in body)
