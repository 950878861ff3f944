"""Short-lived links to a platform's intake page: a code that proves itself, so that nothing is stored for it."""

import hmac
from datetime import UTC, datetime, timedelta

from app.crypto.keyring import KeyRing, keyed_hash
from app.kit import ids
from app.kit.errors import NotFound
from app.parties.claims import encode_secret

LIFE = timedelta(hours=8)


class IntakeLinks:
    """Makes and reads the codes. Whoever has one sees a platform's intake and can try refused lines again, for 8 hours."""

    def __init__(self, keys: KeyRing) -> None:
        self._key = keys.derive("intake")

    def code(self, platform_id: str, now: datetime) -> str:
        """66 characters, with a MAC of 160 bits."""
        body = platform_id.split("_", 1)[1] + f"{int((now + LIFE).timestamp()):08x}"
        return body + self._mac(body)

    def read(self, code: str, now: datetime) -> str:
        """The platform's id. Raises NotFound (not_found), for an expired code too."""
        body = code[:34]
        ours = len(code) == 66 and code.isascii() and hmac.compare_digest(code[34:], self._mac(body))
        if ours and datetime.fromtimestamp(int(body[26:], 16), UTC) > now:
            return f"{ids.PREFIXES['platform']}_{body[:26]}"
        raise NotFound("not_found", "The link has ended; make a new one with `python -m app platforms intake`.")

    def _mac(self, body: str) -> str:
        return encode_secret(keyed_hash(self._key, body)[:20])
