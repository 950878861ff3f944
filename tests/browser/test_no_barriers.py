"""Every page that a person can meet, on a phone, without barriers: a route that nobody looks at fails here by its name."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import sqlalchemy as sa
from fastapi.routing import APIRoute
from playwright.sync_api import Page

from app.agreements.models import Agreement
from app.kit.db import read
from app.main import ROUTERS
from app.revocations.models import CompensationLine
from tests.browser.conftest import DESKTOP, PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.collectives.members import founded, joined, people
from tests.collectives.test_deciding import NARROW
from tests.collectives.test_pledging import opened as campaign_opened
from tests.contributions.test_fastchat_hook import hook
from tests.faults.cuts import receipt_for_all
from tests.revocations.test_compensation import ALL, handed_over, paying
from tests.support import LabParty, PlatformParty, Service, on_one_backend

FILES = {
    "/static/{name}", "/ledger.csv", "/widget.js", "/r/everything", "/r/keep",
    *(f"/r/{what}/{{contribution}}" for what in ("receipt", "content")), "/r/act/{act}",
    *(f"/r/collectives/{{collective}}/proposals/{{proposal}}/{what}" for what in ("outcome", "statements/polis/{name}")),
}  # fmt: skip
ELSEWHERE = {"/w/{site}", "/r/passkeys/sign"}
"""Looked at where they are used: the widget on a platform's page, and what is signed with a passkey."""
STAFF = ("/lab", "/operator")


def routes() -> Iterator[APIRoute]:
    """All that answers a browser with a page of a person's or of anybody's, in the order in which addresses are matched."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and not route.include_in_schema and "GET" in route.methods:
                if not route.path.startswith(tuple(f"{one}/" for one in STAFF)) and route.path not in STAFF:
                    yield route


def route_of(address: str) -> str:
    path = urlsplit(address).path
    return next(route.path for route in routes() if route.path_regex.match(path))


def together(service: Service, platform: PlatformParty, lab: LabParty) -> list[str]:
    """The pages of a collective that `axe` founded, with something on each."""
    union = founded(receipt_for_all(service, platform, "axe"))
    other = joined(union, people(service, platform, 1)[0][0])
    proposal, campaign = other.propose("policy.narrow", "Less than now.", **NARROW)["id"], campaign_opened(service, union, lab=lab.id)["id"]
    wider = other.propose("policy.adopt", "More.", policy={"template": "evaluation-only"})["id"]  # whose day its steward can move
    said = other.comment(proposal, "Why?", ["aim"])["id"]
    hidden = union.hide(proposal, other.comment(proposal, "Buy this.", ["aim"])["id"], "off-topic")["id"]
    other.put_up(proposal, "It helps us.")
    here = f"/r/collectives/{union.id}"
    own = ["", "/leave", "/propose", "/propose?type=strike.call", "/propose?type=charter.amend", "/moderations", f"/moderations/{hidden}"]
    own += ["/campaigns", "/campaigns/new", f"/campaigns/{campaign}"]
    about = ["", "/statements", "/statements?all=1", "/statements/groups", "/statements/polis", "/comments", "/amendments", "/closing"]
    return [
        "/collectives", "/r/collectives", "/r/collectives/found", "/r/calls", f"/collectives/{union.id}", *(here + one for one in own),
        f"{here}/proposals/{wider}", *(f"{here}/proposals/{proposal}{one}" for one in (*about, f"/hide/{said}")),
    ]  # fmt: skip


def test_no_page_has_a_barrier(service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    paid = paying(service, platform)
    one, *more = platform.give(3, contributor="axe", consent=paid)
    handed_over(service, lab, lab.agree(platform, ALL), 1)
    code = service.post("/v1/portal-sessions", {"contributor": "axe"}, service.token(platform)).json()["url"]
    page, seen = opened(PHONE), set()

    def look(address: str = "") -> None:
        if address:
            page.goto(address if address.startswith("http") else service.base + address)
        seen.add(route_of(page.url))
        no_barriers(page)

    form = hook(service, platform, format_="testimony").replace("/v1/ingest/testimony/", "/t/")
    intake = service.runtime.parts["intake_links"].code(platform.id, service.clock.now())
    for address in (code, one.claim_url, "/r", "/c/x", f"/intake/{intake}", "/intake/x", form):
        look(address)
    page.get_by_label("Your words").fill("Written for tests")
    tap(page, "Send it")
    look()
    page.goto(code)
    tap(page, "Get my receipt")
    look()
    for other in more:
        page.locator(f"input[name={other.id}]").check()
    tap(page, "Choose other terms for them")
    no_barriers(page)
    page.get_by_role("radio").last.check()
    tap(page, "See what would change")
    no_barriers(page)
    tap(page, "Yes, use these terms")
    look()
    with read(service.runtime.engine) as session:
        of_this_lab = sa.select(CompensationLine.id).join(Agreement, Agreement.id == CompensationLine.agreement_id)  # type: ignore[call-overload,arg-type]
        line = session.execute(of_this_lab.where(Agreement.lab_id == lab.id)).scalar_one()
    addresses = ["/", "/ledger", f"/r/of/{one.id}", f"/r/of/{one.id}?show=1", f"/r/of/{one.id}/object", f"/r/pay/{line}"]
    addresses += ["/log", f"/labs/{lab.id}", f"/policies/{paid.policy}", "/verify", "/receipts", "/labs/x", "/policies/x"]
    addresses += ["/r/recovery", "/r/recover", "/r/pay", "/r/timeline", "/r/where", "/r/keys", "/r/passkeys"]
    acts = ("withdraw", f"lab/{lab.id}", "purpose", "terms", "terms?choose=open-model-training-with-credit", "erase")
    addresses += [f"/r/of/{one.id}/{act}" for act in (*acts, "credit", "done")] + [f"/r/of/all/{act}" for act in ("withdraw", "terms", "erase")]
    addresses += together(service, platform, lab)
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for address in addresses if (size, scheme) == (PHONE, "light") else addresses[:3]:
                look(address)
    page.set_viewport_size(PHONE)
    page.goto(service.base + f"/r/of/{one.id}/lab/{lab.id}")
    tap(page, "Yes, take it back from this lab")
    look()
    page.goto(service.base + f"/r/of/{one.id}/erase")
    tap(page, "Yes, erase it")
    look()
    missing = {route.path for route in routes()} - seen - FILES - ELSEWHERE
    leading_on = {"/r/{secret}", "/r/collectives/{collective}/moderations/of/{item}"}
    assert missing == leading_on, "give each of these pages an address here"
