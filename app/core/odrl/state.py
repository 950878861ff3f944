"""The state of the world: what is known when a request is decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.core import vocabulary as words
from app.core.odrl import vocabulary as odrl
from app.core.odrl.context import BUNDLED, Context, pointer
from app.core.odrl.graph import context_iri, native
from app.core.odrl.limits import MAX_FACTS, OdrlError, too_large
from app.core.odrl.values import Iri, Literal, NotOfKind, Value, typed
from app.core.truth import MISSING, NO, YES

KEYS = ("@context", "now", "values", "partOf", "duties")
DUTY_STATES = ("not-set", "fulfilled", "violated")
_OWN = {"dpv": words.DPV, "sayso": words.PROFILE + "#"}
_STANDARD = BUNDLED[words.CONTEXT[0]].within(_OWN, "")


@dataclass(frozen=True, slots=True)
class State:
    """`values` by left operand; `part_of` as stated, not yet transitive; `duties` by IRI of the duty."""

    now: Literal | None = None
    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    part_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    duties: Mapping[str, str] = field(default_factory=dict)

    def of(self, operand: str) -> tuple[Value, ...]:
        """What is known of a left operand; nothing if it was not given. `dateTime` is `now` unless given."""
        found = self.values.get(operand)
        if found is None and operand == odrl.DATE_TIME and self.now is not None:
            return (self.now,)
        return found or ()


class Named(Protocol):
    """An asset or a party as a rule names it; a collection may be named by its source."""

    @property
    def iri(self) -> str: ...

    @property
    def source(self) -> str | None: ...


class Memberships:
    """What is part of what, through any number of steps; circles do no harm."""

    def __init__(self, *facts: Mapping[str, Iterable[str]]) -> None:
        self._facts = facts
        self._found: dict[str, frozenset[str]] = {}

    def above(self, iri: str) -> frozenset[str]:
        """The thing itself and all that it is part of."""
        if iri not in self._found:
            found: set[str] = set()
            waiting = [iri]
            while waiting:
                one = waiting.pop()
                if one not in found:
                    found.add(one)
                    for facts in self._facts:
                        waiting += facts.get(one, ())
            self._found[iri] = frozenset(found)
        return self._found[iri]

    def concerns(self, one: "Named", asked: str | None) -> int:
        """Whether an asset or party that a rule names is the one asked about, or one that it is part of.

        Of something without a name nobody can say what it is, or who belongs to it: it may always be the one asked about.
        """
        if asked is None:
            return MISSING
        above = self.above(asked)
        if one.iri in above or (one.source is not None and one.source in above):
            return YES
        return MISSING if all(name is None or name.startswith("_:") for name in (one.iri, one.source)) else NO

    def reaches(self, one: str, other: str) -> bool:
        """Whether `one` is part of `other`."""
        return other in self.above(one)


def read_state(given: Any) -> State:
    """The state that a JSON object says; names may use prefixes of its own `@context` and names of ODRL's.

    Raises:
        OdrlError: odrl_state_invalid, odrl_too_large, and what a context or a name in it is refused for.
    """
    if not isinstance(given, dict):
        raise OdrlError("odrl_state_invalid", "A state is a JSON object.", known=KEYS)
    for key in given:
        if key not in KEYS:
            raise OdrlError("odrl_state_invalid", "A state has no such member.", f"/{pointer(key)}", known=KEYS)
    context = _STANDARD.within(given["@context"], "/@context") if "@context" in given else _STANDARD
    values, part_of, duties = (_object(given, name) for name in ("values", "partOf", "duties"))
    if sum(len(one) for one in (values, part_of, duties)) > MAX_FACTS:
        raise too_large("entries in a state", MAX_FACTS)
    return State(
        _now(given.get("now")),
        {odrl.same(iri): _values(value, context, at) for iri, value, at in _named(values, "values", context)},
        {iri: frozenset(_iris(value, context, at)) for iri, value, at in _named(part_of, "partOf", context)},
        {iri: _duty(value, at) for iri, value, at in _named(duties, "duties", context)},
    )


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    found = given.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise OdrlError("odrl_state_invalid", "An object stands here.", f"/{name}")
    return found


def _named(facts: dict[str, Any], name: str, context: Context) -> Iterable[tuple[str, Any, str]]:
    for key, value in facts.items():
        at = f"/{name}/{pointer(key)}"
        yield context.iri(key, at, named=name == "values"), value, at


def _now(given: Any) -> Literal | None:
    if given is None:
        return None
    if isinstance(given, str):
        try:
            typed(given, "time")
        except NotOfKind as error:
            raise OdrlError("odrl_state_invalid", f"`now` is {error}.", "/now") from None
        return Literal(given, odrl.XSD + ("dateTime" if "T" in given else "date"))
    raise OdrlError("odrl_state_invalid", "`now` is a text.", "/now")


def _values(given: Any, context: Context, where: str) -> tuple[Value, ...]:
    listed = given if isinstance(given, list) else [given]
    if len(listed) > MAX_FACTS:
        raise too_large("values of one operand", MAX_FACTS, where)
    return tuple(_value(one, context, where) for one in listed if one is not None)


def _value(given: Any, context: Context, where: str) -> Value:
    if isinstance(given, str):
        plain = native(given, where)
        return Literal(plain.text, plain.datatype, context_iri(given, context))
    if isinstance(given, dict):
        if set(given) == {"@id"} and isinstance(given["@id"], str):
            return Iri(context.iri(given["@id"], where))
        if set(given) <= {"@value", "@type", "unit"} and "@value" in given:
            kind, unit = given.get("@type"), given.get("unit")
            text = native(given["@value"], where)
            if isinstance(kind, str | None) and isinstance(unit, str | None):
                datatype = text.datatype if kind is None else context.iri(kind, where, named=True)
                return Literal(text.text, datatype, unit="" if unit is None else context.iri(unit, where))
        raise OdrlError("odrl_state_invalid", 'Write a value, {"@id": …} or {"@value": …, "@type": …, "unit": …}.', where)
    if isinstance(given, list):
        raise OdrlError("odrl_state_invalid", "A list of values holds no lists.", where)
    return native(given, where)


def _iris(given: Any, context: Context, where: str) -> Iterable[str]:
    for one in given if isinstance(given, list) else [given]:
        if not isinstance(one, str):
            raise OdrlError("odrl_state_invalid", "Collections are named by their IRIs.", where)
        yield context.iri(one, where)


def _duty(given: Any, where: str) -> str:
    if given not in DUTY_STATES:
        raise OdrlError("odrl_state_invalid", "This is no state of a duty.", where, known=DUTY_STATES)
    return str(given)
