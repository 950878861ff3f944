"""A member on a phone: from the group's page to a proposal, a vote and what came of it, without scripts; and a look at it in Arabic."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from app.parties.auth import COOKIE
from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_in_arabic import looked_at
from tests.browser.test_taking_back import tap
from tests.collectives.members import pass_days
from tests.collectives.test_deciding import NARROW, union_of
from tests.support import PlatformParty, Service, on_one_backend


def vote(page: Page) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name="Vote", exact=True).click()


def test_a_member_votes_and_reads_what_came_of_it(service: Service, platform: PlatformParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    mine = union_of(service, platform, 3, dimension={"name": "trade", "values": ["voters", "labellers"]})
    page = opened(PHONE)
    page.context.add_cookies([{"name": COOKIE, "value": mine[1]._person.receipt, "url": service.base}])
    proposal = mine[0].propose("policy.narrow", "Our work goes to no lab until they ask us first.", **NARROW)
    mine[0]._do("PUT", f"/proposals/{proposal['id']}/text", {"text": "Our work goes to no lab until they ask us first. We look again in May."})
    page.goto(service.base + "/r")
    page.get_by_role("region", name="Your groups").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="What is proposed")).to_be_visible()
    page.get_by_role("link", name="Allow less than now").click()
    expect(page.locator("main")).to_contain_text("is talked over")
    page.get_by_text("Object to it").click()
    page.get_by_label("Your words (at most 2,000 words)").fill("Some of us live by this work.")
    tap(page, "Object")
    expect(page.get_by_role("status")).to_contain_text("Your objection is there.")
    pass_days(service, mine[0], proposal["id"], 7)
    page.reload()
    page.get_by_role("radio", name="No I do not want it.").check()
    vote(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("A no or a block gives its reasons.")
    page.go_back()
    page.get_by_role("radio", name="No I do not want it.").check()
    page.get_by_role("checkbox", name="It is not fair").check()
    vote(page)
    expect(page.get_by_role("status")).to_contain_text("Your vote is in.")
    no_barriers(page)
    page.get_by_role("radio", name="Block").check()
    page.get_by_role("checkbox", name="It does harm").check()
    tap(page, "Vote again")
    for one in (mine[0], mine[2]):
        one.vote(mine[0].proposal(proposal["id"]), "yes")
    pass_days(service, mine[0], proposal["id"], 7)
    page.reload()
    expect(page.get_by_role("row", name="All 2 0 0 1")).to_be_visible()
    expect(page.get_by_role("region", name="What came of it")).to_contain_text("contested")
    no_barriers(page)
    page.get_by_text("Write down why you are against it").click()
    page.get_by_label("Your words (at most 2,000 words)").fill("I would have asked for more time.")
    tap(page, "Add my words")
    expect(page.locator("main")).to_contain_text("Words against the outcome")
    here = f"{service.base}/r/collectives/{mine[0].id}"
    page.goto(f"{here}?lang=ar")
    for address, axe in ((here, True), (f"{here}/proposals/{proposal['id']}", True), (f"{service.base}/collectives/{mine[0].id}", False)):
        looked_at(page, address, axe=axe)
