"""What a platform's own tool deleted: its consent is revoked, so that nothing of it is released any more and holders are told.

A deletion at the platform is no act of the person, so it is not called withdrawn, and nothing is erased by it: what they gave stays
theirs to see and to prove.
"""

from sqlmodel import Session

from app.contributions.models import Contribution
from app.kit.db import read, write
from app.kit.errors import Conflict, Unauthorised
from app.kit.runtime import Runtime
from app.revocations import service
from app.revocations.acting import Holder
from app.revocations.schemas import RevocationIn


def revoke_deleted(runtime: Runtime, ids: list[str]) -> int:
    """Revoke the consents of these contributions, each in a transaction of its own; gives how many were still in force. What was
    withdrawn or erased before stays as it is."""
    done = 0
    for contribution in ids:
        with read(runtime.engine) as session:
            holder = _holder(session, contribution)
        if holder is None:
            continue
        try:
            with write(runtime.engine) as session:
                asked = RevocationIn(scope="contribution")
                service.withdraw(session, runtime, holder, asked, now=runtime.clock.now(), by="platform")
            done += 1
        except (Conflict, Unauthorised):
            continue
    return done


def _holder(session: Session, contribution: str) -> Holder | None:
    row = session.get(Contribution, contribution)
    return None if row is None or row.state != "live" else Holder(row.contributor_id, row.id, claimed=False)
