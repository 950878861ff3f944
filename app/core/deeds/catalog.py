"""What a language brings to the deed: a sentence or a phrase for every word of the profile, and how to join them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Sentences and phrases by term. Conditions follow the rule that they belong to and speak of it as "this".

    `reviewed` says that a native reader has read all of it; until then the English stands beside it wherever it is shown.
    """

    reviewed: bool
    direction: str = "ltr"
    """How it is written: `ltr` or `rtl`."""
    heading: str
    """What stands above the deed: that these are plain words."""
    nothing: str
    """The sentence of a policy that permits nothing."""
    permission: str
    """A pattern over {parts} and {action}."""
    prohibition: str
    everything: str
    parts: dict[str, str]
    actions: dict[str, str]
    purposes: dict[str, str]
    recipients: dict[str, str]
    openness: dict[str, str]
    permitted_if: dict[tuple[str, str], str]
    """A pattern over {0} for each condition of a permission, by left operand and operator."""
    prohibited_if: dict[tuple[str, str], str]
    more: str
    """A pattern over {0} for the values that one sentence does not hold."""
    attribution: dict[str, str]
    duties: dict[tuple[str, str], str]
    """A pattern by obligation and event, over {days}, {amount}, {currency} and {per}."""
    per: dict[str, str]
    uses: dict[str, str]
    """What each action is called in the table of uses."""
    answers: dict[str, str]
    """`yes`, `conditions` and `no` as the table says them."""
    compared: dict[str, str]
    """How two policies stand to each other: `same`, `narrower`, `wider`, `neither`."""
    join: Callable[[Sequence[str]], str]
    join_and: Callable[[Sequence[str]], str]
    day: Callable[[date], str]
