"""A form for testimony: words, language, themes and a made-up name, and nothing else that could tell who wrote it.

Reached by a write-only key in its address. What is sent has no terms: nobody gets it until its author chooses some, with the link that
is shown after sending.
"""

import json
import os
import re
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.contributions import queries
from app.contributions.hooks import Hooks
from app.kit.access import BY_LINK
from app.kit.body import form_of
from app.kit.clock import micros
from app.kit.db import read
from app.kit.errors import Invalid
from app.kit.ratelimit import RateLimit
from app.kit.runtime import Runtime
from app.parties.claims import Claims, encode_secret
from app.parties.models import IngestKey, Platform
from app.web.rendering import PageRoute, page
from app.web.saying import say


class TracelessRoute(PageRoute):
    """The language that is chosen here goes along in the form's address: the browser keeps nothing that tells of a visit."""

    keeps_choice = False


testimony_pages = APIRouter(include_in_schema=False, route_class=TracelessRoute, dependencies=[BY_LINK])
MOST = 20_000
"""Characters of one testimony."""
SHOWN_FOR = timedelta(minutes=10)
"""An answer that was lost on its way comes again for so long; whoever sends the form again later does not get the link."""
THEMES = {
    "pay": say("Pay"), "hours": say("Hours"), "harm": say("What the work does to me"), "silence": say("Not being allowed to talk"),
    "shutdown": say("Being shut out"), "hidden-client": say("Not knowing who it is for"), "migration": say("Living far from home"),
    "gender": say("Being a woman, or other than a man"), "organising": say("Acting together"), "care": say("What is good about it"),
}  # fmt: skip
LANGUAGES = {
    "en": "English", "ar": "العربية", "am": "አማርኛ", "bn": "বাংলা", "de": "Deutsch", "es": "Español", "fil": "Filipino", "fr": "Français", "hi": "हिन्दी",
    "id": "Bahasa Indonesia", "pt": "Português", "ro": "Română", "so": "Soomaali", "sw": "Kiswahili", "tr": "Türkçe", "uk": "Українська",
    "zh": "中文",
}  # fmt: skip
_ONCE = re.compile(r"[0-9a-z]{32}\Z")


@testimony_pages.get("/t/{key}")
async def form(key: str, request: Request) -> Response:
    """The empty form. The number in it makes sending twice one testimony, and is nobody's but this browser's."""
    found, runtime = await _key(key, request)
    name = await run_in_threadpool(_platform, runtime, found)
    return page("testimony.html", key=key, once=encode_secret(os.urandom(20)), platform=name, themes=THEMES, languages=LANGUAGES, most=MOST)


@testimony_pages.post("/t/{key}")
async def send(key: str, request: Request) -> Response:
    """Record it, and show the claim link: this once."""
    found, runtime = await _key(key, request)
    hooks: Hooks = runtime.parts["hooks"]
    recorded = await hooks.say(found, _record(await form_of(request)))
    fresh = await run_in_threadpool(_is_fresh, runtime, recorded.id)
    return page("testimony_sent.html", 201 if fresh else 200, url=_link(runtime, recorded.id) if fresh else None)


async def _key(secret: str, request: Request) -> tuple[IngestKey, Runtime]:
    """The key of the address, one call of its rate taken. Raises NotFound (ingest_key_unknown), TooMany."""
    runtime: Runtime = request.app.state.runtime
    hooks: Hooks = runtime.parts["hooks"]
    key = await hooks.key("testimony", secret)
    limit: RateLimit = runtime.parts["rates"]
    limit.take(key.id, micros(runtime.clock.now()))
    return key, runtime


def _record(form: dict[str, str]) -> bytes:
    """What was filled in, as a line of testimony. Raises Invalid (body_invalid)."""
    once, text, name, language = (form.get(field, "").strip() for field in ("once", "text", "pseudonym", "language"))
    if not text or len(text) > MOST:
        raise Invalid("body_invalid", f"Go back and write something, of at most {MOST} characters.")
    # Only numbers that this page makes: with an id of somebody's choice they could ask for the link of what another gave.
    if not _ONCE.fullmatch(once) or language not in ("", *LANGUAGES) or len(name) > 100 or not name.isprintable():
        raise Invalid("body_invalid", "Open the form again, and fill it in there.")
    line: dict[str, object] = {"id": f"form/{once}", "text": text, "themes": [theme for theme in THEMES if form.get(f"theme-{theme}") == "yes"]}
    if language:
        line["language"] = language
    if name:
        line["pseudonym"] = name
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace")


def _link(runtime: Runtime, contribution: str) -> str:
    codes: Claims = runtime.parts["claims"]
    return f"{runtime.settings.public_url}/c/{codes.code(contribution)}"


def _platform(runtime: Runtime, key: IngestKey) -> str:
    with read(runtime.engine) as session:
        return session.get_one(Platform, key.platform_id).name


def _is_fresh(runtime: Runtime, contribution: str) -> bool:
    with read(runtime.engine) as session:
        row = queries.by_id(session, contribution)
        return row is not None and runtime.clock.now() - row.recorded_at <= SHOWN_FOR
