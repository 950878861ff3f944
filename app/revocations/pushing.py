"""Events that are brought to a lab (RFC 8935), for labs that would rather not ask. What cannot be brought waits to be fetched.

Bringing changes no day: a recall's run from when it was opened, and are kept by whoever fetches. An answer 202 is the lab's word that
it has the event, as an acknowledgement when fetching is.
"""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.core.strictjson import StrictJSONError, parse
from app.crypto.sealing import Sealer
from app.kit.background import Background
from app.kit.db import for_update, insert_or_ignore, read, write
from app.kit.egress import AddressRefused, FetchFailed, Reply
from app.kit.errors import Invalid, NotFound
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.revocations import events
from app.revocations.models import PushAddress, SecurityEvent

EVERY = 2.0
"""Seconds between two looks."""
AT_ONCE = 20
"""Events brought to one lab before the next has its turn."""
PAUSES = (5, 30, 120, 600, 3_600, 6 * 3_600)
"""Seconds until the next attempt, after one failure, two, …; the last for all further ones."""
_ONES_TURN = timedelta(minutes=3)
"""How long a process has a lab to itself: more than AT_ONCE exchanges take."""


def set_address(session: Session, runtime: Runtime, lab: Lab, url: str, authorization: str | None, *, now: datetime) -> PushAddress:
    """Bring the lab's events to `url` from now on, with this Authorization header where one is given. Raises Invalid
    (push_address_refused)."""
    try:
        runtime.egress.check(url)
    except AddressRefused as error:
        raise Invalid("push_address_refused", f"Give another address for events: {error}.") from None
    new = {"lab_id": lab.id, "url": url, "set_at": now, "next_at": now, "failures": 0}
    insert_or_ignore(session, PushAddress.__table__, new)  # type: ignore[attr-defined]  # two may set the first one at once
    row = session.exec(for_update(select(PushAddress).where(PushAddress.lab_id == lab.id), session)).one()
    row.url, row.set_at, row.next_at, row.failures, row.problem = url, now, now, 0, None
    row.authorization = None if authorization is None else _sealer(runtime).seal(authorization.encode(), lab.id.encode())
    session.add(row)
    return row


def address_of(session: Session, lab: Lab) -> PushAddress:
    """Raises NotFound (not_found)."""
    row = session.get(PushAddress, lab.id)
    if row is None:
        raise NotFound("not_found", "Events are not brought to you; set an address with PUT.")
    return row


def forget_address(session: Session, lab: Lab) -> None:
    """Bring nothing more; what waits can be fetched. Raises NotFound (not_found)."""
    session.delete(address_of(session, lab))


def _sealer(runtime: Runtime) -> Sealer:
    return Sealer(runtime.keys.derive("push"))


class Pusher(Background):
    """Looks every few seconds for what waits to be brought."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__("push", EVERY, "push.failed")
        self._runtime = runtime

    def look(self) -> None:
        """Bring what waits to every lab whose turn it is."""
        now = self._runtime.clock.now()
        waiting = sa.exists().where(SecurityEvent.lab_id == PushAddress.lab_id, SecurityEvent.acked_at == None)
        with read(self._runtime.engine) as session:
            labs = list(session.exec(select(PushAddress.lab_id).where(PushAddress.next_at <= now, waiting)))
        for lab in labs:
            if self._stop.is_set():
                return
            self._bring(lab, now)

    def _bring(self, lab: str, now: datetime) -> None:
        with write(self._runtime.engine) as session:
            # Whoever moves it on has the lab to itself; another process finds that its turn is not yet.
            mine = sa.update(PushAddress).where(PushAddress.lab_id == lab, PushAddress.next_at <= now).values(next_at=now + _ONES_TURN)  # type: ignore[arg-type]
            if session.execute(mine).rowcount == 0:  # type: ignore[attr-defined]
                return
            row = session.get_one(PushAddress, lab)
            url, tokens = row.url, events.waiting(session, self._runtime, lab, AT_ONCE)[0]
            sealed = row.authorization
            told = {} if sealed is None else {"Authorization": _sealer(self._runtime).open(bytes(sealed), lab.encode()).decode()}
        problem = None
        for jti, token in tokens.items():
            problem = self._one(lab, url, told, jti, token)
            if problem is not None:
                break
        self._note(lab, url, problem)

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

    def _note(self, lab: str, url: str, problem: str | None) -> None:
        now = self._runtime.clock.now()
        with write(self._runtime.engine) as session:
            row = session.get(PushAddress, lab, with_for_update=True)
            if row is None or row.url != url:
                return  # the lab has set another meanwhile
            row.failures = 0 if problem is None else row.failures + 1
            pause = 0 if problem is None else PAUSES[min(row.failures, len(PAUSES)) - 1]
            row.problem, row.next_at = problem, now + timedelta(seconds=pause)
            session.add(row)


def _refusal(reply: Reply) -> str | None:
    """What a lab says is wrong with an event (RFC 8935 section 2.3), None where it says nothing that can be read."""
    try:
        said: Any = parse(reply.body, max_bytes=10_000)
    except StrictJSONError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("err"), str):
        return None
    return f"{said['err'][:50]}: {str(said.get('description', ''))[:400]}".removesuffix(": ")
