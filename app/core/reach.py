"""Whether a permission can ever take effect beside the prohibitions of its policy.

A use may be chosen freely, so a permission is dead only if every action, purpose, kind of lab, place, openness and day that
it covers meets prohibitions that together take all its parts. Values that the same prohibitions concern are alike, so one
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


def never_fires(rule: _Rule, prohibitions: Sequence[_Rule], *, exactly: bool = False) -> str | None:
    """Why the permission `rule` can never take effect, as half a sentence; None if it can (or may).

    With `exactly` it is asked for the action that the rule names alone, and not for the narrower ones besides.
    """
    bans = [ban for ban in prohibitions if words.touches(rule.action, ban.action) and ban.mask & rule.mask]
    if not bans:
        return None
    actions = {rule.action} if exactly else words.narrower_actions(rule.action)
    if all(_shut(rule, action, bans) for action in actions):
        named = sorted({ban.action for ban in bans})
        return f"the prohibition of {' and '.join(named)} holds whenever it would be"
    return None


def _shut(rule: _Rule, action: str, bans: Sequence[_Rule]) -> bool:
    concerned = [ban for ban in bans if words.touches(action, ban.action)]
    if not concerned:
        return False
    operands = [o for o in words.NARROWER if any(o in ban.region.allowed for ban in concerned)]
    choices: list[list[tuple[bool, ...]]] = []
    for operand in operands:
        open_to = rule.region.allowed.get(operand, frozenset(words.NARROWER[operand]))
        choices.append(sorted({_hit_by(operand, value, concerned) for value in open_to}))
    choices.append(sorted({_on(day, concerned) for day in _days(rule.region, concerned)}))
    cases = 1
    for choice in choices:
        cases *= len(choice)
    if cases * len(concerned) > MOST_WORK:
        return False
    for case in product(*choices):
        left = rule.mask
        for ban, hits in zip(concerned, zip(*case, strict=True), strict=True):
            if all(hits):
                left &= ~ban.mask
        if left:
            return False
    return True


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
