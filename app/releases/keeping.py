"""How long a release may be kept: where the signed terms ask for its deletion a period after the cut, who got it owes that from then on."""

from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from app.core.constraints import period_days
from app.kit.db import for_update, insert_or_ignore
from app.kit.errors import Gone
from app.kit.runtime import Runtime
from app.releases.models import Release, ReleaseDeletion
from app.releases.queries import is_undeleted

AHEAD = timedelta(days=7)
"""How long before its day a lab is reminded."""


def period(terms: dict[str, Any]) -> timedelta | None:
    """The shortest period after a release that signed terms give; None where they give none."""
    days = [period_days(o["within"]) for o in terms["obligations"] if o["kind"] == "delete" and o["event"] == "release"]
    return timedelta(days=min(days)) if days else None


def owe(session: Session, runtime: Runtime, release: Release, terms: dict[str, Any], now: datetime) -> datetime | None:
    """Note at a delivery, once, by when the release must be deleted, and queue a look at it for that day; gives the day. What the lab
    answers is held meanwhile: no delivery beside its word comes after it.

    Raises Gone (release_deleted, or release_expired where its time is over and nobody is late with it).
    """
    within = period(terms)
    if within is None or release.cut_at is None:
        return None
    due = release.cut_at + within
    known = session.get(ReleaseDeletion, release.id)
    if due <= now and (known is None or (known.state == "owed" and not is_undeleted(known, now))):  # who is late is told that instead
        raise Gone("release_expired", "Ask for a new cut: the time for which this one could be kept is over.")
    row = {"release_id": release.id, "agreement_id": release.agreement_id, "state": "owed", "delete_by": due, "late_from": due, "models": []}
    insert_or_ignore(session, ReleaseDeletion.__table__, row)  # type: ignore[attr-defined]
    held = session.exec(for_update(select(ReleaseDeletion.state).where(ReleaseDeletion.release_id == release.id), session)).one()
    if held != "owed":
        raise Gone("release_deleted", "You said what became of it. Ask for a new cut, where the agreement is in force.", state=held)
    for name, at in (("before", due - AHEAD), ("after", due + timedelta(seconds=1))):
        runtime.jobs.enqueue(session, "deletion", release.id, key=name, delay=max(0.0, (at - now).total_seconds()))
    return due
