"""A Polis export (comments.csv, votes.csv) as a deliberation, and a deliberation as such an export.

The export counts every row of votes.csv, also where somebody voted again, and so do the totals here. Columns by name; `agrees`,
`disagrees` and `datetime` are worked out and not read.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from app.core.thread import MOST_STATEMENTS, Totals

COMMENT_COLUMNS = ("timestamp", "datetime", "comment-id", "author-id", "agrees", "disagrees", "moderated", "comment-body")
VOTE_COLUMNS = ("timestamp", "datetime", "comment-id", "voter-id", "vote")
LONGEST = 1_000
"""Characters of one statement."""
MOST_VOTES = 200_000
_LATEST = 253_402_300_799_999
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class PolisError(ValueError):
    """It is no such export; the message says what to look at, and repeats nothing of it."""


class Vote(NamedTuple):
    """One row of votes.csv: milliseconds since the epoch, the comment's id, the voter's, and 1 (agree), 0 (pass) or -1."""

    at: int
    comment: int
    voter: int
    vote: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One row of comments.csv. `moderated`: 1 in, 0 not looked at, -1 out."""

    at: int
    number: int
    author: int
    moderated: int
    text: str


@dataclass(frozen=True)
class Deliberation:
    """Both files, in their order."""

    statements: tuple[Statement, ...] = ()
    votes: tuple[Vote, ...] = ()
    totals: dict[int, Totals] = field(default_factory=dict)
    """By the comment's id."""


def parse(comments: str, votes: str) -> Deliberation:
    """Raises PolisError."""
    statements = tuple(
        Statement(
            _whole(row, "timestamp", 0, _LATEST), _whole(row, "comment-id", 0), _whole(row, "author-id", 0), _whole(row, "moderated", -1, 1),
            _text(row),
        )
        for row in _rows(comments, "comments", ("timestamp", "comment-id", "author-id", "moderated", "comment-body"), MOST_STATEMENTS)
    )  # fmt: skip
    known = {one.number for one in statements}
    if len(known) < len(statements):
        raise PolisError("every row of comments has a comment-id of its own")
    cast = tuple(
        Vote(_whole(row, "timestamp", 0, _LATEST), _whole(row, "comment-id", 0), _whole(row, "voter-id", 0), _whole(row, "vote", -1, 1))
        for row in _rows(votes, "votes", ("timestamp", "comment-id", "voter-id", "vote"), MOST_VOTES)
    )
    if any(one.comment not in known for one in cast):
        raise PolisError("every row of votes is about a comment-id of comments")
    return Deliberation(statements, cast, totals(cast, known))


def totals(votes: Iterable[Vote], known: Iterable[int]) -> dict[int, Totals]:
    """Comment's id -> how many rows agree, disagree and pass."""
    counted = Counter((one.comment, one.vote) for one in votes)
    return {number: Totals(counted[number, 1], counted[number, -1], counted[number, 0]) for number in known}


def write(statements: Sequence[Statement], votes: Sequence[Vote]) -> tuple[str, str]:
    """comments.csv and votes.csv, times in UTC."""
    found = totals(votes, [one.number for one in statements])
    comments = (
        (s.at, _told(s.at), s.number, s.author, found[s.number].agree, found[s.number].disagree, s.moderated, s.text) for s in statements
    )
    return _csv(COMMENT_COLUMNS, comments), _csv(VOTE_COLUMNS, ((v.at, _told(v.at), v.comment, v.voter, v.vote) for v in votes))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _rows(text: str, name: str, columns: Sequence[str], most: int) -> Iterator[dict[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) < len(header) or not set(columns) <= set(header):
            raise PolisError(f"the first row of {name} names each column once, {', '.join(columns)} among them")
        for n, row in enumerate(reader):
            if n == most:
                raise PolisError(f"{name} has at most {most} rows")
            if len(row) != len(header):
                raise PolisError(f"every row of {name} has as many cells as there are columns")
            yield dict(zip(header, row, strict=True))
    except csv.Error:
        raise PolisError(f"{name} is CSV as RFC 4180 has it") from None


def _whole(row: dict[str, str], name: str, least: int, most: int = 10**15) -> int:
    if not _WHOLE.fullmatch(row[name]) or not least <= int(row[name]) <= most:
        raise PolisError(f"{name} is a whole number from {least} to {most}")
    return int(row[name])


def _text(row: dict[str, str]) -> str:
    text = row["comment-body"]
    if not 0 < len(text) <= LONGEST:
        raise PolisError(f"a comment-body has 1 to {LONGEST} characters")
    return text


def _told(at: int) -> str:
    when = datetime.fromtimestamp(at // 1000, UTC)
    return f"{_DAYS[when.weekday()]} {_MONTHS[when.month - 1]} {when:%d %H:%M:%S} UTC {when.year}"
