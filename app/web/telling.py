"""Facts as the words of a page: who has it, what it is, what the terms say. No decision is made here."""

import json
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from app.consents import wordings
from app.consents.policies import PolicyBook
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.deed import CATALOGS, Atom, Line, beside, sentence
from app.core.evaluation import Use
from app.core.lines import digits
from app.core.policy import Policy
from app.kit.runtime import Runtime
from app.parties.models import Lab, Platform
from app.revocations import whereabouts
from app.revocations.models import CompensationLine
from app.revocations.timeline import Event

LANGUAGE = "en"
LANGUAGES = ("en", "es", "sw", "hi", "ar", "fr", "pt", "tl", "de", "zh", "ja", "id", "bn", "ru", "tr", "vi")
"""Offered where somebody says in which language they write; any other tag can be typed."""
KINDS = {
    "conversation": "A talk with a model", "message": "A message", "preference": "A vote", "rating": "A score", "ranking": "A ranking",
    "label": "A label", "red_team_report": "A red-team report", "vulnerability_report": "A report of a flaw", "critique": "A critique",
    "refusal": "A refusal", "statement": "A statement", "objection": "An objection", "testimony": "A testimony",
}  # fmt: skip
STATES = {
    "held": "Waiting. No lab gets it yet.", "live": "Labs may ask for it.",
    "withdrawn": "Taken back. No new release will hold it.", "erased": "Erased. Nobody can read it here.",
}  # fmt: skip
FILTERS = {"live": "labs may ask for it", "withdrawn": "taken back", "erased": "erased"}
_MOST_LINES = 60
_MOST_CHARACTERS = 2_000


def used(use: Use) -> str:
    """A use in a few words: to test models, for science."""
    words = CATALOGS[LANGUAGE]
    what = words.join_and([words.actions[a] for a in sorted(use.actions)])
    what_for = words.join_and([words.purposes[p] for p in sorted(use.purposes)]) if use.purposes else ""
    return f"{what}, for {what_for}" if what_for else what


def purposes() -> list[tuple[str, str]]:
    """Every purpose with its phrase."""
    return sorted(CATALOGS[LANGUAGE].purposes.items(), key=lambda pair: pair[1])


def money(amount: int, currency: str) -> str:
    """Minor units as people write them: 1.50 EUR, 3 JPY."""
    places = digits(currency)
    whole, rest = divmod(amount, 10**places)
    return f"{whole}.{rest:0{places}} {currency}" if places else f"{whole} {currency}"


def payment(line: CompensationLine, lab: str) -> dict[str, Any]:
    """What a lab owes, and what was said of it."""
    reason = {"not-received": "it did not come", "too-little": "it is too little"}.get(line.reason or "", "")
    return {
        "id": line.id, "lab": lab, "money": money(line.amount, line.currency), "collective": line.collective_id is not None,
        "records": line.records, "due": line.due, "state": line.state, "evidence": line.evidence or "", "paid_at": line.paid_at, "reason": reason,
    }  # fmt: skip


def uses(policy: Policy) -> list[str]:
    """What a policy permits, one sentence a permission, its conditions left out: what can be stopped by itself."""
    words = CATALOGS[LANGUAGE]
    return [sentence(Atom(rule), words) for rule in policy.permission]


@dataclass(frozen=True)
class Terms:
    """What governs a contribution now: its deed, the further layers, and what was taken back in part."""

    deed: tuple[Line, ...]
    standing: bool
    """The deed is that of the consent on everything: the contribution has none of its own."""
    layers: list[tuple[Line, ...]]
    labs: list[tuple[str, Any]]
    purposes: list[tuple[str, Any]]
    shown: str | None = None
    """The path of the words that the person was shown, where the platform registered them."""


def terms(session: Session, runtime: Runtime, row: Contribution) -> Terms:
    """The terms in force on a contribution, as sentences."""
    book: PolicyBook = runtime.parts["policies"]
    found = queries.governing(session, row)
    taken = whereabouts.exclusions(session, row.contributor_id, row.id) if found else []
    labs = {x.lab_id: (session.get_one(Lab, x.lab_id).legal_name, x.created_at) for x in reversed(taken) if x.lab_id}
    words = CATALOGS[LANGUAGE].purposes
    ends = {x.purpose: (words[x.purpose], x.created_at) for x in reversed(taken) if x.purpose}
    if found is None:
        return Terms((), False, [], [], [])
    consent, policy = found
    own = consent.contribution_id is not None
    return Terms(
        beside(book.by_digest(policy.digest).terms, LANGUAGE), not own,
        [beside(p.terms, LANGUAGE) for p in whereabouts.others(session, book, row, own, runtime.clock.now())],
        list(labs.values()), list(ends.values()), wordings.address(session, consent.wording_sha256),
    )  # fmt: skip


def listed(session: Session, runtime: Runtime, rows: list[Contribution]) -> list[dict[str, Any]]:
    """The facts of each, their platforms read once: a session forgets what nobody holds."""
    platforms = {name: session.get(Platform, name) for name in {row.platform_id for row in rows}}
    return [facts(session, runtime, row, platforms[row.platform_id]) for row in rows]


def facts(session: Session, runtime: Runtime, row: Contribution, platform: Platform | None = None) -> dict[str, Any]:
    """What, when, through whom, and how it stands."""
    state = queries.state_at(row, row.releasable_from <= runtime.clock.now())
    platform = platform or session.get(Platform, row.platform_id)
    return {
        "id": row.id, "kind": KINDS.get(row.kind, row.kind), "parts": [CATALOGS[LANGUAGE].parts[p] for p in queries.names_of(row)],
        "at": row.recorded_at, "from": row.releasable_from, "platform": platform.name if platform else "", "state": state,
        "told": STATES[state], "acts": state in ("held", "live"),
    }  # fmt: skip


def readable(parts: dict[str, str]) -> list[dict[str, Any]]:
    """The parts of a contribution for reading: each value on a line of its own. Only here, to be shown, is a part parsed; one
    that cannot be is shown as it stands. `more` says that the page does not show all of it."""
    shown = []
    for name, text in parts.items():
        lines: list[tuple[str, str]] = []
        more = not _lines(text, lines)
        shown.append({"name": CATALOGS[LANGUAGE].parts[name], "lines": lines, "more": more})
    return shown


def _lines(text: str, lines: list[tuple[str, str]]) -> bool:
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        value = text
    waiting: list[tuple[str, Any]] = [("", value)]
    left, whole = _MOST_CHARACTERS, True
    while waiting:
        label, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(_label(label, key), v) for key, v in reversed(value.items())]
            continue
        if isinstance(value, list):
            waiting += [(_label(label, str(n)), v) for n, v in reversed(list(enumerate(value, 1)))]
            continue
        if len(lines) == _MOST_LINES or left <= 0:
            return False
        told = {True: "yes", False: "no", None: "nothing"}[value] if value is None or isinstance(value, bool) else str(value)
        whole = whole and len(told) <= left
        # Half a surrogate pair can stand in JSON's escapes; no page can hold it.
        lines.append((_sound(label), _sound(told[:left])))
        left -= len(told)
    return whole


def _label(above: str, key: str) -> str:
    return f"{above} {key[:80]}".strip()[:80]


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def labs(held: list[whereabouts.Held], taken: frozenset[str | None] = frozenset()) -> list[dict[str, Any]]:
    """Who has it, one entry a lab, each with its uses and how the deletion stands. `open` says that there is something left to
    take back from it; `taken` are the labs that may get nothing any more."""
    found: dict[str, dict[str, Any]] = {}
    for h in held:
        entry = found.setdefault(h.lab_id, {"id": h.lab_id, "name": h.lab, "uses": [], "open": False})
        entry["open"] = entry["open"] or (h.recalled < h.contributions and h.lab_id not in taken)
        entry["uses"].append(
            {"told": used(h.use), "since": h.since, "until": h.until, "days": h.use.retention_days, "deletion": h.deletion,
             "recall": h.recall, "late": h.late, "contributions": h.contributions, "recalled": h.recalled}
        )  # fmt: skip
    return list(found.values())


ACTS = {
    ("consent.given", "contribution"): "You chose terms for it.", ("consent.scoped", "contribution"): "You changed its terms.",
    ("consent.given", "standing"): "You chose terms for all you give.", ("consent.scoped", "standing"): "You changed the terms for all you give.",
    ("consent.withdrawn", "contribution"): "You took it back.", ("consent.withdrawn", "lab"): "You took it back from one lab.",
    ("consent.withdrawn", "purpose"): "You took it back from one use.", ("consent.withdrawn", "all"): "You took back all you gave.",
    ("consent.withdrawn", "standing"): "You ended the terms for all you give.",
    ("compensation.disputed", "line"): "You said that a payment is wrong.",
    ("consent.revoked", "contribution"): "It was taken back for you.",
    ("objection.filed", "contribution"): "You said what you object to.",
    ("objection.withdrawn", "contribution"): "You took your words against it back.",
    ("passkey.added", "passkey"): "You added a passkey.", ("passkey.removed", "passkey"): "You removed a passkey.",
    ("passkey.removed", "recovery"): "A code to get in again was used. It removed all passkeys.",
}  # fmt: skip
"""What the person did, by type and reach of the act."""
_HAPPENED = {
    "released": "may get {things} in a release.", "fetched": "got {things}.", "told": "was told to delete {things}.",
    "acknowledged": "said that it got our notice about {things}.", "attested": "said that it deleted {things}.",
    "cannot_remove": "said that it cannot delete {things}.",
}  # fmt: skip
"""What a lab did or was told, after its name."""


def did(kind: str, scope: str, by_passkey: bool) -> str:
    """What the person did, and that their passkey signed it."""
    told = ACTS.get((kind, scope), kind)
    return f"{told} Signed with your passkey." if by_passkey else told


def happened(event: Event) -> dict[str, Any]:
    """An event of a timeline as a sentence; with `lab` it begins with the lab's name, which the page puts there."""
    things = "one thing" if event.count == 1 else f"{event.count} things"
    if event.what in _HAPPENED:
        return {"lab": True, "text": _HAPPENED[event.what].format(things=things)}
    if event.what == "gave":
        kind = KINDS.get(event.name, "A thing").lower()
        return {"lab": False, "text": f"You gave {kind}." if event.count == 1 else f"You gave {things} of one sort: {kind}."}
    if event.what == "did":
        return {"lab": False, "text": did(*event.name)}
    return {"lab": False, "text": f"You had {things} erased." if event.what == "erasing" else f"No trace of {things} is left here."}


KEPT = """Keep this file. Show it to nobody.

This link opens the page of what you gave:
{url}

Or go to the start page and type in this receipt:
{secret}
"""
