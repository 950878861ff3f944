"""An offer and a request: can what is asked ever be had under what is offered?

Every operand that either side limits is a set of values. The answer is `compatible` with an example of values that satisfy
both sides, `conflict` with the operand for which there can be none, or `unknown` where that rests on facts nobody gave, such
as which place lies in which. Candidates (`candidates.py`) are the values that the two sides name, those between and beyond them,
and one that nobody names; the operators of `operators.py` decide. An operand has one value, unless a side speaks of several at once with
`isAllOf`: then sets of the candidates are looked at too. So `isAnyOf` research against `isAnyOf` marketing is a conflict,
though a state that gives both purposes together would satisfy each. For operators that order or list values that is complete;
`isA`, `isPartOf` and `hasPart` depend on facts, so a missing example proves nothing there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from app.core.odrl import vocabulary as odrl
from app.core.odrl.candidates import Candidates, candidates, shown_as
from app.core.odrl.deciding import Request, read_request
from app.core.odrl.limits import OdrlError
from app.core.odrl.model import Concerned, Condition, Constraint, Policy, Rule, atoms, conditions_of, placed, reached
from app.core.odrl.operators import compare, holds
from app.core.odrl.state import Memberships, State
from app.core.odrl.values import Value, shown
from app.core.truth import MISSING, NO, YES, some

CONFLICT, UNKNOWN, COMPATIBLE = "conflict", "unknown", "compatible"
_RANK = {CONFLICT: 0, UNKNOWN: 1, COMPATIBLE: 2}
MAX_BRANCHES = 512
MAX_ALTERNATIVES = 32  # of a constraint of which exactly one must hold
MAX_VALUES = 512
"""Different values of one operand of which sets are tried."""
MAX_WORK = 2_000_000
"""Values tried times values that they are compared with, for one operand."""
MAX_SHOWN = 32
"""Of so many values of a set it is asked whether the set needs them."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A comparison that must come out true, or false."""

    constraint: Constraint
    truth: int


_Branch = tuple[_Wanted, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    verdict: str
    operand: str
    why: str
    operands: tuple[dict[str, Any], ...] = ()


def compare_policies(offer: Policy, request: Policy, state: State) -> dict[str, Any]:
    """{"verdict", "operand", "why", "operands": [...]}: the best that any permission of the offer allows.

    `operand` is the one that decides: "action", "target", "assignee", or the IRI of a left operand; null if none does.
    Raises OdrlError (odrl_request_invalid).
    """
    asked = read_request(request)
    permissions = [rule for rule in request.rules if rule.type == "permission"] or [request.shared]
    if any(rule.type != "permission" for rule in request.rules):
        raise OdrlError("odrl_request_invalid", "A request asks for a permission, and for nothing else.", request.where)
    parts = Memberships(state.part_of, offer.parts)
    offered = [rule for rule in offer.rules if rule.type == "permission"]
    bans = [] if offer.strategy == "perm" else [rule for rule in offer.rules if rule.type == "prohibition"]
    found = [(_permission(rule, bans, asked, permissions[0], offer, parts), rule) for rule in offered]
    best, of = max(found, key=lambda one: _RANK[one[0].verdict], default=(_Found(CONFLICT, "action", "Nothing is offered."), None))
    operand = best.operand or (_widest(of, permissions[0], bans) if of is not None and best.verdict == UNKNOWN else "")
    return {
        "verdict": best.verdict,
        "operand": operand or None,
        "why": best.why,
        "offer": offer.uid,
        "request": request.uid,
        "operands": list(best.operands),
    }


def _permission(
    rule: Rule, bans: Sequence[Rule], asked: Request, wanted: Rule, offer: Policy, parts: Memberships
) -> _Found:
    """What one permission of the offer gives for the request."""
    reach = _reach(rule, asked, offer, parts)
    if reach.verdict == CONFLICT:
        return reach
    sure = every_ban = _product(_holding(rule, asked, offer, parts), _holding(wanted, asked, offer, parts))
    doubts = [reach] if reach.verdict == UNKNOWN else []
    nameless = _nameless(rule, asked, parts)
    for ban in bans:
        hit = _reach(ban, asked, offer, parts)
        if hit.verdict == CONFLICT:
            continue
        # The request is possible where the prohibition does not hold.
        escapes = _escaping(ban, asked, offer, parts)
        if not escapes and escapes is not None and hit.verdict == COMPATIBLE:
            return _Found(CONFLICT, "action", "It is prohibited.")
        unsure = hit.operand if hit.verdict == UNKNOWN else _unsure(ban, asked, offer, parts)
        if unsure:
            doubts.append(_Found(UNKNOWN, unsure, "Whether a prohibition concerns it is not known."))
        if hit.verdict == COMPATIBLE:
            sure = _product(sure, escapes)
        every_ban = _product(every_ban, _escaping(ban, asked, offer, parts, perhaps=True))
    found = _best(sure, parts)
    if found.verdict == CONFLICT and nameless:
        return _Found(UNKNOWN, nameless, f"What has no name may be the {nameless} asked for.", found.operands)
    if found.verdict != COMPATIBLE or not doubts:
        return found
    if reach.verdict == COMPATIBLE and _best(every_ban, parts).verdict == COMPATIBLE:
        return found
    return _Found(UNKNOWN, doubts[0].operand, doubts[0].why, found.operands)


def _holding(rule: Rule, asked: Request, offer: Policy, parts: Memberships) -> list[_Branch] | None:
    """The ways in which a rule holds for the request: its constraints, and all refinements of one action, one asset and one
    party that the request is about."""
    branches = _all(rule.constraints, YES)
    for group in _refined(rule, asked, offer, parts):
        branches = _product(branches, _union(_all(refinements, YES) for refinements in group))
    return branches


def _unsure(ban: Rule, asked: Request, offer: Policy, parts: Memberships) -> str:
    """As `_nameless`, for a prohibition, which may also name an action that has no place among the others."""
    wider = reached(asked.action, ban, offer)
    unplaced = any(not placed(one, offer) for one in ban.actions if one.iri not in wider)
    return "action" if unplaced else _nameless(ban, asked, parts)


def _nameless(rule: Rule, asked: Request, parts: Memberships) -> str:
    """The role in which a rule has something without a name, which may be what is asked for; empty if there is none."""
    for name, listed, one in (("target", rule.targets, asked.target), ("assignee", rule.assignees, asked.assignee)):
        if one is not None and any(parts.concerns(other, one) == MISSING for other in listed):
            return name
    return ""


def _escaping(
    rule: Rule, asked: Request, offer: Policy, parts: Memberships, *, perhaps: bool = False
) -> list[_Branch] | None:
    """The ways in which it does not: a constraint is false, or of every action (asset, party) that it is about a refinement is."""
    ways = [_any(rule.constraints, NO)]
    for group in _refined(rule, asked, offer, parts, perhaps=perhaps):
        fails: list[_Branch] | None = [()]
        for refinements in group:
            fails = _product(fails, _any(refinements, NO))
        ways.append(fails)
    return _union(ways)


def _refined(
    rule: Rule, asked: Request, offer: Policy, parts: Memberships, *, perhaps: bool = False
) -> Iterator[list[Sequence[Condition]]]:
    """The refinements of each action, asset and party of a rule that the request is about, as `deciding.py` finds them;
    with `perhaps`, also of those without a name, and of actions without a place, which it may be about."""
    wider = reached(asked.action, rule, offer)
    least = MISSING if perhaps else YES
    groups = (
        [one.refinements for one in rule.actions if one.iri in wider or (perhaps and not placed(one, offer))],
        *(
            [one.refinements for one in listed if about is None or parts.concerns(one, about) >= least]
            for listed, about in ((rule.targets, asked.target), (rule.assignees, asked.assignee))
        ),
    )
    return (list(group) for group in groups if group)


def _reach(rule: Rule, asked: Request, offer: Policy, parts: Memberships) -> _Found:
    """Whether a rule concerns the action, asset and party of the request at all."""
    wider = reached(asked.action, rule, offer)
    worst = _Found(COMPATIBLE, "", "Values exist that satisfy both sides.")
    if rule.actions and not any(one.iri in wider for one in rule.actions):
        if rule.type != "prohibition" or all(placed(one, offer) for one in rule.actions):
            return _Found(CONFLICT, "action", "The action asked for is not offered.")
        worst = _Found(UNKNOWN, "action", "Of what a prohibited action is part is not known.")
    for name, listed, one in (("target", rule.targets, asked.target), ("assignee", rule.assignees, asked.assignee)):
        verdict = _among(listed, one, parts)
        if _RANK[verdict] < _RANK[worst.verdict]:
            told = "is another one than is offered" if verdict == CONFLICT else "may be among those offered, or not"
            worst = _Found(verdict, name, f"The {name} asked for {told}.")
    return worst


def _among(listed: Iterable[Concerned], one: str | None, parts: Memberships) -> str:
    those = list(listed)
    if not those:
        return COMPATIBLE
    if one is None:
        return UNKNOWN
    reached = some(parts.concerns(other, one) for other in those)
    if reached == YES:
        return COMPATIBLE
    return UNKNOWN if reached == MISSING or any(other.collection for other in those) else CONFLICT


# --- conditions as alternatives, each a list of comparisons with the truth that they must have ---


def _all(conditions: Iterable[Condition], truth: int) -> list[_Branch] | None:
    branches: list[_Branch] | None = [()]
    for one in conditions:
        branches = _product(branches, _branches(one, truth))
    return branches


def _any(conditions: Iterable[Condition], truth: int) -> list[_Branch] | None:
    return _union(_branches(one, truth) for one in conditions)


def _union(ways: Iterable[list[_Branch] | None]) -> list[_Branch] | None:
    """The alternatives of all; None once there are too many to look at."""
    found: list[_Branch] = []
    for way in ways:
        if way is None or len(found) + len(way) > MAX_BRANCHES:
            return None
        found += way
    return found


def _product(one: list[_Branch] | None, other: list[_Branch] | None) -> list[_Branch] | None:
    """Each alternative of the one with each of the other; None once there are too many to look at."""
    if one is None or other is None or len(one) * len(other) > MAX_BRANCHES:
        return None
    return [(*a, *b) for a in one for b in other]


def _branches(condition: Condition, truth: int) -> list[_Branch] | None:
    if isinstance(condition, Constraint):
        return [(_Wanted(condition, truth),)]
    members = condition.members
    if condition.operator == "xone":
        return _exactly_one(members, truth)
    if (condition.operator == "or") == (truth == YES):
        return _any(members, truth)
    return _all(members, truth)


def _exactly_one(members: Sequence[Condition], truth: int) -> list[_Branch] | None:
    if len(members) > MAX_ALTERNATIVES:
        return None
    chosen = [[n] for n in range(len(members))]
    if truth == NO:  # none of them, or two of them
        chosen = [[], *([a, b] for a in range(len(members)) for b in range(a))]
    found: list[_Branch] = []
    for true in chosen:
        branches: list[_Branch] | None = [()]
        for number, one in enumerate(members):
            if truth == NO and len(true) == 2 and number not in true:
                continue
            branches = _product(branches, _branches(one, YES if number in true else NO))
        if branches is None or len(found) + len(branches) > MAX_BRANCHES:
            return None
        found += branches
    return found


def _widest(rule: Rule, wanted: Rule, bans: Iterable[Rule]) -> str:
    """The first operand of the condition with the most alternatives, where together they are too many; empty without any."""
    sides = ((rule, YES), (wanted, YES), *((ban, NO) for ban in bans))
    found = [(one, truth) for side, truth in sides for listed in conditions_of(side) for one in listed]

    def width(pair: tuple[Condition, int]) -> tuple[int, int]:
        branches = _branches(*pair)
        return MAX_BRANCHES + 1 if branches is None else len(branches), sum(1 for _ in atoms(pair[:1]))

    widest = max(found, key=width, default=None)
    return "" if widest is None else next((one.left for one in atoms(widest[:1])), "")


def _best(branches: list[_Branch] | None, parts: Memberships) -> _Found:
    if branches is None:
        return _Found(UNKNOWN, "", f"More than {MAX_BRANCHES} alternatives would have to be looked at.")
    found = [_branch(one, parts) for one in branches]
    return max(found, key=lambda one: _RANK[one.verdict], default=_Found(CONFLICT, "", "No alternative is left."))


def _branch(branch: _Branch, parts: Memberships) -> _Found:
    by_operand: dict[str, list[_Wanted]] = {}
    for one in branch:
        by_operand.setdefault(one.constraint.left, []).append(one)
    told = []
    worst = _Found(COMPATIBLE, "", "Values exist that satisfy both sides.")
    for operand, wanted in by_operand.items():
        verdict, example, why = _operand(wanted, parts)
        told.append({"operand": operand, "verdict": verdict, "why": why, "example": example})
        if _RANK[verdict] < _RANK[worst.verdict]:
            worst = _Found(verdict, operand, why)
    return _Found(worst.verdict, worst.operand, worst.why, tuple(told))


def _operand(wanted: Sequence[_Wanted], parts: Memberships) -> tuple[str, Any, str]:
    """Whether some value of one operand gives every comparison the truth it must have."""
    units = {one.constraint.unit for one in wanted if one.constraint.unit is not None}
    if len(units) > 1:
        return UNKNOWN, None, "The two sides count in different units."
    if any(not one.constraint.right for one in wanted):
        return UNKNOWN, None, "A value is only referred to, and nothing is fetched."
    several = [one for one in wanted if one.constraint.operator == "isAllOf"]
    ways = prod(len(one.constraint.right) for one in several if one.truth == NO)
    named = dict.fromkeys(value for one in wanted for value in one.constraint.right)
    each, work = sum(len(one.constraint.right) for one in wanted), 0
    kind = wanted[0].constraint.kind
    ordered = any(one.constraint.operator in odrl.ORDERING[2:] for one in wanted)
    possible, perhaps = candidates(list(named), kind, ordered=ordered), None
    for candidate, sure in _tried(wanted, parts, possible):
        work += each * len(candidate)
        if work > MAX_WORK or (several and (len(named) > MAX_VALUES or ways > MAX_BRANCHES)):
            return UNKNOWN, None, "More values would have to be tried than are looked at."
        if (sure or perhaps is None) and _satisfied(wanted, candidate, parts):
            perhaps = [shown_as(value) or shown(value) for value in candidate]
            if sure:
                return COMPATIBLE, perhaps, "Both sides allow this value."
    if any(one.constraint.operator in odrl.RELATING for one in wanted):
        return UNKNOWN, None, "It depends on what is part of what, which is not known."
    if any(compare(a, b, kind) is None for a in named for b in named):
        return UNKNOWN, None, "The values of the two sides cannot be compared."
    if perhaps is not None:
        return UNKNOWN, perhaps, "Both sides allow this value, and it is not sure that it is one of this operand."
    if not possible.complete:
        return UNKNOWN, None, "The values of the two sides are too near, or too far out, to say what lies between or beyond."
    return CONFLICT, None, "No value satisfies both sides."


def _satisfied(wanted: Iterable[_Wanted], values: tuple[Value, ...], parts: Memberships) -> bool:
    return all(holds(one.constraint, values, parts.reaches) == one.truth for one in wanted)


def _tried(wanted: Sequence[_Wanted], parts: Memberships, found: Candidates) -> Iterator[tuple[tuple[Value, ...], bool]]:
    """Values, and sets of them where a side speaks of several at once; with whether they are sure to be values of the operand."""
    several = any(one.constraint.operator == "isAllOf" for one in wanted)
    for singles, sure in ((found.strong, True), (found.weak, False)):
        for value in singles:
            yield (value,), sure
        if several and singles:
            everything = singles if sure else (*found.strong, *singles)
            yield from ((one, sure) for one in _together(wanted, everything, parts))


def _together(wanted: Sequence[_Wanted], single: Iterable[Value], parts: Memberships) -> Iterator[tuple[Value, ...]]:
    """Sets of values, of which one satisfies `wanted` if any set of the values does.

    Most comparisons must come out so for each value by itself, which says what values may be in a set at all. The rest are
    true of a set if they are true of some subset, so the largest set will do; but for an `isAllOf` that must be false, which
    lacks one of its values: each choice of those values gives a largest set. What a set does not need is left out of it.
    """
    growing = [one for one in wanted if one.constraint.operator in odrl.SETS and _grows(one)]
    lacking = [one for one in wanted if one.constraint.operator == "isAllOf" and one.truth == NO]
    alone = [one for one in wanted if one not in growing and one not in lacking]
    usable = [value for value in single if _satisfied(alone, (value,), parts)]
    for absent in product(*(one.constraint.right for one in lacking)):
        kind = wanted[0].constraint.kind
        chosen = [one for one in usable if all(compare(one, other, kind) not in (0, None) for other in absent)]
        for value in chosen[:MAX_SHOWN]:
            fewer = [one for one in chosen if one is not value]
            if fewer and _satisfied(wanted, tuple(fewer), parts):
                chosen = fewer
        if chosen:
            yield tuple(chosen)


def _grows(one: _Wanted) -> bool:
    """Whether a set that satisfies the comparison still does so with further values."""
    return (one.truth == YES) == (one.constraint.operator != "isNoneOf")
