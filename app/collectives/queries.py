"""Reads that the collectives' services share."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives.binding import upheld
from app.collectives.dissent_models import DissentText, MinorityReport, ObjectionAnswered
from app.collectives.models import (
    Campaign,
    CharterVersion,
    Collective,
    CollectiveAct,
    Mandate,
    Membership,
    PastInterest,
    Proposal,
    Strike,
)
from app.core import vocabulary as words
from app.core.electing import AS_HARD, TYPES, held
from app.crypto.keyring import keyed_hash
from app.kit.db import for_update
from app.kit.errors import Forbidden, Invalid, NotFound
from app.kit.ids import PREFIXES, encode
from app.kit.runtime import Runtime
from app.parties.models import Lab, Receipt

Of = TypeVar("Of", Proposal, Campaign)
FEWEST = 10
"""Below so many electors an outcome is shown to members alone: its counts would speak of somebody."""
GROUP_LOCK = timedelta(days=7)
"""How long before a ballot a declared group must have stood to count in it; and how long it still tells that one works for a lab."""
MONTH = timedelta(days=30)
_CONSENT_LIFE = timedelta(days=180)
_UNKNOWN = "Look at the id; it must be of a collective that you belong to, or a public one."


@dataclass(frozen=True)
class Acting:
    """Who acts, or reads: a contributor, and the one contribution that their receipt is limited to, if it is."""

    contributor: str
    contribution: str | None

    @classmethod
    def of(cls, receipt: Receipt) -> "Acting":
        return cls(receipt.contributor_id, receipt.contribution_id)

    @property
    def whole(self) -> "Acting":
        """The same person, whatever receipt they came with."""
        return Acting(self.contributor, None)


def theirs(who: Acting) -> Any:
    """That a membership is one which their receipt opens: a receipt for everything all of the person's, one for a single thing those that
    were joined with it. So whoever opens an unused link of the platform's, which is for one thing, learns of no group and acts in none."""
    columns = Membership.__table__.c  # type: ignore[attr-defined]
    mine = columns.contributor_id == who.contributor
    return mine if who.contribution is None else mine & (columns.contribution_id == who.contribution)


def pseudonym(runtime: Runtime, collective: str, contributor: str) -> str:
    """How a member is called in one collective: the same whenever they come back, another in every other collective."""
    key = runtime.keys.derive(f"member/{collective}")
    return f"{PREFIXES['member']}_{encode(keyed_hash(key, contributor)[:16])}"


def invitation(runtime: Runtime, collective: str) -> str:
    """What lets somebody join a collective that is not public. Its id is no secret: it stands in the log."""
    return "inv_" + encode(keyed_hash(runtime.keys.derive("invitation"), collective)[:16])


def collective_of(session: Session, collective: str, *, lock: bool = False) -> Collective:
    """Raises NotFound (not_found)."""
    query = select(Collective).where(Collective.id == collective)
    row = session.exec((for_update(query, session) if lock else query).execution_options(populate_existing=lock)).first()
    if row is None:
        raise NotFound("not_found", _UNKNOWN)
    return row


def membership_of(session: Session, collective: str, who: Acting, *, lock: bool = False) -> Membership | None:
    """The current membership that a receipt opens (`theirs`)."""
    query = select(Membership).where(Membership.collective_id == collective, theirs(who), Membership.left_at == None)
    return session.exec((for_update(query, session) if lock else query).execution_options(populate_existing=lock)).first()


def member(session: Session, collective: str, who: Acting, *, lock: bool = False) -> tuple[Collective, Membership]:
    """Collective and own membership. Raises NotFound (not_found): to who is no member it is not there."""
    row, mine = collective_of(session, collective), membership_of(session, collective, who, lock=lock)
    if mine is None:
        raise NotFound("not_found", _UNKNOWN)
    return row, mine


def groups_of(session: Session, who: Acting) -> list[tuple[Collective, Membership]]:
    """The collectives that somebody belongs to, as far as their receipt opens them (`theirs`), in the order of joining."""
    query = select(Collective, Membership).join(Membership, sa.and_(Membership.collective_id == Collective.id))
    query = query.where(theirs(who), Membership.left_at == None)
    return list(session.exec(query.order_by(Membership.joined_at, Membership.id)))  # type: ignore[arg-type]


def readable(session: Session, collective: str, who: Acting | None) -> Collective:
    """A collective that is public, or that they are a member of. Raises NotFound (not_found)."""
    row = collective_of(session, collective)
    if not row.listed and (who is None or membership_of(session, collective, who) is None):
        raise NotFound("not_found", _UNKNOWN)
    return row


def charter(session: Session, collective: str, n: int) -> dict[str, Any]:
    """A charter as it was adopted."""
    found: dict[str, Any] = json.loads(session.get_one(CharterVersion, (collective, n)).body)
    return found


def proposal(session: Session, collective: str, proposal_id: str, *, lock: bool = False) -> Proposal:
    """Raises NotFound (not_found)."""
    return one_of(session, Proposal, collective, proposal_id, lock=lock)


def one_of(session: Session, kind: type[Of], collective: str, id_: str, *, lock: bool = False) -> Of:
    """A proposal or campaign of the collective. Raises NotFound (not_found)."""
    query = select(kind).where(kind.id == id_, kind.collective_id == collective)
    row = session.exec((for_update(query, session) if lock else query).execution_options(populate_existing=lock)).first()
    if row is None:
        raise NotFound("not_found", f"Look at the {kind.__name__.lower()}'s id.")
    return row


def in_office(mine: Membership | None, now: datetime) -> bool:
    """Whether somebody is a steward whose term is not over, also where no job has ended it yet."""
    return mine is not None and mine.steward and (mine.steward_until is None or mine.steward_until > now)


def stewards(now: datetime) -> Any:
    """The condition that a membership is that of a steward in office."""
    columns = Membership.__table__.c  # type: ignore[attr-defined]
    return columns.steward & columns.left_at.is_(None) & (columns.steward_until.is_(None) | (columns.steward_until > now))


def has_voice(mine: Membership | None, now: datetime) -> bool:
    """Whether somebody can speak and vote: a member past their first days, or a steward."""
    return mine is not None and (in_office(mine, now) or mine.voice_from <= now)


def with_voice(mine: Membership, now: datetime) -> None:
    """Raises Forbidden (no_voice_yet)."""
    if not has_voice(mine, now):
        raise Forbidden("no_voice_yet", "Wait until the day in `voice_from`; reading and mandates need no voice.")


def check_target(session: Session, lab: str | None, purpose: str | None, code: str) -> None:
    """What a strike or a campaign is against: a lab or a purpose that there is, and not both. Raises Invalid (`code`, policy_unknown_term)."""
    if (lab is None) == (purpose is None):
        raise Invalid(code, "Name a `lab` or a `purpose` that it is against.")
    if lab is not None and session.get(Lab, lab) is None:
        raise Invalid(code, "Look at the lab's id.")
    if purpose is not None and purpose not in words.PURPOSES:
        raise Invalid("policy_unknown_term", "Use a purpose listed in `known`.", known=sorted(words.PURPOSES))


def rules_of(charter: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """A charter's rules for a type of decision, those of default where it was adopted before there was that type. A renewal takes what the
    grant takes, whatever an older charter has written out for it: else the second yes would be had for less than the first. So does a grant by
    a charter of before the least that grants take (`held`)."""
    kind = AS_HARD.get(kind, kind)
    found: list[dict[str, Any]] = charter["decisions"].get(kind, TYPES.get(kind))
    return held(kind, found)


def life(charter: dict[str, Any], kind: str) -> timedelta:
    """How long what is decided holds before it is to be decided anew: as the charter says, and by consent for half a year at the most."""
    found = timedelta(days=charter["review_days"])
    by_consent = any(rule["rule"] == "consent" for rule in rules_of(charter, kind))
    return min(found, _CONSENT_LIFE) if by_consent else found


def planned_freeze(charter: dict[str, Any], kind: str, opened_at: datetime, urgent_hours: int | None = None) -> datetime:
    """When the text of a proposal is to be frozen, unless it is put off: what binds longer is discussed twice as long."""
    if urgent_hours is not None:
        return opened_at + timedelta(hours=urgent_hours)
    return opened_at + timedelta(days=charter["discussion_days"] * (2 if kind in ("policy.adopt", "charter.amend") else 1))


def planned(charter: dict[str, Any], row: Proposal) -> datetime:
    """When the text of this proposal is to be frozen, unless it is put off: as planned, or as a steward moved it."""
    return planned_freeze(charter, row.type, row.opened_at, row.urgent_hours) + timedelta(days=row.moved_days)


def begun(session: Session, collective: str, now: datetime, *, requests: bool = False) -> int:
    """How many ballots began in the last thirty days, which the charter limits (`load`); those on labs' requests only where asked for."""
    query = sa.select(sa.func.count()).select_from(Proposal).where(
        Proposal.collective_id == collective, Proposal.opened_index != None, Proposal.freeze_at > now - MONTH  # type: ignore[arg-type]
    )  # fmt: skip
    return int(session.execute(query if requests else query.where(Proposal.request_id == None)).scalar_one())  # type: ignore[arg-type]


def voices(session: Session, row: Proposal, charter: dict[str, Any], now: datetime) -> list[tuple[str, str | None]]:
    """Who has a voice in a proposal now, by pseudonym, each with the declared group that counts, if any. Nobody decides on whom they
    work for, and the end of a strike is decided by those who have been in it from its call."""
    values = [] if charter["dimension"] is None else charter["dimension"]["values"]
    query = select(Membership).where(
        Membership.collective_id == row.collective_id, Membership.left_at == None, Membership.voice_from <= now, Membership.joined_at < now
    )
    if row.type == "strike.end" and (struck := session.get(Strike, json.loads(row.strike or b"{}")["id"])) is not None:
        # Where all of those have left, who is bound by it now decides: else nobody could end it.
        took_part = select(Membership.id).where(
            Membership.collective_id == row.collective_id, Membership.left_at == None, Membership.joined_at <= struck.since
        )
        if session.exec(took_part.limit(1)).first() is not None:
            query = query.where(Membership.joined_at <= struck.since)
    found, employed = [], working_for_it(session, row)
    for one in session.exec(query):
        if one.member in employed:
            continue
        locked = one.declared_at is not None and one.declared_at <= now - GROUP_LOCK
        found.append((one.member, one.declared if locked and one.declared in values else None))
    return found


def about_a_lab(row: Proposal) -> bool:
    """Whether who works for its `subject` has no vote on a proposal."""
    return row.type.startswith(("licence.", "strike.", "effect.", "outcome."))


def working_for_it(session: Session, row: Proposal) -> set[str]:
    """The members, by pseudonym, who say that they work for the lab which a proposal is about."""
    if not about_a_lab(row) or row.subject is None:
        return set()
    return set(session.exec(select(Membership.member).where(Membership.collective_id == row.collective_id, _says_so(row))))


def says_so(session: Session, row: Proposal, mine: Membership) -> bool:
    """Whether somebody says in a collective that they work for whom a proposal is about."""
    theirs = select(Membership.id).where(Membership.collective_id == mine.collective_id, Membership.member == mine.member)
    return row.subject is not None and session.exec(theirs.where(_says_so(row))).first() is not None


def _says_so(row: Proposal) -> Any:
    """That by a membership they work for whom a proposal is about. What was taken back, and what was said in a membership that ended, holds for
    what was put up before, and for a week: so long a declared group is locked too. Else one could take it back, vote and say it again."""
    columns, past, since = Membership.__table__.c, PastInterest.__table__.c, row.opened_at - GROUP_LOCK  # type: ignore[attr-defined]
    still = (columns.interest == row.subject) & (columns.left_at.is_(None) | (columns.left_at > since))
    before = (past.membership_id == columns.id) & (past.lab_id == row.subject) & (past.until > since)
    return still | sa.exists().where(before)


def mandates_of(session: Session, membership: Membership, *, current: bool = False) -> list[Mandate]:
    """A member's mandates, oldest first."""
    query = select(Mandate).where(Mandate.membership_id == membership.id)
    if current:
        query = query.where(Mandate.ended_at == None)
    return list(session.exec(query.order_by(Mandate.id)))


def acts_of(contributor: str) -> Any:
    """A select of the subjects of leaves that were sealed for a contributor as a member of collectives."""
    return sa.select(CollectiveAct.id).where(CollectiveAct.contributor_id == contributor)  # type: ignore[call-overload]


def members(session: Session, collective: str) -> int:
    """How many are members now; shown in buckets alone."""
    query = sa.select(sa.func.count()).select_from(Membership).where(Membership.collective_id == collective, Membership.left_at == None)  # type: ignore[arg-type]
    return int(session.execute(query).scalar_one())


def standing_objections(session: Session, proposal: str) -> list[str]:
    """The digests of the objections to a proposal that are upheld, in the order of the log."""
    query = select(MinorityReport.sha256).where(MinorityReport.proposal_id == proposal, MinorityReport.kind == "objection", upheld())
    return list(session.exec(query.order_by(MinorityReport.log_index)))  # type: ignore[arg-type]


def unanswered(session: Session, runtime: Runtime, row: Proposal, own: Collection[str | None]) -> list[str]:
    """The objections that stand and were filed since the text was last changed, by anybody but these (`own`: who changes it, by pseudonym). Of
    whoever was erased nobody can tell whose it was."""
    query = select(MinorityReport.id, DissentText.contributor_id).join(DissentText, sa.and_(DissentText.report_id == MinorityReport.id))  # type: ignore[arg-type]
    query = query.where(MinorityReport.proposal_id == row.id, MinorityReport.kind == "objection", upheld())
    found = session.exec(query.where(MinorityReport.log_index >= row.amended_index)).all()
    return [one for one, who in found if pseudonym(runtime, row.collective_id, who) not in own]


def answered(session: Session, row: Proposal) -> list[list[str]]:
    """For each round of amendments the digests of the objections that it answered and that are upheld still, in the order of the log."""
    beside = sa.and_(MinorityReport.id == ObjectionAnswered.report_id)  # type: ignore[arg-type]
    query = select(ObjectionAnswered.round, MinorityReport.sha256).join(MinorityReport, beside)
    query = query.where(MinorityReport.proposal_id == row.id, upheld()).order_by(MinorityReport.log_index)  # type: ignore[arg-type]
    by: dict[int, list[str]] = {}
    for n, digest in session.exec(query):
        by.setdefault(n, []).append(digest)
    return [by.get(n, []) for n in range(1, row.rounds + 1)]


def reports_of(session: Session, proposal: str) -> list[MinorityReport]:
    """The minority reports on an outcome, in the order of the log."""
    query = select(MinorityReport).where(MinorityReport.proposal_id == proposal)
    return list(session.exec(query.order_by(MinorityReport.log_index)))  # type: ignore[arg-type]
