"""The Generative Red Team events at DEF CON: a `red_team_report` a row (JSON by columns or by rows, or CSV).

The conversation and the person's reasons -> `text` (message by message where the dialogue is structured); the challenge's
instructions, the system's messages and the grade that others gave -> `context`. The data names no contestant.
"""

from app.contributions.formats import columns, dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Cutter
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_ROLES = {
    "category_name": "context", "challenges_name": "context", "contestant_message": "context", "conversation": "done",
    "submission_message": "context", "user_justification": "text", "submission_grade": "context", "conversation_length": "keep",
    "conversation_id": "id", "turn_number": "id", "role_number": "id", "unique_id": "id", "system": "context", "user": "text",
    "assistant": "context", "bias_bounty_labels": "context",
}  # fmt: skip
_KNOWN = frozenset({"category_name", "user_justification", "submission_grade", "conversation"})


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if columns.is_columns(fields, _KNOWN):
        for name, row in columns.rows(fields):
            _row(cutter, row, f"{place.digest}-{name}")
    else:
        _row(cutter, fields, place.own)


def _row(cutter: Cutter, fields: Fields, own: str) -> None:
    unique = fields.get("unique_id")
    act = cutter.act("red_team_report", (unique.label() if unique else None) or own)
    act.spread(fields, _ROLES)
    if "conversation" in fields:
        dialogue.split(cutter, [act], fields["conversation"], ("conversation",), ("conversation",))


ADAPTER = Adapter(
    "grt", "DEF CON Generative Red Team", _cut, whole=True, suffixes=(".json", ".jsonl", ".csv"), out="rows", writer=Spliced()
)
