"""The catalogue and its quotes: the day's numbers, rounded, silent below ten people, and limited."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.errors import Busy
from sayso.http import Transport
from sayso.lab import Lab

from app.agreements.catalog import DRY_RUNS, relaxations
from app.agreements.models import DryRun
from app.core import vocabulary as words
from app.core.evaluation import compile_policy
from app.kit.db import read
from tests.core.policy_cases import ask, ban, limit, policy, rule
from tests.kit.refusals import at_once, get, refused
from tests.releases.test_sets import terms
from tests.support import EVALUATION, OPEN_TRAINING, LabParty, PlatformParty, Service, consent

_DAY = [10]


def another_day(service: Service) -> None:
    """Each test looks at a day that no other had a snapshot made of."""
    _DAY[0] += 1
    service.clock.offset = timedelta(days=_DAY[0])


@pytest.fixture
def lab(service: Service) -> LabParty:
    return timely(service)


def timely(service: Service) -> LabParty:
    """A lab whose clock goes with the service's."""
    party = service.lab()
    party.sdk = Lab(service.base, party.id, party.key, transport=Transport(service.base, now=lambda: service.clock.now().timestamp(), sleep=_never))
    return party


def _never(seconds: float) -> None:
    raise AssertionError("nothing is waited for")


def token_of(lab: LabParty) -> str:
    return lab.sdk._auth.header().removeprefix("Bearer ")


def cells(lab: LabParty, platform: PlatformParty) -> dict[tuple[str, str | None], int]:
    return {(i["kind"], i["language"]): i["records"] for i in lab.sdk.catalog().items if i["platform"] == platform.id}


def test_counts_are_rounded_and_of_ten_people_or_not_at_all(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(23, language="en")
    platform.give(9, language="de")
    platform.give(15, language="fr", contributor="one person")
    platform.give(12, kind="critique", consent=None)
    platform.give(12, kind="statement", consent=consent(basis="none"))
    another_day(service)
    assert cells(lab, platform) == {("preference", "en"): 20}
    # The snapshot holds for the day, whatever happens meanwhile, for everybody; the next day has its own.
    platform.give(30, language="en")
    assert cells(lab, platform) == {("preference", "en"): 20} == cells(timely(service), platform)
    another_day(service)
    assert cells(lab, platform) == {("preference", "en"): 50}
    refused(get(service, "/v1/catalog"), 401, "token_missing")
    refused(get(service, "/v1/catalog", service.token(platform)), 401, "token_wrong_party")


def test_many_who_ask_first_make_one_snapshot(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(11)
    another_day(service)
    token = token_of(lab)
    answers = at_once(8, lambda _: get(service, "/v1/catalog", token))
    assert {a.status_code for a in answers} == {200} and len({a.content for a in answers}) == 1


def adds(quote: Any) -> dict[str, int]:
    return {f"{r['member']}: {r['value']}": r["adds"] for r in quote.relaxations}


def test_a_quote_says_what_each_relaxation_would_add(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(20)
    platform.give(32, consent=consent("open-model-training-with-credit"))
    platform.give(9, consent=consent("open-model-training-with-credit"), language="de")
    another_day(service)
    here = {"platforms": [platform.id]}
    quote = lab.sdk.quote(OPEN_TRAINING, here)
    assert (quote.records, quote.left) == ("30", DRY_RUNS - 1)
    both = lab.sdk.quote({**OPEN_TRAINING, "actions": ["benchmark", "fineTune"]}, here)
    assert both.records == "30" and adds(both) == {"actions: without fineTune": 20}
    none = lab.sdk.quote({**EVALUATION, "accepts": []}, here)
    assert none.records == "fewer than 10" and adds(none) == {"accepts: with attribute, delete": 20}
    closed = lab.sdk.quote({**OPEN_TRAINING, "model_openness": "closed"}, here)
    assert closed.records == "fewer than 10" and adds(closed)["model_openness: openWeights"] == 30
    # What it says is what a request then finds, within the rounding.
    asked = lab.sdk.request(OPEN_TRAINING, here)
    assert asked.state == "offered"
    token = token_of(lab)
    refused(service.post("/v1/quotes", {"use": {"actions": ["conquer"]}}, token), 422, "policy_unknown_term")
    refused(service.post("/v1/quotes", {"use": {}}, token), 422, "use_invalid")


def test_a_quote_tries_what_policies_ask_to_have_stated(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    """A country, an approval or a purpose that is not stated satisfies nothing, so stating it is a relaxation."""
    asked = (("processingPlace", "isAnyOf", ["NL", "KE"]), ("storagePlace", "isAnyOf", "SE"), ("ethicsReview", "eq", "approved"))
    for constraint in (*asked, ("purpose", "isAnyOf", "dpv:PublicBenefit")):
        platform.give(10, consent=terms(service, platform, rule("evaluate", ["text"], limit(*constraint))))
    another_day(service)
    bare = {"actions": ["evaluate"]}
    quote = lab.sdk.quote(bare, {"platforms": [platform.id]})
    assert quote.records == "fewer than 10"
    assert adds(quote) == {
        "territory: NL": 10, "territory: KE": 10, "storage: SE": 10, "ethics_review: stated": 10, "purposes: with dpv:PublicBenefit": 10,
    }  # fmt: skip
    stated = lab.sdk.quote({**bare, "territory": "NL", "purposes": ["dpv:PublicBenefit"]}, {"platforms": [platform.id]})
    assert stated.records == "20" and adds(stated) == {"storage: SE": 10, "ethics_review: stated": 10}


def test_what_a_quote_tries_is_bounded_and_knows_what_is_forbidden() -> None:
    def stored(*permission: Any, prohibition: Any = ()) -> Any:
        return SimpleNamespace(compiled=compile_policy(policy(*permission, prohibition=prohibition)))

    wide = stored(rule("evaluate", ["text"], limit("processingPlace", "isAnyOf", sorted(words.COUNTRIES))))
    one = stored(rule("evaluate", ["text"], limit("processingPlace", "isAnyOf", "ZW")))
    tried = [value for member, value, _ in relaxations(ask("evaluate"), [wide, one], "NL") if member == "territory"]
    assert len(tried) == 8 and tried == sorted(tried) and "ZW" in tried, "what more policies name comes first"
    shut = [ban("evaluate", limit("storagePlace", "isAnyOf", "US")), ban("evaluate", limit("purpose", "isAnyOf", "dpv:CommercialResearch"))]
    forbidding = [stored(rule("evaluate"), prohibition=shut)]
    told = {(member, value) for member, value, _ in relaxations(ask("evaluate", purposes=()), forbidding, "NL")}
    assert ("storage", "NL") in told and ("purposes", "with dpv:PublicBenefit") in told
    assert not {("purposes", f"with dpv:{name}") for name in ("CommercialPurpose", "ResearchAndDevelopment")} & told, "they may be the forbidden one"
    assert "storage" not in {member for member, _, _ in relaxations(ask("evaluate"), forbidding, "US")}


def test_fifty_quotes_a_day_and_not_one_more_also_at_once(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    another_day(service)
    token = token_of(lab)
    for _ in range(DRY_RUNS - 4):
        assert service.post("/v1/quotes", {"use": EVALUATION}, token).status_code == 200
    answers = at_once(12, lambda _: service.post("/v1/quotes", {"use": EVALUATION}, token))
    assert sorted(a.status_code for a in answers) == [200] * 4 + [429] * 8
    spent = refused(service.post("/v1/quotes", {"use": EVALUATION}, token), 429, "dry_runs_spent")
    assert spent["code"] == "dry_runs_spent"
    try:
        lab.sdk.quote(EVALUATION)
        raise AssertionError("one more was given")
    except Busy as error:
        assert error.retry_after is not None and 0 < error.retry_after <= 86_400
    assert service.post("/v1/quotes", {"use": EVALUATION}, token_of(timely(service))).status_code == 200
    with read(service.runtime.engine) as session:
        kept = session.execute(sa.select(DryRun.number, DryRun.asked).where(DryRun.lab_id == lab.id).order_by(DryRun.number)).all()  # type: ignore[call-overload]
    assert [row.number for row in kept] == list(range(1, DRY_RUNS + 1)) and kept[0].asked["use"]["actions"] == ["evaluate"]
    another_day(service)
    assert lab.sdk.quote(EVALUATION).left == DRY_RUNS - 1
