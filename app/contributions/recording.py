"""The record path: many contributions in one transaction, each settled by unique rows and none failing its neighbours.

No ORM and no read that a unique row can answer. The order inside the transaction: contributions first (they decide what is
new), then people and keys, consents and payloads, and the log head last.

Nearly every record is new, so a batch is first tried as if all were: plain inserts, sent without waiting for answers. A
unique row that says otherwise ends that transaction, and the batch is run again with `careful`.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from app.consents.models import CHOSEN, INTENT_LIFE, Consent
from app.consents.policies import StoredPolicy
from app.contributions.hook_models import HookLine, OutsideName
from app.contributions.models import Contribution, ContributionModel, ContributionPayload
from app.core.vocabulary import PARTS
from app.crypto.commitment import rid_seed
from app.crypto.entropy import Entropy
from app.crypto.keyring import KeyRing
from app.kit.bulk import Direct
from app.kit.clock import from_micros, micros, rfc3339
from app.kit.errors import Conflict, DomainError, Gone, Invalid, Unauthorised
from app.kit.ids import new_id
from app.log import service as log
from app.parties import contributors, ingest_keys
from app.parties.contributors import Person

_CONTRIBUTION = Contribution.__table__  # type: ignore[attr-defined]
_PAYLOAD = ContributionPayload.__table__  # type: ignore[attr-defined]
_CONSENT = Consent.__table__  # type: ignore[attr-defined]
_MODEL = ContributionModel.__table__  # type: ignore[attr-defined]
_HOOK_LINE = HookLine.__table__  # type: ignore[attr-defined]
_NAME = OutsideName.__table__  # type: ignore[attr-defined]

_ACTIVE = "SELECT id FROM platform WHERE suspended_at IS NULL AND id IN (*)"
_KEYS = "SELECT id FROM ingest_key WHERE revoked_at IS NULL AND id IN (*)"
_DEFAULTS = (
    "SELECT p.id, d.policy_id, y.digest, d.wording_sha256, w.language, d.shown_at FROM platform p "
    "LEFT JOIN platform_default d ON d.platform_id = p.id LEFT JOIN policy y ON y.id = d.policy_id "
    "LEFT JOIN wording w ON w.sha256 = d.wording_sha256 WHERE p.suspended_at IS NULL AND p.id IN (*)"
)
_CHOSE = (
    f"SELECT DISTINCT contributor_id FROM consent WHERE ({CHOSEN}) AND contributor_id IN (*)",  # noqa: S608
    "SELECT DISTINCT contributor_id FROM exclusion WHERE contributor_id IN (*)",
)
_INTENTS = (
    "SELECT id, platform_id, policy_id, wording_sha256, wording_language, shown_at, created_at, used_by, site_key_id "
    "FROM consent_intent WHERE id IN (*)"
)
_FIRST = (
    "SELECT c.id, c.body_mac, c.state, c.releasable_from, e.log_index FROM contribution c "
    "LEFT JOIN log_entry e ON e.subject = c.id AND e.type = 'contribution.recorded' "
    "WHERE c.platform_id = ? AND c.kind = ? AND c.external_hash = ?"
)
_CONTRIBUTION_COLUMNS = (
    "id", "platform_id", "contributor_id", "kind", "external_hash", "body_mac", "parent_id", "language", "created_at",
    "recorded_at", "releasable_from", "state", "parts", "context_terms", "context_ref",
)  # fmt: skip
_CONSENT_COLUMNS = (
    "id", "contributor_id", "contribution_id", "version", "policy_id", "basis", "attested_by", "wording_sha256",
    "wording_language", "shown_at", "given_at", "state", "ended_at",
)  # fmt: skip


class RaceLost(Exception):
    """Another process made one of the same rows meanwhile; run the batch again and it will find them."""


@dataclass(slots=True)
class Draft:
    """A contribution that passed every check that needs no database."""

    platform: str
    kind: str
    external_hash: bytes
    body_mac: bytes
    pseudonym: bytes | None
    parent_id: str | None
    parent_hash: bytes | None
    language: str | None
    created_at: datetime | None
    parts: dict[str, bytes]
    part_bits: int
    context_terms: str | None
    context_ref: str | None
    policy: StoredPolicy | None
    basis: str
    wording: str | None
    wording_language: str | None
    shown_at: datetime | None
    intent: str | None
    origin: tuple[str, bytes] | None = None
    """Where it came through a hook: the ingest key's id, and the line's skeleton, sealed."""
    names: tuple[bytes | None, bytes | None] = (None, None)
    """Keyed hashes of the names by which its system tells of a deletion: its own, and of what it is part of."""
    key: str | None = None
    """The ingest key that it came with, which must not be revoked when it is recorded."""
    models: tuple[str, ...] = ()
    """The language models it is about, each once."""
    may_default: bool = False
    """It came without any word on consent: its platform's default applies, if that and the person leave it open."""
    warnings: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An acknowledged contribution."""

    id: str
    log_index: int
    releasable_from: datetime
    warnings: list[dict[str, str]]
    defaulted: bool = False
    """Its platform's default was applied now. Not for the platform, who would see by it that somebody chose."""


@dataclass(slots=True)
class _New:
    """A draft on its way into the database."""

    at: int
    draft: Draft
    id: str
    contributor: str = ""
    person: Person | None = None
    parent: str | None = None
    consent: tuple[int, str, str, str, str | None, str | None, datetime | None] | None = None
    """policy row, digest, basis, attested_by, wording, language, shown_at"""
    defaulted: bool = False


def record_many(
    direct: Direct, keys: KeyRing, drafts: Sequence[Draft], hold: timedelta, *, now: datetime, careful: bool = True
) -> Callable[[], list[Recorded | DomainError]]:
    """Record `drafts` in the caller's transaction. Gives a function: a result for each, in order, to be asked for once the
    transaction is committed.

    A draft recorded before with the same bytes gives the first answer again; a refusal of one leaves the others alone.
    Raises RaceLost (and without `careful` the driver's IntegrityError, at the latest when a pipeline ends) where the whole
    batch must be tried again in a new transaction, carefully.
    """
    random = Entropy(min(64 + 256 * len(drafts), 65_536))
    results: list[Recorded | DomainError | None] = [None] * len(drafts)
    bare = any(d.may_default for d in drafts)
    active = direct.run_among(_DEFAULTS if bare else _ACTIVE, (), list({d.platform for d in drafts}))
    hooked = list({d.key for d in drafts if d.key is not None})
    living = direct.run_among(_KEYS, (), hooked) if hooked else None
    people = contributors.meet(direct, keys, {(d.platform, d.pseudonym) for d in drafts if d.pseudonym is not None})
    platforms = {row[0]: row[1:] for row in active.fetchall()}
    revoked = set(hooked) - {row[0] for row in living.fetchall()} if living is not None else set()
    pending = _admit(set(platforms), revoked, drafts, results, random)
    _read_intents(direct, pending, results, now)
    if careful:
        _turn_away(direct, pending, results)
    _find_parents(direct, [p for p in pending if results[p.at] is None], results)
    # Only now: a record refused above must not stand for a later one with the same external id.
    pending, twins = _without_twins([p for p in pending if results[p.at] is None])
    strangers = _name_people(people(), pending, random)
    if bare:
        _apply_defaults(direct, pending, {name: found for name, found in platforms.items() if found[0] is not None}, now)
    releasable = now + hold
    rows = [_contribution_row(p, micros(now), micros(releasable)) for p in pending]
    seen_before: list[_New] = []
    fresh = pending
    if careful:
        fresh_ids = direct.insert_new(_CONTRIBUTION, _CONTRIBUTION_COLUMNS, rows, "id")
        fresh = [p for p in pending if p.id in fresh_ids]
        seen_before = [p for p in pending if p.id not in fresh_ids]
        if seen_before and any(p.parent in {s.id for s in seen_before} for p in fresh):
            raise RaceLost
    else:
        direct.insert(_CONTRIBUTION, _CONTRIBUTION_COLUMNS, rows)
    for p in fresh:
        if p.draft.intent is not None:
            direct.run("UPDATE consent_intent SET used_by = ? WHERE id = ?", (p.id, p.draft.intent))
    first = _write(direct, keys, fresh, strangers, now, rfc3339(releasable), careful, random) if fresh else None
    for twin in [*seen_before, *twins]:
        results[twin.at] = _again(direct, twin)

    def answer() -> list[Recorded | DomainError]:
        if first is not None:
            for index, p in enumerate(fresh, first()):
                results[p.at] = Recorded(p.id, index, releasable, p.draft.warnings, p.defaulted)
        return [r for r in results if r is not None]

    return answer


def _admit(active: set[str], revoked: set[str], drafts: Sequence[Draft], results: list[Any], random: Entropy) -> list[_New]:
    pending = []
    for at, draft in enumerate(drafts):
        if draft.platform not in active:
            results[at] = Unauthorised("token_invalid", "The platform is suspended; ask the operator.")
            continue
        if draft.key in revoked:
            results[at] = ingest_keys.unknown()
            continue
        new = _New(at, draft, new_id("contribution", random))
        if draft.policy is not None:
            new.consent = (
                draft.policy.id, draft.policy.digest, draft.basis, "platform", draft.wording, draft.wording_language, draft.shown_at,
            )  # fmt: skip
        pending.append(new)
    return pending


def _read_intents(direct: Direct, pending: list[_New], results: list[Any], now: datetime) -> None:
    """Give each record with an intent the consent it stands for, and lock the intent. It is marked as used by who goes in."""
    wanting = [p for p in pending if p.draft.intent is not None]
    if not wanting:
        return
    lock = "" if direct.sqlite else " ORDER BY id FOR UPDATE"
    found = {row[0]: row for row in direct.run_among(_INTENTS + lock, (), list({p.draft.intent for p in wanting})).fetchall()}
    policies = list({row[2] for row in found.values()})
    digests = dict(direct.run_among("SELECT id, digest FROM policy WHERE id IN (*)", (), policies).fetchall()) if policies else {}
    takers: dict[str, tuple[str, bytes]] = {}
    oldest = micros(now - INTENT_LIFE)
    for p in wanting:
        row = found.get(p.draft.intent)
        # One that is used, or gone since, may still belong to the record that this call repeats: the external id decides that.
        if row is None or row[1] != p.draft.platform or row[6] <= oldest or takers.setdefault(row[0], _key(p)) != _key(p):
            results[p.at] = _again(direct, p, otherwise=Invalid("intent_unknown", "Obtain a new consent intent; one is good for one record."))
            continue
        _, _, policy, wording, language, shown_at, _, used_by, site = row
        if used_by is not None:
            results[p.at] = _again(direct, p, otherwise=Invalid("intent_unknown", "Obtain a new consent intent; this one was used."))
            continue
        # One that came through the widget is the person's own word; one that the platform sent by itself is the platform's.
        attested = "platform" if site is None else "person"
        p.consent = (policy, digests[policy], "explicit", attested, wording, language, from_micros(shown_at))


def _turn_away(direct: Direct, pending: list[_New], results: list[Any]) -> None:
    """Refuse what is given in the name of people who asked not to be recorded again. Only a batch that failed looks for them:
    their pseudonym is still there, so nobody can be made under it."""
    refused = contributors.refused(direct, {(p.draft.platform, p.draft.pseudonym) for p in pending if p.draft.pseudonym is not None})
    for p in pending:
        if (p.draft.platform, p.draft.pseudonym) in refused and results[p.at] is None:
            results[p.at] = Gone("contributor_refused", "The person had everything erased and asked not to be recorded; leave it out.")


def _key(p: _New) -> tuple[str, bytes]:
    return p.draft.kind, p.draft.external_hash


def _without_twins(pending: list[_New]) -> tuple[list[_New], list[_New]]:
    """The first of each external id, and the later ones, which are answered as repeats."""
    firsts: dict[tuple[str, str, bytes], _New] = {}
    twins = []
    for p in pending:
        if firsts.setdefault((p.draft.platform, p.draft.kind, p.draft.external_hash), p) is not p:
            twins.append(p)
    return list(firsts.values()), twins


def _find_parents(direct: Direct, pending: list[_New], results: list[Any]) -> None:
    wanting = [p for p in pending if p.draft.parent_hash is not None or p.draft.parent_id is not None]
    if not wanting:
        return
    by_hash: dict[tuple[str, bytes], str] = {}
    hashes = list({p.draft.parent_hash for p in wanting if p.draft.parent_hash is not None})
    ids = list({p.draft.parent_id for p in wanting if p.draft.parent_id is not None})
    for platform in {p.draft.platform for p in wanting} if hashes else ():
        query = "SELECT id, external_hash FROM contribution WHERE platform_id = ? AND external_hash IN (*)"
        for found, external in direct.run_among(query, (platform,), hashes).fetchall():
            by_hash[platform, external] = found
    owners: dict[str, str] = {}
    if ids:
        owners = dict(direct.run_among("SELECT id, platform_id FROM contribution WHERE id IN (*)", (), ids).fetchall())
    failed: set[tuple[str, bytes]] = set()
    for p in pending:
        own = (p.draft.platform, p.draft.external_hash)
        if p.draft.parent_id is not None:
            p.parent = p.draft.parent_id if owners.get(p.draft.parent_id) == p.draft.platform else None
        elif p.draft.parent_hash is not None:
            p.parent = by_hash.get((p.draft.platform, p.draft.parent_hash))
        if (p.draft.parent_id or p.draft.parent_hash) and p.parent is None:
            results[p.at] = Invalid("parent_unknown", "Record the parent first, or earlier in the same batch.")
            failed.add(own)
        elif own not in failed:
            by_hash.setdefault(own, p.id)


def _name_people(
    known: dict[tuple[str, bytes], Person], pending: list[_New], random: Entropy
) -> dict[str, tuple[str, bytes | None]]:
    """Give every pending record its contributor; the ids that are new, with (platform, pseudonym)."""
    strangers: dict[str, tuple[str, bytes | None]] = {}
    met: dict[tuple[str, bytes], str] = {}
    for p in pending:
        platform, pseudonym = p.draft.platform, p.draft.pseudonym
        if pseudonym is not None:
            p.person = known.get((platform, pseudonym))
            p.contributor = p.person.id if p.person is not None else met.get((platform, pseudonym), "")
        if not p.contributor:
            p.contributor = new_id("contributor", random)
            strangers[p.contributor] = (platform, pseudonym)
            if pseudonym is not None:
                met[platform, pseudonym] = p.contributor
    return strangers


def _apply_defaults(direct: Direct, pending: list[_New], defaults: dict[str, tuple[Any, ...]], now: datetime) -> None:
    """Give what came without a choice its platform's default, on basis notice; not what was made before the notice was shown, and
    not what is given by somebody who ever chose, narrowed, excluded or withdrew anything there: they are no longer silent."""
    bare = [p for p in pending if p.draft.may_default and p.draft.platform in defaults]
    known = list({p.contributor for p in bare if p.person is not None})
    chose = {row[0] for query in _CHOSE for row in direct.run_among(query, (), known).fetchall()} if known else set()
    for p in bare:
        policy, digest, wording, language, shown_at = defaults[p.draft.platform]
        if p.contributor in chose or micros(p.draft.created_at or now) < shown_at:
            continue
        p.consent, p.defaulted = (policy, digest, "notice", "platform", wording, language, from_micros(shown_at)), True


def _contribution_row(p: _New, now: int, releasable: int) -> tuple[Any, ...]:
    d = p.draft
    return (
        p.id, d.platform, p.contributor, d.kind, d.external_hash, d.body_mac, p.parent, d.language,
        None if d.created_at is None else micros(d.created_at), now, releasable, "live", d.part_bits, d.context_terms, d.context_ref,
    )  # fmt: skip


def _write(
    direct: Direct, keys: KeyRing, fresh: list[_New], strangers: dict[str, tuple[str, bytes | None]], now: datetime,
    releasable: str, careful: bool, random: Entropy,
) -> Callable[[], int]:  # fmt: skip
    """People, consents, payloads and leaves of the new contributions; what it gives tells the first log index."""
    used = {p.contributor for p in fresh if p.person is None}
    made = contributors.create(
        direct, keys, {c: name for c, name in strangers.items() if c in used}, now, careful=careful, random=random
    )
    if made is None:
        raise RaceLost
    consents, payloads, leaves, lines, models, names = [], [], [], [], [], []
    at = micros(now)
    for p in fresh:
        person = p.person or made[p.contributor]
        given = None
        if p.consent is not None:
            policy, digest, basis, attested_by, wording, language, shown_at = p.consent
            consents.append(
                (new_id("consent", random), person.id, p.id, 1, policy, basis, attested_by, wording, language,
                 None if shown_at is None else micros(shown_at), at, "current", None)
            )  # fmt: skip
            given = {
                "policy": digest, "basis": basis, "attested_by": attested_by, "wording": wording, "language": language,
                "shown_at": None if shown_at is None else rfc3339(shown_at),
            }  # fmt: skip
        d = p.draft
        seal = person.sealer.seal
        payloads.append((p.id, *[seal(d.parts[name], part_place(p.id, name), random) if name in d.parts else None for name in PARTS]))
        if d.origin is not None:
            lines.append((p.id, *d.origin, at))
        if d.names != (None, None):
            names.append((p.id, *d.names))
        if d.models:
            models += [(p.id, model) for model in d.models]
        body = {
            "contribution": p.id, "platform": d.platform, "kind": d.kind, "language": d.language,
            "parts": {name: sha256(data).hexdigest() for name, data in d.parts.items()},
            "created_at": None if d.created_at is None else rfc3339(d.created_at), "consent": given,
            "parent": p.parent, "context_ref": d.context_ref, "context_terms": d.context_terms, "releasable_from": releasable,
            "rid_seed_sha256": sha256(rid_seed(person.rid_key, p.id)).hexdigest(),
        }  # fmt: skip
        leaves.append(log.personal("contribution.recorded", p.id, body, person.sealer, now, random))
    direct.insert(_CONSENT, _CONSENT_COLUMNS, consents)
    direct.insert(_PAYLOAD, ("contribution_id", *PARTS), payloads)
    direct.insert(_MODEL, ("contribution_id", "model"), models)
    direct.insert(_HOOK_LINE, ("contribution_id", "key_id", "skeleton", "received_at"), lines)
    direct.insert(_NAME, ("contribution_id", "own_mac", "group_mac"), names)
    return log.append_later(direct, leaves, now)


def part_place(contribution: str, part: str) -> bytes:
    """Where a sealed part belongs: it opens nowhere else."""
    return f"part\x00{contribution}\x00{part}".encode()


def _again(direct: Direct, p: _New, otherwise: DomainError | None = None) -> Recorded | DomainError:
    """The first answer again for the same bytes, or the refusal of other bytes."""
    row = direct.run(_FIRST, (p.draft.platform, p.draft.kind, p.draft.external_hash)).fetchone()
    if row is None:
        if otherwise is not None:
            return otherwise
        raise RaceLost
    found, body_mac, state, releasable_from, log_index = row
    if state == "erased":
        return Gone("contribution_gone", "The person had it erased; leave it out.")
    if body_mac is None or not hmac.compare_digest(body_mac, p.draft.body_mac):
        return Conflict("external_id_conflict", "Use a new external_id for a new contribution.", id=found)
    return Recorded(found, log_index, from_micros(releasable_from), p.draft.warnings)
