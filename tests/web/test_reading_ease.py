"""Every English page can be read with seven years of school."""

import re
from html import unescape

import httpx
import pytest

from app.kit.problems import CODES
from app.web import passkey_pages
from tests.authenticator import Authenticator, added, wanted
from tests.consents.widget import Widget
from tests.core.test_deed import grade
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_further_receipts import window
from tests.web.test_pages import post

MOST = 7.0


def sentences(html: str) -> list[str]:
    """The sentences of a page's main part, without names, ids, numbers of days and what a person typed."""
    main = html[html.index("<main") : html.index("</main>")]
    main = re.sub(r"<bdi[^>]*>.*?</bdi>|<svg.*?</svg>|<code[^>]*>.*?</code>|<div class=\"gave\".*?</div>", "Ann", main, flags=re.S)
    main = re.sub(r"<option[^>]*(?:translate=\"no\"|value=\"lab_)[^>]*>.*?</option>", "", main, flags=re.S)  # names of labs, as many as there are
    # Each block ends a sentence, as does a full stop.
    main = re.sub(r"</(p|li|h1|h2|h3|dd|dt|label|legend|button|summary|option|a|td|th)>", ". ", main)
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", main)))
    text = re.sub(r"\d+ [A-Z][a-z]+ \d{4}(, \d\d:\d\d UTC)?", "May", text)
    return [s for part in re.split(r"[.?!:;”“](?:\s|$)", text) if len((s := part.strip()).split()) > 2]


def every_page(service: Service, platform: PlatformParty, lab: LabParty, **headers: str) -> dict[str, httpx.Response]:
    """Each page that a contributor or anybody meets, by a name for it."""
    one, two = platform.give(2, contributor="reader")
    lab.sdk.cut(lab.agree(platform), poll=0.05)
    browser = httpx.Client(base_url=service.base, follow_redirects=True, headers={"Accept": "text/html", **headers})
    url = accepted(service.post("/v1/portal-sessions", {"contributor": "reader"}, service.token(platform)), 201)["url"]
    pages = {"lost": browser.get("/r"), "link": browser.get(one.claim_url), "portal link": browser.get(url)}
    pages["new"] = post(browser, url)
    pages["used"] = browser.get(url)
    acts = ("", "/withdraw", f"/lab/{lab.id}", "/purpose", "/terms", "/credit", "/erase", "/done")
    public = ("/", f"/ledger?lab={lab.name}", "/log", "/verify", "/r/recover", "/receipts")
    own = ("/r/keys", "/r/recovery", "/r/timeline", "/r/where")
    for address in (*public, *own, *(f"/r/of/{t}{a}" for t in (one.id, "all") for a in acts if t != "all" or a)):
        pages[address] = browser.get(address)
    for name in ("evaluation-only", "open-model-training-with-credit", "nothing-new", "safety-research"):
        pages[name] = browser.get(f"/r/of/{one.id}/terms?choose={name}")
    pages["object"] = browser.get(f"/r/of/{one.id}/object")
    pages["objected"] = post(browser, f"/r/of/{one.id}/object", statement="No.", language="en")
    pages["objection"], pages["with objection"] = browser.get(f"/r/of/{one.id}/object"), browser.get(f"/r/of/{one.id}")
    pages["code"] = post(browser, "/r/recovery")
    code = re.search(r"(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}", pages["code"].text)
    pages["in again"] = post(browser, "/r/recover", code=code[0] if code else "")
    pages["found"] = post(browser, "/r/find", words="words")
    for form in ({}, {"choose": "safety-research"}, {"choose": "open-model-training-with-credit"}):
        pages[f"some terms {form}"] = post(browser, "/r/some/terms", **{one.id: "1", two.id: "1"}, **form)
    pages["scoped"] = post(browser, "/r/some/scope", **{two.id: "1"}, template="safety-research")
    pages["scoped twice"] = browser.get("/r/some/done")
    pages["some"] = post(browser, "/r/some", **{one.id: "1", two.id: "1"})
    pages["done"] = post(browser, f"/r/of/{one.id}/lab", lab=lab.id)
    pages["done all"] = post(browser, f"/r/of/{two.id}/withdraw")
    pages["after"] = browser.get(f"/r/of/{two.id}")
    widget = Widget(service, platform)
    pages["frame"] = browser.get(f"/w/{widget.site}")
    pages["kept"] = post(browser, f"/w/{widget.site}", wording=widget.shown()["choices"][0]["shown"]["en"]["wording"])
    pages["story"] = browser.get("/r/timeline")
    pages["erased"] = post(browser, f"/r/of/{two.id}/erase", sure="yes")
    browser.close()
    return pages


def test_the_pages_can_be_read_with_seven_years_of_school(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    pages = every_page(service, platform, lab)
    measured = {name: (grade(sentences(page.text)), page.status_code) for name, page in pages.items()}
    assert all(status in (200, 201, 401) for _, status in measured.values()), measured
    assert not {name: found for name, (found, _) in measured.items() if found > MOST}


def test_the_pages_of_passkeys_too(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    on_one_backend(service, "the words are the same")
    [one] = platform.give(1, contributor="reader")
    passkey, whole = Authenticator(service.base), receipt_for_all(service, platform, "reader")
    browser = window(service, whole.receipt)
    pages = {"part": window(service, service.claim(one).receipt).get("/r/passkeys"), "number": browser.get("/r/passkeys")}
    monkeypatch.setattr(passkey_pages, "_is_number", lambda host: False)
    pages["none"], pages["new"] = browser.get("/r/passkeys"), post(browser, "/r/passkeys/new", name="my phone")
    pages["added"], pages["list"] = added(browser, passkey), browser.get("/r/passkeys")
    pages["ask"], pages["locked"] = post(browser, "/r/recovery"), window(service, receipt_for_all(service, platform, "reader").receipt).get("/r")
    at, _, ask = wanted(pages["ask"])["sign_at"].partition("#ask=")
    pages["begin"], pages["sign"] = browser.get(at), post(browser, at, ask=ask)
    pages["code"] = post(browser, "/r/recovery", passkey=passkey.show(wanted(pages["ask"])))
    code = re.search(r"(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}", pages["code"].text)
    pages["in again"] = post(browser, "/r/recover", code=code[0] if code else "")
    pages["removed"] = browser.get("/r/passkeys?told=removed")
    assert "Your passkeys were removed" in pages["in again"].text and "this link opens nothing" in pages["locked"].text
    told = {name: grade(sentences(page.text)) for name, page in pages.items()}
    assert not {name: found for name, found in told.items() if found > MOST}
    refusals = {code: grade([CODES[code]]) for code in CODES if code.startswith("passkey")}
    assert not {code: found for code, found in refusals.items() if found > MOST}
