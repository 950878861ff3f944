"""After the count: a note by somebody uninvolved of how it was decided, and the appeal of that note. The arithmetic is nobody's to appeal.

Uninvolved is who neither proposed, nor said anything in the thread, nor objected or dissented, nor moderated it, whether they left since or not.
Where no member with a voice is, a steward names another collective, whose stewards may then read the thread and write the note. An outcome
without a note says so, and one whose note is appealed is contested while nobody has decided. Of a refusal the note is the reasoning that is
published: see `refusals.py`.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import moderating, queries, threads, voiding
from app.collectives.dissent_models import DissentText, MinorityReport
from app.collectives.models import Collective, CollectiveAct, Membership, OutcomeRow, OutcomeVoid, Proposal
from app.collectives.service import Acting, acting, keep_act, proof, signed
from app.collectives.thread_models import (
    Amendment,
    Closer,
    ClosureNote,
    Comment,
    Moderation,
    NoteAppeal,
    ProposalThread,
    Statement,
)
from app.collectives.thread_schemas import ClosureIn
from app.contributions import receipts
from app.core.canonical import sha256_hex
from app.core.thread import GROUNDS
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.log.models import LogEntry

TIME = moderating.TIME
WAITING = ("open", "undecided")


def involved(session: Session, runtime: Runtime, row: Proposal) -> set[str]:
    """The pseudonyms of all who had a part in a proposal's thread, or spoke against it: also in an objection that they took back."""
    dissent = select(DissentText.contributor_id).join(MinorityReport, sa.and_(MinorityReport.id == DissentText.report_id))  # type: ignore[arg-type]
    spoke = session.exec(dissent.where(MinorityReport.proposal_id == row.id).distinct())
    found = {row.author, row.subject} | {queries.pseudonym(runtime, row.collective_id, one) for one in spoke}
    for columns, names in (
        (Statement.__table__.c, ("author", "answered_by", "stood_in_by")), (Comment.__table__.c, ("author",)), (Amendment.__table__.c, ("author",)),  # type: ignore[attr-defined]
        (Moderation.__table__.c, ("steward", "appealed_by", "decided_by")),  # type: ignore[attr-defined]
    ):  # fmt: skip
        for name in names:
            found |= set(session.execute(sa.select(columns[name]).where(columns.proposal_id == row.id).distinct()).scalars())
    return {one for one in found if one is not None}


def _uninvolved(session: Session, runtime: Runtime, row: Proposal, now: datetime) -> list[str]:
    charter, parts = queries.charter(session, row.collective_id, row.charter_n), involved(session, runtime, row)
    return [member for member, _ in queries.voices(session, row, charter, now) if member not in parts]


def name_closer(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, other: str, *, now: datetime) -> str:
    """Let the stewards of another collective read a thread and close it: a steward, where no member is uninvolved. Gives the act.

    Raises NotFound, Forbidden (not_steward) or Conflict (proposal_state, member_uninvolved).
    """
    person = acting(session, runtime, who)
    queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal, lock=True)
    _, mine = queries.member(session, collective, who, lock=True)
    moderating.as_steward(mine, now)
    said = {"collective": collective, "proposal": proposal, "closer": other}
    named = session.get(Closer, (proposal, other))
    if named is not None and (before := _named(session, runtime, who, said)) is not None:
        return before  # also once the note is written
    lacks_closer(session, runtime, row, mine, now)
    if named is None:
        if other == collective or session.get(Collective, other) is None:
            raise NotFound("not_found", "Give the id of another collective.")
        session.add(Closer(proposal_id=proposal, collective_id=other))
        session.flush()
    act = random_id("act")
    body = signed(session, runtime, who, "closer.named", said, now)
    index = log.append(session, [log.personal("closer.named", act, body, person.sealer, now)], now)
    return keep_act(session, who, collective, act, "closer.named", index, now)


def _named(session: Session, runtime: Runtime, who: Acting, said: dict[str, Any]) -> str | None:
    """The act by which somebody said the same before: sent again it is that one."""
    acts = select(CollectiveAct.id, LogEntry).join(LogEntry, sa.and_(LogEntry.log_index == CollectiveAct.log_index))
    mine = acts.where(CollectiveAct.contributor_id == who.contributor, CollectiveAct.collective_id == said["collective"])
    for act, entry in session.exec(mine.where(CollectiveAct.type == "closer.named")):
        if said.items() <= json.loads(receipts.opening(session, runtime, who.contributor, entry)[1]).items():
            return act
    return None


def lacks_closer(session: Session, runtime: Runtime, row: Proposal, mine: Membership, now: datetime) -> None:
    """Raises Forbidden (not_steward) or Conflict (proposal_state, member_uninvolved) unless a member may name another collective to close."""
    moderating.as_steward(mine, now)
    _to_be_closed(session, row, now)
    if _uninvolved(session, runtime, row, now):
        raise Conflict("member_uninvolved", "A member who had no part in it writes the note; ask one of them.")


def close(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, given: ClosureIn, *, now: datetime) -> str:
    """Write the closure note of an outcome; gives its id.

    Raises NotFound, Forbidden (closer_involved), Invalid (closure_uncited, person_named) or Conflict (proposal_state, closure_exists).
    """
    person = acting(session, runtime, who)
    row = queries.proposal(session, collective, threads.readable(session, collective, proposal, who, now).id, lock=True)
    mine = queries.membership_of(session, collective, who, lock=True)
    outside = closer(session, runtime, who, row, mine, now)
    _cited(session, row, given.cites)
    if row.type == "outcome.void":
        voiding.names_nobody(session, collective, given.text)  # of a refusal it is published
    made = random_id("closure_note")
    digest = threads.keep(session, person.sealer, who.contributor, made, given.text)
    note = ClosureNote(
        id=made, proposal_id=proposal, author=None if mine is None else mine.member, outside=outside, cites=given.cites, digest=digest,
        state="stands", log_index=-1, at=now,
    )  # fmt: skip
    session.add(note)
    session.flush()
    said = {"collective": collective, "proposal": proposal, "text_sha256": sha256_hex(given.text.encode()), "cites": given.cites}
    body = {"note": made, "digest": digest, **signed(session, runtime, who, "outcome.closed", said, now)}
    note.log_index = log.append(session, [log.personal("outcome.closed", made, body, person.sealer, now)], now)
    return keep_act(session, who, collective, made, "outcome.closed", note.log_index, now)


def closer(session: Session, runtime: Runtime, who: Acting, row: Proposal, mine: Membership | None, now: datetime) -> str | None:
    """Where somebody who may write the note of an outcome is a steward, unless they are a member here: then None.

    Raises NotFound, Forbidden (closer_involved, no_voice_yet) or Conflict (proposal_state, closure_exists).
    """
    outside = None
    # By pseudonym, which outlasts a membership: to leave makes nobody uninvolved.
    parts = session.exec(select(Membership).where(Membership.contributor_id == who.contributor)).all()
    me = queries.pseudonym(runtime, row.collective_id, who.contributor)
    if me in involved(session, runtime, row) or any(moderating.conflicted(session, row, one) for one in parts):
        raise Forbidden("closer_involved", "Somebody who had no part in it writes the note.")
    if mine is None:
        named = select(Closer.collective_id).where(Closer.proposal_id == row.id)
        outside = session.exec(named.where(Closer.collective_id.in_(_stewarded(who, now)))).first()  # type: ignore[attr-defined]
        if outside is None:
            raise NotFound("not_found", "Look at the id; it must be of a collective that you belong to.")
    else:
        queries.with_voice(mine, now)
    _to_be_closed(session, row, now)
    if note_of(session, row.id) is not None:
        raise Conflict("closure_exists", "There is a note; appeal it where it is wrong.")
    return outside


def appeal(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, grounds: str, text: str, *, now: datetime
) -> str:
    """Appeal the closure note of an outcome, once, until its appeal is over; gives the appeal's id.

    Raises NotFound, Forbidden (no_voice_yet), Invalid (reason_unknown) or Conflict (proposal_state, appeal_settled).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    if grounds not in GROUNDS:
        raise Invalid("reason_unknown", "Use the grounds listed in `known`.", known=list(GROUNDS))
    note = appealable(session, at.row, now)
    made = random_id("appeal")
    digest = threads.keep(session, at.person.sealer, who.contributor, made, text)
    row = NoteAppeal(
        id=made, proposal_id=proposal, note_id=note.id, author=at.mine.member, grounds=grounds, state="open", decide_by=now + TIME, log_index=-1,
        at=now,
    )  # fmt: skip
    if not moderating.deciders(session, at.row, _parties(note, row), now):
        row.state = "undecided"
    session.add(row)
    session.flush()
    runtime.jobs.enqueue(session, "deadline", proposal, key=f"appeal-{made}", delay=TIME.total_seconds() + 1)
    runtime.jobs.enqueue(session, "label", proposal, key=made)
    said = {"collective": collective, "proposal": proposal, "note": note.id, "grounds": grounds, "text_sha256": sha256_hex(text.encode())}
    body = {"digest": digest, **signed(session, runtime, who, "outcome.appealed", said, now)}
    row.log_index = log.append(session, [log.personal("outcome.appealed", made, body, at.person.sealer, now)], now)
    return keep_act(session, who, collective, made, "outcome.appealed", row.log_index, now)


def appealable(session: Session, row: Proposal, now: datetime) -> ClosureNote:
    """The note that can be appealed. Raises Conflict (proposal_state, appeal_settled)."""
    note = note_of(session, row.id)
    if note is None or row.appeal_until <= now:
        raise Conflict("proposal_state", "A closure note is appealed while it stands, until the appeal is over.", state=row.state)
    if appeal_of(session, note.id) is not None:
        raise Conflict("appeal_settled", "The note was appealed before; read what became of it.")
    return note


def decide(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, restore: bool, *, now: datetime) -> str:
    """Decide the appeal of a note: a steward who has no part in it. Where it is right the note is struck, and the verdict stays.

    Raises NotFound, Forbidden (not_steward, steward_involved) or Conflict (appeal_settled).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    state = "upheld" if restore else "dismissed"
    moderating.as_steward(at.mine, now)
    newest = select(NoteAppeal).where(NoteAppeal.proposal_id == proposal).order_by(sa.desc(NoteAppeal.log_index)).limit(1)  # type: ignore[arg-type]
    last = session.exec(newest).first()
    if last is not None and (last.state, last.decided_by) == (state, at.mine.member):
        return last.id  # sent again
    note, row = decidable(session, at.row, at.mine, now)
    # An act in office is the steward's, and its leaf holds no name: the passkey is asked for, and nothing of it kept.
    proof(session, runtime, who, "appeal.decided", {"collective": collective, "note": note.id, "restore": restore}, now)
    row.state, row.decided_by = state, at.mine.member
    if restore:
        note.state = "struck"
        session.add(note)
    session.add(row)
    session.flush()
    runtime.jobs.enqueue(session, "label", proposal, key=f"{row.id}-decided")
    body = {"collective": collective, "note": note.id, "grounds": row.grounds, "state": row.state}
    log.append(session, [log.institutional("appeal.decided", row.id, body, now)], now)
    return row.id


def decidable(session: Session, row: Proposal, mine: Membership, now: datetime) -> tuple[ClosureNote, NoteAppeal]:
    """The note and its appeal that a member can decide. Raises Forbidden (not_steward, steward_involved) or Conflict (appeal_settled)."""
    moderating.as_steward(mine, now)
    note = note_of(session, row.id)
    found = None if note is None else appeal_of(session, note.id)
    if note is None or found is None or found.state not in WAITING:
        raise Conflict("appeal_settled", "There is no appeal that waits to be decided.")
    if not may_decide(session, row, note, found, mine, now):
        raise Forbidden("steward_involved", "Another steward decides: not who proposed, closed or appealed, nor whom it is about.")
    return note, found


def lapse(session: Session, proposal: str, now: datetime) -> list[log.Leaf]:
    """An appeal that nobody decided in time is undecided, and can still be decided; gives the leaves that say so."""
    leaves = []
    for row in session.exec(select(NoteAppeal).where(NoteAppeal.proposal_id == proposal, NoteAppeal.state == "open", NoteAppeal.decide_by <= now)):
        row.state = "undecided"
        session.add(row)
        leaves.append(log.institutional("appeal.undecided", row.id, {"note": row.note_id, "grounds": row.grounds}, now))
    return leaves


def note_of(session: Session, proposal: str) -> ClosureNote | None:
    """The note that stands."""
    query = select(ClosureNote).where(ClosureNote.proposal_id == proposal, ClosureNote.state == "stands")
    return session.exec(query.order_by(ClosureNote.log_index)).first()  # type: ignore[arg-type]


def notes_of(session: Session, proposals: Sequence[str]) -> dict[str, ClosureNote]:
    """The notes that stand on many outcomes, by proposal."""
    found: dict[str, ClosureNote] = {}
    for start in range(0, len(proposals), 500):
        some = ClosureNote.proposal_id.in_(proposals[start : start + 500])  # type: ignore[attr-defined]
        for note in session.exec(select(ClosureNote).where(some, ClosureNote.state == "stands").order_by(ClosureNote.log_index)):  # type: ignore[arg-type]
            found.setdefault(note.proposal_id, note)
    return found


def notes(session: Session, proposal: str) -> list[ClosureNote]:
    """Every note on an outcome, struck ones too."""
    query = select(ClosureNote).where(ClosureNote.proposal_id == proposal)
    return list(session.exec(query.order_by(ClosureNote.log_index)))  # type: ignore[arg-type]


def appeal_of(session: Session, note: str) -> NoteAppeal | None:
    """The appeal of a note."""
    return session.exec(select(NoteAppeal).where(NoteAppeal.note_id == note)).first()


def labels(session: Session, row: Proposal, now: datetime) -> list[str]:
    """What is to be said of an outcome beside its verdict, worked out from what there is: `voided`, `changed`, `unanswered`, `no-closure-note`,
    `closed-from-outside`, `appealed`, `note-struck`."""
    if session.get(OutcomeRow, row.id) is None:
        return []
    thread, written = session.get(ProposalThread, row.id), notes(session, row.id)
    standing = next((note for note in written if note.state == "stands"), None)
    appealed = None if standing is None else appeal_of(session, standing.id)
    holds = {
        "voided": row.state == "voided", "changed": row.state == "void",
        "unanswered": thread is not None and thread.unanswered > 0,
        "no-closure-note": standing is None and now >= row.appeal_until - threads.TO_APPEAL,
        "closed-from-outside": standing is not None and standing.outside is not None,
        "appealed": appealed is not None and appealed.state in WAITING,
        "note-struck": len(written) > (standing is not None),
    }
    return [label for label, found in holds.items() if found]


def appealed(session: Session, outcomes: Iterable[str]) -> set[str]:
    """Those of these outcomes whose note is appealed, and nobody has decided: they are contested meanwhile."""
    query = select(NoteAppeal.proposal_id).where(NoteAppeal.proposal_id.in_(list(outcomes)), NoteAppeal.state.in_(WAITING))  # type: ignore[attr-defined]
    return set(session.exec(query))


def voided(session: Session, outcomes: Iterable[str]) -> set[str]:
    """Those of these outcomes that a later one made void: they are contested for good."""
    return set(session.exec(select(OutcomeVoid.proposal_id).where(OutcomeVoid.proposal_id.in_(list(outcomes)))))  # type: ignore[attr-defined]


def may_be_closed(session: Session, row: Proposal, now: datetime) -> bool:
    """Whether a note is taken now: once it is counted, until it could no longer be appealed."""
    return session.get(OutcomeRow, row.id) is not None and now < row.appeal_until - threads.TO_APPEAL


def may_decide(session: Session, row: Proposal, note: ClosureNote, found: NoteAppeal, mine: Membership, now: datetime) -> bool:
    """Whether somebody is a steward in office who decides this appeal: one with no part in it."""
    waits = found.state in WAITING and queries.in_office(mine, now)
    return waits and mine.member not in _parties(note, found) and not moderating.conflicted(session, row, mine)


def _to_be_closed(session: Session, row: Proposal, now: datetime) -> None:
    if not may_be_closed(session, row, now):
        raise Conflict("proposal_state", "A note is written once it is counted, until three days before the appeal is over.", state=row.state)


def _cited(session: Session, row: Proposal, cites: str | None) -> None:
    """Raises Invalid (closure_uncited) unless it is an argument on this proposal, or there is none."""
    kind = {"stm": Statement, "cmt": Comment, "mrp": MinorityReport}.get((cites or "")[:3])
    found = None if kind is None or cites is None else session.get(kind, cites)
    if found is not None and found.proposal_id == row.id:
        return
    tables = (Statement.__table__, Comment.__table__, MinorityReport.__table__)  # type: ignore[attr-defined]
    argued = any(session.execute(sa.select(t.c.id).where(t.c.proposal_id == row.id).limit(1)).first() for t in tables)
    if cites is not None or argued:
        raise Invalid("closure_uncited", "Give in `cites` the strongest argument against: a statement, a comment or an objection.")


def _parties(note: ClosureNote, appeal: NoteAppeal) -> set[str]:
    return {member for member in (note.author, appeal.author) if member is not None}


def _stewarded(who: Acting, now: datetime) -> sa.Select[tuple[str]]:
    return sa.select(Membership.collective_id).where(queries.theirs(who), queries.stewards(now))  # type: ignore[call-overload,no-any-return]
