"""Who may stand in a group: the release-set condition `groupSize gteq k`."""

from collections.abc import Mapping, Set
from typing import TypeVar

Cell = TypeVar("Cell")
LEAST = 10
"""The fewest people of whom numbers are given apart from others'."""


def stable_group(people: Mapping[int, int]) -> int:
    """How many people remain in a group once everybody left who wants more company than there is.

    Taking somebody out makes the group smaller for the rest, so it is repeated until nothing changes. What remains is the
    greatest set in which every member's wish is met, whatever the order of removal.

    Args:
        people: how many people there are by the least size of group that any of their records asks for (0: none).
    """
    size = sum(people.values())
    while True:
        left = sum(count for least, count in people.items() if least <= size)
        if left == size:
            return size
        size = left


def told_apart(people: Mapping[Cell, Set[int]]) -> set[Cell]:
    """Which groups may be told apart, so that none, and not the rest together either, is of fewer than `LEAST` people.

    Args:
        people: by group some of its people, at least `LEAST` of them where there are so many. A person may be in several.
    """
    named = {cell for cell, found in people.items() if len(found) >= LEAST}
    rest: set[int] = set().union(*(found for cell, found in people.items() if cell not in named))
    if rest and len(rest) < LEAST and named:
        # Which one joins the rest must follow from the groups alone: the smallest told of, and among equals the first by name.
        named.remove(min(named, key=lambda cell: (len(people[cell]), repr(cell))))
    return named
