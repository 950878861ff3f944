"""From a file's bytes to its records: lines, elements of an array, CSV rows, or the file as a whole. Memory is bounded.

Every byte of the file stands in exactly one record or around it, so that the records put together are the file.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.contributions.formats.draft import Refusal
from app.contributions.formats.unpacking import Source, Unreadable

MOST = 32 << 20
"""Bytes of one line, element or row."""
MOST_WHOLE = 64 << 20
"""Bytes of a file that is one record."""
_PEEK = 1 << 18
_TOO_LONG = Refusal("", "source_too_long", f"One record is longer than {MOST >> 20} MB; leave it out or split it.")
_WHITE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_OUTSIDE = re.compile(rb'[^"\[\]{},]*')
# As far as some hundred repetitions at a time, so that little is kept to go back to. Possessive groups keep nothing, and match less than they
# should before Python 3.11.5 (CPython gh-106052).
_INSIDE = re.compile(rb'(?:[^"\[\]{}]+|"[^"\\]*(?:\\.[^"\\]*){0,200}"){0,200}', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*){0,400}', re.DOTALL)


@dataclass(slots=True)
class Raw:
    """One record's bytes and where it stands. `lead` and `tail` are the bytes around it that belong to no other."""

    where: str
    at: int
    """Its number in the file, from 1."""
    data: bytes
    lead: bytes = b""
    tail: bytes = b""
    header: tuple[str, ...] | None = None
    """Column names, where it is a CSV row."""


class Buffer:
    """The content of a source, to be looked at before it is taken."""

    def __init__(self, source: Source) -> None:
        self._pieces = source.pieces()
        self.data = bytearray()
        self.ended = False

    def more(self) -> bool:
        """Read on. False at the end."""
        if not self.ended:
            piece = next(self._pieces, None)
            if piece is None:
                self.ended = True
            else:
                self.data += piece
        return not self.ended

    def fill(self, size: int) -> None:
        while len(self.data) < size and self.more():
            pass

    def take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken


def records(source: Source, *, whole: bool = False, csv: bool = False) -> Iterator[Raw | Refusal]:
    """The records of a source, in order, with refusals of what cannot be read in between.

    An array gives its elements, lines give lines. `whole` is for systems whose file is one object; lines of objects are still
    told from it. A last Raw without data holds what stands at the end of the file.
    """
    buffer = Buffer(source)
    try:
        buffer.fill(_PEEK)
        if bytes(buffer.data[:4]).startswith(_WIDE) or b"\x00" in buffer.data[:4]:
            yield Refusal(source.name, "text_not_utf8", "Convert the file to UTF-8.")
            return
        lead = buffer.take(3) if buffer.data.startswith(_BOM) else b""
        while not buffer.data.strip(_WHITE) and buffer.more():
            if len(buffer.data) > MOST:
                yield Refusal(source.name, "source_too_long", "The file begins with more white space than any file needs.")
                return
        if csv:
            yield from _rows(buffer, lead)
        elif buffer.data.lstrip(_WHITE).startswith(b"["):
            yield from _elements(buffer, lead)
        elif whole and not _of_lines(buffer):
            yield from _one(buffer, lead, source.name)
        else:
            yield from _lines(buffer, lead)
    except Unreadable as error:
        yield error.refusal


def _of_lines(buffer: Buffer) -> bool:
    """Whether what is at hand looks like one object a line."""
    head = bytes(buffer.data[:_PEEK])
    complete = head.split(b"\n")[: None if buffer.ended else -1]
    objects = 0
    for line in complete:
        if line.startswith(b"{") and line.rstrip().endswith(b"}"):
            try:
                json.loads(line)
            except (ValueError, RecursionError):
                continue
            objects += 1
    return objects > 1 or (objects == 1 and len([line for line in complete if line.strip()]) > 1)


def _one(buffer: Buffer, lead: bytes, name: str) -> Iterator[Raw | Refusal]:
    buffer.fill(MOST_WHOLE + 1)
    if len(buffer.data) > MOST_WHOLE:
        yield Refusal(name, "source_too_long", f"One object is longer than {MOST_WHOLE >> 20} MB; export it as lines or in pieces.")
        return
    data = buffer.take(len(buffer.data))
    yield _trimmed("record 1", 1, data, lead, b"")


def _trimmed(where: str, at: int, data: bytes, lead: bytes, tail: bytes, header: tuple[str, ...] | None = None) -> Raw:
    bare = data.strip(_WHITE)
    start = data.find(bare) if bare else len(data)
    return Raw(where, at, bare, lead + data[:start], data[start + len(bare) :] + tail, header)


def _lines(buffer: Buffer, lead: bytes) -> Iterator[Raw | Refusal]:
    # Split at LF only: U+2028 may stand inside a JSON string.
    number, found, blank = 0, 0, bytearray(lead)
    while True:
        number += 1
        line = _line(buffer)
        if line is None:
            yield Refusal(f"line {number}", _TOO_LONG.code, _TOO_LONG.detail)
            continue
        if not line:
            break
        if not line.strip(_WHITE):
            blank += line
            continue
        found += 1
        yield _trimmed(f"line {number}", found, line, bytes(blank), b"")
        blank.clear()
    if blank:
        yield Raw(f"line {number}", found + 1, b"", bytes(blank))


def _line(buffer: Buffer) -> bytes | None:
    """The next line with its LF; empty at the end; None where it was too long and was passed over."""
    seen = 0
    while (end := buffer.data.find(b"\n", seen)) < 0:
        seen = len(buffer.data)
        if seen > MOST:
            _pass_line(buffer)
            return None
        if not buffer.more():
            return buffer.take(len(buffer.data))
    if end > MOST:
        buffer.take(end + 1)
        return None
    return buffer.take(end + 1)


def _pass_line(buffer: Buffer) -> None:
    while (end := buffer.data.find(b"\n")) < 0:
        buffer.data.clear()
        if not buffer.more():
            return
    buffer.take(end + 1)


def _elements(buffer: Buffer, lead: bytes) -> Iterator[Raw | Refusal]:
    """Elements of the array that the file is. Only strings and brackets are looked at here, at any depth."""
    lead += buffer.take(buffer.data.index(b"[") + 1)
    found = 0
    while True:
        found += 1
        data, mark = _element(buffer)
        if data is None:
            yield Refusal(f"item {found}", _TOO_LONG.code, _TOO_LONG.detail)
        elif data.strip(_WHITE):
            yield _trimmed(f"item {found}", found, data, lead, b"")
            lead = b""
        else:
            lead += data
            if mark == b"," or found > 1:
                yield Refusal(f"item {found}", "json_invalid", "Nothing stands between two commas.")
        lead += mark
        if mark != b",":
            break
    if not mark:
        yield Refusal(f"item {found}", "json_invalid", "The array is not closed: the file was cut short.")
        return
    buffer.fill(MOST)
    rest = buffer.take(len(buffer.data))
    if rest.strip(_WHITE) or not buffer.ended:
        yield Refusal(f"item {found}", "json_invalid", "Something stands after the end of the array.")
        return
    yield Raw("end", found + 1, b"", lead + rest)


def _element(buffer: Buffer) -> tuple[bytes | None, bytes]:
    """Up to the comma or bracket that ends it, and that; nothing instead of it where the file ends."""
    at, depth, in_string, keeping = 0, 0, False, True
    data = buffer.data
    while True:
        passed, stops = (_IN_STRING, b'"') if in_string else (_INSIDE, b'"[]{}') if depth else (_OUTSIDE, b'"[]{},')
        at = passed.match(data, at).end()  # type: ignore[union-attr]
        if at > MOST or (not keeping and at > _PEEK):
            # Too long: walked through, not kept.
            keeping = False
            del data[:at]
            at = 0
        mark = data[at : at + 1]
        if not mark or (in_string and mark == b"\\" and at + 1 == len(data)):
            if not buffer.more():
                rest = buffer.take(len(data))
                return (rest if keeping else None), b""
            continue
        if mark not in stops:
            continue  # there was more than is looked at in one go
        at += 1
        if in_string or mark == b'"':
            in_string = not in_string
        elif mark in b"[{":
            depth += 1
        elif depth:
            depth -= 1  # a bracket that closes: inside, commas are passed over
        elif mark != b"}":
            element = buffer.take(at)
            return (element[:-1] if keeping else None), bytes(mark)


def _rows(buffer: Buffer, lead: bytes) -> Iterator[Raw | Refusal]:
    """Rows of a CSV file (RFC 4180), whose first one names the columns."""
    number, found, header = 1, 0, None
    while True:
        start, row, quotes, bad = number, bytearray(), 0, False
        while True:
            line = _line(buffer)
            number += 1
            if line is None or len(row) + len(line) > MOST:
                bad = True
                break
            row += line
            quotes += line.count(b'"')
            # Inside quotes as long as their number is odd.
            if not line or quotes % 2 == 0:
                break
        if bad:
            yield Refusal(f"row {start}", _TOO_LONG.code, _TOO_LONG.detail)
            continue
        if not row:
            break
        bare = bytes(row.rstrip(b"\r\n"))
        if not bare:
            lead += bytes(row)
        elif header is None:
            try:
                header = tuple(cell_words(bare.decode("utf-8")))
            except (UnicodeDecodeError, ValueError):
                yield Refusal(f"row {start}", "csv_invalid", "The row of column names is not UTF-8 or not CSV.")
                return
            lead += bytes(row)
        else:
            found += 1
            yield Raw(f"row {start}", found, bare, lead, bytes(row[len(bare) :]), header)
            lead = b""
    if lead:
        yield Raw(f"row {number}", found + 1, b"", lead)


_BARE_CELL = re.compile(r'[^,"\r\n][^,\r\n]*|')


def cell_places(row: str) -> list[tuple[int, int]]:
    """Where the cells of a row stand. Raises ValueError where a quote is not closed or something follows it."""
    found, at = [], 0
    while True:
        start, at = at, _past_quoted(row, at) if row.startswith('"', at) else _BARE_CELL.match(row, at).end()  # type: ignore[union-attr]
        found.append((start, at))
        if at == len(row):
            return found
        if row[at] != ",":
            raise ValueError("not CSV")
        at += 1


def _past_quoted(row: str, at: int) -> int:
    """Where the cell ends that begins with a quote at `at`. Not by a pattern: that would keep as much as the cell has quotes."""
    at += 1
    while (quote := row.find('"', at)) >= 0:
        if not row.startswith('"', quote + 1):
            return quote + 1
        at = quote + 2
    raise ValueError("not CSV")


def cell_words(row: str) -> list[str]:
    """The cells of a row, without quotes."""
    cells = [row[start:end] for start, end in cell_places(row)]
    return [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in cells]
