"""A policy in the forms that its address serves beside plain JSON. One line in `RENDERINGS` adds a form."""

import json
from collections.abc import Callable
from html import escape

from app.core.deed import CATALOGS, Line, beside
from app.core.policy import Policy


def json_ld(policy: Policy, language: str) -> bytes:
    """The policy's normal form with its `uid`, as JSON-LD 1.1."""
    return json.dumps(policy.odrl(uid=True), sort_keys=True).encode()


def text(policy: Policy, language: str) -> bytes:
    """The deed, one sentence a line, conditions below their rule."""
    lines = []
    for line in beside(policy, language):
        indent = "  " if line.below else ""
        lines.append(f"{indent}- {line.text}")
        if line.english is not None:
            lines.append(f"{indent}  ({line.english})")
    return ("\n".join(lines) + "\n").encode()


def page(policy: Policy, language: str) -> bytes:
    """The deed as a page of its own: no script, no other file."""
    items, open_below = [], False
    for line in beside(policy, language):
        if line.below and not open_below:
            items.append("<li><ul>")
        elif open_below and not line.below:
            items.append("</ul></li>")
        open_below = line.below
        items.append(f"<li>{_told(line)}</li>")
    if open_below:
        items.append("</ul></li>")
    direction = ' dir="rtl"' if CATALOGS[language].direction == "rtl" else ""
    style = "body{max-width:40em;margin:2em auto;padding:0 1em;font:1.1em/1.5 sans-serif}.en{color:#555}"
    return (
        f'<!doctype html>\n<html lang="{escape(language)}"{direction}><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{policy.digest}</title><style>{style}</style></head>\n'
        f"<body><main><ul>\n" + "\n".join(items) + f"\n</ul><p><code>{escape(policy.uid)}</code></p></main></body></html>\n"
    ).encode()


def _told(line: Line) -> str:
    beside_it = "" if line.english is None else f'<br><span class="en" lang="en" dir="ltr">{escape(line.english)}</span>'
    return escape(line.text) + beside_it


RENDERINGS: dict[str, Callable[[Policy, str], bytes]] = {
    "application/ld+json": json_ld,
    "text/html": page,
    "text/plain": text,
}
"""Media type -> the policy in that form and, where it has words, in a language of `core/deeds`."""
