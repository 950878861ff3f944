"""Dialogues: what the person said goes to `text`, what others said to `context`, message by message. Where these do not take turns, person
and assistant, the order stands beside the others' words: who spoke in which part, under the dialogue's name and `_order`.

Where a dialogue comes as one string, nobody can tell the words apart: then all of it is `text`.
"""

import json
from collections.abc import Sequence

from sayso import shapes

from app.contributions.formats.cutting import Act, Cutter, Path
from app.contributions.formats.values import Value

PEOPLE = frozenset({"user", "human", "prompter", "Human", "USER", "User", "contestant"})


def split(
    cutter: Cutter, acts: Sequence[Act], messages: Value, text: Path, context: Path, *, theirs: str = "text", people: frozenset[str] = PEOPLE
) -> None:
    """Cut the messages of a dialogue, an array of `{"role", "content", …}` or `[role, content]`. Words of `people` go to the
    part `theirs`, the others' to `context`, each at its path and place; what else a message holds is kept as it is."""
    if not messages.is_array:
        if messages.is_null:
            cutter.keep(acts, messages)
        else:
            cutter.share(acts, theirs, messages, *text)
        return
    order: list[tuple[str, str]] = []
    counts = {theirs: 0, "context": 0} if theirs != "context" or text != context else {"context": 0}
    for message in messages.elements:
        role, content = _role(message), message.members.get("content", message.members.get("value"))
        if message.is_array and len(message.elements) == 2:
            content = message.elements[1]
        by_person = role in people
        part, path = (theirs, text) if by_person else ("context", context)
        if content is None or role is None:
            # No telling who speaks.
            part, path, content = theirs, text, message
        elif message.is_object:
            for name, value in message.members.items():
                if value is not content and name not in ("role", "from"):
                    if name in ("num_tokens", "id", "turn_identifier", "timestamp", "created_at") or value.is_null:
                        cutter.keep(acts, value)
                    elif name in ("hashed_ip", "header", "ip", "state", "country"):
                        cutter.drop(value, name)
                    else:
                        # Reasons, tool calls, images: whoever speaks here said them.
                        cutter.share(acts, part, value, *_more(path), f"{counts[part]}.{name}")
        if content.is_null:
            cutter.keep(acts, content)
            continue
        cutter.share(acts, part, content, *path, counts[part])
        counts[part] += 1
        order.append((part, role or ""))
    turns = [(True, shapes.USER), (False, shapes.ASSISTANT)] * ((len(order) + 1) // 2)
    if [(part == theirs, shapes.role(role)) for part, role in order] != turns:
        for act in acts:
            act.plant("context", json.dumps(order).encode(), *context[:-1], f"{context[-1]}_order")


def _more(path: Path) -> Path:
    """Beside the list of contents at `path`."""
    return (*path[:-1], f"{path[-1]}_more")


def _role(message: Value) -> str | None:
    found = message.get("role") or message.get("from") or message.get(0)
    return None if found is None else found.string()
