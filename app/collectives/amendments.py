"""Another text for a proposal, and other terms or rules where it brings such: its author accepts it, or it becomes a proposal of its own, an
alternative that is decided by itself.

What is still open when the text is to be frozen becomes an alternative too: nobody sits an amendment out. What is hidden then stays open, and
becomes one when it is restored: nobody hides an amendment for good either.
"""

import json
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel import Session, select

from app.collectives import deliberating, frozen, proposals, queries, reviewing, threads, voiding
from app.collectives.models import Collective, Proposal
from app.collectives.service import Acting, keep_act, signed
from app.collectives.thread_models import Amendment
from app.collectives.thread_schemas import AmendmentIn
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.canonical import canonical, sha256_hex
from app.kit.clock import rfc3339
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log

MOST = 20
"""Amendments to one proposal that wait for an answer."""


class Meant(NamedTuple):
    """What an amendment would make of a proposal."""

    text: str
    policy: StoredPolicy | None
    charter: bytes | None


def changeable(row: Proposal) -> set[str]:
    """What an amendment can change of what a yes would bring about: terms, or rules. Whom it is about stays, and so does what a lab asks for,
    what a strike is and what was measured: who was heard and who may vote on it hang on that."""
    return {"policy", "charter"} & proposals.TAKES.get(row.type, set())


def place(amendment: str) -> str:
    """Where the terms or rules lie that an amendment would bring, beside its words."""
    return f"{amendment}/effect"


def amend(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, given: AmendmentIn, policy: StoredPolicy | None, *,
    now: datetime,
) -> str:  # fmt: skip
    """Propose another text, while it is discussed, or other terms or rules that it would bring; gives the amendment's id.

    Raises NotFound, Forbidden (no_voice_yet, not_proposer), Conflict (thread_frozen, text_changed, thread_full, charter_overdue), Invalid
    (effect_fixed, policy_not_narrower, charter_invalid, recounter_key, person_named) or TooMany (load_spent).
    """
    at = threads.enter(session, runtime, who, collective, proposal, now=now)
    threads.still_open(at.row, now)
    text, brought = given.text, {name for name in ("policy", "charter") if getattr(given, name) is not None}
    if not brought <= changeable(at.row):
        raise Invalid("effect_fixed", "Change the text alone here. To have something else decided on, open a proposal of its own.")
    if at.row.request_id is not None:
        raise Forbidden("not_proposer", "A lab's request is answered and not amended: say in a statement what it lacks.")
    meant = _meant(session, runtime, at.row, given, policy, now)
    before, after = frozen.effect_sha256(session, runtime, at.row), _sha256(session, runtime, at.row, meant)
    read = (before,) if changeable(at.row) else (None, before)  # what stays of the effect is proposed with the words, so it was read too
    if given.base_sha256 != at.row.text_sha256 or given.base_effect_sha256 not in read or (text, after) == (at.row.text, before):
        raise Conflict("text_changed", "Read the proposal again, send the digests of what you read, and something else than that.")
    if at.row.type == "outcome.void":
        voiding.names_nobody(session, collective, text)  # it becomes a proposal's text, which nobody can hide
    deliberating.may_ask(session, who, collective, queries.charter(session, collective, at.row.charter_n), now)
    if len(waiting(session, proposal)) >= MOST:
        raise Conflict("thread_full", f"At most {MOST} amendments wait at a time; open a proposal instead.")
    made = random_id("amendment")
    digest, effect_digest = threads.keep(session, at.person.sealer, who.contributor, made, text), None
    if changeable(at.row):  # all of it, also what stays: an alternative is to bring what its author read, whatever the other brings by then
        brings = {"policy": meant.policy and meant.policy.digest, "charter": meant.charter and json.loads(meant.charter)}
        effect_digest = threads.keep(session, at.person.sealer, who.contributor, place(made), canonical(brings).decode())
    row = Amendment(
        id=made, proposal_id=proposal, author=at.mine.member, base_sha256=given.base_sha256, base_effect_sha256=before, digest=digest,
        effect_digest=effect_digest, state="open", log_index=-1, at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    said = {
        "collective": collective, "proposal": proposal, "text_sha256": sha256_hex(text.encode()), "base_sha256": given.base_sha256,
        "effect_sha256": after, "base_effect_sha256": before,
    }  # fmt: skip
    body = {"amendment": made, "digest": digest, **signed(session, runtime, who, "amendment.filed", said, now)}
    row.log_index = log.append(session, [log.personal("amendment.filed", made, body, at.person.sealer, now)], now)
    return keep_act(session, who, collective, made, "amendment.filed", row.log_index, now)


def settle(
    session: Session, runtime: Runtime, who: Acting, collective: str, proposal: str, amendment: str, accept: bool, *, now: datetime
) -> None:
    """Accept an amendment, which replaces the text and what a yes would bring about, or leave it to become an alternative: the proposal's
    author.

    Raises NotFound, Forbidden (not_proposer), Conflict (thread_frozen, text_changed, too_late_to_change, amendment_settled, item_hidden) or
    Invalid (policy_not_narrower).
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
        meant = meant_by(session, runtime, at.row, row)
        if meant is None or not fits(session, runtime, at.row, row):
            raise Conflict("text_changed", "It was written for another text, or its author was erased; it can become an alternative.")
        if too_late(session, runtime, at.row, meant, now):
            raise Conflict(
                "too_late_to_change", "Decline it, and it is voted on by itself as an alternative; or propose it anew.",
                since=rfc3339(threads.effect_stays_from(at.row)),
            )  # fmt: skip
        if meant.policy is not None and meant.policy.id != at.row.policy_id:  # another may be in force by now than when it was filed
            proposals.brings(runtime, queries.collective_of(session, collective), at.row.type, meant.policy, None)
        row.state = "accepted"
        proposals.replace(session, runtime, at.row, meant.text, None if meant.policy is None else meant.policy.id, meant.charter, row.author)
    else:
        leaves = become(session, runtime, queries.collective_of(session, collective), at.row, row, now)
    session.add(row)
    session.flush()
    kind, act = ("amendment.accepted" if accept else "amendment.declined"), random_id("act")
    said = {
        "collective": collective, "proposal": proposal, "amendment": amendment, "text_sha256": at.row.text_sha256,
        "effect_sha256": frozen.effect_sha256(session, runtime, at.row),
    }  # fmt: skip
    body = signed(session, runtime, who, kind, said, now)
    index = log.append(session, [log.personal(kind, act, body, at.person.sealer, now), *leaves], now)
    keep_act(session, who, collective, act, kind, index, now)


def _meant(session: Session, runtime: Runtime, row: Proposal, given: AmendmentIn, policy: StoredPolicy | None, now: datetime) -> Meant:
    """What is proposed, looked at as a proposal's own is. Raises Conflict (charter_overdue) or Invalid (policy_not_narrower,
    charter_invalid)."""
    charter = None
    if policy is not None or given.charter is not None:
        group = queries.collective_of(session, row.collective_id)
        reviewing.must_be_done(session, group, row.type, now)
        charter = proposals.brings(runtime, group, row.type, policy, given.charter)
    as_it_is = present(runtime, row)
    return Meant(given.text, policy or as_it_is.policy, charter or as_it_is.charter)


def present(runtime: Runtime, row: Proposal, *, first: bool = False) -> Meant:
    """What a proposal is now; or (`first`) what it would have brought when it was put up."""
    book: PolicyBook = runtime.parts["policies"]
    policy = row.first_policy_id if first and row.first_policy_id is not None else row.policy_id
    charter = row.first_charter if first and row.first_charter is not None else row.charter
    return Meant(row.text, None if policy is None else book.by_ids([policy])[policy], None if charter is None else bytes(charter))


def effect_changed(row: Proposal) -> bool:
    """Whether what a yes would bring about was changed since the proposal was put up; also where it is the same again by now, since who had
    signed a petition signs anew all the same."""
    return row.first_policy_id is not None or row.first_charter is not None


def _sha256(session: Session, runtime: Runtime, row: Proposal, meant: Meant) -> str:
    return frozen.amended_sha256(session, runtime, row, None if meant.policy is None else meant.policy.digest, meant.charter)


def too_late(session: Session, runtime: Runtime, row: Proposal, meant: Meant, now: datetime) -> bool:
    """Whether a proposal's author can no longer take that over, because another effect than was discussed would be voted on."""
    return now >= threads.effect_stays_from(row) and _sha256(session, runtime, row, meant) != frozen.effect_sha256(session, runtime, row)


def fits(session: Session, runtime: Runtime, row: Proposal, one: Amendment) -> bool:
    """Whether a proposal is still what an amendment was written for; one of before effects could be changed says so of the text alone."""
    if one.base_sha256 != row.text_sha256:
        return False
    return one.base_effect_sha256 == frozen.effect_sha256(session, runtime, row) if one.base_effect_sha256 else row.amended_index <= one.log_index


def meant_by(session: Session, runtime: Runtime, row: Proposal, one: Amendment) -> Meant | None:
    """What an amendment would make of a proposal; None where its author was erased."""
    places = [one.id] if one.effect_digest is None else [one.id, place(one.id)]
    found = threads.words_of(session, runtime, places)
    if len(found) < len(places):
        return None
    text = found[one.id][1]
    if one.effect_digest is None:
        return present(runtime, row, first=True)._replace(text=text)
    brings = json.loads(found[place(one.id)][1])
    book: PolicyBook = runtime.parts["policies"]
    policy = None if brings["policy"] is None else book.by_digest(brings["policy"])
    return Meant(text, policy, None if brings["charter"] is None else canonical(brings["charter"]))


def waiting(session: Session, proposal: str) -> list[Amendment]:
    """Amendments that nobody settled, oldest first."""
    query = select(Amendment).where(Amendment.proposal_id == proposal, Amendment.state == "open")
    return list(session.exec(query.order_by(Amendment.log_index)))  # type: ignore[arg-type]


def of(session: Session, proposal: str) -> list[Amendment]:
    """A proposal's amendments, oldest first."""
    query = select(Amendment).where(Amendment.proposal_id == proposal)
    return list(session.exec(query.order_by(Amendment.log_index)))  # type: ignore[arg-type]


def settle_all(
    session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime, *, by_charter: bool = True
) -> list[log.Leaf]:
    """What the freeze does first, the proposal held: what is still open, and not hidden, becomes an alternative. Gives what is to be logged.
    `by_charter`: see `become`."""
    leaves = []
    for one in waiting(session, row.id):
        if one.hidden is None:
            leaves += become(session, runtime, collective, row, one, now, by_charter=by_charter)
    session.flush()
    return leaves


def become(
    session: Session, runtime: Runtime, collective: Collective, row: Proposal, one: Amendment, now: datetime, *, by_charter: bool = True
) -> list[log.Leaf]:
    """A proposal of its own, with the same subject, another text, and the terms or rules that were read with it, or that it would bring. Of
    what is erased there is nothing to be decided. Not `by_charter`, which may be another than was agreed, or none: it takes as long as the
    proposal was to take, and a week for each step at least."""
    one.state = "alternative"
    session.add(one)
    meant = meant_by(session, runtime, row, one)
    if meant is None:
        return []
    if by_charter:
        charter = queries.charter(session, collective.id, collective.charter_n)
        freeze = queries.planned_freeze(charter, row.type, now)
        close = freeze + timedelta(days=charter["ballot_days"])
        appeal = close + timedelta(days=charter["appeal_days"])
    else:
        freeze = now + max(deliberating.WEEK, row.freeze_at - row.opened_at)
        close = freeze + max(deliberating.WEEK, row.close_at - row.freeze_at)
        appeal = close + max(deliberating.WEEK, row.appeal_until - row.close_at)
    made = Proposal(
        id=random_id("proposal"), collective_id=collective.id, type=row.type, author=one.author, charter_n=collective.charter_n, text=meant.text,
        text_sha256=sha256_hex(meant.text.encode()), policy_id=None if meant.policy is None else meant.policy.id, charter=meant.charter,
        subject=row.subject, measured=row.measured, strike=row.strike, about=row.about, ballots=row.ballots, alternative_to=row.id,
        state="discussion", opened_at=now, freeze_at=freeze, close_at=close, appeal_until=appeal,
    )  # fmt: skip
    session.add(made)
    session.flush()
    one.alternative_id = made.id
    runtime.jobs.enqueue(session, "deadline", made.id, key="freeze", delay=(freeze - now).total_seconds())
    body = {
        "collective": collective.id, "decision": row.type, "text_sha256": made.text_sha256, "alternative_to": row.id,
        "effect_sha256": frozen.effect_sha256(session, runtime, made),
    }  # fmt: skip
    return [log.institutional("alternative.opened", made.id, body, now)]
