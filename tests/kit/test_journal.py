"""The second place by itself: whole lines or none, whoever dies where, and nothing taken for what it is not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.kit import journal as journal_module
from app.kit.db import make_engine
from app.kit.errors import Unavailable
from app.kit.journal import Journal, JournalDamaged, keep_policy, note
from tests.support import ROOT


def lines(directory: Path) -> list[Any]:
    return [line["act"] for line in Journal(directory).lines()]


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([{"act": "a", "of": ["con_1"]}, {"act": "b\n\u2028"}])
    journal.append([{"act": "c"}])
    assert lines(tmp_path / "j") == ["a", "b\n\u2028", "c"]
    assert Journal(tmp_path / "j").identity == journal.identity != Journal(tmp_path / "other").identity
    assert (tmp_path / "j").stat().st_mode & 0o077 == 0 and (tmp_path / "j" / "narrowing.log").stat().st_mode & 0o077 == 0


def test_a_line_torn_at_any_byte_was_never_there_and_the_next_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([{"act": "first"}])
    whole = (tmp_path / "narrowing.log").read_bytes()
    journal.append([{"act": "second"}])
    both = (tmp_path / "narrowing.log").read_bytes()
    for length in range(len(both)):
        (tmp_path / "narrowing.log").write_bytes(both[:length])
        assert lines(tmp_path) == (["first"] if length >= len(whole) else [])
        Journal(tmp_path).append([{"act": "third"}])
        assert lines(tmp_path) == (["first", "third"] if length >= len(whole) else ["third"])


def test_every_changed_byte_of_a_whole_line_is_noticed(tmp_path: Path) -> None:
    Journal(tmp_path).append([{"act": "first", "of": ["con_1"]}, {"act": "last"}])
    path = tmp_path / "narrowing.log"
    whole = path.read_bytes()
    first = whole.index(b"\n")
    for at in range(first):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(JournalDamaged):
            Journal(tmp_path).lines()


@pytest.mark.parametrize("failing", ["write", "fsync"])
def test_a_full_disk_leaves_no_line_and_is_got_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    journal = Journal(tmp_path)
    journal.append([{"act": "before"}])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(journal_module.os, "fsync", full)
    else:
        real = journal_module._put

        def half(file: Any, at: int, data: bytes) -> None:
            real(file, at, data[: len(data) // 2])
            full()

        monkeypatch.setattr(journal_module, "_put", half)
    with pytest.raises(OSError, match="No space"):
        journal.append([{"act": "x" * 100}])
    monkeypatch.undo()
    assert lines(tmp_path) == ["before"]
    journal.append([{"act": "after"}])
    assert lines(tmp_path) == ["before", "after"]


def test_processes_that_write_at_once_tear_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from app.kit.journal import Journal; j = Journal(Path(sys.argv[1]))\n"
        "for n in range(40): j.append([{'act': sys.argv[2] + str(n), 'pad': 'x' * n * 50}])"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT) for name in "abc"]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = lines(tmp_path)
    assert len(found) == 120
    for name in "abc":
        assert [act for act in found if act[0] == name] == [f"{name}{n}" for n in range(40)]


# -- leaves and checkpoints ----------------------------------------------------------------------------------------------
def test_leaves_are_kept_once_by_whoever_comes_first(tmp_path: Path) -> None:
    all_leaves = [b"leaf %d" % n * (n % 7) for n in range(300)]
    asked: list[tuple[int, int]] = []

    def give(start: int, end: int) -> list[bytes]:
        asked.append((start, end))
        return all_leaves[start:end]

    one, two = Journal(tmp_path), Journal(tmp_path)
    one.keep_leaves(100, give)
    two.keep_leaves(100, give)
    two.keep_leaves(300, give)
    one.keep_leaves(250, give)
    assert asked == [(0, 100), (100, 300)] and one.kept() == 300
    assert list(one.leaves()) == all_leaves and list(two.leaves(299)) == all_leaves[299:] and list(one.leaves(300)) == []


def test_leaves_torn_at_any_byte_are_kept_anew(tmp_path: Path) -> None:
    all_leaves = [b"one", b"", b"three"]
    Journal(tmp_path).keep_leaves(3, lambda a, b: all_leaves[a:b])
    whole = (tmp_path / "leaves.bin").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "leaves.bin").write_bytes(whole[:length])
        journal = Journal(tmp_path)
        assert list(journal.leaves()) == all_leaves[: journal.kept()]
        journal.keep_leaves(3, lambda a, b: all_leaves[a:b])
        assert (tmp_path / "leaves.bin").read_bytes() == whole


def test_fewer_leaves_than_before_are_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.keep_leaves(3, lambda a, b: [b"x"] * (b - a))
    (tmp_path / "leaves.bin").write_bytes(b"")
    with pytest.raises(JournalDamaged):
        journal.kept()


def test_an_older_checkpoint_never_replaces_a_newer(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.checkpoint() is None
    for size in (5, 3, 5, 9, 7):
        Journal(tmp_path).keep_checkpoint(f"origin\n{size}\nroot\n", size)
    assert journal.checkpoint() == "origin\n9\nroot\n"


# -- in a transaction ------------------------------------------------------------------------------------------------------
def test_a_line_is_on_disk_before_the_commit_and_only_for_a_transaction_that_commits(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}")
    engine.sayso_journal = Journal(tmp_path / "j")  # type: ignore[attr-defined]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER UNIQUE)")

    def act(name: str, number: int, fail: bool = False) -> None:
        with Session(engine) as session, session.begin():
            session.connection().exec_driver_sql(f"INSERT INTO t VALUES ({number})")
            note(session, {"act": name})
            keep_policy(session, "ab" * 32, b"{}")
            with session.begin_nested():
                pass  # a savepoint's end writes nothing
            assert name not in lines(tmp_path / "j")
            if fail:
                raise KeyError

    act("one", 1)
    with pytest.raises(KeyError):
        act("two", 2, fail=True)
    act("three", 3)
    assert lines(tmp_path / "j") == ["one", "three"]
    assert Journal(tmp_path / "j").policy("ab" * 32) == b"{}" and Journal(tmp_path / "j").policy("cd" * 32) is None


def test_an_act_that_cannot_be_noted_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'x.db'}")
    journal = engine.sayso_journal = Journal(tmp_path / "j")  # type: ignore[attr-defined]
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER)")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "append", full)
    with pytest.raises(Unavailable) as refusal, Session(engine) as session, session.begin():
        session.connection().exec_driver_sql("INSERT INTO t VALUES (1)")
        note(session, {"act": "x"})
    assert refusal.value.code == "journal_unavailable"
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 0
    assert lines(tmp_path / "j") == []


def test_leaves_are_asked_for_while_others_may_write(tmp_path: Path) -> None:
    """Whoever holds the log's head writes a line and waits for the lock: it is not held while the database is asked."""
    one, two = Journal(tmp_path), Journal(tmp_path)

    def give(start: int, end: int) -> list[bytes]:
        two.append([{"v": 1, "act": f"a{start}", "kind": "settled"}])
        if start == 0:
            two.keep_leaves(5, lambda a, b: [b"leaf %d" % n for n in range(a, b)])  # another process was quicker
        return [b"leaf %d" % n for n in range(start, end)]

    one.keep_leaves(10, give)
    assert list(Journal(tmp_path).leaves()) == [b"leaf %d" % n for n in range(10)]
    assert [line["act"] for line in one.lines()] == ["a0", "a5"]
