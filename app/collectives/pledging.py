"""Pledges as they are kept: under a tag and sealed, by a key that goes when the campaign ends."""

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives.models import Campaign, Pledge
from app.crypto.keyring import keyed_hash
from app.crypto.sealing import Sealer, new_key
from app.kit.runtime import Runtime


def begin(runtime: Runtime, row: Campaign) -> None:
    """Give a campaign its key."""
    row.key = Sealer(runtime.keys.derive("campaigns")).seal(new_key(), row.id.encode())


def sealer(runtime: Runtime, row: Campaign) -> Sealer:
    """Seals and opens what was pledged, while the campaign runs."""
    return Sealer(_key(runtime, row))


def tag(runtime: Runtime, row: Campaign, contributor: str) -> str:
    """How one pledger is called in one campaign: nobody can tell who it is without the key."""
    return keyed_hash(_key(runtime, row), "pledger", contributor).hex()


def drop(session: Session, runtime: Runtime, row: Campaign, contributor: str) -> bool:
    """Take somebody's pledge away; whether there was one."""
    mine = sa.delete(Pledge).where(Pledge.campaign_id == row.id, Pledge.tag == tag(runtime, row, contributor))  # type: ignore[arg-type]
    return bool(session.execute(mine).rowcount)  # type: ignore[attr-defined]


def forget(session: Session, runtime: Runtime, contributor: str, collective: str | None = None) -> None:
    """Who leaves a collective, or is erased, pledges nothing any more."""
    query = select(Campaign).where(Campaign.state == "open")
    if collective is not None:
        query = query.where(Campaign.collective_id == collective)
    for row in session.exec(query):
        drop(session, runtime, row, contributor)


def _key(runtime: Runtime, row: Campaign) -> bytes:
    assert row.key is not None
    return Sealer(runtime.keys.derive("campaigns")).open(bytes(row.key), row.id.encode())
