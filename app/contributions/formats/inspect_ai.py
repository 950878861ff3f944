"""Inspect AI: the samples of an eval log (JSON). Each sample is a `conversation`.

Prompts, target and whatever mixes them with models' words (events, attachments, the store) -> `text`; scores -> `judgment`;
models' messages and output -> `context`. The log's head (task, plan, model, statistics) is kept beside them.

Written back, a log is not rewritten: the writer gives, for each sample whose consent ended, the edit that Inspect applies with
`invalidate_samples`, with its provenance.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from app.contributions.formats import dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter, Piece, splice
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value

_SAMPLE = {
    "id": "id", "epoch": "id", "uuid": "id", "input": "done", "target": "text", "choices": "text", "messages": "done",
    "output": "context", "scores": "judgment", "model_usage": "keep", "total_time": "keep", "working_time": "keep",
    "started_at": "keep", "completed_at": "keep", "sandbox": "keep", "files": "keep", "setup": "keep", "invalidation": "keep",
    "error": "context", "limit": "keep", "error_retries": "context", "metadata": "done",
}  # fmt: skip


def _cut(cutter: Cutter, root: Value, fields: Fields, place: Place) -> None:
    run = root.get("eval", "run_id") or root.get("eval", "eval_id")
    samples = fields.get("samples")
    if "eval" not in fields or samples is None or not samples.is_array:
        raise Wrong("a log has eval and samples; convert .eval files with `inspect log convert --to json`")
    log = (run.label() if run else None) or place.digest
    for i, sample in enumerate(samples.elements):
        if not sample.is_object:
            raise Wrong("a sample must be an object")
        _sample(cutter, sample, log, i).about(root.get("eval", "model"))


def _sample(cutter: Cutter, sample: Value, log: str, i: int) -> Act:
    uuid, number, epoch = sample.get("uuid"), sample.get("id"), sample.get("epoch")
    own = uuid.label() if uuid else f"{number.label() if number else i}/{epoch.label() if epoch else 1}"
    act = cutter.act("conversation", f"{log}/{own}")
    act.created_at = instant(sample.get("started_at"))
    act.spread(sample.members, _SAMPLE)
    for name in ("input", "messages"):
        if name in sample.members:
            dialogue.split(cutter, [act], sample.members[name], (name,), (name,))
    about = sample.members.get("metadata")
    if about is not None and about.is_object:
        act.spread(about.members, {"contributor": "who", "author_id": "who", "annotator_id": "who"})
    elif about is not None:
        act.keep(about)
    return act


class Invalidations:
    """Edits for `invalidate_samples`, a line each: {"sample_uuid", "provenance": {timestamp, author, reason, metadata}} (inspect_ai
    ProvenanceData). A sample without a uuid, as in logs of before there were any, has its id and epoch beside a null."""

    def tell(self, skeleton: tuple[Piece, ...], gone: Sequence[bool], now: datetime) -> Iterator[bytes]:
        """Lines with their LF for those samples of a record, in the log's order, that are `gone`."""
        if not any(gone):
            return
        # What names a sample stays in the skeleton. Around a log may stand what holds several of them together in their file.
        text = splice(skeleton, [None] * len(gone)).decode()
        samples = json.loads(text[text.index("{") : text.rindex("}") + 1])["samples"]
        provenance = {"timestamp": now.isoformat(), "author": "sayso", "reason": "consent", "metadata": {}}
        for sample, is_gone in zip(samples, gone, strict=True):
            if is_gone:
                own = {} if sample.get("uuid") else {"id": sample.get("id"), "epoch": sample.get("epoch")}
                yield json.dumps({"sample_uuid": sample.get("uuid"), **own, "provenance": provenance}).encode() + b"\n"


ADAPTER = Adapter("inspect", "Inspect AI", _cut, whole=True, out="invalidations with provenance for what was taken back", writer=Invalidations())
