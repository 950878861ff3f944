"""Humane Intelligence's hi-oss-ai-red-teaming: its `flags`, `reviews`, `transcript` and `engagement_report` exports (JSON or
CSV; the columns have their names there).

- a flag -> `red_team_report` of its author: reason, comment and the flagged prompts -> `text`, the flagged answers -> `context`;
  the platform's status -> `context`.
- a review -> `label` of its reviewer, on the flag; the verdicts -> `judgment`, notes -> `text`.
- a message of a transcript -> `message`: a user's -> `text`, a model's -> `context` under the data licence the row names.
- e-mail addresses are dropped at the door.
"""

from app.contributions.formats import dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_FLAG = {
    "Flag ID": "id", "Evaluation ID": "id", "Conversation ID": "id", "Scenario ID": "id", "Task ID": "id", "Flagged message IDs": "id",
    "Flagged turn IDs": "id", "Flagged message count": "keep", "Created": "keep", "Author ID": "who", "Author email": "drop",
    "Red-flagged": "judgment", "Reason": "text", "Comment": "text", "Status": "context", "Evaluation title": "context",
    "Scenario name": "context", "Task name": "context", "Flagged messages": "done",
}  # fmt: skip
_REVIEW = {
    "Review ID": "id", "Evaluation ID": "id", "Submission (flag) ID": "id", "Reviewer ID": "who", "Reviewer email": "drop",
    "Status": "judgment", "Successful exploit": "judgment", "Unique exploit": "judgment", "Valid submission": "judgment",
    "Notes": "text", "Evaluation title": "context", "Created": "keep", "Verdict recorded": "keep",
}  # fmt: skip
_MESSAGE = {
    "Evaluation ID": "id", "Conversation ID": "id", "Message ID": "id", "Turn ID": "id", "Replaces message ID": "id", "Role": "id",
    "Status": "keep", "Slot": "keep", "Created": "keep", "Data license": "keep", "Evaluation title": "context",
    "Conversation tags": "context", "Message tags": "context", "Tag context": "context", "Tag context partial": "keep",
    "Tags not sent": "keep", "Content": "done",
}  # fmt: skip
_REPORT = {
    "Conversation ID": "id", "Evaluation ID": "id", "Author ID": "who", "User ID": "who", "Author email": "drop", "User email": "drop",
    "Data license": "keep", "Created": "keep", "Evaluation title": "context", "Scenario name": "context", "Messages": "done",
    "Transcript": "done",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if "Flag ID" in fields:
        act = cutter.act("red_team_report", "flag/" + _id(fields, "Flag ID"))
        act.spread(fields, _FLAG)
        act.context_ref = _of(fields, "Conversation ID")
        if "Flagged messages" in fields:
            dialogue.split(cutter, [act], fields["Flagged messages"], ("messages",), ("messages",))
    elif "Review ID" in fields:
        act = cutter.act("label", "review/" + _id(fields, "Review ID"), "flag/" + _id(fields, "Submission (flag) ID"))
        act.spread(fields, _REVIEW)
    elif "Message ID" in fields:
        act = cutter.act("message", "message/" + _id(fields, "Message ID"))
        act.spread(fields, _MESSAGE)
        act.context_ref = _of(fields, "Conversation ID")
        content = fields.get("Content")
        if content is not None and not content.is_null:
            act.take("text" if fields.get("Role") and fields["Role"].string() == "user" else "context", content, "content")
    elif "Conversation ID" in fields:
        act = cutter.act("conversation", "conversation/" + _id(fields, "Conversation ID"))
        act.spread(fields, _REPORT)
        for name in ("Messages", "Transcript"):
            if name in fields:
                dialogue.split(cutter, [act], fields[name], (name,), (name,))
    else:
        raise Wrong("none of the exports flags, reviews, transcript or engagement_report")
    act.created_at = instant(fields.get("Created"))
    _licence(act, fields)


def _licence(act: Act, fields: Fields) -> None:
    licence = _of(fields, "Data license")
    if licence:
        act.context_terms = {"licence": licence, "holder": "the evaluation's owner"}


def _id(fields: Fields, name: str) -> str:
    found = _of(fields, name)
    if not found:
        raise Wrong(f"{name} is missing")
    return found


def _of(fields: Fields, name: str) -> str | None:
    return fields[name].label() if name in fields else None


ADAPTER = Adapter(
    "hi-red-teaming", "Humane Intelligence", _cut, suffixes=(".json", ".jsonl", ".csv"),
    order=("flags", "transcript", "engagement", "reviews"), out="rows", writer=Spliced(),
)  # fmt: skip
