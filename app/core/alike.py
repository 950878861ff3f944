"""Policies that differ by their days alone: one decision answers for all of them of whose days the same have come.

A day takes part in a decision by one question, whether it has come: a `gteq` holds from its day on, an `lt` until the day before. So
where everything but the days is the same, and the same days have come, the answer is the same; only how long it lasts differs.
"""

import re
from collections.abc import Hashable
from datetime import date

from app.core.evaluation import CompiledPolicy

_DAY = re.compile(rb'"leftOperand":"dateTime","operator":"(gteq|lt)","rightOperand":"([0-9]{4}-[0-9]{2}-[0-9]{2})"')


def without_days(body: bytes, today: bytes) -> tuple[Hashable, list[bytes]]:
    """Canonical bytes of a policy as (what is left without its days, and which of them are still to come; the days).

    Two policies whose first is equal are decided alike on that day, for every use and lab, if `only_days` is true of one of them. Each
    answer holds until the first of its own days that is still to come.

    Args:
        today: the day as `YYYY-MM-DD`.
    """
    pieces = _DAY.split(body)  # text, operator, day, text, …
    days = pieces[2::3]
    del pieces[2::3]
    return (*pieces, *map(today.__lt__, days)), days


def only_days(compiled: CompiledPolicy, days: list[bytes]) -> bool:
    """Whether `days`, as they were found in the policy's bytes, are all days that it names: bytes of another form could hide some."""
    return {date.fromisoformat(day.decode()) for day in days} == set(compiled.edges)
