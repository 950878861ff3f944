"""What a collective refuses is public at once, its reasons seven days later, and the lab is heard before."""

import csv
import html
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from app.collectives import queries
from app.collectives.models import Refusal, RefusalReply
from app.collectives.thread_models import Words
from app.kit.db import read, write
from app.log.models import LogEntry
from tests.collectives.members import joined, pass_days, people, refuses, steward
from tests.collectives.test_deciding import union_of
from tests.collectives.test_disputing import operator
from tests.collectives.test_requests_decided import deciding, vote
from tests.kit.refusals import call, get, lab_token, refused
from tests.revocations.test_replay import dies, finished
from tests.support import EVALUATION, LabParty, PlatformParty, Service
from tests.web.test_further_receipts import window


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if three people were ten."""
    monkeypatch.setattr(queries, "FEWEST", 3)


def listed(service: Service, lab: LabParty) -> Any:
    [found] = get(service, f"/v1/refusals?lab={lab.id}").json()["items"]
    return found


def beside(service: Service, lab: LabParty) -> tuple[Any, Any]:
    """What the ledger has beside the refusal, as JSON and as CSV."""
    items = get(service, f"/v1/ledger?lab={lab.id}&kind=collectives").json()["items"]
    rows = csv.DictReader(io.StringIO(get(service, f"/ledger.csv?lab={lab.id}&kind=collectives").text))
    [item] = [one for one in items if one["act"]["type"] == "collective.use-refused"]
    [row] = [one for one in rows if one["type"] == "collective.use-refused"]
    return item["beside"], row


def quoted(service: Service, page: str) -> set[str]:
    """What a page quotes."""
    return {html.unescape(text) for text in re.findall(r"<blockquote[^>]*>([^<]*)</blockquote>", get(service, page, Accept="text/html").text)}


def test_a_lab_reads_the_reasons_first_and_replies_once_beside_them(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, 4)
    asked = lab.sdk.request(EVALUATION, {"platforms": [platform.id]})
    proposal = lab.sdk.threads(asked.id)[0]["thread"]
    put = mine[1].put_up(proposal, "It is for adverts.")["id"]
    lab.sdk.explain(asked.id, proposal, put, "It is not.")
    browser, page = window(service, mine[2]._person.receipt), f"/r/collectives/{mine[2].id}/proposals/{proposal}"
    for where in ("/statements", "/comments"):
        assert "The lab that asks can read this, but not who said it." in browser.get(page + where).text, where
    assert vote(service, mine, proposal, "no")["state"] == "failed"
    fact = listed(service, lab)
    assert (fact["id"], fact["request"], fact["lab"], fact["reasoning"], fact["reply"]) == (proposal, asked.id, lab.name, None, None)
    assert "The lab that this is about reads your note at once. In seven days all can read it." in browser.get(page + "/closing").text
    mine[2].close(proposal, "=Nobody wanted adverts.", put)
    assert listed(service, lab)["reasoning"] is None
    [ours] = lab.sdk.refusals()
    assert ours["reasoning"] == "=Nobody wanted adverts."
    refuses("reply_too_long", lambda: lab.sdk.reply(proposal, "no " * 501))
    other = service.lab()
    path = f"/v1/labs/me/refusals/{proposal}/reply"
    refused(call(service, "POST", path, lab_token(service, other), b'{"text": "x"}'), 404, "not_found")
    refused(call(service, "POST", path, None, b'{"text": "x"}'), 401, "token_missing")
    answered = lab.sdk.reply(proposal, "There are no adverts.")
    assert (answered["reply"], len(answered["reply_sha256"])) == ("There are no adverts.", 64)
    refuses("reply_exists", lambda: lab.sdk.reply(proposal, "None at all."))
    assert (listed(service, lab)["reasoning"], listed(service, lab)["reply"]) == (None, "There are no adverts."), "its own words need not wait"
    service.clock.offset += timedelta(days=7)
    said, row = beside(service, lab)
    assert (said["outcome"], said["reasoning"], said["reply"]) == (proposal, "=Nobody wanted adverts.", "There are no adverts.")
    assert (row["reasoning"], row["reply"]) == ("'=Nobody wanted adverts.", "There are no adverts.")
    pages = (f"/ledger?lab={lab.id}&kind=collectives", f"/labs/{lab.id}")
    for page in pages:
        assert {"=Nobody wanted adverts.", "There are no adverts."} <= quoted(service, page), page
    # What is hidden or erased is gone from all of that, and the log stays as it was.
    assert operator(service, "hide", proposal, "abuse").exit_code == 0
    steward(service, mine[3])
    mine[3].hide(proposal, mine[3].closure_notes(proposal)[0]["id"], "abuse")
    said, row = beside(service, lab)
    assert (said["reasoning"], said["reply"], row["reasoning"], row["reply"]) == (None, None, "", "")
    assert said["reply_sha256"] == answered["reply_sha256"]
    assert not any("adverts" in text for page in pages for text in quoted(service, page))
    assert operator(service, "restore", proposal).exit_code == 0
    assert listed(service, lab)["reply"] == "There are no adverts."
    lab.sdk.take_reply_back(proposal)
    refuses("not_found", lambda: lab.sdk.take_reply_back(proposal))
    refuses("reply_exists", lambda: lab.sdk.reply(proposal, "Again."))
    found = listed(service, lab)
    assert (found["reply"], found["reply_sha256"]) == (None, answered["reply_sha256"])
    with read(service.runtime.engine) as session:
        assert session.exec(select(Words).where(Words.item_id == session.get_one(RefusalReply, proposal).id)).first() is None
    for change in (sa.update(Refusal).values(lab_id=other.id), sa.delete(Refusal)):
        with pytest.raises(DBAPIError, match="never changed"), write(service.runtime.engine) as session:
            session.execute(change.where(Refusal.proposal_id == proposal))
    types = [item["act"]["type"] for item in get(service, f"/v1/ledger?lab={lab.id}").json()["items"]]
    assert [one for one in types if one.startswith(("refusal.", "collective.", "admin.reply"))] == [
        "collective.use-refused", "refusal.replied", "admin.reply-hidden", "admin.reply-restored", "refusal.reply-erased",
    ]  # fmt: skip


def test_a_refusal_that_died_keeps_its_own_place_in_the_log(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, 3)
    recall = mine[0].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    opened = pass_days(service, mine[0], recall, 7)
    for one in mine:
        one.vote(opened, "yes")
    dies(service, lambda: pass_days(service, mine[0], recall, 7))
    finished(service)
    platform.give(1)  # what comes between
    service.runtime.jobs.run("deadline", recall)
    with read(service.runtime.engine) as session:
        entry = session.get_one(LogEntry, session.get_one(Refusal, recall).log_index)
    assert (entry.type, entry.subject) == ("collective.lab-refused", mine[0].id)
    grant = mine[0].propose("licence.grant", "After all.", subject=lab.id)["id"]
    vote(service, mine, grant, "yes")
    dies(service, lambda: pass_days(service, mine[0], grant, 7))
    finished(service)
    service.runtime.jobs.run("deadline", grant)
    assert mine[0].proposal(grant)["state"] == "in_force", "what was done from its line in the journal was done"


def test_a_second_refusal_does_nothing_and_one_that_is_not_public_says_nothing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = union_of(service, platform, 3)
    both = [mine[n].propose("licence.recall", "Not them.", subject=lab.id)["id"] for n in range(2)]
    for opened in [pass_days(service, mine[0], one, days) for one, days in zip(both, (7, 0), strict=True)]:
        for one in mine:
            one.vote(opened, "yes")
    assert [pass_days(service, mine[0], one, days)["state"] for one, days in zip(both, (7, 0), strict=True)] == ["in_force", "moot"]
    assert listed(service, lab)["id"] == both[0]
    other = service.lab()
    quiet = union_of(service, platform, 1, listed=False)
    quiet += [joined(quiet[0], person, invitation=quiet[0].read()["invitation"]) for person, _ in people(service, platform, 2)]
    assert vote(service, quiet, quiet[0].propose("licence.recall", "Nor them.", subject=other.id)["id"], "yes")["state"] == "in_force"
    assert get(service, f"/v1/refusals?lab={other.id}").json()["items"] == []
    with read(service.runtime.engine) as session:
        leaf = session.exec(select(LogEntry.leaf).where(LogEntry.subject == quiet[0].id, LogEntry.type == "collective.lab-refused")).one()
    assert json.loads(leaf)["name"] is None


def test_reasons_that_come_late_are_heard_late_and_a_refusal_of_a_whole_lab_too(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    mine = deciding(service, platform, lab, 3, appeal_days=30)
    recall = mine[0].propose("licence.recall", "Not them.", subject=lab.id)["id"]
    assert vote(service, mine, recall, "yes")["state"] == "in_force"
    assert listed(service, lab)["request"] is None
    service.clock.offset += timedelta(days=8)
    refuses("reply_closed", lambda: lab.sdk.reply(recall, "Why?"))
    mine[1].close(recall, "They did not answer.", None)
    assert listed(service, lab)["reasoning"] is None, "seven days from when it was written"
    lab.sdk.reply(recall, "We did.")
    service.clock.offset += timedelta(days=7)
    assert (listed(service, lab)["reasoning"], listed(service, lab)["reply"]) == ("They did not answer.", "We did.")


def test_who_erases_their_note_leaves_every_refusal_standing(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """The reasons that they wrote go with them. That the labs are refused stays, and so do the reasons that others wrote, and the reply."""
    mine, other = deciding(service, platform, lab, 4), service.lab()
    recalls = [mine[0].propose("licence.recall", "Not them.", subject=one.id)["id"] for one in (lab, other)]
    for days in (7, 7):
        opened = [pass_days(service, mine[0], recall, days * (n == 0)) for n, recall in enumerate(recalls)]
        for one in mine if opened[0]["state"] == "ballot" else ():
            for proposal in opened:
                one.vote(proposal, "yes")
    for who, recall in zip((mine[2], mine[1]), recalls, strict=True):
        who.close(recall, f"Why {recall}.", None)
    lab.sdk.reply(recalls[0], "That is wrong.")
    service.clock.offset += timedelta(days=7)
    assert [listed(service, one)["reasoning"] for one in (lab, other)] == [f"Why {recall}." for recall in recalls]
    mine[2]._person.erase("all")
    ours, theirs = listed(service, lab), listed(service, other)
    assert (ours["id"], ours["reasoning"], ours["reply"]) == (recalls[0], None, "That is wrong.")
    assert (theirs["id"], theirs["reasoning"]) == (recalls[1], f"Why {recalls[1]}.")
    assert lab.sdk.request(EVALUATION, {"platforms": [platform.id]}).state == "refused"
