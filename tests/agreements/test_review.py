"""A request that the operator looks at first: three answers, settled by command, and a no where nobody settles it in time."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.agreements import review
from app.kit.db import read
from app.kit.settings import Settings
from app.log.models import LogEntry
from tests.agreements.test_catalog import timely
from tests.support import EVALUATION, OPEN_TRAINING, PlatformParty, Service, consent, shell

TRAINED = {**OPEN_TRAINING, "actions": ["preferenceTune"]}


@pytest.fixture(autouse=True)
def looks_at_fine_tuning(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(service.runtime, "settings", service.runtime.settings.model_copy(update={"review_actions": "fineTune"}))
    yield
    service.clock.offset = timedelta()


@pytest.fixture
def given(platform: PlatformParty) -> dict[str, Any]:
    platform.give(2, consent=consent("open-model-training-with-credit"))
    platform.give(1)
    return {"platforms": [platform.id]}


def requests(service: Service, *arguments: str) -> Any:
    settings = service.runtime.settings
    env = {"SAYSO_PUBLIC_URL": settings.public_url, "SAYSO_DATABASE_URL": settings.database_url}
    return shell(settings.data_dir, **env)(["requests", *arguments])


def leaves(service: Service, request: str) -> list[tuple[str, str | None]]:
    with read(service.runtime.engine) as session:
        query = sa.select(LogEntry.type, LogEntry.leaf).where(LogEntry.subject == request).order_by(LogEntry.log_index)  # type: ignore[call-overload]
        return [(kind, json.loads(leaf).get("because")) for kind, leaf in session.execute(query)]


def test_the_three_answers_and_what_the_operator_makes_of_the_third(service: Service, given: dict[str, Any]) -> None:
    lab = timely(service)
    assert lab.sdk.request(EVALUATION, given).state == "offered"
    no = lab.sdk.request({**TRAINED, "model_openness": "closed"}, given)
    assert (no.state, no.review) == ("refused", None)  # what the terms refuse nobody reviews
    first, second = (lab.sdk.request(TRAINED, given) for _ in range(2))
    assert first.state == "in_review" and first.offer is None and first.review is not None and first.review["by"] == "operator"
    assert leaves(service, first.id) == [("request.in-review", None)]
    listed = requests(service, "review")
    assert listed.exit_code == 0 and first.id in listed.output and lab.name in listed.output
    assert requests(service, "approve", first.id).output == "The request is offered.\n"
    answer = lab.sdk.asked(first.id)
    assert answer.state == "offered" and lab.sdk.sign(lab.sdk.offer(str(answer.offer))).id
    assert requests(service, "refuse", second.id).exit_code == 0
    answer = lab.sdk.asked(second.id)
    assert (answer.state, answer.offer, answer.reasons[0]["rule"]) == ("refused", None, "review")
    assert leaves(service, second.id) == [("request.in-review", None), ("request.refused", "review")]
    for request, code in ((first.id, "request_not_in_review"), (second.id, "request_not_in_review"), ("req_" + "0" * 26, "not_found")):
        for verb in ("approve", "refuse"):
            done = requests(service, verb, request)
            assert done.exit_code == 2 and code in done.output
    assert requests(service, "review").output.count(lab.name) == 0


def test_an_approval_is_decided_as_things_are_then(service: Service, platform: PlatformParty) -> None:
    lab = timely(service)
    [one] = platform.give(1, consent=consent("open-model-training-with-credit"))
    asked = lab.sdk.request(TRAINED, {"platforms": [platform.id]})
    service.claim(one).withdraw()
    assert requests(service, "approve", asked.id).output == "The request is refused.\n"
    assert lab.sdk.asked(asked.id).state == "refused"


def test_silence_is_a_no(service: Service, given: dict[str, Any]) -> None:
    lab = timely(service)
    asked = lab.sdk.request(TRAINED, given)
    service.runtime.jobs.run("review", asked.id)
    assert lab.sdk.asked(asked.id).state == "in_review"
    service.clock.offset = timedelta(days=service.runtime.settings.review_days, seconds=1)
    from app.kit.db import write
    from app.kit.errors import Conflict

    with write(service.runtime.engine) as session, pytest.raises(Conflict):  # also before the job ran
        review.approve(session, service.runtime, asked.id, now=service.clock.now())
    for _ in range(2):
        review.lapse_forgotten(service.runtime, service.clock.now())
    assert lab.sdk.asked(asked.id).state == "refused"
    assert leaves(service, asked.id) == [("request.in-review", None), ("request.refused", "time")]


def test_what_is_no_action_is_no_setting() -> None:
    with pytest.raises(ValueError, match="there is no action conquer"):
        Settings(review_actions="pretrain,conquer")
    assert Settings(review_actions=" pretrain, distribute ").reviewed == {"pretrain", "distribute"}
