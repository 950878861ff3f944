"""For a claimed contributor: which releases hold a contribution and which do not, each with its proof.

Shown are the published releases that could hold it: cut after it was recorded, over a selection that it is part of. For each a
proof from the release's tree of record ids, whose root stands in the release's leaf of the log. What a proof tells besides:
how many records the release holds, and for absence the record ids of two neighbours, which are hashes over secrets of others
and join with nothing.
"""

from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements.models import Agreement, Offer, Request
from app.agreements.selection import is_of
from app.contributions import queries
from app.contributions.models import Contribution
from app.crypto.commitment import record_id, rid_seed
from app.kit.blobs import BlobNotFound
from app.kit.errors import NotFound
from app.kit.runtime import Runtime
from app.log import proofs
from app.parties import contributors
from app.parties.models import Lab
from app.releases.models import Recall, RecallItem, Release, ReleaseItem, Shard
from app.releases.queries import deletion_of, tree_of
from app.releases.tree import RecordTree
from app.revocations.schemas import HoldingOut, ShownOut, TreeOut

_OUT = ("published", "superseded")


def page(session: Session, runtime: Runtime, row: Contribution, after: int, limit: int) -> tuple[list[HoldingOut], int | None]:
    """Proofs for releases with a log index above `after`, in log order, `limit` releases looked at; and where to go on.

    Raises NotFound where the person's key is gone.
    """
    person = contributors.load(session.connection(), runtime.keys, [row.contributor_id]).get(row.contributor_id)
    if person is None:
        raise NotFound("not_found", queries.UNKNOWN)
    recorded = queries.recorded_entry(session, row.id).log_index
    seed = rid_seed(person.rid_key, row.id)
    found = session.execute(
        sa.select(Release, Request.selection, Request.mode, Offer.issued_at, Lab.legal_name)  # type: ignore[call-overload]
        .join(Agreement, Agreement.id == Release.agreement_id)
        .join(Offer, Offer.id == Agreement.offer_id)
        .join(Request, Request.id == Offer.request_id)
        .join(Lab, Lab.id == Agreement.lab_id)
        .where(Release.state.in_(_OUT), Release.log_index > max(after, recorded))  # type: ignore[attr-defined]
        .order_by(Release.log_index)
        .limit(limit)
    ).all()
    items = []
    for release, selection, mode, issued_at, lab in found:
        record = record_id(release.agreement_id, seed)
        item = session.execute(
            sa.select(ReleaseItem.parts, Shard.state)  # type: ignore[call-overload]
            .join(Shard, sa.and_(Shard.release_id == ReleaseItem.release_id, Shard.shard == ReleaseItem.shard))
            .where(ReleaseItem.release_id == release.id, ReleaseItem.contribution_id == row.id)
        ).first()
        could = is_of(session, selection, row) and recorded < release.as_of and (mode != "snapshot" or row.recorded_at <= issued_at)
        if could or item is not None:
            items.append(_holding(session, runtime, release, lab, record, item))
    return items, found[-1][0].log_index if len(found) == limit else None



def _holding(session: Session, runtime: Runtime, release: Release, lab: str, record: bytes, item: Any) -> HoldingOut:
    named = tree_of(release)
    tree: dict[str, Any] | None = named
    try:
        present, shown = RecordTree(runtime.blobs, release.id, named["size"]).prove(record)
    except BlobNotFound:  # a release of before its tree was kept: what the database says, without proof
        present, shown, tree = item is not None and item[0] > 0, [], None
    assert release.log_index is not None
    return HoldingOut(
        v=1, type="sayso-holding", release=release.id, agreement=release.agreement_id, lab=lab, cut_at=release.cut_at,
        record_id=record.hex(), present=present, tombstone=item is not None and item[0] == 0,
        shard_state=item[1] if present and item is not None else None,
        recall=_recall(session, release.agreement_id, record),
        deletion=None if (kept := deletion_of(session, release.id)) is None else kept.state,
        tree=None if tree is None else TreeOut(**tree), shown=[ShownOut(**one) for one in shown],
        **proofs.evidence(session, runtime, release.log_index),  # type: ignore[arg-type]
    )  # fmt: skip


def _recall(session: Session, agreement: str, record: bytes) -> str | None:
    """How the deletion of a record stands with its holder."""
    state: str | None = session.execute(
        sa.select(Recall.state)  # type: ignore[call-overload]
        .join(RecallItem, RecallItem.recall_id == Recall.id)
        .where(RecallItem.agreement_id == agreement, RecallItem.record_id == record)
        .order_by(sa.desc(Recall.log_index))
        .limit(1)
    ).scalar()
    return state
