"""What is slow for one erasure is done once for all that wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import sqlalchemy as sa
from sayso.contributor import Contributor
from sqlmodel import select

from app.kit.db import read, write
from app.kit.locks import exclusive
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.releases.cutting import Cut
from app.releases.models import Release, Shard
from app.revocations import completion
from app.revocations.erasure import DELAY
from app.revocations.models import Erasure
from tests.conftest import started
from tests.faults.cuts import queued, receipt_for_all
from tests.revocations.test_erasure import key_of
from tests.support import Service, until


@pytest.fixture
def service(backend: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """One of its own, whose jobs this test does: those of others would come along."""
    with started(backend, request) as own:
        monkeypatch.setattr(own.runtime.jobs, "enqueue", lambda *_, **__: None)
        yield own


class Erased:
    """People of whom one contribution was erased, of another one everything, by name."""

    def __init__(self, service: Service, names: list[str]) -> None:
        self.service = service
        platform, self.ids = service.platform(), dict[str, str]()
        given = {name: platform.give(2, contributor=name) for name in names}
        self.agreement = service.lab().agree(platform)
        self.release = queued(service, self.agreement).release
        Cut(service.runtime, self.release).run()
        self.keys: dict[str, bytes] = {}
        for name in names:
            holder: Contributor = receipt_for_all(service, platform, name)
            erasure = holder.erase("all") if name == "everything" else holder.erase(contribution=given[name][0].id)
            self.ids[name] = erasure.id
            if (key := key_of(service, self.row(name).contributor_id)) is not None:
                self.keys[name] = bytes(key.wrapped)

    def row(self, name: str) -> Erasure:
        with read(self.service.runtime.engine) as session:
            return session.get_one(Erasure, self.ids[name])

    def waits_for(self, name: str, *cuts: str) -> None:
        with write(self.service.runtime.engine) as session:
            session.execute(sa.update(Erasure).where(Erasure.id == self.ids[name]).values(cuts=list(cuts)))  # type: ignore[arg-type]

    def complete(self, name: str) -> bool:
        return completion.complete(self.service.runtime, self.ids[name])

    def completed(self) -> set[str]:
        return {name for name in self.ids if self.row(name).state == "completed"}

    def keys_are_gone(self, *names: str) -> bool:
        found = [key_of(self.service, self.row(name).contributor_id) for name in names]
        return all(key is None or bytes(key.wrapped) != self.keys[name] for key, name in zip(found, names, strict=True))

    def files(self) -> list[str]:
        return list(self.service.runtime.blobs.names(f"releases/{self.release}"))


def test_whoever_waits_is_completed_with_the_first_whose_turn_it_is(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them is hindered by hinders no other, and who waits for a cut that is being run is not waited for. One that nobody runs,
    because it was killed or has not begun, keeps nobody waiting."""
    erased = Erased(service, ["first", "second", "third", "everything", "hindered", "cutting"])
    over, idle, cutting = (queued(service, erased.agreement).release for _ in range(3))
    with write(service.runtime.engine) as session:
        session.get_one(Release, over).state = "failed"
    erased.waits_for("second", over)
    erased.waits_for("third", over, idle)
    erased.waits_for("cutting", over, cutting)
    assert erased.files() and not erased.keys_are_gone("second")
    replaced: list[str] = []
    tidied: list[str] = []
    scrubs = iter([False, True])
    replace_key, scrub, tidy = completion.replace_key, completion._scrub, Cut.tidy_if_idle

    of = {erased.row(name).contributor_id: erased.ids[name] for name in erased.ids}

    def replaces(runtime: Runtime, contributor: str) -> None:
        if of[contributor] == erased.ids["hindered"]:
            raise OSError("of this one alone")
        replaced.append(of[contributor])
        replace_key(runtime, contributor)

    def tidies(cut: Cut) -> bool:
        tidied.append(cut.release)
        return tidy(cut)

    monkeypatch.setattr(completion, "replace_key", replaces)
    monkeypatch.setattr(completion, "_scrub", lambda *given: next(scrubs) and until(lambda: scrub(*given), 60))
    monkeypatch.setattr(Cut, "tidy_if_idle", tidies)
    service.clock.offset += completion.timedelta(seconds=2 * DELAY)
    with exclusive(service.runtime.engine, f"cut/{cutting}"):
        assert not erased.complete("first")
        attempts = erased.row("first").attempts, erased.row("second").attempts
        assert erased.completed() == set() and attempts == (1, 0), "the database did not let go"
        assert (tidied.count(over), tidied.count(idle)) == (1, 1), "once for all"
        assert tidied.count(cutting) > 1, "it is tried for a while"
        acts = [partial(erased.complete, name) for name in ("everything", "first", "third")]
        with ThreadPoolExecutor(len(acts)) as pool:
            assert [one.result(timeout=90) for one in [pool.submit(act) for act in acts]] == [True] * 3
    whole = {"first", "second", "third", "everything"}
    assert erased.completed() == whole and sorted(replaced) == sorted(erased.ids[name] for name in whole - {"everything"}), "once each"
    assert erased.keys_are_gone("first", "second", "third", "everything") and erased.files() == []
    with read(service.runtime.engine) as session:
        assert all(shard.swept_at for shard in session.exec(select(Shard).where(Shard.release_id == erased.release)))
        for name in whole:
            row = erased.row(name)
            entry = session.exec(select(LogEntry).where(LogEntry.log_index == row.completed_index)).one()
            assert (entry.subject, entry.type) == (row.id, "erasure.completed")
    with pytest.raises(OSError, match="this one"):
        erased.complete("hindered")


def test_nobody_is_taken_along_whose_key_may_still_be_in_some_memory(service: Service) -> None:
    erased = Erased(service, ["first", "second"])
    until(lambda: erased.complete("first"), 60)
    assert erased.completed() == {"first"}
    service.clock.offset += completion.timedelta(seconds=2 * DELAY)
    until(lambda: erased.complete("second"), 60)
    assert erased.completed() == {"first", "second"}


def test_who_has_no_turn_in_time_comes_later(service: Service) -> None:
    erased = Erased(service, ["first", "second"])
    later = service.clock.now() + completion.timedelta(hours=2)
    with service.runtime.parts["completing"]:
        assert not completion.complete(service.runtime, erased.ids["first"], within=0.01)
        completion.take_up_forgotten(service.runtime, later)
    assert erased.completed() == set() and erased.row("first").attempts + erased.row("second").attempts == 2
    service.clock.offset += completion.timedelta(hours=2)
    until(lambda: completion.take_up_forgotten(service.runtime, service.clock.now()) or len(erased.completed()) == 2, 60)


def test_of_whom_much_is_erased_one_key_is_made(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = service.platform()
    given = platform.give(4, contributor="somebody")
    holder = receipt_for_all(service, platform, "somebody")
    erasures = [holder.erase(contribution=one.id).id for one in given[:3]]
    replaced: list[str] = []
    replace_key = completion.replace_key

    def replaces(runtime: Runtime, contributor: str) -> None:
        replaced.append(contributor)
        replace_key(runtime, contributor)

    monkeypatch.setattr(completion, "replace_key", replaces)
    service.clock.offset += completion.timedelta(seconds=2 * DELAY)
    until(lambda: completion.complete(service.runtime, erasures[0]), 60)
    with read(service.runtime.engine) as session:
        rows = [session.get_one(Erasure, one) for one in erasures]
    assert [(row.state, row.key_replaced) for row in rows] == [("completed", True)] * 3 and len(replaced) == 1
    assert holder.receipt_file(given[3].id), "what is left opens under it"
