"""Facts as the words of a page: who has it, what it is, what the terms say. No decision is made here."""

import json
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from app.consents import wordings
from app.consents.policies import PolicyBook
from app.contributions import queries
from app.contributions.models import Contribution
from app.core.deed import Atom, Line, beside, sentence
from app.core.evaluation import Use
from app.core.policy import Policy
from app.core.vocabulary import PURPOSES
from app.kit.runtime import Runtime
from app.parties.models import Lab, Platform
from app.revocations import whereabouts
from app.revocations.models import CompensationLine
from app.revocations.timeline import Event
from app.web.saying import Said, begun, deed_language, listed, money, phrase, plain, say, say_many

LANGUAGES = ("en", "es", "sw", "hi", "ar", "fr", "pt", "tl", "de", "zh", "ja", "id", "bn", "ru", "tr", "vi")
"""Offered where somebody says in which language they write; any other tag can be typed."""
KINDS = {
    "conversation": say("A talk with a model"), "message": say("A message"), "preference": say("A vote"), "rating": say("A score"),
    "ranking": say("A ranking"), "label": say("A label"), "red_team_report": say("A red-team report"),
    "vulnerability_report": say("A report of a flaw"), "critique": say("A critique"), "refusal": say("A refusal"),
    "statement": say("A statement"), "objection": say("An objection"), "testimony": say("A testimony"),
}  # fmt: skip
STATES = {
    "held": say("Waiting. No lab gets it yet."), "live": say("Labs may ask for it."),
    "withdrawn": say("Taken back. No new release will hold it."), "erased": say("Erased. Nobody can read it here."),
}  # fmt: skip
_A_THING = say("A thing")
FILTERS = {"live": say("labs may ask for it"), "withdrawn": say("taken back"), "erased": say("erased")}
_MOST_LINES = 60
_MOST_CHARACTERS = 2_000


def used(use: Use) -> Said:
    """A use in a few words: to test models, for science."""
    what = phrase(lambda words: words.join_and([words.actions[a] for a in sorted(use.actions)]))
    if not use.purposes:
        return what
    what_for = phrase(lambda words: words.join_and([words.purposes[p] for p in sorted(use.purposes)]))
    return say("%(what)s, for %(purposes)s", what=what, purposes=what_for)


def purposes() -> list[tuple[str, Said]]:
    """Every purpose with its phrase, in the order of the reader's words."""
    return sorted(((name, purpose(name)) for name in PURPOSES), key=lambda pair: str(pair[1]))


def purpose(name: str) -> Said:
    """What a purpose is called."""
    return phrase(lambda words: words.purposes[name])


def parts(names: list[str]) -> Said:
    """What the parts of a contribution are called."""
    return listed([part(name) for name in names])


def part(name: str) -> Said:
    """What one part of a contribution is called."""
    return phrase(lambda words: words.parts[name])


def payment(line: CompensationLine, lab: str) -> dict[str, Any]:
    """What a lab owes, and what was said of it."""
    reason = {"not-received": say("it did not come"), "too-little": say("it is too little")}.get(line.reason or "", "")
    return {
        "id": line.id, "lab": lab, "money": money(line.amount, line.currency), "collective": line.collective_id is not None,
        "records": line.records, "due": line.due, "state": line.state, "evidence": line.evidence or "", "paid_at": line.paid_at, "reason": reason,
    }  # fmt: skip


def uses(policy: Policy) -> list[Said]:
    """What a policy permits, one sentence a permission, its conditions left out: what can be stopped by itself."""
    return [_sentence(Atom(rule)) for rule in policy.permission]


def _sentence(atom: Atom) -> Said:
    return phrase(lambda words: sentence(atom, words))


@dataclass(frozen=True)
class Terms:
    """What governs a contribution now: its deed, the further layers, and what was taken back in part."""

    deed: tuple[Line, ...]
    standing: bool
    """The deed is that of the consent on everything: the contribution has none of its own."""
    layers: list[tuple[Line, ...]]
    labs: list[tuple[str, Any]]
    purposes: list[tuple[Said, Any]]
    shown: str | None = None
    """The path of the words that the person was shown, where the platform registered them."""


def terms(session: Session, runtime: Runtime, row: Contribution) -> Terms:
    """The terms in force on a contribution, as sentences."""
    book: PolicyBook = runtime.parts["policies"]
    found = queries.governing(session, row)
    taken = whereabouts.exclusions(session, row.contributor_id, row.id) if found else []
    labs = {x.lab_id: (session.get_one(Lab, x.lab_id).legal_name, x.created_at) for x in reversed(taken) if x.lab_id}
    ends = {x.purpose: (purpose(x.purpose), x.created_at) for x in reversed(taken) if x.purpose}
    if found is None:
        return Terms((), False, [], [], [])
    consent, policy = found
    own = consent.contribution_id is not None
    return Terms(
        beside(book.by_digest(policy.digest).terms, deed_language()), not own,
        [beside(p.terms, deed_language()) for p in whereabouts.others(session, book, row, own, runtime.clock.now())],
        list(labs.values()), list(ends.values()), wordings.address(session, consent.wording_sha256),
    )  # fmt: skip


def facts_of(session: Session, runtime: Runtime, rows: list[Contribution]) -> list[dict[str, Any]]:
    """The facts of each, their platforms read once: a session forgets what nobody holds."""
    platforms = {name: session.get(Platform, name) for name in {row.platform_id for row in rows}}
    return [facts(session, runtime, row, platforms[row.platform_id]) for row in rows]


def facts(session: Session, runtime: Runtime, row: Contribution, platform: Platform | None = None) -> dict[str, Any]:
    """What, when, through whom, and how it stands."""
    state = queries.state_at(row, row.releasable_from <= runtime.clock.now())
    platform = platform or session.get(Platform, row.platform_id)
    kind = KINDS.get(row.kind, row.kind)
    return {
        "id": row.id, "kind": kind, "what": say("%(kind)s: %(parts)s", kind=kind, parts=parts(queries.names_of(row))),
        "at": row.recorded_at, "from": row.releasable_from, "platform": platform.name if platform else "", "state": state,
        "told": STATES[state], "acts": state in ("held", "live"),
    }  # fmt: skip


def readable(parts: dict[str, str]) -> list[dict[str, Any]]:
    """The parts of a contribution for reading: each value on a line of its own. Only here, to be shown, is a part parsed; one
    that cannot be is shown as it stands. `more` says that the page does not show all of it."""
    shown = []
    for name, text in parts.items():
        lines: list[tuple[str, str | Said]] = []
        more = not _lines(text, lines)
        shown.append({"name": begun(part(name), str.upper), "lines": lines, "more": more})
    return shown


_WORDS = {True: say("yes"), False: say("no"), None: say("nothing")}


def _lines(text: str, lines: list[tuple[str, str | Said]]) -> bool:
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
        if value is None or isinstance(value, bool):
            lines.append((_sound(label), _WORDS[value]))
            continue
        told = str(value)
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
        entry["open"] = entry["open"] or ((h.recalled < h.contributions or h.served) and h.lab_id not in taken)
        entry["uses"].append(
            {"told": used(h.use), "since": h.since, "until": h.until, "days": h.use.retention_days, "deletion": h.deletion,
             "recall": h.recall, "late": h.late, "ended": h.ended, "passed": h.passed, "fetched": h.fetched, "contributions": h.contributions,
             "recalled": h.recalled}
        )  # fmt: skip
    return list(found.values())


ACTS = {
    ("consent.given", "contribution"): say("You chose terms for it."), ("consent.scoped", "contribution"): say("You changed its terms."),
    ("consent.given", "standing"): say("You chose terms for all you give."),
    ("consent.scoped", "standing"): say("You changed the terms for all you give."),
    ("consent.withdrawn", "contribution"): say("You took it back."), ("consent.withdrawn", "lab"): say("You took it back from one lab."),
    ("consent.withdrawn", "purpose"): say("You took it back from one use."), ("consent.withdrawn", "all"): say("You took back all you gave."),
    ("consent.withdrawn", "standing"): say("You ended the terms for all you give."),
    ("compensation.disputed", "line"): say("You said that a payment is wrong."),
    ("consent.revoked", "contribution"): say("It was taken back for you."),
    ("objection.filed", "contribution"): say("You said what you object to."),
    ("objection.withdrawn", "contribution"): say("You took your words against it back."),
    ("passkey.added", "passkey"): say("You added a passkey."), ("passkey.removed", "passkey"): say("You removed a passkey."),
    ("call.opened", "call"): say("You called people together."), ("call.ended", "call"): say("You ended a call of yours."),
    ("passkey.removed", "recovery"): say("A code to get in again was used. It removed all passkeys."),
}  # fmt: skip
"""What the person did, by type and reach of the act."""


def did(kind: str, scope: str, by_passkey: bool) -> Said:
    """What the person did, and that their passkey signed it."""
    told = ACTS.get((kind, scope)) or say("You did this: %(act)s.", act=kind)
    return say("%(what)s Signed with your passkey.", what=told) if by_passkey else told


def happened(event: Event) -> Said:
    """An event of a timeline as a sentence."""
    n = event.count
    if event.what == "gave":
        kind = begun(KINDS.get(event.name, _A_THING), str.lower)
        return say_many("You gave %(kind)s.", "You gave %(num)s things of one sort: %(kind)s.", n, kind=kind)
    if event.what == "did":
        return did(*event.name)
    if event.what == "erasing":
        return say_many("You had one thing erased.", "You had %(num)s things erased.", n)
    if event.what == "erased":
        return say_many("No trace of one thing is left here.", "No trace of %(num)s things is left here.", n)
    return _by_lab(event.what, plain(event.name), n)


def _by_lab(what: str, lab: str, n: int) -> Said:
    """What a lab did or was told."""
    if what == "released":
        return say_many(
            "<bdi>%(lab)s</bdi> may get one thing in a release.", "<bdi>%(lab)s</bdi> may get %(num)s things in a release.", n, lab=lab
        )  # fmt: skip
    if what == "fetched":
        return say_many("<bdi>%(lab)s</bdi> got one thing.", "<bdi>%(lab)s</bdi> got %(num)s things.", n, lab=lab)
    if what == "told":
        return say_many(
            "<bdi>%(lab)s</bdi> was told to delete one thing.", "<bdi>%(lab)s</bdi> was told to delete %(num)s things.", n, lab=lab
        )  # fmt: skip
    if what == "acknowledged":
        return say_many(
            "<bdi>%(lab)s</bdi> said that it got our notice about one thing.",
            "<bdi>%(lab)s</bdi> said that it got our notice about %(num)s things.", n, lab=lab,
        )  # fmt: skip
    if what == "attested":
        return say_many(
            "<bdi>%(lab)s</bdi> said that it deleted one thing.", "<bdi>%(lab)s</bdi> said that it deleted %(num)s things.", n, lab=lab
        )  # fmt: skip
    return say_many(
        "<bdi>%(lab)s</bdi> said that it cannot delete one thing.", "<bdi>%(lab)s</bdi> said that it cannot delete %(num)s things.", n, lab=lab
    )  # fmt: skip


def kept(url: str, secret: str) -> Said:
    """The file that a receipt is kept in."""
    return say(
        """Keep this file. Show it to nobody.

This link opens the page of what you gave:
%(url)s

Or go to the start page and type in this receipt:
%(secret)s
""",
        url=url, secret=secret,
    )  # fmt: skip
