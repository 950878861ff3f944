"""Three-valued truth: what rests on a fact that was not given is neither true nor false (strong Kleene logic).

Both evaluators use it: the service's own (`app/core/evaluation.py`) and the one for any ODRL policy (`app/core/odrl`).
The values are ordered integers, so that `and` is `min` and `or` is `max`.
"""

from collections.abc import Iterable

NO, MISSING, YES = 0, 1, 2


def every(values: Iterable[int]) -> int:
    """`and`; true of nothing."""
    return min(values, default=YES)


def some(values: Iterable[int]) -> int:
    """`or`; false of nothing."""
    return max(values, default=NO)


def opposite(value: int) -> int:
    """`not`; what is missing stays missing."""
    return YES - value


def exactly_one(values: Iterable[int]) -> int:
    """One is true and all others are false. Two that are true settle it, whatever is missing."""
    listed = list(values)
    true, open_ = listed.count(YES), listed.count(MISSING)
    if true > 1 or not true + open_:
        return NO
    return MISSING if open_ else YES
