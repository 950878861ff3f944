"""The OpenAssistant reader: every node once, texts byte for byte, parents first, nobody's words taken for another's."""

import json
from collections import Counter
from pathlib import Path

import pytest

from app.contributions.formats.draft import Draft, NotThisFormat
from app.contributions.formats.openassistant import read
from app.core.strictjson import split_ndjson

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "app" / "demo" / "samples" / "oasst_trees.jsonl"
SHARED = ROOT.parent / "shared" / "data" / "oasst"


def lines_of(path: Path) -> list[bytes]:
    if not path.exists():
        pytest.skip(f"{path} is absent: the real export is not part of the project")
    return [line for _, line in split_ndjson(path.read_bytes())]


def drafts_of(path: Path) -> list[Draft]:
    return list(read(lines_of(path)))


def nodes_of(path: Path):
    def walk(node):
        yield node
        for reply in node["replies"]:
            yield from walk(reply)

    for line in lines_of(path):
        top = json.loads(line)
        yield from walk(top.get("prompt", top))


FILES = [SAMPLES, SHARED / "en_100_tree.jsonl", SHARED / "en_100_message.jsonl"]
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@EVERY_FILE
def test_every_node_is_one_message(path):
    drafts = drafts_of(path)
    assert [draft.external_id for draft in drafts] == [node["message_id"] for node in nodes_of(path)]
    assert len({draft.external_id for draft in drafts}) == len(drafts)
    assert {draft.kind for draft in drafts} == {"message"}
    assert [draft.language for draft in drafts] == [node["lang"] for node in nodes_of(path)]
    if path.parent == SHARED:
        assert len(drafts) == 1167
        assert Counter(tuple(sorted(draft.parts)) for draft in drafts) == {("context", "text"): 1145, ("context",): 22}


@EVERY_FILE
def test_parents_come_first(path):
    seen = set()
    for draft, node in zip(drafts_of(path), nodes_of(path), strict=True):
        assert draft.parent == node.get("parent_id")
        assert draft.parent is None or draft.parent in seen
        seen.add(draft.external_id)


@EVERY_FILE
def test_a_persons_text_is_the_exact_octets_of_the_line(path):
    whole = path.read_bytes() if path.exists() else b""
    for draft, node in zip(drafts_of(path), nodes_of(path), strict=True):
        context = json.loads(draft.parts["context"])
        if node["synthetic"]:
            assert context["text"] == node["text"] and "text" not in draft.parts
        else:
            assert b'"text": ' + draft.parts["text"] in whole
            assert json.loads(draft.parts["text"]) == node["text"] and "text" not in context


@EVERY_FILE
def test_context_has_the_rest_and_no_ids(path):
    own = {"message_id", "parent_id", "lang", "created_date", "text", "replies"}
    for draft, node in zip(drafts_of(path), nodes_of(path), strict=True):
        context = json.loads(draft.parts["context"])
        context.pop("tree_state", None)
        context.pop("text", None)
        assert context == {name: value for name, value in node.items() if name not in own}
        assert set(draft.parts) <= {"text", "context"}


def test_the_samples_have_the_traps():
    drafts = drafts_of(SAMPLES)
    joined = b"".join(draft.parts["context"] for draft in drafts)
    texts = b"".join(draft.parts.get("text", b"") for draft in drafts)
    assert b"9007199254740993" in joined and b"1e-05" in joined and b'"rank":null' in joined
    assert "\u2028".encode() in texts and b'{\\"total\\": 12345678901234567890}' in texts
    assert b"\\ud83d\\ude42" in texts or "\U0001f642".encode() in texts
    assert {draft.language for draft in drafts} == {"en", "es"} and 50 <= len(drafts) <= 70
    assert any(draft.created_at for draft in drafts)


def node(**fields) -> bytes:
    base = {"message_id": "m1", "text": "hello", "role": "prompter", "lang": "en", "replies": []}
    return json.dumps(base | fields).encode()


def one(line: bytes) -> Draft:
    (draft,) = read([line])
    return draft


def test_numbers_and_spacing_of_context_are_kept():
    line = b'{"message_id":"m1","text":"x" ,"labels": {"q": {"value": 1.50, "count": 9007199254740993}} ,"rank":-0.0}'
    assert one(line).parts == {
        "text": b'"x"',
        "context": b'{"labels":{"q": {"value": 1.50, "count": 9007199254740993}},"rank":-0.0}',
    }


def test_a_model_name_alone_makes_it_the_models_words():
    assert one(node(model_name="m", synthetic=False)).parts.keys() == {"context"}
    assert one(node(model_name=None, synthetic=False)).parts.keys() == {"context", "text"}


def test_deleted_words_are_not_brought_back():
    for fields in ({"deleted": True}, {"deleted": True, "synthetic": True}):
        draft = one(node(**fields))
        assert draft.parts.keys() == {"context"} and b"hello" not in draft.parts["context"]


def test_other_peoples_events_and_ids_stay_out():
    draft = one(node(user_id="u-77", events={"rating": [{"user_id": "u-88", "type": "rating"}]}))
    assert draft.contributor == "u-77"
    assert b"u-77" not in draft.parts["context"] and b"u-88" not in draft.parts["context"]


def test_a_message_that_was_withheld_where_it_was_written_holds_its_place():
    withheld = {"message_id": "m2", "parent_id": "m1", "text": None, "replies": [{"message_id": "m3", "text": "x"}]}
    above, gone, reply = read([node(replies=[withheld])])
    assert gone.parts.keys() == {"context"} and reply.parent == "m2" and above.parts["text"]


def test_blank_lines_and_flat_files():
    flat = [node(), b"\n", b"", node(message_id="m2", parent_id="m1")]
    assert [(draft.external_id, draft.parent) for draft in read(flat)] == [("m1", None), ("m2", "m1")]


@pytest.mark.parametrize(
    "line",
    [
        b"[]", b"{}", b"{", b'{"prompt": 1}', b'{"prompt": null}', b'{"a":1,"a":1}', node(message_id=7),
        node(message_id=""), node(text=5), node(text=[]), node(replies={}), node(replies=[1]), node(parent_id=3),
        node(lang=["en"]), node(replies=[{"message_id": "m2", "parent_id": "elsewhere", "text": "secret"}]),
    ],
    ids=lambda line: ascii(line[:40]),
)  # fmt: skip
def test_refuses_what_is_not_this_format(line):
    with pytest.raises(NotThisFormat) as caught:
        list(read([node(message_id="m0"), line]))
    assert caught.value.line == 2 and "secret" not in str(caught.value)
