"""Proofs over published checkpoints: what makes a receipt verifiable by software that is not ours."""

from base64 import b64encode

from sqlmodel import Session

from app.core import merkle
from app.core.cose import inclusion_receipt
from app.core.note import key_id, parse_checkpoint, parse_note, vkey
from app.core.tlogproof import format_proof, parse_proof
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.log.publisher import last_checkpoint, read_tile


def tlog_proof(session: Session, runtime: Runtime, index: int) -> str | None:
    """The C2SP tlog-proof of a leaf under the newest checkpoint; None while no checkpoint covers it."""
    checkpoint = last_checkpoint(session)
    if checkpoint is None or checkpoint.size <= index:
        return None
    hashes = merkle.inclusion(index, checkpoint.size, lambda level, n, width: read_tile(runtime, level, n, width))
    return format_proof(index, hashes, checkpoint.note)


def cose_receipt(session: Session, runtime: Runtime, index: int) -> bytes | None:
    """The same proof as a COSE receipt (RFC 9942), signed by the log's key; None while no checkpoint covers the leaf."""
    proof = tlog_proof(session, runtime, index)
    return None if proof is None else as_cose(runtime, proof)


def as_cose(runtime: Runtime, tlog_proof: str) -> bytes:
    """A tlog-proof of this log as a COSE receipt."""
    proof = parse_proof(tlog_proof)
    value = parse_checkpoint(parse_note(proof.checkpoint).text)
    return inclusion_receipt(proof.index, value.size, proof.hashes, value.root, cose_kid(runtime).encode(), runtime.keys.log_sign)


def cose_kid(runtime: Runtime) -> str:
    """How the log's key is called in COSE and JWK: the name and key id of its vkey."""
    origin = runtime.settings.origin
    return f"{origin}+{key_id(origin, runtime.keys.log_public).hex()}"


def covered(session: Session, *indices: int) -> bool:
    """Whether a published checkpoint covers all these leaves."""
    checkpoint = last_checkpoint(session)
    return checkpoint is not None and checkpoint.size > max(indices)


def published_size(session: Session) -> int:
    """How many leaves the newest published checkpoint covers."""
    checkpoint = last_checkpoint(session)
    return 0 if checkpoint is None else checkpoint.size


def verifier_key(runtime: Runtime) -> str:
    """The log's vkey (C2SP signed-note)."""
    return vkey(runtime.settings.origin, runtime.keys.log_public)


def evidence(session: Session, runtime: Runtime, index: int) -> dict[str, str | None]:
    """leaf (base64), tlog_proof and vkey: the part that every verifiable file shares."""
    entry = session.get_one(LogEntry, index)
    return {
        "leaf": b64encode(entry.leaf).decode(),
        "tlog_proof": tlog_proof(session, runtime, index),
        "vkey": verifier_key(runtime),
    }
