"""Whether a permission can ever take effect beside the prohibitions of its policy.

A use may be chosen freely, so a permission is dead only if every action, purpose, kind of lab, place, openness and day that
it covers meets prohibitions that together take all its parts, or, where it opens nothing of the person's own, lacks another
permission for a part of these beside which the rest is released. Values that the same prohibitions concern are alike, so one
of each sort is tried. Where that still makes too many cases the permission is taken for alive: nothing is ever released
because of this answer, which only keeps people from a policy that says less than it seems to.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import product
from typing import Protocol

from app.core import vocabulary as words
from app.core.constraints import FIRST_DAY, LAST_DAY, Region

MOST_WORK = 5_000
"""Cases times prohibitions that are looked at for one permission and action: a bound that a hostile policy meets."""


class _Rule(Protocol):
    action: str

    @property
    def region(self) -> Region: ...

    @property
    def mask(self) -> int: ...


def never_fires(
    rule: _Rule, permissions: Sequence[_Rule], prohibitions: Sequence[_Rule], *, exactly: bool = False
) -> str | None:
    """Why the permission `rule` can never take effect, as half a sentence; None if it can (or may).

    `permissions` are all of the policy: one that opens only context or profile needs another that opens text or judgment to
    the same use. With `exactly` it is asked for the action that the rule names alone, and not for the narrower ones besides.
    """
    if not _days(rule.region, ()):
        return f"its days are over before {FIRST_DAY}, the first day there is"
    actions = {rule.action} if exactly else words.narrower_actions(rule.action)
    if any(_fires(rule, action, permissions, prohibitions) for action in actions):
        return None
    if not any(_fires(rule, action, permissions, ()) for action in actions):
        return (
            f"{' and '.join(words.part_names(rule.mask))} are released only beside text or judgment, and no permission opens "
            "these to the same use"
        )
    bans = [ban for ban in prohibitions if any(words.touches(action, ban.action) for action in actions)]
    named = sorted({ban.action for ban in bans if ban.mask & (rule.mask | words.OWN_PARTS)})
    return f"the prohibition of {' and '.join(named)} holds whenever it would be"


def _fires(rule: _Rule, action: str, permissions: Iterable[_Rule], bans: Iterable[_Rule]) -> bool:
    """Whether some use of this very action is given a part of the rule."""
    concerned = [ban for ban in bans if words.touches(action, ban.action)]
    if rule.mask & words.OWN_PARTS and _some_case(rule.region, concerned, (rule.mask & words.OWN_PARTS,)):
        return True
    beside = rule.mask & ~words.OWN_PARTS
    if not beside:
        return False
    for other in permissions:
        own = other.mask & words.OWN_PARTS
        if own and words.covers(other.action, action):
            both = rule.region.joined(other.region)
            if both is not None and _some_case(both, concerned, (beside, own)):
                return True
    return False


def _some_case(region: Region, bans: Sequence[_Rule], wanted: tuple[int, ...]) -> bool:
    """Whether in some case that a region leaves open the prohibitions leave something of each of the masks."""
    bans = [ban for ban in bans if any(ban.mask & mask for mask in wanted)]
    choices: list[list[tuple[bool, ...]]] = []
    for operand in (o for o in words.NARROWER if any(o in ban.region.allowed for ban in bans)):
        open_to = region.allowed.get(operand, frozenset(words.NARROWER[operand]))
        choices.append(sorted({_hit_by(operand, value, bans) for value in open_to}))
    choices.append(sorted({_on(day, bans) for day in _days(region, bans)}))
    cases = 1
    for choice in choices:
        cases *= len(choice)
    if cases * len(bans) > MOST_WORK:
        return True
    for case in product(*choices):
        shut = 0
        for ban, hits in zip(bans, zip(*case, strict=True), strict=True):
            shut |= ban.mask if all(hits) else 0
        if all(mask & ~shut for mask in wanted):
            return True
    return False


def _hit_by(operand: str, value: str, bans: Sequence[_Rule]) -> tuple[bool, ...]:
    """For each prohibition whether this value keeps it in force, as the evaluator reads it: what overlaps is reached."""
    narrower = words.NARROWER[operand][value]
    return tuple(operand not in ban.region.allowed or bool(narrower & ban.region.allowed[operand]) for ban in bans)


def _on(day: str, bans: Sequence[_Rule]) -> tuple[bool, ...]:
    return tuple(
        (ban.region.start is None or day >= ban.region.start) and (ban.region.end is None or day < ban.region.end)
        for ban in bans
    )


def _days(region: Region, bans: Iterable[_Rule]) -> set[str]:
    """One day of each stretch between edges, inside the permission's own window."""
    edges = {region.start or FIRST_DAY}
    for ban in bans:
        edges |= {day for day in (ban.region.start, ban.region.end) if day is not None}
    last = LAST_DAY if region.end is None else (date.fromisoformat(region.end) - timedelta(days=1)).isoformat()
    return {day for day in edges if (region.start or FIRST_DAY) <= day <= last}
