"""API shapes of the log slice."""

from typing import Any

from app.kit.body import Out


class LogKey(Out):
    """The log's key in the two forms that software takes: of signed notes, and as a JWK (RFC 8037) for COSE receipts."""

    origin: str
    vkey: str
    jwk: dict[str, str]


class LedgerItem(Out):
    """An organisation's act, as its leaf says it. `beside` is what is to be read beside it and does not stand in the log: of a collective's
    refusal `{outcome, reasoning, replies_until, reply, reply_sha256}`, texts or null; of a use report that is disputed, and of each dispute,
    `{effect, disputes}`, the lab's measurement and those of collectives. Texts can be erased or hidden; then they are null."""

    index: int
    act: dict[str, Any]
    beside: dict[str, Any] | None = None


class LedgerPage(Out):
    items: list[LedgerItem]
    next: str | None
