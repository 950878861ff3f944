"""Which contributions are governed by what: the one join that requests and cuts share.

base = the contribution's own consent, else the standing one; effective = base AND standing (if any) AND every collective that the
person mandated over it AND floor (if any).
Each layer's policy is decided alone, once for each use; here its verdict is only joined, in the stretch of the record's age.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements.models import AGED, AgreementPolicy, Verdict
from app.agreements.verdicts import current
from app.collectives import binding
from app.consents.models import Consent, Exclusion, PlatformFloor
from app.contributions.models import Contribution, ContributionModel
from app.core import vocabulary as words
from app.core.evaluation import Use, basis_allows
from app.kit.clock import micros

_C = Contribution.__table__  # type: ignore[attr-defined]
_CM = ContributionModel.__table__  # type: ignore[attr-defined]
_X = Exclusion.__table__  # type: ignore[attr-defined]
_CONSENT = Consent.__table__.alias("diverted")  # type: ignore[attr-defined]
_V = Verdict.__table__  # type: ignore[attr-defined]
_DAY = 86_400_000_000
_AP = AgreementPolicy.__table__  # type: ignore[attr-defined]

made_at: Any = sa.type_coerce(sa.func.coalesce(_C.c.created_at, _C.c.recorded_at), sa.BigInteger)
"""When a record was made, in microseconds since 1970: as its platform says, or else when it was recorded."""


class Present(NamedTuple):
    """What there is at all, in the whole database: joins that can find nothing are left out of the query.

    Looked up after a cut has noted its `as_of`. What comes later leaves a narrowing, and is then looked at with every join.
    """

    standing: bool = True
    floors: bool = True
    exclusions: bool = True
    ages: bool = True
    mandates: bool = True
    limited: bool = True
    outgrown: bool = True
    refusals: bool = True
    deciding: bool = True
    strikes: bool = True


EVERYTHING = Present()


def present(session: Session, use_id: int, now: datetime) -> Present:
    """What is to be joined for a use now, by ten short looks."""
    consent, floor = Consent.__table__, PlatformFloor.__table__  # type: ignore[attr-defined]
    looks = (
        sa.select(consent.c.id).where(consent.c.state == "current", consent.c.contribution_id.is_(None)),
        sa.select(floor.c.platform_id),
        sa.select(_X.c.id),
        sa.select(_V.c.policy_id).where(_V.c.use_id == use_id, sa.text(f"({AGED})")),
        binding.some_mandate(limited=False),
        binding.some_mandate(limited=True),
        binding.some_outgrown(),
        binding.some_refusal(),
        binding.some_deciding(),
        binding.some_strike(now),
    )
    return Present(*(session.execute(look.limit(1)).first() is not None for look in looks))


class Governed:
    """Contributions joined with the consents and the floor that govern them; build once a query. `bounds` are what the mandated
    collectives say."""

    def __init__(self, there: Present = EVERYTHING, bounds: binding.Bounds | None = None) -> None:
        consent = Consent.__table__  # type: ignore[attr-defined]
        floor = PlatformFloor.__table__  # type: ignore[attr-defined]
        self.own = consent.alias("own")
        self.standing = consent.alias("standing") if there.standing else None
        self.floor = floor.alias("floor") if there.floors else None
        mine = sa.and_(self.own.c.contribution_id == _C.c.id, self.own.c.state == "current")
        self.joined: Any = _C.join(self.own, mine) if self.standing is None else _C.outerjoin(self.own, mine)
        if self.standing is not None:
            self.joined = self.joined.outerjoin(
                self.standing,
                sa.and_(
                    self.standing.c.contributor_id == _C.c.contributor_id, self.standing.c.contribution_id.is_(None),
                    self.standing.c.state == "current",
                ),
            )  # fmt: skip
        if self.floor is not None:
            self.joined = self.joined.outerjoin(self.floor, self.floor.c.platform_id == _C.c.platform_id)
        if bounds is not None:
            self.joined = bounds.join(self.joined)
        self.base_policy = self._base("policy_id")
        self.basis = self._base("basis")
        self.attested_by = self._base("attested_by")

    def _base(self, name: str) -> Any:
        own = self.own.c[name]
        return own if self.standing is None else sa.func.coalesce(own, self.standing.c[name])

    def layers(self) -> tuple[Any, Any, Any]:
        """Policy ids of base, standing and floor; the last two null where there is none."""
        none = sa.null()
        standing = none if self.standing is None else self.standing.c.policy_id
        return self.base_policy, standing, none if self.floor is None else self.floor.c.policy_id


def governing(selection: dict[str, Any], now: datetime, recorded_until: datetime | None) -> Any:
    """A select of the ids of the policies that govern what a selection matches, in any layer."""
    g = Governed()
    conditions = matching(selection, now, recorded_until)
    own = (sa.select(p).select_from(g.joined).where(*conditions, p.is_not(None)) for p in g.layers())
    return sa.union(*own, binding.policies())


def matching(selection: dict[str, Any], now: datetime, recorded_until: datetime | None) -> list[Any]:
    """Conditions on the record itself: live, past its hold window, of the selection."""
    conditions = [_C.c.state == "live", _C.c.releasable_from <= now]
    if recorded_until is not None:
        conditions.append(_C.c.recorded_at <= recorded_until)
    for field, column in (("platforms", _C.c.platform_id), ("kinds", _C.c.kind), ("languages", _C.c.language)):
        if selection.get(field) is not None:
            conditions.append(column.in_(selection[field]))
    if selection.get("models") is not None:
        about = sa.select(_CM.c.contribution_id).where(_CM.c.model.in_(selection["models"]))
        conditions.append(_C.c.id.in_(about))
    if selection.get("from") is not None:
        conditions.append(made_at >= _midnight(date.fromisoformat(selection["from"])))
    if selection.get("to") is not None:
        conditions.append(made_at < _midnight(date.fromisoformat(selection["to"])) + _DAY)
    return conditions


def _midnight(day: date) -> Any:
    return sa.literal(micros(datetime.combine(day, time(), UTC)), sa.BigInteger)


def is_of(session: Session, selection: dict[str, Any], row: Contribution) -> bool:
    """`matching` of one record at hand, but for its state and hold: whether a selection could ever hold it."""
    asked = (("platforms", row.platform_id), ("kinds", row.kind), ("languages", row.language))
    if not all(selection.get(name) is None or value in selection[name] for name, value in asked):
        return False
    made = (row.created_at or row.recorded_at).date().isoformat()
    if not (selection.get("from") or made) <= made <= (selection.get("to") or made):
        return False
    if selection.get("models") is None:
        return True
    query = sa.select(_CM.c.model).where(_CM.c.contribution_id == row.id, _CM.c.model.in_(selection["models"]))
    return session.execute(query.limit(1)).first() is not None


def not_taken_back(lab: str, use: Use, now: datetime) -> Any:
    """No exclusion by the person of this lab, or of a purpose that the use touches (or could, where it states none), that counts now and
    for a record of its day."""
    touched = _touched(use)
    mine = sa.or_(_X.c.contribution_id == _C.c.id, sa.and_(_X.c.contribution_id.is_(None), _X.c.contributor_id == _C.c.contributor_id))
    counts = sa.and_(sa.or_(_X.c.since.is_(None), _C.c.recorded_at >= _X.c.since), sa.or_(_X.c.until.is_(None), _X.c.until > now))
    given = sa.exists().where(_CONSENT.c.id == _X.c.consent_id, _CONSENT.c.state == "current")
    lasts = sa.or_(_X.c.consent_id.is_(None), given)
    return ~sa.exists().where(mine, counts, lasts, sa.or_(_X.c.lab_id == lab, _X.c.purpose.in_(touched), _X.c.only_lab_id != lab))


def not_struck(lab: str, use: Use, now: datetime) -> Any:
    """No strike, of a collective that the author is a member of, against this lab or a purpose that the use touches."""
    return binding.not_struck(lab, _touched(use), now)


def _touched(use: Use) -> list[str]:
    return sorted(p for p in words.PURPOSES if touches(p, use))


def basis_suffices(governed: Governed, use: Use) -> Any:
    """The basis allows the actions at all (DESIGN: only an explicit act can permit more than evaluation)."""
    return governed.basis.in_([b for b in words.BASES if basis_allows(b, use.actions)] or ["-"])


def eligible(
    use_id: int, use: Use, lab: str, selection: dict[str, Any], now: datetime, recorded_until: datetime | None,
    agreement: str | None, there: Present = EVERYTHING, dissent: Sequence[str] = (),
) -> Any:  # fmt: skip
    """A select of (id, contributor_id, platform_id, kind, parts, base, standing, floor, basis, attested_by, in_terms, reply, bound).
    `reply` says whether the record has a parent; `bound` is what `binding.split` reads, empty where no collective is mandated.

    Every row is permitted by every layer now, for a record of its age. `in_terms` says whether all its policies stand in the
    agreement's signed offer, and the digests of all minority reports on what its collectives decided among the offer's `dissent`.
    Verdicts that are missing, of another day or of an older evaluator permit nothing.
    """
    signed = sa.select(_AP.c.policy_id).where(_AP.c.agreement_id == agreement)
    bounds = None
    if there.mandates or there.limited:
        def verdict(name: str) -> tuple[Any, Any]:
            v = _V.alias(name)
            return v, decided(v, use_id, now, there)

        bounds = binding.Bounds(
            now.date(), whole=there.mandates, limited=there.limited, by_record=there.ages, outgrown=there.outgrown, verdict=verdict,
            signed=None if agreement is None else (signed, dissent), asking=(lab, use_id) if there.deciding else None,
        )  # fmt: skip
    g = Governed(there, bounds)
    base, standing, floor = g.layers()
    vb = _V.alias("vb")
    joined = g.joined.join(vb, sa.and_(vb.c.policy_id == base, decided(vb, use_id, now, there), vb.c.permit))
    parts, person = vb.c.parts.op("&")(_C.c.parts), vb.c.person
    conditions = [*matching(selection, now, recorded_until), basis_suffices(g, use)]
    in_terms: Any = sa.true() if agreement is None else base.in_(signed)
    for name, policy, is_there in (("vs", standing, there.standing), ("vf", floor, there.floors)):
        if is_there:
            v = _V.alias(name)
            joined = joined.outerjoin(v, sa.and_(v.c.policy_id == policy, decided(v, use_id, now, there)))
            conditions.append(sa.or_(policy.is_(None), v.c.permit))
            parts = parts.op("&")(sa.func.coalesce(v.c.parts, words.ALL_PARTS))
            person = sa.or_(person, sa.func.coalesce(v.c.person, sa.false()))
            if agreement is not None:
                in_terms = sa.and_(in_terms, sa.or_(policy.is_(None), policy.in_(signed)))
    if bounds is not None:
        conditions += bounds.holds
        for mask in bounds.parts:
            parts = parts.op("&")(mask)
        person = sa.or_(person, *bounds.by_person)
        if agreement is not None:
            in_terms = sa.and_(in_terms, *bounds.in_terms)
    if there.refusals:
        conditions.append(binding.not_refused(lab))
    if there.strikes:
        conditions.append(not_struck(lab, use, now))
    if there.exclusions:
        conditions.append(not_taken_back(lab, use, now))
    conditions += [parts.op("&")(words.OWN_PARTS) != 0, sa.or_(~person, g.attested_by == "person")]
    return (
        sa.select(
            _C.c.id, _C.c.contributor_id, _C.c.platform_id, _C.c.kind, parts.label("parts"), base.label("base"), standing.label("standing"),
            floor.label("floor"), g.basis.label("basis"), g.attested_by.label("attested_by"), in_terms.label("in_terms"),
            _C.c.parent_id.is_not(None).label("reply"), (sa.literal("") if bounds is None else bounds.policies).label("bound"),
        )
        .select_from(joined)
        .where(*conditions)
    )  # fmt: skip


def decided(table: Any, use_id: int, now: datetime, there: Present) -> Any:
    """The verdict of today, in the stretch that the record's age lies in.

    A record is n days old from the nth midnight UTC after the day it was recorded on, whatever the hour: ages are by day, as
    all that a policy says of time.
    """
    if not there.ages:
        return current(table, use_id, now.date())
    given = sa.type_coerce(_C.c.recorded_at, sa.BigInteger)
    midnight = sa.literal(micros(datetime.combine(now.date(), time(), UTC)) + _DAY, sa.BigInteger)
    day = sa.literal(_DAY, sa.BigInteger)
    return sa.and_(
        current(table, use_id, now.date()), given < midnight - table.c.min_age * day, given >= midnight - table.c.max_age * day
    )


def age_of(recorded_at: datetime, now: datetime) -> int:
    """Days since a record was given, as the selection counts them."""
    return (now.date() - recorded_at.date()).days


def touches(purpose: str, use: Use) -> bool:
    """Whether a use has to do with a purpose, as an exclusion of it counts: a use that states none could be for any."""
    return not use.purposes or _related(purpose, use.purposes)


def _related(purpose: str, asked: Iterable[str]) -> bool:
    down = words.NARROWER["purpose"]
    return any(purpose in down[a] or a in down[purpose] for a in asked)


