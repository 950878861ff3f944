"""Give and scope consents, set a platform's floor, take a consent intent. What follows for releases is revocations/'s."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.consents.models import INTENT_LIFE, Consent, ConsentIntent, Narrowing, PlatformFloor
from app.consents.policies import PolicyBook, StoredPolicy
from app.consents.schemas import IntentIn, PolicyChoice, PreviewChoice
from app.core.deed import CATALOGS, beside
from app.core.policy import Policy as PolicyTerms
from app.core.policy import parse_policy
from app.core.templates import render_template
from app.kit import journal
from app.kit.db import for_update
from app.kit.ids import new_id, random_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties.contributors import Person
from app.parties.models import Platform


@dataclass(frozen=True)
class Given:
    """A new consent in force and what it replaces."""

    consent: Consent
    before: Consent | None


def resolve(runtime: Runtime, choice: PolicyChoice, now: datetime) -> StoredPolicy:
    """The policy that a choice names. Raises Invalid or NotFound (policy_…)."""
    book: PolicyBook = runtime.parts["policies"]
    return book.resolve(choice.policy, choice.template, choice.parameters, now)


def looked_at(book: PolicyBook, choice: PreviewChoice) -> PolicyTerms:
    """The policy that a preview names, without storing it. Raises PolicyError, Invalid or NotFound (policy_…)."""
    if isinstance(choice.policy, dict):
        return parse_policy(choice.policy)
    if choice.policy is not None:
        return book.by_digest(choice.policy).terms
    return render_template(book.template(choice.template), choice.parameters)


def current(session: Session, contributor: str, contribution: str | None) -> Consent | None:
    """The consent in force on one contribution, or (None) the standing one; locked for a change."""
    query = select(Consent).where(Consent.contributor_id == contributor, Consent.state == "current")
    query = (
        query.where(Consent.contribution_id == contribution)
        if contribution
        else query.where(Consent.contribution_id == None)
    )
    return session.exec(for_update(query, session)).first()


def give(
    session: Session,
    person: Person,
    contribution: str | None,
    policy: StoredPolicy,
    language: str,
    credit: str | None,
    *,
    now: datetime,
    act: str | None = None,
    claimed: bool = True,
    bettered: bool = True,
) -> Given:
    """The person's own act on their page: a new version, the one before superseded. The wording shown is the deed, in
    English where the language asked for has no catalogue, and with the English beside it where nobody reviewed the language.
    The credit belongs to this version: None takes it away. Unless `claimed`, who acted may be the platform, which has the link
    too: then basis, attestation and credit stay what they were, for a better basis would widen. Without `bettered` the first two do."""
    contributor = person.id
    shown = language if language in CATALOGS else "en"
    place = credit_place(contribution or contributor)
    before = current(session, contributor, contribution)
    if before is not None:
        before.state, before.ended_at = "superseded", now
        session.add(before)
        session.flush()
    basis, attested, sealed = "explicit", "person", None if credit is None else person.sealer.seal(credit.encode(), place)
    if not (claimed and bettered) and before is not None:
        basis, attested = before.basis, before.attested_by
    if not claimed and before is not None:
        sealed = before.credit_sealed
    consent = Consent(
        id=act or new_id("consent"), contributor_id=contributor, contribution_id=contribution, version=1 if before is None else before.version + 1,
        policy_id=policy.id, basis=basis, attested_by=attested, wording_sha256=wording_of(policy, shown), wording_language=shown_in(shown),
        shown_at=now, given_at=now, state="current", credit_sealed=sealed,
    )  # fmt: skip
    session.add(consent)
    session.flush()
    return Given(consent, before)


def credit_place(subject: str) -> bytes:
    """Where a sealed credit belongs: one contribution's own consent, or the contributor's standing one."""
    return b"credit\x00" + subject.encode()


def wording_of(policy: StoredPolicy, language: str) -> str:
    """The digest of the deed as the page shows it: its sentences, one a line, each followed by the English where that stands
    beside it."""
    return sha256("\n".join(wording_lines(policy, language)).encode()).hexdigest()


def wording_lines(policy: StoredPolicy, language: str) -> tuple[str, ...]:
    """The lines of the deed as the page shows it."""
    return tuple(text for line in beside(policy.terms, language) for text in (line.text, line.english) if text is not None)


def shown_in(language: str) -> str:
    """The languages that the deed was shown in, as a consent keeps them: `en`, or `es+en` where nobody has reviewed the first."""
    return language if CATALOGS[language].reviewed else f"{language}+en"


def end(session: Session, consents: Any, state: str, now: datetime) -> None:
    """End the current consents that the condition selects, as `withdrawn` (by the person) or `revoked` (by another)."""
    session.execute(sa.update(Consent).where(Consent.state == "current", consents).values(state=state, ended_at=now))  # type: ignore[arg-type]


def set_floor(
    session: Session, platform: Platform, policy: StoredPolicy | None, *, now: datetime, act: str | None = None
) -> int:
    """Lay a floor under the platform's releases cut from now on, or take it away; gives the log index."""
    # Two settings at once: the second waits here and then finds what the first left.
    session.execute(for_update(sa.select(Platform.id).where(Platform.id == platform.id), session))  # type: ignore[call-overload]
    row = session.get(PlatformFloor, platform.id)
    if row is not None:
        session.delete(row)
        session.flush()
    if policy is not None:
        session.add(PlatformFloor(platform_id=platform.id, policy_id=policy.id, set_at=now))
    body = {"platform": platform.name, "policy": None if policy is None else policy.digest}
    leaf = log.institutional("admin.floor-set", platform.id, body, now)
    digest = None if policy is None else policy.digest
    index = log.append_narrowing(session, leaf, act or new_id("admin"), "floor", now, platform=platform.id, policy=digest)
    if policy is not None:
        journal.keep_policy(session, policy.digest, policy.body)
    session.add(Narrowing(log_index=index, platform_id=platform.id, at=now))
    return index


def intend(session: Session, platform: Platform, policy: StoredPolicy, given: IntentIn, *, now: datetime) -> ConsentIntent:
    """Keep what a platform says a person chose: its own word, as with a consent that it sends with the record."""
    intent = ConsentIntent(
        id=random_id("intent"), platform_id=platform.id, policy_id=policy.id, wording_sha256=given.wording,
        wording_language=given.language, shown_at=given.shown_at, created_at=now,
    )  # fmt: skip
    session.add(intent)
    session.flush()
    return intent


def forget_intents(session: Session, now: datetime) -> None:
    """Drop intents that no record can use any more; what came of one is in the consent, and for a week its record can be sent again."""
    made, unused = ConsentIntent.created_at, ConsentIntent.used_by == None
    old = sa.or_(made < now - timedelta(days=7), sa.and_(unused, made < now - INTENT_LIFE - timedelta(hours=1)))  # type: ignore[arg-type]
    session.execute(sa.delete(ConsentIntent).where(old))


def forget_chosen(session: Session, contributions: list[str]) -> None:
    """Delete the intents that these contributions came with, and what was chosen before in the same frame and replaced: with the later
    choice gone it would be taken for the last one."""
    one = ConsentIntent
    came = one.used_by.in_(contributions)  # type: ignore[union-attr]
    refs = [ref for ref in session.exec(select(one.ref_sha256).where(came)) if ref is not None]
    chosen = one.ref_sha256.in_(refs)  # type: ignore[union-attr]
    session.exec(for_update(select(one.id).where(sa.or_(came, chosen)).order_by(one.id), session)).all()
    session.execute(sa.delete(one).where(sa.or_(came, sa.and_(chosen, one.used_by == None))))  # type: ignore[arg-type]
