"""Pledges as they are kept: under a tag and sealed, by a key that goes when the campaign ends. That key is wrapped under the epoch's, as
people's are: a copy of the database from while the campaign ran opens as long as the epoch is there, and no longer."""

from contextlib import suppress

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives.models import Campaign, Pledge
from app.crypto.keyring import keyed_hash
from app.crypto.sealing import CannotOpen, Sealer, new_key
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime


def begin(runtime: Runtime, row: Campaign) -> None:
    """Give a campaign its key."""
    row.key_epoch, row.key = runtime.keys.wrap(row.id, new_key())


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


def carry_on(runtime: Runtime, epoch: int) -> None:
    """Wrap under the current epoch the keys of campaigns that are under one before `epoch`, or under none."""
    before = sa.or_(Campaign.key_epoch == None, Campaign.key_epoch < epoch)  # type: ignore[arg-type,operator]
    with read(runtime.engine) as session:
        found = session.exec(select(Campaign.id).where(Campaign.key != None, before)).all()
    for one in found:
        with write(runtime.engine) as session:
            # As it is now: meanwhile it may have ended.
            row = session.exec(for_update(select(Campaign).where(Campaign.id == one), session)).one()
            if row.key is None:
                continue
            with suppress(CannotOpen):  # a database that was put back and not restored: lost, as people's keys are
                row.key_epoch, row.key = runtime.keys.wrap(row.id, _key(runtime, row))
                session.add(row)


def under(session: Session, epoch: int) -> int:
    """How many campaigns' keys are under an epoch."""
    query = sa.select(sa.func.count()).select_from(Campaign).where(Campaign.key != None, Campaign.key_epoch == epoch)  # type: ignore[arg-type]
    return int(session.execute(query).scalar_one())


def _key(runtime: Runtime, row: Campaign) -> bytes:
    assert row.key is not None
    if row.key_epoch is None:
        return Sealer(runtime.keys.derive("campaigns")).open(bytes(row.key), row.id.encode())
    return runtime.keys.unwrap(row.id, row.key_epoch, bytes(row.key))
