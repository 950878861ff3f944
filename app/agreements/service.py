"""Ask and offer: a request is answered with terms. Signed by the lab's own key (signing.py) they are the agreement."""

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.agreements import review, selection, verdicts
from app.agreements.models import Agreement, AgreementPolicy, Offer, Request
from app.agreements.models import Use as UseRow
from app.agreements.schemas import RequestIn
from app.collectives import binding, licensing, proposals, supporting
from app.collectives.models import Proposal
from app.consents.policies import PolicyBook, refusal
from app.contributions.models import KINDS, Contribution
from app.core import vocabulary as words
from app.core.canonical import b64u, canonical, sha256_hex
from app.core.constraints import period_days
from app.core.deed import deed
from app.core.evaluation import Decision, Use, intersect, parse_use, union_of_obligations
from app.core.policy import PolicyError
from app.kit.clock import rfc3339
from app.kit.db import for_update
from app.kit.errors import Forbidden, Invalid, NotFound
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.log import service as log
from app.parties import service as parties
from app.parties.models import Lab, LabKey

_C = Contribution.__table__  # type: ignore[attr-defined]
_MOST_REASONS = 20
_ROUND = 10


@dataclass(frozen=True)
class _Layers:
    """One distinct combination of policies that governs records, and how many. `held`: no mandated collective is without a policy in
    force. `told`: a lab may be given reasons, since all collectives in it chose to be public."""

    base: int
    standing: int | None
    floor: int | None
    bound: tuple[int, ...]
    outcomes: tuple[str, ...]
    held: bool
    told: bool
    basis_suffices: bool
    records: int
    people: int

    @property
    def policies(self) -> list[int]:
        return [p for p in (self.base, self.standing, self.floor, *self.bound) if p is not None]


def request(session: Session, runtime: Runtime, lab: Lab, asked: RequestIn, *, now: datetime, key: str | None = None) -> str:
    """Decide a request once for each distinct policy; give its id. The answer is an offer, a review, or a refusal with reasons. An
    offer is made to the lab's `key` that asked, by its thumbprint.

    Raises Invalid (use_invalid, policy_unknown_term, kind_unknown, ratings_only) or Forbidden (lab_blocked).
    """
    if parties.releases_stopped(lab, now):
        raise Forbidden("lab_blocked", "Settle what is overdue, or ask the operator: the lab may have to be verified again.")
    use = parse(asked.use)
    chosen = asked.selection.chosen()
    if set(chosen["kinds"] or ()) - set(KINDS):
        raise Invalid("kind_unknown", "Use the kinds listed in `known`.", known=list(KINDS))
    _not_ratings_only(chosen["kinds"])
    if asked.until is not None and asked.until <= now.date():
        raise Invalid("use_invalid", "`until` must be a day to come.")
    row = Request(
        id=new_id("request"), lab_id=lab.id, use_id=verdicts.use_row(session, use, verdicts.facts_of(lab)), selection=chosen,
        mode=asked.mode, until=asked.until, state="submitted", created_at=now, answer={"key": key},
    )  # fmt: skip
    session.add(row)
    session.flush()
    decide(session, runtime, lab, row, use, now=now)
    return row.id


def _not_ratings_only(kinds: list[str] | None) -> None:
    """Raises Invalid (ratings_only) for a selection of judgments that leaves out what speaks against the same items."""
    missing = sorted(set(words.DISSENT_KINDS) - set(kinds or words.DISSENT_KINDS))
    if missing and set(words.JUDGMENT_KINDS) & set(kinds or ()):
        raise Invalid(
            "ratings_only", "Ask for the kinds in `missing` too, or leave `kinds` out: judgments travel with what speaks against them.",
            missing=missing,
        )  # fmt: skip


def decide(
    session: Session, runtime: Runtime, lab: Lab, row: Request, use: Use, *, now: datetime, reviewed: bool = False, asks: bool = True
) -> None:
    """Answer a request as things are now, and log the answer: an offer, a review first (unless `reviewed`), or a refusal. Without `asks`
    no collective is asked that was not before: a request that one has answered does not go round for ever."""
    book: PolicyBook = runtime.parts["policies"]
    groups, decisions, permitted = _looked_at(session, book, lab, row, use, now)
    count = sum(g.records for g in permitted)
    if any(g.bound for g in permitted) or any(decisions[p].aged or decisions[p].attested for g in permitted for p in g.policies):
        # Records decide: not all of a group are old enough, or attested by the person.
        found = selection.eligible(row.use_id, use, lab.id, row.selection, now, None, None).subquery()
        count = session.execute(sa.select(sa.func.count()).select_from(found)).scalar_one()
    threads = sorted({*row.answer.get("threads", []), *(_collectives_asked(session, runtime, lab, row, use, now) if asks else [])})
    waits = licensing.undecided(session, threads)
    row.answer = {"key": row.answer.get("key"), **_answer(book, decisions, groups, permitted, count), "threads": threads}
    leaf: dict[str, Any] = {"lab": lab.legal_name, "lab_id": lab.id, "use": use.to_json()}
    if not permitted and waits:
        row.state, act = "in_review", "request.in-review"
        row.review_until = licensing.settled_by(session, waits)
        row.answer = {**row.answer, "by": "collective"}
        leaf["until"] = rfc3339(row.review_until)
        runtime.jobs.enqueue(session, "review", row.id, key="collective", delay=(row.review_until - now).total_seconds() + 1)
        for thread in waits:  # one that is being counted meanwhile does not see this request: what is queued here sees that it is over
            if session.get_one(Proposal, thread).request_id != row.id:  # its own are counted later than it is there
                runtime.jobs.enqueue(session, "asked", thread, key=row.id)
    elif not permitted:
        row.state, act = "refused", "request.refused"
    elif not reviewed and review.is_needed(runtime.settings, use):
        row.state, act = "in_review", "request.in-review"
        row.review_until = now + timedelta(days=runtime.settings.review_days)
        leaf["until"] = rfc3339(row.review_until)
        runtime.jobs.enqueue(session, "review", row.id, delay=(row.review_until - now).total_seconds() + 1)
    else:
        offer = _offer(session, runtime, lab, row, use, permitted, decisions, now, row.answer["key"])
        row.state, act = "offered", "request.offered"
        row.answer = {**row.answer, "offer": offer.id}
        leaf["offer_sha256"] = offer.sha256
    session.add(row)
    session.flush()
    opened = licensing.opened_leaves(session, threads, row.id, now)
    log.append(session, [log.institutional(act, row.id, leaf, now), *opened], now)


def _collectives_asked(session: Session, runtime: Runtime, lab: Lab, row: Request, use: Use, now: datetime) -> list[str]:
    """The proposals of this request that are not decided: opened where a collective decides itself and nothing else forbids the use. A
    grant is of a use and not of a selection, and of that only the platforms are looked at: see `licensing.ask`."""
    if session.execute(binding.some_deciding().limit(1)).first() is None:
        return []
    there = {"platforms": row.selection.get("platforms")}
    # Only of what a collective that decides has a say over: what else there is was looked at before, and may be nearly everything.
    groups, decisions, _ = _looked_at(session, runtime.parts["policies"], lab, row, use, now, there, binding.concerned(binding.some_deciding()))
    would = [g for g in groups if g.bound and not g.held and g.basis_suffices and all(decisions[p].permitted for p in g.policies)]
    if not would:
        return []
    asked, matching = {p for g in would for p in g.bound}, selection.matching(there, now, None)
    return licensing.ask(session, runtime, lab, row.id, row.use_id, use.to_json(), asked, matching, now=now)


def _looked_at(
    session: Session, book: PolicyBook, lab: Lab, row: Request, use: Use, now: datetime, chosen: dict[str, Any] | None = None, *among: Any
) -> tuple[list[_Layers], dict[int, Decision], list[_Layers]]:
    """What governs the records of a request's selection (or of another, `chosen`; and with more conditions, `among`), the decision on each
    policy, and which combinations permit the use."""
    groups = _distinct(session, row.selection if chosen is None else chosen, lab.id, row.use_id, use, now, *among)
    policies = {p for g in groups for p in g.policies}
    decisions = verdicts.decide(session, book, row.use_id, use, verdicts.facts_of(lab), policies, now.date())
    return groups, decisions, [g for g in groups if g.held and g.basis_suffices and all(decisions[p].permitted for p in g.policies)]


def _governing(groups: list[_Layers]) -> set[int]:
    return {p for g in groups for p in g.policies}


def _outcomes(groups: list[_Layers]) -> list[str]:
    return sorted({outcome for g in groups for outcome in g.outcomes})


def amend(session: Session, runtime: Runtime, lab: Lab, agreement: Agreement, *, now: datetime) -> Offer | None:
    """A new offer for the request of an agreement, with the terms that its records are under now. One that was open before is
    superseded. None where what was signed (there, or in an amended offer), or an amended offer that is still open, has them all.

    The agreement must be locked; nothing is logged. It goes on for what its own terms cover, whether or not the new offer is signed.
    The offer is made to the key that signed the agreement, or where that is in use no more to another of the lab's.
    """
    offers = select(Offer).join(Agreement, sa.and_(Agreement.offer_id == Offer.id))
    said = [json.loads(o.body)["dissent"] for o in session.exec(offers.where(sa.or_(Offer.amends == agreement.id, Agreement.id == agreement.id)))]  # type: ignore[arg-type]
    here = select(Agreement.id).join(Offer, sa.and_(Offer.id == Agreement.offer_id)).where(Offer.amends == agreement.id)
    mine = sa.or_(AgreementPolicy.agreement_id == agreement.id, AgreementPolicy.agreement_id.in_(here))  # type: ignore[attr-defined]
    signed = set(session.exec(select(AgreementPolicy.policy_id).where(mine)))
    row = session.get_one(Request, session.get_one(Offer, agreement.offer_id).request_id)
    if row.until is not None and row.until <= now.date():
        return None
    use = use_of(session, agreement)
    _, decisions, permitted = _looked_at(session, runtime.parts["policies"], lab, row, use, now)
    told = set(proposals.reports(session, _outcomes(permitted)))
    if _governing(permitted) <= signed and told <= {digest for listed in said for digest in listed}:
        return None
    before = amended(session, agreement.id, now, lock=True)
    signer = session.get_one(Offer, agreement.offer_id).key_thumbprint
    offer = _offer(session, runtime, lab, row, use, permitted, decisions, now, signer, amends=agreement.id)
    if before is not None:
        old, new = (json.loads(one.body) for one in (before, offer))
        # One made to a key that is in use no more cannot be signed: it gives way to the same terms.
        same = (old["lab"]["key"], old["dissent"]) == (new["lab"]["key"], new["dissent"])
        if same and [p["digest"] for p in old["policies"]] == [p["digest"] for p in new["policies"]]:
            session.delete(offer)
            session.flush()
            return None
        before.state = "superseded"
        session.add(before)
    return offer


def amended(session: Session, agreement: str, now: datetime, *, lock: bool = False) -> Offer | None:
    """The amended offer of an agreement that can be signed now."""
    open_ = select(Offer).where(Offer.amends == agreement, Offer.state == "open", Offer.expires_at > now)
    return session.exec(for_update(open_, session) if lock else open_).first()


def parse(use: Any) -> Use:
    """A use as a lab sent it. Raises Invalid (use_invalid, policy_unknown_term)."""
    try:
        return parse_use(use)
    except PolicyError as error:
        raise refusal(error) from None


def _distinct(session: Session, chosen: dict[str, Any], lab: str, use_id: int, use: Use, now: datetime, *among: Any) -> list[_Layers]:
    strikes = session.execute(binding.some_strike(now).limit(1)).first() is not None
    bounds = binding.Bounds(now.date(), asking=(lab, use_id))
    g = selection.Governed(bounds=bounds)
    base, standing, floor = g.layers()
    basis = selection.basis_suffices(g, use)
    collectives = (bounds.policies, bounds.held, bounds.told)
    query = (
        sa.select(
            base.label("base"), standing.label("standing"), floor.label("floor"), basis.label("basis"),
            collectives[0].label("bound"), collectives[1].label("held"), collectives[2].label("told"),
            sa.func.count().label("records"), sa.func.count(sa.distinct(_C.c.contributor_id)).label("people"),
        )
        .select_from(g.joined)
        .where(
            *selection.matching(chosen, now, None), base.is_not(None), selection.not_taken_back(lab, use, now), binding.not_refused(lab),
            *([selection.not_struck(lab, use, now)] if strikes else []), *among,
        )
        .group_by(base, standing, floor, basis, *collectives)
    )  # fmt: skip
    return [
        _Layers(
            r.base, r.standing, r.floor, *binding.split(r.bound), bool(r.held), bool(r.told), bool(r.basis), r.records, r.people
        )
        for r in session.execute(query)
    ]  # fmt: skip


def _answer(
    book: PolicyBook, decisions: dict[int, Decision], groups: list[_Layers], permitted: list[_Layers], count: int
) -> dict[str, Any]:
    answer: dict[str, Any] = {"offer": None, "reasons": [], "nearest": [], "records": rounded(count)}
    if not permitted:
        # Reasons only of policies that at least ten people carry: a rarer one would speak of somebody.
        common = [g for g in groups if g.people >= _ROUND and g.told and g.held]
        joint = [(g, intersect([decisions[p] for p in g.policies])) for g in common]
        joint.sort(key=lambda pair: -pair[0].records)
        seen: list[dict[str, Any]] = []
        for group, decision in joint:
            if not group.basis_suffices:
                seen.append(
                    {
                        "rule": "basis",
                        "constraint": "basis",
                        "wanted": ["explicit"],
                        "seen": ["notice"],
                        "satisfied": "no",
                    }
                )
            seen += [r for r in decision.to_json()["reasons"] if r not in seen]
        answer["reasons"] = seen[:_MOST_REASONS]
        answer["nearest"] = list(joint[0][1].nearest) if joint else []
    return answer


def rounded(count: int) -> str:
    """A count as a lab may know it before it signs: rounded down to ten, `fewer than 10` below."""
    return "fewer than 10" if count < _ROUND else str(count - count % _ROUND)


def _offer(
    session: Session,
    runtime: Runtime,
    lab: Lab,
    row: Request,
    use: Use,
    permitted: list[_Layers],
    decisions: dict[int, Decision],
    now: datetime,
    asked_by: str | None,
    amends: str | None = None,
) -> Offer:
    key = parties.key_for(session, lab.id, asked_by, now)
    if key is None:
        raise Forbidden("lab_blocked", "Register a key for the lab first.")
    book: PolicyBook = runtime.parts["policies"]
    stored, outcomes = sorted(book.by_ids(_governing(permitted)).values(), key=lambda p: p.digest), _outcomes(permitted)
    offer_id = new_id("offer")
    expires = now + timedelta(days=runtime.settings.offer_days)
    body = canonical(
        {
            "v": 1, "type": "sayso-offer", "id": offer_id, "request": row.id, "service": runtime.settings.public_url,
            "lab": {"id": lab.id, "legal_name": lab.legal_name, "kind": lab.kind, "seat": lab.seat, "key": key.thumbprint},
            "use": use.to_json(), "selection": row.selection, "mode": row.mode, "until": None if row.until is None else row.until.isoformat(),
            "policies": [{"digest": p.digest, "policy": json.loads(p.body), "deed": list(deed(p.terms))} for p in stored],
            "obligations": list(union_of_obligations(decisions[p.id].obligations for p in stored)),
            "dissent": proposals.reports(session, outcomes), "nonce": b64u(os.urandom(16)), "issued_at": rfc3339(now), "expires_at": rfc3339(expires),
            **({} if amends is None else {"supersedes": amends}),
        }
    )  # fmt: skip
    offer = Offer(
        id=offer_id, request_id=row.id, lab_id=lab.id, body=body, sha256=sha256_hex(body), key_thumbprint=key.thumbprint,
        state="open", issued_at=now, expires_at=expires, amends=amends, outcomes=outcomes,
    )  # fmt: skip
    session.add(offer)
    session.flush()
    return offer


def own_request(session: Session, lab: str, request_id: str) -> Request:
    """Raises NotFound (not_found)."""
    row = session.get(Request, request_id)
    if row is None or row.lab_id != lab:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return row


def own_offer(session: Session, lab: str, offer_id: str, *, lock: bool = False) -> Offer:
    """Raises NotFound (not_found)."""
    query = select(Offer).where(Offer.id == offer_id, Offer.lab_id == lab)
    row = session.exec(for_update(query, session) if lock else query).first()
    if row is None:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return row


def dissent_of(session: Session, lab: str, offer_id: str) -> list[tuple[str, str | None, str]]:
    """(digest, words or None, `collective`, `individual` or `open`) of the minority reports that an offer lists, in its order. Raises NotFound
    (not_found)."""
    offer = own_offer(session, lab, offer_id)
    listed = json.loads(offer.body)["dissent"]
    words, statuses = proposals.words_of(session, listed), supporting.statuses(session, listed, offer.outcomes)
    return [(digest, words.get(digest), statuses[digest]) for digest in listed]


def own_agreement(session: Session, lab: str, agreement_id: str, *, lock: bool = False) -> Agreement:
    """Raises NotFound (not_found)."""
    query = select(Agreement).where(Agreement.id == agreement_id, Agreement.lab_id == lab)
    row = session.exec(for_update(query, session) if lock else query).first()
    if row is None:
        raise NotFound("not_found", "Look at the id; it must be one of yours.")
    return row


def report_every(terms: dict[str, Any]) -> timedelta | None:
    """How often the signed terms ask for a use report, the shortest interval of all policies; None: never."""
    days = [period_days(o["every"]) for o in terms["obligations"] if o["kind"] == "reportBack"]
    return timedelta(days=min(days)) if days else None


def use_of(session: Session, agreement: Agreement) -> Use:
    """The use that the agreement is about."""
    return parse_use(session.get_one(UseRow, agreement.use_id).body["use"])


def touches(session: Session, agreement: Agreement, purpose: str) -> bool:
    """Whether the use of an agreement has to do with a purpose, or could have."""
    return selection.touches(purpose, use_of(session, agreement))


def terms_of(session: Session, agreement: Agreement) -> tuple[Offer, dict[str, Any]]:
    """The signed offer and what it says."""
    offer = session.get_one(Offer, agreement.offer_id)
    return offer, json.loads(offer.body)


def signing_key(session: Session, offer: Offer) -> LabKey:
    """The lab's key that the offer names, also if it was revoked since."""
    return session.get_one(LabKey, offer.key_thumbprint)
