"""What stands beside the proof in a receipt file: its COSE form, the consent receipt, and the kind of evidence."""

import base64
import copy

import pytest
from sayso import verify
from sayso.verify import PENDING, VERIFIED

from tests.client.forge import Forge, Key, b64, vkey
from tests.client.test_verify import OTHERS, code, failed_at, places


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 1), (5, 3), (23, 0), (300, 20)])
def test_a_cose_receipt_and_a_consent_receipt_that_fit_hold(before, after):
    forge = Forge(before=before, after=after)
    for file in (forge.receipt(beside=True), forge.receipt(beside=True, consented=False)):
        report = verify.verify_receipt(file, forge.vkey)
        assert code(report) == VERIFIED, report.to_json()
        names = [step.name for step in report.steps]
        assert names[-2:] == ["COSE receipt is the same proof", "consent receipt is of this act"]
        assert "not checked" in report.steps[-1].detail or file["consent_receipt"] is None
    assert code(verify.verify_receipt(forge.receipt(beside=True, pending=True))) == PENDING
    for step in verify.verify_receipt(forge.receipt()).steps[-2:]:
        assert step.ok and step.detail == "the file has none"


@pytest.mark.parametrize("value", ["", "x", "AAAA", b64(b"garbage"), b64(bytes(300)), 1, [], {}, True])
def test_a_cose_receipt_that_is_none_is_found(value):
    assert failed_at(verify.verify_receipt(Forge().receipt(beside=True) | {"cose": value})) == "COSE receipt is the same proof"


def test_every_bit_of_a_cose_receipt_counts():
    whole = Forge(before=3, after=2).receipt(beside=True)
    raw = base64.b64decode(whole["cose"])
    for at in range(len(raw) * 8):
        bent = bytearray(raw)
        bent[at // 8] ^= 1 << at % 8
        assert failed_at(verify.verify_receipt(whole | {"cose": b64(bytes(bent))})) == "COSE receipt is the same proof", at
    for other in (raw + b"\0", raw[:-1], b"", raw[1:]):
        assert failed_at(verify.verify_receipt(whole | {"cose": b64(other)})) == "COSE receipt is the same proof"


def test_a_cose_receipt_of_another_leaf_size_or_log_is_found():
    forge, other = Forge(), Forge()
    first, second = forge.receipt(beside=True), forge.receipt(beside=True)
    other.log = Key(9)
    other.vkey = vkey(other.log)
    elsewhere = other.receipt(beside=True)
    assert elsewhere["leaf"] == first["leaf"]
    for cose in (second["cose"], elsewhere["cose"]):
        assert failed_at(verify.verify_receipt(first | {"cose": cose})) == "COSE receipt is the same proof"
    pending = Forge().receipt(beside=True, pending=True) | {"cose": first["cose"]}
    assert failed_at(verify.verify_receipt(pending)) == "COSE receipt is the same proof"


def test_every_place_of_a_consent_receipt_that_is_read_counts():
    whole = Forge().receipt(beside=True)
    read = 0
    for at in places(whole["consent_receipt"]):
        if at == ("dpv:hasRecordOfActivity", 0, "dpv:hasConsentStatus", 1, "odrl:hasPolicy"):
            continue  # a later choice, of which the act knows nothing
        for other in [*OTHERS, "DELETE"]:
            file = copy.deepcopy(whole)
            within = file["consent_receipt"]
            for key in at[:-1]:
                within = within[key]
            if other == "DELETE":
                del within[at[-1]]
            else:
                within[at[-1]] = other
            if at == ("dpv:hasRecordOfActivity", 0, "dpv:hasConsentStatus", 1) and other in ("DELETE", {}, {"v": 1}):
                continue
            assert failed_at(verify.verify_receipt(file)) == "consent receipt is of this act", (at, other)
            read += 1
    assert read > 100
    for other in ("", 1, [], {}, {"@id": "x"}):
        assert failed_at(verify.verify_receipt(whole | {"consent_receipt": other})) == "consent receipt is of this act"
    unconsented = Forge().receipt(beside=True, consented=False) | {"consent_receipt": whole["consent_receipt"]}
    assert failed_at(verify.verify_receipt(unconsented)) == "consent receipt is of this act"


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (None, "platform"),
        (lambda a: a["consent"].update(attested_by="person"), "widget"),
        (lambda a: a.update(type="consent.withdrawn", capability="receipt"), "capability"),
        (lambda a: a.update(type="consent.withdrawn", capability="claim-link"), "claim-link"),
        (lambda a: a.update(type="consent.revoked", capability="webhook"), "webhook"),
        (lambda a: a.update(type="consent.revoked", capability="text"), "text"),
        (lambda a: a.update(type="proposal.opened"), "capability"),
    ],
)
def test_the_evidence_is_what_the_act_itself_names(act, named):
    file = Forge().receipt(act=act)
    kinds = ["platform", "widget", "capability", "claim-link", "webhook", "text", "passkey", "", "receipt"]
    held = {kind for kind in kinds if code(verify.verify_receipt(file | {"evidence": {"kind": kind}})) == VERIFIED}
    assert held == {named}
    assert failed_at(verify.verify_receipt(file | {"evidence": {"kind": "passkey"}})) == "act matches its digest"
