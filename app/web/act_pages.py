"""What a person does from their page. Every act has one page that says what it can and cannot do and asks once (GET), and takes
effect when its button is pressed (POST). A person presses buttons twice, in two tabs, and after going back: an act that is done
already leads to its page again and is never done twice."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from sqlmodel import Session

from app.consents import service as consents
from app.consents.policies import PolicyBook, StoredPolicy, refusing
from app.contributions import queries
from app.contributions.models import Contribution
from app.core import vocabulary as words
from app.core.deed import CATALOGS, beside
from app.core.policy import Policy
from app.core.preview import table
from app.core.templates import render_template
from app.kit.access import BY_RECEIPT, naming
from app.kit.body import form_of
from app.kit.db import read, write
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorised
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.parties import claims, contributors
from app.parties.auth import receipt_from, same_origin
from app.parties.models import Lab, Receipt
from app.revocations import acts, erasure, service, whereabouts
from app.revocations.acting import holder_of, lock
from app.revocations.models import ConsentAct
from app.revocations.schemas import ErasureIn, RevocationIn
from app.web import telling
from app.web.receipt_pages import set_cookie
from app.web.rendering import PageRoute, lost_page, page
from app.web.saying import deed_language, phrase, say

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_RECEIPT])
ALL = "all"
Choice = Annotated[str | None, Query(max_length=80)]
MOST_CREDIT = 200


def _target(session: Session, receipt: Receipt, target: str) -> Contribution | None:
    """The contribution that an address names, or None for everything. Raises NotFound or Forbidden (receipt_scope)."""
    if target != ALL:
        return queries.covered(session, receipt, target)
    if receipt.contribution_id is not None:
        raise Forbidden("receipt_scope", "This receipt is for one thing. Ask the platform for a link to all you gave.")
    return None


def _values(session: Session, runtime: Runtime, request: Request, target: str) -> dict[str, Any]:
    """What each of these pages shows: what it is about, and where its way back leads."""
    receipt = receipt_from(request, session)
    row = _target(session, receipt, target)
    item = None if row is None else telling.facts(session, runtime, row)
    return {"target": target, "item": item, "row": row, "receipt": receipt, "home": "/r" if row is None else f"/r/of/{target}"}


# -- take it back ----------------------------------------------------------------------------------------------------
@router.get("/r/of/{target}/withdraw")
def ask_withdraw(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    values = _values(session, runtime, request, target)
    return page("ask_withdraw.html", **values)


@router.get("/r/of/{target}/lab/{lab}", dependencies=[naming("lab")])
def ask_lab(target: str, lab: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    values = _values(session, runtime, request, target)
    row = _lab(session, lab)
    now = runtime.clock.now()
    receipt: Receipt = values["receipt"]
    contribution = None if target == ALL else target
    held = [h for h in whereabouts.held(session, receipt.contributor_id, contribution, now) if h.lab_id == lab]
    before = _taken(session, receipt, contribution, lab, None)
    return page("ask_lab.html", lab=row, holds=telling.labs(held), before=before, **values)


@router.get("/r/of/{target}/purpose")
def ask_purpose(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    values = _values(session, runtime, request, target)
    taken = whereabouts.exclusions(session, values["receipt"].contributor_id, None if target == ALL else target)
    return page("ask_purpose.html", purposes=telling.purposes(), taken={x.purpose for x in taken}, **values)


def _lab(session: Session, lab: str) -> Lab:
    row = session.get(Lab, lab) if is_id("lab", lab) else None
    if row is None:
        raise NotFound("not_found", "Open your page again and choose the lab there.")
    return row


def _taken(session: Session, receipt: Receipt, contribution: str | None, lab: str | None, purpose: str | None) -> bool:
    found = whereabouts.exclusions(session, receipt.contributor_id, contribution)
    return any((lab is not None and x.lab_id == lab) or (purpose is not None and x.purpose == purpose) for x in found)


def _withdraw(session: Session, runtime: Runtime, receipt: Receipt, target: str, form: dict[str, str], which: str) -> str | None:
    ids = None if target == ALL else [target]
    holder = holder_of(receipt)
    if which == "withdraw":
        asked = RevocationIn(scope="all") if ids is None else RevocationIn(scope="contribution", ids=ids)
    else:
        lab, purpose = (form.get("lab"), None) if which == "lab" else (None, form.get("purpose"))
        if lab is not None:
            _lab(session, lab)
        elif purpose not in words.PURPOSES:
            raise Invalid("body_invalid", "Go back and choose what it must not be used for.")
        # Under the locks of the act itself, so that of two tabs the second sees what the first did.
        contributors.hold(session, runtime.keys, receipt.contributor_id)
        lock(session, holder, ids)
        if _taken(session, receipt, None if ids is None else target, lab, purpose):
            return None
        asked = RevocationIn(scope=which, ids=ids, lab=lab, purpose=purpose)  # type: ignore[arg-type]
    try:
        return service.withdraw(session, runtime, holder, asked, now=runtime.clock.now()).id
    except Conflict as error:
        if error.code != "already_withdrawn":
            raise
        return None


# -- other terms, and the name -----------------------------------------------------------------------------------------
@router.get("/r/of/{target}/terms")
def ask_terms(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, choose: Choice = None) -> Response:
    """First the list; then, with one chosen, what would change."""
    book: PolicyBook = runtime.parts["policies"]
    values = _values(session, runtime, request, target)
    if choose is None:
        return page("ask_terms.html", offered=offered(book), **values)
    new = refusing(lambda: render_template(book.template(choose), {}))
    old, name = _now(session, runtime, values["receipt"], values["row"])
    relation = compared(old.terms if old else None, new)
    return page(
        "ask_terms_sure.html", choose=choose, title=say(book.template(choose)["title"]), after=beside(new, deed_language()),
        before=beside(old.terms, deed_language()) if old else (), relation=relation, credit=name, named=names(new), most=MOST_CREDIT, **values,
    )  # fmt: skip


def offered(book: PolicyBook) -> list[dict[str, Any]]:
    """The templates that can be chosen; `catalogs.py` takes their titles and summaries up."""
    return [{"name": name, "title": say(t["title"]), "summary": say(t["summary"])} for name, t in book.templates.items()]


def language_of(form: dict[str, str]) -> str:
    """The language of the deed that stood on the page: its form says it, for another could have been chosen in another tab."""
    told = form.get("language", "")
    return told if told in CATALOGS else deed_language()


def compared(old: Policy | None, new: Policy) -> str | None:
    """How the new terms stand to the old in one word: one of `core.preview`'s, or `nothing`; None where there were none."""
    if not new.permission:
        return "nothing"  # the comparison of rules also counts what is owed, which says little where nobody gets anything
    if old is None or not old.permission:
        return None if old is None else "wider"
    return table([old, new]).relation


@router.get("/r/of/{target}/credit")
def ask_credit(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    values = _values(session, runtime, request, target)
    policy, name = _now(session, runtime, values["receipt"], values["row"])
    mode = None if policy is None else _mode(policy.terms)
    told = None if mode is None else phrase(lambda words: words.attribution[mode])
    return page(
        "ask_credit.html", credit=name, told=told, named=policy is not None and names(policy.terms), terms=policy is not None,
        most=MOST_CREDIT, **values,
    )  # fmt: skip


def _now(session: Session, runtime: Runtime, receipt: Receipt, row: Contribution | None) -> tuple[StoredPolicy | None, str | None]:
    """The policy in force and the name that labs are to credit."""
    book: PolicyBook = runtime.parts["policies"]
    found = queries.current(session, receipt.contributor_id, None) if row is None else queries.governing(session, row)
    if found is None:
        return None, None
    consent, policy = found
    name = None
    if consent.credit_sealed is not None:
        person = contributors.load(session.connection(), runtime.keys, [receipt.contributor_id]).get(receipt.contributor_id)
        if person is not None:
            place = consents.credit_place(consent.contribution_id or receipt.contributor_id)
            name = person.sealer.open(bytes(consent.credit_sealed), place).decode()
    return book.by_digest(policy.digest), name


def _mode(policy: Policy) -> str | None:
    return next((o.duty()["mode"] for o in policy.obligation if o.action == "attribute"), None)


def names(policy: Policy) -> bool:
    """Whether the policy asks labs to give a name."""
    return _mode(policy) in ("named", "pseudonym")


def _policy(runtime: Runtime, request: Request, target: str, form: dict[str, str], which: str) -> StoredPolicy:
    """The terms that a form chooses: stored, where new, in a transaction of their own before the act's."""
    book: PolicyBook = runtime.parts["policies"]
    with read(runtime.engine) as session:
        receipt = receipt_from(request, session)
        row = _target(session, receipt, target)
        if which == "credit":
            policy, _ = _now(session, runtime, receipt, row)
            if policy is None:
                raise Conflict("already_withdrawn", "No terms are in force for it. Choose terms first.")
            return policy
    return book.resolve(None, form.get("template", ""), {}, runtime.clock.now())


def credit_of(form: dict[str, str]) -> str | None:
    """The name that a form gives for credit. Raises Invalid (body_invalid)."""
    name = form.get("credit", "").strip()
    if len(name) > MOST_CREDIT or any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in name):
        raise Invalid("body_invalid", "Use a name of at most 200 characters on one line.")
    return name or None


# -- erase -------------------------------------------------------------------------------------------------------------
@router.get("/r/of/{target}/erase")
def ask_erase(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    return page("ask_erase.html", **_values(session, runtime, request, target))


def _erase(session: Session, runtime: Runtime, receipt: Receipt, target: str, form: dict[str, str]) -> str:
    if form.get("sure") != "yes":
        raise Invalid("body_invalid", "Use the button that says it; it cannot be undone.")
    holder, tell = holder_of(receipt), form.get("tell") == "yes"
    if target == ALL:
        asked = ErasureIn(scope="all", refusal="remember" if form.get("refusal") == "remember" else "forget", tell_platform=tell)
    else:
        asked = ErasureIn(scope="contribution", contribution=target, tell_platform=tell)
    before = erasure.find(session, receipt.contributor_id, erasure.reach(holder, asked))
    if before is not None:
        return before.id
    if receipt.revoked_at is not None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    return erasure.request(session, runtime, holder, asked, now=runtime.clock.now()).id


# -- doing it ----------------------------------------------------------------------------------------------------------
ACTS = ("withdraw", "lab", "purpose", "terms", "credit", "erase")


@router.post("/r/of/{target}/{which}", dependencies=[naming("which")])
async def act(target: str, which: str, request: Request, runtime: RuntimeDep) -> Response:
    """Do what the page asked about. Answers with the page that says that it is done."""
    if which not in ACTS:
        raise NotFound("not_found", "Open your page again and use its buttons.")
    form = await form_of(request)
    address = await run_in_threadpool(_do, request, runtime, target, which, form)
    return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def _do(request: Request, runtime: Runtime, target: str, which: str, form: dict[str, str]) -> str:
    same_origin(request)
    policy = _policy(runtime, request, target, form, which) if which in ("terms", "credit") else None
    with write(runtime.engine) as session:
        # What erases also ends the receipt: pressed again, it leads to the erasure that is there.
        receipt = receipt_from(request, session, revoked=which == "erase")
        row = _target(session, receipt, target)
        if which == "erase":
            return f"/erased/{_erase(session, runtime, receipt, target, form)}"
        if policy is None:
            done = _withdraw(session, runtime, receipt, target, form, which)
        else:
            holder = holder_of(receipt)
            one = None if row is None else row.id
            now = runtime.clock.now()
            done = service.scope(session, runtime, holder, one, policy, language_of(form), credit_of(form), now=now).id
    return f"/r/of/{target}/done" + (f"?act={done}" if done else "")


@router.get("/r/of/{target}/done")
def done(target: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, act: Choice = None) -> Response:
    """What was done, with its receipt; without an act, that nothing more was needed."""
    values = _values(session, runtime, request, target)
    row = None
    if act is not None:
        row = session.get(ConsentAct, act) if any(is_id(kind, act) for kind in ("revocation", "consent", "objection", "act")) else None
        if row is None or not acts.shows(session, runtime, values["receipt"], row):
            raise NotFound("not_found", "Open your page again; it shows what you did.")
    told = None if row is None else telling.did(row.type, row.scope, row.by_passkey)
    return page("done.html", act=row, told=told, **values)


# -- the receipt itself ------------------------------------------------------------------------------------------------
@router.post("/r/open")
async def open_typed(request: Request, runtime: RuntimeDep) -> Response:
    """A receipt typed in. Raises nothing that tells a wrong one from an erased one."""
    form = await form_of(request)
    same_origin(request)
    secret = form.get("receipt", "").strip().rpartition("/")[2]
    known = await run_in_threadpool(_known, runtime, secret)
    if not known:
        return lost_page()
    response = RedirectResponse("/r", 303, {"Cache-Control": "no-store"})
    set_cookie(runtime, response, secret)
    return response


def _known(runtime: Runtime, secret: str) -> bool:
    with read(runtime.engine) as session:
        return claims.receipt_of(session, secret) is not None
