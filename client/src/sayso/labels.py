"""`labels.json` in a pulled directory: what is to be said of the release since it was cut, and where in the log each label stands.

    {v: 1, type: "sayso-labels", release, labels: [{label, log_index, added_at}]}

A label that was lifted since stays, with `lifted_at` and `lifted_index` beside. `contested`, `dissent`, `collective-dissent` and `objection`
are the labels of today; others may come. Where there is none there is no such file.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sayso import disk, errors, proofs

NAME = "labels.json"
_FIELDS = {"label": str, "log_index": int, "added_at": str}
_LIFTED = {"lifted_at": str, "lifted_index": int}


def keep(folder: Path, release: str, found: Sequence[dict[str, Any]]) -> None:
    """Write the file, or take it away where there is nothing to say. Raises errors.Damaged where a label is not of its form."""
    if not found:
        (folder / NAME).unlink(missing_ok=True)
        return
    try:
        listed = []
        for one in map(proofs.as_object, found):
            lifted = _LIFTED if one.get("lifted_at") is not None else {}
            listed.append({name: proofs.get(one, name, kind) for name, kind in {**_FIELDS, **lifted}.items()})
    except proofs.Failed as error:
        raise errors.Damaged(f"the labels of {release} are not of their form: {error}") from error
    file = {"v": 1, "type": "sayso-labels", "release": release, "labels": listed}
    disk.write(folder / NAME, (json.dumps(file, indent=1) + "\n").encode())


def codes(folder: Path, release: str | None = None) -> list[str]:
    """The labels that hold, in the order of the log; with `release` only if they are that one's. Raises errors.Damaged."""
    path = folder / NAME
    if not path.exists():
        return []
    try:
        file = proofs.parse(path.read_bytes(), NAME)
        if release not in (None, proofs.get(file, "release", str)):
            return []
        listed = [proofs.as_object(one) for one in proofs.get(file, "labels", list)]
        return [str(proofs.get(one, "label", str)) for one in listed if "lifted_at" not in one]
    except (OSError, proofs.Failed) as error:
        raise errors.Damaged(f"{NAME} cannot be read: delete it and sync") from error
