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


class ApplicationIn(In):
    """A compact JWS, `typ` sayso-lab-application+jws, by the key that it names; see `Application` of `app/parties/applying.py`."""

    application: Annotated[str, StringConstraints(min_length=20, max_length=20_000)]


class ApplicationOut(Out):
    """`state` is waiting, approved or refused; `client_id` is there once it is approved, `why` where it was refused."""

    id: str
    state: str
    asked_at: Time
    why: str | None
    client_id: str | None


class DelegationIn(In):
    """A compact JWS, `typ` sayso-key-delegation+jws, by a key of the institution; see `Delegation` of `app/parties/delegating.py`."""

    delegation: Annotated[str, StringConstraints(min_length=20, max_length=20_000)]


class LabKeyOut(Out):
    """A key of the lab's, by its RFC 7638 thumbprint. `ends_at` and `name` are those of a delegated one."""

    key: str
    name: str | None
    delegated_by: str | None
    from_uri: bool
    added_at: Time
    ends_at: Time | None
    revoked_at: Time | None
