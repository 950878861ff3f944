"""JSON Schema (draft 2020-12) of the profile's words, one schema for each constraint: what the models cannot say by type alone.

`policies/policy.schema.json` is generated from the models with these. It tells a form or an editor what may be written; only
`parse_policy` says what may be stored, since windows that never open and the like are beyond a schema.
"""

from collections.abc import Iterable
from typing import Any

from app.core import vocabulary as words

DAY = {"type": "string", "format": "date", "pattern": "^2[01][0-9]{2}-[0-9]{2}-[0-9]{2}$"}
PERIOD = {"type": "string", "pattern": "^P([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650)D$"}
AMOUNT = {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,8})\.[0-9]{2}$"}
COUNT = {"type": "string", "pattern": "^([2-9]|[1-9][0-9]{1,3}|10000)$"}


def one_of(values: Iterable[str]) -> dict[str, Any]:
    """A word of a closed list."""
    return {"enum": sorted(values)}


def some_of(values: Iterable[str], most: int) -> dict[str, Any]:
    """One word of a closed list, or an array of them."""
    listed = sorted(values)
    return {"anyOf": [{"enum": listed}, {"type": "array", "items": {"enum": listed}, "minItems": 1, "maxItems": most}]}


def alone(value: dict[str, Any]) -> dict[str, Any]:
    """One value, or an array that holds just it."""
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1, "maxItems": 1}]}


def constraint(left: str, operator: str, right: dict[str, Any]) -> dict[str, Any]:
    """The schema of one constraint."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["leftOperand", "operator", "rightOperand"],
        "properties": {"leftOperand": {"const": left}, "operator": {"const": operator}, "rightOperand": right},
    }


def rule_constraints(operands: Iterable[str], most_constraints: int, most_values: int) -> dict[str, Any]:
    """The constraints of a permission or a prohibition."""
    single = {"dateTime": DAY, "delayPeriod": PERIOD, "groupSize": COUNT}
    fixed = {"attestation": "person", "ethicsReview": "approved"}
    kinds = []
    for left in operands:
        if left in words.NARROWER:
            right = some_of(words.NARROWER[left], most_values)
        else:
            right = alone({"const": fixed[left]} if left in fixed else single[left])
        kinds += [constraint(left, operator, right) for operator in words.OPERATORS[left]]
    return {"type": "array", "maxItems": most_constraints, "items": {"oneOf": kinds}}


def obligation(kind: str, wanted: dict[tuple[str, str], tuple[dict[str, Any], bool]], most: int) -> dict[str, Any]:
    """An obligation of one kind: its constraints with the schema of their value, and whether each must be there."""
    kinds = [constraint(left, operator, alone(value)) for (left, operator), (value, _) in wanted.items()]
    needed = [
        {"contains": {"properties": {"leftOperand": {"const": left}}}} for (left, _), (_, must) in wanted.items() if must
    ]
    constraints: dict[str, Any] = {"type": "array", "maxItems": most, "items": {"oneOf": kinds} if kinds else False}
    if needed:
        constraints["allOf"] = needed
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["action", "constraint"] if needed else ["action"],
        "properties": {"action": {"const": kind}, "constraint": constraints},
    }
