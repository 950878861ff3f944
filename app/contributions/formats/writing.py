"""Writers: released rows and skeletons in, the bytes of a file in the system's own shape out. Pure; a release is wired to
them by who calls.

A record whose contributions are all withheld leaves a tombstone: its skeleton with null (in CSV: nothing) for every part,
every id of a person and everything that goes with a contribution. What is about no single one of them stays, so that
replies, votes and reviews keep their place.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import orjson

from app.contributions.formats.cutting import Piece, Row, splice
from app.contributions.formats.values import Value, part_value

Released = tuple[tuple[Piece, ...], Sequence[Row | None]]
"""A record's skeleton, and one row a draft of it (None: withheld)."""


class Writer(Protocol):
    """Writes a release in one shape."""

    def write(self, records: Iterable[Released]) -> Iterator[bytes]: ...


@runtime_checkable
class Telling(Protocol):
    """Does not write records, but tells which contributions in one are gone: those that were to be had once and are not any more."""

    def tell(self, skeleton: tuple[Piece, ...], gone: Sequence[bool], now: datetime) -> Iterator[bytes]: ...


class Spliced:
    """The file as it was, with what is not released cut out."""

    def write(self, records: Iterable[Released]) -> Iterator[bytes]:
        """The pieces of the file, in order."""
        for skeleton, rows in records:
            yield splice(skeleton, rows)


class Lines:
    """JSON Lines in a shape for training, made by `shape(row)`: an object, several, or None for a row that gives no line."""

    def __init__(self, shape: Any) -> None:
        self._shape = shape

    def write(self, records: Iterable[Released]) -> Iterator[bytes]:
        """Lines with their LF."""
        for _, rows in records:
            for row in rows:
                made = None if row is None else self._shape(row)
                for one in [] if made is None else made if isinstance(made, list) else [made]:
                    yield orjson.dumps(one) + b"\n"


def opened(row: Row, part: str) -> Any:
    """A part of a row as Python reads it; None where it is not released."""
    data = row.parts.get(part)
    return None if data is None else value_of(part_value(data))


def value_of(value: Value) -> Any:
    """As Python reads it, numbers too long for a 64-bit integer as their digits: training shapes are not the record."""
    if value.is_object:
        return {name: value_of(v) for name, v in value.members.items()}
    if value.is_array:
        return [value_of(v) for v in value.elements]
    found = value.plain()
    return value.shown if isinstance(found, int) and not -(2**63) <= found < 2**63 else found
