"""OpenAssistant exports (JSON Lines of message trees, threads, or messages), as one `message` contribution a node.

Where each field goes, and why:

- `text` of a message a person wrote -> part `text`, the exact octets of the JSON string in the line.
- `text` of a message a model wrote (`synthetic` is true, or `model_name` is given) -> member `text` of part `context`,
  since it is third-party matter. Context is released only beside a person's own part, so such a contribution is kept
  and keeps the place of the replies to it, but is itself never released: it stands as a tombstone in its thread.
- `text` of a message marked `deleted` -> nowhere: somebody took it back. The node stays, to hold its thread together; one whose
  text is null, as what may not be shown is written, is such a node too.
- `message_id`, `parent_id`, `user_id`, `lang`, `created_date` -> the draft's own fields. They are not repeated in
  `context`: an id that is the same in every release would join one person's records across agreements.
- `replies` -> contributions of their own. `events` -> each a contribution of whoever rated, ranked, labelled or
  reported, with the message as its parent.
- everything else (`rank`, `labels`, `emojis`, `review_count`, `review_result`, `model_name`, `detoxify`, unknown fields,
  and on the root the tree's `tree_state` and `origin`) -> one JSON object in `context`, each value with its exact octets.
  Ranks and labels are means over several people: nobody's act, so never `judgment`.

The export names no terms for its models' output, so `context_terms` stays None.
"""

import json
from collections.abc import Iterable, Iterator

from app.contributions.formats.adapter import Adapter, Fields, Place
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Draft, NotThisFormat, Refusal, Wrong
from app.contributions.formats.reading import Raw
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_HANDLED = frozenset({"message_id", "parent_id", "user_id", "lang", "created_date", "text", "replies", "events"})
_OF_THE_TREE = frozenset({"tree_state", "origin"})
_EVENT = {
    "type": "keep", "user_id": "who", "message_id": "keep", "message_tree_id": "keep", "ranking_parent_id": "keep",
    "report_type": "judgment", "reason": "text", "text": "text", "report_text": "text",
}  # fmt: skip
_KINDS = {"ranking": "ranking", "rating": "rating", "score": "rating", "emoji": "label", "report": "label"}


def read(lines: Iterable[bytes]) -> Iterator[Draft]:
    """Drafts of all nodes, every parent before its replies, in the order of the file. Blank lines are left out.

    A line is a tree (`{"message_tree_id", "tree_state", "prompt": {…}}`) or a message (`{"message_id", …}`), either
    with nested `replies`. In a flat file of messages, parents are expected to come first, as the exporter writes them.

    Raises:
        NotThisFormat: a line is not strict JSON (see core/strictjson.py: nested at most 64 deep, which is 31 replies),
            not a tree or message, or has an id, parent or text that is no string. Drafts of lines before were yielded.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = ADAPTER.one(Raw(f"line {number}", number, line.strip()), "", "")
        if isinstance(record, Refusal):
            raise NotThisFormat(number, record.detail, record.code)
        yield from (draft for draft in record.drafts if draft.kind == "message")


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if "thread" in fields:
        thread, above = fields["thread"], None
        if not thread.is_array:
            raise Wrong("thread must be an array")
        for message in thread.elements:
            above = _node(cutter, message, above, {}, loose=True)
        return
    around: Fields = {}
    if not fields.get("prompt", root).is_null and "prompt" in fields:
        around, root = {name: value for name, value in fields.items() if name in _OF_THE_TREE}, fields["prompt"]
    waiting: list[tuple[Value, str | None, Fields]] = [(root, None, around)]
    while waiting:
        node, above, more = waiting.pop()
        if not node.is_object:
            raise Wrong("a message must be an object")
        own = _node(cutter, node, above, more)
        replies = node.get("replies")
        if replies is not None and not replies.is_array:
            raise Wrong("replies must be an array")
        waiting.extend((reply, own, {}) for reply in reversed(replies.elements if replies else []))


def _node(cutter: Cutter, node: Value, above: str | None, around: Fields, loose: bool = False) -> str:
    external_id, parent, text = _string(node, "message_id"), _string(node, "parent_id"), node.members.get("text")
    if external_id is None or text is None or not (text.is_string or text.is_null):
        raise Wrong("a message needs message_id, a string, and text, a string or null")
    if above is not None and parent not in (None, above) and not loose:
        raise Wrong("parent_id names another message than the one this is a reply to")
    by_model = _is_true(node, "synthetic") or node.get("model_name") is not None
    deleted = _is_true(node, "deleted")
    act = cutter.act("message", external_id, (parent or above) if loose else (above or parent))
    act.language, act.created_at = _string(node, "lang"), _string(node, "created_date")
    act.who(node.members.get("user_id"))
    act.about(node.get("model_name"))
    if act.contributor is not None and not node.members["user_id"].is_string:
        raise Wrong("user_id must be a string")
    act.trees["context"] = {}
    # The tree's own fields first and the message's after them, in the order that they stand in.
    for name, value in [*around.items(), *node.members.items()]:
        if name not in _HANDLED:
            act.take("context", value, name)
    for name in ("lang", "created_date"):
        if name in node.members:
            act.keep(node.members[name])
    if text.is_null:
        pass  # withheld where it was written: it holds its place
    elif deleted:
        cutter.drop(text, "text of a deleted message")
    elif by_model:
        act.take("context", text, "text")
    else:
        act.take("text", text)
    _events(cutter, act, node.get("events"))
    return external_id


def _events(cutter: Cutter, message: Act, events: Value | None) -> None:
    for name, given in (events.members if events else {}).items():
        for i, event in enumerate(given.elements):
            kind = _KINDS.get(event.get("type").string() if event.get("type") else name, "label")  # type: ignore[union-attr,arg-type]
            act = cutter.act(kind, f"{message.external_id}#{name}{i}", message.external_id)
            act.spread(event.members, _EVENT, rest="judgment")
            act.models = dict(message.models)
            if not act.trees:
                act.trees["judgment"] = {"type": json.dumps(name).encode()}


def _string(node: Value, name: str) -> str | None:
    """The text of a member that is a string; None where it is absent, null or empty."""
    value = node.get(name)
    if value is None:
        return None
    if not value.is_string:
        raise Wrong(f"{name} must be a string")
    return value.string() or None


def _is_true(node: Value, name: str) -> bool:
    value = node.get(name)
    return value is not None and value.shown == "true"


ADAPTER = Adapter("openassistant", "OpenAssistant", _cut, out="trees as lines", writer=Spliced())
