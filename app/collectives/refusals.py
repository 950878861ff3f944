"""What a public collective refused a lab, why, and what the lab has to say to that.

The fact is in the log at once. The reasoning is the closure note of the decision: the lab reads it when it is written, everybody else seven
days later, and until then the lab can reply once. Both texts are words like those of a thread: by salted digest in the log, and gone with
an erasure, or out of sight by moderation, without a change to what was logged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import closing, licensing, queries, threads
from app.collectives.models import Collective, LabRefusal, OutcomeVoid, Proposal, Refusal, RefusalReply
from app.collectives.thread_models import ClosureNote, Words
from app.core.thread import HIDING
from app.kit.db import for_update
from app.kit.errors import Conflict, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.models import Lab

TIME = timedelta(days=7)
"""How long a lab reads the reasoning before everybody does."""
WORDS = 500


@dataclass(frozen=True)
class Told:
    """A refusal with what may be read of it. `replies_until`: until then the lab can reply, and then the reasoning is public."""

    row: Refusal
    replied: RefusalReply | None
    collective: str
    lab: str
    replies_until: datetime
    reasoning: str | None
    reply: str | None


def note(session: Session, collective: Collective, row: Proposal, now: datetime) -> None:
    """Note that a lab was refused, by a decision that is counted, where that is what it comes to; the collective and the proposal are held.
    A collective that is not public gives no reasons in public, and is answered none."""
    if not collective.listed or row.subject is None:
        return
    request = row.request_id
    if row.type == "licence.use" and row.state != "in_force":
        body = {
            "name": collective.name, "lab": session.get_one(Lab, row.subject).legal_name, "lab_id": row.subject, "request": row.request_id,
            "outcome": row.id, "verdict": row.state,
        }  # fmt: skip
        index = log.append(session, [log.institutional("collective.use-refused", collective.id, body, now)], now)
    elif row.type == "licence.recall" and row.about is not None:  # of one use alone; what was moot refused nothing
        if row.state != "in_force":
            return
        index, request = licensing.recalled_at(session, collective.id, row.id), session.get_one(Proposal, row.about).request_id
    elif row.type == "licence.recall" and row.state == "in_force":
        # Done from its line in the journal after a crash it is not where the log ends.
        found = session.get_one(LabRefusal, (collective.id, row.subject))
        assert found.log_index is not None  # noted with the refusal, and for older ones taken from the log
        index = found.log_index
    elif row.type == "outcome.void" and row.state == "in_force" and (row.electorate_size or 0) >= queries.FEWEST:  # else it names no lab
        index = session.get_one(OutcomeVoid, row.about).log_index
        target = session.get_one(Proposal, row.about)
        request = session.get_one(Proposal, target.about or target.id).request_id  # what was asked for, also where that had been renewed
    else:
        return
    session.add(Refusal(proposal_id=row.id, collective_id=collective.id, lab_id=row.subject, request_id=request, at=now, log_index=index))
    session.flush()


def reply(session: Session, runtime: Runtime, lab: Lab, refusal: str, text: str, *, now: datetime) -> str:
    """Reply as the lab that was refused, once; gives the reply's id. Raises NotFound, Invalid (reply_too_long) or Conflict (reply_exists,
    reply_closed)."""
    row = _own(session, lab, refusal)
    if len(text.split()) > WORDS:
        raise Invalid("reply_too_long", f"Keep it to {WORDS} words.")
    if session.get(RefusalReply, refusal) is not None:
        raise Conflict("reply_exists", "A refusal is replied to once; take the words back if they are wrong.")
    if now >= replies_until(row, closing.note_of(session, row.proposal_id)):
        raise Conflict("reply_closed", "The reasoning is public by now; a reply is filed in the seven days before.")
    made = random_id("reply")
    found = RefusalReply(
        proposal_id=row.proposal_id, id=made, digest=threads.keep(session, threads.outside(runtime), None, made, text), log_index=-1, at=now
    )
    session.add(found)
    session.flush()
    body = {"lab": lab.legal_name, "lab_id": lab.id, "collective": row.collective_id, "outcome": row.proposal_id, "digest": found.digest}
    found.log_index = log.append(session, [log.institutional("refusal.replied", made, body, now)], now)
    session.add(found)
    session.flush()
    return made


def take_back(session: Session, lab: Lab, refusal: str, *, now: datetime) -> None:
    """Erase the words of a reply: the lab. That there was one stays. Raises NotFound (not_found)."""
    row = _own(session, lab, refusal)
    found = session.get(RefusalReply, refusal)
    if found is None or not session.execute(sa.delete(Words).where(Words.item_id == found.id)).rowcount:  # type: ignore[arg-type,attr-defined]
        raise NotFound("not_found", "There are no words of a reply here.")
    body = {"lab": lab.legal_name, "lab_id": lab.id, "collective": row.collective_id, "outcome": row.proposal_id}
    log.append(session, [log.institutional("refusal.reply-erased", found.id, body, now)], now)


def set_hidden(found: Any, reason: str | None) -> None:
    """Hide what an organisation answered with a reason of the closed list, or (None) show it again; its row is held, and to be added.

    Raises Invalid (reason_unknown) or Conflict (item_hidden).
    """
    if reason is not None and reason not in HIDING:
        raise Invalid("reason_unknown", f"Use one of {', '.join(HIDING)}.", known=list(HIDING))
    if (found.hidden is None) == (reason is None):
        raise Conflict("item_hidden", "It is like that already.")
    found.hidden = reason


def moderate(session: Session, refusal: str, reason: str | None, *, now: datetime) -> None:
    """Hide a lab's reply with a reason of the closed list, or (None) show it again: the operator, since the stewards are whom it answers.

    Raises NotFound (not_found), Invalid (reason_unknown) or Conflict (item_hidden).
    """
    row = session.exec(for_update(select(Refusal).where(Refusal.proposal_id == refusal), session)).first()
    found = session.get(RefusalReply, refusal)
    if row is None or found is None:
        raise NotFound("not_found", "Look at the id; it must be of a refusal that a lab replied to.")
    set_hidden(found, reason)
    session.add(found)
    session.flush()
    body = {"lab_id": row.lab_id, "collective": row.collective_id, "outcome": row.proposal_id, "reason": reason}
    log.append(session, [log.institutional("admin.reply-hidden" if reason else "admin.reply-restored", found.id, body, now)], now)


def page(session: Session, lab: str | None, after: int | None, limit: int) -> list[Refusal]:
    """Refusals, of one lab or of all, in the order of the log."""
    query = select(Refusal)
    if lab is not None:
        query = query.where(Refusal.lab_id == lab)
    if after is not None:
        query = query.where(Refusal.log_index > after)
    return list(session.exec(query.order_by(Refusal.log_index).limit(limit)))  # type: ignore[arg-type]


def of(session: Session, outcomes: Iterable[str]) -> list[Refusal]:
    """The refusals that these decisions were."""
    return list(session.exec(select(Refusal).where(Refusal.proposal_id.in_(list(outcomes)))))  # type: ignore[attr-defined]


def told(session: Session, runtime: Runtime, rows: Iterable[Refusal], now: datetime, *, to_lab: bool = False) -> list[Told]:
    """What may be read of refusals by anybody, or by the lab itself, which reads the reasoning before."""
    listed = list(rows)
    standing = closing.notes_of(session, [row.proposal_id for row in listed])
    notes = {row.proposal_id: standing.get(row.proposal_id) for row in listed}
    said = select(RefusalReply).where(RefusalReply.proposal_id.in_([row.proposal_id for row in listed]))  # type: ignore[attr-defined]
    replies = {one.proposal_id: one for one in session.exec(said)}
    places = [one.id for one in (*notes.values(), *replies.values()) if one is not None]
    words = threads.words_of(session, runtime, places)
    names = _names(session, Collective.id, Collective.name, {row.collective_id for row in listed})
    labs = _names(session, Lab.id, Lab.legal_name, {row.lab_id for row in listed})
    found = []
    for row in listed:
        why, until, replied = notes[row.proposal_id], replies_until(row, notes[row.proposal_id]), replies.get(row.proposal_id)
        open_ = why is not None and why.hidden is None and (to_lab or now >= until)
        found.append(
            Told(
                row, replied, names[row.collective_id], labs[row.lab_id], until,
                words[why.id][1] if why is not None and open_ and why.id in words else None,
                words[replied.id][1] if replied is not None and replied.hidden is None and replied.id in words else None,
            )
        )  # fmt: skip
    return found


def _names(session: Session, of: Any, name: Any, ids: set[str]) -> dict[str, str]:
    return dict(session.execute(sa.select(of, name).where(of.in_(ids))).all())


def replies_until(row: Refusal, why: ClosureNote | None) -> datetime:
    """Seven days from the refusal, or from the note that gives its reasons where that came later."""
    return (row.at if why is None else max(row.at, why.at)) + TIME


def _own(session: Session, lab: Lab, refusal: str) -> Refusal:
    query = select(Refusal).where(Refusal.proposal_id == refusal, Refusal.lab_id == lab.id)
    row = session.exec(for_update(query, session).execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound("not_found", "Look at the id; it must be of a refusal of yours.")
    return row

