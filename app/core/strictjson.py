"""One strict reader of JSON texts (RFC 8259), for every body that reaches the service.

Two libraries may read one lax text in two ways; what is refused here has one reading only. Members of a contribution's
`parts` are validated but not converted: they are handed on as the exact octets that were sent (`RawJSON`), because
what is hashed and released must be what the person gave, 10,000-digit integers and odd white space included.

The C scanner of the standard library does the work; only the top-level object and the objects named as raw are walked
by hand, which is what gives the positions of their members.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import c_make_scanner  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Any, NoReturn

MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_SAFE_INTEGER = 2**53 - 1

_DETAILS = {
    "json_invalid": "Not valid JSON (RFC 8259)",
    "json_duplicate_key": "An object has the same key twice",
    "json_not_utf8": "Not UTF-8",
    "json_bom": "Starts with a byte-order mark; send UTF-8 without one",
    "json_not_finite": "NaN and Infinity are not JSON",
    "json_lone_surrogate": "A string has half of a surrogate pair, which is no character",
    "json_too_deep": f"Nested deeper than {MAX_DEPTH} levels",
    "json_number": "Numbers outside of parts must be integers within 2^53-1; write others as strings",
    "body_too_large": "Too long",
}
_WHITE = frozenset(" \t\n\r")
_past_white = re.compile(r"[ \t\n\r]*").match
_STRING = re.compile(r'"[^"]*"')
_KEY = re.compile(r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Read from left to right, so that an escaped backslash before "ud800" is not taken for a surrogate; and not all in one go, for which the matcher
# would keep as much as the text is long.
_WHOLE_CHARACTERS = re.compile(
    r"[^\\]*(?:\\(?:[^u]|u(?![dD][89a-fA-F])|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F])[^\\]*){0,400}", re.DOTALL
)
_NO_BRACKETS = re.compile(r"[^][{}]+")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}

Scan = Callable[[str, int], tuple[Any, int]]


class StrictJSONError(ValueError):
    """The text was refused: `code` is stable, `detail` is a sentence that never repeats any of the input."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or _DETAILS[code] + ".")
        self.code = code

    @property
    def detail(self) -> str:
        return str(self.args[0])


class RawJSON(bytes):
    """The exact UTF-8 octets of one JSON value, validated, without white space around it."""

    __slots__ = ()


def parse(data: bytes, *, max_bytes: int, raw: tuple[str, ...] = (), raw_values: tuple[str, ...] = ()) -> Any:
    """The value of a whole JSON text; objects become dicts in the order sent, numbers are ints.

    Where the text is an object, the members of each top-level *object* named in `raw` come as `RawJSON` under their
    keys, and so does the value itself, of any type, of each top-level key named in `raw_values`. Numbers inside raw
    values are checked for their grammar alone.

    Raises:
        StrictJSONError: body_too_large (more than `max_bytes`, or more than 10,000 keys outside of raw values),
            json_not_utf8, json_bom, json_invalid, json_duplicate_key (at any depth, compared after unescaping),
            json_not_finite, json_lone_surrogate, json_too_deep (more than 64 containers, the outermost counted),
            json_number (outside of raw values: a fraction, an exponent, or beyond 2^53-1 either way).
    """
    if len(data) > max_bytes:
        raise StrictJSONError("body_too_large", f"Longer than {max_bytes} bytes.")

    def walk(text: str, at: int) -> tuple[Any, int]:
        if text[at] != "{" or not (raw or raw_values):
            return _scan_envelope(text, at)
        return _members(
            text, at + 1, dict.fromkeys(raw_values, _take) | dict.fromkeys(raw, _take_members), _scan_envelope
        )

    value = _read(data, walk)
    # Every key has its colon, so most bodies need no exact count.
    if data.count(b":") > MAX_KEYS and _count_keys(value) > MAX_KEYS:
        raise StrictJSONError("body_too_large", f"More than {MAX_KEYS} keys.")
    return value


def members(data: bytes) -> dict[str, RawJSON]:
    """The members of a JSON object, each as its exact octets. Raises StrictJSONError: json_invalid if it is none."""

    def walk(text: str, at: int) -> tuple[dict[str, Any], int]:
        return _members(text, at + 1, {}, _take) if text[at] == "{" else _invalid(text, at)

    found: dict[str, RawJSON] = _read(data, walk)
    return found


def elements(data: bytes) -> list[RawJSON]:
    """The elements of a JSON array, each as its exact octets. Raises StrictJSONError: json_invalid if it is none."""

    def walk(text: str, at: int) -> tuple[list[RawJSON], int]:
        return _elements(text, at + 1) if text[at] == "[" else _invalid(text, at)

    found: list[RawJSON] = _read(data, walk)
    return found


def split_ndjson(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line without its LF) of newline-delimited JSON, blank lines left out.

    Splits on LF only: `splitlines` would also cut at U+2028 and other characters that may stand inside a JSON string.
    """
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip(b" \t\r"):
            yield number, line


def _read(data: bytes, walk: Scan) -> Any:
    """Decode, let `walk` read the one value, and check what a scanner does not: the end, surrogates, depth."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError("json_not_utf8", f"Not UTF-8 at byte {error.start}.") from None
    if text[:1] == "\ufeff":
        raise StrictJSONError("json_bom")
    if "\x00" in text[:4]:  # RFC 4627, section 3: how UTF-16 and UTF-32 without a mark begin
        raise StrictJSONError("json_not_utf8")
    at = _past_white(text).end()  # type: ignore[union-attr]
    if at == len(text):
        raise StrictJSONError("json_invalid", "Empty; send one JSON value.")
    try:
        value, end = walk(text, at)
    except StopIteration as stop:  # how the C scanner says: expected a value here
        _invalid(text, stop.value)
    except json.JSONDecodeError as error:
        _invalid(text, error.pos)
    except RecursionError:
        raise StrictJSONError("json_too_deep") from None
    if end != len(text) and _past_white(text, end).end() != len(text):  # type: ignore[union-attr]
        _invalid(text, end)
    if "\\u" in text and _SURROGATE.search(text) and _has_halves(text):
        raise StrictJSONError("json_lone_surrogate")
    if text.count("{") + text.count("[") > MAX_DEPTH and _too_deep(text):
        raise StrictJSONError("json_too_deep")
    return value


def _members(text: str, at: int, special: dict[str, Scan], usual: Scan) -> tuple[dict[str, Any], int]:
    """Members of the object whose brace stands before `at`, and where it ends; `special` scans take their keys."""
    found: dict[str, Any] = {}
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        match = _KEY.match(text, at)
        key, at = (match[1], match.end()) if match else _odd_key(text, at)
        if key in found:
            raise StrictJSONError("json_duplicate_key")
        found[key], at = special.get(key, usual)(text, at)
        mark = text[at : at + 1]
        if mark != ",":
            at = _skip(text, at)
            mark = text[at : at + 1]
            if mark == "}":
                return found, at + 1
            if mark != ",":
                _invalid(text, at)
        at += 1


def _odd_key(text: str, at: int) -> tuple[str, int]:
    """A key with escapes in it; or the place where there is none."""
    at = _skip(text, at)
    if text[at : at + 1] != '"':
        _invalid(text, at)
    key, at = scanstring(text, at + 1, True)
    at = _skip(text, at)
    if text[at : at + 1] != ":":
        _invalid(text, at)
    return key, _skip(text, at + 1)


def _elements(text: str, at: int) -> tuple[list[RawJSON], int]:
    found: list[RawJSON] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        value, at = _take(text, _skip(text, at))
        found.append(value)
        at = _skip(text, at)
        mark = text[at : at + 1]
        if mark == "]":
            return found, at + 1
        if mark != ",":
            _invalid(text, at)
        at += 1


def _skip(text: str, at: int) -> int:
    return _past_white(text, at).end() if text[at : at + 1] in _WHITE else at  # type: ignore[union-attr]


def _take(text: str, at: int) -> tuple[RawJSON, int]:
    end = _scan_raw(text, at)[1]
    return RawJSON(text[at:end].encode("utf-8")), end


def _take_members(text: str, at: int) -> tuple[Any, int]:
    return _members(text, at + 1, {}, _take) if text.startswith("{", at) else _scan_envelope(text, at)


def _too_deep(text: str) -> bool:
    """Whether a *valid* text nests too deep: its brackets alone, with its strings taken out, and a running count."""
    bare = text.replace("\\\\", "").replace('\\"', "")  # a quote ends its string from here on
    return max(accumulate(map(_STEP.__getitem__, _NO_BRACKETS.sub("", _STRING.sub("", bare)))), default=0) > MAX_DEPTH


def _has_halves(text: str) -> bool:
    """Whether a *valid* text has half of a surrogate pair."""
    at = 0
    while at < len(text):
        end = _WHOLE_CHARACTERS.match(text, at).end()  # type: ignore[union-attr]
        if end == at:
            return True
        at = end
    return False


def _count_keys(value: Any) -> int:
    count, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            count += len(item)
            waiting.extend(item.values())
        elif type(item) is list:
            waiting.extend(item)
    return count


def _invalid(text: str, at: int) -> NoReturn:
    where = len(text[:at].encode("utf-8"))
    raise StrictJSONError("json_invalid", f"Not valid JSON (RFC 8259) at byte {where}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJSONError("json_duplicate_key")
    return found


def _small_integer(digits: str) -> int:
    if len(digits) <= 17:  # also keeps int() away from its limit of 4,300 digits
        number = int(digits)
        if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
            return number
    raise StrictJSONError("json_number")


def _no_fraction(_: str) -> NoReturn:
    raise StrictJSONError("json_number")


def _not_finite(_: str) -> NoReturn:
    raise StrictJSONError("json_not_finite")


def _scanner(parse_int: Callable[[str], Any], parse_float: Callable[[str], Any]) -> Scan:
    """The C scanner with our hooks; it refuses control characters in strings and any white space but the four."""
    scan: Scan = c_make_scanner(
        SimpleNamespace(
            strict=True,
            object_hook=None,
            object_pairs_hook=_unique,
            parse_int=parse_int,
            parse_float=parse_float,
            parse_constant=_not_finite,
        )
    )
    return scan


_scan_envelope = _scanner(_small_integer, _no_fraction)
_scan_raw = _scanner(str, str)  # numbers stay text: only their octets matter
