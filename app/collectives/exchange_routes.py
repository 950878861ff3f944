"""HTTP for the exchange with Polis: for members alone. To platforms and labs nothing is there."""

from math import floor

from fastapi import APIRouter

from app.collectives import exchange, queries
from app.collectives.router import Member, once_for
from app.collectives.service import Acting
from app.collectives.thread_schemas import GroupOut, GroupSaidOut, GroupsOut, ImportedOut, PolisFiles, PolisOut
from app.core import mirror
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep

router = APIRouter(prefix="/v1", tags=["collectives"], route_class=StrictRoute)
_HERE = "/collectives/{collective}/proposals/{proposal}"


@router.post(_HERE + "/polis", status_code=201, response_model=ImportedOut, summary="Import a Polis export")
def take_in(
    collective: str, proposal: str, given: PolisFiles, runtime: RuntimeDep, session: SessionDep, receipt: Member,
    idempotency_key: IdempotencyHeader = None,
) -> ImportedOut:  # fmt: skip
    """A steward, once for a proposal. Its votes stand beside the members' and count as none of theirs."""
    now, who = runtime.clock.now(), Acting.of(receipt)
    made = once_for(
        receipt, f"polis/{proposal}", idempotency_key, given, session, runtime,
        lambda: " ".join(map(str, exchange.take_in(session, runtime, who, collective, proposal, given.comments, given.votes, now=now))),
    )  # fmt: skip
    statements, votes, index = map(int, made.split())
    return ImportedOut(statements=statements, votes=votes, log_index=index)


@router.get(_HERE + "/polis", response_model=PolisOut, summary="A thread as a Polis export")
def write_out(collective: str, proposal: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: Member) -> PolisOut:
    """Once it is frozen. No two votes of a member can be joined in it."""
    queries.member(session, collective, Acting.of(receipt))
    comments, votes = exchange.write_out(session, runtime, queries.proposal(session, collective, proposal))
    return PolisOut(comments=comments, votes=votes)


@router.get(_HERE + "/groups", response_model=GroupsOut, summary="Opinion groups among those whose votes were imported")
def read_groups(collective: str, proposal: str, session: ReadSessionDep, receipt: Member) -> GroupsOut:
    """A mirror with its stability, and never a gate. Members' own votes are not in it: they are joined for nobody."""
    queries.member(session, collective, Acting.of(receipt))
    found = exchange.groups(session, queries.proposal(session, collective, proposal))
    seen = found.mirror
    groups = [
        GroupOut(
            people=len(group),
            statements=[
                GroupSaidOut(statement=one, agree=said["agree"], disagree=said["disagree"], passed=said["pass"])
                for one, said in zip(found.statements, what, strict=True)
            ],
        )
        for group, what in zip(seen.groups, found.said, strict=True)
    ]
    return GroupsOut(
        method=mirror.METHOD, code_sha256=exchange.code_sha256(), votes_sha256=found.votes_sha256, people=seen.people, beginnings=mirror.BEGINNINGS,
        stability=None if seen.stability is None else floor(100 * seen.stability), holds=floor(100 * mirror.HOLDS), groups=groups, why=seen.why,
    )  # fmt: skip
