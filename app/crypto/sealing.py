"""Sealing under data keys: AES-256-GCM, random 96-bit nonce in front, bound to where the bytes belong."""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class CannotOpen(Exception):
    """The bytes were not sealed with this key for this place."""


class Sealer:
    """Seals and opens with one 256-bit key."""

    __slots__ = ("_aes",)

    def __init__(self, key: bytes) -> None:
        self._aes = AESGCM(key)

    def seal(self, data: bytes, place: bytes, random: Callable[[int], bytes] = os.urandom) -> bytes:
        """nonce (12) || ciphertext || tag (16); `place` is authenticated, not stored."""
        nonce = random(12)
        return nonce + self._aes.encrypt(nonce, data, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The inverse of `seal`. Raises CannotOpen."""
        try:
            return self._aes.decrypt(sealed[:12], sealed[12:], place)
        except (InvalidTag, ValueError):
            raise CannotOpen from None


def new_key(random: Callable[[int], bytes] = os.urandom) -> bytes:
    """32 fresh bytes."""
    return random(32)
