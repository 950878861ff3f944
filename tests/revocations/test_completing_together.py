"""What is slow for one erasure is done once for all that wait."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import select

from app.kit.db import read, write
from app.kit.ids import new_id
from app.kit.runtime import Runtime
from app.log.models import LogEntry
from app.releases.models import Release
from app.revocations import completion
from app.revocations.models import Erasure
from tests.faults.cuts import receipt_for_all
from tests.support import LabParty, PlatformParty, Service


def _row(service: Service, erasure: Any) -> Erasure:
    with read(service.runtime.engine) as session:
        return session.get_one(Erasure, erasure.id)


def test_whoever_waits_is_completed_together_with_the_first_whose_turn_it_is(
    service: Service, platform: PlatformParty, lab: LabParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one of them is hindered by hinders no other; who waits for a cut is not waited for."""
    erased: dict[str, Any] = {}
    platform.give(1)
    common = {"agreement_id": lab.agree(platform).id, "requested_at": service.clock.now()}
    over, cutting = (Release(id=new_id("release"), state=state, **common) for state in ("failed", "cutting"))
    with write(service.runtime.engine) as session:
        session.add_all([over, cutting])
    monkeypatch.setattr(service.runtime.jobs, "enqueue", lambda *_, **__: None)
    for name in ("first", "second", "hindered", "everything", "cut"):
        given, _ = platform.give(2, contributor=f"{name} of many")
        holder = receipt_for_all(service, platform, f"{name} of many")
        erased[name] = holder.erase("all") if name == "everything" else holder.erase(contribution=given.id)
    rows = {name: _row(service, one) for name, one in erased.items()}
    with write(service.runtime.engine) as session:
        session.execute(sa.update(Erasure).where(Erasure.id == erased["cut"].id).values(cuts=[over.id, cutting.id]))  # type: ignore[arg-type]
        session.execute(sa.update(Erasure).where(Erasure.id == erased["second"].id).values(cuts=[over.id]))  # type: ignore[arg-type]
    replaced: list[str] = []
    scrubbed: list[int] = []
    replace_key, scrub = completion.replace_key, completion._scrub

    def replaces(runtime: Runtime, contributor: str) -> None:
        if contributor == rows["hindered"].contributor_id:
            raise OSError("of this one alone")
        replaced.append(contributor)
        replace_key(runtime, contributor)

    def scrubs(runtime: Runtime, attempts: int) -> bool:
        scrubbed.append(attempts)
        return len(scrubbed) > 1 and scrub(runtime, attempts)

    monkeypatch.setattr(completion, "replace_key", replaces)
    monkeypatch.setattr(completion, "_scrub", scrubs)

    def states() -> dict[str, str]:
        return {name: _row(service, one).state for name, one in erased.items()}

    completion.complete(service.runtime, erased["first"].id)
    assert set(states().values()) == {"requested"} and _row(service, erased["second"]).attempts == 0, "the database did not let go"
    acts = [partial(completion.complete, service.runtime, erased[name].id) for name in ("second", "first", "everything")]
    with ThreadPoolExecutor(len(acts)) as pool:
        assert [one.result(timeout=60) for one in [pool.submit(act) for act in acts]] == [None] * 3
    assert states() == {"first": "completed", "second": "completed", "everything": "completed", "hindered": "requested", "cut": "requested"}
    mine = {rows[name].contributor_id: name for name in rows}
    assert sorted(mine[one] for one in replaced if one in mine) == ["first", "second"], "once each"
    with pytest.raises(OSError, match="this one"):
        completion.complete(service.runtime, erased["hindered"].id)
    with read(service.runtime.engine) as session:
        said = [_row(service, erased[name]) for name in ("first", "second", "everything")]
        for row in said:
            entry = session.exec(select(LogEntry).where(LogEntry.log_index == row.completed_index)).one()
            assert (entry.subject, entry.type) == (row.id, "erasure.completed")
    monkeypatch.undo()
    with write(service.runtime.engine) as session:
        session.get_one(Release, cutting.id).state = "failed"
    completion.complete(service.runtime, erased["hindered"].id)
    assert set(states().values()) == {"completed"}
