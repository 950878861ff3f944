"""What a freeze fixes beside electorate and thread: the text, and what is to follow from a yes. Whoever holds the database can change a row,
and not the leaf by which the ballot was opened."""

import json
from typing import Any

from sqlmodel import Session, select

from app.collectives.models import CharterVersion, Collective, Proposal
from app.collectives.service import lost_charter
from app.consents.policies import PolicyBook
from app.core.canonical import canonical, sha256_hex
from app.crypto.keyring import keyed_hash
from app.kit.runtime import Runtime
from app.log.models import LogEntry

ADOPTED = ("collective.founded", "collective.charter-amended")
"""What the leaves of charters are called: the first, and each later one."""


def effect(session: Session, runtime: Runtime, row: Proposal) -> dict[str, Any]:
    """What a proposal would bring about and by which charter it is decided, by digests and ids. The salt is for members: the log is read by
    all, and who could guess the rest would find there which lab a private collective speaks about."""
    book: PolicyBook = runtime.parts["policies"]
    under = session.get(CharterVersion, (row.collective_id, row.charter_n))
    return {
        "decision": row.type, "policy": None if row.policy_id is None else book.by_ids([row.policy_id])[row.policy_id].digest,
        "charter_sha256": None if row.charter is None else sha256_hex(bytes(row.charter)), "subject": row.subject,
        "strike": None if row.strike is None else json.loads(row.strike),
        "measured_sha256": None if row.measured is None else sha256_hex(bytes(row.measured)), "about": row.about, "ballots": row.ballots,
        "request": row.request_id,
        "under_sha256": None if under is None else sha256_hex(bytes(under.body)),
        "salt": keyed_hash(runtime.keys.derive("effect"), row.id)[:16].hex(),
    }  # fmt: skip


def effect_sha256(session: Session, runtime: Runtime, row: Proposal) -> str:
    """The digest of `effect`, as canonical JSON, that the leaf of the opened ballot and the outcome name."""
    return sha256_hex(canonical(effect(session, runtime, row)))


def amended_sha256(session: Session, runtime: Runtime, row: Proposal, policy: str | None, charter: bytes | None) -> str:
    """The same of a proposal with other terms, by their digest, and other rules."""
    found = {**effect(session, runtime, row), "policy": policy, "charter_sha256": None if charter is None else sha256_hex(charter)}
    return sha256_hex(canonical(found))


def opened_leaf(session: Session, row: Proposal) -> bytes:
    """The leaf by which the ballot on a proposal was opened."""
    return bytes(session.get_one(LogEntry, row.opened_index).leaf)


def opened(session: Session, row: Proposal) -> dict[str, Any]:
    """What that leaf says."""
    found: dict[str, Any] = json.loads(opened_leaf(session, row))
    return found


def whole(session: Session, runtime: Runtime, row: Proposal) -> bool:
    """Whether text, electorate, effect, and the rounds of amendments that a rule looks at, are still what was frozen, and the rules those that
    were agreed: a ballot on another, or by others, is no ballot. A leaf of before says nothing of rounds."""
    if not (same_effect(session, runtime, row) and by_agreed_rules(session, row)):
        return False
    leaf = opened(session, row)
    if leaf.get("rounds", row.rounds) != row.rounds:
        return False
    return leaf["text_sha256"] == row.text_sha256 == sha256_hex(row.text.encode()) and leaf["electorate_root"] == row.electorate_root


def by_agreed_rules(session: Session, row: Proposal) -> bool:
    """Whether the charter that a proposal is decided by, and the one in force, are byte for byte those that the log says were adopted, and none
    came after. What a freeze fixes of the charter it takes from the database too, which somebody may have changed before."""
    group = session.get_one(Collective, row.collective_id)
    agreed = _agreed(session, group)
    if len(agreed) != group.charter_n or not 1 <= row.charter_n <= len(agreed):
        return False
    bodies = ((n, session.get(CharterVersion, (group.id, n))) for n in {row.charter_n, group.charter_n})
    return all(found is not None and sha256_hex(bytes(found.body)) == agreed[n - 1] for n, found in bodies)


def _agreed(session: Session, group: Collective) -> list[str | None]:
    """The digests of a collective's charters, in the order of the log. Of one that a restore lost nothing is in the log, and its first is known."""
    query = select(LogEntry.leaf).where(LogEntry.subject == group.id, LogEntry.type.in_(ADOPTED)).order_by(LogEntry.log_index)  # type: ignore[attr-defined,arg-type]
    leaves = [json.loads(bytes(leaf)) for leaf in session.exec(query)]
    said = [leaf.get("charter_sha256") for leaf in leaves if leaf["type"] in ADOPTED and leaf["id"] == group.id]
    return [sha256_hex(lost_charter()), *said] if group.state == "lost" else said


def same_effect(session: Session, runtime: Runtime, row: Proposal) -> bool:
    """Whether the effect is what was frozen, in this collective: else nothing that the row says of it is to be told of anybody. Where the leaf
    lies the row says too, so that it must be the one of this proposal; one of before effects were frozen names none."""
    if row.opened_index is None:
        return False
    leaf = opened(session, row)
    if (leaf["type"], leaf["id"], leaf.get("collective")) != ("ballot.opened", row.id, row.collective_id):
        return False
    try:
        return leaf.get("effect_sha256") in (None, effect_sha256(session, runtime, row))
    except (KeyError, ValueError):
        return False  # a policy that there is not, or no JSON
