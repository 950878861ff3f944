"""Any system: a mapping file in JSON says with JMESPath (jmespath.org) where things stand in a record.

    {"kind": "preference",                       one of the kinds, or an expression
     "external_id": "id",                        where there is none: digest and place of the record
     "contributor": "user.id", "parent": "reply_to", "language": "lang", "created_at": "ts", "context_ref": "page",
     "models": "[left.model, right.model]",
     "parts": {"text": "comment", "judgment": "{vote: vote, margin: score}", "context": "answers[?by=='model'].words"},
     "context_terms": {"licence": "licence", "holder": "'Example Ltd'"},
     "consent": {"template": "consent.template", "basis": "consent.basis", "wording": "…", "language": "…", "shown_at": "…"},
     "keep": ["id", "ts"], "drop": ["user.ip"], "rest": "profile"}

A part is taken out of the record with its exact octets, so its expression must select and not compute: names, positions,
`[*]`, `[]`, filters `[?…]`, slices, `||`, and the two forms that put selections together, `{name: …}` and `[…]`. Everything else may use all
of JMESPath. Members at the top that nothing names go where `rest` says (`profile`, the part that is released last, unless
told otherwise; `text`, `context`, `judgment`, or `keep` for what is no part), and `drop` is stored nowhere.
"""

import json
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from app.contributions.formats.adapter import Adapter, Fields, Place, instant, language
from app.contributions.formats.cutting import PARTS, Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_WORDS = ("kind", "external_id", "contributor", "parent", "language", "created_at", "context_ref")
_OBJECTS = ("parts", "context_terms", "consent")
Chosen = Any
"""What a selection gives: a Value, a dict or list of them, or None."""


class MappingWrong(ValueError):
    """The mapping file cannot be used. The message says which entry."""


def adapter(mapping: Mapping[str, Any], kinds: frozenset[str]) -> Adapter:
    """The adapter that a mapping describes. Raises MappingWrong."""
    plan = _Plan(mapping, kinds)
    return Adapter(
        "generic", "any other system", plan.cut, whole=True, suffixes=(".json", ".jsonl", ".csv"), out="the records", writer=Spliced()
    )


class _Plan:
    def __init__(self, mapping: Mapping[str, Any], kinds: frozenset[str]) -> None:
        if not isinstance(mapping, dict):
            raise MappingWrong("the mapping must be a JSON object")
        unknown = set(mapping) - {*_WORDS, *_OBJECTS, "models", "keep", "drop", "rest"}
        if unknown:
            raise MappingWrong(f"there is no entry {', '.join(sorted(unknown))}")
        if "kind" not in mapping or not isinstance(mapping.get("parts"), dict) or not mapping["parts"]:
            raise MappingWrong("a mapping needs kind and parts")
        self._kinds = kinds
        self._kind = mapping["kind"] if mapping["kind"] in kinds else None
        self._words = {n: _compile(mapping[n], n) for n in _WORDS if n in mapping and not (n == "kind" and self._kind)}
        self._models = _compile(mapping["models"], "models") if "models" in mapping else None
        self._terms = {n: _compile(e, f"context_terms.{n}") for n, e in mapping.get("context_terms", {}).items()}
        self._consent = {n: _compile(e, f"consent.{n}") for n, e in mapping.get("consent", {}).items()}
        self._parts = {n: _compile(e, f"parts.{n}").parsed for n, e in mapping["parts"].items()}
        if set(self._parts) - set(PARTS):
            raise MappingWrong(f"parts are {', '.join(PARTS)}")
        for name, node in self._parts.items():
            _selects(node, f"parts.{name}")
        self._who = self._words["contributor"].parsed if "contributor" in self._words else None
        self._keep = [_compile(e, "keep").parsed for e in mapping.get("keep", [])]
        self._drop = [_compile(e, "drop").parsed for e in mapping.get("drop", [])]
        self._rest = mapping.get("rest", "profile")
        if self._rest not in (*PARTS, "keep"):
            raise MappingWrong("rest is keep or a part")

    def cut(self, cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
        plain = {name: value.plain() for name, value in fields.items()}
        top: Value = _Row(fields) if not root.is_object else root
        try:
            words = {name: _word(found.search(plain)) for name, found in self._words.items()}
        except JMESPathError:
            raise Wrong("an expression of the mapping cannot be worked out on this record") from None
        kind = self._kind or words.get("kind")
        if kind not in self._kinds:
            raise Wrong("the mapping gives no known kind")
        act = cutter.act(str(kind), words.get("external_id") or place.own, words.get("parent"))
        act.created_at, act.context_ref = instant(words.get("created_at")), words.get("context_ref")
        act.language = _language(words.get("language"))
        if self._models is not None:
            found = self._models.search(plain)
            act.named(*(one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)))
        used: set[int] = set()
        for part, node in self._parts.items():
            _cut_all(act, part, _select(node, top), (), used)
        for node in self._drop:
            for value in _values(_select(node, top)):
                if value.start not in used:
                    used.add(value.start)
                    cutter.drop(value, "as the mapping says")
        if self._who is not None:
            self._name(act, _select(self._who, top) if _can_select(self._who) else None, words.get("contributor"), used)
        for node in self._keep:
            for value in _values(_select(node, top)):
                if value.start not in used:
                    used.add(value.start)
                    act.keep(value)
        _leftover(act, fields, used, self._rest)
        terms = {n: _word(e.search(plain)) for n, e in self._terms.items()}
        act.context_terms = {n: v for n, v in terms.items() if v} or None
        consent = {n: e.search(plain) for n, e in self._consent.items()}
        act.consent = {n: v for n, v in consent.items() if v is not None} or None

    def _name(self, act: Act, value: Chosen, name: str | None, used: set[int]) -> None:
        if isinstance(value, Value) and value.start not in used:
            used.add(value.start)
            act.who(value)
        elif name:
            act.contributor = name


class _Row(Value):
    """A CSV row as an object of its cells."""

    def __init__(self, fields: Fields) -> None:
        super().__init__("", 0, 0)
        self.__dict__["members"] = fields


def _compile(expression: Any, name: str) -> Any:
    if not isinstance(expression, str):
        raise MappingWrong(f"{name} must be an expression, as a string")
    try:
        return jmespath.compile(expression)
    except JMESPathError:
        raise MappingWrong(f"{name} is not a JMESPath expression") from None


_SELECTING = frozenset({
    "field", "subexpression", "index", "index_expression", "identity", "projection", "value_projection", "filter_projection", "flatten",
    "slice", "or_expression", "multi_select_dict", "multi_select_list", "key_val_pair", "current",
})  # fmt: skip


def _can_select(node: Any) -> bool:
    try:
        _selects(node, "")
    except MappingWrong:
        return False
    return True


def _selects(node: Any, name: str) -> None:
    if node["type"] not in _SELECTING:
        raise MappingWrong(f"{name} computes something ({node['type']}); a part is taken out of the record as it stands")
    children = node["children"]
    for child in children[:2] if node["type"] == "filter_projection" else children:
        if isinstance(child, dict):
            _selects(child, name)


def _select(node: Any, at: Chosen) -> Chosen:
    """What an expression selects, with its place in the record (JMESPath's own rules, on values that know where they stand)."""
    kind, children = node["type"], node["children"]
    if kind in ("identity", "current"):
        return at
    if kind == "field":
        return at.get(node["value"]) if isinstance(at, Value | dict) else None
    if kind in ("subexpression", "index_expression"):
        for child in children:
            at = _select(child, at)
        return at
    if kind == "or_expression":
        first = _select(children[0], at)
        return first if first is not None else _select(children[1], at)
    if kind == "multi_select_dict":
        return None if at is None else {pair["value"]: _select(pair["children"][0], at) for pair in children}
    if kind == "multi_select_list":
        return None if at is None else [_select(child, at) for child in children]
    if kind == "value_projection":
        base = _select(children[0], at)
        items = list(base.members.values()) if isinstance(base, Value) and base.is_object else None
    else:
        items = _items(_select(children[0], at) if kind != "slice" and kind != "index" else at)
    if items is None:
        return None
    if kind == "index":
        return items[node["value"]] if -len(items) <= node["value"] < len(items) else None
    if kind == "slice":
        return items[slice(*children)]
    if kind == "flatten":
        return [inner for item in items for inner in (_items(item) if _items(item) is not None else [item])]  # type: ignore[union-attr]
    if kind == "filter_projection":
        items = [item for item in items if _holds(children[2], item)]
    found = [_select(children[1], item) for item in items]
    return [item for item in found if item is not None]


def _items(value: Chosen) -> list[Any] | None:
    if isinstance(value, Value):
        return [None if e.is_null else e for e in value.elements] if value.is_array else None
    return value if isinstance(value, list) else None


def _holds(condition: Any, item: Chosen) -> bool:
    found = TreeInterpreter().visit(condition, item.plain() if isinstance(item, Value) else None)
    return not (found in ("", [], {}, None) or found is False)


def _values(chosen: Chosen) -> list[Value]:
    if isinstance(chosen, Value):
        return [chosen]
    inner = chosen.values() if isinstance(chosen, dict) else chosen if isinstance(chosen, list) else ()
    return [value for one in inner for value in _values(one)]


def _cut_all(act: Act, part: str, chosen: Chosen, path: tuple[str | int, ...], used: set[int]) -> None:
    if isinstance(chosen, Value):
        if chosen.start in used:
            raise Wrong("the mapping takes one value twice")
        used.add(chosen.start)
        act.take(part, chosen, *path)
    elif isinstance(chosen, dict):
        for name, one in chosen.items():
            _cut_all(act, part, one, (*path, name), used)
    elif isinstance(chosen, list):
        for i, one in enumerate(one for one in chosen if one is not None):
            _cut_all(act, part, one, (*path, i), used)


def _leftover(act: Act, fields: Fields, used: set[int], rest: str) -> None:
    """Whatever nothing named, as deep as something inside it was named."""
    for name, value in fields.items():
        _left(act, name, value, used, rest)


def _left(act: Act, name: str, value: Value, used: set[int], rest: str) -> None:
    if value.start in used:
        return
    if any(value.start < start < value.end for start in used):
        inner = list(value.members.items()) if value.is_object else [(str(i), e) for i, e in enumerate(value.elements)]
        for deeper, one in inner:
            _left(act, f"{name}.{deeper}", one, used, rest)
    elif rest == "keep" or value.is_null:
        act.keep(value)
    elif not isinstance(act.trees.get(rest, {}), dict):
        # The part is one plain value: nothing can stand beside it.
        act.take("profile" if rest != "profile" else "text", value, name)
    else:
        act.take(rest, value, name)


def _word(found: Any) -> str | None:
    return None if found is None or found == "" else found if isinstance(found, str) else json.dumps(found)


def _language(name: str | None) -> str | None:
    text = json.dumps(name or "")
    return language(Value(text, 0, len(text)))
