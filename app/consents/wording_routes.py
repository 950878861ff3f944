"""HTTP for wordings and for a platform's default."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response

from app.consents import service, wordings
from app.consents.policies import StoredPolicy
from app.consents.schemas import DefaultIn, DefaultOut, LanguageTag, WordingOut
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute, check_media_type
from app.kit.deps import ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import NotFound, WrongMediaType
from app.parties.auth import WritingPlatform

router = APIRouter(prefix="/v1", tags=["consents"], route_class=StrictRoute)
_TEXT = {"schema": {"type": "string"}}
_BODY = {"requestBody": {"required": True, "content": dict.fromkeys(wordings.MEDIA_TYPES, _TEXT)}}
# Another's markup under this service's name: it may show itself, and reach, run and send nothing.
_SHUT = "sandbox; default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"


async def _sent(request: Request) -> tuple[bytes, str]:
    """The bytes and the media type they are declared as."""
    declared, coding = request.headers.get("content-type", ""), request.headers.get("content-encoding", "identity")
    base = declared.partition(";")[0].strip().lower()
    if base not in wordings.MEDIA_TYPES:
        raise WrongMediaType("media_type", "Send text/plain or text/html in UTF-8.")
    check_media_type(declared, coding, base)
    return await request.body(), base


@router.post("/wordings", status_code=201, response_model=WordingOut, openapi_extra=_BODY, summary="Register the wording that people are shown")
def register(
    platform: WritingPlatform, sent: Annotated[tuple[bytes, str], Depends(_sent)],
    language: Annotated[LanguageTag, Header(alias="Content-Language")], runtime: RuntimeDep, session: SessionDep,
) -> WordingOut:  # fmt: skip
    """The exact bytes, once. Consents then name them by the digest, as they always do, and people can read what they were shown.

    The same bytes again give the same answer. They are public, and stay: put nothing about anybody into them.
    """
    row = wordings.register(session, platform, sent[0], sent[1], language, now=runtime.clock.now())
    return WordingOut(
        sha256=row.sha256, media_type=row.media_type, language=row.language, bytes=len(row.body),
        url=f"{runtime.settings.public_url}/v1/wordings/{row.sha256}",
    )  # fmt: skip


@router.get(
    "/wordings/{sha256}", dependencies=[FOR_ANYBODY], response_class=Response, summary="A wording as it was shown",
    responses={200: {"content": dict.fromkeys(wordings.MEDIA_TYPES, _TEXT)}},
)  # fmt: skip
def read_wording(sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], session: ReadSessionDep) -> Response:
    """The very bytes whose SHA-256 is the address. Anybody may read them."""
    row = wordings.known(session, sha256)
    if row is None:
        raise NotFound("wording_unknown", "Look at the digest; of a wording that was not registered there is no more than that.")
    headers = {
        "Content-Language": row.language, "Content-Security-Policy": _SHUT, "X-Content-Type-Options": "nosniff", "ETag": f'"{sha256}"',
        "Cache-Control": "public, max-age=31536000, immutable", "Referrer-Policy": "no-referrer",
    }  # fmt: skip
    return Response(row.body, media_type=f"{row.media_type}; charset=utf-8", headers=headers)


# As with floors: a new policy is stored in a transaction of its own, before the request's.
def _chosen(given: DefaultIn, runtime: RuntimeDep, platform: WritingPlatform) -> StoredPolicy | None:
    return None if given.default is None else service.resolve(runtime, given.default, runtime.clock.now())


@router.put("/platforms/me/default", response_model=DefaultOut, summary="Set the terms of what comes without a choice")
def set_default(
    given: DefaultIn, policy: Annotated[StoredPolicy | None, Depends(_chosen)], runtime: RuntimeDep, session: SessionDep,
    platform: WritingPlatform,
) -> DefaultOut:  # fmt: skip
    """What a record is under that comes with no word on consent, from now on; null takes it away. Always basis `notice`: evaluation
    at most, after the hold window. Not for what was made before `shown_at`, nor for people who ever chose anything themselves.
    """
    chosen = given.default
    wording, shown_at = (None, None) if chosen is None else (chosen.wording, chosen.shown_at)
    index = wordings.set_default(session, platform, policy, wording, shown_at, now=runtime.clock.now())
    return DefaultOut(policy=None if policy is None else policy.digest, wording=wording, basis=None if policy is None else "notice", log_index=index)
