"""A contribution as the person who gave it sees it."""

from sqlmodel import Session

from app.consents.policies import PolicyBook
from app.contributions import queries
from app.contributions.models import Contribution
from app.contributions.schemas import MineOut
from app.core.deed import deed
from app.kit.runtime import Runtime


def read_mine(runtime: Runtime, session: Session, row: Contribution) -> MineOut:
    """The person's view of a contribution."""
    book: PolicyBook = runtime.parts["policies"]
    found = queries.governing(session, row)
    stored = None if found is None else book.by_digest(found[1].digest)
    return MineOut(
        id=row.id, kind=row.kind, state=queries.state_at(row, row.releasable_from <= runtime.clock.now()), language=row.language,
        parts=queries.names_of(row), platform=row.platform_id, recorded_at=row.recorded_at, releasable_from=row.releasable_from,
        policy=None if stored is None else stored.digest, basis=None if found is None else found[0].basis,
        deed=[] if stored is None else list(deed(stored.terms)), log_index=queries.recorded_entry(session, row.id).log_index,
    )  # fmt: skip
