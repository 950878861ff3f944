"""The greatest self-supporting set, against every subset there is."""

import random
from itertools import combinations

import pytest

from app.core.pledges import greatest_set, greatest_size


def _by_trying(pledges: dict[str, int]) -> frozenset[str]:
    """The union of all subsets that support themselves, found by looking at each of them."""
    found: set[str] = set()
    names = list(pledges)
    for size in range(1, len(names) + 1):
        for subset in combinations(names, size):
            if all(len(subset) - 1 >= pledges[name] for name in subset):
                found |= set(subset)
    return frozenset(found)


def test_the_greatest_set_is_what_trying_every_subset_finds() -> None:
    rng = random.Random(8)
    for _ in range(3_000):
        pledges = {f"p{n}": rng.randrange(rng.choice([3, 6, 10])) for n in range(rng.randrange(9))}
        found = greatest_set(pledges)
        assert found == _by_trying(pledges)
        assert all(len(found) - 1 >= pledges[name] for name in found)


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
