"""HTTP for the log: the C2SP tlog-tiles read API, and the public ledger. Reads only."""

import gzip
import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Response
from pydantic import StringConstraints

from app.core import merkle
from app.core.canonical import b64u
from app.core.witnessing import public_policy
from app.kit.access import FOR_ANYBODY
from app.kit.blobs import BlobNotFound
from app.kit.body import StrictRoute
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound
from app.log import proofs
from app.log.ledger import Chosen, page
from app.log.publisher import NEWEST, TILE, Publisher, last_checkpoint, read_bundle, read_tile
from app.log.schemas import LedgerPage, LogKey

router = APIRouter(prefix="/v1", tags=["log"], route_class=StrictRoute, dependencies=[FOR_ANYBODY])
_NEVER = {"Cache-Control": "no-store"}
"""What is not there now may be there in a second; nobody on the way shall remember that it was not."""


@router.get("/log/checkpoint", response_class=Response, summary="The newest checkpoint (C2SP tlog-checkpoint)")
def checkpoint(session: ReadSessionDep) -> Response:
    latest = last_checkpoint(session)
    if latest is None:
        raise NotFound("not_found", "No checkpoint is published yet; try again in a second.", headers=_NEVER)
    return Response(latest.note, headers=NEWEST)


@router.get("/log/key", response_model=LogKey, summary="The log's verifier key (C2SP signed-note)")
def key(runtime: RuntimeDep) -> LogKey:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64u(runtime.keys.log_public), "kid": proofs.cose_kid(runtime), "alg": "Ed25519"}
    return LogKey(origin=runtime.settings.origin, vkey=proofs.verifier_key(runtime), jwk=jwk)


@router.get("/log/policy", response_class=Response, summary="Which witnesses count (C2SP tlog-policy)")
def policy(runtime: RuntimeDep) -> Response:
    """The file to check checkpoints with, offline. Compare it with one that you got elsewhere: we could name our friends."""
    publisher: Publisher = runtime.parts["publisher"]
    text = public_policy(proofs.verifier_key(runtime), publisher.witnesses.policy)
    return Response(text, media_type="text/plain; charset=utf-8", headers={"Cache-Control": "max-age=60"})


@router.get("/log/tile/{path:path}", response_class=Response, summary="A tile or entry bundle (C2SP tlog-tiles)")
def tile(
    path: str,
    runtime: RuntimeDep,
    session: ReadSessionDep,
    accept_encoding: Annotated[str, Header(max_length=1000)] = "",
) -> Response:
    """Immutable. Only what a published checkpoint implies is served. Bundles are compressed for whoever takes gzip."""
    try:
        level, index, width = merkle.parse_tile_path("tile/" + path)
        latest = last_checkpoint(session)
        below = 0 if latest is None else merkle.tile_width(max(level, 0), index, latest.size)
        if width > below:
            raise BlobNotFound(path)
        if level == merkle.ENTRIES:
            return _bundle(read_bundle(runtime, index, width), accept_encoding)
        data = read_tile(runtime, level, index, width)
    except (merkle.MerkleError, BlobNotFound):
        raise NotFound("not_found", "Ask for tiles that the newest checkpoint implies.", headers=_NEVER) from None
    return Response(data, headers=TILE)


def _bundle(data: bytes, accepted: str) -> Response:
    headers = {**TILE, "Vary": "Accept-Encoding"}
    if takes_gzip(accepted):
        return Response(gzip.compress(data, 6, mtime=0), headers={**headers, "Content-Encoding": "gzip"})
    return Response(data, headers=headers)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding field (RFC 9110 section 12.5.3) takes gzip by name, with a weight above 0."""
    for item in accepted.split(","):
        coding, _, weight = item.partition(";")
        if coding.strip().lower() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


@router.get("/ledger", response_model=LedgerPage, summary="What organisations did")
def ledger(
    runtime: RuntimeDep,
    session: ReadSessionDep,
    response: Response,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
    lab: Annotated[list[Annotated[str, StringConstraints(max_length=200)]] | None, Query(max_length=5)] = None,
    kind: Annotated[str, Query(max_length=20)] = "",
    quarter: Annotated[str, Query(max_length=7)] = "",
) -> LedgerPage:
    """The log's institutional leaves in order: agreements, releases, deliveries, refusals, recalls, administrative acts. All of them, or
    those of a lab (give both its id and its legal name: some have the one, some the other), a kind, a quarter (`2026-Q4`)."""
    chosen = Chosen(tuple(lab or ()), kind, quarter)
    found = page(session, runtime, cursor, chosen)
    if found.next:
        asked = {name: value for name, value in (("lab", lab), ("kind", kind), ("quarter", quarter)) if value}
        response.headers["Link"] = f'</v1/ledger?{urlencode({"cursor": found.next, **asked}, doseq=True)}>; rel="next"'
    return found
