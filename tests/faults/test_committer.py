"""The group committer under duplicates, poison and other processes: one row each, and no neighbour pays for another."""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sayso.models import NewContribution, RawJSON

from app.contributions.committer import Committer
from app.contributions.recording import Draft, Recorded
from app.kit.errors import DomainError, Unavailable
from app.main import make_runtime
from tests.faults.state import State
from tests.support import PlatformParty, Service, consent


def line(n: int, **more: Any) -> bytes:
    fields = {
        "external_id": f"x{n}",
        "kind": "preference",
        "contributor": f"u{n}",
        "parts": {"text": f"words {n}"},
        "consent": consent(),
    }
    return NewContribution(**(fields | more)).to_bytes()


def drafts_of(service: Service, platform: PlatformParty, lines: Sequence[bytes]) -> list[Draft]:
    intake = service.runtime.parts["intake"]
    return [intake.draft(data, platform.id, now=service.clock.now()) for data in lines]


def submit(committer: Committer, groups: Sequence[Sequence[Draft]]) -> list[Any]:
    """All groups at once, each as a request's; a group's results, or what was raised for it."""

    async def all_of() -> list[Any]:
        return await asyncio.gather(*(committer.submit(group) for group in groups), return_exceptions=True)

    return asyncio.run(all_of())


def counts(service: Service, platform: PlatformParty) -> dict[str, int]:
    with State(service.runtime.settings.database) as state:
        own = "(SELECT id FROM contribution WHERE platform_id = :p)"
        queries = {
            "contributions": "SELECT id FROM contribution WHERE platform_id = :p",
            "contributors": "SELECT id FROM contributor WHERE platform_id = :p",
            "keys": "SELECT contributor_id FROM data_key WHERE contributor_id IN (SELECT id FROM contributor WHERE platform_id = :p)",
            "payloads": f"SELECT contribution_id FROM contribution_payload WHERE contribution_id IN {own}",
            "consents": f"SELECT id FROM consent WHERE contribution_id IN {own}",
            "leaves": f"SELECT log_index FROM log_entry WHERE type = 'contribution.recorded' AND subject IN {own}",
        }
        return {name: len(state.column(sql, p=platform.id)) for name, sql in queries.items()}


def all_are(n: int) -> dict[str, int]:
    return dict.fromkeys(("contributions", "contributors", "keys", "payloads", "consents", "leaves"), n)


def test_two_hundred_at_once_with_repeats_and_poison(service: Service, platform: PlatformParty) -> None:
    """Over HTTP: 120 records, 40 of them twice, 20 repeats with other bytes, 20 that the service refuses."""
    lines = [line(n) for n in range(120)]
    requests = [(n, 201, data) for n, data in enumerate(lines)]
    requests += [(n, 201, lines[n]) for n in range(40)]
    requests += [(n, 409, line(n, parts={"text": "other words"})) for n in range(40, 60)]
    bad = [
        b"{",
        line(0, kind="nothing"),
        line(0, external_id="p", parent="nobody"),
        line(0, parts={"text": RawJSON("1")}).replace(b"1}", b"NaN}"),
    ]
    requests += [(-1, 4, bad[n % 4]) for n in range(20)]
    # The other bytes must meet what is there, so those whose text they contest come first.
    token = service.token(platform)
    for n in range(40, 60):
        assert service.post("/v1/contributions", lines[n], token).status_code == 201
    random.Random(1).shuffle(requests)
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda r: service.post("/v1/contributions", r[2], token), requests))
    got = Counter()
    first: dict[int, tuple[str, int, str]] = {}
    for (n, wanted, _), answer in zip(requests, answers, strict=True):
        assert answer.status_code == wanted or (wanted == 4 and 400 <= answer.status_code < 500), answer.text
        got[answer.status_code] += 1
        if answer.status_code == 201:
            body = answer.json()
            told = (body["id"], body["log_index"], body["claim_url"])
            assert first.setdefault(n, told) == told, "a repeat was answered otherwise"
    assert len(first) == 120 and got[201] == 160 and got[409] == 20
    assert counts(service, platform) == all_are(120)


def test_what_the_database_refuses_fails_by_itself(service: Service, platform: PlatformParty) -> None:
    """A draft that no check stops and the database does (a NUL in PostgreSQL's text, a missing value): its neighbours are recorded."""
    drafts = drafts_of(service, platform, [line(n) for n in range(60)])
    poison = {7, 23, 51}
    for n in poison:
        drafts[n] = (
            replace(drafts[n], context_ref="a\x00b")
            if service.backend == "postgresql"
            else replace(drafts[n], kind=None)
        )  # type: ignore[arg-type]
    answers = submit(service.runtime.parts["committer"], [[d] for d in drafts])
    for n, answer in enumerate(answers):
        if n in poison:
            assert isinstance(answer, Unavailable), answer
        else:
            assert isinstance(answer, list) and isinstance(answer[0], Recorded), answer
    assert counts(service, platform) == all_are(57)
    [after] = submit(service.runtime.parts["committer"], [drafts_of(service, platform, [line(60)])])
    assert isinstance(after[0], Recorded), "the committer goes on"


def test_a_stranger_named_by_many_at_once_is_one_contributor(service: Service, platform: PlatformParty) -> None:
    drafts = drafts_of(service, platform, [line(n, contributor="one person") for n in range(50)])
    answers = submit(service.runtime.parts["committer"], [[d] for d in drafts])
    assert len({a[0].id for a in answers}) == 50
    assert counts(service, platform) == {**all_are(50), "contributors": 1, "keys": 1}


def test_log_indices_are_one_for_each(service: Service, platform: PlatformParty) -> None:
    drafts = drafts_of(service, platform, [line(n) for n in range(200)])
    answers = submit(service.runtime.parts["committer"], [drafts[at : at + 5] for at in range(0, 200, 5)])
    told = {r.id: r.log_index for group in answers for r in group}
    with State(service.runtime.settings.database) as state:
        stored = dict(state.rows("SELECT subject, log_index FROM log_entry WHERE type = 'contribution.recorded'"))
    assert {c: stored[c] for c in told} == told and len(told) == 200


# -- a consent intent is used by the record that was taken, and by no other ------------------------------------------------
def _intent(service: Service, platform: PlatformParty) -> str:
    body = {"template": "evaluation-only", "wording": "ab" * 32, "language": "en", "shown_at": "2026-11-24T00:00:00Z"}
    answer = service.post("/v1/consent-intents", body, service.token(platform))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["intent"])


def test_a_refused_record_does_not_use_up_its_consent_intent(service: Service, platform: PlatformParty) -> None:
    token, intent = service.token(platform), _intent(service, platform)
    body = {
        "external_id": "reply",
        "kind": "message",
        "parent": "root",
        "parts": {"text": "x"},
        "consent": {"intent": intent},
    }
    refused = service.post("/v1/contributions", body, token)
    assert (refused.status_code, refused.json()["code"]) == (422, "parent_unknown")
    platform.give(1, external_id="root", kind="message")
    assert service.post("/v1/contributions", body, token).status_code == 201


def test_the_same_record_twice_at_once_with_a_consent_intent_is_one(service: Service, platform: PlatformParty) -> None:
    for _ in range(5):
        intent = _intent(service, platform)
        data = json.dumps(
            {"external_id": intent, "kind": "message", "parts": {"text": "x"}, "consent": {"intent": intent}}
        ).encode()
        groups = [[d] for d in drafts_of(service, platform, [data] * 4)]
        answers = submit(service.runtime.parts["committer"], groups)
        assert len({(a[0].id, a[0].log_index) for a in answers if isinstance(a[0], Recorded)}) == 1, answers
        assert all(isinstance(a[0], Recorded) for a in answers), answers


# -- several processes -------------------------------------------------------------------------------------------------
@contextmanager
def another_process(service: Service) -> Iterator[Committer]:
    """A committer with an engine of its own on the same database and keys, as another API process has it."""
    runtime = make_runtime(service.runtime.settings, service.clock)
    committer = Committer(runtime)
    committer.start()
    try:
        yield committer
    finally:
        committer.stop()
        runtime.engine.dispose()


def test_the_same_records_in_several_processes_at_once_are_recorded_once(service: Service) -> None:
    """The same external ids, the same new people, threads of replies, in another order in each process."""
    if service.backend == "sqlite":
        pytest.skip("SQLite takes one process")
    with another_process(service) as second, another_process(service) as third:
        committers = [service.runtime.parts["committer"], second, third]
        for trial in range(12):
            platform = service.platform()
            lines = [
                line(n, contributor=f"u{n % 7}", parent=None if n % 5 == 0 else f"x{n - n % 5}", kind="message")
                for n in range(60)
            ]
            groups = []
            for k in range(3):
                # Threads stay in order (a parent first); which thread comes when differs.
                threads = [lines[at : at + 5] for at in range(0, 60, 5)]
                random.Random(trial * 3 + k).shuffle(threads)
                groups.append([drafts_of(service, platform, thread) for thread in threads])
            start = threading.Barrier(3)

            def run(k: int) -> list[Any]:
                start.wait()
                return submit(committers[k], groups[k])

            with ThreadPoolExecutor(3) as pool:
                answers = list(pool.map(run, range(3)))
            ids: dict[bytes, set[tuple[str, int]]] = {}
            for k in range(3):
                for group, results in zip(groups[k], answers[k], strict=True):
                    assert not isinstance(results, BaseException), results
                    for draft, result in zip(group, results, strict=True):
                        assert isinstance(result, Recorded), result
                        ids.setdefault(draft.external_hash, set()).add((result.id, result.log_index))
            assert all(len(answers) == 1 for answers in ids.values()), "two processes answered otherwise"
            assert counts(service, platform) == {**all_are(60), "contributors": 7, "keys": 7}
            with State(service.runtime.settings.database) as state:
                parents = dict(
                    state.rows("SELECT id, parent_id FROM contribution WHERE platform_id = :p", p=platform.id)
                )
            names = {data: next(iter(found))[0] for data, found in ids.items()}
            ordered = [names[d.external_hash] for d in drafts_of(service, platform, lines)]
            assert [parents[c] for c in ordered] == [None if n % 5 == 0 else ordered[n - n % 5] for n in range(60)]


def test_the_first_records_of_one_person_in_two_processes_have_one_contributor(service: Service) -> None:
    if service.backend == "sqlite":
        pytest.skip("SQLite takes one process")
    with another_process(service) as second:
        committers = [service.runtime.parts["committer"], second]
        for trial in range(20):
            platform = service.platform()
            pairs = [drafts_of(service, platform, [line(k, contributor="new")]) for k in range(2)]
            start = threading.Barrier(2)

            def run(k: int) -> Any:
                start.wait()
                return submit(committers[k], [pairs[k]])[0]

            with ThreadPoolExecutor(2) as pool:
                answers = list(pool.map(run, range(2)))
            assert all(not isinstance(a, DomainError) and isinstance(a[0], Recorded) for a in answers), (trial, answers)
            assert counts(service, platform) == {**all_are(2), "contributors": 1, "keys": 1}
