"""Adversarial Nibbler: a `red_team_report` a submission, and a `label` a validation, each of its own annotator.

The file is column-oriented JSON. `submission_annotations` and the validations are objects, or strings that hold one as Python
or JSON writes it; from a string only the ids are read, and the person's id is cut out of it.

- the prompt, its rewrite and what the submitter says of the harm -> `text` (attack modes and failure types stand among it).
- a validation: what was chosen -> `judgment`, free text -> `text`; as one string it is all `text`. `submitted_prompt` in it is
  the submitter's and stands with the submission.
- `hashed_filename` names the image that a model made: `context`.
"""

import ast
import re
from typing import Any

from app.contributions.formats import columns
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter
from app.contributions.formats.draft import Refusal, Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

_KNOWN = frozenset({"submitted_prompt", "submission_annotations", "validation"})
_SUBMISSION = {
    "submitted_timestamp": "keep", "timestamp": "keep", "submitted_prompt": "text", "prompt": "text", "hashed_filename": "context",
    "model": "context", "submitter_id": "who", "submitted": "keep", "submission_annotations": "done", "validation": "done",
    "validations": "done",
}  # fmt: skip
_ANNOTATIONS = {"submitter_id": "who", "example_uid": "id"}
_VALIDATION = {
    "annotator_id": "who", "answer_time_ms": "keep", "question_id": "id", "text_safety_validation": "judgment",
    "text_attack_mode": "judgment", "image_safety_validation": "judgment", "image_failure_target": "judgment",
    "image_failure_type": "judgment",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    if not columns.is_columns(fields, _KNOWN):
        _submission(cutter, fields, place.own)
        return
    for name, row in columns.rows(fields):
        mark = cutter.mark()
        try:
            _submission(cutter, row, f"{place.digest}-{name}")
        except Wrong as error:
            cutter.undo(mark)
            cutter.refused.append(Refusal(f"{cutter.where}, row {name}", error.code, error.rule[:1].upper() + error.rule[1:] + "."))
            for value in row.values():
                cutter.drop(value, "a refused row")


def _submission(cutter: Cutter, fields: Fields, own: str) -> None:
    annotations = fields.get("submission_annotations")
    said = _said(annotations)
    uid = said.get("example_uid")
    act = cutter.act("red_team_report", f"submission/{uid}" if uid is not None else f"submission/{own}")
    act.created_at = instant(fields.get("submitted_timestamp") or fields.get("timestamp"))
    act.spread(fields, _SUBMISSION)
    act.about(fields.get("model"))
    if annotations is not None and annotations.is_object:
        act.spread(annotations.members, _ANNOTATIONS)
    elif annotations is not None and not annotations.is_null:
        _string(cutter, act, annotations, "submitter_id", said, "submission_annotations")
    for name in ("validation", "validations"):
        given = fields.get(name)
        if given is None or given.is_null:
            continue
        if not given.is_array:
            raise Wrong("validation must be a list")
        for i, validation in enumerate(given.elements):
            if not validation.is_null:
                _validation(cutter, act, validation, i)


def _validation(cutter: Cutter, submission: Act, value: Value, i: int) -> None:
    said = _said(value)
    act = cutter.act("label", f"{submission.external_id}/validation/{said.get('question_id') or ''}{i}", submission.external_id)
    if value.is_object:
        for name, field in value.members.items():
            if name == "submitted_prompt" and not field.is_null:
                # The submitter's words, shown again: they go when the submission goes.
                submission.take("text", field, f"validation{i}.submitted_prompt")
        act.spread({n: v for n, v in value.members.items() if n != "submitted_prompt" or v.is_null}, _VALIDATION)
        if not act.trees:
            act.conclude("judgment", b"null")
    else:
        _string(cutter, act, value, "annotator_id", said, "validation")


def _said(value: Value | None) -> dict[str, Any]:
    """The object that is there, or that a string holds. Raises Wrong."""
    if value is None or value.is_null:
        return {}
    if value.is_object:
        return {name: v.label() for name, v in value.members.items() if not (v.is_object or v.is_array)}
    words = value.string()
    if words is None:
        raise Wrong("annotations must be an object or a string that holds one")
    try:
        held = ast.literal_eval(words) if len(words) < 100_000 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        held = None
    if not isinstance(held, dict):
        raise Wrong("a string of annotations must hold one object")
    return held


def _string(cutter: Cutter, act: Act, value: Value, who: str, said: dict[str, Any], name: str) -> None:
    """Cut a string that holds an object: all of it `text`, but for the id of who wrote it."""
    if said.get(who) is not None:
        found = re.search(rf"""\\?["']{who}\\?["']: *(\\?["'])?(?P<id>[^"'\\,}}]+)""", value.shown)
        if found is None or found["id"].strip() != str(said[who]):
            raise Wrong(f"{who} could not be told from the rest")
        act.contributor = str(said[who])
        act.take_around(value, found.start("id"), found.end("id"), name)
    else:
        act.take("text", value, name)


ADAPTER = Adapter(
    "nibbler", "Adversarial Nibbler", _cut, whole=True, suffixes=(".json", ".jsonl"), out="columns as they were", writer=Spliced()
)
