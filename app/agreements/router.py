"""HTTP for requests, offers and agreements."""

from base64 import b64encode
from hashlib import sha256

from fastapi import APIRouter, Response

from app.agreements import catalog, checking, guard, service, signing
from app.agreements.models import Request
from app.agreements.schemas import (
    AcceptanceIn,
    AgreementFile,
    AgreementOut,
    CatalogItem,
    CatalogModel,
    CatalogMonth,
    CatalogOut,
    CheckIn,
    CheckOut,
    DissentOut,
    GuardIn,
    GuardOut,
    MayShowOut,
    QuoteIn,
    QuoteOut,
    RelaxationOut,
    RequestIn,
    RequestOut,
    ReviewOut,
)
from app.core.vocabulary import part_names
from app.kit.body import StrictRoute, evenly
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.idempotency import Once
from app.log import proofs
from app.parties.auth import LabWithKey, ReadingLab, WritingLab, WritingPlatform

router = APIRouter(prefix="/v1", tags=["agreements"], route_class=StrictRoute)
_STEP = 0.05
"""Seconds; several times what an answer takes, so that few fall beside the first step."""


@router.get("/catalog", response_model=CatalogOut, summary="What there is to ask for")
def read_catalog(runtime: RuntimeDep, lab: WritingLab) -> CatalogOut:
    """Platforms, kinds, languages, months and models with the numbers of the day, for `selection` of a request. What fewer than
    ten people gave is left out."""
    seen = catalog.today(runtime)
    items = [
        CatalogItem(platform=platform, platform_name=name, kind=kind, language=language, records=count - count % 10)
        for platform, name, kind, language, count in seen.cells
    ]
    months = [CatalogMonth(platform=p, kind=kind, month=month, records=n - n % 10) for p, kind, month, n in seen.months]
    models = [CatalogModel(platform=p, kind=kind, model=model, records=n - n % 10) for p, kind, model, n in seen.models]
    return CatalogOut(day=seen.day, items=items, months=months, models=models)


@router.post("/quotes", response_model=QuoteOut, summary="How many would a use get, and what would add more?")
def quote(asked: QuoteIn, runtime: RuntimeDep, lab: WritingLab) -> QuoteOut:
    """A dry run, kept in the private audit and in no log: fifty a day. Counts are of the day's snapshot, rounded to ten; of a
    stretch of time it counts the whole months in it, and of several models the one with most."""
    seen = catalog.today(runtime)
    found = catalog.quote(runtime, lab, asked.use, asked.selection.chosen(), seen, now=runtime.clock.now())
    relaxations = [RelaxationOut(member=member, value=value, adds=more - more % 10) for member, value, more in found.relaxations]
    return QuoteOut(day=found.day, records=service.rounded(found.records), relaxations=relaxations, left=found.left)


@router.post("/requests", status_code=201, response_model=RequestOut, summary="Ask for a use")
@evenly(_STEP)
def ask(
    asked: RequestIn,
    runtime: RuntimeDep,
    session: SessionDep,
    found: LabWithKey,
    idempotency_key: IdempotencyHeader = None,
) -> RequestOut:
    """Ask for a use over a selection. The answer is an offer that the key signs which asked, a review (by whom, until when: read the request again),
    or a refusal with its reasons and the nearest way to yes."""
    now, (lab, key) = runtime.clock.now(), found
    once = Once.of(lab.id, "requests", idempotency_key, asked.model_dump_json().encode())
    request, _ = once.perform(session, now, lambda: service.request(session, runtime, lab, asked, now=now, key=key))
    return _request(session.get_one(Request, request))


@router.get("/requests/{request}", response_model=RequestOut, summary="Read a request")
def read_request(request: str, session: ReadSessionDep, lab: ReadingLab) -> RequestOut:
    return _request(service.own_request(session, lab.id, request))


def _request(row: Request) -> RequestOut:
    answer = row.answer
    held = row.state == "in_review" and row.review_until is not None
    return RequestOut(
        id=row.id,
        state=row.state,
        review=ReviewOut(by=answer.get("by", "operator"), until=row.review_until) if held else None,  # type: ignore[arg-type]
        offer=answer["offer"],
        reasons=answer["reasons"],
        nearest=answer["nearest"],
        records=answer["records"],
    )


@router.get("/offers/{offer}", response_class=Response, summary="An offer's exact bytes")
def read_offer(offer: str, session: ReadSessionDep, lab: ReadingLab) -> Response:
    """The terms as the bytes to sign. Content-Digest (RFC 9530) lets a client see that none was lost."""
    body = service.own_offer(session, lab.id, offer).body
    digest = b64encode(sha256(body).digest()).decode()
    return Response(body, media_type="application/json", headers={"Content-Digest": f"sha-256=:{digest}:"})


@router.get("/offers/{offer}/dissent", response_model=list[DissentOut], summary="The minority reports that an offer lists")
def read_dissent(offer: str, session: ReadSessionDep, lab: ReadingLab) -> list[DissentOut]:
    """Each by the digest that the offer names, with its words unless its author had them erased."""
    return [DissentOut(sha256=digest, text=text, status=status) for digest, text, status in service.dissent_of(session, lab.id, offer)]


@router.post("/offers/{offer}/agreement", status_code=201, response_model=AgreementOut, summary="Sign an offer")
def sign(offer: str, given: AcceptanceIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> AgreementOut:
    """Hand in the lab's signature over the offer's bytes. The same signature again gives the same agreement."""
    agreement = signing.sign(session, runtime, lab, offer, given.acceptance, now=runtime.clock.now())
    session.expire_all()
    return _agreement(session, runtime, lab.id, agreement)


@router.get("/agreements/{agreement}", response_model=AgreementOut, summary="Read an agreement")
def read_agreement(agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> AgreementOut:
    return _agreement(session, runtime, lab.id, agreement)


def _agreement(session: SessionDep, runtime: RuntimeDep, lab: str, agreement: str) -> AgreementOut:
    row = service.own_agreement(session, lab, agreement)
    offer, _ = service.terms_of(session, row)
    further = service.amended(session, row.id, runtime.clock.now())
    return AgreementOut(
        id=row.id,
        state=row.state,
        offer=offer.id,
        offer_sha256=offer.sha256,
        lab=row.lab_id,
        log_index=row.log_index,
        signed_at=row.signed_at,
        amended_offer=None if further is None else further.id,
    )


@router.post("/agreements/{agreement}/checks", response_model=CheckOut, summary="May I do this with what I hold?")
def check(agreement: str, asked: CheckIn, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> CheckOut:
    """Decide a use under each policy of the agreement, as of today. Nothing is kept; it changes nothing."""
    found = checking.check(session, runtime, lab, agreement, asked.use, now=runtime.clock.now())
    return CheckOut.model_validate(found, from_attributes=True)


@router.get(
    "/agreements/{agreement}/file", response_model=AgreementFile, summary="An agreement as a file to verify offline"
)
def agreement_file(agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> AgreementFile:
    row = service.own_agreement(session, lab.id, agreement)
    offer, _ = service.terms_of(session, row)
    evidence = proofs.evidence(session, runtime, row.log_index)
    return AgreementFile(
        v=1, type="sayso-agreement", id=row.id, acceptance=row.acceptance, agreement=row.countersignature,
        lab_jwk=service.signing_key(session, offer).jwk, service_jwk=runtime.keys.service.public_jwk, **evidence,  # type: ignore[arg-type]
    )  # fmt: skip


@router.post("/platforms/me/guard", response_model=GuardOut, summary="Which of my records may I show myself?")
@evenly(_STEP)
def ask_guard(given: GuardIn, runtime: RuntimeDep, platform: WritingPlatform) -> GuardOut:
    """For a platform's own exports, asked just before. What people chose and the floor count at once, collectives as of the last
    midnight (UTC). An id that is missing from the answer must not be shown, whatever the reason; none is told, also not by how long the
    answer takes: it comes at the next twentieth of a second.

    Terms that ask for a number of people are counted over the ids of one call.
    """
    now = runtime.clock.now()
    found = guard.may_show(runtime, platform.id, service.parse(given.use()), given.ids, now=now)
    rows = [found[one] for one in dict.fromkeys(given.ids) if one in found]
    items = [MayShowOut(id=row.id, parts=list(part_names(row.parts)), whole=row.parts == row.has) for row in rows]
    return GuardOut(items=items, as_of=guard.epoch(now))
