"""HTTP for collectives. To platforms and labs nothing here is there: their credentials get 404, whatever they ask for."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlmodel import Session

from app.collectives import (
    closing,
    eligibility,
    frozen,
    mandates,
    petitioning,
    proposals,
    queries,
    reviewing,
    scheduling,
    service,
    strikes,
    telling,
    threads,
    voting,
)
from app.collectives.models import Collective, Proposal
from app.collectives.schedule_schemas import DayIn
from app.collectives.schemas import (
    ActDoneOut,
    AmendIn,
    BallotIn,
    BallotOut,
    CodesIn,
    CodesOut,
    CollectiveOut,
    DeclareIn,
    FoundIn,
    JoinIn,
    MandateIn,
    MandateOut,
    MemberOut,
    OutcomeFile,
    ProposalOut,
    ProposalPage,
    ProposeIn,
    StrikeTerms,
)  # fmt: skip
from app.collectives.service import Acting
from app.collectives.thread_models import ProposalThread
from app.consents import service as consents
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions import receipts
from app.contributions.schemas import ReceiptFile
from app.core.canonical import canonical, sha256_hex
from app.kit.access import PERSON, VISITOR, admits, naming
from app.kit.body import StrictRoute
from app.kit.db import read
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import NotFound
from app.kit.idempotency import Once
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry
from app.parties.auth import PasskeyHeader, WritingPlatform, receipt_from, turn_away
from app.parties.models import Receipt

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@admits(PERSON, hides=True)
def _member(request: Request, sayso_passkey: PasskeyHeader = None) -> Receipt:
    turn_away(request)
    runtime: Runtime = request.app.state.runtime
    with read(runtime.engine) as session:
        return receipt_from(request, session)


@admits(VISITOR, hides=True)
def _anybody(request: Request) -> Receipt | None:
    turn_away(request)
    return _member(request) if "authorization" in request.headers else None


Member = Annotated[Receipt, Depends(_member)]
Reader = Annotated[Receipt | None, Depends(_anybody)]


def policy_of(body: Any) -> Any:
    """What gives the policy that a request's body (of this model) brings, stored in a transaction of its own before the request's."""

    def stored(given: body, runtime: RuntimeDep, receipt: Member) -> StoredPolicy | None:
        return None if given.policy is None else consents.resolve(runtime, given.policy, runtime.clock.now())

    return Depends(stored)


def once_for(receipt: Receipt, route: str, key: str | None, given: Any, session: Session, runtime: Runtime, act: Callable[[], str]) -> str:
    once = Once.of(receipt.id, route, key, given.model_dump_json().encode() if given is not None else b"")
    return once.perform(session, runtime.clock.now(), act)[0]


@router.post("/collectives", status_code=201, response_model=CollectiveOut, summary="Found a collective")
def found(
    given: FoundIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    policy: Annotated[StoredPolicy | None, policy_of(FoundIn)], idempotency_key: IdempotencyHeader = None,
) -> CollectiveOut:  # fmt: skip
    """Its founder is its first member and steward. A policy given here binds from the start whoever mandates it."""
    now = runtime.clock.now()
    made = once_for(
        receipt, "collectives", idempotency_key, given, session, runtime,
        lambda: service.found(session, runtime, Acting.of(receipt), given, policy, now=now),
    )  # fmt: skip
    return _collective(session, runtime, queries.collective_of(session, made))


@router.get(
    "/collectives/{collective}", dependencies=[naming("collective")], response_model=CollectiveOut, summary="A collective's charter and policy"
)
def read_collective(collective: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Reader) -> CollectiveOut:
    """A public one for everybody, another for its members."""
    return _collective(session, runtime, queries.readable(session, collective, None if receipt is None else Acting.of(receipt)))


def _collective(session: Session, runtime: Runtime, row: Collective) -> CollectiveOut:
    charter = session.get_one(queries.CharterVersion, (row.id, row.charter_n))
    policy = service.policy_digest(runtime, row, runtime.clock.now().date())
    return CollectiveOut(
        id=row.id, name=row.name, kind=row.kind, listed=row.listed, members=log.bucket(queries.members(session, row.id)),
        charter=queries.charter(session, row.id, row.charter_n), charter_sha256=charter.sha256, policy=policy,
        review_by=charter.review_by, review=reviewing.stage(session, row, runtime.clock.now().date()),
        policy_until=None if policy is None else row.policy_until, created_at=row.created_at,
        invitation=None if row.listed else queries.invitation(runtime, row.id),
    )  # fmt: skip


@router.post(
    "/collectives/{collective}/members", dependencies=[naming("collective")], status_code=201, response_model=MemberOut, summary="Join a collective"
)
def join(
    collective: str, given: JoinIn, runtime: RuntimeDep, session: SessionDep, receipt: Member, idempotency_key: IdempotencyHeader = None
) -> MemberOut:
    """Joining by itself changes nothing of one's terms: that takes a mandate."""
    now = runtime.clock.now()
    once_for(
        receipt, f"members/{collective}", idempotency_key, given, session, runtime,
        lambda: service.join(session, runtime, Acting.of(receipt), collective, given, now=now),
    )  # fmt: skip
    return _mine(session, runtime, collective, receipt)


@router.get("/collectives/{collective}/members/me", response_model=MemberOut, summary="My membership and mandates")
def read_membership(collective: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> MemberOut:
    return _mine(session, runtime, collective, receipt)


def _mine(session: Session, runtime: Runtime, collective: str, receipt: Receipt) -> MemberOut:
    _, mine = queries.member(session, collective, Acting.of(receipt))
    steward = queries.in_office(mine, runtime.clock.now())
    book = runtime.parts["policies"]
    given = [
        MandateOut(
            id=m.id, kinds=mandates.kinds_of(m.kinds), contribution=m.contribution_id, expires_on=m.expires_on, given_at=m.given_at,
            ended_at=m.ended_at, policy=None if m.policy_id is None else book.by_ids([m.policy_id])[m.policy_id].digest,
        )
        for m in queries.mandates_of(session, mine)
        if receipt.contribution_id in (None, m.contribution_id)
    ]  # fmt: skip
    return MemberOut(
        collective=collective, member=mine.member, steward=steward, steward_until=mine.steward_until if steward else None,
        declared=mine.declared, interest=mine.interest, joined_at=mine.joined_at, voice_from=mine.voice_from, mandates=given,
    )  # fmt: skip


@router.put("/collectives/{collective}/members/me/group", response_model=ActDoneOut, summary="Declare a group, or an interest")
def declare(collective: str, given: DeclareIn, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """One of the charter's values, or none: it counts in ballots that begin a week later. And the lab that one works for, if any."""
    act = service.declare(session, runtime, Acting.of(receipt), collective, given, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.delete("/collectives/{collective}/members/me", response_model=ActDoneOut, summary="Leave a collective")
def leave(collective: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """With every mandate, at once and at no cost. One's own terms govern from here on."""
    act = service.leave(session, runtime, Acting.of(receipt), collective, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


@router.post("/collectives/{collective}/mandates", status_code=201, response_model=MandateOut, summary="Give a mandate")
def mandate(
    collective: str, given: MandateIn, runtime: RuntimeDep, session: SessionDep, receipt: Member, idempotency_key: IdempotencyHeader = None
) -> MandateOut:
    """From now on what it covers is released only where the collective's policy permits too. It can only narrow."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"mandates/{collective}", idempotency_key, given, session, runtime,
        lambda: mandates.give_mandate(session, runtime, Acting.of(receipt), collective, given, now=now),
    )  # fmt: skip
    return next(m for m in _mine(session, runtime, collective, receipt).mandates if m.id == made)


@router.delete("/collectives/{collective}/mandates/{mandate}", response_model=ActDoneOut, summary="End a mandate")
def end_mandate(collective: str, mandate: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ActDoneOut:
    """At once: one's own terms govern what it covered."""
    act = mandates.end_mandate(session, runtime, Acting.of(receipt), collective, mandate, now=runtime.clock.now())
    return done_out(session, collective, receipt, act)


def done_out(session: Session, collective: str, receipt: Receipt, act: str) -> ActDoneOut:
    """What one is told of an act of one's own that was just done."""
    row = service.act_of(session, collective, Acting.of(receipt), act)
    return ActDoneOut(act=row.id, log_index=row.log_index)


@router.get("/collectives/{collective}/acts/{act}/receipt", response_model=ReceiptFile, summary="The receipt of an act of mine there")
def act_receipt(collective: str, act: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> ReceiptFile:
    """For `sayso verify receipt`. Ballots have none: nobody can be made to show how they voted."""
    row = service.act_of(session, collective, Acting.of(receipt), act)
    file, _ = receipts.act_file(session, runtime, receipt.contributor_id, session.get_one(LogEntry, row.log_index))
    return ReceiptFile(**file)


@router.post("/eligibility-codes", status_code=201, response_model=CodesOut, summary="Codes for people who contribute")
def issue_codes(given: CodesIn, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> CodesOut:
    """Hand each to the contributor that it was made for. They are shown once; nothing tells whether or where one was used, and to a receipt
    of anybody else it is no code."""
    now = runtime.clock.now()
    return CodesOut(codes=eligibility.issue(session, runtime, platform, given.contributors, now=now), expires_on=(now + eligibility.LIFE).date())


# -- deciding ---------------------------------------------------------------------------------------------------------
@router.post("/collectives/{collective}/proposals", status_code=201, response_model=ProposalOut, summary="Propose something")
def propose(
    collective: str, given: ProposeIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    policy: Annotated[StoredPolicy | None, policy_of(ProposeIn)], idempotency_key: IdempotencyHeader = None,
) -> ProposalOut:  # fmt: skip
    """It is discussed, frozen, voted on and counted on days that are known from now on; nobody has to call the vote."""
    now = runtime.clock.now()
    made = once_for(
        receipt, f"proposals/{collective}", idempotency_key, given, session, runtime,
        lambda: proposals.propose(session, runtime, Acting.of(receipt), collective, given, policy, now=now),
    )  # fmt: skip
    return _proposal(session, runtime, queries.proposal(session, collective, made))


@router.get("/collectives/{collective}/proposals", response_model=ProposalPage, summary="A collective's proposals")
def list_proposals(
    collective: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member, cursor: Annotated[str | None, Query(max_length=400)] = None
) -> ProposalPage:
    queries.member(session, collective, Acting.of(receipt))
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"proposals/{collective}/{receipt.id}"
    rows, last = proposals.page(session, collective, None if cursor is None else cursors.read(listing, cursor), PAGE)
    listed = telling.Listed(session, rows)
    items = [_proposal(session, runtime, row, listed) for row in rows]
    return ProposalPage(items=items, next=None if last is None else cursors.make(listing, last))


@router.get("/collectives/{collective}/proposals/{proposal}", response_model=ProposalOut, summary="A proposal")
def read_proposal(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> ProposalOut:
    row, who = threads.readable(session, collective, proposal, Acting.of(receipt), runtime.clock.now()), Acting.of(receipt)
    found = _proposal(session, runtime, row)
    if found.verdict is not None and telling.tells_counts(session, row, who):
        found.reasons = telling.reasons(session, row)
    return found


@router.put("/collectives/{collective}/proposals/{proposal}/text", response_model=ProposalOut, summary="Change a proposal's text")
def amend(collective: str, proposal: str, given: AmendIn, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ProposalOut:
    """While it is discussed, by its author."""
    proposals.amend(session, runtime, Acting.of(receipt), collective, proposal, given.text, now=runtime.clock.now())
    return _proposal(session, runtime, queries.proposal(session, collective, proposal))


@router.put("/collectives/{collective}/proposals/{proposal}/day", response_model=ProposalOut, summary="Have a vote begin on a later day")
def move(collective: str, proposal: str, given: DayIn, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> ProposalOut:
    """A steward with no part in it, once, while it is talked over, and to thirty days after it was put up at the latest; everything after moves
    along. Only what would give more, and nothing that enough members signed for."""
    scheduling.move(session, runtime, Acting.of(receipt), collective, proposal, given.day, given.reason, now=runtime.clock.now())
    return _proposal(session, runtime, queries.proposal(session, collective, proposal))


def _proposal(session: Session, runtime: Runtime, row: Proposal, listed: telling.Listed | None = None) -> ProposalOut:
    book: PolicyBook = runtime.parts["policies"]
    outcome, thread = session.get(proposals.OutcomeRow, row.id), session.get(ProposalThread, row.id)
    # Who signed is counted over all who have a voice in it: not for a hundred proposals at a time.
    signed, needed = petitioning.told(session, runtime, row, runtime.clock.now()) if listed is None else (None, None)
    beside = listed or telling.Listed(session, [row])
    effect = frozen.effect(session, runtime, row)  # the charter is at hand by now
    return ProposalOut(
        id=row.id, type=row.type, author=row.author, state=row.state, text=row.text, text_sha256=row.text_sha256, effect=effect,
        effect_sha256=sha256_hex(canonical(effect)), charter=None if row.charter is None else json.loads(row.charter),
        first_effect=telling.first_effect(runtime, row),
        policy=None if row.policy_id is None else book.by_ids([row.policy_id])[row.policy_id].digest, subject=row.subject,
        measured=None if row.measured is None else json.loads(row.measured),
        freeze_at=row.freeze_at, close_at=row.close_at, appeal_until=row.appeal_until,
        moved=telling.moved(row), electorate=row.electorate_size,
        electorate_root=row.electorate_root, reasons=None, verdict=None if outcome is None else outcome.verdict,
        thread_sha256=None if thread is None else thread.sha256, labels=closing.labels(session, row, runtime.clock.now()),
        about=row.about, ballots=row.ballots, voided=telling.voided(session, row, beside), until=beside.until(row),
        alternative_to=row.alternative_to, request=row.request_id, urgent_hours=row.urgent_hours, petition=signed, petition_needed=needed,
        strike=None if row.strike is None else StrikeTerms(**{name: strikes.read_terms(row.strike).get(name) for name in StrikeTerms.model_fields}),
    )  # fmt: skip


@router.post("/collectives/{collective}/proposals/{proposal}/ballots", status_code=201, response_model=BallotOut, summary="Cast a ballot")
def vote(collective: str, proposal: str, given: BallotIn, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> BallotOut:
    """The last one counts. The answer proves that a ballot was cast, and which to nobody but a recounter of the charter, if it names one."""
    cast = voting.vote(session, runtime, Acting.of(receipt), collective, proposal, given, now=runtime.clock.now())
    return BallotOut(proposal=proposal, tag=cast.tag, at=cast.log_index, commitment=cast.commitment)


@router.get("/collectives/{collective}/proposals/{proposal}/outcome", response_model=OutcomeFile, summary="An outcome, to be counted again")
def read_outcome(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Reader) -> OutcomeFile:
    """For `sayso recount`. Everybody may read a public collective's, unless fewer than ten could vote."""
    mine = None if receipt is None else Acting.of(receipt)
    queries.readable(session, collective, mine)
    row = queries.proposal(session, collective, proposal)
    if not telling.tells_counts(session, row, mine):
        raise NotFound("not_found", "There is no outcome to be shown.")
    return telling.outcome_file(session, runtime, row)
