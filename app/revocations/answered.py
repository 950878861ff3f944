"""Recalled records that a lab has no more by its own word: of a recall that names these alone nothing is owed.

A lab that said of a release that every copy of it is deleted (`deleting.py`) is handed that release no more. A record that it got in such
releases alone is still told when somebody takes it back, since it may stand in what the lab keeps in step; to ask for its deletion again
would make it late with what it no longer has.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements.models import Agreement
from app.core.manifest import shard_of
from app.releases.models import Delivery, Release, ReleaseDeletion, ReleaseItem

AT_ONCE = 5_000
_I, _R = ReleaseItem.__table__, Release.__table__  # type: ignore[attr-defined]


def answered(session: Session, agreement: Agreement, records: set[bytes]) -> dict[bytes, ReleaseDeletion]:
    """Those of `records` that the lab got only in releases that it then said it deleted, each with the last of these statements. What it
    never fetched of the same agreement counts for nothing."""
    query = select(ReleaseDeletion).where(ReleaseDeletion.agreement_id == agreement.id, ReleaseDeletion.state == "attested")
    said = {row.release_id: row for row in session.exec(query)}
    if not said or not records:
        return {}
    fetched = sa.exists().where(Delivery.release_id == _R.c.id)  # type: ignore[arg-type]
    got = list(session.execute(sa.select(_R.c.id).where(_R.c.agreement_id == agreement.id, fetched)).scalars())
    holding: dict[bytes, set[str]] = {}
    ordered = sorted(records)
    for start in range(0, len(ordered), AT_ONCE):
        some = ordered[start : start + AT_ONCE]
        held = sa.select(_I.c.record_id, _I.c.release_id).where(_I.c.release_id.in_(got), _I.c.parts > 0, _I.c.record_id.in_(some))
        if agreement.shard_bits is not None:  # by which the rows are found without reading all of a release
            held = held.where(_I.c.shard.in_({shard_of(record, agreement.shard_bits) for record in some}))
        for record, release in session.execute(held):
            holding.setdefault(bytes(record), set()).add(release)
    return {record: max((said[one] for one in ids), key=when) for record, ids in holding.items() if ids <= said.keys()}


def when(row: ReleaseDeletion) -> tuple[datetime, str]:
    """By which the last of several statements is found."""
    assert row.closed_at is not None
    return row.closed_at, row.release_id
