"""What a part says, as plain strings: for finding by words, and for comparing with a text that somebody brings."""

import json
import re
import unicodedata
from typing import Any

_GAPS = re.compile(r"\s+")


def strings(text: str) -> list[str]:
    """Every string in a part (its exact JSON text), in its order, names of members left out; a part that does not parse is one string."""
    try:
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return [text]
    found: list[str] = []
    waiting: list[Any] = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, str):
            found.append(value)
    return found


def folded(text: str) -> str:
    """Text as it is compared: the same letters in whatever form, case and spacing (NFKC, case folded, gaps as one blank)."""
    return _GAPS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def wanted(words: str) -> list[str]:
    """The words that somebody looks for, folded, each once."""
    return list(dict.fromkeys(folded(words).split(" "))) if words.strip() else []


def has_all(parts: list[str], words: list[str]) -> bool:
    """Whether each of `words` (folded) stands somewhere in these parts."""
    said = folded("\n".join(one for part in parts for one in strings(part)))
    return all(word in said for word in words)
