"""One vote taken back from one lab by somebody who reads Arabic, on a phone: from right to left, without barriers, nothing too wide."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.contributions.test_fastchat_hook import hook
from tests.kit.refusals import state_of
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_receipt_page import taken


def looked_at(page: Page, address: str, axe: bool) -> None:
    """In Arabic, and not wider than the phone; with `axe` without barriers too."""
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("lang", "ar")
    if axe:
        no_barriers(page)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, address


def test_one_vote_from_one_lab_in_arabic(service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    [given] = platform.give(1)
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    page = opened(PHONE)
    page.goto(given.claim_url)
    with page.expect_navigation():
        page.get_by_role("link", name="العربية").click()
    assert page.url == f"{given.claim_url}?lang=ar"
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    no_barriers(page)
    form = hook(service, platform, format_="testimony").replace("/v1/ingest/testimony/", "/t/")
    for address in ("/", "/ledger", "/log", "/verify", "/receipts", "/r/recover", "/r", form):
        looked_at(page, address if address == form else service.base + address, axe=address in ("/ledger", form))
    page.goto(given.claim_url)
    tap(page, "الحصول على إيصالي")
    no_barriers(page)
    # What starts a line in English starts it here too, on the other side; a lab's name keeps its own direction.
    heading, name = page.get_by_role("heading", level=1), page.get_by_role("heading", name=lab.name)
    box = heading.evaluate("e => { const r = document.createRange(); r.selectNodeContents(e); const b = r.getClientRects()[0]; return b.right; }")
    assert box > PHONE["width"] - 40
    assert name.locator("bdi").evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"
    for address in ("withdraw", "terms", "terms?choose=evaluation-only", "purpose", "credit", "object", "erase"):
        looked_at(page, f"{service.base}/r/of/{given.id}/{address}", axe=address in ("terms?choose=evaluation-only", "purpose"))
    for address in ("/r/timeline", "/r/where", "/r/keys", "/r/pay", "/r/recovery"):
        looked_at(page, service.base + address, axe=address == "/r/where")
    page.goto(service.base + "/r")
    tap(page, f"سحبه من هذا المختبر Take it back from this lab {lab.name}")
    tap(page, "نعم، اسحبه من هذا المختبر")
    expect(page.get_by_role("heading", level=1)).to_contain_text("تم")
    no_barriers(page)
    assert taken(service, given.id) == 1 and state_of(service, given.id) == "live"
    tap(page, "العودة إلى صفحتي")
    expect(page.locator("main")).to_contain_text(f"لا يجوز لـ{lab.name}، منذ")


def test_the_scripts_speak_the_language_of_their_page(service: Service, platform: PlatformParty, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    one, two, three = (service.claim(given).receipt for given in platform.give(3))
    page = opened(PHONE)
    page.goto(service.base + "/receipts?lang=ar")
    page.locator("#pasted").fill(f"{one} {two} {three} https://other.example/r/{one}")
    page.get_by_role("button", name="إضافة إلى قائمتي").click()
    expect(page.locator("#told")).to_contain_text("في قائمتك 3 إيصالات جديدة.")
    expect(page.locator("#told")).to_contain_text("تُرك إيصال واحد من خدمة أخرى")
    expect(page.locator("#told .beside").first).to_have_text("3 receipts are new in your list.")
    page.get_by_role("button", name=f"إزالة من القائمة Take off the list: إيصال A receipt, ينتهي بـ {three[-4:]}").click()
    expect(page.locator("#told")).to_contain_text("لم يعد في القائمة")
    no_barriers(page)
    page.goto(service.base + "/verify?lang=es")
    page.locator("#file").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"{}"})
    page.get_by_role("button", name="Comprobarlo").click()
    expect(page.locator("#verdict")).to_contain_text("Este recibo no es válido.")
    expect(page.locator("#steps li").first).to_contain_text("Mal:")
    expect(page.locator("#steps li [lang=en]").last).to_have_text("`v` is missing or of the wrong kind")
    no_barriers(page)
