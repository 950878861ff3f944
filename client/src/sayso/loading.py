"""`sayso.load`: what was pulled as a `datasets.Dataset`. Needs datasets: `pip install "sayso[datasets]"`.

Rows are read from the pulled files into memory, or with `streaming` a shard at a time. Nothing is written beside those files: a
cache of the rows would be a copy that no recall reaches.
"""

import json
import os
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sayso import errors
from sayso.folder import Folder, notes
from sayso.jws import PrivateKey
from sayso.lab import Lab

HOME = "SAYSO_HOME"
"""Environment variable: where releases that are loaded by their id lie."""
TEXT, TEXTS = "string", ["string"]
COLUMNS: dict[str, Any] = {
    "record_id": TEXT, "kind": TEXT, "parent": TEXT, "language": TEXT, "platform": TEXT, "text": TEXT, "judgment": TEXT, "context": TEXT,
    "profile": TEXT, "basis": TEXT, "attested_by": TEXT, "policies": TEXTS, "attribution": TEXT, "credit": TEXT,
    "allowed_uses": TEXTS, "obligations": TEXT, "link": TEXT, "context_terms": TEXT,
}  # fmt: skip
"""The columns of either form, as `datasets` names their types. `allowed_uses` and `obligations` are in Parquet shards alone."""


def load(where: str | Path, *, lab: Lab | None = None, directory: str | Path | None = None, streaming: bool = False) -> Any:
    """A release as a `datasets.Dataset`, or with `streaming` an `IterableDataset`.

    `where` is a directory that was pulled into, an agreement (agr_…: its newest release) or a release (rel_…). The last two are
    pulled first, by `lab` or whom the environment names, into `directory` (usually `SAYSO_HOME`, or ~/.cache/sayso, and there
    the id), which `sayso sync` keeps in step as any other. Records that were recalled since it was pulled are warned of: the
    service is asked only where `lab` is given or something was pulled.

    Rows are in the order of record ids; parts are the JSON text that was recorded; tombstones are left out. Raises SaysoError.
    """
    text = str(where)
    named = text.startswith(("agr_", "rel_")) and not Path(text).exists()
    folder = _pulled(text, lab or Lab.from_environment(), directory) if named else Folder(lab or _nobody(Path(text)), text)
    if (named or lab is not None) and (waiting := sum(len(recall.records) for recall in folder.recalls())):
        warnings.warn(f"{waiting} of these records were recalled: run `sayso sync {folder.path}` and load again", stacklevel=2)
    datasets = _library()
    value = datasets.Value
    features = datasets.Features(
        {k: datasets.List(value("string")) if kind == TEXTS else value(kind) for k, kind in COLUMNS.items()}
    )
    if streaming:
        return datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs={"path": str(folder.path)})
    return datasets.Dataset.from_list(list(_rows(str(folder.path))), features=features)


def _pulled(name: str, lab: Lab, directory: str | Path | None) -> Folder:
    home = Path(os.environ.get(HOME) or Path.home() / ".cache/sayso")
    path = Path(directory) if directory is not None else home / name
    release = lab.release(name) if name.startswith("rel_") else None
    agreement = name if release is None else release.agreement
    folder = Folder(lab, path, agreement)
    folder.pull(release=release)
    return folder


def _nobody(path: Path) -> Lab:
    """With a key that the service does not know: enough to read what is there."""
    known = notes(path)
    return Lab(str(known.get("service", "")), str(known.get("client_id", "")), PrivateKey.generate())


def _rows(path: str) -> Iterator[dict[str, Any]]:
    """The records in a directory, each with every column. By its path alone, so that workers can be handed it."""
    for row in Folder(_nobody(Path(path)), path).rows():
        if not row.get("tombstone"):
            terms = row.get("context_terms")
            yield {name: row.get(name) for name in COLUMNS} | {"context_terms": json.dumps(terms) if isinstance(terms, dict) else terms}


def _library() -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise errors.SaysoError('sayso.load needs the datasets library: pip install "sayso[datasets]"') from error
