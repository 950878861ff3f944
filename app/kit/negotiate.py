"""Choosing a form and a language by what a client accepts (RFC 9110 sections 12.5.1 and 12.5.4)."""

import re
from collections.abc import Sequence

from app.kit.errors import NotAcceptable

_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z")


def media_type(accept: str | None, known: Sequence[str]) -> str:
    """The best of the `known` media types; of equal ones the first. Raises NotAcceptable (not_acceptable)."""
    if accept is None or not accept.strip():
        return known[0]
    asked = _weighed(accept)

    def weight(form: str) -> float:
        # The most specific range that fits speaks for a form, also where it says no.
        for wanted in (form, form.split("/")[0] + "/*", "*/*"):
            if wanted in asked:
                return asked[wanted]
        return 0.0

    best = max(known, key=weight)
    if not weight(best):
        raise NotAcceptable("not_acceptable", "Ask for one of the media types listed in `known`.", known=list(known))
    return best


def language(accept: str | None, known: Sequence[str], default: str) -> str:
    """The best of the `known` languages by lookup (RFC 4647 section 3.4: `es-MX` finds `es`); else the default."""
    best, most = default, 0.0
    for tag, weight in _weighed(accept or "").items():
        while tag:
            found = next((one for one in known if one.lower() == tag), None)
            if found is not None:
                if weight > most:
                    best, most = found, weight
                break
            tag = tag.rpartition("-")[0]
    return best


def _weighed(header: str) -> dict[str, float]:
    """What is listed, lower-case and without parameters, with its weight. What cannot be read is passed over."""
    found: dict[str, float] = {}
    for item in header.split(",")[:50]:
        name, *parameters = (part.strip() for part in item.lower().split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = float(value) if _WEIGHT.match(value.strip()) else 0.0
        if name:
            found[name] = max(weight, found.get(name, 0.0))
    return found
