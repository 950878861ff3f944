"""Items that are too many to hold wait in a file, come out in the order of their key, and nothing of them stays."""

import random
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.kit.db import read
from app.releases import sorting
from app.releases.models import ReleaseItem
from app.releases.sorting import Sorter
from tests.faults.cuts import outcome, queued
from tests.support import LabParty, PlatformParty, Service


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 30, 95])
def test_they_come_out_in_order_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(sorting, "HELD", 9)
    rng = random.Random(count)
    items = [("rel", rng.randbytes(4), f"c{n}", 3, n, 0, 0) for n in range(count)]
    sorter = Sorter(tmp_path / "work" / "aside")
    for start in range(0, count, 5):
        sorter.add(items[start : start + 5])
    assert (tmp_path / "work" / "aside").exists() == (count > 9) and sorter.size == count
    pieces = [[tuple(one) for one in some] for some in sorter.sorted(7)]
    assert [one for some in pieces for one in some] == sorted(items) and all(len(some) == 7 for some in pieces[:-1])
    sorter.close()
    assert not list(tmp_path.rglob("aside*"))


def test_a_release_of_more_than_are_held_is_the_same(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {one.id for one in platform.give(23)}
    agreement = lab.agree(platform)
    monkeypatch.setattr(sorting, "HELD", 4)
    monkeypatch.setattr("app.releases.items.CHUNK", 5)
    cut, written = queued(service, agreement), list[bytes]()
    insert = cut._insert

    def noted(items: Any) -> None:
        written.extend(item[1] for item in items)
        insert(items)

    monkeypatch.setattr(cut, "_insert", noted)
    cut.run()
    assert len(written) == 23 and written == sorted(written), "all over the release in the order of the key, and not as they were read"
    found = outcome(service, cut.release)
    assert found.contributions == given
    with read(service.runtime.engine) as session:
        items = sa.select(sa.func.count()).select_from(ReleaseItem).where(ReleaseItem.release_id == cut.release)  # type: ignore[arg-type]
        assert session.execute(items).scalar_one() == 23
    assert not list((service.runtime.settings.data_dir / "work").iterdir()), "nothing waits there any more"
