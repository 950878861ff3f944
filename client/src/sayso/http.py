"""One way to call the service: retries that cannot act twice, and refusals as errors."""

import email.utils
import hashlib
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from sayso import errors
from sayso.jws import PrivateKey, b64u

TRIES = 5
LONGEST_WAIT = 60.0
"""Seconds; a service that asks for more is not waited for."""
TOKEN_MARGIN = 30.0

CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=5)
"""As many connections as threads ask at once, and none closed because there are many.

httpcore closes an idle connection over its limits of 20 and 100 though it has just been handed to a waiting thread
(encode/httpcore, number 1110): that request then hangs until its read times out, or fails.
"""

Body = bytes | Callable[[], bytes]
_SOON = ("awaiting_checkpoint", "idempotency_in_flight")
"""What is waited for here comes within a fraction of the second that Retry-After can say at least."""

Model = TypeVar("Model", bound=BaseModel)


@cache
def _certificates() -> ssl.SSLContext:
    # Read once for all clients of a process: it takes 40 ms, and a person's page of a platform may make one for each.
    return httpx.create_ssl_context()


class Transport:
    """A base address, a connection pool, and the retry rules."""

    def __init__(
        self,
        base_url: str,
        *,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.client = client or httpx.Client(
            timeout=httpx.Timeout(30, connect=10), verify=_certificates(), limits=CONNECTIONS
        )
        self.sleep = sleep
        self.now = now

    def request(
        self,
        method: str,
        path: str,
        *,
        auth: "Auth | None" = None,
        content: Body | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer to a request, when it is 2xx.

        A POST carries an Idempotency-Key, the same one on every retry, so that it takes effect once. Retried are lost
        connections, 429, 503 and "still in flight", after what Retry-After says.

        Raises:
            errors.Problem: for any other answer. errors.TransportError: when there was none.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = content_type
        if method == "POST":
            sent.setdefault("Idempotency-Key", idempotency_key or str(uuid.uuid4()))
        refreshed = False
        for last in self._tries():
            if auth is not None:
                sent |= auth.headers(method, self._url(path))
            body = content() if callable(content) else content
            try:
                answer = self.client.request(method, self._url(path), content=body, headers=sent, params=params)
            except httpx.TransportError as error:
                if last:
                    raise errors.TransportError(f"{method} {path} got no answer: {type(error).__name__}") from error
                self.sleep(self._backoff())
                continue
            if answer.is_success:
                return answer
            refusal = problem_of(answer, self.now())
            if auth is not None:
                auth.learn(answer)
            if isinstance(refusal, errors.Unauthorised) and auth is not None and auth.renew() and not refreshed:
                refreshed = True  # the token may have ended between two clocks: once more with a new one
                continue
            self._wait_or_raise(refusal, last)
        raise AssertionError("unreachable")

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """A GET whose body is read as it comes; raises as `request` does, before the body."""
        for last in self._tries():
            with self.client.stream("GET", self._url(path), headers=dict(headers)) as answer:
                if answer.is_success:
                    yield answer
                    return
                answer.read()
                refusal = problem_of(answer, self.now())
            self._wait_or_raise(refusal, last)

    def json(self, model: type[Model], method: str, path: str, **options: Any) -> Model:
        """`request`, with the answer read into `model`."""
        return read(model, self.request(method, path, **options))

    def post(self, model: type[Model], path: str, auth: "Auth", body: dict[str, Any]) -> Model:
        """A POST of a JSON object, with the answer read into `model`."""
        return self.json(model, "POST", path, auth=auth, content=json.dumps(body).encode())

    def _url(self, path: str) -> str:
        return path if path.startswith(("http://", "https://")) else self.base_url + path

    def _tries(self) -> Iterator[bool]:
        self._attempt = 0
        for attempt in range(TRIES):
            self._attempt = attempt
            yield attempt == TRIES - 1

    def _backoff(self) -> float:
        return float(min(LONGEST_WAIT, 0.25 * 2**self._attempt) * random.uniform(0.5, 1.0))

    def _wait_or_raise(self, refusal: errors.Problem, last: bool) -> None:
        passing = isinstance(refusal, errors.Busy) or refusal.code == "idempotency_in_flight"
        wait = self._backoff() if refusal.retry_after is None else refusal.retry_after
        if not passing or last or wait > LONGEST_WAIT:
            raise refusal
        if refusal.code in _SOON:
            wait = min(wait, 0.1 * 4**self._attempt)
        self.sleep(wait)


class Auth:
    """A fixed bearer credential."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def header(self) -> str:
        return f"Bearer {self._secret}"

    def headers(self, method: str, url: str) -> dict[str, str]:
        """What to send with one request."""
        return {"Authorization": self.header()}

    def learn(self, answer: httpx.Response) -> None:
        """Look at a refusal for what the next request needs."""

    def renew(self) -> bool:
        """Forget what was refused; False when there is nothing else to try."""
        return False


class ClientCredentials(Auth):
    """An access token by `client_credentials`, kept until shortly before it ends.

    `proof` gives, for each attempt anew, the form members and headers that prove the client. With `dpop` the token is bound to a
    key (RFC 9449), and each request carries a proof of it; without, only where the service asks for it.
    """

    def __init__(
        self, transport: Transport, proof: Callable[[], tuple[dict[str, str], dict[str, str]]], dpop: "Prover | None" = None,
        bound: bool = False,
    ) -> None:  # fmt: skip
        self._transport = transport
        self._proof = proof
        self._dpop = dpop
        self._bound = bound and dpop is not None
        self._token: str | None = None
        self._ends = 0.0

    def header(self) -> str:
        if self._token is None or self._transport.now() >= self._ends:
            self._fetch()
        return f"{'DPoP' if self._bound else 'Bearer'} {self._token}"

    def headers(self, method: str, url: str) -> dict[str, str]:
        sent = {"Authorization": self.header()}
        if self._bound and self._dpop is not None:
            sent["DPoP"] = self._dpop.prove(method, url, self._transport.now(), self._token)
        return sent

    def learn(self, answer: httpx.Response) -> None:
        if self._dpop is not None and "dpop-nonce" in answer.headers:
            self._dpop.nonce = answer.headers["dpop-nonce"]

    def renew(self) -> bool:
        self._token = None
        return True

    def _fetch(self) -> None:
        refused: errors.Problem | None = None
        for last in self._transport._tries():
            form, headers = self._proof()  # an assertion is good for one request alone
            url = self._transport.base_url + "/v1/oauth/token"
            if self._bound and self._dpop is not None:
                headers = {**headers, "DPoP": self._dpop.prove("POST", url, self._transport.now())}
            try:
                answer = self._transport.client.post(
                    url,
                    data={"grant_type": "client_credentials", **form},
                    headers=headers,
                )
            except httpx.TransportError as error:
                if last:
                    raise errors.TransportError(f"no token: {type(error).__name__}") from error
                self._transport.sleep(self._transport._backoff())
                continue
            if answer.is_success:
                break
            refused = problem_of(answer, self._transport.now())
            self.learn(answer)
            if self._dpop is not None and not last and refused.code == ("use_dpop_nonce" if self._bound else "invalid_dpop_proof"):
                self._bound = True
                continue
            self._transport._wait_or_raise(refused, last)
        try:
            found = answer.json()
            token, life = found["access_token"], float(found["expires_in"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.TransportError("the token endpoint's answer could not be read") from error
        if not isinstance(token, str) or str(found.get("token_type", "")).lower() != ("dpop" if self._bound else "bearer"):
            raise errors.TransportError(f"the token endpoint gave no {'bound' if self._bound else 'bearer'} token")
        self._token = token
        self._ends = self._transport.now() + life - min(TOKEN_MARGIN, life / 2)


class Prover:
    """Proofs that the holder of a token holds this key too (RFC 9449 section 4.2). `nonce` is the service's latest."""

    def __init__(self, key: PrivateKey) -> None:
        self.key = key
        self.nonce: str | None = None

    def prove(self, method: str, url: str, now: float, token: str | None = None) -> str:
        """A proof for one request, good for that one alone."""
        claims: dict[str, Any] = {"jti": str(uuid.uuid4()), "htm": method, "htu": url.split("?")[0].split("#")[0], "iat": int(now)}
        if token is not None:
            claims["ath"] = b64u(hashlib.sha256(token.encode()).digest())
        if self.nonce is not None:
            claims["nonce"] = self.nonce
        return self.key.sign("dpop+jwt", json.dumps(claims).encode(), embed=True)


def read(model: type[Model], answer: httpx.Response) -> Model:
    """An answer as `model`. Raises errors.TransportError."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        where = ", ".join(".".join(map(str, e["loc"])) for e in error.errors())
        raise errors.TransportError(f"the answer is not a {model.__name__}: {where}") from error


def problem_of(answer: httpx.Response, now: float) -> errors.Problem:
    """The refusal in an answer, whatever its body is."""
    document: Any = None
    if "json" in answer.headers.get("content-type", ""):
        try:
            document = answer.json()
        except ValueError:
            document = None
    if not isinstance(document, dict):
        document = {"title": answer.reason_phrase or "no problem document"}
    refusal = errors.problem(answer.status_code, document, _retry_after(answer.headers.get("retry-after"), now))
    if isinstance(refusal, errors.ShardGone):
        link = answer.links.get("successor-version", {}).get("url")
        refusal.successor = link and str(answer.url.join(link))
    return refusal


def _retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait: RFC 9110 section 10.2.3 has a number or a date."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
