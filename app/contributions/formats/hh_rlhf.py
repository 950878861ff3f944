"""hh-rlhf: pairs of dialogues, one `preference` each, and its red-team attempts, one `red_team_report` each.

A dialogue is one string that mixes the person's words with the model's, so it is `text`. Which of the two was chosen is the
judgment: the texts stand under `a` and `b` in an order that their bytes decide, so that the text alone does not tell.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

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


ADAPTER = Adapter("hh-rlhf", "hh-rlhf", _cut, out="lines as they were; DPO pairs, SFT messages, KTO", writer=Spliced())
