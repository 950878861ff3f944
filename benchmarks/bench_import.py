"""Import of a file of another system's, against the bare parse and insert of the same file, each as a process of its own; and the most
memory that it takes, at two sizes.

`python -m benchmarks.bench_import --records 100000 --databases sqlite`
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_http import _WORDS, ROOT
from benchmarks.floors import plain_url
from benchmarks.measure import Outcome, _cli, backend, interleaved, paired

FLAT = 1.25
"""Aim: the memory of the large import over that of one of a tenth of its records."""

FLOOR = """
import json, sqlite3, sys
path, url = sys.argv[1:]
if url.startswith("postgresql"):
    import psycopg
    connection = psycopg.connect(url)
    connection.execute("CREATE TABLE IF NOT EXISTS bare (n bigint, line jsonb)")
    insert = lambda rows: connection.cursor().executemany("INSERT INTO bare VALUES (%s, %s)", rows)
else:
    connection = sqlite3.connect(url)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (n integer, line text)")
    insert = lambda rows: connection.executemany("INSERT INTO bare VALUES (?, ?)", rows)
rows = []
for n, line in enumerate(open(path, "rb")):
    json.loads(line)
    rows.append((n, line.decode()))
    if len(rows) == 500:
        insert(rows); connection.commit(); rows = []
insert(rows); connection.commit()
"""
"""A line parsed, and stored as it came; a transaction for five hundred, as durable as ours."""


def _words(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(_WORDS, k=n))


def _fastchat(rng: random.Random, n: int) -> Any:
    states = [
        {
            "template_name": "vicuna_v1.1", "system_message": "A chat.", "roles": ["USER", "ASSISTANT"],
            "messages": [["USER", _words(rng, 40)], ["ASSISTANT", _words(rng, 60)]], "offset": 0, "conv_id": f"c{n}{side}",
            "model_name": f"m-{side}", "has_csam_image": False,
        }
        for side in "ab"
    ]  # fmt: skip
    return {"tstamp": 1_700_000_000 + n, "type": "leftvote", "models": ["", ""], "states": states, "ip": "192.0.2.1"}


def _hh_rlhf(rng: random.Random, n: int) -> Any:
    asked = f"\n\nHuman: {_words(rng, 60)} {n}\n\nAssistant: "
    return {"chosen": asked + _words(rng, 70), "rejected": asked + _words(rng, 70)}


def _openassistant(rng: random.Random, n: int) -> Any:
    def message(at: int, role: str, replies: list[Any]) -> dict[str, Any]:
        return {
            "message_id": f"m{n}-{at}", "user_id": f"u{rng.randrange(1000)}", "created_date": "2023-02-05T14:23:50.983374+00:00",
            "text": _words(rng, 50), "role": role, "lang": "en", "review_count": 3, "review_result": True, "deleted": False, "rank": None,
            "synthetic": False, "model_name": None, "emojis": {}, "labels": {}, "detoxify": None, "replies": replies,
        }  # fmt: skip

    prompt = message(0, "prompter", [message(at, "assistant", []) for at in (1, 2, 3)])
    return {"message_tree_id": prompt["message_id"], "tree_state": "ready_for_export", "origin": None, "prompt": prompt}


def _sharelm(rng: random.Random, n: int) -> Any:
    said = [{"role": ("user", "assistant")[at % 2], "content": _words(rng, 40)} for at in range(6)]
    return {
        "conversation_id": f"s{n}", "conversation": said, "model_name": "meta-llama/Llama-3-8b", "user_id": f"sh-{rng.randrange(1000)}",
        "timestamp": "2024-05-01 10:00:00", "source": "https://chat.example", "user_metadata": {"location": "NL", "age": "30", "gender": None},
        "conversation_metadata": {"rate": "1", "language": "English"},
    }  # fmt: skip


SHAPES: dict[str, Callable[[random.Random, int], Any]] = {
    "fastchat": _fastchat, "hh-rlhf": _hh_rlhf, "openassistant": _openassistant, "sharelm": _sharelm,
}  # fmt: skip


@dataclass
class Ran:
    """A process that ended well: its seconds, start included, the most memory it held in MB, and what it printed."""

    seconds: float
    peak: float
    told: str


def _process(arguments: list[str], environment: dict[str, str]) -> Ran:
    began = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments[1:6]} ended with {process.returncode}: {told[-1000:]}")
    return Ran(seconds, used.ru_maxrss / 1024, told)


def _lines(name: str, run: str, count: int) -> Iterator[bytes]:
    """So many records' worth of lines that no other run has."""
    rng = random.Random(run)
    shift = rng.randrange(10**9)
    for n in range(count if name != "openassistant" else max(1, count // 4)):
        yield json.dumps(SHAPES[name](rng, shift + n)).encode() + b"\n"


def run(database: str, *, rounds: int, records: int, formats: list[str]) -> list[Outcome]:
    """Records and megabytes a second of each format, and its memory. Raises RuntimeError where a record is missing."""
    out: list[Outcome] = []
    with backend(database) as (directory, url):
        environment = {"SAYSO_DATA_DIR": str(directory), "SAYSO_DATABASE_URL": url, "SAYSO_LOG_LEVEL": "error"}
        _cli(["migrate"], environment)
        bare = plain_url(url) if url else str(directory / "bare.db")
        for name in formats:
            platform = _cli(["platforms", "add", f"bench {name}", "--json"], environment)["client_id"]
            out += _one(name, platform, environment, directory, bare, database, rounds, records)
    return out


def _one(
    name: str, platform: str, environment: dict[str, str], directory: Path, bare: str, database: str, rounds: int, records: int
) -> list[Outcome]:  # fmt: skip
    file = directory / "import.jsonl"
    sizes: list[float] = []
    peaks: dict[int, float] = {}

    def write(run: str, count: int) -> float:
        with file.open("wb") as target:
            target.writelines(_lines(name, run, count))
        return file.stat().st_size / 1e6

    def ours(number: int, count: int = records) -> float:
        size = write(f"{name} {number} {count}", count)
        told = _process([sys.executable, "-m", "app", "import", "--format", name, "--platform", platform, "--json", str(file)], environment)
        report = json.loads(told.told)
        if report["refused"] or sum(report["contributions"].values()) < count:
            raise RuntimeError(f"{count} were to be recorded: {told.told[:500]}")
        sizes.append(size / told.seconds)
        peaks[count] = max(peaks.get(count, 0.0), told.peak)
        return sum(report["contributions"].values()) / told.seconds

    def floor(number: int) -> float:
        write(f"{name} {number} {records}", records)
        return records / _process([sys.executable, "-c", FLOOR, str(file), bare], {}).seconds

    found = interleaved({"ours": ours, "floor": floor}, rounds)
    ours(-2, records // 10)
    rate = sorted(sizes[1:-1])[len(sizes[1:-1]) // 2]
    memory = peaks[records] / peaks[records // 10]
    title = f"import {name}, {database}, {records:,} records"
    return [
        paired(f"{title}: records/s", found["ours"], found["floor"], None, f"{rate:.1f} MB/s; start of the process included"),
        Outcome(f"{title}: MB, against {records // 10:,}", peaks[records], peaks[records // 10], memory, FLAT, "the most of all rounds", True),
    ]


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", default=",".join(SHAPES))
    asked = parser.parse_args()
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        found = run(database, rounds=asked.rounds, records=asked.records, formats=asked.formats.split(","))
        print("\n".join(rows(found)), flush=True)


if __name__ == "__main__":
    main()
