"""A lab's pages: what was offered with its deeds and dissent, what was signed, what is owed by when, what was released and recalled.

Reached by a link that `sayso console` makes, and open for a day's work. They read; what is signed is a signature that was
made elsewhere, because the key never comes near a browser. Beside that a cut can be given up, and what a collective says of a request be
answered (`lab_thread_pages.py`), which need no key.
"""

import json
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sayso.terms import duty
from sqlmodel import Session, select

from app.agreements import service as agreements
from app.agreements import signing
from app.agreements.models import Agreement, Offer
from app.collectives.models import Collective, Proposal
from app.core.deed import beside
from app.core.policy import parse_policy
from app.kit.access import BY_DESK, BY_LINK
from app.kit.body import Out, StrictRoute, Time, form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict
from app.kit.runtime import Runtime
from app.parties.auth import ReadingLab, same_origin
from app.parties.links import Links
from app.parties.models import Lab
from app.releases import service as releases
from app.releases.models import Recall, Release, Shard
from app.releases.queries import deletion_of, is_undeleted, stopped
from app.revocations import duties
from app.web import telling
from app.web.collective_words import STATES
from app.web.consoles import Console
from app.web.rendering import StaffRoute, page

CONSOLE = Console("/lab", "sayso_lab", "console_links", "console_sessions", "sayso console", "lax")
MOST = 50
"""Of each list, the newest."""
WHY = {
    "lab": ("You gave it up.", "Ask for another when you want one."),
    "agreement": ("The agreement is not in force any more.", "Ask for the use again, and sign the new offer."),
    "stopped": ("Nothing new may go to you.", "Look at what is late among what you owe. If nothing is, ask who runs this service."),
    "storage": ("The files could not be written.", "Tell who runs this service, then ask for another."),
    "log": ("The log can only be read now.", "Wait until who runs this service has looked, then ask for another."),
    "service": ("The service met an error of its own.", "Ask for another. If that fails too, tell who runs this service."),
}  # fmt: skip
"""By `REASONS` why a cut gave no release, and what to do."""
UNKNOWN = ("Why was not kept.", "Ask for another.")
console = APIRouter(prefix="/v1", tags=["parties"], route_class=StrictRoute)
router = APIRouter(include_in_schema=False, route_class=StaffRoute, dependencies=[BY_DESK])


class ConsoleOut(Out):
    """Where the lab's pages open, once, until `expires_at`."""

    url: str
    expires_at: Time


@console.post("/console-links", status_code=201, response_model=ConsoleOut, summary="A link to my pages")
def console_link(runtime: RuntimeDep, lab: ReadingLab) -> ConsoleOut:
    """A short link for a person of the lab: for a quarter of an hour it opens the lab's pages, which then stay open for eight."""
    links: Links = runtime.parts["console_links"]
    now = runtime.clock.now()
    return ConsoleOut(url=f"{runtime.settings.public_url}/lab/open/{links.code(lab.id, now)}", expires_at=now + links.life)


@router.get("/lab/open/{code}", dependencies=[BY_LINK])
def open_console(code: str, runtime: RuntimeDep) -> Response:
    """Turn a link into the browser's session."""
    return CONSOLE.open(code, runtime)


def lab_of(request: Request, runtime: Runtime, session: Session) -> Lab:
    """Whose session it is. Raises Unauthorised (console_ended), NotFound where the session has ended."""
    return session.get_one(Lab, CONSOLE.party(request, runtime))


@router.get("/lab")
def home(request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """What waits for an answer, and what is in force."""
    lab, now = lab_of(request, runtime, session), runtime.clock.now()
    offers = session.exec(
        select(Offer).where(Offer.lab_id == lab.id, Offer.state == "open", Offer.expires_at > now).order_by(sa.desc(Offer.id)).limit(MOST)  # type: ignore[arg-type]
    ).all()
    signed = session.exec(select(Agreement).where(Agreement.lab_id == lab.id).order_by(sa.desc(Agreement.log_index)).limit(MOST)).all()  # type: ignore[arg-type]
    told = [_agreement(session, one, now) for one in signed]
    asked = select(Proposal).where(Proposal.type == "licence.use", Proposal.subject == lab.id).order_by(sa.desc(Proposal.opened_at)).limit(MOST)  # type: ignore[arg-type]
    votes = [{"row": one, "state": STATES[one.state], "collective": session.get_one(Collective, one.collective_id)} for one in session.exec(asked)]
    waiting = [{"row": o, "terms": _told(json.loads(o.body))} for o in offers]
    return page("lab.html", lab=lab, offers=waiting, agreements=told, votes=votes, stopped=WHY["stopped"] if stopped(session, lab, now) else None)


def _agreement(session: Session, row: Agreement, now: datetime) -> dict[str, Any]:
    """An agreement in the list: its use, how much of what is owed is open or late, and whether all can see that."""
    owed = [task for task in duties.of_agreement(session, row, now=now) if task.state in ("open", "overdue")]
    late = [task for task in owed if task.state == "overdue"]
    _, terms = agreements.terms_of(session, row)
    return {
        "row": row, "use": _told(terms)["use"], "open": len(owed), "late": len(late), "seen": any(task.public for task in late),
        "next": owed[0].due if owed else None,
    }  # fmt: skip


def _told(terms: dict[str, Any], words: list[tuple[str, str | None, str]] | None = None) -> dict[str, Any]:
    """Signed or offered terms as a page shows them. Each deed is of its policy as it stands in the offer; `words` are those of the
    dissent by digest, None where they were erased, with what each is."""
    use = terms["use"]
    deeds = [beside(parse_policy(one["policy"])) for one in terms["policies"]]
    selection = [(name, value if isinstance(value, list) else [value]) for name, value in terms["selection"].items() if value]
    return {
        "use": telling.used(agreements.parse(use)), "deeds": list(dict.fromkeys(deeds)),
        "dissent": [(digest, None, "") for digest in terms["dissent"]] if words is None else words,
        "owed": [duty(one) for one in terms["obligations"]], "days": use.get("retention_days"), "openness": use.get("model_openness"),
        "territory": use.get("territory"), "storage": use.get("storage"), "ethics": use.get("ethics_review"), "supersedes": terms.get("supersedes"),
        "policies": len(deeds), "selection": selection, "mode": terms["mode"], "until": terms["until"], "lab": terms["lab"],
    }  # fmt: skip


@router.get("/lab/offers/{offer}")
def offer_page(offer: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """An offer to read before anything is signed; one that was signed leads to its agreement."""
    lab = lab_of(request, runtime, session)
    row = agreements.own_offer(session, lab.id, offer)
    came = session.exec(select(Agreement.id).where(Agreement.offer_id == row.id)).first()
    if came is not None:
        return RedirectResponse(f"/lab/agreements/{came}", 303, {"Cache-Control": "no-store"})
    over = row.state != "open" or row.expires_at <= runtime.clock.now()
    told = _told(json.loads(row.body), agreements.dissent_of(session, lab.id, row.id))
    return page("lab_offer.html", lab=lab, row=row, terms=told, over=over, base=runtime.settings.public_url)


@router.get("/lab/offers/{offer}/bytes")
def offer_bytes(offer: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The bytes that a signature covers, to carry to a machine without a network."""
    body = agreements.own_offer(session, lab_of(request, runtime, session).id, offer).body
    named = {"Content-Disposition": f'attachment; filename="{offer}.json"', "Cache-Control": "no-store"}
    return Response(body, media_type="application/json", headers=named)


@router.post("/lab/offers/{offer}")
async def hand_in(offer: str, request: Request, runtime: RuntimeDep) -> Response:
    """Take the signature that `sayso sign` printed, then show the agreement."""
    form = await form_of(request)
    same_origin(request)
    made = await run_in_threadpool(_sign, offer, request, runtime, "".join(form.get("acceptance", "").split()))
    return RedirectResponse(f"/lab/agreements/{made}", 303, {"Cache-Control": "no-store"})


def _sign(offer: str, request: Request, runtime: Runtime, acceptance: str) -> str:
    with read(runtime.engine) as session:
        lab = lab_of(request, runtime, session).id
    with write(runtime.engine) as session:
        return signing.sign(session, runtime, session.get_one(Lab, lab), offer, acceptance, now=runtime.clock.now())


@router.get("/lab/agreements/{agreement}")
def agreement_page(
    agreement: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, all: Annotated[str | None, Query(max_length=1)] = None
) -> Response:  # fmt: skip
    """What was signed, what is owed by when, what was released, what was recalled. Done tasks stand there with `?all=1`."""
    lab, now = lab_of(request, runtime, session), runtime.clock.now()
    row = agreements.own_agreement(session, lab.id, agreement)
    offer, terms = agreements.terms_of(session, row)
    words = agreements.dissent_of(session, lab.id, offer.id)
    released = session.exec(
        select(Release).where(Release.agreement_id == row.id).order_by(sa.desc(Release.id)).limit(MOST)  # type: ignore[arg-type]
    ).all()
    recalled = session.exec(
        select(Recall).where(Recall.agreement_id == row.id).order_by(sa.desc(Recall.log_index)).limit(MOST)  # type: ignore[arg-type]
    ).all()
    owed = duties.of_agreement(session, row, now=now)
    return page(
        "lab_agreement.html", lab=lab, row=row, terms=_told(terms, words), releases=released, recalls=recalled, all=all == "1",
        made={one.id: releases.progress(session, runtime, one) for one in released if one.state == "cutting"},
        tasks=[task for task in owed if all == "1" or task.state != "done"], done=sum(task.state == "done" for task in owed),
        base=runtime.settings.public_url, now=now,
    )  # fmt: skip


@router.get("/lab/releases/{release}")
def release_page(release: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """How far a cut is, with the way to give it up; afterwards what came of it, or why nothing did."""
    lab = lab_of(request, runtime, session)
    row = releases.own_release(session, lab.id, release)
    shards = session.exec(select(Shard).where(Shard.release_id == row.id)).all()
    owed = deletion_of(session, row.id)
    return page(
        "lab_release.html", lab=lab, row=row, progress=releases.progress(session, runtime, row), why=WHY.get(row.reason, UNKNOWN),
        successor=releases.successor(session, row), owed=owed, late=owed is not None and is_undeleted(owed, runtime.clock.now()),
        rows=sum(shard.rows for shard in shards), size=sum(shard.bytes for shard in shards),
        shards=len(shards), gone=sum(shard.state != "live" for shard in shards), base=runtime.settings.public_url,
    )  # fmt: skip


@router.post("/lab/releases/{release}")
async def give_up(release: str, request: Request, runtime: RuntimeDep) -> Response:
    """Give a cut up, then show what is left of it. One that ended meanwhile is shown as it is."""
    await form_of(request)
    same_origin(request)
    await run_in_threadpool(_cancel, release, request, runtime)
    return RedirectResponse(f"/lab/releases/{release}", 303, {"Cache-Control": "no-store"})


def _cancel(release: str, request: Request, runtime: Runtime) -> None:
    with read(runtime.engine) as session:
        lab = lab_of(request, runtime, session).id
    with write(runtime.engine) as session, suppress(Conflict):
        releases.cancel(session, runtime, session.get_one(Lab, lab), release)
