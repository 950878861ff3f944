"""A cut that was killed goes on where it was; and nothing of it outlives what was narrowed, given up or erased meanwhile."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.contributions.models import Contribution
from app.kit.db import read, write
from app.parties.models import DataKey, Lab
from app.releases import cutting, resuming, tree
from app.releases import service as releases
from app.releases.cutting import Cut
from app.releases.models import CutShard, Release, ReleaseItem
from app.releases.shards import blob_name
from app.revocations import completion
from app.revocations.restore import restore
from tests.faults.cuts import once, outcome, queued, whole
from tests.releases.test_kept import CREDITED, agreed, made_of, run, written
from tests.support import LabParty, PlatformParty, Service

__all__ = ["written"]
A_DAY = timedelta(days=1)
RECORDS = 40
"""So many that none of four shards is empty."""


class Killed(BaseException):
    """Stands for the end of the process at that point."""


class Killing:
    """Ends cuts at a step, as a kill does: nothing is removed behind it."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.service, self._patch = service, monkeypatch

    def after(self, cut: Cut, step: str, times: int = 1) -> None:
        """Run a cut until a step was done so many times (rolled back where it was inside a transaction)."""
        real, calls = getattr(Cut, step), Counter[str]()

        def then_killed(mine: Cut, *args: Any, **named: Any) -> Any:
            found = real(mine, *args, **named)
            calls[step] += mine is cut  # and no other, that a worker of the service makes
            if mine is cut and calls[step] == times:
                patch.setattr(cutting.shutil, "rmtree", lambda *_, **__: None)
                raise Killed
            return found

        with self._patch.context() as patch, pytest.raises(Killed):
            patch.setattr(Cut, step, then_killed)
            Cut.run(cut)

    def again(self, cut: Cut) -> tuple[Cut, int]:
        """Another run, as of another process; with how often it selected."""
        selects: list[Any] = []
        select = Cut._select
        with self._patch.context() as patch:
            patch.setattr(Cut, "_select", lambda mine: (selects.append(mine), select(mine))[1])
            next_ = Cut(self.service.runtime, cut.release)
            next_.run()
        return next_, selects.count(next_)


@pytest.fixture
def kill(service: Service, written: list[int], monkeypatch: pytest.MonkeyPatch) -> Killing:
    monkeypatch.setattr(Cut, "_before", lambda *_: [])  # so that what is kept is of the killed run alone
    return Killing(service, monkeypatch)


def noted(service: Service, cut: Cut) -> dict[int, str]:
    """Digests of the files that are noted, by shard."""
    with read(service.runtime.engine) as session:
        return {one.shard: one.sha256 for one in session.execute(sa.select(CutShard).where(CutShard.release_id == cut.release)).scalars()}  # type: ignore[arg-type]


def nothing_noted(service: Service, cut: Cut) -> None:
    with read(service.runtime.engine) as session:
        assert session.get_one(Release, cut.release).selected is None
    assert noted(service, cut) == {}


def files(service: Service, cut: Cut) -> dict[str, tuple[int, int]]:
    """The release's files, each with what changes when it is written again."""
    places = (service.runtime.settings.data_dir / "blobs" / "releases" / cut.release).glob("*")
    return {place.name: (place.stat().st_ino, place.stat().st_mtime_ns) for place in places}


def shard_of(service: Service, cut: Cut, contribution: str) -> tuple[int, str]:
    """Where it lies, with its record id (hex)."""
    query = sa.select(ReleaseItem.shard, ReleaseItem.record_id)  # type: ignore[call-overload]
    with read(service.runtime.engine) as session:
        found = session.execute(query.where(ReleaseItem.release_id == cut.release, ReleaseItem.contribution_id == contribution)).one()
    return found[0], bytes(found[1]).hex()


def all_of(service: Service, cut: Cut) -> Any:
    """What it says and holds, with its tree."""
    return made_of(service, cut), [service.runtime.blobs.get(name) for name in tree.names(cut.release)]


STEPS = {
    "_insert": 1, "_select": 1, "_recover": 1, "_keep": 1, "_note": 2, "_replace": 4, "_build": 1, "_tree": 1, "_publish": 1,
}  # fmt: skip


@pytest.mark.parametrize("form", ["jsonl+zstd", "parquet"])
def test_killed_at_any_step_it_goes_on_with_what_was_finished_and_comes_out_the_same(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int], form: str
) -> None:
    platform.give(RECORDS, consent=CREDITED)
    agreement = agreed(service, platform, lab, bits=2)
    unharmed = all_of(service, run(service, agreement, form))
    for step, times in STEPS.items():
        cut = queued(service, agreement)
        with write(service.runtime.engine) as session:
            session.get_one(Release, cut.release).format = form
        kill.after(cut, step, times)
        finished, before = noted(service, cut), files(service, cut)
        assert len(finished) == {"_insert": 0, "_select": 0, "_recover": 0, "_keep": 1, "_note": 2}.get(step, 4)
        if finished:
            assert lab.sdk.release(cut.release).progress == {"done": len(before), "of": 4}
        written.clear()
        cut, selects = kill.again(cut)
        assert (step, sorted(written), selects) == (step, sorted(set(range(4)) - set(finished)), int(step in ("_insert", "_recover")))
        after = files(service, cut)
        assert {name: after[name] for name in finished.values()} == {name: before[name] for name in finished.values()}
        assert all_of(service, cut) == unharmed, step
        nothing_noted(service, cut)


def test_killed_again_and_again_no_shard_is_written_twice_nor_does_progress_fall_back(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int]
) -> None:
    """Also where two workers take it up at once."""
    platform.give(RECORDS, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=2))
    seen = []
    for _ in range(2):
        kill.after(Cut(service.runtime, cut.release), "_keep")
        seen.append(lab.sdk.release(cut.release).progress)
        # A look at it, as after each erasure, changes nothing.
        Cut(service.runtime, cut.release).tidy()
    assert seen == [{"done": done, "of": 4} for done in (1, 2)]
    files_of_both: list[int] = []
    real, both = cutting.write_shard, threading.Barrier(2)

    def count(session: Any, source: Any, shard: int, *more: Any) -> Any:
        if source.release == cut.release:
            files_of_both.append(shard)
        return real(session, source, shard, *more)

    def work() -> None:
        both.wait()
        Cut(service.runtime, cut.release).run()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(cutting, "write_shard", count)
        for done in [pool.submit(work) for _ in range(2)]:
            done.result(60)
    assert files_of_both == [2, 3]
    assert len(whole(service, cut).rows) == RECORDS


def test_killed_while_it_leaves_out_who_withdrew_it_keeps_no_file_that_holds_them(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int]
) -> None:
    """They are no item any more, so that nobody who looks later finds the file by them."""
    given = platform.give(RECORDS, consent=CREDITED)
    cut, holder = queued(service, agreed(service, platform, lab, bits=2)), service.claim(given[0])
    cut.after_selection.append(once(holder.withdraw))
    kill.after(cut, "_reselect")
    assert len(files(service, cut)) == 4
    completion.complete(service.runtime, holder.erase().id)
    assert set(files(service, cut)) == set(noted(service, cut).values()) and len(noted(service, cut)) == 3
    written.clear()
    cut, selects = kill.again(cut)
    assert (len(written), selects) == (1, 0) and whole(service, cut).contributions == {one.id for one in given[1:]}


@pytest.mark.parametrize("act", ["erased", "withdrawn"])
def test_what_goes_between_the_kill_and_the_next_run_is_in_no_file(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int], act: str
) -> None:
    """An erasure is complete only when no file of the cut that stands still holds it; a withdrawal is seen before anything is written."""
    given = platform.give(RECORDS, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=2))
    kill.after(cut, "_keep", 3)
    finished = noted(service, cut)
    mine = next(one for one in given if shard_of(service, cut, one.id)[0] in finished)
    shard, record = shard_of(service, cut, mine.id)
    if act == "erased":
        completion.complete(service.runtime, service.claim(mine).erase().id)
        assert set(files(service, cut)) == set(noted(service, cut).values()) == set(finished.values()) - {finished[shard]}
    else:
        service.claim(mine).withdraw()
    # And the run that mends it may be killed as well.
    kill.after(Cut(service.runtime, cut.release), "_go_on")
    Cut(service.runtime, cut.release).tidy()
    assert finished[shard] not in files(service, cut)
    written.clear()
    cut, selects = kill.again(cut)
    assert (sorted(written), selects) == ([shard, 3], 0)
    found = whole(service, cut)
    assert found.contributions == {one.id for one in given} - {mine.id} and record not in found.items


def test_on_another_day_all_is_selected_anew_and_files_that_are_the_same_are_kept(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int]
) -> None:
    given = platform.give(RECORDS, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=2))
    kill.after(cut, "_keep", 3)
    finished = noted(service, cut)
    mine = next(one for one in given if shard_of(service, cut, one.id)[0] in finished)
    holder = service.claim(mine)
    shard, _ = shard_of(service, cut, mine.id)
    holder.withdraw()
    service.clock.offset += A_DAY
    written.clear()
    cut, selects = kill.again(cut)
    assert (sorted(written), selects) == ([shard, 3], 1)
    assert whole(service, cut).contributions == {one.id for one in given} - {mine.id}


def test_files_of_a_selection_before_are_given_up_where_somebody_is_erased(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who left before the selection that is made now is no item of it, and by that is not found: nobody has seen yet what the files hold."""
    given = platform.give(RECORDS, consent=CREDITED)
    cut, left = queued(service, agreed(service, platform, lab, bits=2)), given.pop()
    holder = service.claim(left)
    kill.after(cut, "_build")
    service.clock.offset += A_DAY
    with monkeypatch.context() as patch:
        select = Cut._select
        patch.setattr(Cut, "_select", lambda mine: (holder.withdraw(), select(mine))[1])
        kill.after(Cut(service.runtime, cut.release), "_select")
    assert len(files(service, cut)) == 4 and left.id not in outcome(service, cut.release).items.values()
    completion.complete(service.runtime, holder.erase().id)
    assert files(service, cut) == {}
    cut, selects = kill.again(cut)
    assert selects == 0 and whole(service, cut).contributions == {one.id for one in given}


def test_for_other_facts_of_the_lab_all_is_selected_anew(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int]
) -> None:
    platform.give(12, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=1))
    kill.after(cut, "_build")
    with write(service.runtime.engine) as session:
        session.get_one(Lab, lab.id).seat = "CH"
    assert kill.again(cut)[1] == 1
    whole(service, cut)


def test_killed_while_it_mends_it_loses_no_record(service: Service, platform: PlatformParty, lab: LabParty, kill: Killing) -> None:
    """Of who takes it back from another lab the record stays; of who takes it back from all it goes."""
    given = platform.give(12, consent=CREDITED)
    agreement, other = agreed(service, platform, lab, bits=1), service.lab()
    for one, times, stays in ((given[0], 2, True), (given[1], 2, False)):
        cut, holder = queued(service, agreement), service.claim(one)
        act: Callable[[], Any] = (lambda h=holder: h.withdraw("lab", lab=other.id)) if stays else holder.withdraw  # type: ignore[misc]
        cut.after_selection.append(once(act))
        kill.after(cut, "_items", times)
        cut, selects = kill.again(cut)
        assert selects == 0 and (one.id in whole(service, cut).contributions) == stays
    assert len(whole(service, cut).contributions) == 11


@pytest.mark.parametrize("end", ["cancelled", "failed", "stopped"])
def test_of_a_killed_cut_that_is_given_up_nothing_stays(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, end: str
) -> None:
    platform.give(RECORDS, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=2))
    kill.after(cut, "_keep", 2)
    assert len(files(service, cut)) == 2
    if end == "failed":
        releases.fail(service.runtime, cut.release)
    else:
        if end == "cancelled":
            lab.sdk.cancel(cut.release)
        else:
            with write(service.runtime.engine) as session:
                session.get_one(Lab, lab.id).blocked_at = service.clock.now()
        Cut(service.runtime, cut.release).run()
    found = outcome(service, cut.release)
    assert (found.state, found.leaves, found.items) == ("failed" if end == "failed" else "cancelled", [], {})
    assert files(service, cut) == {} and not list((service.runtime.settings.data_dir / "work").glob(cut.release + "*"))
    nothing_noted(service, cut)


def test_a_file_that_was_noted_and_is_not_there_or_not_whole_is_written_again(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, written: list[int]
) -> None:
    platform.give(RECORDS, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=2))
    kill.after(cut, "_keep", 3)
    finished = noted(service, cut)
    service.runtime.blobs.delete(blob_name(cut.release, finished[0]))
    service.runtime.blobs.put(blob_name(cut.release, finished[1]), b"half")
    written.clear()
    cut, _ = kill.again(cut)
    assert sorted(written) == [0, 1, 3] and len(whole(service, cut).rows) == RECORDS


@pytest.mark.parametrize(("step", "times", "stand"), [("_kept", 3, 2), ("_note", 1, 2), ("_replace", 3, 2), ("_build", 1, 4)])
def test_killed_while_it_keeps_files_of_the_release_before_it_keeps_them_again(
    service: Service, platform: PlatformParty, lab: LabParty, written: list[int], monkeypatch: pytest.MonkeyPatch, step: str, times: int, stand: int
) -> None:
    """Also where what was noted does not hold any more, and a file does of a release that was cut meanwhile."""
    monkeypatch.setattr(resuming, "_AT_ONCE", 2)
    kill = Killing(service, monkeypatch)
    platform.give(RECORDS, consent=CREDITED)
    agreement = agreed(service, platform, lab, bits=2)
    before = all_of(service, run(service, agreement))
    written.clear()
    cut = queued(service, agreement)
    kill.after(cut, step, times)
    assert len(noted(service, cut)) == stand and not written
    Cut(service.runtime, cut.release).tidy()
    assert set(files(service, cut)) == set(noted(service, cut).values()), "what was copied and not noted is no file of it"
    if later := step == "_build":
        platform.give(1, consent=CREDITED)
        before = all_of(service, run(service, agreement))
        service.clock.offset += A_DAY
    written.clear()
    cut, selects = kill.again(cut)
    assert (written, selects, len(whole(service, cut).rows)) == ([], int(later), RECORDS + later)
    assert all_of(service, cut) == before


def test_after_a_restore_a_killed_cut_is_selected_anew(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing
) -> None:
    """What cannot be opened any more is erased, and no narrowing tells of it."""
    given = platform.give(12, consent=CREDITED)
    cut = queued(service, agreed(service, platform, lab, bits=1))
    kill.after(cut, "_build")
    with write(service.runtime.engine) as session:
        owner = sa.select(Contribution.contributor_id).where(Contribution.id == given[0].id)  # type: ignore[call-overload]
        session.execute(sa.update(DataKey).where(DataKey.contributor_id.in_(owner)).values(epoch=1_000_000))  # type: ignore[attr-defined]
    assert restore(service.runtime, service.clock.now()).unreadable == 1
    cut, selects = kill.again(cut)
    assert selects == 1 and whole(service, cut).contributions == {one.id for one in given[1:]}
