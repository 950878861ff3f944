"""Other texts for a proposal: what each changes, proposing one, and taking it or letting it go to a vote of its own."""

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import amendments, telling
from app.collectives.service import Acting
from app.collectives.thread_schemas import AcceptIn, AmendmentIn
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.web.collective_pages import built, once, perform, words
from app.web.comparing import by_word
from app.web.rendering import PageRoute, page
from app.web.thread_pages import PROPOSAL, around, base_of, yes

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])


@router.get(PROPOSAL + "/amendments")
def show_amendments(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The oldest first, each with what it changes."""
    values = around(request, session, runtime, collective, proposal)
    here, row = values["here"], values["row"]
    found = telling.amendments(session, runtime, collective, amendments.of(session, row.id), here.receipt)
    return page(
        "amendments.html", found=[(one, by_word(row.text, one.text) if one.state == "open" and one.text is not None else []) for one in found],
        settles=values["open"] and values["voice"] and here.mine.member == row.author, asked=row.request_id is not None, **values,
    )  # fmt: skip


@router.post(PROPOSAL + "/amendments")
async def amend(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            AmendmentIn, "Go back and write the text as it should be, of at most 20000 letters.", text=words(form, "text"),
            base_sha256=form.get("base", ""),
        )  # fmt: skip
        made = once(
            session, runtime, who, f"amendments/{proposal}", form,
            lambda: amendments.amend(session, runtime, who, collective, proposal, given.text, given.base_sha256, now=runtime.clock.now()),
        )  # fmt: skip
        return f"{base_of(collective, proposal)}/amendments#{made}"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/amendments/{amendment}/decision")
async def settle(collective: str, proposal: str, amendment: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(AcceptIn, "Go back and use one of the two buttons.", accept=yes(form, "accept"))
        amendments.settle(session, runtime, who, collective, proposal, amendment, given.accept, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/amendments#{amendment}"

    return await perform(request, runtime, deed)
