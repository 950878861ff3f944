"""HTTP for the acts that reach into releases: choosing terms, withdrawing, and the labs' recalls."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Response
from sqlmodel import Session

from app.agreements import service as agreements
from app.consents import service as consents
from app.consents.models import Consent
from app.consents.policies import StoredPolicy
from app.consents.schemas import ConsentOut, ScopeIn
from app.contributions import queries
from app.contributions.receipt_routes import in_form
from app.contributions.router import checked_id
from app.contributions.schemas import ReceiptFile
from app.core.deed import CATALOGS, deed
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import Invalid, Unauthorised
from app.kit.idempotency import Once
from app.kit.ids import is_id
from app.kit.pagination import PAGE, Cursors
from app.kit.runtime import Runtime
from app.log import proofs
from app.parties.auth import ErasingReceipt, ReadingLab, ReadingReceipt, WritingLab, WritingReceipt
from app.parties.models import Receipt
from app.releases.models import Recall
from app.releases.queries import is_late
from app.revocations import acts, attesting, duties, events, holdings, recalls, service
from app.revocations import erasure as erasing
from app.revocations.acting import holder_of
from app.revocations.models import Erasure
from app.revocations.schemas import (
    ActOut,
    ActPage,
    AttestationIn,
    DutiesOut,
    DutyOut,
    ErasureIn,
    ErasureOut,
    HoldingPage,
    PollIn,
    PollOut,
    RecallFile,
    RecallItemOut,
    RecallOut,
    RecallPage,
    RevocationIn,
    RevocationOut,
)

router = APIRouter(prefix="/v1", tags=["revocations"], route_class=StrictRoute)


def _chosen(given: ScopeIn, runtime: RuntimeDep, receipt: WritingReceipt) -> StoredPolicy:
    # A new policy is stored in a transaction of its own; on SQLite that must come before the request's, not inside it.
    return consents.resolve(runtime, given, runtime.clock.now())


ChosenPolicy = Annotated[StoredPolicy, Depends(_chosen)]


@router.post(
    "/contributions/me/consents",
    status_code=201,
    response_model=ConsentOut,
    summary="Choose terms for everything I give",
)
def stand(
    given: ScopeIn, policy: ChosenPolicy, runtime: RuntimeDep, session: SessionDep, receipt: WritingReceipt,
    idempotency_key: IdempotencyHeader = None,
) -> ConsentOut:  # fmt: skip
    """A standing consent: it narrows each contribution's own, and governs those that have none."""
    return _scope(session, runtime, receipt, None, policy, given, idempotency_key)


@router.post(
    "/contributions/{contribution}/consents",
    status_code=201,
    response_model=ConsentOut,
    summary="Choose terms for one contribution",
)
def scope(
    contribution: str, given: ScopeIn, policy: ChosenPolicy, runtime: RuntimeDep, session: SessionDep, receipt: WritingReceipt,
    idempotency_key: IdempotencyHeader = None,
) -> ConsentOut:  # fmt: skip
    """From now on this policy governs it. Labs whose use it no longer permits are told to delete their copies."""
    row = queries.covered(session, receipt, checked_id(contribution))
    return _scope(session, runtime, receipt, row.id, policy, given, idempotency_key)


def _scope(
    session: Session,
    runtime: Runtime,
    receipt: Receipt,
    contribution: str | None,
    policy: StoredPolicy,
    given: ScopeIn,
    key: str | None,
) -> ConsentOut:
    now = runtime.clock.now()
    once = Once.of(receipt.id, f"consents/{contribution}", key, given.model_dump_json().encode())
    act, _ = once.perform(
        session, now,
        lambda: service.scope(session, runtime, holder_of(receipt), contribution, policy, given.language, given.credit, now=now).id,
    )  # fmt: skip
    done = service.act_of(session, receipt.contributor_id, act)
    return ConsentOut(
        id=done.id, log_index=done.log_index, version=session.get_one(Consent, done.id).version, policy=policy.digest,
        deed=list(deed(policy.terms, given.language if given.language in CATALOGS else "en")), recalls=done.recalls,
    )  # fmt: skip


@router.post("/revocations", response_model=RevocationOut, summary="Take it back")
def withdraw(
    asked: RevocationIn,
    runtime: RuntimeDep,
    session: SessionDep,
    receipt: WritingReceipt,
    idempotency_key: IdempotencyHeader = None,
) -> RevocationOut:
    """Withdraw one contribution, several, or everything; from one lab, one purpose, or all. In force when this answers."""
    now = runtime.clock.now()
    once = Once.of(receipt.id, "revocations", idempotency_key, asked.model_dump_json().encode())
    act, _ = once.perform(
        session, now, lambda: service.withdraw(session, runtime, holder_of(receipt), asked, now=now).id
    )
    done = service.act_of(session, receipt.contributor_id, act)
    return RevocationOut(id=done.id, log_index=done.log_index, contributions=done.contributions, recalls=done.recalls)


@router.post("/erasures", status_code=202, response_model=ErasureOut, summary="Have it erased")
def erase(
    asked: ErasureIn, runtime: RuntimeDep, session: SessionDep, receipt: ErasingReceipt, idempotency_key: IdempotencyHeader = None
) -> ErasureOut:  # fmt: skip
    """Erase one contribution, or with a receipt for everything all of it. When this answers no release will hold it, no shard
    that does is served, its keys are gone, and labs will be told to delete their copies; this receipt ends where it covered no
    more than that. The rest takes seconds: read the erasure by its id. The same again is the same erasure."""
    now = runtime.clock.now()
    once = Once.of(receipt.id, "erasures", idempotency_key, asked.model_dump_json().encode())
    holder = holder_of(receipt)

    def act() -> str:
        # A revoked receipt erases nothing more; it only learns what became of what it asked for.
        before = erasing.find(session, holder.contributor, erasing.reach(holder, asked))
        if receipt.revoked_at is not None and before is None:
            raise Unauthorised("token_invalid", "Look at the receipt again; it must be copied whole.")
        return (before or erasing.request(session, runtime, holder, asked, now=now)).id

    done, _ = once.perform(session, now, act)
    return _erasure(erasing.read(session, done))


@router.get("/erasures/{erasure}", dependencies=[FOR_ANYBODY], response_model=ErasureOut, summary="How an erasure stands")
def read_erasure(erasure: str, session: ReadSessionDep) -> ErasureOut:
    """For whoever knows its id, which is random: the receipt that asked for it may have ended with it."""
    if not is_id("erasure", erasure):
        raise Invalid("id_invalid", "Give an id that starts with ers_.")
    return _erasure(erasing.read(session, erasure))


def _erasure(row: Erasure) -> ErasureOut:
    return ErasureOut(
        id=row.id, state=row.state, log_index=row.log_index, contributions=row.contributions, recalls=row.recalls,
        requested_at=row.requested_at, completed_at=row.completed_at, completed_index=row.completed_index,
    )  # fmt: skip


@router.get("/contributions/me/acts", response_model=ActPage, summary="What I did with my consents")
def my_acts(
    runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt, response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> ActPage:  # fmt: skip
    """Terms chosen, withdrawals, exclusions, in log order. Each has a receipt of its own."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"acts/{receipt.id}"
    after = -1 if cursor is None else int(cursors.read(listing, cursor))
    rows, last = acts.page(session, runtime, receipt, after, PAGE)
    following = None if last is None else cursors.make(listing, str(last))
    if following:
        response.headers["Link"] = f'</v1/contributions/me/acts?cursor={following}>; rel="next"'
    return ActPage(items=[ActOut.model_validate(row, from_attributes=True) for row in rows], next=following)


@router.get(
    "/contributions/me/acts/{act}/receipt",
    response_model=ReceiptFile,
    summary="The receipt of an act, to keep and verify offline",
)
def act_receipt(
    act: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt,
    accept: Annotated[str, Header(max_length=1000)] = "",
) -> Any:  # fmt: skip
    """Also a withdrawal is proven: the text of the act, its opening, and its place in the log. `Accept: application/cose` gives the proof alone."""
    return in_form(acts.receipt_file(session, runtime, receipt, act), accept)


@router.get("/contributions/{contribution}/releases", response_model=HoldingPage, summary="Who holds it, and who does not")
def held(
    contribution: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt, response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> HoldingPage:  # fmt: skip
    """Every published release that could hold it, with a proof that it does or does not, the lab's name, and how the deletion stands.

    Check a page with `sayso verify holding`. A page can be shorter than others, also empty: go on while there is a `next`.
    """
    row = queries.covered(session, receipt, checked_id(contribution))
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"held/{row.id}/{receipt.id}"
    after = -1 if cursor is None else int(cursors.read(listing, cursor))
    items, last = holdings.page(session, runtime, row, after, PAGE)
    following = None if last is None else cursors.make(listing, str(last))
    if following:
        response.headers["Link"] = f'</v1/contributions/{row.id}/releases?cursor={following}>; rel="next"'
    return HoldingPage(items=items, next=following)


@router.get("/agreements/{agreement}/recalls", response_model=RecallPage, summary="What to delete")
def feed(
    agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab, response: Response,
    since: Annotated[str | None, Query(max_length=400)] = None,
) -> RecallPage:  # fmt: skip
    """Recalls in log order. Keep `next` and pass it as `since`: it is given also when there is nothing new yet."""
    row = agreements.own_agreement(session, lab.id, agreement)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"recalls/{row.id}"
    after = -1 if since is None else int(cursors.read(listing, since))
    now = runtime.clock.now()
    items = []
    for r in recalls.page(session, row.id, after, PAGE):
        assert r.opened_at and r.due and r.delete_by and r.log_index is not None
        items.append(
            RecallItemOut(
                id=r.id, state=r.state, opened_at=r.opened_at, due=r.due, delete_by=r.delete_by, overdue=is_late(r, now),
                log_index=r.log_index, records=recalls.records(session, r.id),
                models=r.models, answered_by=r.answered_by,
            )
        )  # fmt: skip
    following = cursors.make(listing, str(items[-1].log_index)) if items else since
    if following:
        response.headers["Link"] = f'</v1/agreements/{row.id}/recalls?since={following}>; rel="next"'
    return RecallPage(items=items, next=following)


@router.get("/agreements/{agreement}/duties", response_model=DutiesOut, summary="What we owe, and by when")
def read_duties(agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> DutiesOut:
    """The signed obligations and open recalls as tasks with days, in their order; what has no day comes last."""
    row = agreements.own_agreement(session, lab.id, agreement)
    found = duties.of_agreement(session, row, now=runtime.clock.now())
    return DutiesOut(agreement=row.id, items=[DutyOut(**task._asdict()) for task in found])


@router.post("/events/poll", response_model=PollOut, summary="What is new for us (RFC 8936)")
def poll(asked: PollIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> PollOut:
    """Security event tokens (RFC 8417), signed by the service, the oldest first: recalls, reminders, and what became overdue.

    To acknowledge the token of a recall acknowledges the recall. Answers at once, also without `returnImmediately`: poll again
    after some minutes; recalls are told in batches.
    """
    errors = {jti: f"{error.err}: {error.description}".removesuffix(": ") for jti, error in asked.setErrs.items()}
    events.settle(session, lab, asked.ack, errors, now=runtime.clock.now())
    most = events.MOST if asked.maxEvents is None else min(asked.maxEvents, events.MOST)
    found, more = events.waiting(session, runtime, lab.id, most)
    return PollOut(sets=found, moreAvailable=more)


@router.get("/recalls/{recall}", response_model=RecallFile, summary="A recall, as a file to verify offline")
def recall_file(recall: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> RecallFile:
    row = recalls.own(session, lab, recall)
    assert row.log_index is not None
    evidence = proofs.evidence(session, runtime, row.log_index)
    told = recalls.records(session, row.id)
    return RecallFile(
        v=1, type="sayso-recall", id=row.id, agreement=row.agreement_id, records=told, attestation=row.attestation, **evidence,  # type: ignore[arg-type]
    )  # fmt: skip


@router.post("/recalls/{recall}/acknowledgement", response_model=RecallOut, summary="We got it")
def acknowledge(recall: str, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> RecallOut:
    return _recall(recalls.answer(session, lab, recall, "acknowledged", now=runtime.clock.now()))


@router.post("/recalls/{recall}/attestation", response_model=RecallOut, summary="We deleted it, or cannot")
def attest(recall: str, given: AttestationIn, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> RecallOut:
    """Hand in the lab's own signature over what became of the records. It is kept, and its digest is logged."""
    return _recall(attesting.attest(session, lab, recall, given.attestation, now=runtime.clock.now()))


def _recall(row: Recall) -> RecallOut:
    return RecallOut(id=row.id, state=row.state, log_index=row.log_index if row.log_index is not None else -1)
