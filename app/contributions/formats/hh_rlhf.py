"""hh-rlhf: pairs of dialogues, one `preference` each, and its red-team attempts, one `red_team_report` each.

A dialogue is one string that mixes the person's words with the model's, so it is `text`. Which of the two was chosen is the
judgment: the texts stand under `a` and `b` in an order that their bytes decide, so that the text alone does not tell.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Cutter, Row
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Lines, Spliced, opened

_ATTEMPT = {
    "transcript": "text", "task_description": "text", "rating": "judgment", "red_team_member_id": "who", "is_upworker": "profile",
    "min_harmlessness_score_transcript": "context", "num_params": "context", "model_type": "context", "tags": "context",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if "chosen" in fields and "rejected" in fields:
        act = cutter.act("preference", place.own)
        first = "chosen" if int(place.digest[-1], 16) % 2 == 0 else "rejected"
        second = "rejected" if first == "chosen" else "chosen"
        # In the order of the part, not of the line.
        act.take_in_full("text", fields[first], "a")
        act.take_in_full("text", fields[second], "b")
        act.conclude("judgment", b'{"preferred":"a"}' if first == "chosen" else b'{"preferred":"b"}')
        act.spread({name: v for name, v in fields.items() if name not in ("chosen", "rejected")}, {})
    elif "transcript" in fields:
        act = cutter.act("red_team_report", place.own)
        act.spread(fields, _ATTEMPT)
    else:
        raise Wrong("a line holds chosen and rejected, or a transcript")


def split_dialogue(text: str) -> list[dict[str, str]]:
    """Messages of a dialogue in the corpus's own notation."""
    found: list[dict[str, str]] = []
    for piece in text.split("\n\nHuman:"):
        human, *answers = piece.split("\n\nAssistant:")
        if human.strip():
            found.append({"role": "user", "content": human.strip()})
        found.extend({"role": "assistant", "content": answer.strip()} for answer in answers)
    return found


def _both(row: Row) -> tuple[str, str] | None:
    text, judgment = opened(row, "text"), opened(row, "judgment")
    if row.kind != "preference" or not isinstance(text, dict) or not isinstance(judgment, dict):
        return None
    won = judgment.get("preferred")
    if won not in ("a", "b") or not isinstance(text.get("a"), str) or not isinstance(text.get("b"), str):
        return None
    return text[won], text["b" if won == "a" else "a"]


def _dpo(row: Row) -> dict[str, object] | None:
    both = _both(row)
    if both is None:
        return None
    chosen, rejected = (split_dialogue(text) for text in both)
    if not chosen or not rejected:
        return None
    return {"prompt": chosen[:-1], "chosen": chosen[-1:], "rejected": rejected[-1:]}


def _sft(row: Row) -> dict[str, object] | None:
    both = _both(row)
    return None if both is None else {"messages": split_dialogue(both[0])}


def _kto(row: Row) -> list[dict[str, object]] | None:
    pair = _dpo(row)
    if pair is None:
        return None
    return [{"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"} for side in ("chosen", "rejected")]


ADAPTER = Adapter("hh-rlhf", "hh-rlhf", _cut, out="lines as they were; DPO pairs, SFT messages, KTO", writer=Spliced())
DPO, SFT, KTO = Lines(_dpo), Lines(_sft), Lines(_kto)
