"""What came through a hook piece by piece, put together for the system's own import: one task with all its annotations, one record
with all its responses."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing


def joined(records: Iterable[bytes], many: str) -> Iterator[bytes]:
    """A JSON array: records of one `id` are one, with the members of all their lists `many`; the rest is that of the first. Held in a
    file without a name, in the order of first arrival."""
    with closing(sqlite3.connect("")) as scratch:
        scratch.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-4000; CREATE TABLE record (n INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT)"
        )
        for data in records:
            if not data.strip():
                continue
            body = json.loads(data)
            own = json.dumps(body.get("id"))
            found = scratch.execute("SELECT n, body FROM record WHERE id = ?", (own,)).fetchone()
            if found is None:
                scratch.execute("INSERT INTO record (id, body) VALUES (?, ?)", (own, json.dumps(body)))
                continue
            before = json.loads(found[1])
            before[many] = [*(before.get(many) or []), *(body.get(many) or [])]
            scratch.execute("UPDATE record SET body = ? WHERE n = ?", (json.dumps(before), found[0]))
        lead = b"["
        for [text] in scratch.execute("SELECT body FROM record ORDER BY n"):
            yield lead + text.encode()
            lead = b",\n"
        yield (b"[]" if lead == b"[" else b"]") + b"\n"
