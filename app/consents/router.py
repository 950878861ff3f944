"""HTTP for policies, templates, floors and consent intents."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Response
from fastapi.responses import JSONResponse

from app.consents import service
from app.consents.models import INTENT_LIFE
from app.consents.policies import PolicyBook, StoredPolicy, refusal, refusing
from app.consents.renderings import RENDERINGS
from app.consents.schemas import (
    AiprefOut,
    CawgOut,
    FloorIn,
    FloorOut,
    IntentIn,
    IntentOut,
    PolicyIn,
    PolicyOut,
    PreviewIn,
    PreviewOut,
    TemplateOut,
)
from app.core import exports
from app.core.deed import CATALOGS, deed
from app.core.policy import PolicyError, parse_policy
from app.core.preview import table
from app.core.templates import render_template
from app.kit import negotiate
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import RuntimeDep, SessionDep
from app.kit.runtime import Runtime
from app.parties.auth import ActiveClient, WritingPlatform

router = APIRouter(prefix="/v1", tags=["consents"], route_class=StrictRoute)


def _book(runtime: Runtime) -> PolicyBook:
    book: PolicyBook = runtime.parts["policies"]
    return book


def _shown(stored: StoredPolicy, language: str = "en") -> PolicyOut:
    body: dict[str, Any] = json.loads(stored.body)
    told = service.wording_lines(stored, language)
    return PolicyOut(digest=stored.digest, uid=stored.terms.uid, policy=body, deed=list(told))


@router.get("/policies", dependencies=[FOR_ANYBODY], response_model=list[TemplateOut], summary="The templates")
def templates(runtime: RuntimeDep) -> list[TemplateOut]:
    """The policies that people choose from, each with the deed it gives without parameters."""
    listed = []
    for name, template in _book(runtime).templates.items():
        try:
            sentences: list[str] | None = list(deed(render_template(template, {})))
        except PolicyError:
            sentences = None
        listed.append(
            TemplateOut(
                name=name,
                version=template["version"],
                title=template["title"],
                parameters=template["parameters"],
                deed=sentences,
            )
        )
    return listed


@router.post("/policies", status_code=201, response_model=PolicyOut, summary="Store a policy")
def store(given: PolicyIn, runtime: RuntimeDep, client: ActiveClient) -> PolicyOut:
    """Store a policy written in the profile; its address is its digest. An unknown term is refused with the known ones."""
    terms = refusing(lambda: parse_policy(given.policy))
    return _shown(_book(runtime).store(terms, runtime.clock.now()))


@router.post("/policies/preview", dependencies=[FOR_ANYBODY], response_model=PreviewOut, summary="What a policy would allow")
def preview(given: PreviewIn, runtime: RuntimeDep) -> PreviewOut:
    """Look before choosing: a table of uses by yes, yes with terms, and no, with the sentences that decide. Two are compared.

    Anyone may ask, and nothing is stored.
    """
    book = _book(runtime)
    terms = [refusing(lambda c=choice: service.looked_at(book, c)) for choice in given.policies]
    try:
        return PreviewOut.model_validate(table(terms, given.language).to_json())
    except PolicyError as error:
        raise refusal(error) from None


@router.get(
    "/policies/{digest}", dependencies=[FOR_ANYBODY],
    response_model=PolicyOut,
    summary="A policy and its deed",
    responses={200: {"content": {name: {} for name in RENDERINGS}}},
)
def read_policy(
    digest: str,
    runtime: RuntimeDep,
    response: Response,
    accept: Annotated[str | None, Header(max_length=1000)] = None,
    accept_language: Annotated[str | None, Header(max_length=1000)] = None,
) -> Any:
    """By `Accept`: this JSON, the policy as JSON-LD, or its deed as a page or as text. The deed follows `Accept-Language`.

    In a language that no native reader has reviewed each sentence of `deed` is followed by the English one.
    """
    stored = _book(runtime).by_digest(digest)
    form = negotiate.media_type(accept, ["application/json", *RENDERINGS])
    language = negotiate.language(accept_language, list(CATALOGS), "en")
    headers = {"Vary": "Accept, Accept-Language"}
    if form != "application/ld+json":
        headers["Content-Language"] = language
    if form == "application/json":
        response.headers.update(headers)
        return _shown(stored, language)
    headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return Response(RENDERINGS[form](stored.terms, language), media_type=form, headers=headers)


class _LinkedData(JSONResponse):
    media_type = "application/ld+json"


@router.get("/policies/{digest}/exports/aipref", dependencies=[FOR_ANYBODY], summary="A policy as an AIPREF Content-Usage field")
def export_aipref(digest: str, runtime: RuntimeDep) -> AiprefOut:
    """For HTTP answers and robots.txt. A `y` only where everything that the category covers is permitted outright."""
    return AiprefOut(**exports.aipref(_book(runtime).by_digest(digest).terms))


@router.get("/policies/{digest}/exports/cawg", dependencies=[FOR_ANYBODY], summary="A policy as a CAWG training and data mining assertion")
def export_cawg(digest: str, runtime: RuntimeDep) -> CawgOut:
    """For C2PA manifests. What is permitted under conditions is `constrained`, with the policy's address."""
    return CawgOut(**exports.cawg(_book(runtime).by_digest(digest).terms, _address(runtime, digest)))


@router.get(
    "/policies/{digest}/exports/dpv", dependencies=[FOR_ANYBODY], response_class=_LinkedData, summary="A policy in the Data Privacy Vocabulary"
)
def export_dpv(digest: str, runtime: RuntimeDep) -> _LinkedData:
    """JSON-LD. Permissions hold outright; what is permitted under conditions stands among the prohibitions."""
    return _LinkedData(exports.dpv(_book(runtime).by_digest(digest).terms, _address(runtime, digest)))


def _address(runtime: Runtime, digest: str) -> str:
    return f"{runtime.settings.public_url}/v1/policies/{digest}"


# A new policy is stored in a transaction of its own; on SQLite that must come before the request's, not inside it.
def _floor(given: FloorIn, runtime: RuntimeDep, platform: WritingPlatform) -> StoredPolicy | None:
    return None if given.floor is None else service.resolve(runtime, given.floor, runtime.clock.now())


def _intent(given: IntentIn, runtime: RuntimeDep, platform: WritingPlatform) -> StoredPolicy:
    return service.resolve(runtime, given, runtime.clock.now())


ChosenFloor = Annotated[StoredPolicy | None, Depends(_floor)]
ChosenIntent = Annotated[StoredPolicy, Depends(_intent)]


@router.put("/platforms/me/floor", response_model=FloorOut, summary="Set the platform's floor")
def set_floor(
    given: FloorIn, policy: ChosenFloor, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform
) -> FloorOut:
    """The least that the platform asks of every release of its records from now on. Public; it can only narrow."""
    index = service.set_floor(session, platform, policy, now=runtime.clock.now())
    return FloorOut(policy=None if policy is None else policy.digest, log_index=index)


@router.post("/consent-intents", status_code=201, response_model=IntentOut, summary="A consent ahead of its record")
def intend(given: IntentIn, policy: ChosenIntent, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> IntentOut:
    """What a person chose in a form of the platform's own, to be attached to one record: attested by the platform. What they choose in
    the consent widget comes from their browser and not through here."""
    now = runtime.clock.now()
    intent = service.intend(session, platform, policy, given, now=now)
    return IntentOut(intent=intent.id, expires_at=now + INTENT_LIFE)
