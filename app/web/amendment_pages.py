"""Other texts for a proposal, and other terms or rules: what each changes, proposing one, and taking it or letting it go to a vote of its own."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import amendments, frozen, queries, telling, threads
from app.collectives.models import Proposal
from app.collectives.service import Acting
from app.collectives.thread_schemas import AcceptIn, AmendmentIn, AmendmentOut
from app.consents.policies import PolicyBook, StoredPolicy
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.web import collective_words as told
from app.web.collective_home_pages import charter_of, policy_of, with_deeds
from app.web.collective_pages import built, once, perform, words
from app.web.comparing import by_word
from app.web.proposal_pages import policy_turned
from app.web.rendering import PageRoute, page
from app.web.thread_pages import PROPOSAL, around, base_of, yes

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])


@router.get(PROPOSAL + "/amendments")
def show_amendments(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The oldest first, each with what it changes."""
    values = around(request, session, runtime, collective, proposal)
    here, row = values["here"], values["row"]
    rows = amendments.of(session, row.id)
    found = telling.amendments(session, runtime, collective, rows, here.receipt)
    book: PolicyBook = runtime.parts["policies"]
    stays = values["open"] and runtime.clock.now() >= threads.effect_stays_from(row)
    shown = [
        (out, by_word(row.text, out.text) if out.state == "open" and out.text is not None and out.text != row.text else [],
         _turned(book, row, out), amendments.fits(session, runtime, row, one))
        for out, one in zip(found, rows, strict=True)
    ]  # fmt: skip
    acts, changeable = values["open"] and values["voice"], amendments.changeable(row)
    return page(
        "amendments.html", found=shown, settles=acts and here.mine.member == row.author, asked=row.request_id is not None,
        effect=frozen.effect_sha256(session, runtime, row), offered=with_deeds(book) if acts and "policy" in changeable else [],
        stays=stays, charter=json.loads(bytes(row.charter)) if row.charter is not None and "charter" in changeable else None, **values,
    )  # fmt: skip


def _turned(book: PolicyBook, row: Proposal, one: AmendmentOut) -> dict[str, Any]:
    """What an open amendment changes of terms or rules: each line of before and after. Nothing where it leaves them."""
    if one.state != "open" or one.effect is None:
        return {}
    turned: dict[str, Any] = {}
    now = None if row.policy_id is None else book.by_ids([row.policy_id])[row.policy_id]
    if now is not None and one.effect.policy not in (None, now.digest):
        turned["policy"] = policy_turned(now, book.by_digest(one.effect.policy))
    if row.charter is not None and one.effect.charter not in (None, before := json.loads(bytes(row.charter))):
        turned["charter"] = told.turned(before, one.effect.charter)
    return turned


@router.post(PROPOSAL + "/amendments")
async def amend(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str], policy: StoredPolicy | None) -> str:
        queries.member(session, collective, who)
        row = queries.proposal(session, collective, proposal)
        fields: dict[str, Any] = {} if policy is None else {"policy": {"policy": policy.digest}}
        if row.charter is not None and "aim" in form:
            fields["charter"] = charter_of(form, json.loads(bytes(row.charter)))
        given = built(
            AmendmentIn, "Go back and write the text as it should be, of at most 20000 letters.", text=words(form, "text"),
            base_sha256=form.get("base", ""), base_effect_sha256=form.get("base_effect") or None, **fields,
        )  # fmt: skip
        made = once(
            session, runtime, who, f"amendments/{proposal}", form,
            lambda: amendments.amend(session, runtime, who, collective, proposal, given, policy, now=runtime.clock.now()),
        )  # fmt: skip
        return f"{base_of(collective, proposal)}/amendments#{made}"

    return await perform(request, runtime, deed, lambda form: policy_of(runtime, form))


@router.post(PROPOSAL + "/amendments/{amendment}/decision")
async def settle(collective: str, proposal: str, amendment: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(AcceptIn, "Go back and use one of the two buttons.", accept=yes(form, "accept"))
        amendments.settle(session, runtime, who, collective, proposal, amendment, given.accept, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/amendments#{amendment}"

    return await perform(request, runtime, deed)
