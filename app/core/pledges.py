"""Pledges that depend on each other: who acts once everybody may count on enough others.

A pledge is a whole number: how many *other* pledgers must act for this one to act. A set supports itself if each of its members
finds enough others in it. Two such sets together are one too, so there is exactly one greatest, and it is what is carried out: all
of it or, where it is empty, nothing. Waiting for a cascade instead would never start four people who each ask for three others.

Beside that a campaign says how many people act at the fewest: where the greatest set is smaller, no other is large enough either.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

FEWEST_TOGETHER = 3
"""How many people act together at the fewest, whatever a campaign says: one of them cannot end it for all others, nor two."""


def greatest_size(thresholds: Sequence[int]) -> int:
    """k* = max{k : #{i : t_i <= k - 1} >= k}, or 0. Whole numbers of any order; O(n log n)."""
    ordered = sorted(thresholds)
    return max((k for k in range(1, len(ordered) + 1) if bisect_right(ordered, k - 1) >= k), default=0)


def greatest_set(pledges: Mapping[str, int]) -> frozenset[str]:
    """The pledgers of the greatest self-supporting set. Raises ValueError for a threshold below 0."""
    if any(threshold < 0 for threshold in pledges.values()):
        raise ValueError("a pledge asks for no fewer than 0 others")
    size = greatest_size(list(pledges.values()))
    return frozenset(pledger for pledger, threshold in pledges.items() if threshold <= size - 1)
