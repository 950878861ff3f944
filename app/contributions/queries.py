"""Reads of contributions used in more than one place."""

import sqlalchemy as sa
from sqlmodel import Session, select

from app.consents.models import Consent, Policy
from app.contributions.models import Contribution
from app.core.vocabulary import part_names
from app.kit.errors import NotFound
from app.kit.ids import is_id
from app.log.models import LogEntry
from app.parties.models import Receipt

UNKNOWN = "Look at the id; it must be one of yours."


def by_id(session: Session, contribution: str) -> Contribution | None:
    """The contribution, whoever asks."""
    return session.get(Contribution, contribution)


def own(session: Session, platform: str, contribution: str) -> Contribution:
    """A platform's own contribution. Raises NotFound (not_found), the same for another's and for none."""
    row = session.get(Contribution, contribution)
    if row is None or row.platform_id != platform:
        raise NotFound("not_found", UNKNOWN)
    return row


def by_external(session: Session, platform: str, kind: str, external_hash: bytes) -> Contribution:
    """A platform's contribution by the keyed hash of its own id. Raises NotFound (not_found)."""
    query = select(Contribution).where(Contribution.platform_id == platform, Contribution.kind == kind)
    row = session.exec(query.where(Contribution.external_hash == external_hash)).first()
    if row is None:
        raise NotFound("not_found", "Look at the kind and the external id; nothing is recorded under them.")
    return row


def covered(session: Session, receipt: Receipt, contribution: str) -> Contribution:
    """A contribution that the receipt covers. Raises NotFound (not_found)."""
    # Forms of the pages hand over what was typed, which PostgreSQL may not even take as text.
    row = session.get(Contribution, contribution) if is_id("contribution", contribution) else None
    if row is None or row.contributor_id != receipt.contributor_id or receipt.contribution_id not in (None, row.id):
        raise NotFound("not_found", UNKNOWN)
    return row


def covered_page(
    session: Session, receipt: Receipt, after: str | None, limit: int, *, kind: str | None = None, state: str | None = None
) -> list[Contribution]:  # fmt: skip
    """Contributions that the receipt covers, in the order they were recorded, after an id; only of a kind or in a state."""
    query = select(Contribution).where(Contribution.contributor_id == receipt.contributor_id)
    if receipt.contribution_id is not None:
        query = query.where(Contribution.id == receipt.contribution_id)
    if after is not None:
        query = query.where(Contribution.id > after)
    if kind is not None:
        query = query.where(Contribution.kind == kind)
    if state is not None:
        query = query.where(Contribution.state == state)
    return list(session.exec(query.order_by(Contribution.id).limit(limit)))  # type: ignore[arg-type]


def governing(session: Session, contribution: Contribution) -> tuple[Consent, Policy] | None:
    """The consent in force for a contribution: its own, else the standing one; None where neither is current."""
    if contribution.state != "live":
        return None
    return current(session, contribution.contributor_id, contribution.id) or current(
        session, contribution.contributor_id, None
    )


def current(session: Session, contributor: str, contribution: str | None) -> tuple[Consent, Policy] | None:
    """The current consent on one contribution, or (None) the standing one, with its policy. One index lookup."""
    query = (
        select(Consent, Policy).join(Policy, sa.and_(Policy.id == Consent.policy_id)).where(Consent.state == "current")
    )  # type: ignore[arg-type]
    if contribution is None:
        query = query.where(Consent.contributor_id == contributor, Consent.contribution_id == None)
    else:
        query = query.where(Consent.contribution_id == contribution)
    row = session.exec(query).first()
    return None if row is None else (row[0], row[1])


def as_recorded(session: Session, row: Contribution) -> tuple[Consent, Policy] | None:
    """The consent that came with the record, or that a default gave it, with its policy; whatever was chosen since."""
    found = session.exec(
        select(Consent, Policy)
        .join(Policy, sa.and_(Policy.id == Consent.policy_id))  # type: ignore[arg-type]
        .where(Consent.contribution_id == row.id, Consent.version == 1, Consent.given_at == row.recorded_at)
    ).first()
    return None if found is None else (found[0], found[1])


def recorded_entry(session: Session, contribution: str) -> LogEntry:
    """The log entry of a contribution's recording."""
    return session.exec(
        select(LogEntry).where(LogEntry.subject == contribution, LogEntry.type == "contribution.recorded")
    ).one()


def state_at(row: Contribution, now_is_past_hold: bool) -> str:
    """held, live, withdrawn or erased."""
    return "held" if row.state == "live" and not now_is_past_hold else row.state


def names_of(row: Contribution) -> list[str]:
    """Its parts by name."""
    return list(part_names(row.parts))
