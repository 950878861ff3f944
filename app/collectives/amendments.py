"""Another text for a proposal: its author accepts it, or it becomes a proposal of its own, an alternative that is decided by itself.

What is still open when the text is to be frozen becomes an alternative too: nobody sits an amendment out. What is hidden then stays open, and
becomes one when it is restored: nobody hides an amendment for good either.
"""

from datetime import datetime, timedelta

from sqlmodel import Session, select

from app.collectives import deliberating, queries, threads, voiding
from app.collectives.models import Collective, Proposal
from app.collectives.proposals import replace_text
from app.collectives.service import Acting, keep_act, signed
from app.collectives.thread_models import Amendment
from app.core.canonical import sha256_hex
from app.kit.errors import Conflict, Forbidden, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

MOST = 20
"""Amendments to one proposal that wait for an answer."""


def amend(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, text: str, base_sha256: str, *, now: datetime
) -> str:
    """Propose another text, while it is discussed; gives the amendment's id.

    Raises NotFound, Forbidden (no_voice_yet, not_proposer), Conflict (thread_frozen, text_changed, thread_full), Invalid (person_named) or
    TooMany (load_spent).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    if at.row.request_id is not None:
        raise Forbidden("not_proposer", "A lab's request is answered and not amended: say in a statement what it lacks.")
    if base_sha256 != at.row.text_sha256 or sha256_hex(text.encode()) == base_sha256:
        raise Conflict("text_changed", "Read the text again, send the digest of what you read, and another text than that.")
    if at.row.type == "outcome.void":
        voiding.names_nobody(session, collective, text)  # it becomes a proposal's text, which nobody can hide
    deliberating.may_ask(session, who, collective, queries.charter(session, collective, at.row.charter_n), now)
    if len(waiting(session, proposal)) >= MOST:
        raise Conflict("thread_full", f"At most {MOST} amendments wait at a time; open a proposal instead.")
    made = random_id("amendment")
    digest = threads.keep(session, at.person.sealer, who.contributor, made, text)
    row = Amendment(
        id=made, proposal_id=proposal, author=at.mine.member, base_sha256=base_sha256, digest=digest, state="open", log_index=-1, at=now
    )
    session.add(row)
    session.flush()
    said = {"collective": collective, "proposal": proposal, "text_sha256": sha256_hex(text.encode()), "base_sha256": base_sha256}
    body = {"amendment": made, "digest": digest, **signed(session, runtime, who, "amendment.filed", said, now)}
    row.log_index = log.append(session, [log.personal("amendment.filed", made, body, at.person.sealer, now)], now)
    return keep_act(session, who, collective, made, "amendment.filed", row.log_index, now)


def settle(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, amendment: str, accept: bool, *, now: datetime
) -> None:
    """Accept an amendment, which replaces the text, or leave it to become an alternative: the proposal's author.

    Raises NotFound, Forbidden (not_proposer) or Conflict (thread_frozen, text_changed, amendment_settled, item_hidden).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    row = session.get(Amendment, amendment, populate_existing=True)
    if row is None or row.proposal_id != proposal:
        raise NotFound("not_found", "Look at the amendment's id; it must be one of this proposal.")
    if at.row.author != at.mine.member:
        raise Forbidden("not_proposer", "The proposal's author accepts an amendment, or does not.")
    if accept and row.state == "accepted":
        return  # sent again, also after the freeze
    threads.still_open(at.row, now)
    if not accept and row.state == "alternative":
        return
    if row.state != "open":
        raise Conflict("amendment_settled", "It was settled before.", state=row.state)
    if row.hidden is not None:
        raise Conflict("item_hidden", "It is hidden; appeal that first.")
    leaves = []
    if accept:
        found = threads.words_of(session, runtime, [row.id]).get(row.id)
        if found is None or row.base_sha256 != at.row.text_sha256:
            raise Conflict("text_changed", "It was written for another text, or its author was erased; it can become an alternative.")
        row.state = "accepted"
        replace_text(session, at.row, found[1])
    else:
        leaves = become(session, runtime, queries.collective_of(session, collective), at.row, row, now)
    session.add(row)
    session.flush()
    kind, act = ("amendment.accepted" if accept else "amendment.declined"), random_id("act")
    said = {"collective": collective, "proposal": proposal, "amendment": amendment, "text_sha256": at.row.text_sha256}
    body = signed(session, runtime, who, kind, said, now)
    index = log.append(session, [log.personal(kind, act, body, at.person.sealer, now), *leaves], now)
    keep_act(session, who, collective, act, kind, index, now)


def waiting(session: Session, proposal: str) -> list[Amendment]:
    """Amendments that nobody settled, oldest first."""
    query = select(Amendment).where(Amendment.proposal_id == proposal, Amendment.state == "open")
    return list(session.exec(query.order_by(Amendment.log_index)))  # type: ignore[arg-type]


def of(session: Session, proposal: str) -> list[Amendment]:
    """A proposal's amendments, oldest first."""
    query = select(Amendment).where(Amendment.proposal_id == proposal)
    return list(session.exec(query.order_by(Amendment.log_index)))  # type: ignore[arg-type]


def settle_all(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> list[log.Leaf]:
    """What the freeze does first, the proposal held: what is still open, and not hidden, becomes an alternative. Gives what is to be logged."""
    leaves = []
    for one in waiting(session, row.id):
        if one.hidden is None:
            leaves += become(session, runtime, collective, row, one, now)
    session.flush()
    return leaves


def become(session: Session, runtime: Runtime, collective: Collective, row: Proposal, one: Amendment, now: datetime) -> list[log.Leaf]:
    """A proposal of its own, with the same subject and another text. Of what is erased there is nothing to be decided."""
    one.state = "alternative"
    session.add(one)
    found = threads.words_of(session, runtime, [one.id]).get(one.id)
    if found is None:
        return []
    charter = queries.charter(session, collective.id, collective.charter_n)
    freeze = queries.planned_freeze(charter, row.type, now)
    close = freeze + timedelta(days=charter["ballot_days"])
    made = Proposal(
        id=random_id("proposal"), collective_id=collective.id, type=row.type, author=one.author, charter_n=collective.charter_n, text=found[1],
        text_sha256=sha256_hex(found[1].encode()), policy_id=row.policy_id, charter=row.charter, subject=row.subject, measured=row.measured,
        strike=row.strike, about=row.about, ballots=row.ballots, alternative_to=row.id, state="discussion",
        opened_at=now, freeze_at=freeze, close_at=close, appeal_until=close + timedelta(days=charter["appeal_days"]),
    )  # fmt: skip
    session.add(made)
    session.flush()
    one.alternative_id = made.id
    runtime.jobs.enqueue(session, "deadline", made.id, key="freeze", delay=(freeze - now).total_seconds())
    body = {"collective": collective.id, "decision": row.type, "text_sha256": made.text_sha256, "alternative_to": row.id}
    return [log.institutional("alternative.opened", made.id, body, now)]
