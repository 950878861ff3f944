"""The form of a charter: what it shows of one, and the charter that it says. What somebody left as it was is not sent back: it may be another
by then."""

import re
from typing import Any

from app.collectives import recounting
from app.collectives.schemas import CharterIn, RecounterIn
from app.core.electing import carried
from app.core.strictjson import StrictJSONError, parse
from app.kit.errors import DomainError, Invalid
from app.kit.problems import CODES
from app.web import charter_rules
from app.web.collective_pages import built, words
from app.web.saying import Said, listed, plain, say

MOST = 3
"""Recounters that a charter names at most."""
WAS = "was-"
"""Before the name of a field: what the form showed there first."""
_DAYS = ("tenure_days", "discussion_days", "ballot_days", "appeal_days", "review_days", "steward_days", "load", "asks")
_PARTS = ("dimension", "values")
_NAME, _KEY = "recounter-name-", "recounter-key-"
_RECOUNTERS = tuple(f"{part}{n}" for n in range(1, MOST + 1) for part in (_NAME, _KEY))
FIELDS = ("aim", "eligibility", *_DAYS, *charter_rules.FIELDS, *_PARTS, *_RECOUNTERS)
_UNITS = (_PARTS, _RECOUNTERS)
"""Fields that say one thing together: of these all are as somebody left them, or none. A name beside the key of another would be a lie."""
_LONGEST_KEY = 1_000
_HAS_PRIVATE = re.compile(r'"(?:d|k|p|q)"\s*:')
"""Members of a private key, in what may be a part of its JSON."""


class Slip(Invalid):
    """Something in a form that cannot be used, said in the language of whoever wrote it; `field` is where."""

    def __init__(self, code: str, told: Said, field: str = "") -> None:
        super().__init__(code, CODES[code])
        self.told, self.field = told, field


def fields_of(charter: dict[str, Any]) -> dict[str, str]:
    """What the form shows of a charter, by the names of its fields."""
    dimension, named = charter["dimension"], charter.get("recounters", [])
    # A charter of before there was a field is taken to have what is the default of it.
    shown = {name: str(charter.get(name, CharterIn.model_fields[name].default)) for name in ("aim", "eligibility", *_DAYS)}
    shown |= charter_rules.shown(charter)
    shown |= {"dimension": dimension["name"] if dimension else "", "values": " ".join(dimension["values"]) if dimension else ""}
    for n in range(MOST):
        one = named[n] if n < len(named) else {"name": "", "key": {"x": ""}}
        shown |= {f"{_NAME}{n + 1}": one["name"], f"{_KEY}{n + 1}": one["key"]["x"]}
    return {name: words(shown, name) for name in FIELDS}


def changed(form: dict[str, str], charter: dict[str, Any]) -> dict[str, str]:
    """What somebody changed in a form that showed a charter: the fields that say something else than they did at first, and those that say one
    thing with such a field. A form that does not tell what it showed is held against the charter of now; where there is none of that either
    (`charter` is a part), all is changed."""
    was = _was(form, charter)
    other = {name for name in FIELDS if name in form and words(form, name) != was[name]}
    other |= {name for unit in _UNITS if not other.isdisjoint(unit) for name in unit}
    return {name: words(form, name) for name in FIELDS if name in other}


def _was(form: dict[str, str], charter: dict[str, Any]) -> dict[str, str | None]:
    """What a form showed at first, as far as that is known."""
    shown = fields_of(charter) if "aim" in charter else {}
    return {name: words(form, WAS + name) if WAS + name in form else shown.get(name) for name in FIELDS}


def stale(form: dict[str, str], charter: dict[str, Any]) -> list[Said]:
    """What is said at a form whose charter became another while somebody wrote. What they changed too is named: it stands in the form as they
    wrote it, and sent once more it takes the place of what others chose."""
    was, now, said = _was(form, charter), fields_of(charter), changed(form, charter)
    told = [STALE]
    for unit, sentence in ((_PARTS, _parts_now), (_RECOUNTERS, _recounters_now)):
        mine = any(name in said and said[name] != now[name] for name in unit)
        if mine and any(was[name] != now[name] for name in unit):
            told += [sentence(charter), _YOURS]
    return told


def _parts_now(charter: dict[str, Any]) -> Said:
    if charter["dimension"] is None:
        return say("The parts of the group were changed while you wrote: now there are none.")
    named = charter["dimension"]
    return say("The parts of the group were changed while you wrote. Now they are (<bdi>%(name)s</bdi>): <bdi>%(values)s</bdi>.",
               name=plain(named["name"]), values=plain(", ".join(named["values"])))  # fmt: skip


def _recounters_now(charter: dict[str, Any]) -> Said:
    found = charter.get("recounters", [])
    if not found:
        return say("Who can count again was changed while you wrote: now nobody can.")
    each = [say("<bdi>%(name)s</bdi> (<code>%(key)s</code>)", name=plain(one["name"]), key=one["key"]["x"]) for one in found]
    return say("Who can count again was changed while you wrote. Now they are, each with their key: %(all)s.", all=listed(each))


def kept(form: dict[str, str], charter: dict[str, Any]) -> dict[str, str]:
    """The fields of a form that is shown once more: what was changed in it, and beside that the charter of now. A private key is not shown
    again, to nobody."""
    shown = fields_of(charter) | changed(form, charter)
    return {name: "" if name in _RECOUNTERS and _HAS_PRIVATE.search(value) else value for name, value in shown.items()}


def charter_of(form: dict[str, str], more: dict[str, Any]) -> CharterIn:
    """The charter that a form says; what was not changed in it, or what it does not ask for, is as in `more`, which is the present one or a
    part. Raises Invalid (body_invalid, recounter_key)."""
    advice = "Look at the rules: what the group is for, and days that are whole numbers."
    said = changed(form, more)
    _no_private_key(said)
    brought: dict[str, Any] = {name: said[name] for name in ("aim", "eligibility") if name in said}
    days = {name: said[name] for name in _DAYS if name in said}
    if not all(value.isdecimal() and len(value) < 4 for value in days.values()):
        raise Invalid("body_invalid", advice)
    brought |= {name: int(value) for name, value in days.items()}
    if any(name in said for name in _PARTS):
        values = words(form, "values").split()
        brought["dimension"] = {"name": words(form, "dimension") or "part", "values": values} if values else None
    if any(name in said for name in _RECOUNTERS) or _too_many(form):
        brought["recounters"] = _recounters(form)
    rules = {name: said[name] for name in charter_rules.FIELDS if name in said}
    if rules and (decided := charter_rules.brought(rules, more.get("decisions"))) is None:
        raise Invalid("body_invalid", "Choose how each thing is decided from the list.")
    present = {name: value for name, value in more.items() if name in CharterIn.model_fields}
    if rules:
        brought["decisions"] = decided
    elif "decisions" in more:
        present["decisions"] = carried(more["decisions"])
    return built(CharterIn, advice, **{**present, **brought})


def _too_many(form: dict[str, str]) -> bool:
    return any(name.startswith((_NAME, _KEY)) and name not in _RECOUNTERS and words(form, name) for name in form)


def _no_private_key(said: dict[str, str]) -> None:
    """Before anything else is told of a form, since that can say what stands as a name. Raises Slip (recounter_key)."""
    for name in _RECOUNTERS:
        if _HAS_PRIVATE.search(said.get(name, "")):
            raise Slip("recounter_key", _PRIVATE_TOLD, name)


def _recounters(form: dict[str, str]) -> list[dict[str, Any]]:
    """Whom a form names to count votes anew. Raises Slip (recounter_key)."""
    if _too_many(form):
        raise Slip("recounter_key", say("At most three can count the votes again. Leave the others out."), f"{_NAME}{MOST}")
    found: list[dict[str, Any]] = []
    for n in range(1, MOST + 1):
        name, typed = words(form, f"{_NAME}{n}"), words(form, f"{_KEY}{n}")
        if not name and not typed:
            continue
        if not typed:
            raise Slip("recounter_key", say("Give the public key of <bdi>%(name)s</bdi> too.", name=plain(name)), f"{_KEY}{n}")
        if not name:
            raise Slip("recounter_key", say("Say whose key number %(num)s is.", num=n), f"{_NAME}{n}")
        one = built(RecounterIn, "Give each recounter a name of at most 100 letters.", name=name, key=_key(typed))
        try:
            [taken] = recounting.recounters([one])
        except Invalid:
            raise Slip("recounter_key", say("The key of <bdi>%(name)s</bdi> is not a key that votes can be sealed to.", name=plain(name)),
                       f"{_KEY}{n}") from None  # fmt: skip
        for other in found:
            if other["key"] == taken["key"]:
                both = say("<bdi>%(one)s</bdi> and <bdi>%(two)s</bdi> have the same key. Each needs their own.",
                           one=plain(other["name"]), two=plain(name))  # fmt: skip
                raise Slip("recounter_key", both, f"{_KEY}{n}")
        found.append(taken)
    return found


_PRIVATE_TOLD = say("That is a private key. Paste the public one. Whoever saw the private one can read the votes, so make a new one.")


def _key(typed: str) -> dict[str, Any]:
    """The key in what was typed: as `sayso keygen` prints it, or its `x` alone. Empty where it can be neither."""
    if not typed.startswith("{"):
        return {"kty": "OKP", "crv": "X25519", "x": typed}
    try:
        read = parse(typed.encode("utf-8", "replace"), max_bytes=_LONGEST_KEY)
    except StrictJSONError:
        return {}
    return {name: read[name] for name in ("kty", "crv", "x") if name in read} if isinstance(read, dict) else {}


_YOURS = say("In the form it stands as you wrote it. If you send that, it takes the place of theirs.")
STALE = say("The rules were changed while you wrote. What you did not change shows them as they are now. Look at them, then send it again.")


def refused(error: DomainError | None, *more: Said) -> dict[str, Any] | None:
    """What is said of a refusal at the form itself, and at which field; None where nothing was refused. Where there is `more` to say of what
    was changed meanwhile, that takes the place of saying that it was (text_changed)."""
    if error is None:
        return None
    if isinstance(error, Slip):
        return {"told": [*more, error.told], "field": error.field}
    if more and error.code == "text_changed":
        return {"told": list(more), "field": ""}
    return {"told": list(more), "field": "", "title": say(CODES[error.code]), "detail": error.detail}
