"""The consent widget in a platform's own page, on another origin and under a strict content security policy: chosen, sent with the task,
recorded, and the claim link handed over; as the element, and as a frame on a page without a script."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from app.consents.models import Consent, ConsentIntent
from app.kit.db import read
from tests.browser.conftest import DESKTOP, PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.consents.widget import CHOICES
from tests.support import ROOT, PlatformParty, Service, on_one_backend

STRICT = "default-src 'none'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; "
REF = "n0-script-here-0123456789"
SENDS_ITSELF = """async () => {
  const form = document.forms[0], two = document.querySelector("sayso-consent").cloneNode(), sent = [];
  form.append(two);
  form.addEventListener("submit", (e) => { e.preventDefault(); sent.push(...new FormData(form).getAll("intent")); });
  await two.take();
  for (let n = 2; n <= 8; n += 2) {
    form.querySelector("button").click();
    for (let wait = 0; wait < 100 && sent.length < n; wait++) await new Promise((r) => setTimeout(r, 20));
  }
  return sent;
}"""
LISTENS = "onmessage = (e) => { if (e.data.type === 'sayso-consent') document.forms[0].intent.value = e.data.intent; };"


class Arena:
    """A platform's web server: a task, its form, and what it does with an intent."""

    def __init__(self, service: Service, platform: PlatformParty) -> None:
        self.home, self.platform, self.site = service.base, platform, ""
        self.answers: list[Any] = []
        self.pages: dict[str, tuple[str, str]] = {}
        """Address -> (content security policy, what stands in the form)"""
        arena = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/own.js":
                    self.answer("", LISTENS, "text/javascript")
                elif self.path in arena.pages:
                    policy, inside = arena.pages[self.path]
                    self.answer(policy, arena.page(inside))
                else:
                    self.send_error(204)

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                given = arena.take(form.get("intent", [None])[0])
                policy, inside = arena.pages[self.path]
                self.answer(policy, arena.page(inside.replace('name="intent"', f'name="intent" claim="{given.claim_url}"')))

            def answer(self, policy: str, text: str, kind: str = "text/html") -> None:
                data = text.encode()
                self.send_response(200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Security-Policy", policy)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, intent: str | None) -> Any:
        intent = intent or self.platform.sdk.intent_under(REF)
        [given] = self.platform.give(1, consent={"intent": intent} if intent else None)
        self.answers.append(given)
        return given

    def page(self, inside: str) -> str:
        return (
            '<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width"><title>Arena</title></head><body><main>'
            f'<h1>Which is better?</h1><form method="post">{inside}<button>Send it</button></form></main></body></html>'
        )

    def element(self, **attributes: str) -> str:
        told = {"site": self.site, "name": "intent", **attributes}
        written = " ".join(f'{name}="{escape(value)}"' for name, value in told.items())
        return f'<script src="{self.home}/widget.js" async></script><sayso-consent {written}></sayso-consent>'

    def show(self, path: str, policy: str, inside: str) -> str:
        self.pages[path] = policy, inside
        return self.origin + path


@pytest.fixture
def arena(service: Service, platform: PlatformParty) -> Iterator[Callable[[], Arena]]:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    with ExitStack() as servers:

        def make() -> Arena:
            made = Arena(service, platform)
            servers.callback(made.server.server_close)
            servers.callback(made.server.shutdown)
            return made

        yield make


def scripted(arena: Arena) -> str:
    return f"{STRICT}script-src {arena.home}; connect-src {arena.home}"


def consents(service: Service, *given: Any) -> set[tuple[str, str, str | None]]:
    with read(service.runtime.engine) as session:
        query = sa.select(Consent.basis, Consent.attested_by, Consent.wording_language)  # type: ignore[call-overload]
        return {tuple(row) for row in session.execute(query.where(Consent.contribution_id.in_([one.id for one in given])))}  # type: ignore[union-attr]


def intents(service: Service, platform: PlatformParty) -> int:
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(ConsentIntent)
        return int(session.execute(query.where(ConsentIntent.platform_id == platform.id)).scalar_one())  # type: ignore[arg-type]


def test_a_choice_goes_along_with_the_task_and_the_link_comes_back(
    service: Service, platform: PlatformParty, arena: Callable[[], Arena], opened: Callable[..., Page]
) -> None:
    host = arena()
    host.site = platform.sdk.add_site_key([host.origin], list(CHOICES))
    assert len((ROOT / "app/web/static/widget.js").read_bytes()) < 10_000
    page = opened(PHONE)
    page.goto(host.show("/task", scripted(host), host.element()))
    group = page.get_by_role("group", name="What may be done with what you give here?")
    expect(group.get_by_role("radio")).to_have_count(3)
    assert group.get_by_role("radio", checked=True).count() == 0, "nothing is chosen for anybody"
    no_barriers(page)
    page.evaluate("() => { window.seen = []; addEventListener('sayso-consent', (e) => seen.push([e.target.tagName, e.detail])); }")
    needed = "() => { const w = document.querySelector('sayso-consent'); w.setAttribute('required', ''); return w.matches(':invalid'); }"
    assert page.evaluate(needed)
    # By keys: of the choices that the arrows run through the last one counts.
    page.keyboard.press("Tab")
    for key in ("Space", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_have_text("Your choice goes along with what you send.")
    expect(page.get_by_role("radio").nth(2)).to_be_checked()
    assert not page.evaluate(needed)
    [(tag, detail)] = page.evaluate("seen")
    assert tag == "SAYSO-CONSENT" and set(detail) == {"intent", "policy", "wording", "language", "expires_at"}
    tap(page, "Send it")
    assert page.context.cookies() == [] and consents(service, *host.answers) == {("explicit", "person", "en")}
    # The next task: marked already, and an intent is made only when something is sent.
    expect(page.get_by_role("radio").nth(2)).to_be_checked()
    expect(page.get_by_role("status")).to_have_text("You chose this here before. You can choose again.")
    no_barriers(page)
    made = intents(service, platform)
    with page.context.expect_page() as tab:
        page.get_by_role("link", name="See what you gave, change the terms, or take it back").click()
    tab.value.get_by_role("button", name="Get my receipt").click()
    expect(tab.value).to_have_url(service.base + "/r?new=1")
    with page.expect_navigation():
        page.get_by_role("button", name="Send it").dblclick(no_wait_after=True)
    assert len(host.answers) == 2, "pressed twice, sent once"
    assert intents(service, platform) == made + 1 and consents(service, host.answers[1]) == {("explicit", "person", "en")}
    # Sent by a script, one each; and where Sayso does not answer the work is sent all the same.
    taken = page.evaluate("() => { const w = document.querySelector('sayso-consent'); return Promise.all([w.take(), w.take()]); }")
    assert len(set(taken)) == 2 and all(one.startswith("cit_") for one in taken)
    page.evaluate("() => { window.fetch = () => Promise.reject(new Error()); }")
    tap(page, "Send it")
    assert len(host.answers) == 3 and consents(service, host.answers[2]) == set()
    # A page that sends the form itself, and has two of them in it: each time with other intents.
    expect(page.get_by_role("radio").nth(2)).to_be_checked()
    sent = page.evaluate(SENDS_ITSELF)
    assert len(sent) == len(set(sent)) == 8 and all(one.startswith("cit_") for one in sent)


def test_the_page_around_it_puts_no_words_and_no_links_into_it(
    service: Service, platform: PlatformParty, arena: Callable[[], Arena], opened: Callable[..., Page]
) -> None:
    host = arena()
    words = {("No.", "Nobody gets it."): ("لا.", "nothing-new"), ("Tests.", "<img src=x onerror=alert(1)>"): ("اختبار.", "evaluation-only")}
    choices: list[Any] = [
        {"template": name, "wordings": [platform.sdk.register_wording("\n".join(en), "en"), platform.sdk.register_wording(ar, "ar")]}
        for en, (ar, name) in words.items()
    ]
    host.site = platform.sdk.add_site_key([host.origin], choices)
    evil = '"><img src=x onerror="document.title=1">'
    inside = "".join([
        host.element(site=evil, lang=evil, claim="javascript:document.title=1"),
        host.element(lang=evil, claim="javascript:document.title=1", name=evil, title=evil),
        host.element(lang="ar-EG", claim=f"https://evil.example/c/{'a' * 60}"), host.element(claim=f"{host.home}/c/../r?new=1"),
        f'<iframe src="{host.home}/w/{host.site}?lang=ar" title="x"></iframe>',
    ])  # fmt: skip
    page = opened(DESKTOP)
    page.goto(host.show("/task", f"{scripted(host)}; frame-src {host.home}", inside))
    expect(page.get_by_role("radio")).to_have_count(6)
    expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
    expect(page.get_by_text("اختبار.", exact=True)).to_be_visible()
    assert page.locator(".choice[dir=rtl][lang=ar]").count() == 2
    beside = page.locator("fieldset[lang=ar] legend")
    expect(beside).to_contain_text("ما الذي يجوز فعله")  # and the English, while no native reader has looked at it
    expect(beside.locator("[lang=en][dir=ltr]")).to_have_text("What may be done with what you give here?")
    expect(page.locator("fieldset[lang=en] legend [lang]")).to_have_count(0)
    assert page.frame_locator("iframe").locator("legend [lang=en]").inner_text() == "What may be done with what you give here?"
    links = [link.get_attribute("href") or "" for link in page.locator("sayso-consent a").all()]
    assert len(links) == 6 and all(link.startswith(f"{host.home}/v1/policies/") for link in links)
    assert page.locator("sayso-consent img").count() == 0 and page.title() == "Arena"
    no_barriers(page)


def test_a_frame_on_a_page_without_scripts(
    service: Service, platform: PlatformParty, arena: Callable[[], Arena], opened: Callable[..., Page]
) -> None:
    host = arena()
    host.site = platform.sdk.add_site_key([host.origin], list(CHOICES))
    frame = f'<iframe src="{host.home}/w/{host.site}?ref={REF}" title="What may be done with it" width="320" height="600"></iframe>'
    page = opened(PHONE, scripts=False)
    page.goto(host.show("/task", f"{STRICT}frame-src {host.home}", frame))
    inner = page.frame_locator("iframe")
    inner.get_by_label("Evaluation only").check()
    inner.get_by_role("button", name="Keep my choice").click()
    expect(inner.get_by_role("heading", name="Your choice goes along with what you send.")).to_be_visible()
    tap(page, "Send it")
    assert consents(service, *host.answers) == {("explicit", "person", "en")} and page.context.cookies() == []
    # A page that has a script of its own and runs no others': it hears what was chosen.
    listening = f'<script src="/own.js"></script><input type="hidden" name="intent">{frame.replace(f"?ref={REF}", "")}'
    page = opened(DESKTOP)
    page.goto(host.show("/listens", f"{STRICT}script-src 'self'; frame-src {host.home}", listening))
    no_barriers(page)
    inner = page.frame_locator("iframe")
    inner.get_by_role("radio").first.check()
    inner.get_by_role("button", name="Keep my choice").click()
    expect(page.locator("input[name=intent]")).to_have_value(re.compile("^cit_"))
    tap(page, "Send it")
    assert consents(service, host.answers[1]) == {("explicit", "person", "en")}


def test_a_page_of_another_origin_is_shown_nothing(
    service: Service, platform: PlatformParty, arena: Callable[[], Arena], chromium: Browser
) -> None:
    listed, other = arena(), arena()
    other.site = platform.sdk.add_site_key([listed.origin], list(CHOICES))
    inside = f'{other.element()}<iframe src="{other.home}/w/{other.site}" title="x"></iframe>'
    context = chromium.new_context(viewport=DESKTOP, locale="en-GB")
    try:
        page = context.new_page()
        page.goto(other.show("/task", f"{scripted(other)}; frame-src {other.home}", inside))
        expect(page.get_by_role("status")).to_have_text("The choices could not be loaded. Load the page again later.")
        assert page.get_by_role("radio").count() == 0 and page.frames[1].get_by_role("radio").count() == 0
        tried = "(where) => fetch(where, {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}).then(() => 1, () => 0)"
        assert page.evaluate(tried, f"{other.home}/v1/widget/{other.site}/intents") == 0
        assert intents(service, platform) == 0
    finally:
        context.close()
