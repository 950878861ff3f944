"""Recovery codes: what somebody prints, to get in again without a receipt. Of a code only the hash is kept.

A code is 160 random bits, written in nine groups of four letters and digits; the last group is a check of the others, so that a slip
of the pen is told from a code that is of no use. It opens what the receipt opened that it was made with, never more.
"""

import os
from datetime import datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from sqlmodel import Session, select

from app.crypto.keyring import KeyRing, keyed_hash
from app.kit.errors import Invalid, NotFound, Unauthorised
from app.kit.ids import PAIRS
from app.kit.ratelimit import RateLimit
from app.kit.runtime import Runtime
from app.parties import contributors, passkeys
from app.parties.claims import encode_secret, mint
from app.parties.models import Receipt, RecoveryCode

AGAIN = timedelta(minutes=10)
"""How long a code that was used gives its successor again, because the page with it was lost on its way."""
_LETTERS = 32
_CHECK = 4
_READ_AS = str.maketrans("oil", "011")
_ALPHABET = frozenset("".join(PAIRS))
_CODE = RecoveryCode.__table__  # type: ignore[attr-defined]
_UNKNOWN = "It was used or ended before, or is of another service. Look for a newer one."


class Recovery:
    """Makes and reads codes, and knows how often they are tried from one address."""

    def __init__(self, keys: KeyRing) -> None:
        self._key = keys.derive("recovery")
        self.limit = RateLimit(1, burst=20, advice="Wait a little, then try again.")

    def successor(self, code: str) -> str:
        """The code that takes its place: always the same, so that whoever lost the answer gets it again. It is kept nowhere."""
        return encode_secret(keyed_hash(self._key, "successor", code)[:20])


def written(code: str) -> str:
    """A code as it is printed: `XXXX-XXXX-…`, with its check."""
    whole = (code + _check(code)).upper()
    return "-".join(whole[at : at + 4] for at in range(0, len(whole), 4))


def typed(text: str) -> str:
    """The code that somebody typed: in whatever case, dashes and blanks anywhere, O for zero, I or L for one.

    Raises Invalid (recovery_code_mistyped) where it cannot be a code of anybody's.
    """
    plain = "".join(text.lower().translate(_READ_AS).replace("-", " ").split())
    code, check = plain[:_LETTERS], plain[_LETTERS:]
    if len(plain) != _LETTERS + _CHECK or not _ALPHABET.issuperset(plain) or check != _check(code):
        raise Invalid("recovery_code_mistyped", "Compare what you typed with your paper, letter by letter. It has nine groups of four.")
    return code


def _check(code: str) -> str:
    number = int.from_bytes(sha256(b"sayso/recovery-code/v1\x00" + code.encode()).digest()[:3], "big") >> 4
    return PAIRS[number >> 10] + PAIRS[number & 1023]


def _hash(code: str) -> str:
    return sha256(code.encode()).hexdigest()


def made(session: Session, receipt: Receipt) -> datetime | None:
    """When the code was made that opens what this receipt opens; None where there is none."""
    row = session.get(RecoveryCode, (receipt.contributor_id, receipt.contribution_id or ""))
    return None if row is None else row.made_at


def make(session: Session, runtime: Runtime, receipt: Receipt, *, now: datetime) -> str:
    """A new code for what the receipt opens; one of before ends. Raises Unauthorised (token_invalid) where the person was erased meanwhile,
    and what `passkeys.prove` raises: a code removes passkeys."""
    if contributors.hold(session, runtime.keys, receipt.contributor_id, exclusive=True) is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    passkeys.prove(session, runtime, receipt.contributor_id, {"type": "recovery-code.made", "receipt": receipt.id}, now=now)
    code = encode_secret(os.urandom(20))
    reach = receipt.contribution_id or ""
    row = session.get(RecoveryCode, (receipt.contributor_id, reach), populate_existing=True)
    if row is None:
        row = RecoveryCode(contributor_id=receipt.contributor_id, contribution_id=reach, code_sha256=_hash(code), made_at=now)
    row.code_sha256, row.before_sha256, row.made_at = _hash(code), None, now
    session.add(row)
    session.flush()
    return code


def recover(session: Session, keys: KeyRing, recovery: Recovery, code: str, *, now: datetime) -> tuple[str, str, str, str | None]:
    """Use a code (of `typed`): gives a new receipt's secret, the code that takes its place, and whom and what it is for. Receipts of before
    stay good.

    Raises NotFound (recovery_code_unknown), the same for one that never was, was used, ended, or whose person was erased.
    """
    digest = _hash(code)
    either = sa.or_(_CODE.c.code_sha256 == digest, _CODE.c.before_sha256 == digest)
    found = session.exec(select(RecoveryCode).where(either)).first()
    if found is None or contributors.hold(session, keys, found.contributor_id, exclusive=True) is None:
        raise NotFound("recovery_code_unknown", _UNKNOWN)
    row = session.get(RecoveryCode, (found.contributor_id, found.contribution_id), populate_existing=True)
    following = recovery.successor(code)
    if row is not None and row.code_sha256 == digest:
        row.code_sha256, row.before_sha256, row.made_at = _hash(following), digest, now
        session.add(row)
        session.flush()
    elif row is None or (row.before_sha256, row.code_sha256) != (digest, _hash(following)) or now - row.made_at > AGAIN:
        raise NotFound("recovery_code_unknown", _UNKNOWN)
    secret = mint(session, row.contributor_id, row.contribution_id or None, now=now)
    return secret, following, row.contributor_id, row.contribution_id or None


def end(session: Session, contributor: str, contribution: str | None) -> None:
    """End the code for one contribution, or (None) every code of a contributor."""
    query = sa.delete(_CODE).where(_CODE.c.contributor_id == contributor)
    session.execute(query if contribution is None else query.where(_CODE.c.contribution_id == contribution))
