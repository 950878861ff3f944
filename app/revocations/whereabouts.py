"""What a person's page tells of their work: who holds it, who asked and got nothing, and what was taken back in part.

For a claimed holder alone: labs are named here, which nobody else of the person's side of things is told.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement, Request
from app.agreements.models import Use as UseRow
from app.agreements.selection import age_of, is_of, touches
from app.collectives import binding
from app.consents.models import Consent, Exclusion, PlatformFloor
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.evaluation import LabFacts, Use, basis_allows, evaluate, parse_use
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.releases.models import Delivery, Recall, RecallItem, Release, ReleaseDeletion, ReleaseItem, Shard
from app.releases.queries import is_late, is_undeleted
from app.revocations.acting import OUT, chunks

_ONE_BY_ONE = 1_000
"""As many record ids are looked up by themselves."""
_LOOKED_AT = 200
"""How many of the newest requests are looked through for refusals."""
_A, _L, _R = Agreement.__table__, Lab.__table__, Release.__table__  # type: ignore[attr-defined]
_I, _S, _C = ReleaseItem.__table__, Shard.__table__, Contribution.__table__  # type: ignore[attr-defined]
_RI, _D, _T = RecallItem.__table__, ReleaseDeletion.__table__, Delivery.__table__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Held:
    """A lab that got it under one agreement, or may get it: then `fetched` is False, and the rest is of what it may get. `until` is the first
    day on which nobody may get it any more, None where no day was set; `served` that some of it is open to the lab; `recalled` says of how
    many of the contributions it must delete its copy.

    How that stands is one of these: `deletion` (`waiting` before the lab is told, else the state of `recall`), `ended`, `passed`, or
    nothing was asked. `late` goes with the first, where the recall is late, and with the last."""

    lab_id: str
    lab: str
    agreement: str
    use: Use
    contributions: int
    since: datetime
    until: date | None
    served: bool
    recalled: int
    fetched: bool
    deletion: str | None = None
    recall: Recall | None = None
    late: bool = False
    ended: ReleaseDeletion | None = None
    """What the lab said of the newest release, where it said of each that it got what became of it after its period."""
    passed: datetime | None = None
    """The day by which it had to delete a release after its period, and did not say that it did."""


def held(session: Session, contributor: str, contribution: str | list[str] | None, now: datetime) -> list[Held]:
    """Who got one contribution, any of some, or (None) any of a contributor's: an item an agreement, by the lab's name. Of several releases
    those count that the lab got; where it got none, those that it may get."""
    mine: Any = [contribution] if isinstance(contribution, str) else contribution
    if contribution is None:
        mine = sa.select(_C.c.id).where(_C.c.contributor_id == contributor)
    releases: dict[str, list[Out]] = {}
    for out in released(session, mine):
        releases.setdefault(out.agreement_id, []).append(out)
    open_ = {agreement for agreement, outs in releases.items() if any(out.served for out in outs)}
    for agreement, outs in releases.items():
        releases[agreement] = [out for out in outs if out.fetched] or outs
    counts = _counted(session, mine, releases)
    recalls: dict[str, list[tuple[bytes, str | None]]] = {}
    for agreement, record, recall in asked(session, mine, [out for outs in releases.values() for out in outs]):
        recalls.setdefault(agreement, []).append((record, recall))
    owed = deletions(session, [out.id for outs in releases.values() for out in outs])
    query = sa.select(_A.c.id, _A.c.lab_id, _L.c.legal_name, UseRow.body).select_from(_A.join(_L, _L.c.id == _A.c.lab_id))  # type: ignore[call-overload]
    query = query.join(UseRow, UseRow.id == _A.c.use_id).where(_A.c.id.in_(list(releases)))
    told = []
    for agreement, lab_id, lab, body in session.execute(query.order_by(_L.c.legal_name, _A.c.id)).all():
        outs, recalled = releases[agreement], recalls.get(agreement, [])
        ends = [out.open_until for out in outs if out.open_until is not None]
        one = Held(
            lab_id, lab, agreement, parse_use(body["use"]), counts[agreement], min(out.cut_at for out in outs),
            max(ends) if len(ends) == len(outs) else None, agreement in open_, len({record for record, _ in recalled}), outs[0].fetched,
        )  # fmt: skip
        kept = [owed[out.id] for out in outs if out.id in owed]
        told.append(_standing(one, _told(session, recalled), any(r is None for _, r in recalled), kept, len(outs), now))
    return told


def _standing(one: Held, recalls: list[Recall], waiting: bool, kept: list[ReleaseDeletion], releases: int, now: datetime) -> Held:
    """How the deletion stands: what the lab is late with before what it has time for, and that before what it said. `kept` are the duties to
    delete whole releases, of which it got so many."""
    unsettled = [recall for recall in recalls if recall.closed_at is None]
    late = next((recall for recall in unsettled if is_late(recall, now)), None)
    if late is not None:
        return replace(one, deletion=late.state, recall=late, late=True)
    # What it deleted one by one is in no copy of the release any more.
    passed = [row.delete_by for row in kept if is_undeleted(row, now)]
    if passed and (waiting or unsettled or one.recalled < one.contributions):
        return replace(one, passed=min(passed), late=True)
    answered = [row for row in kept if row.state != "owed"]
    ended = max(answered, key=lambda row: row.delete_by) if len(answered) == releases else None
    if waiting and (ended is None or any(row.state == "cannot_remove" for row in answered)):
        return replace(one, deletion="waiting")
    if unsettled:
        return replace(one, deletion=unsettled[-1].state, recall=unsettled[-1])
    # That it cannot be taken out of a model stays true, whatever else it said.
    latest = next((recall for recall in reversed(recalls) if recall.state == "cannot_remove"), recalls[-1] if recalls else None)
    if ended is not None and (latest is None or latest.state != "cannot_remove"):
        return replace(one, ended=next((row for row in answered if row.state == "cannot_remove"), ended))
    return replace(one, deletion=latest and latest.state, recall=latest)


def _told(session: Session, recalled: list[tuple[bytes, str | None]]) -> list[Recall]:
    """The recalls that the lab was told, in log order."""
    found: list[Recall] = []
    for some in chunks(sorted({recall for _, recall in recalled if recall is not None})):
        found += session.exec(select(Recall).where(Recall.id.in_(some)))  # type: ignore[attr-defined]
    return sorted(found, key=lambda recall: recall.log_index or 0)


def deletions(session: Session, releases: list[str]) -> dict[str, ReleaseDeletion]:
    """Of these releases those that must be deleted a period after their cut, and how that stands."""
    found: dict[str, ReleaseDeletion] = {}
    for some in chunks(releases):
        query = select(ReleaseDeletion).where(ReleaseDeletion.release_id.in_(some))  # type: ignore[attr-defined]
        found |= {row.release_id: row for row in session.exec(query)}
    return found


@dataclass(frozen=True, slots=True)
class Out:
    """A release that was published with some of it: `count` contributions, `served` while one of their shards is open, and the lab did
    not say that it deleted the release; `fetched` where it was handed over."""

    id: str
    agreement_id: str
    cut_at: datetime
    open_until: date | None
    count: int
    served: bool
    fetched: bool


def released(session: Session, mine: Any) -> list[Out]:
    """The releases that hold any of `mine` (ids of contributions, or a select of them). Counted before anything is joined: somebody may
    have given very much, and it lies in few shards."""
    some = sa.select(_I.c.release_id, _I.c.shard, sa.func.count().label("n")).where(_I.c.contribution_id.in_(mine), _I.c.parts > 0)
    per = some.group_by(_I.c.release_id, _I.c.shard).subquery()
    shard = sa.and_(_S.c.release_id == per.c.release_id, _S.c.shard == per.c.shard)
    live = sa.func.max(sa.case((_S.c.state == "live", 1), else_=0))
    what = (_R.c.id, _R.c.agreement_id, _R.c.cut_at, _R.c.open_until)
    said = sa.select(_D.c.release_id).where(_D.c.release_id == _R.c.id, _D.c.state != "owed")
    got = sa.select(_T.c.id).where(_T.c.release_id == _R.c.id)
    joined = per.join(_R, _R.c.id == per.c.release_id).join(_S, shard)
    query = sa.select(*what, sa.func.sum(per.c.n), live, sa.exists(said), sa.exists(got)).select_from(joined)
    rows = session.execute(query.where(_R.c.state.in_(OUT)).group_by(*what)).all()
    return [Out(*row[:4], int(row[4]), bool(row[5]) and not row[6], bool(row[7])) for row in rows]


def _counted(session: Session, mine: Any, releases: dict[str, list[Out]]) -> dict[str, int]:
    """How many contributions each agreement's lab got, those in several releases once."""
    counts = {agreement: outs[0].count for agreement, outs in releases.items()}
    several = [out.id for outs in releases.values() if len(outs) > 1 for out in outs]
    if several:
        query = sa.select(_R.c.agreement_id, sa.func.count(sa.distinct(_I.c.contribution_id))).join(_R, _R.c.id == _I.c.release_id)
        found = session.execute(query.where(_I.c.contribution_id.in_(mine), _I.c.parts > 0, _I.c.release_id.in_(several)).group_by(_R.c.agreement_id))
        counts |= dict(found.all())
    return counts


def _is_less(lookups: int, items: int) -> bool:
    return lookups <= items


def asked(session: Session, mine: Any, outs: list[Out]) -> list[tuple[str, bytes, str | None]]:
    """What labs were asked to delete of `mine` in these releases: the agreement, the record id, of which each contribution has one in an
    agreement, and the recall that says so (None: not told yet).

    It begins on the side that is smaller: with what somebody gave, or with what the labs were asked, looked up in every shard. Ids go
    from one statement into the next: a database that knows too little of its tables joins these in the worst order.
    """
    if not outs:
        return []
    items, releases = sum(out.count for out in outs), [out.id for out in outs]
    query = sa.select(_RI.c.agreement_id, _RI.c.record_id, _RI.c.recall_id).where(_RI.c.agreement_id.in_({out.agreement_id for out in outs}))
    some = session.execute(query.limit(_ONE_BY_ONE + 1)).all()
    if not some:
        return []
    records = sa.select(_I.c.record_id, _I.c.contribution_id).where(_I.c.parts > 0, _I.c.release_id.in_(releases))
    shards = session.execute(sa.select(_S.c.shard).where(_S.c.release_id.in_(releases)).distinct().limit(_ONE_BY_ONE)).scalars().all()
    if len(some) > _ONE_BY_ONE or not _is_less(len(some) * len(shards) * len(releases), items):
        own = records.with_only_columns(_I.c.record_id).where(_I.c.contribution_id.in_(mine))
        return [(agreement, bytes(record), recall) for agreement, record, recall in session.execute(query.where(_RI.c.record_id.in_(own)))]
    told = {record for _, record, _ in some}
    there = session.execute(records.where(_I.c.shard.in_(shards), _I.c.record_id.in_(told))).all()
    ids = {contribution for _, contribution in there}
    theirs = ids & set(mine) if isinstance(mine, list) else set(session.execute(mine.where(_C.c.id.in_(ids))).scalars())
    known = {bytes(record) for record, contribution in there if contribution in theirs}
    return [(agreement, bytes(record), recall) for agreement, record, recall in some if bytes(record) in known]


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
    mine = Exclusion.contributor_id == row.contributor_id  # by which there is an index
    only = session.exec(select(Exclusion.only_lab_id).where(mine, Exclusion.consent_id == consent.id)).first()
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
        if any(x.lab_id == request.lab_id for x in taken) or only not in (None, request.lab_id):
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
    """What was taken back in part, for good or with the terms in force: from one contribution and everything; with None, from everything."""
    reach = Exclusion.contribution_id == None
    if contribution is not None:
        reach = sa.or_(reach, Exclusion.contribution_id == contribution)  # type: ignore[arg-type,assignment]
    given = sa.exists().where(Consent.id == Exclusion.consent_id, Consent.state == "current")  # type: ignore[arg-type]
    lasting = sa.and_(
        Exclusion.since == None, Exclusion.until == None, Exclusion.only_lab_id == None, sa.or_(Exclusion.consent_id == None, given),  # type: ignore[arg-type]
    )  # fmt: skip
    query = select(Exclusion).where(Exclusion.contributor_id == contributor, reach, lasting)
    return list(session.exec(query.order_by(sa.asc(Exclusion.id))))  # type: ignore[arg-type]
