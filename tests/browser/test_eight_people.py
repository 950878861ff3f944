"""Eight people and a lab, in a real browser and without scripts: what it asks for becomes a contested licence whose release carries words
against it; then they strike. Only the days between are moved by hand, and the lab's own work is done by its client."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect
from sayso.collective import Collective
from sayso.folder import Folder

from app.collectives import queries
from app.parties.auth import COOKIE
from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.collectives.members import pass_days, people
from tests.collectives.test_pledging import rows as rows_in
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until

AGAINST = "We were asked once, and this will be used for years."


def test_from_a_labs_request_to_a_contested_licence_and_a_strike(
    service: Service, platform: PlatformParty, lab: LabParty, opened: Callable[..., Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    # Eight stand for the ten that a group must have before a lab hears of its decisions: each has a window, and those cost most. That it is
    # ten is tested without windows (tests/collectives/test_requests_decided.py, test_deciding.py).
    monkeypatch.setattr(queries, "FEWEST", 8)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    persons = [person for person, _ in people(service, platform, 8)]
    windows = []
    for person in persons:
        page = opened(PHONE, scripts=False)
        page.context.add_cookies([{"name": COOKIE, "value": person.receipt, "url": service.base}])
        windows.append(page)
    first, *others = windows
    # One founds, the others join, and each lets the group decide.
    first.goto(service.base + "/r/collectives")
    tap(first, "Found a group")
    first.locator("[name=name]").fill("Eight who test")
    first.locator("[name=aim]").fill("To say together what our tests are used for.")
    first.get_by_text("How long things take").click()
    first.locator("input[name=tenure_days]").fill("0")
    first.locator("input[name=requests][value=decide]").check()
    first.locator("input[name=listed][value=yes]").check()
    first.locator("input[name=choose][value=evaluation-only]").check()
    with first.expect_navigation():
        first.locator("main form button").last.click()
    home = first.url.partition("?")[0]
    group = Collective(persons[0], home.rpartition("/")[2])
    for page in others:
        page.goto(service.base + "/r/collectives")
        page.locator("input[name=id]").fill(group.id)
        with page.expect_navigation():
            page.locator("form[action='/r/collectives/look'] button").click()
        tap(page, "Yes, join")
    for page in windows:
        page.goto(home)
        with page.expect_navigation():
            page.get_by_role("button", name="Let the group decide with me").click()
        expect(page.get_by_role("status")).to_contain_text("From now on the terms of the group count too.")
    # A lab asks. It is put to the group by itself.
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    assert asked.state == "in_review"
    [thread] = lab.sdk.threads(asked.id)
    here = f"{home}/proposals/{thread['thread']}"
    for n, page in enumerate(windows):
        page.goto(home)
        tap(page, "Answer what a lab asks for")
        assert page.url == here
        expect(page.locator("main")).to_contain_text(lab.name)
        if n == 1:
            tap(page, "Statements to agree or disagree with")
            page.locator("textarea").fill("They should come and show us the model.")
            tap(page, "Put it up")
        elif n > 1:
            tap(page, "Statements to agree or disagree with")
            with page.expect_navigation():
                page.get_by_role("button", name="Agree", exact=True).click()
    [put] = lab.sdk.threads(asked.id)[0]["statements"]
    lab.sdk.explain(asked.id, thread["thread"], put["id"], "We come in May.")
    # Six say yes and two say no: it passes, and is contested.
    assert pass_days(service, group, thread["thread"], 7)["state"] == "ballot"
    for n, page in enumerate(windows):
        page.goto(here)
        page.locator(f"input[name=choice][value={'yes' if n < 6 else 'no'}]").check()
        if n >= 6:
            page.get_by_role("checkbox", name="It is not fair").check()
        with page.expect_navigation():
            page.get_by_role("button", name="Vote", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("Your vote is in.")
    assert pass_days(service, group, thread["thread"], 7)["state"] == "appeal"
    last = windows[7]
    last.goto(here)
    expect(last.get_by_role("row", name="All 6 2 0 0")).to_be_visible()
    expect(last.get_by_role("region", name="What came of it")).to_contain_text("contested")
    last.get_by_text("Write down why you are against it").click()
    last.get_by_label("Your words", exact=False).fill(AGAINST)
    tap(last, "Add my words")
    assert pass_days(service, group, thread["thread"], 7)["state"] == "in_force"
    # The lab cannot sign without the words, and gets them with the data.
    answer = until(lambda: (found := lab.sdk.asked(asked.id)).state == "offered" and found)
    agreement = lab.sdk.sign(lab.sdk.offer(str(answer.offer)))
    folder = Folder(lab.sdk, tmp_path / "data", agreement.id)
    folder.pull(format="jsonl+zstd", poll=0.05)
    assert [one.read_text() for one in (folder.path / "dissent").iterdir()] == [AGAINST]
    rows = list(folder.rows())
    assert len(rows) == 8 and {tuple(row["labels"]) for row in rows} == {("contested", "dissent")}
    assert json.loads((folder.path / "croissant.json").read_text())["usageInfo"]["sayso:dissent"]
    last.goto(service.base + "/r")
    expect(last.get_by_role("heading", name=lab.name)).to_be_visible()
    # They strike, and nothing more goes to the lab.
    first.goto(home)
    tap(first, "Propose something")
    tap(first, "Call a strike")
    first.locator("input[name=kind][value=pause]").check()
    first.get_by_label("Against which lab or use", exact=False).select_option(label=lab.name)
    first.get_by_label("Your text", exact=False).fill("They did not come in May.")
    first.get_by_label("It cannot wait", exact=False).check()
    tap(first, "Propose it")
    strike = re.search(r"/proposals/(\w+)", first.url)
    assert strike
    assert pass_days(service, group, strike[1], 1)["state"] == "ballot"
    for page in windows:
        page.goto(f"{home}/proposals/{strike[1]}")
        page.locator("input[name=choice][value=yes]").check()
        with page.expect_navigation():
            page.get_by_role("button", name="Vote", exact=True).click()
    pass_days(service, group, strike[1], 1)
    first.reload()
    expect(first.locator("main")).to_contain_text("was passed, and holds")
    assert rows_in(lab.sdk.cut(agreement, poll=0.05)) == 0
    seen = opened(PHONE)
    seen.goto(service.base + "/ledger?" + urlencode({"kind": "collectives", "lab": lab.name}))
    expect(seen.locator("main")).to_contain_text("Eight who test")
    expect(seen.locator("main")).to_contain_text(lab.name)
    no_barriers(seen)
