"""What outside systems send by themselves, on its way through their adapters to the record path; and what is refused of it.

Nothing sent is ever answered back or logged. A refused line leaves a report: its code, and a sentence that holds nothing of it.
Its content stays for a week, sealed, so that it can be tried again, since these systems send once; but only where the line
could be read far enough to take addresses out of it, and never that of people who were erased.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select
from starlette.concurrency import run_in_threadpool

from app.contributions.committer import Committer
from app.contributions.formats.cutting import dump_skeleton
from app.contributions.formats.draft import UNTIL_FIXED, Refusal, Wrong
from app.contributions.formats.draft import Draft as Act
from app.contributions.formats.hooked import HOOKED, Event, Sent
from app.contributions.formats.reading import Raw
from app.contributions.hook_models import OutsideName, RefusedLine
from app.contributions.importing import Checking
from app.contributions.recording import Draft, Recorded
from app.core.strictjson import StrictJSONError
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.kit.db import read, write
from app.kit.errors import (
    Conflict,
    DomainError,
    Invalid,
    Malformed,
    NotFound,
    TooLarge,
    TooMany,
    Unauthorised,
    Unavailable,
)
from app.kit.ids import is_id, new_id
from app.kit.runtime import Runtime
from app.parties import ingest_keys
from app.parties.models import IngestKey

KEEP_CONTENT = timedelta(days=7)
KEEP_REPORT = timedelta(days=30)
MOST_REPORTS = 10_000
"""Reports kept of one platform; then the oldest go."""
_KEY_SECONDS = 10.0
_MOST_KEYS = 10_000
_NEVER_KEPT = frozenset({"contribution_gone", "contributor_refused"})


@dataclass(frozen=True)
class Done:
    """What came of one request."""

    recorded: list[Recorded]
    revoked: int
    """Contributions whose consent ended because their system deleted them."""


class Hooks:
    """Takes lines for one service."""

    revoke: Callable[[Runtime, list[str]], int]
    """What ends the consents of contributions that their system deleted: given by whoever puts the service together, since it
    reaches into releases."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._keys: dict[tuple[str, bytes], tuple[float, IngestKey]] = {}

    async def key(self, format_: str, secret: str) -> IngestKey:
        """The ingest key of an address. Raises NotFound (ingest_key_unknown).

        A look-up would double what a vote waits for, so a key is remembered for a while where it has no secret that can change. That
        it is not revoked is asked again when something is recorded with it, in that transaction.
        """
        name, now = (format_, sha256(secret.encode()).digest()), time.monotonic()
        found = self._keys.get(name)
        if found is None or found[0] < now:
            key = await run_in_threadpool(self._find, format_, secret)
            if HOOKED[format_].proved is not None:
                return key
            if len(self._keys) >= _MOST_KEYS:
                self._keys.clear()
            found = self._keys[name] = (now + _KEY_SECONDS, key)
        return found[1]

    def _find(self, format_: str, secret: str) -> IngestKey:
        with read(self._runtime.engine) as session:
            return ingest_keys.find(session, format_, secret)

    async def take(self, key: IngestKey, headers: Mapping[str, str], body: bytes) -> Done:
        """Record what one request holds, durable when this returns; the same again gives the first answer.

        `headers` by lower-case name. Raises DomainError, after a report of it was kept; what else the request held is recorded.
        """
        try:
            event = await self._read(key, headers, body)
        except (TooMany, Unavailable):
            raise
        except DomainError as error:
            await run_in_threadpool(self._report, key, None, len(body), error)
            raise
        recorded, refused = [], None
        for sent in event.records:
            try:
                recorded.append(await self._record(key, sent, key.id))
            except (TooMany, Unavailable):
                raise
            except DomainError as error:
                if sent.once and error.code == "external_id_conflict":
                    continue
                await run_in_threadpool(self._report, key, sent, len(sent.record), error)
                refused = refused or error
        if refused is not None:
            raise refused
        revoked = await run_in_threadpool(self._revoke, key, event.gone) if event.gone else 0
        return Done(recorded, revoked)

    async def say(self, key: IngestKey, record: bytes) -> Recorded:
        """Record what a person is waiting for; a refusal is theirs to read, and nothing is kept of it. Raises DomainError."""
        return await self._record(key, Sent(record), key.id)

    async def try_again(self, platform_id: str, refused: str) -> Recorded:
        """Record a refused line whose content is still kept. Raises NotFound (refused_line_unknown), or why it is refused now."""
        key, sent = await run_in_threadpool(self._kept, platform_id, refused)
        try:
            done = await self._record(key, sent)
        except (TooMany, Unavailable):
            raise
        except DomainError as error:
            await run_in_threadpool(self._note, refused, error)
            raise
        await run_in_threadpool(self._note, refused, None)
        return done

    async def _read(self, key: IngestKey, headers: Mapping[str, str], body: bytes) -> Event:
        limit, hooked = self._runtime.settings.max_record_bytes, HOOKED[key.format]
        if len(body) > limit:
            raise TooLarge("record_too_large", f"Send at most {limit} bytes a contribution.")
        if hooked.proved is not None:
            secret = ingest_keys.secret_of(self._runtime.keys, key)
            if secret is None or not hooked.proved(secret, headers, body, self._runtime.clock.now()):
                raise Unauthorised("webhook_unproved", "Look at the secret, at the header that carries it, and at both clocks.")
        try:
            return hooked.read(body)
        except StrictJSONError as error:
            raise Malformed(error.code, error.detail) from None
        except UnicodeDecodeError:
            raise Malformed("json_not_utf8", "Send UTF-8.") from None
        except Wrong as error:
            raise Invalid(error.code, error.rule[:1].upper() + error.rule[1:] + ".") from None

    async def _record(self, key: IngestKey, sent: Sent, living: str | None = None) -> Recorded:
        """`living`: the key's id where it must not be revoked."""
        act, skeleton = self._act(key, sent)
        try:
            return await self._submit(key, sent, act, skeleton, living)
        except Conflict as error:
            if error.code != "external_id_conflict" or not sent.revision:
                raise
        # A later version of what is here: an act of its own, that answers the first.
        later = replace(act, external_id=f"{act.external_id}@{sent.revision}", parent=act.external_id)
        return await self._submit(key, sent, later, skeleton, living)

    def _act(self, key: IngestKey, sent: Sent) -> tuple[Act, bytes]:
        record = HOOKED[key.format].adapter.one(Raw("", 1, sent.record, tail=b"\n"), "", key.format)
        if isinstance(record, Refusal):
            raise (Malformed if record.code.startswith("json_") else Invalid)(record.code, record.detail)
        if record.refused:
            raise Invalid(record.refused[0].code, record.refused[0].detail)
        if len(record.drafts) != 1:
            raise Invalid("format_mismatch", "A line must be one act of one person.")
        return record.drafts[0], dump_skeleton(record.skeleton)

    async def _submit(self, key: IngestKey, sent: Sent, act: Act, skeleton: bytes, living: str | None) -> Recorded:
        intake, now = self._runtime.parts["intake"], self._runtime.clock.now()
        consent: dict[str, Any] | None = None if key.consent is None else json.loads(key.consent)
        if act.embargo not in (None, UNTIL_FIXED) and datetime.fromisoformat(str(act.embargo).replace("Z", "+00:00")) > now:
            act = replace(act, embargo=UNTIL_FIXED)  # the hold window of what comes by itself is one for all
        checking = Checking(intake, consent, HOOKED[key.format].adapter, now)
        draft: Draft = await intake.read(checking.body(act, Counter()), key.platform_id, now=now)
        draft.may_default = draft.may_default and checking.may_default(act)
        place = skeleton_place(key.platform_id, draft.external_hash)
        sealed = skeleton_sealer(self._runtime, key.platform_id).seal(skeleton, place)
        checking.beside(draft, act, key.platform_id)
        draft.key, draft.origin = living, (key.id, sealed)
        committer: Committer = self._runtime.parts["committer"]
        [result] = await committer.submit([draft])
        if isinstance(result, DomainError):
            raise result
        return result

    def _revoke(self, key: IngestKey, gone: tuple[str, ...]) -> int:
        intake = self._runtime.parts["intake"]
        macs = [intake.outside_name(key.platform_id, key.format, name) for name in gone]
        with read(self._runtime.engine) as session:
            ids = [
                found
                for start in range(0, len(macs), 1000)
                for found in session.exec(
                    select(OutsideName.contribution_id).where(
                        sa.or_(*(c.in_(macs[start : start + 1000]) for c in (OutsideName.own_mac, OutsideName.group_mac)))  # type: ignore[union-attr]
                    )
                )
            ]
        return self.revoke(self._runtime, sorted(ids)) if ids else 0

    # -- reports ---------------------------------------------------------------------------------------------------
    def _report(self, key: IngestKey, sent: Sent | None, size: int, error: DomainError) -> None:
        now, keys = self._runtime.clock.now(), self._runtime.keys
        row = RefusedLine(
            id=new_id("refused_line"), platform_id=key.platform_id, key_id=key.id, received_at=now, code=error.code,
            detail=error.detail, size=size,
        )  # fmt: skip
        if sent is not None and error.code not in _NEVER_KEPT:
            own = new_key()
            row.epoch, row.wrapped = keys.wrap(row.id, own)
            row.content = Sealer(own).seal(json.dumps(asdict(sent) | {"record": sent.record.decode()}).encode(), _place(row.id))
        with write(self._runtime.engine) as session:
            if session.exec(select(IngestKey.revoked_at).where(IngestKey.id == key.id)).one() is not None:
                return  # revoked since it was remembered: nothing is kept of what it sends
            session.add(row)
            session.flush()
            mine = select(RefusedLine.id).where(RefusedLine.platform_id == key.platform_id)
            oldest = session.exec(mine.order_by(sa.desc(RefusedLine.id)).offset(MOST_REPORTS).limit(1)).first()  # type: ignore[arg-type]
            if oldest is not None:
                gone = sa.delete(RefusedLine).where(RefusedLine.platform_id == key.platform_id, RefusedLine.id <= oldest)  # type: ignore[arg-type]
                session.execute(gone)

    def _kept(self, platform_id: str, refused: str) -> tuple[IngestKey, Sent]:
        unknown = NotFound("refused_line_unknown", "Look at the list again; content is kept for 7 days, where it could be.")
        with read(self._runtime.engine) as session:
            row = session.get(RefusedLine, refused) if is_id("refused_line", refused) else None
            if row is None or row.platform_id != platform_id or row.content is None or row.wrapped is None:
                raise unknown
            key = session.get(IngestKey, row.key_id)
        try:
            own = self._runtime.keys.unwrap(row.id, row.epoch or 0, bytes(row.wrapped))
            content = Sealer(own).open(bytes(row.content), _place(row.id))
        except CannotOpen:
            raise unknown from None
        assert key is not None
        found = json.loads(content)
        return key, Sent(found["record"].encode(), found.get("revision", ""), found.get("once", False))

    def _note(self, refused: str, error: DomainError | None) -> None:
        """What came of trying again: the new reason, or that it is recorded, and then its content goes."""
        with write(self._runtime.engine) as session:
            row = session.get(RefusedLine, refused)
            if row is None:
                return
            if error is None:
                row.settled_at = self._runtime.clock.now()
            else:
                row.code, row.detail = error.code, error.detail
            if error is None or error.code in _NEVER_KEPT:
                row.epoch = row.wrapped = row.content = None
            session.add(row)


def skeleton_sealer(runtime: Runtime, platform_id: str) -> Sealer:
    """Seals and opens the skeletons of a platform's hooks."""
    return Sealer(runtime.keys.derive(f"skeleton/{platform_id}"))


def skeleton_place(platform_id: str, external_hash: bytes) -> bytes:
    """Where a hook's skeleton belongs."""
    return b"skeleton\x00hook\x00" + platform_id.encode() + b"\x00" + external_hash


def forget_refused(session: Session, now: datetime) -> None:
    """Drop the content of refused lines after a week, and their reports after a month."""
    old = RefusedLine.received_at < now - KEEP_CONTENT
    bare = {"epoch": None, "wrapped": None, "content": None}
    session.execute(sa.update(RefusedLine).where(old, RefusedLine.content != None).values(bare))  # type: ignore[arg-type]
    session.execute(sa.delete(RefusedLine).where(RefusedLine.received_at < now - KEEP_REPORT))  # type: ignore[arg-type]


def _place(refused: str) -> bytes:
    return b"refused-line\x00" + refused.encode()
