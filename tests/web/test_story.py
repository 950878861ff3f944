"""What becomes of it: found by words, put under other terms together, told in order of time, and drawn."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import sqlalchemy as sa
from hypothesis import given as forall
from hypothesis import strategies as st

from app.consents.models import Consent
from app.contributions import finding
from app.core.wording import folded, has_all, strings, wanted
from app.kit.clock import from_micros
from app.kit.db import read
from app.kit.problems import CODES
from app.parties.auth import COOKIE
from app.revocations.timeline import Went
from app.web.picture import MOST_DRAWN, draw
from tests.support import LabParty, PlatformParty, Service, until
from tests.web.test_list_page import opened
from tests.web.test_pages import browser, post  # noqa: F401  the fixture
from tests.web.test_receipt_page import words

HOSTILE = "<b onload='x'>Stra\u00dfe</b> \u202egnp"


def test_it_is_found_by_words_that_nobody_notes(
    service: Service, platform: PlatformParty, browser: Any, monkeypatch: Any, capfd: Any  # noqa: F811
) -> None:  # fmt: skip
    [mine] = platform.give(1, contributor="seeks", parts={"text": {"q": HOSTILE, "n": [1, None]}, "judgment": "z"})
    others = platform.give(7, contributor="seeks")
    [stranger] = platform.give(1, parts={"text": HOSTILE})
    opened(service, platform, "seeks", browser)
    for looked in ("STRASSE z", "stra\u00dfe", HOSTILE, "<b"):
        page = post(browser, "/r/find", words=looked)
        assert page.text.count('class="item"') == 1 and mine.id in page.text and stranger.id not in page.text, looked
    assert "&lt;b onload=&#39;x&#39;&gt;Stra\u00dfe&lt;/b&gt; [U+202E]gnp" in post(browser, "/r/find", words=HOSTILE).text
    assert "Nothing here." in post(browser, "/r/find", words="nowhere").text
    for bad in ("", " ", "x" * 201):
        assert post(browser, "/r/find", words=bad).status_code == 422
    assert browser.post("/r/find", data={"words": "x"}).status_code == 403
    assert browser.get("/r/find").status_code in (401, 404, 405)
    # So many are opened at a time; the next look goes on where this one ended, for the same words alone.
    monkeypatch.setattr(finding, "LOOKED_AT", 5)
    page = post(browser, "/r/find", words="words")
    assert page.text.count('class="item"') == 4 and "We looked at 5 things. There are more." in words(page)
    cursor = page.text.split('name="cursor" value="')[1].split('"')[0]
    page = post(browser, "/r/find", words="words", cursor=cursor)
    assert page.text.count('class="item"') == 3 and others[-1].id in page.text and "That is all." in page.text
    told = post(browser, "/r/find", words="other", cursor=cursor)
    assert told.status_code in (400, 422) and CODES["cursor_invalid"] in told.text
    out, err = capfd.readouterr()
    assert "strasse" not in folded(out + err)


_WORDS, _LEAVES = st.text(max_size=8), st.text(max_size=8) | st.integers() | st.none()
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3))


@forall(_VALUES)
def test_words_are_looked_for_in_values_and_a_part_that_does_not_parse_is_text(value: Any) -> None:
    part = json.dumps(value)
    found = strings(part)
    assert all(has_all([part], wanted(one)) for one in found) and (isinstance(value, str) is False or found == [value])


def test_a_part_nested_too_deeply_to_be_read_is_one_text() -> None:
    assert strings("[" * 100_000) == ["[" * 100_000] and wanted(" ") == []


def policies(service: Service, ids: list[str]) -> list[int]:
    with read(service.runtime.engine) as session:
        query = sa.select(Consent.contribution_id, Consent.version).where(Consent.contribution_id.in_(ids), Consent.state == "current")  # type: ignore[call-overload,union-attr]
        found = dict(session.execute(query).all())
    return [found[one] for one in ids]


def test_several_get_other_terms_at_once_after_a_summary(
    service: Service, platform: PlatformParty, lab: LabParty, browser: Any  # noqa: F811
) -> None:  # fmt: skip
    one, two, gone = platform.give(3, contributor="scopes")
    [other] = platform.give(1)
    agreement = lab.agree(platform)
    lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.05))
    opened(service, platform, "scopes", browser)
    post(browser, f"/r/of/{gone.id}/withdraw")
    chosen = {given.id: "1" for given in (one, two, gone)}
    assert "Choose, and see what would change." in post(browser, "/r/some/terms", **chosen).text
    page = words(post(browser, "/r/some/terms", **chosen, choose="nothing-new"))
    assert "For 2 things they let nobody new have it." in page and lab.name in page
    assert policies(service, [one.id, two.id]) == [1, 1], "so far it was only looked at"
    page = post(browser, "/r/some/scope", **chosen, template="nothing-new")
    assert "2 things have new terms." in page.text and page.text.count("Save its receipt") == 2
    assert policies(service, [one.id, two.id]) == [2, 2]
    assert until(lambda: len(lab.sdk.recalls(agreement).items[-1:]))
    assert "It was done before" in post(browser, "/r/some/scope", **chosen, template="nothing-new").text
    assert policies(service, [one.id, two.id]) == [2, 2]
    assert post(browser, "/r/some/scope", template="nothing-new").status_code == 422
    assert post(browser, "/r/some/scope", **chosen, template="no such").status_code in (404, 422)
    assert post(browser, "/r/some/scope", **{other.id: "1"}, template="nothing-new").status_code == 404
    assert post(browser, "/r/some/terms", **{other.id: "1"}).status_code == 404
    assert browser.post("/r/some/scope", data={one.id: "1", "template": "nothing-new"}).status_code == 403


def test_what_happened_and_where_it_went(service: Service, platform: PlatformParty, lab: LabParty, browser: Any, tmp_path: Path) -> None:  # noqa: F811
    one, two = platform.give(2, contributor="told")
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    lab.fetch(lab.sdk.cut(agreement, poll=0.02), tmp_path)
    opened(service, platform, "told", browser)
    post(browser, f"/r/of/{one.id}/withdraw")
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    lab.sdk.acknowledge(recall.id)
    lab.sdk.attest(recall.id)
    lab.sdk.cut(agreement, poll=0.02)
    page = browser.get("/r/timeline")
    said = words(page)
    order = [
        f"{lab.name} may get one thing in a release.", f"{lab.name} said that it deleted one thing.", f"{lab.name} was told to delete one thing.",
        "You took it back.", f"{lab.name} got 2 things.", f"{lab.name} may get 2 things in a release.", "You gave 2 things of one sort: a vote.",
    ]  # fmt: skip
    assert [said.find(sentence) for sentence in order] == sorted(said.find(sentence) for sentence in order) and all(s in said for s in order), said
    page = browser.get("/r/where")
    said = words(page)
    assert "Closed. The lab got it on" in said and "Open to this lab. The lab did not get it yet." in said and two.id
    svg = ElementTree.fromstring(page.text[page.text.index("<svg") : page.text.index("</svg>") + 6])
    rows = page.text.count('scope="row"')  # a standing agreement cuts again by itself once something was recalled
    assert rows >= 2 and len(svg.findall("path")) == 2 * rows and len(svg.findall(".//rect")) == rows + 2 and " style=" not in page.text
    assert {"2 things", "1 thing"} <= {text.text for text in svg.findall(".//text")}
    # Nobody else's receipt tells of it.
    [another] = platform.give(1)
    seen = httpx.get(f"{service.base}/r/where", cookies={COOKIE: service.claim(another).receipt})
    assert "It went nowhere." in seen.text and lab.name not in seen.text


def test_a_picture_stays_within_its_frame() -> None:
    now = from_micros(1_800_000_000_000_000)
    found = [Went(f"r{n}", now, f"l{n % 30}", "L" * 80, n, bool(n % 2), None) for n in range(40)]
    picture = draw("<P>" * 50, found)
    assert draw("P", []) is None and picture is not None and len(picture.paths) == 2 * MOST_DRAWN
    for box in picture.boxes:
        assert 0 <= box.x and box.x + box.width <= picture.width and 0 <= box.y and box.y + box.height <= picture.height
        assert all(len(line) <= 20 for line in box.lines)
