"""What the evaluator answers, and how the answers of several layers go together."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from app.core import vocabulary as words
from app.core.canonical import canonical

Satisfied = Literal["yes", "no", "missing", "record", "release"]
Outcome = Literal["permit", "permit_with_obligations", "deny", "indeterminate"]


@dataclass(frozen=True, slots=True, order=True)
class Reason:
    """One line of the report: does `constraint` of `rule` hold? For a prohibition it is holding that forbids.

    `rule` is "permission/0" and so on in the policy's normal form, "policy" where no rule matches, "obligation/<kind>",
    or "layers". `satisfied` is "yes", "no" or "missing"; or "record" or "release" where each record, or the set of records
    that a release would hold, decides. `seen` is empty if the fact was not given.
    """

    rule: str
    constraint: str
    wanted: tuple[str, ...]
    seen: tuple[str, ...]
    satisfied: Satisfied


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `parts` is a bit mask of `vocabulary.PART_BITS`, 0 unless permitted.

    `attested` "person" means that only records attested by the person are covered; `group_size` is the fewest people of
    one platform, language and kind among whom a record may stand in a release (0: no such limit). Where `aged`, records of
    different age are decided differently: without an age, `parts` are those of any age. `obligations` are those of
    `Obligation.duty`, sorted, whatever the outcome. `nearest` are sentences that say what would bring a yes nearer.
    `valid_until` is the first later day on which the answer may differ.
    """

    outcome: Outcome
    parts: int = 0
    attested: Literal["person"] | None = None
    obligations: tuple[dict[str, str], ...] = ()
    reasons: tuple[Reason, ...] = ()
    nearest: tuple[str, ...] = ()
    valid_until: date | None = None
    group_size: int = 0
    aged: bool = False

    @property
    def permitted(self) -> bool:
        """True for permit and permit_with_obligations."""
        return self.outcome in ("permit", "permit_with_obligations")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value; parts by name, days as text."""
        return {
            "outcome": self.outcome,
            "parts": list(words.part_names(self.parts)),
            "attested": self.attested,
            "group_size": self.group_size,
            "aged": self.aged,
            "obligations": [dict(duty) for duty in self.obligations],
            "reasons": [
                {
                    "rule": r.rule,
                    "constraint": r.constraint,
                    "wanted": list(r.wanted),
                    "seen": list(r.seen),
                    "satisfied": r.satisfied,
                }
                for r in self.reasons
            ],
            "nearest": list(self.nearest),
            "valid_until": self.valid_until.isoformat() if self.valid_until else None,
        }


def union_of_obligations(lists: Iterable[Iterable[dict[str, str]]]) -> tuple[dict[str, str], ...]:
    """All obligations of the given lists, each once, in canonical order."""
    found = {canonical(duty): duty for duties in lists for duty in duties}
    return tuple(found[key] for key in sorted(found))


def strictest_attribution(obligations: Iterable[dict[str, str]]) -> str | None:
    """The most guarded attribution mode among obligations, or None if none speaks of it."""
    modes = [duty["mode"] for duty in obligations if duty["kind"] == "attribute"]
    return max(modes, key=words.ATTRIBUTION_MODES.index, default=None)


def telling(mode: str | None) -> int:
    """How much an attribution mode tells of the person; 0 where no policy speaks of it, as no credit is printed then."""
    modes = words.ATTRIBUTION_MODES
    return 0 if mode is None else len(modes) - 1 - modes.index(mode)


def intersect(decisions: Iterable[Decision]) -> Decision:
    """What all layers allow together: a denial wins, then a missing fact; obligations are joined. No layer: deny."""
    layers = tuple(decisions)
    if not layers:
        return Decision("deny", nearest=("No consent covers this use.",))
    parts = words.ALL_PARTS
    for layer in layers:
        parts &= layer.parts
    obligations = union_of_obligations(layer.obligations for layer in layers)
    reasons = {reason for layer in layers for reason in layer.reasons}
    nearest = {sentence for layer in layers for sentence in layer.nearest}
    outcomes = {layer.outcome for layer in layers}
    outcome: Outcome = "permit_with_obligations" if obligations else "permit"
    if "deny" in outcomes:
        outcome = "deny"
    elif "indeterminate" in outcomes:
        outcome = "indeterminate"
    elif not parts & words.OWN_PARTS:
        outcome = "deny"
        reasons.add(Reason("layers", "parts", ("judgment", "text"), words.part_names(parts), "no"))
    days = [layer.valid_until for layer in layers if layer.valid_until is not None]
    return Decision(
        outcome=outcome,
        parts=parts if outcome.startswith("permit") else 0,
        attested="person" if any(layer.attested for layer in layers) else None,
        obligations=obligations,
        reasons=tuple(sorted(reasons)),
        nearest=tuple(sorted(nearest)),
        valid_until=min(days, default=None),
        group_size=max(layer.group_size for layer in layers),
        aged=any(layer.aged for layer in layers),
    )


_NEEDS_NO_ACT = words.narrower_actions("evaluate")


def basis_allows(basis: str, actions: Iterable[str]) -> bool:
    """Whether consent on this basis can cover the actions at all: `explicit` any, `notice` only evaluation."""
    asked = frozenset(actions)
    if basis == "explicit":
        return bool(asked) and asked <= words.PERMITTABLE
    return basis == "notice" and bool(asked) and asked <= _NEEDS_NO_ACT
