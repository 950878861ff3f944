"""Local blobs: on disk with their names before a put returns, whole or not there. Those of a bucket: with their headers."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from app.kit.blobs import PRIVATE, BlobNotFound, Blobs


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and named in the test's own directory, in its order: a service that runs beside it writes too."""
    order: list[str] = []
    sync, name = os.fsync, os.replace

    def fsync(file: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        if tmp_path in path.parents:
            order.append(f"sync {path.name.partition('#')[0]}")
        sync(file)

    def replace(source: Any, target: Any) -> None:
        if tmp_path in Path(target).parents:
            order.append(f"name {Path(target).name}")
        name(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return order


def test_a_blob_is_synced_then_named_and_its_name_synced(tmp_path: Path, told: list[str]) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("log/tile/one", b"x")
    assert told[:2] == ["sync one", "name one"] and sorted(told[2:]) == ["sync blobs", "sync log", "sync tile"]
    told.clear()
    blobs.put_all([("log/tile/two", b"x"), ("log/tile/three", b"y")])
    assert told == ["sync two", "name two", "sync three", "name three", "sync tile"], "the directory once for both"
    told.clear()
    blobs.put_all((f"log/tile/{n}", b"%d" % n) for n in range(40))
    assert told[-1] == "sync tile" and len(told) == 81, "written at once, the directory once for all and last"
    assert all(told.index(f"sync {n}") < told.index(f"name {n}") and blobs.get(f"log/tile/{n}") == b"%d" % n for n in range(40))
    told.clear()
    source = tmp_path / "shard"
    source.write_bytes(b"z" * 3_000_000)
    blobs.put_file("log/tile/four", source)
    assert told == ["sync four", "name four", "sync tile"]
    assert blobs.get("log/tile/four") == b"z" * 3_000_000 and blobs.get("log/tile/three") == b"y"


def test_what_a_try_before_made_is_synced_too(tmp_path: Path, told: list[str]) -> None:
    """Its directories are there already, and nobody need have synced their names: it raised, or its process was killed."""

    def files() -> Iterator[tuple[str, bytes]]:
        yield from ((f"log/tile/{n}", b"x") for n in range(40))
        raise ValueError

    with pytest.raises(ValueError):
        Blobs.at("", tmp_path).put_all(files())
    assert sorted(told[-3:]) == ["sync blobs", "sync log", "sync tile"], "what is there is so for good"
    told.clear()
    after = Blobs.at("", tmp_path)
    after.put("log/tile/one", b"x")
    assert sorted(told[2:]) == ["sync blobs", "sync log", "sync tile"], "once for each process"
    after.put("log/tile/two", b"x")
    assert told[5:] == ["sync two", "name two", "sync tile"]


def test_one_that_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("a", b"before")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        blobs.put("a", b"after")
    with pytest.raises(OSError):
        blobs.put("b", b"after")
    with pytest.raises(OSError):
        blobs.put_all((f"many/{n}", b"after") for n in range(40))
    assert blobs.get("a") == b"before" and list(blobs.names("")) == ["a"]
    with pytest.raises(BlobNotFound):
        blobs.get("b")


# -- a bucket ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("many", [1, 40])
def test_a_bucket_is_told_what_it_shall_send_with_each(tmp_path: Path, many: int) -> None:
    store = MemoryStore()
    blobs = Blobs(store)
    public = {"Content-Type": "text/plain", "Cache-Control": "max-age=1"}
    files = {f"log/{n}": b"%d" % n for n in range(many)}
    blobs.put_all(files.items(), public)
    source = tmp_path / "shard"
    source.write_bytes(b"z" * 100)
    blobs.put_file("releases/one", source)
    blobs.put("work", b"x")
    assert {name: blobs.get(name) for name in blobs.names("log/")} == files
    assert all(dict(obstore.get(store, name).attributes) == public for name in files)
    for name in ("releases/one", "work"):
        assert dict(obstore.get(store, name).attributes) == PRIVATE, "unless it is said to be for everybody"
    assert blobs.size("releases/one") == 100 and blobs.read("releases/one", 10, 13) == b"zzz"
    blobs.delete("work")
    blobs.delete("work")
    for read in (blobs.get, blobs.size, lambda name: blobs.read(name, 0, 1)):
        with pytest.raises(BlobNotFound):
            read("work")


def test_a_directory_by_its_address_keeps_no_headers(tmp_path: Path) -> None:
    blobs = Blobs(LocalStore(tmp_path))
    blobs.put("log/one", b"x", {"Content-Type": "text/plain"})
    assert blobs.get("log/one") == b"x" == (tmp_path / "log" / "one").read_bytes()


@pytest.mark.parametrize("kind", ["directory", "directory without links", "bucket"])
def test_a_second_name_is_a_blob_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    blobs = Blobs(MemoryStore()) if kind == "bucket" else Blobs.at("", tmp_path)
    if kind == "directory without links":
        monkeypatch.setattr(os, "link", lambda source, target: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    blobs.put("releases/a/one", b"x" * 1000)
    for _ in range(2):  # and again, as after a kill
        blobs.copy("releases/a/one", "releases/b/one")
    assert sorted(blobs.names("releases")) == ["releases/a/one", "releases/b/one"]
    left = [path.name for path in (tmp_path / "blobs").rglob("*#*")] if kind != "bucket" else []
    assert left == [] and blobs.get("releases/b/one") == b"x" * 1000
    blobs.put("releases/a/one", b"y")
    assert blobs.get("releases/b/one") == b"x" * 1000
    blobs.delete("releases/a/one")
    assert blobs.size("releases/b/one") == 1000
    with pytest.raises(BlobNotFound):
        blobs.copy("releases/a/one", "releases/c/one")


def test_a_second_name_that_failed_half_way_harms_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("releases/a/one", b"x" * 1000)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="I/O"):
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        blobs.copy("releases/a/one", "releases/b/one")
    with monkeypatch.context() as patch, pytest.raises(FileExistsError):
        patch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(FileExistsError(errno.EEXIST, "File exists")))
        blobs.copy("releases/a/one", "releases/b/one")
    blobs.put("releases/b/one", b"y")  # in the same thread: it writes under a name that is none of the blob's
    assert blobs.get("releases/a/one") == b"x" * 1000 and blobs.get("releases/b/one") == b"y"
    blobs.copy("releases/a/one", "releases/b/one")
    assert blobs.get("releases/a/one") == blobs.get("releases/b/one") == b"x" * 1000
    left = tmp_path / "blobs/releases/b/two#12345"
    left.write_bytes(b"of a writer that was killed")
    blobs.drop_unfinished("releases/b")
    assert not left.exists() and sorted(blobs.names("releases")) == ["releases/a/one", "releases/b/one"]


def test_a_second_name_is_there_after_a_power_cut(tmp_path: Path, told: list[str]) -> None:
    blobs = Blobs.at("", tmp_path)
    blobs.put("releases/a/one", b"x")
    told.clear()
    blobs.copy("releases/a/one", "releases/b/one")
    assert told == ["name one", "sync b", "sync releases"]
