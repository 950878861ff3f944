"""Writing back: a platform's own contributions in their system's shape, with tombstones where something may not be shown."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sayso.models import RawJSON

from app.agreements.exporting import Export
from app.agreements.service import parse
from app.contributions.formats.joining import joined
from app.contributions.formats.registry import ADAPTERS, NAMES, writers
from app.kit.errors import DomainError
from tests.contributions.test_fastchat_hook import hook, logged, post, sent, vote
from tests.contributions.test_importing import SAMPLES, job, perform, stored
from tests.contributions.test_webhooks import Argilla, Studio, annotation, response, studio_event, task
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import accepted
from tests.support import SHOWN, WORDING, PlatformParty, Service, consent, shell

CONSENT = {"template": "evaluation-only", "basis": "explicit", "wording": WORDING, "language": "en", "shown_at": SHOWN}


def written(service: Service, platform: PlatformParty, format_: str, shape: str = "", **use: Any) -> list[bytes]:
    """Each part of an export."""
    asked = {"actions": ["evaluate"], "accepts": ["attribute", "delete"], **use}
    export = Export(service.runtime, platform.id, format_, shape, parse(asked))
    parts = export.plan()
    export.begin(service.clock.now())
    return [b"".join(export.pieces(part)) for part in parts]


def node(own: str, who: str, text: str, *replies: Any, **fields: Any) -> dict[str, Any]:
    return {"message_id": own, "user_id": who, "text": text, "lang": "en", "replies": list(replies), **fields}


def trees(path: Path, *prompts: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"message_tree_id": p["message_id"], "prompt": p}) + "\n" for p in prompts))
    return path


def test_a_withheld_message_leaves_a_node_without_text_and_its_replies_keep_their_place(
    service: Service, platform: PlatformParty, tmp_path: Path
) -> None:
    file = trees(tmp_path / "x.jsonl", node("m1", "u1", "one", node("m2", "u2", "two", node("m3", "u3", "three"))), node("m4", "u1", "four"))
    perform(service, platform, job("openassistant", file, consent=CONSENT))
    [whole] = written(service, platform, "openassistant")
    before = [json.loads(line)["prompt"] for line in file.read_bytes().splitlines()]
    nameless = json.loads(json.dumps(before).replace('"u1"', "null").replace('"u2"', "null").replace('"u3"', "null"))
    assert [json.loads(line)["prompt"] for line in whole.splitlines()] == nameless, "all of it, but for ids of people"
    receipt_for_all(service, platform, "u2").withdraw(scope="all")
    [less] = written(service, platform, "openassistant")
    first, second = (json.loads(line)["prompt"] for line in less.splitlines())
    gone = first["replies"][0]
    assert (gone["message_id"], gone["text"], gone["lang"]) == ("m2", None, None) and gone["replies"][0]["text"] == "three"
    assert first["text"] == "one" and second["text"] == "four" and b"two" not in less
    assert b"one" not in written(service, platform, "openassistant", actions=["fineTune"])[0], "for another use nothing may be shown"


def test_what_stands_in_a_newer_file_too_is_written_once(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    old, new = [node("m1", "u1", "one"), node("m2", "u1", "two")], [node("m1", "u1", "one"), node("m3", "u1", "three")]
    for name, prompts in (("old", old), ("new", new)):
        perform(service, platform, job("openassistant", trees(tmp_path / f"{name}.jsonl", *prompts), consent=CONSENT))
    parts = written(service, platform, "openassistant")
    assert [json.loads(line)["prompt"]["text"] for part in parts for line in part.splitlines()] == ["two", "one", "three"]


def test_lines_that_came_through_a_hook_are_written_as_the_log_has_them(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    url, kept, late = hook(service, platform, CONSENT), vote("c1"), vote("c2")
    assert post(url, sent(kept))[0] == post(url, sent(late))[0] == 201
    [lines] = written(service, platform, "fastchat")
    assert lines == logged({**kept, "ip": None}) + logged({**late, "ip": None})
    log = tmp_path / "log.json"
    log.write_bytes(logged(late))
    perform(service, platform, job("fastchat", log, consent=CONSENT))
    assert written(service, platform, "fastchat") == [logged({**late, "ip": None}), logged({**kept, "ip": None})], "a file that has it goes first"
    pairs = [json.loads(line) for part in written(service, platform, "fastchat", "pairs") for line in part.splitlines()]
    battles = [json.loads(line) for part in written(service, platform, "fastchat", "battles") for line in part.splitlines()]
    assert [one["winner"] for one in battles] == ["model_a", "model_a"] and len({one["question_id"] for one in battles}) == 2
    assert len(pairs) == 2 and all(pair["chosen"] and pair["rejected"] for pair in pairs)


def test_bounty_reports_are_written_as_avid_or_in_their_own_shape(service: Service, platform: PlatformParty) -> None:
    perform(service, platform, job("odin", SAMPLES / "odin.json", consent=CONSENT))
    reports = [json.loads(line) for part in written(service, platform, "odin") for line in part.splitlines()]
    native = json.loads(written(service, platform, "odin", "native")[0])
    assert all(report["data_type"] == "AVID" for report in reports)
    assert isinstance(native, list | dict) and len(stored(service, platform)) == 2


def test_everything_is_written_as_plain_rows_whichever_way_it_came(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    given = platform.give(2, parts={"text": RawJSON('{"a":\n1.10}'), "judgment": 3}, consent=consent("evaluation-only"))
    perform(service, platform, job("openassistant", trees(tmp_path / "x.jsonl", node("m1", "u1", "one", node("m2", "u2", "two"))), consent=CONSENT))
    perform(service, platform, job("polis", SAMPLES / "polis" / "comments.csv"))
    [lines] = written(service, platform, "generic", "jsonl")
    rows = {row["id"]: row for row in map(json.loads, lines.splitlines())}
    assert len(rows) == 6 and rows[given[0].id]["text"] == {"a": 1.10} and b'"text":{"a": 1.10}' in lines and rows[given[0].id]["judgment"] == 3
    assert sorted(str(row["text"]) for row in rows.values() if row["kind"] == "message") == ["one", "two"]
    bare = [row for row in rows.values() if row["tombstone"]]
    assert [set(row) for row in bare] == [{"id", "kind", "parent", "tombstone"}] * 2 and {row["kind"] for row in bare} == {"statement"}
    [packed] = written(service, platform, "generic", "parquet")
    table = {row["id"]: row for row in pq.read_table(io.BytesIO(packed)).to_pylist()}
    assert table.keys() == rows.keys() and table[given[0].id]["text"] == '{"a":\n1.10}'
    assert all(table[own]["parent"] == row["parent"] and table[own]["tombstone"] == row["tombstone"] for own, row in rows.items())
    assert table[bare[0]["id"]]["recorded_on"] is None and table[given[0].id]["recorded_on"] == service.clock.now().date().isoformat()
    assert pq.read_table(io.BytesIO(b"".join(writers("generic")["parquet"].write_plain([])))).num_rows == 0  # type: ignore[index]


def test_what_a_hook_brought_piece_by_piece_is_one_record_for_its_own_import(service: Service, platform: PlatformParty) -> None:
    studio = Studio(service, platform, CONSENT)
    for own in (11, 12):
        studio.tell(studio_event(annotation=annotation(own)))
    studio.tell(studio_event(task=task(2), annotation=annotation(13, of=2)))
    [text] = written(service, platform, "label-studio")
    found = json.loads(text)
    assert [(one["id"], [given["id"] for given in one["annotations"]]) for one in found] == [(1, [11, 12]), (2, [13])]
    argilla = Argilla(service, platform, CONSENT)
    for own, record in (("r1", "rec1"), ("r2", "rec1"), ("r3", "rec2")):
        given = response(own)
        accepted(argilla.tell("response.created", {**given, "record": {**given["record"], "id": record}}))
    [text] = written(service, platform, "argilla")
    assert [(one["id"], [given["id"] for given in one["responses"]]) for one in json.loads(text)] == [("rec1", ["r1", "r2"]), ("rec2", ["r3"])]
    assert list(joined([], "annotations")) == [b"[]\n"]


def test_an_eval_log_is_not_rewritten_but_told_what_to_invalidate(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    perform(service, platform, job("inspect", SAMPLES / "inspect.json", consent=CONSENT))
    assert written(service, platform, "inspect") == [b""]
    receipt_for_all(service, platform, "au-1").withdraw(scope="all")
    [edit] = [json.loads(line) for line in written(service, platform, "inspect")[0].splitlines()]
    assert (edit["sample_uuid"], edit["provenance"]["reason"]) == ("uu1", "consent")
    assert datetime.fromisoformat(edit["provenance"]["timestamp"]) <= service.clock.now()
    # A later log with some of it has its own samples, and what never had terms, or waits for its day, is none that was taken back.
    log = json.loads((SAMPLES / "inspect.json").read_bytes())
    later, bare = tmp_path / "later.json", tmp_path / "bare.json"
    later.write_text(json.dumps({**log, "samples": log["samples"][1:]}))
    fresh = [{**log["samples"][0], "uuid": "uu9", "metadata": {"contributor": "au-9"}}]
    bare.write_text(json.dumps({**log, "eval": {**log["eval"], "run_id": "run9"}, "samples": fresh}))
    perform(service, platform, job("inspect", later, consent=CONSENT))
    perform(service, platform, job("inspect", bare))
    told = [json.loads(line)["sample_uuid"] for part in written(service, platform, "inspect") for line in part.splitlines()]
    assert told == ["uu1"]
    log = json.loads(written(service, platform, "inspect", "native")[0])
    assert [one["uuid"] for one in log["samples"]] == ["uu1", "uu2"] and log["samples"][0]["target"] is None


def test_what_cannot_be_written_is_refused_by_name(service: Service, platform: PlatformParty) -> None:
    for format_, shape, code in (
        ("nothing", "", "format_unknown"), ("testimony", "", "format_not_written"), ("openassistant", "dpo", "format_not_written"),
        ("polis", "", "nothing_to_export"),
    ):  # fmt: skip
        with pytest.raises(DomainError) as caught:
            written(service, platform, format_, shape)
        assert caught.value.code == code and caught.value.detail[-1] == "."
    assert {name for name in NAMES if writers(name) == {}} == {name for name, adapter in ADAPTERS.items() if adapter.writer is None}


def test_the_command_writes_a_file_or_a_folder(tmp_path: Path) -> None:
    run = shell(tmp_path / "data", SAYSO_HOLD_HOURS="0")
    platform = json.loads(run(["platforms", "add", "Here", "--json"]).stdout)["client_id"]
    wording = tmp_path / "told.txt"
    wording.write_text("Labs may test models with it.")
    told = ["--policy", "evaluation-only", "--basis", "explicit", "--wording", str(wording), "--language", "en", "--shown-at", SHOWN]
    imported = trees(tmp_path / "x.jsonl", node("m1", "u1", "one", node("m2", "u2", "two")))
    for name, file in (("openassistant", imported), ("polis", SAMPLES / "polis" / "comments.csv"), ("polis", SAMPLES / "polis" / "votes.csv")):
        assert run(["import", "--format", name, str(file), "--platform", platform, *told]).exit_code == 0
    out = tmp_path / "out.jsonl"
    done = run(["export", "--format", "openassistant", "--platform", platform, "-o", str(out)])
    assert done.exit_code == 0 and "1 records, 2 contributions shown and 0 withheld, for evaluate" in done.stderr
    assert json.loads(out.read_bytes())["prompt"]["replies"][0]["text"] == "two"
    assert run(["export", "--format", "openassistant", "--platform", platform]).stdout.encode() == out.read_bytes()
    trained = run(["export", "--format", "openassistant", "--platform", platform, "--action", "fineTune"])
    assert json.loads(trained.stdout)["prompt"]["text"] is None and "0 contributions shown" in trained.stderr
    for more, code in (
        (["--format", "polis"], "export_several"), (["--format", "openassistant", "--action", "sell"], "policy_unknown_term"),
        (["--format", "openassistant", "-o", str(tmp_path / "no" / "x")], "file_unreadable"),
    ):  # fmt: skip
        refused = run(["export", "--platform", platform, *more])
        assert refused.exit_code == 2 and refused.stderr.startswith(code + ": "), refused.output
    assert run(["export", "--format", "polis", "--platform", "plt_x"]).stderr.startswith("not_found: ")
    (tmp_path / "folder").mkdir()
    assert run(["export", "--format", "polis", "--platform", platform, "-o", str(tmp_path / "folder")]).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["polis-1", "polis-2"]
    ledger = run(["check-log"])
    assert ledger.exit_code == 0
