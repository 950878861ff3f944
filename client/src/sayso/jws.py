"""Keys and compact JWS (RFC 7515): Ed25519 and ES256, made here and checked by proofs.py."""

import base64
import json
import os
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from sayso import proofs
from sayso.errors import KeyFileError

Algorithm = Literal["Ed25519", "ES256"]


def b64u(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def write_private(path: str | Path, jwk: dict[str, str]) -> None:
    """Write a private JWK to a new file that its owner alone can read. Raises KeyFileError if there is one."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(handle, "w") as file:
        json.dump(jwk, file, indent=1)
        file.write("\n")


class PrivateKey:
    """A signing key: Ed25519 or P-256. Its repr and str never show the private part."""

    def __init__(self, key: Ed25519PrivateKey | EllipticCurvePrivateKey) -> None:
        self._key = key
        if isinstance(key, Ed25519PrivateKey):
            self.alg: Algorithm = "Ed25519"
            self.public_jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(key.public_key().public_bytes_raw())}
        else:
            numbers = key.public_key().public_numbers()
            self.alg = "ES256"
            self.public_jwk = {
                "kty": "EC",
                "crv": "P-256",
                "x": b64u(numbers.x.to_bytes(32, "big")),
                "y": b64u(numbers.y.to_bytes(32, "big")),
            }
        self.thumbprint = proofs.thumbprint(self.public_jwk)

    def __repr__(self) -> str:
        return f"PrivateKey({self.alg}, {self.thumbprint})"

    @classmethod
    def generate(cls, alg: Algorithm = "Ed25519") -> "PrivateKey":
        """A new key."""
        return cls(Ed25519PrivateKey.generate() if alg == "Ed25519" else generate_ec(SECP256R1()))

    @classmethod
    def from_jwk(cls, jwk: dict[str, Any]) -> "PrivateKey":
        """The key in a private JWK (RFC 7517, RFC 8037). Raises KeyFileError."""
        try:
            proofs.thumbprint(jwk)  # refuses other kinds of keys
            if jwk["kty"] == "RSA":
                raise proofs.Failed("this client signs with Ed25519 and P-256 keys; RSA signatures it only checks")
            secret = proofs.unbase64(proofs.get(jwk, "d", str), "the key", url=True)
            if len(secret) != 32:
                raise proofs.Failed("the key has not its length")
            key = (
                cls(Ed25519PrivateKey.from_private_bytes(secret))
                if jwk["kty"] == "OKP"
                else cls(derive_private_key(int.from_bytes(secret, "big"), SECP256R1()))
            )
        except (proofs.Failed, ValueError) as error:
            raise KeyFileError(f"not a private Ed25519 or P-256 JWK: {error}") from error
        if any(jwk[name] != value for name, value in key.public_jwk.items()):
            raise KeyFileError("the public part of the JWK does not belong to the private part")
        return key

    @classmethod
    def load(cls, path: str | Path) -> "PrivateKey":
        """The key in a file that `save` wrote. Raises KeyFileError."""
        try:
            return cls.from_jwk(proofs.parse(Path(path).read_bytes(), "the key file"))
        except OSError as error:
            raise KeyFileError(f"{path} cannot be read: {error.strerror}") from error
        except proofs.Failed as error:
            raise KeyFileError(str(error)) from error

    @property
    def private_jwk(self) -> dict[str, str]:
        """The whole key as a JWK: a secret."""
        if isinstance(self._key, Ed25519PrivateKey):
            secret = self._key.private_bytes_raw()
        else:
            secret = self._key.private_numbers().private_value.to_bytes(32, "big")
        return {**self.public_jwk, "d": b64u(secret), "kid": self.thumbprint, "alg": self.alg, "use": "sig"}

    def save(self, path: str | Path) -> None:
        """Write the private JWK to a new file that its owner alone can read. Raises KeyFileError if there is one."""
        write_private(path, self.private_jwk)

    def sign_bytes(self, message: bytes) -> bytes:
        """The bare Ed25519 signature (64 bytes), for texts with a form of their own. Raises KeyFileError for other keys."""
        if not isinstance(self._key, Ed25519PrivateKey):
            raise KeyFileError("this needs an Ed25519 key")
        return self._key.sign(message)

    def sign(self, typ: str, payload: bytes, *, embed: bool = False, **header: str) -> str:
        """A compact JWS over exactly these bytes, with this key's thumbprint as `kid`, or with `embed` its public half as `jwk`."""
        named = {"jwk": self.public_jwk} if embed else {"kid": self.thumbprint}
        protected = json.dumps({"alg": self.alg, "typ": typ, **named, **header}, separators=(",", ":"))
        message = f"{b64u(protected.encode())}.{b64u(payload)}"
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(message.encode())
        else:
            r, s = decode_dss_signature(self._key.sign(message.encode(), ECDSA(SHA256())))
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{message}.{b64u(signature)}"


def check(token: str, jwk: dict[str, Any], typ: str) -> tuple[dict[str, Any], bytes]:
    """(header, payload) of a compact JWS by this public key with this `typ`. Raises `proofs.Failed`."""
    return proofs.open_jws(token, jwk, typ)


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 SHA-256 thumbprint of a public key. Raises `proofs.Failed`."""
    return proofs.thumbprint(jwk)
