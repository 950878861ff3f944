"""What there is to ask for, in numbers that say nothing of anybody: one snapshot a day, rounded to ten, silent below ten people.

A quote tells how many records a use would get and how many each relaxation of it would add, from the same snapshot. It is a dry
run: kept in the private audit, in no log, and limited by lab and day, so that counts cannot be played against each other.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import selection, service, verdicts
from app.agreements.models import CatalogDay, DryRun
from app.collectives import binding
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.models import Contribution, ContributionModel
from app.core import vocabulary as words
from app.core.canonical import canonical, sha256_hex
from app.core.evaluation import LabFacts, Use, basis_allows, verdict
from app.kit.db import for_update, insert_or_ignore, read, write
from app.kit.errors import TooMany
from app.kit.runtime import Runtime
from app.parties.models import Lab, Platform

_C = Contribution.__table__  # type: ignore[attr-defined]
_CM = ContributionModel.__table__  # type: ignore[attr-defined]
_FEWEST = 10
DRY_RUNS = 50
"""Quotes that a lab may ask for in a day (UTC)."""
_SHORTER = (365, 90, 30)
_PLACES = (("territory", "processingPlace"), ("storage", "storagePlace"))
_WIDEST = tuple(purpose for purpose, wider in words.PURPOSES.items() if not wider)
_MOST_NAMED = 8
"""Values of one member that a quote tries: each is a count of its own."""
_SOME_APPROVAL = "0" * 64
"""Any digest: what is counted is what the lab would get if it had an approval."""


class Group(NamedTuple):
    """Records of one platform, kind and language under the same policies; ids are of policies. With a `month` (YYYY-MM) those of
    that month alone, with a `model` those about it."""

    platform: str
    kind: str
    language: str | None
    base: int
    standing: int | None
    floor: int | None
    bound: str | None
    basis: str
    attested_by: str
    records: int
    month: str | None = None
    model: str | None = None

    @property
    def policies(self) -> tuple[int, ...]:
        return tuple(p for p in (self.base, self.standing, self.floor, *binding.split(self.bound)[0]) if p is not None)


@dataclass(frozen=True)
class Snapshot:
    """The numbers of a day: `cells` by platform (id, name), kind and language; `months` and `models` by platform, kind and these;
    `groups` for quotes. Fewer than ten people: left out."""

    day: date
    cells: list[tuple[str, str, str, str | None, int]]
    groups: list[Group]
    months: list[tuple[str, str, str, int]] = field(default_factory=list)
    models: list[tuple[str, str, str, int]] = field(default_factory=list)


def today(runtime: Runtime) -> Snapshot:
    """The snapshot of the day; the first who asks has it made, in a transaction of its own."""
    day = runtime.clock.now().date()
    with read(runtime.engine) as session:
        row = session.get(CatalogDay, day)
        body = None if row is None else row.body
        made = _look(session, runtime.clock.now()) if body is None else None
    if body is None:
        with write(runtime.engine) as session:
            insert_or_ignore(session, CatalogDay.__table__, {"day": day, "body": made})  # type: ignore[attr-defined]
            session.execute(sa.delete(CatalogDay).where(CatalogDay.day < day))  # type: ignore[arg-type]
            body = session.exec(select(CatalogDay.body).where(CatalogDay.day == day)).one()  # another may have been first
    # A snapshot of a day on which the service was brought up to date may be without months and models.
    several = [[tuple(row) for row in body.get(name, [])] for name in ("cells", "months", "models")]
    return Snapshot(day, several[0], [Group(*group) for group in body["groups"]], *several[1:])


def _look(session: Session, now: datetime) -> dict[str, Any]:
    bounds = binding.Bounds(now.date())
    g = selection.Governed(bounds=bounds)
    base, standing, floor = g.layers()
    wanted = (*selection.matching({}, now, None), base.is_not(None), g.basis != "none", *bounds.holds)
    people = sa.func.count(sa.distinct(_C.c.contributor_id))
    place = (_C.c.platform_id, _C.c.kind, _C.c.language)
    enough = people >= _FEWEST
    how = (base, standing, floor, bounds.policies, g.basis, g.attested_by)
    groups = sa.select(*place, *how, sa.func.count()).select_from(g.joined).where(*wanted).group_by(*place, *how).having(enough)
    cells = sa.select(*place, sa.func.count()).select_from(g.joined).where(*wanted).group_by(*place).having(enough)
    month, about = _month(session), g.joined.join(_CM, _CM.c.contribution_id == _C.c.id)
    of_month = sa.select(*place[:2], month, sa.func.count()).select_from(g.joined).where(*wanted).group_by(*place[:2], month).having(enough)
    of_model = sa.select(*place[:2], _CM.c.model, sa.func.count()).select_from(about).where(*wanted)
    of_model = of_model.group_by(*place[:2], _CM.c.model).having(enough)
    names = dict(session.execute(sa.select(Platform.id, Platform.name)).all())  # type: ignore[call-overload]
    listed = [[p, names[p], kind, language, n] for p, kind, language, n in session.execute(cells)]
    listed.sort(key=lambda cell: (cell[0], cell[2], cell[3] or ""))
    found = [list(row) for row in session.execute(groups)]
    none = sa.null()
    for by, joined in (((month, none), g.joined), ((none, _CM.c.model), about), ((month, _CM.c.model), about)):
        keys = [*place, *how, *(column for column in by if column is not none)]
        query = sa.select(*place, *how, sa.func.count(), *by).select_from(joined).where(*wanted).group_by(*keys).having(enough)
        found += [list(row) for row in session.execute(query)]
    return {
        "cells": listed, "groups": found, "months": sorted(list(row) for row in session.execute(of_month)),
        "models": sorted(list(row) for row in session.execute(of_model)),
    }  # fmt: skip


def _month(session: Session) -> Any:
    """YYYY-MM (UTC) that a record was made in, in the words of the database."""
    seconds = selection.made_at // 1_000_000
    if session.get_bind().dialect.name == "sqlite":
        return sa.func.strftime(sa.literal_column("'%Y-%m'"), seconds, sa.literal_column("'unixepoch'"))
    at = sa.func.timezone(sa.literal_column("'UTC'"), sa.func.to_timestamp(seconds))
    return sa.func.to_char(at, sa.literal_column("'YYYY-MM'"))


@dataclass(frozen=True)
class Quote:
    """How many records a use would get, how many each relaxation would add, and how many dry runs are left today."""

    day: date
    records: int
    relaxations: list[tuple[str, str, int]]
    left: int


def quote(runtime: Runtime, lab: Lab, asked: dict[str, Any], chosen: dict[str, Any], seen: Snapshot, *, now: datetime) -> Quote:
    """Note a dry run, and then count a use and its relaxations in a snapshot: nobody who writes waits for the counting. `chosen` is a
    selection of a request.

    Exclusions that people made of a lab or a purpose are not in the snapshot: an offer can hold fewer. Raises Invalid (use_invalid,
    policy_unknown_term) or TooMany (dry_runs_spent).
    """
    use = service.parse(asked)
    with write(runtime.engine) as session:
        left = _spend(session, lab, use, chosen, now)
    matching = _most(group for group in seen.groups if _matches(group, chosen))
    book: PolicyBook = runtime.parts["policies"]
    stored = book.by_ids({policy for group in matching for policy in group.policies})
    facts = verdicts.facts_of(lab)
    records = _count(matching, stored, use, facts, now.date())
    relaxed = []
    for member, value, other in relaxations(use, stored.values(), facts.seat):
        more = _count(matching, stored, other, facts, now.date()) - records
        if more >= _FEWEST:
            relaxed.append((member, value, more))
    return Quote(seen.day, records, sorted(relaxed, key=lambda r: (-r[2], r[0], r[1])), left)


def _spend(session: Session, lab: Lab, use: Use, chosen: dict[str, Any], now: datetime) -> int:
    """Note a dry run; gives how many are left today."""
    session.exec(for_update(select(Lab.id).where(Lab.id == lab.id), session)).one()
    day = now.date()
    spent = session.exec(select(sa.func.count()).select_from(DryRun).where(DryRun.lab_id == lab.id, DryRun.day == day)).one()
    if spent >= DRY_RUNS:
        midnight = datetime.combine(day + timedelta(days=1), time(), now.tzinfo)
        raise TooMany("dry_runs_spent", "Ask again tomorrow, or make a request.", retry_after=int((midnight - now).total_seconds()) + 1)
    body = {"use": use.to_json(), "selection": chosen}
    session.add(DryRun(lab_id=lab.id, day=day, number=spent + 1, asked_sha256=sha256_hex(canonical(body)), asked=body, at=now))
    session.flush()
    return DRY_RUNS - spent - 1


def _matches(group: Group, chosen: dict[str, Any]) -> bool:
    asked = (("platforms", group.platform), ("kinds", group.kind), ("languages", group.language))
    if not all(chosen.get(name) is None or value in chosen[name] for name, value in asked):
        return False
    timed, about = any(chosen.get(name) for name in ("from", "to")), chosen.get("models")
    if (timed, about is not None) != (group.month is not None, group.model is not None):
        return False
    return (about is None or group.model in about) and (group.month is None or _whole_month(group.month, chosen))


def _whole_month(month: str, chosen: dict[str, Any]) -> bool:
    """Whether all of a month lies in the days asked for. Counts by the day would tell when somebody did something."""
    first = date.fromisoformat(f"{month}-01")
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return (chosen.get("from") or month) <= first.isoformat() and last.isoformat() <= (chosen.get("to") or "9999")


def _most(groups: Iterable[Group]) -> list[Group]:
    """Of the groups of several models the largest: one record may be about more than one of them, and would count twice."""
    best: dict[Group, Group] = {}
    for group in groups:
        same = group._replace(model=None, records=0)
        if same not in best or best[same].records < group.records:
            best[same] = group
    return list(best.values())


def _count(groups: list[Group], stored: dict[int, StoredPolicy], use: Use, facts: LabFacts, day: date) -> int:
    """Records that the use surely gets: every layer permits it to records of whatever age."""
    found = {i: verdict(policy.compiled, use, facts, day) for i, policy in stored.items()}
    count = 0
    for group in groups:
        layers = [found[i] for i in group.policies]
        if not basis_allows(group.basis, use.actions) or (any(v.person for v in layers) and group.attested_by != "person"):
            continue
        parts = words.ALL_PARTS
        for layer in layers:
            for step in layer.steps:
                parts &= step.parts
        count += group.records if parts & words.OWN_PARTS else 0
    return count


def relaxations(use: Use, policies: Collection[StoredPolicy], seat: str | None = None) -> Iterator[tuple[str, str, Use]]:
    """(member, what it would be, the use then): one thing less asked, one more promised, or one stated as the policies have it, since what
    is not stated satisfies none of them. `seat` is the lab's."""
    for action in sorted(use.actions):
        if len(use.actions) > 1:
            yield "actions", f"without {action}", use.model_copy(update={"actions": use.actions - {action}})
    for purpose in sorted(use.purposes):
        if len(use.purposes) > 1:
            yield "purposes", f"without {purpose}", use.model_copy(update={"purposes": use.purposes - {purpose}})
    for purpose in () if use.purposes else _named("purpose", policies, _WIDEST):
        yield "purposes", f"with {purpose}", use.model_copy(update={"purposes": frozenset({purpose})})
    owed = {duty["kind"] for policy in policies for duty in policy.compiled.duties}
    missing = sorted(owed - use.accepts)
    for some in [*([kind] for kind in missing), *([missing] if len(missing) > 1 else [])]:
        yield "accepts", "with " + ", ".join(some), use.model_copy(update={"accepts": use.accepts.union(some)})
    for openness in sorted(words.MODEL_OPENNESS):
        if openness != use.model_openness:
            yield "model_openness", openness, use.model_copy(update={"model_openness": openness})
    for days in _SHORTER:
        if use.retention_days is None or use.retention_days > days:
            yield "retention_days", str(days), use.model_copy(update={"retention_days": days})
    for member, operand in _PLACES:
        for place in _named(operand, policies, (seat,) if seat else ()):
            if place != getattr(use, member):
                yield member, place, use.model_copy(update={member: place})
    if use.ethics_review is None and any(rule.source.region.reviewed for policy in policies for rule in policy.compiled.rules):
        yield "ethics_review", "stated", use.model_copy(update={"ethics_review": _SOME_APPROVAL})


def _named(operand: str, policies: Iterable[StoredPolicy], elsewhere: Iterable[str]) -> list[str]:
    """The values that the most policies name in what they permit, sorted; where one forbids some values, those of `elsewhere` that it does not."""
    found: Counter[str] = Counter()
    for rule in (rule for policy in policies for rule in policy.compiled.rules):
        values = rule.source.region.allowed.get(operand)
        if values is not None and rule.forbids:
            found.update(value for value in elsewhere if not words.NARROWER[operand][value] & values)
        elif values is not None:
            found.update(words.widest(operand, values))
    return sorted(sorted(found, key=lambda value: (-found[value], value))[:_MOST_NAMED])
