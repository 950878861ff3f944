"""The release guard: what a platform may show of its own, asked by itself."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sayso.guard import AsyncGuard, Guard

from tests.collectives.members import change_policy, founded, joined, mandated, people
from tests.kit.refusals import accepted, refused
from tests.support import LabParty, PlatformParty, Service, consent

EVALUATE = (["evaluate"], ["dpv:ScientificResearch"])
PUBLISH = (["publishDataset"], ["dpv:ScientificResearch"])


def test_consents_and_the_floor_count_at_once(service: Service, platform: PlatformParty) -> None:
    given = platform.give(4)
    [notice] = platform.give(1, consent=consent("public-dataset-share-alike", "notice"))
    [open_] = platform.give(1, consent=consent("public-dataset-share-alike"))
    [silent] = platform.give(1, consent=None)
    others = service.platform().give(1)
    ids = [r.id for r in (*given, notice, open_, silent, *others)]
    guard = platform.sdk.guard
    assert guard.filter(ids, *EVALUATE) == [r.id for r in given], "a notice is of other terms, and another's are not ours"
    accepts = ["attribute", "delete", "shareAlike", "keepDissent", "keepThread"]
    assert guard.filter(ids, *PUBLISH, accepts=accepts) == [open_.id], "a notice permits no publishing, whatever its terms say"
    assert guard.filter(ids, *PUBLISH) == [], "who keeps an obligation says so"
    service.claim(given[0]).withdraw()
    service.claim(given[1]).scope(given[1].id, template="nothing-new")
    service.claim(given[2]).withdraw(scope="purpose", purpose="dpv:ScientificResearch")
    assert guard.filter(ids, *EVALUATE) == [given[3].id]
    assert asyncio.run(AsyncGuard(guard).filter([*ids, given[3].id], *EVALUATE)) == [given[3].id]
    platform.sdk.set_floor(template="nothing-new")
    assert guard.filter(ids, *EVALUATE) == []


def test_parts_that_may_not_be_shown_keep_a_record_out_of_the_filter(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1, parts={"text": "words", "profile": {"age": "40"}})
    assert platform.sdk.guard.filter([given.id], *EVALUATE) == []
    assert platform.sdk.guard.parts([given.id], *EVALUATE) == {given.id: frozenset({"text"})}
    assert asyncio.run(AsyncGuard(platform.sdk.guard).parts([given.id], *EVALUATE)) == {given.id: frozenset({"text"})}


def test_collectives_are_heard_from_the_next_day_on(service: Service, platform: PlatformParty) -> None:
    [(one, kept), (two, held)] = people(service, platform, 2)
    ids, guard = [kept.id, held.id], platform.sdk.guard
    union = founded(one, "nothing-new", listed=False)
    mine = joined(union, two, invitation=union.read()["invitation"])
    mandate = mandated(service, mine)
    assert guard.filter(ids, *EVALUATE) == ids, "not today: nobody sees by it when somebody gave a mandate"
    service.clock.offset = timedelta(days=1)
    assert guard.filter(ids, *EVALUATE) == [kept.id]
    mine.end_mandate(mandate)
    assert guard.filter(ids, *EVALUATE) == [kept.id], "and it ends a day later too"
    service.clock.offset = timedelta(days=2)
    assert guard.filter(ids, *EVALUATE) == ids
    mandated(service, mine, days=300)
    service.clock.offset = timedelta(days=303)
    assert guard.filter(ids, *EVALUATE) == [kept.id], "past its day a mandate permits nothing"


def test_what_a_mandate_was_given_for_is_heard_too(service: Service, platform: PlatformParty) -> None:
    """As for a lab: what a collective adopts later shows no more, until the mandate is given anew; a day late, either way."""
    [(one, kept), (two, held)] = people(service, platform, 2)
    guard, mine = platform.sdk.guard, joined(founded(one, "nothing-new"), two)
    mandated(service, mine)
    change_policy(service, mine.id, "evaluation-only")
    service.clock.offset = timedelta(days=1)
    assert guard.filter([kept.id, held.id], *EVALUATE) == [kept.id]
    mandated(service, mine)
    assert guard.filter([kept.id, held.id], *EVALUATE) == [kept.id]
    service.clock.offset = timedelta(days=2)
    assert guard.filter([kept.id, held.id], *EVALUATE) == [kept.id, held.id]


def test_terms_that_ask_for_a_number_of_people_count_those_shown_together(service: Service, platform: PlatformParty) -> None:
    terms = {
        "@context": ["http://www.w3.org/ns/odrl.jsonld", "https://sayso.example/ns/profile/v1/context.jsonld"], "@type": "Set",
        "profile": "https://sayso.example/ns/profile/v1", "conflict": "prohibit", "prohibition": [{"action": "reIdentify"}],
        "permission": [{"action": "evaluate", "target": ["text", "judgment"], "constraint": [
            {"leftOperand": "groupSize", "operator": "gteq", "rightOperand": "3"}]}],
    }  # fmt: skip
    digest = accepted(service.post("/v1/policies", {"policy": terms}, service.token(platform)), 201)["digest"]
    few = {"policy": digest, "basis": "explicit", "wording": "ab" * 32, "language": "en", "shown_at": "2026-11-24T00:00:00Z"}
    ids = [r.id for r in platform.give(3, consent=few)]
    assert platform.sdk.guard.filter(ids, *EVALUATE) == ids
    assert platform.sdk.guard.filter(ids[:2], *EVALUATE) == []


def test_who_asks_what_and_how(service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch) -> None:
    [given] = platform.give(1)
    token = service.token(platform)

    def ask(**fields: Any) -> Any:
        return service.post("/v1/platforms/me/guard", {"ids": [given.id], "actions": ["evaluate"], **fields}, token)

    refused(ask(actions=["sell"]), 422, "policy_unknown_term")
    refused(ask(retention_days=0), 422, "use_invalid")
    refused(ask(ids=[]), 422, "body_invalid")
    answer = accepted(ask(ids=["con_" + "0" * 26, "nonsense", given.id]))
    assert [item["id"] for item in answer["items"]] == [given.id] and answer["items"][0]["whole"] and lab.name not in str(answer)
    monkeypatch.setattr("sayso.guard.MOST", 2)
    ids = [r.id for r in platform.give(5)]
    calls: list[int] = []
    ask_ = Guard._ask
    monkeypatch.setattr(Guard, "_ask", lambda self, ids, *rest: ask_(self, calls.append(1) or ids, *rest))
    assert platform.sdk.guard.filter([*ids, *ids], *EVALUATE) == ids and len(calls) == 1


def test_a_record_in_its_hold_window_is_not_shown(service: Service, platform: PlatformParty) -> None:
    [given] = platform.give(1)
    service.clock.offset = timedelta(hours=-1)
    assert platform.sdk.guard.filter([given.id], *EVALUATE) == []
