"""Pledges on pages: what one would do is said before it is given, the last number counts, and it can be taken back until the end."""

from functools import partial
from typing import Any

import httpx

from app.kit.db import write
from app.revocations import striking
from tests.authenticator import Authenticator, added, wanted
from tests.collectives.members import founded, in_days, joined, people
from tests.collectives.test_pledging import opened, over, pledged, union_of
from tests.kit.refusals import state_of
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.talk import found
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_receipt_page import ledger_of, words
from tests.web.test_thread_pages import HOSTILE


def pledge(browser: httpx.Client, where: str, threshold: str, **more: str) -> httpx.Response:
    return post(browser, f"{where}/pledge", threshold=threshold, terms=found(browser.get(where).text, r'name="terms" value="(\w{64})"'), **more)


def test_a_pledge_is_said_given_and_taken_back_and_then_it_is_done(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    members, given = union_of(service, platform, 3)
    browsers = [window(service, one._person.receipt) for one in members]
    home = f"/r/collectives/{members[0].id}/campaigns"
    form: dict[str, Any] = {
        "demand": "Pay for what you test with.", "action": "withdraw", "against": lab.id, "mode": "at_deadline",
        "deadline": in_days(service, 2), "once": found(browsers[0].get(f"{home}/new").text, r'name="once" value="(\w+)"'),
    }  # fmt: skip
    started = [post(browsers[0], home, **form) for _ in range(2)]
    assert started[0].status_code == 200 and started[0].url == started[1].url, started[0].text
    where = started[0].url.path
    assert lab.name in browsers[1].get(home).text
    page = words(browsers[1].get(where))
    for said in (
        f"What you gave is taken back from {lab.name}. It gets nothing more, and must delete its copies.", "It happens only if enough have pledged.",
        "It is about all that you gave on this platform.", "0-9 (we tell it in steps)", "all pledges are destroyed",
        "At the fewest 3 people act", "After 60 days at the most nothing opens them there.",
    ):  # fmt: skip
        assert said in page, said
    for browser in browsers:
        assert "You pledged. You act if at least 2 others act too." in words(pledge(browser, where, "2"))
    assert "You pledged. You act if at least 4 others act too." in words(pledge(browsers[2], where, "4")), "the last number counts"
    for low in ("0", "1"):
        assert "You pledged. You act if at least 2 others act too." in words(pledge(browsers[2], where, low)), "three act at the fewest"
    assert "You have pledged" not in browsers[0].get(where.replace(where[-3:], "000")).text
    for wrong in ("-1", "many", "1.5", "99999999"):
        assert pledge(browsers[0], where, wrong).status_code == 422
    assert post(browsers[0], f"{where}/pledge", threshold="1", terms="0" * 64).status_code == 409
    for _ in range(2):
        assert "You have no pledge here." in words(post(browsers[2], f"{where}/take-back"))
    assert "Take my pledge back" not in browsers[2].get(where).text and "Take my pledge back" in browsers[1].get(where).text
    pledge(browsers[2], where, "2")
    over(service, members[0].campaigns()[0], 3)
    page = words(browsers[1].get(where))
    assert "Fewer than ten acted together." in page and "<button" not in browsers[1].get(where).text
    assert [state_of(service, one) for one in given] == ["live"] * 3 and f"Not by {lab.name}" in words(browsers[1].get(f"/r/of/{given[1]}"))
    late = post(browsers[1], f"{where}/take-back")
    assert late.status_code == 409 and "The campaign is over." in late.text


def test_what_a_standing_pledge_is_about_and_that_no_call_came(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    [(person, given)] = people(service, platform, 1)
    single = service.claim(given)
    union = founded(single, template=None)
    campaign = opened(service, union, lab=lab.id, mode="called")
    where, whole = f"/r/collectives/{union.id}/campaigns/{campaign['id']}", window(service, person.receipt)
    narrow = window(service, single.receipt)
    pledge(whole, where, "5")
    page = words(narrow.get(where))
    assert "Your pledge is about all that you gave" in page and "A new pledge takes its place" in page
    assert "A new pledge takes its place" not in words(whole.get(where))
    pledge(narrow, where, "5")
    assert "Your pledge is about the one thing that this receipt is for." in words(narrow.get(where))
    assert "Your pledge is about one thing alone that you gave." in words(whole.get(where))
    over(service, campaign, 3)
    for page in (words(whole.get(where)), words(whole.get(f"/r/collectives/{union.id}/campaigns"))):
        assert "The group did not call it in time." in page and "Too few pledged." not in page


def test_kinds_of_campaigns_and_what_is_wrong_with_one(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    members, _ = union_of(service, platform, 2)
    one, home = window(service, members[1]._person.receipt), f"/r/collectives/{members[0].id}/campaigns"
    day = partial(in_days, service)
    good = {"demand": HOSTILE, "action": "pause", "against": "purpose:dpv:Marketing", "mode": "instant", "deadline": day(2), "until": day(9)}
    shown = post(one, home, **good)
    assert "No lab gets anything of yours for" in words(shown) and "as soon as enough have pledged" in words(shown)
    for page in (shown, one.get(home)):
        assert "<script>alert" not in page.text and "\u202e" not in page.text and "[U+202E]" in page.text
    for change, status in (
        ({"deadline": "soon"}, 422), ({"deadline": day(0)}, 422), ({"deadline": day(120)}, 422), ({"until": day(1)}, 422), ({"until": ""}, 422),
        ({"action": "burn"}, 422), ({"against": ""}, 422), ({"against": "lab_" + "0" * 26}, 422), ({"against": "purpose:dpv:Nothing"}, 422),
        ({"demand": " "}, 422), ({"mode": ""}, 422), ({"at_least": "2"}, 422), ({"at_least": "some"}, 422),
    ):  # fmt: skip
        assert post(one, home, **{**good, **change}).status_code == status, change
    assert "gets nothing of what you give from then on" in words(post(one, home, **{**good, "action": "refuse_new", "against": lab.id}))
    campaign = opened(service, members[0], lab=lab.id)
    over(service, campaign)
    assert "Too few pledged. So nobody did anything" in words(one.get(f"{home}/{campaign['id']}"))


def test_who_has_no_voice_yet_is_told_so_and_what_a_restore_ended_says_so(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    (founder, _), (newcomer, _) = people(service, platform, 2)
    union = founded(founder, template=None, tenure_days=14)
    joined(union, newcomer)
    campaign = opened(service, union, lab=lab.id, at_least=7)
    where, browser = f"/r/collectives/{union.id}/campaigns/{campaign['id']}", window(service, newcomer.receipt)
    page = browser.get(where)
    assert "You have a say from" in words(page) and "At the fewest 7 people act" in words(page) and 'name="threshold"' not in page.text
    early = post(browser, f"{where}/pledge", threshold="1", terms=campaign["terms_sha256"])
    assert early.status_code == 403 and pledged(service, campaign) == []
    with write(service.runtime.engine) as session:
        striking.end_all(session, service.runtime, (), service.clock.now())
    for place in (where, where.rsplit("/", 1)[0]):
        assert "had to be put back to an earlier day" in words(browser.get(place))
    assert "no pledge of then is carried out" in ledger_of(service, kind="collectives")


def test_a_pledge_takes_the_passkey_and_keeps_nothing_of_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    members, _ = union_of(service, platform, 2)
    passkey, browser = Authenticator(service.base), window(service, members[1]._person.receipt)
    added(browser, passkey)
    campaign = opened(service, members[0], lab=lab.id)
    where = f"/r/collectives/{members[0].id}/campaigns/{campaign['id']}"
    asked = pledge(browser, where, "3")
    assert asked.status_code == 403 and "Pledge to act with others." in asked.text and pledged(service, campaign) == []
    assert "You pledged." in words(pledge(browser, where, "3", passkey=passkey.show(wanted(asked)))) and len(pledged(service, campaign)) == 1
