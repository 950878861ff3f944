"""Ask for a cut, deliver, open a shard."""

import hmac
from base64 import b32encode
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.kit.blobs import STORE_FAILED
from app.kit.db import Instant, for_update, read, write
from app.kit.errors import Conflict, Forbidden, Gone, NotFound, Unauthorised, Unavailable
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import proofs
from app.log import service as log
from app.log.publisher import LogDamaged, Publisher
from app.parties.models import Lab
from app.releases import keeping
from app.releases.cutting import Cut
from app.releases.models import JSONL, Delivery, Release, Shard
from app.releases.queries import expired, stopped
from app.releases.shards import blob_name

_UNKNOWN = "Look at the id; it must be one of yours."


def request_cut(
    session: Session, runtime: Runtime, lab: Lab, agreement_id: str, *, now: datetime, form: str | None = None
) -> str:
    """Queue a cut under an agreement; gives the release's id. `form` is how shards are written; without one it is as in the release before.
 Raises Conflict (agreement_not_in_force), Forbidden (lab_blocked)."""
    agreement = agreements.own_agreement(session, lab.id, agreement_id)
    log_is_sound(runtime)
    if agreement.state != "in_force":
        raise Conflict("agreement_not_in_force", "Ask again for a new offer.")
    if stopped(session, lab, now):
        raise Forbidden("lab_blocked", "Settle what is overdue, or ask the operator: the lab may have to be verified again.")
    return queue_cut(session, runtime, agreement, now=now, form=form)


def log_is_sound(runtime: Runtime) -> None:
    """Raises Unavailable (log_read_only) where the database does not know what was published before."""
    publisher: Publisher = runtime.parts["publisher"]
    if publisher.health() is not None:
        raise Unavailable("log_read_only", "Nothing is released until the operator has looked.", retry_after=600)


def queue_cut(session: Session, runtime: Runtime, agreement: Agreement, *, now: datetime, form: str | None = None) -> str:
    """A release in state `cutting` and the job that makes it, in the caller's transaction."""
    if form is None:
        before = select(Release.format).where(Release.agreement_id == agreement.id).order_by(sa.desc(Release.requested_at)).limit(1)  # type: ignore[arg-type]
        form = session.exec(before).first() or JSONL
    release = Release(id=random_id("release"), agreement_id=agreement.id, state="cutting", requested_at=now, format=form)
    session.add(release)
    session.flush()
    runtime.jobs.enqueue(session, "cut", release.id)
    return release.id


def cut_is_waiting(session: Session, agreement_id: str) -> bool:
    """Whether a cut that has not selected yet is queued: it will see what is committed now, and another would see no more."""
    waiting = select(Release.id).where(Release.agreement_id == agreement_id, Release.state == "cutting", Release.as_of == None)
    return session.exec(waiting).first() is not None


def cancel(session: Session, runtime: Runtime, lab: Lab, release_id: str) -> None:
    """The lab wants a cut no more: what is under way stops at its next shard, and nothing of it stays. Again: nothing happens.

    Raises NotFound (not_found) or Conflict (release_not_cutting).
    """
    own_release(session, lab.id, release_id)
    held = for_update(select(Release).where(Release.id == release_id), session).execution_options(populate_existing=True)
    row = session.exec(held).one()
    if row.state == "cancelled":
        return
    if row.state != "cutting":
        raise Conflict("release_not_cutting", "Read the release again: its cut has ended.", state=row.state)
    row.state, row.reason = "cancelled", "lab"
    session.add(row)
    runtime.jobs.enqueue(session, "cut", release_id, key="cancelled")  # waits for the run under way, and clears up after it


def progress(session: Session, runtime: Runtime, release: Release) -> tuple[int, int] | None:
    """(shards made, of how many) while a release is cut; None before its records are looked for, and afterwards."""
    if release.state != "cutting" or release.as_of is None:
        return None
    bits = session.get_one(Agreement, release.agreement_id).shard_bits
    if bits is None:
        return None
    return min(1 << bits, sum(1 for _ in runtime.blobs.names(f"releases/{release.id}"))), 1 << bits


def cut(runtime: Runtime, release: str) -> None:
    """The job: see `Cut.run`. Before it is tried again, what stood in its way is noted."""
    try:
        Cut(runtime, release).run()
    except LogDamaged:
        _note(runtime, release, "log")
        raise
    except STORE_FAILED:
        _note(runtime, release, "storage")
        raise
    except Exception:
        _note(runtime, release, "service")  # what stood in the way of a run before is not what stands there now
        raise


def _note(runtime: Runtime, release: str, reason: str) -> None:
    with write(runtime.engine) as session:
        session.execute(sa.update(Release).where(Release.id == release, Release.state == "cutting").values(reason=reason))  # type: ignore[arg-type]


def fail(runtime: Runtime, release: str) -> None:
    """Note that a cut failed for good; the lab can ask for another."""
    with write(runtime.engine) as session:
        failed = sa.update(Release).where(Release.id == release, Release.state == "cutting")  # type: ignore[arg-type]
        session.execute(failed.values(state="failed", reason=sa.func.coalesce(Release.reason, "service")))
    Cut(runtime, release).clear()


def own_release(session: Session, lab: str, release: str) -> Release:
    """Raises NotFound (not_found)."""
    row = session.exec(
        select(Release)
        .join(Agreement, sa.and_(Agreement.id == Release.agreement_id))
        .where(Release.id == release, Agreement.lab_id == lab)  # type: ignore[arg-type]
    ).first()
    if row is None:
        raise NotFound("not_found", _UNKNOWN)
    return row


def page(session: Session, lab: Lab, agreement_id: str, after: str | None, limit: int) -> tuple[list[Release], str | None]:
    """Releases of an agreement, the newest first, and where the next page begins. `after` is what a page before gave.

    Raises NotFound (not_found).
    """
    agreement = agreements.own_agreement(session, lab.id, agreement_id)
    query = select(Release).where(Release.agreement_id == agreement.id)
    if after is not None:
        last = session.get_one(Release, after)
        before = sa.tuple_(Release.requested_at, Release.id) < sa.tuple_(sa.literal(last.requested_at, Instant()), sa.literal(last.id))  # type: ignore[arg-type]
        query = query.where(before)
    rows = list(session.exec(query.order_by(sa.desc(Release.requested_at), sa.desc(Release.id)).limit(limit)))  # type: ignore[arg-type]
    return rows, rows[-1].id if len(rows) == limit else None


def successor(session: Session, release: Release) -> str | None:
    """The newest release that follows it under the same agreement and is not cancelled: by the log, not by who asked first."""
    follows: Any = Release.requested_at > release.requested_at
    if release.log_index is not None:
        follows = sa.or_(sa.and_(Release.log_index == None, follows), Release.log_index > release.log_index)  # type: ignore[operator,arg-type]
    return session.exec(
        select(Release.id)
        .where(
            Release.agreement_id == release.agreement_id,
            follows,
            Release.state.in_(["cutting", "published", "superseded"]),
        )  # type: ignore[attr-defined]
        .order_by(sa.desc(sa.func.coalesce(Release.log_index, 2**62)), sa.desc(Release.requested_at))  # type: ignore[arg-type]
        .limit(1)
    ).first()


def deliver(session: Session, runtime: Runtime, lab: Lab, release_id: str, *, now: datetime) -> str:
    """Log a delivery and open a ticket for it; gives the delivery's id. No receipt, no key: the acceptance and the cut must
    stand under a published checkpoint.

    Raises Conflict (release_not_published, agreement_not_in_force), Gone (release_expired, release_deleted),
    Unavailable (awaiting_checkpoint) or Forbidden (lab_blocked).
    """
    log_is_sound(runtime)
    release = own_release(session, lab.id, release_id)
    agreement = session.get_one(Agreement, release.agreement_id)
    if release.state not in ("published", "superseded") or release.log_index is None:
        raise Conflict("release_not_published", "Wait until its state is `published`.", state=release.state)
    if agreement.state != "in_force":
        raise Conflict("agreement_not_in_force", "Ask again for a new offer.")
    if expired(release, now.date()):
        raise Gone("release_expired", "Ask for a new cut: it holds what is permitted now.")
    _, terms = agreements.terms_of(session, agreement)
    due = keeping.owe(session, runtime, release, terms, now)
    if stopped(session, lab, now):
        raise Forbidden("lab_blocked", "Settle what is overdue, or ask the operator: the lab may have to be verified again.")
    if not proofs.covered(session, agreement.log_index, release.log_index):
        raise Unavailable("awaiting_checkpoint", "Try again in a second.", retry_after=1)
    if any(duty["kind"] == "compensate" for duty in terms["obligations"]):
        runtime.jobs.enqueue(session, "compensate", release.id)  # once, however often it is handed over
    delivery = random_id("delivery")
    secret = ticket(runtime, delivery)
    session.add(
        Delivery(
            id=delivery, release_id=release.id, ticket_sha256=sha256(secret.encode()).hexdigest(), log_index=-1,
            expires_at=_ticket_end(runtime, release, due, now),
        )
    )  # fmt: skip
    session.flush()
    body = {"release": release.id, "agreement": agreement.id, "lab": lab.legal_name}
    index = log.append(session, [log.institutional("release.delivered", delivery, body, now)], now)
    session.execute(sa.update(Delivery).where(Delivery.id == delivery).values(log_index=index))  # type: ignore[arg-type]
    return delivery


def _ticket_end(runtime: Runtime, release: Release, due: datetime | None, now: datetime) -> datetime:
    """An hour from now, the midnight at which a permission in the release ends, or when it is due to be deleted."""
    ends = [now + timedelta(minutes=runtime.settings.ticket_minutes)]
    if release.open_until is not None:
        ends.append(datetime.combine(release.open_until, time(), UTC))
    if due is not None and due > now:  # past it, who is late is stopped altogether
        ends.append(due)
    return min(ends)


def ticket(runtime: Runtime, delivery: str) -> str:
    """The secret of a delivery: derived and not stored, so that a retried request gets the same one."""
    mac = hmac.digest(runtime.keys.derive("ticket"), delivery.encode(), sha256)
    return "tkt_" + b32encode(mac).decode().rstrip("=").lower()


@dataclass(frozen=True)
class OpenShard:
    """A shard that a ticket opens now."""

    release: str
    sha256: str
    bytes: int
    delivery: str
    format: str = JSONL


def open_shard(
    session: Session, runtime: Runtime, release_id: str, digest: str, secret: str, *, now: datetime
) -> OpenShard:
    """What the ticket opens. Raises Unauthorised (ticket_invalid), NotFound (not_found) or Gone (shard_gone)."""
    found, form = by_ticket(session, runtime, release_id, secret, now=now)
    shard = session.exec(select(Shard).where(Shard.release_id == release_id, Shard.sha256 == digest)).first()
    if shard is None:
        raise NotFound("not_found", "Take the digest from the release's manifest.")
    if shard.state != "live":
        raise gone(session, release_id)
    return OpenShard(release_id, digest, shard.bytes, found.id, form)


def by_ticket(session: Session, runtime: Runtime, release_id: str, secret: str, *, now: datetime) -> tuple[Delivery, str]:
    """The delivery that the ticket is of, and its release's format. Raises Unauthorised (ticket_invalid) or Forbidden (lab_blocked)."""
    log_is_sound(runtime)
    found = session.exec(select(Delivery).where(Delivery.ticket_sha256 == sha256(secret.encode()).hexdigest())).first()
    if found is None or found.release_id != release_id or found.expires_at <= now or found.revoked_at is not None:
        raise Unauthorised("ticket_invalid", "Ask for a new delivery of this release.")
    lab, form = session.exec(
        select(Lab, Release.format)
        .join(Agreement, sa.and_(Agreement.lab_id == Lab.id))
        .join(Release, sa.and_(Release.agreement_id == Agreement.id))
        .where(Release.id == release_id)  # type: ignore[arg-type]
    ).one()
    if lab.blocked_at is not None:
        raise Forbidden("lab_blocked", "Ask the operator, who has blocked the lab.")
    return found, form


def still_open(session: Session, shard: OpenShard, *, now: datetime) -> bool:
    """Whether a download under way may go on."""
    row = session.execute(
        sa.select(Shard.state, Delivery.expires_at, Delivery.revoked_at, Lab.blocked_at)  # type: ignore[call-overload]
        .select_from(Shard)
        .join(Delivery, Delivery.release_id == Shard.release_id)
        .join(Release, Release.id == Shard.release_id)
        .join(Agreement, Agreement.id == Release.agreement_id)
        .join(Lab, Lab.id == Agreement.lab_id)
        .where(Shard.release_id == shard.release, Shard.sha256 == shard.sha256, Delivery.id == shard.delivery)
    ).first()
    return row is not None and row[0] == "live" and row[1] > now and row[2] is None and row[3] is None


def gone(session: Session, release_id: str) -> Gone:
    """The refusal of a shard that is gone, pointing to the release that follows, if there is one."""
    following = successor(session, session.get_one(Release, release_id))
    headers = {"Link": f'</v1/releases/{following}>; rel="successor-version"'} if following else {}
    return Gone(
        "shard_gone",
        "A record in it was withdrawn. Take the successor, and delete what the recall names.",
        successor=following,
        headers=headers,
    )


def sweep(runtime: Runtime, act: str) -> None:
    """The job that deletes the bytes of shards that are gone."""
    log.await_head(runtime.engine)
    with read(runtime.engine) as session:
        rows = session.exec(select(Shard).where(Shard.state == "gone", Shard.swept_at == None)).all()
    for row in rows:
        runtime.blobs.delete(blob_name(row.release_id, row.sha256))
        with write(runtime.engine) as session:
            session.execute(
                sa.update(Shard)
                .where(Shard.release_id == row.release_id, Shard.shard == row.shard, Shard.state == "gone")  # type: ignore[arg-type]
                .values(swept_at=runtime.clock.now())
            )
