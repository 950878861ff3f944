"""Every page of what is said and pledged, in each state that it has, for whoever looks at all of them."""

from typing import Any

import httpx

from tests.collectives.members import in_days, pass_days, people, steward
from tests.collectives.test_pledging import over
from tests.support import LabParty, PlatformParty, Service
from tests.web.talk import PASTE, Talk, found, talk
from tests.web.test_further_receipts import window
from tests.web.test_pages import post


def every_talk_page(service: Service, platform: PlatformParty, lab: LabParty, **headers: str) -> dict[str, httpx.Response]:
    """By a name for each."""
    one = talk(service, platform, 5, author=3, tenure_days=0)
    for browser in one.browsers:
        browser.headers.update(headers)
    pages: dict[str, httpx.Response] = {}

    def look(name: str, n: int, where: str) -> httpx.Response:
        pages[name] = one.browsers[n].get(where if where.startswith("/r/") else one.base + where)
        return pages[name]

    def send(name: str, n: int, where: str, **form: str) -> httpx.Response:
        pages[name] = one.send(n, where, **form)
        return pages[name]

    for where in ("/statements", "/statements?all=1", "/comments", "/amendments", "/closing", "/statements/groups", "/statements/polis"):
        look("empty " + where, 1, where)
    look("no moderations", 1, one.home + "/moderations")
    look("no campaigns", 1, one.home + "/campaigns")
    put = send("put up", 1, "/statements", text="Words of mine.").url.params["said"]
    rude = one.members[1].put_up(one.proposal["id"], "Rude words.")["id"]
    look("one", 2, "/statements")
    send("weighed", 2, f"/statements/{put}/vote", choice="agree")
    look("owed", 3, "/statements?all=1&show=owed")
    said = one.members[2].comment(one.proposal["id"], "Words.", ["harm", "aim"], statement=put)["id"]
    one.members[3].comment(one.proposal["id"], "Words.", ["question"], parent=said)
    look("reply", 1, f"/comments?to={said}")
    look("on", 1, f"/comments?on={put}")
    one.members[1].amend(one.proposal, "Let us allow nothing.", policy={"template": "evaluation-only"})
    look("to settle", 3, "/amendments")
    look("hide", 0, f"/hide/{rude}")
    hidden = send("hidden", 0, f"/hide/{rude}", reason="spam").url.path
    look("all with hidden", 2, "/statements?all=1")
    look("appeal", 1, hidden)
    steward(service, one.members[4])
    send("appealed", 1, f"{hidden}/appeal", text="Words.")
    look("decide", 4, hidden)
    look("moderations", 2, one.home + "/moderations")
    look("polis in", 0, "/statements/polis")
    one.send(0, "/statements/polis", **PASTE)
    look("groups", 1, "/statements/groups")
    look("imported", 1, "/statements?all=1")
    one.members[3].answer(one.proposal["id"], put, "Words.")
    opened = pass_days(service, one.members[0], one.proposal["id"], 7)
    assert opened["state"] == "ballot", opened
    for where in ("/statements", "/statements?all=1", "/comments", "/amendments", "/statements/polis"):
        look("frozen " + where, 1, where)
    for member in one.members:
        member.vote(opened, "yes")
    pass_days(service, one.members[0], one.proposal["id"], 7)
    look("to close", 4, "/closing")
    send("closed", 4, "/closing", text="Words.", cites=said)
    look("to appeal", 2, "/closing")
    send("note appealed", 2, "/closing/appeal", grounds="note-misleading", text="Words.")
    look("to decide", 0, "/closing")
    send("note struck", 0, "/closing/decision", restore="yes")
    pages |= _pledging(service, one, lab)
    return pages | _others(service, platform, **headers)


def _pledging(service: Service, one: Talk, lab: LabParty) -> dict[str, httpx.Response]:
    home, pages = one.home + "/campaigns", {"call": one.browsers[1].get(one.home + "/campaigns/new")}
    form: dict[str, Any] = {"demand": "Words.", "deadline": in_days(service, 2), "until": in_days(service, 9), "mode": "at_deadline"}
    for action in ("withdraw", "pause", "refuse_new"):
        for against in (lab.id, "purpose:dpv:Marketing"):
            form["mode"] = "instant" if form["mode"] == "at_deadline" else "at_deadline"
            pages[f"{action} {against}"] = post(one.browsers[1], home, **form, action=action, against=against)
    where = pages[f"withdraw {lab.id}"].url.path
    terms = found(pages[f"withdraw {lab.id}"].text, r'name="terms" value="(\w{64})"')
    pages["pledged"] = post(one.browsers[1], f"{where}/pledge", threshold="5", terms=terms)  # which is not reached at once
    pages["taken back"] = post(one.browsers[1], f"{where}/take-back")
    for browser in one.browsers[:3]:
        post(browser, f"{where}/pledge", threshold="0", terms=terms)
    pages["campaigns"] = one.browsers[2].get(home)
    for campaign in one.members[0].campaigns():
        over(service, campaign, 1)
    pages["reached"] = one.browsers[1].get(where)
    pages["not reached"] = one.browsers[1].get(pages["pause purpose:dpv:Marketing"].url.path)
    return pages


def _others(service: Service, platform: PlatformParty, **headers: str) -> dict[str, httpx.Response]:
    """A member without a voice yet, and a steward of another group that is to close."""
    one, pages = talk(service, platform, 2, tenure_days=14), {}
    fresh = one.browsers[1]
    fresh.headers.update(headers)
    for where in ("/statements", "/comments", "/amendments"):
        pages["no voice " + where] = fresh.get(one.base + where)
    pages["no voice campaign"] = fresh.get(one.home + "/campaigns/new")
    two = talk(service, platform, 1)
    (stranger, _), *_ = people(service, platform, 1)
    two.browsers[0].headers.update(headers)
    opened = pass_days(service, two.members[0], two.proposal["id"], 7)
    two.members[0].vote(opened, "yes")
    pass_days(service, two.members[0], two.proposal["id"], 7)
    pages["to ask others"] = two.browsers[0].get(two.base + "/closing")
    outside = talk(service, platform, 1)
    outside.browsers[0].headers.update(headers)
    two.members[0].name_closer(two.proposal["id"], outside.members[0].id)
    pages["from outside"] = outside.browsers[0].get(two.base + "/closing")
    pages["from outside, statements"] = outside.browsers[0].get(two.base + "/statements")
    pages["nobody"] = httpx.get(service.base + two.base + "/closing", headers=headers, cookies=window(service, stranger.receipt).cookies)
    return pages
