"""The greatest self-supporting set, against every subset there is."""

import random
from collections import Counter

import pytest

from app.core.pledges import greatest_set, greatest_size

INSTANCES = 100_000


def _by_trying(thresholds: list[int]) -> int:
    """The union of all subsets that support themselves, found by looking at each of them; subsets are bits."""
    most, found = [-1], 0
    for n, threshold in enumerate(thresholds):  # the subsets that have n in them and none after it
        most += [max(before, threshold) for before in most]
    for subset, asked in enumerate(most):
        if subset.bit_count() - 1 >= asked:
            found |= subset
    return found


def test_the_greatest_set_is_what_trying_every_subset_finds() -> None:
    rng, sizes, names = random.Random(8), Counter[int](), [f"p{n}" for n in range(9)]
    for _ in range(INSTANCES):
        most = rng.choice((3, 6, 10))
        thresholds = [int(rng.random() * most) for _ in range(int(rng.random() * 9))]
        found = greatest_set(dict(zip(names, thresholds, strict=False)))
        assert sum(1 << names.index(one) for one in found) == _by_trying(thresholds), thresholds
        assert all(len(found) - 1 >= thresholds[names.index(one)] for one in found)
        sizes[len(found)] += 1
    assert min(sizes[n] for n in range(9)) > 100, sizes


def test_the_greatest_set_needs_no_first_mover() -> None:
    assert greatest_set(dict.fromkeys("abcd", 3)) == set("abcd")
    assert greatest_set({**dict.fromkeys("abcd", 3), "e": 9}) == set("abcd")
    assert greatest_set(dict.fromkeys("abc", 3)) == frozenset()
    assert greatest_set({}) == frozenset() and greatest_set({"a": 0}) == {"a"}
    with pytest.raises(ValueError):
        greatest_set({"a": -1})


def test_many_pledges_are_resolved_without_comparing_each_with_each() -> None:
    """Counting how often a threshold is compared stands for the time: n log n of 20,000 is 300,000, n² is 400 million."""
    compared = 0

    class Counted(int):
        def __lt__(self, other: int) -> bool:
            nonlocal compared
            compared += 1
            return int(self) < int(other)

        __gt__ = lambda self, other: Counted.__lt__(Counted(other), int(self))  # noqa: E731

    rng = random.Random(1)
    greatest_size([Counted(rng.randrange(20_000)) for _ in range(20_000)])
    assert 0 < compared < 20_000 * 40
