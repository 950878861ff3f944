"""What the tests of the adapters share: the samples, what each holds, and short ways to read and release them."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.contributions.formats import generic
from app.contributions.formats.adapter import Adapter
from app.contributions.formats.cutting import SourceRecord, dump_skeleton, load_skeleton, splice
from app.contributions.formats.draft import Refusal
from app.contributions.formats.registry import ADAPTERS
from app.contributions.models import KINDS

SAMPLES = Path(__file__).parent / "samples"
MINE = "Written for tests"
MAPPING = json.loads((SAMPLES / "generic.mapping.json").read_text())
EVERY: dict[str, Adapter] = {**ADAPTERS, "generic": generic.adapter(MAPPING, frozenset(KINDS))}

SHAPES = {
    "openassistant.jsonl": {"message": 5, "label": 2, "rating": 2, "ranking": 1},
    "fastchat.jsonl": {"conversation": 2, "preference": 7, "label": 2, "rating": 2},
    "sharelm.jsonl": {"conversation": 2},
    "grt.json": {"red_team_report": 2},
    "grt.csv": {"red_team_report": 2},
    "hi-red-teaming/flags-1.json": {"red_team_report": 1},
    "hi-red-teaming/reviews-1.json": {"label": 1},
    "hi-red-teaming/transcript-1.csv": {"message": 2},
    "hackerone.json": {"vulnerability_report": 2, "statement": 1},
    "bugcrowd.json": {"vulnerability_report": 1},
    "odin.json": {"vulnerability_report": 2},
    "avid.json": {"vulnerability_report": 1},
    "hh-rlhf.jsonl": {"preference": 2, "red_team_report": 1},
    "pandalm.json": {"preference": 3},
    "mt-bench.jsonl": {"preference": 2, "message": 2},
    "llmbar.json": {"preference": 2},
    "nibbler.json": {"red_team_report": 3, "label": 4},
    "testimony.jsonl": {"testimony": 2},
    "polis/comments.csv": {"statement": 2},
    "polis/votes.csv": {"rating": 3},
    "argilla.json": {"rating": 2, "ranking": 1, "label": 1, "refusal": 1},
    "label-studio.json": {"label": 2, "refusal": 1},
    "inspect.json": {"conversation": 2},
    "generic.jsonl": {"rating": 1, "critique": 1},
}
# What is dropped at the door, or was given by nobody: the only places where a release differs from the original.
DROPPED = {
    "openassistant.jsonl": ["Taken back."],
    "fastchat.jsonl": ["192.0.2.", "203.0.113.4"],
    "hi-red-teaming/flags-1.json": ["someone@example.org"],
    "hi-red-teaming/reviews-1.json": ["other@example.org"],
    "testimony.jsonl": ["x@example.org", "Real Name", "11:22:33"],
    "label-studio.json": ["x@example.org", 'first_name": "X'],
    "generic.jsonl": ["192.0.2.1"],
}
ALSO_DIFFERENT = {"argilla.json": "a record without any response shows nothing"}
EVERY_SAMPLE = pytest.mark.parametrize("sample", SHAPES)
REAL = [
    ("openassistant", "oasst/en_100_tree.jsonl", {"message": 1167}),
    ("openassistant", "oasst/en_100_message.jsonl", {"message": 1167}),
    ("fastchat", "arena-hard/v0.1_question.jsonl", {"message": 500}),
    ("mt-bench", "fastchat/mt_bench_question.jsonl", {"message": 80}),
    ("mt-bench", "fastchat/mt_bench_reference_gpt-4.jsonl", {"message": 30}),
    ("pandalm", "pandalm/testset-v1.json", {"preference": 2997}),
    ("polis", "polis/15-per-hour-seattle/comments.csv", {"statement": 54}),
    ("polis", "polis/15-per-hour-seattle/votes.csv", {"rating": 2995}),
]


def name_of(sample: str) -> str:
    return sample.split("/")[0].split(".")[0]


def read(adapter: Adapter, data: bytes, name: str) -> list[SourceRecord]:
    found = list(adapter.read(io.BytesIO(data), name, "set"))
    assert not [one for one in found if isinstance(one, Refusal)], found
    return found  # type: ignore[return-value]


def sample_of(sample: str) -> tuple[bytes, list[SourceRecord]]:
    data = (SAMPLES / sample).read_bytes()
    return data, read(EVERY[name_of(sample)], data, Path(sample).name)


def released(records: list[SourceRecord]) -> bytes:
    """A release of everything, through skeletons as they are kept."""
    return b"".join(splice(load_skeleton(dump_skeleton(r.skeleton)), r.rows()) for r in records)


def kinds(records: list[SourceRecord]) -> Counter[str]:
    return Counter(draft.kind for record in records for draft in record.drafts)


def drafts(sample: str) -> list[Any]:
    return [draft for record in sample_of(sample)[1] for draft in record.drafts]


def json_of(data: bytes) -> list[Any]:
    if data[:1] == b"[":
        return list(json.loads(data))
    try:
        return [json.loads(data)]
    except ValueError:
        return [json.loads(line) for line in data.split(b"\n") if line]
