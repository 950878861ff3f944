"""What turns one text, or one list of lines, into another, for who reads both, in reading order: (`same`, `gone` or `new`, words). It is found
in a time that nobody can stretch: where too much of a text is another, all between the first and the last change is told as gone and new."""

import difflib
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeVar

Line = TypeVar("Line", bound=Hashable)
_MOST_COMPARED = 2_000_000
"""Steps that a comparison may take at the worst."""
_WORD = re.compile(r"\s+|[^\s]+")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?؟。])\s+|\n+")


def by_word(old: str, new: str) -> list[tuple[str, str]]:
    """With every space as it stands."""
    return list(_changes(_WORD.findall(old), _WORD.findall(new), ""))


def by_sentence(old: str, new: str) -> list[tuple[str, str]]:
    """Whole sentences, with a space between those of one part."""
    before, after = ([one for one in _BETWEEN_SENTENCES.split(text.strip()) if one] for text in (old, new))
    return list(_changes(before, after, " "))


def by_line(old: Sequence[Line], new: Sequence[Line]) -> list[tuple[str, Line]]:
    """Lines that are shown as they are, each by itself: what is told of terms and rules."""
    return [(kind, line) for kind, pieces in _parts(old, new) for line in pieces]


def _changes(a: list[str], b: list[str], between: str) -> Iterator[tuple[str, str]]:
    yield from ((kind, between.join(pieces)) for kind, pieces in _parts(a, b))


def _parts(a: Sequence[Line], b: Sequence[Line]) -> Iterator[tuple[str, Sequence[Line]]]:
    short = min(len(a), len(b))
    head = next((n for n in range(short) if a[n] != b[n]), short)
    tail = next((n for n in range(short - head) if a[-1 - n] != b[-1 - n]), short - head)
    before, after = a[head : len(a) - tail], b[head : len(b) - tail]
    parts: list[tuple[str, Sequence[Line]]] = [("same", a[:head])]
    if len(before) * len(after) * min(len(before), len(after)) > _MOST_COMPARED:
        parts += [("gone", before), ("new", after)]
    else:
        for what, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            parts += [("same", after[k:m])] if what == "equal" else [("gone", before[i:j]), ("new", after[k:m])]
    yield from ((kind, pieces) for kind, pieces in [*parts, ("same", a[len(a) - tail :])] if pieces)
