"""HTTP for receipts: one file that holds everything, or one of the standard forms in it."""

from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Response

from app.contributions import queries, receipts
from app.contributions.router import checked_id
from app.contributions.schemas import ReceiptFile
from app.kit.access import FOR_ANYBODY
from app.kit.body import StrictRoute
from app.kit.deps import ReadSessionDep, RuntimeDep
from app.kit.errors import NotFound, Unavailable
from app.parties.auth import ReadingReceipt

router = APIRouter(prefix="/v1", tags=["contributions"], route_class=StrictRoute)
COSE, LINKED_DATA = "application/cose", "application/ld+json"
_SCHEMA = Path(__file__).parents[2] / "policies" / "schemas" / "consent-receipt.schema.json"
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            COSE: {"schema": {"type": "string", "format": "binary", "description": "The proof as a COSE receipt (RFC 9942)."}},
            LINKED_DATA: {"schema": {"type": "object", "description": "The consent after ISO/IEC TS 27560."}},
        }
    }
}


@router.get(
    "/contributions/{contribution}/receipt",
    response_model=ReceiptFile,
    responses=_FORMS,
    summary="A receipt to keep and verify offline",
)
def receipt_file(
    contribution: str, runtime: RuntimeDep, session: ReadSessionDep, receipt: ReadingReceipt,
    accept: Annotated[str, Header(max_length=1000)] = "",
) -> Any:  # fmt: skip
    """For a claimed holder: the act, its opening, and its proof of inclusion. `tlog_proof` is null for up to a second after the act.

    `Accept: application/cose` gives the proof alone, `application/ld+json` the consent alone.
    """
    file = receipts.receipt_file(session, runtime, queries.covered(session, receipt, checked_id(contribution)))
    return in_form(file, accept)


def in_form(file: dict[str, Any], accept: str) -> Any:
    """The file, or the part of it that `accept` asks for by name. Raises Unavailable (awaiting_checkpoint) or NotFound."""
    wanted = {item.partition(";")[0].strip().lower() for item in accept.split(",")}
    if COSE in wanted:
        if file["cose"] is None:
            raise Unavailable("awaiting_checkpoint", "Try again in a second.", retry_after=1)
        return Response(b64decode(file["cose"]), media_type=COSE)
    if LINKED_DATA in wanted:
        if file["consent_receipt"] is None:
            raise NotFound("not_found", "No consent was given for it.")
        return Response(orjson.dumps(file["consent_receipt"]), media_type=LINKED_DATA)
    return file


@router.get("/schemas/consent-receipt", dependencies=[FOR_ANYBODY], response_class=Response, summary="The JSON Schema of consent receipts")
def schema() -> Response:
    return Response(_schema(), media_type="application/schema+json", headers={"Cache-Control": "max-age=3600"})


@cache
def _schema() -> bytes:
    return _SCHEMA.read_bytes()
