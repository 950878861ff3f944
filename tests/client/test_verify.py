"""The offline verifier: takes what is right, and nothing else."""

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sayso import verify
from sayso.verify import FAILED, PENDING, VERIFIED

from tests.client.forge import Forge, Key, b64, b64u, canonical, sha256, vkey


def code(report):
    assert [step.n for step in report.steps] == list(range(1, len(report.steps) + 1))
    return report.exit_code


def failed_at(report):
    assert report.exit_code == FAILED, report.to_json()
    assert report.steps[-1].ok is False and report.steps[-1].detail
    return report.steps[-1].name


def save(shards, folder):
    for digest, data in shards.items():
        (folder / f"{digest}.jsonl.zst").write_bytes(data)
    return folder


def test_what_is_right_holds(tmp_path):
    for alg in ("Ed25519", "ES256"):
        forge = Forge(alg)
        assert code(verify.verify_receipt(forge.receipt())) == VERIFIED
        assert code(verify.verify_receipt(forge.receipt(consented=False), forge.vkey)) == VERIFIED
        agreement = forge.agreement()
        report = verify.verify_agreement(agreement, forge.vkey)
        assert code(report) == VERIFIED and "the key you gave" in report.steps[-1].detail
        release, shards = forge.release()
        assert len(shards) > 1
        report = verify.verify_release(release, agreement, save(shards, tmp_path))
        assert code(report) == VERIFIED, report.to_json()
        assert report.to_json()["ok"] is True


@pytest.mark.parametrize("before", [0, 1, 7, 64])
def test_any_place_in_a_log_of_any_size(before):
    for after in (0, 1, 6):
        forge = Forge(before=before, after=after)
        assert code(verify.verify_receipt(forge.receipt())) == VERIFIED


@pytest.mark.parametrize(("rows", "bits"), [(0, 0), (1, 0), (2, 1), (40, 3)])
def test_releases_of_any_size(rows, bits, tmp_path):
    forge = Forge()
    release, shards = forge.release(rows=forge.rows(rows, 0), bits=bits)
    assert code(verify.verify_release(release, None, save(shards, tmp_path))) == VERIFIED


def test_before_a_checkpoint_it_is_pending_and_not_verified():
    forge = Forge()
    for report in (
        verify.verify_receipt(forge.receipt(pending=True)),
        verify.verify_agreement(forge.agreement(pending=True)),
        verify.verify_release(forge.release(pending=True)[0], forge.agreement()),
        verify.verify_release(forge.release()[0], forge.agreement(pending=True)),
    ):
        assert code(report) == PENDING and report.ok is False and report.to_json()["pending"] is True
    assert failed_at(
        verify.verify_receipt(
            forge.receipt(act=lambda a: a.update(act="act_other"), leaf=lambda e: e.update(id="x"), pending=True)
        )
    )


def files(forge):
    return {
        "receipt": (forge.receipt(), verify.verify_receipt),
        "agreement": (forge.agreement(), verify.verify_agreement),
        "release": (forge.release()[0], verify.verify_release),
    }


def places(value, at=()):
    """Every member of a JSON value, as a path."""
    if at:
        yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


OTHERS = [None, "", "x", 0, 1, -1, True, [], {}, [[]], {"v": 1}, 10**30, 1.5, "A" * 43, "\ud800", "0" * 64]


@pytest.mark.parametrize("kind", ["receipt", "agreement", "release"])
def test_every_member_that_was_changed_is_found(kind):
    whole, check = files(Forge())[kind]
    assert code(check(whole)) == VERIFIED
    for at in places(whole):
        for other in [*OTHERS, "DELETE"]:
            file = copy.deepcopy(whole)
            within = file
            for key in at[:-1]:
                within = within[key]
            if within[at[-1]] == other and type(within[at[-1]]) is type(other):
                continue
            if other == "DELETE":
                del within[at[-1]]
            else:
                within[at[-1]] = other
            expected = PENDING if (at, other) == (("tlog_proof",), None) else FAILED
            assert code(check(file)) == expected, (at, other)


@pytest.mark.parametrize(("kind", "step"), [("receipt", 1), ("agreement", 5), ("release", 3)])
def test_every_flipped_byte_is_found(kind, step, tmp_path):
    whole, check = files(Forge())[kind]
    data = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    path = tmp_path / "file"
    for at in range(0, len(data), step):
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
        try:
            file = verify.load(path)
        except verify.Unreadable:
            continue
        assert code(check(file)) == FAILED, at


def test_a_thousand_agreements_with_one_change_each_are_all_rejected():
    """Each of other terms; a letter or digit of what is signed, countersigned, logged or proven is another."""
    forge, rng = Forge(before=2, after=1), random.Random(7)
    for n in range(1000):
        terms = {"nonce": f"{n:022d}", "dissent": sorted(f"{rng.getrandbits(256):064x}" for _ in range(rng.randrange(4)))}
        forge.leaves = forge.leaves[:2]
        file = forge.agreement(offer=lambda offer, terms=terms: offer.update(terms))
        name = rng.choice(["acceptance", "agreement", "leaf", "tlog_proof"])
        text = file[name]
        at = rng.choice([i for i, char in enumerate(text) if char.isascii() and char.isalnum()])
        changed = {**file, name: text[:at] + rng.choice([c for c in "AZaz09" if c != text[at]]) + text[at + 1 :]}
        assert code(verify.verify_agreement(changed)) == FAILED, (n, name, at)
        if n % 100 == 0:
            assert code(verify.verify_agreement(file)) == VERIFIED


@pytest.mark.parametrize(
    ("edits", "step"),
    [
        ({"act": lambda a: a.update(v=2)}, "act matches its digest"),
        ({"act": lambda a: a.pop("act")}, "act matches its digest"),
        ({"leaf": lambda e: e.update(id="act_other")}, "leaf commits to the act"),
        ({"leaf": lambda e: e.update(day="2026-11-23")}, "leaf commits to the act"),
        ({"leaf": lambda e: e.update(v=2)}, "leaf commits to the act"),
        ({"leaf": lambda e: e.update(type="agreement.signed")}, "leaf commits to the act"),
        ({"leaf": lambda e: e.update(commitment=b64u(bytes(32)))}, "leaf commits to the act"),
        ({"act": lambda a: a["consent"].update(policy="0" * 64)}, "policy is the one consented to"),
        ({"act": lambda a: a.update(consent=None)}, "policy is the one consented to"),
        ({"act": lambda a: a["consent"].update(wording="0" * 64)}, "policy is the one consented to"),
        ({"act": lambda a: a["consent"].update(language="fr")}, "policy is the one consented to"),
        ({"act": lambda a: a.update(rid_seed_sha256="0" * 64)}, "record id seed belongs to the act"),
        ({"act": lambda a: a.pop("rid_seed_sha256")}, "record id seed belongs to the act"),
    ],
)
def test_receipts_that_were_logged_and_are_wrong(edits, step):
    assert failed_at(verify.verify_receipt(Forge().receipt(**edits))) == step


def test_a_receipt_without_its_salt_proves_nothing():
    file = Forge().receipt() | {"salt": None, "rid_seed": None}
    report = verify.verify_receipt(file)
    assert failed_at(report) == "leaf commits to the act" and "no salt" in report.steps[-1].detail


def test_a_seed_is_32_bytes():
    seed = b"short"
    file = Forge().receipt(act=lambda a: a.update(rid_seed_sha256=sha256(seed).hex())) | {"rid_seed": b64u(seed)}
    assert failed_at(verify.verify_receipt(file)) == "record id seed belongs to the act"


def test_a_key_from_elsewhere_beats_the_key_in_the_file():
    forge, other = Forge(), vkey(Key(9))
    assert failed_at(verify.verify_receipt(forge.receipt(), other)) == "checkpoint is signed by the log"
    assert failed_at(verify.verify_receipt(forge.receipt(), "nonsense")) == "checkpoint is signed by the log"
    assert failed_at(verify.verify_receipt(forge.receipt() | {"vkey": other})) == "checkpoint is signed by the log"


def header(**members):
    return lambda head: head.update(members)


BAD_HEADERS = [
    header(alg="none"),
    header(alg="HS256"),
    header(alg="EdDSA"),
    header(alg="ES256"),
    header(alg=None),
    header(typ="JWT"),
    header(crit=["b64"]),
    header(b64=False),
    header(jwk={}),
    header(jku="https://x"),
    header(kid="other"),
    header(x5c=[]),
    lambda head: head.pop("typ"),
    lambda head: head.pop("kid"),
    lambda head: head.pop("alg"),
]


@pytest.mark.parametrize("edit", BAD_HEADERS)
def test_headers_that_must_not_be_taken(edit):
    forge = Forge()
    assert failed_at(verify.verify_agreement(forge.agreement(acceptance=edit))) == "lab's signature"
    assert (
        failed_at(verify.verify_agreement(forge.agreement(countersignature=edit)))
        == "service's signature over the same terms"
    )
    assert failed_at(verify.verify_release(forge.release(header=edit)[0])) == "manifest's signature"


def test_the_kinds_of_signatures_are_not_interchangeable():
    forge = Forge()
    forge.lab = forge.service
    agreement = forge.agreement()
    agreement["acceptance"], agreement["agreement"] = agreement["agreement"], agreement["acceptance"]
    assert failed_at(verify.verify_agreement(agreement)) == "lab's signature"


def bend(value):
    return "other" if isinstance(value, str) else 7


@pytest.mark.parametrize(
    ("edits", "step"),
    [
        ({"countersigned": b'{"v":1}'}, "service's signature over the same terms"),
        ({"countersignature": header(acc="0" * 64)}, "service's signature over the same terms"),
        ({"countersignature": header(agr="agr_other")}, "service's signature over the same terms"),
        ({"offer": lambda o: o["lab"].update(key="other")}, "lab's signature"),
        ({"offer": lambda o: o.update(v=2)}, "terms"),
        ({"offer": lambda o: o.update(type="sayso-manifest")}, "terms"),
        ({"offer": lambda o: o["policies"].reverse()}, "terms"),
        ({"offer": lambda o: o["policies"][0].update(digest="0" * 64)}, "terms"),
        ({"offer": lambda o: o["policies"][0]["policy"].update(extra=1)}, "terms"),
        ({"offer": lambda o: o["policies"].append(o["policies"][-1])}, "terms"),
        ({"offer": lambda o: o.update(dissent=["b", "a"])}, "terms"),
        ({"offer": lambda o: o.update(expires_at="2026-11-24T10:00:00Z")}, "leaf is of this agreement"),
        ({"offer": lambda o: o.update(issued_at="2026-11-26T10:00:00Z")}, "leaf is of this agreement"),
        ({"offer": lambda o: o["lab"].update(legal_name="Another")}, "leaf is of this agreement"),
        *[
            ({"leaf": lambda e, name=name: e.update({name: bend(e[name])})}, "leaf is of this agreement")
            for name in (
                "v",
                "type",
                "id",
                "offer",
                "offer_sha256",
                "lab",
                "lab_id",
                "lab_key",
                "service_key",
                "acceptance_sha256",
                "agreement_sha256",
                "dissent",
                "at",
            )
        ],
    ],
)
def test_agreements_that_were_logged_and_are_wrong(edits, step):
    assert failed_at(verify.verify_agreement(Forge().agreement(**edits))) == step


@pytest.mark.parametrize(
    ("edits", "step"),
    [
        ({"manifest": lambda m: m.update(v=2)}, "manifest's signature"),
        ({"manifest": lambda m: m.update(release="rel_other")}, "manifest's signature"),
        ({"manifest": lambda m: m["counts"].update(vote=1)}, "manifest's signature"),
        ({"manifest": lambda m: m.update(tombstones=0)}, "manifest's signature"),
        ({"manifest": lambda m: m["tree"].update(size=3)}, "manifest's signature"),
        ({"manifest": lambda m: m["policies"].reverse()}, "manifest's signature"),
        ({"manifest": lambda m: m.update(as_of=10**9)}, "leaf is in the log"),
        ({"manifest": lambda m: m.update(as_of="1")}, "leaf is of this manifest"),
        *[
            ({"leaf": lambda e, name=name: e.update({name: "other"})}, "leaf is of this manifest")
            for name in ("v", "type", "id", "agreement", "as_of", "manifest_sha256", "records", "supersedes")
        ],
    ],
)
def test_releases_that_were_logged_and_are_wrong(edits, step):
    assert failed_at(verify.verify_release(Forge().release(**edits)[0])) == step


def governed(manifest=None, offer=None, **options):
    forge = Forge()
    agreement = forge.agreement(offer=offer)
    return verify.verify_release(forge.release(manifest=manifest, agreement_offer=offer, **options)[0], agreement)


@pytest.mark.parametrize(
    "options",
    [
        {"manifest": lambda m: m.update(agreement="agr_other")},
        {"manifest": lambda m: m.update(offer_sha256="0" * 64)},
        {"manifest": lambda m: m.update(policies=sorted([*m["policies"], "0" * 64]))},
        {"manifest": lambda m: m.update(dissent=["0" * 64])},
        {"manifest": lambda m: m.update(obligations=[{"action": "other"}])},
        {"as_of": 5},
    ],
)
def test_releases_that_the_agreement_does_not_govern(options):
    assert code(governed()) == VERIFIED
    assert failed_at(governed(**options)) == "agreement governs the release"


def test_an_agreement_from_another_log_does_not_govern():
    forge, elsewhere = Forge(), Forge()
    elsewhere.log = Key(9)
    elsewhere.vkey = vkey(elsewhere.log)
    agreement = elsewhere.agreement()
    assert code(verify.verify_agreement(agreement)) == VERIFIED
    for _ in range(20):
        forge.agreement()
    report = verify.verify_release(forge.release()[0], agreement)
    assert failed_at(report) == "agreement governs the release" and "different logs" in report.steps[-1].detail


def test_a_broken_agreement_breaks_the_release():
    forge = Forge()
    agreement = forge.agreement(acceptance=header(alg="none"))
    assert failed_at(verify.verify_release(forge.release()[0], agreement)) == "lab's signature"
    agreement = Forge(before=4).agreement() | {"vkey": "x"}
    assert verify.verify_release(forge.release()[0], agreement).exit_code == FAILED


def test_duplicate_keys_in_signed_bytes_are_refused():
    forge = Forge()
    twice = forge.offer()[:-1] + b',"until":"2030-01-01"}'
    forge.offer = lambda edit=None: twice
    assert failed_at(verify.verify_agreement(forge.agreement())) == "lab's signature"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["sayso-receipt", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["receipt", "agreement", "release"]), st.data())
def test_no_value_in_any_place_breaks_the_verifier(kind, data):
    whole, check = _FILES[kind]
    file = dict(whole)
    for name in data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=3)):
        file[name] = data.draw(JSON)
    assert code(check(file)) in (VERIFIED, FAILED, PENDING)
    assert code(check(file)) != VERIFIED or file == whole


_FILES = files(Forge())


@pytest.mark.parametrize(
    "offer",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"v":' + b"9" * 5000 + b"}",
        b'{"v":1e400}',
        b'{"v":NaN}',
        b'\xef\xbb\xbf{"v":1}',
        b"\xff",
        b'{"v":"\\ud800"}',
    ],
)
def test_signed_nonsense_is_a_failed_check(offer):
    forge = Forge()
    forge.offer = lambda edit=None: canonical({"id": "x"})
    file = forge.agreement()
    file["acceptance"] = forge.lab.jws("sayso-acceptance+jws", offer)
    assert failed_at(verify.verify_agreement(file)) == "lab's signature"
    file = forge.receipt()
    file["leaf"] = b64(offer)
    assert failed_at(verify.verify_receipt(file)) == "leaf commits to the act"
