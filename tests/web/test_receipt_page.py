"""One thing's page: what it shows, what each act of it does, and that nothing that was given can act on whoever reads it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import unquote

import httpx
import sqlalchemy as sa

from app.consents.models import Exclusion
from app.kit.db import read, write
from app.parties import service as parties
from tests.kit.refusals import accepted, state_of
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, consent
from tests.web.test_pages import browser, post  # noqa: F401  the fixture


def ledger_of(service: Service, **asked: str) -> str:
    """The public ledger in words, every page of it: what other tests did stands there too."""
    found, cursor = [], ""
    while True:
        page = service.http.get(service.base + "/ledger", params={**asked, **({"cursor": cursor} if cursor else {})})
        found.append(words(page))
        more = re.search(r'href="/ledger\?cursor=([^&"]+)', page.text)
        if more is None:
            return " ".join(found)
        cursor = unquote(more[1])


def words(page: httpx.Response) -> str:
    """What a page says, on one line."""
    text = re.sub(r"</?(bdi|span|strong|a|code)\b[^>]*>", "", page.text)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text)))


def taken(service: Service, contribution: str) -> int:
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).where(Exclusion.contribution_id == contribution)  # type: ignore[arg-type]
        return int(session.execute(query).scalar_one())


def test_one_vote_is_taken_back_from_one_lab_and_stays_with_the_other(
    service: Service, platform: PlatformParty, lab: LabParty, browser: Any, tmp_path: Any  # noqa: F811
) -> None:  # fmt: skip
    other = service.lab()
    given, beside = platform.give(2)
    agreements = [party.agree(platform) for party in (lab, other)]
    for party, agreement in zip((lab, other), agreements, strict=True):
        party.sdk.cut(agreement, poll=0.05)
    post(browser, given.claim_url)
    asked = browser.get(f"/r/of/{given.id}/lab/{lab.id}")
    assert "Yes, take it back from this lab" in asked.text and "We cannot reach into a lab" in asked.text
    done = post(browser, f"/r/of/{given.id}/lab", lab=lab.id)
    assert "You took it back from one lab. It holds from now on." in words(done) and "We will soon tell it to delete that." in words(done)
    act = re.search(r'href="(/r/act/rvk_[0-9a-z]{26})"', done.text)
    assert act and browser.get(act[1]).json()["type"] == "sayso-receipt"
    # Twice, and in another tab: nothing more is done.
    assert "You did this before" in post(browser, f"/r/of/{given.id}/lab", lab=lab.id).text
    assert "You took it back from this lab before." in browser.get(f"/r/of/{given.id}/lab/{lab.id}").text
    assert taken(service, given.id) == 1 and state_of(service, given.id) == "live"
    page = browser.get("/r")
    assert f"Not by {lab.name}, since" in words(page)
    assert f"/r/of/{given.id}/lab/{lab.id}" not in page.text and f"/r/of/{given.id}/lab/{other.id}" in page.text
    rows = lab.fetch(lab.sdk.cut(agreements[0], poll=0.05), tmp_path / "one")
    assert [json.loads(r["text"]) for r in rows] == ["words 2"] and beside.id
    assert len(other.fetch(other.sdk.cut(agreements[1], poll=0.05), tmp_path / "two")) == 2


def test_two_tabs_at_once_take_it_back_once(service: Service, platform: PlatformParty, lab: LabParty, browser: Any) -> None:  # noqa: F811
    [given] = platform.give(1)
    post(browser, given.claim_url)
    for form, address in (({"lab": lab.id}, "lab"), ({"purpose": "dpv:Marketing"}, "purpose")):
        with ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: post(browser, f"/r/of/{given.id}/{address}", **form), range(4)))
        said = [("It holds from now on." in p.text, "You did this before" in p.text) for p in pages]
        assert sorted(said) == [(False, True)] * 3 + [(True, False)], said
    assert taken(service, given.id) == 2


def test_terms_are_compared_before_they_are_chosen_and_the_name_stays(service: Service, platform: PlatformParty, browser: Any) -> None:  # noqa: F811
    [given] = platform.give(1, consent=consent("open-model-training-with-credit"))
    post(browser, given.claim_url)
    post(browser, f"/r/of/{given.id}/credit", credit=" Ada L. ")
    assert 'value="Ada L."' in browser.get(f"/r/of/{given.id}/credit").text
    assert "Evaluation only" in browser.get(f"/r/of/{given.id}/terms").text
    seen = browser.get(f"/r/of/{given.id}/terms?choose=any-training-with-credit-and-report-back")
    assert "not just more, and not just less" in seen.text and 'value="Ada L."' in seen.text
    assert "Labs must tell us what they did with it every" in seen.text
    seen = browser.get(f"/r/of/{given.id}/terms?choose=nothing-new")
    assert "With the new terms nobody new may get it." in seen.text and 'name="credit"' not in seen.text
    assert "allow the same as now" in browser.get(f"/r/of/{given.id}/terms?choose=open-model-training-with-credit").text
    [other] = platform.give(1, consent=consent("safety-research"))
    own = httpx.Client(base_url=service.base, follow_redirects=True)
    post(own, other.claim_url)
    assert "The new terms allow more than now." in own.get(f"/r/of/{other.id}/terms?choose=evaluation-only").text
    post(own, f"/r/of/{other.id}/terms", template="evaluation-only")
    assert "The new terms allow less than now." in own.get(f"/r/of/{other.id}/terms?choose=safety-research").text
    before = words(browser.get("/r"))
    assert "Nobody new may get or use what you gave." not in before  # looking changed nothing
    post(browser, f"/r/of/{given.id}/terms", template="nothing-new")
    assert "Nobody new may get or use what you gave." in words(browser.get("/r"))
    assert "no lab is given a name" in words(browser.get(f"/r/of/{given.id}/credit"))


def test_who_asked_and_got_nothing_is_told_with_the_reason(
    service: Service, platform: PlatformParty, lab: LabParty, browser: Any  # noqa: F811
) -> None:  # fmt: skip
    [given] = platform.give(1)
    elsewhere = service.platform()
    curious, late = service.lab(), service.lab()
    assert lab.sdk.request(OPEN_TRAINING, selection={"platforms": [platform.id]}).state == "refused"
    curious.sdk.request(OPEN_TRAINING, selection={"platforms": [elsewhere.id]})
    post(browser, given.claim_url)
    page = words(browser.get("/r"))
    assert f"{lab.name} asked on" in page and "to tune models, for science. Your terms say no." in page
    assert curious.name not in page
    assert late.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).state == "offered"
    assert late.name not in words(browser.get("/r"))
    post(browser, f"/r/of/{given.id}/lab", lab=late.id)
    assert "You took it back from this lab." in words(browser.get("/r"))
    post(browser, f"/r/of/{given.id}/withdraw")
    assert lab.name not in words(browser.get("/r"))


def test_what_was_given_is_shown_after_a_tap_and_is_only_text(service: Service, platform: PlatformParty, browser: Any) -> None:  # noqa: F811
    hostile = '</p><script>alert(1)</script><img src=x onerror=alert(1)> \u202egnp.exe \u2066{{7*7}} \x07'
    deep = json.loads("[" * 40 + "]" * 40)
    with write(service.runtime.engine) as session:
        row, secret = parties.add_platform(session, f"\u202e<b>Evil</b> {service.backend}", now=service.clock.now())
    party = PlatformParty(row.id, secret, type(platform.sdk)(service.base, row.id, secret))
    parts = {"text": [hostile, "x" * 1_000_000, {"k" * 10_000: [1] * 500}], "judgment": {hostile: 10**400, "half": None},
             "profile": deep, "context": "\u0645\u0631\u062d\u0628\u0627"}  # fmt: skip
    [given] = party.give(1, parts=parts, language="ar")
    shown = browser.get(given.claim_url)
    assert "<b>Evil" not in shown.text and "&lt;b&gt;Evil" in shown.text and "[U+202E]" in shown.text
    post(browser, given.claim_url)
    page = browser.get("/r")
    assert "alert(1)" not in page.text and "<b>Evil" not in page.text
    page = browser.get(f"/r/of/{given.id}?show=1")
    assert "&lt;script&gt;alert(1)" in page.text and "<script" not in page.text and "<img" not in page.text
    assert not set("\u202e\u2066\x07") & set(page.text) and "{{7*7}}" in page.text and "\u0645\u0631\u062d\u0628\u0627" in page.text
    assert len(page.content) < 60_000 and "There is more." in page.text
    file = browser.get(f"/r/content/{given.id}")
    assert json.loads(file.text) == parts and "attachment" in file.headers["content-disposition"]


def test_a_part_that_no_reader_takes_is_shown_as_it_stands(service: Service, platform: PlatformParty, browser: Any) -> None:  # noqa: F811
    body = b'{"external_id":"odd%d","kind":"rating","parts":{"judgment":%s}}'
    token = service.token(platform)
    for n, odd in enumerate((b'"\\ud800"', b"1e999999", b"9" * 5000, b"[" * 60 + b"]" * 60, b'{"":{"":1}}', b'""', b"null")):
        answer = service.post("/v1/contributions", body % (n, odd), token)
        if answer.status_code != 201:
            continue
        own = httpx.Client(base_url=service.base, follow_redirects=True)
        post(own, answer.json()["claim_url"])
        page = own.get(f"/r/of/{answer.json()['id']}?show=1")
        assert page.status_code == 200 and "Your own words and votes" in page.text, odd[:20]


def test_a_suspended_platforms_people_keep_their_page(service: Service, platform: PlatformParty, browser: Any) -> None:  # noqa: F811
    from app.parties.models import Platform

    [given] = platform.give(1)
    with write(service.runtime.engine) as session:
        session.execute(sa.update(Platform).where(Platform.id == platform.id).values(suspended_at=service.clock.now()))  # type: ignore[arg-type]
    post(browser, given.claim_url)
    assert browser.get("/r").status_code == 200
    assert "You took it back." in words(post(browser, f"/r/of/{given.id}/withdraw"))


def test_with_a_link_to_everything_one_acts_on_all_or_on_one(
    service: Service, platform: PlatformParty, lab: LabParty, browser: Any  # noqa: F811
) -> None:  # fmt: skip
    one, two = platform.give(2, contributor="all of it")
    release = lab.sdk.cut(lab.agree(platform), poll=0.05)
    url = accepted(service.post("/v1/portal-sessions", {"contributor": "all of it"}, service.token(platform)), 201)["url"]
    page = post(browser, url)
    assert one.id in page.text and two.id in page.text and lab.name in page.text and "2 things" in words(page) and release.id
    assert "You chose terms for all you give." in words(post(browser, "/r/of/all/terms", template="evaluation-only"))
    assert "And no more than this" in browser.get(f"/r/of/{one.id}").text
    # From one alone first: the other is still with the lab, and can still be taken back.
    post(browser, f"/r/of/{two.id}/lab", lab=lab.id)
    page = browser.get("/r")
    assert "For 1 of 2." in words(page) and f"/r/of/all/lab/{lab.id}" in page.text
    assert "You took it back from one lab." in words(post(browser, "/r/of/all/lab", lab=lab.id))
    page = browser.get("/r")
    assert "For 2 of 2." in words(page) and f"/r/of/all/lab/{lab.id}" not in page.text
    assert "You did this before" in post(browser, f"/r/of/{one.id}/lab", lab=lab.id).text
    assert "You took back all you gave." in words(post(browser, "/r/of/all/withdraw"))
    assert state_of(service, one.id) == state_of(service, two.id) == "withdrawn"
    assert "You did this before" in post(browser, "/r/of/all/withdraw").text


def test_a_lab_that_is_late_is_said_to_be(service: Service, platform: PlatformParty, lab: LabParty, browser: Any) -> None:  # noqa: F811
    from tests.support import until

    [given] = platform.give(1)
    agreement = lab.agree(platform)
    lab.sdk.cut(agreement, poll=0.05)
    post(browser, given.claim_url)
    post(browser, f"/r/of/{given.id}/withdraw")
    until(lambda: "We told the lab on" in browser.get("/r").text)
    assert "The lab is late." not in browser.get("/r").text
    service.clock.offset = timedelta(days=8)
    assert "The lab is late." in browser.get("/r").text
    service.clock.offset = timedelta()
    [recall] = lab.sdk.recalls(agreement).items
    lab.sdk.attest(recall.id, "deleted")
    assert "that it deleted its copy." in words(browser.get("/r"))
