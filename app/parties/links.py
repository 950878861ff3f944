"""Short-lived links to pages of a party's own: a code that proves itself, so that nothing is stored for it."""

import hmac
from datetime import UTC, datetime, timedelta

from app.crypto.keyring import KeyRing, keyed_hash
from app.kit import ids
from app.kit.errors import NotFound
from app.parties.claims import encode_secret


class Links:
    """Makes and reads the codes of one purpose for parties of one kind. Whoever has one sees the party's page while it lasts."""

    def __init__(self, keys: KeyRing, purpose: str, kind: str, life: timedelta, advice: str) -> None:
        """`kind` is one of `ids.PREFIXES`; `advice` is the sentence for whoever comes with a code that has ended."""
        self._key = keys.derive(purpose)
        self._prefix = ids.PREFIXES[kind]
        self.life = life
        self._advice = advice

    def code(self, party: str, now: datetime) -> str:
        """66 characters, with a MAC of 160 bits."""
        body = party.split("_", 1)[1] + f"{int((now + self.life).timestamp()):08x}"
        return body + self._mac(body)

    def read(self, code: str, now: datetime) -> str:
        """The party's id. Raises NotFound (not_found), for an expired code too."""
        body = code[:34]
        ours = len(code) == 66 and code.isascii() and hmac.compare_digest(code[34:], self._mac(body))
        if ours and datetime.fromtimestamp(int(body[26:], 16), UTC) > now:
            return f"{self._prefix}_{body[:26]}"
        raise NotFound("not_found", self._advice)

    def _mac(self, body: str) -> str:
        return encode_secret(keyed_hash(self._key, body)[:20])


def intake_links(keys: KeyRing) -> Links:
    """To a platform's intake page, for a day's work."""
    advice = "The link has ended; make a new one with `python -m app platforms intake`."
    return Links(keys, "intake", "platform", timedelta(hours=8), advice)


def console_links(keys: KeyRing) -> Links:
    """To a lab's pages: to be opened at once."""
    return Links(keys, "console", "lab", timedelta(minutes=15), "The link has ended; make a new one with `sayso console`.")


def console_sessions(keys: KeyRing) -> Links:
    """What a browser keeps once such a link was opened: the code is its cookie, for a day's work."""
    return Links(keys, "console-session", "lab", timedelta(hours=8), "Your session has ended; make a new link with `sayso console`.")


OPERATOR = "adm_" + "0" * 26
"""Whose pages the operator's are: there is one."""


def operator_links(keys: KeyRing) -> Links:
    """To the operator's pages: to be opened at once."""
    advice = "The link has ended; make a new one with `python -m app console`."
    return Links(keys, "operator", "admin", timedelta(minutes=15), advice)


def operator_sessions(keys: KeyRing) -> Links:
    """As `console_sessions`, for the operator."""
    advice = "Your session has ended; make a new link with `python -m app console`."
    return Links(keys, "operator-session", "admin", timedelta(hours=8), advice)
