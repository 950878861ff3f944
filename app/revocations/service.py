"""The acts that reach from a person's consent into releases: scope, withdraw. Their locks: see acting.py."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from app.agreements import service as agreements
from app.agreements import verdicts
from app.agreements.models import Agreement
from app.agreements.selection import Governed, age_of
from app.consents import service as consents
from app.consents.models import Consent, Exclusion
from app.consents.policies import PolicyBook, StoredPolicy
from app.contributions.models import Contribution
from app.core import vocabulary as words
from app.core.decision import telling
from app.core.deed import CATALOGS
from app.core.evaluation import Decision, basis_allows, evaluate, intersect, strictest_attribution
from app.core.narrowing import narrows
from app.crypto.sealing import CannotOpen
from app.kit import journal
from app.kit.clock import rfc3339
from app.kit.errors import Conflict, Forbidden, Invalid, NotFound
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import passkeys
from app.parties.contributors import Person
from app.parties.models import Lab
from app.releases.models import Release, ReleaseItem
from app.releases.rows import Terms, read_terms
from app.revocations.acting import (
    OUT,
    Holder,
    chunks,
    close,
    end_contributions,
    holding,
    keep,
    lock,
    named,
    note,
    person_acting,
    recall,
    recall_from,
    wider_than,
    without_own,
)  # fmt: skip
from app.revocations.models import ConsentAct
from app.revocations.schemas import RevocationIn

_C = Contribution.__table__  # type: ignore[attr-defined]
_ITEM = ReleaseItem.__table__  # type: ignore[attr-defined]
_RELEASE = Release.__table__  # type: ignore[attr-defined]
Proof = dict[str, Any]
"""What an act's text says of how it is known to be the person's: of `passkeys.prove`."""
_CAPABILITY = {"platform": "webhook", "operator": "text"}


@dataclass(frozen=True)
class Strike:
    """How an act differs that was pledged: only what is recorded `since` a time, or only `until` one. Either deletes nothing."""

    pledge: str
    since: datetime | None = None
    until: datetime | None = None

    def to_line(self) -> dict[str, str | None]:
        """As the narrowing journal has it."""
        return {"pledge": self.pledge, **{name: at and rfc3339(at) for name, at in (("since", self.since), ("until", self.until))}}


def withdraw(
    session: Session, runtime: Runtime, holder: Holder, asked: RevocationIn, *, now: datetime, act: str | None = None,
    by: str = "subject", strike: Strike | None = None,
) -> ConsentAct:  # fmt: skip
    """End consent as asked; `act` is given where an act of before is done again. `by` is `subject`, or `platform` where its tool
    deleted the record, or `operator` where a person who lost all else asked: then the consent is revoked, and not withdrawn. `strike` is
    for what was pledged, from a lab or a purpose.

    Raises NotFound, Forbidden (receipt_scope), Conflict (already_withdrawn) or Invalid.
    """
    person = person_acting(session, runtime, holder.contributor, exclusive=asked.scope in ("standing", "all"))
    if asked.scope in ("standing", "all") and holder.contribution is not None:
        raise Forbidden(
            "receipt_scope", "This receipt covers one contribution. Ask the platform for a link to all you gave."
        )
    if asked.scope == "contribution" and asked.ids is None and holder.contribution is None:
        raise Invalid("ids_missing", "Name the contributions in `ids`, or use the scope `all`.")
    rows = lock(session, holder, asked.ids)
    live = [r.id for r in rows if r.state == "live"]
    act = act or new_id("revocation")
    body: dict[str, Any] = {
        "revocation": act,
        "scope": asked.scope,
        "by": by,
        "contributions": sorted(live),
        "capability": ("receipt" if holder.claimed else "claim-link") if by == "subject" else _CAPABILITY[by],
    }
    verb = "withdrawn" if by == "subject" else "revoked"
    reaches: Callable[[Agreement], bool] | None = None
    if asked.scope in ("contribution", "all"):
        if not live and (asked.scope == "contribution" or consents.current(session, holder.contributor, None) is None):
            raise Conflict("already_withdrawn", "It was withdrawn before; nothing more is needed.")
        end_contributions(session, live, verb, now)
    if asked.scope in ("standing", "all"):
        standing = consents.current(session, holder.contributor, None)
        if standing is None and asked.scope == "standing":
            raise Conflict("already_withdrawn", "There is no standing consent; nothing more is needed.")
        if asked.scope == "standing" and standing is not None:
            # What was allowed beyond it must not come into force by its end: taking something back never widens.
            for some in chunks(wider_than(session, runtime.parts["policies"], live, standing)):
                consents.end(session, Consent.contribution_id.in_(some), "withdrawn", now)  # type: ignore[union-attr]
            live = without_own(session, live)
        consents.end(
            session,
            sa.and_(Consent.contributor_id == holder.contributor, Consent.contribution_id == None),
            "withdrawn",
            now,
        )  # type: ignore[arg-type]
    if asked.scope == "lab":
        lab = session.get(Lab, asked.lab)
        if lab is None:
            raise NotFound("not_found", "Look at the lab's id.")
        body["lab"] = lab.id
        reaches = lambda agreement: agreement.lab_id == asked.lab  # noqa: E731
    if asked.scope == "purpose":
        if asked.purpose not in words.PURPOSES:
            raise Invalid("policy_unknown_term", "Use a purpose listed in `known`.", known=sorted(words.PURPOSES))
        body["purpose"] = asked.purpose
        reaches = lambda agreement: agreements.touches(session, agreement, asked.purpose or "")  # noqa: E731
    if asked.scope in ("lab", "purpose"):
        limits = [None] if asked.ids is None and holder.contribution is None else [r.id for r in rows]
        session.add_all(
            [
                Exclusion(
                    contributor_id=holder.contributor,
                    contribution_id=limit,
                    lab_id=asked.lab,
                    purpose=asked.purpose,
                    since=strike and strike.since,
                    until=strike and strike.until,
                    created_at=now,
                )
                for limit in limits
            ]
        )
    body["contributions"] = sorted(live)
    body |= {} if strike is None else strike.to_line()
    whole = asked.scope in ("standing", "all") or (
        asked.scope in ("lab", "purpose") and asked.ids is None and holder.contribution is None
    )
    touched = rows if asked.scope in ("contribution", "all") or not whole else []
    leaf = log.personal(f"consent.{verb}", act, body, person.sealer, now)
    index = log.append_narrowing(
        session, leaf, act, "withdraw", now, contributor=holder.contributor, scope=asked.scope, lab=asked.lab, purpose=asked.purpose,
        contributions=named([r for r in touched if r.state == "live"]), whole=whole, by=by, strike=strike and strike.to_line(),
    )  # fmt: skip
    note(session, index, holder.contributor if whole else None, [] if whole else [r.id for r in rows], now)
    recalls = 0
    if strike is None or (strike.since is None and strike.until is None):
        recalls = recall(session, runtime, live, reaches, now)
    elif strike.until is not None:
        close(session, live, reaches, now)
    return keep(session, holder, act, f"consent.{verb}", asked.scope, len(live), recalls, index, now)


def scope(
    session: Session,
    runtime: Runtime,
    holder: Holder,
    contribution: str | None,
    policy: StoredPolicy,
    language: str,
    credit: str | None,
    *,
    now: datetime,
    act: str | None = None,
    proven: Proof | None = None,
    bettered: bool = True,
    only: str | None = None,
    but: dict[str, str] | None = None,
) -> ConsentAct:
    """Choose another policy for one contribution, or (None) a standing one for everything given on the platform. `act` is given
    where an act of before is done again, `bettered` as it was then. What gives more needs the passkey of a person who has one: `proven` is
    what it signed, where that was looked at before (for several acts at once), else it is looked at here.
    While these terms are in force they are for the lab `only` alone, or for none of `but` (a `lab`, or a `purpose`).

    Raises NotFound, Forbidden (receipt_scope, consent_wider_needs_claim), Conflict (already_withdrawn), and what `passkeys.prove` raises.
    """
    person = person_acting(session, runtime, holder.contributor, exclusive=contribution is None)
    if contribution is None and holder.contribution is not None:
        raise Forbidden(
            "receipt_scope", "This receipt covers one contribution. Ask the platform for a link to all you gave."
        )
    rows = lock(session, holder, None if contribution is None else [contribution])
    live = [r.id for r in rows if r.state == "live"]
    if contribution is not None and not live:
        raise Conflict("already_withdrawn", "What was withdrawn stays withdrawn; give it anew on the platform.")
    book: PolicyBook = runtime.parts["policies"]
    if not holder.claimed and not narrower(session, runtime, holder, contribution, policy):
        raise Forbidden("consent_wider_needs_claim", "Claim the link first; without that it can only be narrowed or withdrawn.")
    if proven is None:
        signed = to_sign(session, runtime, person, contribution, policy, language, credit) if holder.claimed and act is None else None
        proven = dict(passkeys.BY_RECEIPT) if signed is None else passkeys.prove(session, runtime, holder.contributor, signed, now=now)
    # Who has a passkey and did not show it may be anybody with the receipt: from them not even a better basis comes.
    if act is None:
        bettered = proven["capability"] == "passkey" or not passkeys.guarded(session, holder.contributor)
    given = consents.give(
        session, person, contribution, policy, language, credit, now=now, act=act, claimed=holder.claimed, bettered=bettered
    )  # fmt: skip
    renamed = holder.claimed and (credit is not None or (given.before is not None and given.before.credit_sealed is not None))
    kind = "consent.given" if given.before is None else "consent.scoped"
    body = {
        "consent": given.consent.id, "contribution": contribution, "version": given.consent.version, "policy": policy.digest,
        "basis": given.consent.basis, "attested_by": given.consent.attested_by, "wording": given.consent.wording_sha256,
        "language": given.consent.wording_language,
        "credit_sha256": None if credit is None else sha256(credit.encode()).hexdigest(),
        **(proven if holder.claimed else {"capability": "claim-link"}),
    }  # fmt: skip
    but = but or {}
    body |= {"only_lab": only} if only is not None else {f"but_{name}": value for name, value in but.items()}
    if only is not None or but:
        limit = {"contributor_id": holder.contributor, "contribution_id": contribution, "consent_id": given.consent.id, "created_at": now}
        session.add(Exclusion(**limit, only_lab_id=only, lab_id=but.get("lab"), purpose=but.get("purpose")))
    session.flush()
    leaf = log.personal(kind, contribution or given.consent.id, body, person.sealer, now)
    # What is done again was noted before, and is noted as done now, also where it takes nothing away any more.
    if act is not None or renamed or only is not None or but or _may_narrow(session, holder, contribution, policy, given.before, book):
        index = log.append_narrowing(
            session, leaf, given.consent.id, "scope", now, contributor=holder.contributor, policy=policy.digest, language=language,
            contributions=named(rows) if contribution is not None else None, claimed=holder.claimed, bettered=bettered, only=only, but=but,
        )  # fmt: skip
        journal.keep_policy(session, policy.digest, policy.body)
    else:
        index = log.append(session, [leaf], now)
    note(
        session,
        index,
        holder.contributor if contribution is None else None,
        [] if contribution is None else [contribution],
        now,
    )
    recalls = _recall_where_denied(session, runtime, live, renamed, now, lambda a: _barred(session, a, only, but))
    reach = "standing" if contribution is None else "contribution"
    return keep(session, holder, given.consent.id, kind, reach, len(live), recalls, index, now, "passkey" in proven)


def to_sign(
    session: Session, runtime: Runtime, person: Person, contribution: str | None, policy: StoredPolicy, language: str, credit: str | None
) -> dict[str, Any] | None:
    """What a passkey signs of a choice of terms; None where it gives nothing more: then it never needs one. To give a name for credit,
    or another one, is more; to take it away is not. The first terms of a thing's own are more, unless they permit nothing: they stay
    when the standing ones are taken back."""
    before = consents.current(session, person.id, contribution)
    named_before = None
    if before is not None and before.credit_sealed is not None:
        with suppress(CannotOpen):
            named_before = person.sealer.open(bytes(before.credit_sealed), consents.credit_place(contribution or person.id)).decode()
    book: PolicyBook = runtime.parts["policies"]
    less = not policy.terms.permission or (
        before is not None and narrows(policy.terms, book.by_ids([before.policy_id])[before.policy_id].terms)
    )
    if less and credit in (None, named_before):
        return None
    return {"type": "consent.scoped", "contribution": contribution, **terms_to_sign(policy, language, credit)}


def terms_to_sign(policy: StoredPolicy, language: str, credit: str | None) -> dict[str, Any]:
    """The terms of a choice as its act names them: the policy, the words that were shown, and the name."""
    shown = language if language in CATALOGS else "en"
    return {
        "policy": policy.digest, "wording": consents.wording_of(policy, shown), "language": consents.shown_in(shown),
        "credit_sha256": None if credit is None else sha256(credit.encode()).hexdigest(),
    }  # fmt: skip


def narrower(session: Session, runtime: Runtime, holder: Holder, contribution: str | None, policy: StoredPolicy) -> bool:
    """Whether the policy allows nothing that the consent in force does not: what an unclaimed link may choose."""
    book: PolicyBook = runtime.parts["policies"]
    before = consents.current(session, holder.contributor, contribution)
    return before is not None and narrows(policy.terms, book.by_ids([before.policy_id])[before.policy_id].terms)


def _may_narrow(
    session: Session, holder: Holder, contribution: str | None, policy: StoredPolicy, before: Consent | None, book: PolicyBook
) -> bool:
    """Whether anything that was permitted may not be any more. Only a consent where there was none at all, and one that permits
    all that the one before did, surely take nothing away; a standing one narrows what each contribution's own permits."""
    if before is not None:
        return not narrows(book.by_ids([before.policy_id])[before.policy_id].terms, policy.terms)
    return contribution is None or consents.current(session, holder.contributor, None) is not None


def act_of(session: Session, contributor: str, act: str) -> ConsentAct:
    """An act of this person's. Raises NotFound (not_found)."""
    row = session.get(ConsentAct, act)
    if row is None or row.contributor_id != contributor:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return row


def _barred(session: Session, agreement: Agreement, only: str | None, but: dict[str, str]) -> bool:
    if only not in (None, agreement.lab_id) or agreement.lab_id == but.get("lab"):
        return True
    return "purpose" in but and agreements.touches(session, agreement, but["purpose"])


def _recall_where_denied(
    session: Session, runtime: Runtime, ids: list[str], renamed: bool, now: datetime, barred: Callable[[Agreement], bool]
) -> int:
    """After a change of policy: recall what was released and would not be released so again.

    That is more than a use denied: a part no longer permitted, a credit given otherwise, an attestation now asked for.
    """
    book: PolicyBook = runtime.parts["policies"]
    count = 0
    for agreement in holding(session, ids):
        if barred(agreement):
            count += recall_from(session, runtime, agreement, ids, now)
            continue
        use = agreements.use_of(session, agreement)
        facts = verdicts.facts_of(session.get_one(Lab, agreement.lab_id))
        released = _released(session, agreement, ids)
        decided: dict[tuple[int | None, ...], Decision] = {}
        lost = []
        for row in _layers(session, list(released)):
            age = age_of(row.recorded_at, now)
            layers = (row.base, row.standing, row.floor, age)
            if layers not in decided:
                stored = book.by_ids({p for p in layers[:3] if p is not None}).values()
                decided[layers] = intersect([evaluate(s.compiled, use, facts, now.date(), age) for s in stored])
            now_allowed = decided[layers]
            parts, attributions, group_size = released[row.id]
            attribution = strictest_attribution(now_allowed.obligations)
            if (
                row.base is None
                or not now_allowed.permitted
                or not basis_allows(row.basis, use.actions)
                or parts & ~now_allowed.parts
                or (now_allowed.attested == "person" and row.attested_by != "person")
                or now_allowed.group_size > group_size  # whether its group is large enough is for the next cut to say
                or any(telling(mode) > telling(attribution) for mode in attributions)
                or (renamed and attribution in ("named", "pseudonym"))
            ):
                lost.append(row.id)
        if lost:
            count += recall_from(session, runtime, agreement, lost, now)
    return count


def _released(session: Session, agreement: Agreement, ids: list[str]) -> dict[str, tuple[int, set[str | None], int]]:
    """Contribution -> (parts, attribution modes, least size of group) as published releases of the agreement hold it."""
    found: dict[str, tuple[int, set[str | None], int]] = {}
    terms: dict[str, list[Terms]] = {}
    for start in range(0, len(ids), 5000):
        rows = session.execute(
            sa.select(_ITEM.c.contribution_id, _ITEM.c.release_id, _ITEM.c.parts, _ITEM.c.terms)
            .join(_RELEASE, _RELEASE.c.id == _ITEM.c.release_id)
            .where(
                _RELEASE.c.agreement_id == agreement.id, _RELEASE.c.state.in_(OUT), _ITEM.c.parts > 0,
                _ITEM.c.contribution_id.in_(ids[start : start + 5000]),
            )
        )  # fmt: skip
        for row in rows:
            if row.release_id not in terms:
                terms[row.release_id] = [read_terms(kept) for kept in session.get_one(Release, row.release_id).terms]
            governing = terms[row.release_id][row.terms]
            parts, modes, least = found.get(row.contribution_id, (0, set(), governing.group_size))
            found[row.contribution_id] = (parts | row.parts, modes | {governing.attribution}, min(least, governing.group_size))
    return found


def _layers(session: Session, ids: list[str]) -> list[Any]:
    g = Governed()
    base, standing, floor = g.layers()
    columns = (
        _C.c.id, _C.c.recorded_at, base.label("base"), standing.label("standing"), floor.label("floor"), g.basis.label("basis"),
    )  # fmt: skip
    found: list[Any] = []
    for start in range(0, len(ids), 5000):
        some = ids[start : start + 5000]
        query = sa.select(*columns, g.attested_by.label("attested_by")).select_from(g.joined).where(_C.c.id.in_(some))
        found += session.execute(query).all()
    return found
