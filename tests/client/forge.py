"""Makes valid receipts, agreements and releases without the service, and bent ones on request.

Written from the formats alone: neither app nor the package under test is used, so that what they share by mistake
shows. Every `edit` callable gets the value before it is signed or hashed and may change it in place; all that follows
from it is made to fit, so that only the check of that very value can find it.
"""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import cbor2
import zstandard
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Edit = Callable[[dict[str, Any]], object] | None
ORIGIN = "log.example/sayso"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bucket(count: int) -> str:
    low = 10 ** (len(str(count)) - 1)
    return f"{low}-{low * 10 - 1}" if count else "0"


def tree(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"")
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + tree(hashes[:k]) + tree(hashes[k:]))


def path(index: int, hashes: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162 section 2.1.3.1."""
    if len(hashes) < 2:
        return []
    k = 1 << (len(hashes) - 1).bit_length() - 1
    if index < k:
        return [*path(index, hashes[:k]), tree(hashes[k:])]
    return [*path(index - k, hashes[k:]), tree(hashes[:k])]


class Key:
    """A signing key from a seed: Ed25519, or P-256 with `alg` ES256."""

    def __init__(self, seed: int, alg: str = "Ed25519") -> None:
        self.alg = alg
        if alg == "Ed25519":
            self.key: Any = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
            self.public = self.key.public_key().public_bytes_raw()
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(self.public)}
            self.private_jwk = {**self.jwk, "d": b64u(bytes([seed]) * 32)}
        else:
            self.key = ec.derive_private_key(int.from_bytes(bytes([seed]) * 32, "big"), ec.SECP256R1())
            n = self.key.public_key().public_numbers()
            self.jwk = {
                "kty": "EC",
                "crv": "P-256",
                "x": b64u(n.x.to_bytes(32, "big")),
                "y": b64u(n.y.to_bytes(32, "big")),
            }
            self.private_jwk = {**self.jwk, "d": b64u(bytes([seed]) * 32)}
        self.thumbprint = b64u(sha256(canonical(self.jwk)))

    def sign(self, message: bytes) -> bytes:
        if self.alg == "Ed25519":
            return self.key.sign(message)
        r, s = decode_dss_signature(self.key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def jws(self, typ: str, payload: bytes, edit: Edit = None, **header: str) -> str:
        head: dict[str, Any] = {"alg": self.alg, "typ": typ, "kid": self.thumbprint, **header}
        if edit:
            edit(head)
        message = f"{b64u(canonical(head))}.{b64u(payload)}"
        return f"{message}.{b64u(self.sign(message.encode()))}"


def vkey(key: Key) -> str:
    """Verifier key text of the log's key."""
    raw = b"\x01" + key.public
    key_id = sha256(ORIGIN.encode() + b"\n" + raw)[:4].hex()
    return f"{ORIGIN}+{key_id}+{b64(raw)}"


class Forge:
    """A log, a service and a lab, in memory. Leaves are added as files are made; a proof is for the log as it is."""

    def __init__(self, lab_alg: str = "Ed25519", *, before: int = 5, after: int = 3) -> None:
        self.log, self.service, self.lab = Key(1), Key(2), Key(3, lab_alg)
        self.leaves = [b"an older leaf %d" % i for i in range(before)]
        self.after = after
        self.vkey = vkey(self.log)

    def logged(self, leaf: dict[str, Any], pending: bool = False) -> dict[str, Any]:
        """leaf, tlog_proof and vkey as every file has them."""
        data = canonical(leaf)
        index = len(self.leaves)
        self.leaves += [data, *(b"a later leaf %d %d" % (index, i) for i in range(self.after))]
        return {"leaf": b64(data), "tlog_proof": None if pending else self.proof(index), "vkey": self.vkey}

    def proof(self, index: int) -> str:
        """tlog-proof of a leaf under a checkpoint of the whole log."""
        hashes = [sha256(b"\x00" + leaf) for leaf in self.leaves]
        text = f"{ORIGIN}\n{len(hashes)}\n{b64(tree(hashes))}\n"
        key_id = bytes.fromhex(self.vkey.split("+")[1])
        note = f"{text}\n— {ORIGIN} {b64(key_id + self.log.sign(text.encode()))}\n"
        lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(b64(item) for item in path(index, hashes))]
        return "\n".join(lines) + "\n\n" + note

    def receipt(
        self, *, act: Edit = None, leaf: Edit = None, consented: bool = True, pending: bool = False, beside: bool = False
    ) -> dict[str, Any]:
        """A claimed receipt of a recorded contribution; with what stands `beside` the proof: a COSE receipt and a consent receipt."""
        policy = canonical({"@type": "Set", "permission": [{"action": "benchmark"}]})
        seed, salt = bytes(range(32)), bytes(range(32, 64))
        wording = sha256(b"May we?").hex()
        body: dict[str, Any] = {
            "v": 1,
            "type": "contribution.recorded",
            "act": "act_0123456789abcdefghjkmnpqrs",
            "at": "2026-11-24T10:00:00Z",
            "contribution": "con_0123456789abcdefghjkmnpqrs",
            "platform": "plt_0123456789abcdefghjkmnpqrs",
            "kind": "vote",
            "parts": {"judgment": sha256(b'"a"').hex()},
            "language": "en",
            "created_at": None,
            "consent": {
                "policy": sha256(policy).hex(),
                "basis": "explicit",
                "attested_by": "platform",
                "wording": wording,
                "language": "en",
                "shown_at": None,
            }
            if consented
            else None,
            "rid_seed_sha256": sha256(seed).hex(),
        }
        if act:
            act(body)
        text = canonical(body)
        commitment = hmac.digest(salt, b"sayso/act/v1\x00" + sha256(text), "sha256")
        entry = {"v": 1, "type": "act", "id": body.get("act"), "day": "2026-11-24", "commitment": b64u(commitment)}
        if leaf:
            leaf(entry)
        logged = self.logged(entry, pending)
        file = {
            "v": 1,
            "type": "sayso-receipt",
            "act": text.decode(),
            "payload_sha256": sha256(text).hex(),
            "salt": b64u(salt),
            "rid_seed": b64u(seed),
            **logged,
            "policy": {"digest": sha256(policy).hex(), "text": policy.decode()} if consented else None,
            "wording": {"sha256": wording, "language": "en"} if consented else None,
            "evidence": {"kind": "platform"},
        }
        if beside:
            file["cose"] = None if pending else self.cose(logged["tlog_proof"])
            file["consent_receipt"] = self.consent_receipt(body, len(self.leaves) - self.after - 1) if consented else None
        return file

    def cose(self, proof: str) -> str:
        """The proof once more as a COSE receipt (RFC 9942), base64."""
        lines, note = proof.split("\n\n", 1)
        _, index, *hashes = lines.split("\n")
        _, size, root = note.split("\n")[:3]
        protected = cbor2.dumps({1: -19, 4: "+".join(self.vkey.split("+")[:2]).encode(), 395: 1}, canonical=True)
        inner = cbor2.dumps([int(size), int(index.removeprefix("index ")), [base64.b64decode(item) for item in hashes]])
        signature = self.log.sign(cbor2.dumps(["Signature1", protected, b"", base64.b64decode(root)]))
        return b64(cbor2.dumps(cbor2.CBORTag(18, [protected, {396: {-1: [inner]}}, None, signature])))

    def consent_receipt(self, act: dict[str, Any], index: int) -> dict[str, Any]:
        """What the verifier reads of an ISO/IEC TS 27560 receipt: this act's consent, and one that was given later."""
        one, given = act["contribution"], act["consent"] or {}
        events = [
            {"odrl:hasPolicy": given.get("policy"), "dct:source": {"dct:identifier": act.get("act"), "sayso:logIndex": index}},
            {"odrl:hasPolicy": "0" * 64},
        ]
        return {
            "@id": f"https://sayso.example/v1/contributions/{one}/receipt",
            "dct:identifier": act.get("act"),
            "dpv:hasRecordOfActivity": [{"dct:subject": one, "dpv:hasConsentStatus": events}],
        }

    def offer(self, edit: Edit = None) -> bytes:
        """The bytes of an offer to the lab over two policies and one dissent."""
        policies = []
        for action in ("benchmark", "fineTune"):
            terms = {"@type": "Set", "permission": [{"action": action}], "note": "é"}
            policies.append({"digest": sha256(canonical(terms)).hex(), "policy": terms, "deed": [f"You may {action}."]})
        body: dict[str, Any] = {
            "v": 1,
            "type": "sayso-offer",
            "id": "off_0123456789abcdefghjkmnpqrs",
            "request": "req_0123456789abcdefghjkmnpqrs",
            "service": "https://sayso.example",
            "lab": {
                "id": "lab_0123456789abcdefghjkmnpqrs",
                "legal_name": "Société d'Évaluation",
                "kind": "nonprofit",
                "seat": "FR",
                "key": self.lab.thumbprint,
            },
            "use": {"actions": ["benchmark"]},
            "selection": {"platforms": None, "kinds": None, "languages": None},
            "mode": "snapshot",
            "policies": sorted(policies, key=lambda policy: policy["digest"]),
            "obligations": [{"action": "attribute"}, {"action": "delete"}],
            "dissent": [sha256(b"minority report").hex()],
            "nonce": b64u(bytes(16)),
            "issued_at": "2026-11-24T09:00:00Z",
            "expires_at": "2026-12-08T09:00:00Z",
            "until": None,
        }
        if edit:
            edit(body)
        return canonical(body)

    def agreement(
        self,
        *,
        offer: Edit = None,
        leaf: Edit = None,
        acceptance: Edit = None,
        countersignature: Edit = None,
        countersigned: bytes | None = None,
        pending: bool = False,
    ) -> dict[str, Any]:
        """An agreement over `offer()`. `acceptance` and `countersignature` edit the JWS headers."""
        agreement_id = "agr_0123456789abcdefghjkmnpqrs"
        data = self.offer(offer)
        terms = json.loads(data)
        signed = self.lab.jws("sayso-acceptance+jws", data, acceptance)
        acc = sha256(signed.encode()).hex()
        counter = self.service.jws(
            "sayso-agreement+jws", countersigned or data, countersignature, agr=agreement_id, acc=acc
        )
        entry = {
            "v": 1,
            "type": "agreement.signed",
            "id": agreement_id,
            "at": "2026-11-25T00:00:00Z",
            "offer": terms.get("id"),
            "offer_sha256": sha256(data).hex(),
            "lab": "Société d'Évaluation",
            "lab_id": "lab_0123456789abcdefghjkmnpqrs",
            "lab_key": self.lab.thumbprint,
            "service_key": self.service.thumbprint,
            "acceptance_sha256": acc,
            "agreement_sha256": sha256(counter.encode()).hex(),
            "dissent": len(terms.get("dissent") or []),
        }
        if leaf:
            leaf(entry)
        return {
            "v": 1,
            "type": "sayso-agreement",
            "id": agreement_id,
            "acceptance": signed,
            "agreement": counter,
            "lab_jwk": self.lab.jwk,
            "service_jwk": self.service.jwk,
            **self.logged(entry, pending),
        }

    def rows(self, count: int = 12, tombstones: int = 2) -> list[dict[str, Any]]:
        """Rows of a release in order; the policies are those of `offer()`."""
        digests = [policy["digest"] for policy in json.loads(self.offer())["policies"]]
        rows: list[dict[str, Any]] = []
        for i in range(count + tombstones):
            record = sha256(b"sayso/rid/v1" + b"agr_0123456789abcdefghjkmnpqrs" + sha256(b"seed %d" % i)).hex()
            if i >= count:
                rows.append({"record_id": record, "tombstone": True, "kind": "reply", "text": None})
                continue
            part = json.dumps({"n": 10**40 + i, "u": "\u2028 é"}, ensure_ascii=False)
            rows.append(
                {
                    "record_id": record,
                    "kind": "vote" if i % 3 else "critique",
                    "language": "fr",
                    "platform": "plt_0123456789abcdefghjkmnpqrs",
                    "parent": None,
                    "policies": digests[: 1 + i % 2],
                    "basis": "explicit",
                    "attested_by": "person",
                    "attribution": None,
                    "credit": None,
                    "context_terms": None,
                    "text": part,
                    "judgment": None,
                    "context": None,
                    "profile": None,
                }
            )
        return sorted(rows, key=lambda row: row["record_id"])

    def release(
        self,
        *,
        rows: list[dict[str, Any]] | None = None,
        bits: int = 2,
        manifest: Edit = None,
        header: Edit = None,
        leaf: Edit = None,
        pending: bool = False,
        agreement_offer: Edit = None,
        as_of: int | None = None,
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """A release file and its shards by digest. `bits` leading bits of the record id choose the shard."""
        rows = self.rows() if rows is None else rows
        release_id = "rel_0123456789abcdefghjkmnpqrs"
        data = self.offer(agreement_offer)
        offer = json.loads(data)
        shards: dict[str, bytes] = {}
        listed = []
        for number in range(2**bits):
            prefix = bin(number)[2:].zfill(bits) if bits else ""
            mine = [row for row in rows if bin(int(row["record_id"], 16))[2:].zfill(256).startswith(prefix)]
            if not mine:
                continue
            packed = zstandard.compress(b"".join(canonical(row) + b"\n" for row in mine))
            digest = sha256(packed).hex()
            shards[digest] = packed
            listed.append(
                {"sha256": digest, "bytes": len(packed), "rows": len(mine), "format": "jsonl+zstd", "prefix": prefix}
            )
        live = [row for row in rows if not row.get("tombstone")]
        ids = [bytes.fromhex(row["record_id"]) for row in live]
        body: dict[str, Any] = {
            "v": 1,
            "type": "sayso-manifest",
            "release": release_id,
            "agreement": "agr_0123456789abcdefghjkmnpqrs",
            "offer_sha256": sha256(data).hex(),
            "as_of": len(self.leaves) if as_of is None else as_of,
            "cut_at": "2026-11-26T00:00:00Z",
            "supersedes": None,
            "shards": listed,
            "tree": {"size": len(ids), "root": tree([sha256(b"\x00" + i) for i in ids]).hex()},
            "policies": sorted({digest for row in live for digest in row.get("policies") or []}),
            "obligations": offer["obligations"],
            "dissent": offer["dissent"],
            "counts": dict(Counter(row["kind"] for row in live)),
            "tombstones": len(rows) - len(live),
        }
        if manifest:
            manifest(body)
        payload = canonical(body)
        entry = {
            "v": 1,
            "type": "release.cut",
            "id": release_id,
            "at": "2026-11-26T00:00:00Z",
            "agreement": body.get("agreement"),
            "as_of": body.get("as_of"),
            "manifest_sha256": sha256(payload).hex(),
            "records": bucket(len(live)),
            "supersedes": body.get("supersedes"),
        }
        if leaf:
            leaf(entry)
        file = {
            "v": 1,
            "type": "sayso-release",
            "id": release_id,
            "manifest": self.service.jws("sayso-manifest+jws", payload, header),
            "service_jwk": self.service.jwk,
            **self.logged(entry, pending),
        }
        return file, shards
