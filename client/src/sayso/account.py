"""A lab's account with the service: its key and the tokens it gets by it, its further keys, its pages, and where events go."""

import json
import os
import uuid
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from sayso import errors
from sayso.http import ClientCredentials, Prover, Transport
from sayso.joining import delegation
from sayso.jws import PrivateKey
from sayso.lab_cli import VARIABLES
from sayso.models import Answer

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class _Metadata(Answer):
    issuer: str


class Account:
    """A lab's access to the service with its own key. `key` is a PrivateKey or a private JWK."""

    def __init__(
        self, base_url: str, client_id: str, key: PrivateKey | dict[str, Any], *, transport: Transport | None = None, dpop: bool = False
    ) -> None:
        """With `dpop` access tokens are bound to a key that this process makes and nobody else has (RFC 9449); a service that asks
        for it gets it anyway."""
        self.client_id = client_id
        self.key = key if isinstance(key, PrivateKey) else PrivateKey.from_jwk(key)
        self._transport = transport or Transport(base_url)
        self._auth = ClientCredentials(self._transport, self._assertion, Prover(PrivateKey.generate()), bound=dpop)
        self._issuer: str | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """The lab that SAYSO_SERVICE, SAYSO_CLIENT_ID and SAYSO_KEY name. Raises KeyFileError where one of them does not."""
        values = [os.environ.get(name) for name in VARIABLES]
        if not all(values):
            raise errors.KeyFileError(f"set {', '.join(VARIABLES)}, or give a lab")
        service, client, key = map(str, values)
        return cls(service, client, PrivateKey.load(Path(key)))

    @property
    def base_url(self) -> str:
        """The service's address."""
        return self._transport.base_url

    def sleep(self, seconds: float) -> None:
        """Wait, as the transport does."""
        self._transport.sleep(seconds)

    def console(self) -> str:
        """An address that opens the lab's pages in a browser, for a quarter of an hour. Raises SaysoError."""
        return str(self._transport.request("POST", "/v1/console-links", auth=self._auth, content=b"{}").json()["url"])

    def delegate(self, jwk: dict[str, Any], name: str, until: str) -> str:
        """Give a key of the institution's own people or machines, until the end of a day (YYYY-MM-DD); needs the institution's key.
        Gives the key's thumbprint. Raises SaysoError."""
        signed = delegation(self.key, self._service(), self.client_id, jwk, name, until)
        done = self._transport.request("POST", "/v1/lab-keys", auth=self._auth, content=json.dumps({"delegation": signed}).encode())
        return str(done.json()["key"])

    def end_key(self, thumbprint: str) -> None:
        """Take a key of the lab's out of use, at once. Raises SaysoError."""
        self._transport.request("DELETE", f"/v1/lab-keys/{name_in_path(thumbprint)}", auth=self._auth)

    def push_to(self, url: str | None, authorization: str | None = None) -> None:
        """Have events brought to an https address of yours (RFC 8935), with this Authorization header if any; None: no more. Each is
        one of `poll`'s tokens; answering 202 says that you have it. Raises SaysoError."""
        if url is None:
            self._transport.request("DELETE", "/v1/events/push", auth=self._auth)
            return
        body = {"url": url} | ({} if authorization is None else {"authorization": authorization})
        self._transport.request("PUT", "/v1/events/push", auth=self._auth, content=json.dumps(body).encode())

    def _assertion(self) -> tuple[dict[str, str], dict[str, str]]:
        """private_key_jwt (RFC 7523) in the FAPI 2.0 profile: the issuer is the one audience, good for 60 seconds."""
        at = int(self._transport.now())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self._service(),
            "jti": str(uuid.uuid4()),
            "iat": at,
            "exp": at + 60,
        }
        assertion = self.key.sign("JWT", json.dumps(claims).encode())
        return {"client_id": self.client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}, {}

    def _service(self) -> str:
        if self._issuer is None:
            self._issuer = issuer_at(self._transport)
        return self._issuer

    def _get(self, path: str) -> httpx.Response:
        return self._transport.request("GET", path, auth=self._auth)


def issuer_at(transport: Transport) -> str:
    """The name of the service at an address (RFC 8414), which may be another way of writing it. Raises SaysoError."""
    return transport.json(_Metadata, "GET", "/.well-known/oauth-authorization-server").issuer


def name_in_path(text: str) -> str:
    """An id as a part of an address."""
    return quote(text, safe="")
