"""IRIs and literals, and how two of them compare.

Data types are those of XML Schema 1.1, part 2. A time without a zone is taken as UTC. A date beside a time is the whole
day: a time equals it while the day lasts (in the date's own zone, else UTC), and is before or after it otherwise.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from typing import Any

from app.core.odrl.limits import YEARS
from app.core.odrl.vocabulary import XSD, listed

_NUMBERS = frozenset(
    XSD + name
    for name in listed(
        "byte decimal double float int integer long negativeInteger nonNegativeInteger nonPositiveInteger positiveInteger "
        "short unsignedByte unsignedInt unsignedLong unsignedShort"
    )
)
KINDS = {
    **dict.fromkeys(_NUMBERS, "number"),
    **{XSD + name: "time" for name in ("dateTime", "dateTimeStamp", "date")},
    **{XSD + name: "duration" for name in ("duration", "dayTimeDuration", "yearMonthDuration")},
    XSD + "boolean": "boolean",
}
"""Data type -> how its values are compared."""
TEXTS = frozenset(XSD + name for name in listed("string anyURI language normalizedString token Name NCName NMTOKEN"))
"""Data types whose values are equal where their texts are, and only there. Of all others only the first half is sure."""


@dataclass(frozen=True, slots=True)
class Iri:
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A text with its data type. `iri` is what the text would be as a name with a prefix, where it could be one; `unit` is the
    one in which a value of the state counts, where it says so."""

    text: str
    datatype: str
    iri: str = ""
    unit: str = ""

    @property
    def kind(self) -> str:
        """ "time", "duration", "number", "boolean" or "" (text)."""
        return KINDS.get(self.datatype, "")


Value = Iri | Literal


class NotOfKind(ValueError):
    """The text is no value of that kind; the message says which form there is."""


def shown(value: Value) -> Any:
    """A value as the report shows it: plain strings as they are, others with their type."""
    if isinstance(value, Iri):
        return {"@id": value.text}
    if value.unit:
        return {"@value": value.text, "@type": value.datatype, "unit": value.unit}
    if value.datatype == XSD + "string":
        return value.text
    return {"@value": value.text, "@type": value.datatype}


def typed(text: str, kind: str) -> Any:
    """The value of a text: Decimal, bool, Moment, Day or Duration. Raises NotOfKind."""
    return _READERS[kind](text)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time: microseconds and finer as a fraction, in seconds since 0001-01-01 UTC."""

    seconds: Fraction


@dataclass(frozen=True, slots=True)
class Day:
    """A date: its number in the calendar, and the zone in minutes east of UTC."""

    number: int
    zone: int


@dataclass(frozen=True, slots=True)
class Duration:
    months: int
    seconds: Fraction


_ZONE = r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
_DATE = re.compile(rf"(?P<y>-?[0-9]{{4,9}})-(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}}){_ZONE}\Z", re.ASCII)
_TIME = re.compile(
    r"(?P<y>-?[0-9]{4,9})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})T(?P<h>[0-9]{2}):(?P<n>[0-9]{2}):(?P<s>[0-9]{2})"
    rf"(?:\.(?P<f>[0-9]{{1,30}}))?{_ZONE}\Z",
    re.ASCII,
)
_DURATION = re.compile(
    r"(?P<sign>-)?P(?=.)(?:(?P<y>[0-9]{1,6})Y)?(?:(?P<m>[0-9]{1,7})M)?(?:(?P<d>[0-9]{1,8})D)?"
    r"(?:T(?=.)(?:(?P<h>[0-9]{1,9})H)?(?:(?P<n>[0-9]{1,10})M)?(?:(?P<s>[0-9]{1,12})(?:\.(?P<f>[0-9]{1,30}))?S)?)?\Z",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\Z", re.ASCII)


def _number(text: str) -> Decimal:
    if len(text) > 128 or not _NUMBER.match(text):
        raise NotOfKind("a number")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise NotOfKind("a number") from None


def _boolean(text: str) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise NotOfKind("true or false")
    return text in ("true", "1")


def _zone(text: str | None) -> int:
    if text is None or text == "Z":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise NotOfKind("a zone from -14:00 to +14:00")
    return (hours * 60 + minutes) * (-1 if text[0] == "-" else 1)


def _calendar(found: re.Match[str]) -> date:
    year = int(found["y"])
    if not YEARS[0] <= year <= YEARS[1]:
        raise NotOfKind(f"a year from {YEARS[0]} to {YEARS[1]}")
    try:
        return date(year, int(found["m"]), int(found["d"]))
    except ValueError:
        raise NotOfKind("a day of the calendar") from None


def _time(text: str) -> Moment | Day:
    day = _DATE.match(text)
    if day:
        return Day(_calendar(day).toordinal(), _zone(day["zone"]))
    found = _TIME.match(text)
    if not found:
        raise NotOfKind("an xsd:dateTime such as 2026-11-24T01:02:03Z, or an xsd:date such as 2026-11-24")
    hour, minute, second = int(found["h"]), int(found["n"]), int(found["s"])
    fraction = Fraction(int(found["f"]), 10 ** len(found["f"])) if found["f"] else Fraction(0)
    if minute > 59 or second > 59 or hour > 24 or (hour == 24 and (minute or second or fraction)):
        raise NotOfKind("a time of the day")
    whole = _calendar(found).toordinal() * 86_400 + hour * 3600 + minute * 60 + second - _zone(found["zone"]) * 60
    return Moment(whole + fraction)


def _duration(text: str) -> Duration:
    found = _DURATION.match(text)
    if not found:
        raise NotOfKind("an xsd:duration such as P30D or PT12H")
    part = {name: int(value) for name, value in found.groupdict().items() if value and name not in ("sign", "f")}
    months = part.get("y", 0) * 12 + part.get("m", 0)
    if months > 12 * YEARS[1]:
        raise NotOfKind(f"a duration of at most {YEARS[1]} years")
    seconds = Fraction(
        part.get("d", 0) * 86_400 + part.get("h", 0) * 3600 + part.get("n", 0) * 60 + part.get("s", 0)
    ) + (Fraction(int(found["f"]), 10 ** len(found["f"])) if found["f"] else 0)
    sign = -1 if found["sign"] else 1
    return Duration(sign * months, sign * seconds)


_READERS = {"number": _number, "boolean": _boolean, "time": _time, "duration": _duration}
# XML Schema 1.1, part 2, section E.3.3: a duration is longer than another if it is so from each of these days.
_STARTS = (date(1696, 9, 1), date(1697, 2, 1), date(1903, 3, 1), date(1903, 7, 1))


def _end(start: date, duration: Duration) -> Fraction:
    months = start.year * 12 + start.month - 1 + duration.months
    year, month = divmod(months, 12)
    # The Gregorian calendar repeats every 400 years, which have 146,097 days: any year is moved into the calendar's range.
    turns, year = divmod(year, 400)
    first = date(year + 400, month + 1, 1).toordinal() - date(400, 1, 1).toordinal() + turns * 146_097
    return first * 86_400 + duration.seconds


@lru_cache(maxsize=4096)
def lengths(duration: Duration) -> tuple[Fraction, ...]:
    """How long a duration is in seconds, from each of the days by which durations are compared."""
    return tuple(_end(start, duration) - start.toordinal() * 86_400 for start in _STARTS)


def order(left: Any, right: Any) -> int | None:
    """-1, 0 or 1 as `left` is less than, equal to or greater than `right`, both from `typed`; None if neither is so."""
    if isinstance(left, Duration):
        found = {_sign(a - b) for a, b in zip(lengths(left), lengths(right), strict=True)}
        return found.pop() if len(found) == 1 else None
    if isinstance(left, Moment) and isinstance(right, Day):
        day = (left.seconds + right.zone * 60) // 86_400
        return _sign(day - right.number)
    if isinstance(left, Day) and isinstance(right, Moment):
        found_order = order(right, left)
        return None if found_order is None else -found_order
    if isinstance(left, Moment):
        return _sign(left.seconds - right.seconds)
    if isinstance(left, Day):
        return _sign((left.number * 1440 - left.zone) - (right.number * 1440 - right.zone))
    return _sign((left > right) - (left < right))


def _sign(number: Fraction | int) -> int:
    return (number > 0) - (number < 0)


def moment_text(day: datetime) -> str:
    """An aware time as xsd:dateTime in UTC."""
    return (day - (day.utcoffset() or timedelta())).replace(tzinfo=None).isoformat() + "Z"
