"""Found, join, declare, leave. Each is the person's own act, under the capability of their receipt.

Order of locks, for mandates too: the person's key row, proposals (where one leaves), their membership, the collective, the log's head.
Leaving is journalled: it may not be undone by a database that was set back.
"""

import hmac
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from app.collectives import eligibility, pledging, queries, recounting, terms, weighing
from app.collectives.dissent_models import DissentText
from app.collectives.models import (
    CharterVersion,
    Collective,
    CollectiveAct,
    CollectivePolicy,
    Mandate,
    Membership,
    PastInterest,
)
from app.collectives.queries import Acting as Acting
from app.collectives.schemas import CharterIn, DeclareIn, FoundIn, JoinIn
from app.consents.models import Narrowing
from app.consents.policies import PolicyBook, StoredPolicy
from app.core.canonical import canonical, sha256_hex
from app.core.electing import RuleError, decisions
from app.kit import journal
from app.kit.errors import Conflict, Invalid, NotFound, Unauthorised
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import contributors, passkeys
from app.parties.contributors import Person

_A_YEAR = timedelta(days=365)


def acting(session: Session, runtime: Runtime, who: Acting) -> Person:
    """The person with their key held until the transaction ends. Raises Unauthorised (token_invalid) where they were erased."""
    person = contributors.hold(session, runtime.keys, who.contributor)
    if person is None:
        raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
    return person


def proof(session: Session, runtime: Runtime, who: Acting, kind: str, act: dict[str, Any], now: datetime) -> dict[str, Any]:
    """What an act's text says of how it is known to be theirs. Raises what `passkeys.prove` does: passkey_needed, and what is wrong with one."""
    return passkeys.prove(session, runtime, who.contributor, {"type": kind, **act}, now=now)


def signed(session: Session, runtime: Runtime, who: Acting, kind: str, act: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The payload of an act of theirs: what it says, which follows from what was sent and from nothing at random, and how it is known to be
    theirs. Raises what `proof` does."""
    return {**act, **proof(session, runtime, who, kind, act, now)}


def charter_bytes(given: CharterIn) -> bytes:
    """A charter's canonical bytes, with every rule written out. Raises Invalid (charter_invalid, recounter_key)."""
    named = recounting.recounters(given.recounters)
    try:
        return canonical({**given.model_dump(mode="json"), "v": 1, "decisions": decisions(given.decisions), "recounters": named})
    except RuleError as error:
        raise Invalid("charter_invalid", str(error)[:1].upper() + str(error)[1:] + ".") from None


def found(session: Session, runtime: Runtime, who: Acting, given: FoundIn, policy: StoredPolicy | None, *, now: datetime) -> str:
    """Found a collective; its founder is its first member and steward. Gives its id. Raises Invalid (charter_invalid,
    recounter_key)."""
    person = acting(session, runtime, who)
    body = charter_bytes(given.charter)
    if given.charter.requests == "decide" and not given.listed:
        raise Invalid("charter_invalid", "Only a public collective decides on requests itself: a lab is told that it does.")
    row = Collective(
        id=random_id("collective"), name=given.name, kind=given.kind, listed=given.listed, state="open", charter_n=1, created_at=now,
        decides=given.charter.requests == "decide",
    )  # fmt: skip
    if policy is not None:
        row.policy_id, row.policy_outcome = policy.id, row.id
        row.policy_until = now.date() + timedelta(days=given.charter.review_days)
    session.add(row)
    session.flush()
    if policy is not None:
        session.add(CollectivePolicy(collective_id=row.id, policy_id=policy.id, until=row.policy_until, from_at=now))  # type: ignore[arg-type]
    session.add(
        CharterVersion(
            collective_id=row.id, n=1, body=body, sha256=sha256_hex(body), from_at=now,
            review_by=now.date() + timedelta(days=given.charter.review_days),
        )
    )  # fmt: skip
    mine = enrol(session, runtime, row.id, who, now, now)
    terms.begin(session, runtime, given.charter.model_dump(), mine, now)
    leaf = {"name": row.name if row.listed else None, "charter_sha256": sha256_hex(body), "policy": None if policy is None else policy.digest}
    said = {**leaf, "name": row.name, "kind": row.kind, "listed": row.listed}  # its own leaf, which anybody reads, names no unlisted one
    joined = {"collective": row.id, "member": mine.member, **said, **proof(session, runtime, who, "membership.begun", said, now)}
    act = random_id("act")
    session.flush()
    index = log.append(
        session, [log.institutional("collective.founded", row.id, leaf, now), log.personal("membership.begun", act, joined, person.sealer, now)], now
    )  # fmt: skip
    keep_act(session, who, row.id, act, "membership.begun", index + 1, now)
    return row.id


def lost_charter() -> bytes:
    """The charter of what a database that was set back no longer knows; `frozen.LOST` has the digest of what this writes."""
    return charter_bytes(CharterIn(aim="This collective was lost when its database was set back.", requests="decide"))


def stand_in(session: Session, collective: str, *, now: datetime) -> None:
    """A row for a collective that a database which was set back no longer knows, so that mandates given to it hold: what they cover is
    released to nobody until each member ends theirs. It decides on requests itself, as it may have before: a policy that is noted too
    permits nothing without a grant, and of those none is left."""
    if session.get(Collective, collective) is not None:
        return
    body = lost_charter()
    session.add(Collective(id=collective, name="", kind="affinity", listed=False, state="lost", charter_n=1, created_at=now, decides=True))
    session.flush()
    session.add(CharterVersion(collective_id=collective, n=1, body=body, sha256=sha256_hex(body), from_at=now, review_by=now.date() + _A_YEAR))
    session.flush()


def join(session: Session, runtime: Runtime, who: Acting, collective: str, given: JoinIn, *, now: datetime) -> str:
    """Become a member; gives the act. Raises NotFound, Invalid (group_unknown, eligibility_missing, eligibility_invalid) or
    Conflict (already_member)."""
    person = acting(session, runtime, who)
    row, wanted = session.get(Collective, collective), queries.invitation(runtime, collective)
    # One that is not public is answered, without its invitation, as one that is not there.
    if row is None or not (row.listed or hmac.compare_digest((given.invitation or "").encode("utf-8", "replace"), wanted.encode())):
        raise NotFound("not_found", "Look at the id; into a collective that is not public a member invites you.")
    charter = queries.charter(session, collective, row.charter_n)
    if queries.membership_of(session, collective, who) is not None:
        raise Conflict("already_member", "Nothing more is needed; read your membership.")
    _known(charter, given.declared)
    body: dict[str, Any] = {"collective": collective, "declared": given.declared}
    # Before it is said that they are a member by another receipt, or that their code was used: with a passkey nobody else learns that by
    # trying to join.
    proven = proof(session, runtime, who, "membership.begun", body, now)
    vouched = None
    if charter["eligibility"] == "code":
        vouched = eligibility.use(session, collective, who.contributor, given.eligibility_code, now=now)
    mine = enrol(session, runtime, collective, who, now, now + timedelta(days=charter["tenure_days"]), eligible_by=vouched)
    _declare(charter, mine, given.declared, now)
    session.flush()
    body |= {"member": mine.member, **proven}
    return _personal(session, who, person, collective, "membership.begun", body, now)


def enrol(
    session: Session, runtime: Runtime, collective: str, who: Acting, now: datetime, voice_from: datetime, *,
    eligible_by: str | None = None, membership: str | None = None,
) -> Membership:  # fmt: skip
    """Make somebody a member, who has a voice from a day on. Raises Conflict (already_member)."""
    row = Membership(
        id=membership or random_id("member"), collective_id=collective, contributor_id=who.contributor, contribution_id=who.contribution,
        member=queries.pseudonym(runtime, collective, who.contributor), eligible_by=eligible_by, joined_at=now,
        voice_from=voice_from,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise Conflict("already_member", "Nothing more is needed; read your membership.") from None
    return row


def declare(session: Session, runtime: Runtime, who: Acting, collective: str, given: DeclareIn, *, now: datetime) -> str:
    """Declare another group, or none, and an interest in a lab; a group counts in ballots that begin a week later, and an interest that is taken
    back in whatever was put up before.

    Raises NotFound or Invalid (group_unknown).
    """
    person = acting(session, runtime, who)
    row, mine = queries.member(session, collective, who, lock=True)
    _declare(queries.charter(session, collective, row.charter_n), mine, given.declared, now)
    if mine.interest is not None and mine.interest != given.interest:
        past = session.get(PastInterest, (mine.id, mine.interest)) or PastInterest(membership_id=mine.id, lab_id=mine.interest, until=now)
        past.until = now
        session.add(past)
    mine.interest = given.interest
    session.add(mine)
    session.flush()
    body = {"collective": collective, "member": mine.member, "declared": given.declared, "interest": given.interest}
    body |= proof(session, runtime, who, "membership.declared", body, now)
    return _personal(session, who, person, collective, "membership.declared", body, now)


def _known(charter: dict[str, Any], value: str | None) -> None:
    known = [] if charter["dimension"] is None else charter["dimension"]["values"]
    if value is not None and value not in known:
        raise Invalid("group_unknown", "Declare one of the values in `known`, or none.", known=known)


def _declare(charter: dict[str, Any], mine: Membership, value: str | None, now: datetime) -> None:
    _known(charter, value)
    if value != mine.declared:
        mine.declared, mine.declared_at = value, now


def leave(
    session: Session, runtime: Runtime, who: Acting, collective: str, *, now: datetime, act: str | None = None, membership: str | None = None
) -> str:
    """Leave, with every mandate; in force for whatever is cut later in the log, without delay or cost. Gives the act.

    Raises NotFound (not_found), also where another `membership` is meant.
    """
    person = acting(session, runtime, who)
    looked = who if act is None else who.whole  # done again from the journal: it was theirs to do
    queries.member(session, collective, looked)
    weighing.hold_discussed(session, collective)
    _, mine = queries.member(session, collective, looked, lock=True)
    if membership not in (None, mine.id):
        raise NotFound("not_found", "That membership ended before.")
    mine.left_at = now
    pledging.forget(session, runtime, who.contributor, collective)
    weighing.forget_votes(session, runtime, who.contributor, collective)
    ended = sa.update(Mandate).where(Mandate.membership_id == mine.id, Mandate.ended_at == None)  # type: ignore[arg-type]
    session.execute(ended.values(ended_at=now))
    session.add(mine)
    session.flush()
    # To go takes a limit away: from here on more may be released.
    proven = passkeys.BY_RECEIPT if act is not None else proof(session, runtime, who, "membership.ended", {"collective": collective}, now)
    body = {"collective": collective, "member": mine.member, **proven}
    line = {"kind": "leave", "collective": collective, "membership": mine.id, "one": who.contribution}
    return narrowing(session, who, person, collective, "membership.ended", body, line, None, now, act)


def set_policy(
    session: Session, row: Collective, policy: StoredPolicy, until: date, outcome: str, *, now: datetime, act: str | None = None
) -> int:
    """Bring a policy into force; the caller holds the collective's row. Gives the log index."""
    row.policy_id, row.policy_until, row.policy_outcome = policy.id, until, outcome
    session.add(row)
    session.add(CollectivePolicy(collective_id=row.id, policy_id=policy.id, until=until, from_at=now))
    session.flush()
    body = {"name": row.name if row.listed else None, "policy": policy.digest, "until": until.isoformat(), "outcome": outcome}
    leaf = log.institutional("collective.policy-set", row.id, body, now)
    index = log.append_narrowing(
        session, leaf, act or random_id("act"), "collective-policy", now, collective=row.id, policy=policy.digest, until=until.isoformat(),
        outcome=outcome,
    )  # fmt: skip
    journal.keep_policy(session, policy.digest, policy.body)
    session.add(Narrowing(log_index=index, collective_id=row.id, at=now))
    return index


def in_force(row: Collective, today: date) -> bool:
    """Whether a collective has a policy on a day."""
    return row.policy_id is not None and row.policy_until is not None and row.policy_until > today


def policy_digest(runtime: Runtime, row: Collective, today: date) -> str | None:
    """The policy in force on a day; None where there is none."""
    if row.policy_id is None or not in_force(row, today):
        return None
    book: PolicyBook = runtime.parts["policies"]
    return book.by_ids([row.policy_id])[row.policy_id].digest


def _personal(
    session: Session, who: Acting, person: Person, collective: str, kind: str, body: dict[str, Any], now: datetime
) -> str:
    act = random_id("act")
    index = log.append(session, [log.personal(kind, act, body, person.sealer, now)], now)
    return keep_act(session, who, collective, act, kind, index, now)


def narrowing(
    session: Session, who: Acting, person: Person, collective: str, kind: str, body: dict[str, Any], line: dict[str, Any],
    contribution: str | None, now: datetime, act: str | None,
) -> str:  # fmt: skip
    """Log, journal (as `line`) and keep an act of theirs that narrows what is released; gives its id, new unless it is done again as `act`."""
    act = act or random_id("act")
    leaf = log.personal(kind, act, body, person.sealer, now)
    noted = dict(line)
    index = log.append_narrowing(session, leaf, act, noted.pop("kind"), now, contributor=who.contributor, **noted)
    session.add(
        Narrowing(log_index=index, contributor_id=who.contributor if contribution is None else None, contribution_id=contribution, at=now)
    )
    return keep_act(session, who, collective, act, kind, index, now)


def keep_act(session: Session, who: Acting, collective: str, act: str, kind: str, index: int, now: datetime) -> str:
    """Note an act by its leaf; gives its id."""
    session.add(CollectiveAct(id=act, contributor_id=who.contributor, collective_id=collective, type=kind, log_index=index, at=now))
    session.flush()
    return act


def act_of(session: Session, collective: str, who: Acting, act: str) -> CollectiveAct:
    """An act of one's own, also in a collective that one left. Raises NotFound (not_found)."""
    row = session.get(CollectiveAct, act)
    was = select(Membership.id).where(Membership.collective_id == collective, queries.theirs(who)).limit(1)
    opens = who.contribution is None or session.exec(was).first() is not None
    if row is None or not opens or (row.contributor_id, row.collective_id) != (who.contributor, collective):
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return row


def latest_act(session: Session, collective: str, contributor: str) -> CollectiveAct:
    """The newest act of a contributor in a collective, of this transaction or before."""
    query = select(CollectiveAct).where(CollectiveAct.collective_id == collective, CollectiveAct.contributor_id == contributor)
    return session.exec(query.order_by(sa.desc(CollectiveAct.log_index)).limit(1)).one()  # type: ignore[arg-type]


def forget(session: Session, contributor: str, contribution: str | None) -> None:
    """An erasure: what a person was and did in collectives goes, of one contribution or (None) altogether. Ballots that were cast stay:
    they say whose they are to nobody."""
    covered = sa.true() if contribution is None else Mandate.contribution_id == contribution
    session.execute(sa.delete(Mandate).where(Mandate.contributor_id == contributor, covered))  # type: ignore[arg-type]
    if contribution is None:
        theirs = sa.select(Membership.id).where(Membership.contributor_id == contributor)  # type: ignore[call-overload]
        session.execute(sa.delete(PastInterest).where(PastInterest.membership_id.in_(theirs)))  # type: ignore[attr-defined]
        session.execute(sa.delete(Membership).where(Membership.contributor_id == contributor))  # type: ignore[arg-type]
        session.execute(sa.delete(DissentText).where(DissentText.contributor_id == contributor))  # type: ignore[arg-type]
        # An act's id is that of what was said, so that it would still tell whose that was. What was sealed for them is gone by now.
        session.execute(sa.delete(CollectiveAct).where(CollectiveAct.contributor_id == contributor))  # type: ignore[arg-type]
