"""A database that was set back while leaves were not kept yet: `restore` opens it, once, and what is set back after it is noticed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.kit.db import is_sqlite, read, write
from app.kit.ids import new_id
from app.kit.jobs import Jobs
from app.kit.migrate import upgrade
from app.kit.runtime import Runtime
from app.log import guard
from app.log import service as log
from app.log.check import check
from app.log.models import Checkpoint, LogEntry, LogHead
from app.log.publisher import Publisher
from app.main import make_runtime
from app.parties import service as parties
from app.parties.models import Lab
from app.revocations.replay import finish
from app.revocations.restore import restore
from tests.support import resting
from tests.support import test_settings as settings_of

_ENTRY = LogEntry.__table__  # type: ignore[attr-defined]
_HEAD = LogHead.__table__  # type: ignore[attr-defined]
LAB = new_id("lab")


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    """A service at rest, whose log has 100 leaves that are published; nothing publishes by itself."""
    settings = settings_of(tmp_path, database_url)
    with resting():
        if database_url:
            Jobs(settings).prepare()
        found = make_runtime(settings)
        if is_sqlite(found.engine):
            upgrade(found.settings.database)
        assert guard.set_back(found) is None
        with write(found.engine) as session:
            session.execute(sa.insert(Lab.__table__), _lab(LAB, found))  # type: ignore[attr-defined]
        grow(found, 100)
        Publisher(found).publish()
        assert found.journal.kept() == 100
        yield found
        found.engine.dispose()


def _lab(id_: str, runtime: Runtime) -> dict[str, Any]:
    now = runtime.clock.now()
    return {
        "id": id_, "legal_name": "Lab", "kind": "academic", "seat": "NL", "evidence": "seen", "verified_at": now, "verified_until": now,
        "created_at": now,
    }  # fmt: skip


def grow(runtime: Runtime, n: int) -> None:
    now = runtime.clock.now()
    with write(runtime.engine) as session:
        log.append(session, [log.institutional("admin.tested", f"adm_{i}", {"n": i}, now) for i in range(n)], now)


def block(runtime: Runtime) -> None:
    """An act that narrows, as any other: noted, then committed."""
    with write(runtime.engine) as session:
        parties.block_lab(session, LAB, "tried", now=runtime.clock.now())


def blocked(runtime: Runtime) -> bool:
    with read(runtime.engine) as session:
        return session.get_one(Lab, LAB).blocked_at is not None


def size(runtime: Runtime) -> int:
    with read(runtime.engine) as session:
        return log.size(session)


def types(runtime: Runtime, start: int) -> list[str]:
    with read(runtime.engine) as session:
        return list(session.execute(sa.select(_ENTRY.c.type).where(_ENTRY.c.log_index >= start).order_by(_ENTRY.c.log_index)).scalars())


def copy(runtime: Runtime) -> Any:
    with read(runtime.engine) as session:
        head = dict(session.execute(sa.select(_HEAD)).one()._mapping)
        return head, [dict(row._mapping) for row in session.execute(sa.select(_ENTRY))], blocked(runtime)


def put_back(runtime: Runtime, kept: Any) -> None:
    """The database as it was when `copy` was made."""
    head, entries, closed = kept
    with write(runtime.engine) as session:
        session.execute(sa.delete(_ENTRY))
        session.execute(sa.insert(_ENTRY), entries)
        session.execute(sa.update(_HEAD).values(**head))
        session.execute(sa.delete(Checkpoint).where(Checkpoint.size > head["size"]))  # type: ignore[arg-type]
        session.execute(sa.update(Lab).values(blocked_at=runtime.clock.now() if closed else None))


def set_back_with_the_last_moment_lost(runtime: Runtime, lost: int = 5) -> Any:
    """100 leaves are kept; as many more and an act that narrows were committed and not published. Gives the history that was lost."""
    before = copy(runtime)
    grow(runtime, lost)
    block(runtime)
    assert guard.set_back(runtime) is None and runtime.journal.lines()[-1]["seq"] == 100 + lost
    last = copy(runtime)
    put_back(runtime, before)
    return last


def opened(runtime: Runtime) -> None:
    assert guard.set_back(runtime) is None
    assert Publisher(runtime).publish() == size(runtime) and check(runtime) == []


@pytest.mark.parametrize("lost", [5, 900])
def test_one_restore_opens_it_though_leaves_of_the_last_moment_are_lost(runtime: Runtime, lost: int) -> None:
    set_back_with_the_last_moment_lost(runtime, lost)
    assert "behind" in str(guard.set_back(runtime))
    guard.freeze(runtime)  # as the start does
    done = restore(runtime, runtime.clock.now())
    assert (done.size, done.adopted, done.done) == (100, 0, 1) and blocked(runtime)
    opened(runtime)
    assert types(runtime, 100) == ["admin.restored", "admin.lab-blocked"]
    again = restore(runtime, runtime.clock.now())
    assert (again.done, size(runtime)) == (0, 102), "nothing more to be done, and no leaf for that"


def test_a_restore_before_any_start_knows_by_the_lines_alone_that_it_was_set_back(runtime: Runtime) -> None:
    set_back_with_the_last_moment_lost(runtime)
    done = restore(runtime, runtime.clock.now())
    assert done.done == 1 and types(runtime, 100) == ["admin.restored", "admin.lab-blocked"]
    opened(runtime)


def test_what_is_set_back_after_a_restore_is_noticed(runtime: Runtime) -> None:
    set_back_with_the_last_moment_lost(runtime)
    restore(runtime, runtime.clock.now())
    after = copy(runtime)
    with write(runtime.engine) as session:
        parties.unblock_lab(session, LAB, now=runtime.clock.now())
    grow(runtime, 1)
    block(runtime)  # at 104, below the line of the history that was lost, which says 105
    assert runtime.journal.lines()[-1]["seq"] == 104 and guard.set_back(runtime) is None
    put_back(runtime, after)
    assert "behind" in str(guard.set_back(runtime))
    restore(runtime, runtime.clock.now())
    opened(runtime)


def test_what_is_set_back_to_before_a_restore_is_noticed_and_opened(runtime: Runtime) -> None:
    before = copy(runtime)
    last = set_back_with_the_last_moment_lost(runtime)
    restore(runtime, runtime.clock.now())
    put_back(runtime, before)
    assert "behind" in str(guard.set_back(runtime))
    restore(runtime, runtime.clock.now())
    assert blocked(runtime) and guard.set_back(runtime) is None
    # The history that was given up, found again: long enough for every line, and yet not where the restore went on from.
    put_back(runtime, last)
    assert "behind" in str(guard.set_back(runtime))
    restore(runtime, runtime.clock.now())
    opened(runtime)


def test_a_restore_that_died_between_its_line_and_its_leaf_is_run_again(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    set_back_with_the_last_moment_lost(runtime)
    real = runtime.journal.append

    def dies(lines: list[Any]) -> None:
        real(lines)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runtime.journal, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            restore(runtime, runtime.clock.now())
    assert size(runtime) == 100 and "behind" in str(guard.set_back(runtime))
    restore(runtime, runtime.clock.now())
    assert types(runtime, 100) == ["admin.restored", "admin.lab-blocked"] and finish(runtime) == 0
    opened(runtime)


def test_an_act_that_could_not_be_done_again_is_overtaken_by_one_after_the_restore(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the index of that one is below the index that the line names."""
    from app.kit.errors import Unavailable
    from app.revocations import replay

    set_back_with_the_last_moment_lost(runtime)

    def cannot(*_: Any) -> None:
        raise Unavailable("unavailable", "Not now.", retry_after=1)

    with monkeypatch.context() as patch:
        patch.setattr(replay, "again", cannot)
        assert restore(runtime, runtime.clock.now()).done == 0
    block(runtime)
    with write(runtime.engine) as session:
        parties.unblock_lab(session, LAB, now=runtime.clock.now())
    assert size(runtime) == 103
    assert finish(runtime) == 1
    assert not blocked(runtime), "the operator let the lab go on after the line"


def test_a_process_that_still_serves_signs_for_more_meanwhile(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is wrong with a checkpoint over leaves that were kept after they were counted."""
    block(runtime)
    journal = runtime.journal
    count = journal.kept

    def counted() -> int:
        found = count()
        monkeypatch.setattr(journal, "kept", count)
        grow(runtime, 5)
        Publisher(runtime).publish()
        return found

    monkeypatch.setattr(journal, "kept", counted)
    assert restore(runtime, runtime.clock.now()).adopted == 0
    assert journal.kept() == size(runtime) > 105, "it was so"
