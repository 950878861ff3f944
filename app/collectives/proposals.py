"""Open a proposal and amend its text, until it is frozen. What moves it on from there is time: `voting.py`."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import electorate, queries
from app.collectives.models import Collective, DissentText, Membership, MinorityReport, OutcomeRow, Proposal
from app.collectives.schemas import ProposeIn
from app.collectives.service import Acting, acting, charter_bytes, keep_act
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.canonical import sha256_hex
from app.core.narrowing import narrows
from app.kit.db import Instant, for_update
from app.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

WORDS = 2_000
_TAKES = {"policy.adopt": {"policy"}, "policy.narrow": {"policy"}, "charter.amend": {"charter"}, "steward.remove": {"subject"}}


def propose(
    session: Session, runtime: Runtime, who: Acting, collective: str, given: ProposeIn, policy: StoredPolicy | None, *, now: datetime
) -> str:
    """Put a text to decision; gives the proposal's id. Any member with a voice can, and a steward.

    Raises NotFound, Forbidden (no_voice_yet) or Invalid (proposal_invalid, policy_not_narrower, charter_invalid).
    """
    person = acting(session, runtime, who)
    row, mine = queries.member(session, collective, who.contributor)
    queries.with_voice(mine, now)
    brought = {name for name in ("policy", "charter", "subject") if getattr(given, name) is not None}
    if brought != _TAKES[given.type]:
        raise Invalid("proposal_invalid", "Give what `takes` lists, and nothing else.", takes=sorted(_TAKES[given.type]))
    if given.type == "policy.narrow" and (policy is None or not is_narrower(runtime, row, policy)):
        raise Invalid("policy_not_narrower", "Propose it as policy.adopt, which asks for more votes.")
    if given.type == "steward.remove" and steward(session, collective, given.subject) is None:
        raise Invalid("proposal_invalid", "Give the pseudonym of a steward as `subject`.", takes=["subject"])
    charter = queries.charter(session, collective, row.charter_n)
    freeze = now + timedelta(days=charter["discussion_days"] * (2 if given.type in ("policy.adopt", "charter.amend") else 1))
    close = freeze + timedelta(days=charter["ballot_days"])
    proposal = Proposal(
        id=random_id("proposal"), collective_id=collective, type=given.type, author=mine.member, charter_n=row.charter_n, text=given.text,
        text_sha256=sha256_hex(given.text.encode()), policy_id=None if policy is None else policy.id,
        charter=None if given.charter is None else charter_bytes(given.charter), subject=given.subject, state="discussion", opened_at=now,
        freeze_at=freeze, close_at=close, appeal_until=close + timedelta(days=charter["appeal_days"]),
    )  # fmt: skip
    session.add(proposal)
    session.flush()
    runtime.jobs.enqueue(session, "deadline", proposal.id, key="freeze", delay=(freeze - now).total_seconds())
    body = {"collective": collective, "proposal": proposal.id, "type": given.type, "text_sha256": proposal.text_sha256}
    index = log.append(session, [log.personal("proposal.opened", proposal.id, body, person.sealer, now)], now)
    keep_act(session, who, collective, proposal.id, "proposal.opened", index, now)
    return proposal.id


def amend(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, text: str, *, now: datetime) -> str:
    """Replace the text, while it is discussed: its author alone. Raises NotFound, Forbidden (receipt_scope) or Conflict (proposal_state)."""
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who.contributor)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    if row.author != mine.member:
        raise Forbidden("receipt_scope", "Only its author changes a proposal; open another.")
    if row.state != "discussion" or row.freeze_at <= now:
        raise Conflict("proposal_state", "Its text is frozen; open another proposal.", state=row.state)
    row.text, row.text_sha256, row.rounds = text, sha256_hex(text.encode()), row.rounds + 1
    session.add(row)
    session.flush()
    body = {"collective": collective, "proposal": row.id, "text_sha256": row.text_sha256, "round": row.rounds}
    act = random_id("act")
    index = log.append(session, [log.personal("proposal.amended", act, body, person.sealer, now)], now)
    keep_act(session, who, collective, act, "proposal.amended", index, now)
    return row.id


def is_narrower(runtime: Runtime, row: Collective, policy: StoredPolicy) -> bool:
    """Whether a policy allows nothing that the one in force does not. What permits nothing needs to keep no obligation."""
    if not policy.terms.permission:
        return True
    book: PolicyBook = runtime.parts["policies"]
    return row.policy_id is not None and narrows(policy.terms, book.by_ids([row.policy_id])[row.policy_id].terms)


def steward(session: Session, collective: str, member: str | None) -> Membership | None:
    """A current steward by pseudonym, the row locked where the session writes."""
    query = select(Membership).where(Membership.collective_id == collective, Membership.member == member)
    return session.exec(for_update(query.where(Membership.steward, Membership.left_at == None), session)).first()  # type: ignore[arg-type]


def page(session: Session, collective: str, after: str | None, limit: int) -> tuple[list[Proposal], str | None]:
    """Proposals, the newest first, and where the next page begins."""
    query = select(Proposal).where(Proposal.collective_id == collective)
    if after is not None:
        last = session.get_one(Proposal, after)
        before = sa.tuple_(sa.literal(last.opened_at, Instant()), sa.literal(last.id))
        query = query.where(sa.tuple_(Proposal.opened_at, Proposal.id) < before)  # type: ignore[arg-type]
    rows = list(session.exec(query.order_by(sa.desc(Proposal.opened_at), sa.desc(Proposal.id)).limit(limit)))  # type: ignore[arg-type]
    return rows, rows[-1].id if len(rows) == limit else None


def outcome(session: Session, proposal: str) -> OutcomeRow:
    """Raises NotFound (not_found) while there is none."""
    row = session.get(OutcomeRow, proposal)
    if row is None:
        raise NotFound("not_found", "There is no outcome yet.")
    return row


def dissent(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, text: str, *, now: datetime) -> str:
    """File a minority report on an outcome, while its appeal runs: any member who was of the electorate, alone. Gives its id.

    Raises NotFound, Forbidden (not_elector), Gone (proposal_state) or Invalid (report_too_long).
    """
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who.contributor)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    outcome(session, row.id)
    if len(text.split()) > WORDS:
        raise Invalid("report_too_long", f"Keep it to {WORDS} words.")
    if row.appeal_until <= now or row.ballot_key is None:
        raise Gone("proposal_state", "The time for dissent is over.", state=row.state)
    if electorate.tag_of(session, runtime, row, mine.member) is None:
        raise Forbidden("not_elector", "Who was of the electorate can dissent from an outcome.")
    digest = sha256_hex(text.encode())
    report = MinorityReport(id=random_id("minority_report"), proposal_id=row.id, sha256=digest, log_index=-1, at=now)
    body = {"collective": collective, "proposal": row.id, "report": report.id, "text_sha256": digest}
    report.log_index = log.append(session, [log.personal("dissent.filed", report.id, body, person.sealer, now)], now)
    session.add(report)
    session.flush()
    session.add(DissentText(report_id=report.id, contributor_id=who.contributor, text=text))
    keep_act(session, who, collective, report.id, "dissent.filed", report.log_index, now)
    return report.id


def words_of(session: Session, digests: list[str]) -> dict[str, str]:
    """Digest -> words of minority reports, where they are still there."""
    query = select(MinorityReport.sha256, DissentText.text).join(DissentText, sa.and_(DissentText.report_id == MinorityReport.id))  # type: ignore[arg-type]
    return dict(session.exec(query.where(MinorityReport.sha256.in_(digests))).all())  # type: ignore[attr-defined]


def reports(session: Session, outcomes: Any) -> list[str]:
    """The digests of the minority reports on these outcomes, sorted, each once."""
    query = select(MinorityReport.sha256).where(MinorityReport.proposal_id.in_(list(outcomes)))  # type: ignore[attr-defined]
    return sorted(set(session.exec(query)))
