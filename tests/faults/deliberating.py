"""The flows of a thread, of what stewards decide in it, and of the note on its outcome: each made to fail in tests/faults/test_every_call.py."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sayso.collective import Collective

from app.collectives import terms, voting
from app.collectives.models import Membership
from app.collectives.thread_models import NoteAppeal
from app.kit.clock import rfc3339
from app.kit.db import write
from app.releases import labels
from app.releases.models import ReleaseOutcome
from tests.collectives.members import founded, joined, people, steward
from tests.faults.together import NARROW
from tests.faults.world import Flow, Made, World, of
from tests.support import until

POLIS = {
    "comments": "timestamp,comment-id,author-id,moderated,comment-body\n1,0,7,1,More of it.\n1,1,7,-1,Less of it.\n",
    "votes": "timestamp,comment-id,voter-id,vote\n2,0,8,1\n2,1,8,-1\n3,0,9,0\n",
}


def _union(w: World, n: int) -> list[Any]:
    """A collective as its `n` members meet it, the same in every try: the first is a steward, and the last."""
    if "members" not in w.kept:
        (founder, _), *others = people(w.service, w.platform, n)
        union = founded(founder, asks=50)
        w.kept["members"] = [union, *(joined(union, person) for person, _ in others)]
        steward(w.service, w.kept["members"][-1])
    found: list[Any] = w.kept["members"]
    # Nobody says or asks too much of the others in an hour, or a week.
    w.kept["times"] = w.kept.get("times", 0) + 1
    w.service.clock.offset = timedelta(hours=12 * w.kept["times"])
    return found


def _proposed(mine: Any) -> tuple[dict[str, Any], str]:
    """(a new proposal of a member's, its path)"""
    made = mine.propose("policy.narrow", "Less.", policy=NARROW["policy"])
    return made, f"/v1/collectives/{mine.id}/proposals/{made['id']}"


@of(
    *(f"{method} /v1/collectives/{{collective}}/proposals/{{proposal}}/petition" for method in ("PUT", "DELETE")),
    "POST /v1/collectives/{collective}/proposals/{proposal}/amendments",
    "PUT /v1/collectives/{collective}/proposals/{proposal}/amendments/{amendment}/decision",
    "PUT /v1/collectives/{collective}/proposals/{proposal}/statements/{statement}/answer",
    "POST /v1/collectives/{collective}/proposals/{proposal}/polis",
    "POST /v1/collectives/{collective}/moderations/{moderation}/appeal",
    "PUT /v1/collectives/{collective}/moderations/{moderation}/decision",
    "PUT /v1/collectives/{collective}/proposals/{proposal}/day",
    "job steward",
)
def thread(w: World) -> Iterator[Made]:
    first, author, second = _union(w, 3)
    proposal, path = _proposed(author)
    here, me = proposal["id"], author._person.receipt
    yield _signed(w, path, here, second, True)
    yield _signed(w, path, here, second, False)
    sent = {"text": "Least.", "base_sha256": proposal["text_sha256"], "base_effect_sha256": proposal["effect_sha256"]}
    yield w.one_more("amendment", path + "/amendments", sent, me, f"proposal_id = '{here}'", "amendment.filed")
    yield _settled(w, path, here, me, False)
    author.amend(proposal, "Least of all.")
    yield _settled(w, path, here, me, True)
    yield answered(w, path, second.put_up(here, "Why?")["id"], me)
    yield _imported(w, path, here, first)
    said = author.comment(here, w.name(), ["aim"])["id"]
    hidden = first.hide(here, said, "off-topic")["id"]
    appeal = f"/v1/collectives/{author.id}/moderations/{hidden}/appeal"
    yield w.one_more("thread_words", appeal, {"text": "It was not."}, me, f"item_id = '{hidden}'", "moderation.appealed")
    yield _decided(w, hidden, said, second)
    yield _moved(w, author.propose("policy.adopt", "More.", policy={"template": "evaluation-only"}), first)
    yield _term(w, author)


def _signed(w: World, path: str, proposal: str, mine: Any, signs: bool) -> Made:
    logged = w.leaves("petition.signed" if signs else "petition.taken-back")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM petition WHERE proposal_id = :id", id=proposal) == signs
        logged()

    me = mine._person.receipt
    if signs:
        return lambda: w.put(path + "/petition", None, me), holds
    return lambda: w.delete(path + "/petition", me, (200, 404)), holds  # 404 where it was taken back and the answer lost


def _settled(w: World, path: str, proposal: str, receipt: str, accept: bool) -> Made:
    [made] = w.column("SELECT id FROM amendment WHERE proposal_id = :id AND state = 'open'", id=proposal)
    logged = w.leaves(*(["amendment.accepted"] if accept else ["amendment.declined", "alternative.opened"]))
    text, alternatives = ("Least of all.", 0) if accept else ("Less.", 1)

    def holds() -> None:
        assert w.column("SELECT text FROM proposal WHERE id = :id", id=proposal) == [text]
        found = w.count("SELECT count(*) FROM proposal p JOIN amendment a ON a.alternative_id = p.id WHERE a.id = :id", id=made)
        assert found == alternatives
        logged()

    return lambda: w.put(f"{path}/amendments/{made}/decision", {"accept": accept}, receipt), holds


def answered(w: World, path: str, statement: str, credential: str, leaf: str = "statement.answered") -> Made:
    """A statement is answered, by a member or by the lab whose request it is."""
    logged = w.leaves(leaf)

    def holds() -> None:
        assert w.count("SELECT count(*) FROM statement s JOIN thread_words w ON w.item_id = s.answer_id WHERE s.id = :id", id=statement) == 1
        logged()

    return lambda: w.put(f"{path}/statements/{statement}/answer", {"text": "So that fewer ask."}, credential), holds


def _imported(w: World, path: str, proposal: str, mine: Any) -> Made:
    logged, key = w.leaves("statements.imported", "thread.hidden"), w.name()
    counted = (
        ("SELECT count(*) FROM statement WHERE proposal_id = :id AND number IS NOT NULL AND log_index >= 0", 2),
        ("SELECT count(*) FROM outside_vote v JOIN statement s ON s.id = v.statement_id WHERE s.proposal_id = :id", 3),
        ("SELECT count(*) FROM moderation WHERE proposal_id = :id AND log_index >= 0", 1),
    )

    def holds() -> None:
        assert [w.count(sql, id=proposal) for sql, _ in counted] == [n for _, n in counted]
        logged()

    return lambda: w.post(path + "/polis", POLIS, mine._person.receipt, key), holds


def _decided(w: World, moderation: str, said: str, mine: Any) -> Made:
    logged = w.leaves("thread.restored")

    def holds() -> None:
        assert w.column("SELECT state FROM moderation WHERE id = :id", id=moderation) == ["restored"]
        assert w.column("SELECT hidden FROM comment WHERE id = :id", id=said) == [None]
        logged()

    path = f"/v1/collectives/{mine.id}/moderations/{moderation}/decision"
    return lambda: w.put(path, {"restore": True}, mine._person.receipt), holds


def _moved(w: World, proposal: dict[str, Any], mine: Any) -> Made:
    """A steward has a vote begin on a later day."""
    logged, before = w.leaves("proposal.postponed"), datetime.fromisoformat(proposal["freeze_at"])
    later = before + timedelta(days=3)

    def holds() -> None:
        assert mine.proposal(proposal["id"])["freeze_at"] == rfc3339(later)
        assert w.count("SELECT count(*) FROM proposal WHERE id = :id AND moved_days = 3", id=proposal["id"]) == 1
        logged()

    path = f"/v1/collectives/{mine.id}/proposals/{proposal['id']}/day"
    return lambda: w.put(path, {"day": later.date().isoformat(), "reason": "away"}, mine._person.receipt), holds


def _term(w: World, mine: Any) -> Made:
    """A term that is over."""
    if "membership" not in w.kept:
        [w.kept["membership"]] = w.column("SELECT id FROM membership WHERE member = :member", member=mine.me()["member"])
    membership = w.kept["membership"]
    w.alter(Membership, membership, steward=True, steward_until=w.service.clock.now())
    logged = w.leaves("collective.term-ended")

    def holds() -> None:
        assert w.count("SELECT count(*) FROM membership WHERE id = :id AND steward", id=membership) == 0
        logged()

    return lambda: terms.look(w.service.runtime, membership) or True, holds


@of(
    "PUT /v1/collectives/{collective}/proposals/{proposal}/closer",
    "POST /v1/collectives/{collective}/proposals/{proposal}/closure-notes",
    "POST /v1/collectives/{collective}/proposals/{proposal}/appeal",
    "PUT /v1/collectives/{collective}/proposals/{proposal}/appeal/decision",
    "job label",
)
def outcome(w: World) -> Iterator[Made]:
    if "elsewhere" not in w.kept:
        w.kept["cut"] = w.platform.give(1) and w.lab.sdk.cut(w.agreement, poll=0.05).id
        w.kept["elsewhere"] = founded(people(w.service, w.platform, 1)[0][0])
    author, second = _union(w, 2)
    elsewhere = w.kept["elsewhere"]
    proposal, path = _proposed(author)
    here, outside = proposal["id"], Collective(elsewhere._person, author.id)._person.receipt
    said = second.comment(here, "Too little.", ["aim"])["id"]
    for days, then in ((7, lambda: author.vote(proposal, "yes")), (7, None)):
        w.service.clock.offset += timedelta(days=days, seconds=1)
        voting.advance(w.service.runtime, here)
        if then is not None:
            then()
    yield _closer(w, path, here, author, elsewhere.id)
    sent, where = {"text": "It was asked whether it is enough.", "cites": said}, f"proposal_id = '{here}'"
    yield w.one_more("closure_note", path + "/closure-notes", sent, outside, where, "outcome.closed")
    sent = {"grounds": "note-misleading", "text": "It was not."}
    yield w.one_more("note_appeal", path + "/appeal", sent, author._person.receipt, where, "outcome.appealed")
    yield _note_decided(w, path, here, second)
    yield _label(w, here)


def _closer(w: World, path: str, proposal: str, mine: Any, other: str) -> Made:
    logged = w.leaves("closer.named")

    def holds() -> None:
        assert w.column("SELECT collective_id FROM closer WHERE proposal_id = :id", id=proposal) == [other]
        logged()

    return lambda: w.put(path + "/closer", {"collective": other}, mine._person.receipt), holds


def _note_decided(w: World, path: str, proposal: str, mine: Any) -> Made:
    logged = w.leaves("appeal.decided")

    def holds() -> None:
        assert w.column("SELECT state FROM note_appeal WHERE proposal_id = :id", id=proposal) == ["upheld"]
        assert w.column("SELECT state FROM closure_note WHERE proposal_id = :id", id=proposal) == ["struck"]
        logged()

    return lambda: w.put(path + "/appeal/decision", {"restore": True}, mine._person.receipt), holds


def _label(w: World, proposal: str) -> Made:
    """A release that rests on a decision, the same in every try, whose note is appealed, and in the next try decided on."""
    release = w.kept["cut"]
    if "rests" not in w.kept:
        w.kept["rests"] = proposal
        settled(w, f"label:{proposal}")  # of this very appeal and its end, before anything rests on it
        with write(w.service.runtime.engine) as session:
            session.add(ReleaseOutcome(outcome=proposal, release_id=release))
    proposal = w.kept["rests"]
    [(appeal, before)] = w.rows("SELECT id, state FROM note_appeal WHERE proposal_id = :id", id=proposal)
    state = "undecided" if before != "undecided" else "dismissed"
    w.alter(NoteAppeal, appeal, state=state)
    logged = w.leaves("label.added" if state == "undecided" else "label.lifted")
    turns = "SELECT (SELECT count(*) FROM release_label WHERE release_id = :id) + (SELECT count(*) FROM label_turn WHERE release_id = :id)"
    there = w.count(turns, id=release)

    def holds() -> None:
        assert w.count(turns, id=release) == there + 1
        logged()

    return lambda: labels.relabel(w.service.runtime, proposal) or True, holds


def settled(w: World, job: str) -> None:
    """Wait until no job whose name begins like this is to be done any more."""

    def over() -> bool:
        with w.state() as state:
            return not any(one.startswith(job) for one in state.open_jobs())

    until(over)


FLOWS: list[Flow] = [thread, outcome]
