"""Inspect AI: the samples of an eval log (JSON). Each sample is a `conversation`.

Prompts, target and whatever mixes them with models' words (events, attachments, the store) -> `text`; scores -> `judgment`;
models' messages and output -> `context`. The log's head (task, plan, model, statistics) is kept beside them.

Released back, a log is not rewritten: the writer gives, for each sample that is withheld, the edit that Inspect applies with
`invalidate_samples`, with its provenance.
"""

from collections.abc import Iterable, Iterator, Sequence

import orjson

from app.contributions.formats import dialogue
from app.contributions.formats.adapter import Adapter, Fields, Place, instant
from app.contributions.formats.cutting import Act, Cutter, Row
from app.contributions.formats.draft import Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Spliced

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
    """Edits for `invalidate_samples`: a line a withheld sample."""

    def __init__(self, author: str, timestamp: str) -> None:
        self._provenance = {"author": author, "timestamp": timestamp, "reason": "consent", "metadata": {}}

    def write(self, samples: Iterable[tuple[str, Row | None]]) -> Iterator[bytes]:
        """`samples` are (uuid, row). Gives lines of {"sample_uuid", "provenance": {timestamp, author, reason, metadata}}."""
        for uuid, row in samples:
            if row is None:
                yield orjson.dumps({"sample_uuid": uuid, "provenance": self._provenance}) + b"\n"


def withheld(external_ids: Sequence[str], rows: Sequence[Row | None]) -> Iterator[tuple[str, Row | None]]:
    """(sample uuid, row) for `Invalidations`, from the drafts' external ids."""
    for external_id, row in zip(external_ids, rows, strict=True):
        yield external_id.partition("/")[2], row


ADAPTER = Adapter("inspect", "Inspect AI", _cut, whole=True, out="invalidations with provenance for what is withheld", writer=Spliced())
