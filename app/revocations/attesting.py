"""Attestations: what a lab states, under its own key, of the records it was told to delete, and of a release whose period is over.

Of a recall the statement is a JSON object, signed as a compact JWS: {v: 1, type: "sayso-attestation", recall, agreement, records_sha256,
outcome: "deleted" or "cannot_remove", models, at}. It is kept as it came. `cannot_remove` is no deletion: it says that models were
trained with the records, and names them, here, in the public log and to the people whose records they are. Of a release
(`deleting.py`) it is the same with its own type, its id and its manifest's digest.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

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
STATES = {"deleted": "attested", "cannot_remove": "cannot_remove"}
"""By what was stated, what becomes of the duty."""
Said = TypeVar("Said", bound="Statement")


ModelName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[!-~]([ -~]*[!-~])?$")]
"""A model's name as it may stand in the public log: a line of printable ASCII."""


class Statement(In):
    """What is signed, of whatever it speaks."""

    v: Literal[1]
    agreement: str
    outcome: Literal["deleted", "cannot_remove"]
    models: Annotated[list[ModelName], Field(max_length=20)]
    at: Time


class RecallStatement(Statement):
    type: Literal["sayso-attestation"]
    recall: str
    records_sha256: str


def attest(session: Session, lab: Lab, recall_id: str, token: str, *, now: datetime) -> Recall:
    """Take a lab's signed statement on a recall; its digest is logged. The same outcome again keeps the first statement.

    Raises NotFound (not_found), Invalid (signature_invalid, signature_wrong_key, signature_wrong_payload) or
    Conflict (recall_state).
    """
    recall = recalls.own(session, lab, recall_id)
    statement, leaf = opened(session, lab, token, TYP, RecallStatement, now)
    told = (recall.id, recall.agreement_id, records_digest(recalls.records(session, recall.id)))
    if (statement.recall, statement.agreement, statement.records_sha256) != told:
        raise Invalid("signature_wrong_payload", "Sign the recall's id, its agreement and the digest of its records as its file has them.")
    return recalls.answer(session, lab, recall_id, STATES[statement.outcome], now=now, attestation=token, leaf=leaf, models=statement.models)


def opened(session: Session, lab: Lab, token: str, typ: str, form: type[Said], now: datetime) -> tuple[Said, dict[str, Any]]:
    """What a key of the lab's stated, and what the public log says of it. Raises Invalid (signature_invalid, signature_wrong_key,
    signature_wrong_payload)."""
    payload, key = open_signed(session, lab, token, typ, now=now)
    try:
        statement = form.model_validate(parse(payload, max_bytes=20_000))
    except (StrictJSONError, ValidationError):
        raise Invalid("signature_wrong_payload", f"Sign a {typ.removesuffix('+jws')} of version 1; nothing else may stand in it.") from None
    if statement.models and statement.outcome == "deleted":
        raise Invalid("signature_wrong_payload", "Name `models` only where the records cannot be removed from them.")
    if statement.outcome == "cannot_remove" and not statement.models:
        raise Invalid("signature_wrong_payload", "Name in `models` what was trained with them: nothing else is a reason not to delete.")
    leaf: dict[str, Any] = {"attestation_sha256": sha256_hex(token.encode()), "lab_key": key.thumbprint}
    if statement.models:
        leaf["models"] = statement.models
    return statement, leaf
