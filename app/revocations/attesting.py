"""Attestations: what a lab states, under its own key, of the records it was told to delete.

The statement is a JSON object, signed as a compact JWS: {v: 1, type: "sayso-attestation", recall, agreement, records_sha256,
outcome: "deleted" or "cannot_remove", models, at}. It is kept as it came. `cannot_remove` is no deletion: it says that models were
trained with the records, and names them, here, in the public log and to the people whose records they are.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError
from sqlmodel import Session

from app.core.canonical import sha256_hex
from app.core.manifest import records_digest
from app.core.strictjson import StrictJSONError, parse
from app.kit.body import In, Time
from app.kit.errors import Invalid
from app.parties.models import Lab
from app.parties.statements import open_signed
from app.releases.models import Recall
from app.revocations import recalls

TYP = "sayso-attestation+jws"
_STATES = {"deleted": "attested", "cannot_remove": "cannot_remove"}


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]([ -~]*[!-~])?$")]
"""A model's name as it may stand in the public log: a line of printable ASCII."""


class Statement(In):
    """What is signed."""

    v: Literal[1]
    type: Literal["sayso-attestation"]
    recall: str
    agreement: str
    records_sha256: str
    outcome: Literal["deleted", "cannot_remove"]
    models: Annotated[list[ModelName], Field(max_length=20)]
    at: Time


def attest(session: Session, lab: Lab, recall_id: str, token: str, *, now: datetime) -> Recall:
    """Take a lab's signed statement on a recall; its digest is logged. The same outcome again keeps the first statement.

    Raises NotFound (not_found), Invalid (signature_invalid, signature_wrong_key, signature_wrong_payload) or
    Conflict (recall_state).
    """
    recall = recalls.own(session, lab, recall_id)
    statement, key = _open(session, lab, token, now)
    told = (recall.id, recall.agreement_id, records_digest(recalls.records(session, recall.id)))
    if (statement.recall, statement.agreement, statement.records_sha256) != told:
        raise Invalid("signature_wrong_payload", "Sign the recall's id, its agreement and the digest of its records as its file has them.")
    if statement.models and statement.outcome == "deleted":
        raise Invalid("signature_wrong_payload", "Name `models` only where the records cannot be removed from them.")
    if statement.outcome == "cannot_remove" and not statement.models:
        raise Invalid("signature_wrong_payload", "Name in `models` what was trained with them: nothing else is a reason not to delete.")
    leaf: dict[str, Any] = {"attestation_sha256": sha256_hex(token.encode()), "lab_key": key}
    if statement.models:
        leaf["models"] = statement.models
    return recalls.answer(session, lab, recall_id, _STATES[statement.outcome], now=now, attestation=token, leaf=leaf, models=statement.models)


def _open(session: Session, lab: Lab, token: str, now: datetime) -> tuple[Statement, str]:
    """The statement, and the thumbprint of the lab's key that signed it."""
    payload, key = open_signed(session, lab, token, TYP, now=now)
    try:
        return Statement.model_validate(parse(payload, max_bytes=20_000)), key.thumbprint
    except (StrictJSONError, ValidationError):
        raise Invalid("signature_wrong_payload", "Sign a sayso-attestation of version 1; nothing else may stand in it.") from None
