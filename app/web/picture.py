"""A picture of where something went, as the numbers of an SVG: a platform, its releases, the labs that may read them.

Computed here so that the template only writes it down; names are cut to what fits, and stand whole in the table beside it.
"""

from dataclasses import dataclass

from app.revocations.timeline import Went
from app.web.saying import day, say_many

MOST_DRAWN = 12
"""Releases in the picture; the table has more."""
WIDTH = 720
_ROW, _BOX = 58, 42
_COLUMNS = ((0, 180), (265, 190), (540, 180))
"""(x, width) of platform, releases and labs."""
_MOST_LETTERS = 20


@dataclass(frozen=True)
class Box:
    """A rectangle with one or two lines of text; `open` is False where nobody gets it any more."""

    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]
    open: bool = True


@dataclass(frozen=True)
class Picture:
    """Boxes, and lines between them as SVG path data; `width` by `height` units."""

    boxes: list[Box]
    paths: list[tuple[str, bool]]
    width: int
    height: int


def draw(platform: str, found: list[Went]) -> Picture | None:
    """The picture of the newest releases of `found` (newest first), from left to right; None where there is none."""
    drawn = found[:MOST_DRAWN]
    if not drawn:
        return None
    labs = list(dict.fromkeys(one.lab_id for one in drawn))
    height = _ROW * max(len(drawn), len(labs))
    middle = [_at(1, n, len(drawn), height) for n in range(len(drawn))]
    right = {lab: _at(2, n, len(labs), height) for n, lab in enumerate(labs)}
    start = _box(0, _at(0, 0, 1, height), _short(platform))
    boxes, paths = [start], []
    for one, y in zip(drawn, middle, strict=True):
        box = _box(1, y, str(day(one.at)), str(say_many("%(num)s thing", "%(num)s things", one.count)), open=one.served)
        end = _box(2, right[one.lab_id], _short(one.lab))
        boxes.append(box)
        paths += [(_line(start, box), one.served), (_line(box, end), one.served)]
    names = {one.lab_id: one.lab for one in drawn}
    boxes += [_box(2, y, _short(names[lab])) for lab, y in right.items()]
    return Picture(boxes, paths, WIDTH, height)


def _at(column: int, n: int, of: int, height: int) -> int:
    return round(height * (2 * n + 1) / (2 * of) - _BOX / 2)


def _box(column: int, y: int, *lines: str, open: bool = True) -> Box:
    x, width = _COLUMNS[column]
    return Box(x, y, width, _BOX, lines, open)


def _line(left: Box, right: Box) -> str:
    x1, y1, x2, y2 = left.x + left.width, left.y + left.height // 2, right.x, right.y + right.height // 2
    bend = (x2 - x1) // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def _short(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
