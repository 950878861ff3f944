"""Receipts: one file that proves an act when the service is gone, the same proof for COSE, the consent after ISO/IEC TS 27560."""

import json
import shutil
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cwt import COSE, COSEKey
from jsonschema import Draft202012Validator
from sayso import cli, verify
from sayso.contributor import Contributor

from app.contributions.models import Contribution
from app.core import merkle
from app.core.note import parse_checkpoint, parse_note
from app.core.tlogproof import parse_proof
from app.kit.db import read, write
from tests.kit.refusals import accepted, get, refused
from tests.support import ROOT, PlatformParty, Service, consent, serving, until
from tests.support import test_settings as settings_of

SCHEMA = json.loads((ROOT / "policies/schemas/consent-receipt.schema.json").read_text())


def proven(fetch: Any) -> dict[str, Any]:
    """A receipt file, once a checkpoint covers its act."""
    return dict(until(lambda: (f := json.loads(fetch()))["tlog_proof"] and f))


def cose_root(receipt: bytes, leaf: bytes) -> tuple[bytes, dict[int, Any]]:
    """(root, protected header) that a COSE receipt's proof leads to from a leaf, after RFC 9942 and nothing of ours."""
    tag = cbor2.loads(receipt)
    assert tag.tag == 18
    protected, unprotected, payload, _ = tag.value
    assert payload is None and list(unprotected) == [396] and list(unprotected[396]) == [-1]
    size, index, path = cbor2.loads(unprotected[396][-1][0])
    node, at, last = merkle.leaf_hash(leaf), index, size - 1
    for sibling in path:  # RFC 9162 section 2.1.3.2
        if at % 2 or at == last:
            node = merkle.node_hash(sibling, node)
            while at and not at % 2:
                at, last = at // 2, last // 2
        else:
            node = merkle.node_hash(node, sibling)
        at, last = at // 2, last // 2
    assert last == 0
    return node, cbor2.loads(protected)


def test_the_cose_receipt_is_the_same_proof_and_another_library_takes_it(service: Service, platform: PlatformParty) -> None:
    given = platform.give(3)[1]
    person = service.claim(given)
    file = proven(lambda: person.receipt_file(given.id))
    receipt, leaf = b64decode(file["cose"]), b64decode(file["leaf"])
    root, header = cose_root(receipt, leaf)
    checkpoint = parse_checkpoint(parse_note(parse_proof(file["tlog_proof"]).checkpoint).text)
    assert root == checkpoint.root and header[395] == 1 and header[1] == -19
    key = accepted(get(service, "/v1/log/key"))
    assert header[4].decode() == key["jwk"]["kid"] == "+".join(file["vkey"].split("+")[:2])
    public = COSEKey.from_jwk(key["jwk"])
    assert COSE.new().decode(receipt, public, detached_payload=root) == root
    with pytest.raises(Exception):
        COSE.new().decode(receipt, public, detached_payload=merkle.leaf_hash(b"another leaf"))
    bent = bytearray(receipt)
    bent[-1] ^= 1
    with pytest.raises(Exception):
        COSE.new().decode(bytes(bent), public, detached_payload=root)
    assert cose_root(receipt, leaf + b" ")[0] != root

    path = f"/v1/contributions/{given.id}/receipt"
    alone = service.http.get(service.base + path, headers={"Authorization": f"Bearer {person.receipt}", "Accept": "application/cose"})
    assert alone.headers["content-type"] == "application/cose"
    root, _ = cose_root(alone.content, leaf)
    assert COSE.new().decode(alone.content, public, detached_payload=root) == root


def test_a_cose_receipt_that_no_checkpoint_covers_is_waited_for(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    given = platform.give(1)[0]
    person = service.claim(given)
    monkeypatch.setattr("app.log.proofs.last_checkpoint", lambda session: None)
    path = f"{service.base}/v1/contributions/{given.id}/receipt"
    refused(service.http.get(path, headers={"Authorization": f"Bearer {person.receipt}", "Accept": "application/cose"}), 503, "awaiting_checkpoint")
    plain = json.loads(person.receipt_file(given.id))
    assert plain["cose"] is None and plain["tlog_proof"] is None


@pytest.mark.parametrize("leaves", [1, 2, 3, 7, 8, 9, 1000])
def test_cose_receipts_of_trees_of_any_size(leaves: int) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from app.core.canonical import b64u
    from app.core.cose import inclusion_receipt

    key = Ed25519PrivateKey.generate()
    hashes = [merkle.leaf_hash(b"%d" % n) for n in range(leaves)]
    public = COSEKey.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64u(key.public_key().public_bytes_raw()), "kid": "k", "alg": "Ed25519"})
    for index in {0, leaves // 2, leaves - 1}:
        made = inclusion_receipt(index, leaves, merkle.inclusion_proof(index, hashes), merkle.root(hashes), b"k", key.sign)
        root, _ = cose_root(made, b"%d" % index)
        assert root == merkle.root(hashes) and COSE.new().decode(made, public, detached_payload=root) == root


def test_the_consent_is_a_receipt_after_27560(service: Service, platform: PlatformParty) -> None:
    validator = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    Draft202012Validator.check_schema(SCHEMA)
    served = get(service, "/v1/schemas/consent-receipt")
    assert served.json() == SCHEMA and served.headers["content-type"] == "application/schema+json"

    forms = [
        {}, {"consent": consent(basis="notice")}, {"consent": consent("open-model-training-with-credit")}, {"consent": consent(basis="none")},
        {"consent": consent("any-training-with-credit-and-report-back")}, {"consent": consent("nothing-new")},
    ]  # fmt: skip
    for fields in forms:
        given = platform.give(1, **fields)[0]
        person = service.claim(given)
        found = json.loads(person.receipt_file(given.id))["consent_receipt"]
        validator.validate(found)
        (record,) = found["dpv:hasRecordOfActivity"]
        assert [e["@type"][0] for e in record["dpv:hasConsentStatus"]] == [
            "dpv:ConsentUnknown" if fields.get("consent") and fields["consent"].basis == "none" else "dpv:ConsentGiven"
        ]
        assert record["dpv:hasConsentStatus"][0]["dct:source"]["sayso:logIndex"] == given.log_index
        person.scope(given.id, template="evaluation-only", credit="A. canary-name")
        person.withdraw()
        found = json.loads(person.receipt_file(given.id))["consent_receipt"]
        validator.validate(found)
        events = found["dpv:hasRecordOfActivity"][0]["dpv:hasConsentStatus"]
        assert [e["@type"][0] for e in events][-2:] == ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"] and len(events) == 3
        assert "canary-name" not in json.dumps(found)

    alone = service.http.get(
        f"{service.base}/v1/contributions/{given.id}/receipt",
        headers={"Authorization": f"Bearer {person.receipt}", "Accept": "text/html, application/ld+json;q=0.9"},
    )
    assert alone.headers["content-type"] == "application/ld+json"
    validator.validate(alone.json())
    for bend in (
        lambda f: f.pop("dct:conformsTo"), lambda f: f.update(x=1), lambda f: f["dpv:hasRecordOfActivity"][0].pop("dpv:hasConsentStatus"),
        lambda f: f["dpv:hasRecordOfActivity"][0]["dpv:hasConsentStatus"].clear(), lambda f: f.update({"dct:created": "yesterday"}),
    ):  # fmt: skip
        bent = alone.json()
        bend(bent)
        assert not validator.is_valid(bent)


def test_the_receipt_of_a_consent_tells_no_wording_that_was_not_shown(service: Service, platform: PlatformParty) -> None:
    given = platform.give(1, consent=consent("non-commercial-research", territory=["NL"]))[0]
    person = service.claim(given)

    def record() -> dict[str, Any]:
        (found,) = json.loads(person.receipt_file(given.id))["consent_receipt"]["dpv:hasRecordOfActivity"]
        return dict(found)

    first = record()
    assert "dct:description" not in first["dpv:hasNotice"], "a platform's own text, of which there is the digest alone"
    process = first["dpv:hasProcess"][0]
    assert "spatial" in process["dct:description"]
    assert "deleted within P30D of that" in process["dpv:hasStorageCondition"]["dpv:hasDuration"]["dct:description"]
    answer = service.post(f"/v1/contributions/{given.id}/consents", {"template": "evaluation-only", "language": "es"}, person.receipt)
    told = accepted(answer, 201)["deed"]
    notice = record()["dpv:hasNotice"]
    shown = notice["dct:description"]
    assert notice["dct:language"] == "es+en" and shown[::2] == told and shown[::2] != shown[1::2]
    assert notice["sayso:sha256"] == sha256("\n".join(shown).encode()).hexdigest()


def test_a_record_without_any_consent_has_none_in_its_receipt(service: Service, platform: PlatformParty) -> None:
    given = platform.sdk.record(external_id="bare", kind="preference", parts={"text": "x"})
    person = service.claim(given)
    assert json.loads(person.receipt_file(given.id))["consent_receipt"] is None
    path = f"{service.base}/v1/contributions/{given.id}/receipt"
    refused(service.http.get(path, headers={"Authorization": f"Bearer {person.receipt}", "Accept": "application/ld+json"}), 404, "not_found")
    person.scope(given.id, template="evaluation-only")
    (record,) = json.loads(person.receipt_file(given.id))["consent_receipt"]["dpv:hasRecordOfActivity"]
    assert len(record["dpv:hasConsentStatus"]) == 1 and "dct:source" not in record["dpv:hasConsentStatus"][0]


def whole(service: Service, platform: PlatformParty, user: str) -> Contributor:
    """Somebody with a receipt over everything they gave, through the platform's portal."""
    answer = service.post("/v1/portal-sessions", {"contributor": user}, service.token(platform))
    return Contributor.claim(accepted(answer, 201)["url"])


def test_every_act_after_the_first_gives_a_receipt_too(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    one, two = platform.give(1, contributor="ann")[0], platform.give(1, contributor="ann")[0]
    mine, all_of_it = service.claim(one), whole(service, platform, "ann")
    mine.scope(one.id, template="open-model-training-with-credit")
    all_of_it.scope(template="evaluation-only")
    mine.withdraw()
    all_of_it.withdraw("purpose", purpose="dpv:CommercialPurpose")
    all_of_it.withdraw(ids=[two.id])
    acts = all_of_it.acts()
    assert [a["type"] for a in acts] == ["consent.scoped", "consent.given", "consent.withdrawn", "consent.withdrawn", "consent.withdrawn"]
    assert [a["log_index"] for a in acts] == sorted(a["log_index"] for a in acts)
    vkey = accepted(get(service, "/v1/log/key"))["vkey"]
    for act in acts:
        file = proven(lambda: all_of_it.act_file(act["id"]))
        report = verify.verify_receipt(file, vkey)
        assert report.exit_code == verify.VERIFIED, report.to_json()
        assert act["type"] in report.steps[0].detail and file["rid_seed"] is None and file["evidence"] == {"kind": "capability"}
        assert (file["policy"] is not None) == (act["type"] != "consent.withdrawn")
        (tmp_path / "act.json").write_text(json.dumps(file))
        assert cli.main(["verify", "receipt", str(tmp_path / "act.json"), "--vkey", vkey]) == 0
        other = None if file["policy"] else {"digest": "0" * 64, "text": "x"}
        for name, value in (("policy", other), ("salt", b64encode(bytes(32)).decode().rstrip("="))):
            assert verify.verify_receipt({**file, name: value}, vkey).exit_code == verify.FAILED

    # The receipt of one contribution shows what was done with that one, and not that there is another.
    seen = mine.acts()
    assert [a["id"] for a in seen] == [acts[0]["id"], acts[2]["id"]]
    for act in (acts[1], acts[3], acts[4]):
        refused(get(service, f"/v1/contributions/me/acts/{act['id']}/receipt", mine.receipt), 404, "not_found")
    stranger = service.claim(platform.give(1)[0])
    for name in (acts[0]["id"], "rvk_nothing", "x" * 100):
        refused(get(service, f"/v1/contributions/me/acts/{name}/receipt", stranger.receipt), 404, "not_found")
    refused(get(service, "/v1/contributions/me/acts?cursor=x", mine.receipt), 400, "cursor_invalid")
    assert get(service, "/v1/contributions/me/acts").status_code == 401


def test_the_evidence_of_an_act_is_what_was_committed_with_it(service: Service, platform: PlatformParty) -> None:
    linked, told = platform.give(2)
    service.http.post(linked.claim_url + "/withdraw", follow_redirects=True).raise_for_status()
    with write(service.runtime.engine) as session:
        from app.revocations import service as revocations
        from app.revocations.acting import Holder
        from app.revocations.schemas import RevocationIn

        of = session.get_one(Contribution, told.id).contributor_id
        asked = RevocationIn(scope="contribution", ids=[told.id])
        revocations.withdraw(session, service.runtime, Holder(of, None), asked, now=service.clock.now(), by="platform")
    for given, kind in ((linked, "claim-link"), (told, "webhook")):
        person = service.claim(given)
        [act] = person.acts()
        file = proven(lambda: person.act_file(act["id"]))
        assert file["evidence"] == {"kind": kind} and json.loads(file["act"])["capability"] == kind
        assert verify.verify_receipt(file).exit_code == verify.VERIFIED
        for other in ("capability", "passkey", "platform"):
            assert verify.verify_receipt(file | {"evidence": {"kind": other}}).exit_code == verify.FAILED


def test_the_proof_and_its_cose_form_are_of_one_checkpoint(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another is published while the file is made."""
    from app.log import proofs

    [given] = platform.give(1)
    person = service.claim(given)
    proven(lambda: person.receipt_file(given.id))
    with read(service.runtime.engine) as session:
        before = proofs.last_checkpoint(session)
    platform.give(1)
    until(lambda: int(get(service, "/v1/log/checkpoint").text.split("\n")[1]) > before.size)
    with read(service.runtime.engine) as session:
        turns = iter([before, proofs.last_checkpoint(session)] * 50)
    monkeypatch.setattr(proofs, "last_checkpoint", lambda session: next(turns))
    report = verify.verify_receipt(json.loads(person.receipt_file(given.id)))
    assert report.exit_code == verify.VERIFIED, report.to_json()


def test_pages_of_acts_follow_each_other(service: Service, platform: PlatformParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.revocations.router.PAGE", 2)
    given = platform.give(1)[0]
    person = service.claim(given)
    for template in ("nothing-new", "evaluation-only", "open-model-training-with-credit", "evaluation-only", "nothing-new"):
        person.scope(given.id, template=template)
    assert len(person.acts()) == 5 and len({a["id"] for a in person.acts()}) == 5


def test_a_receipt_holds_when_the_service_is_gone(tmp_path: Path) -> None:
    with serving(settings_of(tmp_path / "data"), "sqlite") as service:
        platform = service.platform()
        given = platform.give(1)[0]
        person = service.claim(given)
        person.withdraw()
        files = {"given": proven(lambda: person.receipt_file(given.id)), "back": proven(lambda: person.act_file(person.acts()[0]["id"]))}
    shutil.rmtree(tmp_path / "data")
    for name, file in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(file))
        assert cli.main(["verify", "receipt", str(tmp_path / f"{name}.json"), "--vkey", file["vkey"]]) == 0
        root, _ = cose_root(b64decode(file["cose"]), b64decode(file["leaf"]))
        assert root == parse_checkpoint(parse_note(parse_proof(file["tlog_proof"]).checkpoint).text).root
