"""Pages as HTML: the templates, the headers of a private page, and what makes foreign text harmless to read."""

import json
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, select_autoescape

from app.kit.body import form_of
from app.kit.errors import DomainError
from app.kit.problems import CODES, STATUS
from app.kit.shown import FIELD, SHOWN

HERE = Path(__file__).parent
SIGNED = {
    "consent.scoped": "Change what your terms allow, or the name for credit.", "objection.filed": "Say what you object to.",
    "compensation.disputed": "Say that a payment is wrong.", "receipt.made": "Make one more receipt.",
    "receipts.ended": "End your other receipts.", "recovery-code.made": "Make a code to get in again.",
    "passkey.added": "Add one more passkey.", "passkey.removed": "Remove a passkey.", "receipt.opened": "Open your page with this link.",
    "membership.begun": "Found or join a group.", "membership.declared": "Say which part of a group you are.", "membership.ended": "Leave a group.",
    "mandate.given": "Let a group decide with you.", "mandate.ended": "End what you let a group decide.", "ballot.cast": "Vote.",
    "proposal.amended": "Change a text that you put to a vote.", "dissent.filed": "Say what you hold against a text.",
    "dissent.withdrawn": "Take your words against a text back.", "campaign.opened": "Call on a group to act.",
    "pledge.given": "Pledge to act with others.", "pledge.taken-back": "Take your pledge back.",
}  # fmt: skip
"""What a page asks a passkey for, by the type of the act."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # no-referrer would also take the Origin header that forms are known by
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# What turns the direction of the text that follows, and what no font shows: a name could pass for another by them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufeff]")


def plain(text: Any) -> str:
    """Text with its invisible and direction-turning characters as visible signs, such as [U+202E]."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))


def day(moment: date | datetime) -> str:
    """A day as people write it: 4 May 2026."""
    return f"{moment.day} {moment:%B %Y}"


def minute(moment: datetime) -> str:
    """A time as people write it, in UTC."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


_env = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(default=True, default_for_string=True),
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
_env.filters.update(plain_lines=lambda text: "\n".join(plain(line) for line in text.split("\n")), plain=plain, day=day, minute=minute)


def page(name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A rendered page with the headers of a private one."""
    return HTMLResponse(_env.get_template(name).render(**values), status, HEADERS)


def problem_page(error: DomainError) -> HTMLResponse:
    """A refusal as a page. A receipt that is unknown, missing or erased looks the same: nobody learns that there was one."""
    if error.code in ("token_missing", "token_invalid"):
        return page("lost.html", STATUS[error.kind])
    shown = page("problem.html", STATUS[error.kind], title=CODES[error.code], detail=error.detail)
    if "retry_after" in error.extra:
        shown.headers["Retry-After"] = str(error.extra["retry_after"])
    return shown


def scripted(shown: HTMLResponse) -> HTMLResponse:
    """A page with a script of ours, which may connect to nothing."""
    shown.headers["Content-Security-Policy"] += "; script-src 'self'"
    return shown


def asking(error: DomainError, path: str, sent: dict[str, str]) -> HTMLResponse:
    """The page that asks for a passkey, and then sends the same form again with what it signed."""
    ask = error.extra["ask"]
    kind = json.loads(ask["text"])["act"]["type"]
    opens = bool(error.extra.get("opens"))
    fields = {} if opens else {name: value for name, value in sent.items() if name != FIELD}
    return scripted(page(
        "passkey_ask.html", STATUS[error.kind], ask=json.dumps(ask), text=ask["text"], told=SIGNED.get(kind, kind), opens=opens,
        action="/r/passkeys/open" if opens else path, fields=fields,
    ))  # fmt: skip


class PageRoute(APIRoute):
    """A route that answers a person: what is refused inside it is told on a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            sent: dict[str, str] = {}
            if request.method == "POST" and request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                with suppress(DomainError):  # what cannot be read is refused by who reads it
                    sent = await form_of(request)
            SHOWN.set(sent.get(FIELD))
            try:
                return await inner(request)
            except DomainError as error:
                if error.code == "passkey_needed":
                    return asking(error, request.url.path, sent)
                return problem_page(error)

        return handler
