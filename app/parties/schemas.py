"""API shapes of the parties slice."""

from typing import Annotated

from pydantic import StringConstraints

from app.kit.body import In, Out, Time


class TokenOut(Out):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: str
    expires_in: int


class PortalIn(In):
    """Whose page: the platform's own id of the person."""

    contributor: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class PortalOut(Out):
    url: str
    expires_at: Time


class ServerMetadata(Out):
    """RFC 8414."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    dpop_signing_alg_values_supported: list[str]


class Jwks(Out):
    keys: list[dict[str, str]]
