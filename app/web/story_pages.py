"""What became of it: a line of what happened, and a picture of where it went with the same facts as a table."""

from fastapi import APIRouter, Request, Response

from app.kit.access import BY_RECEIPT
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.parties.auth import receipt_from
from app.parties.models import Contributor, Platform
from app.revocations import timeline
from app.web import telling
from app.web.picture import MOST_DRAWN, draw
from app.web.rendering import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])


@router.get("/r/timeline")
def timeline_page(request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """All that happened to what the receipt covers, the newest first."""
    receipt = receipt_from(request, session)
    events, whole = timeline.events(session, runtime, receipt)
    return page(
        "timeline.html", events=[(event, telling.happened(event)) for event in events], whole=whole, one=receipt.contribution_id is not None,
    )  # fmt: skip


@router.get("/r/where")
def where_page(request: Request, session: ReadSessionDep) -> Response:
    """From the platform through releases to labs: drawn, and written down."""
    receipt = receipt_from(request, session)
    rows = timeline.went(session, receipt)
    platform = session.get_one(Platform, session.get_one(Contributor, receipt.contributor_id).platform_id).name
    return page(
        "where.html", rows=rows, picture=draw(platform, rows), platform=platform, drawn=MOST_DRAWN, one=receipt.contribution_id is not None
    )  # fmt: skip
