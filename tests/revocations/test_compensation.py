"""Compensation: lines that add up, who sees which, what the lab says and what the payee says."""

import json
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso.errors import Conflict, NotFound, Problem

from app.core import vocabulary as words
from app.crypto.commitment import payee, record_id, rid_seed
from app.kit.db import read
from app.log.models import LogEntry
from app.revocations.models import CompensationLine
from tests.collectives.members import founded, in_force, joined, mandated, people
from tests.core.policy_cases import odrl, owed, rule
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted, refused
from tests.releases.test_sets import terms
from tests.revocations.test_duties import later, tasks
from tests.support import EVALUATION, LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_pages import post
from tests.web.test_reading_ease import MOST, grade, sentences

ALL = {**EVALUATION, "accepts": sorted(words.OBLIGATIONS)}


def paying(service: Service, platform: PlatformParty, amount: str = "0.50", currency: str = "EUR", per: str = "record") -> Any:
    return terms(service, platform, rule("evaluate"), obligation=[owed("compensate", (amount, currency, per))])


def handed_over(service: Service, lab: LabParty, agreement: Any, lines: int) -> str:
    """A new release, delivered; waits for so many lines of it."""
    release = str(lab.sdk.cut(agreement, poll=0.02).id)
    lab.sdk.deliver(release)
    until(lambda: len(lines_of(lab, agreement, release)) == lines)
    return release


def lines_of(lab: LabParty, agreement: Any, release: str) -> list[dict[str, Any]]:
    return [line for line in lab.sdk.compensation(agreement)[1] if line["release"] == release]


def in_step(service: Service, lab: LabParty) -> None:
    """The lab's clock goes with the service's."""
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()  # type: ignore[method-assign]


def leaves(service: Service, act: str, agreement: str) -> list[dict[str, Any]]:
    with read(service.runtime.engine) as session:
        found = session.execute(sa.select(LogEntry.leaf).where(LogEntry.type == act)).scalars()  # type: ignore[call-overload]
        return [body for leaf in found if (body := json.loads(leaf))["agreement"] == agreement]


def test_from_the_first_delivery_to_a_dispute(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    kept = paying(service, platform)
    platform.give(2, consent=kept, contributor="twice")
    [once] = platform.give(1, consent=kept, contributor="once")
    platform.give(1, contributor="for nothing")
    agreement = lab.agree(platform, ALL, mode="standing", until="2099-01-01")
    assert [(t.due, t.state) for t in tasks(lab, agreement)["compensate"]] == [(None, "standing")]
    release = handed_over(service, lab, agreement, 2)
    lab.sdk.deliver(release)  # again: owed once
    totals, lines = lab.sdk.compensation(agreement)
    assert totals == [{"release": release, "currency": "EUR", "lines": 2, "total": 150, "due": 150, "paid": 0, "disputed": 0}]
    assert sorted((line["amount"], line["records"], line["state"]) for line in lines) == [(50, 1, "due"), (100, 2, "due")]
    small = min(lines, key=lambda line: line["amount"])
    [task] = tasks(lab, agreement)["compensate"]
    assert (task.of, task.state, task.due) == (release, "open", small["due"])
    assert {t.state for t in later(service, agreement.id, 31) if t.task == "compensate"} == {"overdue"}

    # Whoever gave it sees it; a receipt for one thing does not show what else there is.
    person, other = receipt_for_all(service, platform, "once"), receipt_for_all(service, platform, "twice")
    [mine] = person.owed()
    assert (mine["id"], mine["lab"], mine["amount"], mine["payee"]) == (small["id"], lab.name, 50, small["payee"])
    assert [line["id"] for line in service.claim(once).owed()] == [small["id"]]
    with pytest.raises(Conflict) as early:
        person.dispute(mine["id"], "not-received")
    assert early.value.code == "compensation_not_due"
    with pytest.raises(NotFound):
        other.dispute(mine["id"], "too-little")

    assert lab.sdk.paid(agreement, "Bank transfer of today, no. 7", lines=[small["id"]]) == 1
    assert person.owed()[0]["evidence"] == "Bank transfer of today, no. 7"
    told = person.dispute(mine["id"], "not-received")
    assert (told["state"], person.dispute(mine["id"], "not-received")) == ("disputed", told)
    assert [act["type"] for act in person.acts()] == ["compensation.disputed"]
    totals, lines = lab.sdk.compensation(agreement)
    assert [totals[0][state] for state in ("total", "due", "paid", "disputed")] == [150, 100, 0, 50]
    assert next(line for line in lines if line["id"] == small["id"])["reason"] == "not-received"
    assert lab.sdk.paid(agreement, "Both, once more", release=release) == 2 and lab.sdk.paid(agreement, "Again", release=release) == 0
    assert person.owed()[0]["evidence"] == "Both, once more"
    assert {t.state for t in later(service, agreement.id, 31) if t.task == "compensate"} == {"done"}

    # The public log: numbers in steps, and no total of fewer than ten payees.
    [due], paid = leaves(service, "compensation.due", agreement.id), leaves(service, "compensation.paid", agreement.id)
    assert (due["lines"], due["totals"]) == ("1-9", {"EUR": None}) and [p["totals"] for p in paid] == [{"EUR": None}] * 2
    assert small["payee"] not in str(due) and "transfer" not in str(paid)


def test_ten_payees_have_a_total_and_a_record_is_paid_for_once(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    kept = paying(service, platform, "0.07", "USD")
    platform.give(11, consent=kept)
    agreement = lab.agree(platform, ALL, mode="standing", until="2099-01-01")
    handed_over(service, lab, agreement, 11)
    assert leaves(service, "compensation.due", agreement.id)[0]["totals"] == {"USD": "77"}
    platform.give(1, consent=kept)
    second = handed_over(service, lab, agreement, 1)
    assert [line["amount"] for line in lines_of(lab, agreement, second)] == [7]


def test_a_sum_for_a_release_or_a_year_is_shared_to_the_cent(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(3, consent=paying(service, platform, "100.00", "EUR", "release"))
    platform.give(1, consent=paying(service, platform, "10.00", "JPY", "year"), contributor="yearly")
    agreement = lab.agree(platform, ALL, mode="standing", until="2099-01-01")
    first = handed_over(service, lab, agreement, 4)
    assert sorted(line["amount"] for line in lines_of(lab, agreement, first)) == [10, 3333, 3333, 3334]
    again = handed_over(service, lab, agreement, 3)  # the sum for a release is owed for each
    assert {line["currency"] for line in lines_of(lab, agreement, again)} == {"EUR"}
    service.runtime.jobs.run("compensate", first)
    assert len(lines_of(lab, agreement, first)) == 4
    in_step(service, lab)
    service.clock.offset = timedelta(days=366)
    service.runtime.jobs.run("compensate", first)
    assert sum(line["amount"] for line in lines_of(lab, agreement, first) if line["currency"] == "JPY") == 20


def test_what_cannot_be_paid_or_disputed(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    on_one_backend(service)
    platform.give(1, consent=paying(service, platform), contributor="a")
    agreement = lab.agree(platform, ALL)
    release = handed_over(service, lab, agreement, 1)
    [line] = lines_of(lab, agreement, release)
    for given in ({"release": "rel_" + "0" * 26}, {"lines": [line["id"], "cpl_" + "0" * 26]}):
        with pytest.raises(NotFound):
            lab.sdk.paid(agreement, "nothing", **given)
    for given in ({}, {"lines": [line["id"]], "release": release}, {"lines": []}):
        with pytest.raises(Problem) as bad:
            lab.sdk.paid(agreement, "nothing", **given)
        assert bad.value.code == "body_invalid"
    with pytest.raises(NotFound):
        service.lab().sdk.paid(agreement, "not ours", release=release)
    holder = receipt_for_all(service, platform, "a")
    answer = service.post(f"/v1/contributions/me/compensation/{line['id']}/dispute", {"reason": "spite"}, holder._auth._secret)
    refused(answer, 422, "body_invalid")
    # Erased: what is owed stays owed, and what the lab wrote of the person goes.
    lab.sdk.paid(agreement, "To Ann, at her bank", release=release)
    holder.erase("all")
    [left] = lines_of(lab, agreement, release)
    assert (left["state"], left["evidence"], left["payee"]) == ("paid", None, line["payee"])


def test_what_only_a_collectives_policy_asks_for_is_owed_to_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    (ann, _), (ben, _) = people(service, platform, 2)
    union = founded(ann, None)
    mine = [union, joined(union, ben)]
    text = odrl([rule("evaluate")], obligation=[owed("compensate", ("3.00", "EUR", "release"))])
    digest = accepted(service.post("/v1/policies", {"policy": text}, service.token(platform)))["digest"]
    proposal = union.propose("policy.adopt", "Labs pay us.", policy={"policy": digest})
    in_force(service, mine, proposal)
    for one in mine:
        mandated(service, one)
    in_step(service, lab)
    agreement = lab.agree(platform, ALL)
    release = handed_over(service, lab, agreement, 1)
    [line] = lines_of(lab, agreement, release)
    assert (line["payee"], line["collective"], line["amount"], line["records"]) == (union.id, True, 300, 2)
    assert [owed["collective"] for owed in ben.owed()] == [union.id]
    assert ben.dispute(line["id"], "too-little")["state"] == "disputed"


def test_their_page(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    name = uuid.uuid4().hex
    platform.give(1, consent=paying(service, platform), contributor=name)
    agreement = lab.agree(platform, ALL)
    release = handed_over(service, lab, agreement, 1)
    browser = httpx.Client(base_url=service.base, follow_redirects=True, headers={"Accept": "text/html"})
    url = accepted(service.post("/v1/portal-sessions", {"contributor": name}, service.token(platform)), 201)["url"]
    assert 'href="/r/pay"' in post(browser, url).text
    [line] = lines_of(lab, agreement, release)
    pages = [browser.get("/r/pay"), browser.get(f"/r/pay/{line['id']}")]
    assert "0.50 EUR" in pages[0].text and "Not paid yet" in pages[0].text and "I did not get it" not in pages[1].text
    lab.sdk.paid(agreement, "<b>Sent</b>\u202e", release=release)
    pages.append(browser.get("/r/pay"))
    assert "&lt;b&gt;Sent&lt;/b&gt;[U+202E]" in pages[-1].text
    pages += [browser.get(f"/r/pay/{line['id']}"), post(browser, f"/r/pay/{line['id']}", reason="not-received")]
    assert "it did not come" in pages[-1].text and "You said that a payment is wrong." in browser.get("/r").text
    assert post(browser, f"/r/pay/{line['id']}", reason="spite").status_code == 422
    measured = [grade(sentences(page.text)) for page in pages]
    assert max(measured) <= MOST and {page.status_code for page in pages} == {200}, measured
    with read(service.runtime.engine) as session:
        assert session.get_one(CompensationLine, line["id"]).state == "disputed"


def test_a_payee_is_another_under_every_agreement_and_joins_no_rows() -> None:
    seed = rid_seed(bytes(32), "ctb_x")
    assert len({payee("agr_a", seed), payee("agr_b", seed), record_id("agr_a", seed), record_id("agr_b", seed)}) == 4
