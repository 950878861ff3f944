"""A person objects in words of their own: they stand beside the record in every later release, stop nothing, and go with the person."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso import beside, errors, proofs, verify
from sayso.folder import Folder

from app.contributions.models import Objection
from app.kit.db import read
from app.log.models import LogEntry
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import at_once, call, refused
from tests.support import LabParty, PlatformParty, Service, on_one_backend, until
from tests.web.test_pages import browser, post  # noqa: F401  the fixture
from tests.web.test_receipt_page import words

WORDS = "Not for weapons. <b>Ever</b>\u202e"


def labelled(lab: LabParty, release: str) -> list[str]:
    return [label["label"] for label in lab.sdk.labels(release)]


def sealed(service: Service, contribution: str) -> list[Any]:
    with read(service.runtime.engine) as session:
        return list(session.execute(sa.select(Objection.statement).where(Objection.contribution_id == contribution)).scalars())  # type: ignore[call-overload]


def test_it_goes_along_with_every_later_release_until_it_is_withdrawn(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    mine, other = platform.give(2)
    agreement = lab.agree(platform, mode="standing", until="2099-01-01")
    earlier = lab.sdk.cut(agreement, poll=0.02)
    me = service.claim(mine)
    act = me.object(mine.id, WORDS, "en")
    assert (act["type"], act["contributions"], act["recalls"]) == ("objection.filed", 1, 0)
    assert verify.verify_receipt(proofs.parse(until(lambda: _settled(me, act["id"])), "it")).exit_code == verify.VERIFIED
    folder = Folder(lab.sdk, tmp_path / "data", agreement.id)
    release = folder.pull(cut=True, poll=0.02)
    [said] = beside.read(tmp_path / "data")
    rows = list(folder.rows())
    assert len(rows) == 2 and said["record_id"] in {row["record_id"] for row in rows}, "it narrows nothing"
    # Nothing in it but the words is the same under another agreement.
    assert (said["statement"], said["language"], set(said)) == (WORDS, "en", {"record_id", "statement", "language"})
    card = (tmp_path / "data" / "README.md").read_text("utf-8")
    assert "Somebody objects" in card and "<b>" not in card and "\u202e" not in card
    until(lambda: labelled(lab, release.id) == ["objection"])
    # A release of before is without it: a label that comes with an act would tell where a person's record is.
    assert labelled(lab, earlier.id) == [] and lab.sdk.objections(lab.sdk.deliver(earlier)) == []
    [entry] = entries(service, release.id)
    assert {"label": "objection"}.items() <= json.loads(entry.leaf).items() and WORDS not in entry.leaf.decode()
    # Once withdrawn, the words are deleted, and later releases are without them; a label stays.
    assert me.objections(mine.id)[0]["statement"] == WORDS
    me.withdraw_objection(mine.id, act["id"])
    assert sealed(service, mine.id) == [None] and me.objections(mine.id)[0]["statement"] is None
    assert lab.sdk.objections(lab.sdk.deliver(release)) == [] and labelled(lab, release.id) == ["objection"]
    later = folder.pull(cut=True, poll=0.02)
    assert not (tmp_path / "data" / beside.NAME).exists() and labelled(lab, later.id) == []
    assert [a["type"] for a in me.acts()] == ["objection.filed", "objection.withdrawn"] and other.id


def _settled(me: Any, act: str) -> Any:
    raw = me.act_file(act)
    return raw if json.loads(raw)["tlog_proof"] else None


def entries(service: Service, release: str) -> list[LogEntry]:
    with read(service.runtime.engine) as session:
        query = sa.select(LogEntry.leaf).where(LogEntry.subject == release, LogEntry.type == "label.added")  # type: ignore[call-overload]
        return list(session.execute(query).all())


def test_what_is_recalled_or_erased_takes_its_words_along(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    one, two = platform.give(2, contributor="says")
    [more] = platform.give(1)
    me = receipt_for_all(service, platform, "says")
    for given in (one, two):
        me.object(given.id, f"Against it {given.id}.")
    agreement = lab.agree(platform)
    folder = Folder(lab.sdk, tmp_path, agreement.id)
    folder.pull(poll=0.02)
    assert len(beside.read(tmp_path)) == 2
    me.erase(contribution=one.id)
    assert sealed(service, one.id) == []
    until(lambda: folder.sync().removed)
    assert [item["statement"] for item in beside.read(tmp_path)] == [f"Against it {two.id}."]
    # The other is read under the person's new key, and goes with the person.
    until(lambda: _completed(service, one.id))
    assert [o["statement"] for o in me.objections(two.id)] == [f"Against it {two.id}."]
    refused(call(service, "POST", f"/v1/contributions/{one.id}/objections", me.receipt, _body("x")), 410, "contribution_gone")
    me.erase("all")
    assert sealed(service, two.id) == [] and more.id
    (tmp_path / beside.NAME).write_text('{"record_id": 1}\n')
    with pytest.raises(errors.Damaged):
        beside.read(tmp_path)


def _completed(service: Service, contribution: str) -> bool:
    with read(service.runtime.engine) as session:
        return bool(session.execute(sa.text("SELECT 1 FROM erasure WHERE contribution_id = :c AND state = 'completed'"), {"c": contribution}).first())


def _body(statement: str, language: str = "en") -> bytes:
    return json.dumps({"statement": statement, "language": language}).encode()


def test_refusals_and_two_at_once(service: Service, platform: PlatformParty) -> None:
    mine, other = platform.give(2)
    me, stranger = service.claim(mine), service.claim(other)
    path = f"/v1/contributions/{mine.id}/objections"
    for bad in (_body("x" * 1_001), _body(" \n"), _body(""), _body("x", "no language"), b'{"statement": "x"}'):
        refused(call(service, "POST", path, me.receipt, bad), 422, "body_invalid")
    refused(call(service, "POST", path, stranger.receipt, _body("x")), 404, "not_found")
    answers: list[httpx.Response] = []
    at_once(4, lambda n: answers.append(call(service, "POST", path, me.receipt, _body(f"I object {n}."))))
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    refused(next(a for a in answers if a.status_code == 409), 409, "objection_stands")
    [made] = me.objections(mine.id)
    for wrong in ("x", "obj_" + "0" * 26, f"mrp_{'0' * 26}"):
        refused(call(service, "DELETE", f"{path}/{wrong}", me.receipt), 404, "not_found")
    refused(call(service, "DELETE", f"{path}/{made['id']}", stranger.receipt), 404, "not_found")
    me.withdraw_objection(mine.id, made["id"])
    refused(call(service, "DELETE", f"{path}/{made['id']}", me.receipt), 409, "objection_withdrawn")
    me.withdraw(ids=[mine.id])
    refused(call(service, "POST", path, me.receipt, _body("x")), 409, "already_withdrawn")


def test_on_the_page_it_says_that_it_stops_nothing(running: Service, browser: Any) -> None:  # noqa: F811
    on_one_backend(running, "what a page says does not depend on the database")
    [given] = running.platform().give(1)
    post(browser, given.claim_url)
    asked = browser.get(f"/r/of/{given.id}/object")
    assert "This stops no use." in words(asked) and f"/r/of/{given.id}/withdraw" in asked.text
    done = post(browser, f"/r/of/{given.id}/object", statement=f"{WORDS}\r\nNo.", language="en")
    assert "You said what you object to. It holds from now on." in words(done)
    seen = browser.get(f"/r/of/{given.id}")
    assert "&lt;b&gt;Ever&lt;/b&gt;[U+202E]\nNo." in seen.text and "Take these words back" in seen.text
    # The same again is done already; other words are not taken silently.
    assert "You did this before" in post(browser, f"/r/of/{given.id}/object", statement=f"{WORDS}\r\nNo.", language="en").text
    assert post(browser, f"/r/of/{given.id}/object", statement="Other.", language="en").status_code == 409
    assert post(browser, f"/r/of/{given.id}/object", statement=" ", language="en").status_code == 422
    made = browser.get(f"/r/of/{given.id}/object").text.split('name="objection" value="')[1][:30]
    for told in ("You took your words against it back.", "You did this before"):
        assert told in words(post(browser, f"/r/of/{given.id}/unobject", objection=made))
    assert httpx.post(f"{running.base}/r/of/{given.id}/object", data={"statement": "x"}).status_code == 403
