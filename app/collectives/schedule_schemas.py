"""The API shapes of a vote that a steward has begin later."""

from typing import Annotated

from pydantic import StringConstraints

from app.consents.schemas import Day
from app.kit.body import In, Out


class DayIn(In):
    """`day`: on which the ballot is to begin, at the same time of day. `reason` of a closed list."""

    day: Day
    reason: Annotated[str, StringConstraints(max_length=40)]


class MovedOut(Out):
    """That a steward moved the days of a proposal: by how many, and why. Who that was is told as little as who hid something."""

    days: int
    reason: str
