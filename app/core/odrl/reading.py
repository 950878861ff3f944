"""Bytes -> JSON values, for files of policies, requests and states.

Bodies of the service go through `core/strictjson.py`, which knows no fractions. Files here may hold them, so numbers come as
`Decimal`; everything else that has two readings is refused under the same codes.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from app.core.odrl.limits import MAX_BYTES, MAX_DEPTH, MAX_NUMBER, OdrlError, too_large


def read_json(data: bytes) -> Any:
    """The value of a JSON text: dict, list, str, int, Decimal, bool, None.

    Raises:
        OdrlError: odrl_too_large, json_not_utf8, json_bom, json_invalid, json_duplicate_key, json_not_finite,
            json_lone_surrogate, json_too_deep, json_number.
    """
    if len(data) > MAX_BYTES:
        raise too_large("bytes in a file", MAX_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise OdrlError("json_not_utf8", f"Not UTF-8 at byte {error.start}.") from None
    if text[:1] == "\ufeff":
        raise OdrlError("json_bom", "Starts with a byte-order mark; write UTF-8 without one.")
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_not_finite,
        )
    except json.JSONDecodeError as error:
        raise OdrlError("json_invalid", f"Not JSON at line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise _too_deep() from None
    if "\\u" in text and not _whole(value):
        raise OdrlError("json_lone_surrogate", "A string has half of a surrogate pair, which is no character.")
    return value


def _too_deep() -> OdrlError:
    return OdrlError("json_too_deep", f"Nested deeper than {MAX_DEPTH} levels.", limit=("levels of nesting", MAX_DEPTH))


def _check_depth(text: str) -> None:
    """Counts brackets outside of strings, before anything recurses."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep()
        elif char in "}]":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise OdrlError("json_duplicate_key", "An object has the same key twice.")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise OdrlError("json_number", f"A number has more than {MAX_NUMBER} characters.")
    return int(text)


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER:
        raise OdrlError("json_number", f"A number has more than {MAX_NUMBER} characters.")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise OdrlError("json_number", "A number is out of range.") from None
    if not -400 < value.adjusted() < 400:  # the range of a double; beyond it comparisons would take forever
        raise OdrlError("json_number", "A number is out of range.")
    return value


def _not_finite(_: str) -> NoReturn:
    raise OdrlError("json_not_finite", "NaN and Infinity are not JSON.")


def _whole(value: Any) -> bool:
    """Every string is made of characters. Depth was checked, so recursion is bounded."""
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, dict):
        return all(_whole(key) and _whole(below) for key, below in value.items())
    return all(_whole(below) for below in value) if isinstance(value, list) else True
