"""Events that are brought to a lab (RFC 8935), for labs that would rather not ask. What cannot be brought waits to be fetched.

Bringing changes no day: a recall's run from when it was opened, and are kept by whoever fetches. An answer 202 is the lab's word that
it has the event, as an acknowledgement when fetching is.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.core.strictjson import StrictJSONError, parse
from app.crypto.sealing import Sealer
from app.kit.db import for_update, insert_or_ignore, write
from app.kit.egress import AddressRefused, FetchFailed, Reply
from app.kit.errors import Invalid, NotFound
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.revocations import events
from app.revocations.models import PushAddress, SecurityEvent
from app.revocations.turns import AT_ONCE, Send, Turns

PAUSES = (5, 30, 120, 600, 3_600, 6 * 3_600)
"""Seconds until the next attempt, after one failure, two, …; the last for all further ones."""


def set_address(session: Session, runtime: Runtime, lab: Lab, url: str, authorization: str | None, *, now: datetime) -> PushAddress:
    """Bring the lab's events to `url` from now on, with this Authorization header where one is given. Raises Invalid
    (push_address_refused)."""
    try:
        runtime.egress.check(url)
    except AddressRefused as error:
        raise Invalid("push_address_refused", f"Give another address for events: {error}.") from None
    new = {"lab_id": lab.id, "url": url, "set_at": now, "next_at": now, "failures": 0}
    insert_or_ignore(session, PushAddress.__table__, new)  # type: ignore[attr-defined]  # two may set the first one at once
    row = address_of(session, lab, lock=True)
    row.url, row.set_at, row.next_at, row.failures, row.problem = url, now, now, 0, None
    row.authorization = None if authorization is None else _sealer(runtime).seal(authorization.encode(), lab.id.encode())
    session.add(row)
    return row


def address_of(session: Session, lab: Lab, *, lock: bool = False) -> PushAddress:
    """Raises NotFound (not_found)."""
    query = select(PushAddress).where(PushAddress.lab_id == lab.id)
    row = session.exec(for_update(query, session) if lock else query).first()
    if row is None:
        raise NotFound("not_found", "Events are not brought to you; set an address with PUT.")
    return row


def forget_address(session: Session, lab: Lab) -> None:
    """Bring nothing more; what waits can be fetched. Raises NotFound (not_found)."""
    session.delete(address_of(session, lab, lock=True))


def _sealer(runtime: Runtime) -> Sealer:
    return Sealer(runtime.keys.derive("push"))


class Pusher(Turns[PushAddress]):
    """Looks every few seconds for what waits to be brought."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(runtime, "push", PushAddress, PAUSES)

    def due(self) -> Iterable[Any]:
        yield sa.exists().where(SecurityEvent.lab_id == PushAddress.lab_id, SecurityEvent.acked_at == None)

    def prepare(self, session: Session, row: PushAddress, now: datetime) -> list[Send]:
        lab, url, sealed = row.lab_id, row.url, row.authorization
        told = {} if sealed is None else {"Authorization": _sealer(self._runtime).open(bytes(sealed), lab.encode()).decode()}
        tokens = events.waiting(session, self._runtime, lab, AT_ONCE)[0]
        return [partial(self._one, lab, url, told, jti, token) for jti, token in tokens.items()]

    def _one(self, lab: str, url: str, headers: dict[str, str], jti: str, token: str) -> str | None:
        sent = {"Content-Type": "application/secevent+jwt", "Accept": "application/json", **headers}
        try:
            reply = self._runtime.egress.ask(url, method="POST", content=token.encode(), headers=sent)
        except (AddressRefused, FetchFailed) as error:
            return str(error)
        refusal = _refusal(reply) if reply.status == 400 else None
        if reply.status != 202 and refusal is None:
            return f"the address answered {reply.status}"
        with write(self._runtime.engine) as session:
            found = session.get_one(Lab, lab)
            events.settle(session, found, [] if refusal else [jti], {jti: refusal} if refusal else {}, now=self._runtime.clock.now())
        return None


def _refusal(reply: Reply) -> str | None:
    """What a lab says is wrong with an event (RFC 8935 section 2.3), None where it says nothing that can be read."""
    try:
        said: Any = parse(reply.body, max_bytes=10_000)
    except StrictJSONError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("err"), str):
        return None
    return f"{said['err'][:50]}: {str(said.get('description', ''))[:400]}".removesuffix(": ")
