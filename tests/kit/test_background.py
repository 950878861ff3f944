"""Work outside requests: a job that fails for good says so, housekeeping throws away what is past, locks keep order."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.consents.models import ConsentIntent, Policy
from app.contributions.models import Contribution
from app.crypto.tokens import LEEWAY
from app.kit import housekeeping
from app.kit.background import each
from app.kit.db import read, write
from app.kit.housekeeping import Housekeeper
from app.kit.idempotency import IdempotencyKey, Once
from app.kit.jobs import Jobs
from app.kit.locks import exclusive, exclusive_or_not
from app.parties.models import AssertionUse, PortalSession
from app.releases.models import Release
from tests.kit.refusals import accepted, ask_token, assertion, refused
from tests.parties.test_dpop import Bound
from tests.support import LabParty, PlatformParty, Service, until


def test_one_that_fails_keeps_nobody_behind_it_waiting() -> None:
    done: list[int] = []

    def act(one: int) -> None:
        if one in fails:
            raise fails[one]
        done.append(one)

    fails: dict[int, Exception] = {1: AssertionError("cannot come into force"), 3: KeyError("nor this")}
    with pytest.raises(AssertionError, match="cannot come into force"):
        each(range(5), act)
    assert done == [0, 2, 4]
    fails = {6: sa.exc.OperationalError("SELECT 1", {}, OSError("the database is away"))}
    with pytest.raises(sa.exc.OperationalError):
        each(range(5, 9), act)
    assert done == [0, 2, 4, 5]


def test_a_job_that_fails_once_is_tried_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    platform, lab = service.platform(), service.lab()
    platform.give(3)
    agreement = lab.agree(platform)
    jobs: Jobs = service.runtime.jobs
    real, tries = jobs._handlers["cut"], []

    def flaky(release: str) -> None:
        with read(service.runtime.engine) as session:
            mine = session.get_one(Release, release).agreement_id == agreement.id  # cuts that other tests left may run here too
        tries.extend([release] * mine)
        if mine and len(tries) == 1:
            raise OSError("the disk was away for a moment")
        real(release)

    monkeypatch.setitem(jobs._handlers, "cut", flaky)
    assert lab.sdk.cut(agreement, poll=0.05).state == "published"
    assert len(tries) == 2


def test_a_cut_that_fails_for_good_is_marked_failed(service: Service) -> None:
    platform, lab = service.platform(), service.lab()
    platform.give(3)
    agreement = lab.agree(platform)
    with write(service.runtime.engine) as session:
        session.add(
            Release(id="rel_" + "0" * 26, agreement_id=agreement.id, state="cutting", requested_at=service.clock.now())
        )
    service.runtime.jobs.fail("cut", "rel_" + "0" * 26)
    with read(service.runtime.engine) as session:
        assert session.get_one(Release, "rel_" + "0" * 26).state == "failed"


def test_housekeeping_forgets_used_keys_after_a_week_and_keeps_fresh_ones(service: Service) -> None:
    now = service.clock.now()
    with write(service.runtime.engine) as session:
        for key, at in (("old", now - timedelta(days=8)), ("new", now)):
            Once("c", "r", key, "x").perform(session, at, lambda: "id")
        session.execute(
            sa.insert(AssertionUse).values(client_id="c", jti_sha256="j", expires_at=now - timedelta(hours=2))
        )
    keeper: Housekeeper = service.runtime.parts["housekeeper"]
    keeper.tidy()
    with read(service.runtime.engine) as session:
        assert session.exec(select(IdempotencyKey.key).where(IdempotencyKey.client == "c")).all() == ["new"]
        assert session.exec(select(AssertionUse).where(AssertionUse.client_id == "c")).all() == []


def test_housekeeping_keeps_used_proofs_for_as_long_as_they_would_be_taken(
    service: Service, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last moment that a clock which goes behind may still send it, a second use is refused, and not as too old."""
    bound, start = Bound(service, lab), service.clock.now()
    once, proof = assertion(service, lab), bound.proof("GET", "/v1/catalog", bound.token)  # each good for a minute, and the leeway
    accepted(ask_token(service, once))
    accepted(bound.get(proof))
    # The clock stands: on a busy machine a second or three would pass between the looks.
    monkeypatch.setattr(service.clock, "now", lambda: start + timedelta(seconds=60 + LEEWAY - 1))
    service.runtime.parts["housekeeper"].tidy()
    refused(ask_token(service, once), 401, "assertion_replayed")
    assert "it was used before" in refused(bound.get(proof), 401, "invalid_dpop_proof")["detail"]


def test_housekeeping_drops_links_and_intents_that_are_of_no_use_any_more(service: Service, platform: PlatformParty) -> None:
    now, hours = service.clock.now(), (1, 24.5, 25.5, 24 * 8)
    [given] = platform.give(1, contributor="tidy")
    with write(service.runtime.engine) as session:
        person = session.get_one(Contribution, given.id).contributor_id
        policy = session.exec(select(Policy.id)).first()
        for at, days in enumerate((1, 8, 89, 91)):
            session.add(PortalSession(id=f"prt_tidy{at}", contributor_id=person, created_at=now - timedelta(days=days)))
            session.add(
                ConsentIntent(
                    id=f"cit_tidy{at}", platform_id=platform.id, policy_id=policy, wording_sha256="0", wording_language="en", shown_at=now,
                    created_at=now - timedelta(hours=hours[at]),
                )
            )  # fmt: skip
            session.add(
                ConsentIntent(
                    id=f"cit_used{at}", platform_id=platform.id, policy_id=policy, wording_sha256="0", wording_language="en", shown_at=now,
                    created_at=now - timedelta(hours=hours[at]), used_by=given.id,
                )
            )  # fmt: skip
    service.runtime.parts["housekeeper"].tidy()
    with read(service.runtime.engine) as session:
        assert set(session.exec(select(PortalSession.id).where(PortalSession.contributor_id == person))) == {f"prt_tidy{n}" for n in range(3)}
        left = set(session.exec(select(ConsentIntent.id).where(ConsentIntent.platform_id == platform.id)))
        assert left == {"cit_tidy0", "cit_tidy1", "cit_used0", "cit_used1", "cit_used2"}


def test_a_chore_that_fails_does_not_stop_the_next(service: Service) -> None:
    done = []

    def bad(session: object, now: object) -> None:
        raise RuntimeError

    Housekeeper(service.runtime, {"bad": bad, "good": lambda session, now: done.append(1)}).tidy()
    assert done == [1]


def test_what_is_watched_is_looked_at_again_and_again_whatever_fails(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_OFTEN", 0.01)
    tidied, seen = [], []

    def look() -> None:
        seen.append(1)
        raise RuntimeError

    keeper = Housekeeper(service.runtime, {"tidied": lambda session, now: tidied.append(1)})
    keeper.watch = {"first": look, "second": look}
    keeper.start()
    until(lambda: len(seen) >= 6)
    keeper.stop()
    assert tidied == [1]


def test_exclusive_work_does_not_overlap(service: Service) -> None:
    inside, most = [], []

    def work() -> None:
        with exclusive(service.runtime.engine, "one thing"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    until(lambda: len(most) == 6)
    for t in threads:
        t.join()
    assert most == [1] * 6


@pytest.mark.parametrize("lock", [exclusive, exclusive_or_not])
def test_a_lock_that_cannot_be_given_back_ends_with_its_connection(service: Service, lock: Any) -> None:
    """Else whoever gets that connection next would hold it, and nobody ever let go of it."""
    engine = service.runtime.engine
    if service.backend == "sqlite":
        pytest.skip("SQLite has no locks of a session")

    def breaks(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "pg_advisory_unlock" in statement:
            raise OSError("it was ended")

    elsewhere = sa.create_engine(engine.url)
    sa.event.listen(engine, "before_cursor_execute", breaks)
    try:
        with pytest.raises(OSError, match="was ended"), lock(engine, "one thing"):
            pass
    finally:
        sa.event.remove(engine, "before_cursor_execute", breaks)
    with exclusive_or_not(elsewhere, "one thing") as held:
        assert held
    elsewhere.dispose()
