"""Finding by words: sent as a form and never in an address, so that no log and no history has them."""

from hashlib import sha256

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.contributions import finding
from app.core.wording import wanted
from app.kit.access import BY_RECEIPT
from app.kit.body import form_of
from app.kit.db import read
from app.kit.deps import RuntimeDep
from app.kit.errors import Invalid
from app.kit.pagination import Cursors
from app.kit.runtime import Runtime
from app.parties.auth import receipt_from
from app.web import telling
from app.web.receipt_pages import MOST_LISTED
from app.web.rendering import PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
MOST_LETTERS = 200


@router.post("/r/find")
async def find(request: Request, runtime: RuntimeDep) -> Response:
    """What says all of these words. It changes nothing."""
    form = await form_of(request)
    return await run_in_threadpool(_find, request, runtime, form)


def _find(request: Request, runtime: Runtime, form: dict[str, str]) -> Response:
    text, cursor = form.get("words", ""), form.get("cursor")
    words = wanted(text)
    if not words or len(text) > MOST_LETTERS:
        raise Invalid("body_invalid", f"Go back and type some words, at most {MOST_LETTERS} letters.")
    cursors: Cursors = runtime.parts["cursors"]
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
        listing = f"find/{receipt.id}/{sha256(' '.join(words).encode('utf-8', 'replace')).hexdigest()}"
        after = None if cursor is None else cursors.read(listing, cursor)
        found = finding.find(session, runtime, receipt, words, after, MOST_LISTED)
        items = telling.facts_of(session, runtime, found.rows)
    more = None if found.last is None else cursors.make(listing, found.last)
    return page("found.html", words=text, items=items, looked=found.looked, more=more, first=cursor is None)
