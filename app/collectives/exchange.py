"""A Polis export as statements of a thread, and a thread as such an export.

What was said and voted elsewhere counts beside the members' votes and never as one of them: it puts no statement past the mark at which
it is owed an answer. Written back, imported rows have the ids that they came with; members' votes have each a number of its own, so that
no two of them can be joined, and the day of the thread's freeze.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count, repeat
from pathlib import Path
from threading import Lock

import sqlalchemy as sa
from sqlmodel import Session, select

from app.collectives import moderating, threads
from app.collectives.models import Proposal
from app.collectives.service import Acting, keep_act, signed
from app.collectives.thread_models import Moderation, OutsideVote, Statement
from app.core import mirror, polis
from app.core.canonical import canonical, sha256_hex
from app.core.thread import MOST_STATEMENTS
from app.kit.errors import Conflict, Invalid, Unavailable
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

_OUTSIDE = OutsideVote.__table__  # type: ignore[attr-defined]


def take_in(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, comments: str, votes: str, *, now: datetime
) -> tuple[int, int, int]:
    """Import an export, once for a proposal: a steward, while it is discussed. Gives how many statements and votes, and the log index.

    Raises NotFound, Forbidden (not_steward), Invalid (polis_invalid) or Conflict (thread_frozen, polis_again, statements_full).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    moderating.as_steward(at.mine, now)
    threads.still_open(at.row, now)
    try:
        given = polis.parse(comments, votes)
    except polis.PolisError as error:
        raise Invalid("polis_invalid", str(error)[:1].upper() + str(error)[1:] + ".") from None
    there = threads.statements(session, proposal)
    if any(one.number is not None for one in there):
        raise Conflict("polis_again", "An export was imported here; open another proposal for another.")
    if len(there) + len(given.statements) > MOST_STATEMENTS:
        raise Conflict("statements_full", f"A proposal has at most {MOST_STATEMENTS} statements.")
    act, sealer, rows = random_id("act"), threads.outside(runtime), {}
    for one in given.statements:
        made = random_id("statement")
        rows[one.number] = Statement(
            id=made, proposal_id=proposal, digest=threads.keep(session, sealer, None, made, one.text), log_index=-1, at=now, number=one.number,
            outside_author=one.author, moderated=one.moderated, said_ms=one.at, hidden="elsewhere" if one.moderated < 0 else None,
        )  # fmt: skip
    session.add_all(rows.values())
    session.flush()
    if given.votes:
        session.execute(
            sa.insert(_OUTSIDE),
            [{"statement_id": rows[v.comment].id, "n": n, "voter": v.voter, "vote": v.vote, "at_ms": v.at} for n, v in enumerate(given.votes)],
        )
    hidden = [
        Moderation(
            id=random_id("moderation"), collective_id=collective, proposal_id=proposal, item_id=row.id, kind="statement", reason="elsewhere",
            state="hidden", steward=at.mine.member, log_index=-1, at=now,
        )
        for row in rows.values()
        if row.hidden is not None
    ]  # fmt: skip
    session.add_all(hidden)
    session.flush()
    # That statements were left out of sight is in the open, as it is when a steward hides one.
    told = {"collective": collective, "proposal": proposal, "kind": "statement", "reason": "elsewhere", "items": log.bucket(len(hidden))}
    leaves = [log.institutional("thread.hidden", hidden[0].id, told, now)] if hidden else []
    said = {
        "collective": collective, "proposal": proposal, "comments_sha256": sha256_hex(comments.encode()), "votes_sha256": sha256_hex(votes.encode()),
    }  # fmt: skip
    body = {"statements": len(rows), "votes": len(given.votes), **signed(session, runtime, who, "statements.imported", said, now)}
    index = log.append(session, [log.personal("statements.imported", act, body, at.person.sealer, now), *leaves], now)
    session.execute(
        sa.update(Statement).where(Statement.proposal_id == proposal, Statement.number != None).values(log_index=index)  # type: ignore[arg-type]
    )
    for row in hidden:
        row.log_index = index + 1
        session.add(row)
    session.flush()
    keep_act(session, who, collective, act, "statements.imported", index, now)
    return len(rows), len(given.votes), index


def write_out(session: Session, runtime: Runtime, row: Proposal) -> tuple[str, str]:
    """A frozen thread as comments.csv and votes.csv. What is hidden here is left out; what was moderated out elsewhere comes along as that.

    Raises Conflict (proposal_state) while it is discussed: a file is of what a ballot was about, and until the freeze that still changes.
    """
    if row.state == "discussion":
        raise Conflict("proposal_state", "It is written out once text and thread are frozen.", state=row.state)
    found = [one for one in threads.statements(session, row.id) if one.hidden in (None, "elsewhere")]
    words = threads.words_of(session, runtime, [one.id for one in found])
    at = int(datetime.fromisoformat(row.freeze_at.date().isoformat() + "T00:00:00+00:00").timestamp()) * 1000
    query = select(OutsideVote).where(OutsideVote.statement_id.in_([one.id for one in found]))  # type: ignore[attr-defined]
    rows = session.exec(query.order_by(OutsideVote.n)).all()  # type: ignore[arg-type]
    numbers = count(max((one.number for one in found if one.number is not None), default=-1) + 1)
    people = count(max([*(v.voter for v in rows), *(one.outside_author or 0 for one in found)], default=-1) + 1)
    named = {one.id: one.number if one.number is not None else next(numbers) for one in found}
    statements = [
        polis.Statement(
            at if one.said_ms is None else one.said_ms, named[one.id], next(people) if one.outside_author is None else one.outside_author,
            1 if one.moderated is None else one.moderated, words[one.id][1] if one.id in words else "(erased)",
        )
        for one in found
    ]  # fmt: skip
    votes = [polis.Vote(v.at_ms, named[v.statement_id], v.voter, v.vote) for v in rows]
    for one in found:
        for vote, n in ((1, one.agree), (-1, one.disagree), (0, one.passed)):
            votes += [polis.Vote(at, named[one.id], next(people), vote) for _ in repeat(None, n)]
    return polis.write(statements, votes)


@dataclass(frozen=True)
class Groups:
    """A mirror and what it was made of: the statements that are shown, in its order, and what each group said of each of them."""

    mirror: mirror.Mirror
    statements: tuple[str, ...]
    said: tuple[tuple[dict[str, int | None], ...], ...]
    votes_sha256: str


def groups(session: Session, row: Proposal) -> Groups:
    """Opinion groups among those whose votes were imported. Of members there are none: their votes are joined for nobody.

    Raises Unavailable (unavailable) while another is made: it takes seconds, in which nobody waits with a session in hand.
    """
    shown = [one for one in threads.statements(session, row.id) if one.number is not None and one.hidden is None]
    # An import happens once, and its votes never change: what is shown of it says which.
    key = (row.id, tuple(one.id for one in shown))
    if (seen := _SEEN.get(key)) is not None:
        return seen
    if not _LOOKING.acquire(blocking=False):
        raise Unavailable("unavailable", "Ask again in some seconds; groups are being looked for.", retry_after=5)
    try:
        found = _look(session, shown)
        if len(_SEEN) >= 100:
            _SEEN.clear()
        _SEEN[key] = found
        return found
    finally:
        _LOOKING.release()


_SEEN: dict[tuple[str, tuple[str, ...]], Groups] = {}
_LOOKING = Lock()


def _look(session: Session, shown: list[Statement]) -> Groups:
    place = {one.id: n for n, one in enumerate(shown)}
    voters: dict[int, dict[int, int]] = {}
    query = select(OutsideVote).where(OutsideVote.statement_id.in_(list(place)))  # type: ignore[attr-defined]
    for vote in session.exec(query.order_by(OutsideVote.n)):  # type: ignore[arg-type]
        voters.setdefault(vote.voter, {})[place[vote.statement_id]] = vote.vote
    votes = tuple(voters[voter] for voter in sorted(voters))
    cast = [[shown[n].number, said] for one in votes for n, said in sorted(one.items())]
    found = mirror.look(votes)
    said = tuple(tuple(mirror.told(votes, group, n) for n in range(len(shown))) for group in found.groups)
    return Groups(found, tuple(place), said, sha256_hex(canonical([cast, [len(one) for one in votes]])))


@cache
def code_sha256() -> str:
    """The digest of the code that makes mirrors."""
    return sha256_hex(Path(mirror.__file__).read_bytes())
