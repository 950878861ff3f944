"""A run that lost the lock of its cut and lives on, as where the connection ends that held it."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from app.releases import cutting, tree
from app.releases.cutting import Cut
from app.revocations import completion
from tests.faults.cuts import once, queued, whole
from tests.releases.test_kept import CREDITED, agreed, written
from tests.releases.test_resuming import Killing, files, kill, noted
from tests.support import LabParty, PlatformParty, Service

__all__ = ["kill", "written"]


def test_a_run_that_lost_its_lock_publishes_nothing_of_its_own_where_another_has_begun(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other left out is no item any more: by its items the first could not know."""
    given = platform.give(12, consent=CREDITED)
    first, holder = queued(service, agreed(service, platform, lab, bits=1)), service.claim(given[0])

    def taken_over() -> None:
        other = Cut(service.runtime, first.release)
        other.after_selection.append(once(holder.withdraw))
        kill.after(other, "_reselect")

    begun: list[bool] = []
    recover = Cut._recover

    def recovers(mine: Cut) -> None:
        if mine.release == first.release:  # a job cuts what follows the withdrawal meanwhile
            begun.append(mine is not first or set(files(service, first)) == set(noted(service, first).values()))
        recover(mine)

    first.after_selection.append(once(taken_over))
    with monkeypatch.context() as patch:
        patch.setattr(cutting, "exclusive", lambda *_: nullcontext())
        patch.setattr(Cut, "_recover", recovers)
        first.run()
    # It waits for the other, finds it killed, and goes on where that one was: with what that one noted, and nothing of its own.
    assert whole(service, first).contributions == {one.id for one in given[1:]}
    assert begun == [True] * 3


def test_a_run_that_lost_its_lock_stores_nothing_after_another_published_or_an_erasure_was_complete(
    service: Service, platform: PlatformParty, lab: LabParty, kill: Killing, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = platform.give(12, consent=CREDITED)
    agreement = agreed(service, platform, lab, bits=1)
    first = queued(service, agreement)
    trees = [service.runtime.settings.data_dir / "blobs" / name for name in tree.names(first.release)]
    seen: list[Any] = []

    def published() -> None:
        Cut(service.runtime, first.release).run()
        seen.append([place.stat().st_mtime_ns for place in trees])

    first.after_selection.append(once(published))
    second, holder = queued(service, agreement), service.claim(given[0])
    keep, erase = Cut._keep, once(lambda: completion.complete(service.runtime, holder.erase().id))

    def keeps(mine: Cut, built: Any) -> None:
        if mine is not second:
            return keep(mine, built)
        erase()
        try:
            keep(mine, built)
        finally:
            seen.append(files(service, second))

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "exclusive", lambda *_: nullcontext())
        first.run()
        assert [place.stat().st_mtime_ns for place in trees] == seen.pop() and len(whole(service, first).rows) == 12
        patch.setattr(Cut, "_keep", keeps)
        second.run()
    assert seen[0] == {} and whole(service, second).contributions == {one.id for one in given[1:]}


@pytest.mark.parametrize("other", ["has published", "is about to publish"])
def test_a_tree_that_was_stored_over_another_runs_is_made_again(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: str
) -> None:
    """Between a run's last look and the file that it stores another may begin, and publish before or after that file."""
    given = platform.give(12, consent=CREDITED)
    first, holder = queued(service, agreed(service, platform, lab, bits=1)), service.claim(given[0])
    first._work = tmp_path  # on another machine than the one that takes over
    places = [service.runtime.settings.data_dir / "blobs" / name for name in tree.names(first.release)]
    taken, stored, may = threading.Event(), threading.Event(), threading.Event()
    theirs: list[list[bytes]] = []
    ours: list[list[bytes]] = []
    keep_tree, finish, clear, put_file = Cut._tree, Cut._finish, Cut._clear, type(service.runtime.blobs).put_file

    def takes_over() -> None:
        holder.withdraw()
        Cut(service.runtime, first.release).run()

    def trees(mine: Cut) -> tuple[int, str]:
        found = keep_tree(mine)
        if mine is not first and mine.release == first.release:  # a job cuts what follows the withdrawal meanwhile
            theirs.append([place.read_bytes() for place in places])
            stored.set()
            assert may.wait(60)
        return found

    def puts(blobs: Any, name: str, path: Path) -> None:
        if name.startswith("trees/") and path.parent == tmp_path and not taken.is_set():
            taken.set()
            second.append(pool.submit(takes_over))
            assert stored.wait(60)
            if other == "has published":
                ends()
        put_file(blobs, name, path)

    def ends() -> None:
        may.set()
        second[0].result(timeout=60)

    def finishes(mine: Cut, directory: Any) -> Any:
        try:
            return finish(mine, directory)
        finally:
            if mine is first:
                ours.append([place.read_bytes() for place in places])

    def clears(mine: Cut) -> None:
        if mine is first:
            ends()
        clear(mine)

    second: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patch:
        patch.setattr(cutting, "exclusive", lambda *_: nullcontext())
        patch.setattr(type(service.runtime.blobs), "put_file", puts)
        for name, act in {"_tree": trees, "_finish": finishes, "_clear": clears}.items():
            patch.setattr(Cut, name, act)
        first.run()
    assert ours[0] != theirs[0] and len(theirs) == 1, "this one's stood there"
    assert [place.read_bytes() for place in places] == theirs[0]
    assert whole(service, first).contributions == {one.id for one in given[1:]}
