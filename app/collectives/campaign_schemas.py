"""What goes in and out of campaigns and pledges."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.collectives.schemas import Text
from app.consents.schemas import LanguageTag, PolicyChoice
from app.core.pledges import FEWEST_TOGETHER
from app.kit.body import Id, In, Out, Time


class CampaignIn(In):
    """`action`: `withdraw` (taken back, to be deleted), `pause` (nothing more until a time, and no download), `refuse_new` (nothing given
    from then on), `divert` (what each pledger names gets the terms of `policy`, for the lab `to_lab` alone or for whoever they admit).
    Against a `lab`, or a `purpose`. `mode`: weighed at the deadline, or within seconds of a pledge, or when the collective calls a strike for
    which it waits. Fewer than `at_least` people never act."""

    demand: Text
    action: Literal["withdraw", "pause", "refuse_new", "divert"]
    lab: Id | None = None
    purpose: Annotated[str, StringConstraints(max_length=200)] | None = None
    until: Time | None = None
    policy: PolicyChoice | None = None
    to_lab: Id | None = None
    deadline: Time
    mode: Literal["at_deadline", "instant", "called"] = "at_deadline"
    at_least: Annotated[int, Field(ge=FEWEST_TOGETHER, le=1_000_000)] = FEWEST_TOGETHER


class CampaignOut(Out):
    """`pledges` in steps; of a campaign that was reached, how many acted. Whose they are is told to nobody. `set_back`: not reached, because the
    service's database was put back to an earlier state and no pledge of then stands."""

    id: str
    author: str | None
    demand: str
    action: str
    lab: str | None
    purpose: str | None
    until: Time | None
    policy: str | None
    to_lab: str | None
    mode: str
    at_least: int
    opened_at: Time
    deadline: Time
    state: Literal["open", "reached", "not_reached"]
    set_back: bool
    pledges: str
    terms_sha256: str


class PledgeIn(In):
    """`threshold`: how many others must act for me to act. `terms_sha256`: of the campaign as it was read. To divert, `policy` is the digest
    of the terms that I give what this receipt covers now, in the `language` I read them in, should the campaign be reached by its deadline."""

    threshold: Annotated[int, Field(ge=0, le=1_000_000)]
    terms_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    policy: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    language: LanguageTag = "en"


class PledgedOut(Out):
    """A pledge was given, or taken back. Nothing keeps whose it was, so there is no receipt; what it leads to has one."""

    act: str
    log_index: int
