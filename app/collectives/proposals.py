"""Open a proposal and amend its text, until it is frozen. What moves it on from there is time: `voting.py`."""

import json
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import (
    deliberating,
    electorate,
    licensing,
    petitioning,
    queries,
    reviewing,
    strikes,
    terms,
    voiding,
)
from app.collectives.binding import upheld
from app.collectives.dissent_models import DissentText, MinorityReport, ObjectionAnswered, ObjectionWithdrawn
from app.collectives.models import Collective, LabRefusal, Membership, OutcomeRow, Proposal
from app.collectives.schemas import CharterIn, ProposeIn
from app.collectives.service import Acting, acting, charter_bytes, keep_act, proof
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.canonical import canonical, sha256_hex
from app.core.narrowing import narrows
from app.kit.db import Instant, for_update
from app.kit.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry
from app.parties.contributors import Person
from app.parties.models import Lab

WORDS = 2_000
DISSENTS = 3
"""Objections of one member that stand on one proposal at once; and as many minority reports on its outcome."""
_RENEWED = timedelta(days=90)
"""So long before a steward's term ends they can be elected anew."""
URGENT = ("strike.call", "licence.recall")
TAKES = {
    "policy.adopt": {"policy"}, "policy.narrow": {"policy"}, "charter.amend": {"charter"}, "steward.elect": {"subject"},
    "steward.remove": {"subject"}, "licence.grant": {"subject"}, "licence.recall": {"subject"}, "strike.call": {"strike"}, "strike.end": {"subject"},
    "effect.dispute": {"measured"}, "licence.renew": {"subject"}, "outcome.void": {"subject", "ballots"},
}  # fmt: skip


def propose(
    session: Session, runtime: Runtime, who: Acting, collective: str, given: ProposeIn, policy: StoredPolicy | None, *, now: datetime
) -> str:
    """Put a text to decision; gives the proposal's id. Any member with a voice can, and a steward.

    Raises NotFound, Forbidden (no_voice_yet), TooMany (load_spent) or Invalid (proposal_invalid, policy_not_narrower, charter_invalid, recounter_key,
    strike_invalid, not_urgent, person_named) or Conflict (charter_overdue, renewal_late, outcome_final).
    """
    person = acting(session, runtime, who)
    row, mine = queries.member(session, collective, who, lock=True)
    queries.with_voice(mine, now)
    brought = {name for name in ("policy", "charter", "subject", "strike", "measured", "ballots") if getattr(given, name) is not None}
    if brought != TAKES[given.type]:
        raise Invalid("proposal_invalid", "Give what `takes` lists, and nothing else.", takes=sorted(TAKES[given.type]))
    reviewing.must_be_done(session, row, given.type, now)
    new_charter = brings(runtime, row, given.type, policy, given.charter)
    if given.type == "steward.remove" and steward(session, collective, given.subject, now, lock=False) is None:
        raise Invalid("proposal_invalid", "Give the pseudonym of a steward as `subject`.", takes=["subject"])
    meant = current(session, collective, given.subject, lock=False) if given.type == "steward.elect" else None
    if given.type == "steward.elect" and (meant is None or _long_in_office(meant, now)):
        raise Invalid("proposal_invalid", "As `subject`, give the pseudonym of a member who is no steward, or not for long.", takes=["subject"])
    vacant = given.type == "steward.elect" and not terms.in_office(session, collective, now)
    if given.urgent_hours is not None and given.type not in URGENT and not vacant:
        raise Invalid("not_urgent", "Leave `urgent_hours` out; the charter's days hold.", urgent=[*URGENT, "steward.elect"])
    recalled = licensing.granted_by(session, collective, given.subject, now.date()) if given.type == "licence.recall" else None
    if given.type in ("licence.grant", "licence.recall") and recalled is None and not _about_a_lab(session, collective, given.type, given.subject):
        raise Invalid(
            "proposal_invalid", "As `subject`, give a lab's id: to be refused, or one that is; to recall one use, the proposal that granted it.",
            takes=["subject"],
        )  # fmt: skip
    disputed = None if given.measured is None else _lab_reporting(session, row, given.measured.report)
    charter = queries.charter(session, collective, row.charter_n)
    deliberating.may_ask(session, who, collective, charter, now)
    urgent = None if given.urgent_hours is None else timedelta(hours=given.urgent_hours)
    freeze = queries.planned_freeze(charter, given.type, now, given.urgent_hours)
    close = freeze + (urgent or timedelta(days=charter["ballot_days"]))
    strike, subject, about, appeal_until = None, given.subject, None, close + timedelta(days=charter["appeal_days"])
    if given.strike is not None:
        strike, subject = strikes.terms_of(session, collective, given.strike, close, now), given.strike.lab
    elif given.type == "strike.end":
        strike = strikes.to_end(session, collective, given.subject, now)
        subject = strikes.read_terms(strike)["lab"]
    elif given.type == "licence.renew":
        renewed = licensing.to_renew(session, collective, given.subject, appeal_until, now)
        about, subject = renewed.proposal_id, renewed.lab_id
    elif recalled is not None:
        about, subject = recalled.proposal_id, recalled.lab_id
    elif given.ballots is not None:
        voiding.names_nobody(session, collective, given.text)
        target = voiding.to_void(session, collective, given.subject, given.ballots, now)
        about, subject = target.id, target.subject
    text_sha256 = sha256_hex(given.text.encode())
    measured = None if given.measured is None else canonical(given.measured.model_dump(by_alias=True))
    said = {
        "collective": collective, "text_sha256": text_sha256, "policy": None if policy is None else policy.digest,
        "charter_sha256": None if new_charter is None else sha256_hex(new_charter), "subject": given.subject,
    }  # fmt: skip
    said |= {} if strike is None else {"strike": strikes.read_terms(strike)}
    said |= {} if urgent is None else {"urgent_hours": given.urgent_hours}
    said |= {} if measured is None else {"measured_sha256": sha256_hex(measured)}
    said |= {} if given.ballots is None else {"ballots": given.ballots}
    proven = proof(session, runtime, who, given.type, said, now)
    proposal = Proposal(
        id=random_id("proposal"), collective_id=collective, type=given.type, author=mine.member, charter_n=row.charter_n, text=given.text,
        text_sha256=text_sha256, policy_id=None if policy is None else policy.id,
        charter=new_charter, subject=disputed or subject, strike=strike, urgent_hours=given.urgent_hours, measured=measured, state="discussion",
        about=about, ballots=given.ballots, opened_at=now, freeze_at=freeze, close_at=close, appeal_until=appeal_until,
    )  # fmt: skip
    session.add(proposal)
    session.flush()
    runtime.jobs.enqueue(session, "deadline", proposal.id, key="freeze", delay=(freeze - now).total_seconds())
    body = {**said, "proposal": proposal.id, "type": given.type, **proven}
    index = log.append(session, [log.personal("proposal.opened", proposal.id, body, person.sealer, now)], now)
    keep_act(session, who, collective, proposal.id, "proposal.opened", index, now)
    return proposal.id


def brings(runtime: Runtime, row: Collective, kind: str, policy: StoredPolicy | None, charter: CharterIn | None) -> bytes | None:
    """The rules that a proposal of that type would bring, by itself or by an amendment, looked at as its terms are.

    Raises Invalid (policy_not_narrower, charter_invalid).
    """
    if kind == "policy.narrow" and (policy is None or not is_narrower(runtime, row, policy)):
        raise Invalid("policy_not_narrower", "Propose it as policy.adopt, which asks for more votes.")
    if charter is None:
        return None
    if (charter.requests == "decide") != row.decides:
        raise Invalid("charter_invalid", "Who answers labs' requests is fixed when a collective is founded; found another.")
    return charter_bytes(charter)


def _long_in_office(meant: Membership, now: datetime) -> bool:
    return meant.steward and (meant.steward_until is None or meant.steward_until > now + _RENEWED)


def _lab_reporting(session: Session, row: Collective, report: str) -> str:
    """The lab whose use report a collective disputes, which is who the proposal is about: from the log, where reports are in the open."""
    leaf = session.exec(select(LogEntry.leaf).where(LogEntry.subject == report, LogEntry.type == "use.reported").limit(1)).first()
    said = {} if leaf is None else json.loads(leaf)
    if said.get("model") is None:
        raise Invalid("proposal_invalid", "Name in `measured` a use report of a model, by its id in the ledger.", takes=["measured"])
    if not row.listed or queries.members(session, row.id) < queries.FEWEST:
        raise Invalid("proposal_invalid", "A public collective of ten members or more disputes a report: all can read it.", takes=["measured"])
    return str(said["lab_id"])


def _about_a_lab(session: Session, collective: str, kind: str, lab: str | None) -> bool:
    if lab is None or session.get(Lab, lab) is None:
        return False
    return (session.get(LabRefusal, (collective, lab)) is None) == (kind == "licence.recall")


def amend(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, text: str, *, now: datetime) -> str:
    """Replace the text, while it is discussed: its author alone. Raises NotFound, Forbidden (receipt_scope), Conflict (proposal_state)
    or Invalid (person_named)."""
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    if row.author != mine.member:
        raise Forbidden("receipt_scope", "Only its author changes a proposal; open another.")
    if row.state != "discussion" or row.freeze_at <= now:
        raise Conflict("proposal_state", "Its text is frozen; open another proposal.", state=row.state)
    replace(session, runtime, row, text, row.policy_id, row.charter)
    body: dict[str, Any] = {"collective": collective, "proposal": row.id, "text_sha256": row.text_sha256}
    body |= {"round": row.rounds, **proof(session, runtime, who, "proposal.amended", body, now)}
    act = random_id("act")
    index = log.append(session, [log.personal("proposal.amended", act, body, person.sealer, now)], now)
    keep_act(session, who, collective, act, "proposal.amended", index, now)
    return row.id


def replace(
    session: Session, runtime: Runtime, row: Proposal, text: str, policy_id: int | None, charter: bytes | None, by: str | None = None
) -> None:
    """Change the text of a proposal whose row is held, and the terms or rules that it would bring; `by` whoever else than its author wrote it.
    A round is an answer to an objection that stands, of neither of them: whoever could count empty ones would soon outvote every objection. Who
    signed a petition for another effect has not signed for this one. Raises Invalid (person_named)."""
    if row.type == "outcome.void":
        voiding.names_nobody(session, row.collective_id, text)
    if (text, policy_id, charter) != (row.text, row.policy_id, row.charter):
        if objections := queries.unanswered(session, runtime, row, (row.author, by)):
            row.rounds += 1
            session.add_all([ObjectionAnswered(report_id=one, round=row.rounds) for one in objections])
        row.amended_index = log.size(session)
    if (policy_id, charter) != (row.policy_id, row.charter):
        petitioning.forget(session, row)
    if text != row.text:
        row.first_text = row.text if row.first_text is None else row.first_text
        row.text, row.text_sha256 = text, sha256_hex(text.encode())
    if policy_id != row.policy_id:
        row.first_policy_id = row.policy_id if row.first_policy_id is None else row.first_policy_id
        row.policy_id = policy_id
    if charter != row.charter:
        row.first_charter = row.charter if row.first_charter is None else row.first_charter
        row.charter = charter
    session.add(row)
    session.flush()


def is_narrower(runtime: Runtime, row: Collective, policy: StoredPolicy) -> bool:
    """Whether a policy allows nothing that the one in force does not. What permits nothing needs to keep no obligation."""
    if not policy.terms.permission:
        return True
    book: PolicyBook = runtime.parts["policies"]
    return row.policy_id is not None and narrows(policy.terms, book.by_ids([row.policy_id])[row.policy_id].terms)


def steward(session: Session, collective: str, member: str | None, now: datetime, *, lock: bool = True) -> Membership | None:
    """A steward in office by pseudonym, the row locked unless it is only looked at."""
    found = current(session, collective, member, lock=lock)
    return found if queries.in_office(found, now) else None


def current(session: Session, collective: str, member: str | None, *, lock: bool = True) -> Membership | None:
    """A current member by pseudonym, the row locked unless it is only looked at."""
    query = select(Membership).where(Membership.collective_id == collective, Membership.member == member, Membership.left_at == None)
    return session.exec((for_update(query, session) if lock else query).execution_options(populate_existing=lock)).first()


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

    Raises NotFound, Forbidden (not_elector), Gone (proposal_state), Conflict (dissents_full) or Invalid (report_too_long).
    """
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    outcome(session, row.id)
    dissent_open(row, now)
    if electorate.tag_of(session, runtime, row, mine.member) is None:
        raise Forbidden("not_elector", "Who was of the electorate can dissent from an outcome.")
    made = _file(session, runtime, who, person, row, "report", text, now)
    runtime.jobs.enqueue(session, "label", row.id, key=made)
    return made


def dissent_open(row: Proposal, now: datetime) -> None:
    """Raises Gone (proposal_state) once the appeal of an outcome is over."""
    if row.appeal_until <= now or row.ballot_key is None:
        raise Gone("proposal_state", "The time for dissent is over.", state=row.state)


def _file(
    session: Session, runtime: Runtime, who: Acting, person: Person, row: Proposal, kind: str, text: str, now: datetime
) -> str:  # fmt: skip
    if len(text.split()) > WORDS:
        raise Invalid("report_too_long", f"Keep it to {WORDS} words.")
    theirs = sa.select(sa.func.count()).select_from(MinorityReport).join(DissentText, sa.and_(DissentText.report_id == MinorityReport.id))  # type: ignore[arg-type]
    theirs = theirs.where(MinorityReport.proposal_id == row.id, MinorityReport.kind == kind, DissentText.contributor_id == who.contributor, upheld())  # type: ignore[arg-type]
    if session.execute(theirs).scalar_one() >= DISSENTS:  # of two at once the second counts the first, since the proposal is held
        raise Conflict("dissents_full", "Take an objection back first. The reports that you have here stand, and say it.", most=DISSENTS)
    digest = sha256_hex(text.encode())
    report = MinorityReport(
        id=random_id("minority_report"), proposal_id=row.id, kind=kind, sha256=digest, log_index=-1, at=now
    )  # fmt: skip
    body = {"collective": row.collective_id, "proposal": row.id, "kind": kind, "text_sha256": digest}
    body |= {"report": report.id, **proof(session, runtime, who, "dissent.filed", body, now)}
    report.log_index = log.append(session, [log.personal("dissent.filed", report.id, body, person.sealer, now)], now)
    session.add(report)
    session.flush()
    session.add(DissentText(report_id=report.id, contributor_id=who.contributor, text=text))
    return keep_act(session, who, row.collective_id, report.id, "dissent.filed", report.log_index, now)


def object_to(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, text: str, *, now: datetime) -> str:
    """Object to a proposal, with the harm that it would do: any member with a voice, until its ballot closes. Gives the objection's id.

    Under the rule of consent it stops the decision while it stands. Whatever passes in spite of it carries its digest.
    Raises NotFound, Forbidden (no_voice_yet), Conflict (proposal_state, dissents_full) or Invalid (report_too_long).
    """
    person = acting(session, runtime, who)
    _, mine = queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    queries.with_voice(mine, now)
    _open_to_objections(row, now)
    return _file(session, runtime, who, person, row, "objection", text, now)


def withdraw_objection(session: Session, runtime: Runtime, who: Acting, collective: str, proposal_id: str, objection: str, *, now: datetime) -> str:
    """Uphold an objection no longer, while the ballot is open; gives the act. Raises NotFound or Conflict (proposal_state)."""
    person = acting(session, runtime, who)
    queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal_id, lock=True)
    found, words = session.get(MinorityReport, objection), session.get(DissentText, objection)
    mine = words is not None and words.contributor_id == who.contributor
    if found is None or not mine or (found.proposal_id, found.kind) != (row.id, "objection"):
        raise NotFound("not_found", "Look at the id; it must be of an objection of yours.")
    _open_to_objections(row, now)
    if session.get(ObjectionWithdrawn, objection) is not None:
        raise Conflict("proposal_state", "It was withdrawn before.", state=row.state)
    act = random_id("act")
    body: dict[str, Any] = {"collective": collective, "proposal": row.id, "objection": objection}
    body |= proof(session, runtime, who, "dissent.withdrawn", body, now)
    index = log.append(session, [log.personal("dissent.withdrawn", act, body, person.sealer, now)], now)
    session.add(ObjectionWithdrawn(report_id=objection, log_index=index))
    return keep_act(session, who, collective, act, "dissent.withdrawn", index, now)


def _open_to_objections(row: Proposal, now: datetime) -> None:
    if row.state not in ("discussion", "ballot") or row.close_at <= now:
        raise Conflict("proposal_state", "Objections are taken until the ballot closes; then file a minority report.", state=row.state)


def words_of(session: Session, digests: list[str]) -> dict[str, str]:
    """Digest -> words of minority reports, where they are still there."""
    query = select(MinorityReport.sha256, DissentText.text).join(DissentText, sa.and_(DissentText.report_id == MinorityReport.id))  # type: ignore[arg-type]
    return dict(session.exec(query.where(MinorityReport.sha256.in_(digests))).all())  # type: ignore[attr-defined]


def reports(session: Session, outcomes: Any) -> list[str]:
    """The digests of all dissent from these outcomes that is upheld, sorted, each once: minority reports and objections."""
    query = select(MinorityReport.sha256).where(MinorityReport.proposal_id.in_(list(outcomes)), upheld())  # type: ignore[attr-defined]
    return sorted(set(session.exec(query)))
