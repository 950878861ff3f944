"""Who may vote on a proposal, and under which name: a keyed hash, by a key that is destroyed when the appeal is over."""

from sqlmodel import Session

from app.collectives import queries
from app.collectives.models import Elector, Proposal
from app.crypto.keyring import keyed_hash
from app.crypto.sealing import Sealer
from app.kit.runtime import Runtime


def tag_of(session: Session, runtime: Runtime, row: Proposal, member: str) -> Elector | None:
    """A member's place in the electorate, while the ballot key is there."""
    return None if row.ballot_key is None else session.get(Elector, (row.id, tag(ballot_key(runtime, row), member, row.id)))


def tag(key: bytes, member: str, proposal: str) -> str:
    """How one elector is called in one proposal: nobody can tell who it is without the key."""
    return keyed_hash(key, "elector", member, proposal).hex()


def left_out(session: Session, runtime: Runtime, row: Proposal) -> set[str]:
    """The tags of who says by now that they work for the lab that a proposal is about, while the ballot key is there: no ballot of theirs
    counts, also one that they cast before they said so. Whose they are is kept nowhere."""
    return {tag(ballot_key(runtime, row), member, row.id) for member in queries.working_for_it(session, row)}


def ballot_key(runtime: Runtime, row: Proposal) -> bytes:
    """The key of a proposal's tags and ballots, while it is there."""
    assert row.ballot_key is not None
    return Sealer(runtime.keys.derive("ballots")).open(bytes(row.ballot_key), row.id.encode())
