"""Constraints of a rule, and what a set of them leaves open."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.core import schema
from app.core import vocabulary as words

MAX_CONSTRAINTS = 16
MAX_VALUES = 512
MAX_PERIOD_DAYS = 3650
MAX_GROUP = 10_000
FIRST_DAY, LAST_DAY = "2000-01-01", "2199-12-31"

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_PERIOD = re.compile(r"P([1-9][0-9]{0,3})D\Z", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,4}\Z", re.ASCII)


def unknown(what: str, value: str, known: Iterable[str]) -> PydanticCustomError:
    """The error of a term that the profile does not have, with those it has."""
    listed = tuple(sorted(known))
    return PydanticCustomError(
        "policy_unknown_term", "unknown {what} {value}", {"what": what, "value": repr(value)[:80], "known": listed}
    )


def invalid(message: str, code: str = "policy_invalid") -> PydanticCustomError:
    """The error of a policy that uses known terms wrongly."""
    return PydanticCustomError(code, "{reason}", {"reason": message, "known": ()})


def one_of(known: Iterable[str], what: str) -> Callable[[str], str]:
    """A check that takes only the `known` words and refuses others by naming them."""
    listed = frozenset(known)

    def check(value: str) -> str:
        if value not in listed:
            raise unknown(what, value, listed)
        return value

    return check


def parse_day(text: str) -> date:
    """The day of a `YYYY-MM-DD` text from 2000-01-01 to 2199-12-31. Raises ValueError for any other form or day."""
    if not _DAY.match(text):
        raise ValueError("a day is written YYYY-MM-DD")
    if not FIRST_DAY <= text <= LAST_DAY:
        raise ValueError(f"a day lies between {FIRST_DAY} and {LAST_DAY}")
    return date.fromisoformat(text)


def period_days(text: str) -> int:
    """Days of a period written `P30D` (ISO 8601, days only, 1 to 3650). Raises ValueError otherwise."""
    found = _PERIOD.match(text)
    if not found or int(found[1]) > MAX_PERIOD_DAYS:
        raise ValueError(f"a period is written P<days>D, 1 to {MAX_PERIOD_DAYS} days")
    return int(found[1])


def group_size(text: str) -> int:
    """A number of people, 2 to 10000, as a decimal text without leading zeros. Raises ValueError otherwise."""
    if not _COUNT.match(text) or not 2 <= int(text) <= MAX_GROUP:
        raise ValueError(f"a group size is a number from 2 to {MAX_GROUP}, written as text")
    return int(text)


_FORMS = ("a plain text", "a list of plain texts")
"""How values and parts are written: a value object of JSON-LD would be a second way to say the same."""


def _one_or_many(value: Any) -> Any:
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            raise unknown("form of a value", str(one), _FORMS)
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _target(value: tuple[str, ...]) -> tuple[str, ...]:
    for part in value:
        if part not in words.PART_BITS:
            raise unknown("part", part, words.PARTS)
    return tuple(sorted(set(value)))


Values = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Field(min_length=1, max_length=MAX_VALUES)]
Target = Annotated[Values, AfterValidator(_target), WithJsonSchema(schema.some_of(words.PARTS, MAX_VALUES))]


class Strict(BaseModel):
    """A frozen model that takes nothing but what it names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Constraint(Strict):
    """One condition. `right_operand` is always a tuple: sorted values for isAnyOf, otherwise one value."""

    left_operand: str = Field(alias="leftOperand")
    operator: str
    right_operand: Values = Field(alias="rightOperand")

    def odrl(self) -> dict[str, Any]:
        right = list(self.right_operand) if self.operator == "isAnyOf" else self.right_operand[0]
        return {"leftOperand": self.left_operand, "operator": self.operator, "rightOperand": right}


def _make(left: str, operator: str, values: tuple[str, ...]) -> Constraint:
    return Constraint.model_validate({"leftOperand": left, "operator": operator, "rightOperand": values})


class Region(NamedTuple):
    """What a rule's constraints leave open: allowed values per set operand (closed downwards), days [start, end), and
    days since the record was given [min_age, max_age); `attested`, `reviewed` and `group` are asked for besides."""

    allowed: dict[str, frozenset[str]]
    start: str | None = None
    end: str | None = None
    min_age: int = 0
    max_age: int | None = None
    attested: bool = False
    reviewed: bool = False
    group: int = 0

    def inside(self, other: "Region") -> bool:
        """True only if whatever satisfies this region satisfies `other` too; attestation is not compared."""
        return (
            all(o in self.allowed and self.allowed[o] <= values for o, values in other.allowed.items())
            and (other.start is None or (self.start is not None and self.start >= other.start))
            and (other.end is None or (self.end is not None and self.end <= other.end))
            and self.min_age >= other.min_age
            and (other.max_age is None or (self.max_age is not None and self.max_age <= other.max_age))
            and self.reviewed >= other.reviewed
            and self.group >= other.group
        )

    def joined(self, other: "Region") -> "Region | None":
        """What satisfies both, of what a use, a lab, a day and an age are; None if nothing does."""
        if self.apart(other):
            return None
        allowed = {**other.allowed, **self.allowed}
        for operand in self.allowed.keys() & other.allowed.keys():
            allowed[operand] = self.allowed[operand] & other.allowed[operand]
        starts = [day for day in (self.start, other.start) if day is not None]
        ends = [day for day in (self.end, other.end) if day is not None]
        youngest = max(self.min_age, other.min_age)
        oldest = min((age for age in (self.max_age, other.max_age) if age is not None), default=None)
        if oldest is not None and youngest >= oldest:
            return None
        return Region(allowed, max(starts, default=None), min(ends, default=None), youngest, oldest)

    def apart(self, other: "Region") -> bool:
        """True only if nothing can satisfy both."""
        return (
            any(o in other.allowed and not values & other.allowed[o] for o, values in self.allowed.items())
            or (self.end is not None and other.start is not None and self.end <= other.start)
            or (other.end is not None and self.start is not None and other.end <= self.start)
        )


# Operands with one value each -> how it is read; the reader raises ValueError.
_READ: dict[str, Callable[[str], Any]] = {"dateTime": parse_day, "delayPeriod": period_days, "groupSize": group_size}
_FIXED = {"attestation": "person", "ethicsReview": "approved"}


def _check_constraint(constraint: Constraint, operands: Iterable[str]) -> None:
    left, operator, values = constraint.left_operand, constraint.operator, constraint.right_operand
    if left not in operands:
        raise unknown("left operand", left, operands)
    if operator not in words.OPERATORS[left]:
        raise unknown(f"operator for {left}", operator, words.OPERATORS[left])
    if left in words.NARROWER:
        for value in values:
            if value not in words.NARROWER[left]:
                raise unknown(left, value, words.NARROWER[left])
    elif len(values) != 1:
        raise invalid(f"{left} takes one value")
    elif left in _FIXED:
        if values[0] != _FIXED[left]:
            raise unknown(left, values[0], (_FIXED[left],))
    else:
        try:
            _READ[left](values[0])
        except ValueError as error:
            raise invalid(str(error)) from None


def region_of(constraints: Iterable[Constraint]) -> Region:
    allowed: dict[str, frozenset[str]] = {}
    found: dict[str, Any] = {}
    for constraint in constraints:
        left, value = constraint.left_operand, constraint.right_operand[0]
        if left in words.NARROWER:
            closed = words.closure(left, constraint.right_operand)
            allowed[left] = allowed[left] & closed if left in allowed else closed
        elif left == "attestation":
            found["attested"] = True
        elif left == "ethicsReview":
            found["reviewed"] = True
        elif left == "groupSize":
            found["group"] = max(found.get("group", 0), group_size(value))
        elif left == "delayPeriod" and constraint.operator == "gteq":
            found["min_age"] = max(found.get("min_age", 0), period_days(value))
        elif left == "delayPeriod":
            found["max_age"] = min(found.get("max_age", MAX_PERIOD_DAYS), period_days(value))
        elif constraint.operator == "gteq":
            found["start"] = max(found.get("start", value), value)
        else:
            found["end"] = min(found.get("end", value), value)
    return Region(allowed, **found)


def _joined(constraints: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    region = region_of(constraints)
    for operand, values in region.allowed.items():
        if not values:
            raise invalid(f"no {operand} satisfies all the constraints of this rule", "policy_never_permits")
    if region.start and region.end and region.start >= region.end:
        raise invalid(f"no day is on or after {region.start} and before {region.end}", "policy_never_permits")
    if region.max_age is not None and region.min_age >= region.max_age:
        raise invalid(
            f"no record is at least {region.min_age} and less than {region.max_age} days old", "policy_never_permits"
        )
    joined = [_make(o, "isAnyOf", words.widest(o, values)) for o, values in region.allowed.items()]
    single = (
        ("dateTime", "gteq", region.start),
        ("dateTime", "lt", region.end),
        ("delayPeriod", "gteq", f"P{region.min_age}D" if region.min_age else None),
        ("delayPeriod", "lt", None if region.max_age is None else f"P{region.max_age}D"),
        ("attestation", "eq", _FIXED["attestation"] if region.attested else None),
        ("ethicsReview", "eq", _FIXED["ethicsReview"] if region.reviewed else None),
        ("groupSize", "gteq", str(region.group) if region.group else None),
    )
    joined += [_make(left, operator, (value,)) for left, operator, value in single if value is not None]
    return tuple(sorted(joined, key=lambda c: (c.left_operand, c.operator)))


def constraints_for(*operands: str) -> Any:
    def check(constraint: Constraint) -> Constraint:
        _check_constraint(constraint, operands)
        return constraint

    shape = schema.rule_constraints(operands, MAX_CONSTRAINTS, MAX_VALUES)
    each = Annotated[Constraint, AfterValidator(check)]  # each by itself, so that a refusal names its place
    return Annotated[tuple[each, ...], Field(max_length=MAX_CONSTRAINTS), AfterValidator(_joined), WithJsonSchema(shape)]
