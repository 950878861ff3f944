"""What the service asks of whatever holds its keys: the few calls that files answer here and a KMS or Vault could answer too.

root -> one key-encryption key an epoch -> a data key per contributor (wrapped, in the database) -> sealed parts. Only the first
two and the signing keys live behind this protocol; data keys pass through it to be wrapped and opened.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.crypto.sealing import CannotOpen, Sealer
from app.crypto.signing import ServiceKey

Random = Callable[[int], bytes]


class KeysMissing(Exception):
    """A key that should be there is not, or cannot be read."""


class KeyDriver(Protocol):
    """Where keys live. Every call may be made from any thread, and by several processes at once."""

    @property
    def log_public(self) -> bytes:
        """The log's Ed25519 public key, 32 bytes."""
        ...

    @property
    def service(self) -> ServiceKey:
        """Signs agreements, manifests and access tokens."""
        ...

    def log_sign(self, message: bytes) -> bytes:
        """An Ed25519 signature by the log's key, 64 bytes."""
        ...

    def derive(self, purpose: str) -> bytes:
        """32 bytes that follow from the root key for one purpose, always the same (a KMS answers with a MAC)."""
        ...

    def epochs(self) -> list[int]:
        """The epochs whose key-encryption key exists now, rising; the last is the current one. Asked again, it looks again."""
        ...

    def begin_epoch(self) -> int:
        """Make the key of the next epoch, durable before this returns; gives its number."""
        ...

    def destroy_epoch(self, epoch: int) -> None:
        """Make everything wrapped under an epoch unreadable, copies of the database included. Twice does no harm."""
        ...

    def wrap(self, epoch: int, key: bytes, place: bytes, random: Random) -> bytes:
        """`key` sealed under an epoch's key for `place`. Raises CannotOpen where the epoch is destroyed."""
        ...

    def unwrap(self, epoch: int, wrapped: bytes, place: bytes) -> bytes:
        """The inverse of `wrap`. Raises CannotOpen where the epoch is destroyed or the place is another."""
        ...


class FileKeys:
    """A `KeyDriver` over files of mode 0600 in one directory: root, log, service and one file an epoch."""

    def __init__(self, directory: Path, *, create: bool) -> None:
        """With `create` a missing key is made; without it is KeysMissing, never a fresh key."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._root = self._load("root", create)
        self._keks: dict[int, Sealer] = {}
        if not self._numbers():
            self._load(_name(1), create)
        for epoch in self._numbers():
            self._keks[epoch] = Sealer(self._load(_name(epoch), False))
        self._log = Ed25519PrivateKey.from_private_bytes(self._load("log", create))
        self.service = ServiceKey(Ed25519PrivateKey.from_private_bytes(self._load("service", create)))

    @property
    def log_public(self) -> bytes:
        return self._log.public_key().public_bytes_raw()

    def log_sign(self, message: bytes) -> bytes:
        return self._log.sign(message)

    def derive(self, purpose: str) -> bytes:
        info = b"sayso/" + purpose.encode()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(self._root)  # RFC 5869

    def epochs(self) -> list[int]:
        found = self._numbers()
        for gone in set(self._keks).difference(found):
            self._keks.pop(gone, None)  # destroyed by another process; one begun meanwhile is read again when it is asked for
        return found

    def begin_epoch(self) -> int:
        epoch = max(self._numbers()) + 1
        self._keks[epoch] = Sealer(self._load(_name(epoch), True))
        _sync(self._directory)
        return epoch

    def destroy_epoch(self, epoch: int) -> None:
        self._keks.pop(epoch, None)
        path = self._directory / f"{_name(epoch)}.key"
        with suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(bytes(32))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            _sync(self._directory)

    def wrap(self, epoch: int, key: bytes, place: bytes, random: Random) -> bytes:
        return self._kek(epoch).seal(key, place, random)

    def unwrap(self, epoch: int, wrapped: bytes, place: bytes) -> bytes:
        return self._kek(epoch).open(wrapped, place)

    def _kek(self, epoch: int) -> Sealer:
        found = self._keks.get(epoch)
        if found is None:
            # Begun by another process since this one looked.
            try:
                found = self._keks[epoch] = Sealer(self._load(_name(epoch), False))
            except KeysMissing:
                raise CannotOpen from None
        return found

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem[4:]) for path in self._directory.glob("kek-[0-9]*.key") if path.stem[4:].isdigit())

    def _load(self, name: str, create: bool) -> bytes:
        path = self._directory / f"{name}.key"
        if create and not path.exists():
            # Whole or not at all, and one key where two processes start together: a link never replaces what is there.
            descriptor, scratch = tempfile.mkstemp(dir=self._directory)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(scratch, path)
            os.unlink(scratch)
        try:
            if path.stat().st_mode & 0o077:
                raise KeysMissing(f"{path.name} can be read by others; set its mode to 0600")
            data = path.read_bytes()
        except OSError:
            raise KeysMissing(f"{path.name} is missing or cannot be read") from None
        if len(data) != 32:
            raise KeysMissing(f"{path.name} is not 32 bytes long")
        return data


def _name(epoch: int) -> str:
    return f"kek-{epoch:04d}"


def _sync(directory: Path) -> None:
    """Make names in a directory durable: what was linked or unlinked stays so through a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
