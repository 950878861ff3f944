"""Statements on a proposal, and opinion groups: said in a sentence, weighed by one tap each, answered by who proposed.

A statement that waits for the reader's word is shown by itself, without counts: nobody is told what others think before they say what they
do. The list has all of them, with the counts that the API gives.
"""

from math import floor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from app.collectives import deliberating, exchange, moderating, queries, telling, threads
from app.collectives.service import Acting
from app.collectives.thread_schemas import AnswerIn, PolisFiles, StatementIn, StatementOut, WeighIn
from app.core import mirror
from app.core.thread import STATEMENTS
from app.kit.access import BY_MEMBER, naming
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.kit.ids import is_id
from app.kit.runtime import Runtime
from app.web import thread_words
from app.web.collective_pages import built, fresh_key, member, once, perform, reader, words
from app.web.rendering import HEADERS, PageRoute, page

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[BY_MEMBER])
PROPOSAL = "/r/collectives/{collective}/proposals/{proposal}"
SHOWN = 25
"""Statements, or comments with their replies, on one page."""
FEW = 5
"""Statements told of for each group: what most of it agrees with, and what most of it does not."""
Word = Annotated[str, Query(max_length=80)]
Number = Annotated[int, Query(ge=1, le=10_000)]


def around(request: Request, session: Session, runtime: Runtime, collective: str, proposal: str, *, members: bool = False) -> dict[str, Any]:
    """What every page of a thread shows and asks: who is there, which proposal, and what they may do in it. Raises what `reader` does, and
    of a page for `members` alone NotFound (not_found) for who is none."""
    here, row = reader(request, session, collective, proposal)
    if members and here.mine is None:
        raise NotFound("not_found", "Look at the id; it must be of a group that you belong to.")
    now, mine = runtime.clock.now(), here.mine
    return {
        "here": here, "row": row, "base": f"{here.home}/proposals/{row.id}", "me": None if mine is None else mine.member, "now": now,
        "open": row.state == "discussion" and row.freeze_at > now, "voice": queries.has_voice(mine, now),
        "steward": queries.in_office(mine, now), "words": thread_words, "once": fresh_key(),
        "moderates": mine is not None and queries.in_office(mine, now) and not moderating.conflicted(session, row, mine),
    }  # fmt: skip


def yes(form: dict[str, str], name: str) -> bool | None:
    """Which of two buttons was pressed, if it was one of them."""
    return {"yes": True, "no": False}.get(form.get(name, ""))


def base_of(collective: str, proposal: str) -> str:
    """The address that a thread's pages begin with."""
    return PROPOSAL.format(collective=collective, proposal=proposal)


# -- statements --------------------------------------------------------------------------------------------------------
@router.get(PROPOSAL + "/statements")
def show_statements(
    collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, all: Word = "", at: Number = 1,
    show: Word = "", said: Word = "",
) -> Response:  # fmt: skip
    """The next one that waits for the reader's word; or (`all`) the list, or of it those that wait for an answer."""
    values = around(request, session, runtime, collective, proposal)
    here, row = values["here"], values["row"]
    found, mine = threads.statements(session, row.id), telling.own_votes(session, runtime, row, here.receipt)
    waits = [one.id for one in found if one.hidden is None and one.id not in mine] if values["open"] and values["voice"] else []
    owed = set(threads.owed(session, runtime, row, here.charter, values["now"]))
    until, acts = threads.last_statement(row, here.charter), values["open"] and values["voice"]

    def told(ids: list[str]) -> list[StatementOut]:
        """Only what is shown is opened."""
        return telling.statements(session, runtime, collective, row.id, here.receipt, ids, owed)

    values |= {
        "found": found, "waits": waits, "owed": owed, "until": until, "most": STATEMENTS, "takes": acts and values["now"] < until,
        "answers": acts and (here.mine.member == row.author or values["steward"]), "stands_in": here.mine is None or here.mine.member != row.author,
    }  # fmt: skip
    if all != "1":
        both = {one.id: one for one in told([said, *waits[:1]] if is_id("statement", said) else waits[:1])}
        return page("statements.html", said=both.get(said), one=both[waits[0]] if waits else None, **values)
    listed = [one.id for one in found if show != "owed" or one.id in owed]
    pages = max(1, -(-len(listed) // SHOWN))
    at = min(at, pages)
    shown = told(listed[SHOWN * (at - 1) : SHOWN * at])
    return page("statements_all.html", shown=shown, before=SHOWN * (at - 1), at=at, pages=pages, show=show, **values)


@router.post(PROPOSAL + "/statements")
async def put_up(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(StatementIn, "Go back and write one sentence, of at most 280 letters.", text=words(form, "text"))
        made = once(
            session, runtime, who, f"statements/{proposal}", form,
            lambda: deliberating.put_up(session, runtime, who, collective, proposal, given.text, now=runtime.clock.now()),
        )  # fmt: skip
        return f"{base_of(collective, proposal)}/statements?said={made}"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/statements/{statement}/vote")
async def weigh(collective: str, proposal: str, statement: str, request: Request, runtime: RuntimeDep) -> Response:
    """From the page of one it leads on to the next; from the list back to its place there."""

    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(WeighIn, "Go back and use one of the three buttons.", choice=form.get("choice", ""))
        deliberating.weigh(session, runtime, who, collective, proposal, statement, given.choice, now=runtime.clock.now())
        address = f"{base_of(collective, proposal)}/statements"
        at = form.get("at", "")
        place = int(at[:5]) if at.isascii() and at.isdigit() else 0
        return f"{address}?all=1&at={place}#{statement}" if 1 <= place < 10_000 else f"{address}?said={statement}"

    return await perform(request, runtime, deed)


@router.post(PROPOSAL + "/statements/{statement}/answer")
async def answer(collective: str, proposal: str, statement: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        given = built(AnswerIn, "Go back and write an answer of at most 2000 letters.", text=words(form, "text"))
        deliberating.answer(session, runtime, who, collective, proposal, statement, given.text, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/statements?all=1&show=owed"

    return await perform(request, runtime, deed)


# -- the mirror, and the exchange with Polis ------------------------------------------------------------------------------
@router.get(PROPOSAL + "/statements/groups")
def show_groups(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """Opinion groups among those whose votes were brought in: a mirror with its stability, by which nothing is decided."""
    values = around(request, session, runtime, collective, proposal, members=True)
    found = exchange.groups(session, values["row"])
    told = {one.id: one for one in telling.statements(session, runtime, collective, proposal, values["here"].receipt, found.statements, ())}
    stability = None if found.mirror.stability is None else floor(100 * found.mirror.stability)
    groups = [
        {"people": len(people), **_lean([told[one] for one in found.statements], said)}
        for people, said in zip(found.mirror.groups, found.said, strict=True)
    ]
    return page(
        "groups.html", why=found.mirror.why, people=found.mirror.people, groups=groups, stability=stability, beginnings=mirror.BEGINNINGS,
        held=None if stability is None else thread_words.held(stability), method=mirror.METHOD, code=exchange.code_sha256(),
        votes=found.votes_sha256, **values,
    )  # fmt: skip


def _lean(statements: list[StatementOut], said: tuple[dict[str, int | None], ...]) -> dict[str, list[tuple[StatementOut, int]]]:
    """What most of a group agrees with and does not, each with how many, the most first."""
    out: dict[str, list[tuple[StatementOut, int]]] = {}
    for name, other in (("agree", "disagree"), ("disagree", "agree")):
        most = [(one, n) for one, what in zip(statements, said, strict=True) if (n := what[name]) is not None and n > (what[other] or 0)]
        out[name] = sorted(most, key=lambda pair: (-pair[1], pair[0].id))[:FEW]
    return out


@router.get(PROPOSAL + "/statements/polis")
def show_polis(collective: str, proposal: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """Bring an export in, or save the thread as one."""
    values = around(request, session, runtime, collective, proposal, members=True)
    imported = any(one.number is not None for one in threads.statements(session, proposal))
    return page("polis.html", imported=imported, **values)


@router.get(PROPOSAL + "/statements/polis/{name}", dependencies=[naming("name")])
def save_polis(collective: str, proposal: str, name: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """`comments.csv` and `votes.csv`, once the thread is frozen."""
    member(request, session, collective)
    row = queries.proposal(session, collective, proposal)
    if name not in ("comments.csv", "votes.csv"):
        raise NotFound("not_found", "Open the page again and use its links.")
    text = dict(zip(("comments.csv", "votes.csv"), exchange.write_out(session, runtime, row), strict=True))[name]
    return Response(text, media_type="text/csv; charset=utf-8", headers={**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'})


@router.post(PROPOSAL + "/statements/polis")
async def take_in(collective: str, proposal: str, request: Request, runtime: RuntimeDep) -> Response:
    def deed(session: Session, who: Acting, form: dict[str, str]) -> str:
        files = {name: form.get(name, "").replace("\r\n", "\n") for name in ("comments", "votes")}
        given = built(PolisFiles, "Go back and put the text of both files in.", **files)
        exchange.take_in(session, runtime, who, collective, proposal, given.comments, given.votes, now=runtime.clock.now())
        return f"{base_of(collective, proposal)}/statements?all=1"

    return await perform(request, runtime, deed)
