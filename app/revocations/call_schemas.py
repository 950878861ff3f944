"""API shapes of calls."""

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints

from app.collectives.schemas import NO_NUL
from app.kit.body import Id, In, Out
from app.revocations.convening import MOST_LETTERS


class CallIn(In):
    """`release`: to all whose work is in it with mine. Without it, to all who are known through the same platform as I am. `collective`: a
    public one of mine, that whoever reads the call may join."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=MOST_LETTERS, pattern=NO_NUL)]
    release: Id | None = None
    collective: Id | None = None


class CallOut(Out):
    """Who called is told to nobody, and neither is to whom else it went. `collective` and `name`: of the public collective that they ask
    into, while they are in it."""

    id: str
    mine: bool
    text: str
    collective: str | None
    name: str | None
    opened_on: date
    expires_on: date


class CallsOut(Out):
    items: list[CallOut] = Field(description="Those that the receipt can end, then the newest twenty of others, the newest first.")
