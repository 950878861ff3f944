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

from tests.client.test_keeping_in_step import Desk
from tests.support import OPEN_TRAINING, LabParty, PlatformParty, Service, consent

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


# -- properties -----------------------------------------------------------------------------------------------------------
KINDS = st.sampled_from(["preference", "message", "rating", "refusal", "critique", "conversation"])
WHOLE = {"prompt": "q", "response_a": "x", "response_b": "y"}
ANY = st.none() | st.sampled_from([{"winner": "a"}, {"winner": "tie"}, 1, "b", True, [], {}, {"a": "x", "b": "y"}, "words", WHOLE, BATTLE])
CONTENT = ("prompt", "chosen", "content", "winner", "judgment", "conversation_a")


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
        ids = [one for made in found for one in made.get("records") or [made["record_id"]]]
        # Each record stands in the view, or is of a kind that is counted as not shown there; what is withheld shows no content.
        counted = Counter(kind for record, kind in kinds.items() if record not in ids)
        assert dict(counted) == about["not_shown"], name
        assert len(found) == about["rows"] and about["records"] + about["tombstones"] == len(rows)
        assert sum(1 for made in found if made.get("left_out")) == sum(about["left_out"].values())
        for made in found:
            if made["record_id"] in stones and name != "generic":
                assert made["tombstone"] and not any(made.get(part) for part in CONTENT)
            assert made["record_id"] in kinds or made["tombstone"]
        if name == "battles":
            assert sum(about["outcomes"].values()) == sum(sum(group["outcomes"].values()) for group in about["groups"])
        assert json.dumps(found) == json.dumps(shown(name, *rows)[0])


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
    if service.backend != "sqlite":
        pytest.skip("about files on the lab's disk: looked at once, on SQLite")
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
