"""Other texts for a proposal, and other terms or rules: what each changes, proposing one, and taking it or letting it go to a vote of its own."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import amendments, frozen, queries, telling, threads
from app.collectives.models import Proposal
from app.collectives.service import Acting
from app.collectives.thread_schemas import AcceptIn, AmendmentIn, AmendmentOut, EffectOut
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.canonical import canonical
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import DomainError
from app.kit.runtime import Runtime
from app.web import charter_forms
from app.web import collective_words as told
from app.web.collective_home_pages import policy_of, with_deeds
from app.web.collective_pages import built, once, perform, words
from app.web.comparing import by_word
from app.web.rendering import PageRoute, page
from app.web.saying import say
from app.web.thread_pages import PROPOSAL, around, base_of, yes

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])


_STALE = say("The text was changed while you wrote. You find it above yours. Look at both, then send it again.")
_CHANGED = say("What it would bring was changed while you wrote. Look at it on the page of the proposal, then send it again.")
_SAME = say("You changed nothing yet. Change the text, or what it brings, then send it.")


@router.get(PROPOSAL + "/amendments")
def show_amendments(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The oldest first, each with what it changes."""
    return _shown(request, session, runtime, collective, proposal, {}, None)


def _shown(
    request: Request, session: Session, runtime: Runtime, collective: str, proposal: str, form: dict[str, str], error: DomainError | None
) -> Response:
    """The page, with what was typed in its form so far, and why that was not taken."""
    values = around(request, session, runtime, collective, proposal)
    here, row = values["here"], values["row"]
    if error is not None and not (values["open"] and values["voice"]):
        raise error  # there is no form any more
    rows = amendments.of(session, row.id)
    found = telling.amendments(session, runtime, collective, rows, here.receipt)
    book: PolicyBook = runtime.parts["policies"]
    brings, effects = telling.effect_of(amendments.present(runtime, row)), _effects(session, runtime, row, found)
    stays = values["open"] and runtime.clock.now() >= threads.effect_stays_from(row)
    shown = [
        (out, by_word(row.text, out.text) if out.state == "open" and out.text is not None and out.text != row.text else [],
         told.effect_turned(book, brings if out.state == "open" else effects.get(out.base_effect_sha256 or ""), out.effect),
         amendments.fits(session, runtime, row, one))
        for out, one in zip(found, rows, strict=True)
    ]  # fmt: skip
    acts, changeable = values["open"] and values["voice"], amendments.changeable(row)
    effect = frozen.effect_sha256(session, runtime, row)
    charter = json.loads(bytes(row.charter)) if row.charter is not None and "charter" in changeable else None
    newer = form.get("base", row.text_sha256) != row.text_sha256
    more = [_STALE] if newer else []
    if form.get("base_effect", effect) != effect:
        more += [_CHANGED] if charter is None else charter_forms.stale(form, charter)
    if error is not None and error.code == "text_changed" and not more:
        more = [_SAME]
    return page(
        "amendments.html", found=shown, settles=acts and here.mine.member == row.author, asked=row.request_id is not None, typed=form, newer=newer,
        effect=effect, offered=with_deeds(book) if acts and "policy" in changeable else [], refused=charter_forms.refused(error, *more),
        house=None if charter is None else charter_forms.kept(form, charter), was=None if charter is None else charter_forms.fields_of(charter),
        stays=stays, **values,
    )  # fmt: skip


def _effects(session: Session, runtime: Runtime, row: Proposal, found: list[AmendmentOut]) -> dict[str, EffectOut]:
    """By the digest that an amendment is written for: all that a proposal ever brought, as far as the reader may read it."""
    known = [telling.effect_of(amendments.present(runtime, row, first=first)) for first in (True, False)]
    known += (one.effect for one in found if one.effect is not None)
    return {
        frozen.amended_sha256(session, runtime, row, one.policy, None if one.charter is None else canonical(one.charter)): one for one in known
    }


@router.post(PROPOSAL + "/amendments")
async def amend(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str], policy: StoredPolicy | None) -> str:
        queries.member(session, collective, who)
        row = queries.proposal(session, collective, proposal)
        fields: dict[str, Any] = {} if policy is None else {"policy": {"policy": policy.digest}}
        if row.charter is not None and charter_forms.changed(form, before := json.loads(bytes(row.charter))):
            fields["charter"] = charter_forms.charter_of(form, before)
        given = built(
            AmendmentIn, "Write the text as it should be, of at most 20000 letters.", text=words(form, "text"),
            base_sha256=form.get("base", ""), base_effect_sha256=form.get("base_effect") or None, **fields,
        )  # fmt: skip
        made = once(
            session, runtime, who, f"amendments/{proposal}", form,
            lambda: amendments.amend(session, runtime, who, collective, proposal, given, policy, now=runtime.clock.now()),
        )  # fmt: skip
        return f"{base_of(collective, proposal)}/amendments#{made}"

    return await perform(
        request, runtime, deed, lambda form: policy_of(runtime, form),
        lambda session, form, error: _shown(request, session, runtime, collective, proposal, form, error),
    )  # fmt: skip


@router.post(PROPOSAL + "/amendments/{amendment}/decision")
async def settle(collective: str, proposal: str, amendment: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(AcceptIn, "Go back and use one of the two buttons.", accept=yes(form, "accept"))
        amendments.settle(session, runtime, who, collective, proposal, amendment, given.accept, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/amendments#{amendment}"

    return await perform(request, runtime, deed)
