"""The service's own keys at hand: what the driver holds (files, or a KMS), and opened data keys kept for a while.

root key -> key-encryption key per epoch -> data key per contributor (wrapped, in the database) -> sealed parts.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.crypto.driver import FileKeys, KeyDriver, KeysMissing
from app.crypto.mac import hmac_sha256
from app.crypto.sealing import Sealer
from app.crypto.signing import ServiceKey

__all__ = ["KeyDriver", "KeyRing", "KeysMissing", "keyed_hash", "verify_ed25519"]

LOOK_AGAIN = 60.0
"""Seconds after which nothing is wrapped under an epoch before it was looked whether a newer one has begun."""


class KeyRing:
    """Keys of one service. Safe to share between threads."""

    _CACHE = 20_000

    def __init__(self, keys: Path | KeyDriver, *, create: bool = False) -> None:
        """Open the ring over a driver, or over files in a directory. With `create` false a missing key is KeysMissing, never
        a fresh key: a service whose keys were lost must stop and not start to answer as somebody new."""
        self._driver: KeyDriver = FileKeys(keys, create=create) if isinstance(keys, Path) else keys
        self.service: ServiceKey = self._driver.service
        self._sealers: OrderedDict[str, tuple[bytes, Sealer, bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._looking = threading.RLock()
        self.epoch = 0
        self._looked = 0.0
        self.refresh()

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, such as `claim` or `pseudonym/plt_…`."""
        return self._driver.derive(purpose)

    # -- epochs --------------------------------------------------------------------------------------------------
    def refresh(self) -> list[int]:
        """Look which epochs there are now: another process may have begun or destroyed one. Gives them, rising."""
        with self._looking:  # a slower look must not undo what a later one saw
            found = self._driver.epochs()
            if not found:
                raise KeysMissing("there is no key of any epoch")
            # A pause of the whole process counts too, so the time is the machine's and only ever compared with itself.
            self.epoch, self._looked = found[-1], time.monotonic()
            return found

    def begin_epoch(self) -> int:
        """Make the next epoch's key, and wrap under it from now on."""
        with self._looking:
            epoch = self._driver.begin_epoch()
            self.refresh()
            return epoch

    def destroy_epoch(self, epoch: int) -> None:
        """Destroy an epoch's key: nothing wrapped under it opens again, in no copy of the database."""
        with self._looking:
            self._driver.destroy_epoch(epoch)
            self.refresh()

    # -- data keys -----------------------------------------------------------------------------------------------
    def wrap(self, contributor: str, key: bytes, random: Callable[[int], bytes] = os.urandom) -> tuple[int, bytes]:
        """A data key sealed for its contributor under the current epoch's key; gives the epoch too."""
        if time.monotonic() - self._looked > LOOK_AGAIN:
            self.refresh()
        epoch = self.epoch
        return epoch, self._driver.wrap(epoch, key, _place(contributor), random)

    def unwrap(self, contributor: str, epoch: int, wrapped: bytes) -> bytes:
        """The data key. Raises CannotOpen where the epoch is destroyed or the row was moved."""
        return self._driver.unwrap(epoch, wrapped, _place(contributor))

    def sealer(self, contributor: str, epoch: int, wrapped: bytes) -> tuple[bytes, Sealer]:
        """Data key and its sealer, cached against the wrapped bytes, so that a rewrapped or deleted key is not reused."""
        with self._lock:
            hit = self._sealers.get(contributor)
            if hit is not None and hit[2] == wrapped:
                self._sealers.move_to_end(contributor)
                return hit[0], hit[1]
        key = self.unwrap(contributor, epoch, wrapped)
        sealer = Sealer(key)
        self.remember(contributor, key, sealer, wrapped)
        return key, sealer

    def remember(self, contributor: str, key: bytes, sealer: Sealer, wrapped: bytes) -> None:
        """Keep an opened data key at hand."""
        with self._lock:
            self._sealers[contributor] = (key, sealer, wrapped)
            if len(self._sealers) > self._CACHE:
                self._sealers.popitem(last=False)

    def forget(self, contributor: str) -> None:
        """Drop an opened data key at once."""
        with self._lock:
            self._sealers.pop(contributor, None)

    def holds(self, contributor: str) -> bool:
        """Whether an opened data key of theirs is at hand."""
        with self._lock:
            return contributor in self._sealers

    # -- the log's key -------------------------------------------------------------------------------------------
    @property
    def log_public(self) -> bytes:
        """The log's Ed25519 public key, 32 bytes."""
        return self._driver.log_public

    def log_sign(self, message: bytes) -> bytes:
        """An Ed25519 signature by the log's key, 64 bytes."""
        return self._driver.log_sign(message)


def _place(contributor: str) -> bytes:
    return b"data-key\x00" + contributor.encode()


def keyed_hash(key: bytes, *fields: str) -> bytes:
    """HMAC-SHA256 over length-prefixed fields, so that no two field lists give the same bytes."""
    message = b"".join([len(raw).to_bytes(4, "big") + raw for raw in [f.encode() for f in fields]])
    return hmac_sha256(key, message)


def verify_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` is by the key `public` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
