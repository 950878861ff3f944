"""Parquet shards: the same records as in JSON lines, byte for byte, and in the hands of those who read them."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sayso import cli
from sayso.models import RawJSON
from sayso.package import COLUMNS

from tests.client.desk import Desk
from tests.client.test_package import validated
from tests.kit.refusals import lab_token, refused
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent, on_one_backend, rows_of

ODD = [b'{"a": 1.50,  "b":12345678901234567890}', b'"\\u0000 \\ud83d\\ude00"', '"é\u2028"'.encode(), b"[1e400, -0]", b" [ ] ", b'{"a":1,"b":{"a":2}}']


def parquet_rows(folder: Path) -> list[dict[str, Any]]:
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: row["record_id"])


@pytest.fixture
def desk(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> Desk:
    desk = Desk(service, platform, lab, tmp_path, records=6, use=OPEN_TRAINING, consent=consent("open-model-training-with-credit"), language="en")
    for at, text in enumerate(ODD):
        parts = {"text": RawJSON(text), "judgment": RawJSON(b"[ 1 ]"), "context": RawJSON(b'{"m": 1.0}')}
        terms = {"licence": "CC-BY-4.0", "holder": "A Model Maker"}
        platform.sdk.record(
            external_id=f"odd-{at}", kind="preference", contributor=f"odd-{at}", parts=parts, context_terms=terms,
            consent=consent("open-model-training-with-credit"),
        )  # fmt: skip
    desk.agreement = lab.agree(platform, OPEN_TRAINING).id
    return desk


def test_both_formats_say_the_same_byte_for_byte(desk: Desk, tmp_path: Path) -> None:
    desk.holder(0).scope(desk.given[0].id, template="open-model-training-with-credit", credit="Ben")
    lines = desk.lab.fetch(desk.lab.sdk.cut(desk.agreement, poll=0.05), tmp_path / "lines")
    assert desk.pull("--format", "parquet") == 0 and desk.verify() == 0
    table = parquet_rows(desk.folder)
    assert [row["record_id"] for row in table] == [row["record_id"] for row in lines] and len(lines) == 12
    for column, line in zip(table, lines, strict=True):
        assert column["tombstone"] is False and column["link"] is None
        assert (None if column["context_terms"] is None else json.loads(column["context_terms"])) == line["context_terms"]
        assert list(line) == sorted(COLUMNS) and set(column) == set(COLUMNS)
        assert {name: column[name] for name in set(COLUMNS) - {"context_terms"}} == {name: line[name] for name in set(COLUMNS) - {"context_terms"}}
    assert {text.strip() for text in ODD} <= {row["text"].encode() for row in table}
    assert {row["context"] for row in table} == {None, '{"m": 1.0}'}
    assert {row["credit"] for row in table} == {None, "Ben"}
    assert all(row["allowed_uses"] == ["fineTune"] and row["policies"] for row in table)
    assert all("attribute" in [duty["kind"] for duty in json.loads(row["obligations"])] for row in table)
    dataset = validated(desk.folder)
    read = {record["records/record_id"].decode() for record in dataset.records("records")}
    assert read == {row["record_id"] for row in table}
    assert "A Model Maker: CC-BY-4.0 (6)" in (desk.folder / "NOTICE").read_text()


def test_a_successor_keeps_the_format_and_unchanged_shards_their_digest(desk: Desk) -> None:
    first = desk.lab.sdk.cut(desk.agreement, format="parquet", poll=0.05)
    again = desk.lab.sdk.cut(desk.agreement, poll=0.05)
    assert (first.format, again.format) == ("parquet", "parquet")
    assert [s["sha256"] for s in first.shards] == [s["sha256"] for s in again.shards]
    assert desk.lab.sdk.cut(desk.agreement, format="jsonl+zstd", poll=0.05).format == "jsonl+zstd"
    token = lab_token(desk.service, desk.lab)
    for wrong in ({"format": "csv"}, {"format": 1}, {"formt": "parquet"}, []):
        refused(desk.service.post(f"/v1/agreements/{desk.agreement}/releases", json.dumps(wrong).encode(), token), 422, "body_invalid")


def test_sync_rewrites_parquet_too(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    on_one_backend(desk.service, "about files on the lab's disk: looked at once, on SQLite")
    assert desk.pull("--format", "parquet") == 0
    before = {row["record_id"]: row for row in parquet_rows(desk.folder)}
    gone = desk.withdraw()
    assert desk.sync() == 0 and desk.verify() == 0
    assert "without 1 records that were recalled" in capsys.readouterr().out
    after = parquet_rows(desk.folder)
    assert after == [row for key, row in sorted(before.items()) if key != gone]
    shard = next(desk.folder.glob("*.parquet"))
    whole = shard.read_bytes()
    for broken in (whole[:-1], b"", b"PAR1" + bytes(40), whole.replace(b"PAR1", b"PAR2")):
        shard.write_bytes(broken)
        assert desk.verify() == 1
    assert cli.main(["check", str(desk.folder), "--key", str(desk.key), "--use", "fineTune"]) == 2


def test_tombstones_stand_in_parquet_as_in_json_lines(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> None:
    [parent] = platform.give(1, kind="message", parts={"text": "first"})
    platform.give(1, kind="message", parts={"text": "reply"}, parent=parent.id)
    service.claim(parent).withdraw()
    agreement = lab.agree(platform)
    release = lab.sdk.cut(agreement, format="parquet", poll=0.05)
    [path] = lab.sdk.download(lab.sdk.deliver(release), tmp_path)
    stone, reply = sorted(pq.read_table(path).to_pylist(), key=lambda row: not row["tombstone"])
    assert reply["parent"] == stone["record_id"] and reply["text"] == '"reply"'
    assert {k: v for k, v in stone.items() if v is not None} == {"record_id": stone["record_id"], "kind": "message", "tombstone": True}
    lines = lab.sdk.cut(agreement, format="jsonl+zstd", poll=0.05)
    rows = [row for p in lab.sdk.download(lab.sdk.deliver(lines), tmp_path / "lines") for row in rows_of(p)]
    assert sorted(rows, key=lambda row: not row["tombstone"]) == [stone, reply]
    assert [list(row) for row in rows] == [sorted(COLUMNS)] * 2


@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_reads_the_shards_over_http(desk: Desk, streaming: bool, tmp_path: Path) -> None:
    import datasets  # here, because it takes seconds

    release = desk.lab.sdk.cut(desk.agreement, format="parquet", poll=0.05)
    delivery = desk.lab.sdk.deliver(release)
    found = datasets.load_dataset(
        "parquet", data_files=desk.lab.sdk.urls(delivery), storage_options={"headers": desk.lab.sdk.headers(delivery)}, split="train",
        streaming=streaming, cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    rows = sorted(found, key=lambda row: row["record_id"])
    lines = desk.lab.fetch(desk.lab.sdk.cut(desk.agreement, format="jsonl+zstd", poll=0.05), tmp_path)
    assert [row["text"] for row in rows] == [row["text"] for row in lines] and len(rows) == 12


def test_a_release_of_before_a_column_is_built_again_without_it() -> None:
    """Byte for byte: the bytes here are those that such releases have."""
    from app.releases import parquet
    from app.releases.rows import JsonRows, read_terms

    kept = [["a" * 64], "explicit", "person", None, 0, 0, '[{"kind":"delete"}]', []]
    texts = [b"null", b"null", b"null", b'"1"']
    for labels, more in ((b"", []), (b"", [None]), (b'"labels":["contested"],', [["contested"]]), (b'"labels":[],', [[]])):
        terms = [read_terms([*kept, *more])]
        rows = JsonRows(terms)
        assert rows.row(bytes(32), (0, "message", "en", "plt_x"), None, None, texts, None, bytes(32)) == (
            b'{"attested_by":"person","attribution":null,"basis":"explicit","context":null,"context_terms":null,"credit":null,'
            b'"judgment":null,"kind":"message",%b"language":"en","link":"%b","parent":null,"platform":"plt_x","policies":["%b"],'
            b'"profile":"1","record_id":"%b","text":null}\n' % (labels, b"0" * 64, b"a" * 64, b"0" * 64)
        )
        assert b'"link"' not in rows.row(bytes(32), (0, "message", "en", "plt_x"), None, None, texts, None, None)
        assert rows.tombstone(bytes(32), "message", bytes(32)) == (
            b'{"attested_by":null,"attribution":null,"basis":null,"context":null,"context_terms":null,"credit":null,"judgment":null,'
            b'"kind":"message",%b"language":null,"parent":"%b","platform":null,"policies":null,"profile":null,"record_id":"%b",'
            b'"text":null,"tombstone":true}\n' % (labels and b'"labels":null,', b"0" * 64, b"0" * 64)
        )
        assert ("labels" in parquet.ParquetRows(terms, ()).schema.names) == bool(labels)


@pytest.mark.parametrize("labels", [None, ()])
def test_a_shard_is_written_a_row_group_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: tuple[str, ...] | None) -> None:
    """Memory stays flat: no more rows wait than one row group takes, however many there are."""
    from app.releases import parquet
    from app.releases.rows import BuiltShard, Terms

    monkeypatch.setattr(parquet, "GROUP", 100)
    form = parquet.ParquetRows([Terms(("a" * 64,), "explicit", "person", None, labels=labels)], ("fineTune",))
    built = BuiltShard(0)
    packer = form.packer(built, tmp_path)
    most = 0
    for start in range(0, 1000, 40):
        key = (0, "message", None, "plt_x")
        texts = [form.part(b"1"), None, None, None]
        packer.add(form.block([form.row(n.to_bytes(32), key, None, None, texts, None, None) for n in range(start, start + 40)]))
        most = max(most, sum(batch.num_rows for batch in packer.waiting))
    packer.close()
    assert most < 140
    file = pq.ParquetFile(io.BytesIO(built.path.read_bytes()))
    assert (file.metadata.num_rows, file.metadata.num_row_groups) == (1000, 9)
    assert file.schema_arrow.names == parquet.SCHEMA.names[: 20 if labels is not None else 19] and built.bytes == built.path.stat().st_size
    assert isinstance(file.schema_arrow.field("policies").type, pa.ListType)
