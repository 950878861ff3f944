"""Views of a pulled release: nothing is lost silently, ids stay on each row, and a recall reaches the files that hold one."""

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sayso import cli, derived, views
from sayso.proofs import Failed

from app.contributions.formats import openassistant
from tests.client.desk import Desk
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent, on_one_backend

BATTLE = {"conversation_a": ["hello", "more"], "conversation_b": ["hi", "less"], "model_a": "m1", "model_b": "m2"}


def rid(n: int) -> str:
    return f"{n:064x}"


def row(n: int, kind: str = "preference", *, parent: int | None = None, **parts: Any) -> dict[str, Any]:
    made = {"record_id": rid(n), "kind": kind, "parent": None if parent is None else rid(parent), "language": "en", "platform": "p"}
    return made | {"policies": ["d"], "credit": None, **{name: json.dumps(value) for name, value in parts.items()}}


def stone(n: int, kind: str = "preference", parent: int | None = None) -> dict[str, Any]:
    return {"record_id": rid(n), "kind": kind, "parent": None if parent is None else rid(parent), "tombstone": True, "policies": None}


def shown(name: str, *rows: dict[str, Any], groups: Any = ()) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found, tally = views.project(lambda: rows, name, groups)
    return list(found), tally.to_json()


def said(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


# -- shapes -------------------------------------------------------------------------------------------------------------
PAIRS = {
    "a battle": ({"winner": "model_b"}, {"conversation_a": ["q", "r"]}, BATTLE, ["q"], ["hi", "r", "less"], ["hello", "r", "more"]),
    "a vote in a log": (
        {"type": "leftvote"}, {"a": {"prompts": ["q"]}, "b": {"prompts": ["q"]}}, {"a": {"answers": ["x"]}, "b": {"answers": ["y"]}},
        ["q"], ["x"], ["y"],
    ),
    "a vote as a remote logger writes it": (
        {"type": "rightvote"}, {"states": json.dumps([{"messages": [["USER", "q"], ["ASSISTANT", word], ["USER", None]]} for word in "xy"])},
        {"models": '["m1", "m2"]'}, ["q"], ["y"], ["x"],
    ),
    "one instruction": (2, None, {"instruction": "i", "input": "more", "response1": "x", "response2": "y"}, ["i\n\nmore"], ["y"], ["x"]),
    "two dialogues as text": (
        {"preferred": "a"}, {"a": "\n\nHuman: q\n\nAssistant: x", "b": "\n\nHuman: q\n\nAssistant: y"}, None, ["q"], ["x"], ["y"],
    ),
    "an item of words": (1, {"input": "q", "output_1": "x", "output_2": "y"}, None, ["q"], ["x"], ["y"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_preference_pairs_of_what_systems_record(name: str) -> None:
    judgment, text, context, prompt, chosen, rejected = PAIRS[name]
    text = {**text, "conversation_b": text["conversation_a"]} if name == "a battle" else text
    [made], about = shown("preference-pairs", row(1, judgment=judgment, text=text, context=context))
    contents = [[one["content"] for one in made[part]] for part in ("prompt", "chosen", "rejected")]
    assert contents == [prompt, chosen, rejected] and made["chosen"][-1]["role"] == "assistant"
    assert (made["record_id"], made["policies"], made["left_out"], about["rows"]) == (rid(1), ["d"], None, 1)


def test_what_is_no_pair_says_why() -> None:
    rows, about = shown(
        "preference-pairs", row(1, judgment={"winner": "tie"}), row(2, text={"a": "x"}), row(3, judgment={"winner": "a"}), stone(4),
        row(5, judgment={"winner": "purple"}), row(6, "rating", judgment=4), stone(7, "refusal", 1),
    )  # fmt: skip
    assert [made["left_out"] for made in rows] == ["tie", "judgment-withheld", "no-answers", "withheld", "no-winner"]
    assert about["not_shown"] == {"rating": 1, "refusal": 1} and (about["records"], about["tombstones"]) == (5, 2)
    assert about["against"] == {"critique": 0, "objection": 0, "refusal": 1} == about["withheld"]


def test_battles_carry_what_speaks_against_them_and_the_split_by_group() -> None:
    groups = [{"platform": "p", "language": "en", "kind": "preference", "records": 12}]
    rows, about = shown(
        "battles", row(1, "message", text="q"), row(2, parent=1, judgment={"winner": "a"}, context=BATTLE),
        row(3, parent=1, judgment={"winner": "tie (bothbad)"}), {**row(4, judgment={"winner": "b"}), "language": "sw"}, stone(5),
        row(6, "critique", parent=4, text="no"), stone(7, "refusal", 1), row(8, "objection", parent=2, text="no"), groups=groups,
    )  # fmt: skip
    assert [(made["winner"], made["contested"], len(made["against"])) for made in rows] == [
        ("a", True, 2), ("both-bad", True, 1), ("b", True, 1), (None, False, 0),
    ]  # fmt: skip
    assert (rows[0]["model_a"], rows[0]["conversation_a"]) == ("m1", None)
    assert rows[0]["against"] == [rid(7), rid(8)]
    assert about["contested"] == 3 and about["withheld"]["refusal"] == 1 and about["against"] == {"critique": 1, "objection": 1, "refusal": 1}
    named, other = about["groups"]
    assert (named["outcomes"]["a"], named["outcomes"]["both-bad"], named["outcomes"]["b"]) == (1, 1, 0)
    assert other["other"] is True and other["outcomes"]["b"] == 1 and about["outcomes"] == {"a": 1, "b": 1, "both-bad": 1}


def test_every_view_of_preferences_counts_what_is_contested_and_no_other_says_a_number() -> None:
    rows = (
        row(1, "message", text="q"), row(2, parent=1, judgment={"winner": "a"}, context=BATTLE), row(3, parent=1, judgment={"winner": "tie"}),
        row(4, judgment={"winner": "b"}), row(5, "refusal", parent=1, text="no"), stone(6, "critique", 4),
    )  # fmt: skip
    contested = {name: shown(name, *rows)[1].get("contested") for name in views.NAMES}
    assert {name for name, count in contested.items() if count == 2} == {"preference-pairs", "battles", "sft", "kto", "fastchat"}
    assert set(contested.values()) == {2, None}, "what is not counted is not said to be none"


def test_messages_are_threads_to_each_last_message_and_dialogues() -> None:
    rows, _ = shown(
        "messages", row(1, "message", text="q", context={"role": "prompter"}),
        row(2, "message", parent=1, text="x", context={"role": "assistant"}),
        {**row(3, "message", parent=1, context={"text": "y", "role": "assistant"}), "credit": "Ann"},
        row(4, "rating", parent=2, judgment=3), stone(5, "message", 3), row(7, "conversation", text=[1]),
        row(6, "conversation", text={"conversation": ["q"]}, context={"conversation": ["x"]}),
    )  # fmt: skip
    assert [made["messages"] for made in rows] == [
        said("q", "x"), None, said("q", "x"), [*said("q", "y"), {"role": None, "content": None}],
    ]  # fmt: skip
    assert [made["records"] for made in rows] == [[rid(6)], [rid(7)], [rid(1), rid(2)], [rid(1), rid(3), rid(5)]]
    assert rows[3]["withheld"] == [rid(5)] and rows[3]["credits"] == ["Ann"] and rows[1]["left_out"] == "no-dialogue"


def test_trees_keep_the_place_of_what_is_not_there() -> None:
    rows, _ = shown(
        "trees", row(2, "message", parent=9, text="x"), row(3, "rating", parent=2, judgment=1), stone(4, "message", 2), row(1, "message", text="q"),
    )  # fmt: skip
    assert [(made["record_id"], made["depth"], made["tombstone"], made["tree"]) for made in rows] == [
        (rid(1), 0, False, rid(1)), (rid(9), 0, True, rid(9)), (rid(2), 1, False, rid(9)), (rid(3), 2, False, rid(9)), (rid(4), 2, True, rid(9)),
    ]  # fmt: skip
    with pytest.raises(Failed, match="circle"):
        shown("trees", row(1, "message", parent=2), row(2, "message", parent=1))
    with pytest.raises(Failed, match="no view of that name"):
        shown("arena")


def test_a_long_thread_is_walked_without_recursion() -> None:
    rows, _ = shown("trees", *(row(n, "message", parent=n - 1 or None, text="x") for n in range(1, 3001)))
    assert [made["depth"] for made in rows] == list(range(3000))


# -- the shapes of systems and trainers -----------------------------------------------------------------------------------
def test_trees_as_openassistant_has_them_go_through_an_importer_of_its_files() -> None:
    """Nested, withheld messages as nodes without text, and what is deeper than strict readers go on a line of its own."""
    rows, about = shown(
        "openassistant", row(1, "message", text="q", context={"role": "prompter", "rank": None, "tree_state": "ready_for_export", "message_id": "x"}),
        stone(2, "message", 1), row(3, "message", parent=2, text="x", context={"role": "assistant", "rank": 0}),
        row(4, "rating", parent=3, judgment=1),
    )  # fmt: skip
    [line] = rows
    above, gone, reply = line["prompt"], line["prompt"]["replies"][0], line["prompt"]["replies"][0]["replies"][0]
    assert (line["message_tree_id"], line["tree_state"], above["message_id"], above["role"]) == (rid(1), "ready_for_export", rid(1), "prompter")
    assert (gone["text"], gone["role"], gone["deleted"], gone["sayso"]["left_out"]) == ("", "assistant", True, "withheld")
    assert (reply["text"], reply["parent_id"], reply["rank"]) == ("x", rid(2), 0)
    assert [one.external_id for one in openassistant.read([json.dumps(line).encode()])] == [rid(1), rid(2), rid(3)]
    [said_more], _ = shown("openassistant", row(1, "message", text={"content": "q", "mood": "good"}, judgment=3, profile={"age": 30}))
    assert (said_more["prompt"]["text"], said_more["prompt"]["mood"], said_more["prompt"]["judgment"], said_more["prompt"]["profile"]) == (
        "q", "good", 3, {"age": 30},
    )  # fmt: skip
    assert about["left_out"] == {"withheld": 1} and about["not_shown"] == {"rating": 1} and about["rows"] == 1
    deep = [row(n, "message", parent=n - 1 or None, text=f"t{n}", context={"role": "prompter"}) for n in range(1, 101)]
    lines, _ = shown("openassistant", *deep)
    assert [(one["message_tree_id"], one["prompt"]["message_id"], one["prompt"]["parent_id"]) for one in lines] == [
        (rid(1), rid(1), None), (rid(1), rid(31), rid(30)), (rid(1), rid(61), rid(60)), (rid(1), rid(91), rid(90)),
    ]  # fmt: skip
    read = list(openassistant.read(json.dumps(one).encode() for one in lines))
    assert [(one.external_id, one.parent, json.loads(one.parts["text"])) for one in read] == [
        (rid(n), rid(n - 1) if n > 1 else None, f"t{n}") for n in range(1, 101)
    ]  # fmt: skip


def test_battles_as_the_arena_publishes_them() -> None:
    asked = {"conversation_a": ["q", "r"], "conversation_b": ["q", "r"]}
    rows, about = shown(
        "fastchat", row(1, judgment={"winner": "tie (bothbad)"}, text=asked, context=BATTLE), row(2, judgment={"type": "rightvote"}), stone(3),
        row(4, "refusal", parent=1, text="no"),
    )  # fmt: skip
    assert [one["winner"] for one in rows] == ["tie (bothbad)", "model_b", None]
    first = rows[0]
    assert (first["question_id"], first["model_a"], first["turn"], first["language"]) == (rid(1), "m1", 2, "en")
    assert first["conversation_b"] == said("q", "hi", "r", "less") and first["sayso"]["contested"] and first["sayso"]["against"] == [rid(4)]
    assert rows[2]["sayso"]["left_out"] == "withheld" and about["outcomes"]["both-bad"] == 1 and about["against"]["refusal"] == 1


def test_what_trainers_read() -> None:
    pair = row(1, judgment={"winner": "b"}, context={"prompt": "q", "response_a": "x", "response_b": "y"})
    [sft, empty], _ = shown("sft", pair, row(2, judgment={"winner": "tie"}))
    assert sft["messages"] == said("q", "y") and (empty["messages"], empty["left_out"]) == (None, "tie")
    kto, about = shown("kto", pair, stone(3))
    assert [(one["prompt"], one["completion"], one["label"]) for one in kto] == [
        (said("q"), said("", "y")[1:], True), (said("q"), said("", "x")[1:], False), (None, None, None),
    ]  # fmt: skip
    assert about["rows"] == 3 and about["records"] == 1 and about["outcomes"]["b"] == 1


def test_reports_as_avid_has_them() -> None:
    given = {"title": "t", "description": "d", "details": "e"}
    own = {"problemtype": {"type": "Issue"}, "description": {"lang": "eng", "value": "d"}}
    rows, _ = shown(
        "avid", row(1, "vulnerability_report", text=given, profile={"credit": "Ann  B"}), stone(2, "vulnerability_report"),
        row(3, "vulnerability_report", text=own, judgment={"impact": {"avid": {}}}),
    )  # fmt: skip
    assert (rows[0]["description"]["value"], rows[0]["metadata"]["report_id"], rows[0]["credit"][0]["value"]) == ("d\n\ne", rid(1), "Ann  B")
    assert (rows[1]["description"]["value"], rows[1]["sayso"]["left_out"], rows[1]["credit"]) == ("", "withheld", None)
    assert (rows[2]["problemtype"], rows[2]["description"], rows[2]["impact"]) == ({"type": "Issue"}, own["description"], {"avid": {}})
    named = [{"lang": "eng", "value": "Mike"}]
    assert shown("avid", row(1, "vulnerability_report", text=own, profile={"credit": named}))[0][0]["credit"] == named


def test_records_have_the_names_that_their_system_gave() -> None:
    talk = {"text": {"conversation": ["q"], "title": "t"}, "context": {"conversation": ["x"], "model_name": "m"}}
    rows, _ = shown(
        "records", row(1, "conversation", judgment={"rate": "1"}, profile={"user_metadata": {"age": "30"}}, **talk),
        row(2, "rating", judgment=1, text="why"), row(3, "label", text={"a": {"x": 1}, "sayso": 2}, context={"a": {"y": 2}, "b": 1}),
        row(4, "label", text={"a": 1, "conversation": ["p", "q"]}, context={"a": 2, "conversation": ["x"]}), stone(5),
    )  # fmt: skip
    bare = [{name: value for name, value in one.items() if name != "sayso"} for one in rows]
    assert bare == [
        {"conversation": said("q", "x"), "title": "t", "rate": "1", "model_name": "m", "user_metadata": {"age": "30"}},
        {"text": "why", "judgment": 1}, {"text": {"a": {"x": 1}, "sayso": 2}, "a": {"y": 2}, "b": 1},
        {"a": 1, "conversation": ["p", "q"], "context": {"a": 2, "conversation": ["x"]}}, {},
    ]  # fmt: skip
    assert rows[4]["sayso"]["left_out"] == "withheld" and rows[0]["sayso"]["record_id"] == rid(1)
    odd = {"messages": [{"role": "user", "content": "m"}], "conversation": ["kept"]}
    assert shown("records", row(1, "conversation", text=odd))[0][0]["conversation"] == ["kept"]
    rows, about = shown("records", row(1, judgment={"left_out": ["x"]}), row(2, judgment={"left_out": "words"}))
    assert about["left_out"] == {} and rows[0]["left_out"] == ["x"], "names at the top are their system's"


# -- properties -----------------------------------------------------------------------------------------------------------
KINDS = st.sampled_from(["preference", "message", "rating", "refusal", "critique", "conversation"])
WHOLE = {"prompt": "q", "response_a": "x", "response_b": "y"}
ANY = st.none() | st.sampled_from([{"winner": "a"}, {"winner": "tie"}, 1, "b", True, [], {}, {"a": "x", "b": "y"}, "words", WHOLE, BATTLE])
CONTENT = ("prompt", "chosen", "content", "winner", "judgment", "conversation_a", "messages", "completion", "text")


@st.composite
def releases(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows as a release may have them: parents of any kind before or after, tombstones, parts withheld, recalled parents."""
    made = []
    for n in range(1, draw(st.integers(0, 9)) + 1):
        kind, parent = draw(KINDS), draw(st.none() | st.integers(0, n - 1))
        parent = None if parent == 0 else parent
        if draw(st.booleans()) and draw(st.booleans()):
            made.append(stone(n, kind, parent))
        else:
            parts = {name: value for name in ("text", "judgment", "context") if (value := draw(ANY)) is not None}
            made.append(row(n, kind, parent=parent, **parts))
    gone = draw(st.sets(st.integers(1, 9), max_size=2))
    return [one for one in made if int(one["record_id"], 16) not in gone]


@settings(max_examples=150)
@given(releases())
def test_a_view_loses_nothing_silently(rows: list[dict[str, Any]]) -> None:
    kinds = {one["record_id"]: one["kind"] for one in rows}
    stones = {one["record_id"] for one in rows if one.get("tombstone")}
    for name in views.NAMES:
        found, about = shown(name, *rows)
        assert json.dumps(found) == json.dumps(shown(name, *rows)[0])
        lines, found = len(found), list(flat(name, found))
        ids = [one for made in found for one in made.get("records") or [made["record_id"]]]
        # Each record stands in the view, or is of a kind that is counted as not shown there; what is withheld shows no content.
        counted = Counter(kind for record, kind in kinds.items() if record not in ids)
        assert dict(counted) == about["not_shown"], name
        assert lines == about["rows"] and about["records"] + about["tombstones"] == len(rows)
        assert sum(1 for made in found if made.get("left_out")) == sum(about["left_out"].values())
        for made in found:
            if made["record_id"] in stones and name != "generic":
                assert made["left_out"] == "withheld" and not any(made.get(part) for part in CONTENT)
            assert made["record_id"] in kinds or made["left_out"] == "withheld"
        if name == "battles":
            assert sum(about["outcomes"].values()) == sum(sum(group["outcomes"].values()) for group in about["groups"])


def flat(name: str, found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of a view, or of another system's shape the objects in it, each with its record id and why it is empty."""
    waiting = [made["prompt"] if name == "openassistant" else made for made in reversed(found)]
    while waiting:
        made = waiting.pop()
        if name == "openassistant":
            assert made["message_id"] == made["sayso"]["record_id"]
            waiting += reversed(made["replies"])
        yield {**made, **made["sayso"]} if "sayso" in made else made


def test_memory_does_not_grow_with_the_release() -> None:
    def many(n: int) -> Iterator[dict[str, Any]]:
        for i in range(1, n + 1):
            yield row(i, "message", parent=i - 1 if i % 5 else None, text="x" * 4000)

    found, _ = views.project(lambda: many(4000), "messages")
    tracemalloc.start()
    try:
        assert sum(1 for _ in found) == 801
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000, "sixteen megabytes of words passed through"  # others of this process allocate beside it


# -- files ------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def desk(service: Service, platform: PlatformParty, lab: LabParty, tmp_path: Path) -> Desk:
    on_one_backend(service, "about files on the lab's disk: looked at once, on SQLite")
    parts = {"text": {"prompt": "q"}, "judgment": {"winner": "a"}, "context": {"response_a": "x", "response_b": "y"}}
    return Desk(service, platform, lab, tmp_path, records=4, use=OPEN_TRAINING, consent=consent("open-model-training-with-credit"), parts=parts)


def test_a_recall_reaches_the_files_of_views(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sayso

    assert desk.pull() == 0
    out, packed, bent = tmp_path / "pairs.jsonl", tmp_path / "battles.jsonl.zst", tmp_path / "bent.jsonl"
    for name, path in (("preference-pairs", out), ("battles", packed), ("trees", bent)):
        assert cli.main(["view", str(desk.folder), name, "-o", str(path)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [made["chosen"] for made in lines] == [[{"role": "assistant", "content": "x"}]] * 4
    loaded = sayso.load(desk.folder, view="preference-pairs")
    assert list(loaded["record_id"]) == [made["record_id"] for made in lines] and loaded[0]["rejected"][0]["content"] == "y"
    assert [one["label"] for one in sayso.load(desk.folder, view="kto")] == [True, False] * 4
    assert sayso.load(desk.folder, view="sft")[0]["messages"] == said("q", "x")
    # A loaded view of preferences carries the counts that stand beside its file, streamed or not; one that counts nothing says nothing.
    counted = json.loads((tmp_path / "battles.jsonl.zst.about.json").read_text())
    for streaming in (False, True):
        told = json.loads(sayso.load(desk.folder, view="battles", streaming=streaming).info.description.splitlines()[-1])
        assert told["outcomes"] == {"a": 4} and told.items() <= counted.items() and {"against", "contested", "groups"} <= set(told)
        assert not sayso.load(desk.folder, view="trees", streaming=streaming).info.description
    # What was written is remembered; another's file is not touched; names of shards are not taken.
    (tmp_path / "mine.jsonl").write_text("mine")
    for name in ("mine.jsonl", "ab" * 32 + ".jsonl", "pairs.csv"):
        assert cli.main(["view", str(desk.folder), "trees", "-o", str(tmp_path / name)]) == 2
    with pytest.raises(sayso.SaysoError, match="no view of that name"):
        sayso.load(desk.folder, view="arena")
    bent.write_text(bent.read_text() + "\n")
    capsys.readouterr()

    gone = desk.withdraw()
    assert desk.sync() == 1
    told = capsys.readouterr().out
    assert f"{out} was made anew" in told and f"{bent} is stale" in told and "is acknowledged" in told and "is attested" not in told
    assert gone not in out.read_text() and len(out.read_text().splitlines()) == 3
    about = json.loads((tmp_path / "pairs.jsonl.about.json").read_text())
    assert about["sha256"] == derived.load(desk.folder)[2].sha256 and about["records"] == 3
    bent.unlink()
    assert desk.sync() == 0 and "is attested" in capsys.readouterr().out
    assert {Path(one.path).name for one in derived.load(desk.folder)} == {"pairs.jsonl", "battles.jsonl.zst"}
    assert not (tmp_path / "bent.jsonl.about.json").exists() and desk.verify() == 0


def test_a_file_that_a_killed_run_left_is_not_taken_for_changed(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.pull() == 0
    folder, path = derived.Folder(desk.lab.sdk, desk.folder), tmp_path / "t.jsonl"
    real = derived._save

    def once(where: Path, files: Any) -> None:
        files = list(files)
        if all(one.sha256 for one in files):
            raise KeyboardInterrupt
        real(where, files)

    monkeypatch.setattr(derived, "_save", once)
    with pytest.raises(KeyboardInterrupt):
        derived.write(folder, "trees", path)
    monkeypatch.undo()
    assert path.exists() and derived.refresh(folder).written == [str(path)] and not derived.refresh(folder).written
