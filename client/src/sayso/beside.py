"""`objections.jsonl` in a pulled directory: what people say of their records, to be read beside them.

A line each: `{record_id, statement, language}`, by record id, only for records that are here. Where nobody objected there
is no such file.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sayso import disk, errors

NAME = "objections.jsonl"
_FIELDS = {"record_id": str, "statement": str, "language": str}


def keep(folder: Path, items: Iterable[dict[str, Any]]) -> None:
    """Write the file, or take it away where there is nothing to say. Raises errors.Damaged where an item is not of its form."""
    lines = [_line(item) for item in sorted(items, key=lambda item: str(item.get("record_id")))]
    if lines:
        disk.write(folder / NAME, "".join(lines).encode())
    else:
        (folder / NAME).unlink(missing_ok=True)


def read(folder: Path) -> list[dict[str, Any]]:
    """What the file says; nothing where there is none. Raises errors.Damaged."""
    path = folder / NAME
    if not path.exists():
        return []
    try:
        found = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        raise errors.Damaged(f"{NAME} cannot be read: pull again") from error
    for item in found:
        _line(item)
    return found


def without(folder: Path, removed: set[str]) -> list[dict[str, Any]]:
    """`read`, once the lines about records that were removed are gone from the file too. Raises errors.Damaged."""
    found = read(folder)
    left = [item for item in found if item["record_id"] not in removed]
    if len(left) < len(found):
        keep(folder, left)
    return left


def _line(item: Any) -> str:
    if not isinstance(item, dict) or any(not isinstance(item.get(name), kind) for name, kind in _FIELDS.items()):
        raise errors.Damaged("an objection is not of its form: pull again")
    return json.dumps({name: item[name] for name in _FIELDS}) + "\n"
