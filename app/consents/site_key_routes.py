"""HTTP for a platform's site keys, and for what was chosen in the frame."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.consents import site_keys
from app.consents.models import INTENT_LIFE, SiteKey
from app.consents.policies import PolicyBook
from app.consents.schemas import ChosenOut, SiteChoiceOut, SiteKeyIn, SiteKeyList, SiteKeyOut
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import NotFound
from app.kit.idempotency import Once
from app.parties.auth import ReadingPlatform, WritingPlatform

router = APIRouter(prefix="/v1", tags=["consents"], route_class=StrictRoute)


def _told(key: SiteKey) -> SiteKeyOut:
    choices = [SiteChoiceOut(**choice) for choice in key.choices]
    return SiteKeyOut(id=key.id, origins=key.origins, choices=choices, created_at=key.created_at, revoked_at=key.revoked_at)


# As with floors: a new policy is stored in a transaction of its own, before the request's.
def _offered(given: SiteKeyIn, runtime: RuntimeDep, platform: WritingPlatform) -> list[site_keys.Offered]:
    return [site_keys.offered(runtime.parts["policies"], choice, runtime.clock.now()) for choice in given.choices]


@router.post("/platforms/me/site-keys", status_code=201, response_model=SiteKeyOut, summary="Make a site key for the consent widget")
def add(
    given: SiteKeyIn, offered: Annotated[list[site_keys.Offered], Depends(_offered)], runtime: RuntimeDep, session: SessionDep,
    platform: WritingPlatform, idempotency_key: IdempotencyHeader = None,
) -> SiteKeyOut:  # fmt: skip
    """A public key for pages of these origins, with the choices that the widget shows there. It never changes: what was offered under it
    can be read as long as the service is there."""
    now = runtime.clock.now()
    once = Once.of(platform.id, "site-keys", idempotency_key, given.model_dump_json().encode())
    made, _ = once.perform(session, now, lambda: site_keys.add(session, platform, given.origins, offered, now=now).id)
    return _told(session.get_one(SiteKey, made))


@router.get("/platforms/me/site-keys", response_model=SiteKeyList, summary="The platform's site keys")
def list_(session: ReadSessionDep, platform: ReadingPlatform) -> SiteKeyList:
    """Revoked ones too, in the order they were made."""
    return SiteKeyList(items=[_told(key) for key in site_keys.listed(session, platform.id)])


@router.delete("/platforms/me/site-keys/{site_key}", response_model=SiteKeyOut, summary="Revoke a site key")
def revoke(site_key: str, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> SiteKeyOut:
    """Nothing more is chosen under it, at once; what was chosen stays. Put another into your pages first."""
    return _told(site_keys.revoke(session, site_key, platform.id, now=runtime.clock.now()))


@router.get("/consent-intents/under/{ref}", response_model=ChosenOut, summary="What was chosen in the frame")
def chosen(
    ref: Annotated[str, Path(pattern=site_keys.REF)], runtime: RuntimeDep, session: ReadSessionDep,
    platform: ReadingPlatform,
) -> ChosenOut:  # fmt: skip
    """The last choice that was made in the frame which your page opened under `ref`. Where it answers `intent_unknown` nobody chose there,
    or a record has that choice already, and one that was made before it never comes back: record without a consent then."""
    found = site_keys.under(session, platform.id, ref, now=runtime.clock.now())
    if found is None:
        raise NotFound("intent_unknown", "Nothing was chosen in that frame, or a record has it already; record without a consent.")
    book: PolicyBook = runtime.parts["policies"]
    return ChosenOut(
        intent=found.id, policy=book.by_ids([found.policy_id])[found.policy_id].digest, wording=found.wording_sha256,
        language=found.wording_language, expires_at=found.created_at + INTENT_LIFE,
    )  # fmt: skip
