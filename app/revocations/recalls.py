"""Recalls: telling holders in batches what to delete, and what they answer."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.core.constraints import period_days
from app.core.manifest import records_digest
from app.kit.db import for_update, read, write
from app.kit.errors import Conflict, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab
from app.releases import service as releases
from app.releases.models import Recall, RecallItem
from app.releases.queries import stopped
from app.revocations import deadlines, events
from app.revocations.answered import answered, when

DELETE_WITHIN = timedelta(days=30)
_NEXT = {
    "acknowledged": ("notified",),
    "attested": ("notified", "acknowledged"),
    "cannot_remove": ("notified", "acknowledged"),
}


def open_batch(runtime: Runtime, agreement_id: str) -> None:
    """The job: one recall for everything noted for an agreement since the last, and a successor release without it. What the lab has said
    that it deleted with whole releases is told in one recall beside it, which that word answers."""
    log.await_head(runtime.engine)
    with write(runtime.engine) as session:
        now = runtime.clock.now()
        agreement = session.exec(for_update(select(Agreement).where(Agreement.id == agreement_id), session)).one()
        waiting = session.exec(
            for_update(
                select(RecallItem).where(RecallItem.agreement_id == agreement_id, RecallItem.recall_id == None), session
            )
        ).all()
        if not waiting:
            return
        said = answered(session, agreement, {bytes(item.record_id) for item in waiting})
        last = max(said.values(), key=when, default=None)
        asked = [item for item in waiting if bytes(item.record_id) not in said]
        gone = [item for item in waiting if bytes(item.record_id) in said]
        lab = session.get_one(Lab, agreement.lab_id)
        if agreement.state == "in_force" and not stopped(session, lab, now) and not releases.cut_is_waiting(session, agreement_id):
            releases.queue_cut(session, runtime, agreement, now=now)
        parts = [(by, items) for by, items in ((None, asked), (last, gone)) if items]
        opened = [
            Recall(
                id=random_id("recall"), agreement_id=agreement_id, state="notified" if by is None else "attested", opened_at=now,
                due=now + timedelta(days=runtime.settings.acknowledge_days), delete_by=now + _period(session, agreement),
                closed_at=by and by.closed_at, answered_by=by and by.release_id,
            )
            for by, _ in parts
        ]  # fmt: skip
        leaves = [_told(session, lab, recall, items, now) for recall, (_, items) in zip(opened, parts, strict=True)]
        session.flush()
        for recall in opened:
            deadlines.plan(session, runtime, recall, now)
            events.tell(session, lab.id, "recall.opened", recall.id, "", now)
        index = log.append(session, leaves, now)
        for place, recall in enumerate(opened):
            session.execute(sa.update(Recall).where(Recall.id == recall.id).values(log_index=index + place))  # type: ignore[arg-type]


def _told(session: Session, lab: Lab, recall: Recall, items: list[RecallItem], now: datetime) -> log.Leaf:
    """Put the items into their recall; gives the leaf that tells it."""
    session.add(recall)
    for item in items:
        item.recall_id = recall.id
        session.add(item)
    records = sorted({bytes(item.record_id).hex() for item in items})
    body = {
        "agreement": recall.agreement_id, "lab": lab.legal_name, "records": log.bucket(len(records)), "records_sha256": records_digest(records),
    }  # fmt: skip
    if recall.answered_by is not None:
        body["answered_by"] = recall.answered_by
    return log.institutional("recall.opened", recall.id, body, now)


def open_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: tell what should have been told a batch ago, should its job have been given up."""
    limit = now - timedelta(seconds=2 * runtime.settings.recall_batch_seconds)
    with read(runtime.engine) as session:
        waiting = session.exec(
            select(RecallItem.agreement_id)
            .where(RecallItem.recall_id == None, RecallItem.created_at < limit)
            .distinct()
        ).all()
    for agreement in waiting:
        open_batch(runtime, agreement)


def _period(session: Session, agreement: Agreement) -> timedelta:
    """The shortest period signed for deleting what was withdrawn; one that counts from the release says nothing of this."""
    _, terms = agreements.terms_of(session, agreement)
    days = [period_days(o["within"]) for o in terms["obligations"] if o["kind"] == "delete" and o["event"] == "withdrawal"]
    return timedelta(days=min(days)) if days else DELETE_WITHIN


def page(session: Session, agreement: str, since: int, limit: int) -> list[Recall]:
    """Recalls of an agreement after a log index, in log order."""
    return list(
        session.exec(
            select(Recall)
            .where(Recall.agreement_id == agreement, Recall.log_index > since)
            .order_by(sa.asc(Recall.log_index))
            .limit(limit)  # type: ignore[operator,arg-type]
        )
    )


def records(session: Session, recall: str) -> list[str]:
    """The record ids of a recall, sorted: the order says nothing of who or when."""
    rows = session.exec(select(RecallItem.record_id).where(RecallItem.recall_id == recall)).all()
    return sorted({bytes(r).hex() for r in rows})


def own(session: Session, lab: Lab, recall_id: str) -> Recall:
    """A recall that a lab was told. Raises NotFound (not_found)."""
    recall = session.get(Recall, recall_id)
    agreement = None if recall is None else session.get(Agreement, recall.agreement_id)
    if recall is None or agreement is None or agreement.lab_id != lab.id:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return recall


def answer(
    session: Session, lab: Lab, recall_id: str, state: str, *, now: datetime, attestation: str | None = None, leaf: dict[str, Any] | None = None,
    models: list[str] | None = None,
) -> Recall:  # fmt: skip
    """A lab's answer: `acknowledged`, `attested` (deleted) or `cannot_remove`; logged. The same answer again changes nothing.

    `attestation` is the signed statement that the last two rest on, `leaf` what the public log says of it beside the rest.

    Raises NotFound (not_found) or Conflict (recall_state).
    """
    query: Any = (
        select(Recall)
        .join(Agreement, sa.and_(Agreement.id == Recall.agreement_id))
        .where(Recall.id == recall_id, Agreement.lab_id == lab.id)
    )  # type: ignore[arg-type]
    # As it is under its lock, also where this transaction has read it before: of two answers at once one came first.
    # The agreement stays free: who holds it, to state a deletion, waits for recalls.
    recall = session.exec(for_update(query, session, of=Recall).execution_options(populate_existing=True)).first()
    if recall is None:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    if recall.state == state:
        return recall  # type: ignore[no-any-return]
    if recall.state not in _NEXT[state]:
        raise Conflict("recall_state", f"It is {recall.state} already.", state=recall.state)
    recall.state = state
    if state == "acknowledged":
        recall.acknowledged_at = now
    else:
        recall.closed_at, recall.attestation, recall.models = now, attestation, models or []
    session.add(recall)
    body = {"agreement": recall.agreement_id, "lab": lab.legal_name, **(leaf or {})}
    verb = {
        "acknowledged": "recall.acknowledged",
        "attested": "recall.attested",
        "cannot_remove": "recall.cannot-remove",
    }[state]
    log.append(session, [log.institutional(verb, recall.id, body, now)], now)
    return recall  # type: ignore[no-any-return]
