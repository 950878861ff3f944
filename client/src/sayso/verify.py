"""The offline verifier: checks a receipt, an agreement or a release from files alone and says what it checked.

Read it with proofs.py, which holds the arithmetic. Each numbered comment is one step of the report. The first step that
fails ends the run; a file that is right so far but not yet under a checkpoint of the log is *pending*, not verified.
"""

import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sayso import cose, dissent, ended, local, passkey, proofs
from sayso import rows as rows_of
from sayso.proofs import Failed, as_object, get, parse, same, sha256, texts
from sayso.report import FAILED, PENDING, UNREADABLE, VERIFIED, Report, Step, Unreadable, load, run
from sayso.witnessing import Policy

__all__ = ["FAILED", "PENDING", "UNREADABLE", "VERIFIED", "Report", "Step", "Trust", "Unreadable", "load"]


@dataclass(frozen=True)
class Trust:
    """Whom to believe: the log's key as you got it elsewhere, and which witnesses must have seen the checkpoint."""

    vkey: str | None = None
    policy: Policy | None = None


def verify_receipt(file: dict[str, Any], vkey: str | None = None, policy: Policy | None = None) -> Report:
    """Check a receipt file against the log key `vkey`, or against the key the file brings."""
    return run(lambda report: _receipt(report, file, Trust(vkey, policy)))


def verify_agreement(file: dict[str, Any], vkey: str | None = None, policy: Policy | None = None) -> Report:
    """Check an agreement file: both signatures, over the same terms, both in the log."""
    return run(lambda report: _agreement(report, file, Trust(vkey, policy)))


def verify_release(
    file: dict[str, Any],
    agreement: dict[str, Any] | None = None,
    shards: Path | None = None,
    vkey: str | None = None,
    policy: Policy | None = None,
) -> Report:
    """Check a release file; with its agreement also that the terms govern it, with its shards every row."""
    return run(lambda report: _release(report, file, agreement, shards, Trust(vkey, policy)))


def verify_directory(folder: Path, vkey: str | None = None, policy: Policy | None = None) -> Report:
    """Check a directory that `sayso pull` filled: the release with its agreement and every row, every recall that was kept there, and
    that nothing else lies beside them. Raises Unreadable where nothing was pulled."""
    if not folder.is_dir():
        raise Unreadable(f"{folder} is no directory; for a file say what it is: sayso verify release {folder}")
    if not (folder / "release.json").exists():
        raise Unreadable(f"nothing was pulled into {folder}: there is no release.json")
    file, agreement = load(folder / "release.json"), load(folder / "agreement.json")
    return run(lambda report: _directory(report, folder, file, agreement, Trust(vkey, policy)))


def verify_recall(file: dict[str, Any], vkey: str | None = None, policy: Policy | None = None) -> Report:
    """Check a recall file: that these very records were recalled in the open, from whom, and when."""
    return run(lambda report: _recall(report, file, Trust(vkey, policy)))


def _receipt(report: Report, file: dict[str, Any], trust: Trust) -> None:
    # 1. The act is the text that the digest names, and a receipt is what the file says it is.
    with report.step("act matches its digest") as step:
        _form(file, "sayso-receipt")
        text = get(file, "act", str)
        act = parse(text, "the act")
        same(sha256(text.encode()).hex(), get(file, "payload_sha256", str), "the act is not the text of its digest")
        same(get(act, "v", int), 1, "the act is of a version this verifier does not know")
        evidence = get(get(file, "evidence", dict), "kind", str)
        same(evidence, _evidence(act), "the evidence is not of the kind that the act itself names")
        if evidence == "passkey":
            passkey.check(act, get(file["evidence"], "key", str))
        step.detail = f"{get(act, 'type', str)} {get(act, 'act', str)} at {get(act, 'at', str)}, evidence {evidence}"

    # 2. The leaf commits to this act: only who has the salt can show it, and only for this text.
    with report.step("leaf commits to the act") as step:
        leaf, body = leaf_of(file, "act")
        if file.get("salt") is None:
            raise Failed("the file has no salt, so nothing ties the act to the leaf; a claimed receipt has it")
        salt = proofs.unbase64(get(file, "salt", str), "the salt", url=True)
        wanted = hmac.digest(salt, b"sayso/act/v1\x00" + sha256(text.encode()), "sha256")
        committed = proofs.unbase64(get(body, "commitment", str), "the commitment", url=True)
        if len(salt) != 32 or not hmac.compare_digest(wanted, committed):
            raise Failed("the leaf's commitment is to another act")
        same(get(body, "id", str), act["act"], "the leaf has another act id")
        same(get(body, "day", str), act["at"][:10], "the leaf has another day")

    # 3 and 4. The leaf is in the log, under a checkpoint the log signed.
    logged(report, file, leaf, trust)

    # 5. The terms are the ones the act names, word for word, and so is the wording the person was shown.
    with report.step("policy is the one consented to") as step:
        own = isinstance(act.get("consent"), str)  # a later choice of terms: the act itself is the consent it names
        consent = get(act, "consent", (dict, type(None))) if "consent" in act and not own else act
        named = (consent or {}).get("policy")
        policy = get(file, "policy", (dict, type(None)))
        digest = None if policy is None else sha256(get(policy, "text", str).encode()).hex()
        same(digest, policy and get(policy, "digest", str), "the policy is not the text of its digest")
        same(digest, named, "the policy is not the one the act names")
        wording = get(file, "wording", (dict, type(None)))
        shown = None if wording is None else (get(wording, "sha256", str), get(wording, "language", (str, type(None))))
        in_act = ((consent or {}).get("wording"), (consent or {}).get("language"))
        same(shown, None if in_act[0] is None else in_act, "the wording is not the one the act names")
        step.detail = digest or "the act names no policy"

    # 6. The seed from which the record ids follow is the one the act binds.
    with report.step("record id seed belongs to the act") as step:
        seed, bound = get(file, "rid_seed", (str, type(None))), act.get("rid_seed_sha256")
        raw = None if seed is None else proofs.unbase64(seed, "the seed", url=True)
        if raw is not None and len(raw) != 32:
            raise Failed("the seed is not 32 bytes")
        same(None if raw is None else sha256(raw).hex(), bound, "the seed is not the one the act binds")
        step.detail = "" if bound else "the act has no record id"

    # 7. The COSE receipt, if there is one, is the same proof of the same leaf, signed by the same key.
    with report.step("COSE receipt is the same proof") as step:
        proof = None if file["tlog_proof"] is None else proofs.parse_proof(file["tlog_proof"])
        if file.get("cose") is None:
            step.detail = "the file has none"
        elif proof is None:
            raise Failed("the file has a COSE receipt and no proof that it could be of")
        else:
            index, path, note, size, root = proof
            cose.check(get(file, "cose", str), index, size, path, root, _key(note, file["vkey"], trust))

    # 8. The consent receipt, if there is one, tells of this act what the act says.
    with report.step("consent receipt is of this act") as step:
        if file.get("consent_receipt") is None:
            step.detail = "the file has none"
        else:
            cose.check_consent(get(file, "consent_receipt", dict), act, proof and proof[0])
            step.detail = "this act, its contribution and its policy; whatever else it tells is the service's word and was not checked"


def _evidence(act: dict[str, Any]) -> str:
    """What an act says of how it is known to be the person's: a recording by who attested the consent, any other by its capability."""
    if act.get("type") == "contribution.recorded":
        consent = act.get("consent")
        attested = "platform" if consent is None else get(as_object(consent), "attested_by", str)
        return "widget" if attested == "person" else attested
    capability = act.get("capability", "receipt")  # acts of before, which only a receipt could do, do not name it
    return "capability" if capability == "receipt" else get(act, "capability", str)


def _agreement(report: Report, file: dict[str, Any], trust: Trust) -> dict[str, Any]:
    # 1. The lab signed the offer.
    with report.step("lab's signature") as step:
        _form(file, "sayso-agreement")
        acceptance, agreement = get(file, "acceptance", str), get(file, "agreement", str)
        lab_jwk = get(file, "lab_jwk", dict)
        _, payload = proofs.open_jws(acceptance, lab_jwk, "sayso-acceptance+jws")
        offer = parse(payload, "the offer")
        lab = get(offer, "lab", dict)
        same(get(lab, "key", str), proofs.thumbprint(lab_jwk), "the offer was made to another key")
        step.detail = f"{get(lab, 'legal_name', str)}, key {lab['key']}"

    # 2. The service signed the same bytes, and in the same breath the lab's signature.
    with report.step("service's signature over the same terms") as step:
        header, countersigned = proofs.open_jws(agreement, get(file, "service_jwk", dict), "sayso-agreement+jws")
        same(countersigned, payload, "the service signed other terms than the lab")
        same(header.get("acc"), sha256(acceptance.encode()).hex(), "the service countersigned another acceptance")
        same(header.get("agr"), get(file, "id", str), "the service signed another agreement id")

    # 3. The terms are complete: each policy is the text of its digest, the dissent is a list of digests.
    with report.step("terms") as step:
        _form(offer, "sayso-offer")
        policies = get(offer, "policies", list)
        for policy in policies:
            terms = {k: v for k, v in get(as_object(policy), "policy", dict).items() if k != "uid"}
            same(proofs.canonical_sha256(terms), get(policy, "digest", str), "a policy is not the text of its digest")
        texts({"policies": [policy["digest"] for policy in policies]}, "policies")
        dissent = texts(offer, "dissent")
        step.detail = f"{len(policies)} policies, {len(dissent)} dissents, offer {get(offer, 'id', str)}"

    # 4. The leaf is of this agreement: the same digests, names and keys, signed while the offer stood.
    with report.step("leaf is of this agreement") as step:
        leaf, body = leaf_of(file, "agreement.signed")
        wanted = {
            "id": file["id"], "offer": offer["id"], "offer_sha256": sha256(payload).hex(), "lab": lab["legal_name"],
            "lab_id": get(lab, "id", str), "lab_key": lab["key"], "service_key": proofs.thumbprint(file["service_jwk"]),
            "acceptance_sha256": sha256(acceptance.encode()).hex(),
            "agreement_sha256": sha256(agreement.encode()).hex(), "dissent": len(dissent),
        }  # fmt: skip
        for name, value in wanted.items():
            same(get(body, name, type(value)), value, f"the leaf has another `{name}`")
        if not get(offer, "issued_at", str) <= get(body, "at", str) <= get(offer, "expires_at", str):
            raise Failed("the agreement was not signed while the offer stood")
        step.detail = f"signed at {body['at']}"

    # 5 and 6. The leaf is in the log, under a checkpoint the log signed.
    index = logged(report, file, leaf, trust)
    return {"offer": offer, "offer_sha256": sha256(payload).hex(), "id": file["id"], "index": index}


def _directory(report: Report, folder: Path, file: dict[str, Any], agreement: dict[str, Any], trust: Trust) -> None:
    # First to last: what `_release` checks, with every recall that lies here and not those of local.json alone. Of a release that was
    # deleted after its period the papers are left.
    stated = ended.statement(folder, get(file, "id", str))
    _release(report, file, agreement, None if stated else folder, trust, whole=True)
    if stated:
        with report.step("its files were deleted") as step:
            step.detail = ended.check(folder, stated, file, agreement)
        return

    # Then: no file of another release, or of before a recall was applied, which a reader of the whole directory would take in.
    with report.step("nothing else is here") as step:
        here = local.load(folder, file["id"])
        wanted = {s.name(here[s.sha256].sha256 if s.sha256 in here else None) for s in local.listed(local.manifest_of(file))}
        strange = sorted(path.name for path in folder.iterdir() if local.DIGEST.fullmatch(path.name.partition(".")[0]) and path.name not in wanted)
        if strange:
            raise Failed(f"{strange[0][:100]} is not of this release: sync or pull again")
        step.detail = f"{len(wanted)} shards"


def _release(
    report: Report, file: dict[str, Any], agreement: dict[str, Any] | None, shards: Path | None, trust: Trust, *, whole: bool = False
) -> None:
    # 1. The service signed the manifest.
    with report.step("manifest's signature") as step:
        _form(file, "sayso-release")
        _, payload = proofs.open_jws(get(file, "manifest", str), get(file, "service_jwk", dict), "sayso-manifest+jws")
        manifest = parse(payload, "the manifest")
        _form(manifest, "sayso-manifest")
        same(get(manifest, "release", str), get(file, "id", str), "the manifest is of another release")
        counts = get(manifest, "counts", dict)
        live, tombstones = sum(get(counts, kind, int) for kind in counts), get(manifest, "tombstones", int)
        policies, tree = texts(manifest, "policies"), get(manifest, "tree", dict)
        listed = [as_object(shard) for shard in get(manifest, "shards", list)]
        rows = sum(get(shard, "rows", int) for shard in listed)
        if live != get(tree, "size", int) or rows != live + tombstones or min([tombstones, *counts.values()]) < 0:
            raise Failed("the manifest's counts do not add up")
        step.detail = f"{live} records and {tombstones} tombstones, cut at {get(manifest, 'cut_at', str)}"

    # 2. The leaf is of this manifest.
    with report.step("leaf is of this manifest"):
        leaf, body = leaf_of(file, "release.cut")
        wanted = {name: manifest.get(name) for name in ("agreement", "as_of", "supersedes")}
        get(manifest, "as_of", int)
        wanted |= {"id": file["id"], "manifest_sha256": sha256(payload).hex(), "records": _bucket(live)}
        if "tree_root" in body:  # leaves of before name it in the manifest alone
            wanted["tree_root"] = get(tree, "root", str)
        for name, value in wanted.items():
            same(get(body, name, type(value)), value, f"the leaf has another `{name}`")

    # 3 and 4. The leaf is in the log, under a checkpoint the log signed.
    index = logged(report, file, leaf, trust, least=manifest["as_of"])

    # 5. With the shards: every file and every row is what the manifest says.
    if shards is not None:
        here = local.load(shards, file["id"])
        taken = _withdrawn(report, shards, here, manifest, trust, whole)
        with report.step("shards") as step:
            copy = shards / "manifest.json"  # the signed bytes once more, for people to read
            if copy.exists() and copy.read_bytes() != payload:
                raise Failed("manifest.json is not the manifest that was signed")
            check = rows_of.Shards(shards, set(policies), here, taken)
            root = proofs.tree_root(check.ids(listed))
            same(root.hex(), get(tree, "root", str), "the rows' record ids do not give the manifest's root")
            same(check.found.pop("", 0), tombstones, "the shards hold another number of tombstones")
            kept = {kind: n for kind, n in counts.items() if n}
            if check.removed:
                if sum(check.found.values()) + check.removed != live or any(n > kept.get(k, 0) for k, n in check.found.items()):
                    raise Failed("the shards and what was removed from them are not the manifest's numbers of records")
            else:
                same(dict(check.found), kept, "the shards hold other numbers of records")
            for group in map(as_object, get(manifest, "groups", list) if "groups" in manifest else ()):
                told, there = get(group, "records", int), check.groups[rows_of.group_of(group)]
                if there > told or (there < told and not check.removed):
                    raise Failed(f"the shards hold {there} records of a group of which the manifest tells {told}")
            step.detail = f"{rows - check.removed} rows in {len(listed)} shards"
            if check.removed:
                step.detail += f", without {check.removed} records that were recalled"

        with report.step("dissent") as step:
            step.detail = dissent.check(shards, texts(manifest, "dissent"))

    # 6. With the agreement: it holds by itself, it is this release's, and it covers every term of the release.
    if agreement is not None:
        signed = _agreement(report, agreement, trust)
        with report.step("agreement governs the release"):
            same(agreement["vkey"], file["vkey"], "the release and the agreement are in different logs")
            offer = signed["offer"]
            same(get(manifest, "agreement", str), signed["id"], "the release was cut under another agreement")
            same(get(manifest, "offer_sha256", str), signed["offer_sha256"], "the release was cut under other terms")
            if not set(policies) <= {policy["digest"] for policy in offer["policies"]}:
                raise Failed("the release holds records under policies that the lab did not sign")
            if not set(texts(manifest, "dissent")) <= set(offer["dissent"]):
                raise Failed("the release carries dissent that the lab did not sign")
            if any(item not in get(offer, "obligations", list) for item in get(manifest, "obligations", list)):
                raise Failed("the release carries obligations that the lab did not sign")
            if index is not None and signed["index"] is not None and signed["index"] >= manifest["as_of"]:
                raise Failed("the release was selected before the agreement was in the log")


def _recall(report: Report, file: dict[str, Any], trust: Trust) -> int | None:
    # 1. The leaf is of this recall, and its digest is that of the records listed.
    with report.step("leaf is of this recall") as step:
        _form(file, "sayso-recall")
        leaf, body = leaf_of(file, "recall.opened")
        records = texts(file, "records")
        if not all(re.fullmatch("[0-9a-f]{64}", record) for record in records):
            raise Failed("a record id is not 64 hexadecimal digits")
        wanted = {"id": get(file, "id", str), "agreement": get(file, "agreement", str), "records": _bucket(len(records))}
        wanted |= {"records_sha256": sha256("\n".join(records).encode()).hex()}
        for name, value in wanted.items():
            same(get(body, name, type(value)), value, f"the leaf has another `{name}`")
        step.detail = f"{len(records)} records, from {get(body, 'lab', str)}, opened at {get(body, 'at', str)}"

    # 2 and 3. The leaf is in the log, under a checkpoint the log signed.
    return logged(report, file, leaf, trust)


def _withdrawn(
    report: Report, folder: Path, here: dict[str, local.Rewritten], manifest: dict[str, Any], trust: Trust, whole: bool
) -> dict[str, set[str]]:
    """The records of each recall that local.json rests on, or with `whole` of each that lies here and came after the release was
    selected; every one of them is checked as a file of its own."""
    told: dict[str, set[str]] = {}
    agreement, rested = manifest["agreement"], {name for one in here.values() for name in one.recalls}
    for recall in sorted(rested | ({path.stem for path in (folder / "recalls").glob("*.json")} if whole else set())):
        with report.step(f"recall {recall} is kept") as step:
            try:
                file = parse((folder / "recalls" / f"{recall}.json").read_bytes(), "the recall")
            except OSError as error:
                raise Failed(f"recalls/{recall}.json cannot be read: {error.strerror}") from error
            same((get(file, "id", str), get(file, "agreement", str)), (recall, agreement), "the recall is of another agreement")
            records = set(texts(file, "records"))
            step.detail = f"{len(records)} records"
        index = _recall(report, file, trust)
        if recall in rested or index is None or index >= manifest["as_of"]:
            told[recall] = records
    return told


def logged(report: Report, file: dict[str, Any], leaf: bytes, trust: Trust, least: int = 0) -> int | None:
    """The leaf's index in the log, at least `least`, or None when it is not yet under a checkpoint."""
    with report.step("leaf is in the log") as step:
        proof, own = get(file, "tlog_proof", (str, type(None))), get(file, "vkey", str)
        if proof is None:
            step.ok, step.detail = None, "not yet under a checkpoint: fetch the file again in a few seconds"
            return None
        index, path, note, size, root = proofs.parse_proof(proof)
        same(proofs.inclusion_root(leaf, index, size, path), root, "the proof leads to another root")
        if index < least:
            raise Failed("the leaf stands in the log before the moment at which the release was selected")
        step.detail = f"index {index} of {size}"
    with report.step("checkpoint is signed by the log") as step:
        step.detail = by_log(note, own, trust)
    if trust.policy is not None:
        with report.step("checkpoint was seen by witnesses") as step:
            step.detail = by_witnesses(note, trust.policy)
    return index


def by_log(note: str, own: str, trust: Trust) -> str:
    """Whose signature the checkpoint bears, as a sentence. With a policy that names logs, the key is one of them."""
    key = _key(note, own, trust)
    whose = "the key you gave" if _given(trust) else "the file's own key: compare it with one from elsewhere"
    return f"{proofs.check_checkpoint(note, key)}, {whose} ({key})"


def _given(trust: Trust) -> list[str]:
    return [trust.vkey] if trust.vkey else (trust.policy.logs if trust.policy else [])


def _key(note: str, own: str, trust: Trust) -> str:
    origin = proofs.parse_head(note)[0]
    return next((k for k in _given(trust) if k.split("+")[0] == origin), (_given(trust) or [own])[0])


def by_witnesses(note: str, policy: Policy) -> str:
    """Which witnesses saw the checkpoint, as a sentence, once they make the quorum."""
    seen = policy.check(note)
    return f"quorum {policy.quorum}: {', '.join(f'{name} at {time}' for name, time in seen) or 'no witness asked for'}"


def leaf_of(file: dict[str, Any], kind: str) -> tuple[bytes, dict[str, Any]]:
    leaf = proofs.unbase64(get(file, "leaf", str), "the leaf")
    body = parse(leaf, "the leaf")
    _form(body, kind)
    return leaf, body


def _form(value: dict[str, Any], kind: str) -> None:
    if get(value, "v", int) != 1 or get(value, "type", str) != kind:
        raise Failed(f"this is not a {kind} of version 1")


def _bucket(count: int) -> str:
    low = 10 ** (len(str(count)) - 1)
    return f"{low}-{low * 10 - 1}" if count else "0"
