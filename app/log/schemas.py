"""API shapes of the log slice."""

from typing import Any

from app.kit.body import Out


class LogKey(Out):
    """The log's key in the two forms that software takes: of signed notes, and as a JWK (RFC 8037) for COSE receipts."""

    origin: str
    vkey: str
    jwk: dict[str, str]


class LedgerItem(Out):
    """An organisation's act, as its leaf says it."""

    index: int
    act: dict[str, Any]


class LedgerPage(Out):
    items: list[LedgerItem]
    next: str | None
