"""More writers at once than there are threads: all get through, none waits for a lock whose holder waits for a thread."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import sqlalchemy as sa
from sqlmodel import Session, select

from app.kit.db import read
from app.log.models import LogEntry
from tests.support import WORDING, Service, consent


def test_a_hundred_writers_at_once_all_get_through(service: Service) -> None:
    platforms = [service.platform() for _ in range(5)]
    tokens = [service.token(p) for p in platforms]
    given = [p.give(20) for p in platforms]
    receipts = [service.claim(r) for rows in given for r in rows]

    def write(i: int) -> int:
        if i % 3 == 0:
            return 200 if receipts[i].withdraw().contributions == 1 else 0
        headers = {"Authorization": f"Bearer {tokens[i % 5]}", "Content-Type": "application/json"}
        if i % 3 == 1:
            return httpx.put(
                service.base + "/v1/platforms/me/floor", content=b'{"floor": null}', headers=headers, timeout=60
            ).status_code
        # A policy that nobody used yet: it must be stored before the record, from a thread and not on the event loop.
        day = f"2031-{i % 12 + 1:02}-{i % 28 + 1:02}"
        body = {
            "external_id": f"w{i}", "kind": "message", "parts": {"text": "x"},
            "consent": {"template": "evaluation-only", "parameters": {"end": day}, "basis": "explicit", "wording": WORDING,
                        "language": "en", "shown_at": consent().shown_at},
        }  # fmt: skip
        return httpx.post(service.base + "/v1/contributions", json=body, headers=headers, timeout=60).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        codes = list(pool.map(write, range(100)))
    assert set(codes) <= {200, 201}, codes
    # SQLite's writers give up after thirty seconds: nobody may have come near that.
    assert time.monotonic() - began < 25


def test_a_commit_that_fails_is_never_answered_as_done(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = service.platform()
    token = service.token(platform)

    def fail(session: Session) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, Exception("the disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(Session, "commit", fail)
        answer = httpx.put(
            service.base + "/v1/platforms/me/floor", content=b'{"floor": null}', timeout=30,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )  # fmt: skip
    assert answer.status_code == 503 and answer.json()["code"] == "unavailable", answer.text
    with read(service.runtime.engine) as session:
        assert (
            session.exec(
                select(LogEntry).where(LogEntry.subject == platform.id, LogEntry.type == "admin.floor-set")
            ).all()
            == []
        )
