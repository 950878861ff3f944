"""A lab's pages: opened by a link of its own, showing what is its own, and taking a signature that was made elsewhere."""

import html
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sayso import cli
from sayso.contributor import Contributor
from sayso.lab import _WHY
from sayso.terms import duty

from app.agreements.models import Agreement
from app.core.canonical import b64u
from app.kit.db import write
from app.kit.problems import CODES
from app.parties.links import OPERATOR
from app.parties.models import Lab
from app.releases import cutting
from app.releases import service as releases
from app.releases.cutting import Cut
from app.releases.models import REASONS, Release, ReleaseDeletion
from app.web.lab_pages import WHY
from tests.faults.cuts import queued
from tests.kit.refusals import accepted, lab_token, refused
from tests.revocations.test_compensation import ALL, handed_over, paying
from tests.revocations.test_deleting import USE, brief
from tests.revocations.test_duties import REPORTING
from tests.support import EVALUATION, LabParty, PlatformParty, Service, consent, on_one_backend, until


@pytest.fixture
def window(service: Service, lab: LabParty) -> httpx.Client:
    """A browser's session of the lab."""
    window = httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base})
    page = window.get(lab.sdk.console())
    assert page.url.path == "/lab" and lab.name in page.text
    return window


def at_a_later_time(service: Service, lab: LabParty, later: timedelta) -> httpx.Client:
    """A session that was opened then: the lab's own clock, by which it asks for tokens, stays where it is."""
    service.clock.offset = later
    code = service.runtime.parts["console_sessions"].code(lab.id, service.clock.now())
    return httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base}, cookies={"sayso_lab": code})


def offered(lab: LabParty, platform: PlatformParty) -> str:
    return str(lab.sdk.request(EVALUATION, selection={"platforms": [platform.id]}).offer)


def test_from_the_offer_to_the_recall(service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client) -> None:
    given = platform.give(2)
    offer = offered(lab, platform)
    assert f"/lab/offers/{offer}" in window.get("/lab").text
    page = window.get(f"/lab/offers/{offer}")
    raw = lab.sdk.offer(offer)
    owed = [duty(one) for one in json.loads(raw.raw)["obligations"]]
    assert owed and all(line in html.unescape(page.text) for line in owed)
    assert all(line in html.unescape(page.text) for line in raw.deed) and lab.key.thumbprint in page.text and "None came with it." in page.text
    saved = window.get(f"/lab/offers/{offer}/bytes")
    assert saved.content == raw.raw and "attachment" in saved.headers["content-disposition"]
    signature = lab.key.sign("sayso-acceptance+jws", saved.content)
    # A terminal breaks long lines; what is copied from it has them still.
    broken = "\n  ".join(signature[n : n + 70] for n in range(0, len(signature), 70))
    page = window.post(f"/lab/offers/{offer}", data={"acceptance": broken})
    agreement = page.url.path.removeprefix("/lab/agreements/")
    assert page.status_code == 200 and lab.sdk.agreement(agreement).offer == offer and "None was cut yet." in page.text
    assert window.get(f"/lab/offers/{offer}").url.path == page.url.path
    release = lab.sdk.cut(agreement, poll=0.05)
    shown = window.get(page.url.path).text
    assert release.id in shown and "name nobody" in shown and "give credit" not in shown, "as the offer puts it"
    Contributor.claim(given[0].claim_url).withdraw()
    recall = until(lambda: lab.sdk.recalls(agreement).items)[0]
    page = window.get(page.url.path)
    assert recall.id in page.text and "say that you read it" in page.text
    home = at_a_later_time(service, lab, timedelta(days=40)).get("/lab").text
    assert "late. All can see this" in home and home.count(WHY["stopped"][0]) == 1
    service.clock.offset = timedelta()
    lab.sdk.attest(recall.id)
    home = window.get("/lab").text
    assert " late." not in home and WHY["stopped"][0] not in home
    shown = window.get(page.url.path)
    assert "Nothing is owed now." in window.get("/lab").text
    assert "attested" in shown.text and "say that you read it" not in shown.text
    assert "say that you read it" in window.get(page.url.path + "?all=1").text


def test_what_is_late_is_said_to_be_seen_or_to_stop_only_where_it_is(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """A late payment is told to nobody; a late report to all from its day, and a month later nothing new goes to the lab."""
    platform.give(1, consent=consent("any-training-with-credit-and-report-back"))
    reporting = lab.agree(platform, REPORTING)
    lab.sdk.deliver(lab.sdk.cut(reporting, poll=0.05))
    [every] = [int(task.obligation["every"][1:-1]) for task in lab.sdk.duties(reporting) if task.task == "reportBack"]
    other = service.platform()
    other.give(1, consent=paying(service, other))
    handed_over(service, lab, lab.agree(other, ALL), 1)
    told = []
    for days in (29, 31, every + 1, every + 31):
        home = at_a_later_time(service, lab, timedelta(days=days)).get("/lab").text
        told.append((home.count("1 late."), home.count("All can see this."), home.count(WHY["stopped"][0])))
    assert told == [(0, 0, 0), (1, 0, 0), (2, 1, 0), (2, 1, 1)]


def test_a_release_whose_time_is_over_is_told_with_its_command(
    service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client
) -> None:
    on_one_backend(service)
    platform.give(1, consent=brief(service, platform))
    agreement = lab.agree(platform, USE)
    release = lab.sdk.cut(agreement, poll=0.05)
    assert "sayso delete" not in window.get(f"/lab/agreements/{agreement.id}").text + window.get(f"/lab/releases/{release.id}").text
    lab.sdk.deliver(release)
    for path in (f"/lab/agreements/{agreement.id}", f"/lab/releases/{release.id}"):
        assert "sayso delete data" in window.get(path).text and "late</strong>" not in window.get(path).text
        later = at_a_later_time(service, lab, timedelta(days=11)).get(path).text
        assert "sayso delete data" in later and "late</strong>" in later
        service.clock.offset = timedelta()
    assert "late. All can see this" in at_a_later_time(service, lab, timedelta(days=11)).get("/lab").text
    operator = httpx.Client(base_url=service.base, follow_redirects=True)
    shown = operator.get("/operator/open/" + service.runtime.parts["operator_links"].code(OPERATOR, service.clock.now())).text
    assert release.id in shown and "Its time is over." in shown
    # Where it was told only after its day, that it is late goes by when it was told.
    day = service.clock.now() + timedelta(days=5)
    for late_from, told in ((None, ""), (day, f"You were told of that day late: you are late from {day.day} {day:%B} {day.year} on.")):
        with write(service.runtime.engine) as session:
            session.get_one(ReleaseDeletion, release.id).late_from = late_from
        shown = at_a_later_time(service, lab, timedelta(days=11)).get(f"/lab/releases/{release.id}").text
        assert "sayso delete data" in shown and "late</strong>" not in shown and told in shown and ("You were told" in shown) == (told != "")
    assert "late</strong>" in at_a_later_time(service, lab, timedelta(days=17)).get(f"/lab/releases/{release.id}").text
    service.clock.offset = timedelta()
    lab.sdk.attest_deletion(release.id, lab.sdk.deletion_statement(lab.sdk.release_file(release.id), "cannot_remove", ["<b>Model</b>"]))
    shown = window.get(f"/lab/releases/{release.id}").text
    assert "it cannot be taken out of <bdi>&lt;b&gt;Model&lt;/b&gt;</bdi>" in shown and "sayso delete" not in shown
    assert "sayso delete" not in window.get(f"/lab/agreements/{agreement.id}").text


def words_of(page: httpx.Response) -> str:
    return html.unescape(page.text)


def test_a_cut_is_watched_and_given_up_on_its_page(
    service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.give(20)
    agreement = lab.agree(platform)
    with write(service.runtime.engine) as session:
        session.get_one(Agreement, agreement.id).shard_bits = 2
    first, cut, seen = queued(service, agreement), queued(service, agreement), []
    where, keep = f"/lab/releases/{cut.release}", Cut._keep
    assert "It waits for its turn" in window.get(where).text

    def kept(self: Cut, built: Any) -> None:
        keep(self, built)
        if self is not cut:
            return  # one that a worker of the service makes
        seen.append(words_of(window.get(where)))
        if len(seen) == 2:
            assert ", 2 of 4 files" in window.get(f"/lab/agreements/{agreement.id}").text
            assert httpx.post(service.base + where, cookies=window.cookies).status_code == 403, "from a page of ours alone"
            assert "You gave it up. Nothing of it is here." in words_of(window.post(where))

    monkeypatch.setattr(Cut, "_keep", kept)
    cut.run()
    assert ["1 of 4 files are made." in seen[0], "2 of 4 files are made." in seen[1], len(seen)] == [True, True, 2]
    assert 'href="' + where + '"' in seen[0] and "refresh" not in seen[0], "looked at again by a link: nothing moves by itself"
    assert lab.sdk.release(cut.release).reason == "lab"
    first.run()
    done = words_of(window.post(f"/lab/releases/{first.release}"))
    assert "It is there" in done and "Give up this cut" not in done and lab.sdk.release(first.release).state == "published"
    stranger = httpx.Client(base_url=service.base, follow_redirects=True, headers={"Origin": service.base})
    stranger.get(service.lab().sdk.console())
    assert {stranger.get(where).status_code, stranger.post(where).status_code, window.get("/lab/releases/x").status_code} == {404}


def test_a_cut_that_came_to_nothing_says_why_and_what_to_do(
    service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(WHY) == set(REASONS) <= set(_WHY)
    platform.give(1)
    agreement = lab.agree(platform)

    def ended(release: str, state: str, reason: str) -> None:
        found = lab.sdk.release(release)
        assert (found.state, found.reason) == (state, reason)
        assert all(told in words_of(window.get(f"/lab/releases/{release}")) for told in (*WHY[reason], "Nothing of it is here."))

    full, other, stopped, over = (queued(service, agreement).release for _ in range(4))
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(service.runtime.blobs, "put_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        releases.cut(service.runtime, full)
    assert lab.sdk.release(full).reason is None, "it is tried again"
    releases.fail(service.runtime, full)
    ended(full, "failed", "storage")
    # What stood in the way first is not what stands there now.
    for broken in (OSError(28, "No space left on device"), RuntimeError("a mistake of ours")):
        with monkeypatch.context() as patch, pytest.raises(type(broken)):
            patch.setattr(service.runtime.blobs, "put_file", lambda *_, broken=broken: (_ for _ in ()).throw(broken))
            releases.cut(service.runtime, other)
    releases.fail(service.runtime, other)
    ended(other, "failed", "service")
    with monkeypatch.context() as patch:
        patch.setattr(cutting, "stopped", lambda *_: True)
        releases.cut(service.runtime, stopped)
    ended(stopped, "cancelled", "stopped")
    shown = [words_of(window.get(f"/lab/releases/{release}")) for release in (stopped, full)]
    assert ["--cut" in one for one in shown] == [False, True] and "It was given up" not in shown[0], "nothing is advised that would be refused"
    with write(service.runtime.engine) as session:
        session.get_one(Agreement, agreement.id).state = "ended"
    releases.cut(service.runtime, over)
    ended(over, "cancelled", "agreement")
    with write(service.runtime.engine) as session:
        session.get_one(Release, over).reason = None
    assert "Why was not kept." in window.get(f"/lab/releases/{over}").text


def test_signatures_that_are_not_taken(service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client) -> None:
    platform.give(1)
    offer = offered(lab, platform)
    raw = lab.sdk.offer(offer).raw
    other = lab.key.sign("sayso-acceptance+jws", raw.replace(b'"snapshot"', b'"standing"'))
    for value in ("", "x", "a.b.c", b64u(b"{}") + "..", other, "é" * 10, "\x00"):
        page = window.post(f"/lab/offers/{offer}", data={"acceptance": value})
        assert page.status_code == (400 if value == "\x00" else 422) and "text/html" in page.headers["content-type"], (value, page.status_code)
    good = lab.key.sign("sayso-acceptance+jws", raw)
    assert httpx.post(f"{service.base}/lab/offers/{offer}", data={"acceptance": good}, cookies=window.cookies).status_code == 403
    late = at_a_later_time(service, lab, timedelta(days=60))
    assert "open no more" in late.get(f"/lab/offers/{offer}").text
    assert late.post(f"/lab/offers/{offer}", data={"acceptance": good}).status_code == 410


def test_nobody_else_gets_in(service: Service, platform: PlatformParty, lab: LabParty, window: httpx.Client) -> None:
    platform.give(1)
    offer, agreement = offered(lab, platform), lab.agree(platform).id
    other = service.lab()
    stranger = httpx.Client(base_url=service.base, follow_redirects=True)
    assert CODES["console_ended"] in html.unescape((shut := stranger.get("/lab")).text) and shut.status_code == 401
    stranger.get(other.sdk.console())
    for path in (f"/lab/offers/{offer}", f"/lab/offers/{offer}/bytes", f"/lab/agreements/{agreement}", "/lab/agreements/x"):
        page = stranger.get(path)
        assert page.status_code == 404 and "text/html" in page.headers["content-type"], path
    refused(service.post("/v1/console-links", b"{}", service.token(platform)), 401, "token_wrong_party")
    link = accepted(service.post("/v1/console-links", b"{}", lab_token(service, lab)), 201)
    code = link["url"].rsplit("/", 1)[1]
    for wrong in (code[:-1], code[:-2] + "zz", code.upper(), "x" * 66, window.cookies["sayso_lab"]):
        assert httpx.get(f"{service.base}/lab/open/{wrong}").status_code == 404
    # A link is no session, a session of before has ended, and neither is forever.
    assert httpx.get(f"{service.base}/lab", cookies={"sayso_lab": code}).status_code == 404
    service.clock.offset = timedelta(minutes=16)
    assert httpx.get(link["url"]).status_code == 404 and window.get("/lab").status_code == 200
    service.clock.offset = timedelta(hours=9)
    assert window.get("/lab").status_code == 404


def test_the_command_prints_the_link(lab: LabParty, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab.key.save(tmp_path / "key.json")
    assert cli.main(["console", "--service", service.base, "--client-id", lab.id, "--key", str(tmp_path / "key.json")]) == 0
    assert httpx.get(capsys.readouterr().out.strip(), follow_redirects=True).status_code == 200


def test_a_name_stays_a_name(service: Service) -> None:
    lab = service.lab()
    with write(service.runtime.engine) as session:
        session.get_one(Lab, lab.id).legal_name = "<b>Evil</b>\u202e" + json.dumps(lab.id)
    page = httpx.get(lab.sdk.console(), follow_redirects=True)
    assert "<b>Evil" not in page.text and "&lt;b&gt;Evil" in page.text and "[U+202E]" in page.text
