"""What happened to a person's data, in the order of time: what they gave and did, which lab got it when, what was deleted.

For a claimed holder alone. Each source is asked for its newest few hundred, so that somebody with very many is told the latest.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.contributions.models import Contribution
from app.kit.clock import from_micros
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.parties.models import Lab, Receipt
from app.releases.models import Delivery, Recall
from app.revocations import acts, whereabouts
from app.revocations.models import Erasure

MOST = 200
_DAY = 86_400_000_000
_C = Contribution.__table__  # type: ignore[attr-defined]
_A, _L, _D, _E = Agreement.__table__, Lab.__table__, Delivery.__table__, LogEntry.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `what`: gave, did, released, fetched, told, acknowledged, attested, cannot_remove, erasing, erased.
    `name` is a lab's legal name, a kind (gave) or an act's (type, scope, whether by passkey); `count` of how many contributions it tells."""

    at: datetime
    what: str
    name: Any = None
    count: int = 1
    act: str | None = None


@dataclass(frozen=True, slots=True)
class Went:
    """A release that held some of it: `count` contributions, `served` while one of their shards is still open to the lab."""

    release: str
    at: datetime
    lab_id: str
    lab: str
    count: int
    served: bool
    fetched: datetime | None


def mine(receipt: Receipt) -> Any:
    """A select of the ids that the receipt covers."""
    query = sa.select(_C.c.id).where(_C.c.contributor_id == receipt.contributor_id)
    return query if receipt.contribution_id is None else query.where(_C.c.id == receipt.contribution_id)


def went(session: Session, receipt: Receipt, most: int = MOST) -> list[Went]:
    """The releases that held any of what the receipt covers, the newest first."""
    return _told(session, whereabouts.released(session, mine(receipt)), most)


def _told(session: Session, found: list[whereabouts.Out], most: int) -> list[Went]:
    outs = sorted(sorted(found, key=lambda out: out.id), key=lambda out: out.cut_at, reverse=True)[:most]
    named = sa.select(_A.c.id, _A.c.lab_id, _L.c.legal_name).select_from(_A.join(_L, _L.c.id == _A.c.lab_id))
    labs = {row[0]: (row[1], row[2]) for row in session.execute(named.where(_A.c.id.in_({out.agreement_id for out in outs})))}
    times = sa.select(_D.c.release_id, sa.func.min(_E.c.at)).select_from(_D.join(_E, _E.c.log_index == _D.c.log_index))
    fetched = dict(session.execute(times.where(_D.c.release_id.in_([out.id for out in outs])).group_by(_D.c.release_id)).all())
    return [Went(out.id, out.cut_at, *labs[out.agreement_id], out.count, out.served, fetched.get(out.id)) for out in outs]


def events(session: Session, runtime: Runtime, receipt: Receipt) -> tuple[list[Event], bool]:
    """What happened to all that the receipt covers, newest first, at most `MOST`; and whether that is all."""
    outs = whereabouts.released(session, mine(receipt))
    found = [*_given(session, receipt), *_recalls(session, receipt, outs), *_erasures(session, receipt)]
    found += [Event(a.at, "did", (a.type, a.scope, a.by_passkey), a.contributions, a.id) for a in acts.latest(session, runtime, receipt, MOST)]
    for one in _told(session, outs, MOST):
        found.append(Event(one.at, "released", one.lab, one.count))
        if one.fetched is not None:
            found.append(Event(one.fetched, "fetched", one.lab, one.count))
    found += _answered(session, outs)
    found.sort(key=lambda event: event.at, reverse=True)
    return found[:MOST], len(found) <= MOST


def _given(session: Session, receipt: Receipt) -> list[Event]:
    """What was recorded, a day's of a kind together: an import records thousands at once."""
    at = sa.type_coerce(_C.c.recorded_at, sa.BigInteger)
    day = at.op("/")(sa.literal(_DAY, sa.BigInteger))
    first = sa.func.min(at)
    query = mine(receipt).with_only_columns(first, _C.c.kind, sa.func.count())
    rows = session.execute(query.group_by(day, _C.c.kind).order_by(sa.desc(first)).limit(MOST)).all()
    return [Event(from_micros(int(micros)), "gave", kind, count) for micros, kind, count in rows]


def _recalls(session: Session, receipt: Receipt, outs: list[whereabouts.Out]) -> list[Event]:
    """What labs were told to delete of it, and what they answered."""
    counts = Counter(recall for _, _, recall in whereabouts.asked(session, mine(receipt), outs) if recall is not None)
    told = []
    rows = session.execute(
        sa.select(Recall, Lab.legal_name).join(Agreement, Agreement.id == Recall.agreement_id).join(Lab, Lab.id == Agreement.lab_id)  # type: ignore[call-overload]
        .where(Recall.id.in_(list(counts))).order_by(sa.desc(Recall.log_index)).limit(MOST)  # type: ignore[attr-defined,arg-type]
    ).all()  # fmt: skip
    for row, lab in rows:
        for at, what in ((row.opened_at, "told"), (row.acknowledged_at, "acknowledged"), (row.closed_at, row.state)):
            if row.answered_by is not None and (at is row.closed_at or _before(row)):
                continue  # `_answered` tells of the release's deletion, and of a copy that was gone before there was nothing to ask
            if at is not None:
                told.append(Event(at, what, lab, counts[row.id]))
    return told


def _before(row: Recall) -> bool:
    return row.closed_at is not None and row.opened_at is not None and row.closed_at < row.opened_at


def _answered(session: Session, outs: list[whereabouts.Out]) -> list[Event]:
    """What labs said became of releases whose period was over."""
    kept = whereabouts.deletions(session, [out.id for out in outs])
    named = sa.select(_A.c.id, _L.c.legal_name).select_from(_A.join(_L, _L.c.id == _A.c.lab_id))
    names = dict(session.execute(named.where(_A.c.id.in_({row.agreement_id for row in kept.values()}))).all())
    return [
        Event(row.closed_at, row.state, names[out.agreement_id], out.count)
        for out in outs
        if (row := kept.get(out.id)) is not None and row.closed_at is not None
    ]


def _erasures(session: Session, receipt: Receipt) -> list[Event]:
    query = select(Erasure).where(Erasure.contributor_id == receipt.contributor_id)
    if receipt.contribution_id is not None:
        query = query.where(Erasure.contribution_id == receipt.contribution_id)
    told = []
    for row in session.exec(query.order_by(sa.desc(Erasure.log_index)).limit(MOST)).all():  # type: ignore[arg-type]
        told.append(Event(row.requested_at, "erasing", None, row.contributions))
        if row.completed_at is not None:
            told.append(Event(row.completed_at, "erased", None, row.contributions))
    return told
