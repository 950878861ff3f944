"""The token endpoint: OAuth 2.0 client credentials on Authlib's core.

Platforms authenticate with a 256-bit secret (HTTP Basic), labs with `private_key_jwt` and the issuer as its only audience.
Authlib checks its own list of algorithms and the machine's clock; both checks are replaced by crypto/tokens.py.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, InvalidClientError, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from sqlmodel import Session

from app.crypto.signing import BadSignature, peek_header
from app.crypto.tokens import AccessToken, BadToken, issue_access_token, verify_access_token, verify_assertion
from app.kit.errors import Malformed, Unauthorised
from app.kit.ids import is_id, random_id
from app.kit.runtime import Runtime
from app.parties import dpop, service
from app.parties.models import Lab, LabKey, Platform


def named(keys: list[LabKey], kid: object) -> list[LabKey]:
    """The keys that an assertion may be by: the one of that thumbprint, or all where `kid` is a name of the lab's own. Names prove
    nothing, and one may pass from key to key: the signature decides."""
    if kid is not None and not isinstance(kid, str):
        return []
    return [key for key in keys if key.thumbprint == kid] or keys


class _Client(ClientMixin):  # type: ignore[misc]
    """A platform or a lab as Authlib sees it."""

    def __init__(self, party: Platform | Lab, keys: list[LabKey], now: datetime) -> None:
        self.party = party
        self.now = now
        self.keys = keys
        self.proven_by: str | None = None
        """Thumbprint of the key whose assertion was taken."""

    def get_client_id(self) -> str:
        return self.party.id

    def check_client_secret(self, client_secret: str) -> bool:
        return isinstance(self.party, Platform) and service.is_secret(self.party, client_secret, self.now)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if isinstance(self.party, Platform) else "private_key_jwt")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class _Grant(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["private_key_jwt", "client_secret_basic"]


class _Request(OAuth2Request):  # type: ignore[misc]
    @property
    def form(self) -> Any:
        return self.payload.data

    @property
    def args(self) -> Any:
        return {}


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, runtime: Runtime, session: Session, now: datetime) -> None:
        super().__init__()
        self._runtime = runtime
        self._session = session
        self._now = now

    def __call__(self, query_client: Any, request: Any) -> Any:
        form = request.form
        assertion = form.get("client_assertion")
        if form.get("client_assertion_type") != self.CLIENT_ASSERTION_TYPE or not assertion:
            return None
        client_id = form.get("client_id") or service.assertion_subject(assertion)
        client = query_client(client_id)
        if client is None or not isinstance(client.party, Lab):
            raise InvalidClientError(description="The client is not known.")
        try:
            kid = peek_header(assertion).get("kid")
        except BadSignature:
            raise InvalidClientError(description="The assertion could not be read.") from None
        keys = named(client.keys, kid)
        why = "no key of the client in use has that kid"
        for key in keys:
            try:
                jti, exp = verify_assertion(
                    assertion, key.jwk, client.party.id, self._runtime.settings.public_url, self._now
                )
            except BadToken as error:
                why = str(error)
                continue
            if not service.use_assertion(self._session, client.party.id, jti, exp):
                raise Unauthorised(
                    "assertion_replayed",
                    "Make a new assertion with a new jti for each token request.",
                    **_oauth("invalid_client", "assertion was used before"),
                )
            client.proven_by = key.thumbprint
            return client
        raise InvalidClientError(description=f"The assertion was refused: {why}.")


class _Own:
    """A valid access token as Authlib's revocation sees it."""

    def __init__(self, token: AccessToken) -> None:
        self.token = token

    def check_client(self, client: _Client) -> bool:
        return self.token.client == client.get_client_id()


class _Revocation(RevocationEndpoint):  # type: ignore[misc]
    CLIENT_AUTH_METHODS = ["private_key_jwt", "client_secret_basic"]

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Own | None:
        server: _Server = self.server
        try:
            return _Own(verify_access_token(server.runtime.keys.service, server.runtime.settings.public_url, token_string, server.now))
        except BadToken:  # it opens nothing, which is what was wanted (RFC 7009 section 2.2)
            return None

    def revoke_token(self, token: _Own, request: Any) -> None:
        service.revoke_token(self.server.session, token.token.client, token.token.jti, token.token.exp)


class _Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server, without a web framework: takes and gives plain values."""

    def __init__(self, runtime: Runtime, session: Session, now: datetime, proofs: list[str]) -> None:
        super().__init__()
        self.runtime = runtime
        self.session = session
        self.now = now
        self._proofs = proofs
        self.register_client_auth_method("private_key_jwt", _Assertion(runtime, session, now))
        self.register_grant(_Grant)
        self.register_token_generator("default", self._token)
        self.register_endpoint(_Revocation)

    def query_client(self, client_id: Any) -> _Client | None:
        if not isinstance(client_id, str):
            return None
        if is_id("platform", client_id):
            platform = self.session.get(Platform, client_id)
            return _Client(platform, [], self.now) if platform and platform.suspended_at is None else None
        if is_id("lab", client_id):
            lab = self.session.get(Lab, client_id)
            return _Client(lab, service.keys_in_use(self.session, client_id, self.now), self.now) if lab else None
        return None

    def save_token(self, token: Any, request: Any) -> None:
        """Access tokens are self-contained; their party is looked up again at each use."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> Any:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> tuple[int, Any, dict[str, str]]:
        return status, body, dict(headers)

    def _token(self, grant_type: str, client: _Client, **kwargs: Any) -> dict[str, Any]:
        settings = self.runtime.settings
        life = settings.token_minutes * 60
        jkt = None
        if isinstance(client.party, Lab):
            jkt = dpop.at_token_endpoint(self.session, self.runtime, self._proofs, now=self.now)
        token = issue_access_token(
            self.runtime.keys.service, settings.public_url, client.get_client_id(), random_id("act"), self.now, life, jkt,
            client.proven_by,
        )  # fmt: skip
        return {"access_token": token, "token_type": "Bearer" if jkt is None else "DPoP", "expires_in": life}


def issue_token(
    session: Session, runtime: Runtime, form: dict[str, str], authorization: str | None, *, now: datetime, proofs: Sequence[str] = ()
) -> dict[str, Any]:
    """An access token for the client that the form and the Authorization header prove. With `proofs` (DPoP headers) a lab's is
    bound to the key of the one that there must be.

    Raises Unauthorised (invalid_client, assertion_replayed) or Malformed (invalid_dpop_proof, use_dpop_nonce, or
    another RFC 6749 section 5.2 error as its code).
    """
    server = _Server(runtime, session, now, list(proofs))
    return _answer(lambda: server.create_token_response(_asked(runtime, form, authorization, "token")))


def revoke_token(session: Session, runtime: Runtime, form: dict[str, str], authorization: str | None, *, now: datetime) -> None:
    """End the access token in the form, for the client that form and Authorization header prove (RFC 7009 section 2). A token that
    is not valid any more is as good as revoked.

    Raises Unauthorised (invalid_client, assertion_replayed) or Malformed (invalid_request, invalid_grant for another
    client's token, unsupported_token_type).
    """
    server = _Server(runtime, session, now, [])
    _answer(lambda: server.create_endpoint_response("revocation", _asked(runtime, form, authorization, "revoke")))


def _asked(runtime: Runtime, form: dict[str, str], authorization: str | None, endpoint: str) -> _Request:
    # Authlib refuses a plain-http address; development runs on loopback, and outside it settings demand https.
    uri = "https://" + runtime.settings.public_url.split("://", 1)[1] + "/v1/oauth/" + endpoint
    request = _Request("POST", uri, headers={"Authorization": authorization} if authorization else {})
    request.payload = BasicOAuth2Payload(form)
    return request


def _answer(act: Callable[[], tuple[int, Any, dict[str, str]]]) -> dict[str, Any]:
    try:
        status, body, _ = act()
    except UnicodeDecodeError:  # Authlib's reading of a Basic header that holds no UTF-8
        detail = "Send the client's id and secret as HTTP Basic in UTF-8."
        raise Unauthorised("invalid_client", detail, **_oauth("invalid_client", detail)) from None
    if status == 200:
        return dict(body)
    fields = dict(body)
    code = str(fields.get("error", "invalid_request"))
    detail = str(fields.get("error_description") or "Look at RFC 6749 section 5.2 for what this error means.")
    if code == "invalid_client" and detail.startswith(
        "The client cannot authenticate"
    ):  # Authlib's, with a Python list in it
        detail = "Platforms prove themselves by HTTP Basic with id and secret, labs by private_key_jwt."
    elif not detail.endswith("."):
        detail += "."
    if code == "invalid_client":
        raise Unauthorised(code, detail, **_oauth(code, detail))
    raise Malformed(code, detail, **_oauth(code, detail))


def _oauth(error: str, description: str) -> dict[str, Any]:
    # The names that OAuth clients look for, beside those of RFC 9457.
    return {"error": error, "error_description": description, "headers": {"Cache-Control": "no-store"}}
