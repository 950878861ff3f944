"""HTTP for campaigns and pledges, strikes and petitions: for members alone. To platforms and labs nothing is there."""

from typing import Annotated

from fastapi import APIRouter
from sqlmodel import Session

from app.collectives import campaigns, petitioning, queries, strikes
from app.collectives.campaign_schemas import CampaignIn, CampaignOut, PledgedOut, PledgeIn
from app.collectives.models import Campaign
from app.collectives.router import Member, once_for, policy_of
from app.collectives.schemas import PetitionOut, StrikeOut
from app.collectives.service import Acting
from app.collectives.thread_schemas import SignIn
from app.consents.policies import StoredPolicy
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.runtime import Runtime

MOST = 100
router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@router.post("/collectives/{collective}/campaigns", status_code=201, response_model=CampaignOut, summary="Open a campaign")
def open_campaign(
    collective: str, given: CampaignIn, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    policy: Annotated[StoredPolicy | None, policy_of(CampaignIn)], idempotency_key: IdempotencyHeader = None,
) -> CampaignOut:  # fmt: skip
    """Say what is demanded, and what whoever pledges will do to whom once enough others do."""
    made = once_for(
        receipt, f"campaigns/{collective}", idempotency_key, given, session, runtime,
        lambda: campaigns.open_one(session, runtime, Acting.of(receipt), collective, given, now=runtime.clock.now(), policy=policy),
    )  # fmt: skip
    return _told(session, runtime, campaigns.find(session, collective, made))


@router.get("/collectives/{collective}/campaigns", response_model=list[CampaignOut], summary="A collective's campaigns")
def list_campaigns(collective: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> list[CampaignOut]:
    """The newest hundred, the newest first."""
    row, _ = queries.member(session, collective, Acting.of(receipt))
    return [_told(session, runtime, one) for one in campaigns.of_collective(session, row, MOST)]


@router.get("/collectives/{collective}/campaigns/{campaign}", response_model=CampaignOut, summary="A campaign")
def read_campaign(collective: str, campaign: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> CampaignOut:
    """What it demands and does, until when, and how many pledged, in steps."""
    queries.member(session, collective, Acting.of(receipt))
    return _told(session, runtime, campaigns.find(session, collective, campaign))


@router.put("/collectives/{collective}/campaigns/{campaign}/pledge", response_model=PledgedOut, summary="Give a pledge")
def give_pledge(
    collective: str, campaign: str, given: PledgeIn, runtime: RuntimeDep, session: SessionDep, receipt: Member
) -> PledgedOut:
    """Authorise now what the campaign says, over what this receipt covers, to be done once that many others act too. The last one counts."""
    act, index = campaigns.pledge(session, runtime, Acting.of(receipt), collective, campaign, given, now=runtime.clock.now())
    return PledgedOut(act=act, log_index=index)


@router.delete("/collectives/{collective}/campaigns/{campaign}/pledge", response_model=PledgedOut, summary="Take a pledge back")
def take_back_pledge(collective: str, campaign: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> PledgedOut:
    """Until the campaign ends."""
    act, index = campaigns.take_back(session, runtime, Acting.of(receipt), collective, campaign, now=runtime.clock.now())
    return PledgedOut(act=act, log_index=index)


@router.get("/collectives/{collective}/strikes", response_model=list[StrikeOut], summary="A collective's strikes")
def list_strikes(collective: str, session: ReadSessionDep, receipt: Member) -> list[StrikeOut]:
    """Those that were called by vote, the newest first: the newest hundred."""
    queries.member(session, collective, Acting.of(receipt))
    return [
        StrikeOut(
            id=row.id, kind=row.kind, lab=row.lab_id, purpose=row.purpose, until=row.until, campaign=row.campaign_id, since=row.since,
            ended_at=row.ended_at,
        )
        for row in strikes.of_collective(session, collective)
    ]  # fmt: skip


@router.put("/collectives/{collective}/proposals/{proposal}/petition", response_model=PetitionOut, summary="Sign for a vote on a proposal")
def sign_petition(
    collective: str, proposal: str, runtime: RuntimeDep, session: SessionDep, receipt: Member, given: SignIn | None = None
) -> PetitionOut:  # fmt: skip
    """While it is discussed. A steward is removed only where enough sign, and anything else that enough sign is voted on without waiting."""
    effect = None if given is None else given.effect_sha256
    return PetitionOut(log_index=petitioning.sign(session, runtime, Acting.of(receipt), collective, proposal, effect, now=runtime.clock.now()))


@router.delete("/collectives/{collective}/proposals/{proposal}/petition", response_model=PetitionOut, summary="Sign no longer")
def take_signature_back(collective: str, proposal: str, runtime: RuntimeDep, session: SessionDep, receipt: Member) -> PetitionOut:
    """While it is discussed."""
    return PetitionOut(log_index=petitioning.take_back(session, runtime, Acting.of(receipt), collective, proposal, now=runtime.clock.now()))


def _told(session: Session, runtime: Runtime, row: Campaign) -> CampaignOut:
    policy = campaigns.policy_of(runtime, row)
    return CampaignOut(
        id=row.id, author=row.author, demand=row.demand, action=row.action, lab=row.lab_id, purpose=row.purpose, until=row.until, mode=row.mode,
        at_least=row.at_least, opened_at=row.opened_at, deadline=row.deadline, state=row.state, set_back=row.set_back,  # type: ignore[arg-type]
        pledges=campaigns.pledges(session, row),
        terms_sha256=campaigns.terms_sha256(row, policy), policy=policy, to_lab=row.to_lab_id,
    )  # fmt: skip
