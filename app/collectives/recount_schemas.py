"""API shapes of what recounters get."""

from typing import Annotated

from pydantic import StringConstraints

from app.kit.body import In, Out, Time


class SealedTo(Out):
    """To whom the openings of the counted ballots were sealed: `key` is the key's thumbprint, `sha256` the digest of the sealed file, as the
    outcome names them. `ticket`, which that key opens, asks for the file until `until`; null afterwards. `handed_at`: when it was first."""

    recounter: str
    key: str
    sha256: str
    at: Time
    until: Time
    ticket: str | None
    handed_at: Time | None


class OpeningsIn(In):
    """`ticket`: what the recounter's key finds in the ticket of an outcome's file."""

    ticket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


class OpeningsOut(Out):
    """`sealed` is a compact JWE (ECDH-ES on X25519, A256GCM) for the key with the thumbprint `key`; its digest stands in the outcome."""

    v: int
    proposal: str
    key: str
    sha256: str
    sealed: str
