"""The page that checks a receipt: in a real browser, against the command line's verifier on the same files, whole and bent."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from sayso import proofs, verify

from tests.browser.conftest import DESKTOP, PHONE, no_barriers
from tests.client.forge import Forge
from tests.support import PlatformParty, Service, on_one_backend, until

VERDICTS = {verify.VERIFIED: "holds", verify.FAILED: "fails", verify.PENDING: "waits"}


def by_command(text: str, vkey: str = "") -> tuple[str, list[str]]:
    """The verdict and the steps that were reached, as `sayso verify receipt` has them."""
    try:
        file = proofs.parse(text, "the file")
    except proofs.Failed:
        return "fails", ["act matches its digest"]
    report = verify.verify_receipt(file, vkey or None)
    return VERDICTS[report.exit_code], [step.name for step in report.steps]


def bent(whole: str, rng: random.Random) -> str:
    """The file with something in it changed: a character, a member, a repeat, an end."""
    kind = rng.randrange(5)
    at = rng.randrange(len(whole))
    if kind == 0:
        return whole[:at] + rng.choice('0aZ"\\{}[],:+-/=\n é\u2028') + whole[at + 1 :]
    if kind == 1:
        return whole[:at] + whole[at + rng.randrange(1, 9) :]
    file = json.loads(whole)
    name = rng.choice(list(file))
    if kind == 2:
        file[name] = rng.choice([None, 1, True, "", "x", {}, [], 2**53, "0" * 64, 1.5])
    elif kind == 3:
        del file[name]
    else:
        return whole[:-1] + f',"{name}":{json.dumps(file[name])}}}'
    return json.dumps(file)


def test_it_says_what_the_command_says(service: Service, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    forge, rng = Forge(), random.Random(20)
    whole = [forge.receipt(), forge.receipt(consented=False), forge.receipt(pending=True), forge.receipt() | {"salt": None}]
    whole += [
        forge.receipt(act=lambda a: a.update(v=2)), forge.receipt(leaf=lambda e: e.update(day="2020-01-01")),
        forge.receipt(act=lambda a: a.update(rid_seed_sha256="0" * 64)), forge.receipt() | {"tlog_proof": "c2sp.org/tlog-proof@v1\nindex 0\n\n"},
        forge.receipt() | {"payload_sha256": "0" * 64}, forge.receipt() | {"vkey": Forge().vkey},
    ]  # fmt: skip
    texts = [(json.dumps(one), "") for one in whole] + [(json.dumps(whole[0]), key) for key in (forge.vkey, Forge().vkey, "nonsense", "a+b+c")]
    texts += [(bent(json.dumps(whole[n % 2]), rng), "") for n in range(600)]
    # What stands beside the proof: whole, of another leaf, waiting, and bent in every way.
    beside, second = forge.receipt(beside=True), forge.receipt(beside=True)
    people = [forge.receipt(act=lambda a, c=c: a.update(type="consent.revoked", capability=c)) for c in ("text", "receipt")]
    whole = [beside, forge.receipt(beside=True, consented=False), forge.receipt(beside=True, pending=True), *people]
    whole.append(beside | {"cose": second["cose"]})
    whole += [one | {"evidence": {"kind": kind}} for one in (beside, *people) for kind in ("widget", "text", "capability", "passkey")]
    whole += [Forge(before=n).receipt(beside=True) for n in (0, 23, 24, 300)]
    texts += [(json.dumps(one), "") for one in whole] + [(json.dumps(beside), Forge().vkey)]
    texts += [(bent(json.dumps(beside), rng), "") for _ in range(400)]
    raw = base64.b64decode(beside["cose"])
    for at in range(0, len(raw), 3):
        texts.append((json.dumps(beside | {"cose": base64.b64encode(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]).decode()}), ""))
    page = opened(DESKTOP)
    page.goto(service.base + "/verify")
    run = "async (all) => { const out = []; for (const [text, key] of all) out.push(await verifyReceipt(text, key)); return out; }"
    found: list[Any] = page.evaluate(run, texts)
    verdicts = set()
    for (text, key), one in zip(texts, found, strict=True):
        wanted = by_command(text, key)
        assert (one["verdict"], [step["name"] for step in one["steps"]]) == wanted, (one, text)
        verdicts.add(wanted[0])
    assert verdicts == {"holds", "fails", "waits"}
    assert sum(one["verdict"] == "fails" for one in found) > 500


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_person_checks_their_receipt(
    service: Service, platform: PlatformParty, opened: Callable[..., Page], tmp_path: Path, size: dict[str, int]
) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    [given] = platform.give(1)
    holder = service.claim(given)
    headers = {"Authorization": f"Bearer {holder.receipt}"}

    def whole() -> bytes | None:
        answer = httpx.get(f"{service.base}/v1/contributions/{given.id}/receipt", headers=headers)
        return answer.content if answer.json()["tlog_proof"] else None

    file = tmp_path / "receipt.json"
    file.write_bytes(until(whole))
    page = opened(size)
    page.goto(service.base)
    page.get_by_role("link", name="Check a receipt").click()
    page.get_by_label("Your receipt").set_input_files(file)
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("heading", name="This receipt holds.")).to_be_visible()
    expect(page.locator("#steps li")).to_have_count(8)
    no_barriers(page)
    file.write_bytes(file.read_bytes().replace(b'"sayso-receipt"', b'"sayso-receipt" ').replace(b'\\"kind\\":\\"', b'\\"kind\\":\\"x', 1))
    page.get_by_label("Your receipt").set_input_files(file)
    page.get_by_role("button", name="Check it").click()
    expect(page.get_by_role("heading", name="This receipt does not hold.")).to_be_visible()


def test_the_page_can_reach_nobody(service: Service, opened: Callable[..., Page]) -> None:
    on_one_backend(service, "what a page looks like and weighs does not depend on the database")
    policy = httpx.get(service.base + "/verify").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "form-action 'none'" in policy and "connect-src" not in policy
    without = opened(PHONE, scripts=False)
    without.goto(service.base + "/verify")
    expect(without.get_by_text("sayso verify receipt")).to_be_visible()
    expect(without.get_by_role("button", name="Check it")).to_be_hidden()
    assert httpx.get(service.base + "/static/verify.js").headers["content-type"].startswith("text/javascript")
