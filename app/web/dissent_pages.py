"""The forms of who is against a proposal: an objection, taken back or not, a minority report, and support for one of another."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import proposals, supporting
from app.collectives.dissent_models import ObjectionWithdrawn
from app.collectives.schemas import ReportIn
from app.collectives.service import Acting
from app.kit.access import BY_MEMBER
from app.kit.deps import RuntimeDep
from app.kit.runtime import Runtime
from app.web.collective_pages import built, once, perform, words
from app.web.rendering import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])


@router.post("/r/collectives/{collective}/proposals/{proposal}/objection")
async def object_to(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    return await perform(request, runtime, _dissenting(runtime, collective, proposal, "objection", proposals.object_to))


@router.post("/r/collectives/{collective}/proposals/{proposal}/report")
async def report(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    return await perform(request, runtime, _dissenting(runtime, collective, proposal, "report", proposals.dissent))


def _dissenting(runtime: Runtime, collective: str, proposal: str, what: str, act: Any) -> Any:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(ReportIn, "Go back and write what you have against it.", text=words(form, "words"))
        once(
            session, runtime, who, f"{what}/{proposal}", form,
            lambda: act(session, runtime, who, collective, proposal, given.text, now=runtime.clock.now()),
        )  # fmt: skip
        return f"/r/collectives/{collective}/proposals/{proposal}?done={what}"

    return deed


@router.post("/r/collectives/{collective}/proposals/{proposal}/objection/{objection}/withdraw")
async def withdraw_objection(collective: str, proposal: str, objection: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        if session.get(ObjectionWithdrawn, objection) is None:  # pressed twice
            proposals.withdraw_objection(session, runtime, who, collective, proposal, objection, now=runtime.clock.now())
        return f"/r/collectives/{collective}/proposals/{proposal}?done=withdrawn"

    return await perform(request, runtime, deed)


@router.post("/r/collectives/{collective}/proposals/{proposal}/report/{report}/support")
async def support(collective: str, proposal: str, report: str, request: Request, runtime: RuntimeDep) -> Response:
    """Pressed twice, supported once."""

    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        where, now = f"/r/collectives/{collective}/proposals/{proposal}", runtime.clock.now()
        if form.get("support") == "no":
            with suppress(supporting.NotSupported):
                supporting.take_back(session, runtime, who, collective, proposal, report, now=now)
            return f"{where}?done=unsupported"
        supporting.support(session, runtime, who, collective, proposal, report, now=now)
        return f"{where}?done=supported"

    return await perform(request, runtime, deed)
