"""MT-bench: experts' comparisons of two dialogues, one `preference` each; its questions and reference answers.

The winner -> `judgment`. The judge wrote none of the dialogues: questions and answers are `context`, not split off. A file of
questions gives a `message` a question, the text its writer's; a file of answers gives a `message` with `context` alone, which
is never released by itself.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_VOTE = {
    "question_id": "keep", "winner": "judgment", "judge": "who", "model_a": "context", "model_b": "context", "turn": "keep",
    "conversation_a": "context", "conversation_b": "context", "tstamp": "keep",
}  # fmt: skip
_QUESTION = {"question_id": "id", "category": "keep", "turns": "=text", "reference": "context"}
_ANSWER = {"question_id": "id", "answer_id": "id", "model_id": "context", "choices": "context", "tstamp": "keep"}


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    number = fields["question_id"].label() if "question_id" in fields else None
    if "winner" in fields:
        act = cutter.act("preference", place.own)
        act.spread(fields, _VOTE)
        act.about(fields.get("model_a"), fields.get("model_b"))
        act.context_ref = f"question/{number}" if number else None
    elif "answer_id" in fields:
        act = cutter.act("message", f"answer/{fields['answer_id'].label() or place.own}")
        act.spread(fields, _ANSWER, rest="context")
        act.about(fields.get("model_id"))
        act.context_ref = f"question/{number}" if number else None
    elif "turns" in fields:
        act = cutter.act("message", f"question/{number or place.own}")
        act.spread(fields, _QUESTION, rest="keep")
    else:
        raise Wrong("neither a judgment (winner), nor a question (turns), nor an answer (answer_id)")
    act.created_at = instant(fields.get("tstamp"))


ADAPTER = Adapter("mt-bench", "MT-bench", _cut, out="the lines; DPO pairs, SFT messages, KTO", writer=Spliced())
