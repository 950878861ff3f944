"""Each system: whose words go where, and what its writers give."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sayso import shapes, systems

from app.contributions.formats import bounty, generic, sharelm
from app.contributions.formats.adapter import instant
from app.contributions.formats.cutting import Row, dump_skeleton, splice
from app.contributions.formats.draft import UNTIL_FIXED, Refusal
from app.contributions.formats.registry import ADAPTERS, writers
from app.contributions.models import KINDS
from tests.contributions.format_cases import (
    EVERY,
    MAPPING,
    MINE,
    SAMPLES,
    SHAPES,
    drafts,
    json_of,
    kinds,
    name_of,
    read,
    sample_of,
)


def test_fastchat_votes_prompts_and_answers_stand_apart() -> None:
    vote = next(d for d in drafts("fastchat.jsonl") if d.external_id == "a0/leftvote/1700000001.5")
    assert json.loads(vote.parts["judgment"]) == {"type": "leftvote"}
    text, context = json.loads(vote.parts["text"]), json.loads(vote.parts["context"])
    assert [len(text[side]["prompts"]) for side in "ab"] == [2, 2]
    assert context["a"]["answers"] == ["Hi from m-1"] and context["b"]["model_name"] == "m-2"
    assert vote.contributor is None and vote.created_at == "2023-11-14T22:13:21.500000Z"
    judges = [
        d.contributor for d in drafts("fastchat.jsonl") if d.kind == "preference" and d.external_id.startswith("q")
    ]
    assert judges == ["arena_user_12", None]
    remote = next(d for d in drafts("fastchat.jsonl") if d.parts["text"].startswith(b'{"states"'))
    assert MINE in json.loads(json.loads(remote.parts["text"])["states"])[0]["messages"][0][1]


def test_openassistant_events_are_their_authors_own_and_hang_on_the_message() -> None:
    by_id = {d.external_id: d for d in drafts("openassistant.jsonl")}
    ranking = by_id["t1#ranking0"]
    assert (ranking.kind, ranking.parent, ranking.contributor) == ("ranking", "t1", "u-9")
    assert json.loads(ranking.parts["judgment"])["ranking"] == [1, 0]
    assert json.loads(by_id["t1#report0"].parts["text"]) == {"reason": "Written for tests."}
    assert (by_id["th2"].parent, by_id["t1a"].parent) == ("th1", "t1")
    assert (
        b"Taken back" not in b"".join(by_id["t1b"].parts.values())
        and b'"deleted":true' in by_id["t1b"].parts["context"]
    )


def test_a_withheld_openassistant_message_is_a_node_without_text_and_its_replies_keep_their_place() -> None:
    record = sample_of("openassistant.jsonl")[1][0]
    rows = record.rows()
    tree = json.loads(
        splice(
            record.skeleton, [None if d.external_id == "t1" else r for d, r in zip(record.drafts, rows, strict=True)]
        )
    )
    prompt = tree["prompt"]
    assert (
        prompt["text"] is None
        and prompt["user_id"] is None
        and prompt["message_id"] == "t1"
        and prompt["created_date"] is None
    )
    assert prompt["replies"][0]["text"] == "Cross the ends, then again." and prompt["replies"][0]["user_id"] == "u-2"
    assert prompt["events"]["emoji"][0]["user_id"] == "u-7"


def test_pandalm_votes_are_three_peoples_and_any_of_them_brings_the_item() -> None:
    (record,) = [r for r in sample_of("pandalm.json")[1] if r.drafts]
    assert [d.contributor for d in record.drafts] == ["annotator1", "annotator2", "annotator3"]
    assert [d.parts["judgment"] for d in record.drafts] == [b"1", b"0", b"2"]
    item = json.loads(b"[" + splice(record.skeleton, [None, None, record.rows()[2]]).strip(b"[ \n") + b"]")[0]
    assert (item["annotator1"], item["annotator2"], item["annotator3"], item["response2"]) == (None, None, 2, False)


def test_hh_rlhf_texts_do_not_tell_which_was_chosen() -> None:
    first = next(r for r in sample_of("hh-rlhf.jsonl")[1])
    text = json.loads(first.drafts[0].parts["text"])
    assert (
        set(text) == {"a", "b"}
        and "\n\nAssistant: Yes." in text[json.loads(first.drafts[0].parts["judgment"])["preferred"]]
    )
    without = splice(first.skeleton, [Row({"text": first.drafts[0].parts["text"]})])
    assert json.loads(without) == {"chosen": None, "rejected": None}
    sides = {json.loads(d.parts["judgment"])["preferred"] for d in pairs(40)}
    assert sides == {"a", "b"}


def pairs(n: int) -> list[Any]:
    data = b"".join(
        json.dumps(
            {"chosen": f"\n\nHuman: {i}\n\nAssistant: y", "rejected": f"\n\nHuman: {i}\n\nAssistant: n"}
        ).encode()
        + b"\n"
        for i in range(n)
    )
    return [r.drafts[0] for r in read(ADAPTERS["hh-rlhf"], data, "x.jsonl") if r.drafts]


def test_equal_lines_without_ids_stay_two_contributions() -> None:
    line = b'{"chosen": "a", "rejected": "b"}\n'
    records = read(ADAPTERS["hh-rlhf"], line * 2, "x.jsonl")
    assert len({d.external_id for r in records for d in r.drafts}) == 2


def test_nibbler_validations_are_their_annotators_own_also_out_of_strings() -> None:
    found = drafts("nibbler.json")
    labels = [d for d in found if d.kind == "label"]
    assert [d.contributor for d in labels] == ["w1", "w2", "w1", "w3"]
    assert [d.parent for d in labels] == ["submission/708", "submission/708", "submission/709", "submission/709"]
    assert json.loads(labels[0].parts["judgment"])["text_safety_validation"] == ["text_safe"]
    assert MINE in labels[0].parts["text"].decode() and set(labels[2].parts) == {"text"}
    reports = [d for d in found if d.kind == "red_team_report"]
    assert [d.contributor for d in reports] == ["8", "9", "8"]
    assert "'submitter_id': ," in json.loads(reports[1].parts["text"])["submission_annotations"]


def test_a_bad_nibbler_row_is_refused_alone_and_nothing_of_it_is_kept() -> None:
    whole = json.loads((SAMPLES / "nibbler.json").read_text())
    whole["submission_annotations"]["1"] = "__import__('os').system('x') Written for tests"
    (record,) = read(ADAPTERS["nibbler"], json.dumps(whole).encode(), "x.json")
    assert [(r.where, r.code) for r in record.refused] == [("record 1, row 1", "format_mismatch")]
    assert kinds([record]) == {"red_team_report": 2, "label": 2}
    assert b"__import__" not in dump_skeleton(record.skeleton)


def test_bounties_have_an_embargo_and_the_credit_exactly_as_given() -> None:
    reports = [d for d in drafts("hackerone.json") if d.kind == "vulnerability_report"]
    assert [d.embargo for d in reports] == ["2030-05-01T00:00:00Z", UNTIL_FIXED]
    assert json.loads(reports[0].parts["profile"])["username"] == "pen  name" and reports[0].contributor == "71"
    said = next(d for d in drafts("hackerone.json") if d.kind == "statement")
    assert (said.contributor, said.parent) == ("80", "report/100")
    for sample, name, credit in (
        ("odin.json", "odin", "Pen  Name (@pen)"),
        ("hackerone.json", "hackerone", "pen  name"),
    ):
        records = sample_of(sample)[1]
        rows = [json.loads(line) for line in EVERY[name].writer.write((r.skeleton, r.rows()) for r in records)]
        assert rows[0]["data_type"] == "AVID" and rows[0]["credit"][0]["value"] == credit
        hidden = [
            (r.skeleton, [Row({"text": d.parts["text"]}, None, d.kind, d.external_id) for d in r.drafts])
            for r in records
        ]
        assert json.loads(next(bounty.Avid("x").write(hidden)))["credit"] is None
        assert list(EVERY[name].writer.write((r.skeleton, [None] * len(r.drafts)) for r in records)) == []


def test_sharelm_rows_carry_the_licence_of_their_model() -> None:
    terms = [d.context_terms for d in drafts("sharelm.jsonl")]
    assert terms[0] == {"licence": "Llama 3 Community License", "holder": "meta-llama/Llama-3-8b"}
    assert terms[1] == {"licence": "MIT", "holder": "unknown-model"}
    for model, licence in (
        ("gpt-4o-2024", "OpenAI Terms of Use"), ("gpt-oss-120b", sharelm.UNKNOWN), ("gpt-neox-20b", sharelm.UNKNOWN),
        ("mistral-large-2402", sharelm.UNKNOWN), ("mistral-7b-instruct", "Apache-2.0"), ("falcon-180b", sharelm.UNKNOWN),
        ("mpt-30b-chat", sharelm.UNKNOWN), ("llama3-8b", "Llama 3 Community License"), ("meta-llama/Llama-3.1-8B", "Llama 3.1 Community License"),
        ("vicuna-13b-v1.5", "Llama 2 Community License"), ("o1-mini", "OpenAI Terms of Use"), ("olmo-7b", sharelm.UNKNOWN),
    ):  # fmt: skip
        assert sharelm.terms(model, "lmsys")["licence"] == licence, model


def test_testimony_is_safe_from_retaliation_by_default() -> None:
    found = drafts("testimony.jsonl")
    assert {d.contributor for d in found} == {"Amina"} and found[0].created_at == "2024-06-01T00:00:00Z"
    assert json.loads(found[0].parts["profile"]) == {"country": "KE", "employer": "X"}
    assert ADAPTERS["testimony"].person_chooses
    refused = list(ADAPTERS["testimony"].read(io.BytesIO(b'{"id":"1","audio":"base64"}'), "x.jsonl"))
    assert isinstance(refused[0], Refusal) and "by reference" in refused[0].detail


def test_label_studio_mixes_go_to_text_and_a_skipped_task_is_a_refusal() -> None:
    found = drafts("label-studio.json")
    assert [d.kind for d in found] == ["label", "label", "refusal"] and [d.contributor for d in found] == [
        "3",
        "4",
        "5",
    ]
    assert "result" in json.loads(found[0].parts["judgment"]) and MINE in found[1].parts["text"].decode()
    assert all(MINE in d.parts["context"].decode() for d in found)


def test_votes_of_polis_do_not_name_their_voters() -> None:
    votes = drafts("polis/votes.csv")
    assert [d.contributor for d in votes] == ["7", "7", "6"] and len({d.external_id for d in votes}) == 3
    assert [d.parent for d in votes] == ["set/statement/0", "set/statement/0", "set/statement/1"]
    assert [d.parts["judgment"] for d in votes] == [b"1", b"-1", b"0"]
    comments = drafts("polis/comments.csv")
    assert (
        json.loads(comments[0].parts["text"]) == 'Written for tests, with "quotes"'
        and comments[1].parts["text"] == b'"=HYPERLINK(0)"'
    )


def test_writers_for_training_leave_out_what_is_not_released() -> None:
    rows = [(r.skeleton, r.rows()) for r in sample_of("hh-rlhf.jsonl")[1]]
    shapes: Any = writers("hh-rlhf")
    dpo = [json.loads(line) for line in shapes["dpo"].write(rows)]
    assert dpo[1]["chosen"] == [{"role": "assistant", "content": "B."}] and len(dpo[1]["prompt"]) == 3 and len(dpo) == 2
    assert [json.loads(line)["label"] for line in shapes["kto"].write(rows)] == [True, False, True, False]
    assert json.loads(next(shapes["sft"].write(rows)))["messages"][-1] == {"role": "assistant", "content": "Yes."}
    assert list(shapes["dpo"].write((s, [None] * len(r)) for s, r in rows)) == []
    for sample in ("pandalm.json", "mt-bench.jsonl", "llmbar.json", "fastchat.jsonl"):
        for shape, members in (("dpo", {"prompt", "chosen", "rejected"}), ("sft", {"messages"}), ("kto", {"prompt", "completion", "label"})):
            made = written_as(sample, shape)
            assert made and all(set(line) == members for line in made), (sample, shape)
    assert written_as("pandalm.json", "dpo")[0]["chosen"] == [{"role": "assistant", "content": "1"}]
    assert written_as("pandalm.json", "dpo", b"") == [], "an answer that is no text, as some there are, gives no pair"
    assert written_as("fastchat.jsonl", "pairs") == written_as("fastchat.jsonl", "dpo")


def written_as(sample: str, shape: str, second: bytes = b'"2"') -> list[dict[str, Any]]:
    writer: Any = (writers(name_of(sample)) or {})[shape]
    data = (SAMPLES / sample).read_bytes()
    records = read(EVERY[name_of(sample)], data.replace(b'"response2": false', b'"response2": ' + second) if second else data, sample)
    return [json.loads(line) for line in writer.write((r.skeleton, r.rows()) for r in records)]


@pytest.mark.parametrize("roles", ["suua", "sua", "uuaa", "uau", "usua", "ua"])
def test_dialogues_that_do_not_take_turns_are_put_together_as_they_were(roles: str) -> None:
    """Whoever speaks, and however often: no model is given another's words, and nobody's turns change their place."""
    names = {"s": "system", "u": "user", "a": "assistant"}
    said = [{"role": names[one], "content": f"{one}{i}"} for i, one in enumerate(roles)]
    last = roles.rindex("a")
    other = [*said[:last], {"role": "assistant", "content": "other"}, *said[last + 1 :]]
    battle = {"question_id": "q", "winner": "model_a", "model_a": "m", "model_b": "n", "conversation_a": said, "conversation_b": other}
    [record] = read(EVERY["fastchat"], json.dumps(battle).encode(), "x.json")
    assert json.loads(splice(record.skeleton, record.rows())) == battle
    writer: Any = (writers("fastchat") or {})["dpo"]
    pairs = [json.loads(line) for line in writer.write([(record.skeleton, record.rows())])]
    assert pairs == [{"prompt": said[:last], "chosen": [said[last]], "rejected": [other[last]]}], "what was not answered is no pair"
    [row] = read(EVERY["sharelm"], json.dumps({"conversation_id": "c", "conversation": said}).encode(), "x.json")
    parts = {name: octets.decode() for name, octets in row.drafts[0].parts.items()}
    assert shapes.conversation(parts) == said and systems.record(parts) == {"conversation": said}


def test_an_order_that_somebody_made_up_is_not_believed() -> None:
    for order in ([], [["text", "user"]], [["judgment", "user"], ["text", "user"]], [["text", 5], ["context", "a"]], "x", {}, [["context", "a"]] * 2):
        assert shapes.dialogue(["q"], ["x"], order) is None


def test_votes_are_written_as_the_battles_that_an_arena_publishes() -> None:
    made = written_as("fastchat.jsonl", "battles")
    assert [one["winner"] for one in made] == [
        "model_a", "model_b", "tie", "tie (bothbad)", "model_a", "model_a", "tie (bothbad)",
    ]  # fmt: skip
    assert {(one["model_a"], one["model_b"]) for one in made} == {("m-1", "m-2")} and made[-2]["conversation_a"][-1]["content"] == "One."


def test_withheld_inspect_samples_become_invalidations() -> None:
    record = sample_of("inspect.json")[1][0]
    writer: Any = (writers("inspect") or {})[""]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    edits = [json.loads(line) for line in writer.tell(record.skeleton, [True, False], at)]
    provenance = {"author": "sayso", "timestamp": "2026-01-01T00:00:00+00:00", "reason": "consent", "metadata": {}}
    assert edits == [{"sample_uuid": "uu1", "provenance": provenance}] and not list(writer.tell(record.skeleton, [False, False], at))
    # Several logs in a file, one with samples that have no uuid and a number beyond 64 bits.
    log = json.loads((SAMPLES / "inspect.json").read_bytes())
    bare = {**log, "samples": [{name: v for name, v in log["samples"][0].items() if name != "uuid"} | {"id": 2**70}]}
    for text in (json.dumps([bare, log]), json.dumps(bare) + "\n" + json.dumps(log) + "\n\n"):
        records = read(EVERY["inspect"], text.encode(), "x.json")
        told = [json.loads(line) for r in records for line in writer.tell(r.skeleton, [True] * len(r.drafts), at)]
        assert [(one["sample_uuid"], one.get("id"), one.get("epoch")) for one in told] == [(None, 2**70, 1), ("uu1", None, None), ("uu2", None, None)]


def test_generic_takes_octets_and_reads_evidence_of_consent() -> None:
    first, second = drafts("generic.jsonl")
    assert first.external_id == "9007199254740993" and first.contributor == "g-1" and first.language == "en"
    assert first.parts["context"] == b'[["ok"]]' and json.loads(first.parts["text"]) == {"note": MINE, "mine": ["mine"]}
    assert first.parts["judgment"] == b'{"vote":true}' and b"1.5" in first.parts["profile"]
    assert first.consent and first.consent["basis"] == "explicit" and second.consent is None


@pytest.mark.parametrize(
    "change,word",
    [
        ({"kind": None}, "kind"), ({"parts": {}}, "parts"), ({"parts": {"speech": "a"}}, "parts"), ({"extra": "x"}, "extra"),
        ({"parts": {"text": "join(',', words)"}}, "computes"), ({"parts": {"text": "["}}, "JMESPath"), ({"rest": "nowhere"}, "rest"),
    ],
)  # fmt: skip
def test_mappings_that_cannot_be_used_are_refused(change: dict[str, Any], word: str) -> None:
    mapping = {name: value for name, value in {**MAPPING, **change}.items() if value is not None}
    with pytest.raises(generic.MappingWrong, match=word):
        generic.adapter(mapping, frozenset(KINDS))


@pytest.mark.parametrize("name", sorted(EVERY))
@pytest.mark.parametrize(
    "data", [b"[]", b"{}", b"5", b'{"a": 1}', b'{"data": 5}', b'{"data": [1]}', b'{"samples": 1, "eval": 2}', b"[[]]", b'["x"]', b"\n", b"null",
             b'{"prompt": {"message_id": 5}}', b'{"chosen": 1, "rejected": []}', b'{"winner": {}, "conversation_a": 5}',
             b'{"type":"chat","state":[]}', b'{"responses": {"q": 5}, "id": {}}', b'{"data":{}, "annotations": 5}', b'{"attributes": 5, "id": []}',
             b"a,b\n1\n", b'comment-id,vote,voter-id\n,,\n'],
    ids=lambda d: ascii(d)[:30],
)  # fmt: skip
def test_no_strange_record_breaks_an_adapter(name: str, data: bytes) -> None:
    for file in ("x.json", "x.jsonl", "x.csv"):
        for one in EVERY[name].read(io.BytesIO(data), file, "set"):
            assert not isinstance(one, Refusal) or (one.code and one.detail.endswith("."))


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_samples_with_something_else_in_any_place_are_read_or_refused(data: st.DataObject) -> None:
    """Any value of a sample replaced by any other: never an exception, and what is taken comes out again."""
    sample = data.draw(st.sampled_from([s for s in SHAPES if s.endswith((".json", ".jsonl"))]))
    records = json_of((SAMPLES / sample).read_bytes())
    place = data.draw(st.sampled_from(list(places(records))))
    put(records, place, data.draw(st.sampled_from(ODD)))
    text = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    for one in EVERY[name_of(sample)].read(io.BytesIO(text), "x.jsonl", "set"):
        if isinstance(one, Refusal):
            assert one.code in ("format_mismatch", "json_invalid") and "words" not in one.detail
        else:
            splice(one.skeleton, one.rows())


ODD: list[Any] = [None, 5, -1.5, "", "words", [], {}, [[1]], {"a": 1}, True, [None], {"id": {}}, "\u2028{", [{"role": 1}]]


def places(value: Any, at: tuple[Any, ...] = ()) -> Any:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*at, step)
        yield from places(inner, (*at, step))


def put(value: Any, place: tuple[Any, ...], new: Any) -> None:
    for step in place[:-1]:
        value = value[step]
    value[place[-1]] = new


@pytest.mark.parametrize(
    "written,expected",
    [
        ("1403054214196", "2014-06-18T01:16:54.196000Z"), ("1700000000.5", "2023-11-14T22:13:20.500000Z"), ("2022-11-09", "2022-11-09T00:00:00Z"),
        ("2024-01-01 10:00:00", "2024-01-01T10:00:00Z"), ("2024-01-01T10:00:00+02:00", "2024-01-01T08:00:00Z"), ("yesterday", None), ("", None),
        ("99999999999999999999", None), ("0001-01-01", None),
    ],
)  # fmt: skip
def test_times_are_read_as_systems_write_them(written: str, expected: str | None) -> None:
    assert instant(written) == expected
