"""The page of a platform's engineer: what its hooks received, what was refused and why, how late; one button a refused line."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from app.contributions import intake_status
from app.contributions.hooks import Hooks
from app.kit.access import BY_LINK
from app.kit.body import need_media_type, parse_form
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import DomainError
from app.kit.pagination import PAGE, Cursors
from app.parties.links import Links
from app.web.pages import page, problem_page

intake_pages = APIRouter(include_in_schema=False, dependencies=[BY_LINK])


@intake_pages.get("/intake/{code}")
def intake_page(
    code: str,
    runtime: RuntimeDep,
    session: ReadSessionDep,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    told: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """Reached by the link that `python -m app platforms intake` prints."""
    links: Links = runtime.parts["intake_links"]
    cursors: Cursors = runtime.parts["cursors"]
    now = runtime.clock.now()
    try:
        platform = links.read(code, now)
        listing = f"refused/{platform}"
        before = None if cursor is None else cursors.read(listing, cursor)
    except DomainError as error:
        return problem_page(error)
    lines = intake_status.refused_page(session, platform, before, PAGE + 1)
    following = cursors.make(listing, lines[PAGE - 1].id) if len(lines) > PAGE else None
    hooks, recorded = intake_status.overview(session, platform, now=now), intake_status.recorded(session, platform)
    imports = intake_status.imports(session, platform)
    return page("intake.html", code=code, hooks=hooks, recorded=recorded, imports=imports, lines=lines[:PAGE], next=following, told=told)


@intake_pages.post("/intake/{code}/retry")
async def retry(code: str, request: Request, runtime: RuntimeDep) -> Response:
    """Try one refused line again, then the page."""
    links: Links = runtime.parts["intake_links"]
    hooks: Hooks = runtime.parts["hooks"]
    try:
        need_media_type(request, "application/x-www-form-urlencoded")
        line = parse_form(await request.body()).get("line", "")
        platform = links.read(code, runtime.clock.now())
        told = "recorded"
        try:
            await hooks.try_again(platform, line)
        except DomainError as error:
            if error.code == "refused_line_unknown":
                raise
            told = "refused"
    except DomainError as error:
        return await run_in_threadpool(problem_page, error)
    return RedirectResponse(f"/intake/{code}?told={told}", 303, {"Cache-Control": "no-store"})
