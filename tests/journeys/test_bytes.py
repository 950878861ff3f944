"""A part comes out byte for byte as its JSON text went in: recorded, hashed in the receipt, and released."""

import csv
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from sayso.models import NewContribution, RawJSON

from app.core.strictjson import elements
from tests.faults.cuts import decoded
from tests.support import LabParty, PlatformParty, Service, consent

ODDITIES = {
    "integer above 2^53": b"9007199254740993",
    "negative integer above 2^53": b"-9007199254740993",
    "10,000 digits": b"9" * 10_000,
    "10,000 digits in an object": b'{"n":[' + b"1" * 10_000 + b"]}",
    "beyond a double": b"1e400",
    "below a double": b"-1e-400",
    "minus zero": b"-0.0",
    "minus zero, integer": b"-0",
    "trailing zeros": b"1.500000000000000000000",
    "exponent forms": b"[1E5,1e+5,1.0e05,1e-0]",
    "null": b"null",
    "explicit nulls": b'{"a":null,"b":[null,null]}',
    "true": b"true",
    "empty string": b'""',
    "empty object": b"{}",
    "empty array": b"[]",
    "empty key": b'{"":{"":""}}',
    "U+2028 raw": '"a\u2028b\u2029c\u0085d"'.encode(),
    "U+2028 escaped": rb'"a\u2028b\u2029c\u0085d"',
    "surrogate pair escaped": rb'"\ud83d\ude00 and \uD83D\uDE00"',
    "surrogate pair raw": '"😀"'.encode(),
    "escaped backslash before u": rb'"\\ud83d \\u0000"',
    "escaped NUL": rb'"a\u0000b"',
    "every escape": rb'"\"\\\/\b\f\n\r\t\u001F\u007f"',
    "raw delete": b'"\x7f"',
    "escaped solidus": rb'"https:\/\/example.org\/"',
    "unneeded escapes": rb'"\u0041\u00e9\u4e2d"',
    "not normalised": '["\u00e9","e\u0301","\u212b"]'.encode(),
    "noncharacters": '"\ufffe\uffff\ufdd0"'.encode(),
    "a mark inside": '"\ufeffx\ufeff"'.encode(),
    "JSON in a string": json.dumps(json.dumps({"a": json.dumps(["\u2028", 'b"c'])})).encode(),
    "keys out of order": b'{"b":1,"a":2,"B":3,"10":4,"9":5}',
    "spaces": b'{ "a" :\t[ 1 , 2 ,3 ]\t, "b" : { } }',
    "line breaks": b'{\n  "a": 1,\r\n  "b": [\n    2\n  ]\n}',
    "deep": b"[" * 60 + b"]" * 60,
    "long": b'"' + b"x" * 1_500_000 + b'"',
    "tabs and the like in a number list": b"[0.1,0.10,0.100,1e1,10,10.0]",
    "html": b'"<script>alert(1)</script><!-- ]]> &amp;"',
    "formula": b'"=HYPERLINK(\\"x\\")"',
}
PARTS = ("text", "judgment", "context", "profile")


def released(service: Service, platform: PlatformParty, lab: LabParty, directory: Path) -> list[dict[str, Any]]:
    """Every row of a release of all that the platform has, as a lab gets it: over HTTP, by ticket, out of the shards."""
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, poll=0.05)
    return lab.fetch(release, directory)


def stamped(names: list[str], values: list[bytes]) -> Iterator[NewContribution]:
    """A contribution a value: the value is its text, its number stands in the judgment."""
    for n, (name, value) in enumerate(zip(names, values, strict=True)):
        yield NewContribution(
            external_id=f"{n}",
            kind="message",
            parts={"text": RawJSON(value), "judgment": {"n": n, "of": name}},
            consent=consent(),
        )


def compare(rows: list[dict[str, Any]], values: list[bytes]) -> None:
    """Each value exactly once, and exactly."""
    found = {json.loads(row["judgment"])["n"]: row["text"].encode() for row in rows}
    assert len(rows) == len(found) == len(values)
    wrong = [n for n, value in enumerate(values) if found[n] != value]
    assert not wrong, f"{len(wrong)} of {len(values)} came out otherwise, first {values[wrong[0]][:200]!r}"


def test_odd_values_come_out_as_they_went_in(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    names, values = list(ODDITIES), list(ODDITIES.values())
    answers = list(platform.sdk.record_many(stamped(names, values)))
    assert all(a.ok for a in answers), [(names[n], a.code) for n, a in enumerate(answers) if not a.ok]
    compare(released(service, platform, lab, tmp_path), values)
    for answer, name, value in zip(answers, names, values, strict=True):
        receipt = json.loads(service.claim(answer).receipt_file(str(answer.id)))
        parts = json.loads(receipt["act"])["parts"]
        assert parts["text"] == sha256(value).hexdigest(), name
        assert (
            parts["judgment"]
            == sha256(b'{"n":%d,"of":%s}' % (int(str(answer.external_id)), json.dumps(name).encode())).hexdigest()
        )


def test_single_records_and_batches_keep_the_same_bytes(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    """White space around a value is the request's and not the value's; inside it is the value's. One a request, no SDK between."""
    token = service.token(platform)
    chosen = json.dumps({"template": "evaluation-only", "basis": "explicit", "wording": "ab" * 32, "language": "en",
                         "shown_at": "2026-11-24T00:00:00Z"}).encode()  # fmt: skip
    for n, value in enumerate(ODDITIES.values()):
        body = (
            b'{"kind":"message","external_id":"%d","parts":{"text": \t%s \n,\r\n"judgment":{"n":%d}},"consent":%s}'
            % (n, value, n, chosen)
        )
        answer = service.post("/v1/contributions", body, token)
        assert answer.status_code == 201, answer.text
    compare(released(service, platform, lab, tmp_path), list(ODDITIES.values()))


def test_each_part_keeps_its_bytes(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    """All four parts; `profile` is of no template's permission and stays where it is."""
    odd = [RawJSON(v) for v in ODDITIES.values() if len(v) < 20_000]
    for n, value in enumerate(odd):
        parts = {
            "text": value,
            "judgment": odd[-1 - n],
            "context": odd[(n + 7) % len(odd)],
            "profile": odd[(n + 11) % len(odd)],
        }
        platform.give(1, external_id=f"{n}", parts=parts, language=None, context_ref=f"{n}")
    rows = released(service, platform, lab, tmp_path)
    got = sorted((row["text"].encode(), row["judgment"].encode(), row["context"].encode()) for row in rows)
    assert got == sorted((v.data, odd[-1 - n].data, odd[(n + 7) % len(odd)].data) for n, v in enumerate(odd))
    assert all(row["profile"] is None for row in rows)


# -- real contributions ------------------------------------------------------------------------------------------------
def values_in(folder: Path) -> tuple[list[str], list[bytes]]:
    """Every JSON value of each .json and .jsonl file (whole files, elements of arrays, lines) and every CSV row as a string."""
    names, values = [], []

    def take(name: str, value: bytes) -> None:
        names.append(name)
        values.append(value)

    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        data = path.read_bytes()
        if path.suffix == ".jsonl":
            for line in data.split(b"\n"):
                if line.strip(b" \t\r"):
                    take(name, line.strip(b" \t\r"))
        elif path.suffix == ".json":
            value = data.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")
            take(name, value)
            if value.startswith(b"["):
                for element in elements(value):
                    take(name, bytes(element))
        elif path.suffix == ".csv":
            for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")):
                out = io.StringIO()
                csv.writer(out, lineterminator="").writerow(row)
                take(name, json.dumps(out.getvalue(), ensure_ascii=len(values) % 2 == 0).encode())
    return names, values


def test_every_value_of_real_data_comes_out_as_it_went_in(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path, shared_data: Path
) -> None:
    names, values = values_in(shared_data)
    assert {Path(n).suffix for n in names} == {".json", ".jsonl", ".csv"} and len(values) > 1_000
    if service.backend != "sqlite":  # every value on SQLite; here the largest, and every twentieth of the rest
        chosen = sorted({*sorted(range(len(values)), key=lambda n: -len(values[n]))[:50], *range(0, len(values), 20)})
        names, values = [names[n] for n in chosen], [values[n] for n in chosen]
    answers = list(platform.sdk.record_many(stamped(names, values)))
    refused = [(names[n], a.code, a.detail) for n, a in enumerate(answers) if not a.ok]
    assert not refused, refused[:5]
    compare(released(service, platform, lab, tmp_path), values)
    # The digests that the log is committed to, of a sample: a receipt each.
    for n in range(0, len(values), max(1, len(values) // 25)):
        receipt = json.loads(service.claim(answers[n]).receipt_file(str(answers[n].id)))
        assert json.loads(receipt["act"])["parts"]["text"] == sha256(values[n]).hexdigest(), names[n]
    print(f"{service.backend}: {len(values)} values, {sum(map(len, values))} bytes")


def test_the_lines_of_a_shard_are_split_at_line_feeds_alone(
    service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path
) -> None:
    platform.give(3, parts={"text": RawJSON('"a\u2028b\u2029c\u0085d\u000b"'.replace("\u000b", "")), "judgment": {}})
    agreement = lab.agree(platform)
    [path] = lab.sdk.download(lab.sdk.deliver(lab.sdk.cut(agreement, poll=0.05)), tmp_path)
    rows = decoded(path.read_bytes())
    assert len(rows) == 3 and {json.loads(r["text"]) for r in rows} == {"a\u2028b\u2029c\u0085d"}
