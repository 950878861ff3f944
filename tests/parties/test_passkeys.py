"""Who has a passkey signs with it what gives more; nobody else does that in their name, and what takes away never waits for it."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fido2.cose import ES256, RS256
from sayso import verify
from sayso.contributor import Contributor
from sayso.errors import Forbidden
from sayso.passkey import check
from sayso.proofs import Failed

from app.core.canonical import b64u, canonical
from app.kit.db import read
from app.kit.problems import CODES
from app.log.models import LogEntry
from app.parties import passkeys
from app.parties.auth import COOKIE
from app.parties.models import Passkey
from app.revocations import completion, guarding
from app.revocations.erasure import ERASED
from tests.authenticator import PRESENT, Authenticator, added, wanted
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import at_once, refused
from tests.parties.test_recovery import make as code_of
from tests.parties.test_recovery import shown as code_in
from tests.parties.test_recovery import told, use
from tests.support import PlatformParty, Service, consent, until
from tests.web.test_further_receipts import opens, window
from tests.web.test_pages import post

WIDER = {"template": "open-model-training-with-credit", "parameters": {}, "language": "en"}
NARROWER = {"template": "nothing-new", "parameters": {}, "language": "en"}


@pytest.fixture
def person(service: Service, platform: PlatformParty) -> Contributor:
    """Somebody who gave two things and has a receipt for everything."""
    platform.give(2, contributor="signs")
    return receipt_for_all(service, platform, "signs")


def guarded(service: Service, person: Contributor, step: int = 1) -> Authenticator:
    passkey = Authenticator(service.base, step)
    assert added(window(service, person.receipt), passkey).url.params["told"] == "added"
    return passkey


def things(service: Service, receipt: str) -> list[str]:
    found = httpx.get(f"{service.base}/v1/contributions/me", headers={"Authorization": f"Bearer {receipt}"}).json()
    return sorted(item["id"] for item in found["items"])


def scoped(service: Service, receipt: str, target: str, terms: dict[str, Any], **headers: str) -> httpx.Response:
    return service.post(f"/v1/contributions/{target}/consents", terms, receipt, **headers)


def ask_of(answer: httpx.Response) -> dict[str, Any]:
    refused(answer, 403, "passkey_needed")
    found: dict[str, Any] = answer.json()["ask"]
    return found


def test_what_gives_more_needs_it_and_the_receipt_proves_it(service: Service, platform: PlatformParty, person: Contributor) -> None:
    one, two = things(service, person.receipt)
    passkey = guarded(service, person)
    ask = ask_of(scoped(service, person.receipt, one, WIDER))
    assert ask["options"]["userVerification"] == "required" and len(ask["options"]["allowCredentials"]) == 1
    answer = scoped(service, person.receipt, one, WIDER, sayso_passkey=passkey.show(ask))
    assert answer.status_code == 201, answer.text
    for other in ("me", two):  # also for what is given later, and for each thing
        ask_of(scoped(service, person.receipt, other, WIDER))
    # Nor does what the standing terms allow become a thing's own by anybody's hand: it would stay when they are taken back.
    [bare] = platform.give(1, contributor="signs", consent=None)
    ask = ask_of(scoped(service, person.receipt, "me", WIDER))
    assert scoped(service, person.receipt, "me", WIDER, sayso_passkey=passkey.show(ask)).status_code == 201
    for holder in (person.receipt, service.claim(bare).receipt):
        ask_of(scoped(service, holder, bare.id, WIDER))
    # The receipt of it holds what was signed, and anybody can check that offline: each part of it, and that it says what the act says.
    file = until(lambda: (found := json.loads(person.act_file(answer.json()["id"])))["tlog_proof"] and found)
    assert file["evidence"]["kind"] == "passkey" and verify.verify_receipt(file).exit_code == verify.VERIFIED
    assert verify.verify_receipt(file | {"evidence": {"kind": "passkey", "key": "x"}}).exit_code == verify.FAILED
    act = json.loads(file["act"])
    signed = act["passkey"]
    assert json.loads(signed["text"])["act"]["contribution"] == one and act["type"] == "consent.scoped"
    bent = [act | {"contribution": two}, act | {"policy": "0" * 64}, act | {"type": "consent.withdrawn"}, act | {"credit_sha256": "0" * 64}]
    bent += [{name: value for name, value in act.items() if name != "passkey"}]
    bent += [act | {"passkey": signed | {name: signed[name][:-4] + "AAAA"}} for name in ("client_data", "authenticator_data", "signature")]
    bent += [act | {"passkey": signed | {"text": signed["text"].replace(one, two)}}]
    bent += [act | {"passkey": signed | {"key": json.loads(json.dumps(signed["key"])) | {"x": signed["key"]["y"]}}}]
    for other in bent:
        with pytest.raises(Failed):
            check(other, file["evidence"]["key"])
    page = window(service, person.receipt)
    assert "Signed with your passkey." in page.get("/r").text and "Signed with your passkey." in page.get("/r/timeline").text
    assert "Last used on" in page.get("/r/passkeys").text


def test_what_takes_away_never_waits_and_better_evidence_is_not_slipped_in(service: Service, platform: PlatformParty, person: Contributor) -> None:
    one, two = things(service, person.receipt)
    passkey = guarded(service, person)
    assert kept(service, passkey) == 1
    assert scoped(service, person.receipt, one, NARROWER).status_code == 201
    person.withdraw("contribution", ids=[two])
    [bare] = platform.give(1, contributor="signs", consent=None)
    ask_of(scoped(service, person.receipt, bare.id, {**NARROWER, "template": "evaluation-only"}))
    assert scoped(service, person.receipt, bare.id, NARROWER).status_code == 201, "a thing's first terms, that permit nothing, give nothing"
    # The same terms again give no more. But what a platform told stays what it told: a better basis would.
    [third] = platform.give(1, contributor="signs", consent=consent(basis="notice"))
    same = scoped(service, person.receipt, third.id, {**NARROWER, "template": "evaluation-only"})
    assert same.status_code == 201
    act = json.loads(json.loads(person.act_file(same.json()["id"]))["act"])
    assert (act["basis"], act["attested_by"], act["capability"]) == ("notice", "platform", "receipt")
    with read(service.runtime.engine) as session:
        [contributor] = session.execute(sa.select(Passkey.contributor_id).where(Passkey.credential_id == passkey.id)).scalars()  # type: ignore[call-overload]
    completion.replace_key(service.runtime, contributor)  # as the erasure of one thing does
    assert "<bdi>my phone</bdi>" in window(service, person.receipt).get("/r/passkeys").text
    person.erase("all")
    assert kept(service, passkey) == 0


def kept(service: Service, passkey: Authenticator) -> int:
    with read(service.runtime.engine) as session:
        query = sa.select(sa.func.count()).select_from(Passkey).where(Passkey.credential_id == passkey.id)  # type: ignore[arg-type]
        return int(session.execute(query).scalar_one())


def test_each_act_in_the_persons_name_asks(service: Service, person: Contributor) -> None:
    one, two = things(service, person.receipt)
    page = window(service, person.receipt)
    passkey = guarded(service, person)
    charter = {"aim": "To have a say.", "decisions": {}}
    ask_of(service.post(f"/v1/contributions/{one}/objections", {"statement": "No.", "language": "en"}, person.receipt))
    ask_of(service.post("/v1/collectives", {"name": "Us", "kind": "affinity", "charter": charter}, person.receipt))
    forms: list[tuple[str, dict[str, str], str]] = [
        (f"/r/of/{one}/object", {"statement": "No\r\nmore.", "language": "en"}, "/done"),
        ("/r/some/scope", {one: "1", two: "1", "template": "open-model-training-with-credit", "credit": "Ann"}, "/r/some/done"),
        (f"/r/of/{one}/credit", {"credit": "Bea"}, "/done"), ("/r/keys/new", {}, "told=new"), ("/r/keys/end", {}, "told=ended"),
        ("/r/recovery", {}, "/r/recovery"),
    ]  # fmt: skip
    for address, form, led_to in forms:
        asking = post(page, address, **form)
        assert asking.status_code == 403 and asking.headers["content-security-policy"].endswith("; script-src 'self'"), asking.text
        assert f'action="{address}"' in asking.text and all(f'name="{name}" value="' in asking.text for name in form)
        done = post(page, address, **form, passkey=passkey.show(wanted(asking)))
        assert done.status_code == 200 and led_to in str(done.url), (address, done.text)
    # One signature over several: the receipt of one holds it, proves that one, and does not name the others.
    person = Contributor(service.base, [cookie.value or "" for cookie in page.cookies.jar if cookie.name == COOKIE][-1])
    several = [a["id"] for a in person.acts() if a["type"] == "consent.scoped"][:2]
    files = [until(lambda act=act: (found := json.loads(person.act_file(act)))["tlog_proof"] and found) for act in several]
    acts = {json.loads(file["act"])["contribution"]: json.loads(file["act"]) for file in files}
    assert set(acts) == {one, two} and two not in json.dumps(acts[one]) and acts[one]["passkey"] == acts[two]["passkey"]
    assert [verify.verify_receipt(file).exit_code for file in files] == [verify.VERIFIED] * 2
    with pytest.raises(Failed, match="other contributions"):
        check(acts[one] | {"contribution": "con_" + "0" * 26}, files[0]["evidence"]["key"])
    # Taking the name away, or the words, gives nothing more.
    assert "/done" in str(post(page, f"/r/of/{one}/credit", credit="").url)


def test_a_link_used_while_the_first_one_is_added_is_locked(service: Service, platform: PlatformParty, person: Contributor, monkeypatch: Any) -> None:
    url = service.post("/v1/portal-sessions", {"contributor": "signs"}, service.token(platform)).json()["url"]
    logged, found = guarding._logged, []

    def meanwhile(*given: Any) -> Any:
        with suppress(TimeoutError):
            found.append(pool.submit(Contributor.claim, url))
            found[0].result(0.5)
        return logged(*given)

    with ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(guarding, "_logged", meanwhile)
        guarded(service, person)
        assert found[0].result().locked


def test_a_portal_link_opens_nothing_until_it_is_shown(service: Service, platform: PlatformParty, person: Contributor) -> None:
    passkey = Authenticator(service.base)
    # The first one comes with a new receipt: whoever else has the one of before is one of the others, who can be ended.
    mine = window(service, person.receipt)
    options = wanted(post(mine, "/r/passkeys/new", name="x"), "make")
    as_page: dict[str, Any] = {"headers": {"Origin": service.base}, "cookies": {COOKIE: person.receipt}}
    form = {"name": "x", "made": passkey.make(options)}
    first = httpx.post(f"{service.base}/r/passkeys/add", data=form, **as_page).cookies[COOKIE]
    mine = window(service, first)
    assert opens(service, person.receipt)
    assert post(mine, "/r/keys/end", passkey=passkey.show(wanted(post(mine, "/r/keys/end")))).status_code == 200
    assert opens(service, first) and not opens(service, person.receipt)
    theirs = receipt_for_all(service, platform, "signs")  # the platform opened the link that it asked for
    assert theirs.locked and not person.locked
    with pytest.raises(Forbidden, match="passkey_needed"):
        theirs.passkey = lambda ask: ask["sign_at"]  # not asked: there is nothing to sign for a program
        theirs.call("GET", "/v1/contributions/me")
    # In a browser that has a receipt for everything the link leaves that there, whether it is used there or was before.
    url = service.post("/v1/portal-sessions", {"contributor": "signs"}, service.token(platform)).json()["url"]
    for at, method in ((url, "POST"), (f"{service.base}/r/{theirs.receipt}", "GET")):
        assert COOKIE not in httpx.request(method, at, cookies={COOKIE: first}).cookies
    assert httpx.get(f"{service.base}/r/{theirs.receipt}").cookies[COOKIE] == theirs.receipt
    page = window(service, theirs.receipt)
    one = things(service, first)[0]
    for address in ("/r", f"/r/of/{one}", "/r/timeline", "/r/keys", "/r/passkeys", "/r/everything", f"/r/receipt/{one}"):
        answer = page.get(address)
        assert answer.status_code == 403 and "This link opens nothing" in answer.text.replace("So this", "This") and one not in answer.text
    assert "allowCredentials" not in wanted(page.get("/r"))["options"], "the platform is not told which passkeys there are"
    for answer in (post(page, "/r/of/all/withdraw"), post(page, "/r/of/all/erase", sure="yes"), post(page, "/r/passkeys/open")):
        assert answer.status_code == 403 and CODES["passkey_needed"] not in answer.text
    ask = ask_of(service.post("/v1/revocations", {"scope": "all"}, theirs.receipt))
    stranger = Authenticator(service.base)
    assert CODES["passkey_unknown"] in post(page, "/r/passkeys/open", passkey=stranger.show(ask)).text
    assert not opens(service, theirs.receipt)
    # Shown by the person, in whose browser the platform had its receipt put: a new one opens the page, which nobody else knows.
    opened = httpx.post(
        f"{service.base}/r/passkeys/open", data={"passkey": passkey.show(ask)}, headers={"Origin": service.base}, cookies={COOKIE: theirs.receipt}
    )
    assert opens(service, opened.cookies[COOKIE]) and not opens(service, theirs.receipt) and page.get("/r").status_code == 401
    # The link of one thing must be able to take that one back, whoever opened it; it allows nothing more.
    part = service.claim(platform.give(1, contributor="signs")[0])
    ask_of(scoped(service, part.receipt, str(part.claimed), WIDER))
    assert [item.id for item in part.mine()] == [part.claimed] and part.withdraw().contributions == 1


@pytest.mark.parametrize(
    ("code", "status", "bend"),
    [
        ("passkey_wrong_site", 403, {"origin": "https://other.example"}), ("passkey_wrong_site", 403, {"host": "other.example"}),
        ("passkey_unverified", 403, {"flags": PRESENT}), ("passkey_invalid", 422, {"flags": 0x04}),
        ("passkey_invalid", 422, {"kind": "webauthn.create"}), ("passkey_other_act", 403, {"over": "{}"}),
    ],
)  # fmt: skip
def test_what_proves_nothing_is_refused(service: Service, person: Contributor, code: str, status: int, bend: dict[str, Any]) -> None:
    one = things(service, person.receipt)[0]
    passkey = guarded(service, person)
    ask = ask_of(scoped(service, person.receipt, one, WIDER))
    refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=passkey.show(ask, **bend)), status, code)
    assert scoped(service, person.receipt, one, WIDER, sayso_passkey=passkey.show(ask)).status_code == 201, "the nonce was not used up"


def test_a_signature_is_good_once_for_five_minutes_and_for_that_act_alone(service: Service, platform: PlatformParty, person: Contributor) -> None:
    one, two = things(service, person.receipt)
    passkey = guarded(service, person)
    ask = ask_of(scoped(service, person.receipt, one, WIDER))
    sent = passkey.show(ask)
    refused(scoped(service, person.receipt, two, WIDER, sayso_passkey=sent), 403, "passkey_other_act")
    other = {**WIDER, "credit": "Mallory"}
    refused(scoped(service, person.receipt, one, other, sayso_passkey=sent), 403, "passkey_other_act")
    service.clock.offset = timedelta(minutes=5, seconds=1)
    refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=sent), 410, "passkey_expired")
    service.clock.offset = timedelta()
    assert scoped(service, person.receipt, one, WIDER, sayso_passkey=sent).status_code == 201
    assert scoped(service, person.receipt, one, NARROWER).status_code == 201
    refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=sent), 409, "passkey_used")
    # Four at once are one act.
    again = {"data": {"passkey": passkey.show(wanted(post(window(service, person.receipt), "/r/keys/new")))}, "headers": {"Origin": service.base}}
    at = service.base + "/r/keys/new"
    answers = at_once(4, lambda n: httpx.post(at, cookies={COOKIE: person.receipt}, **again))  # type: ignore[arg-type]
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
    assert all(CODES["passkey_used"] in answer.text for answer in answers if answer.status_code == 409)
    # Somebody else's passkey, their nonce, and what is no answer of a browser's at all.
    platform.give(1, contributor="other")
    stranger = receipt_for_all(service, platform, "other")
    theirs = guarded(service, stranger)
    ask = ask_of(scoped(service, person.receipt, one, WIDER))
    refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=theirs.show(ask)), 403, "passkey_unknown")
    foreign = ask_of(scoped(service, stranger.receipt, things(service, stranger.receipt)[0], WIDER))["nonce"]
    text = ask["text"].replace(ask["nonce"], foreign)
    refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=passkey.show({"nonce": foreign, "text": text})), 422, "passkey_invalid")
    at, _, sent_on = ask["sign_at"].partition("#ask=")  # no server, and no log, sees what is behind the sign
    assert at == f"{service.base}/r/passkeys/sign" and window(service, person.receipt).get(at).status_code == 200
    page, other = window(service, person.receipt), window(service, stranger.receipt)
    assert json.loads(wanted(post(page, at, ask=sent_on))["text"])["nonce"] == ask["nonce"]
    assert CODES["passkey_invalid"] in post(other, at, ask=sent_on).text
    opening = json.loads(ask["text"]) | {"act": {"type": "receipt.opened", "receipt": "x"}}
    bent_on = b64u(ask["text"].replace("consent.", "x.").encode()) + "A"
    for wrong in ("", sent_on[-80:], bent_on, b64u(canonical(opening)), b64u(b"[]"), b64u(b'{"act":{},"nonce":""}')):
        assert CODES["passkey_invalid"] in post(page, at, ask=wrong).text
    service.clock.offset = timedelta(minutes=6)
    assert CODES["passkey_expired"] in post(page, at, ask=sent_on).text
    service.clock.offset = timedelta()
    whole = json.loads(passkey.show(ask))
    bent = [whole | {"id": "="}, whole | {"signature": whole["signature"][:-8]}, whole | {"x": ""}]
    for wrong in ("x", "[]", "{}", *map(json.dumps, bent)):
        refused(scoped(service, person.receipt, one, WIDER, sayso_passkey=wrong), 422, "passkey_invalid")


def test_one_that_counts_backwards_is_refused_and_one_that_never_counts_is_not(service: Service, person: Contributor) -> None:
    one, two = things(service, person.receipt)
    passkey = guarded(service, person, step=5)

    def act(with_: Authenticator, target: str) -> httpx.Response:
        return scoped(service, person.receipt, target, WIDER, sayso_passkey=with_.show(ask_of(scoped(service, person.receipt, target, WIDER))))

    assert act(passkey, one).status_code == 201
    passkey.count -= 5  # the copy has not counted what the other did
    refused(act(passkey, two), 409, "passkey_count")
    synced = Authenticator(service.base, step=0)
    assert added(window(service, person.receipt), synced, shown=passkey).url.params["told"] == "added"
    assert act(synced, two).status_code == 201
    assert scoped(service, person.receipt, two, NARROWER).status_code == 201 and act(synced, two).status_code == 201


def test_several_are_added_and_removed_with_one(service: Service, person: Contributor, monkeypatch: pytest.MonkeyPatch) -> None:
    page = window(service, person.receipt)
    first, second = guarded(service, person), Authenticator(service.base)
    assert wanted(added(page, second, "the other <b>"))["text"], "a further one needs one that is there"
    assert added(page, second, "the other <b>", shown=first).url.params["told"] == "added"
    assert "You have 2 passkeys" in (shown := page.get("/r/passkeys").text) and "the other &lt;b&gt;" in shown and "my phone" in shown
    with read(service.runtime.engine) as session:
        ids = {bytes(row.credential_id): row.id for row in session.execute(sa.select(Passkey)).scalars()}
    again = post(page, "/r/passkeys/new", name="again")
    assert len(wanted(again, "make")["options"]["excludeCredentials"]) == 2
    for passkey, by in ((first, second), (second, second)):
        form = {"id": ids[passkey.id]}
        assert post(page, "/r/passkeys/remove", **form, passkey=by.show(wanted(post(page, "/r/passkeys/remove", **form)))).status_code == 200
    assert scoped(service, person.receipt, things(service, person.receipt)[0], WIDER).status_code == 201, "nothing is guarded any more"
    assert post(page, "/r/passkeys/remove", id=ids[first.id]).status_code == 404
    monkeypatch.setattr(passkeys, "MOST", 0)
    assert CODES["passkeys_too_many"] in added(page, Authenticator(service.base)).text
    assert [a["type"] for a in person.acts()][:4] == ["passkey.added", "passkey.added", "passkey.removed", "passkey.removed"]


def test_one_is_made_here_and_now_by_whoever_has_all_of_it(service: Service, platform: PlatformParty, person: Contributor) -> None:
    page = window(service, person.receipt)
    passkey = Authenticator(service.base)
    options = wanted(post(page, "/r/passkeys/new", name="x"), "make")
    bent: list[tuple[str, dict[str, Any]]] = [
        ("passkey_wrong_site", {"origin": "https://other.example"}), ("passkey_wrong_site", {"host": "x.example"}),
        ("passkey_unverified", {"flags": PRESENT}),
    ]  # fmt: skip
    for code, bend in bent:
        assert CODES[code] in post(page, "/r/passkeys/add", name="x", made=passkey.make(options, **bend)).text
    for wrong in ("", "{}", "x" * 13_000, json.dumps(json.loads(passkey.make(options)) | {"attestation": "AAAA"})):
        assert CODES["passkey_invalid"] in post(page, "/r/passkeys/add", name="x", made=wrong).text
    for odd in (ES256({1: 2, 3: -7, -1: 1, -2: b"\1" * 32, -3: b"\1" * 32}), RS256({1: 3, 3: -257, -1: b"\xff" * 128, -2: b"\1\0\1"})):
        assert CODES["passkey_invalid"] in post(page, "/r/passkeys/add", name="x", made=passkey.make(options, key=odd)).text, "no key at all"
    assert post(page, "/r/passkeys/add", name="", made=passkey.make(options)).status_code == 422
    service.clock.offset = timedelta(minutes=6)
    assert CODES["passkey_expired"] in post(page, "/r/passkeys/add", name="x", made=passkey.make(options)).text
    # A receipt for one of several things is not one for the person; the one thing of somebody without a name is all there is.
    part = service.claim(platform.give(1, contributor="signs")[0])
    assert "ask the platform for a link to all" in window(service, part.receipt).get("/r/passkeys").text
    assert CODES["receipt_scope"] in post(window(service, part.receipt), "/r/passkeys/new", name="x").text
    sole = service.claim(platform.give(1, people=False)[0])
    passkey = guarded(service, sole)
    ask_of(scoped(service, sole.receipt, str(sole.claimed), WIDER))
    assert "You added a passkey." in window(service, sole.receipt).get("/r").text
    sole.erase(contribution=str(sole.claimed))
    assert kept(service, passkey) == 0
    with read(service.runtime.engine) as session:
        query = sa.select(LogEntry.sealed).where(LogEntry.type == "passkey.added", LogEntry.subject == sole.claimed)  # type: ignore[call-overload]
        assert [bytes(sealed) for sealed in session.execute(query).scalars()] == [ERASED], "nor what its leaf committed to"


def test_the_code_removes_them_and_the_page_tells(service: Service, platform: PlatformParty, person: Contributor) -> None:
    before = code_of(service, person.receipt)
    passkey = guarded(service, person)
    told(use(service, before), 404, "recovery_code_unknown")  # whoever had a receipt may have made it
    page = window(service, person.receipt)
    code = code_in(post(page, "/r/recovery", passkey=passkey.show(wanted(post(page, "/r/recovery")))))
    locked = receipt_for_all(service, platform, "signs")
    answer = use(service, code)
    assert "Your passkeys were removed" in answer.text
    again = window(service, answer.cookies[COOKIE])
    assert "It removed all passkeys." in again.get("/r/timeline").text and "You have one passkey" not in again.get("/r/passkeys").text
    assert window(service, locked.receipt).get("/r").status_code == 401, "what waited for it has ended"
    assert scoped(service, person.receipt, things(service, person.receipt)[0], WIDER).status_code == 201
    [act] = [a for a in person.acts() if a["type"] == "passkey.removed"]
    file = until(lambda: (found := json.loads(person.act_file(act["id"])))["tlog_proof"] and found)
    assert file["evidence"] == {"kind": "recovery-code"} and verify.verify_receipt(file).exit_code == verify.VERIFIED
