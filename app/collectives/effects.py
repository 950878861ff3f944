"""What a yes brings about, by the type of the decision."""

import json
from datetime import datetime, timedelta

from sqlmodel import Session

from app.collectives import licensing, proposals, queries, strikes, terms, voiding
from app.collectives.models import CharterVersion, Collective, LabRefusal, Proposal
from app.collectives.service import set_policy
from app.consents.policies import PolicyBook
from app.core.canonical import sha256_hex
from app.kit.runtime import Runtime
from app.log import service as log


def bring_about(session: Session, runtime: Runtime, collective: Collective, row: Proposal, now: datetime) -> bool:
    """Do what was decided, the collective and the proposal held; whether there was anything to do, or it was done by this very decision before."""
    charter = queries.charter(session, collective.id, row.charter_n)
    life = queries.life(charter, row.type)
    if row.type in ("policy.adopt", "policy.narrow"):
        assert row.policy_id is not None
        book: PolicyBook = runtime.parts["policies"]
        policy = book.by_ids([row.policy_id])[row.policy_id]
        if row.type == "policy.narrow" and not proposals.is_narrower(runtime, collective, policy):
            return False  # another policy came into force meanwhile, and this one is no narrower
        until = now.date() + life
        if row.type == "policy.narrow" and collective.policy_until is not None:
            until = min(until, collective.policy_until)
        set_policy(session, collective, policy, until, row.id, now=now)
    elif row.type == "charter.amend":
        assert row.charter is not None
        body, n = bytes(row.charter), collective.charter_n + 1
        review = now.date() + timedelta(days=json.loads(body)["review_days"])
        session.add(CharterVersion(collective_id=collective.id, n=n, body=body, sha256=sha256_hex(body), from_at=now, review_by=review))
        collective.charter_n = n
        session.add(collective)
        session.flush()
        leaf = {"name": collective.name if collective.listed else None, "charter_sha256": sha256_hex(body), "outcome": row.id}
        log.append(session, [log.institutional("collective.charter-amended", collective.id, leaf, now)], now)
    elif row.type == "licence.use":
        if session.get(LabRefusal, (collective.id, row.subject)) is not None:
            return False  # the lab was refused altogether since: a yes of before does not outlast that
        return licensing.grant(session, collective, row, now.date() + life, now)
    elif row.type == "licence.renew":
        return licensing.renew(session, collective, row, now.date() + life, now)
    elif row.type == "outcome.void":
        return voiding.bring_about(session, runtime, collective, row, now)
    elif row.type == "licence.recall" and row.about is not None:
        return licensing.recall(session, collective, row.about, row.id, now=now)
    elif row.type in ("licence.grant", "licence.recall"):
        return licensing.set_refusal(session, collective, str(row.subject), row.type == "licence.recall", row.id, now=now)
    elif row.type == "effect.dispute":
        if (row.electorate_size or 0) < queries.FEWEST:
            return False  # so few are told of to nobody else
        runtime.jobs.enqueue(session, "disputed", row.id)
    elif row.type == "steward.elect":
        if (elected := proposals.current(session, collective.id, row.subject)) is None:
            return False
        terms.begin(session, runtime, queries.charter(session, collective.id, collective.charter_n), elected, now)
    elif row.type == "steward.remove":
        if (removed := proposals.steward(session, collective.id, row.subject, now)) is None:
            return False
        terms.end(session, removed)
    elif row.type in ("strike.call", "strike.end"):
        return strikes.bring_about(session, runtime, collective, row, now)
    return True
