"""A minority report on the proposal's page: supported and no longer with one button each, told in steps, and of nobody who."""

import re

import httpx

from app.collectives.dissent_models import ReportSupport
from tests.authenticator import Authenticator, added, wanted
from tests.collectives.members import joined, mandated, pass_days, people
from tests.collectives.test_deciding import union_of
from tests.collectives.test_supporting import decided
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend
from tests.web.test_collective_pages import at, stored
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_receipt_page import words


def test_a_member_supports_a_report_and_takes_it_back_on_its_page(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 5)
    proposal = decided(service, mine)
    report = mine[4].dissent(proposal, "It takes from us.")["id"]
    newcomer = joined(mine[0], people(service, platform, 1)[0][0])
    here, act = at(mine[0], f"/proposals/{proposal}"), at(mine[0], f"/proposals/{proposal}/report/{report}/support")
    windows = [window(service, one._person.receipt) for one in (*mine, newcomer)]
    assert "So far it stands for who wrote it alone. Others who support it: 0 (we tell it in steps)." in words(windows[1].get(here))
    assert [act in one.get(here).text for one in windows] == [True] * 4 + [False] * 2, "neither its author, nor who came later"
    for _ in range(2):
        done = words(post(windows[1], act, support="yes"))
        assert "You support it. Nobody is told that you do." in done and "Support it no longer" in done
    assert stored(service, ReportSupport, report_id=report) == 1
    for _ in range(2):
        done = words(post(windows[1], act, support="no"))
        assert "You support it no longer." in done and "Others who support it: 0 (" in done
    assert post(windows[4], act, support="yes").status_code == 409 and post(windows[5], act, support="yes").status_code == 403
    for one in windows[1:4]:
        post(one, act, support="yes")
    seen = windows[0].get(here)
    assert "With so much support it stands for several members together. Others who support it: 1-9 (" in words(seen)
    assert not any(one.me()["member"] in seen.text for one in mine[1:4])
    pass_days(service, mine[0], proposal, 7)
    seen = windows[1].get(here)
    assert "It stands for several members together. Others who support it: 1-9 (" in words(seen) and act not in seen.text
    assert post(windows[1], act, support="no").status_code == 410


def test_who_has_a_passkey_signs_a_support(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 3)
    proposal = decided(service, mine)
    act = at(mine[0], f"/proposals/{proposal}/report/{mine[2].dissent(proposal, 'It takes from us.')['id']}/support")
    browser, passkey = window(service, mine[1]._person.receipt), Authenticator(service.base)
    added(browser, passkey)
    for support, said in (("yes", "Support what somebody wrote against a text."), ("no", "Support what somebody wrote against a text no longer.")):
        asked = post(browser, act, support=support)
        assert asked.status_code == 403 and said in words(asked)
        done = post(browser, act, support=support, passkey=passkey.show(wanted(asked)))
        assert re.search(r"You support it(\.| no longer\.)", words(done))


def test_a_lab_reads_at_an_offer_what_a_report_is_and_of_nobody_who_supports_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 5)
    mandated(service, mine[1])
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    proposal = decided(service, mine)
    report = mine[4].dissent(proposal, "It takes from us.")["id"]
    for one in mine[1:4]:
        one.support(proposal, report)
    offer = str(lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).offer)
    desk = httpx.Client(base_url=service.base, follow_redirects=True)
    desk.get(lab.sdk.console())
    assert "Others can still support it." in words(desk.get(f"/lab/offers/{offer}"))
    pass_days(service, mine[0], proposal, 7)
    desk.get(lab.sdk.console())
    seen = desk.get(f"/lab/offers/{offer}")
    assert "A collective minority report: others supported it." in words(seen)
    assert not any(one.me()["member"] in seen.text for one in mine) and "1-9" not in words(seen)
