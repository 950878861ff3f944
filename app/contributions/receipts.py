"""The receipt file: what a person keeps, and anyone can verify with software that is not ours."""

import json
from base64 import b64encode
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, select

from app.consents import wordings
from app.consents.models import Consent
from app.consents.policies import PolicyBook, StoredPolicy
from app.consents.service import wording_lines, wording_of
from app.contributions import queries
from app.contributions.models import Contribution, ContributionPayload
from app.contributions.recording import part_place
from app.core.canonical import b64u, sha256_hex
from app.core.consent_receipt import Given, Version, consent_receipt
from app.core.deeds import CATALOGS
from app.crypto.commitment import rid_seed
from app.kit.clock import rfc3339
from app.kit.errors import Gone, NotFound
from app.kit.runtime import Runtime
from app.log import proofs
from app.log import service as log
from app.log.models import LogEntry
from app.parties import contributors
from app.parties.models import Platform


def opening(session: Session, runtime: Runtime, contributor: str, entry: LogEntry) -> tuple[bytes, bytes, bytes]:
    """(salt, payload, rid key) of a personal act. Raises Gone (contribution_gone) where it was erased."""
    if not entry.sealed:
        raise Gone("contribution_gone", "It was erased; nothing of it is kept.")
    person = contributors.load(session.connection(), runtime.keys, [contributor]).get(contributor)
    if person is None:
        raise NotFound("not_found", queries.UNKNOWN)
    opened = person.sealer.open(bytes(entry.sealed), log.opening_place(entry.leaf))
    return opened[:32], opened[32:], person.rid_key


def receipt_file(session: Session, runtime: Runtime, row: Contribution) -> dict[str, Any]:
    """The receipt of a contribution's recording, for a claimed holder: with salt and rid_seed, and the consent as it stands now."""
    entry = queries.recorded_entry(session, row.id)
    file, rid_key = act_file(session, runtime, row.contributor_id, entry)
    file["rid_seed"] = b64u(rid_seed(rid_key, row.id))
    file["consent_receipt"] = _consents(session, runtime, row, str(json.loads(entry.leaf)["id"]), entry.log_index)
    return file


def act_file(session: Session, runtime: Runtime, contributor: str, entry: LogEntry) -> tuple[dict[str, Any], bytes]:
    """The receipt file of any act of a person's, and the key that their record ids follow from. Raises NotFound where that key is gone."""
    salt, payload, rid_key = opening(session, runtime, contributor, entry)
    act = json.loads(payload)
    given = act["consent"] if isinstance(act.get("consent"), dict) or act.get("consent", "") is None else act
    book: PolicyBook = runtime.parts["policies"]
    policy = None if given is None or given.get("policy") is None else book.by_digest(given["policy"])
    wording = None if given is None else given.get("wording")
    told = None if wording is None or given is None else {"sha256": wording, "language": given["language"], **_read_at(session, runtime, wording)}
    proof = proofs.evidence(session, runtime, entry.log_index)
    cose = None if proof["tlog_proof"] is None else proofs.as_cose(runtime, proof["tlog_proof"])  # of the same checkpoint
    return {
        "v": 1, "type": "sayso-receipt", "act": payload.decode(), "payload_sha256": sha256_hex(payload), "salt": b64u(salt),
        "rid_seed": None,
        **proof,
        "policy": None if policy is None else {"digest": policy.digest, "text": policy.body.decode()},
        "wording": told,
        "evidence": {"kind": _evidence(act), **({"key": act["passkey"]["thumbprint"]} if "passkey" in act else {})},
        "cose": None if cose is None else b64encode(cose).decode(),
        "consent_receipt": None,
    }, rid_key  # fmt: skip


def _evidence(act: dict[str, Any]) -> str:
    """How the act is known to be the person's, by what was committed: who attested the consent of a recording, or the capability."""
    if act["type"] == "contribution.recorded":
        return "platform" if act["consent"] is None or act["consent"]["attested_by"] == "platform" else "widget"
    capability = str(act.get("capability", "receipt"))  # acts of before, which only a receipt could do, do not name it
    return "capability" if capability == "receipt" else capability


def _consents(session: Session, runtime: Runtime, row: Contribution, act: str, index: int) -> dict[str, Any] | None:
    """The consents on a contribution, its own and the standing one, as an ISO/IEC TS 27560 receipt; None where there is none."""
    found = session.exec(
        select(Consent)
        .where(
            Consent.contributor_id == row.contributor_id,
            sa.or_(Consent.contribution_id == row.id, Consent.contribution_id == None),  # type: ignore[arg-type]
        )
        .order_by(sa.asc(Consent.version))  # type: ignore[arg-type]
    ).all()
    book: PolicyBook = runtime.parts["policies"]
    stored = book.by_ids({c.policy_id for c in found})
    given = []
    for standing in (False, True):
        versions = []
        for c in found:
            if (c.contribution_id is None) is standing:
                policy = stored[c.policy_id]
                first = not standing and c.version == 1 and c.given_at == row.recorded_at
                versions.append(
                    Version(
                        id=c.id, policy=json.loads(policy.body), policy_digest=policy.digest, deed=_shown(policy, c), basis=c.basis,
                        attested_by=c.attested_by, given_at=rfc3339(c.given_at), state=c.state,
                        ended_at=None if c.ended_at is None else rfc3339(c.ended_at), wording=c.wording_sha256, language=c.wording_language,
                        act=act if first else None, log_index=index if first else None,
                        notice=_read_at(session, runtime, c.wording_sha256).get("url"),
                    )
                )  # fmt: skip
        if versions:
            given.append(Given(versions, standing, queries.names_of(row)))
    if not given:
        return None
    platform = session.get_one(Platform, row.platform_id)
    return consent_receipt(act, rfc3339(runtime.clock.now()), runtime.settings.public_url, platform.name, row.id, given)


def _read_at(session: Session, runtime: Runtime, wording: str | None) -> dict[str, str]:
    """Where a wording can be read, if it is registered."""
    path = wordings.address(session, wording)
    return {} if path is None else {"url": runtime.settings.public_url + path}


def _shown(policy: StoredPolicy, consent: Consent) -> tuple[str, ...]:
    """The sentences that were shown, where they were Sayso's own: the wording's digest is that of this deed in that language.
    Of a platform's wording there is the digest alone."""
    language = (consent.wording_language or "").partition("+")[0]
    if language not in CATALOGS or wording_of(policy, language) != consent.wording_sha256:
        return ()
    return wording_lines(policy, language)


def content(session: Session, runtime: Runtime, row: Contribution) -> dict[str, str]:
    """The parts of a contribution as their exact JSON text, for the person who gave them."""
    person = contributors.load(session.connection(), runtime.keys, [row.contributor_id]).get(row.contributor_id)
    payload = session.get(ContributionPayload, row.id)
    if person is None or payload is None:
        raise NotFound("not_found", queries.UNKNOWN)
    found = {}
    for name in queries.names_of(row):
        sealed = getattr(payload, name)
        if sealed is not None:
            found[name] = person.sealer.open(bytes(sealed), part_place(row.id, name)).decode()
    return found
