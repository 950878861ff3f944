"""A job that was taken and is not being done is put back, whoever took it; one that somebody is doing is left alone."""

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from app.kit.db import is_sqlite, write
from app.kit.jobs import Jobs
from app.kit.recovery import Recovery
from tests.support import Service, until


@pytest.fixture
def done(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the job called `note` was done for."""
    found: list[str] = []
    monkeypatch.setitem(service.runtime.jobs._handlers, "note", found.append)
    return found


def taken(service: Service, executor: str) -> str:
    """A job that `executor` took and does not do."""
    act = uuid.uuid4().hex
    jobs: Jobs = service.runtime.jobs
    table = "workflow_status" if is_sqlite(service.runtime.engine) else "dbos.workflow_status"
    with write(service.runtime.engine) as session:
        jobs.enqueue(session, "note", act, delay=600)
        session.execute(
            sa.text(f"UPDATE {table} SET status = 'PENDING', executor_id = :by WHERE workflow_uuid = :job"),
            {"by": executor, "job": f"note:{act}"},
        )
    return act


def recovery(service: Service) -> Recovery:
    found = service.runtime.jobs._recovery
    assert found is not None
    return found


def test_a_job_of_a_process_that_ended_is_done(service: Service, done: list[str]) -> None:
    act = taken(service, uuid.uuid4().hex)
    recovery(service).look()
    until(lambda: act in done)


def test_a_job_of_ours_that_we_are_not_doing_is_done_after_two_looks(service: Service, done: list[str]) -> None:
    act = taken(service, recovery(service).name)
    recovery(service).look()
    until(lambda: act in done)  # the background looks every few seconds


def test_a_job_that_a_living_process_does_is_left_alone(service: Service, done: list[str]) -> None:
    if is_sqlite(service.runtime.engine):
        pytest.skip("SQLite takes one process")
    other = Recovery(service.runtime.engine, ("sayso",), set, 3600)
    other._show_life()
    try:
        act = taken(service, other.name)
        assert f"note:{act}" not in recovery(service).look() + recovery(service).look()
        assert act not in done
    finally:
        other._let_go()
    until(lambda: act in done)


def test_a_database_that_is_away_uses_up_no_attempt(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg

    tries: list[str] = []

    def away(act: str) -> None:
        tries.append(act)
        if len(tries) < 3:
            raise sa.exc.OperationalError("SELECT 1", {}, psycopg.OperationalError("server closed the connection"))

    monkeypatch.setitem(service.runtime.jobs._handlers, "away", away)
    service.runtime.jobs.run("away", "x")
    assert len(tries) == 3


def test_everybody_who_asks_within_a_batch_gets_one_job(service: Service, done: list[str]) -> None:
    jobs: Jobs = service.runtime.jobs
    now: Any = service.clock.now()
    act = uuid.uuid4().hex
    for _ in range(5):
        with write(service.runtime.engine) as session:
            jobs.enqueue_batched(session, "note", act, 1, now)
    until(lambda: act in done)
    assert done.count(act) == 1
