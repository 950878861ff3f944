"""What the offline verifier computes, with the standard library and `cryptography` alone.

None of it is shared with the service. Written out again here, it is a second opinion that can be read in one sitting
together with verify.py. Everything raises `Failed` with a sentence, and nothing else, whatever it is given.
"""

import base64
import binascii
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import pairwise
from typing import Any, BinaryIO, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

REFUSED_HEADERS = {"crit", "b64", "jwk", "jku", "x5u", "x5c"}
MAX_ROW = 64 * 2**20


class Failed(Exception):
    """A check failed, or what was given has not the form that could be checked; the message is for people."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def parse(text: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object, read in the one way everybody must read it: no duplicate keys, fractions, or half characters."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(found)) != len(found):
            raise Failed(f"{what} has the same key twice")
        return dict(found)

    def refuse(_: str) -> NoReturn:
        raise Failed(f"{what} holds a number that is no integer within 2^53")

    def integer(digits: str) -> int:
        return int(digits) if len(digits) <= 17 and abs(int(digits)) < 2**53 else refuse(digits)

    try:
        whole = text.decode() if isinstance(text, bytes) else text
        value = json.loads(whole, object_pairs_hook=pairs, parse_int=integer, parse_float=refuse, parse_constant=refuse)
        if "\\ud" in whole or "\\uD" in whole or isinstance(text, str):
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no bytes
    except (ValueError, RecursionError) as error:
        raise Failed(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise Failed(f"{what} is not a JSON object")
    return value


def get(value: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> Any:
    """A member that must be there and be of this kind (True is no number)."""
    found = value.get(name)
    if name not in value or not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
        raise Failed(f"`{name}` is missing or of the wrong kind")
    return found


def same(found: Any, wanted: Any, why: str) -> None:
    """Raises Failed, with `why`, unless both are equal."""
    if found != wanted:
        raise Failed(why)


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Failed("a list holds something that is not an object")
    return value


def texts(value: dict[str, Any], name: str) -> list[str]:
    """A member that must be a list of strings, ascending and without repeats."""
    found: list[str] = get(value, name, list)
    if not all(isinstance(item, str) for item in found) or any(a >= b for a, b in pairwise(found)):
        raise Failed(f"`{name}` is not a sorted list of texts without repeats")
    return found


def unbase64(text: str, what: str, *, url: bool = False) -> bytes:
    """Base64, or base64url without padding; one text alone stands for each byte string."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4 if url else 0), b"-_" if url else None, validate=True)
        again = base64.urlsafe_b64encode(raw).rstrip(b"=") if url else base64.b64encode(raw)
    except (binascii.Error, ValueError) as error:
        raise Failed(f"{what} is not base64") from error
    if again.decode() != text:
        raise Failed(f"{what} is not base64 in its one form")
    return raw


def canonical_sha256(value: Any) -> str:
    """SHA-256, in hex, of the RFC 8785 bytes of a value without floats and with ASCII keys."""
    return sha256(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()).hex()


# The tree of RFC 9162 section 2.1.


def inclusion_root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root to which `path` leads from leaf number `index` (its bytes) of `size` (section 2.1.3.2)."""
    if not 0 <= index < size:
        raise Failed("the proof is for a leaf outside of the tree")
    fn, sn, root = index, size - 1, sha256(b"\x00" + leaf)
    for sibling in path:
        if sn == 0:
            raise Failed("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            root = sha256(b"\x01" + sibling + root)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = sha256(b"\x01" + root + sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Failed("the inclusion proof is too short")
    return root


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: list[bytes]) -> None:
    """The tree of `old` leaves (at least 1) is a prefix of the tree of `new` leaves (section 2.1.4.2)."""
    if not 1 <= old <= new or any(len(item) != 32 for item in path):
        raise Failed("the consistency proof is for sizes that cannot be, or has a hash that is not 32 bytes")
    if old == new:
        if path or old_root != new_root:
            raise Failed("two trees of one size have different roots, or a proof that they do not need")
        return
    path = [old_root, *path] if old & (old - 1) == 0 else path
    if not path:
        raise Failed("the consistency proof is too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if sn == 0:
            raise Failed("the consistency proof is too long")
        if fn & 1 or fn == sn:
            first, second = sha256(b"\x01" + sibling + first), sha256(b"\x01" + sibling + second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = sha256(b"\x01" + second + sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != old_root or second != new_root:
        raise Failed("the consistency proof leads to other roots")


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaves (their bytes) in order; one hash for each level is held."""
    peaks: list[bytes] = []
    for count, leaf in enumerate(leaves):
        node = sha256(b"\x00" + leaf)
        while count & 1:
            node, count = sha256(b"\x01" + peaks.pop() + node), count >> 1
        peaks.append(node)
    while len(peaks) > 1:
        peaks[-2:] = [sha256(b"\x01" + peaks[-2] + peaks[-1])]
    return peaks[0] if peaks else sha256(b"")


# The log's texts: tlog-proof, checkpoint, signed note, verifier key (C2SP).


def parse_vkey(text: str, kind: int = 1) -> tuple[str, bytes, bytes]:
    """(name, key id, Ed25519 public key) of `name+hex+base64`; `kind` 1 is a log's key, 4 a witness's."""
    parts = text.split("+", 2)
    raw = unbase64(parts[-1], "the log's key")
    if len(parts) != 3 or len(raw) != 33 or raw[0] != kind or not parts[0] or re.search(r"\s", parts[0]):
        raise Failed("the log's key is not an Ed25519 verifier key")
    key_id = sha256(parts[0].encode(errors="replace") + b"\n" + raw)[:4]
    if key_id.hex() != parts[1]:
        raise Failed("the log's key does not fit the id it bears")
    return parts[0], key_id, raw[1:]


def parse_proof(text: str) -> tuple[int, list[bytes], str, int, bytes]:
    """(leaf index, hashes from leaf to root, checkpoint note, tree size, tree root) of a tlog-proof."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[1:] and lines[1].startswith("extra "):  # nothing authenticates it, so it is passed over
        del lines[1]
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[1] if lines[1:] else "")
    if lines[0] != "c2sp.org/tlog-proof@v1" or index is None or len(lines) > 65:
        raise Failed("the proof is not a tlog-proof of version 1")
    path = [unbase64(line, "a hash in the proof") for line in lines[2:]]
    _, size, root = parse_head(note)
    if any(len(item) != 32 for item in path):
        raise Failed("a hash in the proof is not 32 bytes")
    return int(index[1]), path, note, size, root


def parse_head(note: str) -> tuple[str, int, bytes]:
    """(origin, size, root) that a checkpoint states; who signed it is `check_checkpoint`'s."""
    origin, size, root_text, *_ = [*note.split("\n"), "", "", ""]
    root = unbase64(root_text, "the checkpoint's root")
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(root) != 32:
        raise Failed("the checkpoint has no size, or its root is not 32 bytes")
    return origin, int(size), root


def signed_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """(text, [(key name, key id, signature)]) of a signed note, none of them checked."""
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() or not lines or len(lines) > 100 or re.search(r"[\x00-\x09\x0b-\x1f]", note):
        raise Failed("the checkpoint is not a signed note")
    found = []
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—":
            raise Failed("a signature line of the checkpoint is not of its form")
        raw = unbase64(parts[2], "a signature of the checkpoint")
        found.append((parts[1], raw[:4], raw[4:]))
    return text + "\n", found


def check_checkpoint(note: str, vkey: str) -> str:
    """The origin of a checkpoint that the log with this key signed."""
    name, key_id, public = parse_vkey(vkey)
    text, lines = signed_note(note)
    mine = [signature for line_name, line_id, signature in lines if (line_name, line_id) == (name, key_id)]
    for signature in mine:
        verify_ed25519(public, signature, text.encode(errors="replace"), "the log's signature on the checkpoint")
    if not mine:
        raise Failed(f"the checkpoint bears no signature by the key of {name}")
    if text.split("\n")[0] != name:
        raise Failed("the checkpoint is of another log than its key")
    return name


# JWS compact serialization (RFC 7515) with Ed25519 (RFC 9864), ES256 and PS256, and thumbprints (RFC 7638).


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 SHA-256 thumbprint of an Ed25519, P-256 or RSA public key."""
    names = {("OKP", "Ed25519"): ("crv", "kty", "x"), ("EC", "P-256"): ("crv", "kty", "x", "y"), ("RSA", None): ("e", "kty", "n")}
    kind = get(jwk, "kty", str)
    members = names.get((kind, None if kind == "RSA" else get(jwk, "crv", str)))
    if members is None:
        raise Failed("the key is neither Ed25519, P-256 nor RSA")
    if kind == "RSA":
        rsa_numbers(jwk)
    elif any(len(unbase64(get(jwk, name, str), "the key", url=True)) != 32 for name in members[2:]):
        raise Failed("the key has not its length")
    digest = bytes.fromhex(canonical_sha256({name: jwk[name] for name in members}))
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def open_jws(token: str, jwk: dict[str, Any], typ: str) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of a compact JWS by this public key, with this `typ` and the key's thumbprint as `kid`."""
    parts = token.split(".")
    if len(parts) != 3:
        raise Failed("the signature is not a compact JWS")
    head, payload, signature = (unbase64(part, "the signature", url=True) for part in parts)
    header, kid = parse(head, "the signature's header"), thumbprint(jwk)
    if REFUSED_HEADERS & header.keys() or header.get("typ") != typ or header.get("kid") != kid:
        raise Failed(f"the signature's header is not that of a {typ} by this key")
    message = f"{parts[0]}.{parts[1]}".encode()
    if header.get("alg") == "Ed25519" and jwk["kty"] == "OKP":
        verify_ed25519(unbase64(jwk["x"], "the key", url=True), signature, message, f"the {typ} signature")
    elif header.get("alg") == "ES256" and jwk["kty"] == "EC" and len(signature) == 64:
        x, y = (unbase64(jwk[name], "the key", url=True) for name in "xy")
        try:
            key = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1()).public_key()
            rs = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
            key.verify(rs, message, ECDSA(SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise Failed(f"the {typ} signature does not hold") from error
    elif header.get("alg") == "PS256" and jwk["kty"] == "RSA":
        try:  # RFC 7518 section 3.5: MGF1 with SHA-256, and a salt as long as the hash
            rsa_numbers(jwk).public_key().verify(signature, message, PSS(MGF1(SHA256()), 32), SHA256())
        except (InvalidSignature, ValueError) as error:
            raise Failed(f"the {typ} signature does not hold") from error
    else:
        raise Failed("the signature's algorithm is not one this key may use (Ed25519, ES256 or PS256)")
    return header, payload


def rsa_numbers(jwk: dict[str, Any]) -> RSAPublicNumbers:
    """The numbers of an RSA public key of 2048 to 16384 bits, each written in its one form (RFC 7518 section 6.3.1)."""
    raw = [unbase64(get(jwk, name, str), "the key", url=True) for name in "ne"]
    n, e = (int.from_bytes(number) for number in raw)
    if any(number[:1] in (b"", b"\0") for number in raw) or not 2048 <= n.bit_length() <= 16_384:
        raise Failed("the RSA key has fewer than 2048 bits, or more than 16384")
    if not 3 <= e < 2**32 or not e % 2:
        raise Failed("the RSA key has an exponent of no use")
    return RSAPublicNumbers(e, n)


def verify_ed25519(public: bytes, signature: bytes, message: bytes, what: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Failed(f"{what} does not hold") from error


def zstd() -> Any:
    """The library that packs shards. Raises Failed where it is not installed."""
    try:
        return import_module("zstandard")
    except ImportError as error:
        raise Failed('shards are packed with zstd: pip install "sayso[lab]"') from error


def shard_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a zstd-compressed shard, each without its line break."""
    zstandard = zstd()
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(file, read_across_frames=True) as reader:
            lines = io.BufferedReader(reader, 2**20)
            while line := lines.readline(MAX_ROW):
                if len(line) == MAX_ROW:
                    raise Failed("a row of a shard is too long")
                yield line.removesuffix(b"\n")
    except zstandard.ZstdError as error:
        raise Failed("a shard is not zstd") from error
