"""Acts at the same moment: withdrawals beside cuts and downloads, cuts beside cuts. The order of the public log decides."""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from sayso.lab import Lab
from sayso.models import Agreement, NewContribution
from sqlmodel import select

from app.contributions.models import Contribution
from app.kit.blobs import BlobNotFound
from app.kit.db import make_engine, read, write
from app.kit.runtime import Runtime
from app.releases import cutting
from app.releases.cutting import Cut
from app.releases.models import Release, ReleaseItem, Shard
from app.releases.shards import blob_name
from app.revocations import erasure
from app.revocations import service as revoking
from app.revocations.acting import Holder
from app.revocations.schemas import ErasureIn, RevocationIn
from tests.faults.cuts import decoded, outcome, queued, whole
from tests.support import LabParty, PlatformParty, Service, consent, shards_of

SOAK = os.environ.get("SAYSO_TEST_SIZE") == "soak"
WORKERS = 50
CROWDED = int(os.environ.get("SAYSO_TEST_CROWDED", "10000" if SOAK else "200"))
"""Trials of the crowd: acts that race a cut, fifty at a time."""
TRIALS = int(os.environ.get("SAYSO_TEST_RACES", "2000" if SOAK else "15"))


# -- cuts beside cuts -------------------------------------------------------------------------------------------------
def _together(*acts: Callable[[], Any]) -> list[Any]:
    """All at once, each in a thread; their answers."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [f.result(timeout=120) for f in [pool.submit(run, act) for act in acts]]


def test_two_cuts_at_once_under_one_agreement_are_two_releases_in_order(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    given = platform.give(12)
    agreement = lab.agree(platform)
    for _ in range(4):
        cuts = [queued(service, agreement) for _ in range(2)]
        _together(*(cut.run for cut in cuts))
        first, second = sorted((whole(service, cut) for cut in cuts), key=lambda found: found.log_index or 0)
        assert first.contributions == second.contributions == {g.id for g in given}
        assert (first.state, second.state, second.supersedes) == ("superseded", "published", first.release)
        # Whichever was asked for first: the one that follows in the log is the successor.
        after = {r.id: r.model_dump() for r in (lab.sdk.release(first.release), lab.sdk.release(second.release))}
        assert after[first.release]["successor"] == second.release  # type: ignore[index]
        assert after[second.release]["successor"] is None  # type: ignore[index]


def test_two_cuts_asked_for_at_once(service: Service, platform: PlatformParty, lab: LabParty) -> None:
    platform.give(12)
    agreement = lab.agree(platform)
    labs = [Lab(service.base, lab.id, lab.key) for _ in range(3)]
    releases = _together(*(lambda sdk=sdk: sdk.cut(agreement, poll=0.05) for sdk in labs))
    assert len({r.id for r in releases}) == 3
    found = [outcome(service, r.id) for r in releases]
    assert all(len(f.leaves) == 1 and len(f.rows) == 12 for f in found)
    assert sorted(f.state for f in found) == ["published", "superseded", "superseded"]


def test_one_cut_run_by_two_workers_at_once_is_one_release(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """As when a second process picks up what it takes for a job left behind."""
    given = platform.give(12)
    holders = [service.claim(g) for g in given[:4]]
    agreement = lab.agree(platform)
    for holder in holders:
        cut = queued(service, agreement)
        others = [Cut(service.runtime, cut.release) for _ in range(2)]
        _together(cut.run, *(other.run for other in others), holder.withdraw)
        found = outcome(service, cut.release)
        # A withdrawal of the round before may have been told by now, and a release without it cut, which follows this one.
        assert len(found.leaves) == 1 and found.state in ("published", "superseded")
        if not any(s.state == "gone" for s in shards_of(service, cut.release)):
            whole(service, cut)


# -- withdrawals beside cuts ------------------------------------------------------------------------------------------
@dataclass
class Race:
    """Trials of people withdrawing while releases are cut, and what the log says of them afterwards."""

    service: Service
    platform: PlatformParty
    agreement: Agreement
    rng: random.Random
    withdrawn: dict[str, int] = field(default_factory=dict)
    """contribution -> log index of its withdrawal"""
    releases: list[str] = field(default_factory=list)

    def trial(self, people: int) -> None:
        given = self.platform.give(people + 1)
        holders = [(g.id, self.service.claim(g)) for g in given[1:]]
        cuts = [queued(self.service, self.agreement) for _ in range(2)]
        for cut in cuts:
            # Wider than in life, so that the last moment is met often.
            cut.after_selection.append(lambda: time.sleep(self.rng.uniform(0, 0.01)))
        delays = [self.rng.uniform(0, 0.08) for _ in holders]
        answers = _together(
            *(cut.run for cut in cuts),
            *(
                lambda h=holder, d=delay: (time.sleep(d), h.withdraw())[1]
                for (_, holder), delay in zip(holders, delays, strict=True)
            ),
        )
        self.withdrawn.update({c: a.log_index for (c, _), a in zip(holders, answers[2:], strict=True)})
        self.releases += [cut.release for cut in cuts]

    def violations(self) -> list[str]:
        """Sentences about every record that is where its withdrawal forbids it."""
        wrong = []
        runtime = self.service.runtime
        for release in self.releases:
            with read(runtime.engine) as session:
                row = session.get_one(Release, release)
                assert row.state in ("published", "superseded") and row.log_index is not None, row.state
                items = {
                    (i.shard, bytes(i.record_id).hex()): i.contribution_id
                    for i in session.exec(
                        select(ReleaseItem).where(ReleaseItem.release_id == release, ReleaseItem.parts > 0)
                    )
                }
            for (_, record), contribution in items.items():
                if self.withdrawn.get(contribution, row.log_index) < row.log_index:
                    wrong.append(
                        f"{release} at {row.log_index} lists {record}, withdrawn at {self.withdrawn[contribution]}"
                    )
            for shard in shards_of(self.service, release):
                try:
                    rows = decoded(runtime.blobs.get(blob_name(release, shard.sha256)))
                except BlobNotFound:
                    assert shard.state == "gone", "a live shard has no bytes"
                    continue
                held = {items.get((shard.shard, r["record_id"])) for r in rows}
                if shard.state == "live" and held & self.withdrawn.keys():
                    wrong.append(
                        f"{release} still opens a shard that holds {len(held & self.withdrawn.keys())} withdrawn records"
                    )
                if shard.state == "live" and None in held:
                    wrong.append(f"{release} holds a record in no list")
        return wrong


def _race(service: Service, seed: int) -> Race:
    print(f"seed {seed}")
    platform, lab = service.platform(), service.lab()
    platform.give(6)
    return Race(service, platform, lab.agree(platform, mode="standing", until="2099-01-01"), random.Random(seed))


def test_no_release_later_in_the_log_holds_what_was_withdrawn(service: Service) -> None:
    race = _race(service, int(os.environ.get("SAYSO_TEST_SEED", random.randrange(2**32))))
    for _ in range(TRIALS):
        race.trial(people=4)
    assert race.violations() == []
    assert len(race.withdrawn) == TRIALS * 4
    # The race was a race: withdrawals fell on both sides of cuts, between their selection and their leaf too.
    spans = [(f.as_of, f.log_index) for f in (outcome(service, r) for r in race.releases[-20:])]
    assert all(a is not None and b is not None and a <= b for a, b in spans)


# -- fifty at once ------------------------------------------------------------------------------------------------------
class Crowd:
    """Rounds in which fifty people withdraw, half of them by erasing, while a release is cut. No HTTP between them and the
    database: fifty threads, each with a connection of its own, is what a service of several processes looks like from there."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.rng = random.Random(seed)
        print(f"seed {seed}")
        engine = make_engine(service.runtime.settings.database, pool_size=WORKERS)
        engine.sayso_journal = service.runtime.journal  # type: ignore[attr-defined]
        self.runtime = Runtime(**{**vars(service.runtime), "engine": engine})
        self.platform, self.lab = service.platform(), service.lab()
        self.platform.give(3)
        self.agreement = self.lab.agree(self.platform, mode="standing", until="2099-01-01")
        self.taken: dict[str, int] = {}
        """contribution -> log index of the withdrawal or erasure"""
        self.releases: list[str] = []
        self.attempts: list[str] = []
        """One a try of a cut's last transaction."""

    def round(self) -> None:
        given = list(
            self.platform.sdk.record_many(
                NewContribution(external_id=f"{self.rng.getrandbits(64):x}", kind="preference", parts={"text": "x"}, consent=consent())
                for _ in range(WORKERS)
            )
        )
        ids = [str(g.id) for g in given]
        with read(self.service.runtime.engine) as session:
            found = sa.select(Contribution.id, Contribution.contributor_id).where(Contribution.id.in_(ids))  # type: ignore[attr-defined,call-overload]
            owners = dict(session.execute(found).all())
        cut = queued(self.service, self.agreement)
        # They come while its last transaction is tried, however long selecting and building took.
        trying = threading.Event()
        cut.after_selection.append(lambda: (trying.set(), time.sleep(self.rng.uniform(0, 0.02)), self.attempts.append(cut.release)))
        delays = [self.rng.uniform(0, 0.15) for _ in ids]
        answers = _together(
            cut.run,
            *(lambda c=c, d=d, n=n: self._take(c, owners[c], trying, d, n % 2 == 0) for n, (c, d) in enumerate(zip(ids, delays, strict=True))),
        )
        self.taken.update(dict(zip(ids, answers[1:], strict=True)))
        self.releases.append(cut.release)

    def _take(self, contribution: str, owner: str, trying: threading.Event, delay: float, erase: bool) -> int:
        assert trying.wait(60)
        time.sleep(delay)
        runtime, now = self.runtime, self.service.clock.now()
        holder = Holder(owner, contribution)
        with write(runtime.engine) as session:
            if erase:
                return erasure.request(session, runtime, holder, ErasureIn(scope="contribution"), now=now).log_index
            return revoking.withdraw(session, runtime, holder, RevocationIn(scope="contribution"), now=now).log_index

    def violations(self) -> list[str]:
        """Records in a release later in the log than what took them back, and live shards that hold one."""
        wrong = []
        with read(self.service.runtime.engine) as session:
            for release in self.releases:
                row = session.get_one(Release, release)
                assert row.state in ("published", "superseded") and row.log_index is not None, row.state
                live = {s.shard for s in session.exec(select(Shard).where(Shard.release_id == release, Shard.state == "live"))}
                for item in session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release, ReleaseItem.parts > 0)):
                    index = self.taken.get(item.contribution_id)
                    if index is not None and (index < row.log_index or item.shard in live):
                        wrong.append(f"{release} at {row.log_index} holds what was taken back at {index}")
        return wrong


def test_fifty_at_once_against_a_release(service: Service) -> None:
    if service.backend != "postgresql":
        pytest.skip("SQLite has one writer at a time: the races above are all it has")
    crowd = Crowd(service, int(os.environ.get("SAYSO_TEST_SEED", random.randrange(2**32))))
    for _ in range(CROWDED // WORKERS):
        crowd.round()
    crowd.runtime.engine.dispose()
    assert len(crowd.taken) == CROWDED // WORKERS * WORKERS and crowd.violations() == []
    assert len(crowd.attempts) > len(crowd.releases), "no cut was ever overtaken: it was no race"
    print(f"{len(crowd.taken)} acts, {len(crowd.releases)} releases, {len(crowd.attempts)} attempts")


def test_fifty_at_once_without_the_lock_end_in_violations(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the test above can fail: the look is still made, but the head is not locked while it is."""
    if service.backend != "postgresql":
        pytest.skip("SQLite has one writer at a time: the races above are all it has")
    real = cutting.touched
    monkeypatch.setattr(cutting.log, "lock_head", lambda session: cutting.log.size(session))

    def slow(*args: Any) -> set[str]:
        found = real(*args)
        time.sleep(0.3)  # where the lock would keep everybody else out
        return found

    monkeypatch.setattr(cutting, "touched", slow)
    crowd = Crowd(service, 1)
    for _ in range(20):
        crowd.round()
        if crowd.violations():
            break
    crowd.runtime.engine.dispose()
    assert crowd.violations(), "nothing was seen in 20 rounds of fifty"


def test_withdrawals_beside_recall_batches_and_their_answers_wait_for_each_other(
    service: Service, platform: PlatformParty, lab: LabParty
) -> None:
    """Both take the agreement's row and the log head; in different orders one of them would be thrown out of a deadlock."""
    given = platform.give(33)
    holders = [service.claim(g) for g in given[:32]]
    agreement = lab.agree(platform)
    lab.sdk.cut(agreement, poll=0.05)
    done = threading.Event()

    def withdraw(some: list[Any]) -> None:
        for holder in some:
            holder.withdraw()

    def open_batches() -> None:
        while not done.wait(0.02):
            service.runtime.jobs.run("recall", agreement.id)

    def answer() -> None:
        while not done.wait(0.02):
            for recall in lab.sdk.recalls(agreement).items:
                if recall.state == "notified":
                    lab.sdk.acknowledge(recall.id)

    def all_withdrawn() -> None:
        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(withdraw, [holders[n::4] for n in range(4)]))
        finally:
            done.set()

    _together(all_withdrawn, open_batches, answer)
    service.runtime.jobs.run("recall", agreement.id)
    assert len({record for recall in lab.sdk.recalls(agreement).items for record in recall.records}) >= 20


def test_without_the_look_under_the_head_lock_the_race_is_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above sees what it is for: the same race, with the check taken out, ends in violations."""
    monkeypatch.setattr(cutting, "touched", lambda *_: set())
    race = _race(service, 1)
    for _ in range(200):
        race.trial(people=4)
        if race.violations():
            break
    assert race.violations(), "nothing was seen in 200 trials"
