"""Passkeys on a person's page: add one, see them, remove one; and opening the page by a link of the platform's, which needs one."""

import json
from ipaddress import ip_address
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from app.kit.access import BY_RECEIPT
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.runtime import Runtime
from app.parties import claims, passkeys
from app.parties.auth import receipt_from, same_origin
from app.parties.models import Contributor, Platform
from app.revocations import guarding
from app.web.receipt_pages import set_cookie
from app.web.rendering import SIGNED, PageRoute, page, scripted

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/r/passkeys")
def list_passkeys(
    request: Request, runtime: RuntimeDep, session: ReadSessionDep, told: Annotated[str | None, Query(max_length=20)] = None
) -> Response:
    """Which there are, what they guard, and what cannot be undone."""
    receipt = receipt_from(request, session)
    return page(
        "passkeys.html", found=guarding.names(session, runtime, receipt.contributor_id), told=told, covers=passkeys.covers(session, receipt),
        others=claims.others(session, receipt), named=not _is_number(passkeys.site(runtime).id), longest=guarding.LONGEST,
    )  # fmt: skip


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@router.post("/r/passkeys/new")
async def ask_passkey(request: Request, runtime: RuntimeDep) -> Response:
    """With a name chosen: the button by which the browser makes it."""
    form = await form_of(request)
    return await run_in_threadpool(_make, request, runtime, form.get("name", "").strip()[: guarding.LONGEST])


def _make(request: Request, runtime: Runtime, name: str) -> Response:
    same_origin(request)
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
        guarding.insist_on_all(session, receipt)
        platform = session.get_one(Platform, session.get_one(Contributor, receipt.contributor_id).platform_id)
        wanted = passkeys.to_make(session, runtime, receipt.contributor_id, f"What I gave: {platform.name}"[:64], runtime.clock.now())
    return scripted(page("passkey_new.html", called=name, make=json.dumps(wanted)))


@router.post("/r/passkeys/add")
async def add_passkey(request: Request, runtime: RuntimeDep) -> Response:
    form = await form_of(request)
    secret = await run_in_threadpool(_add, request, runtime, form)
    response = RedirectResponse("/r/passkeys?told=added", 303, _NO_STORE)
    if secret is not None:
        set_cookie(runtime, response, secret)
    return response


def _add(request: Request, runtime: Runtime, form: dict[str, str]) -> str | None:
    same_origin(request)
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session)
        return guarding.add(session, runtime, receipt, form.get("name", ""), form.get("made", ""), now=runtime.clock.now())


@router.post("/r/passkeys/remove")
async def remove_passkey(request: Request, runtime: RuntimeDep) -> Response:
    form = await form_of(request)
    await run_in_threadpool(_remove, request, runtime, form.get("id", ""))
    return RedirectResponse("/r/passkeys?told=removed", 303, _NO_STORE)


def _remove(request: Request, runtime: Runtime, passkey: str) -> None:
    same_origin(request)
    with write(runtime.engine) as session:
        guarding.remove(session, runtime, receipt_from(request, session), passkey, now=runtime.clock.now())


@router.get("/r/passkeys/sign")
def begin_sign(request: Request, session: ReadSessionDep) -> Response:
    """Where a program sends the person whose receipt it acts with: the page's script sends what stands in the address's fragment."""
    receipt_from(request, session)
    return scripted(page("passkey_sign.html", ask=None))


@router.post("/r/passkeys/sign")
async def sign(request: Request, runtime: RuntimeDep) -> Response:
    """What the passkey signs, to be copied into the program. Nothing is done here."""
    form = await form_of(request)
    return await run_in_threadpool(_sign, request, runtime, form.get("ask", ""))


def _sign(request: Request, runtime: Runtime, ask: str) -> Response:
    same_origin(request)
    with read(runtime.engine) as session:
        wanted = passkeys.asked_again(session, runtime, receipt_from(request, session).contributor_id, ask, runtime.clock.now())
    kind = json.loads(wanted["text"])["act"]["type"]
    return scripted(page("passkey_sign.html", ask=json.dumps(wanted), text=wanted["text"], told=SIGNED.get(kind) or kind))


@router.post("/r/passkeys/open")
def open_locked(request: Request, runtime: RuntimeDep) -> Response:
    """The page by a link of the platform's, once the passkey was shown: with a receipt that only this browser has."""
    same_origin(request)
    response = RedirectResponse("/r?new=1", 303, _NO_STORE)
    with write(runtime.engine) as session:
        receipt = receipt_from(request, session, locked=True)
        if receipt.locked:
            set_cookie(runtime, response, guarding.unlock(session, runtime, receipt, now=runtime.clock.now()))
    return response
