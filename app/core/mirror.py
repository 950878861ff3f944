"""Opinion groups among those who voted on statements: a mirror for a discussion, and never a gate. Nothing is decided by them.

Groups are found by k-modes: everybody joins the group with whose majority they agree most, until nobody moves. That ends in another
picture from another beginning, so it is begun twenty times, from beginnings that follow from the votes alone, and how alike the pictures
are is told with them: the lowest adjusted Rand index between the best and any other. A picture that does not hold is not shown. Integers
and fractions alone, so that the same votes give the same groups on every machine.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import comb
from typing import NamedTuple

METHOD = "k-modes/1"
BEGINNINGS = 20
GROUPS = (2, 3, 4, 5)
FEWEST_VOTES = 7
"""Votes that somebody must have cast to be placed."""
FEWEST_PEOPLE, MOST_PEOPLE = 50, 500
MOST_CELLS = 20_000
"""People times statements. Fewer people are no picture, and more of either take too long to look at while somebody waits."""
FEWEST = 10
"""People in a group that is told of."""
FEWEST_SAID = 3
"""People behind a number that is told of a group."""
HOLDS = Fraction(4, 5)
_ROUNDS = 50


class Voter(NamedTuple):
    """What somebody agrees and disagrees with, a bit for each statement."""

    agrees: int
    disagrees: int


@dataclass(frozen=True, slots=True)
class Mirror:
    """`groups` are lists of voters by their place in the input, the largest first; none where `why` says why. `stability` is the lowest
    adjusted Rand index between the picture and those of the other beginnings."""

    people: int
    stability: Fraction | None
    groups: tuple[tuple[int, ...], ...]
    why: str | None


def look(votes: Sequence[Mapping[int, int]]) -> Mirror:
    """The groups among voters, each given as statement (from 0) -> 1, 0 or -1; of those numbers of groups that hold the one that holds best."""
    placed = [n for n, cast in enumerate(votes) if len(cast) >= FEWEST_VOTES]
    if len(placed) < FEWEST_PEOPLE:
        return Mirror(len(placed), None, (), "too-few-people")
    if len(placed) > MOST_PEOPLE:
        return Mirror(len(placed), None, (), "too-many-people")
    if len(placed) * len({statement for n in placed for statement in votes[n]}) > MOST_CELLS:
        return Mirror(len(placed), None, (), "too-large")
    voters = [Voter(_bits(votes[n], 1), _bits(votes[n], -1)) for n in placed]
    best: tuple[Fraction, int, list[int]] | None = None
    for k in GROUPS:
        found = _stable(voters, k)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], k, found[1])
    if best is None:
        return Mirror(len(placed), None, (), "no-groups")
    stability, k, labels = best
    if stability < HOLDS:
        return Mirror(len(placed), stability, (), "unstable")
    groups = sorted((tuple(placed[i] for i, label in enumerate(labels) if label == g) for g in range(k)), key=lambda one: (-len(one), one))
    if len(groups[-1]) < FEWEST:
        return Mirror(len(placed), stability, (), "group-too-small")
    return Mirror(len(placed), stability, tuple(groups), None)


def told(votes: Sequence[Mapping[int, int]], group: Sequence[int], statement: int) -> dict[str, int | None]:
    """How many of a group agree, disagree and pass; what fewer than three said is null."""
    counts = Counter(votes[n][statement] for n in group if statement in votes[n])
    return {name: counts[vote] if counts[vote] >= FEWEST_SAID else None for name, vote in (("agree", 1), ("disagree", -1), ("pass", 0))}


def _bits(cast: Mapping[int, int], vote: int) -> int:
    return sum(1 << statement for statement, said in cast.items() if said == vote)


def _likeness(one: Voter, other: Voter) -> int:
    same = (one.agrees & other.agrees) | (one.disagrees & other.disagrees)
    apart = (one.agrees & other.disagrees) | (one.disagrees & other.agrees)
    return same.bit_count() - apart.bit_count()


def _stable(voters: list[Voter], k: int) -> tuple[Fraction, list[int]] | None:
    runs = [found for n in range(BEGINNINGS) if (found := _run(voters, k, n)) is not None]
    if not runs:
        return None
    _, labels = max(runs, key=lambda run: (run[0], run[1]))
    # Where many beginnings lead nowhere, or to fewer groups, it says nothing that the others are alike.
    lowest = min(_rand_index(labels, other) for _, other in runs)
    return (lowest if 4 * len(runs) >= 3 * BEGINNINGS else min(lowest, Fraction(0))), labels


def _run(voters: list[Voter], k: int, beginning: int) -> tuple[int, list[int]] | None:
    order = sorted(range(len(voters)), key=lambda n: sha256(f"{beginning}/{voters[n].agrees:x}/{voters[n].disagrees:x}/{n}".encode()).digest())
    middles = [voters[order[0]]]
    while len(middles) < k:  # the next is whom those before resemble least
        middles.append(voters[min(order, key=lambda n: max(_likeness(voters[n], one) for one in middles))])
    labels: list[int] = []
    for _ in range(_ROUNDS):
        scores = [[_likeness(voter, middle) for middle in middles] for voter in voters]
        moved = [score.index(max(score)) for score in scores]
        if moved == labels:
            return sum(max(score) for score in scores), labels
        labels = moved
        if len(set(labels)) < k:
            return None
        middles = [_middle([voter for voter, label in zip(voters, labels, strict=True) if label == g]) for g in range(k)]
    return None


def _middle(group: list[Voter]) -> Voter:
    """What more of a group agree with than not, and the other way round."""
    lean: Counter[int] = Counter()
    for voter in group:
        for bits, weight in ((voter.agrees, 1), (voter.disagrees, -1)):
            while bits:
                low = bits & -bits
                lean[low.bit_length() - 1] += weight
                bits ^= low
    return Voter(_bits({s: 1 for s, n in lean.items() if n > 0}, 1), _bits({s: -1 for s, n in lean.items() if n < 0}, -1))


def _rand_index(one: Sequence[int], other: Sequence[int]) -> Fraction:
    """The adjusted Rand index of two groupings: 1 for the same, about 0 for no more likeness than chance gives."""
    both = sum(comb(n, 2) for n in Counter(zip(one, other, strict=True)).values())
    first, second = (sum(comb(n, 2) for n in Counter(labels).values()) for labels in (one, other))
    chance, most = Fraction(first * second, comb(len(one), 2)), Fraction(first + second, 2)
    return Fraction(1) if most == chance else (both - chance) / (most - chance)
