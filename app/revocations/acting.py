"""What every act of a person shares: who acts, their locks, the recall of what it touches.

Order inside each transaction: the person's key row, the contributions' row locks by id, their consents, the log head, and only
then the shards and recalls. Under the head lock every release that was published before is visible and none can be published
beside us, so no shard that holds the record is missed; nothing else locks shards before the head.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.consents import service as consents
from app.consents.models import Consent, Narrowing
from app.consents.policies import PolicyBook
from app.contributions.models import Contribution
from app.core.narrowing import narrows
from app.kit.db import for_update
from app.kit.errors import NotFound, Unauthorised
from app.kit.runtime import Runtime
from app.parties import contributors
from app.parties.contributors import Person
from app.parties.models import Receipt
from app.releases.models import RecallItem, Release, ReleaseItem, Shard
from app.revocations.answered import answered
from app.revocations.models import ConsentAct

_C = Contribution.__table__  # type: ignore[attr-defined]
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_RELEASE = Release.__table__  # type: ignore[attr-defined]
_RECALL_ITEM = RecallItem.__table__  # type: ignore[attr-defined]
_SHARD = Shard.__table__  # type: ignore[attr-defined]
_NARROWING = Narrowing.__table__  # type: ignore[attr-defined]
OUT = ("published", "superseded")
"""States of a release that was out."""


@dataclass(frozen=True)
class Holder:
    """Who acts, and over what: all of a contributor's contributions, or one."""

    contributor: str
    contribution: str | None
    claimed: bool = True


def holder_of(receipt: Receipt) -> Holder:
    """Whom a receipt makes whoever has it."""
    return Holder(receipt.contributor_id, receipt.contribution_id)


def keep(
    session: Session,
    holder: Holder,
    act: str,
    kind: str,
    reach: str,
    contributions: int,
    recalls: int,
    index: int,
    now: datetime,
    by_passkey: bool = False,
) -> ConsentAct:
    """Note what the act did, for a retried request and the person's page."""
    row = ConsentAct(
        id=act, contributor_id=holder.contributor, type=kind, scope=reach, contributions=contributions, recalls=recalls,
        log_index=index, at=now, by_passkey=by_passkey,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def person_acting(session: Session, runtime: Runtime, contributor: str, *, exclusive: bool = False) -> Person:
    """The person, not to be erased before this transaction ends; with `exclusive` nothing of theirs is recorded before it ends
    either, so that an act on everything meets everything. Raises Unauthorised (token_invalid) where they were erased."""
    person = contributors.hold(session, runtime.keys, contributor, exclusive=exclusive)
    if person is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    return person


def lock(session: Session, holder: Holder, ids: list[str] | None) -> list[Any]:
    """The holder's contributions (all, or those named), locked in id order. Raises NotFound (not_found) for another's."""
    columns = (_C.c.id, _C.c.state, _C.c.platform_id, _C.c.kind, _C.c.external_hash)
    query = sa.select(*columns).where(_C.c.contributor_id == holder.contributor).order_by(_C.c.id)
    if holder.contribution is not None:
        query = query.where(_C.c.id == holder.contribution)
    if ids is not None:
        query = query.where(_C.c.id.in_(ids))
    rows = session.execute(for_update(query, session)).all()
    if ids is not None and len(rows) < len(set(ids)):
        raise NotFound("not_found", "Look at the ids; each must be one that this receipt covers.")
    return list(rows)


def named(rows: list[Any]) -> list[list[str]]:
    """Contributions as the narrowing journal names them: id, platform, kind and the keyed hash of the external id, by which one
    that a restored database no longer knows is known again when somebody records it anew."""
    return [[r.id, r.platform_id, r.kind, bytes(r.external_hash).hex()] for r in rows]


def end_contributions(session: Session, live: list[str], verb: str, now: datetime) -> None:
    """Withdrawn, with their consents ended: withdrawn by the person, or revoked by another."""
    for start in range(0, len(live), 5000):
        some = live[start : start + 5000]
        session.execute(sa.update(Contribution).where(Contribution.id.in_(some)).values(state="withdrawn"))  # type: ignore[attr-defined]
        consents.end(session, Consent.contribution_id.in_(some), verb, now)  # type: ignore[union-attr]


def chunks(ids: list[str]) -> Iterator[list[str]]:
    """`ids` in lists that a statement takes."""
    for start in range(0, len(ids), 5000):
        yield ids[start : start + 5000]


def wider_than(session: Session, book: PolicyBook, live: list[str], standing: Consent) -> list[str]:
    """Those whose own consent permits anything that the standing one does not: until now it was held back by that."""
    own: list[tuple[str, int]] = []
    for some in chunks(live):
        query = select(Consent.contribution_id, Consent.policy_id).where(Consent.state == "current", Consent.contribution_id.in_(some))  # type: ignore[union-attr]
        own += [(str(contribution), policy) for contribution, policy in session.exec(query)]
    stored = book.by_ids({standing.policy_id, *(policy for _, policy in own)})
    limit = stored[standing.policy_id].terms
    wider = {policy for policy in {p for _, p in own} if not narrows(stored[policy].terms, limit)}
    return [contribution for contribution, policy in own if policy in wider]


def without_own(session: Session, live: list[str]) -> list[str]:
    """Those that no consent of their own governs."""
    own: set[str] = set()
    for start in range(0, len(live), 5000):
        own |= set(
            session.execute(
                sa.select(Consent.contribution_id).where(
                    Consent.state == "current", Consent.contribution_id.in_(live[start : start + 5000])
                )  # type: ignore[call-overload,union-attr]
            ).scalars()
        )
    return [c for c in live if c not in own]


def note(session: Session, index: int, contributor: str | None, ids: list[str], now: datetime) -> None:
    """The narrowing rows that cuts look for: the whole contributor, or contributions one by one."""
    rows: list[dict[str, Any]] = [{"log_index": index, "contributor_id": None, "contribution_id": c, "at": now} for c in ids]
    if contributor is not None:
        rows.append({"log_index": index, "contributor_id": contributor, "contribution_id": None, "at": now})
    session.flush()
    if rows:
        session.execute(_NARROWING.insert(), rows)


def holding(session: Session, ids: list[str]) -> list[Agreement]:
    """Agreements under which a published release holds any of these."""
    found: set[str] = set()
    for start in range(0, len(ids), 5000):
        found |= set(
            session.execute(
                sa.select(_RELEASE.c.agreement_id)
                .join(_ITEM, _ITEM.c.release_id == _RELEASE.c.id)
                .where(
                    _ITEM.c.contribution_id.in_(ids[start : start + 5000]),
                    _ITEM.c.parts > 0,
                    _RELEASE.c.state.in_(OUT),
                )
                .distinct()
            ).scalars()
        )
    return list(session.exec(select(Agreement).where(Agreement.id.in_(found)).order_by(Agreement.id)))  # type: ignore[attr-defined,arg-type]


@dataclass(frozen=True)
class Closed:
    """What was open under one agreement: the record ids there, and of which contributions."""

    agreement: Agreement
    records: set[bytes]
    contributions: set[str]


def close(session: Session, ids: list[str], reaches: Callable[[Agreement], bool] | None, now: datetime) -> list[Closed]:
    """Under the head lock: close every shard that holds one of these for an agreement that the act reaches (None: for every one); by
    agreement."""
    if reaches is None:
        held = _held(session, ids)
        reached = list(session.exec(select(Agreement).where(Agreement.id.in_(list(held))).order_by(Agreement.id))) if held else []  # type: ignore[attr-defined]
    else:
        # What others hold of many people is not read row by row while the head is held.
        reached = [one for one in holding(session, ids) if reaches(one)]
        held = _held(session, ids, [one.id for one in reached]) if reached else {}
    return [Closed(one, _close(session, held[one.id], now), {row.contribution_id for row in held[one.id]}) for one in reached]


def recall(
    session: Session, runtime: Runtime, ids: list[str], reaches: Callable[[Agreement], bool] | None, now: datetime
) -> int:
    """Under the head lock: `close`, and note the recall; gives how many copies labs are to delete."""
    return sum(_note_recall(session, runtime, one.agreement, one.records, now) for one in close(session, ids, reaches, now))


def recall_from(
    session: Session, runtime: Runtime, agreement: Agreement, ids: list[str], now: datetime
) -> int:
    """`recall` for one agreement; gives how many copies are to be deleted."""
    records = _close(session, _held(session, ids, [agreement.id]).get(agreement.id, []), now)
    return _note_recall(session, runtime, agreement, records, now)


def _note_recall(session: Session, runtime: Runtime, agreement: Agreement, records: set[bytes], now: datetime) -> int:
    """What the lab said that it deleted is told too, and is no copy of its."""
    if records:
        session.execute(_RECALL_ITEM.insert(), [{"agreement_id": agreement.id, "record_id": r, "created_at": now} for r in sorted(records)])
        # Told at the next full batch, all agreements' acts together: who withdrew a minute ago is nobody's to work out.
        runtime.jobs.enqueue_batched(session, "recall", agreement.id, runtime.settings.recall_batch_seconds, runtime.clock.now())
        runtime.jobs.enqueue_batched(session, "sweep", "", min(60, runtime.settings.recall_batch_seconds), runtime.clock.now())
    return len(records) - len(answered(session, agreement, records))


def _held(session: Session, ids: list[str], agreements: list[str] | None = None) -> dict[str, list[Any]]:
    """Where any of these was released, by agreement; of some agreements, or of all."""
    found: dict[str, list[Any]] = {}
    for some in chunks(ids):
        query = (
            sa.select(_RELEASE.c.agreement_id, _ITEM.c.release_id, _ITEM.c.shard, _ITEM.c.record_id, _ITEM.c.contribution_id)
            .join(_RELEASE, _RELEASE.c.id == _ITEM.c.release_id)
            .where(_RELEASE.c.state.in_(OUT), _ITEM.c.parts > 0, _ITEM.c.contribution_id.in_(some))
        )
        if agreements is not None:
            query = query.where(_RELEASE.c.agreement_id.in_(agreements))
        for row in session.execute(query):
            found.setdefault(row.agreement_id, []).append(row)
    return found


def _close(session: Session, held: list[Any], now: datetime) -> set[bytes]:
    places = sorted({(row.release_id, row.shard) for row in held})
    for start in range(0, len(places), 5000):
        here = sa.tuple_(_SHARD.c.release_id, _SHARD.c.shard).in_(places[start : start + 5000])
        session.execute(_SHARD.update().where(_SHARD.c.state == "live", here).values(state="gone", gone_at=now))
    return {bytes(row.record_id) for row in held}
