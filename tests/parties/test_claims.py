"""Claim links, portal links and receipts: used once, by a button, and what a receipt covers."""

from datetime import timedelta
from typing import Any

import httpx
import sqlalchemy as sa

from app.kit.db import read, write
from app.parties.auth import COOKIE
from app.parties.models import Claim, Receipt
from tests.kit.refusals import accepted, at_once, call, get, refused, state_of
from tests.support import PlatformParty, Service

JSON = {"Accept": "application/json"}


def redeem(service: Service, url: str) -> httpx.Response:
    return service.http.post(url, headers=JSON)


def receipts_of(service: Service, contribution: str) -> int:
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(Receipt).where(Receipt.contribution_id == contribution)  # type: ignore[arg-type]
        return int(session.execute(query).scalar_one())


def test_looking_at_a_claim_link_never_uses_it(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    previews = ("Slackbot-LinkExpanding 1.0", "facebookexternalhit/1.1", "Mozilla/5.0")
    for agent in previews:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = service.http.request(method, given.claim_url, headers={"User-Agent": agent, "Purpose": "prefetch"})
            assert answer.status_code in (200, 405), (method, answer.status_code)
        page = service.http.get(given.claim_url)
        assert "<button>Get my receipt</button>" in page.text and "set-cookie" not in page.headers
        assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "same-origin"
    with read(service.runtime.engine) as session:
        assert session.get(Claim, (given.id, 1)) is None
    assert receipts_of(service, given.id) == 0
    accepted(redeem(service, given.claim_url), 201)


def test_a_link_is_used_once_and_the_second_use_says_when_the_first_was(
    service: Service, platform: PlatformParty
) -> None:
    [given] = platform.give(1)
    first = accepted(redeem(service, given.claim_url), 201)
    assert first["receipt"].startswith("rcp_") and first["contribution"] == given.id
    found = refused(redeem(service, given.claim_url), 409, "claim_already_redeemed")
    assert found["redeemed_at"].endswith("Z")
    page = service.http.post(given.claim_url)
    assert page.status_code == 409 and "text/html" in page.headers["content-type"]
    shown = service.http.get(given.claim_url)
    assert "This link was used on" in shown.text and "That was not me" in shown.text
    assert receipts_of(service, given.id) == 1


def test_whose_answer_was_lost_gets_the_same_receipt_again_for_a_while(service: Service, platform: PlatformParty) -> None:
    [given, other] = platform.give(2)
    mine = {**JSON, "Idempotency-Key": "6f1c0a52-0b58-4a1c-9a57-1d8e3ed0c1aa"}

    def use(url: str, headers: dict[str, str]) -> httpx.Response:
        return service.http.post(url, headers=headers)

    answers = at_once(8, lambda _: use(given.claim_url, mine))
    assert {accepted(a, 201)["receipt"] for a in answers} == {accepted(answers[0], 201)["receipt"]}
    assert receipts_of(service, given.id) == 1
    refused(use(given.claim_url, {**mine, "Idempotency-Key": "another key of the same length"}), 409, "claim_already_redeemed")
    refused(use(given.claim_url, JSON), 409, "claim_already_redeemed")
    assert accepted(use(other.claim_url, mine), 201)["receipt"] != answers[0].json()["receipt"]
    service.clock.offset = timedelta(minutes=11)
    refused(use(given.claim_url, mine), 409, "claim_already_redeemed")


def test_a_key_that_could_be_guessed_brings_nothing_back(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    guessed = {**JSON, "Idempotency-Key": "1"}
    accepted(service.http.post(given.claim_url, headers=guessed), 201)
    refused(service.http.post(given.claim_url, headers=guessed), 409, "claim_already_redeemed")


def test_of_twenty_uses_at_once_one_gets_a_receipt(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    answers = at_once(20, lambda _: redeem(service, given.claim_url))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    for answer in answers:
        if answer.status_code == 409:
            assert refused(answer, 409, "claim_already_redeemed")["redeemed_at"]
    assert receipts_of(service, given.id) == 1


def test_a_first_use_can_be_contested(service: Service, platform: PlatformParty) -> None:
    [given, other] = platform.give(2)
    assert service.http.post(given.claim_url + "/contest").status_code == 404  # nobody used it yet
    accepted(redeem(service, given.claim_url), 201)
    assert service.http.post(given.claim_url + "/contest").status_code == 303
    assert "You said it was not you" in service.http.get(given.claim_url).text
    with read(service.runtime.engine) as session:
        assert session.get_one(Claim, (given.id, 1)).contested_at and session.get(Claim, (other.id, 1)) is None


def test_a_link_ends_after_90_days_and_a_portal_link_after_15_minutes(
    service: Service, platform: PlatformParty
) -> None:
    token = service.token(platform)
    [given, later] = platform.give(2)
    portal = accepted(service.post("/v1/portal-sessions", {"contributor": "u1"}, token), 201)
    stale = accepted(service.post("/v1/portal-sessions", {"contributor": "u1"}, token), 201)
    accepted(redeem(service, portal["url"]), 201)
    service.clock.offset = timedelta(minutes=16)
    refused(redeem(service, stale["url"]), 410, "claim_expired")
    service.clock.offset = timedelta(days=89)
    accepted(redeem(service, given.claim_url), 201)
    service.clock.offset = timedelta(days=91)
    refused(redeem(service, later.claim_url), 410, "claim_expired")
    assert service.http.post(later.claim_url).status_code == 410
    assert receipts_of(service, later.id) == 0


def test_links_that_the_service_did_not_make_are_all_unknown_alike(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    code = given.claim_url.rsplit("/", 1)[1]
    other = platform.give(1)[0].claim_url.rsplit("/", 1)[1]
    bad = [
        code[:-1], code + "0", code[:-1] + ("0" if code[-1] != "0" else "1"), "p" + code[1:], "x" + code[1:], code.upper(),
        code[:27] + "2" + code[28:], code[:27] + other[27:], "c" + "0" * 58, "c", "c\u00e9", "%00", "c" + "u" * 58, "c" * 5_000,
    ]  # fmt: skip
    seen = {
        tuple(sorted(refused(redeem(service, f"{service.base}/c/{b}"), 404, "claim_unknown", "not_found").items()))
        for b in bad
        if b != "%00"
    }
    assert len(seen) == 1
    refused(redeem(service, f"{service.base}/c/%00"), 404, "not_found")
    for b in bad:
        assert service.http.get(f"{service.base}/c/{b}").status_code == 404
        for act in ("contest", "withdraw"):
            assert service.http.post(f"{service.base}/c/{b}/{act}").status_code == 404
    accepted(redeem(service, given.claim_url), 201)


def test_a_portal_link_covers_everything_one_person_gave_on_one_platform(
    service: Service, platform: PlatformParty
) -> None:
    mine = [platform.give(1, contributor="ada")[0].id for _ in range(3)]
    platform.give(1, contributor="ben")
    service.platform().give(1, contributor="ada")
    token = service.token(platform)
    url = accepted(service.post("/v1/portal-sessions", {"contributor": "ada"}, token), 201)["url"]
    page = service.http.get(url)
    assert page.status_code == 200 and "What you gave" not in page.text
    found = accepted(redeem(service, url), 201)
    assert found["contribution"] is None
    refused(redeem(service, url), 409, "claim_already_redeemed")
    listed = accepted(get(service, "/v1/contributions/me", found["receipt"]))["items"]
    assert [item["id"] for item in listed] == mine
    refused(service.post("/v1/portal-sessions", {"contributor": "nobody"}, token), 404, "not_found")


def test_an_unclaimed_link_can_take_back_and_tells_nothing_of_what_became_of_it(
    service: Service, platform: PlatformParty
) -> None:
    given, other = platform.give(2)
    before = service.http.get(given.claim_url).text
    done = service.http.post(given.claim_url + "/withdraw", follow_redirects=True)
    assert done.status_code == 200 and "It is taken back." in done.text
    assert state_of(service, given.id) == "withdrawn"
    # The platform kept the link: looking again, or trying again, shows what it would have shown of anything.
    assert service.http.get(given.claim_url).text == before
    assert service.http.post(given.claim_url + "/withdraw").headers["location"].endswith("?done=withdrawn")
    # So does a change that the person made by another way.
    token = service.token(platform)
    untouched = service.http.get(other.claim_url).text
    url = accepted(service.post("/v1/portal-sessions", {"contributor": "u2"}, token), 201)["url"]
    receipt = accepted(redeem(service, url), 201)["receipt"]
    accepted(service.post(f"/v1/contributions/{other.id}/consents", {"template": "nothing-new"}, receipt), 201)
    assert service.http.get(other.claim_url).text == untouched
    # The platform is not told that its user took something back.
    assert accepted(get(service, f"/v1/contributions/{given.id}", service.token(platform)))["state"] == "recorded"


def test_an_unknown_contribution_and_another_persons_look_alike_to_a_receipt(
    service: Service, platform: PlatformParty
) -> None:
    mine, theirs = platform.give(2)
    receipt = accepted(redeem(service, mine.claim_url), 201)["receipt"]
    for path in ("", "/receipt", "/releases", "/consents"):
        answers = []
        for contribution in (theirs.id, "con_" + "0" * 26):
            if path == "/consents":
                answer = service.post(f"/v1/contributions/{contribution}{path}", {"template": "nothing-new"}, receipt)
            else:
                answer = get(service, f"/v1/contributions/{contribution}{path}", receipt)
            answers.append(
                refused(answer, 401, "token_wrong_party") if path == "" else refused(answer, 404, "not_found")
            )
        assert answers[0] == answers[1], path
    for body in ({"scope": "contribution", "ids": [theirs.id]}, {"scope": "contribution", "ids": ["con_" + "0" * 26]}):
        refused(service.post("/v1/revocations", body, receipt), 404, "not_found")
    for bad in ("17", "con_", "con_" + "U" * 26, "CON_" + "0" * 26, "lab_" + "0" * 26, "con_" + "0" * 27):
        refused(get(service, f"/v1/contributions/{bad}/receipt", receipt), 422, "id_invalid")


def test_a_receipt_for_one_contribution_acts_on_that_one_alone(service: Service, platform: PlatformParty) -> None:
    first, second = (platform.give(1, contributor="ada")[0] for _ in range(2))
    receipt = accepted(redeem(service, first.claim_url), 201)["receipt"]
    assert [i["id"] for i in accepted(get(service, "/v1/contributions/me", receipt))["items"]] == [first.id]
    refused(get(service, f"/v1/contributions/{second.id}/receipt", receipt), 404, "not_found")
    refused(service.post("/v1/contributions/me/consents", {"template": "nothing-new"}, receipt), 403, "receipt_scope")
    for scope in ("standing", "all"):
        refused(service.post("/v1/revocations", {"scope": scope}, receipt), 403, "receipt_scope")
    refused(
        service.post("/v1/revocations", {"scope": "contribution", "ids": [first.id, second.id]}, receipt),
        404,
        "not_found",
    )
    taken = accepted(service.post("/v1/revocations", {"scope": "contribution"}, receipt))
    assert taken["contributions"] == 1
    assert [state_of(service, c.id) for c in (first, second)] == ["withdrawn", "live"]


def test_receipts_that_are_not_ones_are_refused(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    receipt = accepted(redeem(service, given.claim_url), 201)["receipt"]
    path = f"/v1/contributions/{given.id}/receipt"
    for secret in (receipt[:-1], receipt + "0", receipt.upper(), "rcp_" + "0" * 32, "rcp_", "x"):
        refused(get(service, path, secret), 401, "token_invalid")
    refused(get(service, path, service.token(platform)), 401, "token_invalid", "token_wrong_party")
    refused(get(service, path), 401, "token_missing")
    with write(service.runtime.engine) as session:
        row = session.execute(sa.select(Receipt).where(Receipt.contribution_id == given.id)).scalar_one()  # type: ignore[arg-type]
        row.revoked_at = service.clock.now()
        session.add(row)
    refused(get(service, path, receipt), 401, "token_invalid")


def test_a_write_that_rests_on_the_cookie_must_come_from_our_own_page(
    service: Service, platform: PlatformParty
) -> None:
    [given] = platform.give(1)
    receipt = accepted(redeem(service, given.claim_url), 201)["receipt"]
    taken: dict[str, Any] = {"content": b'{"scope":"contribution"}', "Cookie": f"{COOKIE}={receipt}"}
    for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": service.base + ".evil.example"},
                   {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
                   {"Origin": "https://evil.example", "Sec_Fetch_Site": "same-origin"}):  # fmt: skip
        refused(call(service, "POST", "/v1/revocations", **taken, **origin), 403, "csrf")
        page = service.http.post(
            f"{service.base}/r/of/{given.id}/withdraw",
            headers={"Cookie": f"{COOKIE}={receipt}", **{k.replace("_", "-"): v for k, v in origin.items()}},
        )  # fmt: skip
        assert page.status_code == 403
    assert state_of(service, given.id) == "live"
    # A wrong cookie is no credential; a read needs no origin; the service's own page may act.
    refused(
        call(
            service,
            "POST",
            "/v1/revocations",
            content=b'{"scope":"contribution"}',
            Cookie=f"{COOKIE}=x",
            Origin=service.base,
        ),
        401,
        "token_invalid",
    )
    accepted(get(service, "/v1/contributions/me", Cookie=f"{COOKIE}={receipt}"))
    accepted(call(service, "POST", "/v1/revocations", **taken, Origin=service.base))


def test_a_pages_cursor_is_good_for_its_own_list_and_caller_alone(service: Service, platform: PlatformParty) -> None:
    token = service.token(platform)
    for contributor in ("ada", "ben"):
        items = [
            {"external_id": f"{contributor}{i}", "kind": "rating", "contributor": contributor, "parts": {"judgment": i}}
            for i in range(101)
        ]
        assert all(item.ok for item in platform.sdk.record_many(items))
    ada, ben = (
        accepted(
            redeem(service, accepted(service.post("/v1/portal-sessions", {"contributor": who}, token), 201)["url"]), 201
        )["receipt"]
        for who in ("ada", "ben")
    )
    answer = get(service, "/v1/contributions/me", ada)
    first = accepted(answer)
    cursor = first["next"]
    assert len(first["items"]) == 100 and f"cursor={cursor}" in answer.headers["link"]
    second = accepted(get(service, f"/v1/contributions/me?cursor={cursor}", ada))
    assert len(second["items"]) == 1 and second["next"] is None
    refused(get(service, f"/v1/contributions/me?cursor={cursor}", ben), 400, "cursor_invalid")
    refused(get(service, f"/v1/ledger?cursor={cursor}"), 400, "cursor_invalid")
    middle = len(cursor) // 2
    mutated = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for bad in (
        mutated,
        cursor[:-2],
        cursor + "A",
        cursor + "==",
        "",
        "x",
        "\u00e9",
        "%00",
        "A" * 400,
        second["items"][0]["id"],
    ):
        refused(get(service, f"/v1/contributions/me?cursor={bad}", ada), 400, "cursor_invalid")
    refused(get(service, f"/v1/contributions/me?cursor={'A' * 401}", ada), 422, "parameter_invalid")
