"""What a platform's engineer needs to know of its hooks: received, refused and why, how late."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, select

from app.consents import wordings
from app.contributions.formats.hooked import HOOKED
from app.contributions.hook_models import HookLine, RefusedLine
from app.contributions.hook_schemas import HookOut, ImportOut, RefusedLineOut
from app.contributions.import_models import ImportRefusal, ImportRun
from app.contributions.models import Contribution
from app.parties import ingest_keys
from app.parties.models import IngestKey

_DAY = timedelta(days=1)
_LATEST = 100
_IMPORTS = 20


def overview(session: Session, platform_id: str, *, now: datetime) -> list[HookOut]:
    """A platform's hooks in the order their keys were made."""
    return [_one(session, key, now) for key in ingest_keys.listed(session, platform_id)]


def recorded(session: Session, platform_id: str) -> int:
    """How many contributions a platform recorded, in whatever way; those that were erased count too."""
    query = select(sa.func.count()).select_from(Contribution).where(Contribution.platform_id == platform_id)
    return int(session.exec(query).one())


def imports(session: Session, platform_id: str) -> list[ImportOut]:
    """A platform's newest imports, with what the database refused of each, by code."""
    query = select(ImportRun).where(ImportRun.platform_id == platform_id).order_by(sa.desc(ImportRun.started_at)).limit(_IMPORTS)  # type: ignore[arg-type]
    runs = list(session.exec(query))
    counted = (
        select(ImportRefusal.run, ImportRefusal.code, sa.func.count())
        .where(ImportRefusal.platform_id == platform_id, ImportRefusal.run.in_([one.run for one in runs]))  # type: ignore[attr-defined]
        .group_by(ImportRefusal.run, ImportRefusal.code)
    )
    refused: dict[str, dict[str, int]] = {}
    for run, code, n in session.exec(counted):
        refused.setdefault(run, {})[code] = n
    return [
        ImportOut(
            format=one.format, started_at=one.started_at, finished_at=one.finished_at, records=one.records,
            refused=dict(sorted(refused.get(one.run, {}).items())),
        )
        for one in runs
    ]  # fmt: skip


def _one(session: Session, key: IngestKey, now: datetime) -> HookOut:
    def count(table: type[HookLine] | type[RefusedLine], *where: object) -> int:
        query = select(sa.func.count()).select_from(table).where(table.key_id == key.id, *where)  # type: ignore[arg-type]
        return int(session.exec(query).one())

    came = session.exec(
        select(HookLine.received_at, Contribution.created_at)
        .join(Contribution, sa.and_(Contribution.id == HookLine.contribution_id))  # type: ignore[arg-type]
        .where(HookLine.key_id == key.id)
        .order_by(sa.desc(HookLine.received_at))  # type: ignore[arg-type]
        .limit(_LATEST)
    ).all()
    lags = [(received - created).total_seconds() for received, created in came if created is not None]
    since = now - _DAY
    person_chooses = HOOKED[key.format].adapter.person_chooses
    default = wordings.default_of(session, key.platform_id) if key.consent is None and not person_chooses else None
    latest = came[0][0] if came else None
    if person_chooses and latest is not None:  # who was seen to write at that minute would be known by it
        latest = latest.replace(hour=0, minute=0, second=0, microsecond=0)
    bare = 0 if default is None else session.exec(
        select(sa.func.count()).select_from(HookLine)
        .join(Contribution, sa.and_(Contribution.id == HookLine.contribution_id))  # type: ignore[arg-type]
        .where(
            HookLine.key_id == key.id, HookLine.received_at >= default.set_at,
            sa.func.coalesce(Contribution.created_at, HookLine.received_at) >= default.shown_at,
        )
    ).one()  # fmt: skip
    return HookOut(
        key=key.id, format=key.format, basis="notice" if key.consent else "none" if default is None else "default",
        state="in_use" if key.revoked_at is None else "revoked",
        defaults_applied=int(bare), received=count(HookLine), received_last_day=count(HookLine, HookLine.received_at > since),
        refused_last_day=count(RefusedLine, RefusedLine.received_at > since),
        waiting=count(RefusedLine, RefusedLine.content != None), last_received_at=latest,
        lag_seconds=lags[0] if lags else None, slowest_lag_seconds=max(lags, default=None),
    )  # fmt: skip


def refused_page(session: Session, platform_id: str, before: str | None, limit: int) -> list[RefusedLineOut]:
    """A platform's refused lines, the latest first, those before an id."""
    query = select(RefusedLine).where(RefusedLine.platform_id == platform_id)
    if before is not None:
        query = query.where(RefusedLine.id < before)
    rows = session.exec(query.order_by(sa.desc(RefusedLine.id)).limit(limit)).all()  # type: ignore[arg-type]
    return [
        RefusedLineOut(
            id=row.id, key=row.key_id, received_at=row.received_at, code=row.code, detail=row.detail, size=row.size,
            can_retry=row.content is not None, settled_at=row.settled_at,
        )
        for row in rows
    ]  # fmt: skip
