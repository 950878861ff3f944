"""Labels of releases: what is to be said of one after its manifest was signed. Each is a leaf of its own, and stays.

`contested` where a decision of a collective that its records rest on was, or was made void since, or where its closure note is appealed, or a
strike is against its lab or use (computed, and never typed; it is lifted once that is decided, or over), `dissent` where somebody filed a
minority report on one, `collective-dissent` where enough others supported one (once that is settled), `objection` where somebody who gave a
record in it had objected before the cut. They are added by a job that the cut, the report and the end of its time queue, so that none waits
for another. An objection labels no release of before it: a label that follows a person's act by a second would tell which release they are in.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import selection
from app.agreements import service as agreements
from app.agreements.models import Agreement
from app.agreements.models import Use as UseRow
from app.collectives import closing, proposals, strikes, supporting
from app.collectives.models import Campaign, OutcomeRow, Proposal, Strike
from app.contributions.models import Contribution, Objection
from app.contributions.objections import statement_place
from app.kit.background import each
from app.kit.db import for_update, read, write
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors
from app.releases.models import LabelTurn, Release, ReleaseItem, ReleaseLabel, ReleaseOutcome, Shard

_C, _O = Contribution.__table__, Objection.__table__  # type: ignore[attr-defined]
_ITEM, _SHARD = ReleaseItem.__table__, Shard.__table__  # type: ignore[attr-defined]
LATELY = timedelta(days=30)


def relabel(runtime: Runtime, outcome: str) -> None:
    """The job: see that every published release that rests on a collective's outcome has the labels which follow from all its outcomes, and
    that `contested` is lifted where it was for an appeal that is decided. Of a strike, or a campaign that was reached, every release to whom
    or for what it is against that rests on any outcome: `contested` begins with it and ends where it does."""
    with write(runtime.engine) as session:
        against = session.get(Strike, outcome) or session.get(Campaign, outcome)
        if against is not None:
            resting = _resting(session, against.lab_id, against.purpose)
        elif session.get(OutcomeRow, outcome) is not None:
            resting = sa.select(ReleaseOutcome.release_id).where(ReleaseOutcome.outcome == outcome)  # type: ignore[call-overload]
        else:
            return  # a policy of the founding: nobody decided, and nobody could dissent
        releases = session.exec(for_update(select(Release).where(Release.id.in_(resting)).order_by(Release.id), session)).all()  # type: ignore[attr-defined]
        outcomes: dict[str, list[str]] = defaultdict(list)
        both = select(ReleaseOutcome.release_id, ReleaseOutcome.outcome).where(ReleaseOutcome.release_id.in_(resting))  # type: ignore[attr-defined]
        for one, rested_on in session.exec(both.order_by(ReleaseOutcome.outcome)):
            outcomes[one].append(rested_on)
        # Many releases rest on the same few outcomes.
        now = runtime.clock.now()
        against_it = strikes.executed(session, now)
        of: dict[tuple[tuple[str, ...], str], tuple[str, ...]] = {}
        for one in releases:
            key = tuple(outcomes[one.id]), one.agreement_id
            if key not in of:
                said_of = of_outcomes(session, key[0], struck(session, session.get_one(Agreement, key[1]), key[0], against_it))
                of[key] = (*said_of, *(["collective-dissent"] if supporting.any_collective(session, key[0]) else []))
        said = labels_of(session, resting)
        turns: list[tuple[str, str, bool, bool]] = []
        for release in releases:
            codes = of[tuple(outcomes[release.id]), release.agreement_id]
            there = {one.code: one.lifted_at is None for one in said[release.id]}
            for code in ("contested", "dissent", "collective-dissent"):
                if (code in codes) != there.get(code, False):
                    turns.append((release.id, code, code in codes, code in there))
        if not turns:
            return
        leaves = [log.institutional("label.added" if holds else "label.lifted", one, {"label": code}, now) for one, code, holds, _ in turns]
        first = log.append(session, leaves, now)
        session.add_all(
            [
                LabelTurn(release_id=release, code=code, log_index=first + n, lifted=not holds, at=now)
                if again
                else ReleaseLabel(release_id=release, code=code, log_index=first + n, at=now)
                for n, (release, code, holds, again) in enumerate(turns)
            ]
        )


def of_outcomes(session: Session, outcomes: Iterable[str], stricken: bool) -> tuple[str, ...]:
    """What is to be said now of a record that rests on these outcomes: `contested`, `dissent`, both or neither. `stricken` where
    a strike is against the lab, or the use, that it is released for."""
    asked = list(outcomes)
    decided = session.exec(select(OutcomeRow.contested).where(OutcomeRow.proposal_id.in_(asked))).all()  # type: ignore[attr-defined]
    is_contested = any(decided) or (stricken and bool(decided)) or bool(closing.appealed(session, asked) or closing.voided(session, asked))
    holds = {"contested": is_contested, "dissent": bool(proposals.reports(session, asked))}
    return tuple(code for code, found in holds.items() if found)


def struck(session: Session, agreement: Agreement, outcomes: Iterable[str], against: Iterable[strikes.Executed]) -> bool:
    """Whether people act together against an agreement's lab or use: of a collective whose decision is relied on, or of a public one."""
    decided_by = set(session.exec(select(Proposal.collective_id).where(Proposal.id.in_(list(outcomes)))))  # type: ignore[attr-defined]
    counted = [one for one in against if one.counts_for(decided_by)]
    return any(one.lab == agreement.lab_id if one.purpose is None else agreements.touches(session, agreement, one.purpose) for one in counted)


def _resting(session: Session, lab: str | None, purpose: str | None) -> Any:
    """A select of the releases to a lab, or for a purpose, that rest on a decision."""
    meant = sa.select(Agreement.id)  # type: ignore[call-overload]
    if purpose is None:
        meant = meant.where(Agreement.lab_id == lab)
    else:
        signed = session.exec(select(UseRow).where(UseRow.id.in_(select(Agreement.use_id)))).all()  # type: ignore[union-attr]
        uses = [row.id for row in signed if selection.touches(purpose, agreements.parse(row.body["use"]))]
        meant = meant.where(Agreement.use_id.in_(uses))  # type: ignore[attr-defined]
    decided = sa.select(ReleaseOutcome.release_id).where(ReleaseOutcome.outcome.in_(sa.select(OutcomeRow.proposal_id)))  # type: ignore[call-overload,attr-defined]
    return sa.select(Release.id).where(Release.agreement_id.in_(meant), Release.id.in_(decided))  # type: ignore[call-overload,attr-defined]


def take_up_forgotten(runtime: Runtime, now: datetime) -> None:
    """A chore: label again what strikes that run, or that were over lately, and campaigns that were reached lately, or last, are against, should a
    job have been given up, or a version before this one have queued none."""
    since = now - LATELY
    with read(runtime.engine) as session:
        over = sa.or_(Strike.ended_at == None, Strike.ended_at > since)  # type: ignore[arg-type,operator]
        found = list(session.exec(select(Strike.id).where(over).order_by(Strike.id)))
        lately = sa.or_(Campaign.deadline > since, Campaign.until > since)  # type: ignore[arg-type,operator]
        reached = select(Campaign.id).where(Campaign.state == "reached", lately)
        found += session.exec(reached.order_by(Campaign.id)).all()  # type: ignore[arg-type]
    each(found, partial(relabel, runtime))


@dataclass(frozen=True)
class Said:
    """A label of a release, when it was last added, and where it holds no more since when."""

    code: str
    log_index: int
    at: datetime
    lifted_index: int | None = None
    lifted_at: datetime | None = None


def labels(session: Session, release: str) -> list[Said]:
    """A release's labels, lifted ones too, in the order of the log."""
    return labels_of(session, [release])[release]


def labels_of(session: Session, releases: Any) -> dict[str, list[Said]]:
    """release (a list of ids, or a select of them) -> its labels, lifted ones too, in the order of the log; of one without any, an empty list."""
    added = select(ReleaseLabel).where(ReleaseLabel.release_id.in_(releases))  # type: ignore[attr-defined]
    found = {(row.release_id, row.code): Said(row.code, row.log_index, row.at) for row in session.exec(added)}
    turns = select(LabelTurn).where(LabelTurn.release_id.in_(releases)).order_by(LabelTurn.log_index)  # type: ignore[attr-defined,arg-type]
    for row in session.exec(turns):
        before = found[row.release_id, row.code]
        lifted = Said(row.code, before.log_index, before.at, row.log_index, row.at)
        found[row.release_id, row.code] = lifted if row.lifted else Said(row.code, row.log_index, row.at)
    of: dict[str, list[Said]] = defaultdict(list)
    for (release, _), said in sorted(found.items(), key=lambda one: one[1].log_index):
        of[release].append(said)
    return of


# -- objections --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Beside:
    """What somebody says of a record in a release, beside it; `record_id` is 32 bytes. Where in the log it was said is left out: the
    number is the same under every agreement, and would join record ids that nothing else joins."""

    record_id: bytes
    statement: str
    language: str


def anybody_objects(session: Session) -> bool:
    """Whether there is any objection that could go along. Cheap: a cut asks it under the head lock."""
    return session.execute(sa.select(_O.c.id).where(_O.c.withdrawn_at.is_(None)).limit(1)).first() is not None


def label_objections(runtime: Runtime, release: str) -> None:
    """The job: the label `objection`, once, on a published release that holds a record which somebody objected about before the cut."""
    with read(runtime.engine) as session:
        row = session.get(Release, release)
        if row is None or row.log_index is None:
            return
        # From the objections, which are few, to the items, which are many.
        held = sa.exists().where(_ITEM.c.release_id == release, _ITEM.c.contribution_id == _O.c.contribution_id, _ITEM.c.parts > 0)
        standing = sa.and_(_O.c.withdrawn_at.is_(None), _O.c.log_index < row.log_index)
        if session.execute(sa.select(_O.c.id).where(standing, held).limit(1)).first() is None:
            return
    with write(runtime.engine) as session:
        session.execute(for_update(sa.select(Release.id).where(Release.id == release), session))  # type: ignore[call-overload]
        if session.get(ReleaseLabel, (release, "objection")) is not None:
            return
        now = runtime.clock.now()
        index = log.append(session, [log.institutional("label.added", release, {"label": "objection"}, now)], now)
        session.add(ReleaseLabel(release_id=release, code="objection", log_index=index, at=now))


def objections(session: Session, runtime: Runtime, release: Release, after: bytes | None, limit: int) -> tuple[list[Beside], bytes | None]:
    """What goes along with a published release now, by record id after `after`, `limit` looked at; and where to go on.

    What was withdrawn since, or is about a record in a shard that is gone, is not there any more.
    """
    joined = _ITEM.join(_O, _O.c.contribution_id == _ITEM.c.contribution_id).join(_C, _C.c.id == _O.c.contribution_id)
    holds = sa.and_(_ITEM.c.release_id == release.id, _ITEM.c.parts > 0, _O.c.withdrawn_at.is_(None), _C.c.state == "live")
    columns = (_ITEM.c.record_id, _O.c.id, _O.c.contributor_id, _O.c.statement, _O.c.language)
    query = sa.select(*columns).select_from(joined).where(holds, _O.c.log_index < release.log_index)
    live = sa.exists().where(_SHARD.c.release_id == _ITEM.c.release_id, _SHARD.c.shard == _ITEM.c.shard, _SHARD.c.state == "live")
    query = query.where(live).order_by(_ITEM.c.record_id).limit(limit)
    rows = session.execute(query if after is None else query.where(_ITEM.c.record_id > after)).all()
    people = contributors.load(session.connection(), runtime.keys, {row.contributor_id for row in rows})
    found = [
        Beside(
            bytes(row.record_id), people[row.contributor_id].sealer.open(bytes(row.statement), statement_place(row.id)).decode(),
            row.language,
        )
        for row in rows
        if row.contributor_id in people
    ]  # fmt: skip
    return found, bytes(rows[-1].record_id) if len(rows) == limit else None
