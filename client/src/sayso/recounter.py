"""What a recounter does: opens what was sealed to their key, and counts again. The key is X25519 as a JWK (RFC 8037), the sealing compact
JWE with ECDH-ES and A256GCM (RFC 7516, 7518 section 4.6), which other software opens too.
"""

import argparse
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from sayso import proofs, recount
from sayso.errors import KeyFileError, SaysoError
from sayso.jws import b64u, write_private

if TYPE_CHECKING:
    from sayso.http import Transport

FILE, TICKET = "sayso-openings", "sayso-openings-ticket"


class RecounterKey:
    """A key that openings are sealed to. Its repr and str never show the private part."""

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public_jwk = {"kty": "OKP", "crv": "X25519", "x": b64u(key.public_key().public_bytes_raw())}
        named = json.dumps({name: self.public_jwk[name] for name in ("crv", "kty", "x")}, separators=(",", ":"))
        self.thumbprint = b64u(sha256(named.encode()).digest())

    def __repr__(self) -> str:
        return f"RecounterKey({self.thumbprint})"

    @classmethod
    def generate(cls) -> "RecounterKey":
        """A new key."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | Path) -> "RecounterKey":
        """The key in a file that `save` wrote. Raises KeyFileError."""
        try:
            jwk = proofs.parse(Path(path).read_bytes(), "the key file")
            if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "X25519"):
                raise KeyFileError("not a private X25519 JWK: `sayso keygen --alg X25519` makes one")
            key = cls(X25519PrivateKey.from_private_bytes(proofs.unbase64(proofs.get(jwk, "d", str), "the key", url=True)))
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
        except (proofs.Failed, ValueError) as error:
            raise KeyFileError(f"not a private X25519 JWK: {error}") from error
        if jwk.get("x") != key.public_jwk["x"]:
            raise KeyFileError("the public part of the JWK does not belong to the private part")
        return key

    def save(self, path: str | Path) -> None:
        """Write the private JWK to a new file that its owner alone can read. Raises KeyFileError if there is one."""
        write_private(path, {**self.described, "d": b64u(self._key.private_bytes_raw())})

    @property
    def described(self) -> dict[str, str]:
        """The public half as a charter takes it."""
        return {**self.public_jwk, "kid": self.thumbprint, "alg": "ECDH-ES", "use": "enc"}

    def open(self, sealed: str, typ: str) -> bytes:
        """What a compact JWE of that `typ` holds, sealed to this key. Raises proofs.Failed."""
        parts = sealed.split(".")
        if len(parts) != 5 or parts[1]:
            raise proofs.Failed("what was sealed is no compact JWE of its form")
        header = proofs.parse(proofs.unbase64(parts[0], "the header", url=True), "the header")
        if {name: header.get(name) for name in ("alg", "enc", "typ")} != {"alg": "ECDH-ES", "enc": "A256GCM", "typ": typ}:
            raise proofs.Failed(f"what was sealed is no {typ} by ECDH-ES and A256GCM")
        if set(header) - {"alg", "enc", "typ", "kid", "epk"} or header.get("kid") != self.thumbprint:
            raise proofs.Failed("it was sealed to another key")
        epk = proofs.get(header, "epk", dict)
        if (epk.get("kty"), epk.get("crv")) != ("OKP", "X25519"):
            raise proofs.Failed("the sender's key is not X25519")
        nonce, text, tag = (proofs.unbase64(part, "what was sealed", url=True) for part in parts[2:])
        try:
            point = X25519PublicKey.from_public_bytes(proofs.unbase64(proofs.get(epk, "x", str), "the sender's key", url=True))
            shared = self._key.exchange(point)
            if len(nonce) != 12 or len(tag) != 16:
                raise ValueError
            return AESGCM(_derived(shared)).decrypt(nonce, text + tag, parts[0].encode())
        except (InvalidTag, ValueError):
            raise proofs.Failed("what was sealed does not open: it was altered") from None


def _derived(shared: bytes) -> bytes:
    """RFC 7518 section 4.6.2 with neither apu nor apv, for direct use with A256GCM."""
    named = b"A256GCM"
    info = len(named).to_bytes(4, "big") + named + bytes(8) + (256).to_bytes(4, "big")
    return ConcatKDFHash(SHA256(), 32, info).derive(shared)


def openings(file: dict[str, Any], sealed: str, key: RecounterKey) -> dict[str, Any]:
    """The openings in a sealed file, if it is the one that the outcome says was sealed to this key.

    Raises SaysoError where nothing was sealed to it, and recount.Wrong where the file is another, or does not open.
    """
    named = _named(json.loads(str(file["outcome"])).get("openings", []), key)
    if sha256(sealed.encode()).hexdigest() != named["sha256"]:
        raise recount.Wrong("the sealed file is not the one that the outcome names")
    try:
        found: dict[str, Any] = json.loads(key.open(sealed, FILE))
    except proofs.Failed as error:
        raise recount.Wrong(str(error)) from error
    return found


def fetch(file: dict[str, Any], key: RecounterKey, transport: "Transport") -> str:
    """Ask the service for what was sealed to this key, by the ticket in the outcome's file. Raises SaysoError, also once that is over."""
    ticket = _named(file.get("openings", []), key)["ticket"]
    if ticket is None:
        raise SaysoError("the appeal is over: the service has erased what was sealed")
    try:
        secret = key.open(str(ticket), TICKET).decode()
    except proofs.Failed as error:
        raise SaysoError(f"the ticket: {error}") from error
    answer = transport.request("POST", "/v1/openings", content=json.dumps({"ticket": secret}).encode())
    return str(answer.json()["sealed"])


def _named(sealed: list[dict[str, Any]], key: RecounterKey) -> dict[str, Any]:
    mine = next((one for one in sealed if one["key"] == key.thumbprint), None)
    if mine is None:
        raise SaysoError("nothing of this outcome was sealed to this key")
    return mine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, help="a recounter's private key: opens what was sealed to it")
    parser.add_argument("--sealed", type=Path, help="the sealed openings; with --from, where to keep them")
    parser.add_argument("--from", dest="service", metavar="URL", help="ask the service at this address for the sealed openings")


def run(arguments: argparse.Namespace) -> int:
    """`sayso recount`, with the openings that were sealed to a key where one is given; gives the exit code."""
    if arguments.key is None:
        if arguments.sealed or arguments.service:
            raise SaysoError("give the key that it was sealed to with --key")
        return recount.run(arguments)
    if arguments.openings or not (arguments.sealed or arguments.service):
        raise SaysoError("give --sealed FILE, or --from URL, and not --openings")
    key = RecounterKey.load(arguments.key)
    return recount.run(arguments, lambda file: openings(file, _sealed(arguments, file, key), key))


def _sealed(arguments: argparse.Namespace, file: dict[str, Any], key: RecounterKey) -> str:
    if arguments.service is None:
        return str(arguments.sealed.read_text("ascii").strip())
    from sayso.http import Transport  # to count needs no network

    sealed = fetch(file, key, Transport(arguments.service))
    if arguments.sealed:
        try:
            with open(os.open(arguments.sealed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as kept:
                kept.write(sealed)
        except OSError as error:
            raise SaysoError(f"{arguments.sealed} cannot be made: {error.strerror}") from error
    return sealed
