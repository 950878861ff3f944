"""Import of a file of another system's, against the bare parse and insert of the same file, each as a process of its own; and the most
memory that it takes, at two sizes.

`python -m benchmarks.bench_import --records 20000 --rounds 2 --databases sqlite` measures every format;
`--records 1000000 --rounds 0 --formats fastchat` the memory of one.
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
from benchmarks.bench_release import HeapWatch
from benchmarks.floors import plain_url
from benchmarks.measure import Outcome, _cli, backend, interleaved, paired

FLAT = 1.25
"""Aim: the memory of the large import over that of one of a tenth of its records."""

FLOOR = """
import csv, json, sqlite3, sys
path, url = sys.argv[1:]
if url.startswith("postgresql"):
    import psycopg
    connection = psycopg.connect(url)
    connection.execute("CREATE TABLE IF NOT EXISTS bare (n bigint, line text)")
    insert = lambda rows: connection.cursor().executemany("INSERT INTO bare VALUES (%s, %s)", rows)
else:
    connection = sqlite3.connect(url)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE IF NOT EXISTS bare (n integer, line text)")
    insert = lambda rows: connection.executemany("INSERT INTO bare VALUES (?, ?)", rows)
rows = []
for n, line in enumerate(open(path, "rb")):
    if path.endswith(".csv"):
        next(csv.reader([line.decode()]))
    else:
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


def _grt(rng: random.Random, n: int) -> Any:
    said = [{"role": ("user", "assistant")[at % 2], "content": _words(rng, 40)} for at in range(4)]
    return {
        "category_name": "Bias", "challenges_name": f"c{n % 21}", "contestant_message": "Instructions.", "conversation": said,
        "submission_message": "Thanks", "user_justification": f"{_words(rng, 20)} {n}", "submission_grade": "accepted", "conversation_length": 4,
    }  # fmt: skip


def _flag(rng: random.Random, n: int) -> Any:
    said = [{"message_id": f"m{n}-{at}", "turn_id": f"t{n}", "role": role, "status": "ok", "content": _words(rng, 60), "tags": {}}
            for at, role in enumerate(("user", "assistant"))]  # fmt: skip
    return {
        "Flag ID": f"f{n}", "Status": "approved", "Red-flagged": True, "Reason": "bias", "Comment": _words(rng, 20), "Evaluation ID": "e",
        "Evaluation title": "Event", "Conversation ID": f"c{n}", "Scenario ID": "s", "Scenario name": "S", "Task ID": None, "Task name": None,
        "Author ID": f"a{rng.randrange(1000)}", "Author email": "someone@example.org", "Flagged message count": 2,
        "Flagged message IDs": f"m{n}-0 m{n}-1", "Flagged turn IDs": f"t{n}", "Flagged messages": said, "Created": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


def _hackerone(rng: random.Random, n: int) -> Any:
    who = {"id": str(n % 1000), "type": "user", "attributes": {"username": f"u{n % 1000}", "name": "Pen", "disabled": False}}
    return {
        "id": str(n), "type": "report",
        "attributes": {
            "title": _words(rng, 8), "state": "resolved", "created_at": "2024-01-01T00:00:00.000Z", "triaged_at": None, "closed_at": None,
            "vulnerability_information": _words(rng, 150), "disclosed_at": "2024-05-01T00:00:00Z",
        },
        "relationships": {"reporter": {"data": who}, "weakness": {"data": None}, "bounties": {"data": []}},
    }  # fmt: skip


def _bugcrowd(rng: random.Random, n: int) -> Any:
    return {
        "id": f"b{n}", "type": "submission",
        "attributes": {
            "title": _words(rng, 8), "description": _words(rng, 150), "vrt_id": "ai.prompt_injection", "priority": 2, "severity": 2,
            "state": "unresolved", "submitted_at": "2024-03-01T00:00:00Z", "extra_info": None, "source": "platform",
        },
        "relationships": {"researcher": {"data": {"id": f"r{n % 1000}", "type": "identity"}}},
    }  # fmt: skip


def _odin(rng: random.Random, n: int) -> Any:
    return {
        "uuid": f"0d{n}", "title": _words(rng, 8), "summary": _words(rng, 30), "details": _words(rng, 120), "severity": "high", "credit": "Pen",
        "published_at": "2025-01-01", "reported_at": "2024-12-01", "models": ["m-1"], "taxonomies": [{"category": "x"}],
    }  # fmt: skip


def _avid(rng: random.Random, n: int) -> Any:
    def said(words: int) -> Any:
        return {"lang": "eng", "value": _words(rng, words)}

    return {
        "data_type": "AVID", "data_version": "0.2", "metadata": {"vuln_id": f"AVID-{n}"},
        "affects": {"developer": [], "deployer": ["X"], "artifacts": []}, "references": [], "reports": None, "impact": {"avid": {}},
        "problemtype": {"classof": "LLM Evaluation", "type": "Issue", "description": said(20)}, "description": said(120),
        "credit": [{"lang": "eng", "value": "Pen"}], "published_date": "2024-01-01", "last_modified_date": "2024-01-01",
    }  # fmt: skip


def _pandalm(rng: random.Random, n: int) -> Any:
    votes = {f"annotator{i}": rng.randrange(3) for i in (1, 2, 3)}
    return {
        "idx": n, "motivation_app": "a", "cmp_key": "m1_m2", "instruction": _words(rng, 30), "input": "", "response1": _words(rng, 60),
        "response2": _words(rng, 60), **votes,
    }  # fmt: skip


def _mt_bench(rng: random.Random, n: int) -> Any:
    asked = {"role": "user", "content": _words(rng, 30)}
    sides = {f"conversation_{side}": [asked, {"role": "assistant", "content": _words(rng, 60)}] for side in "ab"}
    return {
        "question_id": n, "model_a": "m-a", "model_b": "m-b", "winner": "model_a", "judge": f"expert_{n % 60}", **sides, "turn": 1,
        "tstamp": 1_700_000_000 + n,
    }  # fmt: skip


def _llmbar(rng: random.Random, n: int) -> Any:
    return {"input": f"{_words(rng, 40)} {n}", "output_1": _words(rng, 60), "output_2": _words(rng, 60), "label": 1 + n % 2}


def _nibbler(rng: random.Random, n: int) -> Any:
    said = {
        "submitter_id": n % 1000, "example_uid": n, "rewritten_prompt": _words(rng, 30), "text_attack_mode": ["x"], "image_failure_type": ["y"],
        "image_failure_type_other_input": None,
    }  # fmt: skip
    prompt = _words(rng, 30)
    validation = {
        "annotator_id": f"w{n % 50}", "answer_time_ms": 1200, "question_id": f"q{n}", "submitted_prompt": prompt,
        "text_safety_validation": ["unsafe"], "image_safety_validation": ["unsafe"], "text_attack_mode": ["x"],
    }  # fmt: skip
    return {
        "submitted_timestamp": 1_690_000_000_000 + n, "submitted_prompt": prompt, "hashed_filename": str(n), "submission_annotations": said,
        "validation": [validation],
    }  # fmt: skip


def _testimony(rng: random.Random, n: int) -> Any:
    return {
        "id": f"t{n}", "pseudonym": f"p{n % 1000}", "language": "sw", "text": _words(rng, 180), "themes": ["pay"], "country": "KE",
        "created_at": "2024-06-01T11:22:33Z",
    }  # fmt: skip


def _argilla(rng: random.Random, n: int) -> Any:
    given = [
        {"id": f"x{n}-{i}", "values": {"quality": {"value": 4}, "why": {"value": _words(rng, 20)}}, "status": "submitted",
         "user_id": f"u{i}", "inserted_at": "2024-01-01T00:00:00"} for i in (1, 2)
    ]  # fmt: skip
    return {"id": f"ar{n}", "fields": {"prompt": _words(rng, 60)}, "metadata": {}, "external_id": None, "responses": given, "suggestions": []}


def _label_studio(rng: random.Random, n: int) -> Any:
    def annotation(i: int, value: Any) -> Any:
        return {
            "id": n * 2 + i, "completed_by": i, "result": [{"from_name": "s", "to_name": "t", **value}], "was_cancelled": False,
            "ground_truth": False, "created_at": "2024-02-01T10:00:00.000000Z", "updated_at": "2024-02-01T10:00:00.000000Z", "lead_time": 3.5,
            "prediction": {}, "unique_id": f"u-{n}-{i}",
        }  # fmt: skip

    words = {"type": "textarea", "value": {"text": [_words(rng, 20)]}}
    given = [annotation(0, {"type": "choices", "value": {"choices": ["good"]}}), annotation(1, words)]
    return {"id": n, "annotations": given, "drafts": [], "predictions": [], "data": {"prompt": _words(rng, 60)}, "meta": {}, "project": 1}


def _inspect(rng: random.Random, n: int) -> Any:
    said = [{"role": "user", "content": _words(rng, 40)}, {"role": "assistant", "content": _words(rng, 60), "source": "generate"}]
    sample = {
        "id": n, "epoch": 1, "input": said[0]["content"], "target": "4", "messages": said, "output": {"model": "m-1", "choices": []},
        "scores": {"match": {"value": "C", "answer": "4"}}, "metadata": {"contributor": f"au-{n % 1000}"}, "uuid": f"uu{n}",
    }  # fmt: skip
    return {"version": 2, "status": "success", "eval": {"run_id": f"run{n}", "task": "t", "model": "m-1"}, "samples": [sample]}


def _generic(rng: random.Random, n: int) -> Any:
    return {"id": n, "who": f"g{n % 1000}", "kind": "critique", "note": _words(rng, 180), "lang": "en"}


SHAPES: dict[str, Callable[[random.Random, int], Any]] = {
    "openassistant": _openassistant, "fastchat": _fastchat, "sharelm": _sharelm, "grt": _grt, "hi-red-teaming": _flag,
    "hackerone": _hackerone, "bugcrowd": _bugcrowd, "odin": _odin, "avid": _avid, "hh-rlhf": _hh_rlhf, "pandalm": _pandalm,
    "mt-bench": _mt_bench, "llmbar": _llmbar, "nibbler": _nibbler, "testimony": _testimony, "argilla": _argilla,
    "label-studio": _label_studio, "inspect": _inspect, "generic": _generic, "polis": lambda rng, n: None,
}  # fmt: skip
USUAL = ["openassistant", "fastchat", "sharelm", "hh-rlhf"]
"""Those that the run of everything measures."""
PER = {"openassistant": 4, "pandalm": 3, "nibbler": 2, "argilla": 2, "label-studio": 2}
"""Contributions in a line; elsewhere one."""
MAPPING = {"kind": "kind", "external_id": "id", "contributor": "who", "language": "lang", "parts": {"text": "note"}, "keep": ["kind", "lang"]}


@dataclass
class Ran:
    """A process that ended well: its seconds, start included, the most memory it held in MB that no file backs, and what it printed."""

    seconds: float
    peak: float
    told: str


def _process(arguments: list[str], environment: dict[str, str]) -> Ran:
    began = time.perf_counter()
    process = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with HeapWatch(process.pid) as watch:
        told = process.stdout.read().decode()
    process.wait()
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{arguments[1:6]} ended with {process.returncode}: {told[-1000:]}")
    return Ran(seconds, watch.peak, told)


def _lines(name: str, run: str, count: int) -> Iterator[bytes]:
    """So many records' worth of lines that no other run has."""
    rng = random.Random(run)
    shift = rng.randrange(10**9)
    if name == "polis":
        yield b"timestamp,datetime,comment-id,author-id,agrees,disagrees,moderated,comment-body\n"
    for n in range(shift, shift + max(1, count // PER.get(name, 1))):
        if name == "polis":
            yield f"1542406176584,Sat,{n},{n % 1000},0,1,1,{_words(rng, 20)}\n".encode()
        else:
            yield json.dumps(SHAPES[name](rng, n)).encode() + b"\n"


def run(database: str, *, rounds: int, records: int, formats: list[str]) -> list[Outcome]:
    """Records and megabytes a second of each format, and its memory; without `rounds` one import alone of `records` and one of a hundredth, and
    their memory. Raises RuntimeError where a record is missing."""
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
    file = directory / ("comments.csv" if name == "polis" else "import.jsonl")
    mapping = directory / "mapping.json"
    mapping.write_text(json.dumps(MAPPING))
    more = ["--mapping", str(mapping)] if name == "generic" else []
    sizes: list[float] = []
    peaks: dict[int, float] = {}

    def write(run: str, count: int) -> float:
        with file.open("wb") as target:
            target.writelines(_lines(name, run, count))
        return file.stat().st_size / 1e6

    def ours(number: int, count: int = records) -> float:
        size = write(f"{name} {number} {count}", count)
        command = ["import", "--format", name, "--platform", platform, "--json", str(file), *more]
        told = _process([sys.executable, "-m", "app", *command], environment)
        report = json.loads(told.told)
        if report["refused"] or sum(report["contributions"].values()) < count // PER.get(name, 1):
            raise RuntimeError(f"{count} were to be recorded: {told.told[:500]}")
        sizes.append(size / told.seconds)
        peaks[count] = max(peaks.get(count, 0.0), told.peak)
        return sum(report["contributions"].values()) / told.seconds

    def floor(number: int) -> float:
        write(f"{name} {number} {records}", records)
        return records / _process([sys.executable, "-c", FLOOR, str(file), bare], {}).seconds

    title = f"import {name}, {database}, {records:,} records"
    if not rounds:
        rate = [ours(-2, count) for count in (records // 100, records)][1]
        few, detail = peaks[records // 100], f"{rate:,.0f} records/s"
        return [Outcome(f"{title}: MB, against {records // 100:,}", peaks[records], few, peaks[records] / few, FLAT, detail, True)]
    found = interleaved({"ours": ours, "floor": floor}, rounds)
    ours(-2, records // 10)
    rate = sorted(sizes[1:-1])[len(sizes[1:-1]) // 2]
    memory = peaks[records] / peaks[records // 10]
    return [
        paired(f"{title}: records/s", found["ours"], found["floor"], None, f"{rate:.1f} MB/s; start of the process included"),
        Outcome(f"{title}: MB, against {records // 10:,}", peaks[records], peaks[records // 10], memory, FLAT, "the most of all rounds", True),
    ]


def main() -> None:
    from benchmarks.run import HEAD, rows

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3, help="0: only memory, by one import of so many records and one of a hundredth")
    parser.add_argument("--formats", default=",".join(SHAPES))
    asked = parser.parse_args()
    print("\n".join(HEAD), flush=True)
    for database in asked.databases.split(","):
        found = run(database, rounds=asked.rounds, records=asked.records, formats=asked.formats.split(","))
        print("\n".join(rows(found)), flush=True)


if __name__ == "__main__":
    main()
