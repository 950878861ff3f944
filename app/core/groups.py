"""Who may stand in a group: the release-set condition `groupSize gteq k`."""

from collections.abc import Mapping


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
