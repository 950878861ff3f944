"""A run that lost the lock of its cut and lives on, as where the connection ends that held it."""

from contextlib import nullcontext
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
