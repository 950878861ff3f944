"""What anybody reads of organisations: the ledger by lab, kind and quarter, as a file too; a lab; the log."""

import csv
import io
import json
import re
import uuid
from datetime import timedelta
from html import unescape

import httpx
import pytest
from sqlmodel import select

from app.kit.clock import rfc3339
from app.kit.db import read, write
from app.log import ledger
from app.log.models import LogEntry
from app.parties import service as parties
from app.revocations import deadlines, striking
from app.web import ledger_words, organisations
from app.web.rendering import _detail as shown_detail
from tests.collectives.members import pass_days
from tests.collectives.test_deciding import union_of
from tests.kit.refusals import accepted, refused
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_reading_ease import MOST, grade, sentences
from tests.web.test_receipt_page import words

NASTY = '=HYPERLINK("x")<b>\u202e'


@pytest.fixture
def active(service: Service, platform: PlatformParty, lab: LabParty) -> LabParty:
    """A lab with an agreement, a release, a recall and the release that follows from it."""
    one, _ = platform.give(2)
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    release = lab.sdk.cut(agreement, poll=0.02)
    service.claim(one).withdraw()
    until(lambda: lab.sdk.recalls(agreement).items)
    until(lambda: lab.sdk.release(release.id).state == "superseded")  # a recall has a release without the record cut, which is in the ledger too
    return lab


def kinds(service: Service, **asked: str | list[str]) -> list[str]:
    return [item["act"]["type"] for item in accepted(service.http.get(service.base + "/v1/ledger", params=asked))["items"]]


def test_the_ledger_of_a_lab_a_kind_a_quarter(service: Service, active: LabParty) -> None:
    everything = kinds(service, lab=[active.id, active.name])
    assert {"agreement.signed", "request.offered", "admin.lab-added", "release.cut", "recall.opened"} <= set(everything)
    assert set(kinds(service, lab=active.name, kind="agreements")) == {"agreement.signed"}
    now = service.clock.now()
    quarter = f"{now.year}-Q{(now.month + 2) // 3}"
    assert kinds(service, lab=[active.id, active.name], quarter=quarter) == everything and kinds(service, lab=active.id, quarter="2001-Q1") == []
    assert kinds(service, lab="lab_" + "0" * 26) == []
    for bad in ({"kind": "x"}, {"quarter": "2026-Q5"}, {"quarter": "0001-Q1"}):
        refused(service.http.get(service.base + "/v1/ledger", params=bad), 422, "body_invalid")
        assert service.http.get(service.base + "/ledger", params=bad).status_code == 422
    page = service.http.get(service.base + "/ledger", params={"lab": active.id}).text
    assert f'href="/labs/{active.id}"' in page and f"/ledger.csv?lab={active.id}&" in page.replace("&amp;", "&")


def test_a_cursor_is_good_for_what_was_chosen(service: Service, platform: PlatformParty) -> None:
    with write(service.runtime.engine) as session:
        for _ in range(101):
            parties.add_platform(session, f"many {uuid.uuid4().hex}", now=service.clock.now())
    first = accepted(service.http.get(service.base + "/v1/ledger", params={"kind": "operator"}))
    assert len(first["items"]) == 100
    refused(service.http.get(service.base + "/v1/ledger", params={"cursor": first["next"]}), 400, "cursor_invalid")
    again = accepted(service.http.get(service.base + "/v1/ledger", params={"kind": "operator", "cursor": first["next"]}))
    assert again["items"][0]["index"] > first["items"][-1]["index"]


def test_a_file_for_a_spreadsheet_holds_no_formula(service: Service) -> None:
    name = f"{NASTY} {uuid.uuid4().hex}"
    with write(service.runtime.engine) as session:
        parties.add_platform(session, name, now=service.clock.now())
    answer = service.http.get(service.base + "/ledger.csv", params={"kind": "operator"})
    assert answer.headers["content-type"].startswith("text/csv") and "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows and not any(str(cell)[:1] in "=+-@" for row in rows for cell in row.values() if cell)


def test_pages_and_files_go_on_behind_what_was_looked_at(
    service: Service, platform: PlatformParty, active: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of the acts between are chosen, or are organisations' at all."""
    asked = {"lab": active.name, "kind": "agreements"}
    service.lab().agree(platform)  # another's act of the same kind, to go on behind
    whole = kinds(service, **asked)
    everything = [item["index"] for item in accepted(service.http.get(service.base + "/v1/ledger"))["items"]]
    monkeypatch.setattr(ledger, "_SCANNED", 1)
    monkeypatch.setattr(ledger, "MOST", 1)
    found, cursor, pages = [], {}, 0
    while True:
        page = accepted(service.http.get(service.base + "/v1/ledger", params={**asked, **cursor}))
        found += [item["act"]["type"] for item in page["items"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == whole and pages > 1
    shown = service.http.get(service.base + "/ledger", params={"lab": active.id, "quarter": "2001-Q1"}).text
    assert "Nothing yet" in shown
    shown = service.http.get(service.base + "/ledger", params={"lab": active.id}).text
    [later] = re.findall(r'href="(/ledger\?cursor=[^"]+)"', shown)
    assert "None of the entries" in shown
    assert service.http.get(service.base + unescape(later)).status_code == 200
    url, rows = "/ledger.csv", []
    while url and len(rows) < len(everything):
        answer = service.http.get(service.base + url)
        rows += [int(row["index"]) for row in csv.DictReader(io.StringIO(answer.text))]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert rows == everything[: len(rows)] and len(rows) > 5
    refused(service.http.get(service.base + "/ledger.csv", params={"after": "x"}), 422, "parameter_invalid")


@pytest.mark.parametrize("path", ["/ledger", "/ledger?kind=recalls", "/labs/{lab}", "/log", "/policies/{digest}"])
def test_public_pages_keep_to_themselves(service: Service, active: LabParty, path: str) -> None:
    on_one_backend(service, "headers do not depend on the database")
    digest = active.sdk.offer(str(active.sdk.request(EVALUATION).offer)).terms["policies"][0]["digest"]
    page = service.http.get(service.base + path.format(lab=active.id, digest=digest))
    assert page.status_code == 200 and "set-cookie" not in page.headers
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script" not in policy
    assert page.headers["referrer-policy"] == "same-origin" and page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "public, max-age=60"
    assert "<script" not in page.text and "style=" not in page.text and "http://" not in page.text.replace(service.base, "")


def test_a_labs_page_says_who_it_is_what_is_late_and_why_it_is_blocked(service: Service, active: LabParty) -> None:
    page = service.http.get(f"{service.base}/labs/{active.id}")
    assert page.status_code == 200 and "Recalls: notified" in page.text and "agreement signed" in page.text and "recall opened" in page.text
    assert page.headers["cache-control"] == "public, max-age=60" and len(page.content) < 60_000
    with write(service.runtime.engine) as session:
        parties.block_lab(session, active.id, NASTY, now=service.clock.now())
    blocked = service.http.get(f"{service.base}/labs/{active.id}").text
    assert "We give this lab nothing more" in blocked and "<b>" not in blocked and "[U+202E]" in blocked
    assert [s for s in sentences(page.text) if grade(s) > MOST] == []
    assert service.http.get(service.base + "/labs/lab_" + "0" * 26).status_code == 404


def test_a_set_of_terms_in_plain_words(service: Service, active: LabParty) -> None:
    digest = active.sdk.offer(str(active.sdk.request(EVALUATION).offer)).terms["policies"][0]["digest"]
    page = service.http.get(f"{service.base}/policies/{digest}")
    assert page.status_code == 200 and '<section lang="es" dir="ltr">' in page.text and f"/v1/policies/{digest}/exports/aipref" in page.text
    english = re.sub(r'<section lang="\w+" dir="\w+">.*?</section>', "", page.text, flags=re.DOTALL)
    assert '<section lang="ar" dir="rtl">' in page.text
    assert [s for s in sentences(english) if grade(s) > MOST] == []
    for wrong in ("0" * 64, "x"):
        assert service.http.get(f"{service.base}/policies/{wrong}").status_code == 404


def test_the_logs_page_has_what_it_takes_to_check_it(service: Service, platform: PlatformParty) -> None:
    platform.give(1)
    vkey = accepted(service.http.get(service.base + "/v1/log/key"))["vkey"]
    page = until(lambda: (p := httpx.get(service.base + "/log")) and "Signed up to" in p.text and p)
    assert vkey in page.text.replace("&#43;", "+") and f"sayso verify log {service.base}/v1/log" in page.text


def test_the_ledger_says_why_a_lab_was_refused_and_what_it_is_late_with(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """And in the file and as JSON the same."""
    one, _ = platform.give(2)
    release = lab.sdk.cut(lab.agree(platform), poll=0.02)
    assert lab.sdk.request(OPEN_TRAINING, selection={"platforms": [platform.id]}).state == "refused"
    service.claim(one).withdraw()
    recall = until(lambda: lab.sdk.recalls(release.agreement).items)[0]
    page = words(service.http.get(service.base + "/ledger", params={"lab": lab.id}))
    assert "request refused Asked for: to tune models, for science. The terms of those who gave it say no." in page
    assert "release cut Records: 1-9." in page and "recall opened Records: 1-9." in page
    assert set(kinds(service, lab=lab.id, kind="refusals")) == {"request.refused"}
    service.clock.offset += timedelta(days=8)
    deadlines.look(service.runtime, recall.id)
    assert "recall overdue Owed: an answer, since" in words(service.http.get(service.base + "/ledger", params={"lab": lab.id, "kind": "recalls"}))
    rows = csv.DictReader(io.StringIO(service.http.get(service.base + "/ledger.csv", params={"lab": lab.id}).text))
    told = {row["type"]: row for row in rows}
    assert json.loads(told["request.refused"]["use"])["purposes"] and told["recall.overdue"]["owed"] == "acknowledge"
    assert told["release.cut"]["records"] == "1-9" and told["agreement.signed"]["dissent"] == "0"


def test_the_ledger_says_what_a_group_decided_and_did(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 2)
    recall = mine[0].propose("licence.recall", "Nothing more to this lab.", subject=lab.id)
    opened = pass_days(service, mine[0], recall["id"], 7)
    for one in mine:
        one.vote(opened, "yes")
    pass_days(service, mine[0], recall["id"], 7)
    campaign = mine[0].open_campaign("Pay.", "withdraw", rfc3339(service.clock.now() + timedelta(days=2)), lab=lab.id)
    service.clock.offset += timedelta(days=2, seconds=2)
    striking.resolve(service.runtime, campaign["id"])
    name = mine[0].read()["name"]
    page = words(service.http.get(service.base + "/ledger", params={"lab": lab.id, "kind": "collectives"}))
    assert f"collective lab refused Decided by the group {name}." in page and "campaign not reached To take back what was given." in page
    with read(service.runtime.engine) as session:
        leaf = session.exec(select(LogEntry.leaf).where(LogEntry.subject == recall["id"], LogEntry.type == "outcome.decided")).one()
    told = " ".join(str(said) for said in ledger_words.detail(json.loads(leaf)))
    nasty = shown_detail({"type": "collective.lab-refused", "name": NASTY})[0].__html__()
    assert "<b>" not in nasty and "[U+202E]" in nasty, "a group's name is only text"
    assert told == f"A vote: to refuse a lab. It passed. Decided by the group <bdi>{name}</bdi>."
    assert lab.name in words(service.http.get(service.base + "/ledger", params={"lab": lab.id, "kind": "refusals"}))
    assert [s for s in sentences(service.http.get(service.base + f"/ledger?kind=collectives&lab={lab.id}").text) if grade(s) > MOST] == []


def test_every_act_that_pages_name_can_be_chosen_by_its_kind() -> None:
    chosen = tuple(prefix for kind, prefixes in ledger.KINDS.items() for prefix in prefixes)
    assert not [act for act in organisations.ACTS if not act.startswith(chosen)]
