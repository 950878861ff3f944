"""What anybody can read of a collective that chose to be public: its charter, its policy, what it decided. Nothing of any member."""

from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlmodel import Session, select

from app.collectives import queries, recounting, reviewing, service
from app.collectives.models import Collective, LabRefusal, Membership, OutcomeRow, Proposal
from app.consents.policies import PolicyBook
from app.core.deed import Line, beside
from app.kit.access import VISITOR, admits, naming
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.auth import COOKIE
from app.parties.models import Lab
from app.releases.labels import labels_of
from app.releases.models import Release, ReleaseOutcome
from app.web import collective_words as told
from app.web.collective_pages import NO_STORE, turn_away
from app.web.ledger_words import LABELS
from app.web.rendering import PageRoute, page
from app.web.saying import Said, deed_language

MOST = 50


@admits(VISITOR, hides=True)
def _visitor(request: Request) -> None:
    turn_away(request)


router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(_visitor)])


@router.get("/collectives")
def about(id: Annotated[str, Query(max_length=80)] = "") -> Response:
    """What a collective is, and the way to one by its id."""
    if is_id("collective", id.strip()):
        return RedirectResponse(f"/collectives/{id.strip()}", 303, NO_STORE)
    return page("collectives.html", missed=bool(id.strip()))


@router.get("/collectives/{collective}", dependencies=[naming("collective")])
def public(collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """A public collective."""
    row = session.get(Collective, collective)
    if row is None or not row.listed:
        raise NotFound("not_found", "Look at the id; it must be of a public group.")
    stewards = sa.select(sa.func.count()).select_from(Membership).where(
        Membership.collective_id == row.id, queries.stewards(runtime.clock.now())  # type: ignore[arg-type]
    )  # fmt: skip
    return page(
        "collective_public.html", **facts(session, runtime, row), stewards=session.execute(stewards).scalar_one(),
        outcomes=_outcomes(session, row), releases=_releases(session, row), refused=_refused(session, row), verdicts=told.VERDICTS, types=told.TYPES,
        known=COOKIE in request.cookies,
    )  # fmt: skip


def facts(session: Session, runtime: Runtime, row: Collective, charter: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a page shows of a collective as such: charter and policy in words, the policy's `digest`, how many belong to it in steps."""
    body = queries.charter(session, row.id, row.charter_n) if charter is None else charter
    digest = service.policy_digest(runtime, row, runtime.clock.now().date())
    return {
        "collective": row, "members": log.bucket(queries.members(session, row.id)), "charter": body, "rules": told.charter(body),
        "decided": told.decided(body), "digest": digest, "policy": _deed(runtime, digest), "policy_until": row.policy_until,
        "review": review(session, runtime, row), "recounters": recounting.keys_of(body),
    }  # fmt: skip


def review(session: Session, runtime: Runtime, row: Collective) -> dict[str, Any]:
    """By which day the charter is to be reviewed, and how near that is."""
    return {"day": reviewing.day(session, row), "stage": reviewing.stage(session, row, runtime.clock.now().date())}


def policy_now(runtime: Runtime, row: Collective) -> tuple[Line, ...] | None:
    """The deed of the policy in force; None where there is none."""
    return _deed(runtime, service.policy_digest(runtime, row, runtime.clock.now().date()))


def _deed(runtime: Runtime, digest: str | None) -> tuple[Line, ...] | None:
    book: PolicyBook = runtime.parts["policies"]
    return None if digest is None else beside(book.by_digest(digest).terms, deed_language())


def _outcomes(session: Session, row: Collective) -> list[tuple[Proposal, OutcomeRow]]:
    """What was decided by so many that it may be shown to all, the newest first."""
    query = select(Proposal, OutcomeRow).join(OutcomeRow, sa.and_(OutcomeRow.proposal_id == Proposal.id))
    query = query.where(Proposal.collective_id == row.id, Proposal.electorate_size >= queries.FEWEST)  # type: ignore[operator]
    return list(session.exec(query.order_by(sa.desc(OutcomeRow.log_index)).limit(MOST)))  # type: ignore[arg-type]


def _releases(session: Session, row: Collective) -> list[tuple[Release, list[Said]]]:
    """Published releases that rest on its decisions, with the labels that hold now."""
    own = sa.select(Proposal.id).where(Proposal.collective_id == row.id)  # type: ignore[call-overload]
    bound = sa.select(ReleaseOutcome.release_id).where(sa.or_(ReleaseOutcome.outcome == row.id, ReleaseOutcome.outcome.in_(own)))  # type: ignore[call-overload,attr-defined]
    query = select(Release).where(Release.id.in_(bound), Release.state.in_(("published", "superseded")))  # type: ignore[attr-defined]
    found = list(session.exec(query.order_by(sa.desc(Release.log_index)).limit(MOST)))  # type: ignore[arg-type]
    labels = labels_of(session, [one.id for one in found])
    return [(one, [LABELS[label.code] for label in labels[one.id] if label.lifted_at is None]) for one in found]


def _refused(session: Session, row: Collective) -> list[Lab]:
    """Labs to which nothing of its members goes."""
    query = select(Lab).join(LabRefusal, sa.and_(LabRefusal.lab_id == Lab.id)).where(LabRefusal.collective_id == row.id)
    return list(session.exec(query.order_by(Lab.legal_name)))
