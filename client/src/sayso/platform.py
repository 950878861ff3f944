"""For platforms: record contributions, hand out claim links, set a floor."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, quote_plus

import httpx

from sayso import errors
from sayso.guard import Guard
from sayso.http import ClientCredentials, Transport, read
from sayso.models import Answer, BatchItem, ConsentGiven, Contribution, NewContribution, Recorded

CHUNK = 500
CHUNK_BYTES = 8 * 2**20


class _Batch(Answer):
    items: list[BatchItem]


class _Portal(Answer):
    url: str


class _ClaimLink(Answer):
    claim_url: str


class _Wording(Answer):
    sha256: str


class _SiteKey(Answer):
    id: str


class Platform:
    """A platform's access to the service. Usable as a context manager."""

    def __init__(
        self, base_url: str, client_id: str, client_secret: str, *, transport: Transport | None = None
    ) -> None:
        self._transport = transport or Transport(base_url)
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()
        basic = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        self._auth = ClientCredentials(self._transport, lambda: ({}, basic))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.client.close()

    def record(
        self,
        *,
        external_id: str,
        kind: str,
        parts: dict[str, Any],
        contributor: str | None = None,
        parent: str | None = None,
        created_at: str | None = None,
        language: str | None = None,
        context_terms: dict[str, Any] | None = None,
        context_ref: str | None = None,
        models: list[str] | None = None,
        consent: ConsentGiven | dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Recorded:
        """Record one contribution. The answer's `claim_url` is for the person who gave it. Raises SaysoError."""
        new = NewContribution(
            external_id=external_id,
            kind=kind,
            parts=parts,
            contributor=contributor,
            parent=parent,
            created_at=created_at,
            language=language,
            context_terms=context_terms,
            context_ref=context_ref,
            models=models,
            consent=consent,
        )
        return self._transport.json(
            Recorded,
            "POST",
            "/v1/contributions",
            auth=self._auth,
            content=new.to_bytes(),
            idempotency_key=idempotency_key,
        )

    def record_many(self, items: Iterable[NewContribution | dict[str, Any]]) -> Iterator[BatchItem]:
        """Record any number of contributions, 500 a call, and give what became of each, in order.

        A refused item does not stop its neighbours. Nothing is sent before the results are asked for.
        An item whose raw parts hold line breaks goes in a call of its own, since a batch has one item a line.
        Raises SaysoError when a whole call fails; the items given so far are recorded.
        """
        chunk: list[tuple[str, bytes]] = []
        size = 0
        for item in items:
            new = item if isinstance(item, NewContribution) else NewContribution(**item)
            data = new.to_bytes()
            alone = b"\n" in data or b"\r" in data
            if chunk and (alone or len(chunk) == CHUNK or size + len(data) > CHUNK_BYTES):
                yield from self._send(chunk)
                chunk, size = [], 0
            if alone:
                yield self._send_alone(new.external_id, data)
            else:
                chunk.append((new.external_id, data))
                size += len(data) + 1
        if chunk:
            yield from self._send(chunk)

    def contribution(self, contribution_id: str) -> Contribution:
        """A contribution of this platform's own. Raises SaysoError."""
        return self._transport.json(
            Contribution, "GET", f"/v1/contributions/{quote(contribution_id, safe='')}", auth=self._auth
        )

    def set_floor(
        self, *, policy: str | None = None, template: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Answer:
        """Set the floor policy of later releases of this platform's records; without arguments, take it away."""
        floor: dict[str, Any] | None = None
        if policy is not None:
            floor = {"policy": policy}
        elif template is not None:
            floor = {"template": template, "parameters": parameters or {}}
        body = json.dumps({"floor": floor}).encode()
        return self._transport.json(Answer, "PUT", "/v1/platforms/me/floor", auth=self._auth, content=body)

    def register_wording(self, text: str | bytes, language: str, *, html: bool = False) -> str:
        """Register the exact text that people are shown; gives its digest, for `wording` of a consent. It becomes public."""
        return self._transport.json(
            _Wording, "POST", "/v1/wordings", auth=self._auth, content=text.encode() if isinstance(text, str) else text,
            content_type="text/html" if html else "text/plain", headers={"Content-Language": language},
        ).sha256  # fmt: skip

    def set_default(self, *, wording: str, shown_at: str, **chosen: Any) -> Answer:
        """Set the terms (`policy`, or `template` and `parameters`) of records that come without a choice, on basis notice; `wording`
        is a registered digest, shown since `shown_at` (RFC 3339)."""
        body = json.dumps({"default": {**chosen, "wording": wording, "shown_at": shown_at}}).encode()
        return self._transport.json(Answer, "PUT", "/v1/platforms/me/default", auth=self._auth, content=body)

    def end_default(self) -> Answer:
        """Take the default away, for what is recorded from now on."""
        return self._transport.json(Answer, "PUT", "/v1/platforms/me/default", auth=self._auth, content=b'{"default": null}')

    def add_site_key(self, origins: list[str], choices: list[str | dict[str, Any]]) -> str:
        """Make a site key for the consent widget on pages of these origins; gives its id, which is public. A choice is a template's name,
        or `policy` or `template` (with `parameters`) and the digests of its registered `wordings`. Raises SaysoError."""
        body = {"origins": origins, "choices": [{"template": one} if isinstance(one, str) else one for one in choices]}
        return self._transport.post(_SiteKey, "/v1/platforms/me/site-keys", self._auth, body).id

    def site_keys(self) -> list[dict[str, Any]]:
        """This platform's site keys, revoked ones too. Raises SaysoError."""
        return list(self._transport.request("GET", "/v1/platforms/me/site-keys", auth=self._auth).json()["items"])

    def revoke_site_key(self, site_key: str) -> None:
        """Nothing more is chosen under it; what was chosen stays. Raises SaysoError."""
        self._transport.request("DELETE", f"/v1/platforms/me/site-keys/{quote(site_key, safe='')}", auth=self._auth)

    def intent_under(self, ref: str) -> str | None:
        """What was chosen in the frame that a page of yours opened under `ref`, for `ConsentGiven(intent=…)`: good for one record. None
        where nobody chose, or a record has the last choice already. Raises SaysoError."""
        try:
            path = f"/v1/consent-intents/under/{quote(ref, safe='')}"
            return str(self._transport.request("GET", path, auth=self._auth).json()["intent"])
        except errors.Problem as refusal:
            if refusal.code == "intent_unknown":
                return None
            raise

    @property
    def guard(self) -> "Guard":
        """What may be shown of this platform's own records, in an export of its own: see `Guard`."""
        return Guard(self._transport, self._auth)

    def portal_link(self, contributor: str) -> str:
        """A link for one person to everything they gave on this platform: good once, for 15 minutes. Show it to them alone.

        Each call makes another link. `contributor` is your own id of the person, as it was recorded.
        """
        return self._transport.post(_Portal, "/v1/portal-sessions", self._auth, {"contributor": contributor}).url

    def eligibility_codes(self, contributors: Sequence[str]) -> list[str]:
        """One-time codes for people who contribute, by your own ids of them and in that order: hand each to that person alone. With it, and
        a receipt of something they gave here, they can join a collective that asks for one. Nobody tells you whether they did.

        At most 1000 at once; each call makes others, good for 90 days. Raises SaysoError.
        """
        content = json.dumps({"contributors": list(contributors)}).encode()
        return list(self._transport.request("POST", "/v1/eligibility-codes", auth=self._auth, content=content).json()["codes"])

    def claim_link(self, kind: str, external_id: str) -> str:
        """The claim link of what was recorded before, also by a hook, an import or `Consent`: for the person who gave it alone."""
        body = {"kind": kind, "external_id": external_id}
        return self._transport.post(_ClaimLink, "/v1/contributions/claim-link", self._auth, body).claim_url

    def send_events_to(self, url: str | None) -> str | None:
        """Have events sent to an https address of yours, which answers the challenge (`sayso.webhooks`); None: no more. Gives the secret
        that they are signed with, where it was made now: it is shown once. Raises SaysoError."""
        if url is None:
            self._transport.request("DELETE", "/v1/webhook", auth=self._auth)
            return None
        answer = self._transport.request("PUT", "/v1/webhook", auth=self._auth, content=json.dumps({"url": url}).encode())
        return answer.json()["secret"]  # type: ignore[no-any-return]

    def new_webhook_secret(self) -> str:
        """A new secret for events; the one of before signs beside it for a day. Raises SaysoError."""
        return str(self._transport.request("POST", "/v1/webhook/secret", auth=self._auth).json()["secret"])

    def events(self) -> Iterator[dict[str, Any]]:
        """What this platform was told in the last 30 days, the newest first, with how sending it went. Raises SaysoError."""
        params: dict[str, str] = {}
        while True:
            page = self._transport.request("GET", "/v1/webhook/events", auth=self._auth, params=params).json()
            yield from page["items"]
            if page["next"] is None:
                return
            params = {"cursor": page["next"]}

    def send_again(self, event: str) -> None:
        """Have an event sent once more. Raises SaysoError."""
        self._transport.request("POST", f"/v1/webhook/events/{quote(event, safe='')}/redelivery", auth=self._auth)

    def _send(self, chunk: list[tuple[str, bytes]], key: str | None = None) -> Iterator[BatchItem]:
        answer = self._transport.request(
            "POST",
            "/v1/contributions/batch",
            auth=self._auth,
            content=b"".join(data + b"\n" for _, data in chunk),
            content_type="application/x-ndjson",
            idempotency_key=key,
        )
        items = read(_Batch, answer).items
        if len(items) != len(chunk):
            raise errors.TransportError(f"{len(chunk)} items were sent and {len(items)} answered")
        for (external_id, _), item in zip(chunk, items, strict=True):
            yield item.model_copy(update={"external_id": external_id})

    def _send_alone(self, external_id: str, data: bytes, key: str | None = None) -> BatchItem:
        try:
            answer: httpx.Response = self._transport.request(
                "POST", "/v1/contributions", auth=self._auth, content=data, idempotency_key=key
            )
        except errors.Busy:
            raise
        except errors.Problem as refusal:
            return BatchItem(status=refusal.status, external_id=external_id, code=refusal.code, detail=refusal.detail)
        return read(BatchItem, _with_status(answer)).model_copy(update={"external_id": external_id})


def _with_status(answer: httpx.Response) -> httpx.Response:
    found = answer.json() if answer.content.startswith(b"{") else {}
    return httpx.Response(answer.status_code, json={**found, "status": answer.status_code})
