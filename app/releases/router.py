"""HTTP for releases: cuts, manifests, deliveries, shards."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlmodel import Session, select

from app.agreements.service import rounded
from app.kit.access import BY_TICKET, FOR_ANYBODY
from app.kit.blobs import BlobNotFound
from app.kit.body import Id, StrictRoute
from app.kit.db import read
from app.kit.deps import IdempotencyHeader, ReadSessionDep, RuntimeDep, SessionDep
from app.kit.errors import Conflict, DomainError, Unauthorised, Unavailable
from app.kit.idempotency import Once
from app.kit.pagination import PAGE, Cursors
from app.kit.problems import problem
from app.kit.runtime import Runtime
from app.log import proofs
from app.parties.auth import ReadingLab, WritingLab, bearer
from app.releases import delta, labels, service, shares
from app.releases.models import JSONL, PARQUET, Delivery, Release, ReleaseDeletion, Shard
from app.releases.queries import deletion_of
from app.releases.schemas import (
    BesideOut,
    BesidePage,
    CutIn,
    DeletionOut,
    DeliveryOut,
    DeltaOut,
    HeldBack,
    LabelOut,
    Progress,
    ReleaseFile,
    ReleaseOut,
    ReleasePage,
    ShardOut,
    ShareOut,
    SharesOut,
)
from app.releases.shards import blob_name

router = APIRouter(prefix="/v1", tags=["releases"], route_class=StrictRoute)
_PIECE = 256 * 1024
_MEDIA = {JSONL: "application/zstd", PARQUET: "application/vnd.apache.parquet"}


@router.post("/agreements/{agreement}/releases", status_code=202, response_model=ReleaseOut, summary="Ask for a cut")
def request_cut(
    agreement: str, runtime: RuntimeDep, session: SessionDep, lab: WritingLab, asked: CutIn | None = None,
    idempotency_key: IdempotencyHeader = None,
) -> ReleaseOut:  # fmt: skip
    """Queue a cut of what the agreement covers now. Poll the release until its state is `published`."""
    now = runtime.clock.now()
    wanted = None if asked is None else asked.format
    once = Once.of(lab.id, f"agreements/{agreement}/releases", idempotency_key, (wanted or "").encode())
    release, _ = once.perform(session, now, lambda: service.request_cut(session, runtime, lab, agreement, now=now, form=wanted))
    return _read(session, runtime, session.get_one(Release, release))


@router.get("/ledger/shares", dependencies=[FOR_ANYBODY], response_model=SharesOut, summary="Who got what share of all that was released")
def read_shares(runtime: RuntimeDep) -> SharesOut:
    """By quarter and lab, for anybody: different records, rounded, in one snapshot a day."""
    day, found = shares.today(runtime)
    return SharesOut(day=day, items=[ShareOut(**share._asdict()) for share in found])


@router.get("/agreements/{agreement}/releases", response_model=ReleasePage, summary="Releases of an agreement")
def list_releases(
    agreement: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab, response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> ReleasePage:  # fmt: skip
    """The newest first, whatever became of them."""
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"releases/{agreement}/{lab.id}"
    after = None if cursor is None else cursors.read(listing, cursor)
    rows, last = service.page(session, lab, agreement, after, PAGE)
    following = None if last is None else cursors.make(listing, last)
    if following:
        response.headers["Link"] = f'</v1/agreements/{agreement}/releases?cursor={following}>; rel="next"'
    return ReleasePage(items=[_read(session, runtime, row) for row in rows], next=following)


@router.get("/releases/{release}", response_model=ReleaseOut, summary="Read a release")
def read_release(release: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> ReleaseOut:
    return _read(session, runtime, service.own_release(session, lab.id, release))


@router.post("/releases/{release}/cancel", response_model=ReleaseOut, summary="Give up a cut")
def cancel(release: str, runtime: RuntimeDep, session: SessionDep, lab: WritingLab) -> ReleaseOut:
    """End a cut before it is published. Cancelled twice is cancelled; what is published stays, and is ended by nothing but recalls."""
    service.cancel(session, runtime, lab, release)
    return _read(session, runtime, service.own_release(session, lab.id, release))


@router.get("/releases/{release}/labels", response_model=list[LabelOut], summary="What is to be said of a release")
def read_labels(release: str, session: ReadSessionDep, lab: ReadingLab) -> list[LabelOut]:
    """Labels added since the cut, each a leaf of the log, and those that were lifted since. Whoever holds the release keeps them with it."""
    row = service.own_release(session, lab.id, release)
    return [
        LabelOut(label=found.code, log_index=found.log_index, added_at=found.at, lifted_at=found.lifted_at, lifted_index=found.lifted_index)
        for found in labels.labels(session, row.id)
    ]


@router.get(
    "/releases/{release}/objections", dependencies=[BY_TICKET], response_model=BesidePage, summary="What people say of their records in it"
)
def read_objections(
    release: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep, response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> BesidePage:  # fmt: skip
    """Under a delivery ticket (Bearer), as the shards are: statements that stand, made before the cut, by record id. Keep each with its
    record. A page can be short: go on while there is a `next`."""
    opened, _ = service.by_ticket(session, runtime, release, _ticket(request), now=runtime.clock.now())
    row = session.get_one(Release, opened.release_id)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"objections/{row.id}"
    after = None if cursor is None else bytes.fromhex(cursors.read(listing, cursor))
    found, last = labels.objections(session, runtime, row, after, 10 * PAGE)
    following = None if last is None else cursors.make(listing, last.hex())
    if following:
        response.headers["Link"] = f'</v1/releases/{row.id}/objections?cursor={following}>; rel="next"'
    items = [BesideOut(record_id=b.record_id.hex(), statement=b.statement, language=b.language) for b in found]
    return BesidePage(items=items, next=following)


def _ticket(request: Request) -> str:
    secret = bearer(request.headers.get("authorization", ""))
    if not secret.startswith("tkt_"):
        raise Unauthorised("ticket_invalid", "Use the ticket of a delivery of this release.")
    return secret


def _read(session: Session, runtime: Runtime, row: Release) -> ReleaseOut:
    made = service.progress(session, runtime, row)
    shards = session.exec(select(Shard).where(Shard.release_id == row.id).order_by(Shard.shard)).all()  # type: ignore[arg-type]
    done = row.state in ("published", "superseded")
    return ReleaseOut(
        id=row.id, agreement=row.agreement_id, state=row.state, requested_at=row.requested_at, cut_at=row.cut_at, as_of=row.as_of,
        format=row.format, supersedes=row.supersedes, successor=service.successor(session, row),
        held_back=HeldBack(needs_new_terms="0" if row.needs_new_terms == 0 else rounded(row.needs_new_terms)) if done else None,
        progress=None if made is None else Progress(done=made[0], of=made[1]),
        reason=row.reason if row.state in ("failed", "cancelled") else None,
        deletion=None if (owed := deletion_of(session, row.id)) is None else deletion_out(owed),
        shards=[ShardOut(sha256=s.sha256, bytes=s.bytes, rows=s.rows, state=s.state) for s in shards],
    )  # fmt: skip


def deletion_out(row: ReleaseDeletion) -> DeletionOut:
    """How the deletion of a release stands."""
    return DeletionOut(
        release=row.release_id, state=row.state, delete_by=row.delete_by, late_from=row.late_from, closed_at=row.closed_at, models=row.models,
        attestation=row.attestation, log_index=row.log_index,
    )  # fmt: skip


@router.get("/releases/{release}/delta", response_model=DeltaOut, summary="What changed since an earlier release")
def read_delta(
    release: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab, response: Response,
    since: Annotated[Id | None, Query()] = None, cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> DeltaOut:  # fmt: skip
    """Ids that came and ids that went, against `since` (a release of the same agreement) or the release that this one followed.

    A page can be short, also empty: go on while there is a `next`.
    """
    new, old = delta.between(session, lab, release, since)
    cursors: Cursors = runtime.parts["cursors"]
    listing = f"delta/{new.id}/{old.id}"
    after = None if cursor is None else bytes.fromhex(cursors.read(listing, cursor))
    found = delta.page(runtime, new, old, after, 10 * PAGE)
    following = None if found.last is None else cursors.make(listing, found.last.hex())
    if following:
        response.headers["Link"] = f'</v1/releases/{new.id}/delta?since={old.id}&cursor={following}>; rel="next"'
    return DeltaOut(release=new.id, since=old.id, added=found.added, withdrawn=found.withdrawn, next=following)


@router.get(
    "/releases/{release}/manifest",
    response_model=ReleaseFile,
    summary="The signed manifest, as a file to verify offline",
)
def manifest(release: str, runtime: RuntimeDep, session: ReadSessionDep, lab: ReadingLab) -> ReleaseFile:
    row = service.own_release(session, lab.id, release)
    if row.manifest is None or row.log_index is None:
        raise Conflict("release_not_published", "Wait until its state is `published`.", state=row.state)
    evidence = proofs.evidence(session, runtime, row.log_index)
    return ReleaseFile(
        v=1,
        type="sayso-release",
        id=row.id,
        manifest=row.manifest,
        service_jwk=runtime.keys.service.public_jwk,
        **evidence,  # type: ignore[arg-type]
    )


@router.post("/releases/{release}/deliveries", status_code=201, response_model=DeliveryOut, summary="Open a ticket")
def deliver(
    release: str, runtime: RuntimeDep, session: SessionDep, lab: WritingLab, idempotency_key: IdempotencyHeader = None
) -> DeliveryOut:
    """A ticket that opens the shards of this release for an hour. Each is one leaf in the public log."""
    now = runtime.clock.now()
    once = Once.of(lab.id, f"releases/{release}/deliveries", idempotency_key, b"")
    delivery, _ = once.perform(session, now, lambda: service.deliver(session, runtime, lab, release, now=now))
    row = session.get_one(Delivery, delivery, populate_existing=True)
    return DeliveryOut(
        id=row.id,
        release=row.release_id,
        ticket=service.ticket(runtime, row.id),
        expires_at=row.expires_at,
        log_index=row.log_index,
    )


@router.head(
    "/releases/{release}/shards/{sha256}", dependencies=[BY_TICKET],
    response_class=Response,
    operation_id="head_shard",
    summary="A shard's size and ETag",
)
@router.get(
    "/releases/{release}/shards/{sha256}", dependencies=[BY_TICKET], response_class=Response, operation_id="get_shard", summary="Download a shard"
)
def shard(release: str, sha256: str, request: Request, runtime: RuntimeDep, session: ReadSessionDep) -> Response:
    """The bytes of a shard under a delivery ticket (Bearer). Immutable, with ranges and a strong ETag; 410 once it is gone."""
    opened = service.open_shard(session, runtime, release, sha256, _ticket(request), now=runtime.clock.now())
    etag = f'"{opened.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Type": _MEDIA[opened.format],
    }
    start, end, status = 0, opened.bytes, 200
    wanted = request.headers.get("range")
    if wanted is not None and request.headers.get("if-range", etag) == etag:
        try:
            start, end = _range(wanted, opened.bytes)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{opened.bytes}"
        except ValueError:
            return problem(
                416,
                "range_invalid",
                "Ask for one range of bytes inside the shard.",
                {"Content-Range": f"bytes */{opened.bytes}"},
            )
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(None, status, headers)
    first = _piece(runtime, session, opened, start, end)
    return StreamingResponse(_stream(runtime, opened, first, start, end), status, headers)


def _piece(runtime: Runtime, session: Session, opened: service.OpenShard, start: int, end: int) -> bytes:
    try:
        return runtime.blobs.read(blob_name(opened.release, opened.sha256), start, min(end, start + _PIECE))
    except BlobNotFound:
        with read(runtime.engine) as fresh:
            closed = not service.still_open(fresh, opened, now=runtime.clock.now())
        if closed:
            raise service.gone(session, opened.release) from None
        raise Unavailable("unavailable", "The file is not there; the operator makes it anew with `python -m app restore`.") from None


def _stream(runtime: Runtime, opened: service.OpenShard, piece: bytes, at: int, end: int) -> Iterator[bytes]:
    """Pieces, each handed over only after the shard's state was looked at again: a withdrawal cuts a download short."""
    while True:
        yield piece
        at += len(piece)
        if at >= end:
            return
        with read(runtime.engine) as session:
            if not service.still_open(session, opened, now=runtime.clock.now()):
                raise CutOff
            try:
                piece = _piece(runtime, session, opened, at, end)
            except DomainError:
                raise CutOff from None


class CutOff(ConnectionError):
    """The shard went while it was sent: the connection ends short of its Content-Length, which every client notices."""


def _range(header: str, size: int) -> tuple[int, int]:
    """One `bytes=a-b` range (RFC 9110 section 14.2) as [start, end). Raises ValueError."""
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    if (
        unit.strip() != "bytes"
        or not dash
        or "," in spec
        or len(spec) > 40
        or not ((first + last).isascii() and (first + last).isdigit())
    ):
        raise ValueError
    if first == "":
        count = int(last)
        start, end = max(0, size - count), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if not 0 <= start < end:
        raise ValueError
    return start, end
