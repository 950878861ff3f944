"""Site keys and what the consent widget may do under one: from listed origins, in registered words, and marked as what it is."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from hashlib import sha256
from secrets import randbelow
from threading import Barrier, BrokenBarrierError
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sayso import Contributor

from app.consents import site_keys
from app.consents.models import Consent, ConsentIntent, SiteKey
from app.consents.schemas import SiteChoice
from app.kit.db import is_sqlite, read, write
from app.kit.ratelimit import RateLimit
from app.log import service as log
from app.parties.models import Platform
from tests.consents.widget import CHOICES, ORIGIN, Widget
from tests.kit.refusals import accepted, body, call, refused
from tests.support import SHOWN, LabParty, PlatformParty, Service, on_one_backend, shell

CORS = "access-control-allow-origin"


def make(service: Service, platform: PlatformParty, **changed: Any) -> httpx.Response:
    asked = {"origins": [ORIGIN], "choices": [{"template": name} for name in CHOICES], **changed}
    return service.post("/v1/platforms/me/site-keys", asked, service.token(platform))


def worded(platform: PlatformParty, text: str, language: str = "en", **more: Any) -> str:
    return platform.sdk.register_wording(text, language, **more)


# -- keys --------------------------------------------------------------------------------------------------------------
def test_a_key_is_made_listed_and_revoked_by_its_platform_alone(service: Service, platform: PlatformParty) -> None:
    made = accepted(make(service, platform), 201)
    assert made["origins"] == [ORIGIN] and len(made["choices"]) == 3 and made["revoked_at"] is None
    token, other = service.token(platform), service.platform()
    asked = json.dumps({"origins": [ORIGIN], "choices": [{"template": "nothing-new"}, {"template": "evaluation-only"}]}).encode()
    once = [accepted(service.post("/v1/platforms/me/site-keys", asked, token, Idempotency_Key="k"), 201)["id"] for _ in range(2)]
    assert once[0] == once[1] != made["id"]
    assert [key["id"] for key in platform.sdk.site_keys()] == [made["id"], once[0]] and other.sdk.site_keys() == []
    path = f"/v1/platforms/me/site-keys/{made['id']}"
    refused(call(service, "DELETE", path, service.token(other)), 404, "site_key_unknown")
    first = accepted(call(service, "DELETE", path, token))
    service.clock.offset = timedelta(minutes=5)
    assert accepted(call(service, "DELETE", path, token)) == first and first["revoked_at"] is not None
    with read(service.runtime.engine) as session:
        query = sa.text("SELECT leaf FROM log_entry WHERE subject = :p AND type LIKE 'admin.site-key%' ORDER BY log_index")
        leaves = [json.loads(row[0]) for row in session.execute(query, {"p": platform.id})]
    assert [leaf["type"] for leaf in leaves] == ["admin.site-key-added", "admin.site-key-added", "admin.site-key-revoked"]
    assert leaves[0]["key"] == leaves[2]["key"] == made["id"] and leaves[0]["policies"] == [one["policy"] for one in made["choices"]]


def test_keys_made_at_once_with_the_same_words_wait_for_each_other(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows are taken after the log's head, two in different order are thrown out of a deadlock."""
    if is_sqlite(service.runtime.engine):
        pytest.skip("SQLite has one writer")
    day = {"end": (date(2100, 1, 1) + timedelta(days=randbelow(10_000))).isoformat()}  # words that nobody has registered yet
    now, append, meet = service.clock.now(), log.append, Barrier(2)
    asked = [SiteChoice(template=name, parameters=day) for name in ("evaluation-only", "open-model-training-with-credit")]
    offers = [site_keys.offered(service.runtime.parts["policies"], one, now) for one in asked]

    def both(*given: Any) -> int:
        with suppress(BrokenBarrierError):
            meet.wait(0.5)
        return append(*given)

    def add(platform: PlatformParty, offered: list[site_keys.Offered]) -> str:
        with write(service.runtime.engine) as session:
            return site_keys.add(session, session.get_one(Platform, platform.id), [ORIGIN], offered, now=now).id

    parties = service.platform(), service.platform()
    monkeypatch.setattr(log, "append", both)
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(add, parties, (offers, offers[::-1])))) == 2


@pytest.mark.parametrize("origin", [
    "http://arena.example", "https://arena.example/", "https://arena.example:443", "https://Arena.example", "https://*.example", "null", "*",
    "https://arena.example https://evil.example", "https://a.example;script-src *", "https://user@a.example", "https://a.example:99999", "https://-a.example",
    "https://a.example\n", "http://127.0.0.1.evil.example", "http://localhost:80",
])  # fmt: skip
def test_only_an_exact_origin_is_one(service: Service, platform: PlatformParty, origin: str) -> None:
    on_one_backend(service)
    refused(make(service, platform, origins=[origin]), 422, "origin_invalid")


def test_what_the_widget_cannot_show_is_refused(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    refused(make(service, platform, origins=[ORIGIN, ORIGIN]), 422, "origin_invalid")
    refused(make(service, platform, choices=[{"template": "nothing-new"}]), 422, "body_invalid")
    refused(make(service, platform, choices=[{"template": "nothing-new"}] * 6), 422, "body_invalid")
    refused(make(service, platform, choices=[{"template": "nothing-new"}] * 2), 422, "choices_invalid")
    refused(make(service, platform, choices=[{"template": "nothing-new"}, {"template": "nonsense"}]), 422, "policy_unknown_template")
    yes, ja = worded(platform, "Yes.\nLabs may test."), worded(platform, "Ja.", "de")
    for wordings, code in (
        (["0" * 64], "wording_unknown"), ([ja], "choices_invalid"), ([yes, worded(platform, "Yes!")], "choices_invalid"),
        ([worded(platform, "<b>Yes</b>", html=True)], "choices_invalid"), ([worded(platform, "x" * 2001)], "choices_invalid"),
        ([worded(platform, "Yes\u202eoN")], "choices_invalid"), ([worded(platform, "\nYes")], "choices_invalid"),
    ):  # fmt: skip
        choices = [{"template": "nothing-new"}, {"template": "evaluation-only", "wordings": wordings}]
        refused(make(service, platform, choices=choices), 404 if code == "wording_unknown" else 422, code)
    twice = [{"template": name, "wordings": [yes]} for name in ("nothing-new", "evaluation-only")]
    refused(make(service, platform, choices=twice), 422, "choices_invalid")


def test_the_command_line_makes_lists_and_revokes(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    run = shell(service.runtime.settings.data_dir, SAYSO_PUBLIC_URL=service.base, SAYSO_HOLD_HOURS="0")
    words = worded(platform, "Yes, for tests."), worded(platform, "No.")
    asked = ["platforms", "site-key", "add", platform.id, "--origin", ORIGIN, "--choice", f"nothing-new={words[1]}"]
    made = json.loads(run([*asked, "--choice", f"evaluation-only={words[0]}", "--json"]).output)
    assert f'<sayso-consent site="{made["site_key"]}"' in made["html"] and made["frame"].startswith(service.base + "/w/stk_")
    assert "choices_invalid" in run(asked).output and "choices_invalid" in run([*asked, "--choice", "evaluation-only=nonsense"]).output
    assert made["site_key"] in run(["platforms", "site-key", "list", platform.id]).output
    assert run(["platforms", "site-key", "revoke", made["site_key"]]).exit_code == 0
    assert "revoked" in run(["platforms", "site-key", "list", platform.id]).output


# -- the widget's own calls ----------------------------------------------------------------------------------------------
def test_what_is_shown_are_the_registered_words_and_nothing_else(service: Service, platform: PlatformParty) -> None:
    texts = {("No.", "en"), ("Ja, für Tests.\nModelle werden geprüft.", "de"), ("Yes, for tests.\nModels are tested.", "en"), ("Nein.", "de")}
    digest = {text: worded(platform, text, language) for text, language in texts}
    choices = [
        {"template": "nothing-new", "wordings": [digest["No."], digest["Nein."]]},
        {"template": "evaluation-only", "wordings": [d for text, d in digest.items() if text.startswith(("Ja", "Yes"))]},
    ]
    widget = Widget(service, platform, choices=choices)
    shown = widget.shown()
    assert {(one["text"], language) for choice in shown["choices"] for language, one in choice["shown"].items()} == texts
    for choice in shown["choices"]:
        assert all(sha256(one["text"].encode()).hexdigest() == one["wording"] for one in choice["shown"].values())
        assert service.http.get(choice["terms"]).json()["digest"] == choice["policy"]
    assert set(shown["languages"]) == {"en", "de"} and shown["languages"]["de"]["spoken"] == "en"
    own = Widget(service, platform).shown()["choices"][1]["shown"]["en"]
    assert own["text"].startswith("Evaluation only\nLabs may use your words")
    assert service.http.get(f"{service.base}/v1/wordings/{own['wording']}").text == own["text"]
    answer = widget.call("GET")
    assert answer.headers[CORS] == ORIGIN and answer.headers["vary"] == "Origin" and answer.headers["cache-control"] == "public, max-age=300"
    assert "access-control-allow-credentials" not in answer.headers


def test_a_choice_in_the_widget_is_the_persons_own_word_and_what_the_platform_sends_is_not(
    service: Service, platform: PlatformParty
) -> None:
    widget, token = Widget(service, platform), service.token(platform)
    made = widget.choose(1)
    ahead = {"template": "evaluation-only", "wording": "ab" * 32, "language": "en", "shown_at": SHOWN}
    refused(service.post("/v1/consent-intents", ahead), 401, "token_missing")
    own = accepted(service.post("/v1/consent-intents", ahead, token), 201)
    found, methods = [], []
    for intent in (made["intent"], own["intent"]):
        [given] = platform.give(1, consent={"intent": intent})
        with read(service.runtime.engine) as session:
            row = session.execute(sa.select(Consent).where(Consent.contribution_id == given.id)).scalar_one()  # type: ignore[arg-type]
            found.append((row.basis, row.attested_by, row.wording_sha256, row.wording_language))
            intended = session.get_one(ConsentIntent, intent)
            assert intended.used_by == given.id and (intended.site_key_id is None) == (intent == own["intent"])
            assert abs(row.shown_at - service.clock.now()) < timedelta(minutes=1) or intent == own["intent"], "by this service's clock"
        methods.append(re.findall(r'"dpv:hasIndicationMethod":\s*"([^"]*)"', service.claim(given).receipt_file(given.id).decode()))
    assert found == [("explicit", "person", made["wording"], "en"), ("explicit", "platform", "ab" * 32, "en")]
    assert methods == [["in Sayso's consent widget"], ["as the platform states"]]
    for intent, party in ((made["intent"], platform), (widget.choose()["intent"], service.platform())):
        refused(service.post("/v1/contributions", body(consent={"intent": intent}), service.token(party)), 422, "intent_unknown")


def test_origins_that_are_not_listed_get_nothing_and_can_read_no_refusal(service: Service, platform: PlatformParty) -> None:
    widget = Widget(service, platform)
    wording = {"wording": widget.shown()["choices"][0]["shown"]["en"]["wording"]}
    for origin in ("https://evil.example", "null", "http://arena.example", "https://arena.example.evil.example", ""):
        widget.origin = origin
        for answer in (widget.call("GET"), widget.post(wording), widget.call("OPTIONS", "/intents")):
            refused(answer, 403, "origin_unlisted")
            assert CORS not in answer.headers and answer.headers["vary"] == "Origin"
    widget.origin = None
    refused(widget.post(wording), 403, "origin_unlisted")
    assert widget.call("GET").status_code == 200 and CORS not in widget.call("GET").headers, "what anybody may read, and no page"
    widget.origin = ORIGIN
    asked = widget.call("OPTIONS", "/intents", headers={"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"})
    assert (asked.status_code, asked.headers[CORS], asked.headers["access-control-allow-headers"]) == (204, ORIGIN, "content-type")
    assert "access-control-allow-credentials" not in asked.headers and widget.post(wording).headers[CORS] == ORIGIN


def test_each_refusal_has_its_code_and_a_listed_page_can_read_it(
    service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = Widget(service, platform)
    good = {"wording": widget.shown()["choices"][0]["shown"]["en"]["wording"]}
    for sent, status, code in (({"wording": "0" * 64}, 422, "choice_unknown"), ({"wording": "x"}, 422, "body_invalid"), ({}, 422, "body_invalid")):
        answer = widget.post(sent)
        refused(answer, status, code)
        assert answer.headers[CORS] == ORIGIN
    refused(widget.post({**good, "more": "x" * 2000}), 413, "body_too_large")
    refused(widget.call("POST", "/intents", content=b"{}", headers={"Content-Type": "text/plain"}), 415, "media_type")
    monkeypatch.setitem(service.runtime.parts, "choosing", RateLimit(1, burst=2, advice="Wait a moment, then choose again."))
    pretended = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in range(3)]  # nobody's word is taken for it
    answers = [widget.call("POST", "/intents", json=good, headers=told) for told in pretended]
    assert [a.status_code for a in answers] == [201, 201, 429] and answers[2].headers[CORS] == ORIGIN
    assert refused(answers[2], 429, "rate_limited")["retry_after"] >= 1
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"), headers={"Origin": ORIGIN}) as elsewhere:
        assert elsewhere.post(f"{service.base}/v1/widget/{widget.site}/intents", json=good).status_code == 201, "who is elsewhere is not kept waiting"
    monkeypatch.undo()
    monkeypatch.setitem(service.runtime.parts, "choosing_all", RateLimit(1, burst=1, advice="Wait a moment, then choose again."))
    assert [widget.post(good).status_code for _ in range(2)] == [201, 429]
    monkeypatch.undo()
    platform.sdk.revoke_site_key(widget.site)
    revoked, site = widget.post(good), widget.site
    for widget.site in (site, "stk_" + "0" * 26, "nonsense"):
        assert refused(widget.post(good), 404, "site_key_unknown")["detail"] == revoked.json()["detail"]
        refused(widget.call("GET"), 404, "site_key_unknown")
        for page in (service.http.get(f"{service.base}/w/{widget.site}"), in_frame(service, widget, **good)):
            assert page.status_code == 404, "and told in the frame, where it is known whose it is"
            assert (f"frame-ancestors {ORIGIN}" in page.headers["content-security-policy"]) == (widget.site == site)


def test_a_suspended_platform_shows_no_widget(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    widget = Widget(service, platform)
    with service.runtime.engine.begin() as connection:
        connection.execute(sa.update(Platform).where(Platform.id == platform.id).values(suspended_at=service.clock.now()))  # type: ignore[arg-type]
    refused(widget.call("GET"), 404, "site_key_unknown")


# -- the frame -----------------------------------------------------------------------------------------------------------
REF = "task-number-0123456789"


def in_frame(service: Service, widget: Widget, **fields: str) -> httpx.Response:
    return service.http.post(f"{service.base}/w/{widget.site}", data=fields, headers={"Origin": service.base})


def visible(page: httpx.Response) -> str:
    """The page without what its script reads."""
    return re.sub(r'data-made="[^"]*"', "", page.text)


def test_the_frame_is_a_form_and_the_platform_asks_for_what_was_chosen_in_it(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    widget = Widget(service, platform)
    page = service.http.get(f"{service.base}/w/{widget.site}?ref={REF}")
    policy = page.headers["content-security-policy"]
    assert f"frame-ancestors {ORIGIN}" == policy.rpartition("; ")[2] and "default-src 'none'" in policy and "set-cookie" not in page.headers
    choices = re.findall(r'value="([0-9a-f]{64})"', page.text)
    assert choices == [choice["shown"]["en"]["wording"] for choice in widget.shown()["choices"]] and "checked" not in page.text
    assert platform.sdk.intent_under(REF) is None
    first, second = (in_frame(service, widget, wording=choices[at], ref=REF) for at in (1, 0))
    assert first.status_code == second.status_code == 201 and "cit_" not in visible(second)
    assert second.headers["content-security-policy"] == policy and "set-cookie" not in second.headers
    intent = platform.sdk.intent_under(REF)
    assert intent is not None and intent in second.text and service.platform().sdk.intent_under(REF) is None
    assert f'value="{choices[0]}" required checked' in service.http.get(f"{service.base}/w/{widget.site}?ref={REF}").text
    [given] = platform.give(1, consent={"intent": intent})
    with read(service.runtime.engine) as session:
        row = session.execute(sa.select(Consent).where(Consent.contribution_id == given.id)).scalar_one()  # type: ignore[arg-type]
        assert (row.attested_by, row.wording_sha256) == ("person", choices[0])
    assert platform.sdk.intent_under(REF) is None, "what was chosen first was replaced"
    assert "checked" not in service.http.get(f"{service.base}/w/{widget.site}?ref={REF}").text
    assert "cit_" in visible(in_frame(service, widget, wording=choices[1])), "without a number: a code to copy"


def test_an_erasure_takes_the_intent_along_and_a_late_repeat_is_answered_as_before(service: Service, platform: PlatformParty) -> None:
    widget, token = Widget(service, platform), service.token(platform)
    for choice in widget.shown()["choices"][:2]:  # the first is replaced, and does not come back
        in_frame(service, widget, wording=choice["shown"]["en"]["wording"], ref=REF)
    data = body(consent={"intent": platform.sdk.intent_under(REF)})
    given = accepted(service.post("/v1/contributions", data, token), 201)
    assert accepted(service.post("/v1/contributions", data, token))["id"] == given["id"]
    Contributor.claim(given["claim_url"]).erase(contribution=given["id"])
    with read(service.runtime.engine) as session:
        assert session.execute(sa.select(ConsentIntent).where(ConsentIntent.platform_id == platform.id)).first() is None  # type: ignore[arg-type]
    assert platform.sdk.intent_under(REF) is None
    refused(service.post("/v1/contributions", data, token), 410, "contribution_gone")


def test_in_the_frame_too_each_refusal_is_told(service: Service, platform: PlatformParty) -> None:
    on_one_backend(service)
    widget = Widget(service, platform)
    wording = widget.shown()["choices"][0]["shown"]["en"]["wording"]
    from_elsewhere = service.http.post(f"{service.base}/w/{widget.site}", data={"wording": wording}, headers={"Origin": ORIGIN})
    assert from_elsewhere.status_code == 403, "only the frame itself sends its form"
    for fields, status in (({"wording": "0" * 64}, 422), ({}, 422), ({"wording": wording, "ref": "short"}, 422)):
        answer = in_frame(service, widget, **fields)
        assert answer.status_code == status and f"frame-ancestors {ORIGIN}" in answer.headers["content-security-policy"]
    for asked in ("ref=guess", f"ref={'x' * 101}", f"lang={'x' * 41}&ref=short"):
        answer = service.http.get(f"{service.base}/w/{widget.site}?{asked}")
        assert answer.status_code == 422 and f"frame-ancestors {ORIGIN}" in answer.headers["content-security-policy"]
        assert "The choices could not be loaded." in answer.text and "Open the frame with a ref" in answer.text
    refused(in_frame(service, widget, wording=wording, more="x" * 2000), 413, "body_too_large")
    refused(call(service, "GET", "/v1/consent-intents/under/short", service.token(platform)), 422, "parameter_invalid")
    for path in ("/", "/receipts", "/w/stk_" + "0" * 26):
        assert "frame-ancestors 'none'" in service.http.get(service.base + path).headers["content-security-policy"]
    with read(service.runtime.engine) as session:
        assert session.get_one(SiteKey, widget.site).revoked_at is None
