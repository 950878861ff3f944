"""Strikes by vote on the pages of proposals, as forms choose them and as they are told; and the petition that puts a proposal to the vote."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session, select

from app.collectives import amendments, frozen, petitioning, strikes
from app.collectives.models import Campaign, Proposal, Strike
from app.collectives.service import Acting
from app.collectives.thread_models import ProposalThread
from app.kit.access import BY_MEMBER
from app.kit.deps import RuntimeDep
from app.kit.errors import Invalid
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.web import telling
from app.web.collective_pages import Here, against, perform
from app.web.rendering import PageRoute
from app.web.saying import say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
KINDS = {
    "refuse_new": (say("Nothing new"), say("No lab it is about gets what we make from the call on. What we gave before stays as it is.")),
    "pause": (say("A break"), say("No lab it is about gets anything of ours, until a day or until we end it. It can keep its copies.")),
    "withdraw": (
        say("Take back, as pledged"),
        say("What was pledged in that call is taken back. And no lab it is about gets anything of any of us, until we end it by a vote."),
    ),
}  # fmt: skip
"""Kinds of strikes; a form offers `withdraw` by the campaigns whose pledges wait for a call."""
WITHDRAW = "withdraw:"
SOONEST = timedelta(days=2)
"""How long the quickest vote takes: a day to talk and a day to vote."""
MOST_WAITING = 20


def strike_of(session: Session, form: dict[str, str], until: Any) -> dict[str, Any]:
    """The strike that a form calls, as the API takes it. `until` reads a day. Raises Invalid (body_invalid)."""
    kind = form.get("kind", "")
    if kind.startswith(WITHDRAW):
        campaign = kind.removeprefix(WITHDRAW)
        found = session.get(Campaign, campaign) if is_id("campaign", campaign) else None
        if found is None:
            raise Invalid("body_invalid", "Go back and load the page again.")
        return {"kind": "withdraw", "lab": found.lab_id, "purpose": found.purpose, "campaign": found.id}
    day = form.get("until", "") if kind == "pause" else ""
    return {"kind": kind, **against(form), "until": until(day) if day else None}


def waiting(session: Session, here: Here, now: Any) -> list[dict[str, Any]]:
    """Campaigns whose pledges wait for a call and can still be called in time, the first to end first; at most twenty."""
    soonest = now + SOONEST
    query = select(Campaign).where(Campaign.collective_id == here.collective.id, Campaign.mode == "called", Campaign.deadline > soonest)
    rows = session.exec(query.where(Campaign.state == "open").order_by(Campaign.deadline, Campaign.id).limit(MOST_WAITING)).all()
    return [{"id": row.id, "demand": row.demand, **target(session, row.lab_id, row.purpose)} for row in rows]


def running(session: Session, here: Here, now: Any) -> list[dict[str, Any]]:
    """Strikes that can be ended, the newest first."""
    rows = strikes.of_collective(session, here.collective.id)
    return [{"id": row.id, **described(session, _as_terms(row))} for row in rows if row.ended_at is None and (row.until is None or row.until > now)]


def _as_terms(row: Strike) -> dict[str, Any]:
    return {"kind": row.kind, "lab": row.lab_id, "purpose": row.purpose, "until": row.until}


def described(session: Session, terms: dict[str, Any]) -> dict[str, Any]:
    """A strike's terms for a page: `kind`, `lab` or `purpose` in words, `until` or None."""
    return {"kind": terms["kind"], "until": terms["until"], **target(session, terms["lab"], terms["purpose"])}


def target(session: Session, lab: str | None, purpose: str | None) -> dict[str, Any]:
    """For a page: the `lab` that something is against, or the `purpose` in words."""
    return {"lab": None if lab is None else session.get_one(Lab, lab), "purpose": None if purpose is None else telling.purpose(purpose)}


# -- petition --------------------------------------------------------------------------------------------------------------
def petition(session: Session, runtime: Runtime, here: Here, row: Proposal, now: Any) -> dict[str, Any] | None:
    """How many signed of how many it takes, whether the reader did, and whether who did so before a change must sign `anew`; None where it is
    no more open or they are no member."""
    if here.mine is None:
        return None
    signed, needed = petitioning.told(session, runtime, row, now)
    if signed is None:
        return None
    thread = session.get(ProposalThread, row.id)
    mine = thread is not None and petitioning.signed_by(session, runtime, thread, here.mine.member)
    effect = frozen.effect_sha256(session, runtime, row)
    return {
        "signed": signed, "needed": needed, "mine": mine, "author": row.author == here.mine.member, "effect": effect,
        "anew": amendments.effect_changed(row),
    }  # fmt: skip


@router.post("/r/collectives/{collective}/proposals/{proposal}/petition")
async def sign(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    """Pressed twice, signed once."""

    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        where = f"/r/collectives/{collective}/proposals/{proposal}"
        if form.get("sign") == "no":
            with suppress(petitioning.NotSigned):
                petitioning.take_back(session, runtime, who, collective, proposal, now=runtime.clock.now())
            return f"{where}?done=unsigned"
        petitioning.sign(session, runtime, who, collective, proposal, form.get("effect") or None, now=runtime.clock.now())
        return f"{where}?done=signed"

    return await perform(request, runtime, deed)
