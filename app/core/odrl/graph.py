"""JSON-LD -> a graph of nodes: compact, prefixed, expanded or flat, the same statements give the same graph.

What is not read is refused, never dropped: a name without a meaning, a context that would have to be fetched, parts of
JSON-LD that policies have no use for (`@reverse`, `@nest`, scoped contexts).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from app.core.odrl import vocabulary as odrl
from app.core.odrl.context import Context, Term, pointer
from app.core.odrl.limits import MAX_NODES, MAX_PROBLEMS, MAX_TEXT, OdrlError, too_large
from app.core.odrl.values import Iri, Literal, Value

_XSD = odrl.XSD
_LABEL = re.compile(r"_:[A-Za-z0-9_.-]+\Z", re.ASCII)


@dataclass(slots=True)
class Node:
    """One thing of the document. `where` is the JSON pointer of its (first) object; `at` those of its properties."""

    id: str
    where: str
    types: list[str] = field(default_factory=list)
    properties: dict[str, list[Value]] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    said: dict[str, dict[str, list[Value]]] = field(default_factory=dict)
    """The properties as each object of this name says them: pointer of the object -> property -> values."""

    @property
    def blank(self) -> bool:
        return self.id.startswith("_:")


class Graph:
    """All nodes of a document by id, in the order in which they stand."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def node(self, value: Value | str) -> Node:
        """The node that an IRI names; an empty one if the document says nothing of it."""
        name = value if isinstance(value, str) else value.text
        return self.nodes.get(name) or Node(name, "")

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())


def read_graph(document: Any, problems: list[OdrlError] | None = None, number: int = 1) -> Graph:
    """The graph of a parsed JSON-LD document.

    What has no name is named by its place: `_:/permission/0/duty/0`. Of several documents that are read together the second
    gives `_:2/permission/0/duty/0`, and `_:2#b0` for its own `_:b0`: `number` keeps such names apart.

    With a list for `problems`, what makes one property unreadable goes there and the property is left without a value, so
    that all of them are told at once; such a graph is for validation alone.

    Raises:
        OdrlError: odrl_jsonld_unsupported, odrl_context_unknown, odrl_term_unknown, odrl_iri_invalid, odrl_too_large,
            odrl_value_invalid.
    """
    if not isinstance(document, dict | list):
        raise OdrlError("odrl_jsonld_unsupported", "A policy is a JSON object, or an array of them.")
    reader = _Reader(problems, number)
    with suppress(_Enough):
        for number, one in enumerate(document if isinstance(document, list) else [document]):
            where = f"/{number}" if isinstance(document, list) else ""
            if not isinstance(one, dict):
                raise OdrlError("odrl_jsonld_unsupported", "Nodes are JSON objects.", where)
            reader.node(one, Context(), where)
    return reader.graph


class _Enough(Exception):
    """As many problems as are told were found."""


class _Reader:
    def __init__(self, problems: list[OdrlError] | None, number: int) -> None:
        self.graph = Graph()
        self._problems = problems
        self._number = "" if number == 1 else str(number)
        self._objects = 0

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OdrlError as error:
            if self._problems is None or error.code == "odrl_too_large":
                raise
            self._problems.append(error)
            if len(self._problems) >= MAX_PROBLEMS:
                raise _Enough from None

    def node(self, obj: dict[str, Any], context: Context, where: str) -> Iri:
        """Read one object and what stands in it; its name."""
        self._objects += 1
        if self._objects > MAX_NODES:
            raise too_large("objects in a document", MAX_NODES, where)
        if "@context" in obj:
            context = context.within(obj["@context"], f"{where}/@context")
        keyed: list[tuple[str, Term | None]] = []
        for name in obj:
            with self._noting():
                keyed.append((name, context.key(name, f"{where}/{pointer(name)}")))
        node = self._named(obj, keyed, context, where)
        for name, term in keyed:
            if term is None or term.iri in ("@context", "@id"):
                continue
            at, given = f"{where}/{pointer(name)}", obj[name]
            if term.iri == "@type":
                with self._noting():
                    node.types += [self._type(one, context, at) for one in _listed(given) if one is not None]
            elif term.iri == "@graph":
                if any(one is not None and (one.iri == "@type" or not one.iri.startswith("@")) for _, one in keyed):
                    # What belongs to the object would stand there unconnected, and so without effect.
                    raise OdrlError("odrl_jsonld_unsupported", "An object with a @graph says nothing else.", at)
                for number, one in enumerate(_listed(given)):
                    if not isinstance(one, dict):
                        raise OdrlError("odrl_jsonld_unsupported", "Nodes are JSON objects.", f"{at}/{number}")
                    self.node(one, context, f"{at}/{number}" if isinstance(given, list) else at)
            elif term.iri.startswith("@"):
                raise OdrlError("odrl_jsonld_unsupported", "This keyword has no place in a node.", at)
            else:
                with self._noting():
                    self._property(node, term, given, context, at, where)
        return Iri(node.id)

    def _named(self, obj: dict[str, Any], keyed: list[tuple[str, Term | None]], context: Context, where: str) -> Node:
        names = [obj[name] for name, term in keyed if term is not None and term.iri == "@id"]
        if len(names) > 1:
            raise OdrlError("odrl_jsonld_unsupported", "A node has one @id (or uid).", where)
        if names and not isinstance(names[0], str):
            raise OdrlError("odrl_iri_invalid", "An @id (or uid) is a string.", where)
        name = self._iri(names[0], context, where) if names else f"_:{self._number}{where}"
        node = self.graph.nodes.get(name)
        if node is None:
            node = self.graph.nodes[name] = Node(name, where)
        elif len(obj) > 1 and not node.properties and not node.types:
            node.where = where  # it was only referred to before
        return node

    def _iri(self, text: str, context: Context, where: str, *, named: bool = False) -> str:
        """As `Context.iri`; a blank node's label is told apart from those of other documents, and from places."""
        found = context.iri(text, where, named=named)
        if not found.startswith("_:"):
            return found
        if not _LABEL.match(found):
            raise OdrlError("odrl_iri_invalid", "A blank node is written `_:` and ASCII letters, digits, `_`, `-` and `.`.", where)
        return f"_:{self._number}#{found[2:]}" if self._number else found

    def _type(self, given: Any, context: Context, where: str) -> str:
        if not isinstance(given, str):
            raise OdrlError("odrl_iri_invalid", "A @type is a string.", where)
        return self._iri(given, context, where, named=True)

    def _property(self, node: Node, term: Term, given: Any, context: Context, where: str, within: str) -> None:
        values = node.properties.setdefault(term.iri, [])
        node.at.setdefault(term.iri, where)
        said = node.said.setdefault(within, {}).setdefault(term.iri, [])
        seen = set(values)
        for value in self._values(given, term, context.scoped(term), where):
            said.append(value)
            if value not in seen:
                seen.add(value)
                values.append(value)

    def _values(self, given: Any, term: Term, context: Context, where: str) -> Iterator[Value]:
        if isinstance(given, list):
            for number, one in enumerate(given):
                yield from self._values(one, term, context, f"{where}/{number}")
        elif isinstance(given, dict):
            if "@value" in given:
                yield self._literal_object(given, context, where)
            elif set(given) & {"@list", "@set"}:
                if not set(given) <= {"@list", "@set", "@index"} or len(set(given) & {"@list", "@set"}) > 1:
                    raise OdrlError("odrl_jsonld_unsupported", "A list object holds its list alone.", where)
                name = "@list" if "@list" in given else "@set"
                yield from self._values(given[name], term, context, f"{where}/{name}")
            else:
                yield self.node(given, context, where)
        elif given is not None:
            yield self._scalar(given, term, context, where)

    def _scalar(self, given: Any, term: Term, context: Context, where: str) -> Value:
        if isinstance(given, str):
            if term.coerce in ("@id", "@vocab"):
                return Iri(self._iri(given, context, where, named=term.coerce == "@vocab"))
            name = term.iri[len(odrl.ODRL) :] if term.iri.startswith(odrl.ODRL) else ""
            if name in odrl.NAMED or name in odrl.LINKED:  # "odrl:action": "odrl:use" says no type, and means one thing
                return Iri(self._iri(given, context, where, named=name in odrl.NAMED))
            _check_text(given, where)
            return Literal(given, term.coerce or _XSD + "string", context_iri(given, context))
        if term.coerce in ("@id", "@vocab"):
            raise OdrlError("odrl_iri_invalid", "An IRI stands here, not a number.", where)
        return native(given, where)

    def _literal_object(self, given: dict[str, Any], context: Context, where: str) -> Value:
        if not set(given) <= {"@value", "@type", "@language", "@index", "@direction"}:
            raise OdrlError("odrl_jsonld_unsupported", "A value object holds @value, @type and @language.", where)
        value, kind = given["@value"], given.get("@type")
        if kind is None:
            if isinstance(value, str):
                _check_text(value, where)
                return Literal(value, _XSD + "string")
            return native(value, where)
        if not isinstance(kind, str):
            raise OdrlError("odrl_value_invalid", "A data type is an IRI.", where)
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, str | int | Decimal):
            text = str(value)
        else:
            raise OdrlError("odrl_value_invalid", "A value is a string, a number or a boolean.", where)
        _check_text(text, where)
        return Literal(text, context.iri(kind, f"{where}/@type", named=True))


def native(value: Any, where: str) -> Literal:
    """A JSON string, number or boolean as a literal. Raises OdrlError (odrl_value_invalid, odrl_too_large)."""
    if isinstance(value, bool):
        return Literal("true" if value else "false", _XSD + "boolean")
    if isinstance(value, int):
        return Literal(str(value), _XSD + "integer")
    if isinstance(value, Decimal):
        return Literal(str(value), _XSD + "double")
    if isinstance(value, str):
        _check_text(value, where)
        return Literal(value, _XSD + "string")
    raise OdrlError("odrl_value_invalid", "A value is a string, a number or a boolean.", where)


def context_iri(text: str, context: Context) -> str:
    """What a plain string would be as a name with a prefix of the context; empty if it is none."""
    head, colon, rest = text.partition(":")
    if not colon or rest.startswith("//") or head not in context.terms or not text.isascii():
        return ""
    return context.terms[head].iri + rest


def _check_text(text: str, where: str) -> None:
    if len(text) > MAX_TEXT:
        raise too_large("characters in a text", MAX_TEXT, where)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
