"""Minority reports that others support: one alone stands for its author, and with enough of the electorate it is a collective one.

Whoever can file a report can support those of others, as long as that, and take it back; who works for the lab that was decided on does not
count, as with ballots. Who supports is told to nobody, and how many in steps. An author is not among the supporters of their own. When the time
is over it is settled for good what each report is, and who supported it stands in nothing but their own acts, sealed as all acts are.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import electorate, proposals, queries
from app.collectives.binding import upheld
from app.collectives.dissent_models import DissentText, MinorityReport, ObjectionWithdrawn, ReportSettled, ReportSupport
from app.collectives.models import CollectiveAct, Membership, Proposal
from app.collectives.service import Acting, acting, keep_act, proof
from app.core.ballots import is_collective
from app.core.electing import Tally
from app.kit.errors import Conflict, Forbidden, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.contributors import Person

COLLECTIVE, INDIVIDUAL, OPEN = "collective", "individual", "open"


class NotSupported(NotFound):
    """Somebody takes back a support that they have not given."""


@dataclass(frozen=True)
class Standing:
    """What a report is: its status as of now, how many support it in steps (None for an objection, which nobody supports), and whether that can
    still change."""

    status: str
    supporters: str | None
    open: bool = False


@dataclass(frozen=True)
class Told:
    """A minority report or an objection as it is told to a member: its words, none where they were erased; whether it stands, whether it is the
    reader's own and whether they support it, and what it is."""

    row: MinorityReport
    text: str | None
    upheld: bool
    own: bool
    standing: Standing
    supported: bool


@dataclass(frozen=True)
class _At:
    person: Person
    row: Proposal


def _enter(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, now: datetime) -> _At:
    """The proposal, held, to whose reports somebody of its electorate can give support or take it back. Raises NotFound, Gone (proposal_state)
    or Forbidden (not_elector)."""
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal, lock=True)
    proposals.outcome(session, row.id)
    proposals.dissent_open(row, now)
    if electorate.tag_of(session, runtime, row, mine.member) is None or queries.says_so(session, row, mine):
        raise Forbidden("not_elector", "Who was of the electorate, and does not work for the lab, can support a minority report.")
    return _At(person, row)


def support(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, report: str, *, now: datetime) -> str:
    """Support a minority report of another, once; gives the act, that of before where there is one.

    Raises NotFound, Gone (proposal_state), Forbidden (not_elector) or Conflict (own_report).
    """
    at = _enter(session, runtime, who, collective, proposal, now)
    words = _report(session, at.row, report)
    if words is None:
        raise NotFound("not_found", "Its author had the words erased; support is for what can be read.")
    if words.contributor_id == who.contributor:
        raise Conflict("own_report", "It stands for you already; ask others to support it.")
    kept = session.get(ReportSupport, (report, who.contributor))
    if kept is not None:
        return _act_at(session, kept.log_index)
    act, index = _append(session, runtime, who, at, report, "dissent.supported", now)
    session.add(ReportSupport(report_id=report, contributor_id=who.contributor, log_index=index))
    session.flush()
    return act


def take_back(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, report: str, *, now: datetime) -> str:
    """Support it no longer; gives the act. Raises NotFound (NotSupported too), Gone (proposal_state) or Forbidden (not_elector)."""
    at = _enter(session, runtime, who, collective, proposal, now)
    _report(session, at.row, report)
    kept = session.get(ReportSupport, (report, who.contributor))
    if kept is None:
        raise NotSupported("not_found", "You do not support it.")
    session.delete(kept)
    session.flush()
    return _append(session, runtime, who, at, report, "dissent.unsupported", now)[0]


def _report(session: Session, row: Proposal, report: str) -> DissentText | None:
    """The words of a minority report on the outcome, None where they were erased. Raises NotFound."""
    found = session.get(MinorityReport, report)
    if found is None or (found.proposal_id, found.kind) != (row.id, "report"):
        raise NotFound("not_found", "Look at the id; it must be of a minority report on this outcome.")
    return session.get(DissentText, report)


def _append(session: Session, runtime: Runtime, who: Acting, at: _At, report: str, kind: str, now: datetime) -> tuple[str, int]:
    act = random_id("act")
    body: dict[str, Any] = {"collective": at.row.collective_id, "proposal": at.row.id, "report": report}
    body |= proof(session, runtime, who, kind, body, now)
    index = log.append(session, [log.personal(kind, act, body, at.person.sealer, now)], now)
    return keep_act(session, who, at.row.collective_id, act, kind, index, now), index


def _act_at(session: Session, index: int) -> str:
    return session.exec(select(CollectiveAct.id).where(CollectiveAct.log_index == index)).one()


# -- what a report is ------------------------------------------------------------------------------------------------------
def told(session: Session, row: Proposal, who: Acting, only: str | None = None) -> list[Told]:
    """All that was said against a proposal in writing, in the order of the log, as it is told to a member; or one of it."""
    rows = queries.reports_of(session, row.id) if only is None else [session.get_one(MinorityReport, only)]
    meant = MinorityReport.proposal_id == row.id if only is None else MinorityReport.id == only
    texts = select(DissentText).join(MinorityReport, sa.and_(MinorityReport.id == DissentText.report_id)).where(meant)
    back = select(ObjectionWithdrawn.report_id).join(MinorityReport, sa.and_(MinorityReport.id == ObjectionWithdrawn.report_id)).where(meant)
    words = {one.report_id: one for one in session.exec(texts)}
    withdrawn, mine, found = set(session.exec(back)), supported_by(session, row, who), standing(session, row, rows)
    return [
        Told(
            row=one, text=None if said is None else said.text, upheld=one.id not in withdrawn,
            own=said is not None and said.contributor_id == who.contributor, standing=found[one.id], supported=one.id in mine,
        )
        for one in rows
        for said in (words.get(one.id),)
    ]  # fmt: skip


def standing(session: Session, row: Proposal, reports: Iterable[MinorityReport]) -> dict[str, Standing]:
    """report -> what it is now, of some of one proposal."""
    ids = [one.id for one in reports if one.kind == "report"]
    found = _settled(session, ids)
    waiting = [] if row.ballot_key is None else [one for one in ids if one not in found]
    counted = _supporters(session, row) if waiting else Counter()
    votes = _votes(session, row) if waiting else 0
    for one in waiting:
        found[one] = _standing(counted[one], votes, open=True)
    # An objection is one member's. So is what was reported before others could support it.
    return {one.id: found.get(one.id, Standing(INDIVIDUAL, None if one.kind != "report" else log.bucket(0))) for one in reports}


def supported_by(session: Session, row: Proposal, who: Acting) -> set[str]:
    """The reports on an outcome that somebody supports, for themselves."""
    mine = select(ReportSupport.report_id).join(MinorityReport, sa.and_(MinorityReport.id == ReportSupport.report_id))
    return set(session.exec(mine.where(MinorityReport.proposal_id == row.id, ReportSupport.contributor_id == who.contributor)))


def statuses(session: Session, digests: Sequence[str], outcomes: Iterable[str]) -> dict[str, str]:
    """digest -> `collective`, `individual`, or `open` while that can change, of dissent from these outcomes. What several wrote word by word is
    what the most supported of them is. It is told without a count: whoever asks every day would see single people come and go."""
    asked = set(digests)
    found = dict.fromkeys(digests, INDIVIDUAL)
    if not asked:
        return found
    query = select(MinorityReport.sha256, MinorityReport.kind, ReportSettled.status, Proposal.ballot_key)
    query = query.join(Proposal, sa.and_(Proposal.id == MinorityReport.proposal_id))
    query = query.outerjoin(ReportSettled, sa.and_(ReportSettled.report_id == MinorityReport.id))
    of = MinorityReport.proposal_id.in_(list(outcomes)), upheld()  # type: ignore[attr-defined]
    for digest, kind, status, key in session.exec(query.where(*of)):
        if digest not in asked or kind != "report":
            continue
        so_far = status or (INDIVIDUAL if key is None else OPEN)
        found[digest] = max(found[digest], so_far, key=_ORDER.index)
    return found


_ORDER = (INDIVIDUAL, OPEN, COLLECTIVE)


def any_collective(session: Session, outcomes: Iterable[str]) -> bool:
    """Whether a report on one of these outcomes was settled as a collective one."""
    query = select(ReportSettled.report_id).join(MinorityReport, sa.and_(MinorityReport.id == ReportSettled.report_id))
    query = query.where(MinorityReport.proposal_id.in_(list(outcomes)), ReportSettled.status == COLLECTIVE)  # type: ignore[attr-defined]
    return session.exec(query.limit(1)).first() is not None


def settle(session: Session, runtime: Runtime, row: Proposal, now: datetime) -> None:
    """The time for dissent is over: note for good what each report on an outcome whose row is held is, and keep no
    more who supported it."""
    reports = [one for one in queries.reports_of(session, row.id) if one.kind == "report"]
    if not reports:
        return
    found = standing(session, row, reports)
    session.add_all([ReportSettled(report_id=one, status=it.status, supporters=it.supporters or "", at=now) for one, it in found.items() if it.open])
    session.flush()
    session.execute(sa.delete(ReportSupport).where(ReportSupport.report_id.in_([one.id for one in reports])))  # type: ignore[attr-defined]
    if any(it.status == COLLECTIVE for it in found.values()):
        runtime.jobs.enqueue(session, "label", row.id, key="settled")


def forget(session: Session, contributor: str) -> None:
    """An erasure: what somebody supports and is not settled they support no longer."""
    session.execute(sa.delete(ReportSupport).where(ReportSupport.contributor_id == contributor))  # type: ignore[arg-type]


def _settled(session: Session, reports: list[str]) -> dict[str, Standing]:
    query = select(ReportSettled).where(ReportSettled.report_id.in_(reports))  # type: ignore[attr-defined]
    return {one.report_id: Standing(one.status, one.supporters) for one in session.exec(query)}


def _supporters(session: Session, row: Proposal) -> Counter[str]:
    """report -> how many support it, without who says by now that they work for the lab."""
    query = select(ReportSupport.report_id, ReportSupport.contributor_id)
    query = query.join(MinorityReport, sa.and_(MinorityReport.id == ReportSupport.report_id)).where(MinorityReport.proposal_id == row.id)
    members = queries.working_for_it(session, row)
    theirs = select(Membership.contributor_id).where(Membership.collective_id == row.collective_id, Membership.member.in_(members))  # type: ignore[attr-defined]
    affiliated = set(session.exec(theirs)) if members else set()
    return Counter(report for report, contributor in session.exec(query) if contributor not in affiliated)


def _votes(session: Session, row: Proposal) -> int:
    """The V of an outcome: how many said yes, no or block."""
    return Tally(**json.loads(bytes(proposals.outcome(session, row.id).body))["tally"]).votes


def _standing(supporters: int, votes: int, *, open: bool) -> Standing:
    return Standing(COLLECTIVE if is_collective(supporters, votes) else INDIVIDUAL, log.bucket(supporters), open)
