"""Cutting a record into contributions and a skeleton, and putting it together again.

The skeleton is the record's own characters with every part cut out, and every id of a person. A piece of it is either
shown always, or shown with a contribution, or taken from a contribution's part. So a release in the system's own shape
writes nothing anew: what is released in full comes out byte for byte, and what is not comes out as null.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from app.contributions.formats.draft import Draft, Refusal, Wrong
from app.contributions.formats.values import Value, part_value

Path = tuple[str | int, ...]
MOST_MODELS = 20
PARTS = ("text", "judgment", "context", "profile")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Irreversible(Exception):
    """The record would not come out as it went in."""


class Piece(NamedTuple):
    """A stretch of a record. `what`: `always` (`value` is shown), `with` (shown with any of `drafts`), `part` (`value` names
    the part, `path` the place in it), `full` (the same, where all parts are), `needs` (shows nothing: the part counts among
    all), `who` (the contributor's id), `never` (dropped when it was read)."""

    what: str
    value: str = ""
    drafts: tuple[int, ...] = ()
    path: Path = ()
    coding: str = "j"


@dataclass(frozen=True, slots=True)
class Row:
    """One released contribution, in the adapter's own form. A part that is not released is absent."""

    parts: Mapping[str, bytes]
    contributor: str | None = None
    kind: str = ""
    external_id: str = ""


@dataclass(slots=True)
class SourceRecord:
    """One record of a file: what it gives, and what is left of it."""

    where: str
    drafts: list[Draft]
    skeleton: tuple[Piece, ...]
    refused: list[Refusal] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """What was decided by default, by name: how often."""
    closing: bool = False
    """Whether it is no record, but what stands at the end of the file."""

    def rows(self) -> list[Row | None]:
        """Everything released, as if the drafts themselves were a release."""
        return [Row(d.parts, d.contributor, d.kind, d.external_id) for d in self.drafts]


class Act:
    """One contribution while it is being cut out."""

    def __init__(self, cutter: "Cutter", index: int, kind: str, external_id: str, parent: str | None) -> None:
        self._cutter = cutter
        self.index = index
        self.kind = kind
        self.external_id = external_id
        self.parent = parent
        self.language: str | None = None
        self.created_at: str | None = None
        self.contributor: str | None = None
        self.context_terms: dict[str, str] | None = None
        self.context_ref: str | None = None
        self.embargo: str | None = None
        self.consent: dict[str, Any] | None = None
        self.trees: dict[str, Any] = {}
        self.concluded: str | None = None
        self.models: dict[str, None] = {}
        self.own = self.group = ""

    def about(self, *values: Value | None) -> None:
        """Note the models that it is about: strings, lists of them, or strings that hold a list. Nothing is cut."""
        for value in values:
            if value is not None and value.is_array:
                self.about(*value.elements)
            elif value is not None and value.is_string:
                name = value.string() or ""
                try:
                    held = json.loads(name) if name.startswith("[") else [name]
                except (ValueError, RecursionError):
                    held = [name]
                self.named(*(one for one in held if isinstance(one, str)))

    def named(self, *models: str) -> None:
        """The same by name; what cannot be a model's name is left out."""
        for name in models:
            if 0 < len(name) <= 200 and name.isprintable() and len(self.models) < MOST_MODELS:
                self.models[name] = None

    def take(self, part: str, value: Value, *path: str | int) -> None:
        """Cut `value` out; it becomes the part, or stands in it at `path`."""
        self._cutter.share([self], part, value, *path)

    def plant(self, part: str, octets: bytes, *path: str | int) -> None:
        """Put into a part, at `path`, what stands nowhere in the record as a value: how it was arranged. Raises Irreversible."""
        _plant(self.trees, (part, *path), octets)

    def take_in_full(self, part: str, value: Value, *path: str | int) -> None:
        """The same for what would tell another part: written back only where all parts are released."""
        _plant(self.trees, (part, *path), value.octets)
        self._cutter.cut(value, Piece("full", part, (self.index,), path, value.coding))

    def take_around(self, value: Value, start: int, end: int, name: str) -> None:
        """Cut a string into the member `name` of `text` without the stretch from `start` to `end` (places in `value.shown`): the
        contributor's own id, which stands in the middle of it."""
        _plant(self.trees, ("text", name), (value.shown[:start] + value.shown[end:]).encode("utf-8"))
        self._cutter.cut(value, Piece("part", "text", (self.index,), (name,), f"@{start}"))

    def conclude(self, part: str, octets: bytes) -> None:
        """A part that stands nowhere in the record as a value, but follows from it."""
        self.trees[part] = octets
        self.concluded = part

    def keep(self, value: Value) -> None:
        """Cut `value` out; it is shown wherever this contribution is released in full."""
        self._cutter.keep([self], value)

    def who(self, value: Value | None) -> None:
        """The contributor's own id in the source: named here, cut out of the skeleton."""
        if value is None or value.is_null:
            return
        name = value.label()
        if name is None and value.is_string:
            self.keep(value)
            return
        if name is None:
            raise Wrong("the author's id must be a string or a number")
        self.contributor = name
        self._cutter.cut(value, Piece("who", drafts=(self.index,), coding=_coding_of_name(value, name)))

    def spread(self, members: Mapping[str, Value], roles: Mapping[str, str], rest: str = "text") -> None:
        """Cut every member by its role: a part's name (the member stands there under its own name; `=text` for the whole
        part), `keep`, `who`, `drop`, or `id` and `done` (left as it is). A member without a role has the role `rest`."""
        for name, value in members.items():
            role = roles.get(name, rest)
            if role in ("id", "done"):
                continue
            if role == "drop":
                self._cutter.drop(value, name)
            elif role == "who":
                self.who(value)
            elif role == "keep" or value.is_null:
                self.keep(value)
            elif role.startswith("="):
                self.take(role[1:], value)
            else:
                self.take(role, value, name)

    def draft(self) -> Draft:
        parts = {name: _compose(self.trees[name]) for name in PARTS if name in self.trees}
        return Draft(
            self.external_id, self.kind, self.parent, self.language, self.created_at, parts, self.context_terms,
            self.contributor, self.context_ref, self.embargo, self.consent, tuple(self.models), self.own, self.group,
        )  # fmt: skip


class Cutter:
    """One record being cut. `lead` and `tail` are what stands around it in its file."""

    def __init__(self, text: str, where: str, lead: str = "", tail: str = "") -> None:
        self.text = text
        self.where = where
        self.acts: list[Act] = []
        self.refused: list[Refusal] = []
        self.notes: Counter[str] = Counter()
        self._lead = lead
        self._tail = tail
        self._cuts: list[tuple[int, int, Piece]] = []

    def act(self, kind: str, external_id: str, parent: str | None = None) -> Act:
        act = Act(self, len(self.acts), kind, external_id, parent)
        self.acts.append(act)
        return act

    def share(self, acts: Sequence[Act], part: str, value: Value, *path: str | int) -> None:
        """Cut `value` out as (a place in) the same part of several contributions: whichever is released gives it back."""
        for act in acts:
            _plant(act.trees, (part, *path), value.octets)
        self.cut(value, Piece("part", part, tuple(a.index for a in acts), path, value.coding))

    def keep(self, acts: Sequence[Act], value: Value) -> None:
        """Cut `value` out; it is shown where one of `acts` is released in full. Where nobody acted it is dropped."""
        if not acts:
            self.drop(value, "what nobody contributed to")
            return
        self.cut(value, Piece("with", value.shown, tuple(a.index for a in acts), coding=value.coding))

    def drop(self, value: Value, name: str) -> None:
        """Cut `value` out for good; it is stored nowhere. What is empty tells nothing and stays."""
        if not value.is_null and value.shown not in ("[]", "{}", '""'):
            self.notes[f"dropped: {name}"] += 1
            self.cut(value, Piece("never", coding=value.coding))

    def cut(self, value: Value, piece: Piece) -> None:
        self._cuts.append((value.start, value.end, piece))

    def mark(self) -> tuple[int, int]:
        """Where the work stands, for `undo`."""
        return len(self.acts), len(self._cuts)

    def undo(self, mark: tuple[int, int]) -> None:
        """Forget acts and cuts made since."""
        del self.acts[mark[0] :], self._cuts[mark[1] :]

    def finish(self) -> SourceRecord:
        """The drafts and the skeleton. Raises Irreversible where putting them together would not give the record
        again."""
        self._cuts.sort(key=lambda c: c[0])
        pieces: list[Piece] = [Piece("always", self._lead)] if self._lead else []
        pieces += [Piece("needs", a.concluded, (a.index,)) for a in self.acts if a.concluded]
        dropped: list[str] = []
        at = 0
        for start, end, piece in self._cuts:
            if start < at:
                raise Irreversible
            if start > at:
                pieces.append(Piece("always", self.text[at:start]))
            pieces.append(piece)
            if piece.what == "never":
                dropped.append(self.text[start:end])
            at = end
        if self.text[at:] + self._tail:
            pieces.append(Piece("always", self.text[at:] + self._tail))
        record = SourceRecord(self.where, [a.draft() for a in self.acts], tuple(pieces), self.refused, self.notes)
        if _join(pieces, record.rows(), iter(dropped)) != self._lead + self.text + self._tail:
            raise Irreversible
        return record


def splice(skeleton: Iterable[Piece], rows: Sequence[Row | None]) -> bytes:
    """The record again, with the parts of `rows` (one a draft; None: withheld) in their places and null for what is not
    there. In CSV an empty cell stands for null."""
    return _join(skeleton, rows, iter(())).encode("utf-8")


def _join(skeleton: Iterable[Piece], rows: Sequence[Row | None], dropped: Any) -> str:
    read: dict[tuple[int, str], Value] = {}
    needed: dict[int, set[str]] = {}
    skeleton = list(skeleton)
    for piece in skeleton:
        if piece.what in ("part", "full", "needs"):
            for i in piece.drafts:
                needed.setdefault(i, set()).add(piece.value)
    # What goes with a contribution is shown only where all of its parts are.
    full = {i for i, row in enumerate(rows) if row is not None and needed.get(i, set()) <= set(row.parts)}
    out: list[str] = []
    for piece in skeleton:
        if piece.what == "always":
            out.append(piece.value)
        elif piece.what == "with":
            out.append(piece.value if any(i in full for i in piece.drafts) else _nothing(piece.coding))
        elif piece.what == "needs" or (piece.what == "full" and piece.drafts[0] not in full):
            out.append("" if piece.what == "needs" else _nothing(piece.coding))
        elif piece.what == "never":
            out.append(next(dropped, _nothing(piece.coding)))
        elif piece.what == "who":
            row = rows[piece.drafts[0]]
            name = row.contributor if row is not None else None
            out.append(_nothing(piece.coding) if name is None else _name(name, piece.coding))
        else:
            out.append(_from_part(piece, rows, read))
    return "".join(out)


def _from_part(piece: Piece, rows: Sequence[Row | None], read: dict[tuple[int, str], Value]) -> str:
    for i in piece.drafts:
        row = rows[i]
        if row is None or piece.value not in row.parts:
            continue
        key = (i, piece.value)
        if key not in read:
            read[key] = part_value(row.parts[piece.value])
        at: Value | None = read[key]
        for step in piece.path:
            if at is not None:
                at = at.members.get(step) if isinstance(step, str) else (at.elements[step : step + 1] or [None])[0]
        if at is not None and piece.coding.startswith("@"):
            place = int(piece.coding[1:])
            return at.shown[:place] + json.dumps(row.contributor or "")[1:-1] + at.shown[place:]
        if at is not None:
            return _coded(at, piece.coding)
    return _nothing(piece.coding)


def _coded(value: Value, coding: str) -> str:
    if coding == "j":
        return value.shown
    words = value.string() if value.is_string else value.shown
    return _cell(words or "", coding)


def _cell(words: str, coding: str) -> str:
    return '"' + words.replace('"', '""') + '"' if coding == "q" else words


def _nothing(coding: str) -> str:
    return "" if coding in ("b", "q") else "null"


def _coding_of_name(value: Value, name: str) -> str:
    """How the id is written: as a cell, a number, or one of the two usual ways to write a string."""
    if value.coding != "j":
        return value.coding
    if not value.is_string:
        return "n"
    for coding in ("a", "u"):
        if _name(name, coding) == value.shown:
            return coding
    raise Wrong("the author's id is written with escapes that are not needed")


def _name(name: str, coding: str) -> str:
    if coding in ("b", "q"):
        return _cell(name, coding)
    if coding == "n":
        return name if _NUMBER.fullmatch(name) else json.dumps(name)
    return json.dumps(name, ensure_ascii=coding == "a")


def _plant(tree: dict[str, Any], path: Path, octets: bytes) -> None:
    """Put `octets` at `path` of nested dicts and lists; list positions come in order. Raises Irreversible where something
    stands there, or in the way."""
    at: Any = tree
    for step, following in pairwise(path):
        fresh: Any = {} if isinstance(following, str) else []
        if isinstance(step, str) and isinstance(at, dict):
            at = at.setdefault(step, fresh)
        elif isinstance(step, int) and isinstance(at, list) and step <= len(at):
            if step == len(at):
                at.append(fresh)
            at = at[step]
        else:
            raise Irreversible
    last = path[-1]
    if isinstance(last, str) and isinstance(at, dict) and last not in at:
        at[last] = octets
    elif isinstance(last, int) and isinstance(at, list) and last == len(at):
        at.append(octets)
    else:
        raise Irreversible


def _compose(tree: Any) -> bytes:
    if isinstance(tree, bytes):
        return tree
    if isinstance(tree, dict):
        return b"{" + b",".join(json.dumps(name).encode() + b":" + _compose(v) for name, v in tree.items()) + b"}"
    return b"[" + b",".join(_compose(v) for v in tree) + b"]"


def dump_skeleton(skeleton: Iterable[Piece]) -> bytes:
    """A skeleton as JSON, to be kept."""
    return json.dumps([list(p) for p in skeleton], ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def load_skeleton(data: bytes) -> tuple[Piece, ...]:
    """The inverse of `dump_skeleton`."""
    return tuple(Piece(what, value, tuple(drafts), tuple(path), coding) for what, value, drafts, path, coding in json.loads(data))
