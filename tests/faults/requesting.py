"""The flows of a lab's request that a collective decides on: each made to fail in tests/faults/test_every_call.py."""

from collections.abc import Iterator
from typing import Any

from app.agreements import review
from app.agreements.models import Request
from app.collectives import queries, refusals
from app.kit.db import write
from tests.collectives.members import founded, joined, mandated, people
from tests.faults.deliberating import answered
from tests.faults.world import Flow, Made, World, of
from tests.support import EVALUATION, LabParty


def _union(w: World) -> list[Any]:
    """As many people as a lab may be told of, in a collective that decides itself; the same in every try."""
    if "members" not in w.kept:
        (founder, _), *others = people(w.service, w.platform, queries.FEWEST)
        union = founded(founder, asks=50, requests="decide")
        w.kept["members"] = [union, *(joined(union, person) for person, _ in others)]
        for one in w.kept["members"]:
            mandated(w.service, one)
    found: list[Any] = w.kept["members"]
    return found


@of(
    "POST /v1/requests/{request}/threads/{thread}/comments",
    "PUT /v1/requests/{request}/threads/{thread}/statements/{statement}/answer",
    *(f"{method} /v1/labs/me/refusals/{{refusal}}/reply" for method in ("POST", "DELETE")),
    "job asked",
    "job review",
)
def request_decided(w: World) -> Iterator[Made]:
    first, second, *_ = _union(w)
    lab = w.service.lab()
    token = lab.sdk._auth.header().removeprefix("Bearer ")
    asked, thread = _asked(w, lab, EVALUATION)
    late, _ = _asked(w, lab, {**EVALUATION, "purposes": ["dpv:ResearchAndDevelopment"]})
    path, where = f"/v1/requests/{asked}/threads/{thread}", f"proposal_id = '{thread}'"
    sent = {"text": "Our own staff.", "reasons": ["privacy"]}
    yield w.one_more("comment", path + "/comments", sent, token, where, "request.commented-on")
    yield answered(w, path, second.put_up(thread, "For how long?")["id"], token, "request.explained")
    w.alter(Request, late, review_until=w.service.clock.now())
    yield _refused(w, late, lambda: review.lapse(w.service.runtime, late))
    with write(w.service.runtime.engine) as session:
        row = queries.proposal(session, first.id, thread, lock=True)
        row.state = "failed"
        session.add(row)
        session.flush()
        refusals.note(session, queries.collective_of(session, first.id), row, w.service.clock.now())
    yield _refused(w, asked, lambda: review.take_up(w.service.runtime, thread))
    reply = f"/v1/labs/me/refusals/{thread}/reply"
    yield w.one_more("refusal_reply", reply, {"text": "It is not for adverts."}, token, where, "refusal.replied")
    yield _taken_back(w, reply, thread, token)


def _asked(w: World, lab: LabParty, use: dict[str, Any]) -> tuple[str, str]:
    """(a request that waits for the collective, its thread)"""
    made = lab.sdk.request(use, {"platforms": [w.platform.id]})
    assert made.state == "in_review", made
    [thread] = w.column("SELECT id FROM proposal WHERE request_id = :id", id=made.id)
    return made.id, thread


def _refused(w: World, request: str, act: Any) -> Made:
    logged = w.leaves("request.refused")

    def holds() -> None:
        assert w.column("SELECT state FROM request WHERE id = :id", id=request) == ["refused"]
        logged()

    return lambda: act() or True, holds


def _taken_back(w: World, path: str, refusal: str, token: str) -> Made:
    logged = w.leaves("refusal.reply-erased")

    def holds() -> None:
        counted = "SELECT count(*) FROM refusal_reply r JOIN thread_words w ON w.item_id = r.id WHERE r.proposal_id = :id"
        assert w.count(counted, id=refusal) == 0
        logged()

    return lambda: w.delete(path, token, (200, 404)), holds  # 404 where it was taken back and the answer lost


FLOWS: list[Flow] = [request_decided]
