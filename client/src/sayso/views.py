"""Views: the rows of a release in the shapes that labs train and evaluate with.

A view is worked out of the rows that lie in a directory, whenever it is asked for, so that what was recalled is in none.
Nothing is left out silently. Each record that a view is about has a row; where it cannot be shown in the view's shape the row
says why in `left_out`, and where it was withheld the row is a tombstone, with `record_id` and `kind` alone. Records that a view
is not about are counted in its `Tally`. Every row has the ids of the records in it, their policies and their credits.

Rows are read one by one. What has to be joined (a thread, or what speaks against a record) waits in a nameless file that
SQLite deletes as it closes it: memory does not grow with the release, beyond one thread's path.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sayso import shapes, systems
from sayso.proofs import Failed

NAMES = ("generic", "messages", "preference-pairs", "battles", "trees", "sft", "kto", "openassistant", "fastchat", "avid", "records")
"""The last four are shapes of other systems (systems.py), the two before them of trainers."""
DISSENT = ("critique", "objection", "refusal")
"""Kinds that speak against another record."""
OF_PREFERENCES = ("battles", "preference-pairs", "sft", "kto", "fastchat")
"""Views of judgments: what speaks against them, and outcomes by group, are counted beside them."""
OUTCOMES = (shapes.A, shapes.B, shapes.TIE, shapes.BOTH_BAD, "unread")
WITHHELD = "withheld"
_DIALOGUES = ("conversation", "red_team_report")
_OF_SYSTEMS = ("fastchat", "avid", "records")
_TERMS = ("language", "platform", "policies", "attribution", "credit", "link")
Row = dict[str, Any]
Rows = Callable[[], Iterable[Row]]


@dataclass
class Tally:
    """What a view says beside its rows, complete once they are read.

    `rows` of the view; `records` and `tombstones` of the release; `left_out` those with a row that says why, and `not_shown` those
    of kinds that the view is not about. `against` is by kind what speaks against records, and `withheld` how much of it stands as
    tombstones alone. Views of preferences alone have the rest: `contested`, how many judged items something speaks against,
    `outcomes`, and `groups`, the same by group: those that the manifest names, each of ten people or more, and the rest together.
    """

    view: str
    rows: int = 0
    records: int = 0
    tombstones: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    not_shown: Counter[str] = field(default_factory=Counter)
    against: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    contested: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    groups: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As the file beside a view says it: kinds of dissent are there with 0 too."""
        said = {name: (dict(sorted(value.items())) if isinstance(value, Counter) else value) for name, value in vars(self).items()}
        for name in ("against", "withheld"):
            said[name] = {kind: getattr(self, name)[kind] for kind in DISSENT}
        if self.view not in OF_PREFERENCES:
            del said["contested"], said["outcomes"], said["groups"]
        return said


def project(rows: Rows, name: str, groups: Iterable[dict[str, Any]] = ()) -> tuple[Iterator[Row], Tally]:
    """The rows of a view, and what it says of them once they were read. `rows` gives the release's rows in the order of record
    ids, each time anew; `groups` are those of its manifest. Raises Failed for a view that there is not, and for threads that
    go in a circle."""
    if name not in NAMES:
        raise Failed(f"there is no view of that name: take one of {', '.join(NAMES)}")
    tally = Tally(name, groups=[{**group, "outcomes": dict.fromkeys(OUTCOMES, 0)} for group in _told(groups)])
    made = _MADE[name]
    return _counted(made(rows, tally), tally), tally


def _told(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    known = [{name: group.get(name) for name in ("platform", "language", "kind")} for group in groups]
    return [*known, {"other": True}]


def _counted(made: Iterator[Row], tally: Tally) -> Iterator[Row]:
    for row in made:
        tally.rows += 1
        # In shapes of systems the names at the top are theirs, and may be any contributor's words.
        why = row["sayso"]["left_out"] if tally.view in _OF_SYSTEMS else row.get("left_out")
        if why:
            tally.left_out[why] += 1
        yield row


def _seen(rows: Rows, tally: Tally) -> Iterator[Row]:
    """The release's rows, counted."""
    for row in rows():
        stone, kind = row.get("tombstone") is True, str(row.get("kind"))
        if stone:
            tally.tombstones += 1
        else:
            tally.records += 1
        if kind in DISSENT:
            tally.against[kind] += 1
            tally.withheld[kind] += stone
        yield row


def _head(row: Row) -> Row:
    """What every row of a view says: which record it is, and under which terms."""
    stone = row.get("tombstone") is True
    head: Row = {"record_id": row["record_id"], "kind": row.get("kind"), "parent": row.get("parent")}
    return head | {name: row.get(name) for name in _TERMS} | {"tombstone": stone, "left_out": WITHHELD if stone else None}


# -- one record, one row ------------------------------------------------------------------------------------------------
def _generic(rows: Rows, tally: Tally) -> Iterator[Row]:
    yield from _seen(rows, tally)


def _of_kind(rows: Rows, tally: Tally, kind: str) -> Iterator[Row]:
    """The rows of one kind; the others are counted."""
    for row in _seen(rows, tally):
        if row.get("kind") == kind:
            yield row
        else:
            tally.not_shown[str(row.get("kind"))] += 1


def _pairs(rows: Rows, tally: Tally) -> Iterator[Row]:
    for row, _ in _judged(rows, tally):
        made = _head(row) | {"prompt": None, "chosen": None, "rejected": None}
        if not made["tombstone"]:
            won = shapes.winner(shapes.opened(row, "judgment"))
            _count(tally, row, won)
            made |= _pair(row, won)
        yield made


def _pair(row: Row, won: str | None) -> Row:
    if row.get("judgment") is None:
        return {"left_out": "judgment-withheld"}
    found = shapes.compared(won, shapes.opened(row, "text"), shapes.opened(row, "context"))
    return {"left_out": found} if isinstance(found, str) else dict(zip(("prompt", "chosen", "rejected"), found, strict=True))


def _count(tally: Tally, row: Row, won: str | None) -> None:
    outcome = won or "unread"
    tally.outcomes[outcome] += 1
    mine = {name: row.get(name) for name in ("platform", "language", "kind")}
    group = next((one for one in tally.groups[:-1] if all(one[name] == mine[name] for name in mine)), tally.groups[-1])
    group["outcomes"][outcome] += 1


def _scratch() -> sqlite3.Connection:
    """A database in a file without a name: what it holds is on the disk beyond 16 MB, and gone when it is closed."""
    # A generator may be read by another thread than the one that began it, though never by two at once.
    scratch = sqlite3.connect("", check_same_thread=False)
    for setting in ("cache_size = -16000", "journal_mode = OFF", "synchronous = OFF"):
        scratch.execute(f"PRAGMA {setting}")
    return scratch


# -- joined -------------------------------------------------------------------------------------------------------------
def _judged(rows: Rows, tally: Tally) -> Iterator[tuple[Row, list[str]]]:
    """Each preference with the ids of what speaks against it or the item that it judges; how many such items there are is in the
    tally once all were read."""
    with closing(_scratch()) as scratch:
        scratch.execute("CREATE TABLE against (item TEXT, record TEXT, PRIMARY KEY (item, record)) WITHOUT ROWID")
        scratch.execute("CREATE TABLE contested (item TEXT PRIMARY KEY) WITHOUT ROWID")
        speaking = ((row["parent"], row["record_id"]) for row in rows() if row.get("kind") in DISSENT and row.get("parent"))
        scratch.executemany("INSERT OR IGNORE INTO against VALUES (?, ?)", speaking)
        for row in _of_kind(rows, tally, "preference"):
            found = scratch.execute(
                "SELECT item, record FROM against WHERE item IN (?, ?) ORDER BY record", (row["record_id"], row.get("parent"))
            ).fetchall()
            scratch.executemany("INSERT OR IGNORE INTO contested VALUES (?)", [(item,) for item, _ in found])
            yield row, [record for _, record in found]
        [[tally.contested]] = scratch.execute("SELECT count(*) FROM contested")


def _battles(rows: Rows, tally: Tally) -> Iterator[Row]:
    for row, against in _judged(rows, tally):
        yield _battle(row, tally) | {"contested": bool(against), "against": against}


def _battle(row: Row, tally: Tally) -> Row:
    made = _head(row) | {"winner": None, "model_a": None, "model_b": None, "conversation_a": None, "conversation_b": None, "judgment": None}
    if made["tombstone"]:
        return made
    text, context = shapes.opened(row, "text"), shapes.opened(row, "context")
    won = shapes.winner(shapes.opened(row, "judgment"))
    _count(tally, row, won)
    if row.get("judgment") is None:
        made["left_out"] = "judgment-withheld"
    made["model_a"], made["model_b"] = shapes.models(context)
    sides = {f"conversation_{which}": shapes.side(which, text, context) for which in (shapes.A, shapes.B)}
    return made | {"winner": won, "judgment": row.get("judgment")} | sides


def _trees(rows: Rows, tally: Tally) -> Iterator[Row]:
    with closing(_scratch()) as scratch:
        for path in _Threads(scratch, ((row, True) for row in _seen(rows, tally))).walk():
            row = path[-1]
            said = {"tree": path[0]["record_id"], "depth": len(path) - 1, "parent": path[-2]["record_id"] if len(path) > 1 else None}
            role, content = shapes.words(row)
            yield _head(row) | said | {"role": role, "content": content, "text": row.get("text"), "judgment": row.get("judgment")}


def _openassistant(rows: Rows, tally: Tally) -> Iterator[Row]:
    def counted(paths: Iterator[list[Row]]) -> Iterator[list[Row]]:
        for path in paths:
            tally.left_out[WITHHELD] += path[-1].get("tombstone") is True
            yield path

    with closing(_scratch()) as scratch:
        yield from systems.trees(counted(_Threads(scratch, _sorted_out(rows, tally, alone=())).walk()))


def _messages(rows: Rows, tally: Tally) -> Iterator[Row]:
    with closing(_scratch()) as scratch:
        for row in (threads := _Threads(scratch, _sorted_out(rows, tally))).others:
            told = shapes.conversation(row)
            yield _head(row) | _thread([row["record_id"]], told, None if told else WITHHELD if row.get("tombstone") is True else "no-dialogue")
        for path in threads.walk():
            if threads.is_answered(path[-1]["record_id"]):
                continue
            ids = [row["record_id"] for row in path]
            said = [dict(zip(("role", "content"), shapes.words(row), strict=True)) for row in path]
            empty = all(one["content"] is None for one in said)
            made = _head(path[-1]) | _thread(ids, None if empty else said, WITHHELD if empty else None)
            made["policies"] = sorted({digest for row in path for digest in row.get("policies") or ()})
            made["credits"] = sorted({row["credit"] for row in path if row.get("credit")})
            made["withheld"] = [one for one, row in zip(ids, said, strict=True) if row["content"] is None]
            yield made


def _thread(ids: list[str], told: Any, left_out: str | None) -> Row:
    return {"messages": told, "records": ids, "withheld": [] if told else ids, "credits": [], "left_out": left_out}


def _sorted_out(rows: Rows, tally: Tally, alone: tuple[str, ...] = _DIALOGUES) -> Iterator[tuple[Row, bool]]:
    """Messages for threads; kinds that are a row `alone`; the rest is counted."""
    for row in _seen(rows, tally):
        kind = row.get("kind")
        if kind != "message" and kind not in alone:
            tally.not_shown[str(kind)] += 1
        yield row, kind == "message"


class _Threads:
    """Rows in the order of their threads, kept in a file without a name. Of rows that are no part of threads (`False` beside
    them) it knows that they are there, and gives the dialogues among them once, as `others`."""

    def __init__(self, scratch: sqlite3.Connection, rows: Iterable[tuple[Row, bool]]) -> None:
        self._scratch = scratch
        scratch.execute("CREATE TABLE node (record TEXT PRIMARY KEY, above TEXT, body TEXT) WITHOUT ROWID")
        scratch.execute("CREATE TABLE other (record TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")
        for row, threaded in rows:
            if threaded:
                scratch.execute("INSERT INTO node VALUES (?, ?, ?)", (row["record_id"], row.get("parent"), json.dumps(row)))
            else:
                body = json.dumps(row) if row.get("kind") in _DIALOGUES else None
                scratch.execute("INSERT INTO other VALUES (?, ?)", (row["record_id"], body))
        scratch.execute("UPDATE node SET above = NULL WHERE above IN (SELECT record FROM other)")
        # A parent that is not here any more, since it was recalled, keeps its place all the same.
        scratch.execute("INSERT OR IGNORE INTO node SELECT DISTINCT above, NULL, NULL FROM node WHERE above IS NOT NULL")
        scratch.execute("CREATE INDEX below ON node (above, record)")

    @property
    def others(self) -> Iterator[Row]:
        """The dialogues, by record id."""
        for [body] in self._scratch.execute("SELECT body FROM other WHERE body IS NOT NULL ORDER BY record"):
            yield json.loads(body)

    def walk(self) -> Iterator[list[Row]]:
        """The path to each row from its root, parents before their children and these by their ids. The list is used again.
        Raises Failed for replies in a circle."""
        seen, root = 0, ""
        while top := self._next("above IS NULL AND record > ?", root):
            root = top["record_id"]
            path, after = [top], [""]
            seen += 1
            yield path
            while path:
                child = self._next("above = ? AND record > ?", path[-1]["record_id"], after[-1])
                if child is None:
                    path.pop()
                    after.pop()
                    continue
                after[-1] = child["record_id"]
                path.append(child)
                after.append("")
                seen += 1
                yield path
        if seen != self._scratch.execute("SELECT count(*) FROM node").fetchone()[0]:
            raise Failed("replies go in a circle")

    def _next(self, where: str, *values: str) -> Row | None:
        query = f"SELECT record, body FROM node WHERE {where} ORDER BY record LIMIT 1"  # noqa: S608  # one of two texts above
        found = self._scratch.execute(query, values).fetchone()
        if found is None:
            return None
        row: Row = {"record_id": found[0], "kind": None, "tombstone": True} if found[1] is None else json.loads(found[1])
        return row

    def is_answered(self, record: str) -> bool:
        """Whether anything in the threads answers a record."""
        return self._scratch.execute("SELECT 1 FROM node WHERE above = ? LIMIT 1", (record,)).fetchone() is not None


_MADE: dict[str, Callable[[Rows, Tally], Iterator[Row]]] = {
    "generic": _generic, "messages": _messages, "preference-pairs": _pairs, "battles": _battles, "trees": _trees,
    "sft": lambda rows, tally: systems.sft_rows(_pairs(rows, tally)), "kto": lambda rows, tally: systems.kto_rows(_pairs(rows, tally)),
    "openassistant": _openassistant, "fastchat": lambda rows, tally: systems.battles(_battles(rows, tally)),
    "avid": lambda rows, tally: systems.reports(_of_kind(rows, tally, "vulnerability_report")),
    "records": lambda rows, tally: systems.records(_seen(rows, tally)),
}  # fmt: skip
