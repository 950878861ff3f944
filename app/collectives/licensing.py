"""Labs' requests to a collective that decides on them itself: each new use of a lab is a proposal, which the lab reads and speaks in.

Until it is granted what members mandated the collective for is not released for that use, whatever its policy permits; a grant ends with the
charter's term of review, by consent after half a year at the latest. The lab is in the thread of its own request and in nothing
else of the collective: it reads what is said without names, in counts that speak of nobody.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import binding, deliberating, queries, reviewing, threads
from app.collectives.models import Collective, LabRefusal, LabUse, Proposal
from app.collectives.thread_models import Comment, Statement
from app.collectives.thread_schemas import CommentIn
from app.consents.models import Narrowing
from app.core.canonical import canonical, sha256_hex
from app.core.thread import COMMENTS, LAB_COMMENTS
from app.kit.db import Instant, for_update, insert_or_ignore
from app.kit.errors import Conflict, Invalid, NotFound, TooMany
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry
from app.parties.models import Lab

AGAIN = timedelta(days=90)
"""How soon a collective is asked for the same use again."""
SPARE = timedelta(days=30)
"""How much longer than planned a request waits for a decision that was put off."""
GRANTED = ("licence.use", "licence.renew")
"""Types of decisions by which a use is granted until a day."""
_OVER = ("in_force", "failed", "lapsed", "void", "moot", "voided")
_USES = LabUse.__table__  # type: ignore[attr-defined]


def ask(
    session: Session, runtime: Runtime, lab: Lab, request: str, use_id: int, use: dict[str, Any], policies: Iterable[int], matching: Sequence[Any],
    *, now: datetime,
) -> list[str]:  # fmt: skip
    """Open a proposal in each collective that is to decide, or join the one that is open; gives them. Where fewer than ten people are
    concerned nothing is opened: the lab would learn whose records they are. Nor where the lab has asked enough this
    week, or the charter's review is overdue.

    `matching` says which records there are, and nothing of what the lab chose of them but platforms: whoever could slide a day, or leave a
    language out, would see ten become nine.
    """
    found = []
    for collective in session.execute(binding.deciding(lab.id, use_id, policies, matching, now.date(), queries.FEWEST)).scalars().all():
        key = {"collective_id": collective, "lab_id": lab.id, "use_id": use_id}
        insert_or_ignore(session, _USES, {**key, "proposal_id": "", "asked_at": now})
        row = session.exec(
            for_update(select(LabUse).where(LabUse.collective_id == collective, LabUse.lab_id == lab.id, LabUse.use_id == use_id), session)
        ).one()
        fresh = row.proposal_id == ""
        if not fresh and undecided(session, [row.proposal_id]):
            found.append(row.proposal_id)
        elif fresh or row.asked_at <= now - AGAIN or (row.outcome is not None and row.recalled_by is None):
            if (made := _open(session, runtime, queries.collective_of(session, collective), lab, request, use, now)) is None:
                if fresh:
                    session.delete(row)
                continue
            row.proposal_id, row.asked_at, row.outcome, row.until, row.recalled_by = made, now, None, None, None
            session.add(row)
            found.append(made)
    session.flush()
    return found


def _open(
    session: Session, runtime: Runtime, collective: Collective, lab: Lab, request: str, use: dict[str, Any], now: datetime
) -> str | None:
    if reviewing.stops(session, collective, "licence.use", now):
        return None
    charter = queries.charter(session, collective.id, collective.charter_n)
    lately = sa.select(sa.func.count()).select_from(Proposal).where(
        Proposal.collective_id == collective.id, Proposal.subject == lab.id, Proposal.type == "licence.use",  # type: ignore[arg-type]
        Proposal.opened_at > sa.literal(now - deliberating.WEEK, Instant()),  # type: ignore[arg-type]
    )  # fmt: skip
    if session.execute(lately).scalar_one() >= charter.get("asks", deliberating.ASKS):
        return None
    text = f"{lab.legal_name} ({lab.kind}, {lab.seat}) asks to use what members gave, within the policy in force:\n{canonical(use).decode()}"
    freeze = queries.planned_freeze(charter, "licence.use", now)
    close = freeze + timedelta(days=charter["ballot_days"])
    row = Proposal(
        id=random_id("proposal"), collective_id=collective.id, type="licence.use", author=None, charter_n=collective.charter_n, text=text,
        text_sha256=sha256_hex(text.encode()), subject=lab.id, request_id=request, state="discussion", opened_at=now, freeze_at=freeze,
        close_at=close, appeal_until=close + timedelta(days=charter["appeal_days"]),
    )  # fmt: skip
    session.add(row)
    session.flush()
    runtime.jobs.enqueue(session, "deadline", row.id, key="freeze", delay=(freeze - now).total_seconds())
    return row.id


def opened_leaves(session: Session, proposals: Iterable[str], request: str, now: datetime) -> list[log.Leaf]:
    """The leaves that tell of the proposals which a request opened."""
    rows = session.exec(select(Proposal).where(Proposal.id.in_(list(proposals)), Proposal.request_id == request, Proposal.opened_at == now))  # type: ignore[attr-defined]
    return [
        log.institutional(
            "request.put-to-vote", row.id,
            {"collective": row.collective_id, "request": request, "lab_id": row.subject, "text_sha256": row.text_sha256}, now,
        )
        for row in rows
    ]  # fmt: skip


def settled_by(session: Session, proposals: Iterable[str]) -> datetime:
    """When a request that waits for these proposals is refused for good, decided or not."""
    rows = session.exec(select(Proposal.appeal_until).where(Proposal.id.in_(list(proposals)))).all()  # type: ignore[attr-defined]
    return max(rows) + SPARE


def late(session: Session, proposals: Iterable[str], now: datetime) -> datetime | None:
    """When the last of these is over that were voted on, and counted late or to be counted at any moment; None where there is none. What was
    voted on is waited for: the proposal's own time moves with the count."""
    rows = session.exec(select(Proposal).where(Proposal.id.in_(list(proposals)), Proposal.state.in_(("ballot", "appeal")))).all()  # type: ignore[attr-defined]
    voted = (row for row in rows if row.close_at <= now)
    return max((row.appeal_until + (now - row.close_at if row.state == "ballot" else timedelta()) for row in voted), default=None)


def undecided(session: Session, proposals: Iterable[str]) -> list[str]:
    """Those of the proposals that are not over."""
    query = select(Proposal.id).where(Proposal.id.in_(list(proposals)), Proposal.state.not_in(_OVER))  # type: ignore[attr-defined]
    return list(session.exec(query.order_by(Proposal.id)))


def asked_by(session: Session, proposal: str) -> str | None:
    """The lab whose use a proposal is about."""
    return session.exec(select(Proposal.subject).where(Proposal.id == proposal, Proposal.type == "licence.use")).first()


def grant(session: Session, collective: Collective, row: Proposal, until: date, now: datetime) -> bool:
    """What a grant does, the collective and the proposal held: the use is permitted beside the policy, until a day. Whether there was anything
    to be granted: not where the database was set back, and it was recalled since."""
    found = session.exec(select(LabUse).where(LabUse.proposal_id == row.id)).one()
    if found.recalled_by is not None:
        return False
    found.outcome, found.until = row.id, until
    session.add(found)
    session.flush()
    body = {
        "name": collective.name if collective.listed else None, "lab_id": row.subject, "request": row.request_id, "outcome": row.id,
        "until": until.isoformat(),
    }  # fmt: skip
    log.append(session, [log.institutional("collective.use-granted", collective.id, body, now)], now)
    return True


def set_refusal(
    session: Session, row: Collective, lab: str, refused: bool, outcome: str, *, now: datetime, act: str | None = None
) -> bool:
    """Refuse a lab for every member, or take that back; the caller holds the collective's row. Whether this outcome did so, now or before."""
    kind = "collective.lab-refused" if refused else "collective.lab-readmitted"
    found = session.get(LabRefusal, (row.id, lab), populate_existing=True)
    if refused == (found is not None):
        leaves = select(LogEntry.leaf).where(LogEntry.subject == row.id, LogEntry.type == kind)
        return found.outcome == outcome if found is not None else any(json.loads(leaf)["outcome"] == outcome for leaf in session.exec(leaves))
    made = LabRefusal(collective_id=row.id, lab_id=lab, outcome=outcome)
    if found is None:
        session.add(made)
        # What was granted to it before ends for good: to take the refusal back grants nothing, and revives no old yes.
        _end(session, row.id, LabUse.lab_id == lab, now)
    else:
        session.delete(found)
    session.flush()
    name = session.get_one(Lab, lab).legal_name
    body = {"name": row.name if row.listed else None, "lab": name, "lab_id": lab, "outcome": outcome}
    leaf = log.institutional(kind, row.id, body, now)
    index = made.log_index = log.append_narrowing(
        session, leaf, act or random_id("act"), "lab-refusal", now, collective=row.id, lab=lab, refused=refused, outcome=outcome
    )
    session.add(Narrowing(log_index=index, collective_id=row.id, at=now))
    session.flush()
    return True


def granted(session: Session, collective: str, today: date) -> list[LabUse]:
    """What labs are granted on a day, the first to end first."""
    query = select(LabUse).where(LabUse.collective_id == collective, LabUse.outcome != None, LabUse.until > today)  # type: ignore[operator]
    return list(session.exec(query.order_by(LabUse.until, LabUse.proposal_id)))  # type: ignore[arg-type]


def holds_until(row: Proposal, charter: dict[str, Any], granted: Mapping[str, date | None]) -> date | None:
    """Before which day a use is granted by a proposal, or renewed; the earliest such day while that is open. None where nothing is granted.
    `granted` is `granted_until` of it."""
    if row.type not in GRANTED:
        return None
    if row.state not in _OVER:
        return row.appeal_until.date() + queries.life(charter, row.type)
    return granted.get(row.about or row.id) if row.state == "in_force" else None


def granted_until(session: Session, rows: Iterable[Proposal]) -> dict[str, date | None]:
    """Before which day holds what these proposals granted or renewed, by the proposal that granted it first."""
    first = {row.about or row.id for row in rows if row.type in GRANTED and row.state == "in_force"}
    query = select(LabUse.proposal_id, LabUse.until).where(LabUse.proposal_id.in_(first))  # type: ignore[attr-defined]
    return dict(session.exec(query).all()) if first else {}


def granted_by(session: Session, collective: str, outcome: str | None, today: date) -> LabUse | None:
    """What a lab is granted on a day, by the proposal that granted it, or renewed it last."""
    return next((one for one in granted(session, collective, today) if outcome in (one.proposal_id, one.outcome)), None)


def to_renew(session: Session, collective: str, outcome: str | None, in_force_at: datetime, now: datetime) -> LabUse:
    """What is to be renewed by a vote that is in force at `in_force_at` (`granted_by`).

    Raises Invalid (proposal_invalid) or Conflict (renewal_late).
    """
    found = granted_by(session, collective, outcome, now.date())
    if found is None:
        raise Invalid("proposal_invalid", "As `subject`, give the proposal by which a lab was granted a use that it still has.", takes=["subject"])
    if found.until is not None and found.until <= in_force_at.date():
        raise Conflict("renewal_late", "Let it end; the lab can ask for it anew.", until=found.until.isoformat())
    return found


def renew(session: Session, collective: Collective, row: Proposal, until: date, now: datetime) -> bool:
    """Move the end of a use that is granted, the collective and the proposal held: the same lab and the same use, and only to a later day.
    Whether there was anything to be renewed."""
    query = select(LabUse).where(LabUse.collective_id == collective.id, LabUse.proposal_id == row.about, LabUse.outcome != None)
    found = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if found is None or found.until is None or not now.date() < found.until < until:
        return False
    found.outcome, found.until = row.id, until
    session.add(found)
    session.flush()
    body = {
        "name": collective.name if collective.listed else None, "lab_id": row.subject, "renewed": row.about, "outcome": row.id,
        "until": until.isoformat(),
    }  # fmt: skip
    log.append(session, [log.institutional("collective.use-renewed", collective.id, body, now)], now)
    return True


def recall(session: Session, row: Collective, first: str, outcome: str, *, now: datetime, act: str | None = None) -> bool:
    """End for good the one use that the proposal `first` granted, however often it was renewed, the collective held; what else the lab may do
    stays. Whether this outcome did so, now or before. Also in a database that was set back, where it is not granted yet: then it will not be."""
    query = select(LabUse).where(LabUse.collective_id == row.id, LabUse.proposal_id == first)
    found = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if found is None or found.recalled_by is not None:
        return found is not None and found.recalled_by == outcome  # by this one where it was done from its line in the journal, after a crash
    if found.outcome is not None and (found.until is None or found.until <= now.date()):
        return False  # it ended meanwhile, by its day or with a refusal of the lab
    found.recalled_by, found.asked_at = outcome, now  # as after a no it is asked for anew in ninety days at the earliest
    session.add(found)
    session.flush()
    end(session, row.id, first, now)
    lab = session.get_one(Lab, found.lab_id)
    body = {"name": row.name if row.listed else None, "lab": lab.legal_name, "lab_id": lab.id, "recalled": first, "outcome": outcome}
    leaf = log.institutional("collective.use-recalled", row.id, body, now)
    line = {"collective": row.id, "first": first, "outcome": outcome}
    index = log.append_narrowing(session, leaf, act or random_id("act"), "use-recall", now, **line)
    session.add(Narrowing(log_index=index, collective_id=row.id, at=now))
    session.flush()
    return True


def recalled_at(session: Session, collective: str, outcome: str) -> int:
    """Where in the log it is that a use was recalled by this outcome."""
    query = select(LogEntry.log_index, LogEntry.leaf).where(LogEntry.subject == collective, LogEntry.type == "collective.use-recalled")
    return next(index for index, leaf in session.exec(query) if json.loads(bytes(leaf))["outcome"] == outcome)


def end(session: Session, collective: str, proposal: str, now: datetime) -> None:
    """End for good what a proposal granted, however often it was renewed: what was to come of it after today does not."""
    _end(session, collective, LabUse.proposal_id == proposal, now)


def _end(session: Session, collective: str, which: Any, now: datetime) -> None:
    ending = sa.update(LabUse).where(LabUse.collective_id == collective, which, LabUse.until > now.date())  # type: ignore[arg-type,operator]
    session.execute(ending.values(until=now.date()))


# -- the lab in its own thread ----------------------------------------------------------------------------------------
def threads_of(session: Session, proposals: Iterable[str], lab: str) -> list[Proposal]:
    """The proposals that a lab's request waits for, or waited."""
    query = select(Proposal).where(Proposal.id.in_(list(proposals)), Proposal.type == "licence.use", Proposal.subject == lab)  # type: ignore[attr-defined]
    return list(session.exec(query.order_by(Proposal.id)))


def comment(session: Session, runtime: Runtime, lab: Lab, proposal: str, given: CommentIn, *, now: datetime) -> str:
    """Speak as the lab that asks; gives the comment's id. Raises NotFound, Invalid (reason_unknown, comment_too_deep), Conflict
    (thread_frozen, thread_full) or TooMany (load_spent)."""
    row = _held(session, lab, proposal, now)
    reasons = deliberating.check_comment(session, row.id, given)
    for most, hours in ((COMMENTS, 1), (LAB_COMMENTS, 24)):
        since = now - timedelta(hours=hours)
        said = sorted(session.exec(select(Comment.at).where(Comment.proposal_id == row.id, Comment.lab_id == lab.id, Comment.at > since)))
        if len(said) >= most:
            wait = int((said[-most] - since).total_seconds()) + 1
            raise TooMany("load_spent", "Give those who read it time, and room to speak.", most=most, within_hours=hours, retry_after=wait)
    made = random_id("comment")
    found = Comment(
        id=made, proposal_id=row.id, lab_id=lab.id, statement_id=given.statement, parent_id=given.parent, reasons=reasons, log_index=-1, at=now,
        digest=threads.keep(session, threads.outside(runtime), None, made, given.text),
    )  # fmt: skip
    session.add(found)
    session.flush()
    body = {"collective": row.collective_id, "proposal": row.id, "lab": lab.legal_name, "lab_id": lab.id, "digest": found.digest}
    found.log_index = log.append(session, [log.institutional("request.commented-on", made, body, now)], now)
    return made


def answer(session: Session, runtime: Runtime, lab: Lab, proposal: str, statement: str, text: str, *, now: datetime) -> None:
    """Answer a statement as the lab that asks, which is who proposed. Raises NotFound or Conflict (thread_frozen, item_hidden)."""
    row = _held(session, lab, proposal, now)
    found = deliberating.statement_of(session, row.id, statement)
    if found.hidden is not None:
        raise Conflict("item_hidden", "What is hidden is owed no answer.")
    if deliberating.answered(session, runtime, found, deliberating.PROPOSERS, None, text) is not None:
        return
    made, digest = deliberating.put_answer(session, found, deliberating.PROPOSERS, None, threads.outside(runtime), None, text)
    body = {"collective": row.collective_id, "proposal": row.id, "lab": lab.legal_name, "lab_id": lab.id, "digest": digest}
    log.append(session, [log.institutional("request.explained", made, body, now)], now)


def visible(session: Session, row: Proposal) -> tuple[list[Statement], list[Comment]]:
    """What of a thread is not hidden."""
    said = select(Comment).where(Comment.proposal_id == row.id, Comment.hidden == None)
    comments = session.exec(said.order_by(Comment.log_index)).all()  # type: ignore[arg-type]
    return [one for one in threads.statements(session, row.id) if one.hidden is None], list(comments)


def _held(session: Session, lab: Lab, proposal: str, now: datetime) -> Proposal:
    query = select(Proposal).where(Proposal.id == proposal, Proposal.type == "licence.use", Proposal.subject == lab.id)
    row = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound("not_found", "Look at the id; it must be of a thread about a request of yours.")
    threads.still_open(row, now)
    return row
