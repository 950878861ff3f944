"""What bug-bounty systems share: JSON:API documents, embargo, the credit, and AVID as the shape that a release takes."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
from sayso import systems

from app.contributions.formats.adapter import Fields, instant
from app.contributions.formats.cutting import Act, Cutter, Row
from app.contributions.formats.draft import UNTIL_FIXED, Wrong
from app.contributions.formats.values import Value
from app.contributions.formats.writing import Released, opened


def documents(cutter: Cutter, root: Value, fields: Fields, each: Callable[[Value], list[Act]]) -> None:
    """Calls `each` with every resource of a JSON:API document, or with the root where it is one itself."""
    data = fields.get("data")
    if data is None or ("type" in fields and "attributes" in fields):
        each(root)
        return
    acts: list[Act] = []
    for resource in data.elements if data.is_array else [data]:
        if not resource.is_object:
            raise Wrong("data must be a resource or a list of resources")
        acts += each(resource)
    for name, value in fields.items():
        if name in ("included", "meta", "links") and not value.is_null and acts:
            # Others' resources, in full: nothing that goes with one report alone.
            cutter.share(acts[:1], "context", value, name) if name == "included" else cutter.keep(acts, value)


def embargo(act: Act, disclosed: Value | None, until: Value | None = None) -> None:
    """Not before the date the source names; without one not before it was disclosed, which nobody knows yet."""
    moment = instant(until) or instant(disclosed)
    act.embargo = moment if moment else UNTIL_FIXED


def related(resource: Value, name: str) -> Value | None:
    """The resource that a relationship holds."""
    return resource.get("relationships", name, "data")


class Avid:
    """Reports as AVID records, a line each; the credit exactly as it was given, or null where it is not released."""

    def __init__(self, system: str) -> None:
        self._system = system

    def write(self, records: Iterable[Released]) -> Iterator[bytes]:
        """Lines with their LF. Withheld reports leave no line: AVID has no form for one."""
        for _, rows in records:
            for row in rows:
                if row is not None and row.kind == "vulnerability_report" and "text" in row.parts:
                    yield orjson.dumps(self._record(row)) + b"\n"

    def _record(self, row: Row) -> dict[str, Any]:
        source = {"type": "source", "label": f"{self._system} {row.external_id}", "url": None}
        return systems.avid(None, opened(row, "text"), systems.credited(opened(row, "profile")), [source])
