"""Obligations: what is owed after release. Each kind has its own constraints, and a policy holds each kind once an event."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from app.core import schema
from app.core import vocabulary as words
from app.core.constraints import MAX_CONSTRAINTS, Constraint, Strict, invalid, one_of, period_days, unknown

# Obligation -> its constraints as (left operand, operator) -> (kind of value, whether it must be there).
_DUTIES: dict[str, dict[tuple[str, str], tuple[str, bool]]] = {
    "attribute": {("attributionMode", "eq"): ("mode", True)},
    "compensate": {
        ("payAmount", "gteq"): ("amount", True),
        ("currency", "eq"): ("currency", True),
        ("payPer", "eq"): ("per", True),
    },
    "delete": {("elapsedTime", "lteq"): ("period", True), ("event", "eq"): ("ending", True)},
    "inform": {("event", "eq"): ("occasion", False)},
    "keepDissent": {},
    "keepThread": {},
    "reportBack": {("timeInterval", "eq"): ("period", True)},
    "shareAlike": {},
}
_VALUES = {
    "mode": ("attribution mode", words.ATTRIBUTION_MODES),
    "currency": ("currency", tuple(sorted(words.CURRENCIES))),
    "per": ("unit of payment", words.PAID_PER),
    "ending": ("event", words.DELETE_EVENTS),
    "occasion": ("event", words.INFORM_EVENTS),
}
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,8})\.[0-9]{2}\Z", re.ASCII)
# The name that a constraint has in a duty, as decisions, offers and manifests carry it.
_NAMES = {
    "attributionMode": "mode",
    "elapsedTime": "within",
    "timeInterval": "every",
    "event": "event",
    "payAmount": "amount",
    "currency": "currency",
    "payPer": "per",
}


def _sorted(constraints: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    unique = {(c.left_operand, c.operator, c.right_operand): c for c in constraints}
    return tuple(unique[key] for key in sorted(unique))


class Obligation(Strict):
    """What is owed after release, by whoever holds the data."""

    action: Annotated[str, AfterValidator(one_of(words.OBLIGATIONS, "obligation"))]
    constraint: Annotated[tuple[Constraint, ...], Field(max_length=MAX_CONSTRAINTS), AfterValidator(_sorted)] = ()

    @model_validator(mode="after")
    def _check(self) -> "Obligation":
        wanted = _DUTIES[self.action]
        given: dict[tuple[str, str], str] = {}
        for constraint in self.constraint:
            key = (constraint.left_operand, constraint.operator)
            if key not in wanted:
                known = (f"{left} {operator}" for left, operator in wanted)
                raise unknown(f"constraint of {self.action}", " ".join(key), known)
            if len(constraint.right_operand) != 1 or key in given:
                raise invalid(f"{self.action} takes one {key[0]}")
            given[key] = constraint.right_operand[0]
        for key, (kind, needed) in wanted.items():
            if key in given:
                _check_value(kind, given[key])
            elif needed:
                raise invalid(f"{self.action} needs the constraint {key[0]} {key[1]}")
        return self

    def duty(self) -> dict[str, str]:
        """The obligation as it stands in decisions and offers, for example {"kind": "delete", "event": "withdrawal",
        "within": "P30D"}. Other members: `mode` of attribute, `every` of reportBack, `event` of inform, and `amount`,
        `currency` and `per` of compensate."""
        return {"kind": self.action, **{_NAMES[c.left_operand]: c.right_operand[0] for c in self.constraint}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        kinds = []
        for kind, wanted in _DUTIES.items():
            told = {key: (_shape(value), must) for key, (value, must) in wanted.items()}
            kinds.append(schema.obligation(kind, told, MAX_CONSTRAINTS))
        return {"oneOf": kinds}

    @property
    def slot(self) -> tuple[str, str]:
        """Of this a policy has at most one: the kind, and the event where the kind has several."""
        return self.action, self.duty().get("event", "")

    def odrl(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"action": self.action}
        if self.constraint:
            rule["constraint"] = [c.odrl() for c in self.constraint]
        return rule


def _shape(kind: str) -> dict[str, Any]:
    if kind in _VALUES:
        return schema.one_of(_VALUES[kind][1])
    return schema.PERIOD if kind == "period" else schema.AMOUNT


def _check_value(kind: str, value: str) -> None:
    if kind in _VALUES:
        what, known = _VALUES[kind]
        if value not in known:
            raise unknown(what, value, known)
    elif kind == "period":
        try:
            period_days(value)
        except ValueError as error:
            raise invalid(str(error)) from None
    elif not _AMOUNT.match(value) or not Decimal(value):
        raise invalid("an amount is a positive number with two decimals, written as text, such as 0.50")


def one_of_each(rules: tuple[Obligation, ...]) -> tuple[Obligation, ...]:
    """Sorted, each once. Raises the policy error of two that differ in what only one can say."""
    found: dict[tuple[str, str], Obligation] = {}
    for rule in rules:
        if rule.slot in found and found[rule.slot].duty() != rule.duty():
            raise invalid(f"two different {rule.action} obligations")
        found[rule.slot] = rule
    return tuple(found[slot] for slot in sorted(found))
