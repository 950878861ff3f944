"""HTTP for campaigns and pledges: for members alone. To platforms and labs nothing is there."""

from fastapi import APIRouter
from sqlmodel import Session

from app.collectives import campaigns, queries
from app.collectives.models import Campaign
from app.collectives.router import Member, _once
from app.collectives.schemas import CampaignIn, CampaignOut, PledgedOut, PledgeIn
from app.collectives.service import Acting
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep

MOST = 100
router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)


@router.post("/collectives/{collective}/campaigns", status_code=201, response_model=CampaignOut, summary="Open a campaign")
def open_campaign(
    collective: str, given: CampaignIn, runtime: RuntimeDep, session: SessionDep, receipt: Member, idempotency_key: IdempotencyHeader = None
) -> CampaignOut:
    """Say what is demanded, and what whoever pledges will do to whom once enough others do."""
    made = _once(
        receipt, f"campaigns/{collective}", idempotency_key, given, session, runtime,
        lambda: campaigns.open_one(session, runtime, Acting.of(receipt), collective, given, now=runtime.clock.now()),
    )  # fmt: skip
    return _told(session, campaigns.find(session, collective, made))


@router.get("/collectives/{collective}/campaigns", response_model=list[CampaignOut], summary="A collective's campaigns")
def list_campaigns(collective: str, session: ReadSessionDep, receipt: Member) -> list[CampaignOut]:
    """The newest hundred, the newest first."""
    row, _ = queries.member(session, collective, receipt.contributor_id)
    return [_told(session, one) for one in campaigns.of_collective(session, row, MOST)]


@router.get("/collectives/{collective}/campaigns/{campaign}", response_model=CampaignOut, summary="A campaign")
def read_campaign(collective: str, campaign: str, session: ReadSessionDep, receipt: Member) -> CampaignOut:
    """What it demands and does, until when, and how many pledged, in steps."""
    queries.member(session, collective, receipt.contributor_id)
    return _told(session, campaigns.find(session, collective, campaign))


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


def _told(session: Session, row: Campaign) -> CampaignOut:
    return CampaignOut(
        id=row.id, author=row.author, demand=row.demand, action=row.action, lab=row.lab_id, purpose=row.purpose, until=row.until, mode=row.mode,
        opened_at=row.opened_at, deadline=row.deadline, state=row.state, pledges=campaigns.pledges(session, row),  # type: ignore[arg-type]
        terms_sha256=campaigns.terms_sha256(row),
    )  # fmt: skip
