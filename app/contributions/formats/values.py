"""JSON values and CSV cells with the place they stand at in their record, so that parts are cut out and never rewritten.

A `Value` is lazy: members and elements are found when asked for, by the C scanner. The text must be known to be strict
JSON (core/strictjson.py), which `whole` sees to.
"""

import json
import re
from functools import cached_property
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import c_make_scanner  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Any

from app.contributions.formats.draft import Wrong
from app.core import strictjson

_past_white = re.compile(r"[ \t\n\r]*").match
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,200})")
_scan = c_make_scanner(
    SimpleNamespace(
        strict=True, object_hook=None, object_pairs_hook=lambda _: None, parse_int=str, parse_float=str, parse_constant=str
    )
)  # fmt: skip


class Value:
    """One value at `text[start:end]`."""

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.start = start
        self.end = end

    @property
    def shown(self) -> str:
        """The exact characters in the record."""
        return self.text[self.start : self.end]

    @property
    def octets(self) -> bytes:
        """The value as JSON: for a JSON value its exact octets."""
        return self.shown.encode("utf-8")

    @property
    def coding(self) -> str:
        """How `octets` become `shown` again: `j` for JSON as it is, `b` and `q` for a bare and a quoted CSV cell."""
        return "j"

    @property
    def is_null(self) -> bool:
        return self.text.startswith("null", self.start)

    @property
    def is_object(self) -> bool:
        return self.text.startswith("{", self.start)

    @property
    def is_array(self) -> bool:
        return self.text.startswith("[", self.start)

    @property
    def is_string(self) -> bool:
        return self.text.startswith('"', self.start)

    @cached_property
    def members(self) -> "dict[str, Value]":
        """Members of an object; empty for anything else."""
        found: dict[str, Value] = {}
        if not self.is_object:
            return found
        text, at = self.text, _past_white(self.text, self.start + 1).end()  # type: ignore[union-attr]
        while text[at] != "}":
            name, at = scanstring(text, at + 1, True)
            at = _past_white(text, _past_white(text, at).end() + 1).end()  # type: ignore[union-attr]
            end = _scan(text, at)[1]
            found[name] = Value(text, at, end)
            at = _past_white(text, end).end()  # type: ignore[union-attr]
            if text[at] == ",":
                at = _past_white(text, at + 1).end()  # type: ignore[union-attr]
        return found

    @cached_property
    def elements(self) -> "list[Value]":
        """Elements of an array; empty for anything else."""
        found: list[Value] = []
        if not self.is_array:
            return found
        text, at = self.text, _past_white(self.text, self.start + 1).end()  # type: ignore[union-attr]
        while text[at] != "]":
            end = _scan(text, at)[1]
            found.append(Value(text, at, end))
            at = _past_white(text, end).end()  # type: ignore[union-attr]
            if text[at] == ",":
                at = _past_white(text, at + 1).end()  # type: ignore[union-attr]
        return found

    def get(self, *path: str | int) -> "Value | None":
        """What stands at a path of names and positions; None where nothing or null does."""
        at: Value | None = self
        for step in path:
            if at is None:
                return None
            if isinstance(step, str):
                at = at.members.get(step)
            else:
                at = at.elements[step] if -len(at.elements) <= step < len(at.elements) else None
        return None if at is None or at.is_null else at

    def need(self, *path: str | int) -> "Value":
        """The same, where it must be. Raises Wrong."""
        found = self.get(*path)
        if found is None:
            raise Wrong(f"{'.'.join(map(str, path))} is missing")
        return found

    def string(self) -> str | None:
        """The text of a string; None for anything else."""
        return str(json.loads(self.shown)) if self.is_string else None

    def label(self) -> str | None:
        """The text of a string, or the digits of a number: the same field is one here and the other there."""
        if self.is_string:
            return str(json.loads(self.shown)) or None
        return self.shown if self.shown[0] in "-0123456789" else None

    def plain(self) -> Any:
        """The value as Python reads it."""
        return json.loads(self.octets, parse_int=_short_int)


class Cell(Value):
    """One cell of a CSV row (RFC 4180). As JSON it is a number where it looks like a whole one and is not quoted."""

    def __init__(self, text: str, start: int, end: int) -> None:
        super().__init__(text, start, end)
        quoted = text.startswith('"', start)
        self._quoted = quoted
        self._words = text[start + 1 : end - 1].replace('""', '"') if quoted else text[start:end]

    @property
    def octets(self) -> bytes:
        if not self._quoted and _INTEGER.fullmatch(self._words):
            return self._words.encode()
        return json.dumps(self._words, ensure_ascii=False).encode("utf-8")

    @property
    def coding(self) -> str:
        return "q" if self._quoted else "b"

    @property
    def is_null(self) -> bool:
        return not self._quoted and not self._words

    @property
    def is_object(self) -> bool:
        return False

    is_array = is_object

    @property
    def is_string(self) -> bool:
        return True

    def string(self) -> str | None:
        return self._words

    def label(self) -> str | None:
        return self._words or None


def whole(text: bytes) -> Value:
    """The one object in `text`. Raises StrictJSONError, or Wrong where it is no object."""
    if not text.lstrip(b" \t\r\n").startswith(b"{"):
        strictjson.elements(b"[" + text + b"]")
        raise Wrong("a record must be an object")
    strictjson.members(text)
    shown = text.decode("utf-8")
    return Value(shown, _past_white(shown).end(), len(shown.rstrip(" \t\n\r")))  # type: ignore[union-attr]


def part_value(octets: bytes) -> Value:
    """A value over the octets of a part."""
    shown = octets.decode("utf-8")
    return Value(shown, _past_white(shown).end(), len(shown.rstrip(" \t\n\r")))  # type: ignore[union-attr]


def _short_int(digits: str) -> Any:
    return int(digits) if len(digits) < 400 else digits
