"""Pages as HTML: the templates, the headers of a private page, and what makes foreign text harmless to read."""

import re
from collections.abc import Callable, Coroutine
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, select_autoescape

from app.kit.errors import DomainError
from app.kit.problems import CODES, STATUS

HERE = Path(__file__).parent
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


class PageRoute(APIRoute):
    """A route that answers a person: what is refused inside it is told on a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except DomainError as error:
                return problem_page(error)

        return handler
