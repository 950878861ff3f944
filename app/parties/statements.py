"""What a lab states under a key of its own: a compact JWS (RFC 7515), kept as it came."""

from datetime import datetime

from sqlmodel import Session

from app.crypto.signing import BadSignature, import_public, peek_header, verify_compact
from app.kit.errors import Invalid
from app.parties import service
from app.parties.models import Lab, LabKey


def open_signed(session: Session, lab: Lab, token: str, typ: str, *, now: datetime) -> tuple[bytes, LabKey]:
    """The payload, and the lab's key that signed it. Raises Invalid (signature_invalid, signature_wrong_key)."""
    try:
        kid = peek_header(token).get("kid")
        key = service.lab_key(session, lab.id, kid, now) if isinstance(kid, str) else None
        if key is None:
            raise Invalid("signature_wrong_key", "Sign with a key of the lab that is in use, named in kid by its thumbprint.")
        return verify_compact(token, import_public(key.jwk), typ), key
    except BadSignature:
        raise Invalid("signature_invalid", f"Send a compact JWS with typ {typ}.") from None
