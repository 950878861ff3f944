"""A passkey in a real browser, with a virtual authenticator of its own. By name: a number is no place that a passkey is made for."""

import json
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from sayso import verify

from app.parties.auth import COOKIE
from tests.browser.conftest import PHONE, no_barriers
from tests.browser.test_taking_back import tap
from tests.browser.test_verify_page import by_command
from tests.contributions.test_receipts import proven
from tests.faults.cuts import receipt_for_all
from tests.support import free_port, serving, test_settings

DEVICE = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True,
    "automaticPresenceSimulation": True,
}  # fmt: skip


SEVERAL = """(fields) => {
    const form = document.body.appendChild(Object.assign(document.createElement("form"), { method: "post", action: "/r/some/scope" }));
    for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement("input"), { name, value }));
    form.submit();
}"""


def test_a_passkey_keeps_the_platform_from_acting_for_a_person(backend: str, opened: Callable[..., Page]) -> None:
    if backend != "sqlite":
        pytest.skip("a journey is played once; what is kept of passkeys is tried on both databases (tests/parties)")
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        with serving(test_settings(Path(directory), public_url=f"http://localhost:{port}"), backend) as service:
            platform = service.platform()
            [given, other] = platform.give(2, contributor="ann")
            page = opened(PHONE)
            device = page.context.new_cdp_session(page)
            device.send("WebAuthn.enable")
            device.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
            receipt = receipt_for_all(service, platform, "ann").receipt
            page.goto(service.base + "/r/" + receipt)
            page.goto(service.base + "/r/keys")
            tap(page, "Add a passkey")
            no_barriers(page)
            page.get_by_label("A name, so that you know which one it is").fill("my <i>phone</i>")
            tap(page, "Add a passkey")
            no_barriers(page)
            tap(page, "Make it")
            expect(page.locator("main")).to_contain_text("You have one passkey")
            expect(page.locator("bdi")).to_have_text("my <i>phone</i>")
            no_barriers(page)
            # The platform opens the link that it asked for: it sees nothing, and cannot act. Nor does it have the passkey.
            theirs = opened(PHONE)
            url = service.post("/v1/portal-sessions", {"contributor": "ann"}, service.token(platform)).json()["url"]
            theirs.goto(url)
            with theirs.expect_navigation():
                theirs.get_by_role("button").click()
            expect(theirs.locator("main")).to_contain_text("this link opens nothing before you use it")
            no_barriers(theirs)
            theirs.goto(f"{service.base}/r/of/{given.id}/terms?choose=open-model-training-with-credit")
            expect(theirs.get_by_role("heading", level=1)).to_have_text("Use your passkey")
            assert given.id not in theirs.content()
            # A program that has the person's receipt has it signed: on a page of ours, to be copied.
            terms = {"template": "open-model-training-with-credit", "parameters": {}, "language": "en"}
            page.goto(service.post("/v1/contributions/me/consents", terms, receipt).json()["ask"]["sign_at"])
            expect(page.get_by_role("button", name="Use my passkey")).to_be_visible()
            assert page.url == service.base + "/r/passkeys/sign", "what is signed stands in no address"
            no_barriers(page)
            page.get_by_role("button", name="Use my passkey").click()
            expect(page.locator("#answer")).to_contain_text('"signature":')
            answer = str(page.locator("#answer").text_content())
            assert service.post("/v1/contributions/me/consents", terms, receipt, sayso_passkey=answer).status_code == 201
            no_barriers(page)
            # The person allows more: the passkey signs just that, and the receipt of it can be checked by anybody.
            page.goto(f"{service.base}/r/of/{given.id}/terms?choose=open-model-training-with-credit")
            page.get_by_label("The name that labs must give").fill("Ann")
            tap(page, "Yes, use these terms")
            expect(page.locator("main")).to_contain_text("Change what your terms allow, or the name for credit.")
            no_barriers(page)
            tap(page, "Use my passkey")
            expect(page.locator("main")).to_contain_text("Signed with your passkey.")
            expect(page.get_by_role("link", name="Save the receipt of this")).to_be_visible()
            address = service.base + "/r/act/" + page.url.partition("act=")[2]
            file = proven(lambda: httpx.get(address, cookies={COOKIE: receipt}).text)
            assert file["evidence"]["kind"] == "passkey"
            assert verify.verify_receipt(file).exit_code == verify.VERIFIED
            page.goto(service.base + "/verify")
            texts = [json.dumps(one) for one in (file, *bent(file))]
            run = "async (all) => { const out = []; for (const one of all) out.push(await verifyReceipt(one, '')); return out; }"
            found = [(one["verdict"], [step["name"] for step in one["steps"]]) for one in page.evaluate(run, texts)]
            assert found == [by_command(text) for text in texts]
            assert found[0][0] == "holds" and all(steps == ["act matches its digest"] for _, steps in found[1:]), found
            # One signature over several: the receipt of one proves that one, and names no other.
            page.goto(service.base + "/r")
            with page.expect_navigation():
                page.evaluate(SEVERAL, {given.id: "1", other.id: "1", "template": "evaluation-only", "language": "en", "credit": "Bea"})
            tap(page, "Use my passkey")
            address = service.base + str(page.locator("a[href^='/r/act/']").first.get_attribute("href"))
            file = proven(lambda: httpx.get(address, cookies={COOKIE: receipt}).text)
            act = json.loads(file["act"])
            assert act["contribution"] in (given.id, other.id) and ({given.id, other.id} - {act["contribution"]}).pop() not in file["act"]
            moved = json.dumps(act | {"contribution": "con_" + "0" * 26}, separators=(",", ":"), sort_keys=True)
            page.goto(service.base + "/verify")
            texts = [json.dumps(file), json.dumps(file | {"act": moved, "payload_sha256": sha256(moved.encode()).hexdigest()})]
            found = [(one["verdict"], [step["name"] for step in one["steps"]]) for one in page.evaluate(run, texts)]
            assert found == [by_command(text) for text in texts] and [verdict for verdict, _ in found] == ["holds", "fails"]
            # Opened by a new link of the platform's, once the passkey was shown.
            page.context.clear_cookies()
            url = service.post("/v1/portal-sessions", {"contributor": "ann"}, service.token(platform)).json()["url"]
            page.goto(url)
            with page.expect_navigation():
                page.get_by_role("button").click()
            tap(page, "Use my passkey")
            expect(page.get_by_role("heading", level=1)).to_have_text("All that I gave")
            # Without a script a page says that it needs one.
            without = opened(PHONE, scripts=False)
            without.goto(service.base + "/r/" + receipt)
            without.goto(service.base + "/r/passkeys")
            tap(without, "Remove it")
            expect(without.locator("main")).to_contain_text("This page needs a script")
            expect(without.get_by_role("button")).to_have_count(0)


def bent(file: dict[str, Any]) -> list[dict[str, Any]]:
    """The file with something else in what was signed or in the act, and the digest made to fit."""
    act = json.loads(file["act"])
    signed = act["passkey"]
    acts = [act | {name: "0" * 64} for name in ("policy", "credit_sha256", "contribution")] + [act | {"type": "consent.withdrawn"}]
    acts += [act | {"passkey": signed | {name: signed[name][:-6] + "AAAAAA"}} for name in ("client_data", "authenticator_data", "signature")]
    acts += [act | {"passkey": signed | other} for other in (
        {"text": signed["text"].replace(act["policy"], "1" * 64)}, {"thumbprint": "A" * 43}, {"key": signed["key"] | {"x": signed["key"]["y"]}},
        {"signature": "AAAA"}, {"authenticator_data": "AAAA"}, {"key": {}}, {"text": "{}"},
    )]  # fmt: skip
    acts.append({name: value for name, value in act.items() if name != "passkey"})
    texts = [json.dumps(one, separators=(",", ":"), sort_keys=True, ensure_ascii=False) for one in acts]
    made = [file | {"act": text, "payload_sha256": sha256(text.encode()).hexdigest()} for text in texts]
    return [*made, file | {"evidence": {"kind": "passkey"}}, file | {"evidence": {"kind": "passkey", "key": "A" * 43}}]
