"""For contributors and tools that act for them: what one gave, under which terms, and taking it back."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from sayso.errors import Forbidden
from sayso.http import Auth, Transport
from sayso.models import Answer, Consented, Contribution, Erased, Revoked

Scope = Literal["contribution", "lab", "purpose", "standing", "all"]
Done = TypeVar("Done")


class _Claimed(Answer):
    receipt: str
    contribution: str | None = None
    locked: bool = False


class _Page(Answer):
    items: list[Contribution]
    next: str | None = None


class _Items(Answer):
    items: list[dict[str, Any]]
    next: str | None = None


class Contributor:
    """The holder of a receipt secret (`rcp_…`). Whoever has the secret can do all of this: keep it."""

    def __init__(self, base_url: str, receipt: str, *, transport: Transport | None = None) -> None:
        self.receipt = receipt
        self.claimed: str | None = None
        self.locked = False
        """Whether it opens nothing: it came by a link to everything, for a person who has a passkey. They open the link in a browser."""
        self.passkey: Callable[[dict[str, Any]], str] | None = None
        """For a person who has a passkey: asked with the problem's `ask` where an act needs it, gives what the passkey signed. The person
        gets that on the page at `ask["sign_at"]`, in the browser that has their receipt; it is good once, for five minutes."""
        self._transport = transport or Transport(base_url)
        self._auth = Auth(receipt)

    def __repr__(self) -> str:
        return f"Contributor({self._transport.base_url!r})"

    @classmethod
    def claim(cls, claim_url: str, *, transport: Transport | None = None) -> "Contributor":
        """Redeem a claim link, which can be done once. Keep `.receipt`; `.claimed` is the contribution's id.

        Raises:
            ValueError: when it is no claim link. SaysoError: when the service refuses it.
        """
        parts = urlsplit(claim_url)
        prefix, _, code = parts.path.rpartition("/c/")
        if parts.scheme not in ("http", "https") or not parts.netloc or not code or "/" in code:
            raise ValueError("not a claim link")
        base = f"{parts.scheme}://{parts.netloc}{prefix}"
        transport = transport or Transport(base)
        claimed = transport.json(_Claimed, "POST", f"{base}/c/{quote(code, safe='')}")
        found = cls(base, claimed.receipt, transport=transport)
        found.claimed, found.locked = claimed.contribution, claimed.locked
        return found

    def mine(self) -> Iterator[Contribution]:
        """Everything this receipt covers, page by page."""
        cursor: str | None = None
        while True:
            params = {} if cursor is None else {"cursor": cursor}
            page = self._transport.json(_Page, "GET", "/v1/contributions/me", auth=self._auth, params=params)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def scope(
        self,
        contribution_id: str | None = None,
        *,
        policy: str | None = None,
        template: str | None = None,
        parameters: dict[str, Any] | None = None,
        language: str = "en",
        credit: str | None = None,
    ) -> Consented:
        """Give new terms to one contribution, or without an id to all that this person gives (standing consent)."""
        if (policy is None) == (template is None):
            raise ValueError("give either policy or template")
        body: dict[str, Any] = (
            {"policy": policy} if template is None else {"template": template, "parameters": parameters or {}}
        )
        body |= {"language": language}
        if credit is not None:
            body["credit"] = credit
        path, content = f"/v1/contributions/{quote(contribution_id or 'me', safe='')}/consents", json.dumps(body).encode()
        return self._signed(lambda headers: self._transport.json(Consented, "POST", path, auth=self._auth, content=content, headers=headers))

    def withdraw(
        self,
        scope: Scope = "contribution",
        *,
        ids: Sequence[str] | None = None,
        lab: str | None = None,
        purpose: str | None = None,
    ) -> Revoked:
        """Take consent back: for these contributions, for one lab or purpose, the standing consent, or all of it.

        Once this returns, no later release holds what it covers.
        """
        body: dict[str, Any] = {"scope": scope}
        body |= {name: value for name, value in (("lab", lab), ("purpose", purpose)) if value is not None}
        if ids is not None:
            body["ids"] = list(ids)
        return self._transport.post(Revoked, "/v1/revocations", self._auth, body)

    def erase(
        self, scope: Literal["contribution", "all"] = "contribution", *, contribution: str | None = None, remember_refusal: bool = False,
        tell_platform: bool = False,
    ) -> Erased:  # fmt: skip
        """Have a contribution erased, or all of them: unreadable for everybody and for good. With `remember_refusal` (and the
        scope all) nothing is recorded in this person's name again; with `tell_platform` it is asked to delete its own copy.

        Once this returns, no later release holds it. The rest takes seconds: `erasure` says how it stands.
        """
        body: dict[str, Any] = {"scope": scope}
        if contribution is not None:
            body["contribution"] = contribution
        if remember_refusal:
            body["refusal"] = "remember"
        if tell_platform:
            body["tell_platform"] = True
        return self._transport.post(Erased, "/v1/erasures", self._auth, body)

    def erasure(self, erasure_id: str) -> Erased:
        """How an erasure stands: `state` is requested or completed."""
        return self._transport.json(Erased, "GET", f"/v1/erasures/{quote(erasure_id, safe='')}")

    def object(self, contribution_id: str, statement: str, language: str = "en") -> dict[str, Any]:
        """Say something against what becomes of it, in at most 1,000 characters: it stands beside the record in every release from now
        on. Nothing is narrowed by it; to stop a use, withdraw. Gives the act, whose `id` is the objection's. Raises SaysoError."""
        path = f"/v1/contributions/{quote(contribution_id, safe='')}/objections"
        return self.call("POST", path, {"statement": statement, "language": language})

    def objections(self, contribution_id: str) -> list[dict[str, Any]]:
        """What was said so, the newest first; of what was withdrawn `statement` is None. Raises SaysoError."""
        path = f"/v1/contributions/{quote(contribution_id, safe='')}/objections"
        found: list[dict[str, Any]] = self._transport.request("GET", path, auth=self._auth).json()
        return found

    def withdraw_objection(self, contribution_id: str, objection_id: str) -> dict[str, Any]:
        """Take an objection back: its words are deleted, and later releases are without it. Raises SaysoError."""
        return self.call("DELETE", f"/v1/contributions/{quote(contribution_id, safe='')}/objections/{quote(objection_id, safe='')}")

    def receipt_file(self, contribution_id: str) -> bytes:
        """The receipt as a file to keep, exactly as sent; check it with `sayso verify receipt`."""
        path = f"/v1/contributions/{quote(contribution_id, safe='')}/receipt"
        return self._transport.request("GET", path, auth=self._auth).content

    def acts(self) -> list[dict[str, Any]]:
        """What was done with the consents that this receipt covers, in log order; `id` names an act for `act_file`."""
        return self._pages("/v1/contributions/me/acts")

    def act_file(self, act_id: str) -> bytes:
        """The receipt of an act, such as a withdrawal; check it with `sayso verify receipt`."""
        path = f"/v1/contributions/me/acts/{quote(act_id, safe='')}/receipt"
        return self._transport.request("GET", path, auth=self._auth).content

    def releases(self, contribution_id: str) -> list[dict[str, Any]]:
        """Every release that could hold the contribution, in log order: each says whether it does (`present`), and proves it.

        Save an item, or `{"items": [...]}` of them, and check it with `sayso verify holding`.
        """
        return self._pages(f"/v1/contributions/{quote(contribution_id, safe='')}/releases")

    def owed(self) -> list[dict[str, Any]]:
        """What labs owe for it, in minor units of each line's currency, and what they say of having paid. Raises SaysoError."""
        return self._pages("/v1/contributions/me/compensation")

    def dispute(self, line: str, reason: Literal["not-received", "too-little"]) -> dict[str, Any]:
        """Say that a line was not paid, or not as it should be. Raises SaysoError."""
        return self.call("POST", f"/v1/contributions/me/compensation/{quote(line, safe='')}/dispute", {"reason": reason})

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Any route for contributors, with this receipt; gives the answer's JSON object."""
        content = None if body is None else json.dumps(body).encode()
        found: dict[str, Any] = self._signed(
            lambda headers: self._transport.request(method, path, auth=self._auth, content=content, headers=headers)
        ).json()
        return found

    def _signed(self, send: Callable[[dict[str, str]], Done]) -> Done:
        """What a request answers; where it needs the person's passkey, the same request again with what that signed."""
        try:
            return send({})
        except Forbidden as refusal:
            # What only opens a receipt (`opens`) is done in a browser, and gives it another one.
            if refusal.code != "passkey_needed" or self.passkey is None or "ask" not in refusal.document or refusal.document.get("opens"):
                raise
            return send({"Sayso-Passkey": self.passkey(refusal.document["ask"])})

    def models(self, contribution_id: str) -> list[dict[str, Any]]:
        """In which models it is, as its holders say, and how well that is shown. Raises SaysoError."""
        return self._pages(f"/v1/contributions/{quote(contribution_id, safe='')}/models")

    def _pages(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            params = {} if cursor is None else {"cursor": cursor}
            page = self._transport.json(_Items, "GET", path, auth=self._auth, params=params)
            items += page.items
            cursor = page.next
            if cursor is None:
                return items
