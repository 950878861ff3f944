"""Label Studio: exported tasks; each annotation is a contribution of whoever completed it.

`result` -> `judgment`, or `text` where it holds a free-text answer, since words and labels stand mixed in it. A task that was
skipped on purpose (`was_cancelled`) is a `refusal`. The task's data and the models' predictions are `context` of every annotation.
Drafts were never submitted: they are dropped, and so are annotators' names and e-mail addresses.
"""

from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_ANNOTATION = {
    "id": "id", "unique_id": "id", "completed_by": "done", "result": "done", "was_cancelled": "judgment", "ground_truth": "keep",
    "created_at": "keep", "updated_at": "keep", "draft_created_at": "keep", "lead_time": "keep", "prediction": "context",
    "result_count": "keep", "import_id": "keep", "last_action": "keep", "bulk_created": "keep", "task": "keep", "project": "keep",
    "updated_by": "drop", "parent_prediction": "keep", "parent_annotation": "keep", "last_created_by": "drop",
}  # fmt: skip
_TASK = frozenset({
    "inner_id", "created_at", "updated_at", "project", "total_annotations", "cancelled_annotations", "total_predictions",
    "comment_count", "unresolved_comment_count", "last_comment_updated_at", "is_labeled", "overlap", "file_upload", "allow_skip",
})  # fmt: skip
_OF_PEOPLE = frozenset({"updated_by", "comment_authors", "drafts", "annotators", "reviewers"})


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if "data" not in fields or ("annotations" not in fields and "completions" not in fields):
        raise Wrong("a task has data and annotations; export it as JSON, not as JSON-MIN")
    number = fields["id"].label() if "id" in fields else place.own
    project = fields["project"].label() if "project" in fields else None
    task = f"{project or place.collection}/task/{number}"
    given = fields.get("annotations") or fields["completions"]
    acts = [_annotation(cutter, annotation, f"{task}/annotation", i) for i, annotation in enumerate(given.elements)]
    for act, annotation in zip(acts, given.elements, strict=True):
        # By these names its webhook tells of deletions.
        own = annotation.get("id")
        act.own = f"annotations/{project}/{own.label()}" if project and own else ""
        act.group = f"tasks/{project}/{number}" if project and "id" in fields else ""
    for name, value in fields.items():
        if name in ("id", "annotations", "completions"):
            continue
        if name in _OF_PEOPLE:
            cutter.drop(value, name)
        elif name in _TASK or value.is_null or not acts:
            cutter.keep(acts, value)
        else:
            cutter.share(acts, "context", value, name)


def _annotation(cutter: Cutter, annotation: Value, before: str, i: int) -> Act:
    own = annotation.get("unique_id") or annotation.get("id")
    cancelled = annotation.get("was_cancelled")
    refused = cancelled is not None and cancelled.shown == "true"
    act = cutter.act("refusal" if refused else "label", f"{before}/{own.label() if own else i}")
    act.created_at = instant(annotation.get("created_at"))
    act.spread(annotation.members, _ANNOTATION)
    result = annotation.members.get("result")
    if result is not None:
        free = not result.is_array or any(_is_free(one) for one in result.elements)
        act.take("text" if free else "judgment", result, "result")
    by = annotation.get("completed_by")
    if by is not None and by.is_object:
        act.spread(by.members, {"id": "who"}, rest="drop")
    else:
        act.who(by)
    return act


def _is_free(one: Value) -> bool:
    kind = one.get("type")
    return kind is None or kind.string() in ("textarea", "paragraphs") or one.get("value", "text") is not None or one.get("meta") is not None


ADAPTER = Adapter("label-studio", "Label Studio", _cut, whole=True, out="tasks for its own import", writer=Spliced(), joined="annotations")
