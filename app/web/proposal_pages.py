"""A proposal as members meet it: its text and what it would change, the vote, what came of it, and what was said against it."""

import json
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session, select

from app.agreements.models import Request as LabRequest
from app.agreements.models import Use as UseRow
from app.collectives import (
    amendments,
    closing,
    frozen,
    licensing,
    moderating,
    proposals,
    queries,
    recounting,
    reviewing,
    scheduling,
    strikes,
    supporting,
    telling,
    voiding,
    voting,
)
from app.collectives.electorate import tag_of
from app.collectives.models import BallotRow, Campaign, LabRefusal, Membership, OutcomeRow, Proposal
from app.collectives.schedule_schemas import DayIn
from app.collectives.schemas import BallotIn, ProposeIn
from app.collectives.service import Acting
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.deed import beside
from app.core.evaluation import parse_use
from app.kit.access import BY_MEMBER
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, DomainError, NotFound
from app.kit.runtime import Runtime
from app.parties.models import Lab
from app.web import charter_forms, strike_pages, thread_words
from app.web import collective_words as told
from app.web.campaign_pages import end_of
from app.web.collective_home_pages import policy_of, with_deeds
from app.web.collective_pages import Here, built, chosen, fresh_key, labs, member, once, perform, reader, words
from app.web.collective_public_pages import policy_now, review
from app.web.comparing import by_sentence
from app.web.note_pages import cited, may
from app.web.receipt_pages import file_of
from app.web.rendering import PageRoute, page
from app.web.saying import deed_language, say
from app.web.telling import purposes, used

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
TOLD = {
    "proposed": say("Your proposal is there."), "voted": say("Your vote is in. You can vote again until the vote ends: the last one counts."),
    "objection": say("Your objection is there. It stands until you take it back."), "report": say("Your words stand with the outcome from now on."),
    "supported": say("You support it. Nobody is told that you do."), "unsupported": say("You support it no longer."),
    "withdrawn": say("You took your objection back."), "signed": say("You signed for a vote."),
    "unsigned": say("Your name for a vote is gone."), "moved": say("The vote begins later now. All can see why."),
}  # fmt: skip
"""What was just done, by a word in the address."""
Word = Annotated[str, Query(max_length=40)]


@router.get("/r/collectives/{collective}/proposals/{proposal}")
def read_proposal(
    collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, done: Word = ""
) -> Response:  # fmt: skip
    here, row = reader(request, session, collective, proposal)
    now = runtime.clock.now()
    elector = None if here.mine is None else tag_of(session, runtime, row, here.mine.member)
    open_now = row.state == "ballot" and row.close_at > now
    found = session.get(OutcomeRow, row.id)
    changed = None if row.first_text is None or row.first_text == row.text else by_sentence(row.first_text, row.text)
    return page(
        "proposal.html", here=here, row=row, mine=None if here.mine is None else here.mine.member, done=TOLD.get(done), once=fresh_key(),
        type=told.TYPES[row.type], state=told.STATES[row.state], stage=told.stage(row, here.charter, now), changed=changed,
        turned=_turned(runtime, row), other=_other(session, runtime, here, row), effect=_effect(session, runtime, here, row),
        rules=told.rules(here.charter, row.type), choices=told.CHOICES, why=told.WHY,
        binding=frozen.opened(session, row).get("effect_sha256") if open_now else None,
        voting=open_now, elector=elector, voted=None if elector is None else _voted(session, row, elector.tag),
        outcome=None if found is None else json.loads(bytes(found.body)), counts=_shows_counts(here, row), verdicts=told.VERDICTS, words=thread_words,
        **({} if found is None else _closed(session, runtime, here, row, now)), voided=telling.voided(session, row),
        recounters=recounting.keys_of(here.charter), sealed=telling.sealed_to(session, row), open_until=row.appeal_until > now,
        reports=[] if here.mine is None else supporting.told(session, row, here.who),
        may_object=_may_object(here, row, now), may_report=_may_report(row, found, elector, now),
        may_support=_may_report(row, found, elector, now) and here.mine is not None and not queries.says_so(session, row, here.mine),
        late=review(session, runtime, here.collective)
        if row.state == "discussion" and reviewing.stops(session, here.collective, row.type, now) else None,
        may_move=_may_move(session, runtime, here, row, now), moved_why=thread_words.MOVED,
        petition=strike_pages.petition(session, runtime, here, row, now), kinds=strike_pages.KINDS,
        alternatives=session.exec(select(Proposal).where(Proposal.alternative_to == row.id).order_by(Proposal.id)).all(),  # type: ignore[arg-type]
    )  # fmt: skip


def _closed(session: Session, runtime: Runtime, here: Here, row: Proposal, now: datetime) -> dict[str, Any]:
    """What is said of an outcome: its labels and notes, with what those cite, and what the reader may do about them."""
    notes, mine = telling.notes(session, runtime, here.collective.id, row.id, here.receipt), here.mine
    return {
        "labels": closing.labels(session, row, now), "notes": notes, "written": {one.id: one.at for one in closing.notes(session, row.id)},
        "cited": cited(session, runtime, here, row, [one.cites for one in notes if one.cites is not None]), "appealable": row.appeal_until > now,
        "may_close": may(lambda: closing.closer(session, runtime, here.who, row, mine, now)),
        "decides": mine is not None and may(lambda: closing.decidable(session, row, mine, now)),
    }  # fmt: skip


def _shows_counts(here: Here, row: Proposal) -> bool:
    """Whether the reader is told the counts: a member, or anybody where all may read them. A steward of another group who is to close learns
    no more of how few voted, or of a private group, than the API tells them."""
    return here.mine is not None or (here.collective.listed and (row.electorate_size or 0) >= queries.FEWEST)


def _may_object(here: Here, row: Proposal, now: Any) -> bool:
    return queries.has_voice(here.mine, now) and row.state in ("discussion", "ballot") and row.close_at > now


def _may_move(session: Session, runtime: Runtime, here: Here, row: Proposal, now: Any) -> tuple[Any, Any] | None:
    """From which day to which a steward can have the vote begin later, where the reader can."""
    if here.mine is None or not queries.in_office(here.mine, now) or moderating.conflicted(session, row, here.mine):
        return None
    return scheduling.days(row) if scheduling.movable(session, runtime, row, now) else None


def _may_report(row: Proposal, found: OutcomeRow | None, elector: Any, now: Any) -> bool:
    return found is not None and elector is not None and row.appeal_until > now


def _voted(session: Session, row: Proposal, tag: str) -> BallotRow | None:
    """The last ballot of an elector: that there is one, and not which."""
    query = select(BallotRow).where(BallotRow.proposal_id == row.id, BallotRow.tag == tag)
    return session.exec(query.order_by(sa.desc(BallotRow.log_index)).limit(1)).first()  # type: ignore[arg-type]


def _effect(session: Session, runtime: Runtime, here: Here, row: Proposal) -> dict[str, Any]:
    """What it would change: terms or rules before (for members) and after, or whom it is about."""
    book: PolicyBook = runtime.parts["policies"]
    effect: dict[str, Any] = {}
    if row.policy_id is not None:
        effect["policy"] = beside(book.by_ids([row.policy_id])[row.policy_id].terms, deed_language())
        if here.mine is not None:
            effect["policy_before"] = policy_now(runtime, here.collective)
    if row.charter is not None:
        after = json.loads(bytes(row.charter))
        effect["charter"] = _rules(after)
        if here.mine is not None:
            effect["charter_before"] = _rules(queries.charter(session, row.collective_id, row.charter_n))
    if row.strike is not None:
        terms = strikes.read_terms(row.strike)
        effect["strike"] = strike_pages.described(session, _with_day(terms))
        effect["campaign"] = None if terms.get("campaign") is None else session.get(Campaign, terms["campaign"])
    if row.type.startswith(("licence.", "outcome.")) and row.subject is not None:
        effect["lab"] = session.get(Lab, row.subject)
        effect["about"], effect["until"] = None, licensing.holds_until(row, here.charter, licensing.granted_until(session, [row]))
        asked = row
        if row.about is not None:
            effect["about"] = asked = session.get_one(Proposal, row.about)
            if asked.about is not None:  # of a renewal: what was granted first
                asked = session.get_one(Proposal, asked.about)
        if asked.request_id is not None:
            effect["use"] = _use(session, asked.request_id)
    if row.measured is not None:
        effect["measured"] = json.loads(row.measured)
        effect["answers"] = None if row.subject is None else session.get(Lab, row.subject)
    return effect


def _turned(runtime: Runtime, row: Proposal) -> dict[str, Any]:
    """What was changed of terms or rules since it was put up: each line of before and after. Nothing where nothing was."""
    before, after = (telling.effect_of(amendments.present(runtime, row, first=first)) for first in (True, False))
    return told.effect_turned(runtime.parts["policies"], before, after)


def _other(session: Session, runtime: Runtime, here: Here, row: Proposal) -> dict[str, Any]:
    """What is other in an alternative than in the proposal that it is one to: its words, terms or rules. For members."""
    if row.alternative_to is None or here.mine is None:
        return {}
    first = session.get_one(Proposal, row.alternative_to)
    text = {} if first.text == row.text else {"text": by_sentence(first.text, row.text)}
    before, after = (telling.effect_of(amendments.present(runtime, one)) for one in (first, row))
    return text | told.effect_turned(runtime.parts["policies"], before, after)


def _with_day(terms: dict[str, Any]) -> dict[str, Any]:
    return {**terms, "until": None if terms["until"] is None else datetime.fromisoformat(terms["until"])}


def _rules(body: dict[str, Any]) -> dict[str, Any]:
    return {"aim": body["aim"], "rules": told.charter(body), "decided": told.decided(body)}


def _use(session: Session, request: str) -> Any:
    found = session.exec(select(UseRow).join(LabRequest, sa.and_(LabRequest.use_id == UseRow.id)).where(LabRequest.id == request)).first()
    return None if found is None else used(parse_use(found.body["use"]))


# -- vote -----------------------------------------------------------------------------------------------------------------
@router.post("/r/collectives/{collective}/proposals/{proposal}/ballot")
async def vote(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(
            BallotIn, "Go back, choose one of the four, and at most five reasons.", choice=form.get("choice"), text_sha256=form.get("text"),
            effect_sha256=form.get("effect"), reasons=chosen(form, "why-"),
        )  # fmt: skip
        voting.vote(session, runtime, who, collective, proposal, given, now=runtime.clock.now())
        return f"/r/collectives/{collective}/proposals/{proposal}?done=voted"

    return await perform(request, runtime, deed)


@router.post("/r/collectives/{collective}/proposals/{proposal}/day")
async def move(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(DayIn, "Go back, choose a day from the list, and say why.", day=form.get("day", ""), reason=form.get("reason", ""))
        scheduling.move(session, runtime, who, collective, proposal, given.day, given.reason, now=runtime.clock.now())
        return f"/r/collectives/{collective}/proposals/{proposal}?done=moved"

    return await perform(request, runtime, deed)


@router.get("/r/collectives/{collective}/proposals/{proposal}/outcome")
def outcome_download(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The outcome as a file, for `sayso recount`. Raises NotFound for who is told no counts."""
    here, row = reader(request, session, collective, proposal)
    if not _shows_counts(here, row):
        raise NotFound("not_found", "There is no outcome to be shown.")
    file = telling.outcome_file(session, runtime, row)
    return file_of(f"sayso-outcome-{row.id}.json", file.model_dump_json(indent=2).encode(), "application/json")


# -- propose ---------------------------------------------------------------------------------------------------------------
@router.get("/r/collectives/{collective}/propose")
def ask_propose(collective: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, type: Word = "") -> Response:
    """First what it is about; then, with that chosen, the form."""
    return _proposing(session, runtime, member(request, session, collective), type, {}, None)


def _proposing(session: Session, runtime: Runtime, here: Here, type: str, form: dict[str, str], error: DomainError | None) -> Response:
    """That form, with what was typed in it so far, and why it was not taken."""
    assert here.mine is not None
    book: PolicyBook = runtime.parts["policies"]
    kind = type if type in proposals.TAKES else None
    terms = kind in ("policy.adopt", "policy.narrow")
    base = str(here.collective.charter_n)
    stale = charter_forms.stale(form, here.charter) if form.get("base", base) != base else []
    return page(
        "propose.html", here=here, typed=form, base=base, refused=charter_forms.refused(error, *stale),
        house=charter_forms.kept(form, here.charter) if kind == "charter.amend" else None, was=charter_forms.fields_of(here.charter),
        types={name: told.TYPES[name] for name in proposals.TAKES}, kind=kind, once=fresh_key(),
        voice=queries.has_voice(here.mine, runtime.clock.now()), labs=_labs(session, here, kind),
        stewards=_stewards(session, here, runtime.clock.now()) if kind == "steward.remove" else [], offered=with_deeds(book) if terms else [],
        policy=policy_now(runtime, here.collective) if terms else None, rules=told.rules(here.charter, kind) if kind else [],
        review=review(session, runtime, here.collective), waits=kind in reviewing.WIDENING,
        **_striking(session, here, kind, runtime.clock.now()), given=_given(session, here, kind, runtime.clock.now()),
    )  # fmt: skip


def _striking(session: Session, here: Here, kind: str | None, now: datetime) -> dict[str, Any]:
    """What a form to call a strike, or to end one, can choose from; and which can be decided in a day each."""
    return {
        "purposes": purposes() if kind == "strike.call" else [], "kinds": strike_pages.KINDS, "urgent": kind in proposals.URGENT,
        "waiting": strike_pages.waiting(session, here, now) if kind == "strike.call" else [],
        "running": strike_pages.running(session, here, now) if kind == "strike.end" else [],
    }  # fmt: skip


def _labs(session: Session, here: Here, kind: str | None) -> list[Lab]:
    """Labs that the proposal can be about: to be refused, or those that are."""
    if kind == "strike.call":
        return labs(session)
    if kind not in ("licence.recall", "licence.grant"):
        return []
    refused = sa.select(LabRefusal.lab_id).where(LabRefusal.collective_id == here.collective.id)  # type: ignore[call-overload]
    which = Lab.id.not_in(refused) if kind == "licence.recall" else Lab.id.in_(refused)  # type: ignore[attr-defined]
    return labs(session, which)


def _given(session: Session, here: Here, kind: str | None, now: datetime) -> list[dict[str, Any]]:
    """What a lab was granted that can be renewed, recalled, or made void: the proposal, the lab, and until when it is granted or since when."""
    if kind in ("licence.renew", "licence.recall"):
        found = [(session.get_one(Proposal, one.proposal_id), one.until) for one in licensing.granted(session, here.collective.id, now.date())]
    else:
        found = [(row, None) for row in voiding.can_be_void(session, here.collective.id, now)] if kind == "outcome.void" else []
    return [
        {"id": row.id, "lab": session.get_one(Lab, row.subject), "until": until, "type": told.TYPES[row.type], "day": row.close_at}
        for row, until in found
    ]


def _stewards(session: Session, here: Here, now: datetime) -> list[str]:
    """The pseudonyms of the stewards in office."""
    query = select(Membership.member).where(Membership.collective_id == here.collective.id, queries.stewards(now))
    return sorted(session.exec(query))


@router.post("/r/collectives/{collective}/propose")
async def propose(collective: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str], policy: StoredPolicy | None) -> str:
        def act() -> str:  # all of it, since a form that is sent again is answered as it was, whatever the rules are by then
            return _propose(session, runtime, who, collective, form, policy)

        return f"/r/collectives/{collective}/proposals/{once(session, runtime, who, f'propose/{collective}', form, act)}?done=proposed"

    def again(session: Session, form: dict[str, str], error: DomainError) -> Response:
        if form.get("type") != "charter.amend":
            raise error
        return _proposing(session, runtime, member(request, session, collective), "charter.amend", form, error)

    return await perform(request, runtime, deed, lambda form: policy_of(runtime, form), again)


def _propose(
    session: Session, runtime: Runtime, who: Acting, collective: str, form: dict[str, str], policy: StoredPolicy | None
) -> str:  # fmt: skip
    """Put up what a form says. Raises what `proposals.propose` does, Invalid (body_invalid, recounter_key) and Conflict (text_changed) where
    its rules were written beside others than those of now."""
    row, _ = queries.member(session, collective, who)
    charter, before = None, row.charter_n
    if form.get("type") == "charter.amend":
        charter = charter_forms.charter_of(form, queries.charter(session, collective, before))
        if form.get("base", str(before)) != str(before):
            raise Conflict("text_changed", "Look at the rules as they are now.")
    fields: dict[str, Any] = {"charter": charter, "subject": words(form, "subject") or None}
    if form.get("type") == "effect.dispute":
        n = words(form, "n")
        fields |= {"subject": None, "measured": {
            "report": words(form, "report"), "metric": words(form, "metric"), "with": words(form, "with"), "without": words(form, "without"),
            "n": int(n) if n.isdecimal() and len(n) < 16 else 0, "ci": words(form, "ci") or None,
        }}  # fmt: skip
    if form.get("type") == "outcome.void":
        n = words(form, "ballots")
        fields["ballots"] = int(n) if n.isdecimal() and len(n) < 8 else 0
    if form.get("type") == "strike.call":
        fields["strike"] = strike_pages.strike_of(session, form, end_of)
    if form.get("urgent") == "yes":
        fields["urgent_hours"] = 24
    if policy is not None:
        fields["policy"] = {"policy": policy.digest}
    given = built(ProposeIn, "Write what you propose, and fill in the rest.", type=form.get("type"), text=words(form, "words"), **fields)
    made = proposals.propose(session, runtime, who, collective, given, policy, now=runtime.clock.now())
    if charter is not None and session.get_one(Proposal, made).charter_n != before:  # the group is held only from here on
        raise Conflict("text_changed", "Look at the rules as they are now.")
    return made
