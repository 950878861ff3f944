"""What is said around a proposal before it is voted on: the closed lists, the limits, and the digest that a freeze fixes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.core.canonical import canonical

REASONS = (
    "aim", "benefit", "clarity", "cost", "evidence", "fairness", "harm", "privacy", "process", "question", "scope", "support",
)  # fmt: skip
"""What a comment is about, or why a ballot says what it says. Words of one's own stand in a text; these can be counted."""
HIDING = ("abuse", "duplicate", "elsewhere", "off-topic", "personal-data", "spam", "unlawful")
"""Why a steward hides something; `elsewhere`: it was moderated out where it was imported from."""
MOVING = ("answers-wanted", "away", "clash", "facts-wanted", "more-to-read")
"""Why a steward has a vote begin on a later day; `clash`: with other votes."""
GROUNDS = ("argument-missing", "closer-involved", "note-misleading")
"""Why a closure note is appealed. The arithmetic is nobody's to appeal: it is counted again."""
CHOICES = ("agree", "disagree", "pass")

STATEMENTS = 10
"""Statements that one member puts up on one proposal."""
COMMENTS = 5
"""Comments of one member in an hour, in one collective."""
LAB_COMMENTS = 20
"""Comments of the lab that asks in twenty-four hours, on one proposal: the room is the members'."""
MOST_STATEMENTS, MOST_COMMENTS = 500, 2_000
"""Statements and comments on one proposal."""
FEWEST_REASONS = 5
"""A reason that fewer give is not counted: it would speak of somebody."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How many agree, disagree and pass: each voter's last word."""

    agree: int = 0
    disagree: int = 0
    passed: int = 0

    def to_json(self) -> dict[str, int]:
        return {"agree": self.agree, "disagree": self.disagree, "pass": self.passed}


def must_be_answered(agree: int, voices: int, groups: Iterable[tuple[int, int]] = ()) -> bool:
    """Whether a statement has so much agreement that the proposer owes it an answer: a fifth of all who have a voice, or half of a group
    that is counted, given as (agree, size) each."""
    return (agree > 0 and 5 * agree >= voices) or any(said > 0 and 2 * said >= size for said, size in groups)


def words_digest(salt: bytes, text: str) -> str:
    """What stands for words where they are gone: without the salt, which goes with them, no guess can be confirmed by it."""
    return sha256(salt + text.encode()).hexdigest()


def counted_reasons(given: Iterable[Iterable[str]]) -> dict[str, int]:
    """How many comments, or electors, give each reason, where enough do."""
    counts = dict.fromkeys(REASONS, 0)
    for reasons in given:
        for reason in set(reasons):
            counts[reason] += 1
    return {reason: count for reason, count in counts.items() if count >= FEWEST_REASONS}


def reasons_by_choice(given: Iterable[tuple[str, Iterable[str]]]) -> dict[str, dict[str, int]]:
    """choice -> reason -> how many electors gave it, where enough did; of one (choice, reasons) an elector. Words that are no codes, which
    ballots of before could give, are told to nobody."""
    by: dict[str, list[set[str]]] = {}
    for choice, reasons in given:
        by.setdefault(choice, []).append(set(reasons) & set(REASONS))
    return {choice: counts for choice, said in sorted(by.items()) if (counts := counted_reasons(said))}


def thread_bytes(
    proposal: str, text_sha256: str, statements: Iterable[Mapping[str, Any]], comments: Iterable[Mapping[str, Any]],
    amendments: Iterable[Mapping[str, Any]], unanswered: Iterable[str],
) -> bytes:  # fmt: skip
    """The thread as it is frozen: digests of words, totals, what is hidden and why, and which statements lack an answer."""
    return canonical(
        {
            "v": 1, "type": "sayso-thread", "proposal": proposal, "text_sha256": text_sha256, "statements": [dict(one) for one in statements],
            "comments": [dict(one) for one in comments], "amendments": [dict(one) for one in amendments], "unanswered": sorted(unanswered),
        }
    )  # fmt: skip
