"""A lab's page for the thread of its own request: it reads without names, comments, replies and answers until the freeze."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.collectives import queries
from tests.collectives.members import pass_days
from tests.collectives.test_requests_decided import deciding
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_lab_pages import at_a_later_time
from tests.web.test_receipt_page import words


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def asked_of(service: Service, platform: PlatformParty, lab: LabParty) -> tuple[list[Any], str, str, httpx.Client]:
    """(members, request, thread, the lab's browser)"""
    mine = deciding(service, platform, lab)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    [thread] = lab.sdk.threads(asked.id)
    return mine, asked.id, thread["thread"], at_a_later_time(service, lab, timedelta())


def test_a_lab_speaks_in_its_own_thread_and_owes_answers_there(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine, request, thread, browser = asked_of(service, platform, lab)
    home = browser.get("/lab").text
    assert f'href="/lab/requests/{request}"' in home and "You can speak there until" in words(browser.get("/lab"))
    put = mine[1].put_up(thread, "For how <long>?")["id"]
    for one in (mine[0], mine[2]):
        one.weigh(thread, put, "agree")
    said = mine[2].comment(thread, "And who sees it?", ["privacy"])["id"]
    here, at = f"/lab/requests/{request}", f"/lab/requests/{request}/threads/{thread}"
    page = browser.get(here)
    shown = words(page)
    assert "For how <long>?" in shown and "And who sees it?" in shown and "The vote waits for your answer" in shown
    assert not any(one.me()["member"] in page.text for one in mine), "no member is named to the lab"
    once = page.text.partition('name="once" value="')[2].partition('"')[0]
    form = {"text": "Our own staff.", "reason-privacy": "1", "to": said, "once": once}
    for _ in range(2):
        answer = browser.post(at + "/comments", data=form)
        assert answer.status_code == 200 and answer.url.path == here
    assert [(one["text"], one["lab"], one["parent"]) for one in mine[0].comments(thread)][1:] == [("Our own staff.", lab.id, said)], "once"
    assert "Our own staff." in words(browser.get(here)) and "You · our privacy" in words(browser.get(here))
    browser.post(at + f"/statements/{put}/answer", data={"text": "A year."})
    answered = browser.post(at + f"/statements/{put}/answer", data={"text": "One year.\r\nNo more."})
    assert "One year. No more." in words(answered) and "Answer anew" in words(answered) and "The vote waits" not in words(answered)
    assert mine[1].statements(thread)[0]["answer"] == "One year.\nNo more."
    hidden = mine[1].comment(thread, "Something rude.", ["aim"])["id"]
    assert "Something rude." in words(browser.get(here))
    mine[0].hide(thread, hidden, "abuse")
    assert "Something rude." not in words(browser.get(here))
    assert pass_days(service, mine[0], thread, 7)["state"] == "ballot"
    late = at_a_later_time(service, lab, service.clock.offset)
    assert "Nothing is added here any more." in words(late.get(here)) and "<form" not in late.get(here).text
    frozen = late.post(at + "/comments", data={"text": "More.", "reason-aim": "1"})
    assert frozen.status_code == 409


def test_what_is_no_comment_or_not_its_own_is_refused_on_a_page(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine, request, thread, browser = asked_of(service, platform, lab)
    here, at = f"/lab/requests/{request}", f"/lab/requests/{request}/threads/{thread}"
    fine = {"text": "x", "reason-aim": "1"}
    for form in ({}, {"text": "x"}, {"text": "x", "reason-nothing": "1"}, {**fine, "text": "x" * 2001}, {**fine, "to": "x"}):
        refused = browser.post(at + "/comments", data=form)
        assert refused.status_code == 422 and refused.headers["content-type"].startswith("text/html"), form
    assert browser.post(at + "/statements/stm_" + "0" * 26 + "/answer", data={"text": "x"}).status_code == 404
    assert browser.post(at + "/comments", data=fine, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    other = at_a_later_time(service, service.lab(), timedelta())
    own = mine[0].propose("policy.narrow", "Less.", policy={"template": "nothing-new"})["id"]
    nothing = f"/lab/requests/req_{'0' * 26}"
    for client, path in ((other, at), (browser, f"{here}/threads/{own}"), (browser, f"{nothing}/threads/{thread}")):
        assert client.post(path + "/comments", data=fine).status_code == 404
    assert other.get(here).status_code == 404 and "Requests that groups decide on" not in other.get("/lab").text
    assert httpx.get(service.base + here).status_code == 401
    assert [*mine[0].comments(thread), *mine[0].comments(own)] == []
