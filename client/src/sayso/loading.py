"""`sayso.load`: what was pulled as a `datasets.Dataset`. Needs datasets: `pip install "sayso[datasets]"`.

Rows are read from the pulled files into memory, or with `streaming` a shard at a time. Nothing is written beside those files: a
cache of the rows would be a copy that no recall reaches.
"""

import json
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sayso import derived, errors, labels, views
from sayso.folder import Folder, notes
from sayso.jws import PrivateKey
from sayso.lab import Lab

HOME = "SAYSO_HOME"
"""Environment variable: where releases that are loaded by their id lie."""
TEXT, TEXTS = "string", ["string"]
COLUMNS: dict[str, Any] = {
    "record_id": TEXT, "kind": TEXT, "parent": TEXT, "language": TEXT, "platform": TEXT, "text": TEXT, "judgment": TEXT, "context": TEXT,
    "profile": TEXT, "basis": TEXT, "attested_by": TEXT, "policies": TEXTS, "attribution": TEXT, "credit": TEXT,
    "allowed_uses": TEXTS, "obligations": TEXT, "link": TEXT, "context_terms": TEXT, "labels": TEXTS,
}  # fmt: skip
"""The columns of either form, as `datasets` names their types."""


_MESSAGES: dict[str, Any] = {"messages": ["role", "content"]}
_HEAD: dict[str, Any] = {
    "record_id": TEXT, "kind": TEXT, "parent": TEXT, "language": TEXT, "platform": TEXT, "policies": TEXTS, "attribution": TEXT,
    "credit": TEXT, "link": TEXT,
}  # fmt: skip
VIEWS: dict[str, dict[str, Any]] = {
    "generic": COLUMNS,
    "messages": {**_HEAD, "messages": _MESSAGES, "records": TEXTS, "withheld": TEXTS, "credits": TEXTS},
    "preference-pairs": {**_HEAD, "prompt": _MESSAGES, "chosen": _MESSAGES, "rejected": _MESSAGES},
    "sft": {**_HEAD, "messages": _MESSAGES}, "kto": {**_HEAD, "prompt": _MESSAGES, "completion": _MESSAGES, "label": "bool"},
    "battles": {
        **_HEAD, "winner": TEXT, "model_a": TEXT, "model_b": TEXT, "conversation_a": _MESSAGES, "conversation_b": _MESSAGES,
        "judgment": TEXT, "contested": "bool", "against": TEXTS,
    },
    "trees": {**_HEAD, "tree": TEXT, "depth": "int64", "role": TEXT, "content": TEXT, "text": TEXT, "judgment": TEXT, "tombstone": "bool"},
}  # fmt: skip
"""The columns of each view that has columns: the shapes of other systems are written as files."""


def load(
    where: str | Path, *, lab: Lab | None = None, directory: str | Path | None = None, streaming: bool = False, view: str = "generic"
) -> Any:
    """A release as a `datasets.Dataset`, or with `streaming` an `IterableDataset`.

    `where` is a directory that was pulled into, an agreement (agr_…: its newest release) or a release (rel_…). The last two are
    pulled first, by `lab` or whom the environment names, into `directory` (usually `SAYSO_HOME`, or ~/.cache/sayso, and there
    the id), which `sayso sync` keeps in step as any other. Records that were recalled since it was pulled are warned of: the
    service is asked only where `lab` is given or something was pulled.

    Rows are in the order of record ids; parts are the JSON text that was recorded; tombstones are left out. With a `view` they are in
    its shape and order (`sayso.views`): only `trees` keeps tombstones there, and others leave out rows that say why in
    `left_out`: `sayso view` writes all, with what they are counted by. What the release is labelled stands in `.info.description`,
    and of preferences there is a last line of JSON with the counts that `sayso view` writes beside its file (`views.Tally`): of what
    speaks against them, of contested items, of outcomes by group. With `streaming` these take a pass of their own.
    Raises SaysoError.
    """
    if view not in VIEWS:
        raise errors.SaysoError(f"there is no view of that name: take one of {', '.join(VIEWS)}")
    text = str(where)
    named = text.startswith(("agr_", "rel_")) and not Path(text).exists()
    folder = _pulled(text, lab or Lab.from_environment(), directory) if named else Folder(lab or nobody(Path(text)), text)
    if (named or lab is not None) and (waiting := sum(len(recall.records) for recall in folder.recalls())):
        warnings.warn(f"{waiting} of these records were recalled: run `sayso sync {folder.path}` and load again", stacklevel=2)
    datasets = _library()
    features = datasets.Features({name: _feature(datasets, kind) for name, kind in VIEWS[view].items()})
    rows, tally = derived.rows(folder, view)
    if streaming:
        found = datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs={"path": str(folder.path), "view": view})
        if view in views.OF_PREFERENCES:
            deque(rows, maxlen=0)
    else:
        found = datasets.Dataset.from_list(list(_shaped(rows, view)), features=features)
    said = labels.codes(folder.path)
    lines = [f"This release is labelled: {', '.join(said)}."] if said else []
    if view in views.OF_PREFERENCES:
        lines.append(json.dumps(tally.to_json()))
    if lines:
        found.info.description = "\n".join(lines)
    return found


def _feature(datasets: Any, kind: Any) -> Any:
    if kind == TEXTS:
        return datasets.List(datasets.Value("string"))
    if kind is _MESSAGES:
        return datasets.List({name: datasets.Value("string") for name in _MESSAGES["messages"]})
    return datasets.Value(kind)


def home() -> Path:
    """Where `load` puts what it pulls, a directory each."""
    return Path(os.environ.get(HOME) or Path.home() / ".cache/sayso")


def _pulled(name: str, lab: Lab, directory: str | Path | None) -> Folder:
    path = Path(directory) if directory is not None else home() / name
    release = lab.release(name) if name.startswith("rel_") else None
    agreement = name if release is None else release.agreement
    folder = Folder(lab, path, agreement)
    folder.pull(release=release)
    return folder


def nobody(path: Path) -> Lab:
    """With a key that the service does not know: enough to read what is there."""
    known = notes(path)
    return Lab(str(known.get("service", "")), str(known.get("client_id", "")), PrivateKey.generate())


def _rows(path: str, view: str) -> Iterator[dict[str, Any]]:
    """The rows of a view of a directory, each with every column. By its path alone, so that workers can be handed it."""
    yield from _shaped(derived.rows(Folder(nobody(Path(path)), path), view)[0], view)


def _shaped(rows: Iterable[dict[str, Any]], view: str) -> Iterator[dict[str, Any]]:
    """Rows of a view with its columns alone, without those that have no content."""
    names = VIEWS[view]
    for row in rows:
        if view != "trees" and (row.get("tombstone") or row.get("left_out")):
            continue
        found = {name: row.get(name) for name in names}
        if isinstance(found.get("context_terms"), dict):
            found["context_terms"] = json.dumps(found["context_terms"])
        yield found


def _library() -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise errors.SaysoError('sayso.load needs the datasets library: pip install "sayso[datasets]"') from error
