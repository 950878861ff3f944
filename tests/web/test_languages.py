"""The languages of the pages: which one a reader gets, what stands in it, and that no text is left out of a catalog."""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from babel import Locale
from babel.messages.pofile import read_po
from starlette.requests import Request

from app.web import catalogs, languages, organisations, saying
from app.web.languages import ENGLISH, LANGUAGES, READER, Language, Reader
from app.web.rendering import LANGUAGE_COOKIE, reader_of
from tests.contributions.test_fastchat_hook import hook
from tests.support import LabParty, PlatformParty, Service, consent, on_one_backend, receipt_terms, shell
from tests.web.test_pages import post
from tests.web.test_reading_ease import every_page

PO = sorted(languages.HERE.glob("*.po"))
NOT_TRANSLATED = {"Sayso", "UTC", "CSV", "JSON", "ZIP", "COSE", "Link", "SP", "tlog", "tiles", "json", "ar", "en", "EUR", "sayso"}
PSEUDO = "en-AU"
"""What the language is called in which each text stands between ⟦ and ⟧."""


@contextmanager
def reading(tag: str) -> Iterator[None]:
    token = READER.set(Reader(LANGUAGES[tag]))
    yield
    READER.reset(token)


# -- catalogs ------------------------------------------------------------------------------------------------------------
def faults(path: Path) -> list[str]:
    """What is wrong with a catalog: texts that it lacks, or has too many, or that say other values or links than the English."""
    with path.open("rb") as file:
        there = read_po(file, locale=path.stem, abort_invalid=True)
    wanted = {m.id for m in catalogs.marked() if m.id}
    found = [f"not in it: {one}" for one in wanted - {m.id for m in there if m.id}]
    found += [f"no longer marked: {one}" for one in {m.id for m in there if m.id} - wanted]
    found += [f"obsolete: {one}" for one in there.obsolete]
    for message in there:
        if not message.id:
            continue
        english = message.id if isinstance(message.id, tuple) else (message.id,)
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.fuzzy or not all(forms) or (message.pluralizable and len(forms) != there.num_plurals):
            found.append(f"not translated: {message.id}")
        for form in forms:
            # One, two or none may be said in words.
            values = [sorted(set(re.findall(r"%\((?!num|n\))\w+\)s", text))) for text in (english[-1], form)]
            tags = [sorted(re.findall(r"<[^>]*>", text)) for text in (english[-1], form)]
            if values[0] != values[1] or tags[0] != tags[1] or re.search(r"%(?!\(\w+\)s|%)", form):
                found.append(f"other values or tags: {form}")
        counted = re.search(r"%\((num|n)\)s", english[-1])
        if counted and counted[0] not in forms[-1]:
            found.append(f"does not say how many: {forms[-1]}")
    return found


@pytest.mark.parametrize("path", PO, ids=lambda path: path.stem)
def test_every_catalog_has_every_text_and_no_other(path: Path) -> None:
    assert not faults(path)
    assert {path.stem for path in PO} == {"ar", "es"} and not any(LANGUAGES[tag].reviewed for tag in ("ar", "es"))


def test_a_new_text_is_missed_and_the_command_puts_it_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "HERE", tmp_path)
    path = tmp_path / "es.po"
    path.write_bytes((languages.HERE / "es.po").read_bytes())
    assert catalogs.update() == {"es": 0}
    assert path.read_bytes() == (languages.HERE / "es.po").read_bytes(), "`make catalogs` was not run"
    marked = catalogs.marked()
    marked.add("A new text with %(value)s")
    marked.delete("Done")
    monkeypatch.setattr(catalogs, "marked", lambda: marked)
    assert faults(path) == ["not in it: A new text with %(value)s", "no longer marked: Done"]
    assert catalogs.update() == {"es": 1}
    assert faults(path) == ["not translated: A new text with %(value)s", "other values or tags: "]


def test_a_further_language_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogs, "HERE", tmp_path)
    run = shell(tmp_path)
    done = run(["catalogs", "--add", "fr"])
    assert done.exit_code == 0 and re.fullmatch(r"fr: \d{3,4} to translate\n", done.output)
    made = languages.read(tmp_path / "fr.po")
    assert (made.tag, made.name, made.direction, made.reviewed, made.messages) == ("fr", "français", "ltr", False, {})
    for wrong in ("fr", "en", "nothing", "../x"):
        assert run(["catalogs", "--add", wrong]).exit_code == 2
    path = tmp_path / "fr.po"
    path.write_text(path.read_text("utf-8").replace("Reviewed: no", "Reviewed: yes"), "utf-8")
    assert languages.read(path).reviewed


def test_every_act_of_an_organisation_has_words() -> None:
    glossary = (Path(__file__).parents[2] / "GLOSSARY.md").read_text("utf-8")
    table = glossary[glossary.index("| Personal | Institutional |") : glossary.index("A lab is told by security events")]
    institutional = " ".join(row.split("|")[2] for row in table.splitlines() if row.count("|") > 2)
    assert set(organisations.ACTS) == set(re.findall(r"`([a-z.-]+)`", institutional))


# -- what a page says ----------------------------------------------------------------------------------------------------
class Seen(HTMLParser):
    """The words of a page that are for translation: not names, codes, what a person typed, or what says that it is English."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.beside: list[dict[str, str | None]] = []
        self.open: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        classes = (found.get("class") or "").split()
        if "beside" in classes:
            assert not {name for name, _ in self.open} & {"title", "option"}
            self.beside.append(found)
        foreign = tag in ("bdi", "code", "data", "script", "pre", "text") or bool({"gave", "secret", "tongues"} & set(classes))
        foreign = foreign or found.get("translate") == "no" or (tag != "html" and "lang" in found)
        for name in ("aria-label", "title", "placeholder", "alt"):
            if found.get(name):
                self.words.append(str(found[name]))
        if tag not in ("meta", "link", "br", "input", "rect", "path"):
            self.open.append((tag, foreign))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not any(foreign for _, foreign in self.open):
            self.words.append(data)

    def unmarked(self) -> list[str]:
        """What has letters outside ⟦ ⟧, but for days, which come from CLDR."""
        marked, known = r"⟦[^⟦⟧]*(?:⟦[^⟦⟧]*⟧[^⟦⟧]*)*⟧", r"Sayso|\d+ [A-Z][a-z]+ \d{4}|[\w ]+ \([A-Z]{2}\)|Lab [0-9a-f]{16} ·"
        text = re.sub(f"{marked}|{known}", " ", "\x00".join(self.words))
        return [one.strip() for one in text.split("\x00") if re.search(r"[^\W\d_]", one)]


def public_templates() -> list[Path]:
    staff = re.compile(r"(lab|lab_(?!public).*|operator.*|intake)\.html")
    return [path for path in sorted((catalogs.WEB / "templates").glob("*.html")) if not staff.fullmatch(path.name)]


@pytest.mark.parametrize("path", public_templates(), ids=lambda path: path.stem)
def test_no_template_has_a_text_that_is_not_marked(path: Path) -> None:
    source = re.sub(r"\{% trans\b.*?\{% endtrans %\}", "", path.read_text("utf-8"), flags=re.S)
    assert not Seen(re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", source, flags=re.S)).unmarked()
    assert not re.search(r"\{\{ *[\"'][A-Za-z]|\b(?:if|else) [\"'][A-Za-z ]+[\"'] *(?:\}|if|else)", source)


def pseudo() -> Language:
    """A language in which everything is marked, and nothing is right."""
    messages = {}
    for message in catalogs.marked():
        if message.id:
            ids = message.id if isinstance(message.id, tuple) else (message.id,)
            messages[ids[0]] = tuple(f"⟦{one}⟧" for one in ids)
    return Language(PSEUDO, Locale("en", "AU"), "Pseudo", True, messages, ENGLISH.plural)


def test_all_that_a_page_says_is_marked(service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    on_one_backend(service, "what a page says does not depend on the database")
    monkeypatch.setitem(languages.LANGUAGES, PSEUDO, pseudo())
    spoken = {"Accept-Language": PSEUDO}
    pages = every_page(service, platform, lab, **spoken)
    [given] = platform.give(1)
    with httpx.Client(base_url=service.base, follow_redirects=True, headers={"Accept": "text/html", **spoken}) as browser:
        form = hook(service, platform, format_="testimony").replace("/v1/ingest/testimony/", "/t/")
        once = re.search(r'name="once" value="(\w+)"', browser.get(form).text)
        post(browser, given.claim_url)
        digest = service.runtime.parts["policies"].resolve(None, "evaluation-only", {}, service.clock.now()).digest
        assert once
        for address in ("/r?show=1", "/r/pay", "/r/everything", "/r/keep", f"/labs/{lab.id}", f"/policies/{digest}", "/ledger?kind=nothing", form):
            pages[address] = browser.get(address)
        pages["sent"] = post(browser, form, once=once[1], text="Written for tests")
        pages["problem"] = post(browser, f"/r/of/{given.id}/nothing")
    files = [pages.pop(name) for name in ("/r/everything", "/r/keep")]
    del pages["frame"], pages["kept"]  # in the language of their wordings: app/consents/widget_words.py
    assert not {name: found for name, page in pages.items() if (found := Seen(page.text).unmarked())}
    assert {page.headers["content-language"] for page in pages.values()} == {PSEUDO}
    with zipfile.ZipFile(io.BytesIO(files[0].content)) as everything:
        assert everything.read("READ-ME.txt").decode().startswith("⟦What you gave, as it was kept")
    assert files[1].text.startswith("⟦Keep this file.")


# -- which language -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cookie", "accept", "found"),
    [
        ("", "", "en"), ("", "ar", "ar"), ("", "es-MX,es;q=0.9,en;q=0.8", "es"), ("", "fr, ar;q=0.3, es;q=0.7", "es"), ("", "es;q=0, ar;q=0.1", "ar"),
        ("ar", "es", "ar"), ("en", "ar", "en"), ("fr", "es", "es"), ("", "AR-eg", "ar"), ("", "tlh, *;q=0.5", "en"), ("../ar", "../es", "en"),
        ("", "es;q=2, ar;q=x", "en"), ("\xff\xfe", "\xe9\x01", "en"), ("x" * 1_000_000, "-" * 1_000_000, "en"), ("", "," * 1_000_000, "en"),
        ("ar\x00", "es\x00", "en"), ("__proto__", "es_MX", "en"),
        ("", " " * 1_000 + "es", "en"),  # what comes so late is not read: a long tag takes time with the square of its length
    ],
)  # fmt: skip
def test_the_choice_goes_before_the_browser_and_english_is_what_is_left(cookie: str, accept: str, found: str) -> None:
    headers = [(b"accept-language", accept.encode("latin-1"))] + ([(b"cookie", f"{LANGUAGE_COOKIE}={cookie}".encode("latin-1"))] if cookie else [])
    for query in ("", "lang=", "lang=../../etc/passwd", "lang=fr", "lang=%ff%00", "lang=" + "x" * 10_000):
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": headers}
        reader, chosen = reader_of(Request(scope))
        assert (reader.language.tag, chosen) == (found, False)


def test_no_header_makes_a_page_fail(service: Service) -> None:
    wild: list[list[tuple[Any, Any]]] = [
        [("Accept-Language", "../../es")], [(b"Accept-Language", b"\xff\xfe\xe9")], [("Accept-Language", "es," * 15_000)],
        [("Accept-Language", "ar"), ("Accept-Language", "es;q=0.5")], [("Cookie", f"{LANGUAGE_COOKIE}=../es; {LANGUAGE_COOKIE}=\"x")],
    ]  # fmt: skip
    found = [httpx.get(service.base + "/", headers=headers) for headers in wild]
    assert [page.status_code for page in found] == [200] * len(wild)
    assert [page.headers["content-language"] for page in found] == ["en", "en", "es", "ar", "en"]


def test_the_switch_keeps_one_on_the_page_and_leads_nowhere_else(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    with httpx.Client(base_url=service.base, follow_redirects=True, headers={"Accept": "text/html"}) as browser:
        page = browser.get("/ledger?kind=recalls&lang=ar")
        assert '<html lang="ar" dir="rtl">' in page.text and page.headers["content-language"] == "ar" and "الدفتر العام" in page.text
        assert page.headers["cache-control"] == "no-store" and "HttpOnly" in page.headers["set-cookie"]
        others = re.findall(r'<a href="([^"]*)" hreflang="(\w+)"', page.text)
        assert others == [("?kind=recalls&amp;lang=en", "en"), ("?kind=recalls&amp;lang=es", "es")]
        page = browser.get("/ledger", headers={"Accept-Language": "es"})
        assert page.headers["content-language"] == "ar" and "set-cookie" not in page.headers
        assert page.headers["vary"] == "Accept-Language, Cookie" and page.headers["cache-control"] == "public, max-age=60"
        for wrong in ("//evil.example", "es/../..", "https://evil.example", "es%0d%0aX: y", ""):
            page = browser.get(f"/?lang={wrong}&back=//evil.example")
            assert page.headers["content-language"] == "ar" and "set-cookie" not in page.headers and not page.history
            assert all(address.startswith("?") for address in re.findall(r'<a href="([^"]*)" hreflang', page.text))
        for address in ("/?lang=es", "/"):
            assert browser.get(address, headers={"Accept-Language": "ar"}).headers["content-language"] == "es"
        # On a page that answers a form the switch would lose it; where no receipt opens anything it leads to the door.
        post(browser, given.claim_url)
        assert "hreflang" not in post(browser, "/r/find", words="x").text and "hreflang" in browser.get(f"/r/of/{given.id}").text
        assert 'href="/r?lang=en"' in browser.get("/r/rcp_x").text == post(browser, "/r/open", receipt="rcp_x").text
        assert "hreflang" not in browser.get("/lab").text and '<html lang="en" dir="ltr">' in browser.get("/lab").text


def test_the_form_for_testimony_keeps_no_choice_in_the_browser(service: Service, platform: PlatformParty) -> None:
    form = hook(service, platform, format_="testimony").replace("/v1/ingest/testimony/", "/t/")
    with httpx.Client(base_url=service.base) as browser:
        page = browser.get(form + "?lang=ar")
        found = re.search(r'action="([^"]*)"', page.text)
        once = re.search(r'name="once" value="(\w+)"', page.text)
        assert page.headers["content-language"] == "ar" and found and once
        sent = post(browser, found[1], once=once[1], text="Written for tests")
        assert sent.status_code == 201 and sent.headers["content-language"] == "ar" and not browser.cookies


# -- how it is said -------------------------------------------------------------------------------------------------------
def test_days_numbers_and_counts_are_of_the_language() -> None:
    moment = datetime(2026, 5, 4, 9, 5, tzinfo=UTC)
    found = {}
    for tag in ("en", "es", "ar"):
        with reading(tag):
            told = (saying.day(moment), saying.minute(moment), saying.number(12345), saying.money(123450, "EUR"), saying.money(3, "JPY"))
            found[tag] = [str(one) for one in told]
    assert found == {
        "en": ["4 May 2026", "4 May 2026, 09:05 UTC", "12,345", "1,234.50 EUR", "3 JPY"],
        "es": ["4 de mayo de 2026", "4 de mayo de 2026, 09:05 UTC", "12.345", "1.234,50 EUR", "3 JPY"],
        "ar": ["4 مايو 2026", "4 مايو 2026، 09:05 بالتوقيت العالمي UTC", "12,345", "1,234.50 EUR", "3 JPY"],
    }  # fmt: skip
    with reading("ar"):
        counted = [str(saying.say_many("%(num)s thing", "%(num)s things", n)) for n in (0, 1, 2, 3, 11, 100)]
    assert counted == ["لا شيء", "شيء واحد", "شيئان", "3 أشياء", "11 شيئًا", "100 شيء"]


def test_the_english_stands_beside_what_nobody_reviewed_in_its_own_language(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = saying.say("You looked for: <bdi>%(words)s</bdi>", words="<script>")
    linked = saying.say('Do you have a code that you printed? <a href="/r/recover">Use your code</a>')
    with reading("ar"):
        assert saying.gettext("Done") == 'تم <span class="beside" lang="en" dir="ltr">Done</span>'
        assert saying.bare("Done") == "تم"
        assert str(hostile.__html__()).count("&lt;script&gt;") == 2 and "<script>" not in hostile.__html__()
        assert linked.__html__().count("<a ") == 1, "no link stands there twice"
        assert saying.gettext("Not in a catalog") == '<span lang="en" dir="ltr">Not in a catalog</span>'
        day = saying.say("Made on %(minute)s", minute=saying.minute(datetime(2026, 5, 4, tzinfo=UTC)))
        assert "4 مايو 2026" in day.__html__() and "Made on 4 May 2026, 00:00 UTC</span>" in day.__html__()
    with reading("en"):
        assert saying.gettext("Done") == "Done"
    read = Language("ar", Locale("ar"), "", True, LANGUAGES["ar"].messages, LANGUAGES["ar"].plural)
    monkeypatch.setitem(languages.LANGUAGES, "ar", read)
    with reading("ar"):
        assert saying.gettext("Done") == "تم"


@pytest.mark.parametrize("tag", ["ar", "es"])
def test_a_page_is_in_one_language_with_the_english_apart(service: Service, platform: PlatformParty, lab: LabParty, tag: str) -> None:
    on_one_backend(service, "what a page says does not depend on the database")
    pages = every_page(service, platform, lab, **{"Accept-Language": tag})
    del pages["frame"], pages["kept"]  # in the language of their wordings
    for name, page in pages.items():
        seen = Seen(page.text)
        assert page.status_code in (200, 401) and seen.beside and all((one["lang"], one["dir"]) == ("en", "ltr") for one in seen.beside), name
        assert f'<html lang="{tag}"' in page.text and "%(" not in page.text
        if tag == "ar":
            assert not set(re.findall(r"[A-Za-z]{2,}", " ".join(seen.words))) - NOT_TRANSLATED, name


def test_a_choice_keeps_the_language_of_the_deed_that_was_read(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    with httpx.Client(base_url=service.base, follow_redirects=True, headers={"Accept": "text/html", "Accept-Language": "ar"}) as browser:
        post(browser, given.claim_url)
        asked = browser.get(f"/r/of/{given.id}/terms?choose=evaluation-only")
        assert '<input type="hidden" name="language" value="ar">' in asked.text and "يجوز للمختبرات استخدام" in asked.text
        # Another language is chosen in another tab before the button is pressed: the deed was read in this one.
        browser.get("/?lang=es")
        post(browser, f"/r/of/{given.id}/terms", template="evaluation-only", language="ar")
        assert receipt_terms(service, given.id)[1] == "ar+en"
        for told, kept in (("en", "en"), ("../es", "es+en"), ("", "es+en")):
            assert post(browser, f"/r/of/{given.id}/terms", template="nothing-new" if told else "safety-research", language=told).status_code == 200
            assert receipt_terms(service, given.id)[1] == kept
    # Without a receipt too.
    spoken, (given,) = {"Accept-Language": "es"}, platform.give(1, consent=consent("non-commercial-research"))
    link = given.claim_url
    assert '<input type="hidden" name="language" value="es">' in service.http.get(link, headers={"Accept": "text/html", **spoken}).text
    service.http.post(link + "/narrow", data={"stop-0": "yes", "language": "es"}, headers={"Accept-Language": "ar"})
    assert receipt_terms(service, given.id)[1] == "es+en"


def test_a_refusal_is_told_in_the_language_and_its_detail_in_english(service: Service) -> None:
    page = httpx.get(f"{service.base}/c/nothing", headers={"Accept-Language": "ar"})
    assert page.status_code == 404 and "لا يوجد رابط كهذا." in page.text and "<title>لا يوجد رابط كهذا. · Sayso</title>" in page.text
    assert re.search(r'<p lang="en" dir="ltr">[A-Z][a-z ;]+', page.text)


def test_what_a_page_can_refuse_with_has_a_title_in_each_language() -> None:
    """But where a receipt opens nothing: that is a page of its own."""
    staff = ("lab_pages.py", "lab_thread_pages.py", "operator_pages.py", "intake_pages.py")
    raised: set[str] = set()
    for path in catalogs.WEB.glob("*.py"):
        if path.name not in staff:
            raised |= set(re.findall(r'raise [A-Z]\w+\(\s*"([a-z_]+)"', path.read_text("utf-8")))
    assert len(raised) > 5 and raised - {"token_invalid"} <= set(catalogs.MET)


def test_the_deed_of_a_policys_own_address_runs_from_right_to_left(service: Service) -> None:
    digest = service.runtime.parts["policies"].resolve(None, "evaluation-only", {}, service.clock.now()).digest
    page = httpx.get(f"{service.base}/v1/policies/{digest}", headers={"Accept": "text/html", "Accept-Language": "ar"})
    assert '<html lang="ar" dir="rtl">' in page.text and '<span class="en" lang="en" dir="ltr">' in page.text
