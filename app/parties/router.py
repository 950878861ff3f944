"""HTTP for tokens, server metadata and portal sessions."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.crypto.signing import ALGORITHMS
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute, need_media_type, parse_form
from app.kit.db import write
from app.kit.deps import RuntimeDep, SessionDep
from app.kit.errors import Malformed, NotFound
from app.kit.runtime import Runtime
from app.parties import claims, contributors, dpop, oauth
from app.parties import jwks as jwks_
from app.parties.auth import TokenCache, WritingPlatform
from app.parties.schemas import Jwks, PortalIn, PortalOut, ServerMetadata, TokenOut

router = APIRouter(tags=["parties"], route_class=StrictRoute)


_METHODS = ["private_key_jwt", "client_secret_basic"]


def _form(**fields: dict[str, Any]) -> dict[str, Any]:
    # The first field is the one that must be there; the others prove who asks.
    known = {"client_id": {"type": "string"}, "client_assertion_type": {"type": "string"}, "client_assertion": {"type": "string"}}
    schema = {"type": "object", "required": [next(iter(fields))], "properties": {**fields, **known}}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}}


_FORM = _form(grant_type={"type": "string", "enum": ["client_credentials"]})
_REVOKED = _form(token={"type": "string"}, token_type_hint={"type": "string", "enum": ["access_token"]})


@router.post("/v1/oauth/token", dependencies=[FOR_ANYBODY], response_model=TokenOut, openapi_extra=_FORM, summary="Get an access token")
async def token(request: Request, response: Response) -> dict[str, object]:
    """OAuth 2.0 client credentials: platforms by HTTP Basic, labs by `private_key_jwt` (audience: the issuer)."""
    runtime: Runtime = request.app.state.runtime
    form = await _form_of(request)
    response.headers["Cache-Control"] = "no-store"
    proofs = request.headers.getlist("dpop")
    if proofs:
        response.headers["DPoP-Nonce"] = dpop.nonces(runtime).give(runtime.clock.now())
    return await run_in_threadpool(_issue, runtime, form, request.headers.get("authorization"), proofs)


def _issue(runtime: Runtime, form: dict[str, str], authorization: str | None, proofs: list[str]) -> dict[str, object]:
    jwks_.meet(runtime, form)
    with write(runtime.engine) as session:
        return oauth.issue_token(session, runtime, form, authorization, now=runtime.clock.now(), proofs=proofs)


@router.post(
    "/v1/oauth/revoke", dependencies=[FOR_ANYBODY], response_class=Response, openapi_extra=_REVOKED, summary="End an access token"
)  # fmt: skip
async def revoke(request: Request) -> Response:
    """RFC 7009: the client proves itself as at the token endpoint. Ends here at once, and within seconds in every process; a token
    that is not valid any more is answered as one that was revoked."""
    runtime: Runtime = request.app.state.runtime
    form = await _form_of(request)
    await run_in_threadpool(_revoke, runtime, form, request.headers.get("authorization"))
    return Response(headers={"Cache-Control": "no-store"})


def _revoke(runtime: Runtime, form: dict[str, str], authorization: str | None) -> None:
    with write(runtime.engine) as session:
        oauth.revoke_token(session, runtime, form, authorization, now=runtime.clock.now())
    tokens: TokenCache = runtime.parts["tokens"]
    tokens.look(runtime)


async def _form_of(request: Request) -> dict[str, str]:
    need_media_type(request, "application/x-www-form-urlencoded")
    body = await request.body()
    if len(body) > 20_000:
        raise Malformed("form_invalid", "The form is longer than a token request can be.")
    return parse_form(body)


@router.get(
    "/.well-known/oauth-authorization-server", dependencies=[FOR_ANYBODY], response_model=ServerMetadata, summary="Server metadata (RFC 8414)"
)
def metadata(runtime: RuntimeDep) -> ServerMetadata:
    issuer = runtime.settings.public_url
    return ServerMetadata(
        issuer=issuer, token_endpoint=f"{issuer}/v1/oauth/token",
        revocation_endpoint=f"{issuer}/v1/oauth/revoke", jwks_uri=f"{issuer}/.well-known/jwks.json",
        grant_types_supported=["client_credentials"], response_types_supported=[],
        token_endpoint_auth_methods_supported=_METHODS, token_endpoint_auth_signing_alg_values_supported=ALGORITHMS,
        revocation_endpoint_auth_methods_supported=_METHODS, revocation_endpoint_auth_signing_alg_values_supported=ALGORITHMS,
        dpop_signing_alg_values_supported=ALGORITHMS,
    )  # fmt: skip


@router.get("/.well-known/jwks.json", dependencies=[FOR_ANYBODY], response_model=Jwks, summary="The service's public keys")
def jwks(runtime: RuntimeDep) -> Jwks:
    return Jwks(keys=[runtime.keys.service.public_jwk])


@router.post(
    "/v1/portal-sessions", status_code=201, response_model=PortalOut, summary="A one-time link to a person's page"
)
def open_portal(given: PortalIn, runtime: RuntimeDep, session: SessionDep, platform: WritingPlatform) -> PortalOut:
    """A link for the person to everything they gave on this platform; good once, for 15 minutes."""
    now = runtime.clock.now()
    name = contributors.pseudonym(runtime.keys, platform.id, given.contributor)
    found = contributors.find(session.connection(), [(platform.id, name)])
    if not found:
        raise NotFound("not_found", "Nothing was recorded for that contributor yet.")
    portal = claims.open_portal(session, found[platform.id, name], now=now)
    codes: claims.Claims = runtime.parts["claims"]
    url = f"{runtime.settings.public_url}/c/{codes.code(portal.id, portal=True)}"
    return PortalOut(url=url, expires_at=now + claims.PORTAL_LIFE)
