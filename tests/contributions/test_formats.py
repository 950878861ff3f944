"""Every adapter: what it counts, that nothing is lost, and that nothing of a withheld contribution comes out."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from app.contributions.formats.cutting import Row, dump_skeleton, load_skeleton, splice
from app.contributions.formats.registry import ADAPTERS, NAMES
from app.contributions.models import KINDS
from tests.contributions.format_cases import (
    ALSO_DIFFERENT,
    DROPPED,
    EVERY,
    EVERY_SAMPLE,
    MINE,
    REAL,
    SHAPES,
    drafts,
    json_of,
    kinds,
    name_of,
    read,
    released,
    sample_of,
)


def test_every_system_of_the_table_has_an_adapter_and_a_sample() -> None:
    assert set(NAMES) == set(EVERY) == {name_of(sample) for sample in SHAPES} and len(NAMES) == 20


@pytest.mark.parametrize("name,path,expected", REAL, ids=lambda x: x if isinstance(x, str) else "")
def test_real_files_give_these_counts_and_come_out_byte_for_byte(
    shared_data: Path, name: str, path: str, expected: Any
) -> None:
    data = (shared_data / path).read_bytes()
    records = read(ADAPTERS[name], data, Path(path).name)
    assert kinds(records) == expected
    assert released(records) == data
    ids = [(d.kind, d.external_id) for r in records for d in r.drafts]
    assert len(set(ids)) == len(ids)


def test_every_real_avid_record_is_one_report_and_comes_out_byte_for_byte(shared_data: Path) -> None:
    paths = sorted((shared_data / "avid").rglob("*.json"))
    assert len(paths) == 48
    for path in paths:
        records = read(ADAPTERS["avid"], path.read_bytes(), path.name)
        assert kinds(records) == {"vulnerability_report": 1} and released(records) == path.read_bytes()


@EVERY_SAMPLE
def test_samples_give_these_contributions(sample: str) -> None:
    records = sample_of(sample)[1]
    assert kinds(records) == SHAPES[sample]
    for record in records:
        for draft in record.drafts:
            assert draft.kind in KINDS and draft.parts and draft.external_id
            for octets in draft.parts.values():
                json.loads(octets)
    names = [(d.kind, d.external_id) for r in records for d in r.drafts]
    assert len(set(names)) == len(names)


@EVERY_SAMPLE
def test_what_is_released_in_full_is_the_original(sample: str) -> None:
    data, records = sample_of(sample)
    out = released(records)
    if sample in DROPPED or sample in ALSO_DIFFERENT:
        assert out != data
        assert _nulled(json_of(data), json_of(out), DROPPED.get(sample, []))
    else:
        assert out == data
    for dropped in DROPPED.get(sample, []):
        assert dropped.encode() in data
        kept = b"".join(
            dump_skeleton(r.skeleton) + b"".join(b"".join(d.parts.values()) for d in r.drafts) for r in records
        )
        assert dropped.encode() not in out + kept


def _nulled(before: Any, after: Any, dropped: list[str]) -> bool:
    """The same, but for null in the place of something."""
    if after is None or before == after:
        return True
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_nulled(before[k], after[k], dropped) for k in before)
    return (
        isinstance(before, list)
        and len(before) == len(after)
        and all(map(_nulled, before, after, [dropped] * len(before)))
    )


@EVERY_SAMPLE
def test_a_skeleton_holds_nobodys_words_and_no_ids_of_people(sample: str) -> None:
    for record in sample_of(sample)[1]:
        skeleton = dump_skeleton(record.skeleton).decode()
        assert MINE not in skeleton
        for draft in record.drafts:
            if draft.contributor and not draft.contributor.isdigit() and name_of(sample) != "pandalm":
                assert draft.contributor not in skeleton
        assert load_skeleton(dump_skeleton(record.skeleton)) == record.skeleton


@EVERY_SAMPLE
def test_nothing_of_anybody_comes_out_when_all_is_withheld(sample: str) -> None:
    data, records = sample_of(sample)
    out = b"".join(splice(r.skeleton, [None] * len(r.drafts)) for r in records)
    assert MINE.encode() not in out
    for record in records:
        for draft in record.drafts:
            if draft.contributor and not draft.contributor.isdigit() and name_of(sample) != "pandalm":
                assert json.dumps(draft.contributor).encode() not in out
    if sample.endswith(".csv"):
        assert [len(row) for row in csv.reader(io.StringIO(out.decode(), newline=""))] == [
            len(row) for row in csv.reader(io.StringIO(data.decode(), newline=""))
        ]
    else:
        assert len(json_of(out)) == len(json_of(data))


@EVERY_SAMPLE
def test_one_withheld_contribution_takes_its_own_parts_and_leaves_the_others(sample: str) -> None:
    for record in sample_of(sample)[1]:
        rows = record.rows()
        whole = splice(record.skeleton, rows)
        for i, _ in enumerate(rows):
            out = splice(record.skeleton, [*rows[:i], None, *rows[i + 1 :]])
            assert out != whole
            for j, other in enumerate(rows):
                pieces = [p for p in record.skeleton if p.what == "part" and j in p.drafts]
                assert other is not None and (j == i or not pieces or _stands(other, pieces, out)), (sample, i, j)


def _stands(row: Row, pieces: Any, out: bytes) -> bool:
    alone = [splice([piece._replace(drafts=(0,))], [row]) for piece in pieces]
    return all(one in out for one in alone)


@EVERY_SAMPLE
def test_a_part_that_is_not_released_comes_out_as_null(sample: str) -> None:
    for record in sample_of(sample)[1]:
        rows = record.rows()
        for part in ("text", "judgment", "context", "profile"):
            less = [Row({n: v for n, v in r.parts.items() if n != part}, r.contributor) for r in rows if r]
            out = splice(record.skeleton, less).decode()
            if part == "text":
                for draft in record.drafts:
                    assert (
                        draft.parts.get("text") is None
                        or MINE not in draft.parts["text"].decode()
                        or _shown(out, draft) == 0
                    )


def _shown(out: str, draft: Any) -> int:
    """How often words that stand in the draft's text alone come out."""
    elsewhere = any(MINE in draft.parts.get(n, b"").decode() for n in ("judgment", "context", "profile"))
    return 0 if elsewhere else out.count(MINE)


# Third parties' prompts stand in these systems' context: the annotator wrote none of them.
NOT_THE_ANNOTATORS = {"pandalm", "mt-bench", "argilla", "label-studio"}


@EVERY_SAMPLE
def test_a_persons_words_and_what_mixes_them_are_never_context(sample: str) -> None:
    if name_of(sample) not in NOT_THE_ANNOTATORS:
        for draft in drafts(sample):
            assert MINE not in draft.parts.get("context", b"").decode()
