"""Pages that a short link opens for a day's work: the link becomes a session that the browser keeps as a cookie, and proves itself."""

from dataclasses import dataclass
from typing import Literal

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from app.kit.errors import Unauthorised
from app.kit.runtime import Runtime
from app.parties.links import Links


@dataclass(frozen=True)
class Console:
    """The pages under `home`. `links` and `sessions` name their `Links` in the runtime; `command` makes a link."""

    home: str
    cookie: str
    links: str
    sessions: str
    command: str
    samesite: Literal["lax", "strict"]

    def open(self, code: str, runtime: Runtime) -> Response:
        """Turn a link's code into the browser's session. Raises NotFound where the link has ended."""
        links: Links = runtime.parts[self.links]
        sessions: Links = runtime.parts[self.sessions]
        now = runtime.clock.now()
        response = RedirectResponse(self.home, 303, {"Cache-Control": "no-store"})
        response.set_cookie(
            self.cookie, sessions.code(links.read(code, now), now), max_age=int(sessions.life.total_seconds()), httponly=True,
            samesite=self.samesite, secure=runtime.settings.public_url.startswith("https"), path=self.home,
        )  # fmt: skip
        return response

    def party(self, request: Request, runtime: Runtime) -> str:
        """The id of the party whose session it is. Raises Unauthorised (console_ended), NotFound where the session has ended."""
        code = request.cookies.get(self.cookie)
        if not code:
            raise Unauthorised("console_ended", f"Make a link with `{self.command}`, and open it in this browser.")
        sessions: Links = runtime.parts[self.sessions]
        return sessions.read(code, runtime.clock.now())
