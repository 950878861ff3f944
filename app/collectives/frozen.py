"""What a freeze fixes beside electorate and thread: the text, and what is to follow from a yes. Whoever holds the database can change a row,
and not the leaf by which the ballot was opened."""

import json
from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from app.collectives.models import CharterVersion, Collective, OutcomeRow, Proposal
from app.consents.policies import PolicyBook
from app.core.canonical import canonical, sha256_hex
from app.crypto.keyring import keyed_hash
from app.kit.runtime import Runtime
from app.log.models import LogEntry

ADOPTED = ("collective.founded", "collective.charter-amended")
"""What the leaves of charters are called: the first, and each later one."""
LOST = frozenset({
    "a8486fd1009258249d90019bce071eb3c98d73dff4897a9dbabf6f7106bde041", "b335bbb08753309135250c588e6c96c8d7dcec4dc547de6724ca586dbcf4ce9d",
    "b473a6f70ed842ffa170242441cca76cc94e87b498d8b233e8fdc82958bac52a", "e1c8caa4a04fd2bd2c140241494ae5ab12600a9e7c5a5bae832b88957f252a69",
    "59a40c35a741573316006d94d95bb2cda40f61c2c341d7af4f5e40387152354f", "2e002058246436e014f08bac952a24e7eb6747adc2f2b7f5fe3ed0c3cf961d53",
    "e2da85d19a42ccd4320240034ac643adc32b04c6c1bfa4caac516d77491a9648", "0bb510d99c398de6ce4433e21b744f64722a6623ab54ba0aea7dcf6da16be001",
    "5e80947d44c2fc604f023b6c0dba5325b62f79bc02d7ac4282a431b599e41ccc", "a70a7882060ad9ef382d8971142843eec2dfe888eb0a5cb4a584df41f1c126b7",
})  # fmt: skip
"""Digests of the charter that `service.lost_charter` writes, as this and each earlier version wrote it: none is in the log. With every field
and type of decision that is added there is one more, the last; what is stored stays as it was written."""


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


def passed(session: Session, row: Proposal) -> bool:
    """Whether the log says that this was passed, and that the time to appeal ends on the day that the row has: nobody shortens it, nor makes
    a yes of a no. A leaf of before names no day."""
    found = session.get(OutcomeRow, row.id)
    if found is None:
        return False
    leaf = json.loads(bytes(session.get_one(LogEntry, found.log_index).leaf))
    if (leaf["type"], leaf["id"], leaf.get("verdict")) != ("outcome.decided", row.id, "passed"):
        return False
    return leaf.get("appeal_until") in (None, row.appeal_until.date().isoformat())


def by_agreed_rules(session: Session, row: Proposal) -> bool:
    """Whether the charter that a proposal is decided by, and the one in force, are byte for byte those that the log says were adopted, to be
    reviewed as many days after as they say, and none came after. What a freeze fixes of the charter it takes from the database too, which
    somebody may have changed before."""
    group = session.get_one(Collective, row.collective_id)
    agreed = _agreed(session, group)
    if len(agreed) != group.charter_n or not 1 <= row.charter_n <= len(agreed):
        return False
    bodies = ((n, session.get(CharterVersion, (group.id, n))) for n in {row.charter_n, group.charter_n})
    return all(found is not None and _is_agreed(found, *agreed[n - 1]) for n, found in bodies)


def _is_agreed(found: CharterVersion, digests: Collection[str | None], adopted: date | None) -> bool:
    body = bytes(found.body)
    if sha256_hex(body) not in digests:
        return False
    return adopted is None or found.review_by == adopted + timedelta(days=json.loads(body)["review_days"])


def _agreed(session: Session, group: Collective) -> list[tuple[Collection[str | None], date | None]]:
    """What digest each of a collective's charters can have, in the order of the log, and the day on which it was adopted. Of one that a restore
    lost nothing is in the log, and its first is one of a few.

    Of leaves that a restore took over without their rows (`lost`) nothing is seen here: the collective goes on by the newest charter that is
    left, though the log says that it was replaced, since the body of the later one is gone. Whoever can alter `type` or `subject` of a leaf's row
    in the database reaches an older charter in the same way; the leaf itself they cannot alter."""
    query = select(LogEntry.leaf).where(LogEntry.subject == group.id, LogEntry.type.in_(ADOPTED)).order_by(LogEntry.log_index)  # type: ignore[attr-defined,arg-type]
    leaves = [json.loads(bytes(leaf)) for leaf in session.exec(query)]
    mine = [leaf for leaf in leaves if leaf["type"] in ADOPTED and leaf["id"] == group.id]
    said: list[tuple[Collection[str | None], date | None]] = [
        ((leaf.get("charter_sha256"),), datetime.fromisoformat(leaf["at"]).date()) for leaf in mine
    ]
    return [(LOST, None), *said] if group.state == "lost" else said


def same_lab(session: Session, runtime: Runtime, row: Proposal) -> bool:
    """Whether the lab that a proposal is about, and what it asked for, may be told of: as they were frozen, or where nothing was, as the leaf
    says by which the request was put to the vote."""
    if row.opened_index is not None:
        return same_effect(session, runtime, row)
    put = select(LogEntry.leaf).where(LogEntry.subject == row.id, LogEntry.type == "request.put-to-vote")
    leaves = [json.loads(bytes(leaf)) for leaf in session.exec(put)]
    said = [tuple(leaf.get(name) for name in ("type", "id", "collective", "request", "lab_id")) for leaf in leaves]
    return said == [("request.put-to-vote", row.id, row.collective_id, row.request_id, row.subject)]


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
