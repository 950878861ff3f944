"""The twelve operators, each over what is known: yes, no, or neither.

Of several given values, comparisons (and `isA`, `isPartOf`) must come out alike for each; where they do not, the constraint is
neither true nor false. `isAnyOf`, `isAllOf`, `isNoneOf` and `hasPart` are about the values as a set, as the vocabulary has it:
one of them is among those listed, all those listed are among them, none is, the part is in one of them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from app.core.odrl.model import Constraint
from app.core.odrl.values import TEXTS, Iri, Literal, NotOfKind, Value, order, typed
from app.core.odrl.vocabulary import ORDERING, RELATING
from app.core.truth import MISSING, NO, YES, every, opposite, some

_APART = 2  # unequal, and neither comes before the other
Reaches = Callable[[str, str], bool]
"""(one, other) -> whether one is part of the other, directly or through others."""

_ORDERED: dict[str, frozenset[int]] = {
    "eq": frozenset({0}),
    "neq": frozenset({-1, 1, _APART}),
    "lt": frozenset({-1}),
    "lteq": frozenset({-1, 0}),
    "gt": frozenset({1}),
    "gteq": frozenset({0, 1}),
}


def holds(constraint: Constraint, given: tuple[Value, ...], reaches: Reaches) -> int:
    """Whether `given`, the values of the left operand, satisfies the constraint. Without a value: MISSING."""
    operator, right = constraint.operator, constraint.right
    if not given or not right:
        return MISSING
    if operator in ORDERING:
        return _alike(_ordered(operator, compare(one, right[0], constraint.kind)) for one in given)
    if operator in RELATING and operator != "hasPart":
        return _alike(some(_within(operator, one, other, constraint.kind, reaches) for other in right) for one in given)
    if operator == "hasPart":
        return every(some(_within(operator, other, one, constraint.kind, reaches) for one in given) for other in right)
    equal = [[_ordered("eq", compare(one, other, constraint.kind)) for one in given] for other in right]
    if operator == "isAllOf":
        return every(some(row) for row in equal)
    found = some(some(row) for row in equal)
    return found if operator == "isAnyOf" else opposite(found)


def _alike(verdicts: Iterable[int]) -> int:
    found = set(verdicts)
    return found.pop() if len(found) == 1 else MISSING


def _ordered(operator: str, found: int | None) -> int:
    if found is None or (found == _APART and operator not in ("eq", "neq")):
        return MISSING
    return YES if found in _ORDERED[operator] else NO


def _within(operator: str, part: Value, whole: Value, kind: str, reaches: Reaches) -> int:
    equal = compare(part, whole, kind)
    if equal == 0:
        return YES
    inner, outer = _names(part), _names(whole)
    if any(reaches(one, other) for one in inner for other in outer):
        return YES
    if operator == "isA" and isinstance(part, Literal) and part.datatype in outer:
        return YES
    return MISSING if equal is None else NO


def _names(value: Value) -> tuple[str, ...]:
    """The IRIs that a value may be: a string of the state may well be meant as one."""
    if isinstance(value, Iri):
        return (value.text,)
    return (value.iri, value.text) if value.iri else (value.text,)


def compare(left: Value, right: Value, kind: str = "") -> int | None:
    """-1, 0, 1 by order; 2 if unequal without an order; None if the two cannot be compared.

    The type of the right value decides how both are read, then the operand's `kind`, then the left value's type.
    """
    kind = (
        (right.kind if isinstance(right, Literal) else "") or kind or (left.kind if isinstance(left, Literal) else "")
    )
    if kind and isinstance(left, Literal) and isinstance(right, Literal):
        if left.kind not in ("", kind) or right.kind not in ("", kind):
            return None
        try:
            one, other = _typed(left.text, kind), _typed(right.text, kind)
        except NotOfKind:
            return None
        return order(one, other)
    if kind:
        return None
    if set(_names(left)) & set(_names(right)):
        return 0
    texts = all(isinstance(one, Iri) or one.datatype in TEXTS for one in (left, right))
    return _APART if texts else None  # of a type that is not known here, two texts may be one value


_CACHE: dict[tuple[str, str], Any] = {}


def _typed(text: str, kind: str) -> Any:
    """`typed`, remembered: the values of policies are read again and again."""
    key = (text, kind)
    found = _CACHE.get(key)
    if found is None:
        found = typed(text, kind)
        if len(_CACHE) < 4096:
            _CACHE[key] = found
    return found
