"""Hide what a steward must, with a reason of a closed list, in a log that everybody reads who may read the collective; appeal; decide.

Nothing is deleted: its author and the stewards still read it, and its digest stands in the frozen thread as it did. Whom a proposal is of
or about hides nothing in its thread and decides nothing there. An appeal is decided by another steward than the one who hid it, who wrote
it, or who appealed. Where there is none, or nobody decides in time, that is what is shown; nothing settles an appeal by keeping silent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import amendments, queries, threads
from app.collectives.models import Membership, Proposal
from app.collectives.service import Acting, acting, keep_act, proof, signed
from app.collectives.thread_models import Amendment, ClosureNote, Comment, Moderation, NoteAppeal, Statement
from app.core.canonical import sha256_hex
from app.core.thread import HIDING
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound
from app.kit.ids import PREFIXES, random_id
from app.kit.runtime import Runtime
from app.log import service as log

TIME = timedelta(days=7)
"""How long another steward has to decide an appeal."""
WAITING = ("appealed", "undecided")


class _Kind(NamedTuple):
    """What can be hidden: its table and name, and the columns of its id, of why it is hidden, and of who said it."""

    table: Any
    name: str
    id: str = "id"
    hidden: str = "hidden"
    author: str = "author"


_KINDS = (
    ("stm", _Kind(Statement, "statement")), ("cmt", _Kind(Comment, "comment")), ("amd", _Kind(Amendment, "amendment")),
    ("ans", _Kind(Statement, "answer", "answer_id", "answer_hidden", "answered_by")), ("cln", _Kind(ClosureNote, "closure-note")),
    ("ans", _Kind(Statement, "answer", "stand_in_id", "stand_in_hidden", "stood_in_by")), ("apl", _Kind(NoteAppeal, "appeal")),
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Something that was said on a proposal."""

    id: str
    row: Any
    kind: _Kind

    @property
    def hidden(self) -> str | None:
        """Why it is out of sight, if it is."""
        found: str | None = getattr(self.row, self.kind.hidden)
        return found

    @property
    def author(self) -> str | None:
        """Who said it, by pseudonym."""
        found: str | None = getattr(self.row, self.kind.author)
        return found

    def set_hidden(self, session: Session, reason: str | None) -> None:
        """Hide it, or show it again."""
        setattr(self.row, self.kind.hidden, reason)
        session.add(self.row)


def hide(session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, item: str, reason: str, *, now: datetime) -> str:
    """Hide what was said on a proposal (a statement, its answer, a comment, an amendment, a closure note, the appeal of one): a steward, at
    any time. Gives the moderation's id.

    Raises NotFound, Forbidden (not_steward, steward_involved), Invalid (reason_unknown) or Conflict (item_hidden, moderation_settled).
    """
    acting(session, runtime, who)
    queries.member(session, collective, who)
    row = queries.proposal(session, collective, proposal, lock=True)
    _, mine = queries.member(session, collective, who, lock=True)
    found = _item(session, proposal, item)
    as_steward(mine, now)
    if conflicted(session, row, mine) or mine.member in _other_side(session, found):
        raise Forbidden("steward_involved", "Ask another steward: not who proposed it, nor whom it is about, nor who appealed or is appealed.")
    if reason not in HIDING:
        raise Invalid("reason_unknown", "Use a reason listed in `known`.", known=list(HIDING))
    if found.hidden is not None:
        raise Conflict("item_hidden", "It is hidden already.")
    before = select(Moderation.id).where(Moderation.item_id == item, Moderation.state == "restored", Moderation.steward == mine.member)
    if session.exec(before.limit(1)).first() is not None:
        raise Conflict("moderation_settled", "Another steward restored it after an appeal; leave it to them.")
    # An act in office is the steward's, and its leaf holds no name: the passkey is asked for, and nothing of it kept.
    proof(session, runtime, who, "thread.hidden", {"collective": collective, "proposal": proposal, "item": item, "reason": reason}, now)
    found.set_hidden(session, reason)
    made = Moderation(
        id=random_id("moderation"), collective_id=collective, proposal_id=proposal, item_id=found.id, kind=found.kind.name, reason=reason,
        state="hidden", steward=mine.member, log_index=-1, at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    body = {"collective": collective, "proposal": proposal, "item": made.item_id, "kind": made.kind, "reason": reason}
    made.log_index = log.append(session, [log.institutional("thread.hidden", made.id, body, now)], now)
    session.add(made)
    session.flush()
    return made.id


def appeal(session: Session, runtime: Runtime, who: Acting, collective: str, moderation: str, text: str, *, now: datetime) -> str:
    """Appeal that something was hidden: any member, once, but not who hid it; and its author still, where another's appeal was turned
    down. Gives the act.

    Raises NotFound, Forbidden (steward_involved) or Conflict (appeal_settled).
    """
    person = acting(session, runtime, who)
    queries.member(session, collective, who)
    row, proposal = _held(session, collective, moderation)
    _, mine = queries.member(session, collective, who, lock=True)
    if mine.member == row.steward:
        raise Forbidden("steward_involved", "Who hid it does not appeal that.")
    if not may_appeal(session, row, mine):
        raise Conflict("appeal_settled", "It was appealed before; read what became of it.", state=row.state)
    place = appeals_of(row.id)[row.state == "hidden"]
    digest = threads.keep(session, person.sealer, who.contributor, place, text)
    row.appealed_by, row.decide_by = mine.member, now + TIME
    row.state = "appealed" if deciders(session, proposal, _involved(session, row), now) else "undecided"
    session.add(row)
    session.flush()
    runtime.jobs.enqueue(session, "deadline", proposal.id, key=f"appeal-{place}", delay=TIME.total_seconds() + 1)
    act = random_id("act")
    said = {"collective": collective, "proposal": proposal.id, "moderation": row.id, "text_sha256": sha256_hex(text.encode())}
    body = {"digest": digest, **signed(session, runtime, who, "moderation.appealed", said, now)}
    index = log.append(session, [log.personal("moderation.appealed", act, body, person.sealer, now)], now)
    return keep_act(session, who, collective, act, "moderation.appealed", index, now)


def may_appeal(session: Session, row: Moderation, mine: Membership) -> bool:
    """Whether a member can appeal that something was hidden: any but who hid it, and its author once more after another's was turned down."""
    found = there(session, row.proposal_id, row.item_id)
    again = row.state == "upheld" and found is not None and mine.member == found.author != row.appealed_by
    return mine.member != row.steward and (row.state == "hidden" or again)


def decide(session: Session, runtime: Runtime, who: Acting, collective: str, moderation: str, restore: bool, *, now: datetime) -> str:
    """Decide an appeal: a steward who has no part in it. Gives the moderation's id.

    Raises NotFound, Forbidden (not_steward, steward_involved) or Conflict (appeal_settled).
    """
    acting(session, runtime, who)
    queries.member(session, collective, who)
    row, proposal = _held(session, collective, moderation)
    _, mine = queries.member(session, collective, who, lock=True)
    as_steward(mine, now)
    if row.state not in WAITING:
        if (row.state, row.decided_by) == ("restored" if restore else "upheld", mine.member):
            return row.id  # sent again
        raise Conflict("appeal_settled", "There is no appeal that waits to be decided.", state=row.state)
    if not may_decide(session, row, proposal, mine, now):
        raise Forbidden("steward_involved", "Another steward decides: not who hid it, wrote it, appealed or decided before, nor a party.")
    proof(session, runtime, who, "moderation.decided", {"collective": collective, "moderation": row.id, "restore": restore}, now)
    row.state, row.decided_by = "restored" if restore else "upheld", mine.member
    leaves: list[log.Leaf] = []
    if restore:
        found = there(session, proposal.id, row.item_id)
        if found is not None:
            found.set_hidden(session, None)
        if found is not None and isinstance(found.row, Amendment) and found.row.state == "open" and proposal.state != "discussion":
            leaves = amendments.become(session, runtime, queries.collective_of(session, collective), proposal, found.row, now)
    session.add(row)
    session.flush()
    body = {"collective": collective, "proposal": proposal.id, "item": row.item_id, "kind": row.kind, "state": row.state}
    log.append(session, [log.institutional("thread.restored" if restore else "thread.upheld", row.id, body, now), *leaves], now)
    return row.id


def may_decide(session: Session, row: Moderation, proposal: Proposal, mine: Membership, now: datetime) -> bool:
    """Whether a member can decide an appeal that waits: a steward in office who has no part in it."""
    waits = row.state in WAITING and queries.in_office(mine, now)
    return waits and mine.member not in _involved(session, row) and not conflicted(session, proposal, mine)


def lapse(session: Session, proposal: str, now: datetime) -> list[log.Leaf]:
    """Appeals that nobody decided in time are undecided, and can still be decided; gives the leaves that say so."""
    late = select(Moderation).where(Moderation.proposal_id == proposal, Moderation.state == "appealed", Moderation.decide_by <= now)  # type: ignore[operator]
    leaves = []
    for row in session.exec(late.order_by(Moderation.id)):
        row.state = "undecided"
        session.add(row)
        body = {"collective": row.collective_id, "proposal": proposal, "item": row.item_id, "kind": row.kind, "state": row.state}
        leaves.append(log.institutional("thread.undecided", row.id, body, now))
    return leaves


def deciders(session: Session, row: Proposal, involved: set[str], now: datetime) -> list[str]:
    """The stewards who have no part in something that was said on a proposal."""
    query = select(Membership).where(Membership.collective_id == row.collective_id, queries.stewards(now))
    return [one.member for one in session.exec(query) if one.member not in involved and not conflicted(session, row, one)]


def conflicted(session: Session, row: Proposal, mine: Membership) -> bool:
    """Whether a proposal is somebody's own, or about them, or about a lab that they declared an interest in."""
    return mine.member in (row.author, row.subject) or queries.says_so(session, row, mine)


def appeals_of(moderation: str) -> tuple[str, str]:
    """Where the words of appeals lie: of an author's own when another member's was decided before, and of the first."""
    return PREFIXES["appeal"] + moderation[len(PREFIXES["moderation"]) :], moderation


def as_steward(mine: Membership, now: datetime) -> None:
    """Raises Forbidden (not_steward), also for one whose term is over and not ended yet."""
    if not queries.in_office(mine, now):
        raise Forbidden("not_steward", "A steward does that; ask one.")


def page(session: Session, collective: str, after: str | None, limit: int) -> list[Moderation]:
    """What was hidden in a collective, in the order of the log; what an import hid together has one place there."""
    query = select(Moderation).where(Moderation.collective_id == collective)
    if after is not None:
        last = session.get_one(Moderation, after)
        query = query.where(sa.tuple_(Moderation.log_index, Moderation.id) > sa.tuple_(sa.literal(last.log_index), sa.literal(last.id)))  # type: ignore[arg-type]
    return list(session.exec(query.order_by(Moderation.log_index, Moderation.id).limit(limit)))  # type: ignore[arg-type]


def rate(session: Session, collective: str) -> tuple[int, int]:
    """How much was said that can be hidden, and how much of it is."""
    said = hidden = 0
    for _, kind in _KINDS:
        columns = kind.table.__table__.c
        ids = sa.select(Proposal.id).where(Proposal.collective_id == collective)  # type: ignore[call-overload]
        query = sa.select(sa.func.count(columns[kind.id]), sa.func.count(columns[kind.hidden])).where(columns.proposal_id.in_(ids))
        one, of_them = session.execute(query).one()
        said, hidden = said + one, hidden + of_them
    return said, hidden


def _held(session: Session, collective: str, moderation: str) -> tuple[Moderation, Proposal]:
    row = session.get(Moderation, moderation)
    if row is None or row.collective_id != collective:
        raise NotFound("not_found", "Look at the moderation's id.")
    proposal = queries.proposal(session, collective, row.proposal_id, lock=True)
    session.refresh(row)
    return row, proposal


def _item(session: Session, proposal: str, item: str) -> Item:
    found = there(session, proposal, item)
    if found is None:
        raise NotFound("not_found", "Look at the id; it must be of something that was said on this proposal, and not been replaced.")
    return found


def there(session: Session, proposal: str, item: str) -> Item | None:
    """What was said on a proposal, by its id, unless it was replaced since."""
    for kind in (kind for prefix, kind in _KINDS if prefix == item[:3]):
        here = select(kind.table).where(kind.table.proposal_id == proposal, getattr(kind.table, kind.id) == item)
        found = session.exec(here.execution_options(populate_existing=True)).first()
        if found is not None:
            return Item(item, found, kind)
    return None


def _other_side(session: Session, found: Item) -> set[str]:
    """Whoever a closure note and its appeal set against each other: neither hides the other's words."""
    author: str | None = None
    if isinstance(found.row, NoteAppeal):
        author = session.get_one(ClosureNote, found.row.note_id).author
    elif isinstance(found.row, ClosureNote):
        author = session.exec(select(NoteAppeal.author).where(NoteAppeal.note_id == found.id)).first()
    return set() if author is None else {author}


def _involved(session: Session, row: Moderation) -> set[str]:
    """Who hid, wrote or appealed, and who decided an earlier appeal."""
    found = there(session, row.proposal_id, row.item_id)
    parts = (row.steward, row.appealed_by, row.decided_by, None if found is None else found.author)
    others = set() if found is None else _other_side(session, found)
    return {member for member in parts if member is not None} | others
