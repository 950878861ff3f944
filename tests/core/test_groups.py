"""The group that remains is the greatest in which everybody's wish is met: held against trying every subset."""

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from app.core.groups import stable_group


def greatest(wishes):
    """The size of the largest set of people in which each wants at most as many as there are."""
    for size in range(len(wishes), 0, -1):
        if any(all(wish <= size for wish in some) for some in combinations(wishes, size)):
            return size
    return 0


@given(st.lists(st.integers(0, 9), max_size=9))
def test_it_is_the_greatest_stable_group(wishes):
    assert stable_group(Counter(wishes)) == greatest(wishes)


@given(st.lists(st.integers(0, 9), max_size=9), st.integers(0, 9))
def test_one_more_person_never_makes_it_smaller(wishes, wish):
    assert stable_group(Counter([*wishes, wish])) >= stable_group(Counter(wishes))


def test_nobody():
    assert stable_group({}) == 0
    assert stable_group({2: 1}) == 0
    assert stable_group({0: 1}) == 1
