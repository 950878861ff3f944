"""Whether a use that a lab has in mind is covered: by what it signed, and by each policy that governs what it holds."""

from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from sqlmodel import Session, select

from app.agreements import service, verdicts
from app.agreements.models import AgreementPolicy
from app.consents.policies import PolicyBook
from app.core import vocabulary as words
from app.core.evaluation import basis_allows, evaluate, verdict
from app.core.use import within
from app.kit.runtime import Runtime
from app.parties import service as parties
from app.parties.models import Lab


@dataclass(frozen=True)
class PolicyCheck:
    """What one policy of the agreement says of the use today, of records of whatever age."""

    digest: str
    parts: tuple[str, ...]
    by_person: bool
    nearest: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """The answer: `in_force` and `signed` are of the agreement, the rest is policy by policy."""

    in_force: bool
    signed: bool
    needs_explicit: bool
    policies: list[PolicyCheck]


def check(session: Session, runtime: Runtime, lab: Lab, agreement_id: str, asked: dict[str, object], *, now: datetime) -> Check:
    """Decide a use under every policy of an agreement; nothing is stored or logged. Duties are those that were signed.

    Raises NotFound (not_found) or Invalid (use_invalid, policy_unknown_term).
    """
    agreement = service.own_agreement(session, lab.id, agreement_id)
    _, terms = service.terms_of(session, agreement)
    signed = service.use_of(session, agreement)
    use = service.parse({**asked, "accepts": sorted(signed.accepts)})
    ended = terms["until"] is not None and now.date().isoformat() > terms["until"]
    book: PolicyBook = runtime.parts["policies"]
    ids = session.exec(select(AgreementPolicy.policy_id).where(AgreementPolicy.agreement_id == agreement.id)).all()
    facts, found = verdicts.facts_of(lab), []
    for stored in book.by_ids(set(ids)).values():
        decided = evaluate(stored.compiled, use, facts, now.date())
        steps = verdict(stored.compiled, use, facts, now.date()).steps
        # The age of a record is not told to labs, so what is open at one age alone is not promised.
        parts = reduce(lambda mask, step: mask & step.parts, steps, words.ALL_PARTS)
        found.append(
            PolicyCheck(
                stored.digest, tuple(words.part_names(parts if decided.permitted else 0)), decided.attested == "person", tuple(decided.nearest)
            )
        )
    return Check(
        in_force=agreement.state == "in_force" and not ended and not parties.releases_stopped(lab, now),
        signed=within(use, signed),
        needs_explicit=not basis_allows("notice", use.actions),
        policies=sorted(found, key=lambda p: p.digest),
    )
