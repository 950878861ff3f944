"""Preferences in the shapes that trainers read (TRL, conversational), and as Chatbot Arena's battles: the same as a lab's own views of a
release, by the same functions (sayso/shapes.py, sayso/systems.py).
"""

from typing import Any

from sayso import shapes, systems

from app.contributions.formats.cutting import Row
from app.contributions.formats.writing import Lines, opened


def _told(row: Row) -> Any:
    """(prompt, chosen, rejected), or None for what is no pair."""
    if row.kind != "preference":
        return None
    won = shapes.winner(opened(row, "judgment"))
    found = shapes.compared(won, opened(row, "text"), opened(row, "context"))
    return None if isinstance(found, str) else found


def _dpo(row: Row) -> dict[str, Any] | None:
    return (found := _told(row)) and dict(zip(("prompt", "chosen", "rejected"), found, strict=True))


def _sft(row: Row) -> dict[str, Any] | None:
    return (found := _told(row)) and systems.sft(found[0], found[1])


def _kto(row: Row) -> list[dict[str, Any]] | None:
    return (found := _told(row)) and systems.kto(*found)


def _battle(row: Row) -> dict[str, Any] | None:
    if row.kind != "preference" or "judgment" not in row.parts:
        return None
    text, context = opened(row, "text"), opened(row, "context")
    sides = [shapes.side(which, text, context) for which in (shapes.A, shapes.B)]
    return systems.battle(row.external_id, shapes.winner(opened(row, "judgment")), shapes.models(context), sides)


DPO, SFT, KTO, BATTLES = Lines(_dpo), Lines(_sft), Lines(_kto), Lines(_battle)
