"""What a person's page tells of their work: who holds it, who asked and got nothing, and what was taken back in part.

For a claimed holder alone: labs are named here, which nobody else of the person's side of things is told.
"""

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement, Request
from app.agreements.models import Use as UseRow
from app.agreements.selection import age_of, is_of, touches
from app.collectives import binding
from app.consents.models import Exclusion, PlatformFloor
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.evaluation import LabFacts, Use, basis_allows, evaluate, parse_use
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.releases.models import Recall, RecallItem, Release, ReleaseItem, Shard
from app.releases.queries import is_late

_LOOKED_AT = 200
"""How many of the newest requests are looked through for refusals."""
_A, _L, _R = Agreement.__table__, Lab.__table__, Release.__table__  # type: ignore[attr-defined]
_I, _S, _C = ReleaseItem.__table__, Shard.__table__, Contribution.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Held:
    """A lab that got it under one agreement. `until` is the first day on which nobody may get it any more, None where no day was
    set; `recalled` says of how many of the contributions it must delete its copy; `deletion` is None while nothing was asked,
    `waiting` before the lab is told, else the recall's state."""

    lab_id: str
    lab: str
    agreement: str
    use: Use
    contributions: int
    since: datetime
    until: date | None
    served: bool
    recalled: int
    deletion: str | None
    recall: Recall | None
    late: bool


def held(session: Session, contributor: str, contribution: str | list[str] | None, now: datetime) -> list[Held]:
    """Who got one contribution, any of some, or (None) any of a contributor's: an item an agreement, by the lab's name."""
    mine = _I.c.contribution_id.in_([contribution] if isinstance(contribution, str) else contribution or [])
    if contribution is None:
        mine = _I.c.contribution_id.in_(sa.select(_C.c.id).where(_C.c.contributor_id == contributor))
    out = sa.and_(mine, _I.c.parts > 0, _R.c.state.in_(["published", "superseded"]))
    found = session.execute(
        sa.select(
            _A.c.id, _A.c.lab_id, _A.c.use_id, _L.c.legal_name, sa.func.min(_R.c.cut_at).label("since"),
            sa.func.max(_R.c.open_until).label("until"), (sa.func.count(_R.c.open_until) < sa.func.count()).label("endless"),
            sa.func.max(sa.case((_S.c.state == "live", 1), else_=0)).label("served"),
            sa.func.count(sa.distinct(_I.c.contribution_id)).label("contributions"),
        )
        .select_from(_I.join(_R, _R.c.id == _I.c.release_id).join(_A, _A.c.id == _R.c.agreement_id).join(_L, _L.c.id == _A.c.lab_id))
        .join(_S, sa.and_(_S.c.release_id == _I.c.release_id, _S.c.shard == _I.c.shard))
        .where(out).group_by(_A.c.id, _A.c.lab_id, _A.c.use_id, _L.c.legal_name).order_by(_L.c.legal_name, _A.c.id)
    ).all()  # fmt: skip
    told = []
    for row in found:
        records = sa.select(_I.c.record_id).join(_R, _R.c.id == _I.c.release_id).where(_R.c.agreement_id == row.id, out)
        items = select(RecallItem.recall_id).where(RecallItem.agreement_id == row.id, RecallItem.record_id.in_(records))  # type: ignore[attr-defined]
        latest = session.exec(
            select(Recall).where(Recall.id.in_(items)).order_by(sa.desc(Recall.log_index)).limit(1)  # type: ignore[attr-defined,arg-type]
        ).first()
        asked = select(RecallItem.record_id).where(RecallItem.agreement_id == row.id)
        recalled = sa.select(sa.func.count(sa.distinct(_I.c.contribution_id))).join(_R, _R.c.id == _I.c.release_id)
        count = session.execute(recalled.where(_R.c.agreement_id == row.id, out, _I.c.record_id.in_(asked))).scalar_one()
        waiting = session.execute(items.where(RecallItem.recall_id == None).limit(1)).first() is not None
        told.append(
            Held(
                row.lab_id, row.legal_name, row.id, parse_use(session.get_one(UseRow, row.use_id).body["use"]), row.contributions, row.since,
                None if row.endless else row.until, bool(row.served), count, "waiting" if waiting else latest and latest.state, latest,
                latest is not None and is_late(latest, now),
            )
        )  # fmt: skip
    return told


@dataclass(frozen=True, slots=True)
class Refused:
    """A lab that asked for something it was part of, and gets nothing of it as the terms are now. `because`: `terms`, `lab`
    (taken back from it), `purpose`, or `basis` (nobody said yes to it)."""

    lab_id: str
    lab: str
    use: Use
    asked_at: datetime
    because: str


def refused(session: Session, runtime: Runtime, row: Contribution, now: datetime) -> list[Refused]:
    """Labs whose request covered the contribution and that its terms now keep out, newest first, each lab and use once."""
    governing = queries.governing(session, row)
    if governing is None:
        return []
    consent, own = governing
    book: PolicyBook = runtime.parts["policies"]
    layers = [book.by_digest(own.digest), *others(session, book, row, consent.contribution_id is not None, now)]
    taken = exclusions(session, row.contributor_id, row.id)
    asked = session.execute(
        sa.select(Request, UseRow, Lab.legal_name)  # type: ignore[call-overload]
        .join(UseRow, UseRow.id == Request.use_id)
        .join(Lab, Lab.id == Request.lab_id)
        .where(Request.created_at >= row.recorded_at)
        .order_by(sa.desc(Request.id))
        .limit(_LOOKED_AT)
    ).all()
    told: dict[tuple[str, int], Refused] = {}
    for request, use_row, name in asked:
        if (request.lab_id, use_row.id) in told or not is_of(session, request.selection, row):
            continue
        use = parse_use(use_row.body["use"])
        facts = LabFacts(kind=use_row.body["kind"], seat=use_row.body["seat"])
        age = age_of(row.recorded_at, now)
        if any(x.lab_id == request.lab_id for x in taken):
            because = "lab"
        elif any(x.purpose is not None and touches(x.purpose, use) for x in taken):
            because = "purpose"
        elif not basis_allows(consent.basis, use.actions):
            because = "basis"
        elif not all(evaluate(layer.compiled, use, facts, now.date(), age).permitted for layer in layers):
            because = "terms"
        else:
            continue
        told[request.lab_id, use_row.id] = Refused(request.lab_id, name, use, request.created_at, because)
    return list(told.values())


def others(session: Session, book: PolicyBook, row: Contribution, own: bool, now: datetime) -> list[StoredPolicy]:
    """What binds beside the governing consent: the standing one (where the contribution has its `own`), the platform's floor, and the
    policy of every collective that is mandated over it: one that permits nothing where mandate or policy is past its day."""
    found = []
    if own and (standing := queries.current(session, row.contributor_id, None)) is not None:
        found.append(book.by_digest(standing[1].digest))
    floor = session.get(PlatformFloor, row.platform_id)
    if floor is not None:
        found.append(book.by_ids([floor.policy_id])[floor.policy_id])
    policies = session.execute(binding.policies_over(row.id, now.date())).scalars().all()
    for policy in dict.fromkeys(policies):
        found.append(book.resolve(None, "nothing-new", {}, now) if policy is None else book.by_ids([policy])[policy])
    return found


def exclusions(session: Session, contributor: str, contribution: str | None) -> list[Exclusion]:
    """What was taken back in part for good: from one contribution and from everything; with None, from everything alone."""
    reach = Exclusion.contribution_id == None
    if contribution is not None:
        reach = sa.or_(reach, Exclusion.contribution_id == contribution)  # type: ignore[arg-type,assignment]
    lasting = sa.and_(Exclusion.since == None, Exclusion.until == None)  # type: ignore[arg-type]
    query = select(Exclusion).where(Exclusion.contributor_id == contributor, reach, lasting)
    return list(session.exec(query.order_by(sa.asc(Exclusion.id))))  # type: ignore[arg-type]
