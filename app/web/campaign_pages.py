"""Campaigns: what members ask of a lab, or against a purpose, and what each pledges to do once enough others do.

A pledge is said in full before it is given: what is done with what one gave, from when, and that nothing is done unless enough others act
too. Whoever pledged sees it and can take it back; nobody else sees whose pledges there are.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.collectives import campaigns, queries, strikes
from app.collectives.campaign_schemas import CampaignIn, PledgeIn
from app.collectives.models import Campaign
from app.collectives.service import Acting
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.deed import beside
from app.core.pledges import FEWEST_TOGETHER
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Invalid
from app.kit.runtime import Runtime
from app.parties import epochs
from app.parties.models import Lab
from app.web import strike_pages, telling, thread_words
from app.web.act_pages import language_of
from app.web.collective_home_pages import policy_of, with_deeds
from app.web.collective_pages import Here, against, built, fresh_key, labs, member, once, perform, words
from app.web.rendering import PageRoute, page
from app.web.saying import deed_language
from app.web.thread_pages import Word

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
HERE = "/r/collectives/{collective}/campaigns"
MOST = 100
"""Campaigns on a page, the newest."""


@router.get(HERE)
def list_campaigns(collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    here = member(request, session, collective)
    rows = campaigns.of_collective(session, here.collective, MOST)
    return page("campaigns.html", here=here, found=[_head(session, row) for row in rows], words=thread_words, voice=_voice(runtime, here))


@router.get(HERE + "/new")
def ask_campaign(collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The form to begin one."""
    here = member(request, session, collective)
    now = runtime.clock.now()
    first, last = (now + campaigns.SHORTEST).date(), (now + campaigns.LONGEST).date() - timedelta(days=1)
    return page(
        "campaign_new.html", here=here, labs=labs(session), offered=with_deeds(runtime.parts["policies"]),
        purposes=telling.purposes(), words=thread_words, first=first.isoformat(), last=last.isoformat(),
        once=fresh_key(), voice=_voice(runtime, here), fewest=FEWEST_TOGETHER,
    )  # fmt: skip


def _voice(runtime: Runtime, here: Here) -> bool:
    return queries.has_voice(here.mine, runtime.clock.now())


@router.post(HERE)
async def open_campaign(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str], policy: StoredPolicy | None) -> str:
        pause = form.get("action") == "pause"
        diverts = {} if policy is None else {"policy": {"policy": policy.digest}, "to_lab": form.get("to") or None}
        given = built(
            CampaignIn, "Go back and fill in each field of the form.", demand=words(form, "demand"), action=form.get("action", ""), **against(form),
            mode=form.get("mode", ""), deadline=end_of(form.get("deadline", "")), until=end_of(form.get("until", "")) if pause else None,
            at_least=_number(form.get("at_least", str(FEWEST_TOGETHER))), **diverts,
        )  # fmt: skip
        made = once(
            session, runtime, who, f"campaigns/{collective}", form,
            lambda: campaigns.open_one(session, runtime, who, collective, given, now=runtime.clock.now(), policy=policy),
        )  # fmt: skip
        return f"{HERE.format(collective=collective)}/{made}"

    return await perform(request, runtime, deed, lambda form: policy_of(runtime, form) if form.get("action") == "divert" else None)


def end_of(day: str) -> datetime:
    """The end of a day that a form gives (UTC). Raises Invalid (body_invalid)."""
    try:
        return datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise Invalid("body_invalid", "Go back and choose a day.") from None


@router.get(HERE + "/{campaign}")
def show_campaign(
    collective: str, campaign: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, told: Word = ""
) -> Response:
    """What is asked, what a pledge would do, how many pledged in steps, and the reader's own pledge."""
    here = member(request, session, collective)
    row, now = campaigns.find(session, collective, campaign), runtime.clock.now()
    mine, covered = campaigns.own(session, runtime, row, here.who), here.who.contribution
    pledged = None if mine is None else _about(mine, covered)
    needs = 0 if mine is None else max(mine.threshold, row.at_least - 1)
    return page(
        "campaign.html", here=here, one=_told(session, runtime, row), words=thread_words, told=told, over=row.deadline <= now,
        mine=mine, needs=needs, covers=_covers(session, runtime, here), pledged=pledged,
        receipt_for="all" if covered is None else "this", voice=_voice(runtime, here), days=epochs.promise(runtime.settings),
    )  # fmt: skip


def _number(said: str) -> int | None:
    """A whole number as a field has it."""
    said = said.strip()
    return int(said) if said.isascii() and said.isdigit() and len(said) < 8 else None


def _covers(session: Session, runtime: Runtime, here: Here) -> str:
    """What a pledge under this receipt is about: `all`, `one`, or `nothing` where nothing is left that a lab could get."""
    if not campaigns.could_be_released(session, runtime, here.who):
        return "nothing"
    return "all" if here.who.contribution is None else "one"


def _about(mine: campaigns.Given, covered: str | None) -> str:
    """What a standing pledge is about, beside what the receipt is for: `all`, `this` thing, `part` of what it is for, or an`other`."""
    if mine.contribution is None:
        return "all"
    return "part" if covered is None else "this" if mine.contribution == covered else "other"


def _head(session: Session, row: Campaign) -> dict[str, Any]:
    """What a campaign is about, and how it stands."""
    uncalled = row.state == "not_reached" and row.mode == "called" and not strikes.called_in_time(session, row)
    stands = "set_back" if row.set_back else "not_called" if uncalled else row.state
    return {
        "id": row.id, "demand": row.demand, "state": row.state, "stands": stands, "deadline": row.deadline,
        **strike_pages.target(session, row.lab_id, row.purpose),
    }  # fmt: skip


def _told(session: Session, runtime: Runtime, row: Campaign) -> dict[str, Any]:
    book: PolicyBook = runtime.parts["policies"]
    policy = None if row.policy_id is None else book.by_ids([row.policy_id])[row.policy_id]
    return {
        **_head(session, row), "action": row.action, "until": row.until, "mode": row.mode, "author": row.author,
        "pledges": campaigns.pledges(session, row), "to": None if row.to_lab_id is None else session.get_one(Lab, row.to_lab_id),
        "terms_sha256": campaigns.terms_sha256(row, None if policy is None else policy.digest), "policy": None if policy is None else policy.digest,
        "deed": None if policy is None else beside(policy.terms, deed_language()),
        "at_least": row.at_least, "set_back": row.set_back, "few": row.executed < queries.FEWEST,
    }  # fmt: skip


@router.post(HERE + "/{campaign}/pledge")
async def pledge(collective: str, campaign: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        advice = "Go back and say how many others must act too, as a number from 0 to 1000000."
        given = built(
            PledgeIn, advice, threshold=_number(form.get("threshold", "")), terms_sha256=form.get("terms", ""), policy=form.get("policy") or None,
            language=language_of(form),
        )  # fmt: skip
        campaigns.pledge(session, runtime, who, collective, campaign, given, now=runtime.clock.now())
        return f"{HERE.format(collective=collective)}/{campaign}?told=pledged"

    return await perform(request, runtime, deed)


@router.post(HERE + "/{campaign}/take-back")
async def take_back(collective: str, campaign: str, request: Request, runtime: RuntimeDep) -> Response:
    """Pressed again it leads to the page again, which shows no pledge."""

    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        queries.member(session, collective, who)  # to who is no member nothing is there, also nothing to press again
        row = campaigns.find(session, collective, campaign)
        if row.state != "open" or campaigns.own(session, runtime, row, who) is not None:
            campaigns.take_back(session, runtime, who, collective, campaign, now=runtime.clock.now())
        return f"{HERE.format(collective=collective)}/{campaign}?told=back"

    return await perform(request, runtime, deed)
