"""The list of all that somebody gave: narrowed by kind and state, and some of it taken back at once."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx

from tests.kit.refusals import accepted, state_of
from tests.support import LabParty, PlatformParty, Service, until
from tests.web.test_pages import browser, post  # noqa: F401  the fixture
from tests.web.test_receipt_page import words


def opened(service: Service, platform: PlatformParty, who: str, browser: httpx.Client) -> httpx.Response:  # noqa: F811
    url = accepted(service.post("/v1/portal-sessions", {"contributor": who}, service.token(platform)), 201)["url"]
    return post(browser, url)


def test_some_are_taken_back_at_once_after_a_summary(
    service: Service, platform: PlatformParty, lab: LabParty, browser: Any  # noqa: F811
) -> None:  # fmt: skip
    one, two, three = platform.give(3, contributor="many")
    [other] = platform.give(1)
    lab.sdk.deliver(lab.sdk.cut(lab.agree(platform), poll=0.05))
    assert f'name="{one.id}"' in opened(service, platform, "many", browser).text
    chosen = {one.id: "1", two.id: "1"}
    page = post(browser, "/r/some", **chosen)
    assert "Take 2 things back?" in page.text and lab.name in page.text
    assert {state_of(service, g.id) for g in (one, two, three)} == {"live"}  # so far it was only looked at
    page = post(browser, "/r/some/withdraw", **chosen)
    assert "You took it back. It holds from now on." in words(page) and "delete 2 copies" in words(page)
    assert [state_of(service, g.id) for g in (one, two, three)] == ["withdrawn", "withdrawn", "live"]
    assert "You did this before" in post(browser, "/r/some/withdraw", **chosen).text
    # None, another's, and what is no id at all.
    assert "You chose none." in post(browser, "/r/some").text and post(browser, "/r/some/withdraw").status_code == 422
    for form in ({other.id: "1"}, {three.id: "1", other.id: "1"}, {"x": "1"}, {"\0": "1"}):
        for address in ("/r/some", "/r/some/withdraw"):
            assert post(browser, address, **form).status_code == (400 if "\0" in form else 404), form
    assert browser.post("/r/some/withdraw", data={three.id: "1"}).status_code == 403
    assert state_of(service, three.id) == state_of(service, other.id) == "live"


def test_the_list_is_narrowed_by_kind_and_state_also_on_its_further_pages(
    service: Service, platform: PlatformParty, browser: Any  # noqa: F811
) -> None:  # fmt: skip
    items = [{"external_id": f"f{i}", "kind": "rating", "contributor": "fil", "parts": {"judgment": i}} for i in range(51)]
    assert all(i.ok for i in platform.sdk.record_many(items))
    [vote] = platform.give(1, contributor="fil")
    opened(service, platform, "fil", browser)
    page = browser.get("/r?kind=preference")
    assert page.text.count('class="item"') == 1 and vote.id in page.text
    page = browser.get("/r?kind=rating&state=live")
    assert page.text.count('class="item"') == 50
    following = page.text.split('href="/r?')[1].split('"')[0].replace("&amp;", "&")
    assert browser.get(f"/r?{following}").text.count('class="item"') == 1
    assert browser.get(f"/r?{following.replace('kind=rating', 'kind=preference')}").status_code == 400
    post(browser, f"/r/of/{vote.id}/withdraw")
    assert vote.id in browser.get("/r?state=withdrawn").text and vote.id not in browser.get("/r?state=live").text
    assert "Nothing here." in browser.get("/r?state=erased").text
    assert browser.get("/r?kind=&state=").text.count('class="item"') == 50
    for odd in ("kind=none-such", "state=%00", "kind=%F0%9F%96%8B"):
        assert browser.get(f"/r?{odd}").status_code == 200


def test_everything_is_saved_as_one_file_whose_proofs_hold(
    service: Service, platform: PlatformParty, browser: Any, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    exact = b'{"external_id":"z","kind":"rating","contributor":"zip","parts":{"judgment":{"score":1.50,"n":9007199254740993}}}'
    odd = accepted(service.post("/v1/contributions", exact, service.token(platform)), 201)["id"]
    kept, gone = platform.give(2, contributor="zip")
    assert httpx.get(service.base + "/r/everything").status_code == 401
    opened(service, platform, "zip", browser)
    last = post(browser, f"/r/of/{kept.id}/terms", template="nothing-new").url.params["act"]
    post(browser, f"/r/of/{gone.id}/terms", template="nothing-new")
    post(browser, f"/r/of/{gone.id}/erase", sure="yes")
    until(lambda: browser.get(f"/r/act/{last}").json()["tlog_proof"])
    answer = browser.get("/r/everything")
    assert answer.headers["content-type"] == "application/zip" and answer.headers["cache-control"] == "no-store"
    file = zipfile.ZipFile(io.BytesIO(answer.content))
    assert file.testzip() is None
    names = set(file.namelist())
    assert {f"{folder}/{one}.{end}" for one in (odd, kept.id) for folder, end in (("given", "json"), ("terms", "txt"), ("receipts", "json"))} <= names
    assert not [name for name in names if gone.id in name] and "READ-ME.txt" in names
    assert b'"judgment": {"score":1.50,"n":9007199254740993}' in file.read(f"given/{odd}.json")
    assert json.loads(file.read(f"given/{kept.id}.json"))["parts"]["judgment"] == {"winner": "a"}
    assert b"Nobody new may get or use what you gave." in file.read(f"terms/{kept.id}.txt")
    act = f"acts/{last}.json"
    assert [name for name in names if name.startswith("acts/")] == [act]  # the other's opening went with what it was about
    vkey = service.http.get(service.base + "/v1/log/key").json()["vkey"]
    for name in (f"receipts/{kept.id}.json", act):
        (tmp_path / "file.json").write_bytes(file.read(name))
        done = subprocess.run(
            [sys.executable, "-m", "sayso.cli", "verify", "receipt", str(tmp_path / "file.json"), "--vkey", vkey], capture_output=True, text=True
        )  # fmt: skip
        assert "This receipt holds." in done.stdout, (name, done.stdout + done.stderr)
