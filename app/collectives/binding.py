"""What collectives have to say of a record, as subqueries that the selection joins.

Every mandated collective must permit; one without a policy in force, and a mandate past its day, permit nothing. Where a collective has
another policy than the one that a mandate was given for, both must permit. A mandate that its member ended says nothing any more.
Several collectives of one record are folded together here: parts by AND, bit by bit, because SQLite has no such aggregate; and who must
have attested, by the strictest.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from app.collectives.dissent_models import MinorityReport, ObjectionWithdrawn
from app.collectives.models import (
    Collective,
    CollectivePolicy,
    LabRefusal,
    LabUse,
    Mandate,
    Membership,
    Proposal,
    Strike,
)
from app.contributions.models import Contribution
from app.core import vocabulary as words

_C = Contribution.__table__  # type: ignore[attr-defined]
_M = Mandate.__table__  # type: ignore[attr-defined]
_B = Membership.__table__  # type: ignore[attr-defined]
_L = LabRefusal.__table__  # type: ignore[attr-defined]
_W = ObjectionWithdrawn.__table__  # type: ignore[attr-defined]
_R = MinorityReport.__table__  # type: ignore[attr-defined]
_U = LabUse.__table__  # type: ignore[attr-defined]
_P = Proposal.__table__  # type: ignore[attr-defined]
_S = Strike.__table__  # type: ignore[attr-defined]
_K = Collective.__table__  # type: ignore[attr-defined]
_H = CollectivePolicy.__table__  # type: ignore[attr-defined]
CURRENT = _M.c.ended_at.is_(None)
Verdicts = Callable[[str], tuple[Any, Any]]


def covers() -> Any:
    """The condition that a current mandate covers a contribution."""
    return sa.and_(CURRENT, reaches())


def reaches() -> Any:
    """The condition that a mandate, current or not, is over a contribution."""
    return sa.and_(
        _M.c.contributor_id == _C.c.contributor_id, sa.or_(_M.c.contribution_id.is_(None), _M.c.contribution_id == _C.c.id),
        sa.or_(_M.c.kinds.is_(None), _M.c.kinds.contains(sa.literal(",") + _C.c.kind + ",")),
    )  # fmt: skip


def in_force(today: date) -> Any:
    """The condition that mandate and policy hold on a day."""
    return sa.and_(_M.c.expires_on > today, _K.c.policy_id.is_not(None), _K.c.policy_until > today)


def outgrown() -> Any:
    """The condition that a collective has another policy than the one that a mandate was given for."""
    return _M.c.policy_id != sa.func.coalesce(_K.c.policy_id, 0)


class Bounds:
    """What the mandated collectives say of each record, as outer joins of a query over contributions and expressions of it.

    Mandates over all that a person gave are folded once a person, those over some of it once a record; where verdicts differ by the age
    of a record (`by_record`) all are. Without `verdict` (gives an alias of that table by its name, and its condition) it is only looked at
    whether policies are in force. `signed`: a select of policy ids and the digests of the offer that all policies and all dissent must be among.
    `asking`: the lab and the use; given, a collective that decides on requests itself must have granted that. `outgrown`: no collective
    ever had another policy where it is false.
    """

    def __init__(
        self, today: date, *, whole: bool = True, limited: bool = True, by_record: bool = False, outgrown: bool = True,
        verdict: Verdicts | None = None, signed: tuple[Any, Sequence[str]] | None = None, asking: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        more = (today, verdict, signed, asking, outgrown)
        self._parts = []
        limits = sa.or_(_M.c.contribution_id.is_not(None), _M.c.kinds.is_not(None))
        if whole and not by_record:
            self._parts.append((_folded(_M.c.contributor_id, _M, ~limits, "bound_whole", *more), _C.c.contributor_id))
        if limited or (whole and by_record):
            which = sa.true() if by_record else limits
            self._parts.append((_folded(_C.c.id, _M.join(_C, covers()), which, "bound_some", *more), _C.c.id))

    def join(self, joined: Any) -> Any:
        """`joined` with what is said of each record."""
        for found, column in self._parts:
            joined = joined.outerjoin(found, found.c.id == column)
        return joined

    @property
    def holds(self) -> list[Any]:
        """Conditions: each collective has a policy in force, and with verdicts permits."""
        return [sa.func.coalesce(found.c.holds, 1) == 1 for found, _ in self._parts]

    @property
    def told(self) -> Any:
        """1 where all collectives chose to be public."""
        return self._least("told")

    @property
    def held(self) -> Any:
        """1 where `holds`, to be grouped by."""
        return self._least("holds")

    @property
    def in_terms(self) -> list[Any]:
        """Conditions: policies and dissent are signed for."""
        return [sa.func.coalesce(found.c.in_terms, 1) == 1 for found, _ in self._parts]

    @property
    def by_person(self) -> list[Any]:
        """Conditions that make an attestation by the person necessary."""
        return [sa.func.coalesce(found.c.person, 0) == 1 for found, _ in self._parts]

    @property
    def parts(self) -> list[Any]:
        """Masks of parts that are permitted."""
        return [sa.func.coalesce(found.c.parts, words.ALL_PARTS) for found, _ in self._parts]

    @property
    def policies(self) -> Any:
        """What `split` reads: `policy:outcome` of each, a comma between; empty where no collective is mandated."""
        listed = [sa.func.coalesce(found.c.policies, "") for found, _ in self._parts]
        return listed[0] if len(listed) == 1 else listed[0] + "," + listed[1]

    def _least(self, name: str) -> Any:
        each = [sa.func.coalesce(found.c[name], 1) for found, _ in self._parts]
        return each[0] if len(each) == 1 else sa.case((each[0] < each[1], each[0]), else_=each[1])


def _folded(
    key: Any, mandates: Any, which: Any, name: str, today: date, verdict: Verdicts | None, signed: tuple[Any, Sequence[str]] | None,
    asking: tuple[str, int] | None, outgrowing: bool,
) -> Any:  # fmt: skip
    """A row for each `key`, its collectives folded together."""
    joined = mandates.join(_K, _K.c.id == _M.c.collective_id)
    holds = in_force(today)
    each = sa.cast(_K.c.policy_id, sa.Text) + ":" + _K.c.policy_outcome
    grants: Any = None
    if asking is not None:
        grants = _grants(asking, today, signed)
        joined = joined.outerjoin(grants, grants.c.id == _K.c.id)
        holds = sa.and_(holds, sa.or_(~_K.c.decides, grants.c.id.is_not(None)))
        each = sa.case((grants.c.id.is_not(None), each + "," + grants.c.policies), else_=each)
    if outgrowing:
        then = sa.cast(_M.c.policy_id, sa.Text) + ":" + _K.c.policy_outcome
        each = sa.case((outgrown(), each + "," + then), else_=each)
    columns = [
        key.label("id"), sa.func.min(sa.case((_K.c.listed, 1), else_=0)).label("told"),
        sa.func.aggregate_strings(each, ",").label("policies"),
    ]  # fmt: skip
    if verdict is not None:
        now, decided = verdict(name + "_now")
        joined = joined.outerjoin(now, sa.and_(now.c.policy_id == _K.c.policy_id, decided))
        holds = sa.and_(holds, sa.func.coalesce(now.c.permit, sa.false()))
        permitted, person = sa.func.coalesce(now.c.parts, 0), sa.func.coalesce(now.c.person, sa.false())
        if outgrowing:
            then, decided = verdict(name + "_then")
            joined = joined.outerjoin(then, sa.and_(then.c.policy_id == _M.c.policy_id, outgrown(), decided))
            same = sa.not_(sa.func.coalesce(outgrown(), sa.false()))
            holds = sa.and_(holds, sa.or_(same, sa.func.coalesce(then.c.permit, sa.false())))
            permitted = permitted.op("&")(sa.case((same, words.ALL_PARTS), else_=sa.func.coalesce(then.c.parts, 0)))
            person = sa.or_(person, sa.func.coalesce(then.c.person, sa.false()))
        bits = [sa.func.min(permitted.op("&")(bit)) for bit in words.PART_BITS.values()]
        parts = bits[0]
        for bit in bits[1:]:
            parts = parts + bit
        in_terms: Any = sa.literal(1)
        if signed is not None:
            said = ~_more(_K.c.policy_outcome, signed[1])
            said = said if grants is None else sa.and_(said, sa.func.coalesce(grants.c.more, 0) == 0)
            if outgrowing:
                said = sa.and_(said, sa.or_(same, _M.c.policy_id.in_(signed[0])))
            in_terms = sa.case((sa.and_(_K.c.policy_id.in_(signed[0]), said), 1), else_=0)
        columns += [
            parts.label("parts"), sa.func.max(sa.case((person, 1), else_=0)).label("person"), sa.func.min(in_terms).label("in_terms"),
        ]  # fmt: skip
    columns.append(sa.func.min(sa.case((holds, 1), else_=0)).label("holds"))
    return sa.select(*columns).select_from(joined).where(CURRENT, which).group_by(key).subquery(name)


def _more(outcome: Any, digests: Sequence[str]) -> Any:
    """The condition that there is dissent from an outcome that is not among these digests."""
    return sa.exists().where(_R.c.proposal_id == outcome, upheld(), _R.c.sha256.not_in(list(digests)))


def _grants(asking: tuple[str, int], today: date, signed: tuple[Any, Sequence[str]] | None) -> Any:
    """A row for each collective that granted a lab a use which holds on a day. What it rests on is the first yes and every renewal:
    `policies` has them all, and `more` is 1 where there is dissent from one that is not signed for."""
    lab, use = asking
    rests = sa.or_(_P.c.id == _U.c.proposal_id, sa.and_(_P.c.about == _U.c.proposal_id, _P.c.type == "licence.renew", _P.c.state == "in_force"))
    table = _U.join(_K, _K.c.id == _U.c.collective_id).join(_P, sa.and_(_P.c.collective_id == _U.c.collective_id, rests))
    columns = [_U.c.collective_id.label("id"), sa.func.aggregate_strings(sa.cast(_K.c.policy_id, sa.Text) + ":" + _P.c.id, ",").label("policies")]
    if signed is not None:
        columns.append(sa.func.max(sa.case((_more(_P.c.id, signed[1]), 1), else_=0)).label("more"))
    holds = (_U.c.lab_id == lab, _U.c.use_id == use, _U.c.outcome.is_not(None), _U.c.until > today)
    return sa.select(*columns).select_from(table).where(*holds).group_by(_U.c.collective_id).subquery()


def granted(asking: tuple[str, int], today: date) -> Any:
    """The condition that a collective granted a lab a use, and that it holds on a day."""
    lab, use = asking
    return sa.and_(_U.c.collective_id == _K.c.id, _U.c.lab_id == lab, _U.c.use_id == use, _U.c.outcome.is_not(None), _U.c.until > today)


def deciding(lab: str, use: int, policies: Iterable[int], matching: Sequence[Any], today: date, fewest: int) -> Any:
    """A select of the collectives that decide on requests themselves, have not granted this one, and whose policy (one of `policies`)
    governs what at least `fewest` people gave, on one platform, of what matches."""
    query = sa.select(_K.c.id).select_from(_M.join(_C, covers()).join(_K, _K.c.id == _M.c.collective_id))
    query = query.outerjoin(_U, granted((lab, use), today)).where(_K.c.decides, _U.c.outcome.is_(None), in_force(today), not_refused(lab))
    query = query.where(_K.c.policy_id.in_(list(policies)), *matching)
    # Counted by platform: a sum over chosen ones would tell how few there are on the smallest.
    enough = query.group_by(_K.c.id, _C.c.platform_id).having(sa.func.count(sa.distinct(_C.c.contributor_id)) >= fewest).subquery()
    return sa.select(enough.c.id).distinct().order_by(enough.c.id)


def some_deciding() -> Any:
    """A select that finds something where any collective decides on requests itself."""
    return sa.select(_K.c.id).where(_K.c.decides)


def some_mandate(*, limited: bool) -> Any:
    """A select that finds something where a mandate is current: over some of what a person gave (`limited`), or over all of it."""
    limits = sa.or_(_M.c.contribution_id.is_not(None), _M.c.kinds.is_not(None))
    return sa.select(_M.c.id).where(CURRENT, limits if limited else ~limits)


def some_outgrown() -> Any:
    """A select that finds something where any collective ever had another policy: few rows, where mandates are many."""
    return sa.select(_H.c.id).join(_K, _K.c.id == _H.c.collective_id).where(_H.c.policy_id != sa.func.coalesce(_K.c.policy_id, 0))


def policies(contributions: Iterable[str] | None = None) -> Any:
    """A select of the policy ids of collectives and those that mandates were given for: of all, or of those over these contributions."""
    if contributions is None:
        had = sa.union(sa.select(_H.c.policy_id), sa.select(_K.c.policy_id).where(_K.c.policy_id.is_not(None))).subquery()
        return sa.select(had.c.policy_id)
    over = _M.join(_C, covers()).join(_K, _K.c.id == _M.c.collective_id)
    each = (sa.select(p).select_from(over).where(_C.c.id.in_(contributions), p.is_not(None)) for p in (_K.c.policy_id, _M.c.policy_id))
    return sa.union(*each)


def policies_over(contribution: str, today: date) -> Any:
    """A select of the policy of each collective that is mandated over a contribution, null where mandate or policy is past its day, and of
    what else mandates were given for."""
    policy = sa.case((in_force(today), _K.c.policy_id), else_=sa.null())
    over = _M.join(_C, covers()).join(_K, _K.c.id == _M.c.collective_id)
    then = sa.select(_M.c.policy_id).select_from(over).where(_C.c.id == contribution, outgrown())
    return sa.select(policy).select_from(over).where(_C.c.id == contribution).union(then)


def split(found: str | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """`policies` of a row as (policy ids, outcomes relied on), each once and in order."""
    pairs = [one.split(":", 1) for one in (found or "").split(",") if one]
    return tuple(sorted({int(policy) for policy, _ in pairs})), tuple(sorted({outcome for _, outcome in pairs}))


def concerned(collectives: Any) -> Any:
    """The condition that one of these collectives (a select of ids) has a say over a contribution: by mandate, or by membership."""
    by_mandate = sa.exists().where(covers(), _M.c.collective_id.in_(collectives))
    return sa.or_(by_mandate, sa.exists().where(_is_members(), _B.c.collective_id.in_(collectives)))


def upheld() -> Any:
    """The condition on a row of dissent that its author did not withdraw it."""
    return _R.c.id.not_in(sa.select(_W.c.report_id))


def _is_members() -> Any:
    return sa.and_(
        _B.c.left_at.is_(None), _B.c.contributor_id == _C.c.contributor_id,
        sa.or_(_B.c.contribution_id.is_(None), _B.c.contribution_id == _C.c.id),
    )  # fmt: skip


def not_refused(lab: str) -> Any:
    """The condition that no collective which the record's author is a member of refuses the lab."""
    return ~sa.exists().select_from(_B.join(_L, _L.c.collective_id == _B.c.collective_id)).where(_is_members(), _L.c.lab_id == lab)


def refusing(lab: str) -> Any:
    """A select of the collectives by whose refusal or strike a lab may get nothing of whoever joins them."""
    striking = sa.select(_S.c.collective_id).where(_S.c.ended_at.is_(None))
    return sa.select(_L.c.collective_id).where(_L.c.lab_id == lab).union_all(striking)


def some_refusal() -> Any:
    """A select that finds something where any lab is refused."""
    return sa.select(_L.c.lab_id)


def not_struck(lab: str, purposes: list[str], now: datetime) -> Any:
    """The condition that no collective which the record's author is a member of strikes against the lab, or any of the purposes."""
    counts = sa.and_(
        _S.c.ended_at.is_(None), sa.or_(_S.c.until.is_(None), _S.c.until > now), sa.or_(_S.c.lab_id == lab, _S.c.purpose.in_(purposes)),
        sa.or_(_S.c.kind != "refuse_new", _C.c.recorded_at >= _S.c.since),
    )  # fmt: skip
    return ~sa.exists().select_from(_B.join(_S, _S.c.collective_id == _B.c.collective_id)).where(_is_members(), counts)


def some_strike(now: datetime) -> Any:
    """A select that finds something where any strike runs."""
    return sa.select(_S.c.id).where(_S.c.ended_at.is_(None), sa.or_(_S.c.until.is_(None), _S.c.until > now))


def mandated(collective: str, today: date) -> Any:
    """A select of the contributions that a collective is mandated over on a day."""
    current = (_M.c.collective_id == collective, _M.c.expires_on > today, _C.c.state == "live")
    return sa.select(_C.c.id).select_from(_M.join(_C, covers())).where(*current).distinct()
