"""May I do this with what I hold? Decided record by record: the agreement, the record's policies, its basis, and the recalls."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sayso.folder import Folder
from sayso.models import UseCheck

PARTS = ("text", "judgment", "context", "profile")


@dataclass
class Checked:
    """How many records may be so used; and of the others, by reason, which. `hints` say what would have to be otherwise."""

    allowed: int = 0
    refused: dict[str, list[str]] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all of it may be so used."""
        return not self.refused

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "allowed": self.allowed, "refused": self.refused, "hints": self.hints}


def check(folder: Folder, use: dict[str, Any]) -> Checked:
    """Decide `use` for every record in the folder. What `use` leaves out is as it was signed. Raises SaysoError."""
    signed = {name: value for name, value in folder.offer()["use"].items() if name != "accepts"}
    answer = folder.lab.check(folder.agreement, {**signed, **use})
    recalled = {record for recall in folder.recalls() for record in recall.records}
    found = Checked(hints=sorted({hint for policy in answer.policies for hint in policy.nearest}))
    for row in folder.rows():
        if row.get("tombstone") is True:
            continue
        why = _why_not(row, answer, recalled)
        if why is None:
            found.allowed += 1
        else:
            found.refused.setdefault(why, []).append(row["record_id"])
    return found


def _why_not(row: dict[str, Any], answer: UseCheck, recalled: Iterable[str]) -> str | None:
    """Why a record may not be so used, or None. The order is that of what a lab can do about it."""
    policies = {policy.digest: policy for policy in answer.policies}
    governing = [policies.get(digest) for digest in row.get("policies") or ()]
    open_parts = set(PARTS).intersection(*(p.parts for p in governing if p is not None)) if governing else set()
    if row["record_id"] in recalled:
        return "it was recalled: run `sayso sync`"
    if not answer.in_force:
        return "the agreement is not in force"
    if not answer.signed:
        return "the use goes beyond what was signed: ask for it with a request of its own"
    if not governing or None in governing:
        return "its policies do not stand in the agreement"
    if answer.needs_explicit and row.get("basis") != "explicit":
        return "only a notice was shown, and this use needs an act of consent"
    if any(p.by_person for p in governing if p is not None) and row.get("attested_by") != "person":
        return "its terms want consent that the person attested"
    if {part for part in PARTS if row.get(part) is not None} - open_parts:
        return "its terms do not permit this"
    return None
