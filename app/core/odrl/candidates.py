"""Values to try for one operand: of every sort of values that its comparisons tell apart there is one, if any can be written.

Comparisons change their answer only at the values that they name (a date: at its first instant and that of the next day). So
besides these one value in each gap between two of them, and one beyond the outermost on either side, are enough. A value
that satisfies all comparisons is `weak` where it is none that the operand is sure to take: a fraction where only whole numbers
were named, a length below zero, a whole day that comes neither before nor after a time in it, a number where texts were named.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from app.core.odrl.limits import YEARS
from app.core.odrl.values import KINDS, Day, Duration, Literal, Moment, NotOfKind, Value, lengths, typed
from app.core.odrl.vocabulary import XSD

_NOBODYS = Literal("\x00 a value that neither side names", XSD + "string")
_DAY = 86_400
_EASY = 64  # lengths between which one that needs no calendar is looked for
_FIRST, _LAST = date(YEARS[0], 1, 2).toordinal() * _DAY, date(YEARS[1], 12, 30).toordinal() * _DAY
# Data type of whole numbers -> its least and greatest value.
_WHOLE: dict[str, tuple[int | None, int | None]] = {
    "integer": (None, None), "nonNegativeInteger": (0, None), "positiveInteger": (1, None),
    "nonPositiveInteger": (None, 0), "negativeInteger": (None, -1),
    **{name: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for name, bits in (("byte", 8), ("short", 16), ("int", 32), ("long", 64))},
    **{f"unsigned{name}": (0, 2**bits - 1) for name, bits in (("Byte", 8), ("Short", 16), ("Int", 32), ("Long", 64))},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidates:
    """`complete`: if none of the values will do, no value will."""

    strong: tuple[Value, ...]
    weak: tuple[Value, ...]
    complete: bool


def shown_as(value: Value) -> str | None:
    """What to say instead of a value that stands for all that nobody names; None for a real one."""
    return "any value that neither side names" if value is _NOBODYS else None


def candidates(values: Sequence[Value], kind: str, *, ordered: bool = True) -> Candidates:
    """What to try where an operand of this kind is compared with these values; `ordered` if by less and more, too."""
    found = _Found()
    found.strong += values
    kinds = {value.kind if isinstance(value, Literal) else "" for value in values} | {kind}
    for one in sorted(kinds - {""}):
        _of_kind(one, values, found)
    if kinds <= {""}:
        found.strong.append(_NOBODYS)
        # A number of the state is compared with a text as a number, if the text is one.
        for one in sorted(set(KINDS.values())):
            read = [(value.text, typed_) for value in values for typed_, _ in _read([value], one)]
            if read and (ordered or (one == "time" and len(read) > 1)):  # a whole day equals every time in it
                below = _Found()
                _of_kind(one, values, below)
                found.weak += [*below.strong, *below.weak]
                found.complete = found.complete and below.complete
            several = Counter(typed_ for _, typed_ in read)
            found.weak += [_retyped(text, one) for text, typed_ in read if ordered or several[typed_] > 1]
    return Candidates(tuple(dict.fromkeys(found.strong)), tuple(dict.fromkeys(found.weak)), found.complete)


class _Found:
    def __init__(self) -> None:
        self.strong: list[Value] = []
        self.weak: list[Value] = []
        self.complete = True

    def add(self, literal: Literal | None, *, weak: bool) -> None:
        """A candidate; None is a value that cannot be written, which leaves a gap."""
        if literal is None:
            self.complete = False
        else:
            (self.weak if weak else self.strong).append(literal)


def _read(values: Iterable[Value], kind: str) -> list[tuple[Any, str]]:
    """What the literals among the values are as ones of a kind, with their data types."""
    found = []
    for value in values:
        if isinstance(value, Literal) and value.kind in ("", kind):
            try:
                found.append((typed(value.text, kind), value.datatype))
            except NotOfKind:
                continue
    return found


_TYPE = {"number": "decimal", "time": "dateTime", "duration": "duration", "boolean": "boolean"}


def _literal(text: str, kind: str, datatype: str = "") -> Literal | None:
    """The literal, if it is written as one that can be read."""
    try:
        typed(text, kind)
    except NotOfKind:
        return None
    return Literal(text, XSD + (datatype or _TYPE[kind]))


def _retyped(text: str, kind: str) -> Literal:
    return Literal(text, XSD + ("double" if kind == "number" else _TYPE[kind]))


def _of_kind(kind: str, values: Sequence[Value], found: _Found) -> None:
    read = _read(values, kind)
    types = {datatype.removeprefix(XSD) for _, datatype in read}
    if kind == "boolean":
        found.strong += [Literal(text, XSD + "boolean") for text in ("true", "false")]
    elif kind == "number":
        _numbers([one for one, _ in read], types, found)
    elif kind == "time":
        _times([one for one, _ in read], found)
    else:
        _durations([one for one, _ in read], types, found)


def between(low: Fraction, high: Fraction) -> tuple[int, int]:
    """(digits, exponent) of a decimal number strictly between two: the shortest, or nearly."""
    width = high - low
    power = int((width.numerator.bit_length() - width.denominator.bit_length()) * 0.30103) + 2
    while True:
        step = Fraction(10) ** power
        digits = low // step + 1
        if digits * step < high:
            return digits, power
        power -= 1


# --- numbers ---


def _numbers(read: Sequence[Decimal], types: set[str], found: _Found) -> None:
    named = sorted({Fraction(one) for one in read}) or [Fraction(0)]
    outer = [(2 * min(named[0], Fraction(0)) - 2, named[0]), (named[-1], 2 * max(named[-1], Fraction(0)) + 2)]
    for low, high in (*outer, *pairwise(named)):
        whole = low // 1 + 1
        if whole < high:
            found.add(_number(*_short(whole, low, high)), weak=not _fits(whole, types))
        digits, power = between(low, high)
        value = digits * Fraction(10) ** power
        found.add(_number(digits, power), weak=not _fits(value, types))
    for edge in {edge for one in types & _WHOLE.keys() for edge in _WHOLE[one] if edge is not None}:
        found.add(_number(edge, 0), weak=False)


def _short(whole: int, low: Fraction, high: Fraction) -> tuple[int, int]:
    """A whole number between two, in few digits if there is one."""
    digits, power = between(low, high)
    return (digits, power) if power >= 0 else (whole, 0)


def _fits(value: Fraction | int, types: set[str]) -> bool:
    """Whether a number is one of the types that were named; any number is, where one of them has fractions."""
    if not types <= _WHOLE.keys():
        return True
    bounds = (_WHOLE[one] for one in types)
    return value % 1 == 0 and any((a is None or value >= a) and (b is None or value <= b) for a, b in bounds)


def _number(digits: int, power: int) -> Literal | None:
    plain = digits * 10**power if 0 <= power <= 40 else None
    if plain is not None:
        return _literal(str(plain), "number")
    if -40 <= power < 0:
        return _literal(f"{Decimal(digits).scaleb(power):f}" if abs(digits) < 10**28 else f"{digits}e{power}", "number", "double")
    return _literal(f"{digits}e{power}", "number", "double")


# --- times ---


def _times(read: Sequence[Moment | Day], found: _Found) -> None:
    edges: set[Fraction] = set()
    for one in read:
        if isinstance(one, Moment):
            edges.add(one.seconds)
        else:
            edges |= {_starts(one), _starts(one) + _DAY}
    marks = sorted(edges) or [Fraction(_FIRST)]
    for second in (*marks, marks[0] - 1, marks[-1] + 1):
        found.add(_moment(second), weak=False)
    for low, high in pairwise(marks):
        digits, power = between(low, high)
        found.add(_moment(digits * Fraction(10) ** power), weak=False)
    # A day equals every time in it, so it may satisfy what no time does.
    minutes = {int(mark // 60) + step for edge in edges for mark in (edge, edge - _DAY) for step in (0, 1)}
    minutes |= {min(minutes) - 1} if minutes else set()
    found.weak += [day for day in map(_day, sorted(minutes)) if day is not None]


def _starts(one: Day) -> Fraction:
    return Fraction(one.number * _DAY - one.zone * 60)


def _moment(seconds: Fraction) -> Literal | None:
    if not _FIRST <= seconds <= _LAST:
        return None
    day, rest = divmod(seconds, _DAY)
    whole, finer = divmod(rest, 1)
    text = f"{date.fromordinal(int(day)).isoformat()}T{whole // 3600:02}:{whole % 3600 // 60:02}:{whole % 60:02}"
    digits = _fraction(finer)
    return None if digits is None else _literal(f"{text}{digits}Z", "time")


def _fraction(finer: Fraction) -> str | None:
    """`.5` for a half, nothing for nothing; None if it has too many digits to be written."""
    tens = finer * 10**30
    if tens.denominator != 1:
        return None
    digits = f"{tens.numerator:030}".rstrip("0")
    return "." + digits if digits else ""


def _day(minute: int) -> Literal | None:
    """The day that begins in this minute, in the zone where it does."""
    number = (minute + 720) // 1440
    zone = number * 1440 - minute
    if not _FIRST <= number * _DAY <= _LAST:
        return None
    sign, hours, minutes = "-" if zone < 0 else "+", abs(zone) // 60, abs(zone) % 60
    return _literal(f"{date.fromordinal(number).isoformat()}{sign}{hours:02}:{minutes:02}", "time", "date")


# --- durations ---


def _durations(read: Sequence[Duration], types: set[str], found: _Found) -> None:
    """Of named durations that are in order with each other one a little longer than each lies in the gap to the next."""
    named = list(dict.fromkeys(read))
    below_zero = any(one.months < 0 or one.seconds < 0 for one in named)

    def add(months: int, seconds: Fraction) -> None:
        if months and seconds and (months < 0) != (seconds < 0):
            return  # it cannot be written, and is not needed: nothing lies between it and one that can
        other = (types == {"yearMonthDuration"} and seconds) or (types == {"dayTimeDuration"} and months)
        negative = months < 0 or seconds < 0
        found.add(_duration(months, seconds), weak=bool(other) or (negative and not below_zero))

    add(0, Fraction(0))
    spans = sorted({span for one in named for span in lengths(one)})
    for low, high in pairwise(spans[:_EASY]):  # lengths that need no calendar are easier to read
        digits, power = between(low, high)
        add(0, digits * Fraction(10) ** power)
    gaps = [abs(a - b) for one, other in pairwise(sorted(named, key=lengths)) for a, b in zip(lengths(one), lengths(other), strict=True)]
    digits, power = between(Fraction(0), min([gap for gap in gaps if gap] or [Fraction(_DAY)]))
    little = digits * Fraction(10) ** power
    outermost = (min(named, key=lengths, default=None), max(named, key=lengths, default=None))
    for one in named:
        for step in (little, -little, *((Fraction(_DAY), Fraction(-_DAY)) if one in outermost else ())):
            add(one.months, one.seconds + step)
        for more in (1, -1) if types == {"yearMonthDuration"} else ():
            add(one.months + more, one.seconds)


def _duration(months: int, seconds: Fraction) -> Literal | None:
    whole, finer = divmod(abs(seconds), 1)
    digits = _fraction(finer)
    if digits is None:
        return None
    sign = "-" if months < 0 or seconds < 0 else ""
    time = f"T{whole}{digits}S" if seconds or not months else ""
    return _literal(f"{sign}P{f'{abs(months)}M' if months else ''}{time}", "duration")
