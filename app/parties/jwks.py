"""Keys that a lab publishes itself, at its `jwks_uri` (RFC 7517 section 5): read again every hour, and when a key is met that is not known.

A key that stands there is one of the lab's, whatever its `kid`; one that stands there no more is revoked. A document that cannot be
had, or that holds no key, changes nothing: who breaks their web server must not lose their keys by it. A key that was revoked never
comes back.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import structlog
from sqlmodel import Session, select

from app.core.strictjson import StrictJSONError, parse
from app.crypto.signing import BadKey, BadSignature, peek_header, thumbprint
from app.crypto.tokens import is_by
from app.kit.db import for_update, read, write
from app.kit.egress import AddressRefused, Egress, FetchFailed
from app.kit.errors import Conflict, DomainError, Invalid
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.parties import service
from app.parties.models import Lab, LabKey

EVERY = timedelta(hours=1)
AT_MOST = timedelta(minutes=1)
"""How often an unknown key may have the address read: whoever sends one is not known yet."""
MOST_KEYS = 20


def fetch(egress: Egress, uri: str) -> list[dict[str, Any]]:
    """The public keys published at an address, of the kinds that this service takes. Raises Invalid (jwks_uri_refused,
    jwks_unreadable)."""
    try:
        reply = egress.ask(uri, headers={"Accept": "application/jwk-set+json, application/json"})
    except AddressRefused as error:
        raise Invalid("jwks_uri_refused", f"Give another address for the keys: {error}.") from None
    except FetchFailed as error:
        _unreadable(str(error))
    if reply.status != 200:
        _unreadable(f"the address answered {reply.status}")
    try:
        found = parse(reply.body, max_bytes=len(reply.body) + 1)
    except StrictJSONError:
        _unreadable("what is there is no JSON")
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys or len(keys) > MOST_KEYS:
        _unreadable(f"there must be 1 to {MOST_KEYS} keys in a JWK set")
    taken = [key for key in keys if _taken(key)]
    if not taken:
        _unreadable("none of the keys there is an Ed25519, P-256 or RSA public key for signing")
    return taken


def _taken(key: Any) -> bool:
    # RFC 7517 section 5: a key of a kind that is not understood is passed over. A private one is no such kind.
    try:
        thumbprint(key)
    except BadKey:
        return False
    return key.get("use", "sig") == "sig"


def _unreadable(why: str) -> NoReturn:
    raise Invalid("jwks_unreadable", f"The keys could not be read: {why}.")


def adopt(session: Session, lab: Lab, uri: str, keys: list[dict[str, Any]], *, now: datetime) -> tuple[list[str], list[str]]:
    """Let `keys` be what the lab publishes at `uri`; gives the thumbprints (added, revoked).

    Raises Conflict (party_exists) where one is another lab's.
    """
    held = for_update(select(Lab).where(Lab.id == lab.id), session).execution_options(populate_existing=True)
    row = session.exec(held).one()
    row.jwks_uri, row.jwks_asked_at = uri, now
    session.add(row)
    known = {key.thumbprint: key for key in session.exec(select(LabKey).where(LabKey.lab_id == lab.id))}
    wanted = {thumbprint(jwk): jwk for jwk in keys}
    added = [print_ for print_ in wanted if print_ not in known]
    for print_ in added:
        if (other := session.get(LabKey, print_)) is not None and other.lab_id != lab.id:
            raise Conflict("party_exists", "One of the keys there is another lab's; every lab has keys of its own.")
        service.add_lab_key(session, row, wanted[print_], now=now, from_uri=True)
    gone = [key for key in known.values() if key.from_uri and key.revoked_at is None and key.thumbprint not in wanted]
    for key in gone:
        service.revoke_lab_key(session, key, now=now)
    return added, [key.thumbprint for key in gone]


def look(runtime: Runtime, now: datetime, due: Callable[[Lab], bool]) -> None:
    """Read again the keys of the labs that are `due`. What goes wrong with one is noted, and stops no other."""
    with read(runtime.engine) as session:
        labs = [lab for lab in session.exec(select(Lab).where(Lab.jwks_uri != None)) if due(lab)]
    for lab in labs:
        with write(runtime.engine) as session:  # first, so that what fails is not tried at every request
            session.get_one(Lab, lab.id).jwks_asked_at = now
        try:
            keys = fetch(runtime.egress, str(lab.jwks_uri))
            with write(runtime.engine) as session:
                adopt(session, lab, str(lab.jwks_uri), keys, now=now)
        except DomainError as error:
            structlog.get_logger("sayso").warning("jwks.not-read", lab=lab.id, code=error.code)


def look_at_all(runtime: Runtime, now: datetime) -> None:
    """The hourly reading."""
    look(runtime, now, lambda lab: lab.jwks_asked_at is None or now - lab.jwks_asked_at >= EVERY)


def meet(runtime: Runtime, form: dict[str, str]) -> None:
    """Before a client assertion is looked at: where none of the known keys of a lab that publishes its keys made it, read those."""
    assertion = form.get("client_assertion", "")
    lab_id = form.get("client_id") or service.assertion_subject(assertion) if assertion else None
    if not isinstance(lab_id, str) or not is_id("lab", lab_id):
        return
    try:
        kid = peek_header(assertion).get("kid")
    except BadSignature:
        return
    now = runtime.clock.now()
    with read(runtime.engine) as session:
        lab = session.get(Lab, lab_id)
        if lab is None or lab.jwks_uri is None:
            return
        known = list(session.exec(select(LabKey).where(LabKey.lab_id == lab_id)))
    if any(key.thumbprint == kid for key in known) or any(key.revoked_at is None and is_by(assertion, key.jwk) for key in known):
        return
    look(runtime, now, lambda one: one.id == lab_id and (one.jwks_asked_at is None or now - one.jwks_asked_at >= AT_MOST))
