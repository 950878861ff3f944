"""The COSE receipt in a receipt file (RFC 9942), and the consent receipt: what the verifier looks at beside the log's own proof.

Nothing of CBOR is read. All of a COSE receipt but its signature follows from the proof beside it, so these bytes are written and
compared, and then the signature is checked over the root that both lead to.
"""

from typing import Any

from sayso.proofs import Failed, as_object, get, parse_vkey, same, unbase64, verify_ed25519

_SIGNATURE = 64


def check(text: str, index: int, size: int, path: list[bytes], root: bytes, vkey: str) -> None:
    """The receipt is of this very proof, signed by the log's key. Raises Failed."""
    name, key_id, public = parse_vkey(vkey)
    raw = unbase64(text, "the COSE receipt")
    # {1: -19 (Ed25519), 4: the key's name and id, 395: 1 (a tree of RFC 9162)}
    protected = b"\xa3\x01\x32\x04" + _octets(f"{name}+{key_id.hex()}".encode(errors="replace")) + b"\x19\x01\x8b\x01"
    proof = b"\x83" + _head(0, size) + _head(0, index) + _head(4, len(path)) + b"".join(_octets(item) for item in path)
    # 18([protected, {396: {-1: [proof]}}, null, signature])
    front = b"\xd2\x84" + _octets(protected) + b"\xa1\x19\x01\x8c\xa1\x20\x81" + _octets(proof) + b"\xf6" + _head(2, _SIGNATURE)
    if len(raw) != len(front) + _SIGNATURE or not raw.startswith(front):
        raise Failed("the COSE receipt is not of the proof in this file")
    signed = b"\x84" + _head(3, 10) + b"Signature1" + _octets(protected) + _octets(b"") + _octets(root)
    verify_ed25519(public, raw[-_SIGNATURE:], signed, "the log's signature on the COSE receipt")


def _head(major: int, n: int) -> bytes:
    """A CBOR head in its shortest form (RFC 8949 section 4.2.1)."""
    if n < 24:
        return bytes([major << 5 | n])
    width = next(width for width in range(4) if n < 1 << (8 << width))
    return bytes([major << 5 | 24 + width]) + n.to_bytes(1 << width)


def _octets(data: bytes) -> bytes:
    return _head(2, len(data)) + data


def check_consent(found: dict[str, Any], act: dict[str, Any], index: int | None) -> None:
    """A consent receipt (ISO/IEC TS 27560) is of this recording, and what it says was consented to then is what the act says."""
    if get(act, "type", str) != "contribution.recorded":
        raise Failed("a consent receipt stands beside an act that is no recording")
    one = get(act, "contribution", str)
    same(get(found, "dct:identifier", str), act["act"], "the consent receipt is of another act")
    if not get(found, "@id", str).endswith(f"/v1/contributions/{one}/receipt"):
        raise Failed("the consent receipt is of another contribution")
    given = act.get("consent")
    events = []
    for record in map(as_object, get(found, "dpv:hasRecordOfActivity", list)):
        for event in map(as_object, get(record, "dpv:hasConsentStatus", list)):
            source = get(event, "dct:source", dict) if "dct:source" in event else {}
            if source.get("dct:identifier") == act["act"]:
                same(get(record, "dct:subject", str), one, "the consent receipt tells of this act under another contribution")
                events.append((event, source))
    if len(events) != (given is not None):
        raise Failed("the consent receipt does not tell of this act's consent once")
    for event, source in events:
        same(get(event, "odrl:hasPolicy", str), as_object(given).get("policy"), "the consent receipt names another policy than the act")
        if index is not None:
            same(get(source, "sayso:logIndex", int), index, "the consent receipt names another place in the log")
