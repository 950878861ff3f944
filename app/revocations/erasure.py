"""Erase: what a person asked to be forgotten is unreadable from the commit on. `completion.py` does the rest.

In the one transaction of the request: excluded from every release, shards closed, payloads and the openings of leaves deleted,
keys deleted, the act journalled. What stays are rows of opaque ids that others rest on: the place in a thread, the keyed hash by
which a repeated import is known, record ids that holders must delete, and the leaves, which commit under salts that are gone.

The data key is one a contributor, so that erasing everything destroys one key. To erase one contribution its sealed columns and
openings are deleted here, and the completion replaces the person's data key and seals what remains under the new one: the old
key could still open a copy of what was erased.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import pledging, supporting, threads
from app.collectives import queries as collectives
from app.collectives.service import forget
from app.consents import service as consents
from app.consents.models import Consent, Exclusion
from app.contributions import objections
from app.contributions.models import Contribution, ContributionModel, ContributionPayload
from app.crypto.sealing import Sealer, new_key
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorised
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry
from app.parties import contributors, passkeys, recovery
from app.parties.models import Contributor, DataKey, PortalSession, Receipt
from app.releases.models import Release
from app.revocations import availability, compensation, convening
from app.revocations.acting import Holder, lock, named, note, recall
from app.revocations.models import ConsentAct, Erasure
from app.revocations.schemas import ErasureIn

_C = Contribution.__table__  # type: ignore[attr-defined]
_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_PAYLOAD = ContributionPayload.__table__  # type: ignore[attr-defined]
_MODEL = ContributionModel.__table__  # type: ignore[attr-defined]
_CONSENT = Consent.__table__  # type: ignore[attr-defined]
_EXCLUSION = Exclusion.__table__  # type: ignore[attr-defined]
_RECEIPT = Receipt.__table__  # type: ignore[attr-defined]
_SOME = 5000
DELAY = 2.0
"""Seconds before the completion begins: twice as long as every process takes to let go of a data key (eviction.py)."""
ERASED = b""
"""What stands where a leaf's opening was: no longer null, which would make the leaf an institution's."""


def request(
    session: Session, runtime: Runtime, holder: Holder, asked: ErasureIn, *, now: datetime, act: str | None = None
) -> Erasure:
    """Erase one contribution, or everything of the holder. The same again gives the erasure that is there. `act` is given where
    an erasure of before is done again.

    Raises Invalid (ids_missing), Forbidden (receipt_scope), NotFound (not_found) or Unauthorised (token_invalid).
    """
    one = reach(holder, asked)
    everything = one is None
    person = contributors.hold(session, runtime.keys, holder.contributor, exclusive=True)
    before = find(session, holder.contributor, one)
    if before is not None:
        return before
    if person is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    found = [row for row in lock(session, holder, None if one is None else [one]) if row.state != "erased"]
    rows = [row.id for row in found]
    live = [row.id for row in found if row.state == "live"]
    if one is not None and not rows:
        raise Conflict("contribution_gone", "It was erased before; nothing more is needed.")
    erasure = act or random_id("erasure")
    known = _known_as(session, holder.contributor) if asked.refusal == "remember" else None
    _destroy(session, rows, now)
    objections.forget(session, holder.contributor, None if everything else rows)
    if everything:
        pledging.forget(session, runtime, holder.contributor)
        threads.forget(session, runtime, holder.contributor)
        supporting.forget(session, holder.contributor)
        convening.forget(session, holder.contributor)
        _destroy_person(session, holder.contributor, asked.refusal, now)
    else:
        forget(session, holder.contributor, one)
        session.execute(sa.update(_RECEIPT).where(_RECEIPT.c.contribution_id == one).values(revoked_at=now))
        recovery.end(session, holder.contributor, one)
        if passkeys.is_sole(session, holder.contributor):
            passkeys.forget(session, holder.contributor, now)
            convening.forget(session, holder.contributor)
        convening.forget(session, holder.contributor, contribution=one)
    body = {
        "erasure": erasure, "scope": asked.scope, "refusal": asked.refusal, "contributions": sorted(rows), "by": "subject",
        "capability": "receipt" if holder.claimed else "claim-link",
    }  # fmt: skip
    index = log.append_narrowing(
        session, sealed_to_nobody("erasure.requested", erasure, body, now), erasure, "erase", now, contributor=holder.contributor,
        scope=asked.scope, refusal=asked.refusal, contributions=named(found), person=known, tell=asked.tell_platform,
    )  # fmt: skip
    note(session, index, holder.contributor if everything else None, [] if everything else rows, now)
    recalls = recall(session, runtime, live, None, now)
    cutting = session.exec(select(Release.id).where(Release.state == "cutting").order_by(Release.id)).all()
    row = Erasure(
        id=erasure, contributor_id=holder.contributor, contribution_id=one, refusal=asked.refusal, state="requested",
        contributions=len(rows), recalls=recalls, cuts=list(cutting), requested_at=now, log_index=index,
    )  # fmt: skip
    session.add(row)
    session.flush()
    if asked.tell_platform:
        for platform in sorted({one.platform_id for one in found}):
            availability.tell(session, platform, availability.DELETE, [one.id for one in found if one.platform_id == platform], now=now)
    runtime.jobs.enqueue(session, "erase", erasure, delay=DELAY)
    return row


def reach(holder: Holder, asked: ErasureIn) -> str | None:
    """The contribution that is meant, or None for everything. Raises Invalid (ids_missing) or Forbidden (receipt_scope)."""
    if asked.scope == "all":
        if holder.contribution is not None:
            raise Forbidden("receipt_scope", "This receipt covers one contribution. Ask the platform for a link to all you gave.")
        return None
    one = asked.contribution or holder.contribution
    if one is None:
        raise Invalid("ids_missing", "Name the contribution, or use the scope `all`.")
    if holder.contribution not in (None, one):
        raise NotFound("not_found", "Look at the id; it must be one that this receipt covers.")
    return one


def find(session: Session, contributor: str, contribution: str | None) -> Erasure | None:
    """The erasure of exactly this: one contribution, or (None) everything of the contributor."""
    query = select(Erasure).where(Erasure.contributor_id == contributor, Erasure.contribution_id == contribution)
    return session.exec(query).first()


def read(session: Session, erasure: str) -> Erasure:
    """An erasure by its id, which is random and told to nobody but who asked. Raises NotFound (erasure_unknown)."""
    row = session.get(Erasure, erasure)
    if row is None:
        raise NotFound("erasure_unknown", "Look at the id; it must be copied whole.")
    return row


def sealed_to_nobody(act_type: str, subject: str, body: dict[str, Any], now: datetime) -> log.Leaf:
    """A personal leaf whose opening nobody has: there is no key any more that it could be sealed under."""
    leaf = log.personal(act_type, subject, body, Sealer(new_key()), now)
    return log.Leaf(leaf.type, leaf.subject, leaf.data, ERASED)


def _known_as(session: Session, contributor: str) -> list[str] | None:
    """Platform and pseudonym by which a refusal is remembered, also by a database that was restored; None for who has none."""
    row = session.get_one(Contributor, contributor)
    return None if row.pseudonym is None else [row.platform_id, bytes(row.pseudonym).hex()]


def _destroy(session: Session, contributions: list[str], now: datetime) -> None:
    """Payloads, openings, consents, the choices that became consents, and everything told of these contributions."""
    for start in range(0, len(contributions), _SOME):
        some = contributions[start : start + _SOME]
        session.execute(sa.delete(_PAYLOAD).where(_PAYLOAD.c.contribution_id.in_(some)))
        session.execute(sa.delete(_MODEL).where(_MODEL.c.contribution_id.in_(some)))
        session.execute(sa.update(_ENTRY).where(_ENTRY.c.subject.in_(some), _ENTRY.c.sealed.is_not(None)).values(sealed=ERASED))
        for state in (_CONSENT.c.state == "current", _CONSENT.c.state != "current"):  # there is an index for each
            session.execute(sa.delete(_CONSENT).where(state, _CONSENT.c.contribution_id.in_(some)))
        session.execute(sa.delete(_EXCLUSION).where(_EXCLUSION.c.contribution_id.in_(some)))
        consents.forget_chosen(session, some)
        # The MAC of the body would confirm a guess to whoever holds the service's keys.
        session.execute(
            sa.update(_C).where(_C.c.id.in_(some)).values(
                state="erased", body_mac=None, language=None, created_at=None, parts=0, context_terms=None, context_ref=None
            )
        )  # fmt: skip


def _destroy_person(session: Session, contributor: str, refusal: str, now: datetime) -> None:
    """After `_destroy`: key, standing consents, the openings of acts on no one contribution, capabilities; and the pseudonym,
    unless a refusal is to be remembered by it."""
    acts = sa.select(ConsentAct.id).where(ConsentAct.contributor_id == contributor)  # type: ignore[call-overload]
    acts = acts.union_all(collectives.acts_of(contributor))
    session.execute(
        sa.update(_ENTRY).where(_ENTRY.c.subject.in_(acts), _ENTRY.c.sealed.is_not(None)).values(sealed=ERASED)
    )
    forget(session, contributor, None)
    compensation.forget(session, contributor)
    session.execute(sa.delete(_CONSENT).where(_CONSENT.c.contributor_id == contributor, _CONSENT.c.contribution_id.is_(None)))
    session.execute(sa.delete(_EXCLUSION).where(_EXCLUSION.c.contributor_id == contributor))
    session.execute(sa.delete(PortalSession).where(PortalSession.contributor_id == contributor))  # type: ignore[arg-type]
    session.execute(sa.update(_RECEIPT).where(_RECEIPT.c.contributor_id == contributor).values(revoked_at=now))
    recovery.end(session, contributor, None)
    passkeys.forget(session, contributor, now)
    left: dict[str, Any] = {"refused_at": now} if refusal == "remember" else {"pseudonym": None}
    session.execute(sa.update(Contributor).where(Contributor.id == contributor).values(**left))  # type: ignore[arg-type]
    session.execute(sa.delete(DataKey).where(DataKey.contributor_id == contributor))  # type: ignore[arg-type]
