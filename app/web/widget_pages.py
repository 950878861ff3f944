"""The widget's script, and the widget as a page for frames: a plain form, for pages that run no scripts of others or none at all.

The frame is this service's own page, so the page around it can neither read it nor fill it in. How the choice gets from here to the
platform: under the number that its page put into the frame's address, which the platform then asks for; or by a message to a page
that listens; or as a code that the person copies.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from app.consents import site_keys
from app.consents.models import INTENT_LIFE, SiteKey
from app.consents.policies import PolicyBook
from app.consents.widget_routes import Handler, only_small, slow_down
from app.consents.widget_words import WORDS, direction, english_beside, words_for
from app.kit import negotiate
from app.kit.access import FOR_ANYBODY
from app.kit.body import form_of
from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import DomainError, Invalid
from app.kit.problems import CODES, STATUS
from app.kit.runtime import Runtime
from app.parties.auth import same_origin
from app.web.rendering import HERE, PageRoute, page


class _SmallPage(PageRoute):
    """A page whose form holds a digest and little else. Its language is the frame's own, and nothing of it is kept."""

    keeps_choice = False

    def get_route_handler(self) -> Handler:
        return only_small(super().get_route_handler())


widget_pages = APIRouter(include_in_schema=False, route_class=_SmallPage, dependencies=[FOR_ANYBODY])
_BY_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}"
# Any page may load these: they hold nothing of anybody's, and what the widget may do is decided by the site key.
_FOR_ALL = {
    "Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}  # fmt: skip


@widget_pages.get("/widget.js")
def script() -> Response:
    return Response((HERE / "static" / "widget.js").read_bytes(), media_type="text/javascript", headers=_FOR_ALL)


@widget_pages.get("/w/{site}")
def frame(
    site: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, ref: Annotated[str | None, Query()] = None,
    lang: Annotated[str | None, Query()] = None,
) -> Response:  # fmt: skip
    """The choices as a form. What was chosen under the same number before is marked, while no record has it."""
    key = site_keys.known(session, site)
    language = _language(key, lang, request)
    try:
        site_keys.find(session, site)
        _check_ref(ref)
    except DomainError as error:
        return _refused(key, language, error, ref, "away")
    before = None if ref is None else site_keys.under(session, key.platform_id, ref, now=runtime.clock.now())
    choices = site_keys.shown(session, key, runtime.settings.public_url)["choices"]
    book: PolicyBook = runtime.parts["policies"]
    chosen = None if before is None else book.by_ids([before.policy_id])[before.policy_id].digest
    return _page(key, 200, language, choices=choices, chosen=chosen, ref=ref)


@widget_pages.post("/w/{site}")
async def choose(site: str, request: Request, runtime: RuntimeDep) -> Response:
    """Keep what was chosen, and hand it over."""
    form = await form_of(request)
    return await run_in_threadpool(_choose, site, form, request, runtime)


def _choose(site: str, form: dict[str, str], request: Request, runtime: Runtime) -> Response:
    ref, now = form.get("ref") or None, runtime.clock.now()
    with read(runtime.engine) as session:
        key = site_keys.known(session, site)
    language = _language(key, form.get("lang"), request)
    try:
        same_origin(request)
        _check_ref(ref)
        slow_down(runtime, request, key)
        book: PolicyBook = runtime.parts["policies"]
        policies = {choice["policy"]: book.by_digest(choice["policy"]) for choice in key.choices}
        with write(runtime.engine) as session:
            made = site_keys.choose(session, site_keys.find(session, site), policies, form.get("wording", ""), ref, now=now)
    except DomainError as error:
        return _refused(key, language, error, ref)
    policy = next(name for name, row in policies.items() if row.id == made.policy_id)
    told = {
        "intent": made.id, "policy": policy, "wording": made.wording_sha256, "language": made.wording_language,
        "expires_at": rfc3339(now + INTENT_LIFE),
    }  # fmt: skip
    return _page(key, 201, language, made=told, ref=ref)


def _refused(key: SiteKey, language: str, error: DomainError, ref: str | None, word: str = "lost") -> HTMLResponse:
    """Told inside the frame: with the headers of other pages the browser would show nothing at all."""
    again = error.code != "site_key_unknown"
    return _page(
        key, STATUS[error.kind], language, refusal=error, title=CODES[error.code], word=word, again=again,
        ref=None if error.code == "parameter_invalid" else ref,
    )  # fmt: skip


def _check_ref(ref: str | None) -> None:
    if ref is not None and not re.fullmatch(site_keys.REF, ref):
        raise Invalid("parameter_invalid", "Open the frame with a ref of 22 to 64 letters, digits, - and _ that nobody can guess, or with none.")


def _language(key: SiteKey, wanted: str | None, request: Request) -> str:
    """Of the languages that the choices are worded in: the one asked for, or what the browser prefers, or the first."""
    known = list(key.choices[0]["wordings"])
    base = "en" if "en" in known else known[0]
    return negotiate.language((wanted or "")[:40] or request.headers.get("accept-language", "")[:1000], known, base)


def _page(key: SiteKey, status: int, language: str, **values: object) -> HTMLResponse:
    """A page that stands in frames of the key's origins, and in no other's."""
    spoken = words_for(language)
    runs = {"lang": language, "dir": direction(language)}, {"lang": spoken, "dir": direction(spoken)}
    answer = page("frame.html", status, site=key.id, runs=runs, words=WORDS[spoken], english=english_beside(spoken), **values)
    answer.headers["Content-Security-Policy"] = _BY_POLICY.format(" ".join(key.origins))
    return answer
