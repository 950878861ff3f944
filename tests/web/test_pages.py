"""The pages as a browser without scripts meets them: what they show, what their forms do, and what they refuse."""

from typing import Any

import httpx
import pytest

from app.parties.auth import COOKIE
from tests.collectives.members import founded, people
from tests.kit.refusals import accepted, state_of
from tests.support import LabParty, PlatformParty, Service, until


@pytest.fixture
def browser(service: Service) -> Any:
    with httpx.Client(
        base_url=service.base, follow_redirects=True, headers={"Accept": "text/html"}, timeout=30
    ) as client:
        yield client


def post(browser: httpx.Client, path: str, **form: str) -> httpx.Response:
    """A form sent from a page of ours."""
    return browser.post(path, data=form, headers={"Origin": str(browser.base_url).rstrip("/")})


def test_a_link_a_button_and_ones_own_page(service: Service, platform: PlatformParty, browser: httpx.Client) -> None:
    [given] = platform.give(1)
    shown = browser.get(given.claim_url)
    assert "This is yours" in shown.text and "The terms it came with" in shown.text
    page = post(browser, given.claim_url)
    assert page.url.path == "/r" and COOKIE in browser.cookies and page.status_code == 200
    cookie = next(c for c in browser.cookies.jar if c.name == COOKIE)
    assert cookie.has_nonstandard_attr("HttpOnly") and cookie.get_nonstandard_attr("SameSite").lower() == "lax"  # type: ignore[union-attr]
    assert "Nobody. No lab got it." in page.text and given.id in page.text
    page = post(browser, f"/r/of/{given.id}/terms", template="nothing-new")
    assert "You changed its terms. It holds from now on." in page.text
    page = post(browser, f"/r/of/{given.id}/withdraw")
    assert "You took it back." in page.text and state_of(service, given.id) == "withdrawn"
    page = post(browser, f"/r/of/{given.id}/withdraw")
    assert page.status_code == 200 and "You did this before." in page.text
    assert "You changed its terms." in browser.get("/r").text and "You took it back." in browser.get("/r").text
    file = browser.get(f"/r/receipt/{given.id}")
    assert file.headers["content-disposition"].endswith('.json"') and file.json()["type"] == "sayso-receipt"


def test_who_ticks_the_box_has_the_platform_told(service: Service, platform: PlatformParty, browser: httpx.Client) -> None:
    quiet, loud = platform.give(2)
    for given, more in ((quiet, {}), (loud, {"tell": "yes"})):
        post(browser, given.claim_url)
        assert 'name="tell"' in browser.get(f"/r/of/{given.id}/erase").text
        assert post(browser, f"/r/of/{given.id}/erase", sure="yes", **more).status_code == 200
        assert state_of(service, given.id) == "erased"
    told = [(event["type"], event["contributions"]) for event in platform.sdk.events()]
    assert told == [("contribution.deletion_requested", [loud.id])]


def test_every_page_keeps_to_itself(service: Service, platform: PlatformParty, browser: httpx.Client) -> None:
    [given] = platform.give(1)
    post(browser, given.claim_url)
    acts = [f"/r/of/{given.id}/{act}" for act in ("withdraw", "purpose", "terms", "credit", "erase", "done")]
    (founder, _), *_ = people(service, platform, 1)
    public = ("/collectives", f"/collectives/{founded(founder).id}", "/collectives/col_x")
    for path in ("/", "/r", given.claim_url, "/c/x", "/r/x", "/r/receipt/x", f"/r/of/{given.id}?show=1", *acts, *public):
        page = browser.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "script" not in policy, path
        assert page.headers["referrer-policy"] == "same-origin" and page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store", path
        assert "<script" not in page.text and "style=" not in page.text and "http://" not in page.text.replace(service.base, "")
    assert browser.get("/static/sayso.css").headers["content-type"].startswith("text/css")
    for path in ("/static/pages.py", "/static/..%2fpages.py", "/static/%2e%2e/pages.py", "/static/"):
        assert browser.get(path).status_code == 404


def test_a_kept_receipt_becomes_a_cookie_and_leaves_the_address(
    service: Service, platform: PlatformParty, browser: httpx.Client
) -> None:
    [given] = platform.give(1)
    secret = accepted(service.http.post(given.claim_url, headers={"Accept": "application/json"}), 201)["receipt"]
    page = browser.get(f"/r/{secret}")
    assert page.url.path == "/r" and page.status_code == 200 and [r.status_code for r in page.history] == [303]
    assert post(browser, "/r/open", receipt=f" {service.base}/r/{secret} ").url.path == "/r"
    kept = browser.get("/r/keep")
    assert secret in kept.text and "attachment" in kept.headers["content-disposition"]
    for wrong in (secret[:-1], "rcp_" + "0" * 32, "x"):
        lost, typed = browser.get(f"/r/{wrong}"), post(browser, "/r/open", receipt=wrong)
        assert lost.status_code == typed.status_code == 401 and lost.text == typed.text and "Open your page" in lost.text
    assert browser.get("/r/%00").status_code == 404
    assert httpx.post(f"{service.base}/r/open", data={"receipt": secret}).status_code == 403


def test_forms_that_are_not_ours_or_not_whole_are_refused_as_pages(
    service: Service, platform: PlatformParty, browser: httpx.Client
) -> None:
    mine, other = platform.give(2)
    post(browser, mine.claim_url)
    origin = {"Origin": service.base}
    for act in ("withdraw", "lab", "purpose", "terms", "credit", "erase", "none-such"):
        for target in (other.id, "x", "con_" + "0" * 26, "%F0%9F%96%8B", "%20"):
            page = post(browser, f"/r/of/{target}/{act}", template="nothing-new", sure="yes", lab="x", purpose="x")
            assert page.status_code == 404 and "text/html" in page.headers["content-type"], (act, target)
            assert act == "none-such" or browser.get(f"/r/of/{target}/{'lab/x' if act == 'lab' else act}").status_code == 404
        assert post(browser, f"/r/of/all/{act}", template="nothing-new", sure="yes").status_code == (404 if act == "none-such" else 403)
    for act, form, status in (
        ("terms", {}, 422), ("terms", {"template": "none such"}, 422), ("terms", {"template": "x" * 81}, 422), ("terms", {"template": "\0"}, 400),
        ("terms", {"template": "nothing-new", "credit": "x" * 201}, 422), ("terms", {"template": "nothing-new", "credit": "a\nb"}, 422),
        ("credit", {"credit": "\0"}, 400), ("lab", {}, 422), ("lab", {"lab": "\0"}, 400), ("lab", {"lab": "lab_" + "0" * 26}, 404),
        ("purpose", {}, 422), ("purpose", {"purpose": "dpv:NoSuch"}, 422), ("erase", {}, 422), ("erase", {"sure": "no"}, 422),
    ):  # fmt: skip
        page = post(browser, f"/r/of/{mine.id}/{act}", **form)
        assert page.status_code == status and "text/html" in page.headers["content-type"], (act, form, page.status_code)
    for content, media, status in (
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400), (b"%ff=%ff", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415), (b"--x", "multipart/form-data; boundary=x", 415),
        (b"a=" + b"x" * 17_000_000, "application/x-www-form-urlencoded", 413),
    ):  # fmt: skip
        try:
            page = browser.post(f"/r/of/{mine.id}/terms", content=content, headers={"Content-Type": media, **origin})
        except httpx.TransportError:
            assert status == 413  # refused and closed before all was sent
            continue
        assert page.status_code == status, (content[:10], page.status_code)
    for address in ("terms?choose=x", "terms?choose=%00", "done?act=x", "done?act=rvk_" + "0" * 26):
        assert browser.get(f"/r/of/{mine.id}/{address}").status_code in (404, 422), address
    assert state_of(service, mine.id) == state_of(service, other.id) == "live"
    assert post(httpx.Client(base_url=service.base), f"/r/of/{mine.id}/withdraw").status_code == 401


def test_a_page_of_fifty_leads_to_the_next(
    service: Service, platform: PlatformParty, browser: httpx.Client
) -> None:
    items = [
        {"external_id": f"{i}", "kind": "rating", "contributor": "ada", "parts": {"judgment": i}} for i in range(51)
    ]
    assert all(i.ok for i in platform.sdk.record_many(items))
    url = accepted(service.post("/v1/portal-sessions", {"contributor": "ada"}, service.token(platform)), 201)["url"]
    page = post(browser, url)
    assert page.text.count('class="item"') == 50
    following = page.text.split('href="/r?cursor=')[1].split('"')[0]
    assert browser.get(f"/r?cursor={following}").text.count('class="item"') == 1
    assert browser.get("/r?cursor=x").status_code == 400
    assert browser.get(f"/ledger?cursor={following}").status_code == 400


def test_names_and_credits_are_shown_as_text_and_never_as_markup(service: Service, browser: httpx.Client) -> None:
    from app.kit.db import write
    from app.parties import service as parties

    name = "<script>alert(1)</script> & Söhne \u202e"
    with write(service.runtime.engine) as session:
        row, _ = parties.add_platform(session, name + service.backend, now=service.clock.now())
    page = browser.get("/ledger")
    while "Later entries" in page.text:
        page = browser.get("/ledger?cursor=" + page.text.split('href="/ledger?cursor=')[1].split('"')[0])
    assert "<script>" not in page.text and "&lt;script&gt;" in page.text and row.id


def test_a_person_reads_who_has_it_and_what_became_of_it(
    service: Service, platform: PlatformParty, lab: LabParty, browser: httpx.Client
) -> None:
    [given] = platform.give(1)
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    post(browser, given.claim_url)
    page = browser.get("/r")
    assert lab.name in page.text and "to test models, for science" in page.text and "Take it back from this lab" in page.text
    post(browser, f"/r/of/{given.id}/withdraw")
    shown = browser.get("/r").text
    assert "We will soon tell it to delete its copy" in shown or "We told the lab on" in shown
    until(lambda: "We told the lab on" in browser.get("/r").text)
    assert "Take it back from this lab" not in browser.get("/r").text
