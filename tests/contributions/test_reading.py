"""Reading files that nobody vouches for: every byte accounted for, memory bounded, and a reason for what is refused."""

import gzip
import io
import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.contributions.formats import reading, unpacking
from app.contributions.formats.cutting import SourceRecord, splice
from app.contributions.formats.draft import Refusal
from app.contributions.formats.reading import Raw, cell_places, records
from app.contributions.formats.registry import ADAPTERS
from app.contributions.formats.unpacking import Source
from tests.support import ROOT

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['"', "\\", "}]", "\u2028", "a\nb"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)
WHITE = st.sampled_from(["", " ", "\n", "\r\n", " \n\t "])


class Slow(io.BytesIO):
    """A file that gives a few bytes at a time, so that every state of a reader is met at an end."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step)


def cut(data: bytes, step: int = 1 << 20, **options: bool) -> list[Raw | Refusal]:
    return list(records(Source(Slow(data, step), "x"), **options))


def joined(found: list[Raw | Refusal]) -> bytes:
    assert not [one for one in found if isinstance(one, Refusal)], found
    return b"".join(one.lead + one.data + one.tail for one in found)  # type: ignore[union-attr]


@given(st.lists(OBJECTS, max_size=5), st.lists(WHITE, min_size=12, max_size=12), st.integers(1, 9), st.booleans())
def test_elements_of_an_array_are_the_file_again(rows: list[Any], white: list[str], step: int, ascii_: bool) -> None:
    text = white[0] + "[" + white[1]
    for i, row in enumerate(rows):
        text += ("," if i else "") + white[2 + i] + json.dumps(row, ensure_ascii=ascii_) + white[3 + i]
    data = (text + "]" + white[-1]).encode("utf-8", "surrogatepass")
    found = cut(data, step)
    assert joined(found) == data
    assert [json.loads(one.data) for one in found if isinstance(one, Raw) and one.data] == rows


@given(st.lists(OBJECTS, max_size=5), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans(), st.integers(1, 9))
def test_lines_are_the_file_again(rows: list[Any], ends: str, last: bool, step: int) -> None:
    data = ends.join([json.dumps(row, ensure_ascii=False) for row in rows] + [""] * last).encode(
        "utf-8", "surrogatepass"
    )
    found = cut(data, step)
    assert joined(found) == data
    assert [json.loads(one.data) for one in found if isinstance(one, Raw) and one.data] == rows


@given(
    st.lists(st.lists(st.text(max_size=6).filter(lambda s: "\x00" not in s), min_size=2, max_size=2), max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 9),
)
def test_rows_are_the_file_again(rows: list[list[str]], ends: str, step: int) -> None:
    quoted = [",".join('"' + c.replace('"', '""') + '"' for c in row) for row in [["a", "b"], *rows]]
    data = ends.join([*quoted, ""]).encode("utf-8", "surrogatepass")
    found = cut(data, step, csv=True)
    assert joined(found) == data
    assert [
        reading.cell_words(one.data.decode("utf-8", "surrogatepass"))
        for one in found
        if isinstance(one, Raw) and one.data
    ] == rows


def test_an_object_over_several_lines_is_one_record_and_lines_of_objects_are_several() -> None:
    pretty = json.dumps({"a": {"b": [1, {}]}}, indent=2).encode()
    assert joined(cut(pretty, whole=True)) == pretty and len(cut(pretty, whole=True)) == 1
    assert len([r for r in cut(b'{"a":1}\n{"a":2}\n', whole=True) if r.data]) == 2  # type: ignore[union-attr]
    assert len([r for r in cut(b'{"a":1}\nbroken\n{"a":2}\n', whole=True) if r.data]) == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [7, 1_000, 1 << 18])
def test_records_of_more_than_is_looked_at_in_one_go_are_whole(step: int) -> None:
    """Elements with hundreds of escapes, brackets and commas, in strings and out of them."""
    odd = '\\"[{,]}' * 500
    values = [odd, {"a": odd, "b": [1] * 700, "c": ["x", odd] * 300}, [[], {}, ","] * 400, {f"{odd}{n}": n for n in range(9)}, "\\", {"z": 1.5}]
    data = json.dumps(values).encode()
    found = cut(data, step)
    assert [json.loads(one.data) for one in found if isinstance(one, Raw) and one.data] == values
    assert joined(found) == data and not [one for one in found if isinstance(one, Refusal)]


def test_a_mark_at_the_beginning_is_kept_apart() -> None:
    found = cut(b"\xef\xbb\xbfa,b\r\n1,2\r\n", csv=True)
    assert isinstance(found[0], Raw) and found[0].header == ("a", "b") and joined(found).startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_refused_once(encoding: str) -> None:
    found = cut('{"message_id": "1"}\n'.encode(encoding) * 1000)
    assert [one.code for one in found if isinstance(one, Refusal)] == ["text_not_utf8"] and len(found) == 1


def test_lines_that_are_not_utf8_are_refused_by_themselves() -> None:
    data = b'{"message_id":"1","text":"a"}\n{"message_id":"2","text":"\xe9"}\n{"message_id":"3","text":"b"}\n'
    found = list(ADAPTERS["openassistant"].read(io.BytesIO(data), "x.jsonl"))
    assert [one.code for one in found if isinstance(one, Refusal)] == ["json_not_utf8"]
    assert [d.external_id for one in found if isinstance(one, SourceRecord) for d in one.drafts] == ["1", "3"]
    rows = list(
        ADAPTERS["polis"].read(io.BytesIO(b"comment-id,author-id,comment-body\n1,2,ok\n2,2,caf\xe9\n"), "comments.csv")
    )
    assert [(one.where, one.code) for one in rows if isinstance(one, Refusal)] == [("row 3", "text_not_utf8")]


@pytest.mark.parametrize(
    "line,code",
    [
        (b'{"message_id":"1","text":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_too_deep"),
        (b'{"message_id":"1","text":"a","x":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}", "json_too_deep"),
        (b'{"message_id":"1","text":"a","text":"b"}', "json_duplicate_key"),
        (b'{"message_id":"1","text":"\\ud800"}', "json_lone_surrogate"),
        (b'{"message_id":"1","text":"a","x":NaN}', "json_not_finite"),
        (b'{"message_id":"1","text":"a"', "json_invalid"),
        (b'{"message_id":"1"}', "format_mismatch"),
    ],
)  # fmt: skip
def test_a_hostile_line_is_refused_and_its_neighbours_are_not(line: bytes, code: str) -> None:
    good = b'{"message_id":"%s","text":"a"}'
    for data in (
        b"\n".join([good % b"a", line, good % b"b"]),
        b"[" + b",".join([good % b"a", line, good % b"b"]) + b"]",
    ):
        if code == "json_invalid" and data[:1] == b"[":
            continue  # an element that is not closed takes the rest of its array with it
        found = list(ADAPTERS["openassistant"].read(io.BytesIO(data), "x.jsonl"))
        assert [one.code for one in found if isinstance(one, Refusal)] == [code]
        assert [d.external_id for one in found if isinstance(one, SourceRecord) for d in one.drafts] == ["a", "b"]


@pytest.mark.parametrize("data", [b'[{"a":1}', b'[{"a":1},', b'[{"a":1},,{"a":1}]', b'[{"a":1}] x', b'[{"a":"', b"["])
def test_arrays_that_are_cut_short_or_odd_are_refused_where_they_break(data: bytes) -> None:
    for step in (1, 100):
        assert "json_invalid" in [one.code for one in cut(data, step) if isinstance(one, Refusal)] or not json_ok(
            data, step
        )


def json_ok(data: bytes, step: int) -> bool:
    """Whether every record is JSON by itself: what is not is refused by the adapter."""
    try:
        for one in cut(data, step):
            if isinstance(one, Raw) and one.data:
                json.loads(one.data)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("row", ['1,2,"open', '1,2,"a"b', "1,2", "1,2,3,4"])
def test_rows_that_are_not_csv_are_refused_by_themselves(row: str) -> None:
    data = f"comment-id,author-id,comment-body\n0,1,fine\n{row}\n".encode()
    found = list(ADAPTERS["polis"].read(io.BytesIO(data), "comments.csv"))
    assert [one.code for one in found if isinstance(one, Refusal)] == ["csv_invalid"]
    assert sum(len(one.drafts) for one in found if isinstance(one, SourceRecord)) == 1


@pytest.mark.parametrize(
    "cell", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", '"=HYPERLINK(""http://x.example"",""y"")"', "\t=1"]
)
def test_formulas_in_csv_are_text_and_come_out_as_they_were(cell: str) -> None:
    data = f"comment-id,author-id,comment-body\r\n0,1,{cell}\r\n".encode()
    found = list(ADAPTERS["polis"].read(io.BytesIO(data), "comments.csv"))
    assert b"".join(splice(one.skeleton, one.rows()) for one in found if isinstance(one, SourceRecord)) == data
    (draft,) = [d for one in found if isinstance(one, SourceRecord) for d in one.drafts]
    assert json.loads(draft.parts["text"]) == reading.cell_words(cell)[0]
    assert cell_places("a,,b") == [(0, 1), (2, 2), (3, 4)]


GOOD = b'{"message_id":"%s","text":"a"}'


@pytest.mark.parametrize(
    "before,filler,after",
    [
        (GOOD % b"a" + b'\n{"message_id":"x","text":"', b"abcdefgh", b'"}\n' + GOOD % b"b" + b"\n"),
        (b"[" + GOOD % b"a" + b',{"message_id":"x","text":"', b"ab\\\"[,{]", b'"},' + GOOD % b"b" + b"]"),
        (b"[" + GOOD % b"a" + b',{"message_id":"x","text":[', b'{"a":1},', b"1]}," + GOOD % b"b" + b"]"),
    ],
    ids=["line", "string in an array", "structure in an array"],
)  # fmt: skip
def test_a_record_without_end_is_passed_over_in_little_memory(before: bytes, filler: bytes, after: bytes) -> None:
    # In a process of its own: the threads of a service that runs beside this one would be measured too.
    code = f"from tests.contributions.endless import pass_over; pass_over({before!r}, {filler!r}, {after!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["refused"], told["read"]) == (["source_too_long"], ["a", "b"])
    assert told["peak"] < 1 << 20, told


def test_a_line_of_two_gigabytes_through_the_command_line_keeps_memory_flat() -> None:
    """Fed through a pipe, so that it is stored nowhere."""
    command = [sys.executable, "-m", "app", "import", "--format", "openassistant", "--dry-run", "--json", "/dev/stdin"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    block = b"x" * (1 << 20)
    process.stdin.write(GOOD % b"a" + b'\n{"message_id":"x","text":"')
    for _ in range(2 << 10):
        process.stdin.write(block)
    # Of this program alone: what rusage tells of a child counts what its parent held when it was forked.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    process.stdin.write(b'"}\n' + GOOD % b"b" + b"\n")
    process.stdin.close()
    report = json.loads(process.stdout.read())
    assert process.wait() == 0
    assert report == {
        "read": 3, "contributions": {"message": 2}, "contributors": 2,
        "refused": [{"where": "line 2", "code": "source_too_long", "detail": report["refused"][0]["detail"]}],
    }  # fmt: skip
    assert int(peak) < 600 << 10, peak  # Python and its libraries included


def packed(kind: str, data: bytes) -> bytes:
    return gzip.compress(data) if kind == "gz" else zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_packed_files_are_read_as_such_and_give_the_unpacked_bytes(kind: str) -> None:
    data = b"".join(GOOD % str(i).encode() + b"\n" for i in range(5000))
    for file in (packed(kind, data), packed(kind, data[: len(data) // 2]) + packed(kind, data[len(data) // 2 :])):
        found = list(ADAPTERS["openassistant"].read(io.BytesIO(file), f"x.jsonl.{kind}"))
        assert b"".join(splice(one.skeleton, one.rows()) for one in found if isinstance(one, SourceRecord)) == data


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_packed_files_that_are_cut_or_are_none_are_damaged(kind: str) -> None:
    data = packed(kind, b"".join(GOOD % str(i).encode() + b"\n" for i in range(5000)))
    for bad in (data[:-5], data[: len(data) // 2], b"no archive", data + b"rest"):
        found = list(ADAPTERS["openassistant"].read(io.BytesIO(bad), f"x.jsonl.{kind}"))
        assert [one.code for one in found if isinstance(one, Refusal)][-1] == "file_damaged"


def bomb(kind: str) -> BinaryIO:
    if kind == "gz":
        return io.BytesIO(gzip.compress(b"\n" * (300 << 20)))
    compressor = zstandard.ZstdCompressor(level=19).compressobj()
    return io.BytesIO(b"".join([compressor.compress(b"\n" * (1 << 20)) for _ in range(300)]) + compressor.flush())


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_bombs_are_refused_after_little(kind: str) -> None:
    file = bomb(kind)
    tracemalloc.start()
    taken, refused = 0, ""
    try:
        for piece in Source(file, f"x.{kind}").pieces():
            taken += len(piece)
    except unpacking.Unreadable as error:
        refused = error.refusal.code
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused == "file_too_dense" and taken < 160 << 20 and peak < 80 << 20
