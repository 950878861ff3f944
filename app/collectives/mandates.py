"""Give a mandate, and end it: that a collective's policy governs what one gave, or some of it, until a day.

Each is the person's own act. A mandate takes effect for every release later in the log, as a platform's floor does, and is bound by the policy
that it was given for; what a lab signed for and got before is for a revocation, which only the person can make. Both are journalled: neither may
be undone by a database that was set back.
"""

from datetime import datetime, timedelta

from sqlmodel import Session

from app.collectives import queries, service
from app.collectives.models import Mandate
from app.collectives.queries import Acting
from app.collectives.schemas import MandateIn
from app.contributions.models import KINDS
from app.kit import journal
from app.kit.errors import Conflict, Invalid, NotFound
from app.kit.ids import random_id
from app.kit.runtime import Runtime
from app.parties import passkeys

LONGEST = timedelta(days=365)


def give_mandate(
    session: Session, runtime: Runtime, who: Acting, collective: str, given: MandateIn, *, now: datetime, act: str | None = None,
    mandate: str | None = None, membership: str | None = None, bound: int | None = None,
) -> str:  # fmt: skip
    """Let the collective's policy govern what one gave, or some kinds of it, until a day. Gives the mandate's id, which is the act's.

    It takes the place of one's earlier mandates over no more than that. `bound`: the policy that it was given for, where it is done again.
    Raises NotFound, Invalid (mandate_too_long, kind_unknown) or Conflict (mandate_policy_changed).
    """
    person = service.acting(session, runtime, who)
    again = act is not None
    looked = who.whole if again else who
    if again and queries.membership_of(session, collective, looked) is None:
        tenure = queries.charter(session, collective, queries.collective_of(session, collective).charter_n)["tenure_days"]
        service.enrol(session, runtime, collective, who, now, now + timedelta(days=tenure), membership=membership)
    row, mine = queries.member(session, collective, looked, lock=True)
    if not again and not now.date() < given.expires_on <= now.date() + LONGEST:
        raise Invalid("mandate_too_long", "Choose a day from tomorrow to a year from today.")
    if given.kinds is not None and set(given.kinds) - set(KINDS):
        raise Invalid("kind_unknown", "Use the kinds listed in `known`.", known=list(KINDS))
    if not again:
        bound = row.policy_id if service.in_force(row, now.date()) else None
    stored = None if bound is None else runtime.parts["policies"].by_ids([bound])[bound]
    policy = None if stored is None else stored.digest
    if not again and given.policy != policy:
        raise Conflict("mandate_policy_changed", "Read the policy in `policy` and send its digest.", policy=policy)
    kinds = None if given.kinds is None else sorted(set(given.kinds))
    signed = {
        "collective": collective, "contribution": who.contribution, "kinds": kinds, "expires_on": given.expires_on.isoformat(), "policy": policy,
    }  # fmt: skip
    proven = passkeys.BY_RECEIPT if again else service.proof(session, runtime, who, "mandate.given", signed, now)
    for earlier in queries.mandates_of(session, mine, current=True):
        if who.contribution in (None, earlier.contribution_id) and kinds_within(kinds_of(earlier.kinds), kinds):
            earlier.ended_at = now
    made = Mandate(
        id=mandate or random_id("mandate"), collective_id=collective, membership_id=mine.id, contributor_id=who.contributor,
        contribution_id=who.contribution, kinds=None if kinds is None else f",{','.join(kinds)},", expires_on=given.expires_on, given_at=now,
        policy_id=bound,
    )  # fmt: skip
    session.add(made)
    session.flush()
    body = {
        "collective": collective, "member": mine.member, "mandate": made.id, "contribution": who.contribution, "kinds": kinds,
        "expires_on": given.expires_on.isoformat(), "policy": policy, **proven,
    }  # fmt: skip
    line = {
        "kind": "mandate", "collective": collective, "membership": mine.id, "mandate": made.id, "one": who.contribution, "kinds": kinds,
        "expires_on": given.expires_on.isoformat(), "policy": policy,
    }  # fmt: skip
    if stored is not None:
        journal.keep_policy(session, stored.digest, stored.body)
    service.narrowing(session, who, person, collective, "mandate.given", body, line, who.contribution, now, act)
    return made.id


def kinds_of(kept: str | None) -> list[str] | None:
    """The kinds that a mandate is over as its row has them; None for all."""
    return None if kept is None else kept.strip(",").split(",")


def kinds_within(kinds: list[str] | None, others: list[str] | None) -> bool:
    """Whether a mandate over `others` is over all these kinds."""
    return others is None or (kinds is not None and set(kinds) <= set(others))


def end_mandate(
    session: Session, runtime: Runtime, who: Acting, collective: str, mandate: str, *, now: datetime, act: str | None = None
) -> str:
    """End a mandate at once: from here on one's own terms govern what it covered. Gives the act.

    Raises NotFound (not_found) or Conflict (mandate_ended).
    """
    person = service.acting(session, runtime, who)
    _, mine = queries.member(session, collective, who if act is None else who.whole, lock=True)
    row = session.get(Mandate, mandate, populate_existing=True)
    if row is None or row.membership_id != mine.id or who.contribution not in (None, row.contribution_id):
        raise NotFound("not_found", "Look at the mandate's id; it must be one of yours.")
    if row.ended_at is not None:
        raise Conflict("mandate_ended", "It ended before; nothing more is needed.")
    row.ended_at = now
    session.add(row)
    session.flush()
    signed = {"collective": collective, "mandate": mandate}
    proven = passkeys.BY_RECEIPT if act is not None else service.proof(session, runtime, who, "mandate.ended", signed, now)
    body = {"member": mine.member, **signed, **proven}
    line = {"kind": "mandate-end", "collective": collective, "mandate": mandate, "one": who.contribution}
    return service.narrowing(session, who, person, collective, "mandate.ended", body, line, row.contribution_id, now, act)
