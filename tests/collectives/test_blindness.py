"""Nobody outside can tell why something is not released: the person's own terms, a collective's policy, a strike and an erasure answer alike."""

import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.kit import body
from tests.collectives.members import change_policy, founded, joined, mandated, people
from tests.collectives.test_strikes import struck
from tests.faults.cuts import receipt_for_all
from tests.kit.refusals import get
from tests.support import EVALUATION, LabParty, PlatformParty, Service

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
SAMPLES = int(os.environ.get("SAYSO_TEST_SAMPLES", "10000"))
APART = 4.5
"""Of Welch's t: from here on two causes could be told apart by how long an answer takes."""
CAUSES = ("person", "collective", "strike", "erasure")


def denied(service: Service, lab: LabParty) -> dict[str, tuple[PlatformParty, str]]:
    """Cause -> a platform of its own with one record, not released for it. All had the same terms, and are in the same collective."""
    (founder, _), *_ = people(service, service.platform(), 1)
    union, striking_ = founded(founder), founded(founder)
    found = {}
    for cause in CAUSES:
        platform = service.platform()
        [given] = platform.give(1, contributor="somebody")
        person = receipt_for_all(service, platform, "somebody")
        mine = joined(striking_ if cause == "strike" else union, person)
        if cause == "person":
            person.scope(given.id, template="nothing-new")
        elif cause == "collective":
            mandated(service, mine)
        elif cause == "erasure":
            person.erase("all")
        found[cause] = (platform, given.id)
    change_policy(service, union.id, "nothing-new")
    struck(service, striking_.id, "pause", lab.id)
    return found


def asked_by_lab(service: Service, lab: LabParty, platform: str) -> bytes:
    """What a request over one platform is answered, without what is of the request and no answer."""
    body = {"use": EVALUATION, "selection": {"platforms": [platform]}}
    answer = service.post("/v1/requests", body, lab.sdk._auth.header().removeprefix("Bearer "))
    said = json.loads(answer.content)
    for name in ("id", "created_at", "selection"):
        said.pop(name, None)
    assert platform.encode() not in json.dumps(said).encode()
    return bytes([answer.status_code // 100]) + json.dumps(said).encode()


def asked_by_platform(service: Service, token: str, contribution: str) -> bytes:
    answer = service.post("/v1/platforms/me/guard", {"ids": [contribution], "actions": ["evaluate"]}, token)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_denial_is_the_same_bytes_whatever_its_cause(service: Service, lab: LabParty) -> None:
    found = denied(service, lab)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    answers = {cause: asked_by_lab(service, lab, platform.id) for cause, (platform, _) in found.items()}
    assert len(set(answers.values())) == 1, answers
    assert b'"refused"' in answers["strike"] and b'"reasons": []' in answers["strike"]
    service.clock.offset += timedelta(days=1)  # as of midnight a platform's guard hears collectives
    shown = {cause: asked_by_platform(service, service.token(platform), given) for cause, (platform, given) in found.items()}
    assert shown["person"] == shown["collective"] == shown["erasure"] and json.loads(shown["person"])["items"] == []
    # A strike bars labs: of it a platform sees nothing at all, but what it sees of a record that nobody withholds.
    other = service.platform()
    [free] = other.give(1, contributor="somebody")
    seen = asked_by_platform(service, service.token(other), free.id)
    assert shown["strike"].replace(found["strike"][1].encode(), b"x") == seen.replace(free.id.encode(), b"x")


def test_of_a_single_record_a_lab_and_its_platform_are_told_nothing(service: Service, lab: LabParty) -> None:
    """No route answers them for one record, so that absence from a release's tree is all there is; that proof is the giver's to show."""
    found = denied(service, lab)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    [free] = service.platform().give(1)
    asked = [*(given for _, given in found.values()), free.id, "con_" + "0" * 26]
    tokens = [lab.sdk._auth.header().removeprefix("Bearer "), *(service.token(platform) for platform, _ in found.values())]
    for path in ("/releases", "/models", "/receipt", "/objections"):
        answers = {get(service, f"/v1/contributions/{one}{path}", token).content for one in asked for token in tokens}
        assert len(answers) == 1 and json.loads(answers.pop())["code"] == "token_invalid", path
    assert {get(service, f"/v1/contributions/{one}", tokens[0]).status_code for one in asked} == {401}


def test_collectives_are_asked_whatever_else_says_no(service: Service, lab: LabParty) -> None:
    """The same is looked up for what nobody withholds, what is withheld for whatever cause, and what is not there."""
    found = denied(service, lab)
    service.clock.offset += timedelta(days=1)
    asked: dict[str, list[str]] = {}

    def noted(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "verdict AS vk" in statement:
            asked[cause].append(statement)

    sa.event.listen(service.runtime.engine, "before_cursor_execute", noted)
    try:
        for cause, (platform, given) in {**found, "nowhere": (found["person"][0], "con_" + "0" * 26)}.items():
            asked[cause] = []
            asked_by_platform(service, service.token(platform), given)
    finally:
        sa.event.remove(service.runtime.engine, "before_cursor_execute", noted)
    assert [len(statements) for statements in asked.values()] == [1] * 5 and len({s for one in asked.values() for s in one}) == 1


def test_where_a_denial_is_told_the_answer_waits_for_the_next_step(service: Service, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the work took is not to be seen: some causes take longer than others, and ten thousand questions would tell them apart."""
    found, now, waited = denied(service, lab), iter([0.0, 0.012, 1.0, 1.0731]), list[float]()
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    tokens = lab.sdk._auth.header(), service.token(found["person"][0])

    async def sleeps(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(body, "monotonic", lambda: next(now))
    monkeypatch.setattr(body, "sleep", sleeps)
    assert tokens[0] and asked_by_lab(service, lab, found["person"][0].id)
    asked_by_platform(service, tokens[1], found["person"][1])
    assert waited == [pytest.approx(0.038), pytest.approx(0.0269)]


@pytest.mark.skipif(not SOAK, reason="timing is for `make soak`")
def test_and_takes_as_long(service: Service, lab: LabParty) -> None:
    found = denied(service, lab)
    lab.sdk._transport.now = lambda: service.clock.now().timestamp()
    by_lab = _timed({cause: lambda p=platform.id: asked_by_lab(service, lab, p) for cause, (platform, _) in found.items()})
    print("lab", by_lab, flush=True)
    service.clock.offset += timedelta(days=1)
    tokens: dict[str, str] = {}

    def renew() -> None:
        tokens.update({cause: service.token(platform) for cause, (platform, _) in found.items()})

    guarded = {
        cause: lambda c=cause, g=given: asked_by_platform(service, tokens[c], g) for cause, (_, given) in found.items() if cause != "strike"
    }
    by_platform = _timed(guarded, renew)
    print("platform", by_platform, flush=True)
    apart = {("lab", *pair): t for pair, t in by_lab.items()} | {("platform", *pair): t for pair, t in by_platform.items()}
    assert all(abs(t) < APART for t in apart.values()), apart


def _timed(asks: dict[str, Callable[[], Any]], renew: Callable[[], None] = lambda: None) -> dict[tuple[str, str], float]:
    """Welch's t of each two causes, asked in turns of random order; tokens are renewed now and then, since they end before all are asked."""
    taken: dict[str, list[float]] = {cause: [] for cause in asks}
    order, rng = list(asks), random.Random(1)
    for n in range(SAMPLES + 20):
        if n % 500 == 0:
            renew()
        rng.shuffle(order)
        for cause in order:
            begun = time.perf_counter()
            asks[cause]()
            if n >= 20:
                taken[cause].append(time.perf_counter() - begun)
    causes = list(asks)
    return {(a, b): _welch(taken[a], taken[b]) for i, a in enumerate(causes) for b in causes[i + 1 :]}


def _welch(a: list[float], b: list[float]) -> float:
    spread = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return (statistics.fmean(a) - statistics.fmean(b)) / spread
