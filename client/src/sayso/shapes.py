"""What a part says, as far as it can be told: who won, which answers were compared, what was said in turn.

Parts are what many systems recorded, each in its own words; these are those of the adapters, and plain ones. What is not
recognised is None: a view then says that it left the record out, and never guesses.
"""

import json
import re
from typing import Any

Message = dict[str, str]
USER, ASSISTANT = "user", "assistant"
A, B, TIE, BOTH_BAD = "a", "b", "tie", "both-bad"
_WINNERS = {
    "a": A, "model_a": A, "leftvote": A, "left": A, "A": A, "1": A, "b": B, "model_b": B, "rightvote": B, "right": B, "B": B, "2": B,
    "tie": TIE, "tievote": TIE, "0": TIE, "tie (bothbad)": BOTH_BAD, "bothbad_vote": BOTH_BAD, "both_bad": BOTH_BAD,
}  # fmt: skip
_NAMES = ("winner", "preferred", "choice", "type")
_SIDES = {
    A: ("conversation_a", "response_a", "answer_a", "completion_a", "output_a", "response1", "output_1", "a"),
    B: ("conversation_b", "response_b", "answer_b", "completion_b", "output_b", "response2", "output_2", "b"),
}
_ROLES = {
    "user": USER, "human": USER, "prompter": USER, "contestant": USER, "assistant": ASSISTANT, "model": ASSISTANT, "gpt": ASSISTANT,
    "bot": ASSISTANT, "system": "system",
}  # fmt: skip
_TURN = re.compile(r"\n\n(Human|Assistant):")


def opened(row: dict[str, Any], part: str) -> Any:
    """What a part of a row holds; None where it is withheld, or is nothing that Python reads."""
    text = row.get(part)
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def winner(judgment: Any) -> str | None:
    """`a`, `b`, `tie` or `both-bad` of a judgment that compares two; None where it says none of these."""
    if isinstance(judgment, dict):
        return next((found for name in _NAMES if (found := winner_of(judgment.get(name))) is not None), None)
    return winner_of(judgment)


def winner_of(value: Any) -> str | None:
    """The same of a bare value."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _WINNERS.get(str(value))


def models(context: Any) -> tuple[str | None, str | None]:
    """The names of the two models that were compared."""
    if not isinstance(context, dict):
        return None, None
    both = _nested(context.get("models"))
    if isinstance(both, list) and len(both) == 2 and all(isinstance(name, str) and name for name in both):
        return both[0], both[1]
    found = [_text(context.get(f"model_{side}")) or _text(_member(context.get(side), "model_name")) for side in (A, B)]
    return found[0], found[1]


def side(which: str, text: Any, context: Any) -> list[Message] | None:
    """The whole dialogue on one side of a comparison, the compared answer last; None where it cannot be told."""
    states = _nested(_member(text, "states"))
    if isinstance(states, list) and len(states) == 2:
        told = messages(_member(states[which == B], "messages"))
        return told if told and told[-1]["role"] == ASSISTANT else None
    prompts = _prompts(which, text) or _prompts(which, context)
    for place in (context, text):
        for name in _SIDES[which]:
            given = _member(place, name)
            answers = _member(given, "answers") if isinstance(given, dict) else given
            if answers is None or answers is prompts or (place is text and name == f"conversation_{which}" and context):
                continue
            order = _member(given, "answers_order") if isinstance(given, dict) else _member(context, f"{name}_order")
            told = dialogue(prompts, answers, order)
            while told and told[-1]["role"] == USER and order is not None:
                told.pop()  # asked, and not answered when the two were compared
            if told and told[-1]["role"] == ASSISTANT:
                return told
    return None


def _prompts(which: str, place: Any) -> Any:
    for name in (f"conversation_{which}", which):
        given = _member(place, name)
        if isinstance(given, dict):
            given = given.get("prompts")
        if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
            return given
    asked = [_text(_member(place, name)) for name in ("instruction", "input", "prompt", "prefix")]
    return "\n\n".join(one for one in asked if one) or None


def dialogue(prompts: Any, answers: Any, order: Any = None) -> list[Message] | None:
    """Messages out of what a person said and what was answered: strings, lists of them in turn, or messages as they are. `order` says
    who spoke, as pairs of a part's name and a role, where they did not take turns. None where the order cannot be told."""
    if order is not None:
        return _arranged(prompts, answers, order)
    whole = messages(answers)
    if whole is not None:
        return whole
    said = [prompts] if isinstance(prompts, str) else prompts
    if isinstance(answers, str):
        told = turns(answers)
        if told is not None:
            return told
        answers = [answers]
    if not _strings(said) or not _strings(answers) or len(said) != len(answers):
        return None
    pairs = zip(said, answers, strict=True)
    return [message for one, other in pairs for message in (_message(USER, one), _message(ASSISTANT, other))]


def _arranged(prompts: Any, answers: Any, order: Any) -> list[Message] | None:
    parts = {"text": prompts if isinstance(prompts, list) else [], "context": answers if isinstance(answers, list) else []}
    pairs: list[Any] = order if isinstance(order, list) else [None]
    if not all(isinstance(one, list) and len(one) == 2 and one[0] in ("text", "context") and isinstance(one[1], str) for one in pairs):
        return None
    waiting = {part: iter(said) for part, said in parts.items()}
    told = [(name, next(waiting[part], None)) for part, name in pairs]
    if any(not isinstance(content, str) for _, content in told) or sum(map(len, parts.values())) != len(pairs):
        return None
    return [_message(role(name), str(content)) for name, content in told]


def messages(value: Any) -> list[Message] | None:
    """A list of messages with roles, in the words that systems use for both; or of pairs of them, the last of which may say nothing yet."""
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[-1], list) and len(value[-1]) == 2 and value[-1][1] is None:
        value = value[:-1]
    found = []
    for one in value:
        if isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) and one[0].lower() in _ROLES:
            one = {"role": one[0], "content": one[1]}
        name, content = (_member(one, "role") or _member(one, "from")), _member(one, "content") or _member(one, "value")
        if not isinstance(content, str) or not isinstance(name, str):
            return None
        found.append(_message(role(name), content))
    return found or None


def turns(text: str) -> list[Message] | None:
    """A dialogue in one string, with `Human:` and `Assistant:` before each turn."""
    pieces = _TURN.split(text if text.startswith("\n\n") else "\n\n" + text)
    if len(pieces) < 3 or pieces[0].strip():
        return None
    return [_message(USER if who == "Human" else ASSISTANT, said.strip()) for who, said in zip(pieces[1::2], pieces[2::2], strict=True)]


def role(name: str) -> str:
    """A role in the words of chat templates; one that is not known is given as it is."""
    return _ROLES.get(name.lower(), name)


def words(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """(role, content) of a single message, content None where it is withheld or is no text."""
    text, context = opened(row, "text"), opened(row, "context")
    said = _member(context, "role")
    content = text if isinstance(text, str) else _text(_member(text, "content")) or _text(_member(text, "text"))
    if content is None and text is None:
        content = _text(_member(context, "text"))
        return (role(said) if isinstance(said, str) else ASSISTANT if content else None), content
    return role(said) if isinstance(said, str) else USER, content


def conversation(row: dict[str, Any]) -> list[Message] | None:
    """The dialogue that one record holds as a whole."""
    text, context = opened(row, "text"), opened(row, "context")
    for place in (text, context):
        for name in ("messages", "conversation", "transcript"):
            given = _member(place, name)
            told = messages(given) or (turns(given) if isinstance(given, str) else None)
            if told:
                return told
    for name in ("conversation", "prompts", "messages"):
        prompts = _member(text, name)
        theirs = "answers" if name == "prompts" else name
        answers = _member(context, theirs)
        told = dialogue(prompts, answers, _member(context, f"{theirs}_order")) if prompts and answers else None
        if told:
            return told
    return messages(text)


def _nested(value: Any) -> Any:
    """What a string of JSON holds, as remote loggers write lists; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) and value.startswith("[") else value
    except (ValueError, RecursionError):
        return value


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _strings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _message(who: str, content: str) -> Message:
    return {"role": who, "content": content}


def compared(won: str | None, text: Any, context: Any) -> tuple[list[Message], list[Message], list[Message]] | str:
    """(prompt, chosen, rejected) of two answers of which `won` was preferred; else why there is no pair: `no-winner`, `tie`, `no-answers`."""
    if won not in (A, B):
        return "no-winner" if won is None else "tie"
    chosen, rejected = (side(which, text, context) for which in (won, B if won == A else A))
    return "no-answers" if chosen is None or rejected is None else parted(chosen, rejected)


def parted(one: list[Message], other: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """What two dialogues have in common from their beginning, and how each goes on: at least by its last message."""
    most = min(len(one), len(other)) - 1
    at = next((i for i in range(most) if one[i] != other[i]), most)
    return one[:at], one[at:], other[at:]
