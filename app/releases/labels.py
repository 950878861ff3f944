"""Labels of releases: what is to be said of one after its manifest was signed. Each is a leaf of its own, and stays.

`contested` where a decision of a collective that its records rest on was (computed, and never typed), `dissent` where somebody filed a
minority report on one. They are added by a job that the cut and the report queue, so that neither waits for the other.
"""

from sqlmodel import Session, select

from app.collectives import proposals
from app.collectives.models import OutcomeRow
from app.kit.db import for_update, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.releases.models import Release, ReleaseLabel, ReleaseOutcome


def relabel(runtime: Runtime, outcome: str) -> None:
    """The job: see that every published release that rests on a collective's outcome has the labels which follow from it."""
    with write(runtime.engine) as session:
        row = session.get(OutcomeRow, outcome)
        if row is None:
            return  # a policy of the founding: nobody decided, and nobody could dissent
        resting = select(ReleaseOutcome.release_id).where(ReleaseOutcome.outcome == outcome)
        releases = session.exec(for_update(select(Release).where(Release.id.in_(resting)).order_by(Release.id), session)).all()  # type: ignore[attr-defined]
        codes = {"contested": row.contested, "dissent": bool(proposals.reports(session, [outcome]))}
        missing = [
            (release.id, code)
            for release in releases
            for code, holds in codes.items()
            if holds and session.get(ReleaseLabel, (release.id, code)) is None
        ]
        if not missing:
            return
        now = runtime.clock.now()
        leaves = [log.institutional("label.added", release, {"label": code}, now) for release, code in missing]
        first = log.append(session, leaves, now)
        session.add_all(
            [ReleaseLabel(release_id=release, code=code, log_index=first + n, at=now) for n, (release, code) in enumerate(missing)]
        )


def labels(session: Session, release: str) -> list[ReleaseLabel]:
    """A release's labels, in the order of the log."""
    query = select(ReleaseLabel).where(ReleaseLabel.release_id == release)
    return list(session.exec(query.order_by(ReleaseLabel.log_index)))  # type: ignore[arg-type]
