"""Recording in the background: never in the caller's way, in order, once, and counted where something could not be saved."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sayso import AsyncConsent, Consent, ConsentGiven, RawJSON
from sayso.spool import Busy, Spool, open_one

from tests.client.flaky_service import Flaky
from tests.support import ROOT, SHOWN, WORDING, PlatformParty, Service, free_port, until


@pytest.fixture
def flaky() -> Any:
    service = Flaky()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayso.recorder.LONGEST_PAUSE", 0.2)
    monkeypatch.setattr("sayso.http.Transport._backoff", lambda self: 0.01)


def give(consent: Consent, *names: str, **more: Any) -> None:
    for name in names:
        consent.record(kind="preference", external_id=name, parts={"judgment": 1}, **more)


def names(n: int, start: int = 0) -> list[str]:
    return [f"e{i}" for i in range(start, start + n)]


# -- the way it goes --------------------------------------------------------------------------------------------------
def test_records_arrive_in_order_with_what_was_given(flaky: Flaky, tmp_path: Path) -> None:
    seen: list[Any] = []
    terms = ConsentGiven(template="evaluation-only", basis="explicit", wording=WORDING, language="en", shown_at=SHOWN)
    with Consent(flaky.key, consent=terms, spool=tmp_path, on_recorded=seen.append) as consent:
        give(consent, *names(50), contributor="u1")
        own = consent.record(kind="statement", parts={"text": RawJSON('{"a":\n1.10}')}, consent={"template": "x", "basis": "none"})
        give(consent, "last")
        assert consent.flush(20)
        told = consent.stats()
    assert consent.stats() == told, "also once it is closed"
    assert flaky.order == [*names(50), own, "last"]
    assert flaky.bodies["e3"]["consent"]["template"] == "evaluation-only" and flaky.bodies["e3"]["contributor"] == "u1"
    assert flaky.bodies[own]["consent"]["template"] == "x"
    assert [item.claim_url for item in seen][:1] == ["http://x/c/e0"] and len(seen) == 52
    assert (told.accepted, told.recorded, told.waiting, told.refused, told.dropped, told.lost) == (52, 52, 0, 0, 0, 0)
    assert not list(tmp_path.rglob("*.spool")), "what is settled leaves nothing on disk"


def test_against_the_real_service(service: Service, platform: PlatformParty, tmp_path: Path) -> None:
    key = service.base.replace("://", f"://{platform.id}:{platform.secret}@")
    seen: list[Any] = []
    terms = {"template": "evaluation-only", "basis": "explicit", "wording": WORDING, "language": "en", "shown_at": SHOWN}
    with Consent(key, consent=terms, spool=tmp_path, on_recorded=seen.append, on_refused=seen.append) as consent:
        give(consent, *names(30), contributor="u")
        consent.record(kind="nonsense", external_id="bad", parts={"text": "x"})
        give(consent, "after")
        assert consent.flush(30)
        assert (consent.stats().recorded, consent.stats().refused) == (31, 1)
    assert [item.code for item in seen if not item.ok] == ["kind_unknown"]
    claimed = service.http.post(seen[0].claim_url, headers={"Accept": "application/json"})
    assert claimed.status_code == 201 and claimed.json()["contribution"] == seen[0].id


@pytest.mark.parametrize("mood", [429, 500, 502, 503, 401, 404, "slow", "cut"])
def test_whatever_the_service_does_everything_arrives_once_and_in_order(flaky: Flaky, tmp_path: Path, mood: Any) -> None:
    flaky.mood = mood
    with Consent(flaky.key, spool=tmp_path) as consent:
        began = time.monotonic()
        give(consent, *names(300))
        assert time.monotonic() - began < 2, "the caller was made to wait"
        until(lambda: flaky.calls >= 1)
        give(consent, *names(20, 300))
        flaky.mood = None
        assert consent.flush(20)
        assert consent.stats().recorded == 320 and consent.stats().refused == 0
    assert flaky.order == names(320)


def test_the_same_content_goes_under_the_same_key(flaky: Flaky, tmp_path: Path) -> None:
    flaky.moods = ["cut", "cut"]
    with Consent(flaky.key, spool=tmp_path) as consent:
        give(consent, *names(3))
        assert consent.flush(20)
    assert len(flaky.keys) == 3 and len(set(flaky.keys)) == 1


def test_one_bad_record_does_not_stop_the_others(flaky: Flaky, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    flaky.refuse = {"e5": (422, "kind_unknown"), "e8": (409, "external_id_conflict")}
    told: list[Any] = []

    def callback(item: Any) -> None:
        told.append(item)
        raise RuntimeError("the platform's own mistake")

    with caplog.at_level(logging.ERROR, "sayso"), Consent(flaky.key, spool=tmp_path, on_refused=callback) as consent:
        give(consent, *names(10))
        assert consent.flush(20)
        assert (consent.stats().recorded, consent.stats().refused) == (8, 2)
    assert [(i.external_id, i.code) for i in told] == [("e5", "kind_unknown"), ("e8", "external_id_conflict")]
    assert "kind_unknown" in caplog.text
    assert flaky.order == [n for n in names(10) if n not in flaky.refuse]


def test_an_item_that_may_pass_holds_those_behind_it(flaky: Flaky, tmp_path: Path) -> None:
    flaky.refuse = {"e2": (503, "unavailable")}
    with Consent(flaky.key, spool=tmp_path) as consent:
        give(consent, *names(5))
        until(lambda: flaky.calls >= 3)
        assert not consent.flush(0.05) and consent.stats().recorded == 2
        flaky.refuse = {}
        assert consent.flush(20)
        assert consent.stats().recorded == 5


# -- away, and back ----------------------------------------------------------------------------------------------------
def test_what_is_not_sent_waits_on_disk_for_the_next_start(tmp_path: Path) -> None:
    port = free_port()
    key = f"http://plt_1:s3cret@127.0.0.1:{port}"
    first = Consent(key, spool=tmp_path)
    give(first, *names(40))
    assert first.close(0.2) is False
    with pytest.raises(RuntimeError):
        give(first, "late")
    second = Consent(key, spool=tmp_path)
    assert second.stats().waiting == 40 and second.stats().lost == 0
    give(second, *names(10, 40))
    flaky = Flaky(port)
    try:
        assert second.flush(20) and second.close()
        assert flaky.order == names(50)
    finally:
        flaky.close()
    assert oct((tmp_path / "0").stat().st_mode)[-3:] == "700"


CALLER = """
    import os, sys
    from sayso import Consent
    consent = Consent(sys.argv[1], spool=sys.argv[2])
    for n in range(10**9):
        consent.record(kind="preference", external_id=f"e{n}", parts={"judgment": n, "text": "x" * 200})
        if n % 50 == 0:
            os.write(1, b".")
"""


def caller(script: str, *arguments: str) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "PYTHONPATH": str(ROOT / "client" / "src")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


@pytest.mark.parametrize("up", [True, False])
def test_after_a_kill_the_rest_arrives_and_what_is_lost_is_counted(flaky: Flaky, tmp_path: Path, up: bool) -> None:
    flaky.mood = None if up else 503
    process = caller(CALLER, flaky.key, str(tmp_path))
    assert process.stdout is not None
    for _ in range(40):
        assert process.stdout.read(1) == b"."
    process.send_signal(signal.SIGKILL)
    process.wait()
    taken = 40 * 50 - 49  # it has taken at least so many
    flaky.mood = None
    with Consent(flaky.key, spool=tmp_path) as consent:
        assert consent.flush(60)
        lost = consent.stats().lost
    arrived = len(flaky.order)
    assert flaky.order == names(arrived), "in order and without a gap: only the tail can be missing"
    assert arrived + lost >= taken
    assert lost < 100_000
    with Consent(flaky.key, spool=tmp_path) as consent:
        assert consent.stats().lost == 0, "a loss is told once"


def test_at_exit_everything_is_flushed(flaky: Flaky, tmp_path: Path) -> None:
    script = """
        import sys
        from sayso import Consent
        consent = Consent(sys.argv[1], spool=sys.argv[2])
        for n in range(100):
            consent.record(kind="preference", external_id=f"e{n}", parts={"judgment": n})
    """
    process = caller(script, flaky.key, str(tmp_path))
    assert process.wait(60) == 0
    assert flaky.order == names(100)


def test_processes_have_a_directory_each_and_take_over_what_others_left(flaky: Flaky, tmp_path: Path) -> None:
    flaky.mood = 503
    first, second = Consent(flaky.key, spool=tmp_path), Consent(flaky.key, spool=tmp_path)
    give(first, "a1", "a2")
    give(second, "b1", "b2")
    first.close(0.1), second.close(0.1)
    assert {p.name for p in tmp_path.iterdir()} == {"0", "1"}
    flaky.mood = None
    with Consent(flaky.key, spool=tmp_path) as one:
        assert one.flush(20)
    assert sorted(flaky.order) == ["a1", "a2", "b1", "b2"]
    assert flaky.order.index("a1") < flaky.order.index("a2") and flaky.order.index("b1") < flaky.order.index("b2")


def test_a_forked_worker_records_too(flaky: Flaky, tmp_path: Path) -> None:
    script = """
        import os, sys
        from sayso import Consent
        consent = Consent(sys.argv[1], spool=sys.argv[2])
        consent.record(kind="preference", external_id="parent", parts={"judgment": 1})
        child = os.fork()
        consent.record(kind="preference", external_id="child" if child == 0 else "again", parts={"judgment": 1})
        if child:
            os.waitpid(child, 0)
    """
    process = caller(script, flaky.key, str(tmp_path))
    assert process.wait(60) == 0
    assert sorted(flaky.order) == ["again", "child", "parent"]


def test_threads_that_come_first_after_a_fork_begin_once(flaky: Flaky, tmp_path: Path) -> None:
    script = """
        import os, sys, threading
        from sayso import Consent
        consent = Consent(sys.argv[1], spool=sys.argv[2])
        consent.record(kind="preference", external_id="parent", parts={"judgment": 1})
        if os.fork() == 0:
            start, failed = threading.Barrier(8), []
            def one(n):
                start.wait()
                try:
                    for m in range(20):
                        consent.record(kind="preference", external_id=f"child{n}-{m}", parts={"judgment": 1})
                    consent.stats()
                except BaseException as error:
                    failed.append(error)
            threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            done = consent.close(20) and not failed
            os._exit(0 if done else 1)
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    process = caller(script, flaky.key, str(tmp_path))
    assert process.wait(60) == 0
    assert sorted(flaky.order) == sorted(["parent", *(f"child{n}-{m}" for n in range(8) for m in range(20))])


# -- the caller is never in trouble ------------------------------------------------------------------------------------
def test_a_disk_that_takes_nothing_costs_memory_and_then_the_newest(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = threading.Event()
    broken.set()
    real = os.fsync

    def fsync(file: int) -> None:
        if broken.is_set():
            raise OSError(28, "No space left on device")
        real(file)

    consent = Consent(flaky.key, spool=tmp_path, most=5)
    monkeypatch.setattr("sayso.spool.os.fsync", fsync)
    give(consent, *names(8))
    assert consent.stats().dropped == 3 and not flaky.order
    broken.clear()
    assert consent.flush(20) and consent.close()
    assert flaky.order == names(5)


def test_what_is_no_json_and_what_is_no_key_is_said_at_once(flaky: Flaky, tmp_path: Path) -> None:
    with Consent(flaky.key, spool=tmp_path) as consent:
        with pytest.raises(ValueError):
            consent.record(kind="rating", parts={"judgment": float("nan")})
        with pytest.raises(TypeError):
            consent.record(kind="rating", parts={"judgment": 1}, nonsense=1)
    for key in ("plt_1:secret", "https://host", "ftp://a:b@host", "https://a@host"):
        with pytest.raises(ValueError):
            Consent(key, spool=tmp_path)


def test_the_async_twin(flaky: Flaky, tmp_path: Path) -> None:
    async def play() -> None:
        flaky.mood = "slow"
        async with AsyncConsent(flaky.key, spool=tmp_path) as consent:
            ticks = 0

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.01)

            ticking = asyncio.create_task(tick())
            await asyncio.gather(*(consent.record(kind="rating", external_id=n, parts={"judgment": 1}) for n in names(100)))
            assert await consent.flush(20)
            ticking.cancel()
            assert ticks > 10, "the loop stood still"
            assert (await consent.stats()).recorded == 100

    asyncio.run(play())
    assert flaky.order == names(100)


# -- the directory -----------------------------------------------------------------------------------------------------
def test_a_torn_or_altered_end_is_cut_off_and_counted(tmp_path: Path) -> None:
    for cut in (1, 15, 16, 17, 40):
        directory = tmp_path / str(cut)
        spool = Spool(directory)
        for body in (b"one", b"two" * 10, b"three" * 9):
            spool.append([(spool.accept(), body)])
        spool.accept()  # taken, and never written
        [segment] = directory.glob("*.spool")
        data = segment.read_bytes()
        spool.abandon()
        segment.write_bytes(data[:-cut])
        again = Spool(directory)
        assert again.lost == 2 and again.read(10, 10**6) == [(1, b"one"), (2, b"two" * 10)]
        again.append([(again.accept(), b"four")])
        assert again.read(10, 10**6) == [(3, b"four")]
        again.close()


def test_segments_are_deleted_when_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayso.spool.SEGMENT", 100)
    spool = Spool(tmp_path)
    for n in range(30):
        spool.append([(spool.accept(), b"%03d" % n * 10)])
    seen: list[int] = []
    while frames := spool.read(4, 10**6):
        seen += [number for number, _ in frames]
        spool.deliver(frames[-1][0])
    assert seen == list(range(1, 31)) and len(list(tmp_path.glob("*.spool"))) == 1
    with pytest.raises(Busy):
        Spool(tmp_path)
    spool.close()
    assert not list(tmp_path.glob("*.spool"))
    assert open_one(tmp_path).directory == tmp_path / "0"
