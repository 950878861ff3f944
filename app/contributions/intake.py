"""From a request's bytes to drafts: every check of a record that needs no database transaction."""

import hmac
from datetime import datetime
from hashlib import sha256
from threading import Lock
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.consents.policies import NotAtHand, PolicyBook
from app.contributions.models import KINDS
from app.contributions.recording import Draft
from app.contributions.schemas import ConsentGiven, RecordIn
from app.core.strictjson import RawJSON
from app.core.vocabulary import PART_BITS
from app.crypto.keyring import KeyRing, keyed_hash
from app.kit.body import read_json
from app.kit.errors import Invalid, TooLarge
from app.kit.ids import is_id
from app.kit.problems import validation_errors

_KINDS = frozenset(KINDS)
_NEVER = "Stored without consent; it is never released unless the person gives one."
_MISSING = (
    "It came without consent. Your default terms govern it, if you have set them and the person never chose any; else it is never "
    "released unless the person gives one."
)
_read = RecordIn.__pydantic_validator__.validate_python


class Intake:
    """Reads records of any platform. Keys derived for a platform are kept."""

    def __init__(self, keys: KeyRing, book: PolicyBook, max_record_bytes: int) -> None:
        self._keys = keys
        self._book = book
        self._limit = max_record_bytes
        self._platform_keys: dict[str, tuple[bytes, bytes, bytes]] = {}
        self._lock = Lock()

    async def read(self, data: bytes, platform: str, *, now: datetime) -> Draft:
        """`draft`, from the event loop: never waits for the database there, since the transaction it would wait for may need
        the loop to go on."""
        try:
            return self.draft(data, platform, now=now, at_hand=True)
        except NotAtHand:
            return await run_in_threadpool(self.draft, data, platform, now=now)

    def draft(self, data: bytes, platform: str, *, now: datetime, at_hand: bool = False) -> Draft:
        """The draft of one record. Raises DomainError with a json_…, body_invalid, kind_unknown, part_unknown, parts_missing,
        policy_…, consent_incomplete or record_too_large code."""
        if len(data) > self._limit:
            raise TooLarge("record_too_large", f"Send at most {self._limit} bytes a contribution.")
        parsed = read_json(data, self._limit, raw=("parts",))
        try:
            record = _read(parsed)
        except ValidationError as error:
            raise Invalid("body_invalid", "Correct the fields listed in `errors`.", errors=validation_errors(error.errors())) from None
        if record.kind not in _KINDS:
            raise Invalid("kind_unknown", "Use one of the kinds listed in `known`.", known=list(KINDS))
        bits = 0
        for name, value in record.parts.items():
            if name not in PART_BITS:
                raise Invalid("part_unknown", "Use the parts listed in `known`.", known=list(PART_BITS))
            if not isinstance(value, RawJSON):
                raise Invalid("parts_missing", "Send `parts` as an object of JSON values.")
            bits |= PART_BITS[name]
        if not bits:
            raise Invalid("parts_missing", "Send at least one part.", known=list(PART_BITS))
        external, person, body = self._keys_of(platform)
        parent = record.parent
        by_id = parent is not None and is_id("contribution", parent)
        draft = Draft(
            platform=platform, kind=record.kind, external_hash=keyed_hash(external, record.external_id),
            body_mac=hmac.digest(body, data, sha256),
            pseudonym=None if record.contributor is None else keyed_hash(person, record.contributor),
            parent_id=parent if by_id else None,
            parent_hash=None if parent is None or by_id else keyed_hash(external, parent),
            language=record.language, created_at=record.created_at, parts=record.parts, part_bits=bits,
            context_terms=None if record.context_terms is None else orjson.dumps(record.context_terms.model_dump()).decode(),
            context_ref=record.context_ref, policy=None, basis="none", wording=None, wording_language=None, shown_at=None, intent=None,
            models=() if record.models is None else tuple(dict.fromkeys(record.models)),
        )  # fmt: skip
        self._consent(draft, record.consent, now, at_hand)
        return draft

    def external_hash(self, platform: str, external_id: str) -> bytes:
        """What a platform's own id of a contribution is kept as."""
        return keyed_hash(self._keys_of(platform)[0], external_id)

    def outside_name(self, platform: str, format_: str, name: str) -> bytes | None:
        """What a name by which a system of the platform's tells of a deletion is kept as; None for none."""
        return keyed_hash(self._keys_of(platform)[0], format_, name) if name else None

    def check_consent(self, given: dict[str, Any], *, now: datetime) -> None:
        """Whether a `consent` object could stand in a record. Raises DomainError as recording would."""
        body = {"external_id": "x", "kind": "statement", "parts": {"text": ""}, "consent": given}
        self.draft(orjson.dumps(body), "", now=now)

    def _consent(self, draft: Draft, given: ConsentGiven | None, now: datetime, at_hand: bool) -> None:
        if given is None or (given.intent is None and given.policy is None and given.template is None):
            # Whether a default of the platform's applies is not told: it does not to somebody who chose, and nobody is to learn who did.
            draft.may_default = given is None
            draft.warnings.append(_warning("consent_missing", _MISSING if given is None else _NEVER))
            return
        if given.intent is not None:
            draft.intent = given.intent
            return
        if given.basis == "none":
            draft.warnings.append(_warning("consent_no_basis", "A policy without a basis permits nothing; it is never released as it is."))
        elif given.wording is None or given.language is None or given.shown_at is None:
            raise Invalid("consent_incomplete", "Send the SHA-256 of the wording, its language and shown_at with this basis.")
        if given.basis == "notice":
            draft.warnings.append(_warning("consent_notice_only", "A notice permits evaluation at most, and only after the hold window."))
        draft.policy = self._book.resolve(given.policy, given.template, given.parameters, now, at_hand=at_hand)
        draft.basis = given.basis
        draft.wording, draft.wording_language, draft.shown_at = given.wording, given.language, given.shown_at

    def _keys_of(self, platform: str) -> tuple[bytes, bytes, bytes]:
        hit = self._platform_keys.get(platform)
        if hit is None:
            derive = self._keys.derive
            hit = (derive(f"external/{platform}"), derive(f"pseudonym/{platform}"), derive(f"body/{platform}"))
            with self._lock:
                self._platform_keys[platform] = hit
        return hit


def _warning(code: str, detail: str) -> dict[str, str]:
    return {"code": code, "detail": detail}


