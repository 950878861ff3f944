"""Forms of a collective's pages, each sent once, and what is told of what it made: inside, and to all."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sayso.collective import Collective

from app.collectives import queries
from app.collectives.models import Collective as Row
from app.kit.clock import rfc3339
from app.kit.db import write
from tests.collectives.members import cut_of, pass_days
from tests.collectives.test_deciding import NARROW, union_of
from tests.kit.refusals import get
from tests.support import LabParty, PlatformParty, Service, on_one_backend
from tests.web.talk import found
from tests.web.test_collective_pages import at, hidden
from tests.web.test_further_receipts import window
from tests.web.test_pages import post
from tests.web.test_receipt_page import words


def proposed(browser: httpx.Client, union: Collective, kind: str, **said: str) -> httpx.Response:
    """The page of a proposal that was put up by its form."""
    form = browser.get(at(union, f"/propose?type={kind}"))
    made = post(browser, at(union, "/propose"), once=hidden(form, "once"), type=kind, words="Words.", **said)
    assert made.status_code == 200 and "Your proposal is there." in words(made), made.text
    return made


def id_of(page: httpx.Response) -> str:
    return str(page.url.path).rpartition("/")[2]


def test_what_all_are_told_of_a_vote_depends_on_how_many_could_vote(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service)
    mine = union_of(service, platform, 3)
    one, two = (window(service, member._person.receipt) for member in mine[:2])
    public = f"/collectives/{mine[0].id}"
    refusing = proposed(one, mine[0], "licence.recall", subject=lab.id)
    assert f"It is about this lab: {lab.name}." in words(refusing) and lab.name not in get(service, public).text
    opened = pass_days(service, mine[0], id_of(refusing), 7)
    for member in mine:
        member.vote(opened, "yes")
    pass_days(service, mine[0], id_of(refusing), 7)
    told = get(service, public)
    assert "Nothing that all may see." in words(told) and "Refuse a lab" not in words(told).partition("What it decided")[2]
    assert "Labs that get nothing of its members" in told.text and f'<a href="/labs/{lab.id}">' in told.text
    monkeypatch.setattr(queries, "FEWEST", 3)  # as if three people were ten
    told = get(service, public)
    assert "Refuse a lab: passed" in words(told) and f"/proposals/{id_of(refusing)}/outcome" in told.text
    assert "You work for" not in words(two.get(at(mine[1])))
    noted = post(two, at(mine[1], "/declare"), interest=lab.id)
    assert "A lab that you work for counts at once, a group in votes that begin in a week or later." in words(noted)
    assert f"You work for {lab.name}" in words(noted)
    assert mine[1].me()["interest"] == lab.id and post(two, at(mine[1], "/declare"), interest="lab_" + "0" * 26).status_code == 422


def test_each_kind_of_proposal_is_told_by_what_it_is_about(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_one_backend(service)
    monkeypatch.setattr(queries, "FEWEST", 2)
    mine = union_of(service, platform, 2)
    one, two = (window(service, member._person.receipt) for member in mine)
    other = mine[1].me()["member"]
    electing = proposed(one, mine[0], "steward.elect", subject=other)
    assert f"It is about this member: {other[4:10]}." in words(electing) and "It is about this member: you." in words(two.get(electing.url.path))
    assert "It is about this member: you." in words(proposed(one, mine[0], "steward.remove", subject=mine[0].me()["member"]))
    agreement = lab.agree(platform)
    effect: dict[str, Any] = {"metric": "accuracy", "with": "0.81", "without": "0.79", "n": 1000, "ci": None}
    release = cut_of(service, agreement).release
    report = lab.sdk.report(agreement, model="m", version="1", stages=["eval"], releases=[release], records_used=2, effect=effect)
    measured = {"report": report.id, "metric": "accuracy", "with": "0.70", "without": "0.71", "n": "900", "ci": ""}
    for wrong in ({"n": "many"}, {"report": release}, {"metric": ""}):
        assert post(one, at(mine[0], "/propose"), type="effect.dispute", words="No.", **{**measured, **wrong}).status_code == 422
    disputing = proposed(one, mine[0], "effect.dispute", **measured)
    said = f"It answers this lab: {lab.name}. accuracy: 0.70 with the data, 0.71 without it, in 900 cases."
    assert said in words(disputing) and report.id in disputing.text
    where = disputing.url.path
    objected = post(two, where + "/objection", once=hidden(two.get(where), "once"), words="It harms.")
    withdraw = found(objected.text, r'action="([^"]*/objection/mrp_\w+/withdraw)"')
    assert "/withdraw" not in one.get(where).text, "only one's own"
    for _ in range(2):
        assert "You took your objection back." in words(back := post(two, withdraw)) and "Objection, taken back" in words(back)


def test_a_group_whose_name_was_lost_is_called_that_everywhere(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    [mine] = union_of(service, platform, 1)
    browser, lost = window(service, mine._person.receipt), "A group whose name was lost"
    asked = mine.open_campaign("Pay.", "withdraw", rfc3339(service.clock.now() + timedelta(days=9)), lab=lab.id)
    proposal = mine.propose("policy.narrow", "Less.", **NARROW)
    with write(service.runtime.engine) as session:
        row = session.get_one(Row, mine.id)
        row.name = ""
        session.add(row)
    for address in (at(mine), at(mine, f"/proposals/{proposal['id']}"), f"/collectives/{mine.id}"):
        page = browser.get(address).text
        assert lost in page.partition("</title>")[0] and lost in page.partition("</title>")[2], address
    for address in (at(mine, "/leave"), at(mine, f"/campaigns/{asked['id']}"), "/r", "/r/collectives", "/r/calls"):
        assert lost in browser.get(address).text, address
