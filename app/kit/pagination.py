"""Opaque cursor pages: a cursor is signed and bound to its list and its caller, so that one from elsewhere is refused."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from app.kit.errors import Malformed

PAGE = 100


class Cursors:
    """Make and read cursors. `key` is 32 secret bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, listing: str, position: str) -> str:
        """A cursor after `position` of the list called `listing` (route and caller)."""
        body = position.encode()
        return urlsafe_b64encode(self._mac(listing, body) + body).decode().rstrip("=")

    def read(self, listing: str, cursor: str) -> str:
        """The position. Raises Malformed (cursor_invalid) for a cursor of another list or caller."""
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            mac, body = raw[:16], raw[16:]
            if hmac.compare_digest(mac, self._mac(listing, body)) and self.make(listing, body.decode()) == cursor:
                return body.decode()
        except ValueError:
            pass
        raise Malformed(
            "cursor_invalid", "Take the cursor from the `next` of the page before, or leave it out to start anew."
        )

    def _mac(self, listing: str, body: bytes) -> bytes:
        return hmac.digest(self._key, listing.encode() + b"\x00" + body, sha256)[:16]
