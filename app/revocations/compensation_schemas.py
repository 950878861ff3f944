"""API shapes of compensation."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app.kit.body import Id, In, Out, Time


class OwedOut(Out):
    """What is owed to one payee for one release. `amount` in minor units of the currency; `duty` as it was signed."""

    id: str
    release: str
    payee: str
    duty: str
    records: int
    amount: int
    currency: str
    state: Literal["due", "paid", "disputed"]
    due: Time
    evidence: str | None
    paid_at: Time | None
    reason: str | None


class LineOut(OwedOut):
    """As the lab sees it: `collective` where the payee is one."""

    collective: bool


class TotalOut(Out):
    """What the lines of a release add up to in one currency, in minor units: `total` is the sum of the three others."""

    release: str
    currency: str
    lines: int
    total: int
    due: int
    paid: int
    disputed: int


class CompensationPage(Out):
    totals: list[TotalOut]
    items: list[LineOut]
    next: str | None


class PaymentIn(In):
    """Lines by their ids, or all of a release; and what shows the payment: who made it, on which day, under what reference."""

    lines: list[Id] | None = Field(None, min_length=1, max_length=1000)
    release: Id | None = None
    evidence: Annotated[str, StringConstraints(min_length=3, max_length=500)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.lines is None) == (self.release is None):
            raise ValueError("name `lines` or a `release`")
        return self


class PaidOut(Out):
    """How many lines were not paid before."""

    paid: int


class DisputeIn(In):
    reason: Literal["not-received", "too-little"]


class MyLineOut(OwedOut):
    """What I am owed, or (`collective`) a collective that I am a member of."""

    agreement: str
    lab: str
    collective: str | None


class MyCompensationPage(Out):
    items: list[MyLineOut]
    next: str | None
