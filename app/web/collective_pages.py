"""How the pages of collectives find who is there, and do what a form asks. Every page of a collective stands on these functions.

To a platform's or a lab's token nothing is at these addresses, and to who is no member a collective has its public page alone. A form's act
goes through `perform` of a router whose class is `PageRoute`: where the person has a passkey, the service refuses the act until it is
signed, and the route asks for that and sends the same form again. So what an act says must follow from its form and from nothing at random.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError
from sqlmodel import Session, select

from app.collectives import queries, threads
from app.collectives.models import Collective, Membership, Proposal
from app.collectives.service import Acting
from app.core.canonical import sha256_hex
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import get_runtime
from app.kit.errors import DomainError, Invalid
from app.kit.idempotency import Once
from app.kit.ids import random_id
from app.kit.problems import STATUS
from app.kit.runtime import Runtime
from app.kit.shown import FIELD
from app.parties.auth import receipt_from, same_origin, turn_away
from app.parties.models import Lab, Receipt

PURPOSE = "purpose:"
NO_STORE = {"Cache-Control": "no-store"}
Shape = TypeVar("Shape", bound=BaseModel)
Deed = Callable[..., str]
"""What a form does: given the write, who acts, the form, and what was stored before, if anything was. Gives the address to go on to, which is
one of ours."""
Before = Callable[[dict[str, str]], Any]
Again = Callable[[Session, dict[str, str], DomainError], Response]
"""Shows a form once more, with what was typed and why it was refused."""
MOST_LABS = 500
"""Labs to choose from in one list."""


@dataclass(frozen=True)
class Here:
    """Somebody on a page of a collective's. `mine` is None for a steward of another collective that is to close a proposal here."""

    receipt: Receipt
    who: Acting
    collective: Collective
    charter: dict[str, Any]
    mine: Membership | None

    @property
    def home(self) -> str:
        return f"/r/collectives/{self.collective.id}"


def person(request: Request, session: Session) -> Receipt:
    """The receipt of whoever reads. Raises NotFound (`turn_away`), or what `receipt_from` does, which ends on its page."""
    turn_away(request)
    return receipt_from(request, session)


def member(request: Request, session: Session, collective: str) -> Here:
    """A member on a page of their collective. Raises what `person` and `inside` do."""
    return inside(session, person(request, session), collective)


def inside(session: Session, receipt: Receipt, collective: str) -> Here:
    """A member in their collective. Raises NotFound (not_found): to who is no member it is not there."""
    row, mine = queries.member(session, collective, Acting.of(receipt))
    return Here(receipt, Acting.of(receipt), row, queries.charter(session, row.id, row.charter_n), mine)


def reader(request: Request, session: Session, collective: str, proposal: str) -> tuple[Here, Proposal]:
    """Somebody who may read a proposal: a member, or a steward of another collective that is to close it. The charter is the one that the
    proposal is decided by. Raises NotFound (not_found)."""
    receipt = person(request, session)
    row = threads.readable(session, collective, proposal, Acting.of(receipt), get_runtime(request).clock.now())
    mine = queries.membership_of(session, collective, Acting.of(receipt))
    charter = queries.charter(session, collective, row.charter_n)
    return Here(receipt, Acting.of(receipt), queries.collective_of(session, collective), charter, mine), row


async def perform(request: Request, runtime: Runtime, deed: Deed, before: Before | None = None, again: Again | None = None) -> Response:
    """Do what a form asks in one transaction, and go on to where `deed` says. `before` is for what has a transaction of its own, such as to
    store the policy that the form chooses: what it gives the deed is given too. With `again` what is refused of what was typed is told at the
    form. Raises what `person` and the deed do, and Forbidden (csrf)."""
    if "authorization" in request.headers:
        await run_in_threadpool(turn_away, request)  # before a word about the form
    form = await form_of(request)
    return await run_in_threadpool(_answer, request, runtime, form, deed, before, again)


def _answer(request: Request, runtime: Runtime, form: dict[str, str], deed: Deed, before: Before | None, again: Again | None) -> Response:
    try:
        return RedirectResponse(_perform(request, runtime, form, deed, before), 303, NO_STORE)
    except DomainError as error:
        # A passkey is asked for by the route. Who is not there, or may not, has no form to be shown; and a form whose first sending is still
        # at work keeps the key that it went with: shown once more with a fresh one, it would do the act a second time.
        if again is None or error.kind not in ("invalid", "conflict", "too_many") or error.code.startswith(("passkey", "idempotency")):
            raise
        with read(runtime.engine) as session:
            shown = again(session, form, error)
        shown.status_code = STATUS[error.kind]
        if "retry_after" in error.extra:
            shown.headers["Retry-After"] = str(error.extra["retry_after"])
        return shown


ADVICE = {
    "reasons_missing": "Go back and tick at least one reason.", "text_changed": "Go back and load the page again: the text was changed.",
    "no_voice_yet": "Wait until the day that the page of the group says. You can read all of it until then.",
    "mandate_policy_changed": "Go back and load the page again: the terms of the group were changed.",
    "day_invalid": "Go back and choose one of the days that the page names.",
    "charter_overdue": "Propose the rules of the group first: new ones, or the same ones again. Votes that allow less go on.",
    "effect_fixed": "Change the text alone. To have something else decided on, put it up by itself.",
    "too_late_to_change": "Go back and let it go to a vote of its own. All must have time to read what they vote on.",
    "proposal_invalid": "Go back and fill in what it is about.",
    "policy_not_narrower": "Choose terms that allow less, or propose these as terms for all of you.",
    "eligibility_missing": "Ask a platform that you give to for a code.",
    "eligibility_invalid": "Use your page for the platform that gave you the code, or ask it for another code.",
    "group_unknown": "Go back and choose your part from the list.",
    "strike_invalid": "Go back and look at whom it is against, and at the day. The pledges must outlast the vote, "
    "and no other strike may run against the same.",
    "outcome_final": "Propose to refuse the lab: that can be done at any time.",
    "idempotency_in_flight": "Wait a moment, then load this page again. What you sent is done once.",
    "renewal_late": "Let it end; the lab can ask for it anew.",
    "person_named": "Take the name out. Say how many votes are meant.",
    "not_urgent": "Go back and leave out that it is urgent.", "divert_too_many": "Pledge with receipts of single things instead.",
    "campaign_invalid": "Go back and look at whom it is against, what it does, and the days. Only a break has a second day, after the first.",
}  # fmt: skip
"""What to do, for who meets these refusals on a page: the API's own advice names fields. Of what is told at the form itself it does not say to
go back."""


def _perform(request: Request, runtime: Runtime, form: dict[str, str], deed: Deed, before: Before | None) -> str:
    same_origin(request)
    stored: list[Any] = []
    if before is not None:
        with read(runtime.engine) as session:
            receipt_from(request, session)
        stored.append(before(form))
    try:
        with write(runtime.engine) as session:
            return deed(session, Acting.of(receipt_from(request, session)), form, *stored)
    except DomainError as error:
        error.detail = ADVICE.get(error.code, error.detail)
        raise


def labs(session: Session, *which: Any) -> list[Lab]:
    """Labs to choose from, all or those for which it holds, by name."""
    return list(session.exec(select(Lab).where(*which).order_by(Lab.legal_name).limit(MOST_LABS)))


def fresh_key() -> str:
    """For the hidden field `once` of a form that makes something."""
    return random_id("act")


def once(session: Session, runtime: Runtime, who: Acting, route: str, form: dict[str, str], act: Callable[[], str]) -> str:
    """Do a form's act once, however often it is pressed: gives the id of what it made, now or before. What else is written in the same
    form, by who went back, is another act. Raises what `act` and `Once` do."""
    said = repr(sorted((name, value) for name, value in form.items() if name != FIELD)).encode()
    key = f"{form['once'][:40]}/{sha256_hex(said)}" if form.get("once") else None
    return Once.of(who.contributor, f"page/{route}", key, said).perform(session, runtime.clock.now(), act)[0]


# -- what a form says ------------------------------------------------------------------------------------------------------
def words(form: dict[str, str], name: str) -> str:
    """A field's text with the line ends that are signed and shown, and nothing around it."""
    return form.get(name, "").replace("\r\n", "\n").strip()


def chosen(form: dict[str, str], prefix: str) -> list[str]:
    """What was ticked of boxes named `prefix` and a value, sorted: a form of ours has each field once."""
    return sorted(name.removeprefix(prefix) for name in form if name.startswith(prefix))


def against(form: dict[str, str]) -> dict[str, str | None]:
    """The `lab` or the `purpose` that a form is against; None for what it names not."""
    lab, _, purpose = form.get("against", "").partition(PURPOSE)
    return {"lab": lab or None, "purpose": purpose or None}


def built(shape: type[Shape], advice: str, **fields: Any) -> Shape:
    """The API's shape of what a form says. Raises Invalid (body_invalid) with what to do."""
    try:
        return shape(**fields)
    except ValidationError:
        raise Invalid("body_invalid", advice) from None
