"""How a group decides, as the form of a charter offers it: for each type of decision a few sets of rules to choose from. Others are written
through the API, and stay as they are until somebody chooses one of these."""

from typing import Any

from app.collectives.queries import rules_of
from app.core.electing import AS_HARD, GRANT, GRANTS, REFUSALS, TYPES, RuleError, carried, decisions, parse_rules
from app.web import collective_words as told
from app.web.saying import Said, say

FIELD = "rule-"
"""Before a type of decision: the name of its field."""
OWN = "own"
"""What stands for rules that are none of these."""
_GRANTING: dict[str, tuple[Said, list[dict[str, Any]]]] = {
    "two-thirds": (say("Two thirds of the votes are yes, and each part agrees"), GRANT),
    "three-quarters": (say("Three in four votes are yes, and each part agrees"), TYPES["policy.adopt"]),
    "most": (say("More than half of all who may vote say yes, two thirds of the votes are, and each part agrees"), [{"rule": "absolute"}, *GRANT]),
    "consent": (say("Nobody blocks or objects, and two thirds of the votes are yes"), [{"rule": "consent"}, GRANT[0]]),
}
_OTHERS: dict[str, tuple[Said, list[dict[str, Any]]]] = {
    "more-yes": (say("More yes than no"), TYPES["steward.elect"]),
    "two-thirds": (say("Two thirds of the votes are yes"), [{"rule": "supermajority"}]),
    "most": (say("More than half of all who may vote say yes"), [{"rule": "absolute"}]),
    "consent": (say("Nobody blocks or objects"), [{"rule": "consent"}]),
}
OWN_TOLD = say("Other rules, as they are now")
_FIXED = (*REFUSALS, *AS_HARD, "charter.amend")
"""Types that are left out: a refusal is decided by more yes than no, a renewal as its grant, and new rules by the hardest of all."""
CHOICES = {
    kind: (told.TYPES[kind], {name: words for name, (words, _) in (_GRANTING if kind in GRANTS else _OTHERS).items()})
    for kind in TYPES
    if kind not in _FIXED
}
"""Type of decision -> what it is called, and what can be chosen."""
FIELDS = tuple(FIELD + kind for kind in CHOICES)


def _presets(kind: str) -> dict[str, tuple[Said, list[dict[str, Any]]]]:
    return _GRANTING if kind in GRANTS else _OTHERS


def shown(charter: dict[str, Any]) -> dict[str, str]:
    """What the form shows of a charter's rules, by the names of its fields."""
    found = {}
    for kind in CHOICES:
        present = parse_rules(rules_of(charter, kind))
        alike = (name for name, (_, rules) in _presets(kind).items() if parse_rules(rules) == present)
        found[FIELD + kind] = next(alike, OWN)
    return found


def brought(said: dict[str, str], before: dict[str, Any] | None) -> dict[str, Any] | None:
    """The rules of a charter with those that were chosen for some types, by field, in place of what it had `before`; None where one of them
    is none of the choices. What follows from the others follows from them anew, unless it was written otherwise."""
    chosen = {}
    for field, name in said.items():
        preset = _presets(kind := field.removeprefix(FIELD)).get(name)
        if preset is None:
            return None
        chosen[kind] = preset[1]
    written = {kind: rules for kind, rules in (before or {}).items() if kind not in AS_HARD}
    if "charter.amend" in written and _follows(written):
        del written["charter.amend"]
    return carried({**written, **chosen})


def _follows(written: dict[str, Any]) -> bool:
    others = {kind: rules for kind, rules in written.items() if kind != "charter.amend"}
    try:
        return parse_rules(decisions(others)["charter.amend"]) == parse_rules(written["charter.amend"])
    except RuleError:
        return True
