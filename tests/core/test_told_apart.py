"""Groups of judgments of which numbers are given: never of fewer than ten people, the rest together included."""

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.groups import LEAST, told_apart


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 30), min_size=1).map(frozenset)))
def test_nothing_is_told_of_fewer_than_ten_people(people: dict[str, frozenset[int]]) -> None:
    told = told_apart(people)
    rest = frozenset().union(*(found for cell, found in people.items() if cell not in told))
    assert all(len(people[cell]) >= LEAST for cell in told)
    assert not rest or len(rest) >= LEAST or not told
    # No more than one group that could be told joins the rest, and only where the rest needs it.
    silent = [cell for cell in people if cell not in told and len(people[cell]) >= LEAST]
    assert len(silent) <= 1
    # Capped sets say the same, so that a cut need not remember everybody.
    assert told == told_apart({cell: set(sorted(found)[:LEAST]) for cell, found in people.items()}) or any(len(f) > LEAST for f in people.values())
