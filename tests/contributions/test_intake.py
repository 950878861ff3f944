"""What a platform's engineer sees of its hooks, as API and as page; and trying a refused line again."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from app.contributions.hooks import KEEP_CONTENT, forget_refused
from app.contributions.import_models import ImportRefusal, ImportRun
from app.kit.db import write
from tests.contributions.fastchat_logger import post, sent, vote
from tests.contributions.test_fastchat_hook import NOTICE, contributions, hook, reports
from tests.contributions.test_importing import SAMPLES, job, perform
from tests.kit.refusals import accepted, call, refused
from tests.support import PlatformParty, Service, shell

UNKNOWN_POLICY = {**{k: v for k, v in NOTICE.items() if k != "template"}, "policy": "0" * 64}


def page(service: Service, platform: PlatformParty) -> str:
    code = service.runtime.parts["intake_links"].code(platform.id, service.clock.now())
    return f"{service.base}/intake/{code}"


def test_what_was_received_and_how_late(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    assert accepted(call(service, "GET", "/v1/intake", token)) == {"recorded": 0, "imports": [], "hooks": []}
    url, other = hook(service, platform), hook(service, platform, NOTICE)
    now = service.clock.now().timestamp()
    for n, age in enumerate((30.0, 300.0, 5.0)):
        assert post(url, sent(vote(f"c{n}", at=now - age)))[0] == 201
    post(url, sent(vote("c0", at=now - 30.0)))
    service.http.post(url, content=b"{")
    platform.give()
    told = accepted(call(service, "GET", "/v1/intake", token))
    first, second = told["hooks"]
    assert told["recorded"] == 4, "what came by a call too"
    assert (first["received"], first["received_last_day"], first["refused_last_day"], first["waiting"]) == (3, 3, 1, 0)
    assert (first["basis"], second["basis"], second["received"], second["lag_seconds"]) == ("none", "notice", 0, None)
    assert 4 < first["lag_seconds"] < 30 and 299 < first["slowest_lag_seconds"] < 330
    service.clock.offset = timedelta(days=2)
    assert accepted(call(service, "GET", "/v1/intake", service.token(platform)))["hooks"][0]["received_last_day"] == 0
    assert other


def test_a_refused_line_is_recorded_when_its_cause_is_gone(service: Service, platform: PlatformParty) -> None:
    url = hook(service, platform, UNKNOWN_POLICY)
    token = service.token(platform)
    assert post(url, sent(vote("c1")))[1]["code"] == "policy_unknown"
    [line] = accepted(call(service, "GET", "/v1/intake/refused", token))["items"]
    assert line["can_retry"] and line["code"] == "policy_unknown" and "Written for tests" not in json.dumps(line)
    address = f"/v1/intake/refused/{line['id']}/retry"
    refused(call(service, "POST", address, token, b""), 404, "policy_unknown")
    give_policy(service, platform)
    done = accepted(call(service, "POST", address, token, b""), 201)
    assert [row.id for row in contributions(service, platform)] == [done["id"]]
    [line] = accepted(call(service, "GET", "/v1/intake/refused", token))["items"]
    assert line["settled_at"] and not line["can_retry"]
    [row] = reports(service, platform)
    assert row.content is None and row.wrapped is None
    refused(call(service, "POST", address, token, b""), 404, "refused_line_unknown")
    assert post(url, sent(vote("c1")))[1]["id"] == done["id"]


def test_imports_are_told_with_what_was_refused_of_them(service: Service, platform: PlatformParty) -> None:
    perform(service, platform, job("odin", SAMPLES / "odin.json"))
    [told] = accepted(call(service, "GET", "/v1/intake", service.token(platform)))["imports"]
    assert (told["format"], told["records"] > 0, told["refused"]) == ("odin", True, {}) and told["finished_at"]
    with write(service.runtime.engine) as session:
        run = session.exec(select(ImportRun).where(ImportRun.platform_id == platform.id)).one().run
        session.add(ImportRefusal(platform_id=platform.id, run=run, at=0, draft=0, code="contribution_gone", detail="x"))
    assert accepted(call(service, "GET", "/v1/intake", service.token(platform)))["imports"][0]["refused"] == {"contribution_gone": 1}
    assert "1 contribution_gone" in service.http.get(page(service, platform)).text
    assert accepted(call(service, "GET", "/v1/intake", service.token(service.platform())))["imports"] == []


def give_policy(service: Service, platform: PlatformParty) -> None:
    """Let the key's policy be one that is known, as storing it would."""
    from sqlmodel import select

    from app.parties.models import IngestKey

    with write(service.runtime.engine) as session:
        for key in session.exec(select(IngestKey).where(IngestKey.platform_id == platform.id)):
            key.consent = json.dumps(NOTICE)
            session.add(key)
    service.runtime.parts["hooks"]._keys.clear()  # nothing but this test changes what a key says


def test_another_platform_sees_and_tries_nothing(service: Service, platform: PlatformParty) -> None:
    other = service.token(service.platform())
    post(hook(service, platform, UNKNOWN_POLICY), sent(vote("c1")))
    [line] = reports(service, platform)
    assert accepted(call(service, "GET", "/v1/intake/refused", other))["items"] == []
    refused(call(service, "POST", f"/v1/intake/refused/{line.id}/retry", other, b""), 404, "refused_line_unknown")
    for name in ("rfl_x", "x", line.id + "0"):
        address = f"/v1/intake/refused/{name}/retry"
        refused(call(service, "POST", address, service.token(platform), b""), 404, "refused_line_unknown")


def test_after_a_week_what_was_sent_is_gone(service: Service, platform: PlatformParty) -> None:
    post(hook(service, platform, UNKNOWN_POLICY), sent(vote("c1")))
    [line] = reports(service, platform)
    with write(service.runtime.engine) as session:
        forget_refused(session, line.received_at + KEEP_CONTENT + timedelta(minutes=1))
    [line] = reports(service, platform)
    assert (line.content, line.wrapped, line.epoch) == (None, None, None)
    refused(
        call(service, "POST", f"/v1/intake/refused/{line.id}/retry", service.token(platform), b""), 404, "refused_line_unknown"
    )


def test_refusals_come_in_pages(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.contributions.hook_routes.PAGE", 2)
    url, token = hook(service, platform), service.token(platform)
    for _ in range(5):
        service.http.post(url, content=b"{")
    seen: list[Any] = []
    cursor = ""
    while True:
        answer = call(service, "GET", "/v1/intake/refused" + cursor, token)
        seen += [item["id"] for item in accepted(answer)["items"]]
        if answer.json()["next"] is None:
            break
        assert "next" in answer.links
        cursor = "?cursor=" + answer.json()["next"]
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)
    refused(call(service, "GET", "/v1/intake/refused" + cursor, service.token(service.platform())), 400, "cursor_invalid")


def test_reports_are_bounded(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.contributions.hooks.MOST_REPORTS", 3)
    url = hook(service, platform)
    for size in range(6):
        service.http.post(url, content=b"{" + b" " * size)
    assert [line.size for line in reports(service, platform)] == [4, 5, 6]


def test_the_page_shows_it_and_its_button_works(service: Service, platform: PlatformParty) -> None:
    url, address = hook(service, platform, UNKNOWN_POLICY), page(service, platform)
    post(url, sent(vote("c1")))
    service.http.post(url, content=b"{")
    shown = service.http.get(address)
    assert shown.status_code == 200 and shown.headers["cache-control"] == "no-store"
    assert "0 recorded in all" in shown.text and "0, of them 0 in the last 24 hours" in shown.text
    assert "policy_unknown" in shown.text and "json_invalid" in shown.text and shown.text.count("<button>") == 1
    [line] = [row for row in reports(service, platform) if row.content]
    press = lambda: service.http.post(address + "/retry", data={"line": line.id}, follow_redirects=True)  # noqa: E731
    assert "refused again" in press().text
    give_policy(service, platform)
    assert "was recorded" in press().text and len(contributions(service, platform)) == 1
    assert press().status_code == 404


def test_a_link_ends_and_shows_one_platform_alone(service: Service, platform: PlatformParty) -> None:
    address = page(service, platform)
    for wrong in (address[:-1] + ("0" if address[-1] != "0" else "1"), service.base + "/intake/x", address + "0", address[:-3] + "%C3%A9"):
        assert service.http.get(wrong).status_code == 404
    service.clock.offset = service.runtime.parts["intake_links"].life + timedelta(seconds=1)
    assert service.http.get(address).status_code == 404
    assert service.http.post(address + "/retry", data={"line": "x"}).status_code == 404


def test_the_command_line_prints_the_link(tmp_path: Path) -> None:
    address = "http://arena.example"
    run = shell(tmp_path, SAYSO_PUBLIC_URL=address)
    platform = json.loads(run(["platforms", "add", "Arena", "--json"]).stdout)["client_id"]
    link = run(["platforms", "intake", platform]).stdout.strip()
    assert link.startswith(address + "/intake/") and len(link.rsplit("/", 1)[1]) == 66
