"""Pages as HTML: the templates, the headers of a private page, and what makes foreign text harmless to read."""

import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, select_autoescape

from app.kit import negotiate
from app.kit.body import form_of
from app.kit.errors import DomainError
from app.kit.problems import CODES, STATUS
from app.kit.runtime import Runtime
from app.kit.shown import FIELD, SHOWN
from app.web import charter_rules, ledger_words, organisations, saying
from app.web.languages import ENGLISH, LANGUAGES, READER, Language, Reader, current
from app.web.saying import plain, say

HERE = Path(__file__).parent
SIGNED = {
    "consent.scoped": say("Change what your terms allow, or the name for credit."), "objection.filed": say("Say what you object to."),
    "compensation.disputed": say("Say that a payment is wrong."), "receipt.made": say("Make one more receipt."),
    "receipts.ended": say("End your other receipts."), "recovery-code.made": say("Make a code to get in again."),
    "passkey.added": say("Add one more passkey."), "passkey.removed": say("Remove a passkey."),
    "receipt.opened": say("Open your page with this link."), "membership.begun": say("Found or join a group."),
    "membership.declared": say("Say which part of a group you are."), "membership.ended": say("Leave a group."),
    "mandate.given": say("Let a group decide with you."), "mandate.ended": say("End what you let a group decide."), "ballot.cast": say("Vote."),
    "proposal.amended": say("Change a text that you put to a vote."), "dissent.filed": say("Say what you hold against a text."),
    "dissent.withdrawn": say("Take your words against a text back."), "dissent.supported": say("Support what somebody wrote against a text."),
    "dissent.unsupported": say("Support what somebody wrote against a text no longer."), "campaign.opened": say("Call on a group to act."),
    "pledge.given": say("Pledge to act with others."), "pledge.taken-back": say("Take your pledge back."),
    "statement.filed": say("Put up a statement."), "statement.answered": say("Answer a statement."), "comment.filed": say("Comment on a text."),
    "amendment.filed": say("Propose a change to what is put to a vote."), "amendment.accepted": say("Take a change into what you put to a vote."),
    "amendment.declined": say("Decline a change to what you put to a vote."), "closer.named": say("Ask another group to close a vote."),
    "outcome.closed": say("Write the closing note of a vote."), "outcome.appealed": say("Appeal the closing note of a vote."),
    "statements.imported": say("Bring in statements from elsewhere."), "moderation.appealed": say("Appeal that something was hidden."),
    "thread.hidden": say("Hide what somebody said."), "proposal.postponed": say("Have a vote begin on a later day."),
    "moderation.decided": say("Decide on an appeal."), "appeal.decided": say("Decide on an appeal."),
    "policy.adopt": say("Propose terms to a group."), "policy.narrow": say("Propose that a group allow less."),
    "charter.amend": say("Propose new rules for a group."), "steward.elect": say("Propose a member to run the group."),
    "steward.remove": say("Propose that a member no longer run the group."), "licence.recall": say("Propose to refuse a lab."),
    "licence.grant": say("Propose to let a lab in again."), "strike.call": say("Propose a strike."), "strike.end": say("Propose to end a strike."),
    "petition.signed": say("Sign for a vote."), "petition.taken-back": say("Take your name for a vote back."),
    "call.opened": say("Call people together."),
    "effect.dispute": say("Propose to say that a lab measured wrong."),
    "licence.renew": say("Propose that a lab may go on with a use."), "outcome.void": say("Propose to make a yes to a lab void."),
}  # fmt: skip
"""What a page asks a passkey for, by the type of the act."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",  # no-referrer would also take the Origin header that forms are known by
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_LETTERS = 90


def short(text: str) -> str:
    """The first letters of a text, on one line: enough to know it by."""
    line = " ".join(text.split())
    return line if len(line) <= _LETTERS else line[: _LETTERS - 1] + "…"


def _detail(act: dict[str, Any]) -> list[saying.Said]:
    return ledger_words.detail({name: plain(value) if name == "name" and value is not None else value for name, value in act.items()})


LANGUAGE_COOKIE = "sayso_language"
_env = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(default=True, default_for_string=True),
    trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.i18n"],
)  # fmt: skip
_env.policies["ext.i18n.trimmed"] = True
_env.newstyle_gettext = True  # type: ignore[attr-defined]  # the marks fill the values in
_env.globals.update(saying.MARKS, current=current, deed_language=saying.deed_language, deciding=charter_rules)
_env.filters.update(
    plain_lines=lambda text: "\n".join(plain(line) for line in text.split("\n")), plain=plain, day=saying.day, minute=saying.minute,
    number=saying.number, bare=saying.bare, stamp=saying.stamp, country=saying.country, act=organisations.act, detail=_detail,
    short=short,
    daystamp=lambda day: saying.day(date.fromisoformat(day)),
)  # fmt: skip


def page(name: str, status: int = 200, *, also_at: str = "", **values: Any) -> HTMLResponse:
    """A rendered page with the headers of a private one, in the language of its reader. `also_at` is where another language of it can be
    had, unless that is its own address."""
    headers = {**HEADERS, "Content-Language": current().tag, "Vary": "Accept-Language, Cookie"}
    return HTMLResponse(_env.get_template(name).render(**values, switch=_switch(also_at)), status, headers)


def _switch(also_at: str) -> list[tuple[Language, str | None]]:
    """The languages that this page can be had in, each with the address that chooses it: a query and nothing else, so that it leads
    to the same page and can lead nowhere else. Empty where the page cannot be had again."""
    reader = READER.get()
    if len(LANGUAGES) == 1 or (reader.query is None and not also_at):
        return []
    kept = () if also_at else reader.query or ()
    return [
        (one, None if one is reader.language else f"{also_at}?{urlencode([*kept, ('lang', one.tag)])}") for one in LANGUAGES.values()
    ]  # fmt: skip


def lost_page() -> HTMLResponse:
    """Where no receipt opens anything: the same for each reason, and to one who typed it in as to one who opened its link."""
    return page("lost.html", 401, also_at="/r")


def problem_page(error: DomainError) -> HTMLResponse:
    """A refusal as a page. A receipt that is unknown, missing or erased looks the same: nobody learns that there was one."""
    if error.code in ("token_missing", "token_invalid"):
        return lost_page()
    shown = page("problem.html", STATUS[error.kind], title=say(CODES[error.code]), detail=error.detail)
    if "retry_after" in error.extra:
        shown.headers["Retry-After"] = str(error.extra["retry_after"])
    return shown


def reader_of(request: Request) -> tuple[Reader, bool]:
    """Who reads the answer, and whether they choose their language with this very request. A choice goes before what the browser
    asks for (RFC 9110 section 12.5.4), and what is not understood counts as not said."""
    query = tuple((name, value) for name, value in request.query_params.multi_items() if name != "lang")
    getting = request.method in ("GET", "HEAD")
    asked = LANGUAGES.get(request.query_params.get("lang", ""))
    kept = LANGUAGES.get(request.cookies.get(LANGUAGE_COOKIE, ""))
    language = asked or kept
    if language is None:
        # Cut: what a browser sends is short, and the look-up takes time that grows with the square.
        accepted = ",".join(request.headers.getlist("accept-language"))[:1000]
        language = LANGUAGES[negotiate.language(accepted, list(LANGUAGES), ENGLISH.tag)]
    return Reader(language, query if getting else None), getting and asked is not None


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
        "passkey_ask.html", STATUS[error.kind], ask=json.dumps(ask), text=ask["text"], told=SIGNED.get(kind) or kind, opens=opens,
        action="/r/passkeys/open" if opens else path, fields=fields,
    ))  # fmt: skip


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class SpokenRoute(APIRoute):
    """A route that answers in the language of whoever asks, and keeps the language that is chosen on its page as a cookie."""

    keeps_choice = True

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            reader, chosen = reader_of(request)
            READER.set(reader)
            response = await inner(request)
            if chosen and self.keeps_choice:
                runtime: Runtime = request.app.state.runtime
                response.set_cookie(
                    LANGUAGE_COOKIE, reader.language.tag, max_age=365 * 86_400, httponly=True, samesite="lax", path="/",
                    secure=runtime.settings.public_url.startswith("https"),
                )  # fmt: skip
                response.headers["Cache-Control"] = "no-store"
            return response

        return handler


class StaffRoute(APIRoute):
    """A route that answers a person: what is refused inside it is told on a page. By itself in English, for the staff of labs,
    platforms and the operator."""

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except DomainError as error:
                return problem_page(error)

        return handler


class SigningRoute(APIRoute):
    """A route whose forms can hold what a passkey signed, and that asks for it where it is needed."""

    def get_route_handler(self) -> Handler:
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
                raise

        return handler


class PageRoute(SpokenRoute, StaffRoute, SigningRoute):
    """A route that answers a person in their language: what is refused inside it is told on a page."""
